"""The side-by-side run: each backend in its own process, from the same weights and the same minibatches."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from d2lrnn.comparison import reference
from d2lrnn.core import backends
from d2lrnn.core.pictures import add_legend, check_kind, drawing, image, new_figure, number_plainly
from d2lrnn.core.threads import choose
from d2lrnn.data import SeqDataLoader, Text, Vocab, part_of_text, read_text
from d2lrnn.data.corpora import failures
from d2lrnn.errors import InputError
from d2lrnn.runs.environment import here_and_now
from d2lrnn.runs.run_folder import is_of_a_run
from d2lrnn.runs.settings import Settings, with_max_tokens, with_seed
from d2lrnn.runs.training import choose_prefixes, corpus_source, load
from d2lrnn.system import graphics, memory
from d2lrnn.system.processes import python
from d2lrnn.system.storage import write_atomically
from d2lrnn.system.terminal import spelled
from d2lrnn.system.wording import also
from d2lrnn.weights import canonical

REFERENCE_STEPS = 50
FIRST_STEPS = 10  # before training has amplified the rounding of float32
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


def check_output(path: str | Path, what: str, endings: Sequence[str] | None, option: str) -> None:
    """Check that a file can be written, before hours go into what it shows.

    Args:
        path: The file.
        what: What it holds, for the message.
        endings: Those that it may have, in small letters and without their dot; None for any.
        option: The option that names another file.

    Raises:
        InputError: If its folder is not there or not writable, or its ending is another one.
    """
    path = Path(path)
    try:
        if endings is not None and path.suffix.lower().lstrip(".") not in endings:
            reason = f"its ending must be one of {', '.join(endings)}"
        elif not path.parent.is_dir():
            reason = f"there is no folder {str(path.parent)!r}"
        elif path.is_dir() or (path.exists() and not os.access(path, os.W_OK)):
            reason = "it is not writable"
        elif path.exists() and not path.is_file():
            reason = "it is no regular file, but a pipe or a device, whose place a file would take"
        elif is_of_a_run(path):
            reason = f"the run in {str(path.parent)!r} is kept in it"
        elif not os.access(path.parent, os.W_OK):  # a file that is there is replaced, which takes more than writing it
            reason = f"the folder {str(path.parent)!r} is not writable"
        else:
            with contextlib.suppress(FileNotFoundError):
                path.lstat()  # what the disk says against the name
            with tempfile.TemporaryFile(dir=path.parent):  # and against another file
                return
    except OSError as error:  # a name that is too long, for one
        reason = error.strerror or str(error)
    raise InputError(
        f"cannot write {what} to {str(path)!r}: {reason}; name another file{also(option, form=' with {}')}"
    )


def check_picture(path: str | Path) -> None:
    """Check that a picture can be written to a path, before hours go into what it shows.

    Raises:
        InputError: If its folder is not there or not writable, or Matplotlib cannot draw what its ending says.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    check_output(path, "the curves", sorted(FigureCanvasAgg.get_supported_filetypes()), "png")
    path = Path(path)
    other = also("png", form=" (name another with {})")
    check_kind(path.suffix.lower().lstrip("."), f"cannot write the curves to {str(path)!r}{other}")


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
