"""The recurrent network from the framework's layers (book sections 8.6, 9.1 to 9.4)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from d2lrnn.weights.kinds import check_layer

from .types import State, Tensor

Layer: TypeAlias = tf.keras.layers.Layer | Sequence[tf.keras.layers.Layer]
# Of each kind, the layer and what makes it this kind
LAYERS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "rnn": (tf.keras.layers.SimpleRNN, {"activation": "tanh"}),
    "rnn-relu": (tf.keras.layers.SimpleRNN, {"activation": "relu"}),
    "gru": (tf.keras.layers.GRU, {"reset_after": True}),
    "gru-reset-before": (tf.keras.layers.GRU, {"reset_after": False}),
    "lstm": (tf.keras.layers.LSTM, {}),
}


def recurrent_layer(
    kind: str, vocab_size: int, num_hiddens: int, num_layers: int = 1, bidirectional: bool = False
) -> Layer:
    """Return the framework's recurrent layer, or a list of layers, as :class:`RNNModel` takes it.

    Args:
        kind: ``'rnn'`` (tanh), ``'rnn-relu'``, ``'gru'``, ``'gru-reset-before'`` or ``'lstm'``.
        vocab_size: Size of its inputs.
        num_hiddens: Hidden units in each layer and direction.
        num_layers: Layers, each reading the one below.
        bidirectional: Read the sequence from both ends.

    Raises:
        InputError: If the kind is unknown, or the framework has no layer that computes it.
    """
    check_layer("tensorflow", LAYERS, kind, num_layers, bidirectional)
    layers = stacked_layers(kind, vocab_size, num_hiddens, num_layers, bidirectional, return_state=True)
    return layers if num_layers > 1 else layers[0]


def stacked_layers(
    kind: str, vocab_size: int, num_hiddens: int, num_layers: int, bidirectional: bool, *, return_state: bool
) -> list[Any]:
    """Return the recurrent Keras layers of a model as a list, built; ``return_state`` as Keras takes it."""
    layer_class, options = LAYERS[kind]
    # Keras learns the size of its inputs from the first ones, hence the build
    layers, inputs = [], vocab_size
    for _ in range(num_layers):
        layer = layer_class(num_hiddens, return_sequences=True, return_state=return_state, **options)
        layer = tf.keras.layers.Bidirectional(layer) if bidirectional else layer
        layer.build((None, None, inputs))
        layers.append(layer)
        inputs = (2 if bidirectional else 1) * num_hiddens
    return layers


def directions(layer: Any) -> list[Any]:
    """Return the layers that a recurrent layer consists of: two if it is bidirectional, else itself."""
    if isinstance(layer, tf.keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [layer]


def _first_state(cell: Any, batch_size: int, dtype: tf.DType = tf.float32) -> list[Tensor]:
    # Keras 2's cells must be told the type of the state, and Keras 3's must not
    typed = "dtype" in inspect.signature(cell.get_initial_state).parameters
    state = cell.get_initial_state(batch_size=batch_size, **({"dtype": dtype} if typed else {}))
    return list(state) if isinstance(state, (list, tuple)) else [state]


def run_layer(layer: Any, X: Tensor, state: State | None) -> list[Tensor]:
    """Return a layer's outputs, time-major, and state, for inputs (num_steps, batch_size, inputs); None for zeros."""
    if getattr(layer, "time_major", False):
        return layer(X, initial_state=state)
    Y, *new_state = layer(tf.transpose(X, (1, 0, 2)), initial_state=state)
    return [tf.transpose(Y, (1, 0, 2)), *new_state]


class RNNModel(tf.keras.layers.Layer):
    """A language model: one-hot vectors, recurrent layers, and a dense output layer.

    Args:
        rnn_layer: A recurrent Keras layer that returns sequences and state, or a list of such layers, each reading
            the one below. Keras's layers are batch-major, except that Keras 2 (tf-keras) has ``time_major``.
        vocab_size: Size of the vocabulary.
    """

    def __init__(self, rnn_layer: Layer, vocab_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rnn = rnn_layer
        self.vocab_size = vocab_size
        self.dense = tf.keras.layers.Dense(vocab_size)

    @property
    def rnn_layers(self) -> list[Any]:
        """The recurrent layers, as a list."""
        return list(self.rnn) if isinstance(self.rnn, (list, tuple)) else [self.rnn]

    def call(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state for indices (batch_size, num_steps)."""
        X = tf.one_hot(tf.transpose(inputs), self.vocab_size)  # (num_steps, batch_size, vocab_size)
        new_state, begin = list[Tensor](), 0
        for layer in self.rnn_layers:
            end = begin + self._num_states(layer)
            X, *layer_state = run_layer(layer, X, state[begin:end])
            new_state, begin = new_state + layer_state, end
        # The dense layer takes every step of every sequence as an example
        output = self.dense(tf.reshape(X, (-1, X.shape[-1])))
        return output, new_state

    def _num_states(self, layer: Any) -> int:
        return sum(len(_first_state(part.cell, 1)) for part in directions(layer))

    def begin_state(self, batch_size: int = 1, dtype: tf.DType = tf.float32) -> State:
        """Return the cells' first states: a list of zeros (batch_size, num_hiddens), for the LSTM two a cell."""
        parts = [part for layer in self.rnn_layers for part in directions(layer)]
        return [state for part in parts for state in _first_state(part.cell, batch_size, dtype)]
