"""From sentence to sentence: an encoder, a decoder, their loss, training and translation (book section 9.7)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

from d2lrnn.core.book_tools import Timer
from d2lrnn.core.checks import check_losses, check_training
from d2lrnn.core.generation import check_target, translate
from d2lrnn.core.history import Epoch, History
from d2lrnn.core.monitor import Callback, Monitor
from d2lrnn.data import Vocab, read_source
from d2lrnn.data.translation import BOS

from .concise import check_semantics
from .training import grad_clipping, parameters, prepare, scalars, snapshot, warn_of_dropout
from .translation import Decoder, Encoder, EncoderDecoder
from .types import Device, Tensor


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
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.GRU(num_hiddens, num_layers, dropout=dropout)

    def forward(self, X: Tensor, *args: Any) -> tuple[Tensor, list[Tensor]]:
        """Return outputs (num_steps, batch_size, num_hiddens) and the state for indices (batch_size, num_steps).

        The state is a list of one tensor of shape (num_layers, batch_size, num_hiddens).
        """
        X = self.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
        return self.rnn(X, self.rnn.begin_state(batch_size=X.shape[1], ctx=X.ctx))


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
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.GRU(num_hiddens, num_layers, dropout=dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs: Any, *args: Any) -> tuple[list[Tensor], Tensor]:
        """Return the first state: the encoder's, and of its last layer once more, which every step reads."""
        _, state = enc_outputs
        return state, state[0][-1]

    def forward(self, X: Tensor, state: tuple[list[Tensor], Tensor]) -> tuple[Tensor, tuple[list[Tensor], Tensor]]:
        """Return logits (batch_size, num_steps, vocab_size) and the state for indices (batch_size, num_steps)."""
        H, context = state
        X = self.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
        contexts = np.broadcast_to(context, (X.shape[0], *context.shape))  # (num_steps, batch_size, num_hiddens)
        Y, H = self.rnn(np.concatenate((X, contexts), axis=2), H)
        return self.dense(Y).swapaxes(0, 1), (H, context)


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
    return npx.sequence_mask(X, valid_len, True, value=value, axis=1)


class MaskedSoftmaxCELoss(gluon.loss.SoftmaxCELoss):
    """The cross-entropy of sequences in which padding does not count (book section 9.7.3)."""

    def forward(self, pred: Tensor, label: Tensor, valid_len: Tensor) -> Tensor:
        """Return the loss of each sequence: its sum over valid steps, divided by num_steps, shape (batch_size,).

        Args:
            pred: Logits, shape (batch_size, num_steps, vocab_size).
            label: Indices, shape (batch_size, num_steps).
            valid_len: How many steps of each sequence are no padding, shape (batch_size,).
        """
        ones = np.ones((*label.shape, 1), ctx=pred.ctx)
        return super().forward(pred, label, sequence_mask(ones, valid_len))


def _run_epoch(
    net: EncoderDecoder,
    data_iter: Iterable[Any],
    loss: Any,
    trainer: gluon.Trainer,
    bos: int,
    device: Device,
    theta: float,
) -> Epoch:
    timer = Timer()
    losses, norms, sizes = scalars(), scalars(), []
    for minibatch in data_iter:
        num_tokens = max(int(minibatch[3].sum()), 1)
        X, X_valid_len, Y, Y_valid_len = (tensor.as_in_ctx(device) for tensor in minibatch)
        first = np.full_like(Y[:, :1], bos)
        dec_X = np.concatenate((first, Y[:, :-1]), axis=1)  # the words before, as they should be (teacher forcing)
        with autograd.record():
            Y_hat, _ = net(X, dec_X, X_valid_len)
            l = loss(Y_hat, Y, Y_valid_len).sum()
        l.backward()
        norms.append(grad_clipping(net, theta))
        trainer.step(1)
        losses.append(l.detach() * (Y.shape[1] / num_tokens))  # nats per token
        sizes.append(num_tokens)
    check_losses(losses, "data_iter")
    # No minibatch waits for the device; this does
    npx.waitall()
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
        net: The model; it is trained in place, from the weights that it has. (The book draws new ones each time.) Where
            it has none, they are drawn by Xavier's rule.
        data_iter: Minibatches ``(X, X_valid_len, Y, Y_valid_len)``, as :func:`load_data_nmt` yields them.
        lr: Learning rate.
        num_epochs: Passes over ``data_iter``.
        tgt_vocab: The target's vocabulary.
        device: Where to train.
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
    check_semantics()
    check_training(data_iter, False, lr=lr, num_epochs=num_epochs, theta=theta)
    check_target(tgt_vocab)
    warn_of_dropout(net, device)
    prepare(net, device, default_init=init.Xavier())
    # Gluon settles shapes at the first input. One of our own: the loader's would move its random generator on.
    net(np.zeros((1, 1), ctx=device), np.zeros((1, 1), ctx=device), np.ones(1, ctx=device))
    params = parameters(net)
    loss, trainer = MaskedSoftmaxCELoss(), gluon.Trainer(net.collect_params(), "adam", {"learning_rate": float(lr)})
    monitor = Monitor(
        num_epochs, snapshot(params), vocab_size=len(tgt_vocab), history=history, quiet=quiet, callback=callback
    )
    with monitor:
        for number in monitor.epochs:
            epoch = _run_epoch(net, data_iter, loss, trainer, tgt_vocab[BOS], device, theta)
            monitor.check(epoch)
            monitor.add(number, epoch)
    return monitor.report_loss(device)


def predict_seq2seq(
    net: EncoderDecoder,
    src_sentence: str,
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    num_steps: int,
    device: Device,
    save_attention_weights: bool = False,
) -> tuple[str, list[Any]]:
    """Translate a sentence, with the most probable word at each step (book section 9.7.5).

    Args:
        net: The model.
        src_sentence: The sentence, which is read as those of the training were: ``'Go.'`` as ``'go .'``.
        src_vocab: The source's vocabulary.
        tgt_vocab: The target's vocabulary.
        num_steps: Words of the sentence and of its translation, ``<eos>`` among them, as in training.
        device: Where the model is.
        save_attention_weights: Keep what the decoder attends to, an :class:`AttentionDecoder`.

    Returns:
        The translation, and the decoder's ``attention_weights`` after each step, or an empty list.

    Raises:
        InputError: If ``num_steps`` is not positive, or a vocabulary lacks a reserved token.
    """
    check_semantics()
    indices, length = read_source(src_sentence, src_vocab, num_steps)
    attention_weights = list[Any]()
    with autograd.pause(train_mode=False):
        valid_len = np.array([length], ctx=device)
        enc_outputs = net.encoder(np.array([indices], ctx=device), valid_len)
        state = net.decoder.init_state(enc_outputs, valid_len)

        def next_index(index: int) -> int:
            nonlocal state
            Y, state = net.decoder(np.array([[index]], ctx=device), state)
            if save_attention_weights:
                attention_weights.append(net.decoder.attention_weights)
            return int(Y.argmax(axis=2))

        return translate(next_index, tgt_vocab, num_steps), attention_weights
