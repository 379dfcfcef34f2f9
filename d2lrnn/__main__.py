"""The ``d2lrnn`` command, and ``python -m d2lrnn``: what is here is there before the imports, which take a moment.

It is no module to import for anything else: from its first line to :func:`main` Ctrl-C ends the process at once.
"""

import _signal as signal  # type: ignore[import-not-found] # what signal is made of, which takes longer to import
import os
import sys


def _quit(*ignored: object) -> None:
    """End at once after Ctrl-C, with one line, while there is nothing to be saved.

    What is being imported may take the exception for one of its own, and go on or tell of something else.
    """
    try:
        os.write(2, b"d2lrnn: interrupted\n")
    finally:  # whether or not somebody reads that
        os._exit(130)


_BEFORE = signal.getsignal(signal.SIGINT)
# Somebody may want it otherwise, such as a shell for what is in the background
if _BEFORE is signal.default_int_handler:
    signal.signal(signal.SIGINT, _quit)

from d2lrnn.cli import exit  # noqa: E402  # noqa: E402  # noqa: E402 (from here on Ctrl-C is heard)


def main() -> int:
    """Run this process's command and return its exit code, whatever happens: see :func:`d2lrnn.cli.main.main`."""
    exit.open_streams()
    try:
        return exit.guard(_run)
    finally:
        # Nothing is left to be saved: Ctrl-C while Python ends must not show what it was doing
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run() -> int:
    from d2lrnn.cli.main import main as command

    return command(ready=_ready)


def _ready() -> None:
    """Let Ctrl-C be an exception again, which what is at work can answer."""
    if signal.getsignal(signal.SIGINT) is _quit:
        signal.signal(signal.SIGINT, _BEFORE)


if __name__ == "__main__":
    sys.exit(main())
