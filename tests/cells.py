"""Count whose cells run: a folder of notebooks, with nothing changed but the import of the book's package.

``python tests/cells.py FOLDER --as d2lrnn.torch`` runs every notebook (``.ipynb``, or ``.py`` with jupytext's ``# %%``)
in a process of its own and prints how many of its cells ran. A cell that fails is counted, and those after it run all
the same. The notebooks are their authors', and lie outside of this repository.

What is changed in a cell, and nothing else:

- where the book's package is imported, ``--as`` stands in its place, and no folder is put on the path for it;
- ``%matplotlib inline``, ``!pip install ...`` and other lines that are IPython's, not Python's, are left out;
- with ``--epochs``, what is said to train longer trains so many epochs; each such place is named.

It needs Python's own library only, and what the cells themselves import.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import contextlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

# What the editions, and what was made of them, call the book's package; in some the framework's tab is a module of it
PACKAGES = ("d2l", "d2lzh", "d2lzh_pytorch", "d2lzh_tensorflow2", "gluonbook")
TABS = ("mxnet", "torch", "tensorflow", "paddle", "jax")
EPOCHS = re.compile(r"(num_|max_|n_)?epochs?")
# A line that only IPython understands: a magic, a command of the shell, a question about a name
IPYTHON = re.compile(r"\s*([%!?].*|[\w.]+\?{1,2}\s*)")
WHOLE_CELL = re.compile(r"%%(bash|sh|script|html|javascript|js|latex|markdown|svg|writefile|cmd|perl|ruby)\b")
SAYS_NO_MORE = "not run"


@dataclass
class Cell:
    """A cell that was run.

    Attributes:
        number: Its place among the notebook's code cells, from 1.
        error: The first line of what it raised, or None if it ran.
        trace: Where that was.
        reduced: What trained longer than ``--epochs`` says: "num_epochs = 500", for each.
        seconds: How long it took.
    """

    number: int
    error: str | None = None
    trace: str = ""
    reduced: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Notebook:
    """A notebook that was run: its path in the folder, and its cells that have Python in them."""

    name: str
    cells: list[Cell]

    @property
    def ran(self) -> int:
        """How many of its cells ran."""
        return sum(cell.error is None for cell in self.cells)


# Reading notebooks


def read_cells(path: Path) -> list[str]:
    """Return the sources of a notebook's code cells, in their order.

    Args:
        path: An ``.ipynb``, or a ``.py`` in jupytext's percent format.

    Raises:
        ValueError: If the file is no notebook.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return _percent_cells(text)
    try:
        cells = json.loads(text)["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no notebook of the format 4: {error!r}") from None


def _percent_cells(text: str) -> list[str]:
    """Return the code cells of a text in jupytext's percent format."""
    cells: list[tuple[bool, list[str]]] = [(True, [])]
    for line in text.splitlines():
        if (marker := re.match(r"# ?%%(.*)", line)) is not None:
            cells.append((re.search(r"\[(markdown|md|raw)\]", marker[1]) is None, []))
        else:
            cells[-1][1].append(line)
    # Above the first marker stands the header, a comment
    if not any(line.strip() and not line.startswith("#") for line in cells[0][1]):
        del cells[0]
    return ["\n".join(lines).strip("\n") for code, lines in cells if code]


def notebooks_in(folder: Path) -> list[Path]:
    """Return the notebooks of a folder and of those in it, or a notebook itself.

    Raises:
        ValueError: If there are none.
    """
    if folder.is_file():
        return [folder]
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in (".ipynb", ".py") and ".ipynb_checkpoints" not in path.parts
    )
    if not found:
        raise ValueError(f"{folder} has no notebooks: give a folder with .ipynb files, or .py files with '# %%' cells")
    return found


# Changing cells


def without_ipython(source: str) -> str:
    """Return a cell without what only IPython understands; the other lines keep their numbers."""
    if WHOLE_CELL.match(source.lstrip()):
        return ""
    with contextlib.suppress(SyntaxError):
        ast.parse(source)
        return source  # a line may begin with % where an expression goes on
    lines = source.split("\n")
    for number, line in enumerate(lines):
        if IPYTHON.fullmatch(line):
            lines[number] = line[: len(line) - len(line.lstrip())] + "pass"
    return "\n".join(lines)


