"""The Chinese first edition's lesson in MXNet: song lyrics, by characters (its sections 6.3 to 6.5).

``from d2lrnn.mxnet import first_edition_zh as d2l`` and the calls of that edition run. What it has in common with
the other backends and with the English edition is in :mod:`d2lrnn.editions.first_editions`.
"""

from types import SimpleNamespace

import numpy
from mxnet import init, np

from d2lrnn.core.checks import check_training
from d2lrnn.editions import first_editions
from d2lrnn.editions.first_editions import load_data_jay_lyrics
from d2lrnn.errors import require_positive
from d2lrnn.mxnet import training
from d2lrnn.mxnet.concise import RNNModel
from d2lrnn.mxnet.device import try_gpu
from d2lrnn.mxnet.prediction import predict_ch8

__all__ = [
    "RNNModel",
    "data_iter_consecutive",
    "data_iter_random",
    "grad_clipping",
    "load_data_jay_lyrics",
    "predict_rnn_gluon",
    "train_and_predict_rnn_gluon",
    "try_gpu",
]


def to_tensors(minibatches, ctx):
    """Yield minibatches of arrays as tensors on a device."""
    for X, Y in minibatches:
        # int32 holds every index exactly; MXNet's default, float32, ends at 16,777,216.
        yield np.array(X, dtype="int32", ctx=ctx), np.array(Y, dtype="int32", ctx=ctx)


def data_iter_random(corpus_indices, batch_size, num_steps, ctx=None, *, seed=None):
    """Yield subsequences of the corpus in random order; the first one starts at the corpus's beginning.

    Args:
        corpus_indices: One sequence of indices.
        batch_size: Subsequences in a minibatch.
        num_steps: Characters in a subsequence.
        ctx: Where to put the tensors; by default the framework's own choice.
        seed: A number, a ``numpy.random.Generator``, or None for another order each time.

    Returns:
        An iterator over tensors ``(X, Y)`` of whole numbers, shape (batch_size, num_steps) each; ``Y`` is ``X`` moved
        by one character.

    Raises:
        InputError: If the corpus is too short for one minibatch, or a size is not positive.
    """
    return to_tensors(first_editions.iter_random(corpus_indices, batch_size, num_steps, shift=False, seed=seed), ctx)


def data_iter_consecutive(corpus_indices, batch_size, num_steps, ctx=None):
    """Cut the corpus into batch_size rows and yield them num_steps columns at a time; nothing of it is random.

    Args:
        corpus_indices: One sequence of indices.
        batch_size: Rows.
        num_steps: Columns in a minibatch.
        ctx: Where to put the tensors; by default the framework's own choice.

    Returns:
        An iterator over tensors ``(X, Y)`` of whole numbers, shape (batch_size, num_steps) each; ``Y`` is ``X`` moved
        by one character.

    Raises:
        InputError: If the corpus is too short for one minibatch, or a size is not positive.
    """
    return to_tensors(first_editions.iter_consecutive(corpus_indices, batch_size, num_steps, shift=False), ctx)


def grad_clipping(params, theta, ctx):
    """Clip the gradients of parameters, in place, so that their norm as one vector is at most theta.

    Args:
        params: Tensors; those without a gradient are skipped.
        theta: The largest norm; None for no clipping.
        ctx: Not used: the gradients know where they are.

    Returns:
        The norm before clipping, a scalar tensor.
    """
    return training.grad_clipping(SimpleNamespace(params=params), first_editions.radius(theta))


def predict_rnn_gluon(prefix, num_chars, model, vocab_size, ctx, idx_to_char, char_to_idx):
    """Continue a prefix, always by the most probable character.

    Args:
        prefix: A string; it may be empty.
        num_chars: Characters to add.
        model: A :class:`RNNModel`.
        vocab_size: Size of the vocabulary.
        ctx: Where the model is.
        idx_to_char: The character of each index.
        char_to_idx: The index of each character.

    Returns:
        The prefix and its continuation.

    Raises:
        InputError: If the vocabulary lacks a character of the prefix, which it has no ``<unk>`` for; if its three
            parts do not belong together; or if num_chars is negative.
    """
    vocab = first_editions.characters(idx_to_char, char_to_idx, vocab_size)
    return first_editions.predict(prefix, vocab, lambda prefix: predict_ch8(prefix, num_chars, model, vocab, ctx))


