"""The recurrent network from the framework's layers (book sections 8.6, 9.1 to 9.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional as F

from d2lrnn.weights.kinds import check_layer

from .types import Device, State, Tensor

Layer: TypeAlias = nn.RNNBase
# Of each kind, the layer and what makes it this kind
LAYERS: dict[str, tuple[Callable[..., Layer], dict[str, Any]]] = {
    "rnn": (nn.RNN, {"nonlinearity": "tanh"}),
    "rnn-relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
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
    check_layer("torch", LAYERS, kind, num_layers, bidirectional)
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
        self.linear = nn.Linear(self.num_directions * self.num_hiddens, self.vocab_size)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state for indices (batch_size, num_steps)."""
        X = F.one_hot(inputs.T.long(), self.vocab_size).to(torch.float32)  # (num_steps, batch_size, vocab_size)
        Y, state = self.rnn(X, state)  # (num_steps, batch_size, num_directions * num_hiddens)
        # The dense layer takes every step of every sequence as an example
        output = self.linear(Y.reshape(-1, Y.shape[-1]))
        return output, state

    def begin_state(self, device: Device, batch_size: int = 1) -> State:
        """Return zeros (layers * directions, batch_size, num_hiddens), for the LSTM a tuple of two."""
        shape = (self.num_directions * self.rnn.num_layers, batch_size, self.num_hiddens)
        if isinstance(self.rnn, nn.LSTM):
            return (torch.zeros(shape, device=device), torch.zeros(shape, device=device))
        return torch.zeros(shape, device=device)
