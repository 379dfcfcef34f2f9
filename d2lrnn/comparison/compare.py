"""The side-by-side run: each backend in its own process, from the same weights and the same minibatches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from d2lrnn.comparison import reference
from d2lrnn.comparison.process import Progress, ask
from d2lrnn.core import backends
from d2lrnn.core.threads import choose
from d2lrnn.data import SeqDataLoader, Text, Vocab, part_of_text, read_text
from d2lrnn.runs.environment import here_and_now
from d2lrnn.runs.settings import Settings, with_max_tokens, with_seed
from d2lrnn.runs.training import choose_prefixes, corpus_source, load
from d2lrnn.system import memory
from d2lrnn.system.pictures import add_legend, drawing, image, new_figure, number_plainly
from d2lrnn.system.storage import write_atomically
from d2lrnn.system.terminal import spelled
from d2lrnn.system.wording import also
from d2lrnn.weights import canonical

REFERENCE_STEPS = 50
FIRST_STEPS = 10  # before training has amplified the rounding of float32


def reference_losses(
    settings: Settings,
    text: Text,
    steps: int = REFERENCE_STEPS,
    data: tuple[SeqDataLoader, Vocab] | None = None,
) -> list[float]:
    """Return the loss of the first training steps in NumPy float64, from the weights and minibatches of the run.

    Args:
        settings: What to train.
        text: The corpus.
        steps: How many.
        data: What :func:`d2lrnn.runs.training.load` makes of both, if it has been made already; its loader moves on.
    """
    train_iter, vocab = data if data is not None else load(settings, text)
    weights: Any = canonical.initial_weights(
        settings.model, len(vocab), settings.num_hiddens, settings.num_layers, seed=settings.seed
    )
    losses: list[float] = []
    for _ in range(settings.epochs):  # each epoch begins from a state of zeros
        minibatches = [pair for pair, _ in zip(train_iter, range(steps - len(losses)), strict=False)]
        weights, epoch_losses, _ = reference.train_steps(
            weights,
            minibatches,
            settings.lr,
            theta=settings.theta,
            kind=settings.model,
            use_random_iter=settings.use_random_iter,
        )
        losses += epoch_losses
        if len(losses) >= steps:
            break
    return losses


def compare(names: Sequence[str], settings: Settings, on_event: Progress = lambda name, event: None) -> dict[str, Any]:
    """Train the same model in several backends, one after the other, and put the results side by side.

    Args:
        names: The backends.
        settings: What to train. Without a seed one is drawn, and used for all.
        on_event: Called with a backend's name and what its process reports.

    Returns:
        A document ready for JSON: the settings (``threads`` as given; a row's own ``settings`` have the number that it
        computed with), the reference's losses, the ``environment`` (:func:`d2lrnn.runs.environment.here_and_now`),
        and a row for each backend. A row has a
        ``problem`` where the backend is missing or died, and otherwise what :func:`d2lrnn.runs.training.train` returns,
        with ``startup_seconds`` (from the start of the process to the first minibatch), ``peak_memory`` in bytes,
        ``step_losses``, and ``max_loss_difference``, the largest distance of these from the reference's
        (``..._at_first``: over the first ten steps). After Ctrl-C, ``interrupted`` is true, and the rows that were
        finished are there; if there is none, Ctrl-C ends it.

    Raises:
        InputError: If a backend or a setting is unknown, or the text cannot be used.
        NotEnoughMemoryError: If the model or its minibatches do not fit into memory.
    """
    for name in names:
        backends.check_name(name)
    settings.check()
    text = read_text(settings.corpus, settings.encoding)
    settings = with_max_tokens(with_seed(settings), text.name)
    # The processes read the same text: the one that was found, which may stand in for the one asked for.
    corpus = corpus_source(text)
    train_iter, vocab = load(settings, text)
    settings = replace(settings, corpus=corpus, prefixes=choose_prefixes(settings, text, train_iter, vocab))
    settings.check_memory(len(vocab), np.dtype(np.float64).itemsize)  # which the reference takes
    runnable = [name for name in names if backends.problem(name) is None]
    # One measurement for all, and before the machine is busy with the first
    chosen = dict.fromkeys(runnable, settings.threads)
    if settings.threads is None:
        chosen |= choose(runnable, settings.batch_size, settings.num_hiddens)
    on_event("reference", {"event": "start"})
    with memory.explained("the reference in NumPy, which computes in float64"):
        expected = reference_losses(settings, text, data=(train_iter, vocab)) if runnable else []
    rows: list[dict[str, Any]] = []
    interrupted = False
    for name in names:
        row: dict[str, Any] = {
            "backend": name,
            "version": backends.version(name),
            "problem": backends.problem(name),
        }
        if row["problem"] is None and interrupted:
            row["problem"] = "not run: the comparison was interrupted"
        elif row["problem"] is None:
            try:
                row |= _run(name, replace(settings, threads=chosen[name]), expected, on_event)
            except KeyboardInterrupt:
                if not any(done["problem"] is None for done in rows):  # nothing would be lost
                    raise
                interrupted, row["problem"] = True, "interrupted"
        on_event(name, {"event": "end", **row})
        rows.append(row)
    return {
        "settings": asdict(settings),
        "reference_losses": expected,
        "environment": here_and_now(),
        "backends": rows,
        "interrupted": interrupted,
    }


def _run(name: str, settings: Settings, expected: Sequence[float], on_event: Progress) -> dict[str, Any]:
    startup: list[float] = []

    def follow(event: dict[str, Any]) -> None:
        if event["event"] == "ready":
            startup.append(event["startup_seconds"])
        on_event(name, event)

    on_event(name, {"event": "start"})
    job = {"task": "train", "backend": name, "settings": asdict(settings), "step_losses": len(expected)}
    try:
        answer = ask(job, follow)
    except OSError as error:  # no memory for its process, say: what the others came to is kept
        return {"problem": f"its process could not work: {error.strerror or error}"}
    if answer.pop("event") == "error":
        return {"problem": answer["message"]}
    differences = np.abs(np.subtract(answer["step_losses"], expected))
    return {
        **answer,
        "startup_seconds": startup[0],
        "max_loss_difference_at_first": float(differences[:FIRST_STEPS].max()),
        "max_loss_difference": float(differences.max()),
    }


def draw(document: dict[str, Any], path: str | Path) -> None:
    """Draw the perplexity curves, and the distance of each loss curve from the reference, to an image file.

    Raises:
        InputError: If its folder is not there, or Matplotlib cannot draw it.
        StorageError: If the file cannot be written.
    """
    path = Path(path)
    other = also("png", form=" (name another file with {})")
    with drawing(f"cannot write the curves to {str(path)!r}{other}"):
        content = image(_figure(document), path.suffix.lower().lstrip("."))
    write_atomically(path, content)


def _figure(document: dict[str, Any]) -> Any:
    rows = [row for row in document["backends"] if row["problem"] is None]
    settings = document["settings"]
    figure = new_figure(11, 4.2)
    curves, differences = figure.subplots(1, 2)
    # The curves lie over each other where the backends agree: the later ones are thinner, and dashed.
    styles = ("-", "--", ":", "-.")
    for number, row in enumerate(rows):
        history = row["history"]
        width = max(3.0 * 0.6**number, 0.5)
        look: dict[str, Any] = {"linestyle": styles[number % 4], "linewidth": width, "label": row["backend"]}
        curves.plot(history["epoch"], history["perplexity"], **look)
        distance = np.abs(np.subtract(row["step_losses"], document["reference_losses"]))
        # A distance of exactly zero has no place on a logarithmic axis
        differences.plot(range(1, len(distance) + 1), np.maximum(distance, 1e-12), **look)
    corpus = spelled(Path(settings["corpus"]).name)
    if rows and (part := part_of_text(rows[0].get("corpus", {}))):
        corpus = f"{part} of {corpus}"
    title = f"{settings['model']}, {settings['num_hiddens']} units, on {corpus}, seed {settings['seed']}"
    figure.suptitle(title, parse_math=False)  # a file's name may have dollar signs in it
    curves.set(xlabel="epoch", ylabel="perplexity", yscale="log", title="training perplexity")
    number_plainly(curves.yaxis)
    differences.set(xlabel="training step", ylabel="nats", yscale="log")
    differences.set_title("distance of the loss from NumPy float64")
    differences.axvline(FIRST_STEPS, color="grey", linewidth=0.8)  # the table tells the largest up to here, and in all
    for axes in (curves, differences):
        axes.grid(alpha=0.3)
        add_legend(axes)
    return figure
