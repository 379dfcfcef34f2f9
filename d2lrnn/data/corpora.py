"""Where a text comes from: bundled with the package, a file of the user's, or the book's download."""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from d2lrnn.data.text import CLEANINGS, Vocab, clean_lines, clean_text, tokenize
from d2lrnn.errors import D2LRNNError, D2LRNNWarning, InputError, InputFileError

DATA_URL = "http://d2l-data.s3-accelerate.amazonaws.com/"
# The book's registry of downloads: name -> (address, SHA-1). Its cells add entries of their own.
DATA_HUB: dict[str, tuple[str, str]] = {
    "time_machine": (DATA_URL + "timemachine.txt", "090b5e7e70c295757f55df93cb0a180b9691891a"),
    "jaychou_lyrics": (DATA_URL + "jaychou_lyrics.txt.zip", "aea46bd5d5fb2f05d6cd38d8e6b461d679fa4f00"),
    "fra-eng": (DATA_URL + "fra-eng.zip", "94646ad1522d915e7b0f9296181140edcf86a4f5"),
}
DATA_ENV = "D2LRNN_DATA"
DOWNLOAD_TIMEOUT = 20.0  # seconds without an answer


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


def read_file(path: str | Path) -> str:
    """Read a UTF-8 text file; a byte order mark is dropped.

    Raises:
        InputFileError: If there is no such file, or it cannot be read.
        InputError: If it is empty or not UTF-8.
    """
    path = Path(path)
    try:
        path = path.expanduser()
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputFileError(f"{str(path)!r} is no file but a device or a pipe: give a readable text file")
        raw = path.read_bytes()
    except InputFileError:
        raise
    except (FileNotFoundError, RuntimeError):  # a RuntimeError where ~name names nobody
        names = ", ".join(CORPORA)
        raise InputFileError(
            f"no corpus or file called {str(path)!r}: give the path of a UTF-8 text file, or one of {names}"
        ) from None
    except OSError as error:
        raise InputFileError(
            f"cannot read {str(path)!r}: {error.strerror or error}; give a readable text file"
        ) from None
    return _decode(raw, repr(str(path)))


def _decode(raw: bytes, what: str) -> str:
    """Return a text from its bytes; ``what`` it is goes into the errors."""
    try:
        content = raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{what} is not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start}): "
            "save it as UTF-8, for example with 'iconv -f ENCODING -t UTF-8'"
        ) from None
    if not content.strip():
        raise InputError(f"{what} is empty: give a file with text in it")
    return content


def read_zip(path: str | Path) -> str:
    """Read the one UTF-8 text, a file called .txt, that a zip archive holds; a byte order mark is dropped.

    Raises:
        InputFileError: If there is no such file, or it cannot be read.
        InputError: If it is not a zip archive or is damaged, holds no text or several, or the text is empty or
            not UTF-8.
    """
    path = Path(path)
    try:
        path = path.expanduser()
        with zipfile.ZipFile(path) as archive:
            # macOS packs its own notes on each file beside it, under the same extension
            names = [n for n in archive.namelist() if n.lower().endswith(".txt") and not n.startswith("__MACOSX/")]
            if len(names) != 1:
                found = f"{len(names)} ({', '.join(names)})" if names else "none"
                raise InputError(
                    f"{str(path)!r} must hold one text, a file called .txt, but it holds {found}: "
                    "unpack it and give the text file itself"
                )
            raw = archive.read(names[0])
    # NotImplementedError is an unknown compression and a RuntimeError; so are a password, and a ~name of nobody
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(
            f"cannot unpack {str(path)!r}: {error}; give a zip archive that is whole and has no password, "
            "or the text file itself"
        ) from None
    except OSError as error:
        raise InputFileError(
            f"cannot read {str(path)!r}: {error.strerror or error}; give a zip archive with a text in it, "
            "or the text file itself"
        ) from None
    return _decode(raw, f"{names[0]!r} in {str(path)!r}")


