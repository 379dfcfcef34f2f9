"""How near a training step comes to the rate at which this machine multiplies matrices: a question of ``bench.py``."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench_common import TARGETS, Bench, met, rounded
from common import say

from d2lrnn.data import load_corpus
from d2lrnn.system.formatting import markdown_table

# NumPy's models are in float64, and on request in float32; the others' are in float32
TYPES = {"numpy": ("float64", "float32")}


def measure(bench: Bench) -> list[dict[str, Any]]:
    """Compare the arithmetic of a training step with the rate of the framework's matrix products."""
    vocab_size = len(load_corpus(bench.text, clean="book")[1])
    rows = []
    for threads in bench.effort.threads:
        for backend, dtype in [(name, dtype) for name in bench.names for dtype in TYPES.get(name, ("float32",))]:
            for units in bench.effort.units:
                say(f"against the limit: {backend}, {dtype}, {units} units, {threads} threads")
                # Forward one product of each matrix a token, backward two, each of a multiplication and an addition
                operations = 6 * (vocab_size * units + units * units + units * vocab_size)
                seconds = bench.effort.seconds / 2
                settings = {"model": "scratch", "num_hiddens": units, "dtype": dtype}
                with bench.program("ours", backend, threads=threads, **settings) as ours:
                    ours.tokens_per_second(seconds)
                    speeds, rates, parts = [], [], []
                    for _ in range(bench.effort.rounds):
                        rates.append(ours.ask(do="matmul", seconds=seconds / 3)["flops_per_second"])
                        speeds.append(ours.tokens_per_second(seconds))
                        parts.append(speeds[-1] * operations / rates[-1])
                rows.append({
                    "backend": backend, "dtype": dtype, "units": units, "threads": threads,
                    "ours": statistics.median(speeds), "rate": statistics.median(rates),
                    "part": statistics.median(parts), "lowest": min(parts), "highest": max(parts),
                    "operations": operations,
                })  # fmt: skip
    for row in rows:  # the other frameworks multiply faster or slower on the same machine
        alike = [other for other in rows if (other["threads"], other["dtype"]) == (row["threads"], row["dtype"])]
        best = max(other["rate"] for other in alike)
        row["part_of_best"] = row["ours"] * row["operations"] / best
    return rows


def tables(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> list[list[str]]:
    """Return what was measured as parts of a page."""
    most = max(row["threads"] for row in rows)

    def target(row: Mapping[str, Any]) -> float | None:
        return TARGETS.get(row["backend"], {}).get("limit") if (row["units"], row["threads"]) == (512, most) else None

    return [
        ["### Against the limit"],
        [
            "Training from scratch, with `rnn_fast`. The limit is the rate of products of two matrices of 1,024 x "
            "1,024, of the model's type, measured in turns with the training; a step counts 6 (V h + h h + h V) "
            "operations a token, V being the vocabulary and h the units. *Own* is the framework's rate, *best* that of "
            "the fastest of the backends with as many threads and the same type; the target is held against both."
        ],
        markdown_table(
            ["", "type", "units", "threads", "tokens/s", "GFLOP/s", "own rate", "part of own", "part of best",
             "target"],
            [
                [r["backend"], r.get("dtype", "float32"), str(r["units"]), str(r["threads"]),
                 rounded(r["ours"]), rounded(r["ours"] * r["operations"] / 1e9), rounded(r["rate"] / 1e9),
                 f"**{r['part']:.0%}**", f"{r['part_of_best']:.0%}", _met_of(r, target(r))]
                for r in rows
            ],
        ),
    ]  # fmt: skip


def _met_of(row: Mapping[str, Any], target: float | None) -> str:
    verdicts = {met(row[part], target) for part in ("part", "part_of_best")}
    return verdicts.pop() if len(verdicts) == 1 else f"{target:g}, met of own only"