def is_empty(source: str) -> bool:
    """Whether a cell has nothing to run: no line but comments, or those that :func:`without_ipython` left out."""
    try:
        return all(isinstance(statement, ast.Pass) for statement in ast.parse(source).body)
    except SyntaxError:
        return False


def _new_import(node: ast.stmt, module: str) -> str | None:
    """Return what stands in the place of a statement that imports the book's package, or None if it does not."""
    if isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
        package, _, rest = node.module.partition(".")
        if package not in PACKAGES:
            return None
        # from d2l import torch as d2l: the tab. from d2l.torch import Vocab: names of it.
        tabs = [name for name in node.names if not rest and name.name in TABS]
        others = [name for name in node.names if name not in tabs]
        new = [f"import {module} as {name.asname or name.name}" for name in tabs]
        if others:
            new.append(f"from {module} import " + ", ".join(map(ast.unparse, others)))
        return "; ".join(new)
    if isinstance(node, ast.Import) and any(name.name.partition(".")[0] in PACKAGES for name in node.names):
        new = []
        for name in node.names:
            package = name.name.partition(".")[0]
            new.append(
                f"import {module} as {name.asname or package}" if package in PACKAGES else f"import {ast.unparse(name)}"
            )
        return "; ".join(new)
    # The package lies beside the chapters, in some books
    if isinstance(node, ast.Expr) and re.fullmatch(r"sys\.path\.(append|insert)\([\d, ]*'[./]+'\)", ast.unparse(node)):
        return "pass"
    return None


def _long(name: str | None, value: ast.expr, most: int) -> bool:
    """Whether a value says that training takes more than so many epochs."""
    return (
        name is not None
        and EPOCHS.fullmatch(name) is not None
        and isinstance(value, ast.Constant)
        and type(value.value) is int
        and value.value > most
    )


def _long_trainings(node: ast.AST, most: int) -> Iterator[tuple[str, ast.expr]]:
    """Yield the name and the value of each number of epochs in a node that is above the most."""
    pairs: list[tuple[str | None, ast.expr]] = []
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs += [(getattr(t, "id", None), v) for t, v in zip(target.elts, node.value.elts, strict=False)]
            else:
                pairs.append((getattr(target, "id", None), node.value))
    elif isinstance(node, ast.keyword):
        pairs.append((node.arg, node.value))
    elif isinstance(node, ast.arguments):
        positional = [*node.posonlyargs, *node.args]
        if node.defaults:
            pairs += [(a.arg, v) for a, v in zip(positional[-len(node.defaults) :], node.defaults, strict=True)]
        pairs += [(a.arg, v) for a, v in zip(node.kwonlyargs, node.kw_defaults, strict=True) if v is not None]
    elif isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and ast.unparse(node.iter.func) == "range":
        pairs += [(getattr(node.target, "id", None), value) for value in node.iter.args if len(node.iter.args) == 1]
    for name, value in pairs:
        if _long(name, value, most):
            yield str(name), value


def changed(source: str, module: str, epochs: int | None = None) -> tuple[str, list[str]]:
    """Return a cell as it is run, and what was reduced in it.

    Args:
        source: The cell, without IPython's lines.
        module: What is imported instead of the book's package.
        epochs: How long it may train, or None if it trains as long as it says.

    Raises:
        SyntaxError: If it is not Python.
    """
    edits: list[tuple[Any, str]] = []  # nodes, and what stands in their places
    reduced: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and (new := _new_import(node, module)) is not None:
            edits.append((node, new))
        if epochs is not None:
            for name, value in _long_trainings(node, epochs):
                edits.append((value, str(epochs)))
                reduced.append(f"{name} = {ast.unparse(value)}")
    # The places of nodes are counted in bytes. What comes last is changed first, so that the others keep their places.
    lines = [line.encode() for line in source.split("\n")]
    for node, new in sorted(edits, key=lambda edit: (edit[0].lineno, edit[0].col_offset), reverse=True):
        first, last = node.lineno - 1, node.end_lineno - 1
        end = lines[last][node.end_col_offset :]
        lines[first] = lines[first][: node.col_offset] + new.encode() + end
        lines[first + 1 : last + 1] = [b""] * (last - first)
    return b"\n".join(lines).decode(), reduced


