"""The English first edition's lesson in TensorFlow: The Time Machine by characters, with its punctuation.

``from d2lrnn.tensorflow import first_edition_en as d2l`` and the calls of that edition's lesson on the concise
implementation run. What it has in common with the other backends and with the Chinese edition is in
:mod:`d2lrnn.editions.first_editions`.
"""

import numpy as np

from d2lrnn.editions import first_editions
from d2lrnn.editions.first_editions import load_data_time_machine
from d2lrnn.tensorflow.concise import RNNModel
from d2lrnn.tensorflow.device import try_gpu
from d2lrnn.tensorflow.first_edition_zh import grad_clipping, place, to_tensors, train
from d2lrnn.tensorflow.prediction import predict_ch8

__all__ = [
    "RNNModel",
    "data_iter_consecutive",
    "data_iter_random",
    "grad_clipping",
    "grad_clipping_gluon",
    "load_data_time_machine",
    "predict_rnn_gluon",
    "train_and_predict_rnn_gluon",
    "try_gpu",
]


def data_iter_random(corpus_indices, batch_size, num_steps, ctx=None, *, seed=None):
    """Yield subsequences of the corpus in random order; the first one starts at a random offset.

    Args:
        corpus_indices: One sequence of indices.
        batch_size: Subsequences in a minibatch.
        num_steps: Characters in a subsequence.
        ctx: Where to put the tensors; by default the framework's own choice.
        seed: A number, a ``numpy.random.Generator``, or None for another order each time.

    Returns:
        An iterator over tensors ``(X, Y)`` of whole numbers, shape (batch_size, num_steps) each; ``Y`` is ``X`` moved
        by one character. The offset is one of 0..num_steps-1.

    Raises:
        InputError: If the corpus is too short for one minibatch, or a size is not positive.
    """
    return to_tensors(first_editions.iter_random(corpus_indices, batch_size, num_steps, shift=True, seed=seed), ctx)


def data_iter_consecutive(corpus_indices, batch_size, num_steps, ctx=None, *, seed=None):
    """Cut the corpus, from a random offset on, into batch_size rows and yield them num_steps columns at a time.

    Args:
        corpus_indices: One sequence of indices.
        batch_size: Rows.
        num_steps: Columns in a minibatch.
        ctx: Where to put the tensors; by default the framework's own choice.
        seed: A number, a ``numpy.random.Generator``, or None for another offset each time.

    Returns:
        An iterator over tensors ``(X, Y)`` of whole numbers, shape (batch_size, num_steps) each; ``Y`` is ``X`` moved
        by one character. The offset is one of 0..num_steps-1.

    Raises:
        InputError: If the corpus is too short for one minibatch, or a size is not positive.
    """
    minibatches = first_editions.iter_consecutive(corpus_indices, batch_size, num_steps, shift=True, seed=seed)
    return to_tensors(minibatches, ctx)


def grad_clipping_gluon(grads, theta, ctx):
    """Clip a model's gradients so that their norm as one vector is at most theta.

    TensorFlow's gradients belong to no model, so this takes and returns them, as :func:`grad_clipping` does.

    Args:
        grads: A list of tensors, such as ``tape.gradient(loss, model.trainable_variables)``; those that are None
            stay None.
        theta: The largest norm; None for no clipping.
        ctx: Not used: the gradients know where they are.

    Returns:
        The list of clipped gradients.
    """
    return grad_clipping(grads, theta, ctx)


def predict_rnn_gluon(prefix, num_chars, model, vocab, ctx):
    """Continue a prefix, always by the most probable character.

    Args:
        prefix: A string; it may be empty.
        num_chars: Characters to add.
        model: A :class:`RNNModel`.
        vocab: Its vocabulary.
        ctx: Where the model is.

    Returns:
        The prefix and its continuation; a character that the vocabulary lacks reads ``<unk>``.

    Raises:
        InputError: If num_chars is negative.
    """
    with place(ctx):
        return predict_ch8(prefix, num_chars, model, vocab)


def train_and_predict_rnn_gluon(
    model,
    num_hiddens,
    corpus_indices,
    vocab,
    ctx,
    num_epochs,
    num_steps,
    lr,
    clipping_theta,
    batch_size,
    prefixes,
    *,
    seed=None,
):
    """Train a model from new weights on consecutive minibatches, and print how it goes.

    Every 50 epochs a line like ``epoch 50, perplexity 8.694924, time 2.85 sec`` is printed, whose time is that of all
    50, and every 100 the continuation of each prefix by 50 characters behind a dash.

    Args:
        model: A :class:`RNNModel`. It is trained in place, and the weights that it has are lost: it begins anew from
            Normal(0.01), biases from zero, as in the edition.
        num_hiddens: Hidden units; not used, since the model knows them.
        corpus_indices: One sequence of indices.
        vocab: Their vocabulary.
        ctx: Where to train: what ``try_gpu()`` returns, the name of a device, or a strategy of one device.
        num_epochs: Passes over the corpus.
        num_steps: Characters in a subsequence.
        lr: Learning rate of stochastic gradient descent.
        clipping_theta: Radius of gradient clipping; None for no clipping.
        batch_size: Subsequences in a minibatch.
        prefixes: What to continue.
        seed: Of the first weights and of the offsets: a number, a ``numpy.random.Generator``, or None.

    Returns:
        The :class:`~d2lrnn.core.history.History`, with the perplexity of each epoch.

    Raises:
        InputError: If an argument cannot be used; nothing has been trained then.
        DivergenceError: As ``train_ch8``.
    """
    rng = np.random.default_rng(seed)
    report = first_editions.Report(
        first_editions.EN_LINE_EVERY,
        first_editions.EN_TEXT_EVERY,
        prefixes,
        lambda prefix: predict_rnn_gluon(prefix, first_editions.EN_NUM_CHARS, model, vocab, ctx),
        total_time=True,
    )
    minibatches = first_editions.Consecutive(
        lambda: data_iter_consecutive(corpus_indices, batch_size, num_steps, ctx, seed=rng)
    )
    return train(model, minibatches, vocab, lr, num_epochs, ctx, clipping_theta, report, rng)
