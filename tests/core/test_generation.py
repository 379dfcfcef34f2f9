"""Choosing the next token, and continuing a prefix, without a framework."""

import unicodedata

import numpy as np
import pytest

from d2lrnn.core.generation import fit_prefix, generate, token_chooser
from d2lrnn.data import Preparation, Text, Vocab, load_corpus
from d2lrnn.errors import D2LRNNWarning, InputError

LOGITS = np.log([0.1, 0.6, 0.3])


def frequencies(choose, draws=4000):
    return np.bincount([choose(LOGITS) for _ in range(draws)], minlength=3) / draws


@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"top_k": 1}], ids=["plain", "temperature-0", "top-1"])
def test_the_most_probable_token_is_taken(options):
    choose = token_chooser(**options)
    assert [choose(LOGITS) for _ in range(20)] == [1] * 20


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"seed": 0}, [0.1, 0.6, 0.3]),
        ({"temperature": 1.0, "seed": 0}, [0.1, 0.6, 0.3]),
        # alpha = 1 / temperature = 2: squares, normalised
        ({"temperature": 0.5, "seed": 0}, np.array([0.01, 0.36, 0.09]) / 0.46),
        ({"top_k": 2, "seed": 0}, [0, 2 / 3, 1 / 3]),
        ({"top_k": 99, "seed": 0}, [0.1, 0.6, 0.3]),
    ],
    ids=["seed", "temperature-1", "alpha-2", "top-2", "top-99"],
)
def test_tokens_are_drawn_with_their_probabilities(options, expected):
    # Of 4,000 draws a frequency has a standard deviation of at most 0.008
    np.testing.assert_allclose(frequencies(token_chooser(**options)), expected, atol=0.032)


def test_of_equals_the_first_are_drawn_among():
    logits = np.random.default_rng(0).integers(0, 3, 200).astype(float)
    choose = token_chooser(top_k=3, seed=0)
    assert {choose(logits) for _ in range(100)} == set(np.flatnonzero(logits == 2)[:3])


@pytest.mark.parametrize("options", [{"top_k": 3}, {"temperature": 1}, {"seed": 1}], ids=lambda options: str(*options))
def test_each_option_alone_draws(options):
    choose = token_chooser(**options)
    assert {choose(np.zeros(3, np.float32)) for _ in range(100)} == {0, 1, 2}


def test_the_same_seed_draws_the_same_tokens():
    draws = [[choose(LOGITS) for _ in range(50)] for choose in (token_chooser(seed=seed) for seed in (1, 1, 2))]
    assert draws[0] == draws[1] != draws[2]


def test_logits_of_few_digits_have_probabilities_that_add_up():
    choose = token_chooser(seed=0)
    assert {choose(LOGITS.astype(np.float16)) for _ in range(100)} == {0, 1, 2}


def test_huge_logits_and_a_tiny_temperature_do_not_overflow():
    assert token_chooser(temperature=1e-300, seed=0)(np.array([1e30, -1e30, 0.0])) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature must be a finite number of at least 0, not -1"),
        ({"temperature": float("nan")}, "temperature must be a finite number of at least 0, not nan"),
        ({"temperature": float("inf")}, "temperature must be a finite number of at least 0, not inf"),
        ({"temperature": "1"}, "temperature must be a finite number of at least 0, not '1'"),
        ({"top_k": 0}, "top_k must be a whole number of at least 1, not 0"),
        ({"top_k": 1.5}, "top_k must be a whole number of at least 1, not 1.5"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(InputError, match=message):
        token_chooser(**options)


class Counter:
    """A model that always predicts the next index, and remembers what it was fed."""

    def __init__(self, size):
        self.size, self.fed = size, []

    def __call__(self, index):
        self.fed.append(index)
        return np.eye(self.size)[(index + 1) % self.size]


VOCAB = Vocab("aaaabbbccd")  # <unk> a b c d


def test_the_prefix_is_fed_and_then_each_prediction():
    model = Counter(5)
    assert generate("ab", 3, VOCAB, model, token_chooser()) == "abcd<unk>"
    assert model.fed == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("vocab", "first"), [(Vocab("aa b"), 2), (VOCAB, 1), (Vocab(), 0)], ids=["a-space", "the-most-frequent", "nothing"]
)
def test_an_empty_prefix_begins_as_after_a_space_or_the_most_frequent_token(vocab, first):
    model = Counter(len(vocab))
    text = generate("", 1, vocab, model, token_chooser())
    assert model.fed == [first]
    assert text == vocab.to_tokens((first + 1) % len(vocab))


