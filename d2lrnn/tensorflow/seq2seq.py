"""From sentence to sentence: an encoder, a decoder, their loss, training and translation (book section 9.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf

from d2lrnn.core.book_tools import Timer
from d2lrnn.core.checks import check_losses, check_training
from d2lrnn.core.generation import check_target, translate
from d2lrnn.core.history import Epoch, History
from d2lrnn.core.monitor import Callback, Monitor
from d2lrnn.data import Vocab, read_source
from d2lrnn.data.translation import BOS

from .device import name_in_book
from .graphs import compiled
from .training import clip, parameters, scalars, snapshot
from .translation import Decoder, Encoder, EncoderDecoder
from .types import Device, Tensor


def _gru_layers(num_hiddens: int, num_layers: int, dropout: float) -> list[Any]:
    """Return layers of gated recurrent units, of which all but the first drop out of their inputs."""
    options = {"return_sequences": True, "return_state": True}
    return [tf.keras.layers.GRU(num_hiddens, dropout=dropout if i else 0, **options) for i in range(num_layers)]


def _run_layers(layers: list[Any], X: Tensor, state: Sequence[Tensor | None], **kwargs: Any) -> tuple[Tensor, Any]:
    """Return the last layer's outputs and the state of all, for batch-major inputs."""
    new_state = []
    for layer, H in zip(layers, state, strict=True):
        X, H = layer(X, initial_state=H, **kwargs)
        new_state.append(H)
    return X, new_state


