"""What a training recorded: an epoch, the history, and perplexities as people read them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

BOOK_PREFIXES = ("time traveller", "traveller")
BOOK_NUM_PREDS = 50
LARGEST_LOSS = 700.0  # nats, of which the exponential is still a float


@dataclass(frozen=True)
class Epoch:
    """One pass over the minibatches.

    Attributes:
        losses: The mean loss of each minibatch in nats per token, before its step.
        sizes: The tokens of each minibatch.
        seconds: How long the pass took.
        norms: The norm of each minibatch's gradient before clipping.
        valid_perplexity: Perplexity of the held-out text after the pass, or None.
        absurd: Whether it ended far worse than guessing (:data:`d2lrnn.core.monitor.ABSURD`), so that the weights after
            it are no good.
    """

    losses: npt.NDArray[Any]
    sizes: Sequence[int]
    seconds: float
    norms: npt.NDArray[Any]
    valid_perplexity: float | None = None
    absurd: bool = False

    @property
    def perplexity(self) -> float:
        """The exponential of the mean loss per token."""
        return perplexity(self.loss)

    @property
    def loss(self) -> float:
        """The mean loss in nats per token."""
        return float(np.average(np.asarray(self.losses, dtype=np.float64), weights=self.sizes))

    @property
    def tokens_per_second(self) -> float:
        """Tokens trained on in a second."""
        return sum(self.sizes) / self.seconds

    @property
    def gradient_norm(self) -> float:
        """The mean norm of the minibatches' gradients before clipping."""
        return float(np.mean(np.asarray(self.norms, dtype=np.float64)))

    @property
    def first_bad_step(self) -> int | None:
        """The first minibatch, counted from 1, whose loss is NaN or infinite, or None."""
        bad = np.flatnonzero(~np.isfinite(self.losses))
        return int(bad[0]) + 1 if len(bad) else None


def perplexity(loss: float) -> float:
    """Return the exponential of a loss in nats, infinite where that is too large for a float (book section 8.4.4)."""
    return math.exp(loss) if loss < LARGEST_LOSS else math.inf if loss == loss else math.nan


def format_perplexity(value: float | None, digits: int = 3) -> str:
    """Return a perplexity, or another number that may be very large, as people read it.

    Args:
        value: The number; None is one that is not known.
        digits: Decimal places of a number below a million; one above has two, and a power of ten.
    """
    if value is None:
        return "-"
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return f"over {math.exp(LARGEST_LOSS):.0e}"
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.1e}"


def bits_per_character(perplexity: float) -> float:
    """Return the bits that a token of that perplexity takes; by characters, bits per character."""
    return math.log2(perplexity)


@dataclass
class History:
    """What training recorded, one value an epoch.

    Attributes:
        epoch: The epochs, counted from 1.
        perplexity: Training perplexity.
        tokens_per_second: Training speed.
        valid_perplexity: Perplexity of the held-out text; empty if none was held out.
        gradient_norm: Mean norm of the gradients before clipping.
    """

    epoch: list[int] = field(default_factory=list)
    perplexity: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)
    valid_perplexity: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.epoch)

    def add(self, number: int, epoch: Epoch) -> None:
        """Record an epoch."""
        if epoch.valid_perplexity is not None or self.valid_perplexity:
            # Epochs before these may have had no held-out text, or these none
            missing = len(self) - len(self.valid_perplexity)
            value = math.nan if epoch.valid_perplexity is None else epoch.valid_perplexity
            self.valid_perplexity += [math.nan] * missing + [value]
        self.epoch.append(number)
        self.perplexity.append(epoch.perplexity)
        self.tokens_per_second.append(epoch.tokens_per_second)
        self.gradient_norm.append(epoch.gradient_norm)

    def copy(self) -> History:
        """Return a record of its own with the same values."""
        return self.first(len(self))

    def first(self, num_epochs: int) -> History:
        """Return a record of its own of the first epochs."""
        return History(**{part.name: getattr(self, part.name)[:num_epochs] for part in fields(self)})

    def begins_with(self, other: History) -> bool:
        """Tell whether this record goes on from another one, whose values it has in the same places."""
        return all(getattr(self, part.name)[: len(other)] == getattr(other, part.name) for part in fields(self))

    @property
    def bits_per_character(self) -> list[float]:
        """The training perplexities as bits per token."""
        return [bits_per_character(value) for value in self.perplexity]

    @property
    def speed(self) -> float:
        """The median of tokens per second, the first epoch left out where there are more: it compiles and warms up."""
        return statistics.median(self.tokens_per_second[1:] or self.tokens_per_second)

    def to_dict(self) -> dict[str, list[float]]:
        """Return the record as plain lists, for JSON."""
        return {**vars(self.copy()), "bits_per_character": self.bits_per_character}
