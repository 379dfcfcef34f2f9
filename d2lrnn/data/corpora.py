"""Where a text comes from: bundled with the package, a file of the user's, or the book's download."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
import queue
import re
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from d2lrnn.data.text import CLEANINGS, TOKENS, Preparation, Vocab, clean_lines
from d2lrnn.errors import D2LRNNError, D2LRNNWarning, InputError, InputFileError
from d2lrnn.system import memory
from d2lrnn.system.bounded import NotRegular, check_packing, digest, opened, opened_zip, unpack
from d2lrnn.system.wording import also

DATA_URL = "http://d2l-data.s3-accelerate.amazonaws.com/"
# The book's registry of downloads: name -> (address, SHA-1). Its cells add entries of their own.
DATA_HUB: dict[str, tuple[str, str]] = {
    "time_machine": (DATA_URL + "timemachine.txt", "090b5e7e70c295757f55df93cb0a180b9691891a"),
    "jaychou_lyrics": (DATA_URL + "jaychou_lyrics.txt.zip", "aea46bd5d5fb2f05d6cd38d8e6b461d679fa4f00"),
    "fra-eng": (DATA_URL + "fra-eng.zip", "94646ad1522d915e7b0f9296181140edcf86a4f5"),
}
DATA_ENV = "D2LRNN_DATA"
BOOK_MAX_TOKENS = 10000  # of a text that is known by name: the book's number for the book's text
DOWNLOAD_TIMEOUT = 20.0  # seconds without an answer
DOWNLOAD_SLOWEST = 1000.0  # bytes in a second, on average, once that time is over
# How many bytes a download may have, and how many seconds it may take in all. The Time Machine has 178,979 bytes, and
# the other two, packed, some megabytes at most; what a reader's cell adds to DATA_HUB may be pictures.
DOWNLOAD_MOST = 2**26, 600.0
DOWNLOAD_MOST_OTHERS = 2**32, 3600.0
_KNOWN = frozenset(DATA_HUB)
_PIECE = 2**14  # bytes that are taken off a connection at once
_LARGE = 2**24  # bytes of a text; a shorter one is read whatever it is
# How many times smaller a packed text may be, at most: those of people are 3 to 5 times
_RATIO = 20
# Addresses from which read_text could not get a text, and why: within remembering_failures it does not wait for them
# once more. (download itself, which somebody calls on purpose, always tries.)
_failed: dict[str, str] | None = None


@contextlib.contextmanager
def remembering_failures(known: Mapping[str, str] | None = None) -> Iterator[None]:
    """Try a download that fails once only, for the length of a command; whoever calls from Python has it tried anew.

    Args:
        known: What has failed before in the command that this process works for (:func:`failures`).
    """
    global _failed
    before, _failed = _failed, dict(known or {})
    try:
        yield
    finally:
        _failed = before


def failures() -> dict[str, str]:
    """Return the addresses that failed so far in this command, and why."""
    return dict(_failed or {})


class DownloadError(D2LRNNError, OSError):
    """A file that could not be downloaded, or whose content is not the expected one."""

    __str__ = Exception.__str__


@dataclass(frozen=True)
class Corpus:
    """A text that is known by name.

    Attributes:
        description: One line for people.
        prefixes: What to let a trained model continue.
        bundled: The file's name inside the package, or None for a text that does not ship.
        title: What warnings call a text that does not ship.
        download: Its key in :data:`DATA_HUB`.
        stand_in: The bundled corpus that is used where it cannot be had.
    """

    description: str
    prefixes: tuple[str, ...]
    bundled: str | None = None
    title: str = ""
    download: str = ""
    stand_in: str = ""


CORPORA = {
    "time-machine": Corpus(
        "H. G. Wells, The Time Machine: the book's text",
        ("time traveller", "traveller"),
        title="The Time Machine",
        download="time_machine",
        stand_in="story",
    ),
    "story": Corpus("an English story written for this package", ("time traveller", "traveller"), "story.txt"),
    "verses": Corpus("Chinese verses written for this package", ("分开", "不分开"), "verses.txt"),
    "lyrics": Corpus(
        "song lyrics: the text of the book's first Chinese edition, under copyright",
        ("分开", "不分开"),
        title="The first Chinese edition's song text",
        download="jaychou_lyrics",
        stand_in="verses",
    ),
}


@dataclass(frozen=True)
class Text:
    """A text and where it came from.

    Attributes:
        name: The corpus that was used, or the path of a file.
        content: The text itself, before cleaning.
        sha256: Hash of its UTF-8 form.
    """

    name: str
    content: str
    sha256: str


def read_file(path: str | Path, encoding: str | None = None) -> str:
    """Read a text file; a byte order mark is dropped.

    Args:
        path: The file.
        encoding: Its encoding, by a name that Python knows; by default what its byte order mark says, or UTF-8.

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
        names = ", ".join(CORPORA)
        raise InputFileError(
            f"no corpus or file called {str(path)!r}: give the path of a UTF-8 text file, or one of {names}"
        ) from None
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