def test_words_are_joined_by_spaces():
    vocab = Vocab([["the", "the", "the", "time", "time", "machine"]])
    assert generate(["the"], 2, vocab, Counter(4), token_chooser()) == "the time machine"


TEXT = Text("sample", "It was the time, Étienne; é! the Time of the king\n", "no hash")


def continued(prefix, num_preds=0, **options):
    _, vocab = load_corpus(TEXT, **options)
    return generate(prefix, num_preds, vocab, Counter(len(vocab)), token_chooser())


@pytest.mark.parametrize(
    ("options", "prefix", "expected"),
    [
        pytest.param({}, "It was", "it was", id="case"),
        pytest.param({}, "E\u0301 the", "é the", id="decomposed"),
        pytest.param({}, "the time, ", "the time ", id="symbols"),
        pytest.param({"clean": "book"}, "It was the\ntime ", "it was thetime ", id="as-in-the-book"),
        pytest.param({"keep_case": True}, "It Was", "It <unk>as", id="case-kept"),
        pytest.param({"keep_punctuation": True}, "The time;", "the time;", id="punctuation-kept"),
        pytest.param({"clean": "none"}, "It was é\n", "It was é\n", id="not-cleaned"),
        pytest.param({"clean": "none"}, "time e\u0301", "time é", id="not-cleaned-and-decomposed"),
        pytest.param({}, ["T", "he", " "], "<unk><unk> ", id="a-list-is-taken-as-it-is"),
        pytest.param({}, list("the "), "the ", id="a-list-is-joined-as-the-text-was"),
    ],
)
def test_a_prefix_is_read_as_the_text_was(options, prefix, expected):
    assert continued(prefix, **options) == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        pytest.param("the king", "the king", id="words"),
        pytest.param("The  KING, ", "the king", id="cleaned"),
        pytest.param(["the", "king"], "the king", id="a-list"),
        pytest.param("the kyng", "the <unk>", id="unknown"),
    ],
)
def test_a_model_of_words_reads_words(prefix, expected):
    assert continued(prefix, token="word") == expected
    assert len(continued(prefix, 3, token="word").split(" ")) == 5


def test_a_vocabulary_that_was_made_by_hand_of_words_reads_words():
    vocab = Vocab([["the", "king", "The"]])
    assert generate("the king The", 0, vocab, Counter(4), token_chooser()) == "the king The"
    # In a text parted otherwise, with spaces in the tokens, a string is what it was: characters
    assert generate("t h", 0, Vocab(["t", " ", "h", "he "]), Counter(5), token_chooser()) == "t h"


def test_a_vocabulary_that_was_made_by_hand_is_of_words_if_one_has_two_letters_and_none_has_a_space():
    words = Vocab([["a", "an"]])
    assert generate("a an", 0, words, Counter(3), token_chooser()) == "a an"
    lines = Vocab(["t", "\n", "h", "he\n"])
    assert generate("t\nh", 0, lines, Counter(5), token_chooser()) == "t\nh"


def test_the_tokens_of_a_list_are_joined_by_spaces_where_the_vocabulary_does_not_know():
    assert generate(["a", "b"], 1, VOCAB, Counter(5), token_chooser()) == "a b c"


