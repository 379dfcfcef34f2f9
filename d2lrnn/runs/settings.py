"""What to train, on what, and how: the settings of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from d2lrnn.core.threads import check_number
from d2lrnn.data.corpora import check_encoding, default_max_tokens
from d2lrnn.errors import InputError, require_at_most, require_positive, require_rates
from d2lrnn.system import memory
from d2lrnn.system.formatting import format_bytes
from d2lrnn.weights import sizes
from d2lrnn.weights.canonical import MOST_LAYERS, check_kind

SAMPLINGS = ("sequential", "random")

# The largest values of settings. A run folder that somebody was sent says such numbers too, and what is read of it and
# how much is decided by them: a file of weights has as many bytes as its shapes need, and a history a row an epoch.
LIMITS = {
    "num_hiddens": 10**6,  # the weights of one such layer take 4 TB
    "num_layers": MOST_LAYERS,
    "batch_size": 10**9,
    "num_steps": 10**9,
    "epochs": 10**6,  # 10 years at a minute each; a history of so many is 100 MB
    "max_tokens": 10**12,
    "patience": 10**6,
    "seed": 2**128 - 1,  # which is what NumPy's generator makes of it
}
MOST_PREFIXES = 2**16  # characters of all the prefixes together
MOST_VOCAB = 2**21  # tokens of a vocabulary: twice as many as Unicode has characters


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_text(text: str) -> str:
    """Return a text as given.

    Raises:
        InputError: If it cannot be written as UTF-8, as a file's name in another encoding cannot.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text!r} is not UTF-8 and could not be kept or printed: rename it") from None
    return text


# What JSON may give for each of the types below. A bool is an int in Python, and no number here.
_TYPES: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": _is_whole,
    "int | None": lambda value: value is None or _is_whole(value),
    "float": lambda value: isinstance(value, float) or _is_whole(value),
    "tuple[str, ...]": lambda value: isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value),
}


