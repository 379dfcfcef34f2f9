"""The threads that MXNet computes with on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mxnet.base import _LIB

from d2lrnn.core.interface import Backend, Threads, implements
from d2lrnn.core.threads import check_number, given
from d2lrnn.errors import InputError


@implements(Backend)
def num_threads() -> int:
    # OpenMP's own function, which MXNet's library brings along. On one processor of two threads MXNet asks for none.
    return max(1, _LIB.omp_get_max_threads()) if _has_openmp() else 1


def _has_openmp() -> bool:
    return hasattr(_LIB, "omp_get_max_threads")  # not in the build for macOS


@implements(Backend)
def set_num_threads(n: int) -> None:
    check_num_threads(n)
    given.add("mxnet")


@implements(Threads)
def check_num_threads(n: int) -> None:
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


@implements(Threads)
def may_choose() -> bool:
    return False


@implements(Threads)
def keep_threads() -> None:
    return None


@implements(Threads)
def put_back_threads(kept: None) -> None:
    pass


if TYPE_CHECKING:
    from . import threads

    _: Threads = threads
