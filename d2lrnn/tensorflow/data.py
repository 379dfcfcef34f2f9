"""The shared data layer's minibatches as TensorFlow tensors (book section 8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from d2lrnn import data
from d2lrnn.data.sampling import Array, Seed

from .types import Tensor


def _tensors(minibatches: Iterable[tuple[Array, Array]]) -> Iterator[tuple[Tensor, Tensor]]:
    # int32, as the book's tab has it
    for X, Y in minibatches:
        yield tf.constant(X, dtype=tf.int32), tf.constant(Y, dtype=tf.int32)


def seq_data_iter_random(
    corpus: Any, batch_size: int, num_steps: int, *, seed: Seed = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield tensors ``(X, Y)`` as :func:`d2lrnn.data.seq_data_iter_random` yields arrays."""
    return _tensors(data.seq_data_iter_random(corpus, batch_size, num_steps, seed=seed))


def seq_data_iter_sequential(
    corpus: Any, batch_size: int, num_steps: int, *, seed: Seed = None, shift: bool = True
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield tensors ``(X, Y)`` as :func:`d2lrnn.data.seq_data_iter_sequential` yields arrays."""
    return _tensors(data.seq_data_iter_sequential(corpus, batch_size, num_steps, seed=seed, shift=shift))


class SeqDataLoader(data.SeqDataLoader):
    """Yields tensors ``(X, Y)`` as :class:`d2lrnn.data.SeqDataLoader` yields arrays; the arguments are the same."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return _tensors(super().__iter__())


def load_data(
    source: str | Path | data.Text,
    batch_size: int,
    num_steps: int,
    use_random_iter: bool = False,
    max_tokens: int | None = None,
    **options: Any,
) -> tuple[data.SeqDataLoader, data.Vocab]:
    """Load minibatches of tensors; the arguments are those of :func:`d2lrnn.data.load_data`."""
    return data.load_data(source, batch_size, num_steps, use_random_iter, max_tokens, loader=SeqDataLoader, **options)


def load_data_time_machine(
    batch_size: int, num_steps: int, use_random_iter: bool = False, max_tokens: int = 10000, **options: Any
) -> tuple[data.SeqDataLoader, data.Vocab]:
    """Load minibatches of tensors; the arguments are those of :func:`d2lrnn.data.load_data_time_machine`."""
    return data.load_data_time_machine(
        batch_size, num_steps, use_random_iter, max_tokens, loader=SeqDataLoader, **options
    )


def load_array(data_arrays: Sequence[Tensor], batch_size: int, is_train: bool = True) -> Iterable[Any]:
    """Return an iterator over minibatches of tensors (book section 3.3).

    Args:
        data_arrays: Tensors of the same length, features and labels.
        batch_size: Examples in a minibatch.
        is_train: Shuffle them anew in each pass.
    """
    dataset = tf.data.Dataset.from_tensor_slices(data_arrays)
    if is_train:
        dataset = dataset.shuffle(buffer_size=len(data_arrays[0]))
    return dataset.batch(batch_size)
