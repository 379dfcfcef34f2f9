"""What the measuring programs of this folder share: how they start, tell, and write what they measured."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from d2lrnn.comparison.worker import take_output
from d2lrnn.core import backends
from d2lrnn.errors import InputError
from d2lrnn.reproduce import describe_machine, put_between
from d2lrnn.system.storage import write_atomically

SIDE = "side"  # the word that makes a program the process of one backend
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def say(text: str) -> None:
    """Tell on the error stream how far the measuring is."""
    print(text, file=sys.stderr, flush=True)


# Processes


def ask(script: Path, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Run a program as the process of one backend, with one thread, and yield what it answers.

    Args:
        script: The program, which calls :func:`answer_as_side`.
        job: What it is to do.

    Raises:
        SystemExit: If it ends otherwise than by having answered; its last words are in the message.
    """
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, str(script), SIDE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(json.dumps(job))
            for line in process.stdout:
                if line.strip():
                    yield json.loads(line)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if code:
            errors.seek(0)
            raise SystemExit(f"{script.name} in {job['backend']} ended with {code}:\n{errors.read()[-3000:]}")


def answer_as_side(measure: Callable[[dict[str, Any]], Iterator[dict[str, Any]]]) -> None:
    """Read a job from standard input, and answer what its measuring yields: one line of JSON each."""
    answers = take_output()
    for content in measure(json.load(sys.stdin)):
        print(json.dumps(content), file=answers, flush=True)


# What the command line gives


def parser(description: str, quick: str) -> argparse.ArgumentParser:
    """Return a parser with what the programs have in common; ``quick`` is the help of --quick."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--backends", type=_names, metavar="B,B,...", help=f"only these of {','.join(backends.BACKENDS)}")
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--out", type=Path, metavar="FOLDER", help="where RESULTS.md is, or is to be")
    return made


def _names(value: str) -> list[str]:
    try:
        return [backends.check_name(name.strip()) for name in value.split(",")]
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def usable(wanted: Sequence[str] | None) -> list[str]:
    """Return the backends to measure: those that were asked for, which must work, or all that do.

    Raises:
        SystemExit: If one that was asked for does not work here.
    """
    problems = {name: backends.problem(name) for name in wanted or backends.BACKENDS}
    for name, problem in problems.items():
        if problem is not None:
            if wanted:
                raise SystemExit(f"{name} cannot be measured: {problem}")
            say(f"without {name}: {problem}")
    return [name for name, problem in problems.items() if problem is None]


# What is written


def about(quick: bool, minutes: float, text: str) -> dict[str, Any]:
    """Return when, where and on what something was measured."""
    return {
        "finished": datetime.now().astimezone().isoformat(timespec="minutes"),
        "minutes": minutes,
        "quick": quick,
        "machine": describe_machine(),
        "versions": versions(),
        "text": text,
    }


def when_and_where(about: Mapping[str, Any]) -> str:
    """Return in words when something was measured, on which machine, and with which versions."""
    machine = about["machine"]
    memory = f"; {machine['memory'] / 2**30:.0f} GiB of memory" if machine["memory"] else ""
    versions = ", ".join(f"{key} {version}" for key, version in about["versions"].items())
    return (
        f"{about['finished'][:16].replace('T', ' ')}. Machine: {machine['processor']}; {machine['cpus']} cores{memory};"
        f" {machine['system']}. Versions: {versions}"
    )


def versions() -> dict[str, str]:
    """Return the versions of what is measured, as far as it is installed."""
    names = ("d2lrnn", "numpy", "torch", "mxnet", "tensorflow", "tensorflow-cpu", "keras")
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def wrapped(line: str) -> str:
    """Return a line of Markdown, broken where it is text."""
    return line if line.startswith(("|", "#", "!")) else textwrap.fill(line, 120, break_on_hyphens=False)


def ready(folder: Path, marks: tuple[str, str]) -> None:
    """Make a folder ready to keep results in, to see before the measuring rather than after it if that cannot be.

    Raises:
        SystemExit: If it cannot be made or read.
        D2LRNNError: If it cannot be written, or RESULTS.md has not the marks.
    """
    path = folder / "RESULTS.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        now = path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, ValueError) as error:
        raise SystemExit(f"cannot keep results in {str(folder)!r}: {error}; name another folder with --out") from None
    put_between(path, now.partition(marks[0])[2].partition(marks[1])[0].removeprefix("\n"), *marks)


def keep(document: Mapping[str, Any], name: str, told: str, marks: tuple[str, str], folder: Path) -> None:
    """Write a document as JSON, and what it tells between its marks in RESULTS.md.

    Raises:
        D2LRNNError: If it cannot be written, or RESULTS.md has not the marks.
    """
    put_between(folder / "RESULTS.md", told, *marks)
    write_atomically(folder / name, (json.dumps(document, indent=1) + "\n").encode())
