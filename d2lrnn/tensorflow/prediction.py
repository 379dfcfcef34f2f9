"""Prediction: warm up on a prefix, then continue it token by token (book section 8.5.4)."""

import contextlib
import functools
import warnings

import tensorflow as tf

from d2lrnn.errors import D2LRNNWarning
from d2lrnn.generation import generate, token_chooser
from d2lrnn.tensorflow.concise import RNNModel
from d2lrnn.tensorflow.fast import is_plain, loops, step_fast
from d2lrnn.tensorflow.scratch import RNNModelScratch, rnn

# What TensorFlow raises when a function cannot become a graph, because it needs a tensor's value, say.
_NOT_A_GRAPH = (
    tf.errors.OperatorNotAllowedInGraphError,
    NotImplementedError,
    AttributeError,
    TypeError,
    ValueError,
)


# Hidden units from which on XLA's graph is faster than TensorFlow's. Measured: 0.9 times as fast at 256, 1.5 at 512,
# 1.8 at 1,024 units. XLA is kept to where this was measured: the plain net, on a CPU.
LEAST_HIDDENS_FOR_XLA = 384


@functools.cache
def _xla_works():
    try:
        return int(tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1))) == 2
    except tf.errors.OpError:  # a build without it
        return False


def _plain_params(net):
    """Return the parameters of the function ``rnn`` where a net computes it, and its activation; else None."""
    if type(net) is RNNModelScratch and net.forward_fn is rnn:
        return net.trainable_variables, "tanh"
    if type(net) is not RNNModel or type(net.dense) is not tf.keras.layers.Dense or not net.dense.built:
        return None
    linear = net.dense.use_bias and net.dense.activation is tf.keras.activations.linear
    if linear and len(net.rnn_layers) == 1 and is_plain(net.rnn_layers[0]):
        cell = net.rnn_layers[0].cell
        params = cell.kernel, cell.recurrent_kernel, cell.bias, net.dense.kernel, net.dense.bias
        return params, cell.activation.__name__
    return None


def pays_for_xla(net):
    """Return whether a net's training step should be compiled by XLA."""
    if type(net) is RNNModelScratch and net.forward_fn is rnn:
        num_hiddens = net.num_hiddens
    elif type(net) is RNNModel and all(map(is_plain, net.rnn_layers)):
        num_hiddens = net.rnn_layers[0].cell.units
    else:
        return False
    on_cpu = all("CPU" in tf.convert_to_tensor(param).device for param in net.trainable_variables)
    return num_hiddens >= LEAST_HIDDENS_FOR_XLA and on_cpu and _xla_works()


def compiled(net, key, function, *, xla=False):
    """Return a function compiled into a graph, by XLA if wanted, made once for a net and a key and kept with that net.

    A reader's own forward function that cannot become a graph runs operator by operator, with a warning.
    """
    cache = net.__dict__.get("_d2lrnn_compiled")
    if cache is None:
        cache = {}
        object.__setattr__(net, "_d2lrnn_compiled", cache)  # past Keras, which would track it as a sublayer
    key = key, getattr(net, "forward_fn", None)  # which a reader may exchange
    if key in cache:
        return cache[key]

    def traced(*args):
        with loops() if xla else contextlib.nullcontext():
            return function(*args)

    graph = tf.function(traced, autograph=False, jit_compile=True if xla else None)

    def run(*args):
        try:
            return graph(*args)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            if not xla:
                raise
            # XLA lacks an operation, of the reader's own loss say; TensorFlow's graph has them all
            del cache[key]
            return compiled(net, key[0], function)(*args)
        except _NOT_A_GRAPH as error:
            result = function(*args)  # if it fails here too, this is the error to see
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn(
                f"{type(net).__name__} cannot be compiled and runs slowly, operator by operator: {reason}",
                D2LRNNWarning,
                stacklevel=2,
            )
            cache[key] = function
            return result

    cache[key] = run
    return run


def predict_ch8(prefix, num_preds, net, vocab, *, temperature=None, top_k=None, seed=None):
    """Continue a prefix.

    Args:
        prefix: A string, one token a character; or a list of tokens, such as words. It may be empty.
        num_preds: Tokens to add.
        net: A model of either kind.
        vocab: Its vocabulary.
        temperature: Draw from the softmax of logits / temperature instead of taking the most probable token. It is
            the inverse of the book's exponent alpha. With top_k or seed alone it is 1.
        top_k: Draw among this many most probable tokens.
        seed: A number, a ``numpy.random.Generator``, or None for different draws each time.

    Returns:
        The prefix and its continuation; a token that the vocabulary lacks reads ``<unk>``.

    Raises:
        InputError: If num_preds or the temperature is negative, or top_k is not positive.
    """
    choose = token_chooser(temperature, top_k, seed)
    state = net.begin_state(batch_size=1, dtype=tf.float32)

    one = compiled(net, "one step", lambda index, state: _step_function(net)(index, state))
    many = compiled(net, "many steps", lambda index, state, count: _most_probable_tokens(net, index, state, count))

    def step(index):
        nonlocal state
        y, state = one(tf.constant(index), state)
        return y.numpy()

    def most_probable_tokens(index, count):
        return many(tf.constant(index), state, tf.constant(count)).numpy()

    return generate(prefix, num_preds, vocab, step, choose, most_probable_tokens=most_probable_tokens)


def _step_function(net):
    """Return a function that feeds a token's index to a net and returns the logits (vocab_size,) and the new state."""
    if plain := _plain_params(net):
        return step_fast(*plain)

    def step(index, state):
        y, new_state = net(tf.reshape(index, (1, 1)), state)
        return y[0], tf.nest.pack_sequence_as(state, tf.nest.flatten(new_state))

    return step


def _most_probable_tokens(net, index, state, count):
    """Return ``count`` tokens, each the most probable one after the one before.

    As one graph: a call a token from Python costs more than what is computed.
    """
    step = _step_function(net)

    def body(i, index, state, indices):
        y, state = step(index, state)
        index = tf.argmax(y, output_type=tf.int32)
        return i + 1, index, state, indices.write(i, index)

    indices = tf.TensorArray(tf.int32, count, element_shape=())
    return tf.while_loop(lambda i, *_: i < count, body, (0, index, state, indices))[3].stack()
