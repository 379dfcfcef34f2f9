"""The errors that a user can do something about.

Each is also the standard exception that Python programmers expect in its place, so ``except ValueError``
keeps working. The command line prints these as one line and exits with code 2; anything else is a bug.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from d2lrnn.core.history import History

LONGEST = 900  # characters of an error or a warning as the command line prints it


def shortened(message: str, most: int = LONGEST) -> str:
    """Return a message, its middle left out if it is longer than ``most`` characters (in about as many).

    What was given stands at the beginning, and what to do at the end.
    """
    if (more := len(message) - most) <= 0:
        return message
    return f"{message[: most // 2]} [... {more:,} characters more ...] {message[-most // 2 :]}"


class D2LRNNError(Exception):
    """Base of the errors whose message says what was given, what was expected and what to do."""


class D2LRNNWarning(UserWarning):
    """Something that goes on, but perhaps not as it was meant."""


class InputError(D2LRNNError, ValueError):
    """A value that cannot be used."""


class InputFileError(InputError, FileNotFoundError):
    """A file that is not there, or that cannot be read."""

    # OSError.__str__ would look for an errno; these errors carry a sentence.
    __str__ = Exception.__str__


class StorageError(D2LRNNError, OSError):
    """Something that cannot be written or read for the disk's sake: it is full, failing, or belongs to somebody else.

    What was read and is damaged is an :class:`InputError`.

    Args:
        message: What could not be done, why, and what to do.
        errno: The system's number of the reason, such as ``errno.ENOSPC``, or None.
    """

    # OSError.__str__ would look for two arguments; these errors carry a sentence.
    __str__ = Exception.__str__

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class BackendNotInstalledError(D2LRNNError, ImportError):
    """A framework that is not installed, or cannot work on this machine."""


class NotEnoughMemoryError(D2LRNNError, MemoryError):
    """A model, a minibatch or a text that does not fit into the memory that there is."""


class DivergenceError(D2LRNNError, ArithmeticError):
    """The loss or a weight became NaN or infinite during training, or the loss far worse than that of guessing.

    Attributes:
        epoch: The epoch, counted from 1, in which it happened.
        step: The minibatch of that epoch, counted from 1.
        history: What training recorded up to the last complete epoch.
    """

    def __init__(self, message: str, epoch: int, step: int, history: History | None = None) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.history = history


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during a training that is kept in a run folder; its message says how to go on.

    It is a ``KeyboardInterrupt``, so that what waits for that one gets it.
    """


POSITIVE = "a positive finite number"


def whole_number(least: int) -> str:
    """Return in words that a whole number has a smallest value."""
    return f"a whole number of at least {least}"


def require_positive(**sizes: object) -> None:
    """Check that every named size is a whole number of at least 1.

    Raises:
        InputError: If one is not, naming it and its value.
    """
    for name, value in sizes.items():
        # NumPy's integers have __index__ too; floats have not, not even whole ones
        if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < 1:
            raise InputError(f"{name} must be {whole_number(1)}, not {given(value)}")


# The smallest number that float32 holds with all its digits: of smaller ones MXNet's conversion makes an error of its
# own. And the largest: with a greater learning rate PyTorch's and MXNet's optimizers end in errors of theirs.
SMALLEST_RATE, LARGEST_LR = 2.0**-126, (2 - 2.0**-23) * 2.0**127


def require_rates(*, lr: object = 1.0, theta: object = 1.0, dtype: str = "float32") -> None:
    """Check that a learning rate and a radius of clipping are positive, and numbers that can be computed with.

    Args:
        lr: The learning rate.
        theta: The radius.
        dtype: What a model computes in: in ``'float64'`` a learning rate may be larger.

    Raises:
        InputError: If one is not, naming it and its value.
    """
    for name, value in (("lr", lr), ("theta", theta)):
        try:
            number = float(value) if isinstance(value, Real) else math.nan  # NumPy's numbers are such, too
        except OverflowError:  # of a whole number
            number = math.inf
        if not (math.isfinite(number) and number > 0):
            raise InputError(f"{name} must be {POSITIVE}, not {given(value)}")
        if number < SMALLEST_RATE:
            raise InputError(f"{name} must be at least {SMALLEST_RATE:.1e}, not {value!r}: float32 has no smaller one")
        if name == "lr" and number > LARGEST_LR and dtype != "float64":
            raise InputError(f"{name} must be at most {LARGEST_LR:.1e}, not {value!r}: {dtype} has no larger one")


def require_at_most(limits: Mapping[str, int], **sizes: int | None) -> None:
    """Check that no named size is beyond its limit; None is none.

    Raises:
        InputError: If one is, naming it and its value.
    """
    for name, value in sizes.items():
        if value is not None and value > limits[name]:
            raise InputError(f"{name} must be at most {limits[name]:,}, not {given(value)}")


def given(value: object) -> str:
    """Return a value as an error has it; of a number of many digits, how many."""
    if isinstance(value, int) and abs(value) >= 10**30:
        # (Python itself refuses to write out the longest ones)
        return f"a number of about {int(abs(value).bit_length() * math.log10(2)) + 1:,} digits"
    return shortened(repr(value), 200)
