"""The recurrent network from scratch (book section 8.5), with backpropagation through time by hand (section 8.7).

NumPy does not differentiate. What the other frameworks do when they are told ``backward()`` is written here as a
function beside the one that it is the gradient of: ``rnn`` and :func:`rnn_backward`.
"""

from __future__ import annotations

import numpy as np

from d2lrnn.data.sampling import Seed
from d2lrnn.errors import InputError

from . import nn
from .types import Device, ForwardFn, GetParams, InitState, Params, State, Tensor


def get_params(vocab_size: int, num_hiddens: int, device: Device, *, seed: Seed = None) -> Params:
    """Return the parameters W_xh, W_hh, b_h, W_hq, b_q of a recurrent network, in float64.

    Args:
        vocab_size: Inputs and outputs.
        num_hiddens: Hidden units.
        device: Where the parameters live.
        seed: A number, a ``numpy.random.Generator``, or None. The same seed gives the same weights in every backend.

    Returns:
        A list of tensors of shape (vocab_size, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens,),
        (num_hiddens, vocab_size) and (vocab_size,): weights normal with standard deviation 0.01, biases zero.
    """
    num_inputs = num_outputs = vocab_size
    rng = np.random.default_rng(seed)

    def normal(shape: tuple[int, int]) -> Tensor:
        # Drawn in float32, as every backend's
        return rng.normal(0, 0.01, shape).astype(np.float32).astype(np.float64)

    # Hidden layer parameters
    W_xh = normal((num_inputs, num_hiddens))
    W_hh = normal((num_hiddens, num_hiddens))
    b_h = np.zeros(num_hiddens)
    # Output layer parameters
    W_hq = normal((num_hiddens, num_outputs))
    b_q = np.zeros(num_outputs)
    return [W_xh, W_hh, b_h, W_hq, b_q]


def init_rnn_state(batch_size: int, num_hiddens: int, device: Device) -> State:
    """Return the first state: a tuple of zeros (batch_size, num_hiddens)."""
    return (np.zeros((batch_size, num_hiddens)),)


def rnn(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:
    """Run the recurrent network over a sequence.

    Args:
        inputs: One-hot vectors, shape (num_steps, batch_size, vocab_size).
        state: A tuple of the hidden state, shape (batch_size, num_hiddens).
        params: What :func:`get_params` returned.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.
    """
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:  # (batch_size, vocab_size)
        H = np.tanh(X @ W_xh + H @ W_hh + b_h)  # (batch_size, num_hiddens)
        Y = H @ W_hq + b_q  # (batch_size, vocab_size)
        outputs.append(Y)
    return np.concatenate(outputs, axis=0), (H,)


def rnn_backward(inputs: Tensor, state: State, params: Params, d_outputs: Tensor) -> list[Tensor]:
    """Return the gradients of the parameters of :func:`rnn`: backpropagation through time (book section 8.7).

    The state that came in is a constant: gradients do not flow into the minibatch before.

    Args:
        inputs: The inputs of :func:`rnn`.
        state: Its state.
        params: Its parameters.
        d_outputs: The gradient of its logits, of the same shape.

    Returns:
        A list of tensors, each of the shape of its parameter.
    """
    W_xh, W_hh, b_h, W_hq, _ = params
    (H,) = state
    # The way there once more, to have the hidden state of every step, and the one before the first
    states = [H]
    for X in inputs:
        H = np.tanh(X @ W_xh + H @ W_hh + b_h)
        states.append(H)
    # And back. A hidden state counts in two places: in the output of its step, and in the state of the next step
    dW_xh, dW_hh, db_h, dW_hq, db_q = (np.zeros_like(param) for param in params)
    dH = np.zeros_like(H)
    d_steps = d_outputs.reshape(len(inputs), *H.shape[:1], -1)  # (num_steps, batch_size, vocab_size)
    for t in reversed(range(len(inputs))):
        X, H, H_before, dY = inputs[t], states[t + 1], states[t], d_steps[t]
        dW_hq += H.T @ dY
        db_q += dY.sum(axis=0)
        dH = dH + dY @ W_hq.T
        dA = dH * (1 - H**2)  # of the sum under the tanh
        dW_xh += X.T @ dA
        dW_hh += H_before.T @ dA
        db_h += dA.sum(axis=0)
        dH = dA @ W_hh.T
    return [dW_xh, dW_hh, db_h, dW_hq, db_q]


# A forward function carries its gradient along
rnn.backward = rnn_backward  # type: ignore[attr-defined]


class RNNModelScratch:
    """A language model made of plain functions.

    Args:
        vocab_size: Size of the vocabulary.
        num_hiddens: Hidden units.
        device: Where the parameters live.
        get_params: A function such as :func:`get_params`.
        init_state: A function such as :func:`init_rnn_state`.
        forward_fn: A function such as :func:`rnn`, or its faster equal ``rnn_fast``.
            To train, its attribute ``backward`` must be a function such as :func:`rnn_backward`.
        seed: Handed to ``get_params`` if it is given.

    Attributes:
        params: The parameters.
        grads: Their gradients, once :meth:`backward` has been called.
    """

    def __init__(
        self,
        vocab_size: int,
        num_hiddens: int,
        device: Device,
        get_params: GetParams,
        init_state: InitState,
        forward_fn: ForwardFn,
        *,
        seed: Seed = None,
    ) -> None:
        self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
        options = {} if seed is None else {"seed": seed}
        self.params = get_params(vocab_size, num_hiddens, device, **options)
        self.grads: list[Tensor | None] = [None] * len(self.params)
        self.init_state, self.forward_fn = init_state, forward_fn
        self._called_with: tuple[Tensor, State] | None = None

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state, for X (batch_size, num_steps)."""
        X = nn.one_hot(X.T, self.vocab_size, self.params[0].dtype)  # (num_steps, batch_size, vocab_size)
        self._called_with = X, state
        return self.forward_fn(X, state, self.params)

    def backward(self, d_outputs: Tensor) -> None:
        """Find the gradients of the parameters, from that of the logits of the last call.

        Raises:
            InputError: If the model has not been called, or its forward function has no gradient.
        """
        if self._called_with is None:
            raise InputError("the model has not been called, so there is nothing to go back through")
        backward_fn = getattr(self.forward_fn, "backward", None)
        if backward_fn is None:
            name = getattr(self.forward_fn, "__name__", type(self.forward_fn).__name__)
            raise InputError(
                f"NumPy does not differentiate, and {name} does not say what its gradient is: write a function such as "
                f"d2l.rnn.backward and set {name}.backward to it"
            )
        self.grads = backward_fn(*self._called_with, self.params, d_outputs)

    def float(self) -> RNNModelScratch:
        """Turn the parameters into float32, which computes faster and less exactly, and return the model."""
        self.params = [param.astype(np.float32) for param in self.params]
        return self

    def begin_state(self, batch_size: int, device: Device) -> State:
        """Return the first state for a minibatch."""
        state = self.init_state(batch_size, self.num_hiddens, device)
        return tuple(part.astype(self.params[0].dtype, copy=False) for part in state)
