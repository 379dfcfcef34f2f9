"""Measures whether one process can train, predict and resume for long: ``make long-runs``.

In each backend, in a process of its own with one thread, models of several kinds are trained in a run folder, asked to
continue a text, trained on and asked again, and the folder is removed, over and over, through
:mod:`d2lrnn.runs.training`. After each such round the process's resident memory, open files and threads are read from
/proc, which only Linux has; what Python's collector of cycles can free is freed before, so that what grows is kept by
something.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import HERE, say

from d2lrnn.core import backends
from d2lrnn.errors import D2LRNNWarning
from d2lrnn.runs import prediction, training
from d2lrnn.runs.settings import Settings
from d2lrnn.system.formatting import markdown_table

MARKS = "<!-- long runs: begin -->", "<!-- long runs: end -->"
KEPT = "long_runs.json"

MINUTES, QUICK_MINUTES = 30.0, 0.5
KINDS = ("rnn-scratch", "rnn", "gru", "lstm")  # a round has one of them, in turns
SETTINGS = Settings(
    num_hiddens=64, batch_size=16, num_steps=20, epochs=3, corpus="story", max_tokens=3000, valid_fraction=0.1, seed=0,
    threads=1,
)  # fmt: skip

MEASURED = ("resident", "files", "threads")  # what must not grow; the peak of the memory is told beside them
KEPT_SAMPLES = 240  # of each backend
FEWEST = 12  # samples after the warm-up, below which nothing is said

# The memory may grow by this part of itself in an hour: a process that works for a day grows by less than half. What is
# left of noise in half an hour is less than that, and a leak is more: a round takes a second or a few, and the smallest
# of these models has 28 kB of weights.
MEMORY_LIMIT = 0.02
# Of files and threads none may be lost: one in half an hour would be two in an hour
COUNT_LIMIT = 1.0


# What is done


def read_process() -> dict[str, int]:
    """Return this process's resident memory and its peak, in bytes, its open files and its threads (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    status = dict(line.split(":", 1) for line in lines)
    kibibytes = {name: int(status[key].split()[0]) for name, key in (("resident", "VmRSS"), ("peak", "VmHWM"))}
    return {
        **{name: 1024 * value for name, value in kibibytes.items()},
        "files": sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1,  # the listing itself is one
        "threads": int(status["Threads"]),
    }


def rounds(backend: str, seconds: float) -> Iterator[dict[str, Any]]:
    """Train, predict, resume and predict, until the time is over, and yield what the process has after each round."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, kind in enumerate(itertools.cycle(KINDS)):
            out = Path(folder, str(number))
            training.train(backend, replace(SETTINGS, model=kind), out=out, checkpoint_every=1, quiet=True)
            prediction.predict(out)
            training.resume(out, SETTINGS.epochs, checkpoint_every=1, quiet=True)
            prediction.predict(out, temperature=1.0, seed=number)
            shutil.rmtree(out)
            gc.collect()
            passed = time.perf_counter() - began
            yield {"seconds": round(passed, 3), **read_process()}
            if passed > seconds:
                return


def as_side(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Do the job of one process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", D2LRNNWarning)  # one in each round would say nothing new
        yield from rounds(job["backend"], job["seconds"])


# What it comes to


def warm_up(samples: Sequence[Mapping[str, float]]) -> float:
    """Return how many seconds it took until the memory was what it was to be.

    That is until it first was within one part in a hundred of its median over the second half; at least a round of each
    kind, and at most a third of the time, so that what never settles is judged too.
    """
    seconds, resident = (np.array([sample[key] for sample in samples], float) for key in ("seconds", "resident"))
    level = 0.99 * np.median(resident[len(resident) // 2 :])
    reached = seconds[np.argmax(resident >= level)]
    least = seconds[min(len(KINDS), len(seconds)) - 1]
    return float(max(least, min(reached, seconds[-1] / 3)))


def thinned(samples: Sequence[Mapping[str, float]], most: int = KEPT_SAMPLES) -> dict[str, list[float]]:
    """Return series of at most so many samples: the medians of neighbours, and of the peak the last."""
    parts = [part for part in np.array_split(np.arange(len(samples)), min(most, len(samples))) if len(part)]
    series: dict[str, list[float]] = {}
    for key in samples[0]:
        values = np.array([sample[key] for sample in samples])
        middle = (lambda part: part[-1]) if key == "peak" else np.median
        series[key] = [float(middle(values[part])) for part in parts]
    return series


def slope(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much values grow in an hour: the median slope of all pairs (Theil and Sen).

    Single samples that are far off do not move it, as long as they are fewer than three in ten.
    """
    x, y = np.asarray(seconds, float), np.asarray(values, float)
    first, second = np.triu_indices(len(x), 1)
    return float(3600 * np.median((y[second] - y[first]) / (x[second] - x[first])))


