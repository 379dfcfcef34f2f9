"""What to train, on what, and how: the settings of a run.

A setting is a line of :class:`Settings`, which says its type, its bounds, its label and its description. The options of
the command line, their help, what is checked, what ``config.json`` may hold and the labels of a report come from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
import numpy as np

from d2lrnn.core.threads import check_number
from d2lrnn.data import CORPORA
from d2lrnn.data.corpora import BOOK_MAX_TOKENS, default_clean, default_max_tokens
from d2lrnn.data.text import CLEANINGS, Preparation
from d2lrnn.data.text_files import check_encoding
from d2lrnn.errors import InputError
from d2lrnn.system import memory, wording
from d2lrnn.system.arguments import POSITIVE, given, require_rates, whole_number
from d2lrnn.weights import canonical
from d2lrnn.weights.canonical import KINDS, MOST_LAYERS, check_kind

SAMPLINGS = ("sequential", "random")
MOST_PREFIXES = 2**16  # characters of all the prefixes together
MOST_VOCAB = 2**21  # tokens of a vocabulary: twice as many as Unicode has characters


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


@dataclass(frozen=True)
class Setting:
    """What there is to say of a setting.

    Attributes:
        label: Its name in reports and tables.
        help: What it is, in the words of its option's help.
        metavar: How the help calls a value.
        limits: The bounds of a number that is one of its values.
        bounds: The same in words.
        without: A number between the bounds that is none of its values.
        most: Its largest value (an upper limit of msgspec's has at most 63 bits).
        advice: What to say to whom goes beyond that.
        choices: The values that there are.
        option: Its option on the command line.
        compared: Whether it is an option of ``compare`` too.
        name: Its name.
        type: Its type, without None.
        hint: Its type, with None where that is one of its values.
        bounded: The same with the bounds.
        words: The same as it is written.
        default: Its default.
    """

    label: str
    help: str
    metavar: str | None = None
    limits: msgspec.Meta | None = None
    bounds: str = ""
    without: int | None = None
    most: int | None = None
    advice: str = ""
    choices: tuple[str, ...] = ()
    option: str = ""
    compared: bool = True
    name: str = ""
    type: Any = None
    hint: Any = None
    bounded: Any = None
    words: str = ""
    default: Any = None

    @property
    def description(self) -> str:
        """What it is, and its default, where that is a value and is not mentioned."""
        if self.default is None or self.type not in (str, int, float):
            return self.help
        default = f"{self.default:g}" if self.type is float else str(self.default)
        return self.help.format(default=default) if "{default}" in self.help else f"{self.help} ({default})"

    def check(self, value: Any) -> None:
        """Check a value.

        Raises:
            InputError: If it is of another type, beyond the bounds, larger than any, or none of the choices.
        """
        value = self.check_bounds(value)
        if value is None:
            return
        if self.most is not None and value > self.most:
            raise InputError(f"{self.name} must be at most {self.most:,}, not {given(value)}{self.advice}")
        if self.choices and value not in self.choices:
            raise InputError(f"unknown {self.label.lower()} {value!r:.80}: use one of {', '.join(self.choices)}")

    def check_bounds(self, value: Any) -> Any:
        """Return a value, a number of NumPy's as one of Python's.

        Raises:
            InputError: If it is of another type, or beyond the bounds.
        """
        value = value.item() if isinstance(value, np.generic) else value
        of_type = f"the setting {self.name!r} must be of type {self.words}, not {value!r:.50}"
        within = f"{self.name} must be {self.bounds}, not {given(value)}"
        # A whole number is a float too, unless it is larger than any
        problem = within if self.type is float and type(value) is int else of_type
        try:
            msgspec.convert(value, self.hint)
            problem = within
            msgspec.convert(value, self.bounded)
        except msgspec.ValidationError:
            raise InputError(problem) from None
        if value is not None and value in (self.without, math.inf):
            raise InputError(f"{self.name} must be {self.bounds}, not {value}")
        return value


def _setting(default: Any, label: str, help: str, metavar: str | None = None, **also: Any) -> Any:
    """Return a dataclass's field with a :class:`Setting`; ``ge``, ``gt`` and ``lt`` are its bounds, as msgspec's."""
    limits = {name: also.pop(name) for name in ("ge", "gt", "lt") if name in also}
    words = POSITIVE if "gt" in limits else whole_number(limits.get("ge", 0))
    meta = msgspec.Meta(**limits) if limits else None
    return field(default=default, metadata={"": Setting(label, help, metavar, meta, **{"bounds": words, **also})})


@dataclass(frozen=True)
class Settings:
    """What to train, on what, and how. The defaults are the book's (section 8.5)."""

    # The largest values are here because a run folder that somebody was sent says such numbers too, and what is read of
    # it and how much is decided by them: a file of weights has as many bytes as its shapes need, and a history a row an
    # epoch.
    model: str = _setting("rnn-scratch", "Model", "the model (default: {default}, which runs rnn_fast)", choices=KINDS)
    num_hiddens: int = _setting(512, "Hidden units a layer", "hidden units", "N", ge=1, most=10**6,
                                advice=": one layer of 1,000,000 units has weights of 4 TB; give fewer")  # fmt: skip
    num_layers: int = _setting(1, "Layers", "layers", "N", ge=1, most=MOST_LAYERS)
    batch_size: int = _setting(32, "Sequences a minibatch", "sequences a minibatch", "N", ge=1, most=10**9)
    num_steps: int = _setting(35, "Tokens a sequence", "tokens a sequence", "N", ge=1, most=10**9)
    # 10 years at a minute each; a history of so many is 100 MB
    epochs: int = _setting(500, "Epochs", "passes over the text", "N", ge=1, most=10**6)
    lr: float = _setting(1.0, "Learning rate", "learning rate", "RATE", gt=0)
    theta: float = _setting(1.0, "Gradient norm clipped at", "clip gradients at this norm", "T", gt=0)
    sampling: str = _setting("sequential", "Sampling", "how minibatches are read", choices=SAMPLINGS)
    corpus: str = _setting("time-machine", "Corpus", f"{', '.join(CORPORA)}, or a text file", "NAME|FILE")
    encoding: str | None = _setting(
        None, "Encoding", "encoding of the text file (default: what its byte order mark says, or utf-8)", "NAME"
    )
    max_tokens: int | None = _setting(
        None, "Tokens used at most", "tokens used from the text's beginning, -1 for all "
        f"({BOOK_MAX_TOKENS}; of a file, all)", "N", ge=-1, without=0, most=10**12, bounds=f"{whole_number(1)}, or -1",
    )  # fmt: skip
    valid_fraction: float = _setting(
        0.0,
        "Part held out",
        "part of the tokens held out, from the end",
        "F",
        ge=0,
        lt=1,
        bounds="a number from 0 to below 1",
    )
    clean: str | None = _setting(
        None, "Cleaning", "keep the letters of every script, the book's a to z, or everything (default: book for the "
        "time machine, else letters)", choices=CLEANINGS,
    )  # fmt: skip
    keep_punctuation: bool = _setting(False, "Punctuation kept", "keep punctuation, digits and symbols")
    keep_case: bool = _setting(False, "Capital letters kept", "keep capital letters")
    patience: int | None = _setting(
        None, "Patience, epochs", "stop when the held-out perplexity has not improved for N epochs", "N", ge=1,
        most=10**6, compared=False,
    )  # fmt: skip
    # Of so many bits NumPy's generator makes something
    seed: int | None = _setting(
        None, "Seed", "seed of the first weights and of the minibatches (default: drawn)", "S", ge=0, most=2**128 - 1
    )
    device: str = _setting("auto", "Device asked for", "cpu, gpu, gpu:1 (or cuda, cuda:1), mps (torch) or auto", "D")
    threads: int | None = _setting(
        None, "Threads asked for", "threads of the CPU (default: OMP_NUM_THREADS, or what a moment's measurement finds "
        "fastest)", "N", ge=1,
    )  # fmt: skip
    prefixes: tuple[str, ...] = _setting(
        (), "Prefixes", "text to continue at the end (default: the corpus's own)", "TEXT", option="--prefix"
    )

    def check(self) -> None:
        """Check what can be checked without a text and without a framework.

        Raises:
            InputError: If a setting cannot be used, or is beyond :data:`LIMITS`.
        """
        if self.threads is not None:
            check_number(self.threads)
        for setting in SETTINGS.values():
            setting.check(getattr(self, setting.name))
        check_kind(self.model, self.num_layers)
        for text in (self.corpus, *self.prefixes):
            check_text(text)
        if self.encoding is not None:
            check_encoding(self.encoding)
        if sum(map(len, self.prefixes)) > MOST_PREFIXES:
            raise InputError(f"prefixes must have at most {MOST_PREFIXES:,} characters in all: give shorter ones")
        require_rates(lr=self.lr, theta=self.theta, dtype="float64")  # which of them is the backend's matter
        if self.patience is not None and not self.valid_fraction:
            raise InputError("patience watches the held-out perplexity: hold out a part of the text, for example "
                             f"valid_fraction=0.1{wording.also('valid_fraction', value=0.1)}")  # fmt: skip

    @classmethod
    def from_dict(cls, values: Any) -> Settings:
        """Return the settings that :meth:`to_dict` gave, as they come back from JSON.

        A setting that is not there has its default, which is what it meant before there was such a setting.

        Raises:
            InputError: If a name is unknown, a value is of another type, or a setting cannot be used.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"settings must be names and values, not {type(values).__name__}")
        if unknown := [name for name in values if name not in SETTINGS]:
            raise InputError(f"there is no setting {unknown[0]!r:.80}")
        settings = cls(**values)
        settings.check()
        return replace(settings, prefixes=tuple(settings.prefixes))

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
        needed = 4 * canonical.num_weights(*model)  # in float32
        if on_cpu:
            what += f" on minibatches of {self.batch_size:,} x {self.num_steps:,} tokens"
            needed = canonical.bytes_of_training(
                *model, batch_size=self.batch_size, num_steps=self.num_steps, itemsize=itemsize
            )
        memory.check(needed, what, memory.SMALLER)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings ready for JSON."""
        return {**asdict(self), "prefixes": list(self.prefixes)}

    def preparation(self, name: str) -> Preparation:
        """Return how a text of that name is prepared."""
        return Preparation("char", self.clean or default_clean(name), self.keep_punctuation, self.keep_case)

    @property
    def use_random_iter(self) -> bool:
        """Whether minibatches are sampled randomly."""
        return self.sampling == "random"


def _described() -> Iterator[Setting]:
    hints = get_type_hints(Settings)
    for part in fields(Settings):
        setting: Setting = part.metadata[""]
        hint = hints[part.name]
        kind = next(iter(get_args(hint))) if type(None) in get_args(hint) else hint
        bounded = kind if setting.limits is None else Annotated[kind, setting.limits]
        yield replace(
            setting,
            name=part.name,
            type=kind,
            hint=hint,
            bounded=bounded if kind is hint else bounded | None,
            words=str(part.type),
            default=part.default,
            option=setting.option or f"--{part.name.replace('_', '-')}",
        )


SETTINGS = {setting.name: setting for setting in _described()}
LABELS = {setting.name: setting.label for setting in SETTINGS.values()}
LIMITS = {setting.name: setting.most for setting in SETTINGS.values() if setting.most is not None}
Settings.__doc__ = "\n        ".join([
    f"{Settings.__doc__}\n\n    Attributes:",
    *(f"{setting.name}: {setting.description}." for setting in SETTINGS.values()),
])  # fmt: skip


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