class Seq2SeqEncoder(Encoder):
    """An encoder of an embedding and layers of gated recurrent units (book section 9.7.1).

    Args:
        vocab_size: Size of the source's vocabulary.
        embed_size: Size of a word's vector.
        num_hiddens: Hidden units in each layer.
        num_layers: Layers, each reading the one below.
        dropout: Share of a layer's outputs that the next one does not get in training.
    """

    def __init__(
        self, vocab_size: int, embed_size: int, num_hiddens: int, num_layers: int, dropout: float = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.embedding = tf.keras.layers.Embedding(vocab_size, embed_size)
        self.rnn = _gru_layers(num_hiddens, num_layers, dropout)

    def call(self, X: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, list[Tensor]]:
        """Return outputs (batch_size, num_steps, num_hiddens) and the state for indices (batch_size, num_steps).

        The state is a list of a tensor (batch_size, num_hiddens) for each layer.
        """
        X = self.embedding(X)  # (batch_size, num_steps, embed_size)
        return _run_layers(self.rnn, X, [None] * len(self.rnn), **kwargs)


class Seq2SeqDecoder(Decoder):
    """A decoder that reads the encoder's last state beside each word (book section 9.7.2).

    Args:
        vocab_size: Size of the target's vocabulary.
        embed_size: Size of a word's vector.
        num_hiddens: Hidden units in each layer, as many as the encoder has.
        num_layers: Layers, as many as the encoder has.
        dropout: Share of a layer's outputs that the next one does not get in training.
    """

    def __init__(
        self, vocab_size: int, embed_size: int, num_hiddens: int, num_layers: int, dropout: float = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.embedding = tf.keras.layers.Embedding(vocab_size, embed_size)
        self.rnn = _gru_layers(num_hiddens, num_layers, dropout)
        self.dense = tf.keras.layers.Dense(vocab_size)

    def init_state(self, enc_outputs: Any, *args: Any) -> tuple[list[Tensor], Tensor]:
        """Return the first state: the encoder's, and of its last layer once more, which every step reads."""
        _, state = enc_outputs
        return state, state[-1]

    def call(
        self, X: Tensor, state: tuple[list[Tensor], Tensor], **kwargs: Any
    ) -> tuple[Tensor, tuple[list[Tensor], Tensor]]:
        """Return logits (batch_size, num_steps, vocab_size) and the state for indices (batch_size, num_steps)."""
        H, context = state
        X = self.embedding(X)  # (batch_size, num_steps, embed_size)
        contexts = tf.repeat(context[:, None], X.shape[1], axis=1)  # (batch_size, num_steps, num_hiddens)
        Y, H = _run_layers(self.rnn, tf.concat((X, contexts), axis=2), H, **kwargs)
        return self.dense(Y), (H, context)


class AttentionDecoder(Decoder):
    """The base of decoders with attention (book section 10.4). Your own defines :attr:`attention_weights` too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @property
    def attention_weights(self) -> Any:
        """What the last call attended to."""
        raise NotImplementedError(f"define the property attention_weights in {type(self).__name__}")


def sequence_mask(X: Tensor, valid_len: Tensor, value: float = 0) -> Tensor:
    """Return sequences with another value in what is padding (book section 9.7.3).

    Args:
        X: A tensor (batch_size, num_steps, ...). It stays as it is.
        valid_len: How many steps of each sequence are no padding, shape (batch_size,).
        value: What the others get.
    """
    mask = tf.range(X.shape[1])[None, :] < tf.cast(valid_len, tf.int32)[:, None]  # (batch_size, num_steps)
    return tf.where(tf.reshape(mask, (*mask.shape, *[1] * (len(X.shape) - 2))), X, tf.cast(value, X.dtype))


class MaskedSoftmaxCELoss(tf.keras.losses.Loss):
    """The cross-entropy of sequences in which padding does not count (book section 9.7.3).

    Args:
        valid_len: How many steps of each sequence are no padding, shape (batch_size,).
    """

    def __init__(self, valid_len: Tensor) -> None:
        super().__init__(reduction="none")
        self.valid_len = valid_len

    def call(self, label: Tensor, pred: Tensor) -> Tensor:
        """Return the loss of each sequence: its sum over valid steps, divided by num_steps, shape (batch_size,).

        Args:
            label: Indices, shape (batch_size, num_steps).
            pred: Logits, shape (batch_size, num_steps, vocab_size).
        """
        # Keras 3 has made the indices floats
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(label, tf.int32), pred)
        return tf.reduce_mean(sequence_mask(losses, self.valid_len), axis=1)


def _training_step(net: EncoderDecoder, optimizer: Any, bos: int) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the function that trains on one minibatch, compiled once for a net and optimizer."""

    def step(X: Tensor, X_valid_len: Tensor, Y: Tensor, Y_valid_len: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        first = tf.fill((Y.shape[0], 1), tf.cast(bos, Y.dtype))
        dec_X = tf.concat((first, Y[:, :-1]), axis=1)  # the words before, as they should be (teacher forcing)
        with tf.GradientTape() as tape:
            Y_hat, _ = net(X, dec_X, X_valid_len, training=True)
            l = tf.reduce_sum(MaskedSoftmaxCELoss(Y_valid_len)(Y, Y_hat))
        params = parameters(net)
        grads, norm = clip(tape.gradient(l, params), theta)
        optimizer.apply_gradients(
            [(grad, param) for grad, param in zip(grads, params, strict=True) if grad is not None]
        )
        return l, norm

    return compiled(net, "step from sentence to sentence", step, [optimizer, bos])


def _run_epoch(net: EncoderDecoder, data_iter: Iterable[Any], optimizer: Any, bos: int, theta: float) -> Epoch:
    timer = Timer()
    losses, norms, sizes = scalars(), scalars(), []
    step = _training_step(net, optimizer, bos)
    theta = tf.constant(theta, tf.float32)  # a number would be a part of the graph
    for X, X_valid_len, Y, Y_valid_len in data_iter:
        l, norm = step(X, X_valid_len, Y, Y_valid_len, theta)
        num_tokens = max(int(tf.reduce_sum(Y_valid_len)), 1)
        norms.append(norm)
        losses.append(l * (Y.shape[1] / num_tokens))  # nats per token
        sizes.append(num_tokens)
    check_losses(losses, "data_iter")
    # No minibatch waits for the device; this does
    loss_values, norm_values = losses.numpy(), norms.numpy()
    return Epoch(loss_values, sizes, timer.stop(), norm_values)


def train_seq2seq(
    net: EncoderDecoder,
    data_iter: Iterable[Any],
    lr: float,
    num_epochs: int,
    tgt_vocab: Vocab,
    device: Device,
    *,
    theta: float = 1.0,
    quiet: bool = False,
    callback: Callback | None = None,
    history: History | None = None,
) -> History:
    """Train an encoder and a decoder with Adam, and show how it goes (book section 9.7.4).

    Args:
        net: The model; it is trained in place, from the weights that it has. (The book draws new ones each time.)
        data_iter: Minibatches ``(X, X_valid_len, Y, Y_valid_len)``, as :func:`load_data_nmt` yields them.
        lr: Learning rate.
        num_epochs: Passes over ``data_iter``.
        tgt_vocab: The target's vocabulary.
        device: Where to train, a context manager.
        theta: Radius of gradient clipping, of the sum over the minibatch of what :class:`MaskedSoftmaxCELoss` returns.
        quiet: Show and print nothing.
        callback: Called after each epoch with its number and its :class:`~d2lrnn.core.history.Epoch`; training ends if
            it returns True.
        history: What an earlier training of this net returned. Epochs are numbered from where it ends.

    Returns:
        The :class:`~d2lrnn.core.history.History`, with the earlier one at its beginning. Its perplexity is that of the
        target's words, and the loss that is printed is in nats per word. (The book divides once more by num_steps.)

    Raises:
        InputError: If a number cannot be used, ``tgt_vocab`` lacks a reserved token, or there is no minibatch.
        DivergenceError: As ``train_ch8``; the net then has the weights from before it did.
    """
    check_training(data_iter, False, lr=lr, num_epochs=num_epochs, theta=theta)
    check_target(tgt_vocab)
    with device:
        # Keras makes weights at the first input. One of our own: the loader's would move its random generator on.
        one = tf.zeros((1, 1), tf.int32)
        net(one, one, tf.ones(1, tf.int32), training=False)
        params = parameters(net)
        optimizer = tf.keras.optimizers.Adam(float(lr))
        monitor = Monitor(
            num_epochs, snapshot(params), vocab_size=len(tgt_vocab), history=history, quiet=quiet, callback=callback
        )
        with monitor:
            for number in monitor.epochs:
                epoch = _run_epoch(net, data_iter, optimizer, tgt_vocab[BOS], theta)
                monitor.check(epoch)
                monitor.add(number, epoch)
    return monitor.report_loss(name_in_book(device))


def predict_seq2seq(
    net: EncoderDecoder,
    src_sentence: str,
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    num_steps: int,
    save_attention_weights: bool = False,
) -> tuple[str, list[Any]]:
    """Translate a sentence, with the most probable word at each step (book section 9.7.5).

    Args:
        net: The model.
        src_sentence: The sentence, which is read as those of the training were: ``'Go.'`` as ``'go .'``.
        src_vocab: The source's vocabulary.
        tgt_vocab: The target's vocabulary.
        num_steps: Words of the sentence and of its translation, ``<eos>`` among them, as in training.
        save_attention_weights: Keep what the decoder attends to, an :class:`AttentionDecoder`.

    Returns:
        The translation, and the decoder's ``attention_weights`` after each step, or an empty list.

    Raises:
        InputError: If ``num_steps`` is not positive, or a vocabulary lacks a reserved token.
    """
    indices, length = read_source(src_sentence, src_vocab, num_steps)
    attention_weights = list[Any]()
    valid_len = tf.constant([length])
    enc_outputs = net.encoder(tf.constant([indices]), valid_len, training=False)
    state = net.decoder.init_state(enc_outputs, valid_len)

    def next_index(index: int) -> int:
        nonlocal state
        Y, state = net.decoder(tf.constant([[index]]), state, training=False)
        if save_attention_weights:
            attention_weights.append(net.decoder.attention_weights)
        return int(tf.argmax(Y, axis=2)[0, 0])

    return translate(next_index, tgt_vocab, num_steps), attention_weights
