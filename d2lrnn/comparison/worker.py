"""A process of its own for one backend, which :func:`d2lrnn.comparison.process.ask` starts.

It reads one job as a line of JSON from standard input, which stays open as long as the process that asks is there: when
it ends, so does this one, with whatever it was at (:func:`_end_with_input`). It answers on what was its standard
output, one JSON object a line, each with an ``event``: ``ready``, ``epoch``, and at the end ``result`` or ``error``. A
framework that crashes takes only this process with it. What anybody else prints, compiled code too, goes to the error
stream (:func:`take_output`).

The ``task`` of a job is one of

- ``devices``: say what the backend can run on;
- ``train``: train as the ``settings`` say, and keep nothing (:mod:`d2lrnn.comparison.compare`).

Another program can have the same process with tasks of its own (:func:`main`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from d2lrnn.core import backends
from d2lrnn.core.history import Epoch
from d2lrnn.data.downloads import remembering_failures
from d2lrnn.errors import D2LRNNError, shortened
from d2lrnn.runs import training
from d2lrnn.runs.settings import Settings
from d2lrnn.system import pictures

Answer = Callable[..., None]
Task = Callable[[dict[str, Any], Answer], None]


def _peak_memory() -> int | None:
    """Return the largest resident size of this process so far, in bytes, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _train(job: dict[str, Any], answer: Answer) -> None:
    wanted: int = job["step_losses"]
    step_losses: list[float] = []

    def callback(number: int, epoch: Epoch) -> None:
        step_losses.extend(epoch.losses[: wanted - len(step_losses)].tolist())
        answer_epoch(answer, number, epoch)

    def ready() -> None:
        answer("ready", startup_seconds=time.monotonic() - job["spawned"])

    settings = Settings.from_dict(job["settings"])
    result = training.train(job["backend"], settings, quiet=True, callback=callback, ready=ready)
    answer("result", **result, step_losses=step_losses, peak_memory=_peak_memory())


def answer_epoch(answer: Answer, number: int, epoch: Epoch) -> None:
    """Answer what an epoch came to."""
    answer("epoch", epoch=number, perplexity=epoch.perplexity, tokens_per_second=epoch.tokens_per_second)


def _devices(job: dict[str, Any], answer: Answer) -> None:
    answer("result", devices=backends.load(job["backend"]).device_names())


TASKS: dict[str, Task] = {"devices": _devices, "train": _train}


def take_output() -> TextIO:
    """Return standard output for our own use; whoever writes to descriptor 1 from now on writes to the error stream."""
    sys.stdout.flush()
    answers = open(os.dup(1), "w", encoding="utf-8")  # noqa: PTH123, SIM115 (a descriptor, open until the process ends)
    os.dup2(2, 1)
    answers.write("\n")  # something may have left half a line before
    return answers


def _end_with_input() -> None:
    """End this process when its input does: whoever asked is gone, and nobody would ever read an answer."""
    # What is read is no standard input: on Windows libraries that look at that while they load would wait for it, and
    # so would processes that inherit it. Nor by sys.stdin, which Python could not put away while somebody reads it.
    watched, nowhere = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(watched, 1):
                pass
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(tasks: Mapping[str, Task] = TASKS) -> int:
    """Do one job; the exit code is 0 whenever an answer was given.

    Args:
        tasks: What the process can do: functions of the job and of what answers, ``answer(event, **content)``.
    """
    answers = take_output()

    def answer(event: str, **content: Any) -> None:
        print(json.dumps({"event": event, **content}), file=answers, flush=True)

    if not (line := sys.stdin.buffer.readline()):
        return 1
    _end_with_input()
    pictures.heed_no_file_here()
    job = json.loads(line)
    with contextlib.redirect_stdout(sys.stderr), remembering_failures(job.get("failed_downloads")):
        try:
            tasks[job["task"]](job, answer)
        except D2LRNNError as error:
            answer("error", message=shortened(str(error)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