@dataclass(frozen=True)
class Settings:
    """What to train, on what, and how. The defaults are the book's (section 8.5).

    Attributes:
        model: One of :data:`d2lrnn.weights.canonical.KINDS`.
        num_hiddens: Hidden units in each layer.
        num_layers: Layers.
        batch_size: Sequences in a minibatch.
        num_steps: Tokens in a sequence.
        epochs: Passes over the text.
        lr: Learning rate of stochastic gradient descent.
        theta: Radius of gradient clipping.
        sampling: ``'sequential'`` or ``'random'``.
        corpus: The name of a corpus, or the path of a text file.
        encoding: Of that file, by a name that Python knows; None for what its byte order mark says, or UTF-8.
        max_tokens: Tokens used from the beginning of the text; -1 for all. None for the book's 10,000 of a corpus by
            name, and all of a file; what comes out of a training has the number.
        valid_fraction: Part of them held out from the end.
        clean: How the text is cleaned (:func:`d2lrnn.data.load_corpus`); None for the corpus's own way.
        keep_punctuation: Keep punctuation, digits and symbols.
        keep_case: Keep capital letters.
        patience: Stop when the held-out perplexity has not improved for this many epochs; None for never.
        seed: Of the first weights and of the minibatches; None draws them anew.
        device: A device by name, or ``'auto'``.
        threads: With how many threads the CPU computes; None for what the environment says, or a measurement
            (:func:`d2lrnn.core.threads.settle`).
        prefixes: What to continue at the end; empty for the corpus's own.
    """

    model: str = "rnn-scratch"
    num_hiddens: int = 512
    num_layers: int = 1
    batch_size: int = 32
    num_steps: int = 35
    epochs: int = 500
    lr: float = 1.0
    theta: float = 1.0
    sampling: str = "sequential"
    corpus: str = "time-machine"
    encoding: str | None = None
    max_tokens: int | None = None
    valid_fraction: float = 0.0
    clean: str | None = None
    keep_punctuation: bool = False
    keep_case: bool = False
    patience: int | None = None
    seed: int | None = None
    device: str = "auto"
    threads: int | None = None
    prefixes: tuple[str, ...] = ()

    def check(self) -> None:
        """Check what can be checked without a text and without a framework.

        Raises:
            InputError: If a setting cannot be used, or is beyond :data:`LIMITS`.
        """
        check_kind(self.model, self.num_layers)
        for text in (self.corpus, *self.prefixes):
            check_text(text)
        if self.encoding is not None:
            check_encoding(self.encoding)
        require_positive(num_hiddens=self.num_hiddens, batch_size=self.batch_size)
        require_positive(num_steps=self.num_steps, epochs=self.epochs)
        try:
            require_at_most(LIMITS, num_hiddens=self.num_hiddens)
        except InputError as error:
            size = format_bytes(sizes.of_weights(self.model, 1, self.num_hiddens))
            raise InputError(f"{error}, of which the weights of one layer take {size}: give fewer units") from None
        require_at_most(LIMITS, batch_size=self.batch_size, num_steps=self.num_steps, epochs=self.epochs)
        require_at_most(LIMITS, max_tokens=self.max_tokens, patience=self.patience, seed=self.seed)
        if sum(map(len, self.prefixes)) > MOST_PREFIXES:
            raise InputError(f"prefixes must have at most {MOST_PREFIXES:,} characters in all: give shorter ones")
        require_rates(lr=self.lr, theta=self.theta, dtype="float64")  # which of them is the backend's matter
        if self.sampling not in SAMPLINGS:
            raise InputError(f"unknown sampling {self.sampling!r:.80}: use one of {', '.join(SAMPLINGS)}")
        if self.seed is not None and self.seed < 0:
            raise InputError(f"seed must be at least 0, not {self.seed!r}")
        if self.threads is not None:
            check_number(self.threads)
        if self.patience is not None:
            require_positive(patience=self.patience)
            if not self.valid_fraction:
                raise InputError("patience watches the held-out perplexity: hold out a part of the text, "
                                 "for example valid_fraction=0.1 (--valid-fraction 0.1)")  # fmt: skip

    @classmethod
    def from_dict(cls, values: Any) -> Settings:
        """Return the settings that :meth:`to_dict` gave, as they come back from JSON.

        A setting that is not there has its default, which is what it meant before there was such a setting.

        Raises:
            InputError: If a name is unknown, a value is of another type, or a setting cannot be used.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"settings must be names and values, not {type(values).__name__}")
        known = {field.name: field for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise InputError(f"there is no setting {name!r:.80}")
            if not _TYPES[str(known[name].type)](value):
                raise InputError(f"the setting {name!r} must be of type {known[name].type}, not {value!r:.50}")
        kept = dict(values)
        if "prefixes" in kept:
            kept["prefixes"] = tuple(kept["prefixes"])
        settings = cls(**kept)
        settings.check()
        return settings

    def check_memory(self, vocab_size: int, itemsize: int, on_cpu: bool = True) -> None:
        """Check that what is to be trained fits into the memory of this machine, before anything is allocated.

        Args:
            vocab_size: Tokens of the vocabulary.
            itemsize: Bytes of a number in the backend.
            on_cpu: Whether it is trained in that memory. Of a training on another device only the first weights, in
                float32, are there.

        Raises:
            NotEnoughMemoryError: If it does not fit.
        """
        model = (self.model, vocab_size, self.num_hiddens, self.num_layers)
        what = f"a training of {self.num_layers} x {self.num_hiddens:,} units (num_hiddens)"
        needed = sizes.of_weights(*model)
        if on_cpu:
            what += f" on minibatches of {self.batch_size:,} x {self.num_steps:,} tokens"
            needed = sizes.of_training(*model, batch_size=self.batch_size, num_steps=self.num_steps, itemsize=itemsize)
        memory.check(needed, what, memory.SMALLER)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings ready for JSON."""
        return {**asdict(self), "prefixes": list(self.prefixes)}

    @property
    def use_random_iter(self) -> bool:
        """Whether minibatches are sampled randomly."""
        return self.sampling == "random"


def with_max_tokens(settings: Settings, name: str) -> Settings:
    """Return settings that say how many tokens are used: their own number, or what is usual for a text of that name."""
    if settings.max_tokens is not None:
        return settings
    return replace(settings, max_tokens=default_max_tokens(name))


def with_seed(settings: Settings) -> Settings:
    """Return settings with a seed: their own, or else one that is drawn, so that the run can be repeated."""
    if settings.seed is not None:
        return settings
    return replace(settings, seed=int(np.random.default_rng().integers(2**32)))
