"""Three calls of Keras 2 that the book's cells make and that Keras 3 refuses.

TensorFlow has come with Keras 3 since 2.16, and the book is written for Keras 2. On Keras 3 :func:`accept` lets Keras's
own classes take

- ``time_major``, in ``RNN``, ``SimpleRNN``, ``GRU`` and ``LSTM``: such a layer takes inputs and returns outputs of
  shape (num_steps, batch_size, ...). It still computes batch-major, and turns both round;
- ``get_initial_state(batch_size=..., dtype=...)`` of a cell: what Keras 2 returns, a tensor where Keras 3 has a list of
  one;
- a whole number as an optimizer's learning rate.

All of these end in an error without it. No other call changes, and on Keras 2 (tf-keras) nothing does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import tensorflow as tf

from d2lrnn.errors import InputError

from .types import Tensor


def is_keras_3() -> bool:
    """Tell whether TensorFlow has Keras 3."""
    return tf.keras.layers.Layer.__module__.startswith("keras.")


def _turned_round(X: Tensor) -> Tensor:
    """Return a tensor with its first two axes exchanged."""
    return tf.transpose(X, (1, 0, *range(2, len(X.shape))))


class TimeMajor:
    """What makes a time-major layer of a recurrent one of Keras 3.

    Args:
        time_major: Whether inputs and outputs have shape (num_steps, batch_size, ...).
    """

    keras_class: type[Any]

    def __init__(self, *args: Any, time_major: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.time_major = time_major

    def _batch_major(self, shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (shape[1], shape[0], *shape[2:]) if self.time_major else tuple(shape)

    # Keras reads the names of the parameters of these three
    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Make the weights for inputs of a shape."""
        super().build(self._batch_major(sequences_shape), initial_state_shape)  # type: ignore[misc]

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """Return the shapes of what :meth:`call` returns."""
        own: Any = self
        shapes = super().compute_output_shape(self._batch_major(sequences_shape), initial_state_shape)  # type: ignore[misc]
        if not own.return_sequences:
            return shapes
        return (self._batch_major(shapes[0]), *shapes[1:]) if own.return_state else self._batch_major(shapes)

    def call(self, sequences: Tensor, initial_state: Any = None, mask: Tensor = None, training: Any = False) -> Any:
        """Return what the layer returns, the outputs of all steps time-major."""
        own: Any = self
        compute = super().call  # type: ignore[misc]
        if not self.time_major:
            return compute(sequences, initial_state, mask, training)
        mask = None if mask is None else _turned_round(mask)
        outputs = compute(_turned_round(sequences), initial_state, mask, training)
        if not own.return_sequences:
            return outputs
        return (_turned_round(outputs[0]), *outputs[1:]) if own.return_state else _turned_round(outputs)

    def get_config(self) -> dict[str, Any]:
        """Return what the layer was made with."""
        return {**super().get_config(), "time_major": self.time_major}  # type: ignore[misc]


def class_of(layer: Any) -> type[Any]:
    """Return Keras's class of a layer, also of one that was made with ``time_major``."""
    return layer.keras_class if isinstance(layer, TimeMajor) else type(layer)


def _accept_time_major(keras_class: Any) -> None:
    """Let a class of Keras make a :class:`TimeMajor` of itself where it is called with ``time_major``."""
    # It has the name of Keras's class, by which Keras names weights
    members = {"keras_class": keras_class, "__module__": __name__, "__doc__": keras_class.__doc__}
    time_major_class = type(keras_class)(keras_class.__name__, (TimeMajor, keras_class), members)
    tf.keras.utils.register_keras_serializable("d2lrnn")(time_major_class)
    new = keras_class.__new__

    @functools.wraps(new)
    def __new__(cls: type[Any], *args: Any, **kwargs: Any) -> Any:
        # A subclass has its own arguments, of which time_major may be one
        return new(time_major_class if cls is keras_class and "time_major" in kwargs else cls, *args, **kwargs)

    keras_class.__new__ = staticmethod(__new__)


def _refuse_both_ways(bidirectional: Any) -> None:
    """Let Keras's ``Bidirectional`` refuse a time-major layer: it would take the batch for the time."""
    new = bidirectional.__new__  # and not __init__, whose arguments Keras reads off

    @functools.wraps(new)
    def __new__(cls: type[Any], *args: Any, **kwargs: Any) -> Any:
        for layer in (*args[:1], kwargs.get("layer")):
            if isinstance(layer, TimeMajor) and layer.time_major:
                raise InputError(
                    f"Keras 3's Bidirectional takes no time-major {type(layer).__name__}: leave out time_major and "
                    "give it inputs of shape (batch_size, num_steps, ...)"
                )
        return new(cls, *args, **kwargs)

    bidirectional.__new__ = staticmethod(__new__)


def _first_state(cell: Any, batch_size: Any, dtype: Any) -> Any:
    """Return a cell's first state as Keras 2 does: a tensor or a list of several, of stacked cells a tuple of these."""
    if isinstance(cell, tf.keras.layers.StackedRNNCells):
        return tuple(_first_state(part, batch_size, dtype) for part in cell.cells)
    sizes = cell.state_size
    if isinstance(sizes, (list, tuple)):
        return [tf.zeros((batch_size, size), dtype) for size in sizes]
    return tf.zeros((batch_size, sizes), dtype)


def _accept_dtype(cell_class: Any) -> None:
    """Let ``get_initial_state`` of a class of cells take Keras 2's arguments."""
    get_initial_state = cell_class.get_initial_state

    @functools.wraps(get_initial_state)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args or not kwargs.keys() & {"inputs", "dtype"} or kwargs.keys() - {"inputs", "batch_size", "dtype"}:
            return get_initial_state(self, *args, **kwargs)
        inputs, batch_size, dtype = (kwargs.get(name) for name in ("inputs", "batch_size", "dtype"))
        if inputs is not None:
            batch_size, dtype = tf.shape(inputs)[0], inputs.dtype
        if batch_size is None or dtype is None:
            raise InputError("get_initial_state needs inputs, or else batch_size and dtype")
        return _first_state(self, batch_size, dtype)

    cell_class.get_initial_state = wrapper


def _accept_whole_numbers(optimizer_class: Any) -> None:
    """Let optimizers take a whole number as learning rate."""
    init: Callable[..., None] = optimizer_class.__init__

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        def as_float(value: Any) -> Any:
            return float(value) if isinstance(value, Integral) and not isinstance(value, bool) else value

        args = (*map(as_float, args[:1]), *args[1:])
        if "learning_rate" in kwargs:
            kwargs["learning_rate"] = as_float(kwargs["learning_rate"])
        init(self, *args, **kwargs)

    optimizer_class.__init__ = __init__


def accept() -> None:
    """Let Keras 3 take the calls of this module's list; on Keras 2, which takes them, do nothing."""
    if not is_keras_3():
        return
    layers = tf.keras.layers
    for layer_class in (layers.RNN, layers.SimpleRNN, layers.GRU, layers.LSTM):
        _accept_time_major(layer_class)
    _refuse_both_ways(layers.Bidirectional)
    for cell_class in (layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell, layers.StackedRNNCells):
        _accept_dtype(cell_class)
    _accept_whole_numbers(tf.keras.optimizers.Optimizer)