def _own(file_name: str) -> Path | None:
    """Return where a file would be in the folder that D2LRNN_DATA names, or None if it names none."""
    folder = os.environ.get(DATA_ENV)
    return Path(folder).expanduser() / file_name if folder else None


def _fetch(url: str, path: str, most: int, seconds: float) -> None:
    """Download a file, if it is not too long and does not take too long, whatever the server does.

    Args:
        url: Its address.
        path: Where to write it.
        most: How many bytes it may have.
        seconds: How long it may take in all.

    Raises:
        requests.RequestException: If the server cannot be reached, or answers with an error.
        OSError: If it is too long or takes too long, or cannot be written.
    """
    import requests

    pieces: queue.Queue[bytes | Exception | None] = queue.Queue(16)
    left = threading.Event()

    def hand_over(piece: bytes | Exception | None) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                pieces.put(piece, timeout=1)
                return

    def receive() -> None:
        try:
            with requests.get(url, timeout=DOWNLOAD_TIMEOUT, stream=True) as response:
                response.raise_for_status()
                for piece in response.iter_content(_PIECE):
                    hand_over(piece)
                    if left.is_set():
                        return
            hand_over(None)
        except Exception as error:
            hand_over(error)

    # The time that a connection waits for begins anew with every byte; so somebody else looks at the clock
    threading.Thread(target=receive, daemon=True).start()
    begin, received = time.monotonic(), 0
    try:
        with Path(path).open("wb") as file:
            while True:
                patience = min(seconds, DOWNLOAD_TIMEOUT + (received + _PIECE) / DOWNLOAD_SLOWEST)
                try:
                    piece = pieces.get(timeout=max(0.0, begin + patience - time.monotonic()))
                except queue.Empty:
                    if patience == seconds:
                        raise OSError(f"it takes more than {seconds:g} seconds") from None
                    raise OSError(f"it comes with less than {DOWNLOAD_SLOWEST:g} bytes in a second") from None
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise piece
                received += len(piece)
                if received > most:
                    raise OSError(f"it has more than {most:,} bytes")
                if time.monotonic() > begin + seconds:
                    raise OSError(f"it takes more than {seconds:g} seconds")
                file.write(piece)
    finally:
        left.set()


