"""What the JSON files of a run folder must hold: names, types and bounds, which msgspec checks.

What else is in such a file, as of a newer version, is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

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


def _one_of(names: tuple[str, ...]) -> Any:
    return Annotated[Literal.__getitem__(names), Meta(description=f"one of {', '.join(names)}")]


def _whole(most: int, words: str = "") -> Any:
    return Annotated[int, Meta(ge=0, le=most, description=f"a whole number of at least 0{words}")]


_COUNT = _whole(10**15)  # what no count of tokens or of anything else comes near
_NUMBER = Annotated[float, Meta(ge=-1e300, le=1e300, description="a number")]
_TEXT = Annotated[str, Meta(max_length=MOST_TEXT, description="a text")]
_WORD = Annotated[str, Meta(max_length=MOST_FACT)]
_FACTS = dict[_WORD, _WORD | _NUMBER | None]
_TIME = Annotated[_WORD | _NUMBER | None, Meta(description="a time, a short text")]


def _no_controls(value: Any) -> bool:
    return not isinstance(value, str) or value.isprintable()


class _File(msgspec.Struct):
    sha256: str


class _Rate(msgspec.Struct):
    until: _COUNT  # type: ignore[valid-type]
    lr: _NUMBER


def _check(config: Any) -> None:
    """Check what types do not say. The places in the errors are those of msgspec's own."""
    files = set(config.files)
    if not (VOCAB in files <= set(HASHED) and (files == {VOCAB} or files.issuperset(_NEEDED))):
        raise ValueError("at `$.files`")
    for name in ("versions", "machine"):
        if not are_facts({} if getattr(config, name) is UNSET else getattr(config, name)):
            raise ValueError(f"at `$.{name}`")
    for name in ("created", "saved"):
        if not _no_controls(getattr(config, name)):
            raise ValueError(f"at `$.{name}`")


_CORPUS = {"name": _TEXT, "used_tokens": _COUNT, "text_tokens": _COUNT}
# What config.json must hold, and in which words that is said
_REQUIRED = {
    "backend": _one_of(tuple(BACKENDS)),
    "status": _one_of(STATUSES),
    "epoch": _whole(LIMITS["epochs"], f", and at most {LIMITS['epochs']:,}"),
    "vocab_size": _whole(MOST_VOCAB, f", and at most {MOST_VOCAB:,}"),
    "files": Annotated[dict[str, _File], Meta(description=f"{VOCAB}, and for a run that has trained "
             f"{', '.join(_NEEDED)}, each with its 'sha256', and no other file than those of a run")],
}  # fmt: skip
_OPTIONAL = {
    "corpus": Annotated[
        msgspec.defstruct("Corpus", [(name, kind | msgspec.UnsetType, UNSET) for name, kind in _CORPUS.items()]),
        Meta(description="names and values"),
    ],
    "versions": Annotated[_FACTS, Meta(description="names and versions, short texts")],
    "machine": Annotated[_FACTS, Meta(description="names and values, short texts and numbers")],
    "created": _TIME,
    "saved": _TIME,
    "patience_from": _COUNT,
    "seconds": _NUMBER,
    "error": _TEXT,
    "earlier_lr": Annotated[
        list[_Rate],
        Meta(description="a list of learning rates, each with 'lr' and the epoch 'until' which it held"),
    ],
}
_CONFIG = msgspec.defstruct(
    "Config",
    [*_REQUIRED.items(), *((name, kind | msgspec.UnsetType, UNSET) for name, kind in _OPTIONAL.items())],
    namespace={"__post_init__": _check},
)
_KINDS: dict[str, Any] = {**_REQUIRED, **_OPTIONAL, **{f"corpus.{name}": kind for name, kind in _CORPUS.items()}}


def what_is_wrong(config: Mapping[str, Any]) -> str | None:
    """Return which field of a configuration cannot be used and what it should be, or None if all can."""
    try:
        msgspec.convert(config, _CONFIG)
    except msgspec.ValidationError as error:
        # In `$.corpus.name` or `$.files[...].sha256`; or that of a field which the configuration itself lacks
        name = re.findall(r"`(?:\$\.)?([\w.]+)[^`]*`", str(error))[-1]
        holder, last = (config["corpus"], name[7:]) if name.startswith("corpus.") else (config, name)
        found = f"holds {holder[last]!r:.60}" if last in holder else "is missing"
        return f"its {name!r} {found}, and should be {_KINDS[name].__metadata__[0].description}"
    return None


def are_facts(value: Any) -> bool:
    """Whether a value is what a run records of versions and machines: short texts and numbers, by name."""
    try:
        facts = msgspec.convert(value, _FACTS)
    except msgspec.ValidationError:
        return False
    return all(_no_controls(part) for pair in facts.items() for part in pair)


class _Vocabulary(msgspec.Struct):
    tokens: list[str]


def read_tokens(document: Any) -> list[str] | None:
    """Return the tokens that a vocabulary's file holds, or None if these are none."""
    try:
        tokens = msgspec.convert(document, _Vocabulary).tokens
    except msgspec.ValidationError:
        return None
    return tokens if tokens[:1] == [UNKNOWN] else None
