"""The threads that TensorFlow computes with on the CPU."""

import contextlib
import os

import tensorflow as tf

from d2lrnn.core.threads import check_number, given, usable_cpus
from d2lrnn.errors import InputError


def num_threads():
    """Return the number of threads that TensorFlow computes with."""
    told = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return tf.config.threading.get_intra_op_parallelism_threads() or (int(told) if told.isdecimal() else usable_cpus())


def set_num_threads(n):
    """Compute with n threads. It can be called until TensorFlow's first operation.

    A small model on a busy machine is much faster with one (:mod:`d2lrnn.core.threads`). Rounding depends on the
    number.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none, or TensorFlow has begun with another number.
    """
    check_num_threads(n)
    if n != num_threads():
        tf.config.threading.set_intra_op_parallelism_threads(n)
        tf.config.threading.set_inter_op_parallelism_threads(n)
    given.add("tensorflow")


def check_num_threads(n):
    """Check that TensorFlow can compute with n threads from now on, and change nothing.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none, or TensorFlow has begun with another number.
    """
    if check_number(n) != num_threads() and _has_begun():
        raise InputError(
            f"the number of TensorFlow's threads is {num_threads()} in this process and cannot become {n} any more: "
            f"begin a new one (restart the notebook's kernel) and call set_num_threads({n}) first, or leave the number "
            "out"
        )


def _has_begun():
    raw = tf.config.threading.get_intra_op_parallelism_threads()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(raw + 1)  # nothing tells it but trying
    except RuntimeError:
        return True
    tf.config.threading.set_intra_op_parallelism_threads(raw)
    return False


def may_choose():
    """Return whether nobody has set the number, as far as that can be seen, and it can still change."""
    unset = tf.config.threading.get_intra_op_parallelism_threads() == 0  # 0 is TensorFlow's word for "by itself"
    return "tensorflow" not in given and unset and not _has_begun()


def keep_threads():
    """Return what :func:`put_back_threads` needs to make all as it is now."""
    threading = tf.config.threading
    return threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()


def put_back_threads(kept):
    """Make the number what it was, if TensorFlow has not begun.

    Args:
        kept: What :func:`keep_threads` returned.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(kept[0])
        tf.config.threading.set_inter_op_parallelism_threads(kept[1])