# Running cells


def _run_cell(source: str, path: Path, namespace: dict[str, Any]) -> None:
    """Run a cell as a notebook does: what its last line is worth is shown, figures are closed."""
    path.write_text(source, encoding="utf-8")  # where tracebacks, and frameworks that compile functions, look
    tree = ast.parse(source, str(path))
    last = tree.body[-1] if tree.body else None
    shown = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
    if shown is not None:
        tree.body.pop()
    exec(compile(tree, str(path), "exec"), namespace)
    if shown is not None:
        repr(eval(compile(shown, str(path), "eval"), namespace))
    # MXNet computes later, and would raise in another cell
    if (mxnet := sys.modules.get("mxnet")) is not None:
        mxnet.nd.waitall()


def run_notebook(path: Path, module: str, epochs: int | None, folder: Path) -> Iterator[Cell]:
    """Run a notebook's cells in this process, and yield each.

    Args:
        path: The notebook.
        module: What is imported instead of the book's package.
        epochs: How long a cell may train.
        folder: Where the cells' sources go.
    """
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, display=lambda *shown, **_: [repr(each) for each in shown])
    sys.modules["__main__"] = main
    for number, source in enumerate(read_cells(path), 1):
        source = without_ipython(source)
        if is_empty(source):
            continue
        cell = Cell(number)
        begin = time.monotonic()
        try:
            source, cell.reduced = changed(source, module, epochs)
            _run_cell(source, folder / f"cell-{number:02}.py", main.__dict__)
        except BaseException as error:
            cell.error = first_line(error)
            cell.trace = traceback.format_exc()
        finally:
            if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
                with contextlib.suppress(Exception):
                    pyplot.close("all")
        cell.seconds = round(time.monotonic() - begin, 3)
        yield cell


