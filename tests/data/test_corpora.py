"""Where a text comes from: what ships, what a user gives, and what is downloaded from a server on this machine."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import socket
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest

from d2lrnn.data import (
    CORPORA,
    DATA_HUB,
    DownloadError,
    Preparation,
    Text,
    Vocab,
    corpora,
    download,
    load_corpus,
    load_corpus_time_machine,
    load_data,
    part_of_text,
    read_text,
    read_time_machine,
)
from d2lrnn.data.corpora import read_file
from d2lrnn.errors import D2LRNNError, D2LRNNWarning, InputError, InputFileError

CONTENT = "分开 and the time traveller\n".encode()
BUNDLED = [name for name in CORPORA if CORPORA[name].bundled]


def zipped(content, name="jaychou_lyrics.txt"):
    """Return the bytes of a zip archive with one file in it."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr(name, content)
    return memory.getvalue()


PACKED = zipped(CONTENT)
NO_SERVER = ("http://127.0.0.1:1/jaychou_lyrics.txt.zip", hashlib.sha1(PACKED).hexdigest())


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
        monkeypatch.setenv(corpora.DATA_ENV, str(tmp_path))
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


# Files


def test_a_file_is_read_as_it_stands(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(CONTENT)
    text = read_text(path)
    assert text == Text(str(path), CONTENT.decode(), hashlib.sha256(CONTENT).hexdigest())
    assert read_text(str(path)) == text


def test_a_byte_order_mark_is_dropped(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(b"\xef\xbb\xbf" + CONTENT)
    assert read_file(path) == CONTENT.decode()


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "mine.txt").write_bytes(CONTENT)
    assert read_file("~/mine.txt") == CONTENT.decode()


@pytest.mark.parametrize("name", ["no such file.txt", "~no-such-user/file.txt"])
def test_a_missing_file_is_an_error_that_lists_the_corpora(name):
    with pytest.raises(InputFileError, match=f"no corpus or file called '{name}'.*time-machine, story, verses"):
        read_text(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_that_may_never_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(InputFileError, match="is no file but a device or a pipe: give a readable text file"):
        read_text(tmp_path / "pipe.txt")


def test_a_missing_file_is_also_pythons_own_error():
    with pytest.raises(FileNotFoundError, match="give the path of a UTF-8 text file"):
        read_text("no such file.txt")


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(InputFileError, match="cannot read .*; give a readable text file"):
        read_text(tmp_path)


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\xef\xbb\xbf\n"], ids=["empty", "white-space", "only-a-bom"])
def test_a_file_without_text_is_an_error(tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is empty: give a file with text in it"):
        read_text(path)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        pytest.param("Café".encode("latin-1"), "byte 0xe9 at position 3", id="latin-1"),
        pytest.param(b"\xef\xbb\xbfCaf\xe9", "byte 0xe9 at position 6", id="behind-a-bom"),
    ],
)
def test_a_file_that_is_not_utf_8_is_an_error_that_says_where(tmp_path, content, where):
    path = tmp_path / "other.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"is not UTF-8 \({where}\): save it as UTF-8"):
        read_text(path)


# Encodings

NOVEL = "Où est l’été?\r\nЁлка\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
)
def test_a_byte_order_mark_says_how_to_read_a_text(tmp_path, encoding):
    mark = "" if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff"
    (tmp_path / "novel.txt").write_bytes((mark + NOVEL).encode(encoding))
    text = read_text(tmp_path / "novel.txt")
    assert text.content == NOVEL
    assert text.sha256 == hashlib.sha256(NOVEL.encode()).hexdigest()


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["without-a-mark", "with-a-mark"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32-be", "gb18030"])
def test_a_text_is_read_in_the_encoding_that_is_named(tmp_path, encoding, mark):
    mark = "" if encoding == "utf-16" else mark  # which writes one by itself
    (tmp_path / "novel.txt").write_bytes((mark + NOVEL).encode(encoding))
    (tmp_path / "novel.zip").write_bytes(zipped((mark + NOVEL).encode(encoding), "novel.txt"))
    for name in ("novel.txt", "novel.zip"):
        text = read_text(tmp_path / name, encoding)
        assert (text.content, text.sha256) == (NOVEL, hashlib.sha256(NOVEL.encode()).hexdigest())
    _, vocab = load_corpus(tmp_path / "novel.txt", encoding=encoding)
    assert vocab["ё"] > 0
    _, vocab = load_data(tmp_path / "novel.txt", 1, 2, encoding=encoding)
    assert vocab["ё"] > 0


TAKE_OUT = r"which no text has: take such characters out; if it is in another encoding, name that$"


@pytest.mark.parametrize(
    ("content", "encoding", "match"),
    [
        pytest.param("the sea".encode("utf-16-le"), None,
                     r"U\+0000 \(at position 1\), which no text has: it looks like utf-16-le.*encoding='utf-16-le'",
                     id="utf-16-le"),
        pytest.param("the sea".encode("utf-16-be"), None, "looks like utf-16-be", id="utf-16-be"),
        pytest.param("the sea, the sky".encode("utf-32-le"), None, "looks like utf-32-le", id="utf-32-le"),
        pytest.param("the café".encode("utf-16-le"), None,
                     r"is not UTF-8 \(byte 0xe9 at .*: save it as UTF-8.* looks like encoding='utf-16-le'",
                     id="utf-16-that-is-no-utf-8"),
        pytest.param("Ночь, улица, фонарь, аптека".encode("utf-16-le"), None, "looks like utf-16-le", id="cyrillic"),
        pytest.param(b"the\0sea", None, rf"U\+0000 \(at position 3\), {TAKE_OUT}", id="one-zero-byte"),
        pytest.param(b"\x01\x02 and so on", None, rf"has the control character U\+0001 .*, {TAKE_OUT}", id="control"),
        pytest.param("\x1b[1mthe café".encode(), None, rf"U\+001B \(at position 0\), {TAKE_OUT}", id="escape"),
        pytest.param("the café\b".encode(), "utf-8", rf"U\+0008 \(at position 8\), {TAKE_OUT}", id="backspace"),
        pytest.param("it’s".encode("cp1252"), "latin-1",
                     r"read as latin-1, has the control character U\+0092 .* it looks like cp1252; .*encoding='cp1252'",
                     id="cp1252-as-latin-1"),
        pytest.param(b"the \x07sea", "latin-1", rf"U\+0007 .*, {TAKE_OUT}", id="bell-in-latin-1"),
        pytest.param("the sea".encode("utf-16-le"), "latin-1",
                     r"read as latin-1, has .* U\+0000 .* it looks like utf-16-le without", id="wrong-name"),
        pytest.param("the s\x01ea".encode("utf-16-le"), "utf-16-le", rf"U\+0001 .*, {TAKE_OUT}", id="right-name"),
        pytest.param("é".encode(), "ascii", r"is not ascii \(byte 0xc3 at position 0\): name the encoding", id="ascii"),
        pytest.param("é".encode("utf-8-sig"), "cp1252",
                     "begins with the byte order mark of utf-8, and its encoding is to be 'cp1252': leave",
                     id="against-its-mark"),
        pytest.param("é".encode("utf-16")[:-1], None, "is not utf-16-le .*, as its byte order mark says", id="cut-off"),
    ],
)  # fmt: skip
def test_what_cannot_be_text_is_an_alarm(tmp_path, content, encoding, match):
    (tmp_path / "novel.txt").write_bytes(content)
    with pytest.raises(InputError, match=match):
        read_text(tmp_path / "novel.txt", encoding)


def test_what_parts_lines_and_ends_old_files_is_no_alarm(tmp_path):
    content = "a\tb\vc\fd\r\ne\x85f\u2028g\u00adh\n\x1a"
    (tmp_path / "old.txt").write_bytes(content.encode())
    assert read_text(tmp_path / "old.txt").content == content


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", "a\0b", "", 8])
def test_an_unknown_encoding_is_an_error(tmp_path, encoding):
    (tmp_path / "novel.txt").write_text(NOVEL)
    with pytest.raises(InputError, match="unknown encoding .*: use a name that Python knows, such as utf-8"):
        read_text(tmp_path / "novel.txt", encoding)


def test_an_encoding_is_of_a_file(tmp_path):
    with pytest.raises(InputError, match="encoding .*is of a file of yours, and 'story' is a corpus: leave it out"):
        read_text("story", "utf-8")
    with pytest.raises(InputError, match="encoding is of a file, and 'sample' has been read already"):
        load_corpus(SAMPLE, encoding="utf-8")


def docx():
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<w:t>the sea</w:t>")
    return memory.getvalue()


@pytest.mark.parametrize("name", ["novel.txt", "novel.zip", "novel"])
@pytest.mark.parametrize(
    ("content", "match"),
    [
        pytest.param(gzip.compress(b"the sea"), "is no text but compressed with gzip: unpack it, .* 'gunzip'", id="gz"),
        pytest.param(bz2.compress(b"the sea"), "is no text but compressed with bzip2: unpack it", id="bz2"),
        pytest.param(lzma.compress(b"the sea"), "is no text but compressed with xz: unpack it", id="xz"),
        pytest.param(b"%PDF-1.7\n...", "is no text but a PDF document: take the text out .*'pdftotext'", id="pdf"),
        pytest.param(b"{\\rtf1 the sea}", "is no text but an RTF document: open it .* save it as plain text", id="rtf"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1", "a document of an office program: open it there", id="doc"),
    ],
)
def test_a_file_of_another_kind_gets_the_advice_that_fits(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=match):
        read_text(tmp_path / name)


@pytest.mark.parametrize("name", ["novel.docx", "novel.txt"])
def test_a_word_document_gets_the_advice_that_fits(tmp_path, name):
    (tmp_path / name).write_bytes(docx())
    with pytest.raises(
        InputError, match=r"is no text but a Word document \(.docx\): .* save it as plain text in UTF-8"
    ):
        read_text(tmp_path / name)


def test_an_archive_of_rar_gets_the_advice_that_fits(tmp_path):
    (tmp_path / "novel.txt").write_bytes(b"Rar!\x1a\x07\x01\x00\x33\x92")
    with pytest.raises(InputError, match="is no text but a RAR archive: unpack it"):
        read_text(tmp_path / "novel.txt")


@pytest.mark.parametrize("level", range(1, 10))
def test_every_level_of_bzip2_is_known(tmp_path, level):
    (tmp_path / "novel.txt").write_bytes(bz2.compress(b"the sea", level))
    with pytest.raises(InputError, match="is no text but compressed with bzip2: unpack it"):
        read_text(tmp_path / "novel.txt")


@pytest.mark.parametrize("content", ["BZh is a word", "BZh9 is a number", "Rar! said the crow"])
def test_a_text_that_begins_with_the_letters_of_an_archive_is_a_text(tmp_path, content):
    (tmp_path / "novel.txt").write_text(content)
    assert read_text(tmp_path / "novel.txt").content == content


def test_an_archive_under_another_name_gets_the_advice_that_fits(tmp_path):
    (tmp_path / "novel.txt").write_bytes(PACKED)
    with pytest.raises(InputError, match=r"is no text but a zip archive: give its name the ending .zip"):
        read_text(tmp_path / "novel.txt")


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


# Downloads


class Server(ThreadingHTTPServer):
    """Serves ``files``, counts ``requests``, and answers late, or not before the end of the test, if ``silent``."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.silent, self.closing = {}, [], False, threading.Event()

    def publish(self, monkeypatch, content, promised=CONTENT, file="greeting.txt", name="greeting"):
        """Put a file on the server and, with the hash of what was promised, into the registry."""
        self.files[f"/{file}"], self.length = content, len(promised)
        url = f"http://127.0.0.1:{self.server_port}/{file}"
        monkeypatch.setitem(DATA_HUB, name, (url, hashlib.sha1(promised).hexdigest()))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.server.silent and self.server.closing.wait(10):
            return
        if (content := self.server.files.get(self.path)) is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(self.server.length))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, no folder of the user's, and no proxy between the test and its server."""
    monkeypatch.delenv(corpora.DATA_ENV, raising=False)
    folder = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda name: folder)
    return folder


def files_in(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_download_arrives_in_the_cache(server, cache, monkeypatch, capfd):
    server.publish(monkeypatch, CONTENT)
    path = Path(download("greeting"))
    assert path == cache / "greeting.txt"
    assert path.read_bytes() == CONTENT
    assert files_in(cache) == ["greeting.txt"]
    assert capfd.readouterr().out == ""


def test_a_download_goes_where_it_is_told(server, cache, monkeypatch, tmp_path):
    server.publish(monkeypatch, CONTENT)
    path = download("greeting", tmp_path / "here")
    assert Path(path) == tmp_path / "here" / "greeting.txt"
    assert not cache.exists()


def test_a_second_download_does_not_ask_the_server(server, cache, monkeypatch):
    server.publish(monkeypatch, CONTENT)
    assert download("greeting") == download("greeting")
    assert server.requests == ["/greeting.txt"]


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, cache, monkeypatch):
    server.publish(monkeypatch, CONTENT)
    cache.mkdir(exist_ok=True)
    (cache / "greeting.txt").write_bytes(CONTENT[:10])
    assert Path(download("greeting")).read_bytes() == CONTENT
    assert server.requests == ["/greeting.txt"]


def test_a_page_that_is_not_there_is_an_error(server, cache, monkeypatch):
    server.publish(monkeypatch, None)
    with pytest.raises(DownloadError, match=r"cannot download http://127.*404.*greeting.txt.*D2LRNN_DATA"):
        download("greeting")
    assert files_in(cache) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"x" * len(CONTENT), id="other-content"),
        pytest.param(CONTENT[:-5], id="broken-off"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_wrong_content_is_an_error_and_leaves_no_file(server, cache, monkeypatch, content):
    server.publish(monkeypatch, content)
    with pytest.raises(DownloadError, match=r"cannot download http://127.*/greeting.txt: "):
        download("greeting")
    assert server.requests == ["/greeting.txt"]
    assert files_in(cache) == []


def test_a_server_that_never_answers_is_an_error(server, cache, monkeypatch):
    server.publish(monkeypatch, CONTENT)
    server.silent = True
    monkeypatch.setattr(corpora, "DOWNLOAD_TIMEOUT", 0.2)
    with pytest.raises(DownloadError, match=r"cannot download .*greeting.txt: no answer within 0.2 seconds"):
        download("greeting")
    assert files_in(cache) == []


def test_a_server_that_cannot_be_reached_is_an_error_of_one_line(cache, monkeypatch, closed_port):
    monkeypatch.setitem(DATA_HUB, "greeting", (f"http://127.0.0.1:{closed_port}/greeting.txt", "0" * 40))
    with pytest.raises(
        DownloadError, match="put greeting.txt into a folder and name that folder in D2LRNN_DATA"
    ) as caught:
        download("greeting")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, D2LRNNError)
    assert isinstance(caught.value, OSError)


