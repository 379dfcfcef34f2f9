"""The recurrent network from scratch, faster than its loop and equal to it.

``rnn`` is written to be read. :func:`rnn_fast` computes the same values and the same gradients, and takes its place as
the ``forward_fn`` of a model. Two things make the difference:

- Of ``H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h)`` only the product with W_hh needs the step before. All steps share one
  product with W_xh, and one with W_hq.
- Backpropagation through time (book section 8.7) has a single product over all steps for the gradient of each matrix.
"""

from __future__ import annotations

import numpy as np

from d2lrnn.core.checks import check_steps

from .types import Params, State, Tensor


def _hidden_states(inputs: Tensor, H: Tensor, params: Params) -> Tensor:
    """Return the hidden states, the one before the first step too: (num_steps + 1, batch_size, num_hiddens)."""
    W_xh, W_hh, b_h, _, _ = params
    H = np.broadcast_to(H, (inputs.shape[1], H.shape[-1]))
    A = inputs.reshape(-1, inputs.shape[-1]) @ W_xh
    A += b_h
    Hs = np.empty((len(inputs) + 1, *H.shape), np.result_type(A, H))
    Hs[0] = H
    for A_t, before, H_t in zip(A.reshape(Hs[1:].shape), Hs[:-1], Hs[1:], strict=True):
        np.matmul(before, W_hh, out=H_t)
        H_t += A_t
        np.tanh(H_t, out=H_t)
    return Hs


def rnn_fast(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:
    """Run the recurrent network over a sequence, as ``rnn`` does.

    Args:
        inputs: One-hot vectors, shape (num_steps, batch_size, vocab_size).
        state: A tuple of the hidden state, shape (batch_size, num_hiddens).
        params: What ``get_params`` returned.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.

    Raises:
        InputError: If the sequence has no step.
    """
    check_steps(len(inputs))
    *_, W_hq, b_q = params
    Hs = _hidden_states(inputs, state[0], params)
    Y = Hs[1:].reshape(-1, Hs.shape[-1]) @ W_hq
    Y += b_q
    return Y, (Hs[-1].copy(),)


def rnn_fast_backward(inputs: Tensor, state: State, params: Params, d_outputs: Tensor) -> list[Tensor]:
    """Return the gradients of the parameters, as ``rnn_backward`` does."""
    _, W_hh, _, W_hq, _ = params
    Hs = _hidden_states(inputs, state[0], params)
    H = Hs[1:].reshape(-1, Hs.shape[-1])
    dA = (d_outputs @ W_hq.T).reshape(Hs[1:].shape)  # of the states, from the output of their step
    slopes, d_next = 1 - Hs[1:] ** 2, None
    for dA_t, slope in zip(dA[::-1], slopes[::-1], strict=True):
        if d_next is not None:  # and through the step after it
            dA_t += d_next @ W_hh.T
        dA_t *= slope
        d_next = dA_t
    dA = dA.reshape(H.shape)
    return [
        inputs.reshape(len(H), -1).T @ dA,
        Hs[:-1].reshape(H.shape).T @ dA,
        dA.sum(axis=0),
        H.T @ d_outputs,
        d_outputs.sum(axis=0),
    ]


rnn_fast.backward = rnn_fast_backward  # type: ignore[attr-defined]
