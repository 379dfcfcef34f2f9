"""The threads that NumPy's library for products (OpenBLAS, say) computes with."""

from threadpoolctl import ThreadpoolController

from d2lrnn.core.threads import check_number, given
from d2lrnn.errors import InputError

_BLAS = ThreadpoolController().select(user_api="blas")  # none where the library cannot be told (Apple's)
_OWN = max((library["num_threads"] for library in _BLAS.info()), default=1)


def num_threads():
    """Return the number of threads that NumPy's products are computed with."""
    return max((library["num_threads"] for library in _BLAS.info()), default=1)


def set_num_threads(n):
    """Compute with n threads from now on. It can be called at any time.

    A small model on a busy machine is much faster with one (:mod:`d2lrnn.core.threads`). Rounding depends on the
    number.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none, or NumPy's library cannot be told.
    """
    check_num_threads(n)
    for library in _BLAS.lib_controllers:
        library.set_num_threads(n)
    given.add("numpy")


def check_num_threads(n):
    """Check that NumPy can compute with n threads from now on, and change nothing.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none, or NumPy's library cannot be told.
    """
    if check_number(n) != num_threads() and not len(_BLAS):
        raise InputError(
            "NumPy's library for products cannot be told how many threads to compute with here: leave the number out"
        )


def may_choose():
    """Return whether nobody has set the number, as far as that can be seen, and it can still change."""
    return "numpy" not in given and len(_BLAS) > 0 and num_threads() == _OWN


def keep_threads():
    """Return what :func:`put_back_threads` needs to make all as it is now."""
    return num_threads()


def put_back_threads(kept):
    """Make the number what it was.

    Args:
        kept: What :func:`keep_threads` returned.
    """
    for library in _BLAS.lib_controllers:
        library.set_num_threads(kept)
