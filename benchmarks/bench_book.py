"""How d2lrnn compares with the book's own package: a question of ``bench.py``."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_common import TARGETS, Bench, alternate, earlier, medians, met, ratio, rounded
from common import say

from d2lrnn.system import processes
from d2lrnn.system.formatting import markdown_table

BOOK = "d2l 0.17.6"
UNITS = {"scratch": 512, "concise": 256}
# What is measured of ours: as the reader writes it, and what is chosen by name
FORMS = {"scratch": ("rnn", "rnn_fast"), "concise": ("the framework's layer",)}
XLA = "rnn_fast, jit_compile"  # in TensorFlow


def forms(backend: str) -> list[tuple[str, str]]:
    """Return the models that are measured, each with what it is given."""
    forms = [(model, form) for model, of_it in FORMS.items() for form in of_it]
    if backend == "tensorflow":
        forms.insert(len(FORMS["scratch"]), ("scratch", XLA))
    return forms


def problem(python: str | None) -> str | None:
    """Return why the book's side cannot run, or None."""
    if python is None:
        return "no --book-python was given"
    try:
        asked = processes.python_code(python, "import importlib.metadata as m; print('d2l', m.version('d2l'))")
        version = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError as error:
        return f"{python!r} cannot be run: {error.strerror}"
    return None if version == BOOK else f"{python!r} does not have {BOOK}"


def measure(bench: Bench) -> list[dict[str, Any]]:
    """Compare with the book's package: training, generation, time to the first epoch and peak memory."""
    rows = []
    for backend in (name for name in bench.names if name != "numpy"):
        for model, form in forms(backend):
            say(f"against the book: {backend}, {model}, {form}")
            settings = {"model": model, "num_hiddens": UNITS[model], "form": form}
            with bench.beside("book", backend, **settings) as sides:
                for program in sides.values():
                    program.characters_per_second(bench.effort.generated)
                found = alternate(bench.effort.rounds, sides, lambda p: p.tokens_per_second(bench.effort.seconds))
                rows.append(row_of(backend, model, form, "training", "tokens/s", found))
                found = alternate(bench.effort.rounds, sides, lambda p: p.characters_per_second(bench.effort.generated))
                rows.append(row_of(backend, model, form, "generation", "characters/s", found))
            rows += _starts(bench, backend, model, form, settings)
    return rows


def _starts(bench: Bench, backend: str, model: str, form: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    seconds: dict[str, list[float]] = {"book": [], "ours": []}
    memory: dict[str, list[float]] = {"book": [], "ours": []}
    for i in range(bench.effort.startups):
        for side in list(seconds)[:: 1 if i % 2 else -1]:
            with bench.program(side, backend, **settings) as program:
                answer = program.ask(do="train", seconds=0)
                seconds[side].append(time.perf_counter() - program.began)
                memory[side].append(answer["peak_memory"] / 2**20)
    rows = []
    for quantity, unit, values in (("first epoch", "s", seconds), ("peak memory", "MiB", memory)):
        # Less is better, and a ratio above 1 is to mean better
        ratios = [book / ours for book, ours in zip(values["book"], values["ours"], strict=True)]
        rows.append(row_of(backend, model, form, quantity, unit, {"values": values, "ratios": {"ours": ratios}}))
    return rows


def row_of(backend: str, model: str, form: str, quantity: str, unit: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return what a quantity came to: the medians of both sides, and the ratio with what it is to be."""
    key = {"training": model, "generation": "generation" if model == "scratch" else None}.get(quantity)
    if (model, form) != [pair for pair in forms(backend) if pair[0] == model][-1]:
        key = None
    return {
        "backend": backend, "model": model, "form": form, "units": UNITS[model], "quantity": quantity, "unit": unit,
        **medians(found), "times": len(found["ratios"]["ours"]), "target": TARGETS.get(backend, {}).get(key or ""),
    }  # fmt: skip


def tables(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> list[list[str]]:
    """Return what was measured as parts of a page."""
    return [
        ["### Against the book's package"],
        ["![Ratios to the book's package](speed.svg)"],
        [
            f"{BOOK}, unmodified, with the threads that each framework takes by itself. The ratio says how many times "
            f"better d2lrnn is: the median of {about['rounds']} alternations (of {about['startups']} for the time from "
            "the process's start to its first epoch, and for the memory after it), and in brackets the smallest and "
            "the largest. `rnn` is what a reader of section 8.5 writes; `rnn_fast` and XLA are chosen by name. Ratios "
            "of earlier runs of `make bench`, on a day of their own, stand beside them, the newest first."
        ],
        markdown_table(
            ["", "", "", "", "the book", "d2lrnn", "", "ratio", "earlier", "target"],
            [
                [r["backend"], f"{r['model']}, {r['units']} units", r["form"], r["quantity"], rounded(r["book"]),
                 rounded(r["ours"]), r["unit"], ratio(r), earlier(r), met(r["ratio"], r["target"])]
                for r in rows
            ],
        ),
    ]  # fmt: skip


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the ratios to the book's package, with their ranges and their targets."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in rows if row["quantity"] in ("training", "generation")]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(7, 0.36 * len(rows) + 0.9), layout="constrained")
        for y, row in enumerate(rows):
            axes.barh(y, row["ratio"], color="#4c72b0" if row["quantity"] == "training" else "#8da0cb")
            axes.plot([row["lowest"], row["highest"]], [y, y], color="#222222", linewidth=1)
            axes.text(row["highest"] * 1.05, y, f"{row['ratio']:.1f}", va="center")
            if row["target"]:
                axes.plot([row["target"]] * 2, [y - 0.4, y + 0.4], color="#c44e52", linewidth=2)
        axes.axvline(1, color="#222222", linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.set_xlim(0.8, 1.6 * max(row["highest"] for row in rows))
        axes.xaxis.set_major_formatter("{x:g}")
        labels = [f"{r['backend']}, {r['form']} {r['units']}, {r['quantity']}" for r in rows]
        axes.set_yticks(range(len(rows)), labels)
        axes.invert_yaxis()
        axes.set_xlabel("times as fast as the book's package (red: the target; black: smallest to largest)")
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
