"""The names by which edition 1.0's sources call TensorFlow's own functions, those of the edition before among them.

They are attributes of ``d2lrnn.edition_1.tensorflow``, and no star import brings them, because ``abs`` and others would
hide Python's own.
"""

from __future__ import annotations

import tensorflow as tf

from d2lrnn.tensorflow import aliases, size
from d2lrnn.tensorflow.aliases import *

__all__ = [
    "batch_matmul",
    "expand_dims",
    "int64",
    "ones_like",
    "repeat",
    "sigmoid",
    "size",
    "zeros_like",
]
__all__ += aliases.__all__

batch_matmul = tf.matmul
expand_dims = tf.expand_dims
int64 = tf.int64
ones_like = tf.ones_like
repeat = tf.repeat
sigmoid = tf.sigmoid
zeros_like = tf.zeros_like
