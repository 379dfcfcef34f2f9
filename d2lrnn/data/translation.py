"""Sentence pairs for machine translation (book section 9.5), and the score of a translation (section 9.7)."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from d2lrnn.data.downloads import DATA_ENV, DATA_HUB, DownloadError, download_once
from d2lrnn.data.text import UNKNOWN, Vocab
from d2lrnn.data.text_files import read_file
from d2lrnn.errors import D2LRNNWarning, InputError, InputFileError
from d2lrnn.system.arguments import require_positive

PAIRS, PAIRS_FILE = "fra-eng", "fra.txt"  # the key in DATA_HUB, and the file in the folder that it unpacks to
PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
RESERVED = (PAD, BOS, EOS)

Indices = npt.NDArray[np.int32]
T = TypeVar("T")


def _unpack(path: str, root: str, into: Path) -> None:
    """Unpack a zip archive whose files all lie in its folder ``root``."""
    try:
        with zipfile.ZipFile(path) as archive:
            # macOS packs its own notes beside the files
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
            for name in names:
                first, *rest = name.split("/")
                if first != root or not rest or ".." in rest or "\\" in name:
                    raise InputError(
                        f"{path!r} holds {name!r}, which is not in its folder {root!r}: look into it and unpack it "
                        "yourself if you trust it; nothing was unpacked"
                    )
            if not names:
                raise InputError(f"{path!r} holds no files: replace it")
            archive.extractall(into, names)
    # As in read_zip: unknown compressions and passwords are RuntimeErrors
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(
            f"cannot unpack {path!r}: {error}; give a zip archive that is whole, without a password"
        ) from None


def _keep(sha1: str, root: str, fill: Callable[[Path], None]) -> str:
    """Return the folder ``root`` of some content in the cache, which ``fill`` writes unless it is already there.

    It is written under another name and takes its place when it is whole. The place has the content's hash in it, so
    a folder of other content that has the same name is never taken for it.
    """
    import pooch  # here, because it brings an HTTP client along that most runs never need

    folder = Path(pooch.os_cache("d2lrnn")) / sha1[:12] / root
    if folder.is_dir():
        return str(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            fill(Path(temporary))
            try:
                (Path(temporary) / root).rename(folder)
            except OSError:
                if not folder.is_dir():  # another process may have been first, with the same content
                    raise
    except OSError as error:
        raise InputFileError(
            f"cannot write {str(folder)!r}: {error.strerror or error}; make room there, or put the unpacked folder "
            f"{root!r} into a folder of yours and name that one in {DATA_ENV}"
        ) from None
    return str(folder)


def _stand_in(temporary: Path) -> None:
    """Write the sentence pairs that ship as the book's file of them."""
    (temporary / PAIRS).mkdir()
    (temporary / PAIRS / PAIRS_FILE).write_bytes(_bundled())


def _bundled() -> bytes:
    return (resources.files("d2lrnn.data") / "bundled" / "pairs.txt").read_bytes()


