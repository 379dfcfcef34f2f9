"""The two forms of each part of a run: in memory, and as the bytes of its file."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from d2lrnn.core.history import History
from d2lrnn.data import Preparation, Vocab
from d2lrnn.data.text import UNKNOWN
from d2lrnn.errors import InputError
from d2lrnn.runs.run_config import CONFIG, read_tokens
from d2lrnn.runs.settings import Settings
from d2lrnn.weights.canonical import Weights
from d2lrnn.weights.safetensors_file import dump_tensors

MOST_VOCAB_FILE = 12 * 2**20  # bytes
_COLUMNS = ("epoch", "perplexity", "valid_perplexity", "tokens_per_second", "gradient_norm")


@dataclass
class State:
    """A moment of training between two epochs, in no framework's terms.

    Attributes:
        weights: The canonical weights.
        history: What was recorded so far; its length is the number of epochs trained.
        random_state: That of the loader (:attr:`d2lrnn.data.SeqDataLoader.random_state`).
        best: The weights with the best held-out perplexity so far, or None if nothing is held out.
        samples: The continuations so far, as text.
    """

    weights: Weights
    history: History
    random_state: dict[str, Any]
    best: Weights | None = None
    samples: str = ""


def best_epoch(history: History, begin: int = 0) -> int | None:
    """Return the first epoch after ``begin`` with the smallest held-out perplexity, or None if there is none."""
    values = [(value, epoch) for epoch, value in zip(history.epoch, history.valid_perplexity, strict=False)
              if epoch > begin and not math.isnan(value)]  # fmt: skip
    return min(values)[1] if values else None


def dump_vocab(vocab: Vocab) -> bytes:
    """Return a vocabulary as the content of its file."""
    document: dict[str, Any] = {"tokens": vocab.idx_to_token}
    if type(vocab.preparation) is Preparation:  # and not an earlier edition's, which has a way of its own
        document["preparation"] = vocab.preparation.to_dict()
    return (json.dumps(document, ensure_ascii=False, indent=0) + "\n").encode()


def parse_vocab(content: bytes, name: str) -> Vocab:
    """Return the vocabulary that a ``vocab.json`` holds, and in it how its text was prepared, if that is there.

    Args:
        content: The file's content.
        name: What to call the file in an error.

    Raises:
        InputError: If it holds none.
    """
    if len(content) > MOST_VOCAB_FILE:
        raise InputError(f"{name} has {len(content):,} bytes, and a vocabulary has at most {MOST_VOCAB_FILE:,}")
    document = parse_json(content, name)
    tokens = read_tokens(document)
    if tokens is None:
        raise InputError(f"{name} holds no vocabulary: a list 'tokens' of texts, of which the first is {UNKNOWN!r}")
    if len(set(tokens)) != len(tokens):
        raise InputError(f"{name} holds a token twice")
    vocab = Vocab(reserved_tokens=tokens[1:])
    if "preparation" in document:
        try:
            vocab.preparation = Preparation.from_dict(document["preparation"])
        except InputError as error:
            raise InputError(f"{name} does not say how its text was prepared: {error}") from None
    return vocab


def preparation_by_settings(config: Mapping[str, Any], settings: Settings) -> Preparation | None:
    """Return how the text of a run was prepared whose vocabulary does not say, as those of earlier versions."""
    name = (config.get("corpus") or {}).get("name")
    return None if name is None else settings.preparation(name)  # None: made from a file of weights, without a text


def parse_json(content: bytes, name: str) -> Any:
    """Return the document that a file of JSON holds.

    Raises:
        InputError: If it holds none.
    """
    try:
        document = json.loads(content)
        # Half a surrogate pair, which JSON can spell, could never be printed or written again
        json.dumps(document, ensure_ascii=False).encode()
        return document
    except (ValueError, RecursionError):
        raise InputError(f"{name} is no JSON document: it is damaged, or another kind of file") from None


def dump_history(history: History, known: tuple[History, bytes] | None = None) -> bytes:
    """Return a history as the content of its file.

    Args:
        history: The history.
        known: An earlier one, and what was made of it. If the history goes on from there, so does its content: a long
            training that is kept in every epoch would else spend its time on those before.
    """
    done, content = 0, (",".join(_COLUMNS) + "\n").encode()
    if known is not None and history.begins_with(known[0]):
        done, content = len(known[0]), known[1]
    valid: Sequence[float | None] = history.valid_perplexity or [None] * len(history)
    columns = (history.epoch, history.perplexity, valid, history.tokens_per_second, history.gradient_norm)
    return content + "".join(map(_dump_row, zip(*(column[done:] for column in columns), strict=True))).encode()


def _dump_row(row: Sequence[float | None]) -> str:
    return ",".join("" if value is None else repr(value) for value in row) + "\n"  # repr gives every digit back


def parse_history(content: bytes, name: str) -> History:
    """Return the history that its file holds.

    Raises:
        InputError: If it holds none.
    """
    try:
        header, *rows = list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))
        if tuple(header) != _COLUMNS or any(len(row) != len(_COLUMNS) for row in rows):
            raise ValueError
        history = History(
            epoch=[int(row[0]) for row in rows],
            perplexity=[float(row[1]) for row in rows],
            valid_perplexity=[float(row[2]) for row in rows if row[2]],
            tokens_per_second=[float(row[3]) for row in rows],
            gradient_norm=[float(row[4]) for row in rows],
        )
        if history.epoch != list(range(1, len(rows) + 1)) or len(history.valid_perplexity) not in (0, len(rows)):
            raise ValueError
    except (ValueError, csv.Error):
        raise InputError(f"{name} is no table of {', '.join(_COLUMNS)}, one row an epoch") from None
    return history


_PCG64 = "PCG64"  # NumPy's default generator


def dump_state(state: State) -> bytes:
    """Return the epoch and the generator of a state as the content of their file."""
    random = state.random_state
    numbers = random["state"]
    words = [word for key in ("state", "inc") for word in divmod(numbers[key], 2**64)]
    words += [random["has_uint32"], random["uinteger"]]
    return dump_tensors({"epoch": np.array([len(state.history)]), "sampling.pcg64": np.array(words, dtype=np.uint64)})


def parse_random_state(tensors: Weights, epoch: int, name: str) -> dict[str, Any]:
    """Return the state of the generator that draws the minibatches, from the arrays of its file.

    Raises:
        InputError: If they are of another epoch, or none of such a generator.
    """
    expected = {"epoch": ((1,), "int64"), "sampling.pcg64": ((6,), "uint64")}
    if {key: (value.shape, value.dtype.name) for key, value in tensors.items()} != expected:
        raise InputError(f"{name} does not hold the epoch and the six words of a PCG64 generator")
    if (own := int(tensors["epoch"][0])) != epoch:
        raise InputError(f"{name} is of epoch {own}, and {CONFIG} of epoch {epoch}")
    high, low, inc_high, inc_low, has_uint32, uinteger = (int(word) for word in tensors["sampling.pcg64"])
    return {
        "bit_generator": _PCG64,
        "state": {"state": high * 2**64 + low, "inc": inc_high * 2**64 + inc_low},
        "has_uint32": has_uint32 & 1,
        "uinteger": uinteger & 0xFFFFFFFF,
    }
