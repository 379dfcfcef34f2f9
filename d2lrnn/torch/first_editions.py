"""What the first editions need of PyTorch (:class:`d2lrnn.editions.first_editions.FirstEditionBackend`)."""

from typing import Any

import numpy as np
import torch

from d2lrnn.editions.first_editions import Array, first_weights
from d2lrnn.torch.concise import RNNModel
from d2lrnn.torch.device import try_gpu
from d2lrnn.torch.prediction import predict_ch8
from d2lrnn.torch.training import grad_clipping as clip_gradients
from d2lrnn.torch.training import train_ch8

__all__ = [
    "RNNModel",
    "clip_gradients",
    "initialize",
    "predict_ch8",
    "tensor",
    "train_ch8",
    "try_gpu",
]


def tensor(indices: Array, ctx: Any) -> torch.Tensor:
    """Return indices as a tensor on a device."""
    return torch.tensor(indices, dtype=torch.int64, device=ctx)  # the type that torch.nn.functional.one_hot asks for


def initialize(model: Any, ctx: Any, rng: np.random.Generator) -> None:
    """Give a model new weights, on a device."""
    model.to(ctx)
    with torch.no_grad():
        for param in model.parameters():
            param.copy_(torch.from_numpy(first_weights(param.shape, rng)))
