"""Where a text comes from: what ships, and what a user gives; and how it becomes a corpus."""

import hashlib

import numpy as np
import pytest
from lyrics import NO_SERVER, zipped

from d2lrnn.data import (
    CORPORA,
    DATA_HUB,
    Preparation,
    Text,
    Vocab,
    downloads,
    load_corpus,
    load_corpus_time_machine,
    load_data,
    part_of_text,
    read_text,
    read_time_machine,
)
from d2lrnn.errors import InputError

BUNDLED = [name for name in CORPORA if CORPORA[name].bundled]


@pytest.fixture(autouse=True)
def lyrics(monkeypatch):
    """The lyrics have a text of the test's own and its hash, and no server but one that a test gives them."""
    monkeypatch.setitem(DATA_HUB, "jaychou_lyrics", NO_SERVER)


# The texts that ship


def test_the_story_is_long_enough_and_knows_the_books_prefixes():
    tokens, vocab = load_corpus("story")
    text = "".join(vocab.to_tokens(tokens))
    assert len(text) >= 24_000
    assert "time traveller" in text


def test_the_verses_are_chinese_and_know_the_first_editions_prefixes():
    tokens, vocab = load_corpus("verses")
    text = "".join(vocab.to_tokens(tokens))
    assert len(text) >= 3_000
    assert len(set(text)) >= 300
    assert "不分开" in text
    assert text.count("分开") > text.count("不分开")


@pytest.mark.parametrize(
    ("name", "batch_size"),
    [
        pytest.param("story", 32, id="story"),
        pytest.param("verses", 2, id="verses"),
        pytest.param("verses", 32, id="verses-in-32-rows"),
    ],
)
@pytest.mark.parametrize("valid_fraction", [0, 0.1], ids=["nothing-held-out", "a-tenth-held-out"])
def test_a_bundled_text_is_enough_for_minibatches(name, batch_size, valid_fraction):
    train_iter, _ = load_data(name, batch_size, 35, valid_fraction=valid_fraction)
    X, _ = next(iter(train_iter))
    assert X.shape == (batch_size, 35)


def test_every_corpus_has_prefixes_of_known_characters(corpus_name, tmp_path, monkeypatch):
    if corpus_name == "lyrics":
        (tmp_path / "jaychou_lyrics.txt.zip").write_bytes(zipped("不分开"))
        monkeypatch.setitem(DATA_HUB, "jaychou_lyrics", (NO_SERVER[0], hashlib.sha1(zipped("不分开")).hexdigest()))
        monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    _, vocab = load_corpus(corpus_name)
    assert CORPORA[corpus_name].prefixes
    assert 0 not in vocab[list("".join(CORPORA[corpus_name].prefixes))]


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_text_says_its_name_and_hash(name):
    text = read_text(name)
    assert text.name == name
    assert text.sha256 == hashlib.sha256(text.content.encode()).hexdigest()


# The book's text


def test_the_real_time_machine_has_the_books_170580_characters(real_time_machine):
    assert real_time_machine.name == "time-machine"
    tokens, vocab = load_corpus_time_machine()
    assert tokens.dtype == np.int32
    assert tokens.shape == (170_580,)
    assert len(vocab) == 28
    assert vocab.idx_to_token[:10] == ["<unk>", " ", "e", "t", "a", "i", "n", "o", "s", "h"]


def test_the_real_time_machine_has_the_books_lines(real_time_machine):
    lines = read_time_machine()
    assert len(lines) == 3221
    assert lines[0] == "the time machine by h g wells"
    assert lines[10] == "twinkled and his usually pale face was flushed and animated the"


def test_the_books_lines_are_joined_without_a_space(real_time_machine):
    tokens, vocab = load_corpus_time_machine(50)
    assert "".join(vocab.to_tokens(tokens)) == "the time machine by h g wellsithe time traveller f"
    assert len(vocab) == 28


# From a text to a corpus

SAMPLE = Text("sample", "Où est\nH. G. Wells?\n", "no hash")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, "où est h g wells", id="letters-by-default"),
        pytest.param({"clean": "book"}, "o esth g wells", id="book"),
        pytest.param({"clean": "none"}, "Où est\nH. G. Wells?\n", id="none"),
        pytest.param({"keep_case": True}, "Où est H G Wells", id="keep-case"),
        pytest.param({"keep_punctuation": True}, "où est h. g. wells?", id="keep-punctuation"),
        pytest.param({"clean": "book", "keep_punctuation": True}, "o esth. g. wells?", id="book-with-punctuation"),
        pytest.param({"clean": "book", "keep_case": True}, "O estH G Wells", id="book-with-case"),
    ],
)
def test_characters_are_cleaned_as(options, expected):
    tokens, vocab = load_corpus(SAMPLE, **options)
    assert tokens.dtype == np.int32
    assert "".join(vocab.to_tokens(tokens)) == expected
    assert len(vocab) == len(set(expected)) + 1


