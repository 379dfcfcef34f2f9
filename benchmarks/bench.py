"""Measures how fast d2lrnn is: ``make bench``.

Four questions, each answered by processes that run one after the other, in turns, in one run on one machine:

- how it compares with the book's own package;
- how near a training step comes to the rate at which this machine multiplies matrices;
- how it compares with what users of PyTorch and Keras write themselves;
- how time and memory grow with the corpus, the batch, the steps and the units.

Absolute figures of such a machine drift by half within the hour; ratios of neighbours in time hold. So every
comparison alternates its sides, takes the ratio of each pair of neighbours, and quotes the median of these ratios.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import HERE, say, table

from d2lrnn.data import load_corpus, read_text
from d2lrnn.system import processes

MARKS = "<!-- bench: begin -->", "<!-- bench: end -->"
KEPT = "speed.json"
BOOK = "d2l 0.17.6"
SECTIONS = ("book", "limit", "plain", "growth")
EARLIER_RUNS = 4  # of each question, that are kept beside the newest

# Of the book's sections 8.5 and 8.6
BATCH_SIZE, NUM_STEPS, MAX_TOKENS = 32, 35, 10000
UNITS = {"scratch": 512, "concise": 256}
# What is measured of ours: as the reader writes it, and what is chosen by name
FORMS = {"scratch": ("rnn", "rnn_fast"), "concise": ("the framework's layer",)}
XLA = "rnn_fast, jit_compile"  # in TensorFlow

# What is aimed at: the ratio to the book's package, of the fastest form, and the part of the rate of matrix products
TARGETS = {
    "torch": {"scratch": 1.5, "concise": 1.2, "generation": 2.0, "limit": 0.45},
    "mxnet": {"scratch": 2.0, "concise": 1.3, "generation": 2.0, "limit": 0.15},
    "tensorflow": {"scratch": 6.0, "concise": 8.0, "generation": 10.0, "limit": 0.30},
    "numpy": {},  # the book has none
}
# NumPy's models are in float64, and on request in float32; the others' are in float32
TYPES = {"numpy": ("float64", "float32")}


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


FULL = Effort(7, 3.0, 1000, 3, (256, 512, 1024), (1, 2), (10_000, 170_580, 20_000_000), (64, 128), (70, 140))
QUICK = Effort(1, 0.1, 50, 1, (64,), (1,), (10_000, 40_000), (64,))


class Program:
    """A side of ``sides.py`` in a process of its own; a context manager.

    Args:
        side: ``'ours'``, ``'book'`` or ``'plain'``.
        backend: The backend.
        python: The interpreter of its environment.
        threads: Threads that it may use; by default what its framework takes.
        settings: What :class:`sides.Side` takes.
    """

    def __init__(self, side: str, backend: str, python: str, threads: int | None = None, **settings: Any) -> None:
        self.name = f"{side} {backend}"
        # Not the threads of whoever calls, and no module path: the book's side must not find d2lrnn
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", *names)}
        if threads is not None:
            environment |= dict.fromkeys(names, str(threads))
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
        return json.loads(line)

    def tokens_per_second(self, seconds: float) -> float:
        """Train for about so many seconds and return the speed."""
        answer = self.ask(do="train", seconds=seconds)
        return answer["tokens"] / answer["seconds"]

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


class Bench:
    """The measurements, each of which returns rows ready for JSON.

    Args:
        names: The backends.
        effort: How long to measure.
        text: The file that all sides read.
        book_python: The interpreter of the book's environment, or None to leave it out.
    """

    def __init__(self, names: Sequence[str], effort: Effort, text: Path, book_python: str | None) -> None:
        self.names, self.effort, self.text, self.book_python = names, effort, text, book_python

    def _program(self, side: str, backend: str, **settings: Any) -> Program:
        python = self.book_python if side == "book" else sys.executable
        assert python is not None
        return Program(side, backend, python, **({"text": str(self.text)} | settings))

    def book(self) -> list[dict[str, Any]]:
        """Compare with the book's package: training, generation, time to the first epoch and peak memory."""
        rows = []
        for backend in (name for name in self.names if name != "numpy"):
            for model, form in _forms(backend):
                say(f"against the book: {backend}, {model}, {form}")
                settings = {"model": model, "num_hiddens": UNITS[model], "form": form}
                with (
                    self._program("book", backend, **settings) as book,
                    self._program("ours", backend, **settings) as ours,
                ):
                    sides = {"book": book, "ours": ours}
                    for program in sides.values():  # compiled, and its memory allocated
                        program.tokens_per_second(self.effort.seconds / 3)
                        program.ask(do="generate", length=self.effort.generated)
                    found = alternate(self.effort.rounds, sides, lambda p: p.tokens_per_second(self.effort.seconds))
                    rows.append(self._row(backend, model, form, "training", "tokens/s", found))
                    length = self.effort.generated
                    found = alternate(
                        self.effort.rounds,
                        sides,
                        lambda p: length / p.ask(do="generate", length=length)["seconds"],  # noqa: B023 (called here)
                    )
                    rows.append(self._row(backend, model, form, "generation", "characters/s", found))
                rows += self._starts(backend, model, form, settings)
        return rows

    def _starts(self, backend: str, model: str, form: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
        seconds: dict[str, list[float]] = {"book": [], "ours": []}
        memory: dict[str, list[float]] = {"book": [], "ours": []}
        for i in range(self.effort.startups):
            for side in list(seconds)[:: 1 if i % 2 else -1]:
                with self._program(side, backend, **settings) as program:
                    answer = program.ask(do="train", seconds=0)
                    seconds[side].append(time.perf_counter() - program.began)
                    memory[side].append(answer["peak_memory"] / 2**20)
        rows = []
        for quantity, unit, values in (("first epoch", "s", seconds), ("peak memory", "MiB", memory)):
            # Less is better, and a ratio above 1 is to mean better
            ratios = [book / ours for book, ours in zip(values["book"], values["ours"], strict=True)]
            rows.append(self._row(backend, model, form, quantity, unit, {"values": values, "ratios": {"ours": ratios}}))
        return rows

    @staticmethod
    def _row(backend: str, model: str, form: str, quantity: str, unit: str, found: dict[str, Any]) -> dict[str, Any]:
        ratios = found["ratios"]["ours"]
        key = {"training": model, "generation": "generation" if model == "scratch" else None}.get(quantity)
        if (model, form) != [pair for pair in _forms(backend) if pair[0] == model][-1]:
            key = None
        return {
            "backend": backend, "model": model, "form": form, "units": UNITS[model], "quantity": quantity, "unit": unit,
            "book": statistics.median(found["values"]["book"]), "ours": statistics.median(found["values"]["ours"]),
            "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios), "times": len(ratios),
            "target": TARGETS[backend].get(key or ""),
        }  # fmt: skip

    def limit(self) -> list[dict[str, Any]]:
        """Compare the arithmetic of a training step with the rate of the framework's matrix products."""
        vocab_size = len(load_corpus(self.text, clean="book")[1])
        rows = []
        for threads in self.effort.threads:
            for backend, dtype in [(name, dtype) for name in self.names for dtype in TYPES.get(name, ("float32",))]:
                for units in self.effort.units:
                    say(f"against the limit: {backend}, {dtype}, {units} units, {threads} threads")
                    # Forward one product of each matrix a token, backward two, each of a multiplication and an addition
                    operations = 6 * (vocab_size * units + units * units + units * vocab_size)
                    seconds = self.effort.seconds / 2
                    settings = {"model": "scratch", "num_hiddens": units, "dtype": dtype}
                    with self._program("ours", backend, threads=threads, **settings) as ours:
                        ours.tokens_per_second(seconds)
                        speeds, rates, parts = [], [], []
                        for _ in range(self.effort.rounds):
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

    def plain(self) -> list[dict[str, Any]]:
        """Compare with the same model as users of PyTorch and Keras write it."""
        rows = []
        for backend in (name for name in self.names if name in ("torch", "tensorflow")):
            for units in self.effort.units:
                say(f"against the framework's own way: {backend}, {units} units")
                settings = {"model": "concise", "num_hiddens": units}
                with (
                    self._program("plain", backend, **settings) as plain,
                    self._program("ours", backend, **settings) as ours,
                ):
                    sides = {"plain": plain, "ours": ours}
                    for program in sides.values():
                        program.tokens_per_second(self.effort.seconds / 3)
                    found = alternate(self.effort.rounds, sides, lambda p: p.tokens_per_second(self.effort.seconds / 2))
                ratios = found["ratios"]["ours"]
                rows.append({
                    "backend": backend, "units": units,
                    "plain": statistics.median(found["values"]["plain"]),
                    "ours": statistics.median(found["values"]["ours"]),
                    "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios),
                })  # fmt: skip
        return rows

    def growth(self) -> dict[str, list[dict[str, Any]]]:
        """Measure speed and memory as the corpus, the batch, the steps and the units grow."""
        with tempfile.TemporaryDirectory() as folder:
            corpora = {size: _generated_text(Path(folder, f"{size}.txt"), size) for size in self.effort.corpora}
            corpus = [
                self._grown(backend, tokens=size, text=str(path), max_tokens=-1)
                for backend in self.names
                for size, path in corpora.items()
            ]
        sizes = [
            self._grown(backend, **({"batch_size": 32, "num_steps": 35, "num_hiddens": self.effort.units[0]} | size))
            for backend in self.names
            for size in (
                {},
                *({"batch_size": size} for size in self.effort.batch_sizes),
                *({"num_steps": steps} for steps in self.effort.steps),
                *({"num_hiddens": units} for units in self.effort.units[1:]),
            )
        ]
        return {"corpus": corpus, "sizes": sizes}

    def _grown(self, backend: str, tokens: int | None = None, **settings: Any) -> dict[str, Any]:
        shown = {"tokens": tokens, **settings} | {"text": None}
        say(f"growth: {backend}, {', '.join(f'{key} {value}' for key, value in shown.items() if value is not None)}")
        settings = {"model": "scratch", "num_hiddens": self.effort.units[0]} | settings
        long = (tokens or 0) > 10**6  # one epoch takes minutes
        with self._program("ours", backend, threads=1, **settings) as ours:
            ready = ours.ready["peak_memory"]
            if not long:
                ours.ask(do="train", seconds=self.effort.seconds / 3)
            speeds, peak = [], 0
            for _ in range(1 if long else min(3, self.effort.rounds)):
                answer = ours.ask(do="train", seconds=self.effort.seconds / 2)
                speeds.append(answer["tokens"] / answer["seconds"])
                peak = answer["peak_memory"]
        return {
            "backend": backend, "tokens": tokens, "speed": statistics.median(speeds), "epochs": answer["epochs"],
            "batch_size": settings.get("batch_size", BATCH_SIZE), "num_steps": settings.get("num_steps", NUM_STEPS),
            "num_hiddens": settings["num_hiddens"], "loaded": ready / 2**20, "peak": peak / 2**20,
        }  # fmt: skip


def _forms(backend: str) -> list[tuple[str, str]]:
    """Return the models that are measured, each with what it is given."""
    forms = [(model, form) for model, of_it in FORMS.items() for form in of_it]
    if backend == "tensorflow":
        forms.insert(len(FORMS["scratch"]), ("scratch", XLA))
    return forms


def _generated_text(path: Path, size: int) -> Path:
    """Write a text of so many characters: random words of random letters, in lines."""
    rng = np.random.default_rng(0)
    letters = rng.choice(np.frombuffer(b"etaoin shrdlu", dtype=np.uint8), size)
    with path.open("wb") as file:
        for line in np.array_split(letters, max(1, size // 70)):
            file.write(line.tobytes().replace(b" ", b"x", 1).strip().ljust(len(line), b"x") + b"\n")
    return path


# The tables


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(row: Mapping[str, Any]) -> str:
    return f"**{row['ratio']:.2f}** ({row['lowest']:.2f} to {row['highest']:.2f})"


def _met_of(row: Mapping[str, Any], target: float | None) -> str:
    verdicts = {_met(row[part], target) for part in ("part", "part_of_best")}
    return verdicts.pop() if len(verdicts) == 1 else f"{target:g}, met of own only"


def _met(value: float, target: float | None) -> str:
    return "" if target is None else f"{target:g}, {'met' if value >= target else 'not met'}"


def section(name: str, measured: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return what was measured on one question as Markdown.

    Args:
        name: The question.
        measured: What the newest run measured.
        earlier: What earlier runs did, the newest first: their ratios stand beside those of the newest.
    """
    about, rows = measured["about"], measured["rows"]
    if name in ("book", "plain"):
        before = [{_key(row): row for row in run["rows"]} for run in earlier]
        rows = [{**row, "earlier": [run[_key(row)]["ratio"] for run in before if _key(row) in run]} for row in rows]
    parts = {"book": _book, "limit": _limit, "plain": _plain, "growth": _growth}[name](rows, about)
    when = f"Measured in {about['minutes']:.0f} minutes, to {common.when_and_where(about)}"
    parts.append([f"{when}. Text: {about['text']}."])
    if name in ("book", "plain"):
        parts += [[f"Earlier: to {common.when_and_where(run['about'])}."] for run in earlier]
    if about["quick"]:
        parts.append(["**A quick run**, which shows that it works. Its figures mean nothing."])
    return common.page(parts)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a row says of: two runs that have it measured the same."""
    return tuple(row.get(name) for name in ("backend", "model", "form", "units", "quantity"))


def _earlier(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{ratio:.2f}" for ratio in row.get("earlier", ()))


def _book(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> list[list[str]]:
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
        table(
            ["", "", "", "", "the book", "d2lrnn", "", "ratio", "earlier", "target"],
            [
                [r["backend"], f"{r['model']}, {r['units']} units", r["form"], r["quantity"], _figure(r["book"]),
                 _figure(r["ours"]), r["unit"], _ratio(r), _earlier(r), _met(r["ratio"], r["target"])]
                for r in rows
            ],
        ),
    ]  # fmt: skip


def _limit(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> list[list[str]]:
    most = max(row["threads"] for row in rows)

    def target(row: Mapping[str, Any]) -> float | None:
        return TARGETS[row["backend"]].get("limit") if (row["units"], row["threads"]) == (512, most) else None

    return [
        ["### Against the limit"],
        [
            "Training from scratch, with `rnn_fast`. The limit is the rate of products of two matrices of 1,024 x "
            "1,024, of the model's type, measured in turns with the training; a step counts 6 (V h + h h + h V) "
            "operations a token, V being the vocabulary and h the units. *Own* is the framework's rate, *best* that of "
            "the fastest of the backends with as many threads and the same type; the target is held against both."
        ],
        table(
            ["", "type", "units", "threads", "tokens/s", "GFLOP/s", "own rate", "part of own", "part of best",
             "target"],
            [
                [r["backend"], r.get("dtype", "float32"), str(r["units"]), str(r["threads"]),
                 _figure(r["ours"]), _figure(r["ours"] * r["operations"] / 1e9), _figure(r["rate"] / 1e9),
                 f"**{r['part']:.0%}**", f"{r['part_of_best']:.0%}", _met_of(r, target(r))]
                for r in rows
            ],
        ),
    ]  # fmt: skip


def _plain(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> list[list[str]]:
    return [
        ["### Against the frameworks' own ways"],
        [
            "The same concise model as users write it without either package: `keras.Model.fit` with `SimpleRNN`, and "
            "the loop of PyTorch's word language model with `nn.RNN`. Tokens per second, and the ratio."
        ],
        table(
            ["", "units", "theirs", "d2lrnn", "ratio", "earlier"],
            [
                [r["backend"], str(r["units"]), _figure(r["plain"]), _figure(r["ours"]), _ratio(r), _earlier(r)]
                for r in rows
            ],
        ),
    ]


def _growth(rows: Mapping[str, Sequence[Mapping[str, Any]]], about: Mapping[str, Any]) -> list[list[str]]:
    return [
        ["### Growth"],
        [
            "Training from scratch, with `rnn_fast`, on a generated text, at "
            f"{rows['corpus'][0]['num_hiddens']} units, with one thread, so that what else the machine does matters "
            "least. *Loaded* is the peak memory once the text is read, cleaned and turned into indices, *trained* that "
            "after training."
        ],
        table(
            ["", "tokens", "tokens/s", "ns/token", "loaded, MiB", "trained, MiB"],
            [
                [r["backend"], f"{r['tokens']:,}", _figure(r["speed"]), _figure(1e9 / r["speed"]), _figure(r["loaded"]),
                 _figure(r["peak"])]
                for r in rows["corpus"]
            ],
        ),
        ["The same with more sequences, more steps and more units:"],
        table(
            ["", "batch", "steps", "units", "tokens/s", "ms/minibatch", "trained, MiB"],
            [
                [r["backend"], str(r["batch_size"]), str(r["num_steps"]), str(r["num_hiddens"]), _figure(r["speed"]),
                 _figure(1e3 * r["batch_size"] * r["num_steps"] / r["speed"]), _figure(r["peak"])]
                for r in rows["sizes"]
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


def drift(document: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """Say how the ratios differ from those of an earlier run."""

    def ratios(of: Mapping[str, Any]) -> dict[str, float]:
        rows = [row for name in ("book", "plain") if name in of for row in of[name]["rows"]]
        return {
            f"{r['backend']}, {r.get('form', 'layer')}, {r['units']} units, {r.get('quantity', 'its own way')}": r[
                "ratio"
            ]
            for r in rows
        }

    earlier = ratios(before)
    changes = {key: value / earlier[key] - 1 for key, value in ratios(document).items() if key in earlier}
    if changes:
        far = {key: change for key, change in changes.items() if abs(change) > 0.15}
        near = len(changes) - len(far)
        yield f"Ratios against those that were kept before: {near} of {len(changes)} within 15 %"
        yield from (f"  {key}: {change:+.0%}" for key, change in far.items())


def _book_problem(python: str | None) -> str | None:
    """Return why the book's side cannot run, or None."""
    if python is None:
        return "no --book-python was given"
    try:
        asked = processes.python_code(python, "import importlib.metadata as m; print('d2l', m.version('d2l'))")
        version = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError as error:
        return f"{python!r} cannot be run: {error.strerror}"
    return None if version == BOOK else f"{python!r} does not have {BOOK}"


def main() -> int:
    """Measure, print the tables, and write them."""
    parser = common.parser("Measure how fast d2lrnn is. make bench does all of the set-up.",
                           "minutes instead of half an hour, to see that it works")  # fmt: skip
    parser.add_argument("--book-python", metavar="PATH", help=f"the interpreter of an environment that has {BOOK}")
    parser.add_argument(
        "--only", action="append", choices=SECTIONS, help="measure this question anew, and keep the others (repeatable)"
    )
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else FULL
    names = common.usable(arguments.backends)
    if problem := _book_problem(arguments.book_python):
        say(f"without the book's package: {problem}")
    wanted = [name for name in arguments.only or SECTIONS if name != "book" or problem is None]
    if not wanted:
        raise SystemExit("nothing is left to measure")
    out = arguments.out or (Path("build", "bench") if arguments.quick else HERE)
    common.ready(out, MARKS)
    before = common.kept(out / KEPT)
    document: dict[str, Any] = dict(before)
    source = read_text("time-machine")
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "timemachine.txt")
        text.write_text(source.content, encoding="utf-8")
        bench = Bench(names, effort, text, arguments.book_python)
        for name in wanted:
            began = time.perf_counter()
            rows = getattr(bench, name)()
            minutes = (time.perf_counter() - began) / 60
            about = {
                **common.about(arguments.quick, minutes, f"{source.name}, SHA-256 {source.sha256[:12]}"),
                "rounds": effort.rounds, "startups": effort.startups,
            }  # fmt: skip
            earlier = [before[name], *before.get("earlier", {}).get(name, [])] if name in before else []
            document = {**document, name: {"about": about, "rows": rows}}
            document["earlier"] = {**document.get("earlier", {}), name: earlier[:EARLIER_RUNS]}
            # After every section, so that nothing is lost that took so long
            _write(document, out)
            print(section(name, document[name], document["earlier"][name]))
    for line in drift(document, before):
        print(line)
    print(f"written: RESULTS.md and {KEPT} in {str(out)!r}")
    return 0


def _write(document: Mapping[str, Any], folder: Path) -> None:
    if "book" in document:
        plot(document["book"]["rows"], folder / "speed.svg")
    earlier = document.get("earlier", {})
    parts = [section(name, document[name], earlier.get(name, [])) for name in SECTIONS if name in document]
    common.keep(document, KEPT, "\n".join(parts), MARKS, folder)


if __name__ == "__main__":
    common.run(main, "what was measured so far is kept")
