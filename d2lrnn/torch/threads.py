"""The threads that PyTorch computes with on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from d2lrnn.core.interface import Backend, Threads, implements
from d2lrnn.core.threads import check_number, given

_OWN = torch.get_num_threads()  # a processor's cores or its threads, by the library that PyTorch was built with


@implements(Backend)
def num_threads() -> int:
    return torch.get_num_threads()


@implements(Backend)
def set_num_threads(n: int) -> None:
    check_num_threads(n)
    torch.set_num_threads(n)
    given.add("torch")


@implements(Threads)
def check_num_threads(n: int) -> None:
    check_number(n)


@implements(Threads)
def may_choose() -> bool:
    return "torch" not in given and torch.get_num_threads() == _OWN


@implements(Threads)
def keep_threads() -> int:
    return torch.get_num_threads()


@implements(Threads)
def put_back_threads(kept: int) -> None:
    torch.set_num_threads(kept)


if TYPE_CHECKING:
    from . import threads

    _: Threads = threads
