"""A process of its own for one backend: ``python -m d2lrnn.worker``.

It reads one job as JSON from standard input and answers on standard output, one JSON object a line, each with an
``event``: ``ready``, ``epoch``, and at the end ``result`` or ``error``. A framework that crashes takes only this
process with it, and what it prints goes to the error stream.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

from d2lrnn import backends
from d2lrnn.errors import D2LRNNError
from d2lrnn.monitor import Epoch
from d2lrnn.run import train
from d2lrnn.settings import Settings


def _peak_memory() -> int | None:
    """Return the largest resident size of this process so far, in bytes, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    """Do one job; the exit code is 0 whenever an answer was given."""
    answers = sys.stdout

    def answer(event: str, **content: Any) -> None:
        print(json.dumps({"event": event, **content}), file=answers, flush=True)

    job = json.load(sys.stdin)
    backend = job["backend"]
    with contextlib.redirect_stdout(sys.stderr):
        try:
            if job["task"] == "devices":
                answer("result", devices=backends.interop(backend).device_names())
                return 0
            settings = Settings(**{**job["settings"], "prefixes": tuple(job["settings"]["prefixes"])})
            wanted: int = job["step_losses"]
            step_losses: list[float] = []

            def callback(number: int, epoch: Epoch) -> None:
                step_losses.extend(epoch.losses[: wanted - len(step_losses)].tolist())
                answer(
                    "epoch",
                    epoch=number,
                    perplexity=epoch.perplexity,
                    tokens_per_second=epoch.tokens_per_second,
                )

            def ready() -> None:
                answer("ready", startup_seconds=time.time() - job["spawned"])

            result = train(backend, settings, quiet=True, callback=callback, ready=ready)
            answer("result", **result, step_losses=step_losses, peak_memory=_peak_memory())
        except D2LRNNError as error:
            answer("error", message=str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
