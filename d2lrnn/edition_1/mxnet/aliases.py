"""The names by which edition 1.0's sources call MXNet's own functions, those of the edition before among them.

They are attributes of ``d2lrnn.edition_1.mxnet``, and no star import brings them, because ``abs`` and others would hide
Python's own.
"""

from __future__ import annotations

from typing import Any

from mxnet import np, npx

from d2lrnn.mxnet import aliases, size
from d2lrnn.mxnet.aliases import *
from d2lrnn.mxnet.types import Tensor

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

batch_matmul = npx.batch_dot
expand_dims = np.expand_dims
int64 = np.int64
ones_like = np.ones_like
sigmoid = npx.sigmoid
zeros_like = np.zeros_like


def repeat(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor repeated, in NumPy's way: each element."""
    return x.repeat(*args, **kwargs)


def swapaxes(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor with two axes exchanged."""
    return x.swapaxes(*args, **kwargs)
