"""The text that a file holds: its encoding, what it is if it is no text, and the one in a zip archive."""

from __future__ import annotations

import codecs
import os
import re
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

from d2lrnn.errors import InputError, InputFileError
from d2lrnn.system import memory
from d2lrnn.system.bounded import NotRegular, check_packing, opened, opened_zip, unpack
from d2lrnn.system.wording import also

_LARGE = 2**24  # bytes of a text; a shorter one is read whatever it is
# How many times smaller a packed text may be, at most: those of people are 3 to 5 times
_RATIO = 20


def read_file(path: str | Path, encoding: str | None = None, known: Collection[str] = ()) -> str:
    """Read a text file; a byte order mark is dropped.

    Args:
        path: The file.
        encoding: Its encoding, by a name that Python knows; by default what its byte order mark says, or UTF-8.
        known: Names of texts that could have been given instead, for the error.

    Raises:
        InputFileError: If there is no such file, or it cannot be read.
        InputError: If it is empty, no text, or not in its encoding, or the encoding is unknown.
    """
    path = Path(path)
    try:
        path = path.expanduser()
        raw = _raw(path)
    except NotRegular:
        raise InputFileError(f"{str(path)!r} is no file but a device or a pipe: give a readable text file") from None
    except (FileNotFoundError, RuntimeError):  # a RuntimeError where ~name names nobody
        what, others = ("corpus or file", f", or one of {', '.join(known)}") if known else ("file", "")
        raise InputFileError(f"no {what} called {str(path)!r}: give the path of a UTF-8 text file{others}") from None
    except OSError as error:
        raise InputFileError(
            f"cannot read {str(path)!r}: {error.strerror or error}; give a readable text file"
        ) from None
    return _decode(raw, repr(str(path)), encoding)