def test_an_error_without_words_is_still_a_download_error(cache, monkeypatch):
    def fail(*args, **kwargs):
        raise TimeoutError

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(DownloadError, match="TimeoutError"):
        download("time_machine")


def test_the_users_folder_comes_first(server, cache, monkeypatch, tmp_path):
    server.publish(monkeypatch, CONTENT)
    (tmp_path / "greeting.txt").write_bytes(CONTENT)
    monkeypatch.setenv(corpora.DATA_ENV, str(tmp_path))
    assert Path(download("greeting")) == tmp_path / "greeting.txt"
    assert server.requests == []


def test_a_wrong_file_in_the_users_folder_is_an_error(server, cache, monkeypatch, tmp_path):
    server.publish(monkeypatch, CONTENT)
    (tmp_path / "greeting.txt").write_bytes(b"something else")
    monkeypatch.setenv(corpora.DATA_ENV, str(tmp_path))
    with pytest.raises(DownloadError, match="is not the expected file .*: replace or remove it"):
        download("greeting")
    assert server.requests == []
    assert (tmp_path / "greeting.txt").read_bytes() == b"something else"


def test_a_users_folder_without_the_file_is_passed_over(server, cache, monkeypatch, tmp_path):
    server.publish(monkeypatch, CONTENT)
    monkeypatch.setenv(corpora.DATA_ENV, str(tmp_path / "nowhere"))
    assert Path(download("greeting")) == cache / "greeting.txt"


