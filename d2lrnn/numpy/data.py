"""The shared data layer's minibatches, which are NumPy arrays already (book section 8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from d2lrnn import data
from d2lrnn.data import SeqDataLoader, seq_data_iter_random, seq_data_iter_sequential

from . import nn
from .types import Tensor

__all__ = [
    "SeqDataLoader",
    "load_array",
    "load_data",
    "load_data_time_machine",
    "seq_data_iter_random",
    "seq_data_iter_sequential",
]


def load_data(
    source: str | Path | data.Text,
    batch_size: int,
    num_steps: int,
    use_random_iter: bool = False,
    max_tokens: int | None = None,
    **options: Any,
) -> tuple[data.SeqDataLoader, data.Vocab]:
    """Load minibatches of tensors; the arguments are those of :func:`d2lrnn.data.load_data`."""
    return data.load_data(source, batch_size, num_steps, use_random_iter, max_tokens, **options)


def load_data_time_machine(
    batch_size: int, num_steps: int, use_random_iter: bool = False, max_tokens: int = 10000, **options: Any
) -> tuple[data.SeqDataLoader, data.Vocab]:
    """Load minibatches of tensors; the arguments are those of :func:`d2lrnn.data.load_data_time_machine`."""
    return data.load_data_time_machine(batch_size, num_steps, use_random_iter, max_tokens, **options)


def load_array(data_arrays: Sequence[Tensor], batch_size: int, is_train: bool = True) -> Iterable[Any]:
    """Return an iterator over minibatches of tensors (book section 3.3).

    Args:
        data_arrays: Tensors of the same length, features and labels.
        batch_size: Examples in a minibatch.
        is_train: Shuffle them anew in each pass.

    Raises:
        InputError: If the tensors are not of the same length.
    """
    return nn.DataLoader(data_arrays, batch_size, shuffle=is_train)