def download(name: str, cache_dir: str | Path | None = None) -> str:
    """Return the path of a file of :data:`DATA_HUB`, which is downloaded unless it is already there.

    The folder that the environment variable D2LRNN_DATA names is looked in first. What arrives goes to a
    temporary file, is verified by its SHA-1, and only then takes its place. What comes too slowly, or does not end
    (:data:`DOWNLOAD_MOST`), is given up.

    Args:
        name: A key of :data:`DATA_HUB`.
        cache_dir: Where to keep it; by default the user's cache folder.

    Raises:
        InputError: If the name is unknown.
        DownloadError: If the server cannot be reached or answers with an error, or the content is not the expected one.
    """
    import pooch  # here, because it brings an HTTP client along that most runs never need
    import requests

    if name not in DATA_HUB:
        raise InputError(f"unknown download {name!r}: known are {', '.join(DATA_HUB)}; add others to DATA_HUB")
    url, sha1 = DATA_HUB[name]
    file_name = url.rsplit("/", 1)[-1]
    missing = ""
    if (own := _own(file_name)) is not None:
        if not own.is_file():
            missing = f" (there is none in {os.environ[DATA_ENV]!r}, which it names)"
        else:
            if digest(own, "sha1") != sha1:
                raise DownloadError(f"{str(own)!r} is not the expected file (SHA-1 {sha1}): replace or remove it")
            return str(own)
    try:
        return str(
            pooch.retrieve(
                url,
                known_hash=f"sha1:{sha1}",
                fname=file_name,
                path=cache_dir or pooch.os_cache("d2lrnn"),
                downloader=lambda url, file, _: _fetch(
                    url, file, *(DOWNLOAD_MOST if name in _KNOWN else DOWNLOAD_MOST_OTHERS)
                ),
            )
        )
    except (requests.RequestException, ValueError, OSError) as error:
        # requests wraps what happened in a page of nested exceptions
        if isinstance(error, requests.Timeout):
            reason = f"no answer within {DOWNLOAD_TIMEOUT:g} seconds"
        elif isinstance(error, requests.ConnectionError):
            reason = "the server cannot be reached"
        else:
            reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DownloadError(
            f"cannot download {url}: {reason}; put {file_name} into a folder and name that folder in "
            f"{DATA_ENV}{missing}"
        ) from error


def _read_download(key: str) -> str:
    """Return the text of an entry of :data:`DATA_HUB`, which may be zipped.

    The folder that D2LRNN_DATA names may hold what the archive holds, unpacked. That is taken as it is: the
    hash that is known is the archive's.
    """
    url = DATA_HUB[key][0]
    file_name = url.rsplit("/", 1)[-1]
    packed, own = file_name.endswith(".zip"), _own(file_name)
    there = own is not None and own.is_file()
    if packed and own is not None and not there and (unpacked := own.with_suffix("")).is_file():
        return read_file(unpacked)
    if not there and _failed is not None and url in _failed:
        raise DownloadError(_failed[url])
    try:
        path = download(key)
    except DownloadError as error:
        if not there and _failed is not None:
            _failed[url] = str(error)
        raise
    return read_zip(path) if packed else read_file(path)


def read_text(source: str | Path, encoding: str | None = None) -> Text:
    """Read a corpus by name, or a text file, which may be the one in a zip archive.

    Where a corpus that does not ship can neither be found nor downloaded, a bundled text stands in, with a warning.

    Args:
        source: The corpus, or the path of the file.
        encoding: The file's encoding, by a name that Python knows; by default what its byte order mark says, or
            UTF-8.

    Raises:
        InputError: If there is no such corpus or file, or it is empty, no text, or not in its encoding, or a zip
            archive is damaged or holds no text, or the encoding is unknown.
    """
    name = str(source)
    if encoding is not None and name in CORPORA:
        raise InputError(f"encoding{also('encoding')} is of a file of yours, and {name!r} is a corpus: leave it out")
    content = None
    if name in CORPORA and (corpus := CORPORA[name]).download:
        try:
            content = _read_download(corpus.download)
        except DownloadError as error:
            name = corpus.stand_in
            stands = "stand" if name.endswith("s") else "stands"
            warnings.warn(
                f"{corpus.title} is not here, the bundled {name} {stands} in: {error}", D2LRNNWarning, stacklevel=2
            )
    if content is None:
        if name in CORPORA and (bundled := CORPORA[name].bundled):
            content = (resources.files("d2lrnn.data") / "bundled" / bundled).read_text(encoding="utf-8")
        else:
            content = (read_zip if name.lower().endswith(".zip") else read_file)(source, encoding)
    return Text(name, content, hashlib.sha256(content.encode("utf-8")).hexdigest())


