"""Read the lessons: one MyST Markdown file each, whose cells belong to all frameworks or, by a tag, to one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import yaml
from jupytext.myst import MystMetadataParsingError

from d2lrnn.core.backends import FRAMEWORKS

NOTEBOOKS = Path(__file__).parents[1]
LESSONS = NOTEBOOKS / "lessons"


NAME = re.compile(r"\d+-[a-z0-9-]+")  # of a lesson: its number, and words
TAGS = {"raises-exception"}  # besides the frameworks
OPTIONS = {"tags", "alt"}  # of a cell


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
    start = repr(cell.source[:60])
    if unknown := cell.metadata.keys() - OPTIONS:
        raise LessonError(f"{path.name}: the cell {start} has the option {sorted(unknown)}: use {sorted(OPTIONS)}")
    tags, alt = cell.metadata.get("tags", []), cell.metadata.get("alt")
    if not (isinstance(tags, list) and set(tags) <= FRAMEWORKS.keys() | TAGS):
        raise LessonError(
            f"{path.name}: the cell {start} has the tags {tags!r}: a list of {sorted(FRAMEWORKS.keys() | TAGS)}"
        )
    if not isinstance(alt, str | None):
        raise LessonError(f"{path.name}: the cell {start} has the alt {alt!r}: a text")
    frameworks = [tag for tag in tags if tag in FRAMEWORKS]
    if len(frameworks) > 1:
        raise LessonError(f"{path.name}: a cell has the tags {frameworks}: one framework, or none for all of them")
    framework = frameworks[0] if frameworks else None
    prose = re.sub(r"^(`{3,}).*?^\1`*$", "", cell.source, flags=re.MULTILINE | re.DOTALL)
    if cell.cell_type == "markdown" and (mistyped := re.search(r"^`{3,}\{code.*", cell.source, re.MULTILINE)):
        raise LessonError(
            f"{path.name}: {mistyped[0]!r} makes no cell: write ```{{code-cell}} python, not inside a list"
        )
    if framework and cell.cell_type == "markdown" and re.search(r"^(#|[=-]+$)", prose, re.MULTILINE):
        raise LessonError(f"{path.name}: a heading in a tab ({framework}): headings belong to all frameworks")
    others = tuple(tag for tag in tags if tag not in FRAMEWORKS)
    return Cell(cell.cell_type, cell.source, framework, others, alt)


def _check_tabs(path: Path, cells: tuple[Cell, ...]) -> None:
    """Check that neighbouring tagged cells, which become one group of tabs, have something for every framework."""
    group: set[str] = set()
    for cell in (*cells, Cell("markdown", "")):
        if cell.framework:
            group.add(cell.framework)
        elif group:
            if missing := FRAMEWORKS.keys() - group:
                raise LessonError(f"{path.name}: before {cell.source[:60]!r} there is no cell for {sorted(missing)}")
            group = set()


def read_lesson(path: Path) -> Lesson:
    """Read a lesson.

    Raises:
        LessonError: If its tags or its front matter cannot be used.
    """
    if not NAME.fullmatch(path.stem):
        raise LessonError(f"{path.name}: a lesson's file is named by a number and words, such as 3-some-words.md")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise LessonError(f"{path.name} cannot be read: {error}") from None
    parts = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if parts is None:
        raise LessonError(f"{path.name} must begin with front matter between two lines of ---")
    try:
        header = yaml.safe_load(parts[1])
        notebook = jupytext.reads(text, fmt="md:myst")
    except (yaml.YAMLError, MystMetadataParsingError) as error:
        raise LessonError(f"{path.name}: {' '.join(str(error).split())}") from None
    except Exception as error:  # what the reader of notebooks says of metadata that cannot be used is its own affair
        raise LessonError(f"{path.name} cannot be read as a notebook: {str(error).splitlines()[0]}") from None
    if not isinstance(header, dict) or not header.keys() <= {"frameworks", "requires"}:
        raise LessonError(f"{path.name}: the front matter has the keys frameworks and requires, not {header!r}")
    frameworks, requires = header.get("frameworks"), header.get("requires", [])
    if frameworks not in ("own", "all"):
        raise LessonError(f"{path.name}: the front matter must have frameworks: own, or all; not {frameworks!r}")
    if not (isinstance(requires, list) and all(isinstance(name, str) for name in requires)):
        raise LessonError(f"{path.name}: requires must be a list of names for pip, not {requires!r}")
    cells = tuple(_read_cell(path, cell) for cell in notebook.cells if cell.source.strip())
    if not cells or cells[0].kind != "markdown" or not cells[0].source.startswith("# "):
        raise LessonError(f"{path.name} must begin with its title, a heading of the first level")
    _check_tabs(path, cells)
    return Lesson(path.stem, frameworks, tuple(requires), cells)


def read_lessons(folder: Path = LESSONS) -> list[Lesson]:
    """Read all lessons, in the order of their numbers."""
    paths = sorted(folder.glob("*.md"), key=lambda path: (int(re.match(r"\d*", path.name)[0] or 0), path.name))
    if not paths:
        raise LessonError(f"no lesson (*.md) in {folder}")
    return [read_lesson(path) for path in paths]
