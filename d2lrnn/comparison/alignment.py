"""Sources side by side: which lines belong together, and what in them differs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String

_PIECE = re.compile(r"\w+|\s+|[^\w\s]")
_ALIKE = 0.5  # the least likeness of two lines that stand beside each other
_BLANK = 0.1  # what a pair of empty lines is worth: less than any other, so that these follow the code
_CLASSES: tuple[tuple[Any, str], ...] = (
    (Comment, "c"),
    (String, "s"),
    (Number, "m"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Builtin.Pseudo, "b"),
)


@dataclass(frozen=True)
class Piece:
    """A word, a space or a sign of a line of code, with the class of its syntax."""

    text: str
    kind: str


Line = tuple[Piece, ...]


def read_lines(source: str) -> list[Line]:
    """Return the lines of a Python source as pieces, words of comments and of strings among them."""
    lines: list[list[Piece]] = [[]]
    for token, value in PythonLexer(stripnl=False).get_tokens(source):
        kind = next((name for parent, name in _CLASSES if token in parent), "")
        for number, text in enumerate(value.split("\n")):
            if number:
                lines.append([])
            lines[-1] += [Piece(piece, kind) for piece in _PIECE.findall(text)]
    while lines and not lines[-1]:
        lines.pop()
    return [tuple(line) for line in lines]


def _likeness(one: Line, other: Line) -> float:
    """Return how much of two lines is the same: 1 for equal ones, 0 for lines that have nothing in common."""
    if not one or not other:
        return _BLANK if one == other else 0.0
    if one == other:
        return 1.0
    words, others = (Counter(piece.text for piece in line if not piece.text.isspace()) for line in (one, other))
    return 2 * (words & others).total() / (words.total() + others.total())


def _worth(one: Line, other: Line) -> float:
    """Return what it is worth that two lines share a row: one pair that is equal, more than two that are alike."""
    likeness = _likeness(one, other)
    return likeness**3 if likeness >= _ALIKE or likeness == _BLANK else 0.0


def align(sources: Sequence[Sequence[Line]]) -> list[tuple[Line | None, ...]]:
    """Put the lines of several sources into rows, so that what belongs together stands side by side.

    Each source is laid along the rows of those before it such that the lines that share a row are as alike as can be
    (the global alignment of Needleman and Wunsch, in which a gap costs nothing).

    Returns:
        The rows, each with a line of every source, or None where a source has none that belongs there.
    """
    rows: list[tuple[Line | None, ...]] = [(line,) for line in sources[0]]
    for before, source in enumerate(sources[1:], start=1):
        scores = [[max(_worth(mine, line) for mine in row if mine is not None) for line in source] for row in rows]
        # best[r][s]: what the rows from r on and the lines from s on are worth together
        best = [[0.0] * (len(source) + 1) for _ in range(len(rows) + 1)]
        for r in reversed(range(len(rows))):
            for s in reversed(range(len(source))):
                together = scores[r][s] + best[r + 1][s + 1] if scores[r][s] else 0.0
                best[r][s] = max(together, best[r + 1][s], best[r][s + 1])
        merged: list[tuple[Line | None, ...]] = []
        r = s = 0
        while r < len(rows) or s < len(source):
            if r < len(rows) and best[r][s] == best[r + 1][s]:
                merged.append((*rows[r], None))
                r += 1
            elif s < len(source) and best[r][s] == best[r][s + 1]:
                merged.append((*[None] * before, source[s]))
                s += 1
            else:
                merged.append((*rows[r], source[s]))
                r, s = r + 1, s + 1
        rows = merged
    return _closed_up(rows)


def _closed_up(rows: Sequence[tuple[Line | None, ...]]) -> list[tuple[Line | None, ...]]:
    """Let rows with gaps share a row where they do not get in each other's way: other words in the same place."""
    closed: list[tuple[Line | None, ...]] = []
    beginning = 0  # of the rows with gaps that end here
    for row in rows:
        if None not in row:
            closed.append(row)
            beginning = len(closed)
            continue
        place = len(closed)
        while place > beginning and all(a is None or b is None for a, b in zip(closed[place - 1], row, strict=True)):
            place -= 1
        if place == len(closed):
            closed.append(row)
        else:
            closed[place] = tuple(b if a is None else a for a, b in zip(closed[place], row, strict=True))
    return closed


def differing(line: Line, others: Sequence[Line]) -> list[bool]:
    """Return for each piece of a line whether one of the other lines does not have it in this place."""
    differs = [False] * len(line)
    for other in others:
        matcher = SequenceMatcher(None, [piece.text for piece in line], [piece.text for piece in other], autojunk=False)
        for tag, start, end, _, _ in matcher.get_opcodes():
            if tag in ("replace", "delete"):
                differs[start:end] = [True] * (end - start)
    # a space is marked between words that are, and not beside them
    for place, piece in enumerate(line):
        if piece.text.isspace():
            differs[place] = 0 < place < len(line) - 1 and differs[place - 1] and differs[place + 1]
    return differs


def indent(line: Line) -> int:
    """Return how many spaces a line begins with."""
    return len(line[0].text) if line and line[0].text.isspace() else 0


@dataclass(frozen=True)
class MarkedLine:
    """A line of a column.

    Attributes:
        indent: How many spaces it begins with.
        same: Whether all sources have this line.
        runs: Its text: neighbours that differ from the other sources, or do not, and in these the pieces of a class.
    """

    indent: int
    same: bool
    runs: tuple[tuple[bool, tuple[Piece, ...]], ...]


def _runs(line: Line, differs: Sequence[bool]) -> tuple[tuple[bool, tuple[Piece, ...]], ...]:
    """Return the runs of a line, as :class:`MarkedLine` has them; neighbours of one class become one piece."""
    runs = []
    for differ, pairs in groupby(zip(line, differs, strict=True), key=itemgetter(1)):
        kinds = groupby((piece for piece, _ in pairs), key=attrgetter("kind"))
        runs.append((differ, tuple(Piece("".join(piece.text for piece in pieces), kind) for kind, pieces in kinds)))
    return tuple(runs)


def mark(rows: Sequence[tuple[Line | None, ...]]) -> list[list[MarkedLine | None]]:
    """Return a column for each source, all with as many lines: None where a source has none in that row."""
    columns: list[list[MarkedLine | None]] = [[] for _ in rows[0]]
    for row in rows:
        same = len(set(row)) == 1
        for place, line in enumerate(row):
            if line is None:
                columns[place].append(None)
                continue
            others = [other for other in row[:place] + row[place + 1 :] if other is not None]
            differs = [False] * len(line) if same else differing(line, others)
            columns[place].append(MarkedLine(indent(line), same, _runs(line, differs)))
    return columns
