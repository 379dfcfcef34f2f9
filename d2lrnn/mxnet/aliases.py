"""The names by which the book's sources call MXNet's own functions in every tab: ``d2l.reshape``, ``d2l.zeros``.

The published notebooks have them replaced by what they stand for; a cell from the .md sources, or from the book's
package, has them as they are. They are attributes of ``d2lrnn.mxnet``, and no star import brings them, because
``abs`` and others would hide Python's own.
"""

from __future__ import annotations

from typing import Any

from mxnet import np
from mxnet.gluon import nn

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

ones = np.ones
zeros = np.zeros
tensor = np.array
arange = np.arange
meshgrid = np.meshgrid
sin = np.sin
sinh = np.sinh
cos = np.cos
cosh = np.cosh
tanh = np.tanh
linspace = np.linspace
exp = np.exp
log = np.log
normal = np.random.normal
rand = np.random.rand
randn = np.random.randn
matmul = np.dot
int32 = np.int32
float32 = np.float32
concat = np.concatenate
stack = np.stack
abs = np.abs
eye = np.eye
nn_Module = nn.Block


def numpy(x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Return a tensor as a NumPy array."""
    return x.asnumpy(*args, **kwargs)


def reshape(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor in another shape."""
    return x.reshape(*args, **kwargs)


def to(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return a tensor on a device."""
    return x.as_in_ctx(*args, **kwargs)


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
    return x.astype(*args, **kwargs)


def transpose(x: Tensor) -> Tensor:
    """Return a matrix with rows and columns exchanged."""
    return x.T
