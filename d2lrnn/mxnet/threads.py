"""The threads that MXNet computes with on the CPU."""

from mxnet.base import _LIB

from d2lrnn.errors import InputError
from d2lrnn.threads import check_number


def num_threads():
    """Return the number of threads that MXNet computes with."""
    # OpenMP's own function, which MXNet's library brings along. On one processor of two threads MXNet asks for none.
    return max(1, _LIB.omp_get_max_threads())


def set_num_threads(n):
    """Check that MXNet computes with n threads. It reads their number once, while it is imported.

    So set the environment variable OMP_NUM_THREADS before that; afterwards only the number in use is taken.

    A small model on a busy machine is much faster with one (:mod:`d2lrnn.threads`). Rounding depends on the number.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none, or is not the number in use.
    """
    if check_number(n) != num_threads():
        raise InputError(
            f"the number of MXNet's threads is {num_threads()} in this process and cannot become {n} any more: begin a "
            f"new one (restart the notebook's kernel) with OMP_NUM_THREADS={n} in its environment, or leave the "
            "number out"
        )
