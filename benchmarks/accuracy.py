"""Measures how far each backend's rounding is from float64: ``make accuracy``.

NumPy in float64 computes everything first, and keeps it. Then each backend in float32, NumPy's too, computes the same
from the same weights, state and minibatches, through :mod:`d2lrnn.<backend>.backend`, in a process of its own with one
thread. What is quoted is the largest error of all the numbers of a quantity, and its ratio to the largest of them.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import HERE, say

from d2lrnn.core import backends
from d2lrnn.core.threads import usable_cpus
from d2lrnn.data import load_corpus, read_text
from d2lrnn.data.corpora import default_clean
from d2lrnn.system.formatting import markdown_table
from d2lrnn.weights import canonical

MARKS = "<!-- accuracy: begin -->", "<!-- accuracy: end -->"
KEPT = "accuracy.json"

SEED = 0
BATCH_SIZE, NUM_STEPS = 32, 35  # of the book's section 8.5
LR, THETA = 1.0, 1.0
PER_EPOCH = 10  # minibatches
STEPS = (1, 10, 50, 100)
# After so many steps in float64 the weights are those that the single minibatch is computed with
TRAINED = 50
SINGLE = ("logits", "loss", "raw gradients", "clipped gradients")
QUANTITIES = SINGLE + tuple(f"weights after {n} step{'s' if n > 1 else ''}" for n in STEPS)
UNITS = 64
QUICK_UNITS, QUICK_KINDS = 8, ("rnn-scratch", "rnn")

# The same in float64, the first weights off at random by as much as float32 rounds: how far training amplifies that
MOVED, MOVE = "moved", 2.0**-24

Results = dict[str, dict[str, Any]]  # of each quantity its arrays by name
Case = tuple[str, int, bool]  # a model: its kind, how many layers, and whether it reads from both ends


def cases(quick: bool) -> list[Case]:
    """Return the models that are measured."""
    return [
        (kind, layers, both)
        for kind in (QUICK_KINDS if quick else canonical.KINDS)
        for layers, both in ((1, False), (2, False), (2, True))
        if kind != "rnn-scratch" or layers == 1
    ]


def words(kind: str, layers: int, both: bool) -> str:
    """Return the name of a model."""
    return f"{kind}, {layers} layer{'s' if layers > 1 else ''}{', from both ends' if both else ''}"


class Side:
    """A backend in a type, which computes the quantities.

    Args:
        backend: The backend.
        dtype: Its type; NumPy has the choice.
        job: What its process was asked: with the ``units`` of the models, and the ``text``, a file, and how to
            ``clean`` it.
    """

    def __init__(self, backend: str, dtype: str, job: Mapping[str, Any]) -> None:
        self.framework = backends.load(backend)
        self.backend, self.dtype, self.units = backend, dtype, job["units"]
        self.corpus, self.vocab = load_corpus(job.get("text", "time-machine"), clean=job.get("clean"))

    def build(self, case: Case) -> tuple[Any, Any]:
        """Return a model with its first weights, which are the same in all backends, and its device."""
        kind, layers, both = case
        net, device = self.framework.build_model(
            kind, len(self.vocab), self.units, layers, bidirectional=both, device="cpu", seed=SEED
        )
        if self.backend == "numpy" and self.dtype == "float32":
            net = net.float()
        for name, value in self.framework.get_weights(net).items():
            if value.dtype != self.dtype:
                raise SystemExit(f"{self.backend} has {name} in {value.dtype}, and {self.dtype} is measured")
        return net, device

    def minibatches(self, number: int) -> Any:
        """Return the backend's loader of so many minibatches an epoch."""
        size = BATCH_SIZE * NUM_STEPS * number + NUM_STEPS + 1  # the offset of an epoch takes away up to a step's
        return self.framework.SeqDataLoader(
            BATCH_SIZE, NUM_STEPS, False, -1, corpus=self.corpus[:size], vocab=self.vocab, seed=SEED
        )

    def trained(self, case: Case, most: int, move: float = 0.0) -> Results:
        """Train by ``train_ch8`` and return the weights after each of :data:`STEPS`, the first ones moved by a part."""
        found: dict[int, Any] = {}
        taken = 0

        def callback(number: int, epoch: Any) -> None:
            nonlocal taken
            taken += len(epoch.losses)
            if taken in STEPS:
                found[taken] = self.framework.get_weights(net)

        net, device = self.build(case)
        chance = np.random.default_rng(SEED)
        first = {
            name: value * (1 + move * chance.uniform(-1, 1, value.shape)) if move else value
            for name, value in self.framework.get_weights(net).items()
        }
        for number, epochs in ((1, 1), (PER_EPOCH, most // PER_EPOCH)):
            self.framework.set_weights(net, first)
            taken, train_iter = 0, self.minibatches(number)
            self.framework.train(
                net, train_iter, self.vocab, LR, epochs, device, theta=THETA, prefixes=(), quiet=True, callback=callback
            )
            if taken != number * epochs:
                raise SystemExit(f"{self.backend} took {taken} steps in {epochs} epochs of {number} minibatches")
        return {name: found[n] for name, n in zip(QUANTITIES[len(SINGLE) :], STEPS, strict=True) if n <= most}

    def single(self, case: Case, given: Mapping[str, Any]) -> Results:
        """Return what one minibatch comes to, with given weights and state, the clipped gradients at a given theta."""
        net, _ = self.build(case)
        self.framework.set_weights(net, given["weights"])
        (X, Y), state = given["minibatch"], given["state"]
        logits, _ = self.framework.forward(net, X, state)
        loss, raw, norm = self.framework.loss_and_gradients(net, X, Y, state)
        # Half the norm, so that the clipping changes them
        _, clipped, _ = self.framework.loss_and_gradients(net, X, Y, state, theta=given.get("theta", norm / 2))
        self.norm = norm
        return {
            "logits": {"logits": logits}, "loss": {"loss": np.array(loss)},
            "raw gradients": raw, "clipped gradients": clipped,
        }  # fmt: skip

    def given(self, case: Case, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a minibatch is computed with: some weights, and the state that the minibatch before leads to.

        Both are rounded to float32, so that all backends are given the same numbers.
        """
        weights = canonical.in_dtype(weights, "float32")
        net, _ = self.build(case)
        self.framework.set_weights(net, weights)
        first, second = (minibatch for minibatch, _ in zip(self._arrays(), range(2), strict=False))
        _, state = self.framework.forward(net, first[0])
        return {"weights": weights, "state": [s.astype("float32") for s in state], "minibatch": second}

    def _arrays(self) -> Iterator[tuple[Any, Any]]:
        return ((np.asarray(X), np.asarray(Y)) for X, Y in self.minibatches(PER_EPOCH))


def errors(found: Results, exact: Results) -> dict[str, dict[str, float]]:
    """Return of each quantity its largest error, and the largest of its exact values, both absolute."""
    result = {}
    for quantity, arrays in found.items():
        if list(arrays) != list(exact[quantity]):
            raise SystemExit(f"{quantity} of {', '.join(arrays)}, and {', '.join(exact[quantity])} are expected")
        # A difference of two types is one in the larger; NaN is the largest error that there is
        differences = [np.max(np.abs(arrays[name] - value)) for name, value in exact[quantity].items()]
        largest = [np.max(np.abs(value)) for value in exact[quantity].values()]
        result[quantity] = {"error": float(np.max(differences)), "largest": float(np.max(largest))}
    return result


def oracle(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Compute everything in float64, and keep it in the folder of a job."""
    side = Side("numpy", "float64", job)
    for number, case in enumerate(cases(job["quick"])):
        bidirectional = case[-1]
        trained = side.trained(case, TRAINED if bidirectional else STEPS[-1])
        given = side.given(case, trained[f"weights after {TRAINED} steps"])
        single = side.single(case, given)
        given["theta"] = side.norm / 2
        exact = single if bidirectional else {**single, **trained}
        _keep(job, number, given, exact)
        yield {"case": words(*case)}
        if not bidirectional:
            moved = side.trained(case, STEPS[-1], MOVE)
            yield from _rows(case, MOVED, moved, exact)


def compared(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Compute everything in float32, and answer its errors."""
    side = Side(job["backend"], "float32", job)
    for number, case in enumerate(cases(job["quick"])):
        if job["backend"] not in canonical.able(case[0]):
            continue
        given, exact = _kept(job, number)
        found = side.single(case, given)
        if not case[-1]:
            found |= side.trained(case, STEPS[-1])
        yield from _rows(case, job["backend"], found, exact)


def _rows(case: Case, backend: str, found: Results, exact: Results) -> Iterator[dict[str, Any]]:
    for quantity, row in errors(found, exact).items():
        yield {
            "case": words(*case), "quantity": quantity, "backend": backend, **row,
            "relative": row["error"] / row["largest"],
        }  # fmt: skip


def _keep(job: Mapping[str, Any], number: int, given: Mapping[str, Any], exact: Results) -> None:
    """Keep what a minibatch of a case is computed with, and what is expected."""
    Path(job["folder"], str(number)).write_bytes(pickle.dumps((given, exact)))


def _kept(job: Mapping[str, Any], number: int) -> Any:
    """Return what :func:`_keep` kept."""
    return pickle.loads(Path(job["folder"], str(number)).read_bytes())


def as_side(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Do the job of one process."""
    return (oracle if job["oracle"] else compared)(job)


# The tables


def section(measured: Mapping[str, Any]) -> str:
    """Return what was measured as Markdown."""
    about, rows = measured["about"], measured["rows"]
    names = list(dict.fromkeys(row["backend"] for row in rows))
    titles = {"numpy": "numpy, float32", MOVED: f"float64, moved by {MOVE:.0e}"}
    head = [titles.get(name, name) for name in names]
    found = {(row["case"], row["quantity"], row["backend"]): row for row in rows}
    largest = {(row["case"], row["quantity"]): row["largest"] for row in rows}
    parts = [
        ["### The largest of all models"],
        [
            "The error of each quantity in units of its largest value, in the model where it is largest, and which "
            "model that is."
        ],
        markdown_table(
            ["", *head],
            [[quantity, *(_worst(rows, quantity, name) for name in names)] for quantity in QUANTITIES],
        ),
        ["### Each model"],
        [
            "The largest value in float64, and of each backend the largest error: absolute, and in brackets in units "
            "of that value."
        ],
        markdown_table(
            ["", "", "largest value", *head],
            [
                [case, quantity, f"{value:.3g}", *(_error(found.get((case, quantity, name))) for name in names)]
                for (case, quantity), value in largest.items()
            ],
        ),
        [f"Measured in {about['minutes']:.0f} minutes, to {common.when_and_where(about)}. Text: {about['text']}."],
    ]
    if about["quick"]:
        parts.append(["**A quick run**, which shows that it works. Its figures mean little."])
    return common.page(parts)


def _worst(rows: Sequence[Mapping[str, Any]], quantity: str, backend: str) -> str:
    own = [row for row in rows if (row["quantity"], row["backend"]) == (quantity, backend)]
    if not own:
        return ""
    worst = max(own, key=lambda row: (row["relative"] != row["relative"], row["relative"]))  # NaN is the largest
    return f"{worst['relative']:.1e} ({worst['case']})"


def _error(row: Mapping[str, Any] | None) -> str:
    return "" if row is None else f"{row['error']:.1e} ({row['relative']:.1e})"


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and write them."""
    made = common.parser("Measure how far each backend is from float64. make accuracy does all of the set-up.",
                         "two kinds with 8 units, to see that it works")  # fmt: skip
    arguments = made.parse_args(words)
    names = common.usable(arguments.backends)
    # A part of it must not take the place of the whole
    whole = names == list(backends.BACKENDS) and not arguments.quick
    out: Path = arguments.out or (HERE if whole else Path("build", "accuracy"))
    common.ready(out, MARKS)
    source = read_text("time-machine")
    units, began = QUICK_UNITS if arguments.quick else UNITS, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        # All read what was found here, whatever is there a minute later
        text = Path(folder, "text.txt")
        text.write_bytes(source.content.encode())
        clean = default_clean(source.name)
        job = {"folder": folder, "units": units, "quick": arguments.quick, "text": str(text), "clean": clean}

        def measure(name: str, oracle: bool = False) -> list[dict[str, Any]]:
            def told(rows: Sequence[Mapping[str, Any]]) -> None:
                if len(rows) == 1 or rows[-1]["case"] != rows[-2]["case"]:
                    say(f"{name}{', float64' if oracle else ''}: {rows[-1]['case']}")

            return common.ask(Path(__file__), {**job, "backend": name, "oracle": oracle}, told)

        moved = [row for row in measure("numpy", oracle=True) if "quantity" in row]
        # Side by side, as far as there are processors: what is measured is no time
        with ThreadPoolExecutor(min(len(names), usable_cpus())) as pool:
            rows = [row for found in (*pool.map(measure, names), moved) for row in found]
    minutes = (time.perf_counter() - began) / 60
    # A model after the other, and the backends side by side
    order = {row["case"]: number for number, row in reversed([*enumerate(rows)])}  # of its first row
    rows.sort(key=lambda row: order[row["case"]])
    document = {
        "about": {
            **common.about(arguments.quick, minutes, f"{source.name}, SHA-256 {source.sha256[:12]}"),
            "units": units, "batch_size": BATCH_SIZE, "num_steps": NUM_STEPS, "lr": LR, "theta": THETA, "seed": SEED,
        },
        "rows": rows,
    }  # fmt: skip
    common.keep(document, KEPT, section(document), MARKS, out)
    print(section(document))
    print(f"written: RESULTS.md and {KEPT} in {str(out)!r}")
    return 0


if __name__ == "__main__":
    common.run(main, "nothing was written", as_side)
