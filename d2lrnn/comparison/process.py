"""A process of its own for each backend: how it is asked, and what it answers."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from d2lrnn.core import backends
from d2lrnn.data.downloads import failures
from d2lrnn.system import graphics
from d2lrnn.system.processes import python

Progress = Callable[[str, dict[str, Any]], None]


def ask(
    job: dict[str, Any],
    on_event: Callable[[dict[str, Any]], None] = lambda event: None,
    command: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Give a job to a process of its own and return its last answer.

    A process that dies without one is answered for: ``{"event": "error", "message": ...}``. What it writes that is no
    event is passed over.

    Args:
        job: What it is to do.
        on_event: Called with each of its answers.
        command: What starts the process; by default :mod:`d2lrnn.comparison.worker`.
        env: Its environment; by default this process's.
    """
    last: dict[str, Any] = {}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            command or python("d2lrnn.comparison.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=env,
        )
        try:
            assert process.stdin is not None  # both are pipes
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # if it is dead already, its exit code says more
                # A clock that nobody sets, and that all processes share
                json.dump({**job, "failed_downloads": failures(), "spawned": time.monotonic()}, process.stdin)
                # Its input stays open: that it ends tells the process that we have, in whatever way
                process.stdin.write("\n")
                process.stdin.flush()
            for line in process.stdout:
                if (event := _event(line)) is not None:
                    last = event
                    on_event(event)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    if stream is not None:
                        stream.close()
        if last.get("event") in ("result", "error"):
            return last
        errors.seek(0)
        said = [line.strip() for line in errors.read().splitlines() if line.strip()]
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    return {"event": "error", "message": f"its process {how}" + (f": {said[-1][:200]}" if said else "")}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # those for a system's own use have none
        return f"signal {number}"


def _event(line: str) -> dict[str, Any] | None:
    """Return the event that a line holds, or None for one that somebody else wrote, or half of one."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def devices(backend: str) -> dict[str, Any]:
    """Return a backend's version, its devices, and, if any, what stands against it and why a GPU here is not used."""
    row: dict[str, Any] = {
        "backend": backend,
        "version": backends.version(backend),
        "devices": [],
        "problem": backends.problem(backend),
        "unused_gpu": None,
    }
    if row["problem"] is None:
        answer = ask({"task": "devices", "backend": backend})
        row |= {"devices": answer["devices"]} if answer["event"] == "result" else {"problem": answer["message"]}
    if row["problem"] is None:
        row["unused_gpu"] = graphics.unused(backend, backends.BACKENDS[backend].title, row["devices"])
    return row
