"""The threads that NumPy's library for products (OpenBLAS, say) computes with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

from d2lrnn.core.interface import Backend, Threads, implements
from d2lrnn.core.threads import check_number, given
from d2lrnn.errors import InputError

_BLAS = ThreadpoolController().select(user_api="blas")  # none where the library cannot be told (Apple's)
_OWN = max((library["num_threads"] for library in _BLAS.info()), default=1)


@implements(Backend)
def num_threads() -> int:
    return max((library["num_threads"] for library in _BLAS.info()), default=1)


@implements(Backend)
def set_num_threads(n: int) -> None:
    check_num_threads(n)
    for library in _BLAS.lib_controllers:
        library.set_num_threads(n)
    given.add("numpy")


@implements(Threads)
def check_num_threads(n: int) -> None:
    if check_number(n) != num_threads() and not len(_BLAS):
        raise InputError(
            "NumPy's library for products cannot be told how many threads to compute with here: leave the number out"
        )


@implements(Threads)
def may_choose() -> bool:
    return "numpy" not in given and len(_BLAS) > 0 and num_threads() == _OWN


@implements(Threads)
def keep_threads() -> int:
    return num_threads()


@implements(Threads)
def put_back_threads(kept: int) -> None:
    for library in _BLAS.lib_controllers:
        library.set_num_threads(kept)


if TYPE_CHECKING:
    from . import threads

    _: Threads = threads
