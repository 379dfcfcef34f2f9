"""What the first editions need of NumPy (:class:`d2lrnn.editions.first_editions.FirstEditionBackend`)."""

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from d2lrnn.editions import first_editions
from d2lrnn.editions.first_editions import Array, first_weights, radius

from . import nn
from .concise import RNNModel
from .device import try_gpu
from .prediction import predict_ch8
from .scratch import RNNModelScratch
from .training import grad_clipping as clip_gradients
from .training import parameters, sgd, train_ch8
from .types import State, Tensor

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


def to_onehot(X: Tensor, size: int) -> list[Tensor]:
    """Return the one-hot vectors of each step of a minibatch (the first editions' section on networks from scratch).

    Args:
        X: Indices, shape (batch_size, num_steps), whole numbers of any type.
        size: Size of the vocabulary.

    Returns:
        A list of num_steps tensors, shape (batch_size, size) each.
    """
    return list(nn.one_hot(np.asarray(X).T.astype(np.int64), size))


def tensor(indices: Array, ctx: Any) -> Array:
    """Return indices as a tensor, which an array is already, on a device, of which there is one."""
    return indices


def initialize(model: Any, ctx: Any, rng: np.random.Generator) -> None:
    """Give a model new weights, on a device."""
    for param in parameters(model):
        # Matrices are (inputs, outputs)
        param[...] = first_weights(param.shape[::-1], rng).T


def grad_clipping(grads: Iterable[Array | None], theta: Any, ctx: Any) -> Any:
    """Clip gradients, in place, so that their norm as one vector is at most theta.

    NumPy's gradients belong to no parameter, so this takes them.

    Args:
        grads: Arrays; those that are None are skipped.
        theta: The largest norm; None for no clipping.
        ctx: Not used: the gradients know where they are.

    Returns:
        The norm before clipping.
    """
    net: Any = SimpleNamespace(grads=grads)  # what it needs of one
    return clip_gradients(net, radius(theta))


class ScratchModel(first_editions.ScratchModel):
    """A reader's functions as one model. To be trained, ``rnn.backward`` must be its gradient.

    Attributes:
        grads: The gradients of the parameters, once :meth:`backward` has been called.
    """

    grads: list[Tensor | None]

    def to_onehot(self, X: Tensor, size: int) -> list[Tensor]:
        """Return the one-hot vectors of each step of a minibatch."""
        return to_onehot(X, size)

    def concatenate(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the outputs of all steps as one tensor, one step below the other."""
        return np.concatenate(outputs, axis=0)

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state, for X (batch_size, num_steps)."""
        self._called_with = self.to_onehot(X, self.vocab_size), state
        return super().__call__(X, state)

    backward = RNNModelScratch.backward  # which asks for no more of a model than this one has
