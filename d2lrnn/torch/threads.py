"""The threads that PyTorch computes with on the CPU."""

import torch

from d2lrnn.core.threads import check_number, given

_OWN = torch.get_num_threads()  # a processor's cores or its threads, by the library that PyTorch was built with


def num_threads():
    """Return the number of threads that PyTorch computes with."""
    return torch.get_num_threads()


def set_num_threads(n):
    """Compute with n threads from now on. It can be called at any time.

    A small model on a busy machine is much faster with one (:mod:`d2lrnn.core.threads`). Rounding depends on the
    number.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none.
    """
    check_num_threads(n)
    torch.set_num_threads(n)
    given.add("torch")


def check_num_threads(n):
    """Check that PyTorch can compute with n threads from now on, and change nothing.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none.
    """
    check_number(n)


def may_choose():
    """Return whether nobody has set the number, as far as that can be seen, and it can still change."""
    return "torch" not in given and torch.get_num_threads() == _OWN


def keep_threads():
    """Return what :func:`put_back_threads` needs to make all as it is now."""
    return torch.get_num_threads()


def put_back_threads(kept):
    """Make the number what it was.

    Args:
        kept: What :func:`keep_threads` returned.
    """
    torch.set_num_threads(kept)
