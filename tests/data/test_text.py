"""From a text to tokens to indices."""

import itertools
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from d2lrnn.data import Preparation, Vocab, clean_lines, clean_text, count_corpus, tokenize
from d2lrnn.data.text import normal_form
from d2lrnn.errors import InputError

# Every code point, halves of surrogate pairs too, with a good chance of those beyond 16 bits.
characters = st.characters(exclude_categories=()) | st.characters(min_codepoint=0x10000)
any_text = st.text(characters, max_size=60)
words = st.text(st.sampled_from("abc "), max_size=3)
tokens = st.lists(words | st.tuples(words, words) | st.just("<unk>"), max_size=40)


# Cleaning as the book does


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, "it s a cafe no of h g wells", id="letters"),
        pytest.param({"keep_case": True}, "It s a CAFE no of H G Wells", id="keep-case"),
        pytest.param({"keep_punctuation": True}, "it's a cafe, no. 12 of h.g. wells!", id="keep-punctuation"),
        pytest.param(
            {"keep_punctuation": True, "keep_case": True}, "It's a CAFE, no. 12 of H.G. Wells!", id="keep-both"
        ),
    ],
)
def test_the_books_cleaning_keeps_ascii(options, expected):
    assert clean_lines(["  It's a CAFE, no. 12\tof H.G. Wells!\n"], **options) == [expected]


def test_the_books_cleaning_takes_an_accented_letter_for_a_space():
    assert clean_lines(["Café crème"]) == ["caf cr me"]


def test_the_books_cleaning_returns_an_empty_line_for_a_line_without_letters():
    assert clean_lines(["The Time Machine\n", "\n", "1895\n", "I\n"]) == ["the time machine", "", "", "i"]


@given(st.lists(any_text, max_size=5))
def test_the_books_cleaning_leaves_27_characters_and_every_line(lines):
    cleaned = clean_lines(lines)
    assert len(cleaned) == len(lines)
    assert set("".join(cleaned)) <= set("abcdefghijklmnopqrstuvwxyz ")


# Cleaning any script


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("L'ÉTÉ, où ?\nÇa va: 100 %", "l été où ça va", id="french"),
        pytest.param("Straße – «Öl»", "straße öl", id="german"),
        pytest.param("Машина времени, 1895.\n— Ёлка!", "машина времени ёлка", id="cyrillic"),
        pytest.param("想要有直升机，\n想要和你飞到宇宙去。", "想要有直升机 想要和你飞到宇宙去", id="chinese"),
        pytest.param("हिन्दी में: समय-यात्री।", "हिन्दी में समय यात्री", id="hindi"),
        pytest.param("می\u200cخواهم، ۱۲ کتاب؟", "می\u200cخواهم کتاب", id="persian"),
        pytest.param("𝒜 𠀀! 𐐀", "𝒜 𠀀 𐐨", id="beyond-16-bits"),
        pytest.param(" \u3000\n...\t", "", id="nothing-left"),
    ],
)
def test_cleaning_keeps_the_letters_of(text, expected):
    assert clean_text(text) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"keep_case": True}, "Ça coûte", id="keep-case"),
        pytest.param({"keep_punctuation": True}, "ça coûte 5,50 € 👍!", id="keep-punctuation"),
        pytest.param({"keep_case": True, "keep_punctuation": True}, "Ça coûte 5,50 € 👍!", id="keep-both"),
    ],
)
def test_cleaning_keeps_what_it_is_asked_to_keep(options, expected):
    assert clean_text(" Ça  coûte\n5,50 €\r\n👍!\n", **options) == expected


def test_a_letter_and_its_accent_become_one_character():
    assert clean_text("e\u0301te\u0301") == "été"


def test_an_accent_joins_a_letter_that_only_its_small_form_can_join():
    assert clean_text("J\u030c") == clean_text("\u01f0") == "\u01f0"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("I \u2764\ufe0f you", id="heart-with-variation-selector"),
        pytest.param("I \U0001f468\u200d\U0001f469\u200d\U0001f467 you", id="family-with-joiners"),
        pytest.param("I 1\ufe0f\u20e3 you", id="keycap"),
    ],
)
def test_nothing_invisible_is_left_of_an_emoji(text):
    assert clean_text(text) == "i you"


