"""The errors that a user can do something about.

Each is also the standard exception that Python programmers expect in its place, so ``except ValueError``
keeps working. The command line prints these as one line and exits with code 2; anything else is a bug.
"""

from __future__ import annotations

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
