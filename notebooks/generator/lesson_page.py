"""Merge the executed notebooks of a lesson into one page, whose tagged cells the Sphinx extension turns into tabs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
from lesson_notebook import SKIP, make_notebook, with_links
from lesson_run import EXECUTED, read_current
from lesson_source import Cell, Lesson, LessonError, read_lessons

from d2lrnn.core.backends import FRAMEWORKS


def read_executed(lesson: Lesson, framework: str, executed: Path = EXECUTED) -> list[Any]:
    """Return the executed cells of a lesson's notebook, without the one that installs.

    Raises:
        LessonError: If the notebook was not executed as it stands.
    """
    cells = read_current(lesson, framework, executed).cells
    return [cell for cell in cells if SKIP not in cell.metadata.get("tags", [])]


def _without_folders(text: str) -> str:
    """Return what was printed on the error stream, without the folders of the machine in a warning's first words."""
    text = re.sub(r"^\S*/ipykernel_\d+/\d+\.py:", "this cell, line ", text, flags=re.MULTILINE)
    return re.sub(r"^\S+/(?:site-packages/|(?=d2lrnn/))", "", text, flags=re.MULTILINE)


def _clean(outputs: list[Any]) -> list[Any]:
    """Join the pieces of a stream, which arrive as the kernel sends them, and drop what is of this run only."""
    cleaned: list[Any] = []
    for output in outputs:
        output = {key: value for key, value in output.items() if key not in ("execution_count", "transient")}
        if output.get("name") == "stderr":
            output["text"] = _without_folders(output["text"])
        if output["output_type"] == "execute_result":
            output["output_type"] = "display_data"
        last = cleaned[-1] if cleaned else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            cleaned.append(output)
    return [nbformat.from_dict(output) for output in cleaned]


def _prose(cell: Cell) -> str:
    """Return Markdown, which for one framework is wrapped in the extension's directive."""
    source = with_links(cell.source)
    if cell.framework is None:
        return source
    fence = "`" * (max((len(run) for run in re.findall(r"`{3,}", source)), default=2) + 1)
    return f"{fence}{{framework}} {cell.framework}\n{source}\n{fence}"


def _code(cell: Cell, framework: str | None, outputs: list[Any]) -> Any:
    metadata: dict[str, Any] = {"tags": [*cell.tags, *([framework] if framework else [])]}
    if cell.alt:
        metadata["mystnb"] = {"image": {"alt": cell.alt}}
    return nbformat.v4.new_code_cell(cell.source, outputs=outputs, metadata=metadata, execution_count=1)


def merge(lesson: Lesson, executed: Path = EXECUTED) -> nbformat.NotebookNode:
    """Return one notebook with the outputs of all frameworks.

    A code cell of all frameworks stands there once if they agree on its output, and otherwise in each one's tab.
    """
    done = {framework: iter(read_executed(lesson, framework, executed)) for framework in FRAMEWORKS}
    cells: list[Any] = []
    for cell in lesson.cells:
        mine = {name: next(done[name]) for name in FRAMEWORKS if cell.framework in (None, name)}
        if cell.kind == "markdown":
            cells.append(nbformat.v4.new_markdown_cell(_prose(cell)))
            continue
        outputs = {name: _clean(one.outputs) for name, one in mine.items()}
        if not cell.alt and any("image/" in key for one in outputs.values() for o in one for key in o.get("data", {})):
            raise LessonError(
                f"{lesson.name}: the cell {cell.source[:60]!r} draws: say what its figure shows, with :alt:"
            )
        if cell.framework is None and len({json.dumps(one, sort_keys=True) for one in outputs.values()}) == 1:
            cells.append(_code(cell, None, next(iter(outputs.values()))))
        else:
            cells += [_code(cell, name, one) for name, one in outputs.items()]
    metadata = make_notebook(lesson, "torch").metadata
    for index, cell in enumerate(cells):
        cell.id = f"cell-{index}"  # the ids of new cells are random, and the pages are to be the same each time
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def write_pages(folder: Path, executed: Path = EXECUTED) -> list[str]:
    """Write the page of every lesson into a folder, remove others, and return the names.

    Raises:
        LessonError: If one was not executed as it stands.
    """
    lessons = read_lessons()
    texts = {f"{lesson.name}.ipynb": nbformat.writes(merge(lesson, executed)) + "\n" for lesson in lessons}
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.ipynb"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # Sphinx reads again what is newer
            path.write_text(text, encoding="utf-8")
    return [lesson.name for lesson in lessons]
