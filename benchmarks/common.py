"""What the measuring programs of this folder share: how they start, tell, and write what they measured."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from d2lrnn.cli.parser import backend_names
from d2lrnn.comparison import process, worker
from d2lrnn.core import backends
from d2lrnn.core.threads import usable_cpus
from d2lrnn.errors import D2LRNNError, InputError, InputFileError
from d2lrnn.runs import environment
from d2lrnn.system import memory
from d2lrnn.system.storage import write_atomically

HERE = Path(__file__).parent
RESULTS = "RESULTS.md"
SIDE = "side"  # the word that makes a program the process of one backend
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

Marks = tuple[str, str]  # the lines of RESULTS.md between which a program writes
Side = Callable[[dict[str, Any]], Iterator[dict[str, Any]]]


def say(text: str) -> None:
    """Tell on the error stream how far the measuring is."""
    print(text, file=sys.stderr, flush=True)


# Processes


def run(main: Callable[[], int], stopped: str, side: Side | None = None) -> NoReturn:
    """Run a program, and end with its exit code.

    Args:
        main: The program.
        stopped: What Ctrl-C leaves, in words.
        side: What it does instead as the process of one backend (:func:`ask`): yields the answers to a job.
    """
    try:
        if side is not None and sys.argv[1:] == [SIDE]:
            sys.exit(worker.main({SIDE: partial(_answer, side)}))
        sys.exit(main())
    except D2LRNNError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(f"stopped; {stopped}") from None


def _answer(side: Side, job: dict[str, Any], answer: worker.Answer) -> None:
    try:
        for content in side(job):
            answer("answer", content=content)
    except D2LRNNError:
        raise
    except Exception:  # nobody will see what this process writes
        answer("error", message=traceback.format_exc())
    else:
        answer("result")


def ask(
    script: Path, job: Mapping[str, Any], told: Callable[[list[dict[str, Any]]], None] = lambda answers: None
) -> list[dict[str, Any]]:
    """Run a program as the process of one backend, with one thread, and return its answers.

    Args:
        script: The program, which has a side (:func:`run`).
        job: What it is to do.
        told: Called after each answer, with all so far.

    Raises:
        SystemExit: If it ends otherwise than by having answered; why is in the message.
    """
    answers: list[dict[str, Any]] = []

    def follow(event: dict[str, Any]) -> None:
        if event["event"] == "answer":
            answers.append(event["content"])
            told(answers)

    env = os.environ | dict.fromkeys(THREADS, "1") | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    last = process.ask({**job, "task": SIDE}, follow, [sys.executable, str(script), SIDE], env)
    if last["event"] == "error":
        raise SystemExit(f"{script.name} in {job['backend']}: {last['message']}")
    return answers


# What the command line gives


def parser(description: str, quick: str, out: str = "where RESULTS.md is, or is to be") -> argparse.ArgumentParser:
    """Return a parser with what the programs have in common; ``quick`` and ``out`` are the help of these options."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--backends", type=backend_names, action="extend", metavar="B,B,...",
                      help=f"only these of {','.join(backends.BACKENDS)}")  # fmt: skip
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--out", type=place, metavar="FOLDER", help=out)
    return made


def place(value: str) -> Path:
    """Return the path that an option names; an empty one, as of a variable that is not set, would be this folder's."""
    if not value:
        raise argparse.ArgumentTypeError("expected the name of a file or a folder, got ''")
    return Path(value)


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


# When and where it is measured


def about(quick: bool, minutes: float, text: str) -> dict[str, Any]:
    """Return when, where and on what something was measured."""
    return {
        "finished": environment.now(),
        "minutes": minutes,
        "quick": quick,
        "machine": describe_machine(),
        "versions": _versions(),
        "text": text,
    }


def _versions() -> dict[str, str]:
    """Return the versions of what is measured, as far as it is installed."""
    found = environment.versions(*backends.FRAMEWORKS)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found["keras"] = importlib.metadata.version("keras")
    return {name: version for name, version in found.items() if version is not None}


def describe_machine() -> dict[str, Any]:
    """Return the name of this machine's processor, its processors that may be used, its memory and its system."""
    return {"processor": _processor(), "cpus": usable_cpus(), "memory": memory.of_machine(), "system": _system()}


