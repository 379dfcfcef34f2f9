"""The threads that PyTorch computes with on the CPU."""

import torch

from d2lrnn.threads import check_number


def num_threads():
    """Return the number of threads that PyTorch computes with."""
    return torch.get_num_threads()


def set_num_threads(n):
    """Compute with n threads from now on. It can be called at any time.

    A small model on a busy machine is much faster with one (:mod:`d2lrnn.threads`). Rounding depends on the number.

    Args:
        n: A whole number of at least 1.

    Raises:
        InputError: If n is none.
    """
    torch.set_num_threads(check_number(n))
