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

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench_book
import bench_growth
import bench_limit
import bench_plain
import common
from bench_common import Bench, Effort
from common import HERE, say

from d2lrnn.data import read_text

MARKS = "<!-- bench: begin -->", "<!-- bench: end -->"
KEPT = "speed.json"
QUESTIONS = {"book": bench_book, "limit": bench_limit, "plain": bench_plain, "growth": bench_growth}
EARLIER_RUNS = 4  # of each question, that are kept beside the newest
FULL = Effort(7, 3.0, 1000, 3, (256, 512, 1024), (1, 2), (10_000, 170_580, 20_000_000), (64, 128), (70, 140))
QUICK = Effort(1, 0.1, 50, 1, (64,), (1,), (10_000, 40_000), (64,))


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
    parts = QUESTIONS[name].tables(rows, about)
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


def drift(document: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """Say how the ratios differ from those of an earlier run."""

    def name(row: Mapping[str, Any]) -> tuple[str, ...]:
        return row["backend"], row.get("form", "layer"), f"{row['units']} units", row.get("quantity", "its own way")

    def ratios(of: Mapping[str, Any]) -> dict[str, float]:
        rows = [row for name in ("book", "plain") if name in of for row in of[name]["rows"]]
        return {", ".join(name(row)): row["ratio"] for row in rows}

    earlier = ratios(before)
    changes = {key: value / earlier[key] - 1 for key, value in ratios(document).items() if key in earlier}
    if changes:
        far = {key: change for key, change in changes.items() if abs(change) > 0.15}
        near = len(changes) - len(far)
        yield f"Ratios against those that were kept before: {near} of {len(changes)} within 15 %"
        yield from (f"  {key}: {change:+.0%}" for key, change in far.items())


def main() -> int:
    """Measure, print the tables, and write them."""
    parser = common.parser("Measure how fast d2lrnn is. make bench does all of the set-up.",
                           "minutes instead of half an hour, to see that it works")  # fmt: skip
    parser.add_argument(
        "--book-python", metavar="PATH", help=f"the interpreter of an environment that has {bench_book.BOOK}"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=list(QUESTIONS),
        help="measure this question anew, and keep the others (repeatable)",
    )
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else FULL
    names = common.usable(arguments.backends)
    if problem := bench_book.problem(arguments.book_python):
        say(f"without the book's package: {problem}")
    wanted = [name for name in arguments.only or QUESTIONS if name != "book" or problem is None]
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
        bench = Bench(tuple(names), effort, text, arguments.book_python)
        for name in wanted:
            began = time.perf_counter()
            rows = QUESTIONS[name].measure(bench)
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
        bench_book.plot(document["book"]["rows"], folder / "speed.svg")
    earlier = document.get("earlier", {})
    parts = [section(name, document[name], earlier.get(name, [])) for name in QUESTIONS if name in document]
    common.keep(document, KEPT, "\n".join(parts), MARKS, folder)


if __name__ == "__main__":
    common.run(main, "what was measured so far is kept")
