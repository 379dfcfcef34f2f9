"""The threads that TensorFlow computes with on the CPU."""

import os

import tensorflow as tf

from d2lrnn.errors import InputError
from d2lrnn.threads import check_number, usable_cpus


def num_threads():
    """Return the number of threads that TensorFlow computes with."""
    told = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return tf.config.threading.get_intra_op_parallelism_threads() or (int(told) if told.isdecimal() else usable_cpus())


def set_num_threads(n):
    """Compute with n threads. It can be called until TensorFlow's first operation.

    A small model on a busy machine is much faster with one (:mod:`d2lrnn.threads`). Rounding depends on the number.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none, or TensorFlow has begun with another number.
    """
    if check_number(n) == num_threads():
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(n)
        tf.config.threading.set_inter_op_parallelism_threads(n)
    except RuntimeError:
        raise InputError(
            f"the number of TensorFlow's threads is {num_threads()} in this process and cannot become {n} any more: "
            f"begin a new one (restart the notebook's kernel) and call set_num_threads({n}) first, or leave the number "
            "out"
        ) from None