@given(any_text, st.booleans(), st.booleans())
@example("J\u030c", False, False)
@example("\u2764\ufe0f", False, False)
def test_cleaning_twice_changes_nothing(text, keep_punctuation, keep_case):
    once = clean_text(text, keep_punctuation=keep_punctuation, keep_case=keep_case)
    assert clean_text(once, keep_punctuation=keep_punctuation, keep_case=keep_case) == once


@given(any_text)
def test_a_cleaned_text_is_words_of_letters_and_marks_between_single_spaces(text):
    cleaned = clean_text(text)
    assert cleaned == " ".join(cleaned.split())
    assert all(unicodedata.category(c)[0] in "LM" or c in " \u200c\u200d" for c in cleaned)
    assert all(unicodedata.category(word[0])[0] == "L" for word in cleaned.split())


# Tokens


def test_words_are_what_stands_between_spaces():
    assert tokenize(["the time machine", "", "by h g"]) == [["the", "time", "machine"], [], ["by", "h", "g"]]


def test_characters_include_spaces():
    assert tokenize(["by h", "分开"], "char") == [["b", "y", " ", "h"], ["分", "开"]]


def test_an_unknown_token_type_is_an_error():
    with pytest.raises(InputError, match="unknown token type 'letter': use 'word' or 'char'"):
        tokenize(["a"], "letter")


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param(["a", "b", "a"], {"a": 2, "b": 1}, id="list"),
        pytest.param([["a", "b"], [], ["a"]], {"a": 2, "b": 1}, id="lines"),
        pytest.param([[], ["a"]], {"a": 1}, id="first-line-empty"),
        pytest.param("aba", {"a": 2, "b": 1}, id="string"),
        pytest.param([("a", "b"), ("a", "b")], {("a", "b"): 2}, id="tuples"),
        pytest.param([], {}, id="nothing"),
    ],
)
def test_tokens_are_counted_in_a(tokens, expected):
    assert count_corpus(tokens) == expected


# How a text was prepared, and what is given to its model later

preparations = st.builds(
    Preparation, st.just("char"), st.sampled_from(["letters", "book", "none"]), st.booleans(), st.booleans()
)


@pytest.mark.parametrize(
    ("options", "piece", "expected"),
    [
        pytest.param({}, "It was", "it was", id="case"),
        pytest.param({}, "time traveller ", "time traveller ", id="a-space-at-the-end"),
        pytest.param({}, " the", " the", id="a-space-at-the-beginning"),
        pytest.param({}, "“Well!” said  he,", " well said he ", id="symbols-where-a-text-goes-on"),
        pytest.param({}, "E\u0301te\u0301", "été", id="decomposed"),
        pytest.param({}, "line\nbreak", "line break", id="line-break"),
        pytest.param({}, "I \u2764\ufe0f you", "i you", id="emoji"),
        pytest.param({}, "1895", " ", id="nothing-but-a-space"),
        pytest.param({}, "", "", id="nothing"),
        pytest.param({"keep_case": True}, "It was!", "It was ", id="case-kept"),
        pytest.param({"keep_punctuation": True}, "It was! ", "it was! ", id="punctuation-kept"),
        pytest.param({"clean": "book"}, "It was, E\u0301te ", "it was e te ", id="book"),
        pytest.param({"clean": "book"}, "H. G. Wells. \r\n I\n", "h g wellsi", id="lines-of-the-book"),
        pytest.param({"clean": "book", "keep_punctuation": True}, "H. G.", "h. g.", id="book-with-punctuation"),
        pytest.param({"clean": "none"}, "It  was\n“é”", "It  was\n“é”", id="none"),
    ],
)
def test_a_piece_of_a_text_is_prepared_as_the_text(options, piece, expected):
    preparation = Preparation(**options)
    assert preparation.prepare(piece) == list(expected)
    assert preparation.join(preparation.prepare(piece)) == expected


@given(any_text, preparations, st.integers(0, 60), st.integers(0, 60))
@example("\u0301a b", Preparation(keep_punctuation=True), 0, 60)
@example("a e\u0301\u0323 b", Preparation(), 3, 60)
def test_a_piece_of_a_prepared_text_comes_back_as_it_is(text, preparation, begin, end):
    piece = "".join(preparation.tokens_of(text))[begin:end]
    assert preparation.clean_piece(piece) == piece


@given(any_text, preparations)
def test_what_is_prepared_twice_is_as_if_once(text, preparation):
    once = preparation.clean_piece(text)
    assert preparation.clean_piece(once) == once


