"""The names by which edition 1.0's sources call PyTorch's own functions, those of the edition before among them.

They are attributes of ``d2lrnn.edition_1.torch``, and no star import brings them, because ``abs`` and others would hide
Python's own.
"""

from __future__ import annotations

from typing import Any

import torch

from d2lrnn.torch import aliases, size
from d2lrnn.torch.aliases import *
from d2lrnn.torch.types import Tensor

__all__ = [
    "batch_matmul",
    "expand_dims",
    "int64",
    "ones_like",
    "repeat",
    "sigmoid",
    "size",
    "swapaxes",
    "zeros_like",
]
__all__ += aliases.__all__

batch_matmul = torch.bmm
int64 = torch.int64
ones_like = torch.ones_like
sigmoid = torch.sigmoid
zeros_like = torch.zeros_like


def expand_dims(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor with one more axis of length 1."""
    return x.unsqueeze(*args, **kwargs)


def repeat(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor repeated, in PyTorch's way: the whole of it along each axis."""
    return x.repeat(*args, **kwargs)


def swapaxes(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor with two axes exchanged."""
    return x.swapaxes(*args, **kwargs)
