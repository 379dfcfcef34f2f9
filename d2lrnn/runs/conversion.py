"""From one framework to another: a run folder, or a framework's own file of weights, becomes the other."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from d2lrnn.core import backends
from d2lrnn.core.history import History
from d2lrnn.data import Vocab
from d2lrnn.errors import D2LRNNWarning, InputError, InputFileError
from d2lrnn.runs.environment import describe_here, now
from d2lrnn.runs.folder_files import MOST_VOCAB_FILE, State, parse_vocab
from d2lrnn.runs.run_config import CONFIG, VOCAB
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.system import bounded
from d2lrnn.system.wording import also, by
from d2lrnn.weights import canonical, exchange
from d2lrnn.weights.canonical import Weights


@contextlib.contextmanager
def _warning_at_the_end() -> Iterator[None]:
    """Keep warnings until all has been done: of what is refused there is nothing else to say."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", D2LRNNWarning)
        yield
    for one in said:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


@_warning_at_the_end()
def convert(
    source: str | Path,
    target: str | Path,
    *,
    backend: str | None = None,
    kind: str | None = None,
    vocab: str | Path | Vocab | None = None,
    best: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Write a run, or the weights in a framework's own file, as a run of another backend or as another such file.

    A run that becomes a run keeps its state: ``resume`` goes on with it in the other backend, on the minibatches that
    were to come. The other backend need not be installed for that. What a file holds is in
    :mod:`d2lrnn.weights.exchange`.

    Args:
        source: A run folder; or a file whose ending is one of :data:`d2lrnn.weights.exchange.FORMATS`.
        target: A file with one of these endings, which must not be there yet (but see ``force``); or else a run
            folder, which must be new or empty.
        backend: The backend of the run that is made.
        kind: The model's kind, where the source is a file that does not tell it.
        vocab: The vocabulary, where a run is made of a file, which holds none: a run folder, its ``vocab.json``, or the
            vocabulary itself. In the run ``<unk>`` is the first token, wherever it was.
        best: Take the weights with the best held-out perplexity, where a file is made of a run.
        force: Replace the file, if it is there already.

    Returns:
        What was made, ready for JSON: ``out``, ``kind``, ``backend`` (of a run), and the sizes.

    Raises:
        D2LRNNError: If the source cannot be read, the target cannot be written, the conversion would not be exact,
            or something that it needs is not given.
    """
    source, target = Path(source), Path(target)
    to_file = target.suffix.lower() in exchange.FORMATS and not target.is_dir()
    if to_file and backend not in (None, made := exchange.FORMATS[target.suffix.lower()].backend):
        raise InputError(
            f"a {target.suffix} file is {made}'s own, and {by('backend')} says {backend}: leave "
            f"{by('backend')} out, or name another file, or a folder{also('target', form=', with {}')}"
        )
    if not to_file:
        if backend is None:
            raise InputError(
                f"{str(target)!r} is to be a run folder: name its framework with {by('backend')} "
                f"({', '.join(backends.BACKENDS)}), or give {by('target')} one of the endings "
                f"{', '.join(exchange.FORMATS)}"
            )
        backends.check_name(backend)
    if to_file and (target.parent / CONFIG).exists():
        raise InputError(f"{str(target.parent)!r} is a run folder, which holds what its run wrote: name another place")
    if to_file and not force and os.path.lexists(target):  # a link to nowhere is somebody's too
        raise InputError(f"{str(target)!r} is there already: name another file, or replace it with {by('force', True)}")
    if source.is_dir():
        folder = RunFolder.open(source)
        weights, own = folder.weights(best), folder.settings.model
        if kind not in (None, own):
            raise InputError(
                f"the run in {str(source)!r} is of the model {own!r}, not {kind!r}: leave {by('kind')} out"
            )
        if not to_file:
            if best:
                raise InputError(
                    f"a run that becomes a run keeps all its weights, the best ones too: leave {by('best')} out"
                )
            return _as_run(folder, target, str(backend))
    else:
        if source.suffix.lower() not in exchange.FORMATS and not source.exists():
            raise InputFileError(
                f"there is no {str(source)!r}: give a run folder, or a file that ends in {', '.join(exchange.FORMATS)}"
            )
        own, weights = exchange.read_file(source, kind)
        if not to_file:
            return _file_as_run(source, own, weights, target, str(backend), vocab)
    weights = _in_dtype(weights, "float32", f"a {target.suffix} file")
    exchange.write_file(target, own, weights)
    return _made(target, own, weights)


def _made(target: Path, kind: str, weights: Weights, backend: str | None = None) -> dict[str, Any]:
    vocab_size, num_hiddens, num_layers, bidirectional = canonical.sizes(kind, weights)
    return {
        "out": str(target),
        "backend": backend,
        "kind": kind,
        "vocab_size": vocab_size,
        "num_hiddens": num_hiddens,
        "num_layers": num_layers,
        "bidirectional": bidirectional,
    }


def _in_dtype(weights: Weights, dtype: str, holder: str) -> Weights:
    """Return weights in the type that a file or a backend holds; where that rounds them, a warning says so."""
    return canonical.in_dtype(weights, dtype, f"the weights are rounded, for {holder} holds them in {dtype}")


def _check_backend(kind: str, backend: str) -> None:
    """Check that a backend has a layer that computes a kind; no framework is needed for that."""
    able = canonical.able(kind)
    if backend not in able:
        raise InputError(
            f"the model {kind!r} cannot be converted exactly to {backends.BACKENDS[backend].title}, which has no layer "
            f"that computes it: only {', '.join(able)} can"
        )


def _as_run(folder: RunFolder, target: Path, backend: str) -> dict[str, Any]:
    """Make a run of another backend, in the same state."""
    settings, state = folder.settings, folder.trained()
    _check_backend(settings.model, backend)
    config: dict[str, Any] = {
        name: folder.config[name] for name in ("corpus", "created", "seconds") if name in folder.config
    }
    before = {"backend": folder.backend, "epochs": folder.epoch}
    config |= {"backend": backend, **describe_here(backend), "converted_from": before}
    kept = {
        name: folder.config[name]
        for name in ("best_epoch", "patience_from", "earlier_lr", "error")
        if name in folder.config
    }
    made_for = backends.BACKENDS[backend]
    holder = f"a run in {made_for.title}"
    best = None if state.best is None else _in_dtype(state.best, made_for.dtype, holder)
    state = replace(state, weights=_in_dtype(state.weights, made_for.dtype, holder), best=best)
    with RunFolder.create(target, config, replace(settings, device="auto", threads=None), folder.vocab) as made:
        made.save(state, folder.status, **kept)
    return _made(target, settings.model, state.weights, backend)


def _file_as_run(
    source: Path, kind: str, weights: Weights, target: Path, backend: str, vocab: str | Path | Vocab | None
) -> dict[str, Any]:
    """Make a run that can be continued by ``predict``, of weights without a history."""
    _check_backend(kind, backend)
    if vocab is None:
        raise InputError(
            f"a file of weights such as {str(source)!r} holds no vocabulary: name the run folder or the vocab.json "
            f"that has it with {by('vocab')}"
        )
    tokens, name = (vocab, "") if isinstance(vocab, Vocab) else (_read_vocab(Path(vocab)), f" in {str(vocab)!r}")
    vocab_size, num_hiddens, num_layers, bidirectional = canonical.sizes(kind, weights)
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise InputError(
            f"the model in {str(source)!r} has weights that are NaN or infinite, so it can continue no text"
        )
    if bidirectional:
        raise InputError(
            f"the model in {str(source)!r} reads a text from both ends and cannot continue one, so it makes no run: "
            "convert it to another file instead"
        )
    if len(tokens) != vocab_size:
        raise InputError(
            f"the vocabulary{name} has {len(tokens)} tokens, and the model in {str(source)!r} is for "
            f"{vocab_size}: name the vocabulary that it was trained with"
        )
    if tokens.unk != 0:
        tokens, weights = _with_unknown_first(tokens, weights)
    settings = Settings(model=kind, num_hiddens=num_hiddens, num_layers=num_layers, seed=0)
    weights = canonical.in_dtype(weights, backends.BACKENDS[backend].dtype)
    state = State(weights, History(), dict(np.random.default_rng(0).bit_generator.state))
    config = {
        "backend": backend,
        **describe_here(backend),
        "corpus": {},
        "created": now(),
        "converted_from": {"file": source.name},
    }
    with RunFolder.create(target, config, settings, tokens) as made:
        made.save(state, "converted")
    return _made(target, kind, weights, backend)


def _with_unknown_first(vocab: Vocab, weights: Weights) -> tuple[Vocab, Weights]:
    """Return a vocabulary with ``<unk>`` as the first token, as those of runs have it, and the weights for it."""
    order = [vocab.unk, *(index for index in range(len(vocab)) if index != vocab.unk)]
    made = Vocab(reserved_tokens=[vocab.idx_to_token[index] for index in order])
    made.preparation = vocab.preparation
    return made, canonical.with_tokens_in_order(weights, order)


def _read_vocab(path: Path) -> Vocab:
    path = path / VOCAB if path.is_dir() else path
    try:
        content = bounded.read_file(path, MOST_VOCAB_FILE, "a vocabulary has at most")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{error}: name a run folder") from None
        reason = getattr(error, "strerror", None) or error
        raise InputFileError(f"cannot read the vocabulary {str(path)!r} ({reason}): name a run folder") from None
    vocab = parse_vocab(content, repr(str(path)))
    if vocab.preparation is None and (path.parent / CONFIG).exists():
        # Of a run that was kept before vocabularies knew it: its settings say how the text was prepared
        with contextlib.suppress(InputError):
            vocab.preparation = RunFolder.open(path.parent).vocab.preparation
    return vocab