@given(any_text, preparations)
def test_a_whole_text_is_prepared_as_a_piece_but_for_its_ends(text, preparation):
    whole = "".join(preparation.tokens_of(text))
    if preparation.clean == "letters":
        first = clean_text("a" + text)[1:]  # an accent at the beginning of a piece stays on a letter before it
        assert preparation.clean_piece(text).strip() in (whole, first.strip())
    elif preparation.clean == "book":
        # A space at the end of the first or last line of a piece is none at the end of a line
        assert preparation.clean_piece(text).strip() == whole.strip()
    else:
        assert preparation.clean_piece(text) == whole


@pytest.mark.parametrize(
    ("clean", "expected"),
    [
        ("letters", ["où", "est", "the", "king"]),
        ("book", ["o", "est", "the", "king"]),
        ("none", ["Où", "est", "the", "King?"]),
    ],
)
def test_words_are_parted_as_those_of_the_text(clean, expected):
    preparation = Preparation("word", clean)
    assert preparation.prepare(" Où  est\nthe King? ") == expected
    assert preparation.join(expected) == " ".join(expected)


def test_a_preparation_goes_through_json():
    preparation = Preparation("word", "book", keep_case=True)
    assert Preparation.from_dict(preparation.to_dict()) == preparation


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"clean": "all"}, "unknown cleaning 'all': use one of letters, book, none"),
        ({"token": "line"}, "unknown token type 'line': use 'word' or 'char'"),
        ({"keep_case": 1}, "a preparation has some of token, clean, keep_punctuation, keep_case, and not"),
        ({"stem": True}, "a preparation has some of"),
        (["char"], "a preparation has some of"),
    ],
)
def test_a_preparation_that_cannot_be_used(values, match):
    with pytest.raises(InputError, match=match):
        Preparation.from_dict(values)


# The vocabulary


def test_indices_follow_frequency_and_then_first_occurrence():
    vocab = Vocab([["the", "time", "machine"], ["by", "time"], ["the", "the"]])
    assert vocab.idx_to_token == ["<unk>", "the", "time", "machine", "by"]
    assert vocab.token_to_idx == {"<unk>": 0, "the": 1, "time": 2, "machine": 3, "by": 4}
    assert vocab.token_freqs == [("the", 3), ("time", 2), ("machine", 1), ("by", 1)]
    assert len(vocab) == 5


def test_an_unknown_token_has_index_0():
    vocab = Vocab("ab")
    assert vocab["z"] == vocab.unk == 0
    assert vocab.to_tokens(0) == "<unk>"


def test_a_vocabulary_of_nothing_has_the_unknown_token():
    vocab = Vocab()
    assert vocab.idx_to_token == ["<unk>"]
    assert vocab["a"] == 0


def test_lists_and_tuples_are_looked_up_item_by_item():
    vocab = Vocab("aab")
    assert vocab[["a", "b", "z"]] == [1, 2, 0]
    assert vocab["b", "a"] == [2, 1]
    assert vocab[[["a"], ["b", "a"]]] == [[1], [2, 1]]


def test_a_tuple_is_one_token_where_tokens_are_tuples():
    pairs = [("the", "time"), ("time", "machine"), ("the", "time")]
    vocab = Vocab(pairs)
    assert vocab["the", "time"] == 1
    assert vocab["never", "seen"] == 0
    assert vocab[pairs] == [1, 2, 1]
    assert vocab.to_tokens([2, 1]) == [("time", "machine"), ("the", "time")]


def test_rare_tokens_are_left_out():
    vocab = Vocab("aaabbc", min_freq=2)
    assert vocab.idx_to_token == ["<unk>", "a", "b"]
    assert vocab["c"] == 0
    assert vocab.token_freqs == [("a", 3), ("b", 2), ("c", 1)]


def test_reserved_tokens_come_first_and_once():
    vocab = Vocab(["a", "<eos>", "a"], min_freq=2, reserved_tokens=["<pad>", "<eos>"])
    assert vocab.idx_to_token == ["<unk>", "<pad>", "<eos>", "a"]


def test_a_reserved_unknown_token_keeps_index_0():
    vocab = Vocab(["a", "<unk>"], reserved_tokens=["<pad>", "<unk>"])
    assert vocab.idx_to_token == ["<unk>", "<pad>", "a"]
    assert vocab["<unk>"] == 0