def _raw(path: Path) -> bytes:
    """Return the bytes of a regular file, if what is made of a text of so many fits into memory.

    Raises:
        NotEnoughMemoryError: If it does not fit.
        NotRegular: If it is no file but a pipe or a device.
        OSError: If it cannot be read.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        _check_memory(size, repr(str(path)))
        return file.read(size)


def _check_memory(size: int, what: str) -> None:
    if size > _LARGE:
        advice = "give a shorter text; of a long one the beginning is often enough"
        memory.check(memory.of_text(size), f"{what}, a text of {size:,} bytes,", advice)


def check_encoding(encoding: str) -> str:
    """Return the name of an encoding as given.

    Raises:
        InputError: If Python knows no encoding of texts by that name.
    """
    try:
        b" ".decode(encoding)
    except UnicodeError:
        pass  # it is one, of which a single space is no text
    except (LookupError, ValueError, TypeError):  # ValueError: a null byte in the name
        raise InputError(
            f"unknown encoding {encoding!r}: use a name that Python knows, such as utf-8, utf-16, utf-16-le, cp1252, "
            "latin-1, koi8-r, gb18030 or shift_jis"
        ) from None
    return encoding


# The longer marks first: that of UTF-32 begins as that of UTF-16 does
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# By the first bytes of a file, whatever its name: what it is, and how to come to its text
_NO_TEXTS = {
    b"\x1f\x8b": ("compressed with gzip", "unpack it, for example with 'gunzip', and give the text"),
    **dict.fromkeys(
        [b"BZh%d1AY&SY" % level for level in range(1, 10)],
        ("compressed with bzip2", "unpack it, for example with 'bunzip2', and give the text"),
    ),
    b"\xfd7zXZ\0": ("compressed with xz", "unpack it, for example with 'unxz', and give the text"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "unpack it, for example with 'unzstd', and give the text"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it and give the text"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it and give the text"),
    b"%PDF-": ("a PDF document", "take the text out of it, for example with 'pdftotext', and give that"),
    b"%!PS": ("a PostScript document", "take the text out of it, for example with 'ps2ascii', and give that"),
    b"{\\rtf": ("an RTF document", "open it in a word processor, save it as plain text in UTF-8, and give that"),
    b"\xd0\xcf\x11\xe0": (
        "a document of an office program",
        "open it there, save it as plain text in UTF-8, and give that",
    ),
    b"PK\x03\x04": (
        "a zip archive",
        "give its name the ending .zip if it holds one .txt file, or unpack it and give the text",
    ),
}
# Of zip archives the names of files within, which archives store as they are, tell what they are
_DOCUMENTS = {
    b"word/": "a Word document (.docx)",
    b"xl/": "an Excel workbook (.xlsx)",
    b"ppt/": "a PowerPoint presentation (.pptx)",
    b"mimetypeapplication/epub+zip": "an e-book (.epub)",
    b"mimetypeapplication/vnd.oasis.opendocument": "an OpenDocument file (such as .odt)",
}
# Control characters but those that part words and lines
_CONTROL = re.compile("[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_CTRL_Z = "\x1a"  # what old systems end a text file with
_ZEROS: dict[tuple[bool, ...], str] = {  # where in four bytes zeros are frequent
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
}


def _refuse_no_text(raw: bytes, what: str) -> None:
    """Raise an InputError for a file of a known kind that is no text."""
    for magic, (kind, advice) in _NO_TEXTS.items():
        if not raw.startswith(magic):
            continue
        if magic.startswith(b"PK"):
            for mark, document in _DOCUMENTS.items():
                if mark in raw:
                    kind = document
                    advice = "open it in its program, save it as plain text in UTF-8, and give that"
                    break
        raise InputError(f"{what} is no text but {kind}: {advice}")


def _guess(raw: bytes) -> str | None:
    """Return the encoding that has zeros where these bytes have them, or None."""
    places = [raw[place:4096:4] for place in range(4)]
    return _ZEROS.get(tuple(part.count(0) > 0.05 * len(part) for part in places))


def _decode(raw: bytes, what: str, encoding: str | None = None) -> str:
    """Return a text from its bytes; ``what`` it is goes into the errors."""
    if encoding is not None:
        check_encoding(encoding)
    _refuse_no_text(raw, what)
    marked = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)
    name = encoding or marked or "utf-8"
    content = _decoded(raw, what, name, asked=encoding is not None, marked=marked)
    if encoding is not None and marked is not None and content != _decoded(raw, what, marked, marked=marked):
        raise InputError(
            f"{what} begins with the byte order mark of {marked}, and its encoding is to be {encoding!r}: leave "
            f"encoding{also('encoding')} out"
        )
    body = content.rstrip().removesuffix(_CTRL_Z)
    if found := _CONTROL.search(body):
        looks = guess = _guess(raw) if marked is None else None
        if guess is not None:
            looks = f"{guess} without a byte order mark"
        elif found[0] >= "\x80" and codecs.lookup(name).name.startswith("iso8859"):
            looks = guess = "cp1252"  # which has letters and quotation marks where ISO 8859 has control characters
        if guess is None or guess == name:
            advice = f"take such characters out; if it is in another encoding, name that{also('encoding')}"
        else:
            advice = (
                f"it looks like {looks}; name that, as in encoding={guess!r}{also('encoding', value=guess)}, or take "
                "such characters out"
            )
        raise InputError(
            f"{what}, read as {name}, has the control character U+{ord(found[0]):04X} (at position {found.start()}), "
            f"which no text has: {advice}"
        )
    if not body.strip():
        raise InputError(f"{what} is empty: give a file with text in it")
    return content


def _decoded(raw: bytes, what: str, name: str, *, asked: bool = False, marked: str | None = None) -> str:
    try:
        content = raw.decode(name).removeprefix("\ufeff")
        content.encode()  # a codec such as unicode_escape makes halves of surrogate pairs, which are no characters
    except ValueError as error:
        start = getattr(error, "start", 0)
        title = {"utf-8": "UTF-8"}.get(name, name)
        byte = f"byte 0x{raw[start]:02x} at position {start}" if start < len(raw) else str(error)
        reason = f"{what} is not {title} ({byte})"
        if asked:
            advice = f"name the encoding that it has{also('encoding')}, or save it as UTF-8"
        elif marked is not None and marked != "utf-8":
            reason += ", as its byte order mark says it is"
            advice = "bring back the file that it was, or save it as UTF-8"
        else:
            guess = _guess(raw)
            other = guess or "cp1252"
            advice = (
                "save it as UTF-8, for example with 'iconv -f ENCODING -t UTF-8', or name its encoding, "
                f"{'which looks like' if guess else 'for example'} encoding={other!r}{also('encoding', value=other)}"
            )
        raise InputError(f"{reason}: {advice}") from None
    return content


def read_zip(path: str | Path, encoding: str | None = None) -> str:
    """Read the one text, a file called .txt, that a zip archive holds; a byte order mark is dropped.

    Args:
        path: The archive.
        encoding: The text's encoding; see :func:`read_file`.

    Raises:
        InputFileError: If there is no such file, or it cannot be read.
        InputError: If it is not a zip archive or is damaged, holds no text or several, or the text is empty or
            not in its encoding, or the encoding is unknown.
    """
    path = Path(path)
    try:
        path = path.expanduser()
        with opened(path) as file, opened_zip(file, os.fstat(file.fileno()).st_size) as archive:
            # macOS packs its own notes on each file beside it, under the same extension
            names = [n for n in archive.namelist() if n.lower().endswith(".txt") and not n.startswith("__MACOSX/")]
            if len(names) != 1:
                listed = ", ".join(name[:80] for name in names[:8]) + (", ..." if len(names) > 8 else "")
                found = f"{len(names)} ({listed})" if names else "none"
                raise InputError(
                    f"{str(path)!r} must hold one text, a file called .txt, but it holds {found}: "
                    "unpack it and give the text file itself"
                )
            member = archive.getinfo(names[0])
            check_packing(member)  # the advice for it is another one
            most = max(_LARGE, _RATIO * member.compress_size)
            if member.file_size > most:
                raise InputError(
                    f"{names[0]!r} in {str(path)!r} would have {member.file_size:,} bytes, unpacked from "
                    f"{member.compress_size:,}, and no text is packed so well: unpack it yourself and give the text"
                )
            _check_memory(member.file_size, repr(str(path)))
            raw = unpack(archive, member, most)
    # NotImplementedError is an unknown compression and a RuntimeError; so are a password, and a ~name of nobody
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        if isinstance(error, zipfile.BadZipFile):
            with opened(path) as file:
                begins = file.read(4096)
            if not begins.startswith(b"PK"):
                _refuse_no_text(begins, repr(str(path)))
        raise InputError(
            f"cannot unpack {str(path)!r}: {error}; give a zip archive that is whole and has no password, "
            "or the text file itself"
        ) from None
    except OSError as error:
        raise InputFileError(
            f"cannot read {str(path)!r}: {error.strerror or error}; give a zip archive with a text in it, "
            "or the text file itself"
        ) from None
    return _decode(raw, f"{names[0]!r} in {str(path)!r}", encoding)
