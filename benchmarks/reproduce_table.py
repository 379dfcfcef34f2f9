"""The table of ``reproduce.py``: the perplexities that the book prints, ours beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common import machine_in_words, page

from d2lrnn.core.history import format_perplexity
from d2lrnn.system.formatting import markdown_table

LAST_EPOCHS = 20  # whose range is told beside the last one's


def table(document: Mapping[str, Any]) -> str:
    """Return what :func:`reproduce.collect` returned as Markdown: a head, the table, and remarks.

    A cell has the smallest and the largest perplexity over the seeds, and in brackets how many seeds these are.
    """
    rows = [row for configuration in document["configurations"] for row in _rows(configuration, document)]
    notes = [f"- {configuration['remark']}" for configuration in document["configurations"] if configuration["remark"]]
    if document["elsewhere"]:
        notes.append(f"- {document['elsewhere']} of the trainings were made on another machine than the one above.")
    head = ["", "", "the book", *document["backends"]]
    return page([*([line] for line in _head(document)), markdown_table(head, rows), *([notes] if notes else [])])


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    if document["corpus"]["name"] != "time-machine":
        yield (
            "**Not the book's text.** *The Time Machine* is not here, and the bundled story stood in for it: these "
            "figures are not comparable with the book's."
        )
    if document["quick"]:
        yield (
            "**A quick run**, of a few epochs and one seed: it shows that all of it works. The book's figures are of "
            "many more epochs."
        )
    threads = [f"threads: {' and '.join(map(str, document['threads']))}"] if document["threads"] else []
    machine = machine_in_words(document["machine"], *threads)
    versions = [f"{name} {' and '.join(found)}" for name, found in document["versions"].items()]
    if document["began"] is not None:
        # Of a time like 2026-11-21T10:51:30+0000 the minutes
        began, ended = (document[key][:16].replace("T", " ") for key in ("began", "ended"))
        when = f"from {began} to {ended}"
    else:
        when = "with no run yet"
    yield (
        f"Made by `{document['command']}` {when}. Machine: {machine}. Versions: {', '.join(versions)}. "
        f"Text: {document['corpus']['name']}, SHA-256 {document['corpus']['sha256'][:12]}."
    )
    *others, last = map(str, document["seeds"])
    seeds = f"seeds {', '.join(others)} and {last}" if others else f"seed {last}"
    yield (
        f"Training perplexities of {seeds}: the smallest to the largest over the seeds, and in brackets how many seeds "
        "these are. A row of several epochs has the smallest and the largest of all of them."
    )


def _rows(configuration: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[list[str]]:
    names, epochs, book = document["backends"], configuration["epochs"], configuration["book"]
    title = configuration["title"]
    if configuration["missing"] is not None:
        printed = ", ".join(book.values())
        yield [title, f"epochs {', '.join(book)}", printed, configuration["missing"], *[""] * (len(names) - 1)]
        return
    last_of_book = max(book, key=int)
    points = sorted({*(int(epoch) for epoch in book if int(epoch) <= epochs), epochs})
    for epoch in points:
        printed = book.get(str(epoch), f"{book[last_of_book]} at epoch {last_of_book}")
        cells = [_cell(configuration, document, name, epoch) for name in names]
        yield [title if epoch == points[0] else "", f"epoch {epoch}", printed, *cells]
    if document["quick"]:
        return  # so few epochs only go down
    cells = [_cell(configuration, document, name, None) for name in names]
    yield ["", f"epochs {max(1, epochs - LAST_EPOCHS + 1)} to {epochs}", "", *cells]


def _cell(configuration: Mapping[str, Any], document: Mapping[str, Any], backend: str, epoch: int | None) -> str:
    """Return the range of a backend at an epoch, or for None at the last epochs, and what else there is to say."""
    rows = [row for row in configuration["runs"] if row["backend"] == backend]
    if epoch is None:
        values = [value for row in rows for value in row["last_epochs"] or ()]
        count = sum(row["last_epochs"] is not None for row in rows)
    else:
        values = [row["perplexity"][str(epoch)] for row in rows if str(epoch) in row["perplexity"]]
        count = len(values)
    said = [f"{_range(values)} ({count})"] if values else []
    if epoch == configuration["epochs"]:  # once a configuration
        fates: dict[str, list[str]] = {}
        for row in rows:
            if row["status"] != "complete":
                fates.setdefault(_fate(row), []).append(str(row["seed"]))
        for fate, seeds in fates.items():
            of_all = len(seeds) == len(rows)
            said.append(fate if of_all else f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}: {fate}")
    return "; ".join(said) or "-"


def _fate(row: Mapping[str, Any]) -> str:
    """Return what became of a run that is not complete."""
    if row["status"] == "diverged":
        return f"diverged at epoch {row['epoch'] + 1}"
    if row["problem"]:
        return str(row["problem"])
    return "not run" if row["status"] == "not run" else f"at epoch {row['epoch']} so far"


def _range(values: Sequence[float]) -> str:
    smallest, largest = (_figure(value) for value in (min(values), max(values)))
    return smallest if smallest == largest else f"{smallest} to {largest}"


def _figure(value: float) -> str:
    return format_perplexity(value, 3 if value < 10 else 1)