class _FirstWeights(init.Initializer):
    """Gluon's Normal(0.01), drawn from a generator that is passed in. Biases have an initialiser of their own."""

    def __init__(self, rng):
        super().__init__()
        self.rng = rng

    def _init_weight(self, name, arr):
        arr[:] = np.array(first_editions.first_weights(arr.shape, self.rng), ctx=arr.ctx)


def train(model, minibatches, vocab, lr, num_epochs, ctx, theta, report, rng):
    """Train a model from new weights, drawn from rng: what the two editions have in common."""
    theta = first_editions.radius(theta)
    check_training(minibatches, False, lr=lr, num_epochs=num_epochs, theta=theta, net=model, vocab=vocab)
    model.initialize(ctx=ctx, force_reinit=True)
    # Gluon settles shapes at the first input, and would draw what it has put off until then in another order
    model(np.zeros((1, 1), dtype="int32", ctx=ctx), model.begin_state(batch_size=1, ctx=ctx))
    model.initialize(init=_FirstWeights(rng), ctx=ctx, force_reinit=True)
    return training.train_ch8(model, minibatches, vocab, lr, num_epochs, ctx, theta=theta, quiet=True, callback=report)


def train_and_predict_rnn_gluon(
    model,
    num_hiddens,
    vocab_size,
    ctx,
    corpus_indices,
    idx_to_char,
    char_to_idx,
    num_epochs,
    num_steps,
    lr,
    clipping_theta,
    batch_size,
    pred_period,
    pred_len,
    prefixes,
    *,
    seed=None,
):
    """Train a model from new weights on consecutive minibatches, and print how it goes.

    Every pred_period epochs a line like ``epoch 50, perplexity 79.496973, time 0.17 sec`` is printed, whose time is
    that of its epoch, and then the continuation of each prefix behind a dash.

    Args:
        model: A :class:`RNNModel`. It is trained in place, and the weights that it has are lost: it begins anew from
            Normal(0.01), biases from zero, as in the edition.
        num_hiddens: Hidden units; not used, since the model knows them.
        vocab_size: Size of the vocabulary.
        ctx: Where to train: a device, such as ``try_gpu()``. The model is initialised there.
        corpus_indices: One sequence of indices.
        idx_to_char: The character of each index.
        char_to_idx: The index of each character.
        num_epochs: Passes over the corpus.
        num_steps: Characters in a subsequence.
        lr: Learning rate of stochastic gradient descent.
        clipping_theta: Radius of gradient clipping; None for no clipping.
        batch_size: Subsequences in a minibatch.
        pred_period: Epochs from one print to the next.
        pred_len: Characters to add to each prefix.
        prefixes: What to continue.
        seed: Of the first weights: a number, a ``numpy.random.Generator``, or None.

    Returns:
        The :class:`~d2lrnn.core.history.History`, with the perplexity of each epoch.

    Raises:
        InputError: If an argument cannot be used, or the vocabulary lacks a character of a prefix; nothing has been
            trained then.
        DivergenceError: As ``train_ch8``.
    """
    require_positive(num_epochs=num_epochs, pred_period=pred_period, pred_len=pred_len)
    vocab = first_editions.characters(idx_to_char, char_to_idx, vocab_size)
    first_editions.check_prefixes(prefixes, char_to_idx)
    report = first_editions.Report(
        pred_period,
        pred_period,
        prefixes,
        lambda prefix: predict_rnn_gluon(prefix, pred_len, model, vocab_size, ctx, idx_to_char, char_to_idx),
    )
    minibatches = first_editions.Consecutive(lambda: data_iter_consecutive(corpus_indices, batch_size, num_steps, ctx))
    return train(model, minibatches, vocab, lr, num_epochs, ctx, clipping_theta, report, numpy.random.default_rng(seed))