def download(name: str, cache_dir: str | Path | None = None) -> str:
    """Return the path of a file of :data:`DATA_HUB`, which is downloaded unless it is already there.

    The folder that the environment variable D2LRNN_DATA names is looked in first. What arrives goes to a
    temporary file, is verified by its SHA-1, and only then takes its place.

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
    if folder := os.environ.get(DATA_ENV):
        own = Path(folder).expanduser() / file_name
        if not own.is_file():
            missing = f" (there is none in {folder!r}, which it names)"
        else:
            if hashlib.sha1(own.read_bytes()).hexdigest() != sha1:
                raise DownloadError(f"{str(own)!r} is not the expected file (SHA-1 {sha1}): replace or remove it")
            return str(own)
    try:
        return str(
            pooch.retrieve(
                url,
                known_hash=f"sha1:{sha1}",
                fname=file_name,
                path=cache_dir or pooch.os_cache("d2lrnn"),
                downloader=pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT),
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
    file_name = DATA_HUB[key][0].rsplit("/", 1)[-1]
    if file_name.endswith(".zip") and (folder := os.environ.get(DATA_ENV)):
        packed = Path(folder).expanduser() / file_name
        unpacked = packed.with_suffix("")
        if unpacked.is_file() and not packed.is_file():
            return read_file(unpacked)
    path = download(key)
    return read_zip(path) if file_name.endswith(".zip") else read_file(path)


def read_text(source: str | Path) -> Text:
    """Read a corpus by name, or a text file, which may be the one in a zip archive.

    Where a corpus that does not ship can neither be found nor downloaded, a bundled text stands in, with a warning.

    Raises:
        InputError: If there is no such corpus or file, or it is empty or not UTF-8, or a zip archive is damaged or
            holds no text.
    """
    name = str(source)
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
            content = (read_zip if name.lower().endswith(".zip") else read_file)(source)
    return Text(name, content, hashlib.sha256(content.encode("utf-8")).hexdigest())


def read_time_machine() -> list[str]:
    """Return the lines of The Time Machine, cleaned as in the book (section 8.2.1)."""
    return clean_lines(read_text("time-machine").content.splitlines())


def load_corpus(
    source: str | Path | Text,
    max_tokens: int = -1,
    *,
    token: str = "char",
    clean: str | None = None,
    keep_punctuation: bool = False,
    keep_case: bool = False,
) -> tuple[npt.NDArray[np.int32], Vocab]:
    """Read a text, clean and tokenize it, and return its token indices and its vocabulary.

    Args:
        source: A corpus by name, the path of a UTF-8 text file, or a text already read.
        max_tokens: Tokens to return from the beginning of the text; -1 for all. The vocabulary is of all.
        token: ``'char'`` or ``'word'``.
        clean: ``'letters'`` keeps the letters of every script and single spaces. ``'book'`` keeps ASCII letters,
            line by line, and joins the lines without a space, as the book does ("by h g wells" and "i" become
            "by h g wellsi"). ``'none'`` keeps everything, line breaks too. By default ``'book'`` for The Time
            Machine and ``'letters'`` for any other text.
        keep_punctuation: Keep punctuation, digits and symbols.
        keep_case: Keep capital letters.

    Returns:
        An array of indices, shape (number of tokens,), and the :class:`~d2lrnn.data.text.Vocab`.

    Raises:
        InputError: If there is no such corpus or file, nothing is left of it, or an option is unknown.
    """
    if clean is not None and clean not in CLEANINGS:
        raise InputError(f"unknown cleaning {clean!r}: use one of {', '.join(CLEANINGS)}")
    if token not in ("char", "word"):
        raise InputError(f"unknown token type {token!r}: use 'word' or 'char'")
    text = source if isinstance(source, Text) else read_text(source)
    if clean is None:
        clean = "book" if text.name == "time-machine" else "letters"
    if clean == "book":
        lines = clean_lines(text.content.splitlines(), keep_punctuation=keep_punctuation, keep_case=keep_case)
    elif clean == "letters":
        lines = [clean_text(text.content, keep_punctuation=keep_punctuation, keep_case=keep_case)]
    else:
        lines = [text.content]
    # Characters of joined lines, or the words of each line: one flat sequence either way.
    tokens: Any = "".join(lines) if token == "char" else [word for line in tokenize(lines) for word in line]
    if not len(tokens):
        raise InputError(f"nothing is left of {text.name!r} after cleaning: try clean='none', or another text")
    vocab = Vocab(tokens)
    return vocab.encode(tokens)[: max_tokens if max_tokens > 0 else None], vocab


def load_corpus_time_machine(max_tokens: int = -1) -> tuple[npt.NDArray[np.int32], Vocab]:
    """Return the character indices and the vocabulary of The Time Machine (book section 8.2.4).

    Args:
        max_tokens: Tokens to return from the beginning of the text; -1 for all.
    """
    return load_corpus("time-machine", max_tokens)
