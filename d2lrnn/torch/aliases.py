"""The names by which the book's sources call PyTorch's own functions in every tab: ``d2l.reshape``, ``d2l.zeros``.

The published notebooks have them replaced by what they stand for; a cell from the .md sources, or from the book's
package, has them as they are. They are attributes of ``d2lrnn.torch``, and no star import brings them, because
``abs`` and others would hide Python's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .types import Tensor

__all__ = [
    "abs",
    "arange",
    "argmax",
    "astype",
    "concat",
    "cos",
    "cosh",
    "exp",
    "eye",
    "float32",
    "int32",
    "linspace",
    "log",
    "matmul",
    "meshgrid",
    "nn_Module",
    "normal",
    "numpy",
    "ones",
    "rand",
    "randn",
    "reduce_mean",
    "reduce_sum",
    "reshape",
    "sin",
    "sinh",
    "stack",
    "tanh",
    "tensor",
    "to",
    "transpose",
    "zeros",
]

ones = torch.ones
zeros = torch.zeros
tensor = torch.tensor
arange = torch.arange
meshgrid = torch.meshgrid
sin = torch.sin
sinh = torch.sinh
cos = torch.cos
cosh = torch.cosh
tanh = torch.tanh
linspace = torch.linspace
exp = torch.exp
log = torch.log
normal = torch.normal
rand = torch.rand
randn = torch.randn
matmul = torch.matmul
int32 = torch.int32
float32 = torch.float32
concat = torch.cat
stack = torch.stack
abs = torch.abs
eye = torch.eye
nn_Module = nn.Module


def numpy(x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Return a tensor as a NumPy array."""
    return x.detach().cpu().numpy(*args, **kwargs)


def reshape(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor in another shape."""
    return x.reshape(*args, **kwargs)


def to(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor on a device."""
    return x.to(*args, **kwargs)


def reduce_sum(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return the sum of a tensor, or of some of its axes."""
    return x.sum(*args, **kwargs)


def reduce_mean(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return the mean of a tensor, or of some of its axes."""
    return x.mean(*args, **kwargs)


def argmax(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return the index of the largest element, or of the largest along an axis."""
    return x.argmax(*args, **kwargs)


def astype(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor with elements of another type."""
    return x.type(*args, **kwargs)


def transpose(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a matrix with rows and columns exchanged."""
    return x.t(*args, **kwargs)
