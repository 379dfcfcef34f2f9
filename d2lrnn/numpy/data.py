"""The shared data layer's minibatches, which are NumPy arrays already (book section 8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from d2lrnn import data
from d2lrnn.data import SeqDataLoader, seq_data_iter_random, seq_data_iter_sequential
from d2lrnn.errors import InputError

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
    """Load minibatches of arrays; the arguments are those of :func:`d2lrnn.data.load_data`."""
    return data.load_data(source, batch_size, num_steps, use_random_iter, max_tokens, **options)


def load_data_time_machine(
    batch_size: int, num_steps: int, use_random_iter: bool = False, max_tokens: int = 10000, **options: Any
) -> tuple[data.SeqDataLoader, data.Vocab]:
    """Load minibatches of arrays; the arguments are those of :func:`d2lrnn.data.load_data_time_machine`."""
    return data.load_data_time_machine(batch_size, num_steps, use_random_iter, max_tokens, **options)


class _Minibatches:
    def __init__(self, arrays: list[Tensor], batch_size: int, is_train: bool) -> None:
        self._arrays, self._batch_size, self._is_train = arrays, batch_size, is_train
        self._rng = np.random.default_rng()

    def __len__(self) -> int:
        return -(-len(self._arrays[0]) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        count = len(self._arrays[0])
        order = self._rng.permutation(count) if self._is_train else np.arange(count)
        for begin in range(0, count, self._batch_size):
            yield tuple(array[order[begin : begin + self._batch_size]] for array in self._arrays)


def load_array(data_arrays: Sequence[Tensor], batch_size: int, is_train: bool = True) -> Iterable[Any]:
    """Return an iterator over minibatches of arrays (book section 3.3).

    Args:
        data_arrays: Arrays of the same length, features and labels.
        batch_size: Examples in a minibatch.
        is_train: Shuffle them anew in each pass.

    Raises:
        InputError: If the arrays are not of the same length.
    """
    arrays = [np.asarray(array) for array in data_arrays]
    if len({len(array) for array in arrays}) != 1:
        raise InputError(f"the arrays must have the same length, not {', '.join(str(len(array)) for array in arrays)}")
    return _Minibatches(arrays, batch_size, is_train)
