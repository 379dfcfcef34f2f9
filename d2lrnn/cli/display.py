"""What the commands print: lines, tables, JSON documents, and how far a comparison has come."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from d2lrnn.comparison import compare, process
from d2lrnn.core.history import format_perplexity
from d2lrnn.core.monitor import format_progress
from d2lrnn.core.threads import say
from d2lrnn.data import part_of_text
from d2lrnn.system.formatting import format_count, format_mebibytes, format_seconds
from d2lrnn.system.terminal import close_behind_a_bar, in_json, one_line
from d2lrnn.system.terminal import console as make_console
from d2lrnn.weights.canonical import RUNS

_TABLE_WIDTH = 120  # of the comparison's table where the output is no terminal and has no width
_NARROWEST_TABLE = 105  # a terminal that is narrower gets a block for each backend


def print_json(document: dict[str, Any]) -> None:
    """Print a document in JSON."""
    # Where the output is not UTF-8, what it lacks is spelled with JSON's own escapes
    print(json_of(document, (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8"))


def json_of(document: dict[str, Any], plain: bool = False) -> str:
    """Return a document in JSON, harmless to a terminal; ``plain``: in ASCII."""

    def finite(value: Any) -> Any:
        """JSON has no word for infinite; null is what its readers expect."""
        if isinstance(value, dict):
            return {key: finite(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [finite(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return in_json(json.dumps(finite(document), ensure_ascii=plain, indent=2, allow_nan=False))


def print_run(result: dict[str, Any], as_json: bool) -> None:
    """Print a line about a training that has ended, or its document."""
    if as_json:
        print_json(result)
        return
    done, total = len(result["history"]["epoch"]), result["settings"]["epochs"]
    best = f", best held-out perplexity at epoch {result['best_epoch']}" if result["best_epoch"] else ""
    part = f" on {part}" if (part := part_of_text(result["corpus"])) else ""
    threads = f", threads: {result['settings']['threads']}"
    ran = f", {result['settings']['model']} ran {result['runs']}"
    print(f"{result['status']}: {done} of {total} epochs{part}{best}{threads}{ran}; kept in {one_line(result['out'])}")


def print_runs(rows: Sequence[dict[str, Any]], args: argparse.Namespace) -> None:
    """Print a table of runs, or its document."""
    if args.json:
        print_json({"runs": rows, "png": args.png})
        return
    table = new_table("run", "backend", "model", "corpus", "epochs", "status", "perplexity", "held out", "tokens/s")
    for row in rows:
        settings = row["settings"]
        model = f"{settings['model']} {'x'.join(str(settings[key]) for key in ('num_layers', 'num_hiddens'))}"
        corpus = "\n".join(filter(None, [one_line(row["corpus"] or "-"), part_of_text(row)]))
        best = (
            f" (best {format_perplexity(row['best_valid_perplexity'])} at {row['best_epoch']})"
            if row["best_epoch"]
            else ""
        )
        cells = [
            one_line(row["out"]), row["backend"], model, corpus, f"{row['epoch']} of {row['epochs']}",
            row["status"], format_perplexity(row["perplexity"]), format_perplexity(row["valid_perplexity"]) + best,
            format_count(row["tokens_per_second"]),
        ]  # fmt: skip
        table.add_row(*map(escape, cells))
    console = make_console()
    if not console.is_terminal:
        console = make_console(width=max(console.width, _TABLE_WIDTH))
    if console.width >= _NARROWEST_TABLE:
        console.print(table)
    else:  # a block for each run
        for values in zip(*(column.cells for column in table.columns), strict=True):
            lines = zip((str(column.header) for column in table.columns), values, strict=True)
            console.print("\n".join(f"{heading}: {cell}" for heading, cell in lines) + "\n", highlight=False)
    for row in rows:
        if row["error"] is not None:
            problem = f"{one_line(row['out'])}: {one_line(row['error'])}"
            console.print(problem, highlight=False, markup=False, soft_wrap=True)


def new_table(*headings: str) -> Table:
    """Return a table that breaks a long word instead of cutting it, so that two names stay two."""
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


@contextlib.contextmanager
def follow(epochs: int, as_json: bool) -> Iterator[process.Progress]:
    """Show how far the comparison has come: a bar on the error stream if it is a terminal, else lines of output."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = make_console(stderr=True)
    with Progress(
        TextColumn("{task.fields[name]:>10}"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"),
        TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        close_behind_a_bar()
        tasks: dict[str, Any] = {}

        def on_event(name: str, event: dict[str, Any]) -> None:
            if event["event"] == "start":
                total = None if name == "reference" else epochs
                tasks[name] = progress.add_task("starting", total=total, name=name)
            elif event["event"] == "epoch":
                description = format_progress(event["perplexity"], event["tokens_per_second"])
                progress.update(tasks[name], completed=event["epoch"], description=description)
            if name != "reference" and "reference" in tasks:
                progress.remove_task(tasks.pop("reference"))
            lines = not console.is_terminal and not as_json
            if lines and name != "reference" and event["event"] in ("start", "end"):
                # Where nobody reads it any more, what is compared is kept all the same
                with contextlib.suppress(OSError, ValueError):
                    print(f"{name}: {_told(event)}", flush=True)

        yield on_event


def _told(event: dict[str, Any]) -> str:
    """Return in a few words that a backend begins, or what it came to."""
    if event["event"] == "start":
        return "begins"
    if event["problem"] is not None:
        return one_line(event["problem"])
    return f"{format_progress(event['perplexity'], event['tokens_per_second'])}, {format_seconds(event['seconds'])}"


def print_comparison(document: dict[str, Any]) -> None:
    """Print the table of a comparison."""
    console = make_console()
    if not console.is_terminal:
        console = make_console(width=max(console.width, _TABLE_WIDTH))
    settings, steps = document["settings"], len(document["reference_losses"])
    few = min(compare.FIRST_STEPS, steps)
    held_out = settings["valid_fraction"] > 0
    headings = [
        "backend\nversion\ndevice",
        "para-\nmeters",
        "perplexity",
        *(["held out"] if held_out else []),
        "tokens/s",
    ]
    headings += ["peak\nmemory", "start-up", f"loss differs\nfrom NumPy by\n(in {few} / {steps} steps)", "continues"]
    rows = []
    for row in document["backends"]:
        name = f"{row['backend']}\n{row['version'] or '-'}"
        if row["problem"] is not None:
            rows.append([name, *["-"] * (len(headings) - 2), one_line(row["problem"])])
            continue
        valid = [format_perplexity(row["valid_perplexity"])] if held_out else []
        rows.append([
            f"{name}\n{row['device']}", format_count(row["parameters"]), format_perplexity(row["perplexity"]), *valid,
            format_count(row["tokens_per_second"]), format_mebibytes(row["peak_memory"]),
            format_seconds(row["startup_seconds"]),
            f"{row['max_loss_difference_at_first']:.1e}\n{row['max_loss_difference']:.1e}",
            "\n".join(row["predictions"].values()),
        ])  # fmt: skip
    part = next((part_of_text(row.get("corpus", {})) for row in document["backends"] if row["problem"] is None), "")
    corpus = one_line(f"{part} of {settings['corpus']}" if part else settings["corpus"])
    title = f"{settings['model']}, {settings['num_hiddens']} units, {settings['epochs']} epochs on {corpus}"
    table = Table(title=escape(f"{title}, seed {settings['seed']}"), show_lines=True)
    if console.width >= _NARROWEST_TABLE:
        for heading in headings:
            words = heading == "continues"
            left = words or "backend" in heading
            table.add_column(heading, justify="left" if left else "right", no_wrap=not words, overflow="fold")
        for cells in rows:
            table.add_row(*map(escape, cells))
    else:  # what is no row there is a block here
        table.show_header = False
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        names = "\n".join(heading.split("\n(")[0].replace("-\n", "").replace("\n", " ") for heading in headings[1:-1])
        for cells in rows:
            values = [cell.replace("\n", " / ") for cell in cells[1:-1]]
            failed = set(values) == {"-"}
            table.add_row(escape(cells[0].replace("\n", " ")), escape(cells[-1]))
            if not failed:
                table.add_row(names, escape("\n".join(values)))
    console.print(table)
    numbers = {row["backend"]: row["settings"]["threads"] for row in document["backends"] if row["problem"] is None}
    if numbers:
        console.print(f"threads: {say(numbers)}", highlight=False, markup=False)
    console.print(
        f"{settings['model']} ran {RUNS[settings['model']]}. "
        "Each backend began from the same weights and read the same minibatches. The loss of the first training steps,"
        " in nats, is compared with NumPy's in float64: training amplifies the rounding of float32 from step to step.",
        style="dim",
    )
