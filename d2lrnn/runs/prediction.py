"""The model of a run, in any backend: loaded, and asked to continue a text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from d2lrnn.core import backends
from d2lrnn.core.generation import check_num_preds, fit_prefix, token_chooser
from d2lrnn.core.history import BOOK_NUM_PREDS
from d2lrnn.core.threads import computing_with, settle
from d2lrnn.data import Vocab
from d2lrnn.errors import BackendNotInstalledError, D2LRNNWarning
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.system import memory
from d2lrnn.system.wording import also, by


def usable(folder: RunFolder, backend: str | None) -> str:
    """Return the backend to build a run's model in: the one that is asked for, or that of the run.

    Raises:
        D2LRNNError: If it cannot work here.
    """
    if backend is None and backends.problem(folder.backend) is not None:
        usable = [name for name in backends.BACKENDS if backends.problem(name) is None]
        raise BackendNotInstalledError(
            f"{backends.problem(folder.backend)}; "
            + (
                f"or continue the run in another one: {by('backend', usable[0])}"
                if usable
                else "or install another one"
            )
        )
    backends.check_usable(backend or folder.backend)
    return backend or folder.backend


def load_model(
    run: str | Path | RunFolder, backend: str | None = None, *, best: bool = False, device: str = "auto"
) -> tuple[Any, Vocab, Any]:
    """Return the model of a run, ready to use, in any installed backend.

    Args:
        run: The run folder, or its path.
        backend: The backend to build it in; by default the one that trained it.
        best: Take the weights with the best held-out perplexity instead of the last.
        device: A device by name.

    Returns:
        The net, its vocabulary and its device, as that backend's ``predict_ch8`` and ``train_ch8`` take them.

    Raises:
        D2LRNNError: If the folder is not that of a run or is damaged, or the backend cannot work here.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    weights, settings = folder.weights(best), folder.settings
    framework = backends.load(usable(folder, backend))
    with memory.explained(f"the model of the run in {str(folder.path)!r}", "use it on a machine that has more"):
        net, place = framework.build_model(
            settings.model, len(folder.vocab), settings.num_hiddens, settings.num_layers, device=device, seed=0
        )
        framework.set_weights(net, weights)
    return net, folder.vocab, place


def predict(
    run: str | Path | RunFolder,
    prefixes: Sequence[str] = (),
    num_preds: int = BOOK_NUM_PREDS,
    *,
    backend: str | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    seed: int | None = None,
    unknown: str = "unk",
    best: bool = False,
    device: str = "auto",
) -> list[dict[str, str]]:
    """Continue prefixes with the model of a run, in any installed backend; the folder is only read.

    Args:
        run: The run folder, or its path.
        prefixes: What to continue, read as the run's text was; by default the run's own prefixes. One that is there
            twice is continued twice, which draws anew.
        num_preds: Characters to add.
        backend: The backend to use; by default the one that trained the run.
        temperature: Draw the characters instead of taking the most probable ones
            (:func:`d2lrnn.core.generation.token_chooser`).
        top_k: Draw among this many most probable characters.
        seed: Of the draws.
        unknown: What to do with characters that the vocabulary lacks (:func:`d2lrnn.core.generation.fit_prefix`).
        best: Take the weights with the best held-out perplexity instead of the last.
        device: A device by name.

    Returns:
        For each of the prefixes, in their order, its ``prefix`` as it was given, and the ``text``: the prefix, as the
        model read it, and its continuation.

    Raises:
        D2LRNNError: If the folder is not that of a run or is damaged, the backend cannot work here, or an argument
            cannot be used.
    """
    check_num_preds(num_preds)
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    wanted = prefixes or folder.settings.prefixes
    if not wanted:
        warnings.warn(
            f"the run in {str(folder.path)!r} has no prefixes of its own, so its model begins from nothing: say with "
            f"prefixes{also('prefixes')} what it should continue",
            D2LRNNWarning,
            stacklevel=2,
        )
        wanted = ("",)
    fitted = {prefix: fit_prefix(prefix, folder.vocab, unknown) for prefix in wanted}
    token_chooser(temperature, top_k, seed)  # what is wrong here should be said before a framework is imported
    # Which backend is to be had, and its threads: a sequence by itself seldom gains from a second one
    name = usable(folder, backend)
    threads = settle(name, None, 1, folder.settings.num_hiddens)
    # A generator for each prefix: its first text is the same whatever else is asked for, and its second one another
    draws = {prefix: None if seed is None else np.random.default_rng(seed) for prefix in wanted}

    with computing_with(name, threads) as framework:
        net, vocab, place = load_model(folder, name, best=best, device=device)

        def continued(prefix: str) -> str:
            return framework.predict(
                fitted[prefix], num_preds, net, vocab, place, temperature=temperature, top_k=top_k, seed=draws[prefix]
            )

        return [{"prefix": prefix, "text": continued(prefix)} for prefix in wanted]
