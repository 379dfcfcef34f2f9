"""The recurrent network from scratch (book section 8.5)."""

from __future__ import annotations

import numpy
from mxnet import np, npx

from d2lrnn.data.sampling import Seed

from .types import Device, ForwardFn, GetParams, InitState, Params, State, Tensor


def get_params(vocab_size: int, num_hiddens: int, device: Device, *, seed: Seed = None) -> Params:
    """Return the parameters W_xh, W_hh, b_h, W_hq, b_q of a recurrent network, with gradients attached.

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
    rng = numpy.random.default_rng(seed)

    def normal(shape: tuple[int, int]) -> Tensor:
        return np.array(rng.normal(0, 0.01, shape), dtype="float32", ctx=device)

    # Hidden layer parameters
    W_xh = normal((num_inputs, num_hiddens))
    W_hh = normal((num_hiddens, num_hiddens))
    b_h = np.zeros(num_hiddens, ctx=device)
    # Output layer parameters
    W_hq = normal((num_hiddens, num_outputs))
    b_q = np.zeros(num_outputs, ctx=device)
    # Attach gradients
    params = [W_xh, W_hh, b_h, W_hq, b_q]
    for param in params:
        param.attach_grad()
    return params


def init_rnn_state(batch_size: int, num_hiddens: int, device: Device) -> State:
    """Return the first state: a tuple of zeros (batch_size, num_hiddens)."""
    return (np.zeros((batch_size, num_hiddens), ctx=device),)


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
        # npx.activation is np.tanh, six times as fast in MXNet 1.9.1
        H = npx.activation(np.dot(X, W_xh) + np.dot(H, W_hh) + b_h, "tanh")  # (batch_size, num_hiddens)
        Y = np.dot(H, W_hq) + b_q  # (batch_size, vocab_size)
        outputs.append(Y)
    return np.concatenate(outputs, axis=0), (H,)


class RNNModelScratch:
    """A language model made of plain functions.

    Args:
        vocab_size: Size of the vocabulary.
        num_hiddens: Hidden units.
        device: Where the parameters live.
        get_params: A function such as :func:`get_params`.
        init_state: A function such as :func:`init_rnn_state`.
        forward_fn: A function such as :func:`rnn`, or its faster equal ``rnn_fast``.
        seed: Handed to ``get_params`` if it is given.

    Attributes:
        params: The parameters.
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
        self.init_state, self.forward_fn = init_state, forward_fn

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state, for X (batch_size, num_steps)."""
        X = npx.one_hot(X.T, self.vocab_size)  # (num_steps, batch_size, vocab_size)
        return self.forward_fn(X, state, self.params)

    def begin_state(self, batch_size: int, ctx: Device) -> State:
        """Return the first state for a minibatch."""
        return self.init_state(batch_size, self.num_hiddens, ctx)
