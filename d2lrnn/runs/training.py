"""Training runs from settings to results: trained, kept in a folder, gone on with, and asked to continue a text."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from d2lrnn.core import backends
from d2lrnn.core.generation import fit_prefix
from d2lrnn.core.history import BOOK_NUM_PREDS, History, bits_per_character
from d2lrnn.core.monitor import Callback
from d2lrnn.core.threads import by_itself, computing_with, is_guess, settle
from d2lrnn.data import CORPORA, SeqDataLoader, Text, Vocab, load_data, read_text
from d2lrnn.data.corpora import default_clean
from d2lrnn.data.text_files import check_encoding
from d2lrnn.errors import (
    BackendNotInstalledError,
    D2LRNNWarning,
    DivergenceError,
    InputError,
    InputFileError,
    StorageError,
    TrainingInterrupted,
)
from d2lrnn.runs.environment import describe_here, now
from d2lrnn.runs.folder_files import best_epoch
from d2lrnn.runs.recorder import Recorder, in_words, patience_is_out
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings, with_max_tokens, with_seed
from d2lrnn.system import memory
from d2lrnn.system.arguments import require_positive, require_rates
from d2lrnn.system.wording import by, call
from d2lrnn.weights.canonical import RUNS

CHECKPOINT_EVERY = 10  # epochs


def load(settings: Settings, text: Text, loader: type[SeqDataLoader] = SeqDataLoader) -> tuple[SeqDataLoader, Vocab]:
    """Return the minibatches that the settings ask for, in NumPy or through a backend's loader."""
    return load_data(
        text,
        settings.batch_size,
        settings.num_steps,
        settings.use_random_iter,
        settings.max_tokens,
        clean=settings.clean,
        keep_punctuation=settings.keep_punctuation,
        keep_case=settings.keep_case,
        valid_fraction=settings.valid_fraction,
        seed=settings.seed,
        loader=loader,
    )


def choose_prefixes(settings: Settings, text: Text, train_iter: SeqDataLoader, vocab: Vocab) -> tuple[str, ...]:
    """Return the prefixes to continue: the given ones, the corpus's own, or the first words of a file.

    Characters that the text lacks, cleaned as it was, are warned about: the model reads them as ``<unk>``.
    """
    if not settings.prefixes:
        if text.name in CORPORA:
            return CORPORA[text.name].prefixes
        beginning = "".join(vocab.to_tokens(train_iter.corpus[:16]))
        return (beginning.rsplit(" ", 1)[0] or beginning,)
    for prefix in dict.fromkeys(settings.prefixes):
        fit_prefix(prefix, vocab)
    return settings.prefixes


def corpus_source(text: Text) -> str:
    """Return how to find a text again from any folder: a corpus by its name, a file by its full path."""
    return text.name if text.name in CORPORA else str(Path(text.name).expanduser().resolve())


