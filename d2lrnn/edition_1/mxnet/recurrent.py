"""The Time Machine in minibatches, and recurrent networks (edition 1.0, sections 9.2 to 10.3)."""

from __future__ import annotations

from typing import Any

from mxnet import autograd, np, npx
from mxnet.gluon import nn
from mxnet.gluon import rnn as rnn_layers

from d2lrnn.data.sampling import Array
from d2lrnn.edition_1 import base
from d2lrnn.edition_1.texts import TimeMachineText
from d2lrnn.mxnet.concise import check_semantics
from d2lrnn.mxnet.types import Device, State, Tensor

from .training import Classifier, DataModule, Module


class TimeMachine(TimeMachineText, DataModule):
    """The Time Machine by characters, in subsequences that overlap (edition 1.0, section 9.3).

    Where the text cannot be had, the story that ships stands in, with a warning.

    Args:
        batch_size: Subsequences in a minibatch.
        num_steps: Characters in a subsequence.
        num_train: Subsequences to train on, one from each of so many places from the beginning of the text.
        num_val: Subsequences that are held out, from the places that follow.

    Attributes:
        vocab: The vocabulary of the whole text.
        X: The subsequences, indices of shape (places of the text, num_steps).
        Y: What follows each character in them, of the same shape.

    Raises:
        InputError: If a number is not positive, or the text is too short.
    """

    def __init__(self, batch_size: int, num_steps: int, num_train: int = 10000, num_val: int = 5000) -> None:
        super().__init__()
        self.save_hyperparameters()
        corpus, self.vocab = self.build(self._download())
        windows = self.windows(corpus, num_steps, num_train, num_val)
        array = np.array(windows, dtype="int32")  # (places, num_steps + 1)
        self.X, self.Y = array[:, :-1], array[:, 1:]


class RNNScratch(Module):
    """A recurrent layer from scratch (edition 1.0, section 9.5.1).

    Args:
        num_inputs: Inputs.
        num_hiddens: Hidden units.
        sigma: Standard deviation of the first weights.
    """

    num_hiddens: int

    def __init__(self, num_inputs: int, num_hiddens: int, sigma: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.W_xh = np.random.randn(num_inputs, num_hiddens) * sigma
        self.W_hh = np.random.randn(num_hiddens, num_hiddens) * sigma
        self.b_h = np.zeros(num_hiddens)

    def forward(self, inputs: Any, state: Any = None) -> tuple[list[Tensor], Tensor]:
        """Return the hidden state of each step, and the last one.

        Args:
            inputs: A tensor (num_steps, batch_size, num_inputs), or the steps one by one.
            state: The hidden state (batch_size, num_hiddens), which may be the one member of a tuple; None for zeros.
        """
        outputs = []
        if isinstance(state, (tuple, list)):
            (state,) = state
        for X in inputs:  # (batch_size, num_inputs)
            if state is None:
                state = np.zeros((X.shape[0], self.num_hiddens), ctx=X.ctx)
            # npx.activation is np.tanh, six times as fast in MXNet 1.9.1
            state = npx.activation(np.dot(X, self.W_xh) + np.dot(state, self.W_hh) + self.b_h, "tanh")
            outputs.append(state)  # (batch_size, num_hiddens)
        return outputs, state


class RNNLMScratch(base.LanguageModel, Classifier):
    """A language model from scratch, over a recurrent layer of your choice (edition 1.0, section 9.5.2).

    Args:
        rnn: A ``Module`` that returns its outputs, one for each step, and its state. It has ``num_hiddens`` and
            ``sigma``.
        vocab_size: Size of the vocabulary.
        lr: Learning rate.
    """

    def __init__(self, rnn: Any, vocab_size: int, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.init_params()

    def init_params(self) -> None:
        """Make the parameters of the output layer."""
        self.W_hq = np.random.randn(self.rnn.num_hiddens, self.vocab_size) * self.rnn.sigma
        self.b_q = np.zeros(self.vocab_size)
        for param in self.get_scratch_params():
            param.attach_grad()

    def one_hot(self, X: Tensor) -> Tensor:
        """Return one-hot vectors (num_steps, batch_size, vocab_size) of indices (batch_size, num_steps)."""
        return npx.one_hot(X.T, self.vocab_size)

    def output_layer(self, rnn_outputs: Any) -> Tensor:
        """Return logits (batch_size, num_steps, vocab_size) of what the recurrent layer returned for each step."""
        outputs = [np.dot(H, self.W_hq) + self.b_q for H in rnn_outputs]
        return np.stack(outputs, 1)

    def forward(self, X: Tensor, state: Any = None) -> Tensor:
        """Return logits (batch_size, num_steps, vocab_size) for indices (batch_size, num_steps).

        Args:
            X: Indices.
            state: The recurrent layer's state; None for its first one.
        """
        rnn_outputs, _ = self.rnn(self.one_hot(X), state)
        return self.output_layer(rnn_outputs)

    def step(self, index: int, state: Any, device: Device | None = None) -> tuple[Array, Any]:
        """Return the logits of the next token, an array of shape (vocab_size,), and the new state.

        Args:
            index: The token before.
            state: What the recurrent network returned last; None for its first state.
            device: Not used: a model knows where it is.
        """
        check_semantics()
        with autograd.pause(train_mode=False):  # without dropout, wherever this is called
            embs = self.one_hot(np.array([[index]], dtype="int32", ctx=self.device))
            rnn_outputs, state = self.rnn(embs, state)
            return self.output_layer(rnn_outputs)[0, -1].asnumpy(), state


class RNN(Module):
    """The framework's recurrent layer (edition 1.0, section 9.6.1). In this tab it is one with a ReLU, Gluon's default.

    Args:
        num_hiddens: Hidden units.
    """

    num_hiddens: int
    rnn: Any  # a layer of the framework's

    def __init__(self, num_hiddens: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.rnn = rnn_layers.RNN(num_hiddens)

    def forward(self, inputs: Tensor, H: State | None = None) -> tuple[Tensor, State]:
        """Return outputs (num_steps, batch_size, num_hiddens) and state for inputs (num_steps, batch_size, num_inputs).

        Args:
            inputs: Vectors.
            H: The layer's state, of shape (layers, batch_size, num_hiddens); None for zeros.
        """
        if H is None:
            (H,) = self.rnn.begin_state(inputs.shape[1], ctx=inputs.ctx)
        outputs, (H,) = self.rnn(inputs, (H,))
        return outputs, H


class RNNLM(RNNLMScratch):
    """A language model over the framework's layers (edition 1.0, section 9.6.1). The arguments are the same."""

    def init_params(self) -> None:
        """Make the output layer."""
        self.linear = nn.Dense(self.vocab_size, flatten=False)
        self.initialize()

    def output_layer(self, hiddens: Any) -> Tensor:
        """Return logits (batch_size, num_steps, vocab_size) of outputs (num_steps, batch_size, num_hiddens)."""
        return self.linear(hiddens).swapaxes(0, 1)


class GRU(RNN):
    """The framework's layers of gated recurrent units (edition 1.0, section 10.3.2).

    Args:
        num_hiddens: Hidden units.
        num_layers: Layers, each reading the one below.
        dropout: Share of the outputs between two layers that is dropped in training.
    """

    def __init__(self, num_hiddens: int, num_layers: int, dropout: float = 0) -> None:
        Module.__init__(self)
        self.save_hyperparameters()
        self.rnn = rnn_layers.GRU(num_hiddens, num_layers, dropout=dropout)
