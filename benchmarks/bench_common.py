"""What the questions of ``bench.py`` share: programs that are measured in turns, and how their figures are written."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import HERE, THREADS

# Of the book's sections 8.5 and 8.6
BATCH_SIZE, NUM_STEPS, MAX_TOKENS = 32, 35, 10000

# What is aimed at, where anything is: the ratio to the book's package, of the fastest form, and the part of the rate of
# matrix products
TARGETS = {
    "torch": {"scratch": 1.5, "concise": 1.2, "generation": 2.0, "limit": 0.45},
    "mxnet": {"scratch": 2.0, "concise": 1.3, "generation": 2.0, "limit": 0.15},
    "tensorflow": {"scratch": 6.0, "concise": 8.0, "generation": 10.0, "limit": 0.30},
}


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float  # of one burst of training
    generated: int  # characters
    startups: int
    units: tuple[int, ...]
    threads: tuple[int, ...]
    corpora: tuple[int, ...]  # tokens
    batch_sizes: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Bench:
    """What is measured, and how long.

    Attributes:
        names: The backends.
        effort: How long to measure.
        text: The file that all sides read.
        book_python: The interpreter of the book's environment, or None to leave it out.
    """

    names: tuple[str, ...]
    effort: Effort
    text: Path
    book_python: str | None

    @contextlib.contextmanager
    def beside(self, other: str, backend: str, **settings: Any) -> Iterator[dict[str, Program]]:
        """Start another side and ours, let each train for a while, and yield them by name, ours last."""
        with self.program(other, backend, **settings) as theirs, self.program("ours", backend, **settings) as ours:
            sides = {other: theirs, "ours": ours}
            for program in sides.values():  # compiled, and its memory allocated
                program.tokens_per_second(self.effort.seconds / 3)
            yield sides

    def program(self, side: str, backend: str, **settings: Any) -> Program:
        """Start a side; the arguments are those of :class:`Program`."""
        python = self.book_python if side == "book" else sys.executable
        assert python is not None
        return Program(side, backend, python, **({"text": str(self.text)} | settings))


class Program:
    """A side of ``sides.py`` in a process of its own; a context manager.

    Args:
        side: ``'ours'``, ``'book'`` or ``'plain'``.
        backend: The backend.
        python: The interpreter of its environment.
        threads: Threads that it may use; by default what its framework takes.
        settings: What :func:`sides.main` takes.
    """

    def __init__(self, side: str, backend: str, python: str, threads: int | None = None, **settings: Any) -> None:
        self.name = f"{side} {backend}"
        # Not the threads of whoever calls, and no module path: the book's side must not find d2lrnn
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", *THREADS)}
        if threads is not None:
            environment |= dict.fromkeys(THREADS, str(threads))
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name, "errors.txt").open("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [python, str(HERE / "sides.py"), side, backend],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment,
        )  # fmt: skip
        defaults = {"batch_size": BATCH_SIZE, "num_steps": NUM_STEPS, "max_tokens": MAX_TOKENS, "seed": 0}
        try:
            self.ready = self.ask(**(defaults | settings), folder=self._folder.name)
        except SystemExit:
            self.close()
            raise

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            self._errors.seek(0)
            raise SystemExit(f"the program {self.name!r} ended with this:\n{self._errors.read()[-3000:]}")
        return dict(json.loads(line))

    def tokens_per_second(self, seconds: float) -> float:
        """Train for about so many seconds and return the speed."""
        answer = self.ask(do="train", seconds=seconds)
        return float(answer["tokens"] / answer["seconds"])

    def characters_per_second(self, length: int) -> float:
        """Continue a prefix by so many characters and return the speed."""
        return float(length / self.ask(do="generate", length=length)["seconds"])

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the process end, and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()
        self._folder.cleanup()


def alternate(rounds: int, programs: Mapping[str, Program], measure: Callable[[Program], float]) -> dict[str, Any]:
    """Measure programs in turns, the first one last in every second round.

    Returns:
        ``values``: for each program its measurements. ``ratios``: for each but the first, each round's ratio to it.
    """
    names = list(programs)
    values: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        for name in names[:: 1 if i % 2 else -1]:
            values[name].append(measure(programs[name]))
    first = values[names[0]]
    ratios = {name: [b / a for a, b in zip(first, values[name], strict=True)] for name in names[1:]}
    return {"values": values, "ratios": ratios}


def medians(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the median of each program that :func:`alternate` measured, of the ratios of ours, and their range."""
    ratios = found["ratios"]["ours"]
    return {
        **{name: statistics.median(values) for name, values in found["values"].items()},
        "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios),
    }  # fmt: skip


# How figures are written


def rounded(value: float) -> str:
    """Return a number with as many digits as say something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(row: Mapping[str, Any]) -> str:
    """Return the ratio of a row, and its range."""
    return f"**{row['ratio']:.2f}** ({row['lowest']:.2f} to {row['highest']:.2f})"


def met(value: float, target: float | None) -> str:
    """Return what is aimed at, and whether it is met; nothing where nothing is."""
    return "" if target is None else f"{target:g}, {'met' if value >= target else 'not met'}"


def earlier(row: Mapping[str, Any]) -> str:
    """Return the ratios of earlier runs."""
    return ", ".join(f"{ratio:.2f}" for ratio in row.get("earlier", ()))
