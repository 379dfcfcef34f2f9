"""What the first editions need of NumPy (:class:`d2lrnn.editions.first_editions.FirstEditionBackend`)."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from d2lrnn.editions.first_editions import Array, first_weights, radius
from d2lrnn.numpy.concise import RNNModel
from d2lrnn.numpy.device import try_gpu
from d2lrnn.numpy.prediction import predict_ch8
from d2lrnn.numpy.training import grad_clipping as clip_gradients
from d2lrnn.numpy.training import parameters, train_ch8

__all__ = [
    "RNNModel",
    "clip_gradients",
    "grad_clipping",
    "initialize",
    "predict_ch8",
    "tensor",
    "train_ch8",
    "try_gpu",
]


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
    return clip_gradients(SimpleNamespace(grads=grads), radius(theta))
