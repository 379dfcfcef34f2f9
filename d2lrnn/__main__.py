"""The ``d2lrnn`` command, and ``python -m d2lrnn``: what is here is there before the imports, which take a moment."""

import signal
import sys

from d2lrnn import last_door


def main() -> int:
    """Run the command of this process and return its exit code, whatever happens: see :func:`d2lrnn.cli.main`."""
    last_door.open_streams()
    try:
        return last_door.guard(_run)
    finally:
        # Nothing is left to be saved: Ctrl-C while Python ends must not show what it was doing
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run() -> int:
    with last_door.quitting():
        from d2lrnn.cli import main as command
    return command()


if __name__ == "__main__":
    sys.exit(main())
