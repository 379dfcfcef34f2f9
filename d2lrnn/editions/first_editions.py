"""What the book's first editions have in common, without a framework: minibatches, clipping, training, its lines.

Before the chapter had its ``ch8`` functions there were Gluon lessons with the same names and other arguments: the
Chinese edition's on song lyrics (its sections 6.3 to 6.8), the English one's on The Time Machine, and those of the
draft that came after the English one.

Each edition stands once, as a class whose methods are its functions: :mod:`d2lrnn.editions.first_edition_zh`,
:mod:`d2lrnn.editions.first_edition_en` and :mod:`d2lrnn.editions.first_edition_en_draft`. The modules of the same names
in ``d2lrnn.<backend>`` have the methods of such an object, which computes with ``d2lrnn.<backend>.first_editions``
(:class:`FirstEditionBackend`). They are methods, and not functions of ``functools.partial``, so that their source,
signature and text are what a reader sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

import numpy as np

from d2lrnn.core.checks import check_training
from d2lrnn.core.history import Epoch, History, format_perplexity
from d2lrnn.data.arrays import as_array
from d2lrnn.data.sampling import Array as Array
from d2lrnn.data.sampling import Seed
from d2lrnn.data.text import Vocab
from d2lrnn.errors import InputError
from d2lrnn.system.arguments import require_positive
from d2lrnn.system.terminal import visible

Minibatches = Iterator[tuple[Any, Any]]

NUM_CHARS = 10000  # of the text, from its beginning
SIGMA = 0.01  # standard deviation of the first weights


# Sampling


def _check_corpus(corpus_indices: Any, batch_size: int, num_steps: int, needed: int) -> Array:
    corpus: Array = as_array(corpus_indices).astype(np.int64)
    if corpus.ndim != 1:
        raise InputError(f"a corpus is one sequence of indices, not an array of shape {corpus.shape}")
    if len(corpus) < needed:
        raise InputError(
            f"a corpus of {len(corpus)} characters is too short for one minibatch: {batch_size} sequences of "
            f"{num_steps} steps need at least {needed}; give a longer text, or a smaller batch_size or num_steps"
        )
    return corpus


def iter_random(corpus_indices: Any, batch_size: int, num_steps: int, *, shift: bool, seed: Seed = None) -> Minibatches:
    """Yield arrays as :meth:`FirstEdition.data_iter_random` yields tensors, with the same shapes and errors.

    The editions share this iterator but for its start; :func:`d2lrnn.data.seq_data_iter_random` is the book's later
    one, which always starts at a random offset. What does not fill a minibatch is left out. (The English edition left
    out one more subsequence.)

    With ``shift`` they start at a random offset of 0..num_steps-1 (English edition), otherwise at 0 (Chinese edition).
    """
    require_positive(batch_size=batch_size, num_steps=num_steps)
    spare = num_steps - 1 if shift else 0  # what the largest offset takes
    corpus = _check_corpus(corpus_indices, batch_size, num_steps, batch_size * num_steps + 1 + spare)
    rng = np.random.default_rng(seed)
    corpus = corpus[rng.integers(num_steps) if shift else 0 :]
    starts = rng.permutation((len(corpus) - 1) // num_steps) * num_steps

    def minibatches() -> Minibatches:
        for i in range(0, len(starts) - batch_size + 1, batch_size):
            windows = corpus[starts[i : i + batch_size, None] + np.arange(num_steps + 1)]  # (batch_size, num_steps + 1)
            yield windows[:, :-1], windows[:, 1:]

    return minibatches()


def iter_consecutive(
    corpus_indices: Any, batch_size: int, num_steps: int, *, shift: bool, seed: Seed = None
) -> Minibatches:
    """Yield arrays as an edition's ``data_iter_consecutive`` yields tensors, with the same shapes and errors.

    A row of one minibatch continues the same row of the one before. The rows are the editions': each is cut first
    and gives up its last character for the labels, where :func:`d2lrnn.data.seq_data_iter_sequential`, the book's
    later iterator, takes the labels from the next row too.

    With ``shift`` they start at a random offset of 0..num_steps-1 (English edition), otherwise at 0 (Chinese edition).
    """
    require_positive(batch_size=batch_size, num_steps=num_steps)
    spare = num_steps - 1 if shift else 0  # what the largest offset takes
    corpus = _check_corpus(corpus_indices, batch_size, num_steps, batch_size * (num_steps + 1) + spare)
    corpus = corpus[np.random.default_rng(seed).integers(num_steps) if shift else 0 :]
    length = len(corpus) // batch_size
    rows = corpus[: batch_size * length].reshape(batch_size, length)

    def minibatches() -> Minibatches:
        for i in range(0, length - num_steps, num_steps):
            yield rows[:, i : i + num_steps], rows[:, i + 1 : i + num_steps + 1]

    return minibatches()


class Epochs:
    """What ``train_ch8`` iterates over: the minibatches of an epoch, made anew for each.

    Args:
        data_iter: Makes the minibatches of an epoch, ``(X, Y)`` tensors.
        use_random_iter: Whether they are subsequences in random order, and not each the continuation of the last.
    """

    def __init__(self, data_iter: Callable[[], Iterable[Any]], use_random_iter: bool = False) -> None:
        self._data_iter, self.use_random_iter = data_iter, use_random_iter

    def __iter__(self) -> Iterator[Any]:
        return iter(self._data_iter())


# Models, weights and lines


class ScratchModel:
    """The functions that a reader wrote down for an edition, as one model that the chapter's training takes.

    Args:
        rnn: A function of a list of one-hot vectors, (batch_size, vocab_size) for each step, a state and the
            parameters. It returns the list of the steps' outputs, of the same shapes, and the new state. One tensor of
            all outputs, as the chapter's later functions return it, will do too.
        params: The parameters.
        init_rnn_state: A function of batch_size, num_hiddens and ctx, which returns the first state.
        num_hiddens: Hidden units.
        vocab_size: Size of the vocabulary.
        ctx: Where the parameters are.

    Attributes:
        params: The parameters, a list.
        trainable_variables: The same list, by the name that TensorFlow's training asks for.
    """

    def __init__(
        self,
        rnn: Callable[..., Any],
        params: Iterable[Any],
        init_rnn_state: Callable[..., Any],
        num_hiddens: int,
        vocab_size: int,
        ctx: Any,
    ) -> None:
        self.forward_fn, self.init_state = rnn, init_rnn_state
        self.params = self.trainable_variables = list(params)
        self.num_hiddens, self.vocab_size, self.ctx = num_hiddens, vocab_size, ctx

    def to_onehot(self, X: Any, size: int) -> list[Any]:
        """Return the one-hot vectors of each step of a minibatch: the backend's ``to_onehot``."""
        raise NotImplementedError

    def concatenate(self, outputs: Sequence[Any]) -> Any:
        """Return the outputs of all steps as one tensor, one step below the other."""
        raise NotImplementedError

    def __call__(self, X: Any, state: Any) -> tuple[Any, Any]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state, for X (batch_size, num_steps)."""
        outputs, state = self.forward_fn(self.to_onehot(X, self.vocab_size), state, self.params)
        return (self.concatenate(outputs) if isinstance(outputs, (list, tuple)) else outputs), state

    def begin_state(self, batch_size: int, *args: Any, **kwargs: Any) -> Any:
        """Return the first state for a minibatch. The device that backends hand over is the model's own."""
        return self.init_state(batch_size, self.num_hiddens, self.ctx)


