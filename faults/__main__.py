"""What goes wrong, tried for real: ``python3 start faults``, or ``make faults``.

Real commands in real processes meet hostile files and folders, terminals, signals, full disks, servers that drip, sizes
and numbers at their extremes. Each must cost an error line and nothing else: no traceback, no code that runs, nothing
that was trained is lost, and less than 1 GiB of memory for what is refused.

The short form (``--quick``) is a part of the checks before a change lands. The long one writes benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from groups import try_numbered
from place import FAULTS, MEMORY, Verdict, usable_backends

from d2lrnn.core.threads import usable_cpus
from d2lrnn.system.formatting import markdown_table
from d2lrnn.system.storage import write_atomically

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # what writes RESULTS.md is for all that measures
import common

MARKS = "<!-- faults: begin -->", "<!-- faults: end -->"


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the table of what came of the faults, by group, in Markdown."""
    rows = []
    for group in [*dict.fromkeys(verdict.group for verdict in verdicts), None]:
        mine = [verdict for verdict in verdicts if group in (None, verdict.group)]
        tried = [verdict for verdict in mine if verdict.skipped is None]
        cells: list[Any] = [
            group or "**all**",
            len(tried),
            sum(verdict.survived for verdict in tried),
            len(mine) - len(tried),
            f"{sum(verdict.commands for verdict in tried):,}",
            sum(verdict.tracebacks for verdict in tried),
            sum(verdict.executed for verdict in tried),
            sum(len(verdict.lost) for verdict in tried),
            f"{max((verdict.peak for verdict in tried), default=0):,.0f} MiB",
        ]
        rows.append([str(cell) for cell in cells])
    head = "what", "tried", "survived", "skipped", "commands", "tracebacks", "executed", "lost", "most memory"
    return markdown_table(head, rows)


def report(verdicts: Sequence[Verdict], minutes: float) -> str:
    """Return what stands in RESULTS.md."""
    skipped = [f"{verdict.name} ({verdict.skipped})" for verdict in verdicts if verdict.skipped]
    failed = [
        f"- {verdict.group}, {verdict.name}: {'; '.join([*verdict.lost, *verdict.wrong]) or 'code ran'}"
        for verdict in verdicts
        if verdict.skipped is None and not verdict.survived
    ]
    machine = common.machine_in_words(common.describe_machine())
    about = (
        f"Made by `make faults` in {minutes:.0f} minutes, with {', '.join(usable_backends())}. Machine: {machine}. A "
        f"fault is survived if it costs an error line and nothing else; what is refused may take {MEMORY} MiB at most."
    )
    parts = [[about], table(verdicts)]
    if failed:
        parts += [["Not survived:"], failed]
    if skipped:
        parts.append([f"Skipped: {'; '.join(skipped)}."])
    return common.page(parts)


def _chosen(quick: bool, words: Sequence[str]) -> list[int]:
    """Return the numbers of the faults that are tried, each as often as it is."""
    chosen = [
        number
        for number, fault in enumerate(FAULTS)
        if not words or any(word in f"{fault.group}: {fault.name}" for word in words)
    ]
    if quick:
        return [number for number in chosen if FAULTS[number].quick]
    return [number for number in chosen for _ in range(FAULTS[number].repeat)]


def _print(verdict: Verdict) -> None:
    mark = "skipped" if verdict.skipped else "ok" if verdict.survived else "FAILED"
    name = f"{verdict.group}: {verdict.name}"
    print(f"{mark:<8}{name}  ({verdict.seconds:.0f} s, {verdict.peak:,.0f} MiB)  {verdict.skipped or verdict.said}")
    for what in [*verdict.lost, *verdict.wrong, *(["code ran"] if verdict.executed else [])]:
        print(f"          {what}")
    sys.stdout.flush()


def main() -> int:
    """Try all faults, or those that are named; return whether one was not survived."""
    parser = argparse.ArgumentParser(prog="python3 start faults", description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only faults whose group or name has one of these words")
    parser.add_argument("--quick", action="store_true", help="the short form, which takes some minutes")
    parser.add_argument("--jobs", type=int, default=usable_cpus(), help="how many at a time (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="what came of each, too")
    args = parser.parse_args()
    if sys.platform == "win32":
        parser.error("it needs signals, limits and wait4, which Windows does not have: try it on Linux or macOS")
    usable, begin = usable_backends(), time.monotonic()
    verdicts = []
    chosen = _chosen(args.quick, args.words)
    # New processes, for each measures what its own commands take
    with ProcessPoolExecutor(max(1, args.jobs), mp_context=get_context("spawn")) as pool:
        for verdict in pool.map(try_numbered, chosen, [usable] * len(chosen)):
            _print(verdict)
            verdicts.append(verdict)
    minutes = (time.monotonic() - begin) / 60
    print("", *table(verdicts), sep="\n")
    if args.json:
        rows = [
            {"group": v.group, "name": v.name, "skipped": v.skipped, "survived": v.survived,
             "tracebacks": v.tracebacks, "executed": v.executed, "lost": v.lost, "wrong": v.wrong,
             "peak_mib": round(v.peak), "seconds": round(v.seconds, 1), "said": v.said}
            for v in verdicts
        ]  # fmt: skip
        write_atomically(args.json, (json.dumps(rows, indent=1, ensure_ascii=True) + "\n").encode())
    if not args.quick and not args.words:
        common.put_between(common.HERE / common.RESULTS, report(verdicts, minutes), MARKS)
    return 0 if all(verdict.survived for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
