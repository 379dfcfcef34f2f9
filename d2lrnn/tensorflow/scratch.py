"""The recurrent network from scratch (book section 8.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from d2lrnn.data.sampling import Seed

from .types import ForwardFn, GetParams, InitState, Params, State, Tensor


def get_params(vocab_size: int, num_hiddens: int, *, seed: Seed = None) -> Params:
    """Return the parameters W_xh, W_hh, b_h, W_hq, b_q of a recurrent network, as variables.

    Args:
        vocab_size: Inputs and outputs.
        num_hiddens: Hidden units.
        seed: A number, a ``numpy.random.Generator``, or None. The same seed gives the same weights in every backend.

    Returns:
        A list of variables of shape (vocab_size, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens,),
        (num_hiddens, vocab_size) and (vocab_size,): weights normal with standard deviation 0.01, biases zero.
    """
    num_inputs = num_outputs = vocab_size
    rng = np.random.default_rng(seed)

    def normal(shape: tuple[int, int]) -> Tensor:
        return tf.constant(rng.normal(0, 0.01, shape), dtype=tf.float32)

    # Hidden layer parameters
    W_xh = normal((num_inputs, num_hiddens))
    W_hh = normal((num_hiddens, num_hiddens))
    b_h = tf.zeros(num_hiddens)
    # Output layer parameters
    W_hq = normal((num_hiddens, num_outputs))
    b_q = tf.zeros(num_outputs)
    # Gradients are taken of variables
    params = [W_xh, W_hh, b_h, W_hq, b_q]
    return [tf.Variable(param) for param in params]


def init_rnn_state(batch_size: int, num_hiddens: int) -> State:
    """Return the first state: a tuple of zeros (batch_size, num_hiddens)."""
    return (tf.zeros((batch_size, num_hiddens)),)


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
        H = tf.tanh(tf.matmul(X, W_xh) + tf.matmul(H, W_hh) + b_h)  # (batch_size, num_hiddens)
        Y = tf.matmul(H, W_hq) + b_q  # (batch_size, vocab_size)
        outputs.append(Y)
    return tf.concat(outputs, axis=0), (H,)


class RNNModelScratch:
    """A language model made of plain functions.

    Args:
        vocab_size: Size of the vocabulary.
        num_hiddens: Hidden units.
        init_state: A function such as :func:`init_rnn_state`.
        forward_fn: A function such as :func:`rnn`, or its faster equal ``rnn_fast``.
            Training compiles it into a graph, where ``inputs`` is the list of the steps instead of one tensor, because
            a graph cannot be built by iterating over a tensor.
        get_params: A function such as :func:`get_params`.
        seed: Handed to ``get_params`` if it is given.

    Attributes:
        trainable_variables: The parameters.
    """

    def __init__(
        self,
        vocab_size: int,
        num_hiddens: int,
        init_state: InitState,
        forward_fn: ForwardFn,
        get_params: GetParams,
        *,
        seed: Seed = None,
    ) -> None:
        self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
        options = {} if seed is None else {"seed": seed}
        self.trainable_variables = get_params(vocab_size, num_hiddens, **options)
        self.init_state, self.forward_fn = init_state, forward_fn

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state, for X (batch_size, num_steps)."""
        X = tf.one_hot(tf.transpose(X), self.vocab_size)  # (num_steps, batch_size, vocab_size)
        inputs = X if tf.executing_eagerly() else tf.unstack(X)
        return self.forward_fn(inputs, state, self.trainable_variables)

    def begin_state(self, batch_size: int, *args: Any, **kwargs: Any) -> State:
        """Return the first state for a minibatch; further arguments are taken as Keras's cells take them."""
        return self.init_state(batch_size, self.num_hiddens)
