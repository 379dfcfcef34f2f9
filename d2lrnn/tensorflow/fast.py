"""The recurrent network from scratch, faster than its loop and equal to it.

``rnn`` is written to be read. :func:`rnn_fast` computes the same values and the same gradients, and takes its place as
the ``forward_fn`` of a model. Two things make the difference:

- Of ``H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h)`` only the product with W_hh needs the step before. All steps share one
  product with W_xh, and one with W_hq.
- Backpropagation through time (book section 8.7) is written out: per step one product for the gradient of the state,
  and for W_hh a single product over all steps, where automatic differentiation makes one a step and adds them up.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from d2lrnn.core.checks import check_steps

from .types import Params, State, Tensor

# A longer sequence, or one whose length is not known, loops inside the graph: slower, but compiled in no time
MOST_STEPS_UNROLLED = 64
_UNROLL = contextvars.ContextVar("unroll", default=True)


@contextlib.contextmanager
def loops() -> Iterator[None]:
    """Let every sequence loop inside the graph while this lasts: XLA makes as fast a graph of it, in half the time."""
    token = _UNROLL.set(False)
    try:
        yield
    finally:
        _UNROLL.reset(token)


def _scan(
    step: Callable[[Tensor, Sequence[Tensor]], Tensor], first: Tensor, steps: tuple[Tensor, ...], reverse: bool = False
) -> Tensor:
    """Return what a step makes of each of ``steps`` and of its own last result.

    Args:
        step: A function of the last result and a tuple of this step's tensors.
        first: The first "last result".
        steps: A tuple of tensors (num_steps, ...).
        reverse: Begin at the last step; the results stay in the order of the steps.

    Returns:
        A tensor (num_steps, ...).
    """
    num_steps = steps[0].shape[0]
    unroll = num_steps is not None and num_steps <= MOST_STEPS_UNROLLED and _UNROLL.get()
    if tf.executing_eagerly() or unroll:
        results, last = [], first
        for values in zip(*(tf.unstack(tensor)[:: -1 if reverse else 1] for tensor in steps), strict=True):
            last = step(last, values)
            results.append(last)
        return tf.stack(results[:: -1 if reverse else 1])
    count = tf.shape(steps[0])[0]

    def body(i: Tensor, last: Tensor, results: tf.TensorArray) -> tuple[Tensor, Tensor, tf.TensorArray]:
        t = count - 1 - i if reverse else i
        last = step(last, [tensor[t] for tensor in steps])
        return i + 1, last, results.write(t, last)

    results = tf.TensorArray(first.dtype, count, element_shape=first.shape)
    return tf.while_loop(lambda i, *_: i < count, body, (0, first, results))[2].stack()


@tf.custom_gradient
def _recurrence(A: Tensor, H_0: Tensor, W_hh: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    """Return the hidden states H_t = tanh(A_t + H_{t-1} W_hh), with backpropagation through time by hand.

    ``A`` and the result have shape (num_steps, batch_size, num_hiddens).
    """
    Hs = _scan(lambda H, values: tf.tanh(values[0] + tf.matmul(H, W_hh)), H_0, (A,))

    def backward(dHs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # The state's gradient comes from the output of its step, and through the step after it
        def step(dA: Tensor, values: Sequence[Tensor]) -> Tensor:
            dH, H = values
            return (dH + tf.matmul(dA, W_hh, transpose_b=True)) * (1 - H * H)

        dAs = _scan(step, tf.zeros_like(H_0), (dHs, Hs), reverse=True)
        before = tf.concat([H_0[None], Hs[:-1]], axis=0)
        # All products of a step's state with the next step's gradient, added up
        dW_hh = tf.matmul(_flat(before), _flat(dAs), transpose_a=True)  # (num_hiddens, num_hiddens)
        return dAs, tf.matmul(dAs[0], W_hh, transpose_b=True), dW_hh

    return Hs, backward


def _flat(values: Tensor) -> Tensor:
    """Return a tensor (num_steps, batch_size, n) as (num_steps * batch_size, n)."""
    return tf.reshape(values, (-1, values.shape[-1]))


def rnn_fast(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:
    """Run the recurrent network over a sequence, as ``rnn`` does.

    Args:
        inputs: One-hot vectors, shape (num_steps, batch_size, vocab_size), or a list of the steps.
        state: A tuple of the hidden state, shape (batch_size, num_hiddens).
        params: What ``get_params`` returned.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.

    Raises:
        InputError: If the sequence has no step.
    """
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    inputs = tf.convert_to_tensor(inputs)
    check_steps(inputs.shape[0])
    H = tf.broadcast_to(H, (tf.shape(inputs)[1], H.shape[-1]))
    A = tf.tensordot(inputs, W_xh, 1) + b_h  # (num_steps, batch_size, num_hiddens)
    Hs = _recurrence(A, H, tf.convert_to_tensor(W_hh))  # (num_steps, batch_size, num_hiddens)
    return tf.matmul(_flat(Hs), W_hq) + b_q, (Hs[-1],)