def download_extract(name: str, folder: str | None = None) -> str:
    """Return the path of the folder that a zipped download of :data:`DATA_HUB` unpacks to (book section 4.10).

    The folder that D2LRNN_DATA names may have it unpacked, which is taken as it is, or the archive. Otherwise it is
    downloaded and verified as by :func:`~d2lrnn.data.downloads.download`, and unpacked in the user's cache folder,
    once. Where the book's sentence pairs, ``'fra-eng'``, cannot be had, some short ones that ship with the package
    stand in, with a warning.

    Args:
        name: A key of :data:`DATA_HUB`.
        folder: The folder in the archive; by default it is called as the archive, without ``.zip``.

    Raises:
        InputError: If the name is unknown, it is no zip archive, or ``folder`` is no plain name; if the archive is
            damaged or has files outside that folder.
        InputFileError: If the cache cannot be written.
        DownloadError: If it cannot be downloaded, or its content is not the expected one.
    """
    if name not in DATA_HUB:
        raise InputError(f"unknown download {name!r}: known are {', '.join(DATA_HUB)}; add others to DATA_HUB")
    url, sha1 = DATA_HUB[name]
    archive = url.rsplit("/", 1)[-1]
    if not archive.endswith(".zip"):
        raise InputError(f"{archive!r} is not a zip archive: get it with download({name!r})")
    root = archive.removesuffix(".zip") if folder is None else folder
    if root != Path(root).name or root in ("", ".."):
        raise InputError(f"folder must be the name of a folder in the archive, without a path, not {root!r}")
    if own := os.environ.get(DATA_ENV):
        own_folder = Path(own).expanduser()
        if (own_folder / root).is_dir() and not (own_folder / archive).is_file():
            return str(own_folder / root)
    try:
        path = download_once(name)
    except DownloadError as error:
        if name != PAIRS:
            raise
        warnings.warn(
            f"The book's English-French sentence pairs are not here, {len(_bundled().splitlines())} short ones that "
            f"ship with the package stand in: {error}",
            D2LRNNWarning,
            stacklevel=2,
        )
        return _keep(hashlib.sha1(_bundled()).hexdigest(), PAIRS, _stand_in)
    return _keep(sha1, root, lambda temporary: _unpack(path, root, temporary))


def read_data_nmt() -> str:
    """Return the English-French sentence pairs, a pair in a line, with a tab in it (book section 9.5.1).

    Raises:
        InputError: As :func:`download_extract`, or if the file is empty or not UTF-8.
        InputFileError: If the folder has no ``fra.txt``.
    """
    path = Path(download_extract(PAIRS)) / PAIRS_FILE
    if not path.is_file():
        raise InputFileError(f"there is no {PAIRS_FILE} in {str(path.parent)!r}: put it there, or remove the folder")
    return read_file(path).replace("\r\n", "\n")


def preprocess_nmt(text: str) -> str:
    """Write in lower case, with a space before punctuation: ``"Va!"`` becomes ``"va !"`` (book section 9.5.1)."""
    text = text.replace("\u202f", " ").replace("\xa0", " ").lower()  # the spaces that French sets before ! and ?
    return re.sub(r"(?<=[^ ])(?=[,.!?])", " ", text)


def tokenize_nmt(text: str, num_examples: int | None = None) -> tuple[list[list[str]], list[list[str]]]:
    """Split sentence pairs into words (book section 9.5.2).

    Args:
        text: A pair in each line, with a tab in it; a further tab and what follows, and lines without a tab, are
            left out.
        num_examples: Pairs to return from the beginning of the text, None for all. (The book returns one more.)

    Returns:
        The source sentences and the target sentences, each a list of words.

    Raises:
        InputError: If there are no pairs, or ``num_examples`` is not positive.
    """
    if num_examples is not None:
        require_positive(num_examples=num_examples)
    pairs = [line.split("\t") for line in text.split("\n") if "\t" in line][:num_examples]
    if not pairs:
        raise InputError("there are no sentence pairs: give a text with a pair in each line and a tab between the two")
    return [pair[0].split(" ") for pair in pairs], [pair[1].split(" ") for pair in pairs]


def truncate_pad(line: Sequence[T], num_steps: int, padding_token: T) -> list[T]:
    """Return a list of ``num_steps`` tokens: a line cut off, or filled up with padding (book section 9.5.4).

    Raises:
        InputError: If ``num_steps`` is not positive.
    """
    require_positive(num_steps=num_steps)
    return [*line[:num_steps], *[padding_token] * (num_steps - len(line))]


def build_array_nmt(lines: Sequence[list[str]], vocab: Any, num_steps: int) -> tuple[Indices, Indices]:
    """Turn sentences into rows of indices that end in ``<eos>`` and have one length (book section 9.5.4).

    Args:
        lines: A list of words for each sentence. Of a long one the end is cut off, and its ``<eos>`` too.
        vocab: A :class:`Vocab` with ``<pad>`` and ``<eos>`` among its reserved tokens.
        num_steps: Length of a row.

    Returns:
        The indices, shape (sentences, num_steps), and how many in each row are no padding, shape (sentences,).

    Raises:
        InputError: If there are no sentences, ``num_steps`` is not positive, or the vocabulary lacks a token.
    """
    if not len(lines):
        raise InputError("there are no sentences: give a list of lists of words")
    if len({vocab[token] for token in (UNKNOWN, PAD, EOS)}) < 3:
        raise InputError(f"the vocabulary must have {PAD} and {EOS}: make it with reserved_tokens={list(RESERVED)}")
    rows = [truncate_pad([*vocab[line], vocab[EOS]], num_steps, vocab[PAD]) for line in lines]
    array = np.array(rows, dtype=np.int32)  # (sentences, num_steps)
    return array, (array != vocab[PAD]).sum(axis=1, dtype=np.int32)


