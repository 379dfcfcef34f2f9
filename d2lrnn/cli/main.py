"""The ``d2lrnn`` command."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from d2lrnn.cli import exit
from d2lrnn.cli.errors import tell_of
from d2lrnn.cli.parser import Options, make_parser
from d2lrnn.data.downloads import remembering_failures
from d2lrnn.errors import D2LRNNError, D2LRNNWarning, TrainingInterrupted
from d2lrnn.runs.settings import check_text
from d2lrnn.system import pictures, wording
from d2lrnn.system.terminal import behind, doors


def main(argv: Sequence[str] | None = None, ready: Callable[[], None] = lambda: None) -> int:
    """Run the command; return its exit code.

    That is 0, 1 if a backend of a comparison failed, 2 for bad input, 70 after an error that nobody foresaw, 130 after
    Ctrl-C, and 141 where the reader of its output has gone.

    Args:
        argv: The words of the command; by default those of this process.
        ready: Called when all that the command needs of this package is imported.
    """
    given = list(sys.argv[1:] if argv is None else argv)

    def work() -> int:
        args = make_parser().parse_args(given)
        # Only now: who asks for help does not wait for it
        from d2lrnn.cli import commands

        ready()
        for argument in given:
            check_text(argument)
        return int(getattr(commands, f"run_{args.command}")(args))

    return framed(work)


def framed(work: Callable[[], int]) -> int:
    """Do what a program is for, and return its exit code: that of the work, or one of :func:`main`'s after an error.

    An error costs one line, and a warning is told once. What is said names options, and cannot act on a terminal.
    """
    return exit.guard(lambda: _framed(work))


@doors()
def _framed(work: Callable[[], int]) -> int:
    for stream in map(behind, (sys.stdout, sys.stderr)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an output of another encoding lacks many a character
    pictures.heed_no_file_here()
    said: set[str] = set()

    def show_warning(message: Warning | str, *where: Any, **others: Any) -> None:
        """Say a thing once in a command, however often it is come upon."""
        if str(message) not in said:
            said.add(str(message))
            exit.tell(f"d2lrnn: warning: {message}")

    with warnings.catch_warnings(), remembering_failures(), wording.speaking(Options()):
        warnings.showwarning = show_warning
        warnings.simplefilter("always", D2LRNNWarning)
        try:
            try:
                code = work()
            except SystemExit:  # it has helped
                sys.stdout.flush()
                raise
            sys.stdout.flush()
            return code
        except KeyboardInterrupt as error:
            exit.tell(f"d2lrnn: {error if isinstance(error, TrainingInterrupted) else 'interrupted'}")
            return exit.INTERRUPTED
        except BrokenPipeError:  # whoever read our output has gone, as in 'd2lrnn backends | head -1'
            raise
        except (D2LRNNError, MemoryError, OSError) as error:
            return tell_of(error)


if __name__ == "__main__":
    sys.exit(main())