def first_line(error: BaseException) -> str:
    """Return an error's class and the first line of what it says."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


def in_a_process(
    path: Path, module: str, epochs: int | None = None, seconds: float = 600.0, data: Path | None = None
) -> list[Cell]:
    """Run a notebook in a new Python, and return its cells.

    If the process ends before its last cell, or takes too long, the cell that was running has failed with that, and
    those after it have not run.

    Args:
        path: The notebook.
        module: What is imported instead of the book's package.
        epochs: How long a cell may train.
        seconds: How long the notebook may take.
        data: A folder whose files the cells find in ``../data`` and ``../../data``.
    """
    numbers = [n for n, source in enumerate(read_cells(path), 1) if not is_empty(without_ipython(source))]
    with tempfile.TemporaryDirectory(prefix="cells-", ignore_cleanup_errors=True) as made:
        folder = Path(made) / "book" / "chapter"
        folder.mkdir(parents=True)
        for place in (Path(made), Path(made) / "book") if data is not None else ():
            shutil.copytree(str(data), place / "data")
        told = Path(made) / "cells.jsonl"
        words = [
            sys.executable,
            str(Path(__file__).resolve()),
            str(path.resolve()),
            "--as",
            module,
            "--tell",
            str(told),
        ]
        words += [] if epochs is None else ["--epochs", str(epochs)]
        # The notebook's folder is another one: what was on the path from here stays there
        search = [str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        variables = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(search)}
        with (Path(made) / "output.txt").open("w+b") as output:
            process = subprocess.Popen(
                words, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
            try:
                process.wait(seconds)
                why = f"the process ended with {process.returncode}"
            except subprocess.TimeoutExpired:
                why = f"more than {seconds:g} seconds for the notebook"
            finally:
                _end(process)
            output.seek(0)
            tail = output.read().decode(errors="replace")[-2000:]
        lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    cells = [Cell(**json.loads(line)) for line in lines]
    for number in numbers[len(cells) :]:
        cells.append(Cell(number, why, tail))
        why, tail = SAYS_NO_MORE, ""
    return cells


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


# Telling


def table(notebooks: list[Notebook], verbose: bool = False) -> str:
    """Return what ran: a line for each notebook, one for each failure below it, and the sums."""
    width = max(len(notebook.name) for notebook in notebooks)
    lines = []
    for notebook in notebooks:
        seconds = sum(cell.seconds for cell in notebook.cells)
        lines.append(f"{notebook.name:{width}}  {notebook.ran:3} / {len(notebook.cells):<3} {seconds:6.1f} s")
        for cell in notebook.cells:
            if cell.error is not None and (cell.error != SAYS_NO_MORE or verbose):
                lines.append(f"    cell {cell.number}: {cell.error}")
                lines += [f"        {line}" for line in cell.trace.splitlines()] if verbose else []
    ran, count = sum(notebook.ran for notebook in notebooks), sum(len(notebook.cells) for notebook in notebooks)
    lines.append(f"{'all':{width}}  {ran:3} / {count}")
    reduced = [
        f"{nb.name} cell {cell.number}: {each}" for nb in notebooks for cell in nb.cells for each in cell.reduced
    ]
    if reduced:
        lines += ["", "trained shorter than written:", *(f"    {each}" for each in reduced)]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run it; return 0 if all cells run, 1 if not, and 2 if there is nothing to run."""
    parser = argparse.ArgumentParser(
        description="Run notebooks with another package in the place of the book's, and count the cells that run."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="notebooks: .ipynb, or .py with '# %%%%' cells")
    parser.add_argument("--as", dest="module", required=True, metavar="MODULE", help="what is imported: d2lrnn.torch")
    parser.add_argument("--epochs", type=int, metavar="N", help="train so many epochs at most")
    parser.add_argument("--seconds", type=float, default=600.0, metavar="N", help="how long a notebook may take (600)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="what the cells find as ../data")
    parser.add_argument("--only", metavar="WORDS", help="only notebooks whose path has this in it")
    parser.add_argument("--verbose", action="store_true", help="show where each failure was")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--tell", type=Path, help=argparse.SUPPRESS)  # what in_a_process says to the new Python
    options = parser.parse_args(argv)
    if options.tell is not None:
        _tell(options.folder, options.module, options.epochs, options.tell)
    if not options.folder.exists():
        parser.error(f"{options.folder} does not exist: give a folder of notebooks, or a notebook")
    if not all(part.isidentifier() for part in options.module.split(".")):
        parser.error(f"--as {options.module!r} is no name of a module: give one as in d2lrnn.torch")
    if options.epochs is not None and options.epochs < 1:
        parser.error(f"--epochs {options.epochs}: a cell trains for 1 epoch at least")
    if options.data is not None and not options.data.is_dir():
        parser.error(f"--data {options.data} is no folder")
    root = options.folder.parent if options.folder.is_file() else options.folder
    results = []
    try:
        for path in notebooks_in(options.folder):
            name = path.relative_to(root).as_posix()
            if options.only is None or options.only in name:
                cells = in_a_process(path, options.module, options.epochs, options.seconds, options.data)
                results.append(Notebook(name, cells))
    except ValueError as error:
        parser.error(str(error))
    if not results:
        parser.error(f"no notebook in {options.folder} has {options.only!r} in its path")
    ran, count = sum(notebook.ran for notebook in results), sum(len(notebook.cells) for notebook in results)
    if options.json:
        document = {
            "folder": str(options.folder), "as": options.module, "epochs": options.epochs, "ran": ran, "cells": count,
            "notebooks": [
                {"name": notebook.name, "ran": notebook.ran, "cells": [asdict(cell) for cell in notebook.cells]}
                for notebook in results
            ],
        }  # fmt: skip
        print(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        print(table(results, options.verbose))
    return 0 if ran == count else 1


def _tell(path: Path, module: str, epochs: int | None, told: Path) -> NoReturn:
    """Run a notebook in this process, the new Python; write each cell to a file as soon as it has ended."""
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # this script's folder is not the notebook's
    importlib.invalidate_caches()
    with told.open("w", encoding="utf-8") as file:
        for cell in run_notebook(path, module, epochs, told.parent):
            print(json.dumps(asdict(cell)), file=file, flush=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # what the cells have started, threads and processes of a framework, is not waited for


if __name__ == "__main__":
    if "--tell" not in sys.argv:
        # Whoever ends this ends the notebook that it runs, which is in a session of its own
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