def test_a_readers_own_vocabulary_needs_no_more_than_is_used():
    class Own:
        def __len__(self):
            return 3

        def __getitem__(self, token):
            return "abc".index(token) if token in "abc" else 0

        def to_tokens(self, indices):
            return ["abc"[index] for index in indices]

    assert generate("ab", 2, Own(), Counter(3), token_chooser()) == "abca"


def test_a_prefix_is_spelled_as_the_text_that_was_not_cleaned_is():
    _, vocab = load_corpus(Text("decomposed", "cafe\u0301 au lait", "no hash"), clean="none")
    assert generate("caf\u00e9", 0, vocab, Counter(len(vocab)), token_chooser()) == "cafe\u0301"


def test_a_prefix_that_lacks_several_characters_names_each_once():
    _, vocab = load_corpus(TEXT)
    with pytest.warns(D2LRNNWarning, match="has characters that the text lacks: 'xz'$"):
        fit_prefix("zxz the", vocab)
    with pytest.raises(InputError, match="^prefix 'x' has characters that the text lacks: 'x'; leave them out, or"):
        fit_prefix("x", vocab, "error")


def test_a_policy_that_there_is_not():
    with pytest.raises(InputError, match="^unknown policy 'drop': use one of unk, skip, error$"):
        fit_prefix("a", VOCAB, "drop")


def test_a_prefix_that_fits():
    _, vocab = load_corpus(TEXT)
    assert fit_prefix("It WAS e\u0301, ", vocab) == "it was é "
    assert fit_prefix("xThe", vocab, "skip") == "the"
    with pytest.warns(D2LRNNWarning, match="prefix 'Xx the' has characters that the text lacks: 'x'"):
        assert fit_prefix("Xx the", vocab) == "xx the"
    with pytest.warns(D2LRNNWarning, match="nothing is left of the prefix '1895', which is cleaned as the text was"):
        assert fit_prefix("1895", vocab) == " "
    with pytest.raises(InputError, match="nothing is left of the prefix '1895'.*leave them out"):
        fit_prefix("1895", vocab, "error")
    assert fit_prefix(" ", vocab, "error") == " "


def test_a_prefix_of_words_that_fits():
    _, vocab = load_corpus(TEXT, token="word")
    assert fit_prefix("The King!", vocab, "error") == "the king"
    assert fit_prefix("the kyng was", vocab, "skip") == "the was"
    with pytest.warns(D2LRNNWarning, match="prefix 'a kyng' has words that the text lacks: 'a kyng'"):
        fit_prefix("a kyng", vocab)


def test_no_predictions_return_the_prefix_as_the_vocabulary_knows_it():
    assert generate("abz", 0, VOCAB, Counter(5), token_chooser()) == "ab<unk>"


@pytest.mark.parametrize("num_preds", [-1, 1.5, "3"])
def test_a_number_of_predictions_that_is_none_is_an_error(num_preds):
    with pytest.raises(InputError, match=f"num_preds must be a whole number of at least 0, not {num_preds!r}"):
        generate("a", num_preds, VOCAB, Counter(5), token_chooser())


def test_more_predictions_than_anybody_reads_are_an_error():
    with pytest.raises(InputError, match="num_preds must be at most 1,000,000, not 1000001"):
        generate("a", 10**6 + 1, VOCAB, Counter(5), token_chooser())


@pytest.mark.parametrize("token", ["char", "word"])
@pytest.mark.parametrize("keep_punctuation", [True, False])
def test_an_accent_apart_from_its_letter_is_read_as_one_on_it(token, keep_punctuation):
    text = unicodedata.normalize("NFC", "the café; à q\u0301 <\u0338 the caf q ")
    preparation = Preparation(token, "book", keep_punctuation)
    vocab = Vocab(preparation.tokens_of(text))
    vocab.preparation = preparation
    whole = preparation.join(preparation.prepare(text))
    for form in ("NFC", "NFD"):
        assert fit_prefix(unicodedata.normalize(form, text), vocab, "error") == whole
    assert fit_prefix("the\u212acaf", vocab, "error") == preparation.join(preparation.prepare("the\u212acaf"))
