"""How a message names what its reader has passed: parameters of functions to a program, options to a command line.

What the library raises is read by both. It is written for the former, and calls these functions where the latter has
other words, which a command line gives with :func:`speaking`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["NOTHING", "Words", "also", "by", "call", "speaking"]

NOTHING: Any = object()


class Words:
    """The words of Python."""

    def also(self, names: tuple[str, ...], value: Any, form: str) -> str:
        """See :func:`also`."""
        return ""

    def by(self, name: str, value: Any) -> str:
        """See :func:`by`."""
        return name if value is NOTHING else f"{name}={'...' if value is ... else repr(value)}"

    def call(self, function: str, arguments: tuple[Any, ...], parameters: dict[str, Any]) -> str:
        """See :func:`call`."""
        return f"{function}({', '.join([*map(repr, arguments), *(self.by(*pair) for pair in parameters.items())])})"


_words = Words()


def also(*names: str, value: Any = NOTHING, form: str = " ({})") -> str:
    """Return what is to stand behind the names of parameters: nothing; on a command line, the options in a ``form``."""
    return _words.also(names, value, form)


def by(name: str, value: Any = NOTHING) -> str:
    """Return what to pass: ``name``, or ``name=value``; on a command line, the option."""
    return _words.by(name, value)


def call(function: str, *arguments: Any, **parameters: Any) -> str:
    """Return what to call: a function of :mod:`d2lrnn.runs`; on a command line, the command of that name, in quotes.

    Of a parameter whose value is ``...`` the reader finds the value.
    """
    return _words.call(function, arguments, parameters)


@contextlib.contextmanager
def speaking(words: Words) -> Iterator[None]:
    """Let messages have other words, in all of this process."""
    global _words
    before, _words = _words, words
    try:
        yield
    finally:
        _words = before
