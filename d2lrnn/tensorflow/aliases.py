"""The names by which the book's sources call TensorFlow's own functions in every tab: ``d2l.reshape``, ``d2l.zeros``.

The published notebooks have them replaced by what they stand for; a cell from the .md sources, or from the book's
package, has them as they are. They are attributes of ``d2lrnn.tensorflow``, and no star import brings them, because
``abs`` and others would hide Python's own.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .types import Device, Tensor

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

ones = tf.ones
zeros = tf.zeros
tensor = tf.constant
arange = tf.range
meshgrid = tf.meshgrid
sin = tf.sin
sinh = tf.sinh
cos = tf.cos
cosh = tf.cosh
tanh = tf.tanh
linspace = tf.linspace
exp = tf.exp
log = tf.math.log
normal = tf.random.normal
rand = tf.random.uniform
matmul = tf.matmul
int32 = tf.int32
float32 = tf.float32
concat = tf.concat
stack = tf.stack
abs = tf.abs
eye = tf.eye
reshape = tf.reshape
reduce_sum = tf.reduce_sum
reduce_mean = tf.reduce_mean
argmax = tf.argmax
astype = tf.cast
transpose = tf.transpose
nn_Module = tf.keras.Model


def randn(*size: int) -> Tensor:
    """Return standard normal numbers in a shape that is given as in the other tabs, which is not TensorFlow's way."""
    return tf.random.normal(size)


def numpy(x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Return a tensor as a NumPy array."""
    return x.numpy(*args, **kwargs)


def to(x: Tensor, device: Device) -> Tensor:
    """Return a tensor on a device, or where a scope says that it is."""
    with device:
        return tf.identity(x)