def test_an_unknown_download_is_an_error(cache):
    with pytest.raises(InputError, match="unknown download 'alphabet': known are .*time_machine"):
        download("alphabet")


def test_the_story_stands_in_for_a_time_machine_that_cannot_be_had(cache, monkeypatch, closed_port, capfd):
    monkeypatch.setitem(DATA_HUB, "time_machine", (f"http://127.0.0.1:{closed_port}/timemachine.txt", "0" * 40))
    with pytest.warns(UserWarning, match="the bundled story stands in: cannot download .*timemachine.txt") as caught:
        text = read_text("time-machine")
    assert text == read_text("story")
    assert [warning.filename for warning in caught] == [__file__]
    assert capfd.readouterr().out == ""


def test_within_a_command_a_text_that_could_not_be_downloaded_is_not_waited_for_again(
    cache, monkeypatch, closed_port, tmp_path
):
    url = f"http://127.0.0.1:{closed_port}/timemachine.txt"
    content = b"the time machine by h g wells"
    monkeypatch.setitem(DATA_HUB, "time_machine", (url, hashlib.sha1(content).hexdigest()))
    tries = []
    original = corpora.download
    monkeypatch.setattr(corpora, "download", lambda name: tries.append(name) or original(name))

    def read_in_vain():
        with pytest.warns(UserWarning, match="the bundled story stands in: cannot download .*timemachine.txt"):
            assert read_text("time-machine").name == "story"

    with corpora.remembering_failures():
        for _ in range(3):
            read_in_vain()
        assert tries == ["time_machine"]
        # who follows the advice gets the text, and who asks for the download itself has it tried
        monkeypatch.setenv(corpora.DATA_ENV, str(tmp_path))
        (tmp_path / "timemachine.txt").write_bytes(content)
        assert read_text("time-machine").name == "time-machine"
        monkeypatch.delenv(corpora.DATA_ENV)
        with pytest.raises(DownloadError):
            original("time_machine")
    tries.clear()
    for _ in range(2):
        read_in_vain()
    assert tries == ["time_machine"] * 2


