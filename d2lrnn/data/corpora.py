"""Where a text comes from: bundled with the package, a file of the user's, or the book's download."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from d2lrnn.data.downloads import DownloadError, download_once, file_name, own_file
from d2lrnn.data.text import CLEANINGS, TOKENS, Preparation, Vocab, clean_lines
from d2lrnn.data.text_files import read_file, read_zip
from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.system.wording import also

BOOK_MAX_TOKENS = 10000  # of a text that is known by name: the book's number for the book's text


@dataclass(frozen=True)
class Corpus:
    """A text that is known by name.

    Attributes:
        description: One line for people.
        prefixes: What to let a trained model continue.
        bundled: The file's name inside the package, or None for a text that does not ship.
        title: What warnings call a text that does not ship.
        download: Its key in :data:`~d2lrnn.data.downloads.DATA_HUB`.
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


def _read_download(name: str) -> str:
    """Return the text of an entry of :data:`~d2lrnn.data.downloads.DATA_HUB`, which may be zipped.

    The folder that D2LRNN_DATA names may hold what the archive holds, unpacked. That is taken as it is: the
    hash that is known is the archive's.
    """
    packed, own = file_name(name).endswith(".zip"), own_file(name)
    if packed and own is not None and not own.is_file() and (unpacked := own.with_suffix("")).is_file():
        return read_file(unpacked)
    path = download_once(name)
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
            zipped = name.lower().endswith(".zip")
            content = read_zip(source, encoding) if zipped else read_file(source, encoding, CORPORA)
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
