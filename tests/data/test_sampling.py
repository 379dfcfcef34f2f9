"""Minibatches of subsequences: both iterators, the loader, and the held-out end of a text."""

import tracemalloc
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrnn.data import (
    SeqDataLoader,
    Text,
    load_data,
    load_data_time_machine,
    sampling,
    seq_data_iter_random,
    seq_data_iter_sequential,
)
from d2lrnn.errors import InputError


def loader(corpus, batch_size, num_steps, *, use_random_iter=False, max_tokens=-1, **options):
    return SeqDataLoader(batch_size, num_steps, use_random_iter, max_tokens, corpus=corpus, **options)


ITERATORS = [
    pytest.param(seq_data_iter_random, id="random"),
    pytest.param(seq_data_iter_sequential, id="sequential"),
]
READERS = [
    *ITERATORS,
    pytest.param(partial(loader, use_random_iter=True), id="random-loader"),
    pytest.param(loader, id="sequential-loader"),
]
MODES = [pytest.param(True, id="random"), pytest.param(False, id="sequential")]


@st.composite
def readings(draw):
    """A corpus in which each token is its own position, a batch size, a number of steps, and a seed."""
    batch_size, num_steps = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    num_tokens = (batch_size + 1) * num_steps + draw(st.integers(0, 100))
    return np.arange(num_tokens), batch_size, num_steps, draw(st.integers(0, 2**32))


def as_lists(minibatches):
    return [(X.tolist(), Y.tolist()) for X, Y in minibatches]


def text_of_different_characters(length):
    """Without cleaning, the index of each character is its position plus 1."""
    return Text("different", "".join(chr(0x4E00 + i) for i in range(length)), "no hash")


# The book's form


@pytest.mark.parametrize("reader", READERS)
def test_the_books_35_tokens_make_three_minibatches(reader):
    minibatches = list(reader(list(range(35)), 2, 5, seed=1))
    assert [(X.shape, Y.shape) for X, Y in minibatches] == [((2, 5), (2, 5))] * 3


def test_the_sequential_iterator_reads_the_books_35_tokens_in_two_rows():
    first, second, third = as_lists(seq_data_iter_sequential(range(35), 2, 5, shift=False))
    assert first == ([[0, 1, 2, 3, 4], [17, 18, 19, 20, 21]], [[1, 2, 3, 4, 5], [18, 19, 20, 21, 22]])
    assert second == ([[5, 6, 7, 8, 9], [22, 23, 24, 25, 26]], [[6, 7, 8, 9, 10], [23, 24, 25, 26, 27]])
    assert third == ([[10, 11, 12, 13, 14], [27, 28, 29, 30, 31]], [[11, 12, 13, 14, 15], [28, 29, 30, 31, 32]])