def judge(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a backend's series come to after the warm-up.

    Returns:
        For each of :data:`MEASURED` a dict of ``first``, ``last`` (medians of the first and the last tenth),
        ``growth`` (an hour), ``limit`` and ``flat``; ``flat``, of all together; both None where it was too short.
    """
    series = measured["series"]
    after = [i for i, seconds in enumerate(series["seconds"]) if seconds >= measured["warm_up"]]
    enough = len(after) >= FEWEST
    tenth = max(1, len(after) // 10)
    result: dict[str, Any] = {}
    for name in MEASURED:
        values = [series[name][i] for i in after]
        first, last = float(np.median(values[:tenth])), float(np.median(values[-tenth:]))
        limit = MEMORY_LIMIT * first if name == "resident" else COUNT_LIMIT
        growth = slope([series["seconds"][i] for i in after], values) if enough else None
        flat = None if growth is None else growth <= limit
        result[name] = {"first": first, "last": last, "growth": growth, "limit": limit, "flat": flat}
    return {**result, "flat": all(result[name]["flat"] for name in MEASURED) if enough else None}


# The table


def section(document: Mapping[str, Any]) -> str:
    """Return what was measured as Markdown."""
    own = {name: (document[name], judge(document[name])) for name in backends.BACKENDS if name in document}
    parts = [
        markdown_table(
            ["", "minutes", "rounds", "warm-up, s", "resident, MiB", "MiB/h", "limit", "peak, MiB", "open files",
             "threads", ""],
            [
                [
                    name, f"{measured['seconds'] / 60:.0f}" if measured["seconds"] >= 600
                    else f"{measured['seconds'] / 60:.1f}",
                    str(measured["rounds"]), f"{measured['warm_up']:.0f}",
                    _from_to(found["resident"], 2**20), _growth(found["resident"], 2**20),
                    f"{found['resident']['limit'] / 2**20:.1f}", f"{measured['series']['peak'][-1] / 2**20:.0f}",
                    _counted(found["files"]), _counted(found["threads"]), _verdict(found),
                ]
                for name, (measured, found) in own.items()
            ],
        )
    ]  # fmt: skip
    # Backends that were measured in one go say so once
    when: dict[str, list[str]] = {}
    for name, (measured, _) in own.items():
        when.setdefault(common.when_and_where(measured["about"] | {"finished": ""}).removeprefix(". "), []).append(
            f"{name} to {measured['about']['finished'][:16].replace('T', ' ')}"
        )
    parts += [[f"Measured: {', '.join(names)}. {where}."] for where, names in when.items()]
    if any(measured["about"]["quick"] for measured, _ in own.values()):
        parts.append(["**Shorter than 30 minutes**: it shows that it works, and little else."])
    return common.page(parts)


def _from_to(found: Mapping[str, Any], unit: float = 1) -> str:
    return f"{found['first'] / unit:.1f} to {found['last'] / unit:.1f}"


def _growth(found: Mapping[str, Any], unit: float = 1) -> str:
    return "" if found["growth"] is None else f"{found['growth'] / unit:+.1f}"


def _counted(found: Mapping[str, Any]) -> str:
    grown = "" if found["growth"] is None or found["flat"] else f" (**{found['growth']:+.1f} an hour**)"
    return f"{found['first']:g} to {found['last']:g}{grown}"


def _verdict(found: Mapping[str, Any]) -> str:
    if found["flat"] is None:
        return "too short to tell"
    grown = [name for name in MEASURED if not found[name]["flat"]]
    return f"**grows: {', '.join(grown)}**" if grown else "flat"


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write it; return 1 if something grows."""
    made = common.parser("Train, predict and resume for long in one process. make long-runs does all of the set-up.",
                         f"the same as --minutes {QUICK_MINUTES:g}")  # fmt: skip
    made.add_argument("--minutes", type=_positive, metavar="N", help=f"in each backend (default: {MINUTES:g})")
    arguments = made.parse_args(words)
    minutes = arguments.minutes or (QUICK_MINUTES if arguments.quick else MINUTES)
    if not Path("/proc/self/status").is_file():
        raise SystemExit("memory, files and threads are read from /proc, which only Linux has: measure there")
    names = common.usable(arguments.backends)
    quick = minutes < MINUTES
    out: Path = arguments.out or (Path("build", "long-runs") if quick else HERE)
    common.ready(out, MARKS)
    document = common.kept(out / KEPT)
    for name in names:
        say(f"{name}, {minutes:g} minutes")
        samples = common.ask(Path(__file__), {"backend": name, "seconds": 60 * minutes}, _tell)
        measured = {
            "about": common.about(quick, minutes, SETTINGS.corpus),
            "seconds": samples[-1]["seconds"], "rounds": len(samples), "warm_up": warm_up(samples),
            "series": thinned(samples),
        }  # fmt: skip
        # The other backends' stay: each takes half an hour, and may be measured by itself
        document = {**common.kept(out / KEPT), name: measured}
        common.keep(document, KEPT, section(document), MARKS, out)
    print(section(document))
    print(f"written: RESULTS.md and {KEPT} in {str(out)!r}")
    return 1 if any(judge(document[name])["flat"] is False for name in names) else 0


def _tell(samples: Sequence[Mapping[str, float]]) -> None:
    before, last = samples[-2:] if len(samples) > 1 else (samples[0], samples[0])
    if last["seconds"] // 60 > before["seconds"] // 60:  # once a minute
        say(f"  {last['seconds'] / 60:.0f} min, {len(samples)} rounds, {last['resident'] / 2**20:.0f} MiB")


def _positive(value: str) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{value} is no positive number")
    return number


if __name__ == "__main__":
    common.run(main, "what was measured so far is kept", as_side)
