"""Prediction: warm up on a prefix, then continue it token by token (book section 8.5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

from d2lrnn.core.generation import generate, token_chooser
from d2lrnn.data import Vocab
from d2lrnn.data.sampling import Array, Seed

from .concise import RNNModel
from .graphs import compiled
from .scratch import RNNModelScratch
from .types import State, Tensor

Net: TypeAlias = RNNModelScratch | RNNModel


def call(net: Net, X: Tensor, state: State, *, training: bool) -> tuple[Tensor, State]:
    """Return what a net makes of a minibatch, in the mode for training or in that for evaluation.

    Args:
        net: A model of either kind. Keras's layers are told the mode; a net of plain functions has none.
        X: Indices, shape (batch_size, num_steps).
        state: The net's state.
        training: Whether what acts in training only, such as dropout, acts.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.
    """
    if isinstance(net, tf.keras.layers.Layer):
        return net(X, state, training=training)
    return net(X, state)


def predict_ch8(
    prefix: str | Sequence[str],
    num_preds: int,
    net: Net,
    vocab: Vocab,
    *,
    temperature: float | None = None,
    top_k: int | None = None,
    seed: Seed = None,
) -> str:
    """Continue a prefix.

    Args:
        prefix: A string, which is read as the vocabulary's text was: cleaned, and parted into characters or words. Or a
            list of tokens, which are taken as they are. It may be empty.
        num_preds: Tokens to add.
        net: A model of either kind.
        vocab: Its vocabulary.
        temperature: Draw from the softmax of logits / temperature instead of taking the most probable token. It is
            the inverse of the book's exponent alpha. With top_k or seed alone it is 1.
        top_k: Draw among this many most probable tokens.
        seed: A number, a ``numpy.random.Generator``, or None for different draws each time.

    Returns:
        The prefix, as the model read it, and its continuation, joined as the text was; a token that the vocabulary
        lacks reads ``<unk>``.

    Raises:
        InputError: If num_preds or the temperature is negative, or top_k is not positive.
    """
    choose = token_chooser(temperature, top_k, seed)
    state = net.begin_state(batch_size=1, dtype=tf.float32)

    def step(index: Tensor, state: State) -> tuple[Tensor, State]:
        y, new_state = call(net, tf.reshape(index, (1, 1)), state, training=False)
        return y[0], tf.nest.pack_sequence_as(state, tf.nest.flatten(new_state))

    def most_probable_tokens(index: Tensor, state: State, count: Tensor) -> Tensor:
        """Return ``count`` tokens, each the most probable one after the one before.

        As one graph: a call a token from Python costs more than what is computed.
        """

        def body(
            i: Tensor, index: Tensor, state: State, indices: tf.TensorArray
        ) -> tuple[Tensor, Tensor, State, tf.TensorArray]:
            y, state = step(index, state)
            index = tf.argmax(y, output_type=tf.int32)
            return i + 1, index, state, indices.write(i, index)

        indices = tf.TensorArray(tf.int32, count, element_shape=())
        return tf.while_loop(lambda i, *_: i < count, body, (0, index, state, indices))[3].stack()

    one = compiled(net, "one step", step)
    many = compiled(net, "many steps", most_probable_tokens)

    def next_logits(index: int) -> Array:
        nonlocal state
        y, state = one(tf.constant(index), state)
        return y.numpy()

    return generate(
        prefix, num_preds, vocab, next_logits, choose,
        most_probable_tokens=lambda index, count: many(tf.constant(index), state, tf.constant(count)).numpy(),
    )  # fmt: skip
