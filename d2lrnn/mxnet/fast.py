"""The recurrent network from scratch, faster than its loop and equal to it.

:func:`~d2lrnn.mxnet.scratch.rnn` is written to be read. :func:`rnn_fast` computes the same values and the same
gradients, and is what ``RNNModelScratch`` runs in its place. Two things make the difference:

- Of ``H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h)`` only the product with W_hh needs the step before. All steps share one
  product with W_xh, and one with W_hq.
- The steps run in MXNet's recurrent operator, which Gluon's layers call too: one call instead of four a step, and
  backpropagation through time (book section 8.7) with a single product over all steps for the gradient of W_hh. It
  takes its parameters as one vector.
"""

from mxnet import np, npx
from mxnet.gluon import rnn as rnn_layers


def rnn_fast(inputs, state, params):
    """Run the recurrent network over a sequence, as :func:`~d2lrnn.mxnet.scratch.rnn` does.

    Args:
        inputs: One-hot vectors, shape (num_steps, batch_size, vocab_size), or just the indices, shape
            (num_steps, batch_size).
        state: A tuple of the hidden state, shape (batch_size, num_hiddens).
        params: What :func:`~d2lrnn.mxnet.scratch.get_params` returned.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.
    """
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    vocab_size, num_hiddens = W_xh.shape
    X = npx.one_hot(inputs, vocab_size) if inputs.ndim == 2 else inputs
    H = np.broadcast_to(H, (X.shape[1], num_hiddens))
    # The operator has a second bias, for the state
    vector = np.concatenate([W_xh.T.reshape(-1), W_hh.T.reshape(-1), b_h, np.zeros_like(b_h)])
    Hs, H = npx.rnn(
        data=X, parameters=vector, state=np.expand_dims(H, 0), mode="rnn_tanh", state_size=num_hiddens, num_layers=1,
        state_outputs=True,
    )  # fmt: skip
    # (num_steps * batch_size, vocab_size)
    Y = npx.fully_connected(Hs.reshape(-1, num_hiddens), W_hq.T, b_q, num_hidden=W_hq.shape[1])
    return Y, (H[0],)


def layer_fast(layer, X, state):
    """Run a recurrent layer of the framework over a sequence. Gluon's use the operator of :func:`rnn_fast` already.

    Args:
        layer: ``rnn.RNN``, ``rnn.GRU`` or ``rnn.LSTM`` of Gluon, time-major.
        X: Inputs, shape (num_steps, batch_size, inputs).
        state: The layer's state.

    Returns:
        What ``layer(X, state)`` returns.
    """
    return layer(X, state)


def is_plain(layer):
    """Return whether a layer is an ``rnn.RNN`` of which nothing is changed, read in one direction."""
    if type(layer) is not rnn_layers.RNN or layer._dir == 2 or layer._layout != "TNC" or layer._dropout:
        return False
    return not has_hooks(layer)


def has_hooks(block):
    """Return whether a block has hooks, which only a call of the block itself runs."""
    return bool(block._forward_hooks or block._forward_pre_hooks)


def step_fast(params, state, activation="tanh"):
    """Return a function that feeds one token to the network and returns the logits of the next, without gradients.

    Args:
        params: What :func:`~d2lrnn.mxnet.scratch.get_params` returned.
        state: The first hidden state, shape (1, num_hiddens), in a tuple or as the layer has it.
        activation: ``'tanh'`` or ``'relu'``.

    Returns:
        A function of an index that returns an array of shape (vocab_size,). It keeps the state.
    """
    W_xh, W_hh, b_h, W_hq, b_q = (param.detach() for param in params)
    (vocab_size, num_hiddens), H = W_xh.shape, state[0].reshape(1, -1)
    rows = list(W_xh + b_h)  # of each token, what it adds to the hidden layer
    # MXNet multiplies with a transposed matrix a few times faster than with the matrix
    W_hh, W_hq = W_hh.T.copy(), W_hq.T.copy()

    def step(index):
        nonlocal H
        H = npx.activation(npx.fully_connected(H, W_hh, rows[index], num_hidden=num_hiddens), activation)
        return npx.fully_connected(H, W_hq, b_q, num_hidden=vocab_size).asnumpy()[0]

    return step
