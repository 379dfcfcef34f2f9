"""The errors that a user can do something about.

Each is also the standard exception that Python programmers expect in its place, so ``except ValueError``
keeps working. The command line prints these as one line and exits with code 2; anything else is a bug.
"""


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


class DivergenceError(D2LRNNError, ArithmeticError):
    """The loss or a weight became NaN or infinite during training, or the loss far worse than that of guessing.

    Attributes:
        epoch: The epoch, counted from 1, in which it happened.
        step: The minibatch of that epoch, counted from 1.
        history: What training recorded up to the last complete epoch.
    """

    def __init__(self, message: str, epoch: int, step: int, history: object = None) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.history = history


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during a training that is kept in a run folder; its message says how to go on.

    It is a ``KeyboardInterrupt``, so that what waits for that one gets it.
    """


def require_positive(**sizes: object) -> None:
    """Check that every named size is a whole number of at least 1.

    Raises:
        InputError: If one is not, naming it and its value.
    """
    for name, value in sizes.items():
        # NumPy's integers have __index__ too; floats have not, not even whole ones
        if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < 1:
            raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
