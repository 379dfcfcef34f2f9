"""What the JSON files of a run folder must hold: names, types and bounds, which msgspec checks.

What else is in such a file, as of a newer version, is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from d2lrnn.core.backends import BACKENDS
from d2lrnn.data.text import UNKNOWN
from d2lrnn.runs.settings import LIMITS, MOST_VOCAB

CONFIG, VOCAB, WEIGHTS, BEST = "config.json", "vocab.json", "weights.safetensors", "best.safetensors"
STATE, HISTORY, SAMPLES, CURVE = "state.safetensors", "history.csv", "samples.txt", "curve.png"
HASHED = (VOCAB, WEIGHTS, BEST, STATE, HISTORY, SAMPLES)  # the files whose hashes the configuration has
_NEEDED = (WEIGHTS, STATE, HISTORY)  # of a run that has trained
# A run is unfinished while it trains, and for ever if its process is killed. One that failed or diverged has the
# words of the error in its configuration.
STATUSES = ("unfinished", "interrupted", "complete", "stopped early", "diverged", "failed", "converted")
MOST_FACT = 200  # characters of a version, of the name of a system, of OMP_NUM_THREADS
MOST_TEXT = 10_000  # characters of the words of an error, or of a name


def _at_least_zero(most: int) -> Any:
    return Annotated[int, Meta(ge=0, le=most)]


_COUNT = _at_least_zero(10**15)  # what no count of tokens or of anything else comes near
_NUMBER = Annotated[float, Meta(ge=-1e300, le=1e300)]
_TEXT = Annotated[str, Meta(max_length=MOST_TEXT)]
_WORD = Annotated[str, Meta(max_length=MOST_FACT)]
_FACT = _WORD | _NUMBER | None


class _File(msgspec.Struct):
    sha256: str


class _Rate(msgspec.Struct):
    until: _COUNT  # type: ignore[valid-type]
    lr: _NUMBER


_FILES: Any = dict[Literal.__getitem__(HASHED), _File]  # type: ignore[misc]
_WHOLE = "a whole number of at least 0"
_REQUIRED = ("backend", "status", "epoch", "vocab_size", "files")
# What config.json must hold where, and in which words that is said
_FIELDS: dict[str, tuple[Any, str]] = {
    "backend": (Literal.__getitem__(tuple(BACKENDS)), f"one of {', '.join(BACKENDS)}"),
    "status": (Literal.__getitem__(STATUSES), f"one of {', '.join(STATUSES)}"),
    "epoch": (_at_least_zero(LIMITS["epochs"]), f"{_WHOLE}, and at most {LIMITS['epochs']:,}"),
    "vocab_size": (_at_least_zero(MOST_VOCAB), f"{_WHOLE}, and at most {MOST_VOCAB:,}"),
    "files": (_FILES, f"{VOCAB}, and for a run that has trained {', '.join(_NEEDED)}, each with its 'sha256', and no "
              "other file than those of a run"),
    "corpus": (dict[str, Any], "names and values"),
    "corpus.name": (_TEXT, "a text"),
    "corpus.used_tokens": (_COUNT, _WHOLE),
    "corpus.text_tokens": (_COUNT, _WHOLE),
    "versions": (dict[_WORD, _FACT], "names and versions, short texts"),
    "machine": (dict[_WORD, _FACT], "names and values, short texts and numbers"),
    "created": (_FACT, "a time, a short text"),
    "saved": (_FACT, "a time, a short text"),
    "patience_from": (_COUNT, _WHOLE),
    "seconds": (_NUMBER, "a number"),
    "error": (_TEXT, "a text"),
    "earlier_lr": (list[_Rate], "a list of learning rates, each with 'lr' and the epoch 'until' which it held"),
}  # fmt: skip


def what_is_wrong(config: Mapping[str, Any]) -> str | None:
    """Return which field of a configuration cannot be used and what it should be, or None if all can."""
    for name, (_, words) in _FIELDS.items():
        holder, _, last = name.rpartition(".")
        fields = config.get(holder, {}) if holder else config
        if last in fields and not _fits(name, fields[last]):
            return f"its {name!r} holds {fields[last]!r:.60}, and should be {words}"
        if last not in fields and name in _REQUIRED:
            return f"its {name!r} is missing, and should be {words}"
    return None


def _fits(name: str, value: Any) -> bool:
    """Whether a field has its type, and what types do not say."""
    try:
        msgspec.convert(value, _FIELDS[name][0])
    except msgspec.ValidationError:
        return False
    if name == "files":
        return VOCAB in value and (set(value) == {VOCAB} or value.keys() >= {*_NEEDED})
    words = [part for pair in value.items() for part in pair] if name in ("versions", "machine") else [value]
    return name in _TEXTS or all(word.isprintable() for word in words if isinstance(word, str))


_TEXTS = ("error", "corpus.name")  # of any characters


def are_facts(value: Any) -> bool:
    """Whether a value is what a run records of versions and machines: short texts and numbers, by name."""
    return _fits("machine", value)


class _Vocabulary(msgspec.Struct):
    tokens: list[str]


def read_tokens(document: Any) -> list[str] | None:
    """Return the tokens that a vocabulary's file holds, or None if these are none."""
    try:
        tokens = msgspec.convert(document, _Vocabulary).tokens
    except msgspec.ValidationError:
        return None
    return tokens if tokens[:1] == [UNKNOWN] else None
