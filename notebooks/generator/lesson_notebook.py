"""Write the notebooks of the lessons: one a framework, without outputs, the same bytes each time."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
from lesson_source import NAME, NOTEBOOKS, Cell, Lesson, LessonError, read_lessons

from d2lrnn.backends import FRAMEWORKS

# What the line that installs asks pip for. TensorFlow comes without its extra, which would put the CPU build over the
# one that Colab has.
REQUIREMENTS = {
    "torch": ('"d2lrnn[torch]"',),
    "mxnet": ('"d2lrnn[mxnet]"',),
    "tensorflow": ("d2lrnn", "tensorflow"),
    "all": ('"d2lrnn[torch,mxnet]"', "tensorflow"),
}
SKIP = "skip-execution"  # the tag that nbclient goes by


def install_cell(lesson: Lesson, framework: str) -> Cell:
    """Return the cell that installs what a notebook needs, for Colab; it is not executed here."""
    needs = [*REQUIREMENTS["all" if lesson.frameworks == "all" else framework], *lesson.requires]
    source = (
        "# In Colab, and wherever else d2lrnn is not installed yet.\n"
        "# If Colab then asks for a restart, do restart.\n"
        f"%pip install -q {' '.join(needs)}"
    )
    return Cell("code", source, framework, (SKIP,))


def cells_of(lesson: Lesson, framework: str) -> list[Cell]:
    """Return the cells of a lesson's notebook for one framework."""
    own = [cell for cell in lesson.cells if cell.framework in (None, framework)]
    return [own[0], install_cell(lesson, framework), *own[1:]]


def with_links(source: str) -> str:
    """Return Markdown whose links to other lessons lead to their notebooks."""
    return re.sub(rf"\]\(({NAME.pattern})\.md", r"](\1.ipynb", source)


def make_notebook(lesson: Lesson, framework: str) -> nbformat.NotebookNode:
    """Return the notebook of a lesson for one framework. A cell's id is a hash of its own content."""
    seen: Counter[str] = Counter()
    cells = []
    for cell in cells_of(lesson, framework):
        source = with_links(cell.source) if cell.kind == "markdown" else cell.source
        digest = hashlib.sha256(f"{cell.kind}\n{source}".encode()).hexdigest()[:12]
        seen[digest] += 1
        make: Any = nbformat.v4.new_markdown_cell if cell.kind == "markdown" else nbformat.v4.new_code_cell
        identity = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cells.append(make(source, id=identity, metadata={"tags": list(cell.tags)} if cell.tags else {}))
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata, nbformat=4, nbformat_minor=5)


def notebook_files(lessons: list[Lesson]) -> dict[Path, str]:
    """Return the text of every notebook by its path, relative to the folder of the notebooks."""
    return {
        Path(framework) / f"{lesson.name}.ipynb": nbformat.writes(make_notebook(lesson, framework)) + "\n"
        for lesson in lessons
        for framework in FRAMEWORKS
    }


def differences(folder: Path = NOTEBOOKS) -> list[str]:
    """Return what is wrong with the notebooks in a folder, a line each: missing, stale, or without a lesson."""
    files = notebook_files(read_lessons(folder / "lessons"))
    found = {path.relative_to(folder) for framework in FRAMEWORKS for path in (folder / framework).glob("*.ipynb")}
    lines = [f"{path} has no lesson" for path in sorted(found - files.keys())]
    for path, text in files.items():
        if path not in found:
            lines.append(f"{path} is missing")
        elif (folder / path).read_bytes() != text.encode():
            lines.append(f"{path} is stale")
    return lines


def write_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """Write all notebooks, remove those without a lesson, and return the paths that changed."""
    files = notebook_files(read_lessons(folder / "lessons"))
    changed = []
    for framework in FRAMEWORKS:
        (folder / framework).mkdir(exist_ok=True)
        for path in (folder / framework).glob("*.ipynb"):
            if path.relative_to(folder) not in files:
                path.unlink()
                changed.append(path)
    for path, text in files.items():
        target = folder / path
        if not target.exists() or target.read_bytes() != text.encode():
            target.write_bytes(text.encode())
            changed.append(target)
    return changed


def check_notebooks(folder: Path = NOTEBOOKS) -> None:
    """Check that the notebooks are those of the lessons.

    Raises:
        LessonError: If one is missing, stale or orphaned.
    """
    if lines := differences(folder):
        raise LessonError("; ".join(lines) + ": run make notebooks, and commit what it writes")
