"""The threads that MXNet computes with on the CPU."""

from mxnet.base import _LIB

from d2lrnn.core.threads import check_number, given
from d2lrnn.errors import InputError


def num_threads():
    """Return the number of threads that MXNet computes with."""
    # OpenMP's own function, which MXNet's library brings along. On one processor of two threads MXNet asks for none.
    return max(1, _LIB.omp_get_max_threads()) if _has_openmp() else 1


def _has_openmp():
    return hasattr(_LIB, "omp_get_max_threads")  # not in the build for macOS


def set_num_threads(n):
    """Check that MXNet computes with n threads. It reads their number once, while it is imported.

    So set the environment variable OMP_NUM_THREADS before that; afterwards only the number in use is taken.

    A small model on a busy machine is much faster with one (:mod:`d2lrnn.core.threads`). Rounding depends on the
    number.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none, or is not the number in use.
    """
    check_num_threads(n)
    given.add("mxnet")


def check_num_threads(n):
    """Check that MXNet can compute with n threads from now on, and change nothing.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none, or is not the number in use.
    """
    if check_number(n) == num_threads():
        return
    if not _has_openmp():
        raise InputError(
            f"this MXNet was built without OpenMP and computes with one thread, not {n}: say 1, or leave the number out"
        )
    raise InputError(
        f"the number of MXNet's threads is {num_threads()} in this process and cannot become {n} any more: begin a "
        f"new one (restart the notebook's kernel) with OMP_NUM_THREADS={n} in its environment, or leave the "
        "number out"
    )


def may_choose():
    """Return whether nobody has set the number, as far as that can be seen, and it can still change."""
    return False


def keep_threads():
    """Return what :func:`put_back_threads` needs to make all as it is now."""
    return None


def put_back_threads(kept):
    """Make the number what it was. MXNet's never changes.

    Args:
        kept: What :func:`keep_threads` returned.
    """
