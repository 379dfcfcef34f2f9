"""The recurrent network from the framework's layers (book sections 8.6, 9.1 to 9.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from d2lrnn.weights.kinds import check_layer

from . import nn
from .types import Device, Params, State, Tensor

Layer: TypeAlias = nn.Recurrent
# Of each kind, the layer and what makes it this kind
LAYERS: dict[str, tuple[Callable[..., Layer], dict[str, Any]]] = {
    "rnn": (nn.RNN, {"nonlinearity": "tanh"}),
    "rnn-relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {"reset_after": True}),
    "gru-reset-before": (nn.GRU, {"reset_after": False}),
    "lstm": (nn.LSTM, {}),
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
    check_layer("numpy", LAYERS, kind, num_layers, bidirectional)
    layer, options = LAYERS[kind]
    return layer(vocab_size, num_hiddens, num_layers, bidirectional=bidirectional, **options)


class RNNModel(nn.Module):
    """A language model: one-hot vectors, recurrent layers, and a dense output layer.

    Args:
        rnn_layer: ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, time-major.
        vocab_size: Size of the vocabulary.
    """

    def __init__(self, rnn_layer: Layer, vocab_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rnn = rnn_layer
        self.vocab_size = vocab_size
        self.num_hiddens = self.rnn.hidden_size
        self.num_directions = 2 if self.rnn.bidirectional else 1
        self.dense = nn.Dense(self.num_directions * self.num_hiddens, vocab_size)

    @property
    def params(self) -> Params:
        """The parameters, as a list of tensors."""
        return [*self.rnn.params.values(), *self.dense.params.values()]

    @property
    def grads(self) -> list[Tensor | None]:
        """Their gradients, once :meth:`backward` has been called, as a list of tensors."""
        return [layer.grads.get(name) for layer in (self.rnn, self.dense) for name in layer.params]

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state for indices (batch_size, num_steps)."""
        X = nn.one_hot(inputs.T, self.vocab_size, self.rnn.dtype)  # (num_steps, batch_size, vocab_size)
        Y, state = self.rnn(X, state)  # (num_steps, batch_size, num_directions * num_hiddens)
        # The dense layer takes every step of every sequence as an example
        output = self.dense(Y.reshape(-1, Y.shape[-1]))
        return output, state

    def backward(self, d_outputs: Tensor) -> None:
        """Find the gradients of the parameters, from that of the logits of the last call."""
        dY = self.dense.backward(d_outputs)
        num_steps = len(self.rnn._saved[0][1]) if self.rnn._saved else 1
        self.rnn.backward(dY.reshape(num_steps, -1, dY.shape[-1]))

    def float(self) -> RNNModel:
        """Turn the parameters into float32, which computes faster and less exactly, and return the model."""
        for layer in (self.rnn, self.dense):
            layer.params = {name: param.astype(np.float32) for name, param in layer.params.items()}
        return self

    def begin_state(self, device: Device, batch_size: int = 1) -> State:
        """Return zeros (layers * directions, batch_size, num_hiddens), for the LSTM a tuple of two."""
        return self.rnn.begin_state(batch_size)
