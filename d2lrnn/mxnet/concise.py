"""The recurrent network from the framework's layers (book sections 8.6, 9.1 to 9.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mxnet import npx
from mxnet.gluon import nn
from mxnet.gluon import rnn as rnn_layers

from d2lrnn.errors import InputError
from d2lrnn.weights.kinds import check_layer

from .types import State, Tensor

Layer: TypeAlias = rnn_layers.rnn_layer._RNNLayer
# Of each kind, the layer and what makes it this kind
LAYERS: dict[str, tuple[Callable[..., Layer], dict[str, Any]]] = {
    "rnn": (rnn_layers.RNN, {"activation": "tanh"}),
    "rnn-relu": (rnn_layers.RNN, {"activation": "relu"}),
    "gru": (rnn_layers.GRU, {}),
    "lstm": (rnn_layers.LSTM, {}),
}


def recurrent_layer(
    kind: str, vocab_size: int, num_hiddens: int, num_layers: int = 1, bidirectional: bool = False
) -> Layer:
    """Return the framework's recurrent layer.

    Args:
        kind: ``'rnn'`` (tanh), ``'rnn-relu'``, ``'gru'``, ``'gru-reset-before'`` or ``'lstm'``.
        vocab_size: Size of its inputs.
        num_hiddens: Hidden units in each layer and direction.
        num_layers: Layers, each reading the one below.
        bidirectional: Read the sequence from both ends.

    Raises:
        InputError: If the kind is unknown, or the framework has no layer that computes it.
    """
    check_layer("mxnet", LAYERS, kind, num_layers, bidirectional)
    layer, options = LAYERS[kind]
    return layer(num_hiddens, num_layers, bidirectional=bidirectional, input_size=vocab_size, **options)


def check_semantics() -> None:
    """Check that NumPy's semantics are on, as the import of :mod:`d2lrnn.mxnet` turns them for its thread.

    Raises:
        InputError: If they are off: Gluon's layers then take and return other arrays than this chapter has.
    """
    if not npx.is_np_array():
        raise InputError(
            "NumPy's semantics are off, and the arrays of this chapter are those of mxnet.np: call mxnet.npx.set_np() "
            "(another thread needs it too, and importing a first edition turns them off), and make the model anew"
        )


class RNNModel(nn.Block):
    """A language model: one-hot vectors, recurrent layers, and a dense output layer.

    Args:
        rnn_layer: ``rnn.RNN``, ``rnn.GRU`` or ``rnn.LSTM`` of Gluon, time-major.
        vocab_size: Size of the vocabulary.
    """

    def __init__(self, rnn_layer: Layer, vocab_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rnn = rnn_layer
        self.vocab_size = vocab_size
        self.dense = nn.Dense(vocab_size)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state for indices (batch_size, num_steps)."""
        check_semantics()
        X = npx.one_hot(inputs.T, self.vocab_size)  # (num_steps, batch_size, vocab_size)
        Y, state = self.rnn(X, state)  # (num_steps, batch_size, num_directions * num_hiddens)
        # The dense layer takes every step of every sequence as an example
        output = self.dense(Y.reshape(-1, Y.shape[-1]))
        return output, state

    def begin_state(self, *args: Any, **kwargs: Any) -> State:
        """Return the layer's first state, a list of zeros (layers * directions, batch_size, num_hiddens).

        The arguments are the layer's: ``batch_size`` and ``ctx``.
        """
        return self.rnn.begin_state(*args, **kwargs)
