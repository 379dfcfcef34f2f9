"""The process of one training of ``reproduce.py``, which starts it.

It reads and answers as :mod:`d2lrnn.comparison.worker` does. The ``task`` of a job is one of

- ``keep``: train in the run folder ``out``, or go on with the run that is in it;
- ``first edition``: train as one of the book's two first editions did.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import re
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from d2lrnn.cli.parser import Options
from d2lrnn.comparison.worker import Answer, answer_epoch, main
from d2lrnn.core.threads import computing_with, settle
from d2lrnn.data import read_text
from d2lrnn.errors import D2LRNNWarning, DivergenceError
from d2lrnn.runs import training
from d2lrnn.runs.run_config import CONFIG
from d2lrnn.runs.settings import Settings
from d2lrnn.system.wording import speaking


def _keep(job: dict[str, Any], answer: Answer) -> None:
    out, callback = Path(job["out"]), partial(answer_epoch, answer)
    if (out / CONFIG).exists():
        result = training.resume(out, quiet=True, callback=callback)
    else:
        settings = Settings.from_dict(job["settings"])
        result = training.train(job["backend"], settings, out=out, quiet=True, callback=callback)
    answer("result", **result)


class _Lines(io.TextIOBase):
    """What a first edition prints to: its lines are answered as epochs."""

    _LINE = re.compile(r"epoch (\d+), perplexity (.+), time ")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def write(self, text: str) -> int:
        if found := self._LINE.match(text):
            self._answer("epoch", epoch=int(found[1]), perplexity=_read_perplexity(found[2]))
        return len(text)


def _read_perplexity(words: str) -> float:
    """Return what :func:`d2lrnn.core.history.format_perplexity` wrote, but for the digits that it left out."""
    if words.startswith("over "):
        return math.inf
    try:
        return float(words)
    except ValueError:
        return math.nan


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
    # The English figures are those of the draft
    module = {"en": "first_edition_en_draft", "zh": "first_edition_zh"}[name]
    edition = importlib.import_module(f"d2lrnn.{backend}.{module}")
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


if __name__ == "__main__":
    with speaking(Options()):
        sys.exit(main({"keep": _keep, "first edition": _first_edition}))
