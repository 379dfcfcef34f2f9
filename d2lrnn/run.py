"""One training run from settings to results: what ``d2lrnn train`` and each process of ``d2lrnn compare`` do."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from d2lrnn import backends
from d2lrnn.canonical import check_kind
from d2lrnn.data import CORPORA, SeqDataLoader, Text, Vocab, load_data, read_text
from d2lrnn.errors import BackendNotInstalledError, D2LRNNWarning, InputError, require_positive
from d2lrnn.monitor import BOOK_NUM_PREDS, Epoch, bits_per_character

SAMPLINGS = ("sequential", "random")


@dataclass(frozen=True)
class Settings:
    """What to train, on what, and how. The defaults are the book's (section 8.5).

    Attributes:
        model: ``'rnn-scratch'``, ``'rnn'``, ``'gru'`` or ``'lstm'``.
        num_hiddens: Hidden units in each layer.
        num_layers: Layers.
        batch_size: Sequences in a minibatch.
        num_steps: Tokens in a sequence.
        epochs: Passes over the text.
        lr: Learning rate of stochastic gradient descent.
        sampling: ``'sequential'`` or ``'random'``.
        corpus: The name of a corpus, or the path of a UTF-8 text file.
        max_tokens: Tokens used from the beginning of the text; -1 for all.
        valid_fraction: Part of them held out from the end.
        clean: How the text is cleaned (:func:`d2lrnn.data.load_corpus`); None for the corpus's own way.
        keep_punctuation: Keep punctuation, digits and symbols.
        keep_case: Keep capital letters.
        seed: Of the first weights and of the minibatches; None draws them anew.
        device: A device by name, or ``'auto'``.
        prefixes: What to continue at the end; empty for the corpus's own.
    """

    model: str = "rnn-scratch"
    num_hiddens: int = 512
    num_layers: int = 1
    batch_size: int = 32
    num_steps: int = 35
    epochs: int = 500
    lr: float = 1.0
    sampling: str = "sequential"
    corpus: str = "time-machine"
    max_tokens: int = 10000
    valid_fraction: float = 0.0
    clean: str | None = None
    keep_punctuation: bool = False
    keep_case: bool = False
    seed: int | None = None
    device: str = "auto"
    prefixes: tuple[str, ...] = ()

    def check(self) -> None:
        """Check what can be checked without a text and without a framework.

        Raises:
            InputError: If a setting cannot be used.
        """
        check_kind(self.model, self.num_layers)
        require_positive(num_hiddens=self.num_hiddens, batch_size=self.batch_size)
        require_positive(num_steps=self.num_steps, epochs=self.epochs)
        if self.sampling not in SAMPLINGS:
            raise InputError(f"unknown sampling {self.sampling!r}: use one of {', '.join(SAMPLINGS)}")
        if self.seed is not None and self.seed < 0:
            raise InputError(f"seed must be at least 0, not {self.seed!r}")

    @property
    def use_random_iter(self) -> bool:
        """Whether minibatches are sampled randomly."""
        return self.sampling == "random"


def with_seed(settings: Settings) -> Settings:
    """Return settings with a seed: their own, or else one that is drawn, so that the run can be repeated."""
    if settings.seed is not None:
        return settings
    return replace(settings, seed=int(np.random.default_rng().integers(2**32)))


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

    Characters that the vocabulary lacks are warned about: the model reads them as ``<unk>``.
    """
    if not settings.prefixes:
        if text.name in CORPORA:
            return CORPORA[text.name].prefixes
        beginning = "".join(vocab.to_tokens(train_iter.corpus[:16]))
        return (beginning.rsplit(" ", 1)[0] or beginning,)
    for prefix in settings.prefixes:
        if lacking := sorted({character for character in prefix if character not in vocab.token_to_idx}):
            listed = "".join(lacking)
            warnings.warn(
                f"prefix {prefix!r} has characters that the text lacks: {listed!r}", D2LRNNWarning, stacklevel=2
            )
    return settings.prefixes


def train(
    backend: str,
    settings: Settings,
    *,
    text: Text | None = None,
    quiet: bool = False,
    callback: Callable[[int, Epoch], None] | None = None,
    ready: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Train a model as the settings say and return what came out, ready for JSON.

    Args:
        backend: ``'torch'``, ``'mxnet'`` or ``'tensorflow'``.
        settings: What to do.
        text: The corpus, if it has been read already.
        quiet: Show and print nothing.
        callback: Called after each epoch with its number and its :class:`~d2lrnn.monitor.Epoch`.
        ready: Called when all is imported and built, before the first minibatch.

    Raises:
        D2LRNNError: If a setting cannot be used, the backend cannot work here, or training diverges.
    """
    settings.check()
    if (reason := backends.problem(backend)) is not None:
        raise BackendNotInstalledError(reason)
    text = text if text is not None else read_text(settings.corpus)
    settings = with_seed(settings)
    load(settings, text)  # whatever is wrong with the text should be said before seconds go into an import
    interop = backends.interop(backend)
    train_iter, vocab = load(settings, text, interop.SeqDataLoader)
    prefixes = choose_prefixes(settings, text, train_iter, vocab)
    net, device = interop.build_model(
        settings.model,
        len(vocab),
        settings.num_hiddens,
        settings.num_layers,
        device=settings.device,
        seed=settings.seed,
    )
    if ready is not None:
        ready()
    start = time.perf_counter()
    history = interop.train(
        net,
        train_iter,
        vocab,
        settings.lr,
        settings.epochs,
        device,
        settings.use_random_iter,
        valid_iter=train_iter.valid_iter,
        prefixes=prefixes,
        quiet=quiet,
        callback=callback,
    )
    seconds = time.perf_counter() - start
    return {
        "backend": backend,
        "version": backends.version(backend),
        "device": interop.device_name(device),
        "settings": asdict(settings),
        "corpus": {
            "name": text.name,
            "sha256": text.sha256,
            "tokens": train_iter.num_tokens,
            "tokens_per_epoch": train_iter.tokens_per_epoch,
            "vocab_size": len(vocab),
        },
        "parameters": interop.num_parameters(net),
        "perplexity": history.perplexity[-1],
        "bits_per_character": bits_per_character(history.perplexity[-1]),
        "valid_perplexity": history.valid_perplexity[-1] if history.valid_perplexity else None,
        "tokens_per_second": history.speed,
        "seconds": seconds,
        "history": history.to_dict(),
        "predictions": {prefix: interop.predict(prefix, BOOK_NUM_PREDS, net, vocab, device) for prefix in prefixes},
    }