def test_a_reserved_token_given_twice_is_an_error():
    with pytest.raises(InputError, match="must differ"):
        Vocab(["a"], reserved_tokens=["<pad>", "<pad>"])


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        pytest.param(1, "a", id="int"),
        pytest.param(np.int64(2), "b", id="numpy-scalar"),
        pytest.param(np.array(2), "b", id="array-of-no-dimension"),
        pytest.param(np.array([1, 0, 2], dtype=np.int32), ["a", "<unk>", "b"], id="array"),
        pytest.param(np.array([1.0, 2.0], dtype=np.float32), ["a", "b"], id="array-of-floats"),
        pytest.param(np.array([[1, 2], [2, 1]]), [["a", "b"], ["b", "a"]], id="matrix"),
        pytest.param([np.int32(1), np.array(2)], ["a", "b"], id="list-of-scalars"),
        pytest.param((1, 2), ["a", "b"], id="tuple"),
        pytest.param([], [], id="empty-list"),
        pytest.param(np.array([]), [], id="empty-array"),
    ],
)
def test_tokens_can_be_read_off(indices, expected):
    assert Vocab("aab").to_tokens(indices) == expected


@pytest.mark.parametrize(
    "indices",
    [
        pytest.param(3, id="too-large"),
        pytest.param(-1, id="negative"),
        pytest.param([1, 2, 3], id="in-a-list"),
        pytest.param(np.array([[0, 1], [3, 0]]), id="in-a-matrix"),
        pytest.param(float("nan"), id="nan"),
    ],
)
def test_an_index_outside_the_vocabulary_is_an_error(indices):
    with pytest.raises(InputError, match=r"not in a vocabulary of 3 tokens \(0 to 2\)"):
        Vocab("ab").to_tokens(indices)


@given(tokens)
def test_tokens_survive_the_way_to_indices_and_back(tokens):
    vocab = Vocab(tokens)
    assert vocab.to_tokens(vocab[tokens]) == tokens


@given(tokens, tokens)
def test_encoding_a_list_equals_looking_it_up(known, asked):
    vocab = Vocab(known)
    flat = [token for token in asked if vocab._has_tuples or not isinstance(token, tuple)]
    encoded = vocab.encode(flat)
    assert encoded.dtype == np.int32
    assert encoded.tolist() == vocab[flat]


@given(tokens.map(lambda tokens: [token for token in tokens if token != "<unk>"]), st.integers(0, 4))
def test_indices_fall_in_frequency_and_rise_in_first_occurrence(tokens, min_freq):
    counts = Counter(tokens)
    kept = [token for token in counts if counts[token] >= min_freq]
    expected = sorted(kept, key=lambda token: (-counts[token], tokens.index(token)))
    assert Vocab(tokens, min_freq).idx_to_token == ["<unk>", *expected]


@given(any_text, any_text)
@example("a😀", "😀b\U0010ffff\0")
@example("\ud83d\ude00", "😀\ude00")
@example("", "a")
@example("a", "")
def test_encoding_a_string_equals_encoding_its_characters(known, asked):
    vocab = Vocab(known)
    encoded = vocab.encode(asked)
    assert encoded.dtype == np.int32
    np.testing.assert_array_equal(encoded, vocab.encode(list(asked)), strict=True)


def test_encoding_a_string_knows_no_token_of_several_characters():
    vocab = Vocab(["th", "t", ("h",)])
    assert vocab.encode("th").tolist() == [2, 0]


# Accents that stand behind their letters


@given(any_text)
@example("a" + "\u0301\u0327" * 40)
@example("á" + "\u0f73\u0344\u0327" * 40 + "b")
@example("\u3099\u0301\u0327" * 40)
def test_a_normal_form_is_pythons(text):
    for form in ("NFC", "NFD"):
        assert normal_form(form, text) == unicodedata.normalize(form, text)


def test_python_never_sees_a_long_row_of_marks_that_is_out_of_order(monkeypatch):
    """It would take the square of their number to put them into order: seconds for a text of 160 kB."""
    exchanges, original = [], unicodedata.normalize

    def normalize(form, text):
        parts = "".join(original("NFD", c) for c in text)  # each by itself, and so in the order in which they come
        classes = [unicodedata.combining(c) for c in parts] if len(text) > 1 else []
        exchanges.append(sum(0 < after < before for before, after in itertools.pairwise(classes)))
        return original(form, text)

    monkeypatch.setattr(unicodedata, "normalize", normalize)
    text = ("e" + "\u0301\u0327\u0f73" * 500) * 3
    assert clean_text(text) == original("NFC", text)
    assert sum(exchanges) == 0
    assert len(exchanges) <= 10  # and not one for each mark