def train(
    backend: str,
    settings: Settings,
    *,
    text: Text | None = None,
    out: str | Path | None = None,
    numbered: bool = False,
    checkpoint_every: int = CHECKPOINT_EVERY,
    quiet: bool = False,
    callback: Callback | None = None,
    ready: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Train a model as the settings say and return what came out, ready for JSON.

    Args:
        backend: One of :data:`d2lrnn.core.backends.BACKENDS`.
        settings: What to do.
        text: The corpus, if it has been read already.
        out: A run folder to keep it in (:mod:`d2lrnn.runs.run_folder`); it must be new or empty, or have a run in it
            that came to no weights, which is replaced. None keeps nothing. If the folder is removed or replaced while
            it trains, the run is kept beside it, under the same name with a number behind it, and a warning says so.
        numbered: Where the folder is there already, make one with a number behind its name.
        checkpoint_every: Write the state into it every so many epochs, and at the end.
        quiet: Show and print nothing.
        callback: Called after each epoch with its number and its :class:`~d2lrnn.core.history.Epoch`; training ends if
            it returns True.
        ready: Called when all is imported and built, before the first minibatch.

    Raises:
        D2LRNNError: If a setting cannot be used, the backend cannot work here, or training diverges.
        TrainingInterrupted: After Ctrl-C, if there is a run folder; the last complete epoch is in it.
    """
    settings.check()
    require_positive(checkpoint_every=checkpoint_every)
    backends.check_usable(backend)
    text = text if text is not None else read_text(settings.corpus, settings.encoding)
    settings = with_max_tokens(with_seed(settings), text.name)
    require_rates(lr=settings.lr, dtype=backends.BACKENDS[backend].dtype)
    # Whatever is wrong with the text should be said before seconds go into an import
    numpy_iter, vocab = load(settings, text)
    settings = replace(settings, prefixes=choose_prefixes(settings, text, numpy_iter, vocab))
    _check_memory(settings, backend, len(vocab))
    data, every = (numpy_iter, vocab), checkpoint_every
    threads = settle(backend, settings.threads, settings.batch_size, settings.num_hiddens)
    settings = replace(settings, threads=threads)
    if out is None:
        with computing_with(backend, threads):
            return _train(backend, settings, text, data, settings.epochs, None, every, quiet, callback, ready)
    config = {
        "backend": backend,
        **describe_here(backend),
        "corpus": _describe(text, numpy_iter, vocab),
        "created": now(),
        "seconds": 0.0,
    }
    kept = replace(settings, corpus=corpus_source(text))
    with RunFolder.create(out, config, kept, vocab, numbered=numbered) as folder:
        try:
            with _telling_how_to_go_on(folder), computing_with(backend, threads):
                return _train(backend, settings, text, data, settings.epochs, folder, every, quiet, callback, ready)
        except BackendNotInstalledError:
            # Only its import could show it, and the same command may take another backend
            folder.discard()
            raise


def _check_memory(settings: Settings, backend: str, vocab_size: int, device: str | None = None) -> None:
    """Check that a training fits into memory; of one whose device is not known yet, what it takes on any of them."""
    device = device or ("cpu" if backend == "numpy" else settings.device)
    settings.check_memory(vocab_size, np.dtype(backends.BACKENDS[backend].dtype).itemsize, device == "cpu")


def default_folder(backend: str, settings: Settings) -> Path:
    """Return ``runs/<time>-<backend>-<model>``, in the current folder; it may be taken (``numbered``)."""
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{backend}-{settings.model}"


def resume(
    path: str | Path,
    epochs: int | None = None,
    *,
    lr: float | None = None,
    corpus: str | Path | None = None,
    encoding: str | None = None,
    checkpoint_every: int = CHECKPOINT_EVERY,
    quiet: bool = False,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Go on with a run, from its last checkpoint, as if it had never been interrupted.

    On the same machine, with the same versions, the weights and the perplexities are bit for bit those of the run that
    was not interrupted. It computes with as many threads as the run did, whatever this machine has, unless MXNet or
    TensorFlow has begun in this process with another number, which a warning says.

    Args:
        path: The run folder.
        epochs: Train this many epochs more, instead of those that are left of the run's settings.
        lr: Go on with this learning rate, which becomes that of the run's settings. A run that diverged goes on from
            its last good weights, and with the rate that it had it would diverge again.
        corpus: Where the text is now, if it has moved; it must be the same text.
        encoding: Of its file now, if that is another one.
        checkpoint_every: Write the state every so many epochs, and at the end.
        quiet: Show and print nothing.
        callback: Called after each epoch with its number and its :class:`~d2lrnn.core.history.Epoch`; training ends if
            it returns True.

    Returns:
        What :func:`train` returns, of the whole run. A run that is complete is returned as it is.

    Raises:
        D2LRNNError: If the folder is not that of a run, is damaged or in use, the text is not there or is another one,
            the backend cannot work here, or training diverges.
        TrainingInterrupted: After Ctrl-C; the last complete epoch is in the folder.
    """
    require_positive(checkpoint_every=checkpoint_every)
    if epochs is not None:
        require_positive(epochs=epochs)
    found = RunFolder.open(path)
    backends.check_usable(found.backend)
    if encoding is not None:
        check_encoding(encoding)
    text = _same_text(found, corpus, encoding)
    _warn_of_differences(found)
    with found.take() as folder, _telling_how_to_go_on(folder):
        threads = _same_threads(folder)
        settings = replace(_found_again(folder, text, encoding), threads=threads)
        if lr is not None:
            settings = replace(settings, lr=lr)
            settings.check()
            require_rates(lr=lr, dtype=backends.BACKENDS[folder.backend].dtype)
        left = max(0, settings.epochs - folder.epoch)
        if folder.state is not None and epochs is None:
            begin = folder.config.get("patience_from", 0)
            if left and patience_is_out(settings, folder.state.history, begin):
                left = 0
                if folder.status != "stopped early":  # it was killed between that epoch and the end
                    folder.mark("stopped early")
        if epochs is not None:
            settings, left = replace(settings, epochs=folder.epoch + epochs), epochs
            settings.check()
            # Patience begins anew: it may have just run out, and these are asked for
            folder.config = {**folder.config, "patience_from": folder.epoch}
        _check_lr(folder, settings, left, given=lr is not None)
        if settings.lr != folder.settings.lr:
            earlier = [*folder.config.get("earlier_lr", []), {"until": folder.epoch, "lr": folder.settings.lr}]
            folder.config = {**folder.config, "earlier_lr": earlier}
        folder.settings = settings
        data = load(settings, text)
        with computing_with(folder.backend, threads):
            return _train(folder.backend, settings, text, data, left, folder, checkpoint_every, quiet, callback)


def _check_lr(folder: RunFolder, settings: Settings, left: int, given: bool) -> None:
    """Check that a learning rate has epochs to go on with, and warn of one that is known to diverge."""
    if given and not left:
        raise InputError(
            f"the run in {str(folder.path)!r} has no epochs left to train with another learning rate: say how many "
            f"more with {by('epochs')}"
        )
    if left and folder.status == "diverged" and settings.lr >= folder.settings.lr:
        warnings.warn(
            f"this run diverged after epoch {folder.epoch} with the learning rate {folder.settings.lr:g}, and will do "
            f"so again with {settings.lr:g}: give it a smaller one, {by('lr', _smaller_lr(folder.settings))}",
            D2LRNNWarning,
            stacklevel=3,
        )


def _smaller_lr(settings: Settings) -> float:
    """Return a learning rate at which a run may not diverge."""
    return float(f"{min(settings.lr / 10, 1.0):g}")


@contextlib.contextmanager
def _telling_how_to_go_on(folder: RunFolder) -> Iterator[None]:
    """Say with the error that ends a training what is saved and how to go on, and keep what it was."""
    try:
        yield
    except KeyboardInterrupt:
        _mark_if_new(folder, "interrupted")
        raise TrainingInterrupted(
            f"interrupted; {folder.epoch} of {folder.settings.epochs} epochs are saved: go on with "
            f"{call('resume', str(folder.path))}"
        ) from None
    except DivergenceError as error:
        how = "go on from them" if folder.state is not None else "no epoch has gone well, so begin again"
        raise DivergenceError(
            f"{error}: {how} with {call('resume', str(folder.path), lr=_smaller_lr(folder.settings))}",
            error.epoch,
            error.step,
            error.history,
        ) from None
    except Exception as error:
        _mark_if_new(folder, "failed", in_words(error))
        raise


def _mark_if_new(folder: RunFolder, status: str, error: str | None = None) -> None:
    """Record how a training ended before its first epoch, when nobody else does; an older state says more than this."""
    if folder.status == "unfinished" and folder.state is None:
        with contextlib.suppress(StorageError, InputError):
            folder.mark(status, error)


def _warn_of_differences(folder: RunFolder) -> None:
    here = describe_here(folder.backend)
    changed = [
        f"{name} was {was[name]} and is {now[name]}"
        for was, now in ((folder.config.get(part, {}), here[part]) for part in here)
        for name in now
        if name in was and was[name] != now[name] and name not in _ONLY_FOR_THREADS
    ]
    if changed:
        warnings.warn(
            f"not all is as it was when the run began ({', '.join(changed)}): it goes on from where it was, but its "
            "rounding may differ from here on",
            D2LRNNWarning,
            stacklevel=3,
        )


# What only decides how many threads there are; the run has a number of its own
_ONLY_FOR_THREADS = ("cpus", "OMP_NUM_THREADS")


def _same_threads(folder: RunFolder) -> int:
    """Return how many threads a run goes on with: its own number, unless the framework has begun here with another."""
    backend, settings = folder.backend, folder.settings
    own, machine = settings.threads, folder.config.get("machine")
    if own is None and "converted_from" not in folder.config and isinstance(machine, dict):
        own = by_itself(backend, machine)  # a run from before there was this setting
        if is_guess(backend, machine):
            warnings.warn(
                f"it was not recorded with how many threads the run computed: {own} is a guess from the processors of "
                "its machine, so its rounding may differ from here on",
                D2LRNNWarning,
                stacklevel=3,
            )
    try:
        return settle(backend, own, settings.batch_size, settings.num_hiddens)
    except InputError as error:
        here = settle(backend, None, settings.batch_size, settings.num_hiddens)
        warnings.warn(
            f"the run computed with {own} threads so far and goes on with {here}, so its rounding may differ from here "
            f"on: {error}",
            D2LRNNWarning,
            stacklevel=3,
        )
        return here


def _found_again(folder: RunFolder, text: Text, encoding: str | None) -> Settings:
    """Return the settings of a run whose text may be found under another name, and in another encoding."""
    settings = replace(folder.settings, corpus=corpus_source(text))
    settings = replace(settings, encoding=None if text.name in CORPORA else encoding or settings.encoding)
    # What the settings leave to the name of the text was decided by the one that it had
    began = str(folder.config["corpus"].get("name", text.name))
    settings = with_max_tokens(settings, began)
    if settings.clean is None and default_clean(began) != default_clean(text.name):
        settings = replace(settings, clean=default_clean(began))
    return settings


def _same_text(folder: RunFolder, corpus: str | Path | None, encoding: str | None) -> Text:
    """Return the text of a run, which must be the one that it began with."""
    described = folder.config.get("corpus")
    if not described:
        raise InputError(
            f"the run in {str(folder.path)!r} was made from a file of weights and has no text to train on: "
            f"it can be continued with {call('predict')}, and trained on from Python"
        )
    source = str(corpus if corpus is not None else folder.settings.corpus)
    if encoding is None and source not in CORPORA:
        encoding = folder.settings.encoding
    try:
        text = read_text(source, encoding)
    except InputFileError as error:
        raise InputFileError(f"{error} (if the run's text has moved, name its new place with {by('corpus')})") from None
    if text.sha256 != described.get("sha256"):
        raise InputError(
            f"the text {text.name!r} is not the one that the run in {str(folder.path)!r} began with (its SHA-256 is "
            f"{text.sha256[:12]}..., not {str(described.get('sha256'))[:12]}...): bring that text back, or name "
            f"the file that has it with {by('corpus')}"
        )
    return text


def _describe(text: Text, train_iter: SeqDataLoader, vocab: Vocab) -> dict[str, Any]:
    return {
        "name": text.name,
        "sha256": text.sha256,
        "tokens": train_iter.num_tokens,
        "used_tokens": train_iter.used_tokens,
        "text_tokens": train_iter.text_tokens,
        "tokens_per_epoch": train_iter.tokens_per_epoch,
        "vocab_size": len(vocab),
    }


def _train(
    backend: str,
    settings: Settings,
    text: Text,
    data: tuple[SeqDataLoader, Vocab],
    num_epochs: int,
    folder: RunFolder | None,
    checkpoint_every: int,
    quiet: bool,
    callback: Callback | None = None,
    ready: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Train for some epochs, from the folder's state if there is one, and return the results of the whole run.

    ``data`` is what :func:`load` made of the text, in NumPy.
    """
    framework = backends.load(backend)
    train_iter, vocab = data[0].read_as(framework.SeqDataLoader), data[1]
    _check_memory(settings, backend, len(vocab), framework.device_name(framework.get_device(settings.device)))
    with memory.explained(f"{settings.num_layers} x {settings.num_hiddens:,} units"):
        net, device = framework.build_model(
            settings.model,
            len(vocab),
            settings.num_hiddens,
            settings.num_layers,
            device=settings.device,
            seed=settings.seed,
        )
    history = History()
    if folder is not None and folder.vocab.idx_to_token != vocab.idx_to_token:
        raise InputError(
            f"the vocabulary in {str(folder.path)!r} is not that of the text {text.name!r}, cleaned as the run's "
            "settings say: it belongs to another run"
        )
    if folder is not None and folder.state is not None:
        history = folder.state.history
        framework.set_weights(net, folder.state.weights)
        train_iter.random_state = folder.state.random_state
    if ready is not None:
        ready()

    def predict(prefix: str) -> str:
        return str(framework.predict(prefix, BOOK_NUM_PREDS, net, vocab, device))

    recorder = Recorder(
        folder, history, settings, checkpoint_every, callback,
        weights=lambda: framework.get_weights(net), random_state=lambda: train_iter.random_state, predict=predict,
    )  # fmt: skip
    if num_epochs > 0:
        minibatch = f"a minibatch of {settings.batch_size:,} x {settings.num_steps:,} tokens"
        with recorder, memory.explained(f"{settings.num_layers} x {settings.num_hiddens:,} units and {minibatch}"):
            history = framework.train(
                net,
                train_iter,
                vocab,
                settings.lr,
                num_epochs,
                device,
                settings.use_random_iter,
                theta=settings.theta,
                valid_iter=train_iter.valid_iter,
                prefixes=settings.prefixes,
                quiet=quiet,
                callback=recorder,
                history=history,
            )
    result = {
        "backend": backend,
        "version": backends.version(backend),
        "device": framework.device_name(device),
        "settings": settings.to_dict(),
        "corpus": _describe(text, train_iter, vocab),
        "runs": RUNS[settings.model],
        "parameters": framework.num_parameters(net),
        "perplexity": history.perplexity[-1],
        "bits_per_character": bits_per_character(history.perplexity[-1]),
        "valid_perplexity": history.valid_perplexity[-1] if history.valid_perplexity else None,
        "tokens_per_second": history.speed,
        "seconds": recorder.seconds,
        "history": history.to_dict(),
        "predictions": {prefix: predict(prefix) for prefix in settings.prefixes},
    }
    if folder is not None:
        result |= {"out": str(folder.path), "status": folder.status, "best_epoch": best_epoch(history)}
    return result
