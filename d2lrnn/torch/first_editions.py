"""What the first editions need of PyTorch (:class:`d2lrnn.editions.first_editions.FirstEditionBackend`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from d2lrnn.editions import first_editions
from d2lrnn.editions.first_editions import Array, first_weights

from .concise import RNNModel
from .device import try_gpu
from .prediction import predict_ch8
from .training import grad_clipping as clip_gradients
from .training import sgd, train_ch8
from .types import Tensor

__all__ = [
    "RNNModel",
    "ScratchModel",
    "clip_gradients",
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
    return list(F.one_hot(X.T.long(), size).to(torch.float32))


def tensor(indices: Array, ctx: Any) -> Tensor:
    """Return indices as a tensor on a device."""
    return torch.tensor(indices, dtype=torch.int64, device=ctx)  # the type that torch.nn.functional.one_hot asks for


def initialize(model: Any, ctx: Any, rng: np.random.Generator) -> None:
    """Give a model new weights, on a device."""
    model.to(ctx)
    with torch.no_grad():
        for param in model.parameters():
            param.copy_(torch.from_numpy(first_weights(param.shape, rng)))


class ScratchModel(first_editions.ScratchModel):
    """A reader's functions as one model."""

    def to_onehot(self, X: Tensor, size: int) -> list[Tensor]:
        """Return the one-hot vectors of each step of a minibatch."""
        return to_onehot(X, size)

    def concatenate(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the outputs of all steps as one tensor, one step below the other."""
        return torch.cat(tuple(outputs), dim=0)
