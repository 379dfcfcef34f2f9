"""What every command goes in and out by: streams that are open, and an end without a traceback.

It is imported before all else, so it needs Python's own library only.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from d2lrnn import __version__
from d2lrnn.errors import LONGEST, shortened
from d2lrnn.system.terminal import one_line

__all__ = ["INTERRUPTED", "READER_GONE", "TRACEBACK_ENV", "UNEXPECTED", "guard", "open_streams", "tell"]

INTERRUPTED = 130  # the exit codes: what shells give a process that Ctrl-C ended (128 and the signal's number),
READER_GONE = 141  # and one that went on writing after its reader had gone;
UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h
TRACEBACK_ENV = "D2LRNN_TRACEBACK"
_LONGEST = 300  # characters of what an error says of itself


def open_streams() -> None:
    """Open on nothing what was closed before this process began (``>&-``): input, output and the error stream.

    Without that the next file that is opened, one of weights perhaps, would get the number of the error stream, and
    with it all that compiled code has to say.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            stream = open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def tell(text: str) -> None:
    """Print one line on the error stream; where nobody reads that any more, what was told about goes on."""
    with contextlib.suppress(OSError, ValueError):
        print(one_line(text, LONGEST), file=sys.stderr, flush=True)


def guard(command: Callable[[], int]) -> int:
    """Run a command and return its exit code, whatever happens in it.

    A reader of its output that has gone ends it quietly. Of an error that nobody foresaw one line is told, and the
    traceback goes to a file; the variable ``D2LRNN_TRACEBACK`` shows it instead.
    """
    open_streams()
    try:
        return command()
    except SystemExit as stop:
        # rich leaves so where its reader has gone; argparse does after it has helped
        if isinstance(stop.__context__, BrokenPipeError):
            return READER_GONE
        raise
    except KeyboardInterrupt:
        tell("d2lrnn: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return READER_GONE
    except Exception as error:
        return unexpected(error)
    finally:
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)


def _let_go(stream: Any) -> None:
    """Write what a stream still holds, or drop it: Python would try once more at the end, and complain."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def unexpected(error: BaseException) -> int:
    """Tell of an error that nobody foresaw in one line, keep its traceback in a file, and return the exit code."""
    if os.environ.get(TRACEBACK_ENV):
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exception(error)
        return UNEXPECTED
    said = _in_words(error)
    try:
        kept = f"its traceback is in {_write(error)!r}, for a report of what went wrong"
    except OSError:
        kept = f"its traceback could not be written to a file ({TRACEBACK_ENV}=1 shows it)"
    tell(f"d2lrnn: error: unexpected: {said}; {kept}")
    return UNEXPECTED


def _in_words(error: BaseException) -> str:
    """Return what an error says, in one line."""
    text = shortened(" ".join(str(error).split()), _LONGEST)
    if isinstance(error, MemoryError):
        return f"there is not enough memory for this{f' ({text})' if text else ''}: use smaller settings"
    if isinstance(error, RecursionError):
        return f"something is nested too deeply{f' ({text})' if text else ''}"
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def _write(error: BaseException) -> str:
    """Write the traceback of an error to a new file in the temporary folder, and return its path."""
    import platform
    import tempfile

    number, path = tempfile.mkstemp(prefix="d2lrnn-error-", suffix=".txt")
    with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123 (a descriptor)
        print(f"d2lrnn {__version__}, Python {platform.python_version()}, {platform.platform()}", file=file)
        print(f"command: {sys.argv}", file=file)
        traceback.print_exception(error, file=file)
    return path
