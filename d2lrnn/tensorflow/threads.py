"""The threads that TensorFlow computes with on the CPU."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import tensorflow as tf

from d2lrnn.core.interface import Backend, Threads, implements
from d2lrnn.core.threads import check_number, given, usable_cpus
from d2lrnn.errors import InputError


@implements(Backend)
def num_threads() -> int:
    told = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return tf.config.threading.get_intra_op_parallelism_threads() or (int(told) if told.isdecimal() else usable_cpus())


@implements(Backend)
def set_num_threads(n: int) -> None:
    check_num_threads(n)
    if n != num_threads():
        tf.config.threading.set_intra_op_parallelism_threads(n)
        tf.config.threading.set_inter_op_parallelism_threads(n)
    given.add("tensorflow")


@implements(Threads)
def check_num_threads(n: int) -> None:
    if check_number(n) != num_threads() and _has_begun():
        raise InputError(
            f"the number of TensorFlow's threads is {num_threads()} in this process and cannot become {n} any more: "
            f"begin a new one (restart the notebook's kernel) and call set_num_threads({n}) first, or leave the number "
            "out"
        )


def _has_begun() -> bool:
    raw = tf.config.threading.get_intra_op_parallelism_threads()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(raw + 1)  # nothing tells it but trying
    except RuntimeError:
        return True
    tf.config.threading.set_intra_op_parallelism_threads(raw)
    return False


@implements(Threads)
def may_choose() -> bool:
    unset = tf.config.threading.get_intra_op_parallelism_threads() == 0  # 0 is TensorFlow's word for "by itself"
    return "tensorflow" not in given and unset and not _has_begun()


@implements(Threads)
def keep_threads() -> tuple[int, int]:
    threading = tf.config.threading
    return threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()


@implements(Threads)
def put_back_threads(kept: tuple[int, int]) -> None:
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(kept[0])
        tf.config.threading.set_inter_op_parallelism_threads(kept[1])


if TYPE_CHECKING:
    from . import threads

    _: Threads = threads
