"""The text that a file holds: its encoding, and what it is if it is no text."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import zipfile

import pytest
from lyrics import CONTENT, PACKED, zipped

from d2lrnn.data import (
    Text,
    load_corpus,
    load_data,
    read_text,
)
from d2lrnn.data.text_files import read_file
from d2lrnn.errors import InputError, InputFileError


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