def first_weights(shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Return the values that training begins from: Normal(0.01) for a matrix, and zeros for a bias vector.

    Args:
        shape: (outputs, inputs) for a matrix. A backend that keeps (inputs, outputs) transposes it, so that the same
            generator gives a network of one tanh or LSTM layer the same weights in every backend.
        rng: Draws them.
    """
    return (rng.normal(0.0, SIGMA, shape) if len(shape) > 1 else np.zeros(shape)).astype(np.float32)


def radius(theta: Any) -> Any:
    """Return a radius of clipping: theta itself, or for None, which means no clipping, one that no float32 reaches."""
    return float(np.finfo(np.float32).max) if theta is None else theta


class Report:
    """Prints how training goes: called with the number of each epoch and its record.

    Args:
        line_every: Epochs from one line to the next, ``epoch 50, perplexity 79.496973, time 0.17 sec``.
        text_every: Epochs from one `` - `` and text of each prefix to the next.
        prefixes: What to continue.
        predict: Returns a prefix and its continuation.
        total_time: The time of a line is that of all the epochs since the last one (English edition), in seconds,
            and not that of the last epoch (Chinese edition).
    """

    def __init__(
        self,
        line_every: int,
        text_every: int,
        prefixes: Sequence[str],
        predict: Callable[[str], str],
        *,
        total_time: bool = False,
    ) -> None:
        self.line_every, self.text_every = line_every, text_every
        self.prefixes, self.predict, self.total_time = prefixes, predict, total_time
        self._seconds = 0.0

    def __call__(self, number: int, epoch: Epoch) -> None:
        """Print what is due after an epoch."""
        self._seconds = epoch.seconds + (self._seconds if self.total_time else 0.0)
        if number % self.line_every == 0:
            print(f"epoch {number}, perplexity {format_perplexity(epoch.perplexity, 6)}, time {self._seconds:.2f} sec")
            self._seconds = 0.0
        if number % self.text_every == 0:
            for prefix in self.prefixes:
                print(" -", visible(self.predict(prefix)))


# The editions


class FirstEditionBackend(Protocol):
    """What the editions need of a framework: the module ``d2lrnn.<backend>.first_editions``, which each backend has.

    A model, a tensor and a device are the framework's own. An edition's word for a device is ``ctx``, MXNet's context.
    """

    @property
    def ScratchModel(self) -> type[ScratchModel]:
        """What makes a model of a reader's functions."""

    def tensor(self, indices: Array, ctx: Any) -> Any:
        """Return indices as a tensor on a device; for None on that of the framework's own choice."""

    def initialize(self, model: Any, ctx: Any, rng: np.random.Generator) -> None:
        """Give a model new weights (:func:`first_weights`), on a device."""

    def clip_gradients(self, net: Any, theta: Any, /) -> Any:
        """Clip gradients: the ``grad_clipping`` of the chapter."""

    def predict_ch8(self, prefix: str, num_preds: int, net: Any, vocab: Vocab, device: Any) -> str:
        """Continue a prefix."""

    def train_ch8(
        self,
        net: Any,
        train_iter: Any,
        vocab: Vocab,
        lr: Any,
        num_epochs: int,
        device: Any,
        use_random_iter: bool,
        *,
        theta: Any,
        quiet: bool,
        callback: Any,
    ) -> History:
        """Train a model."""


class FirstEdition:
    """What the editions have in common.

    Args:
        backend: What computes.
    """

    shift: ClassVar[bool]  # whether minibatches start at a random offset

    def __init__(self, backend: FirstEditionBackend) -> None:
        self.backend = backend

    def _tensors(self, minibatches: Minibatches, ctx: Any) -> Minibatches:
        for X, Y in minibatches:
            yield self.backend.tensor(X, ctx), self.backend.tensor(Y, ctx)

    def data_iter_random(
        self, corpus_indices: Any, batch_size: int, num_steps: int, ctx: Any = None, *, seed: Seed = None
    ) -> Minibatches:
        """Yield subsequences of the corpus in random order.

        The first one starts at the corpus's beginning in the Chinese edition, and at a random offset of
        0..num_steps-1 in the English one.

        Args:
            corpus_indices: One sequence of indices.
            batch_size: Subsequences in a minibatch.
            num_steps: Characters in a subsequence.
            ctx: Where to put the tensors; by default the framework's own choice.
            seed: A number, a ``numpy.random.Generator``, or None for another order each time.

        Returns:
            An iterator over tensors ``(X, Y)`` of whole numbers, shape (batch_size, num_steps) each; ``Y`` is ``X``
            moved by one character.

        Raises:
            InputError: If the corpus is too short for one minibatch, or a size is not positive.
        """
        return self._tensors(iter_random(corpus_indices, batch_size, num_steps, shift=self.shift, seed=seed), ctx)

    def grad_clipping(self, params: Iterable[Any], theta: Any, ctx: Any) -> Any:
        """Clip the gradients of parameters, in place, so that their norm as one vector is at most theta.

        Args:
            params: Tensors; those without a gradient are skipped.
            theta: The largest norm; None for no clipping.
            ctx: Not used: the gradients know where they are.

        Returns:
            The norm before clipping, a scalar tensor.
        """
        return self.backend.clip_gradients(SimpleNamespace(params=params), radius(theta))

    def _epochs(
        self,
        corpus_indices: Any,
        batch_size: int,
        num_steps: int,
        ctx: Any,
        rng: np.random.Generator,
        is_random_iter: bool = False,
    ) -> Epochs:
        """Return the minibatches to train on, drawn anew from rng for each epoch where anything is random."""
        arrays = iter_random if is_random_iter else iter_consecutive

        def data_iter() -> Minibatches:
            return self._tensors(arrays(corpus_indices, batch_size, num_steps, shift=self.shift, seed=rng), ctx)

        return Epochs(data_iter, is_random_iter)

    def _train(
        self,
        model: Any,
        minibatches: Epochs,
        vocab: Vocab,
        ctx: Any,
        num_epochs: int,
        lr: Any,
        clipping_theta: Any,
        report: Report,
    ) -> History:
        """Train a model from the weights that it has, and print what an edition prints."""
        return self.backend.train_ch8(
            model,
            minibatches,
            vocab,
            lr,
            num_epochs,
            ctx,
            minibatches.use_random_iter,
            theta=radius(clipping_theta),
            quiet=True,
            callback=report,
        )

    def _train_anew(
        self,
        model: Any,
        minibatches: Epochs,
        vocab: Vocab,
        ctx: Any,
        num_epochs: int,
        lr: Any,
        clipping_theta: Any,
        report: Report,
        rng: np.random.Generator,
    ) -> History:
        """Train a model from new weights, drawn from rng, which it gets once everything has been checked."""
        theta = radius(clipping_theta)
        check_training(minibatches, False, lr=lr, num_epochs=num_epochs, theta=theta, net=model, vocab=vocab)
        self.backend.initialize(model, ctx, rng)
        return self._train(model, minibatches, vocab, ctx, num_epochs, lr, clipping_theta, report)


class ShiftedEdition(FirstEdition):
    """What the English edition and its draft have in common: minibatches start at a random offset.

    Args:
        backend: What computes.
    """

    shift = True

    def data_iter_consecutive(
        self, corpus_indices: Any, batch_size: int, num_steps: int, ctx: Any = None, *, seed: Seed = None
    ) -> Minibatches:
        """Cut the corpus, from a random offset on, into batch_size rows and yield them num_steps columns at a time.

        Args:
            corpus_indices: One sequence of indices.
            batch_size: Rows.
            num_steps: Columns in a minibatch.
            ctx: Where to put the tensors; by default the framework's own choice.
            seed: A number, a ``numpy.random.Generator``, or None for another offset each time.

        Returns:
            An iterator over tensors ``(X, Y)`` of whole numbers, shape (batch_size, num_steps) each; ``Y`` is ``X``
            moved by one character. The offset is one of 0..num_steps-1.

        Raises:
            InputError: If the corpus is too short for one minibatch, or a size is not positive.
        """
        minibatches = iter_consecutive(corpus_indices, batch_size, num_steps, shift=self.shift, seed=seed)
        return self._tensors(minibatches, ctx)
