"""Write the notebooks of the lessons: one a framework, without outputs, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
from lesson_source import NAME, NOTEBOOKS, Cell, Lesson, LessonError, read_lessons

from d2lrnn.core.backends import FRAMEWORKS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which jupytext needs there

# What pip is asked for where a module is missing, and only there: Colab has PyTorch and TensorFlow, in other builds
# than d2lrnn's extras would bring. MXNet's own metadata asks for a NumPy that is too old for these two, so it comes
# without what it depends on; d2lrnn brings that.
REQUIREMENTS = {
    "torch": "torch",
    "mxnet": "--no-deps mxnet setuptools<80;python_version>='3.12'",
    "tensorflow": "tensorflow",
}
SKIP = "skip-execution"  # the tag that nbclient goes by

_INSTALL = """\
# Installs what is missing here, as in Colab, and leaves what is there as it is.
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = {repository}  # the address that d2lrnn is cloned from, https://...

sources = ["d2lrnn"]  # of pip's index
if REPOSITORY:
    sources.insert(0, f"git+{{REPOSITORY}}")
if Path("../../d2lrnn/__init__.py").exists():  # this notebook lies in a clone
    sources.insert(0, "../..")
needs = {{
    "d2lrnn": sources,
{others}
}}


def pip_install(what):
    print("pip install", what, flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", *what.split()]
    return subprocess.run(command, check=False).returncode == 0


for name, ways in needs.items():
    found = find_spec(name)
    if (found is None or found.origin is None) and not any(map(pip_install, ways)):
        advice = ": write its address behind REPOSITORY" if name == "d2lrnn" else ""
        raise RuntimeError(f"pip cannot install {{name}}{{advice}}")"""


def repository(pyproject: Path = NOTEBOOKS.parent / "pyproject.toml") -> str:
    """Return the address of d2lrnn's repository, which pyproject.toml says once there is one, or an empty text."""
    if not pyproject.is_file():  # the folder of notebooks was copied by itself
        return ""
    urls = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"].get("urls", {})
    return str(urls.get("Repository", ""))


def install_cell(lesson: Lesson, framework: str, address: str | None = None) -> Cell:
    """Return the cell that installs what a notebook needs, for Colab; it is not executed here.

    Args:
        lesson: The lesson.
        framework: Whose notebook it is.
        address: Of d2lrnn's repository; by default what :func:`repository` returns.
    """
    frameworks = FRAMEWORKS if lesson.frameworks == "all" else (framework,)
    needs = {name: REQUIREMENTS[name] for name in frameworks} | {name: name for name in lesson.requires}
    source = _INSTALL.format(
        repository=json.dumps(repository() if address is None else address),
        others="\n".join(f"    {json.dumps(name)}: [{json.dumps(what)}]," for name, what in needs.items()),
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
