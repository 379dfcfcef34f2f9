"""The recurrent network from scratch, faster than its loop and equal to it.

:func:`~d2lrnn.tensorflow.scratch.rnn` is written to be read. :func:`rnn_fast` computes the same values and the same
gradients, and is what ``RNNModelScratch`` runs in its place. Three things make the difference:

- Of ``H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h)`` only the product with W_hh needs the step before. All steps share one
  lookup in W_xh (a product with a one-hot vector picks a row), and one product with W_hq.
- Backpropagation through time (book section 8.7) is written out: per step one product for the gradient of the state,
  and for W_hh a single product over all steps, where automatic differentiation makes one a step and adds them up.
- Training compiles a large network with XLA, which fuses what lies between the products
  (:func:`~d2lrnn.tensorflow.prediction.pays_for_xla`).
"""

import contextlib
import contextvars

import tensorflow as tf

# Of each activation: itself, and the gradient of its input from that of its output, by the output
ACTIVATIONS = {
    "tanh": (tf.tanh, lambda grad, Y: grad * (1 - Y * Y)),
    "relu": (tf.nn.relu, lambda grad, Y: tf.where(Y > 0, grad, 0)),
}


# A longer sequence, or one whose length is not known, loops inside the graph: slower, but compiled in no time
MOST_STEPS_UNROLLED = 64
_UNROLL = contextvars.ContextVar("unroll", default=True)


@contextlib.contextmanager
def loops():
    """Let every sequence loop inside the graph while this lasts: XLA makes as fast a graph of it, in half the time."""
    token = _UNROLL.set(False)
    try:
        yield
    finally:
        _UNROLL.reset(token)


def _scan(step, first, steps, reverse=False):
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

    def body(i, last, results):
        t = count - 1 - i if reverse else i
        last = step(last, [tensor[t] for tensor in steps])
        return i + 1, last, results.write(t, last)

    results = tf.TensorArray(first.dtype, count, element_shape=first.shape)
    return tf.while_loop(lambda i, *_: i < count, body, (0, first, results))[2].stack()


def _recurrence(A, H_0, W_hh, activation):
    """Return the hidden states H_t = activation(A_t + H_{t-1} W_hh), with backpropagation through time by hand.

    ``A`` and the result have shape (num_steps, batch_size, num_hiddens).
    """
    apply, slope = ACTIVATIONS[activation]

    @tf.custom_gradient
    def run(A, H_0, W_hh):
        Hs = _scan(lambda H, values: apply(values[0] + tf.matmul(H, W_hh)), H_0, (A,))

        def backward(dHs):
            # The state's gradient comes from the output of its step, and through the step after it
            def step(dA, values):
                dH, H = values
                return slope(dH + tf.matmul(dA, W_hh, transpose_b=True), H)

            dAs = _scan(step, tf.zeros_like(H_0), (dHs, Hs), reverse=True)
            before = tf.concat([H_0[None], Hs[:-1]], axis=0)
            # All products of a step's state with the next step's gradient, added up
            dW_hh = tf.matmul(_flat(before), _flat(dAs), transpose_a=True)  # (num_hiddens, num_hiddens)
            return dAs, tf.matmul(dAs[0], W_hh, transpose_b=True), dW_hh

        return Hs, backward

    return run(A, H_0, tf.convert_to_tensor(W_hh))


def _flat(values):
    """Return a tensor (num_steps, batch_size, n) as (num_steps * batch_size, n)."""
    return tf.reshape(values, (-1, values.shape[-1]))


@tf.custom_gradient
def _rows(table, indices):
    """Return rows of a table. Their gradient is a tensor; TensorFlow's own has slices, and another norm."""

    def backward(grad):
        return tf.math.unsorted_segment_sum(_flat(grad), tf.reshape(indices, (-1,)), tf.shape(table)[0]), None

    return tf.gather(table, indices), backward


def rnn_fast(inputs, state, params):
    """Run the recurrent network over a sequence, as :func:`~d2lrnn.tensorflow.scratch.rnn` does.

    Args:
        inputs: One-hot vectors, shape (num_steps, batch_size, vocab_size), or just the indices, shape
            (num_steps, batch_size).
        state: A tuple of the hidden state, shape (batch_size, num_hiddens).
        params: What :func:`~d2lrnn.tensorflow.scratch.get_params` returned.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.
    """
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    inputs = tf.convert_to_tensor(inputs)
    indices = inputs.shape.rank == 2
    H = tf.broadcast_to(H, (tf.shape(inputs)[1], H.shape[-1]))
    A = _rows(W_xh + b_h, tf.cast(inputs, tf.int32)) if indices else tf.tensordot(inputs, W_xh, 1) + b_h
    Hs = _recurrence(A, H, W_hh, "tanh")  # (num_steps, batch_size, num_hiddens)
    return tf.matmul(_flat(Hs), W_hq) + b_q, (Hs[-1],)


def layer_fast(layer, X, state):
    """Run a recurrent layer of the framework over a sequence, and a plain ``SimpleRNN`` as :func:`rnn_fast` does.

    Args:
        layer: ``SimpleRNN``, ``GRU``, ``LSTM``, or ``RNN`` around a cell; returning sequences and state.
        X: Inputs, time-major, shape (num_steps, batch_size, inputs).
        state: The layer's state, a list.

    Returns:
        A list of the outputs, time-major, and the new state.
    """
    if is_plain(layer):
        cell, (H,) = layer.cell, state
        A = tf.tensordot(X, tf.convert_to_tensor(cell.kernel), 1) + cell.bias  # (num_steps, batch_size, num_hiddens)
        Hs = _recurrence(A, H, cell.recurrent_kernel, cell.activation.__name__)
        return [Hs, Hs[-1]]
    if getattr(layer, "time_major", False):
        return layer(X, initial_state=state)
    Y, *new_state = layer(tf.transpose(X, (1, 0, 2)), initial_state=state)
    return [tf.transpose(Y, (1, 0, 2)), *new_state]


def is_plain(layer):
    """Return whether a layer is built, and a ``SimpleRNN`` of tanh or ReLU of which nothing is changed."""
    cell = getattr(layer, "cell", None)
    if type(layer) not in (tf.keras.layers.SimpleRNN, tf.keras.layers.RNN) or not layer.built:
        return False
    if type(cell) is not tf.keras.layers.SimpleRNNCell or cell.dropout or cell.recurrent_dropout or not cell.use_bias:
        return False
    if (
        cell.activation not in (tf.keras.activations.tanh, tf.keras.activations.relu)
        or layer.compute_dtype != "float32"
    ):
        return False
    return layer.return_sequences and layer.return_state and not (layer.go_backwards or layer.stateful)


def step_fast(params, activation="tanh"):
    """Return a function that feeds one token to the network and returns the logits of the next, for use in a graph.

    Args:
        params: What :func:`~d2lrnn.tensorflow.scratch.get_params` returned.
        activation: ``'tanh'`` or ``'relu'``.

    Returns:
        A function of an index, a tensor without dimensions, and the hidden state, shape (1, num_hiddens), in a tuple or
        a list. It returns logits of shape (vocab_size,) and the new state.
    """
    W_xh, W_hh, b_h, W_hq, b_q = (tf.convert_to_tensor(param) for param in params)
    apply, _ = ACTIVATIONS[activation]
    rows = W_xh + b_h  # of each token, what it adds to the hidden layer

    def step(index, state):
        H = apply(rows[index] + tf.matmul(state[0], W_hh))
        return (tf.matmul(H, W_hq) + b_q)[0], type(state)([H])

    return step