def test_the_random_iterator_mixes_the_subsequences():
    orders = {tuple(X[0, 0] // 5 for X, _ in seq_data_iter_random(range(35), 2, 5, seed=seed)) for seed in range(20)}
    assert len(orders) > 1


# What every minibatch is


@pytest.mark.parametrize("iterator", ITERATORS)
@given(reading=readings())
def test_labels_are_the_inputs_moved_by_one_token(iterator, reading):
    corpus, batch_size, num_steps, seed = reading
    for X, Y in iterator(corpus, batch_size, num_steps, seed=seed):
        assert X.shape == Y.shape == (batch_size, num_steps)
        np.testing.assert_array_equal(np.diff(X, axis=1), 1)
        np.testing.assert_array_equal(Y, X + 1, strict=True)


@pytest.mark.parametrize("iterator", ITERATORS)
@given(reading=readings())
def test_no_token_is_from_outside_the_corpus_and_none_is_read_twice(iterator, reading):
    corpus, batch_size, num_steps, seed = reading
    minibatches = list(iterator(corpus, batch_size, num_steps, seed=seed))
    inputs = np.concatenate([X.ravel() for X, _ in minibatches])
    assert inputs.min() >= 0
    assert max(Y.max() for _, Y in minibatches) <= corpus[-1]
    assert len(np.unique(inputs)) == inputs.size


@pytest.mark.parametrize("iterator", ITERATORS)
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_minibatches_have_the_type_of_the_corpus(iterator, dtype):
    X, Y = next(iterator(np.arange(35, dtype=dtype), 2, 5))
    assert X.dtype == Y.dtype == dtype


@given(readings())
def test_each_row_of_a_sequential_minibatch_goes_on_in_the_next(reading):
    corpus, batch_size, num_steps, seed = reading
    for (_, before), (after, _) in pairwise(seq_data_iter_sequential(corpus, batch_size, num_steps, seed=seed)):
        np.testing.assert_array_equal(after[:, 0], before[:, -1])


@given(readings())
def test_random_windows_begin_whole_windows_after_one_offset(reading):
    corpus, batch_size, num_steps, seed = reading
    minibatches = seq_data_iter_random(corpus, batch_size, num_steps, seed=seed)
    starts = np.concatenate([X[:, 0] for X, _ in minibatches])
    offset = starts.min() % num_steps
    np.testing.assert_array_equal(starts % num_steps, offset)
    assert len(np.unique(starts)) == len(starts)
    num_windows = (len(corpus) - 1 - offset) // num_steps
    assert len(starts) == num_windows // batch_size * batch_size


@given(readings())
def test_sequential_minibatches_are_as_many_as_fit_behind_the_offset(reading):
    corpus, batch_size, num_steps, seed = reading
    minibatches = list(seq_data_iter_sequential(corpus, batch_size, num_steps, seed=seed))
    offset = minibatches[0][0][0, 0]
    assert len(minibatches) == (len(corpus) - 1 - offset) // batch_size // num_steps


@pytest.mark.parametrize("num_steps", [1, 2, 5])
@pytest.mark.parametrize("iterator", ITERATORS)
def test_the_offset_is_every_number_below_num_steps_and_no_other(iterator, num_steps):
    corpus = np.arange(40)
    epochs = [list(iterator(corpus, 2, num_steps, seed=seed)) for seed in range(200)]
    offsets = {min(int(X.min()) for X, _ in minibatches) % num_steps for minibatches in epochs}
    assert offsets == set(range(num_steps))


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_the_sequential_iterator_begins_below_num_steps(num_steps):
    # The book's goes up to num_steps itself.
    firsts = {int(next(seq_data_iter_sequential(range(40), 2, num_steps, seed=s))[0][0, 0]) for s in range(200)}
    assert firsts == set(range(num_steps))


def test_every_window_takes_its_turn_in_random_minibatches():
    # Of 7 windows of 5 tokens, 4 fill a minibatch: which 3 are left out must change.
    used = {int(s) // 5 for seed in range(50) for s in next(seq_data_iter_random(range(40), 4, 5, seed=seed))[0][:, 0]}
    assert used == set(range(7))


@given(readings())
def test_without_shift_the_sequential_iterator_begins_at_the_first_token(reading):
    corpus, batch_size, num_steps, seed = reading
    X, _ = next(seq_data_iter_sequential(corpus, batch_size, num_steps, seed=seed, shift=False))
    assert X[0, 0] == 0


# Laziness


def test_sequential_minibatches_are_views_of_the_corpus():
    corpus = np.arange(100, dtype=np.int32)
    for X, Y in seq_data_iter_sequential(corpus, 3, 5, seed=0):
        assert np.shares_memory(X, corpus)
        assert np.shares_memory(Y, corpus)


@pytest.mark.parametrize("reader", READERS)
def test_the_corpus_is_not_copied(reader):
    corpus = np.arange(1_000_000)
    tracemalloc.start()
    try:
        for _ in reader(corpus, 32, 100):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < corpus.nbytes / 10


# Seeds


@pytest.mark.parametrize("iterator", ITERATORS)
@given(reading=readings())
def test_the_same_seed_gives_the_same_minibatches(iterator, reading):
    corpus, batch_size, num_steps, seed = reading
    once = as_lists(iterator(corpus, batch_size, num_steps, seed=seed))
    assert as_lists(iterator(corpus, batch_size, num_steps, seed=seed)) == once
    assert as_lists(iterator(corpus, batch_size, num_steps, seed=np.random.default_rng(seed))) == once


@pytest.mark.parametrize("reader", READERS)
def test_without_a_seed_minibatches_differ_from_run_to_run(reader):
    # Twenty runs that begin alike by chance: once in 1000 to the power of 19.
    assert len({str(next(iter(reader(range(3000), 1, 1000)))[0][0, 0]) for _ in range(20)}) > 1


@pytest.mark.parametrize("use_random_iter", MODES)
@given(reading=readings())
def test_two_loaders_with_one_seed_agree_epoch_after_epoch(use_random_iter, reading):
    corpus, batch_size, num_steps, seed = reading
    one, other = (loader(corpus, batch_size, num_steps, use_random_iter=use_random_iter, seed=seed) for _ in range(2))
    assert [as_lists(one) for _ in range(4)] == [as_lists(other) for _ in range(4)]


@pytest.mark.parametrize("use_random_iter", MODES)
def test_the_epochs_of_one_loader_differ(use_random_iter):
    epochs = loader(range(1000), 2, 50, use_random_iter=use_random_iter, seed=0)
    assert len({str(as_lists(epochs)) for _ in range(5)}) == 5


# The loader


@pytest.mark.parametrize(
    ("use_random_iter", "iterator"), [(True, ITERATORS[0].values[0]), (False, ITERATORS[1].values[0])]
)
def test_the_loader_reads_as_the_iterator_of_its_mode(use_random_iter, iterator):
    minibatches = loader(range(100), 3, 5, use_random_iter=use_random_iter, seed=7)
    assert minibatches.use_random_iter is use_random_iter
    assert as_lists(minibatches) == as_lists(iterator(range(100), 3, 5, seed=7))


@pytest.mark.parametrize("use_random_iter", MODES)
def test_32_rows_of_35_steps_use_8960_of_10000_tokens(use_random_iter):
    minibatches = loader(range(10_000), 32, 35, use_random_iter=use_random_iter)
    assert minibatches.num_tokens == 10_000
    assert minibatches.tokens_per_epoch == 8960


@pytest.mark.parametrize("use_random_iter", MODES)
@given(reading=readings())
def test_an_epoch_uses_the_tokens_it_tells_or_one_minibatch_less(use_random_iter, reading):
    corpus, batch_size, num_steps, seed = reading
    minibatches = loader(corpus, batch_size, num_steps, use_random_iter=use_random_iter, seed=seed)
    used = sum(X.size for X, _ in minibatches)
    assert minibatches.tokens_per_epoch - used in (0, batch_size * num_steps)


@given(readings())
def test_an_epoch_at_offset_0_uses_the_tokens_it_tells(reading):
    corpus, batch_size, num_steps, _ = reading
    minibatches = loader(corpus, batch_size, num_steps, shift=False)
    assert minibatches.tokens_per_epoch == sum(X.size for X, _ in minibatches)


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    [
        pytest.param(60, 60, id="fewer"),
        pytest.param(100, 100, id="as-many"),
        pytest.param(1000, 100, id="more"),
        pytest.param(-1, 100, id="all"),
    ],
)
def test_the_loader_reads_the_first_max_tokens(max_tokens, expected):
    np.testing.assert_array_equal(loader(range(100), 2, 5, max_tokens=max_tokens).corpus, np.arange(expected))


def test_a_loader_of_its_own_reads_the_time_machine():
    minibatches = SeqDataLoader(32, 35, False, 10_000)
    assert minibatches.num_tokens == 10_000
    assert len(minibatches.vocab) == 28


def test_load_data_time_machine_is_the_books():
    minibatches, vocab = load_data_time_machine(32, 35)
    assert (minibatches.use_random_iter, minibatches.num_tokens, minibatches.valid_iter) == (False, 10_000, None)
    assert minibatches.vocab is vocab
    assert len(vocab) == 28
    X, Y = next(iter(minibatches))
    assert X.shape == Y.shape == (32, 35)


def test_load_data_passes_its_options_on():
    text = Text("mine", "One fish. Two FISH! " * 20, "no hash")
    options = {"keep_punctuation": True, "keep_case": True, "token": "word", "max_tokens": 50}
    minibatches, vocab = load_data(text, 2, 5, True, **options)
    assert minibatches.use_random_iter is True
    assert minibatches.num_tokens == 50
    assert vocab.idx_to_token == ["<unk>", "One", "fish.", "Two", "FISH!"]


def test_load_data_reads_as_the_book_does_unless_told_otherwise():
    minibatches, vocab = load_data(Text("mine", "One fish. Two FISH! " * 20, "no hash"), 2, 5)
    assert minibatches.use_random_iter is False
    assert sorted(vocab.idx_to_token[1:]) == sorted(set("one fish two fish"))
    assert load_data("story", 2, 5)[0].num_tokens == 10_000
    assert load_data("story", 2, 5, max_tokens=-1)[0].num_tokens > 10_000


def test_load_data_passes_on_how_a_file_is_read(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("Étienne\né\n".encode("latin-1") * 20)
    _, vocab = load_data(path, 2, 5, clean="none", encoding="latin-1")
    assert set(vocab.idx_to_token[1:]) == set("Étienné\n")


def test_load_data_makes_the_loader_of_a_backend():
    class Loader(SeqDataLoader):
        pass

    minibatches, _ = load_data("story", 2, 5, valid_fraction=0.1, loader=Loader)
    assert type(minibatches) is type(minibatches.valid_iter) is Loader
    minibatches, _ = load_data_time_machine(2, 5, True, 1000, valid_fraction=0.1, loader=Loader)
    assert type(minibatches) is type(minibatches.valid_iter) is Loader
    assert (minibatches.use_random_iter, minibatches.valid_iter.use_random_iter) == (True, False)


def test_a_loader_tells_how_long_the_whole_text_is():
    assert loader(range(100), 2, 5, max_tokens=50).text_tokens == 100


@pytest.mark.parametrize("use_random_iter", MODES)
def test_load_data_passes_its_seed_on(use_random_iter):
    one, other, third = (load_data("story", 4, 35, use_random_iter, seed=seed)[0] for seed in (1, 1, 2))
    epochs = [as_lists(one) for _ in range(3)]
    assert epochs == [as_lists(other) for _ in range(3)]
    assert epochs != [as_lists(third) for _ in range(3)]


# The held-out end of the text


@pytest.mark.parametrize("use_random_iter", MODES)
@given(fraction=st.floats(0.05, 0.9), length=st.integers(800, 2000), batch_size=st.integers(1, 8))
def test_the_held_out_tokens_are_the_end_of_the_text(use_random_iter, fraction, length, batch_size):
    text = text_of_different_characters(length)
    train_iter, _ = load_data(text, batch_size, 5, use_random_iter, -1, clean="none", valid_fraction=fraction)
    whole = np.concatenate([train_iter.corpus, train_iter.valid_iter.corpus])
    np.testing.assert_array_equal(whole, np.arange(1, length + 1))
    assert train_iter.valid_iter.num_tokens == round(fraction * length)


@pytest.mark.parametrize("use_random_iter", MODES)
def test_no_held_out_token_is_trained_on_even_as_a_label(use_random_iter):
    text = text_of_different_characters(1000)
    train_iter, _ = load_data(text, 4, 5, use_random_iter, 800, clean="none", valid_fraction=0.2, seed=0)
    trained = {int(token) for _ in range(20) for X, Y in train_iter for token in (*X.flat, *Y.flat)}
    held_out = {int(token) for X, Y in train_iter.valid_iter for token in (*X.flat, *Y.flat)}
    assert 600 < max(trained) <= 640  # the last ones may not fill a minibatch
    assert min(held_out) == 641
    assert max(held_out) <= 800


def test_the_held_out_tokens_are_read_in_order_from_the_first_each_time():
    train_iter, vocab = load_data(
        text_of_different_characters(1000), 4, 5, True, -1, clean="none", valid_fraction=0.3, seed=0
    )
    valid_iter = train_iter.valid_iter
    assert valid_iter.use_random_iter is False
    assert valid_iter.vocab is vocab
    epochs = [as_lists(valid_iter) for _ in range(5)]
    assert epochs == [epochs[0]] * 5
    assert epochs[0][0][0][0] == [701, 702, 703, 704, 705]


@pytest.mark.parametrize(
    ("num_valid", "rows"),
    [
        pytest.param(20, 1, id="too-short-for-eight"),
        pytest.param(85, 2, id="two-rows-of-eight"),
        pytest.param(84, 1, id="one-token-less"),
        pytest.param(900, 4, id="no-more-rows-than-asked-for"),
    ],
)
def test_held_out_rows_are_long_enough_to_warm_up_a_state(num_valid, rows):
    train_iter, _ = load_data(
        text_of_different_characters(1000), 4, 5, max_tokens=-1, clean="none", valid_fraction=num_valid / 1000
    )
    minibatches = list(train_iter.valid_iter)
    assert train_iter.valid_iter.batch_size == rows
    assert len(minibatches) >= min(8, (num_valid - 1) // 5)


def test_nothing_is_held_out_unless_asked_for():
    train_iter, _ = load_data("story", 2, 5)
    assert train_iter.valid_iter is None


# Errors: each is raised by the call itself, before anything is read


@pytest.mark.parametrize("reader", READERS)
def test_one_token_less_than_a_minibatch_needs_is_an_error(reader):
    match = "a corpus of 14 tokens is too short for one minibatch: 2 sequences of 5 steps need at least 15 tokens"
    with pytest.raises(InputError, match=match):
        reader(range(14), 2, 5)


@pytest.mark.parametrize("reader", READERS)
def test_as_many_tokens_as_a_minibatch_needs_are_enough_at_every_offset(reader):
    assert {len(list(reader(range(15), 2, 5, seed=seed))) for seed in range(50)} == {1}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("batch_size", "num_steps", "named"),
    [
        pytest.param(0, 5, "batch_size", id="no-rows"),
        pytest.param(-2, 5, "batch_size", id="negative-rows"),
        pytest.param(2.5, 5, "batch_size", id="half-a-row"),
        pytest.param("2", 5, "batch_size", id="rows-as-text"),
        pytest.param(2, 0, "num_steps", id="no-steps"),
        pytest.param(2, -5, "num_steps", id="negative-steps"),
        pytest.param(2, None, "num_steps", id="steps-missing"),
    ],
)
def test_a_size_below_1_is_an_error(reader, batch_size, num_steps, named):
    with pytest.raises(InputError, match=f"{named} must be a whole number of at least 1"):
        reader(range(100), batch_size, num_steps)


@pytest.mark.parametrize("reader", READERS)
def test_a_corpus_of_two_dimensions_is_an_error_that_says_so(reader):
    with pytest.raises(InputError, match=r"one sequence of token indices, not an array of shape \(100, 2\)"):
        reader(np.zeros((100, 2)), 2, 5)


def test_load_data_checks_the_sizes_before_it_reads_the_text():
    with pytest.raises(InputError, match="batch_size must be"):
        load_data("no such file", 0, 5)
    with pytest.raises(InputError, match="num_steps must be"):
        load_data("no such file", 2, 0)


def test_a_text_that_is_too_short_is_an_error():
    with pytest.raises(InputError, match="a corpus of 11 tokens is too short"):
        load_data(Text("short", "hello world", "no hash"), 32, 35)


@pytest.mark.parametrize(("num_steps", "more"), [(40, "larger max_tokens"), (20_000, "longer text")])
def test_a_token_limit_that_leaves_too_little_says_what_helps(num_steps, more):
    with pytest.raises(InputError, match=rf"max_tokens=100 leaves 100 of .* too short .*; give a {more}, or a smaller"):
        load_data("story", 32, num_steps, max_tokens=100)


@pytest.mark.parametrize("max_tokens", [0, -2, 2.5, "many"])
def test_a_token_limit_that_is_no_limit_is_an_error(max_tokens):
    with pytest.raises(InputError, match="max_tokens must be a whole number of at least 1"):
        load_data("story", 2, 5, max_tokens=max_tokens)
    with pytest.raises(InputError, match="max_tokens must be a whole number of at least 1"):
        loader(range(100), 2, 5, max_tokens=max_tokens)


@pytest.mark.parametrize(("num_valid", "fits"), [(9, False), (10, True), (85, True), (86, False)])
def test_both_parts_may_be_as_short_as_their_minibatches_need(num_valid, fits):
    text = text_of_different_characters(100)
    if fits:
        train_iter, _ = load_data(text, 2, 5, clean="none", valid_fraction=num_valid / 100)
        assert (train_iter.num_tokens, train_iter.valid_iter.num_tokens) == (100 - num_valid, num_valid)
        assert next(iter(train_iter.valid_iter))[0].shape[1] == next(iter(train_iter))[0].shape[1] == 5
    else:
        message = f"holds out {num_valid} of 100 tokens; at least 10 must be, and 15 must be left; give another"
        with pytest.raises(InputError, match=message):
            load_data(text, 2, 5, clean="none", valid_fraction=num_valid / 100)


@pytest.mark.parametrize("valid_fraction", [-0.1, 1, 1.5, float("nan"), "0.1"])
def test_a_held_out_fraction_outside_0_to_1_is_an_error(valid_fraction):
    with pytest.raises(InputError, match="valid_fraction must be at least 0 and below 1"):
        load_data("story", 2, 5, valid_fraction=valid_fraction)


@pytest.mark.parametrize(
    ("valid_fraction", "left"),
    [
        pytest.param(0.001, "valid_fraction=0.001 holds out 1 of 1000 tokens", id="held-out-part"),
        pytest.param(0.995, "valid_fraction=0.995 holds out 995 of 1000 tokens", id="training-part"),
    ],
)
def test_a_part_that_is_too_short_is_an_error(valid_fraction, left):
    with pytest.raises(InputError, match=left):
        load_data("story", 2, 5, max_tokens=1000, valid_fraction=valid_fraction)


def test_load_data_time_machine_passes_all_on(monkeypatch):
    given = {}
    monkeypatch.setattr(sampling, "load_data", lambda *args, **options: given.update(args=args, options=options))
    options = {"keep_punctuation": True, "keep_case": 1, "valid_fraction": 0.25, "seed": 7, "loader": object}
    load_data_time_machine(3, 5, True, 99, **options)
    assert given == {"args": ("time-machine", 3, 5, True, 99), "options": options}