def read_time_machine() -> list[str]:
    """Return the lines of The Time Machine, cleaned as in the book (section 8.2.1)."""
    return clean_lines(read_text("time-machine").content.splitlines())


def default_max_tokens(name: str) -> int:
    """Return how many tokens of a text are used where nobody says: the book's 10,000 of a corpus, all of a file (-1).

    Args:
        name: The text's name, as :class:`Text` has it.
    """
    return BOOK_MAX_TOKENS if name in CORPORA else -1


def default_clean(name: str) -> str:
    """Return how a text is cleaned where nobody says: The Time Machine as in the book, any other by its letters.

    Args:
        name: The text's name, as :class:`Text` has it.
    """
    return "book" if name == "time-machine" else "letters"


def load_corpus(
    source: str | Path | Text,
    max_tokens: int = -1,
    *,
    token: str = "char",
    clean: str | None = None,
    keep_punctuation: bool = False,
    keep_case: bool = False,
    encoding: str | None = None,
) -> tuple[npt.NDArray[np.int32], Vocab]:
    """Read a text, clean and tokenize it, and return its token indices and its vocabulary.

    Args:
        source: A corpus by name, the path of a text file, or a text already read.
        max_tokens: Tokens to return from the beginning of the text; -1 for all. The vocabulary is of all.
        token: ``'char'`` or ``'word'``.
        clean: ``'letters'`` keeps the letters of every script and single spaces. ``'book'`` keeps ASCII letters,
            line by line, and joins the lines without a space, as the book does ("by h g wells" and "i" become
            "by h g wellsi"). ``'none'`` keeps everything, line breaks too. By default ``'book'`` for The Time
            Machine and ``'letters'`` for any other text.
        keep_punctuation: Keep punctuation, digits and symbols.
        keep_case: Keep capital letters.
        encoding: Of a file, by a name that Python knows; by default what its byte order mark says, or UTF-8.

    Returns:
        An array of indices, shape (number of tokens,), and the :class:`~d2lrnn.data.text.Vocab`, which knows how the
        text was prepared, so that prefixes are read in the same way.

    Raises:
        InputError: If there is no such corpus or file, it is no text, nothing is left of it, or an option is unknown.
    """
    if clean is not None and clean not in CLEANINGS:
        raise InputError(f"unknown cleaning {clean!r}: use one of {', '.join(CLEANINGS)}")
    if token not in TOKENS:
        raise InputError(f"unknown token type {token!r}: use 'word' or 'char'")
    if isinstance(source, Text) and encoding is not None:
        raise InputError(f"encoding is of a file, and {source.name!r} has been read already: leave it out")
    text = source if isinstance(source, Text) else read_text(source, encoding)
    preparation = Preparation(token, clean or default_clean(text.name), keep_punctuation, keep_case)
    tokens = preparation.tokens_of(text.content)
    if not len(tokens):
        raise InputError(
            f"nothing is left of {text.name!r} after cleaning: try clean='none'{also('clean', value='none')}, or "
            "another text"
        )
    vocab = Vocab(tokens)
    vocab.preparation = preparation
    return vocab.encode(tokens)[: max_tokens if max_tokens > 0 else None], vocab


def load_corpus_time_machine(max_tokens: int = -1) -> tuple[npt.NDArray[np.int32], Vocab]:
    """Return the character indices and the vocabulary of The Time Machine (book section 8.2.4).

    Args:
        max_tokens: Tokens to return from the beginning of the text; -1 for all.
    """
    return load_corpus("time-machine", max_tokens)