def load_arrays_nmt(
    num_steps: int, num_examples: int | None = 600
) -> tuple[tuple[Indices, Indices, Indices, Indices], Vocab, Vocab]:
    """Load the sentence pairs as arrays, with their vocabularies (book section 9.5.5).

    A word that occurs once in these pairs is unknown.

    Args:
        num_steps: Words of a sentence, its ``<eos>`` among them.
        num_examples: Pairs, from the beginning of the text, None for all. Fewer where there are not as many.

    Returns:
        Source indices, shape (pairs, num_steps), their valid lengths, shape (pairs,), and the same of the target;
        the source's vocabulary; the target's vocabulary.

    Raises:
        InputError: If a size is not positive, or as :func:`read_data_nmt`.
    """
    require_positive(num_steps=num_steps)
    source, target = tokenize_nmt(preprocess_nmt(read_data_nmt()), num_examples)
    src_vocab, tgt_vocab = (Vocab(lines, min_freq=2, reserved_tokens=RESERVED) for lines in (source, target))
    arrays = (*build_array_nmt(source, src_vocab, num_steps), *build_array_nmt(target, tgt_vocab, num_steps))
    return arrays, src_vocab, tgt_vocab


def read_source(src_sentence: str, src_vocab: Any, num_steps: int) -> tuple[list[int], int]:
    """Read a sentence that is to be translated, as the sentences of the training were read.

    Args:
        src_sentence: The sentence, such as ``'Go.'``. Where the end is cut off, a warning says so.
        src_vocab: The source's vocabulary.
        num_steps: Words of a sentence, its ``<eos>`` among them.

    Returns:
        num_steps indices, and how many of them are no padding.

    Raises:
        InputError: If ``num_steps`` is not positive, or the vocabulary lacks a token that ends or fills up sentences.
    """
    words = preprocess_nmt(src_sentence).split()
    if len(words) >= num_steps >= 1:
        warnings.warn(
            f"the sentence has {len(words)} words, and with its {EOS} {num_steps} are read: the end is cut off",
            D2LRNNWarning,
            stacklevel=3,
        )
    indices, valid_len = build_array_nmt([words], src_vocab, num_steps)
    return [int(index) for index in indices[0]], int(valid_len[0])


def bleu(pred_seq: str, label_seq: str, k: int) -> float:
    """Score a translation by the word sequences that it shares with the expected one (book section 9.7.6).

    The score is exp(min(0, 1 - len_label / len_pred)) times the product over n = 1..k of p_n ** (1 / 2 ** n), where
    p_n is the share of the translation's sequences of n words that are in the expected one too, each as often as it
    is there. Lengths beyond that of the translation have no p_n and are left out; the book divides by zero there.

    Args:
        pred_seq: The translation, words with spaces between them.
        label_seq: The expected translation.
        k: Words of the longest sequences.

    Returns:
        From 0 to 1, which is a perfect translation; 0 for an empty one.

    Raises:
        InputError: If ``k`` is not positive.
    """
    require_positive(k=k)
    pred, label = pred_seq.split(), label_seq.split()
    if not pred:
        return 0.0
    score = math.exp(min(0.0, 1 - len(label) / len(pred)))
    for n in range(1, min(k, len(pred)) + 1):
        found, expected = (Counter(zip(*(words[i:] for i in range(n)), strict=False)) for words in (pred, label))
        score *= (sum((found & expected).values()) / sum(found.values())) ** 0.5**n
    return score
