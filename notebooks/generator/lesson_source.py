"""Read the lessons: one MyST Markdown file each, whose cells belong to all frameworks or, by a tag, to one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import yaml
from jupytext.myst import MystMetadataParsingError

from d2lrnn.backends import BACKENDS

NOTEBOOKS = Path(__file__).parents[1]
LESSONS = NOTEBOOKS / "lessons"


class LessonError(Exception):
    """A lesson that cannot be used: the message names the file and says what to do."""


@dataclass(frozen=True)
class Cell:
    """One cell of a lesson.

    Attributes:
        kind: ``'markdown'`` or ``'code'``.
        source: Its text.
        framework: The framework whose tab it belongs to, or None for all.
        tags: Its other tags.
        alt: What its figure shows, for those who cannot see it.
    """

    kind: str
    source: str
    framework: str | None = None
    tags: tuple[str, ...] = ()
    alt: str | None = None


@dataclass(frozen=True)
class Lesson:
    """A lesson.

    Attributes:
        name: Its file's name without the suffix.
        frameworks: The frameworks that each of its notebooks needs: its ``'own'``, or ``'all'``.
        requires: What else the line that installs asks pip for.
        cells: Its cells in order.
    """

    name: str
    frameworks: str
    requires: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        """The first heading."""
        return self.cells[0].source.splitlines()[0].removeprefix("# ")


def _read_cell(path: Path, cell: Any) -> Cell:
    tags = list(cell.metadata.get("tags", []))
    frameworks = [tag for tag in tags if tag in BACKENDS]
    if len(frameworks) > 1:
        raise LessonError(f"{path.name}: a cell has the tags {frameworks}: one framework, or none for all of them")
    framework = frameworks[0] if frameworks else None
    if framework and cell.cell_type == "markdown" and re.search(r"^#", cell.source, re.MULTILINE):
        raise LessonError(f"{path.name}: a heading in a tab ({framework}): headings belong to all frameworks")
    others = tuple(tag for tag in tags if tag not in BACKENDS)
    return Cell(cell.cell_type, cell.source, framework, others, cell.metadata.get("alt"))


def _check_tabs(path: Path, cells: tuple[Cell, ...]) -> None:
    """Check that neighbouring tagged cells, which become one group of tabs, have something for every framework."""
    group: set[str] = set()
    for cell in (*cells, Cell("markdown", "")):
        if cell.framework:
            group.add(cell.framework)
        elif group:
            if missing := BACKENDS.keys() - group:
                raise LessonError(f"{path.name}: before {cell.source[:60]!r} there is no cell for {sorted(missing)}")
            group = set()


def read_lesson(path: Path) -> Lesson:
    """Read a lesson.

    Raises:
        LessonError: If its tags or its front matter cannot be used.
    """
    text = path.read_text(encoding="utf-8")
    parts = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if parts is None:
        raise LessonError(f"{path.name} must begin with front matter between two lines of ---")
    header = yaml.safe_load(parts[1])
    frameworks = header.get("frameworks")
    if frameworks not in ("own", "all"):
        raise LessonError(f"{path.name}: the front matter must have frameworks: own, or all; not {frameworks!r}")
    try:
        notebook = jupytext.reads(text, fmt="md:myst")
    except MystMetadataParsingError as error:
        raise LessonError(f"{path.name}: {error}") from None
    cells = tuple(_read_cell(path, cell) for cell in notebook.cells if cell.source.strip())
    if not cells or not cells[0].source.startswith("# "):
        raise LessonError(f"{path.name} must begin with its title, a heading of the first level")
    _check_tabs(path, cells)
    return Lesson(path.stem, frameworks, tuple(header.get("requires", [])), cells)


def read_lessons(folder: Path = LESSONS) -> list[Lesson]:
    """Read all lessons, in the order of their names."""
    paths = sorted(folder.glob("*.md"))
    if not paths:
        raise LessonError(f"no lesson (*.md) in {folder}")
    return [read_lesson(path) for path in paths]
