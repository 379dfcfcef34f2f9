"""The recurrent network from scratch, faster than its loop and equal to it.

``rnn`` is written to be read. :func:`rnn_fast` computes the same values and the same gradients, and takes its place as
the ``forward_fn`` of a model. Two things make the difference:

- Of ``H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h)`` only the product with W_hh needs the step before. All steps share one
  product with W_xh, and one with W_hq.
- The steps run in MXNet's recurrent operator, which Gluon's layers call too: one call instead of four a step, and
  backpropagation through time (book section 8.7) with a single product over all steps for the gradient of W_hh. It
  takes its parameters as one vector.

A single step, such as those of generation, shares nothing: it is the loop's.
"""

from __future__ import annotations

from mxnet import np, npx

from d2lrnn.core.checks import check_steps

from .types import Params, State, Tensor


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
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    if len(inputs) == 1:
        H = npx.activation(np.dot(inputs[0], W_xh) + np.dot(H, W_hh) + b_h, "tanh")
        return np.dot(H, W_hq) + b_q, (H,)
    num_hiddens = len(b_h)
    H = np.broadcast_to(H, (inputs.shape[1], num_hiddens))
    # The operator has a second bias, for the state
    vector = np.concatenate([W_xh.T.reshape(-1), W_hh.T.reshape(-1), b_h, np.zeros_like(b_h)])
    Hs, H = npx.rnn(
        data=inputs, parameters=vector, state=np.expand_dims(H, 0), mode="rnn_tanh", state_size=num_hiddens,
        num_layers=1, state_outputs=True,
    )  # fmt: skip
    # (num_steps * batch_size, vocab_size)
    Y = npx.fully_connected(Hs.reshape(-1, num_hiddens), W_hq.T, b_q, num_hidden=W_hq.shape[1])
    return Y, (H[0],)
