"""What the first editions need of TensorFlow (:class:`d2lrnn.editions.first_editions.FirstEditionBackend`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from d2lrnn.core.history import History
from d2lrnn.data.text import Vocab
from d2lrnn.editions import first_editions
from d2lrnn.editions.first_editions import Array, first_weights, radius

from . import prediction, training
from .concise import RNNModel
from .device import book_name, try_gpu
from .training import grad_clipping as clip_gradients
from .training import parameters, sgd
from .types import Tensor

__all__ = [
    "RNNModel",
    "ScratchModel",
    "clip_gradients",
    "grad_clipping",
    "initialize",
    "predict_ch8",
    "sgd",
    "tensor",
    "to_onehot",
    "train_ch8",
    "try_gpu",
]


def place(ctx: Any) -> Any:
    """Return a new context manager for a device.

    Args:
        ctx: What :func:`try_gpu` returns; the name of a device, such as ``'/GPU:0'``; a strategy of one device; or
            None for TensorFlow's own choice.
    """
    if ctx is None or isinstance(ctx, str):
        return tf.device(ctx)
    if isinstance(ctx, tf.distribute.Strategy):
        return tf.device(book_name(ctx))
    with ctx:  # it does not say where it leads, except in this way
        return tf.device(tf.constant(0).device)


def to_onehot(X: Tensor, size: int) -> list[Tensor]:
    """Return the one-hot vectors of each step of a minibatch (the first editions' section on networks from scratch).

    Args:
        X: Indices, shape (batch_size, num_steps), whole numbers of any type.
        size: Size of the vocabulary.

    Returns:
        A list of num_steps tensors, shape (batch_size, size) each.
    """
    return tf.unstack(tf.one_hot(tf.cast(tf.transpose(X), tf.int32), size))


def tensor(indices: Array, ctx: Any) -> Tensor:
    """Return indices as a tensor on a device."""
    with place(ctx):
        return tf.constant(indices, dtype=tf.int32)  # the type that the book's tab has


def initialize(model: Any, ctx: Any, rng: np.random.Generator) -> None:
    """Give a model new weights, on a device."""
    with place(ctx):
        if not model.built:
            # Keras makes weights at the first input
            model(tf.zeros((1, 1), tf.int32), model.begin_state(batch_size=1, dtype=tf.float32))
        for variable in parameters(model):
            # Matrices are (inputs, outputs)
            variable.assign(first_weights(tuple(variable.shape)[::-1], rng).T)


def grad_clipping(grads: Sequence[Any], theta: Any, ctx: Any) -> Any:
    """Clip gradients so that their norm as one vector is at most theta.

    TensorFlow's gradients belong to no parameter, so this takes and returns them, as ``d2lrnn.tensorflow`` does.

    Args:
        grads: A list of tensors, such as ``tape.gradient(loss, params)``; those that are None stay None.
        theta: The largest norm; None for no clipping.
        ctx: Not used: the gradients know where they are.

    Returns:
        The list of clipped gradients.
    """
    return clip_gradients(grads, radius(theta))


def predict_ch8(prefix: str, num_preds: int, net: Any, vocab: Vocab, device: Any) -> str:
    """Continue a prefix on a device, which the tab's own function takes from its surroundings."""
    with place(device):
        return prediction.predict_ch8(prefix, num_preds, net, vocab)


def train_ch8(
    net: Any,
    train_iter: Any,
    vocab: Vocab,
    lr: Any,
    num_epochs: int,
    device: Any,
    use_random_iter: bool,
    **options: Any,
) -> History:
    """Train a model on a device, where the tab's own function takes a strategy."""
    with place(device):
        strategy = tf.distribute.OneDeviceStrategy(tf.constant(0.0).device)
    return training.train_ch8(net, train_iter, vocab, lr, num_epochs, strategy, use_random_iter, **options)


class ScratchModel(first_editions.ScratchModel):
    """A reader's functions as one model."""

    def to_onehot(self, X: Tensor, size: int) -> list[Tensor]:
        """Return the one-hot vectors of each step of a minibatch."""
        return to_onehot(X, size)

    def concatenate(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the outputs of all steps as one tensor, one step below the other."""
        return tf.concat(outputs, axis=0)
