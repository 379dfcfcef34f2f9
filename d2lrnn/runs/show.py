"""Runs beside each other: a table of what they reached, and their curves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from d2lrnn.core.history import History
from d2lrnn.errors import D2LRNNError, D2LRNNWarning, InputError
from d2lrnn.runs.folder_files import best_epoch
from d2lrnn.runs.run_config import CONFIG
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.system.pictures import add_legend, drawing, image, new_figure, number_plainly
from d2lrnn.system.storage import write_atomically
from d2lrnn.system.terminal import spelled

_TOLD_APART = 10  # curves: matplotlib has so many colours
_LONGEST_NAME = 50  # characters, in a picture


def show(paths: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Read run folders, and return a row for each, ready for JSON.

    A folder that is no run but has runs in it stands for these. What cannot be read is left out, with a warning,
    as long as something else can be.

    Raises:
        InputError: If none of them can be read.
    """
    rows: list[dict[str, Any]] = []
    problems: list[D2LRNNError] = []
    for run in [run for path in paths for run in _runs(Path(path))]:
        try:
            rows.append(_row(RunFolder.open(run)))
        except D2LRNNError as error:
            problems.append(error)
    if not rows:
        raise problems[0] if problems else InputError("no run folder is named: name one")
    for problem in problems:
        warnings.warn(f"left out: {problem}", D2LRNNWarning, stacklevel=2)
    return rows


def _runs(path: Path) -> list[Path]:
    """Return a folder, or the runs in it if it has some and is none itself."""
    try:
        if not (path / CONFIG).exists() and path.is_dir():
            return sorted(entry.parent for entry in path.glob(f"*/{CONFIG}")) or [path]
    except (OSError, ValueError):  # opening it will say what is wrong
        pass
    return [path]


def _row(folder: RunFolder) -> dict[str, Any]:
    settings = folder.settings
    history = History() if folder.state is None else folder.state.history
    corpus = folder.config.get("corpus") or {}
    best = best_epoch(history)
    return {
        "out": str(folder.path),
        "backend": folder.backend,
        "status": folder.status,
        "error": folder.config.get("error"),
        "epoch": len(history),
        "epochs": settings.epochs,
        "corpus": corpus.get("name"),
        "used_tokens": corpus.get("used_tokens"),
        "text_tokens": corpus.get("text_tokens"),
        "settings": settings.to_dict(),
        "perplexity": history.perplexity[-1] if history.perplexity else None,
        "valid_perplexity": history.valid_perplexity[-1] if history.valid_perplexity else None,
        "best_epoch": best,
        "best_valid_perplexity": None if best is None else history.valid_perplexity[best - 1],
        "tokens_per_second": history.speed if history.tokens_per_second else None,
        "seconds": folder.config.get("seconds"),
        "history": history.to_dict(),
    }


def by_name(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows whose curves a picture can tell apart: all, or the ten with the lowest perplexities at last."""
    if len(rows) <= _TOLD_APART:
        return list(rows)
    reached = [math.inf if row["perplexity"] is None else row["perplexity"] for row in rows]
    best = sorted(range(len(rows)), key=lambda place: (math.isnan(reached[place]), reached[place]))
    return [rows[place] for place in sorted(best[:_TOLD_APART])]


def _short(name: str) -> str:
    """Return the end of a name, as it fits into a picture."""
    name = spelled(name)
    return name if len(name) <= _LONGEST_NAME else f"...{name[-_LONGEST_NAME:]}"


def _finish(figure: Any, axes: Any, kind: str) -> bytes:
    axes.set(xlabel="epoch", ylabel="perplexity", yscale="log")
    number_plainly(axes.yaxis)
    axes.grid(alpha=0.3)
    add_legend(axes, fontsize="small")
    return image(figure, kind)


def _drawable(values: Sequence[float]) -> list[float]:
    """Perplexities that overflowed leave a gap; a logarithmic axis has no place for them."""
    return [value if math.isfinite(value) else math.nan for value in values]


def draw_history(history: History) -> bytes:
    """Draw the curves of one run and return the PNG.

    Raises:
        InputError: If Matplotlib cannot draw it.
    """
    with drawing("cannot draw the curve"):
        figure = new_figure(6, 3.6)
        axes = figure.subplots()
        axes.plot(history.epoch, _drawable(history.perplexity), label="train")
        if history.valid_perplexity:
            axes.plot(history.epoch, _drawable(history.valid_perplexity), "--", label="held out")
            if best := best_epoch(history):
                axes.plot([best], _drawable([history.valid_perplexity[best - 1]]), "o", label=f"best (epoch {best})")
        return _finish(figure, axes, "png")


def draw(rows: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Draw the curves of several runs into one image file; the ending of its name says of which kind.

    Of many runs only some are drawn by name (:func:`by_name`), and the others in grey behind them.

    Args:
        rows: What :func:`show` returned.
        path: The file.

    Raises:
        InputError: If its folder is not there, or Matplotlib cannot draw it.
        StorageError: If the file cannot be written.
    """
    path = Path(path)
    with drawing(f"cannot draw the curves to {str(path)!r}"):
        figure = new_figure(9, 4.5)
        axes = figure.subplots()
        named = by_name(rows)
        for row in (others := [row for row in rows if not any(row is one for one in named)]):
            look = {"color": "0.8", "linewidth": 0.6, "label": f"{len(others)} others" if row is others[0] else None}
            axes.plot(row["history"]["epoch"], _drawable(row["history"]["perplexity"]), **look)
        for row in named:
            history, name = row["history"], _short(row["out"])
            (line,) = axes.plot(history["epoch"], _drawable(history["perplexity"]), label=name)
            if valid := history["valid_perplexity"]:
                axes.plot(history["epoch"], _drawable(valid), "--", color=line.get_color(), label=f"{name}, held out")
        content = _finish(figure, axes, path.suffix.lower().lstrip("."))
    write_atomically(path, content)