def test_a_download_is_tried_again_in_python_once_there_is_a_network(cache, monkeypatch, closed_port):
    url = f"http://127.0.0.1:{closed_port}/jaychou_lyrics.txt.zip"
    monkeypatch.setitem(DATA_HUB, "jaychou_lyrics", (url, hashlib.sha1(PACKED).hexdigest()))
    with pytest.warns(D2LRNNWarning, match="the bundled verses stand in"):
        read_text("lyrics")
    monkeypatch.setattr(corpora, "download", lambda name: str(cache / "there"))
    cache.mkdir(exist_ok=True)
    (cache / "there").write_bytes(PACKED)
    assert read_text("lyrics").name == "lyrics"


# The lyrics of the first Chinese edition, which come zipped


def publish_lyrics(server, monkeypatch, content=PACKED):
    server.publish(monkeypatch, content, PACKED, "jaychou_lyrics.txt.zip", "jaychou_lyrics")


def test_the_lyrics_are_downloaded_and_unpacked(server, cache, monkeypatch):
    publish_lyrics(server, monkeypatch)
    assert read_text("lyrics") == Text("lyrics", CONTENT.decode(), hashlib.sha256(CONTENT).hexdigest())
    assert read_text("lyrics").content == CONTENT.decode()
    assert server.requests == ["/jaychou_lyrics.txt.zip"]
    assert files_in(cache) == ["jaychou_lyrics.txt.zip"]


