"""Write what the comparison page includes: the measured table, and the signatures in which the backends differ."""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

from lesson_source import NOTEBOOKS, LessonError

from d2lrnn.core.backends import BACKENDS, FRAMEWORKS
from d2lrnn.data import part_of_text
from d2lrnn.system.formatting import format_count, format_mebibytes, format_seconds, markdown_table

MEASURED = NOTEBOOKS.parent / "build" / "compare.json"


def measured_table(document: dict[str, Any]) -> str:
    """Return the table of what ``d2lrnn compare --json`` measured, in Markdown, a column for each backend."""
    rows = document["backends"]
    if failed := [row["backend"] for row in rows if row["problem"]]:
        raise LessonError(f"the comparison has no result of {', '.join(failed)}: install it, and run make site again")
    settings = document["settings"]
    what = {
        "version": lambda row: row["version"],
        "device": lambda row: row["device"],
        "perplexity": lambda row: f"{row['perplexity']:.3f}",
        "tokens/s while training": lambda row: format_count(row["tokens_per_second"]),
        "peak memory": lambda row: format_mebibytes(row["peak_memory"]),
        "start of the process to the first minibatch": lambda row: format_seconds(row["startup_seconds"]),
        "loss differs from NumPy, first 10 steps": lambda row: f"{row['max_loss_difference_at_first']:.0e} nats",
        "loss differs from NumPy, first 50 steps": lambda row: f"{row['max_loss_difference']:.0e} nats",
        "continues": lambda row: "<br>".join(row["predictions"].values()),
    }
    cells = [[name, *(show(row) for row in rows)] for name, show in what.items()]
    part = part_of_text(rows[0].get("corpus", {}))
    corpus = f"{part} of `{Path(settings['corpus']).name}`" if part else f"`{Path(settings['corpus']).name}`"
    caption = (
        f"The RNN from scratch with {settings['num_hiddens']} units, {settings['epochs']} epochs on {corpus}, "
        f"seed {settings['seed']}:\n\n"
    )
    return caption + "\n".join(markdown_table(["", *(BACKENDS[row["backend"]].title for row in rows)], cells)) + "\n"


def _without_type(parameter: inspect.Parameter) -> str:
    return str(parameter.replace(annotation=inspect.Parameter.empty))


def differing_signatures() -> str:
    """Return a table of the public functions and classes whose call form is not the same in all backends."""
    modules = {name: importlib.import_module(f"d2lrnn.{name}") for name in FRAMEWORKS}
    rows = []
    for name in modules["torch"].__all__:
        values = [getattr(module, name) for module in modules.values()]
        if not all(map(callable, values)):
            continue
        forms = [", ".join(map(_without_type, inspect.signature(value).parameters.values())) for value in values]
        if len(set(forms)) > 1:
            rows.append([f"`{name}`", *(f"`({form})`" for form in forms)])
    return "\n".join(markdown_table(["", *(backend.title for backend in FRAMEWORKS.values())], rows)) + "\n"


def write_comparison(folder: Path, measured: Path = MEASURED) -> None:
    """Write the tables and the curves into a folder.

    Raises:
        LessonError: If nothing was measured.
    """
    if not measured.exists():
        raise LessonError(f"{measured.name} is missing: run make site, which measures it")
    document = json.loads(measured.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "measured.md").write_text(measured_table(document), encoding="utf-8")
    (folder / "signatures.md").write_text(differing_signatures(), encoding="utf-8")
    shutil.copyfile(measured.with_suffix(".png"), folder / "compare.png")
