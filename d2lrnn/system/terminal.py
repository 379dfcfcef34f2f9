r"""The door through which the command prints: what could act on a terminal is shown instead, as a symbol.

A text, the name of a file, a run folder that somebody sent: each may hold characters that a terminal obeys. They move
the cursor, write over what stands there, set the window's title, fill the clipboard, or turn the order of the words
around. In what the ``d2lrnn`` command prints, on either stream, into a terminal or into a pipe,

- a control character of ASCII is its picture: ESC is ``␛``, BEL is ``␇``, and a carriage return that does not end a
  line is ``␍``;
- the other control characters (U+0080 to U+009F), what sets the direction of a text (such as U+202E), the separators of
  lines and paragraphs (U+2028, U+2029), annotations and halves of surrogate pairs are spelled: ``\x9b``, ``\u202e``.

Line breaks and tabs stay, and so does every script: letters that are written from right to left, marks that stand on a
letter, and the joiners in Persian words, in Indic ones and in emoji. In an error, a warning or a name, which are one
line, a line break is ``␊``. In JSON such characters have JSON's own escapes, so that its reader gets what was there.

What is written into files is data and stays what it is, ``samples.txt`` and ``vocab.json`` of a run folder for example;
only the report of a comparison, which is read in a browser, shows the same symbols. So look at files of others with a
program that shows controls, as ``less`` does.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

from d2lrnn.errors import shortened

if TYPE_CHECKING:
    from rich.console import Console

_ACTS = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls, but for the tab and the line break
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # directions, and what came before these
    "\u2028\u2029\ufff9-\ufffb\ud800-\udfff]"
    "|\r(?!\n)"
)
_LONGEST_NAME = 4000  # characters; no path is much longer


def _symbol(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code == 0x7F:
        return "\u2421"
    if code < 0x20:
        return chr(0x2400 + code)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def visible(text: object) -> str:
    """Return a text in which what could act on a terminal is shown as a symbol; all else is as it was."""
    return _ACTS.sub(_symbol, str(text))


def one_line(text: object, most: int = _LONGEST_NAME) -> str:
    """Return a name or a message as one line that can be shown, the middle left out of one of more characters."""
    return visible(shortened(str(text), most).replace("\r", "\u240d").replace("\n", "\u240a"))


def spelled(text: object) -> str:
    """Return a name as one line for a picture, whose fonts lack the symbols: the same characters as Python has them."""
    return _ACTS.sub(lambda found: ascii(found[0])[1:-1], str(text).replace("\r", "\\r").replace("\n", "\\n"))


def in_json(document: str) -> str:
    """Return a JSON document in which the same characters have JSON's escapes: another spelling of the same values."""
    return _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


class Door:
    """A stream that shows what could act on a terminal; in all else it is the stream that it was made of.

    Args:
        stream: Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, :func:`visible`."""
        self.stream.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after the other, :func:`visible`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def doors() -> Iterator[None]:
    """Put a :class:`Door` before standard output and the error stream, for a while."""
    before = sys.stdout, sys.stderr
    # A program may have been started without a stream, and then there is None
    sys.stdout, sys.stderr = (stream and cast(TextIO, Door(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def behind(stream: TextIO) -> TextIO:
    """Return the stream behind a door, for what is of our own making: colours, and the steps of a progress bar."""
    return stream.stream if isinstance(stream, Door) else stream


def close_behind_a_bar() -> None:
    """Put the doors back to the front after Rich's progress bar has begun.

    It catches what is printed while it is there, and obeys what stands in it. At its end it puts back what it found.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(getattr(stream, "rich_proxied_file", None), Door):
            setattr(sys, name, Door(stream))


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console of Rich's that draws tables and bars with its own codes and shows those of others.

    Args:
        stderr: Whether it prints on the error stream.
        width: In characters; by default that of the terminal.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class Shown(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(visible(text), **options)  # here too, for the widths are measured of this

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else visible(text), style, control)

        def on_broken_pipe(self) -> None:
            """Raise that as any other stream does, from within the handler that calls this, instead of leaving."""
            raise

    return Shown(file=behind(sys.stderr if stderr else sys.stdout), width=width, emoji=False)