@pytest.mark.parametrize(
    ("clean", "expected"),
    [
        pytest.param("letters", ["où", "est", "h", "g", "wells"], id="letters"),
        pytest.param("book", ["o", "est", "h", "g", "wells"], id="book"),
        pytest.param("none", ["Où", "est", "H.", "G.", "Wells?"], id="none"),
    ],
)
def test_words_are_cleaned_as(clean, expected):
    tokens, vocab = load_corpus(SAMPLE, token="word", clean=clean)
    assert vocab.to_tokens(tokens) == expected


def test_the_time_machine_is_cleaned_as_in_the_book():
    text = Text("time-machine", SAMPLE.content, "no hash")
    tokens, vocab = load_corpus(text)
    assert "".join(vocab.to_tokens(tokens)) == "o esth g wells"


def test_an_encoding_is_of_a_file(tmp_path):
    with pytest.raises(InputError, match="encoding .*is of a file of yours, and 'story' is a corpus: leave it out"):
        read_text("story", "utf-8")
    with pytest.raises(InputError, match="encoding is of a file, and 'sample' has been read already"):
        load_corpus(SAMPLE, encoding="utf-8")


@pytest.mark.parametrize(("max_tokens", "expected"), [(-1, 16), (6, 6), (1000, 16)])
def test_max_tokens_shortens_the_corpus_and_not_the_vocabulary(max_tokens, expected):
    tokens, vocab = load_corpus(SAMPLE, max_tokens)
    assert len(tokens) == expected
    assert vocab.idx_to_token == load_corpus(SAMPLE)[1].idx_to_token


def test_a_file_is_read_whole_and_a_corpus_to_the_books_number(tmp_path, corpus_name, monkeypatch):
    long = "the sea and the sky " * 1000
    (tmp_path / "novel.txt").write_text(long)
    train_iter, _ = load_data(tmp_path / "novel.txt", 2, 5)
    assert (train_iter.num_tokens, train_iter.text_tokens) == (19_999, 19_999)
    assert part_of_text(facts(train_iter)) == ""
    train_iter, _ = load_data(tmp_path / "novel.txt", 2, 5, max_tokens=10000, valid_fraction=0.1)
    assert (train_iter.num_tokens, train_iter.used_tokens, train_iter.text_tokens) == (9000, 10_000, 19_999)
    assert part_of_text(facts(train_iter)) == "10,000 of 19,999 characters"
    for text in (Text("novel.txt", long, "no hash"), Text(corpus_name, long, "no hash")):
        train_iter, _ = load_data(text, 2, 5)
        assert train_iter.num_tokens == (10_000 if text.name == corpus_name else 19_999)
        assert load_data(text, 2, 5, max_tokens=-1)[0].num_tokens >= 19_999


def facts(train_iter):
    return {"used_tokens": train_iter.used_tokens, "text_tokens": train_iter.text_tokens}


def test_a_result_that_does_not_say_how_long_its_text_is_leaves_nothing_out():
    assert part_of_text({"tokens": 5}) == part_of_text({"used_tokens": None, "text_tokens": None}) == ""


def test_a_vocabulary_knows_how_its_text_was_prepared():
    _, vocab = load_corpus(SAMPLE, token="word", keep_case=True)
    assert vocab.preparation == Preparation("word", "letters", keep_case=True)
    assert load_corpus(Text("time-machine", "the", "no hash"))[1].preparation == Preparation("char", "book")
    assert Vocab("abc").preparation is None


@pytest.mark.parametrize(
    ("content", "options"),
    [
        pytest.param("1895, 12:30!", {}, id="digits"),
        pytest.param("分开", {"clean": "book"}, id="chinese-by-the-books-cleaning"),
        pytest.param("...", {"token": "word"}, id="words"),
    ],
)
def test_a_text_of_which_nothing_is_left_is_an_error(content, options):
    with pytest.raises(InputError, match="nothing is left of 'bare' after cleaning: try clean='none'"):
        load_corpus(Text("bare", content, "no hash"), **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"clean": "all"}, "unknown cleaning 'all': use one of letters, book, none", id="clean"),
        pytest.param({"token": "line"}, "unknown token type 'line': use 'word' or 'char'", id="token"),
    ],
)
def test_an_unknown_option_is_an_error_before_the_text_is_read(options, match):
    with pytest.raises(InputError, match=match):
        load_corpus("no such file", **options)
