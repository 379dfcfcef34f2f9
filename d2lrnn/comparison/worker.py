"""A process of its own for one backend, which :func:`d2lrnn.comparison.compare.ask` starts.

It reads one job as a line of JSON from standard input, which stays open as long as the process that asks is there: when
it ends, so does this one, with whatever it was at (:func:`_end_with_input`). It answers on what was its standard
output, one JSON object a line, each with an ``event``: ``ready``, ``epoch``, and at the end ``result`` or ``error``. A
framework that crashes takes only this process with it. What anybody else prints, compiled code too, goes to the error
stream (:func:`take_output`).

The ``task`` of a job is one of

- ``devices``: say what the backend can run on;
- ``train``: train as the ``settings`` say, and keep nothing (:mod:`d2lrnn.comparison.compare`);
- ``keep``: train in the run folder ``out``, or go on with the run that is in it (:mod:`d2lrnn.reproduce`);
- ``first edition``: train as one of the book's two first editions did (:mod:`d2lrnn.reproduce`).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from d2lrnn.core import backends, pictures
from d2lrnn.core.history import Epoch, read_perplexity
from d2lrnn.core.threads import computing_with, settle
from d2lrnn.data import read_text
from d2lrnn.data.corpora import remembering_failures
from d2lrnn.errors import D2LRNNError, D2LRNNWarning, DivergenceError, shortened
from d2lrnn.runs import training
from d2lrnn.runs.run_folder import CONFIG
from d2lrnn.runs.settings import Settings

Answer = Callable[..., None]


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
        _answer_epoch(answer, number, epoch)

    def ready() -> None:
        answer("ready", startup_seconds=time.monotonic() - job["spawned"])

    settings = Settings.from_dict(job["settings"])
    result = training.train(job["backend"], settings, quiet=True, callback=callback, ready=ready)
    answer("result", **result, step_losses=step_losses, peak_memory=_peak_memory())


def _answer_epoch(answer: Answer, number: int, epoch: Epoch) -> None:
    answer("epoch", epoch=number, perplexity=epoch.perplexity, tokens_per_second=epoch.tokens_per_second)


def _keep(job: dict[str, Any], answer: Answer) -> None:
    out = Path(job["out"])

    def callback(number: int, epoch: Epoch) -> None:
        _answer_epoch(answer, number, epoch)

    if (out / CONFIG).exists():
        result = training.resume(out, quiet=True, callback=callback)
    else:
        result = training.train(
            job["backend"], Settings.from_dict(job["settings"]), out=out, quiet=True, callback=callback
        )
    answer("result", **result)


class _Lines(io.TextIOBase):
    """What a first edition prints to: its lines are answered as epochs."""

    _LINE = re.compile(r"epoch (\d+), perplexity (.+), time ")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def write(self, text: str) -> int:
        if found := self._LINE.match(text):
            self._answer("epoch", epoch=int(found[1]), perplexity=read_perplexity(found[2]))
        return len(text)


def _layer(backend: str, activation: str, vocab_size: int, num_hiddens: int) -> Any:
    """Return the framework's own layer, made as the lesson on the first editions makes it."""
    if backend == "numpy":
        from d2lrnn.numpy.nn import RNN

        return RNN(vocab_size, num_hiddens, nonlinearity=activation)
    framework = importlib.import_module(backend)
    if backend == "torch":
        return framework.nn.RNN(vocab_size, num_hiddens, nonlinearity=activation)
    if backend == "mxnet":
        return framework.gluon.rnn.RNN(num_hiddens, activation=activation)
    return framework.keras.layers.SimpleRNN(
        num_hiddens, activation=activation, return_sequences=True, return_state=True
    )


def _first_edition(job: dict[str, Any], answer: Answer) -> None:
    backend, settings = job["backend"], job["settings"]
    name: str = settings["edition"]
    threads = settle(backend, None, settings["batch_size"], settings["num_hiddens"])
    with computing_with(backend, threads):
        _train_edition(backend, settings, name, threads, answer)


def _train_edition(backend: str, settings: dict[str, Any], name: str, threads: int, answer: Answer) -> None:
    edition = importlib.import_module(f"d2lrnn.{backend}.first_edition_{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", D2LRNNWarning)  # that a text stands in is seen by the name of what was read
        text = read_text({"en": "time-machine", "zh": "lyrics"}[name])
        loaded = edition.load_data_time_machine() if name == "en" else edition.load_data_jay_lyrics()
    ctx = edition.try_gpu()
    num_hiddens: int = settings["num_hiddens"]
    schedule = [settings[key] for key in ("epochs", "num_steps", "lr", "theta", "batch_size")]
    prefixes, seed = settings["prefixes"], settings["seed"]
    vocab_size = len(loaded[1]) if name == "en" else loaded[3]
    model = edition.RNNModel(_layer(backend, settings["activation"], vocab_size, num_hiddens), vocab_size)
    try:
        with contextlib.redirect_stdout(_Lines(answer)):
            if name == "en":
                history = edition.train_and_predict_rnn_gluon(
                    model, num_hiddens, *loaded, ctx, *schedule, prefixes, seed=seed
                )
            else:
                corpus_indices, char_to_idx, idx_to_char, _ = loaded
                history = edition.train_and_predict_rnn_gluon(
                    model, num_hiddens, vocab_size, ctx, corpus_indices, idx_to_char, char_to_idx, *schedule,
                    50, 50, prefixes, seed=seed,
                )  # fmt: skip
        diverged = None
    except DivergenceError as error:
        history, diverged = error.history, str(error)
    corpus = {"name": text.name, "sha256": text.sha256}
    answer("result", perplexity=history.perplexity, corpus=corpus, diverged=diverged, threads=threads)


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


def main() -> int:
    """Do one job; the exit code is 0 whenever an answer was given."""
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
            if job["task"] == "devices":
                answer("result", devices=backends.load(job["backend"]).device_names())
            else:
                {"train": _train, "keep": _keep, "first edition": _first_edition}[job["task"]](job, answer)
        except D2LRNNError as error:
            answer("error", message=shortened(str(error)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