def _processor() -> str:
    """Return the name of the processor as its maker gives it, where the system tells."""
    name = ""
    if platform.system() == "Linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    elif platform.system() == "Darwin":
        answer = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        name = answer.stdout.strip()
    return name or platform.processor() or platform.machine() or "an unknown processor"


def _system() -> str:
    name = platform.system()
    if name == "Linux":
        try:
            name = platform.freedesktop_os_release()["PRETTY_NAME"]
        except (OSError, KeyError):
            name = "Linux"
    else:
        name = f"{name} {platform.mac_ver()[0] if name == 'Darwin' else platform.release()}".strip()
    return f"{name}, {platform.machine()}"


def machine_in_words(machine: Mapping[str, Any], *more: str) -> str:
    """Return what :func:`describe_machine` returned in words, and more that is said of the machine."""
    size = [f"{machine['memory'] / 2**30:.0f} GiB of memory"] if machine["memory"] else []
    return "; ".join([machine["processor"], f"{machine['cpus']} cores", *size, machine["system"], *more])


def when_and_where(about: Mapping[str, Any]) -> str:
    """Return in words when something was measured, on which machine, and with which versions."""
    versions = ", ".join(f"{key} {version}" for key, version in about["versions"].items())
    when = about["finished"][:16].replace("T", " ")
    return f"{when}. Machine: {machine_in_words(about['machine'])}. Versions: {versions}"


# What is written


def page(parts: Iterable[Sequence[str]]) -> str:
    """Return parts of some lines each as Markdown, broken where they are text."""
    return "\n\n".join("\n".join(map(_wrapped, lines)) for lines in parts) + "\n"


def _wrapped(line: str) -> str:
    if line.startswith(("|", "#", "!")):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def ready(folder: Path, marks: Marks) -> None:
    """Make a folder ready to keep results in, to see before the measuring rather than after it if that cannot be.

    Raises:
        SystemExit: If it cannot be made or read.
        D2LRNNError: If it cannot be written, or RESULTS.md has not the marks.
    """
    path = folder / RESULTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        now = path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, ValueError) as error:
        raise SystemExit(f"cannot keep results in {str(folder)!r}: {error}; name another folder with --out") from None
    put_between(path, now.partition(marks[0])[2].partition(marks[1])[0].removeprefix("\n"), marks)


def kept(path: Path) -> dict[str, Any]:
    """Return the document that :func:`keep` wrote, or an empty one.

    Raises:
        SystemExit: If it is damaged.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise SystemExit(f"cannot go on with {str(path)!r}: {error}; name another folder with --out") from None


def keep(document: Mapping[str, Any], name: str, told: str, marks: Marks, folder: Path) -> None:
    """Write a document as JSON, and what it tells between its marks in RESULTS.md.

    Raises:
        D2LRNNError: If it cannot be written, or RESULTS.md has not the marks.
    """
    put_between(folder / RESULTS, told, marks)
    write_atomically(folder / name, (json.dumps(document, indent=1) + "\n").encode())


def put_between(path: str | Path, content: str, marks: Marks) -> None:
    """Put content into a Markdown file, between two marks, and leave all else in it as it is.

    A file that is not there is made. Either the old content or the new one is on the disk, whatever happens.

    Raises:
        InputError: If the file cannot be read, or does not have each mark once.
        StorageError: If it cannot be written.
    """
    path = Path(path)
    before, after = around(path, marks)
    new_line = "\r\n" if "\r\n" in before else "\n"
    write_atomically(path, (before + f"\n{content}".replace("\n", new_line) + after).encode("utf-8"))


def around(path: Path, marks: Marks) -> tuple[str, str]:
    """Return what a file has up to the end of its first mark, and from the beginning of its second one.

    Raises:
        InputError: If the file cannot be read, or does not have each mark once.
    """
    begin, end = marks
    try:
        content = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise InputFileError(
                f"cannot write the table to {str(path)!r}: there is no folder {str(path.parent)!r}; name another file"
            ) from None
        return f"# Results\n\n{begin}", f"{end}\n"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputFileError(f"cannot put the table into {str(path)!r}: {reason}; name another file") from None
    if content.count(begin) != 1 or content.count(end) != 1 or content.index(begin) > content.index(end):
        raise InputError(
            f"{str(path)!r} does not say where the table goes: put a line {begin!r} and, below it, a line {end!r} "
            "into it, each once; or name another file"
        )
    return content[: content.index(begin) + len(begin)], content[content.index(end) :]
