"""Prediction: warm up on a prefix, then continue it token by token (book section 8.5.4)."""

import warnings

import tensorflow as tf

from d2lrnn.errors import D2LRNNWarning
from d2lrnn.generation import generate, token_chooser

# What TensorFlow raises when a function cannot become a graph, because it needs a tensor's value, say.
_NOT_A_GRAPH = (
    tf.errors.OperatorNotAllowedInGraphError,
    NotImplementedError,
    AttributeError,
    TypeError,
    ValueError,
)


def compiled(net, key, function):
    """Return a function compiled into a graph, made once for a net and a key and kept with that net.

    A reader's own forward function that cannot become a graph runs operator by operator, with a warning.
    """
    cache = net.__dict__.get("_d2lrnn_compiled")
    if cache is None:
        cache = {}
        object.__setattr__(net, "_d2lrnn_compiled", cache)  # past Keras, which would track it as a sublayer
    if key in cache:
        return cache[key]
    graph = tf.function(function, autograph=False)

    def run(*args):
        try:
            return graph(*args)
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
    forward = compiled(net, "forward", lambda X, state: net(X, state))

    def step(index):
        nonlocal state
        y, state = forward(tf.constant([[index]]), state)
        return y[0].numpy()  # (vocab_size,)

    return generate(prefix, num_preds, vocab, step, choose)