def test_a_download_of_the_lyrics_with_another_hash_is_not_used(server, cache, monkeypatch):
    publish_lyrics(server, monkeypatch, zipped(CONTENT.replace(b"time", b"TIME")))
    with pytest.warns(D2LRNNWarning, match="the bundled verses stand in: cannot download .*hash"):
        text = read_text("lyrics")
    assert text == read_text("verses")
    assert server.requests == ["/jaychou_lyrics.txt.zip"]
    assert files_in(cache) == []


def test_the_verses_stand_in_for_lyrics_that_cannot_be_had(cache):
    match = "first Chinese edition's song text is not here, the bundled verses stand in: .*D2LRNN_DATA"
    with pytest.warns(D2LRNNWarning, match=match) as caught:
        assert read_text("lyrics") == read_text("verses")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    ("name", "content"),
    [("jaychou_lyrics.txt.zip", PACKED), ("jaychou_lyrics.txt", CONTENT)],
    ids=["packed", "unpacked"],
)
def test_the_users_folder_has_the_lyrics(cache, monkeypatch, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    monkeypatch.setenv(corpora.DATA_ENV, str(tmp_path))
    assert read_text("lyrics") == Text("lyrics", CONTENT.decode(), hashlib.sha256(CONTENT).hexdigest())


def test_a_packed_file_in_the_users_folder_comes_before_an_unpacked_one(cache, monkeypatch, tmp_path):
    (tmp_path / "jaychou_lyrics.txt.zip").write_bytes(PACKED)
    (tmp_path / "jaychou_lyrics.txt").write_bytes(b"something else")
    monkeypatch.setenv(corpora.DATA_ENV, str(tmp_path))
    assert read_text("lyrics").content == CONTENT.decode()


def test_packed_lyrics_with_another_hash_in_the_users_folder_are_not_used(server, cache, monkeypatch, tmp_path):
    publish_lyrics(server, monkeypatch)
    (tmp_path / "jaychou_lyrics.txt.zip").write_bytes(zipped("something else"))
    monkeypatch.setenv(corpora.DATA_ENV, str(tmp_path))
    with pytest.warns(D2LRNNWarning, match="verses stand in: .*is not the expected file .*: replace or remove it"):
        assert read_text("lyrics") == read_text("verses")
    assert server.requests == []


def test_unpacked_lyrics_that_are_not_utf_8_are_an_error(cache, monkeypatch, tmp_path):
    (tmp_path / "jaychou_lyrics.txt").write_bytes("分开".encode("gbk"))
    monkeypatch.setenv(corpora.DATA_ENV, str(tmp_path))
    with pytest.raises(InputError, match="jaychou_lyrics.txt' is not UTF-8"):
        read_text("lyrics")


def test_a_text_in_a_zip_archive_is_a_text_like_any_other(tmp_path):
    (tmp_path / "mine.zip").write_bytes(zipped(CONTENT, "any name.TXT"))
    tokens, vocab = load_corpus(tmp_path / "mine.zip")
    assert "".join(vocab.to_tokens(tokens)) == CONTENT.decode().strip()
