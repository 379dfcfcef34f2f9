"""How time and memory grow with the corpus, the batch, the steps and the units: a question of ``bench.py``."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_common import BATCH_SIZE, NUM_STEPS, Bench, rounded
from common import say

from d2lrnn.system.formatting import markdown_table


def measure(bench: Bench) -> dict[str, list[dict[str, Any]]]:
    """Measure speed and memory as the corpus, the batch, the steps and the units grow."""
    with tempfile.TemporaryDirectory() as folder:
        corpora = {size: generated_text(Path(folder, f"{size}.txt"), size) for size in bench.effort.corpora}
        corpus = [
            _grown(bench, backend, tokens=size, text=str(path), max_tokens=-1)
            for backend in bench.names
            for size, path in corpora.items()
        ]
    sizes = [
        _grown(bench, backend, **({"batch_size": 32, "num_steps": 35, "num_hiddens": bench.effort.units[0]} | size))
        for backend in bench.names
        for size in (
            {},
            *({"batch_size": size} for size in bench.effort.batch_sizes),
            *({"num_steps": steps} for steps in bench.effort.steps),
            *({"num_hiddens": units} for units in bench.effort.units[1:]),
        )
    ]
    return {"corpus": corpus, "sizes": sizes}


def _grown(bench: Bench, backend: str, tokens: int | None = None, **settings: Any) -> dict[str, Any]:
    shown = {"tokens": tokens, **settings} | {"text": None}
    say(f"growth: {backend}, {', '.join(f'{key} {value}' for key, value in shown.items() if value is not None)}")
    settings = {"model": "scratch", "num_hiddens": bench.effort.units[0]} | settings
    long = (tokens or 0) > 10**6  # one epoch takes minutes
    with bench.program("ours", backend, threads=1, **settings) as ours:
        ready = ours.ready["peak_memory"]
        if not long:
            ours.ask(do="train", seconds=bench.effort.seconds / 3)
        speeds, peak = [], 0
        for _ in range(1 if long else min(3, bench.effort.rounds)):
            answer = ours.ask(do="train", seconds=bench.effort.seconds / 2)
            speeds.append(answer["tokens"] / answer["seconds"])
            peak = answer["peak_memory"]
    return {
        "backend": backend, "tokens": tokens, "speed": statistics.median(speeds), "epochs": answer["epochs"],
        "batch_size": settings.get("batch_size", BATCH_SIZE), "num_steps": settings.get("num_steps", NUM_STEPS),
        "num_hiddens": settings["num_hiddens"], "loaded": ready / 2**20, "peak": peak / 2**20,
    }  # fmt: skip


def generated_text(path: Path, size: int) -> Path:
    """Write a text of so many characters: random words of random letters, in lines."""
    rng = np.random.default_rng(0)
    letters = rng.choice(np.frombuffer(b"etaoin shrdlu", dtype=np.uint8), size)
    with path.open("wb") as file:
        for line in np.array_split(letters, max(1, size // 70)):
            file.write(line.tobytes().replace(b" ", b"x", 1).strip().ljust(len(line), b"x") + b"\n")
    return path


def tables(rows: Mapping[str, Sequence[Mapping[str, Any]]], about: Mapping[str, Any]) -> list[list[str]]:
    """Return what was measured as parts of a page."""
    return [
        ["### Growth"],
        [
            "Training from scratch, with `rnn_fast`, on a generated text, at "
            f"{rows['corpus'][0]['num_hiddens']} units, with one thread, so that what else the machine does matters "
            "least. *Loaded* is the peak memory once the text is read, cleaned and turned into indices, *trained* that "
            "after training."
        ],
        markdown_table(
            ["", "tokens", "tokens/s", "ns/token", "loaded, MiB", "trained, MiB"],
            [
                [r["backend"], f"{r['tokens']:,}", rounded(r["speed"]), rounded(1e9 / r["speed"]), rounded(r["loaded"]),
                 rounded(r["peak"])]
                for r in rows["corpus"]
            ],
        ),
        ["The same with more sequences, more steps and more units:"],
        markdown_table(
            ["", "batch", "steps", "units", "tokens/s", "ms/minibatch", "trained, MiB"],
            [
                [r["backend"], str(r["batch_size"]), str(r["num_steps"]), str(r["num_hiddens"]), rounded(r["speed"]),
                 rounded(1e3 * r["batch_size"] * r["num_steps"] / r["speed"]), rounded(r["peak"])]
                for r in rows["sizes"]
            ],
        ),
    ]  # fmt: skip
