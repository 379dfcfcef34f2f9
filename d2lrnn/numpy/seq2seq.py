"""From sentence to sentence: an encoder, a decoder, their loss, training and translation (book section 9.7)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from d2lrnn.core.book_tools import Timer
from d2lrnn.core.checks import check_losses, check_training
from d2lrnn.core.generation import check_target, translate
from d2lrnn.core.history import Epoch, History
from d2lrnn.core.monitor import Callback, Monitor
from d2lrnn.data import Vocab, read_source
from d2lrnn.data.translation import BOS
from d2lrnn.errors import InputError

from . import nn
from .training import grad_clipping, snapshot
from .translation import Decoder, Encoder, EncoderDecoder
from .types import Device, Params, Tensor


def _check_dropout(dropout: float) -> None:
    if dropout:
        raise InputError(f"the NumPy backend has no dropout, and dropout={dropout!r} was given: leave it out")


class Seq2SeqEncoder(Encoder):
    """An encoder of an embedding and layers of gated recurrent units (book section 9.7.1).

    Args:
        vocab_size: Size of the source's vocabulary.
        embed_size: Size of a word's vector.
        num_hiddens: Hidden units in each layer.
        num_layers: Layers, each reading the one below.
        dropout: 0, for no layer here drops anything out.
    """

    def __init__(
        self, vocab_size: int, embed_size: int, num_hiddens: int, num_layers: int, dropout: float = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        _check_dropout(dropout)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = nn.GRU(embed_size, num_hiddens, num_layers)

    def forward(self, X: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        """Return outputs (num_steps, batch_size, num_hiddens) and the state for indices (batch_size, num_steps).

        The state has shape (num_layers, batch_size, num_hiddens).
        """
        X = self.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
        outputs, state = self.rnn(X)
        self._dY = np.zeros_like(outputs)
        return outputs, state

    @property
    def params(self) -> Params:  # type: ignore[override]
        """The parameters, as a list of tensors."""
        return [*self.embedding.params.values(), *self.rnn.params.values()]

    @property
    def grads(self) -> list[Tensor | None]:  # type: ignore[override]
        """Their gradients, once :meth:`backward` has been called, as a list of tensors."""
        return [layer.grads.get(name) for layer in (self.embedding, self.rnn) for name in layer.params]

    def backward(self, d_state: Tensor) -> None:
        """Find the gradients of the parameters, from that of the state."""
        self.embedding.backward(self.rnn.backward(self._dY, d_state).swapaxes(0, 1))


class Seq2SeqDecoder(Decoder):
    """A decoder that reads the encoder's last state beside each word (book section 9.7.2).

    Args:
        vocab_size: Size of the target's vocabulary.
        embed_size: Size of a word's vector.
        num_hiddens: Hidden units in each layer, as many as the encoder has.
        num_layers: Layers, as many as the encoder has.
        dropout: 0, for no layer here drops anything out.
    """

    def __init__(
        self, vocab_size: int, embed_size: int, num_hiddens: int, num_layers: int, dropout: float = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        _check_dropout(dropout)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = nn.GRU(embed_size + num_hiddens, num_hiddens, num_layers)
        self.dense = nn.Dense(num_hiddens, vocab_size)

    def init_state(self, enc_outputs: Any, *args: Any) -> tuple[Tensor, Tensor]:
        """Return the first state: the encoder's, and of its last layer once more, which every step reads."""
        _, state = enc_outputs
        return state, state[-1]

    def forward(self, X: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return logits (batch_size, num_steps, vocab_size) and the state for indices (batch_size, num_steps)."""
        H, context = state
        X = self.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
        contexts = np.broadcast_to(context, (X.shape[0], *context.shape))  # (num_steps, batch_size, num_hiddens)
        Y, H = self.rnn(np.concatenate((X, contexts), axis=2), H)
        logits = self.dense(Y.reshape(-1, Y.shape[2])).reshape(*Y.shape[:2], -1)
        return logits.swapaxes(0, 1), (H, context)

    @property
    def params(self) -> Params:  # type: ignore[override]
        """The parameters, as a list of tensors."""
        return [param for layer in (self.embedding, self.rnn, self.dense) for param in layer.params.values()]

    @property
    def grads(self) -> list[Tensor | None]:  # type: ignore[override]
        """Their gradients, once :meth:`backward` has been called, as a list of tensors."""
        return [layer.grads.get(name) for layer in (self.embedding, self.rnn, self.dense) for name in layer.params]

    def backward(self, d_outputs: Tensor) -> Tensor:
        """Find the gradients of the parameters, from that of the logits, and return that of the encoder's state."""
        d_logits = d_outputs.swapaxes(0, 1)  # (num_steps, batch_size, vocab_size)
        dY = self.dense.backward(d_logits.reshape(-1, d_logits.shape[2])).reshape(*d_logits.shape[:2], -1)
        dX, d_contexts = np.split(self.rnn.backward(dY), [self.rnn.input_size - self.rnn.hidden_size], axis=2)
        self.embedding.backward(dX.swapaxes(0, 1))
        d_state = np.array(self.rnn.d_first_state)
        d_state[-1] += d_contexts.sum(axis=0)  # which is the last layer's state, once more
        return d_state


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
    mask = np.arange(X.shape[1])[None, :] < np.asarray(valid_len)[:, None]  # (batch_size, num_steps)
    return np.where(mask.reshape(*mask.shape, *[1] * (X.ndim - 2)), X, X.dtype.type(value))


class MaskedSoftmaxCELoss:
    """The cross-entropy of sequences in which padding does not count (book section 9.7.3), and its gradient."""

    def __init__(self) -> None:
        self._d_pred: Tensor | None = None

    def __call__(self, pred: Tensor, label: Tensor, valid_len: Tensor) -> Tensor:
        """Return the loss of each sequence: its sum over valid steps, divided by num_steps, shape (batch_size,).

        Args:
            pred: Logits, shape (batch_size, num_steps, vocab_size).
            label: Indices, shape (batch_size, num_steps).
            valid_len: How many steps of each sequence are no padding, shape (batch_size,).
        """
        rows = pred.reshape(-1, pred.shape[2])
        log_probs = (rows - nn.log_sum_exp(rows)).reshape(pred.shape)
        labels = nn.one_hot(label, pred.shape[2], pred.dtype)  # (batch_size, num_steps, vocab_size)
        self._d_pred = sequence_mask(np.exp(log_probs) - labels, valid_len) / pred.shape[1]
        return sequence_mask(-(log_probs * labels).sum(axis=2), valid_len).mean(axis=1)

    def backward(self) -> Tensor:
        """Return the gradient of the logits of the last call, for the sum of the sequences' losses."""
        if self._d_pred is None:
            raise InputError("the loss has not been called, so there is nothing to go back through")
        return self._d_pred


def _run_epoch(
    net: Any, data_iter: Iterable[Any], loss: MaskedSoftmaxCELoss, optimizer: nn.Adam, bos: int, theta: float
) -> Epoch:
    timer = Timer()
    losses, norms, sizes = [], [], []
    for X, X_valid_len, Y, Y_valid_len in data_iter:
        num_tokens = max(int(Y_valid_len.sum()), 1)
        first = np.full_like(Y[:, :1], bos)
        dec_X = np.concatenate((first, Y[:, :-1]), axis=1)  # the words before, as they should be (teacher forcing)
        Y_hat, _ = net(X, dec_X, X_valid_len)
        l = loss(Y_hat, Y, Y_valid_len).sum()
        net.backward(loss.backward())
        grads = net.grads
        norms.append(grad_clipping(net, theta))
        optimizer.step(grads)
        losses.append(l * (Y.shape[1] / num_tokens))  # nats per token
        sizes.append(num_tokens)
    check_losses(losses, "data_iter")
    return Epoch(np.array(losses), sizes, timer.stop(), np.array(norms))


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
    check_training(data_iter, False, lr=lr, num_epochs=num_epochs, theta=theta)
    check_target(tgt_vocab)
    params = net.params
    loss, optimizer = MaskedSoftmaxCELoss(), nn.Adam(params, float(lr))
    monitor = Monitor(
        num_epochs, snapshot(params), vocab_size=len(tgt_vocab), history=history, quiet=quiet, callback=callback
    )
    with monitor, np.errstate(over="ignore", invalid="ignore"):  # what diverges is told once, and in words
        for number in monitor.epochs:
            epoch = _run_epoch(net, data_iter, loss, optimizer, tgt_vocab[BOS], theta)
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
    indices, length = read_source(src_sentence, src_vocab, num_steps)
    attention_weights = list[Any]()
    valid_len = np.array([length])
    enc_outputs = net.encoder(np.array([indices]), valid_len)
    decoder: Any = net.decoder
    state = decoder.init_state(enc_outputs, valid_len)

    def next_index(index: int) -> int:
        nonlocal state
        Y, state = decoder(np.array([[index]]), state)
        if save_attention_weights:
            attention_weights.append(decoder.attention_weights)
        return int(Y.argmax(axis=2)[0, 0])

    return translate(next_index, tgt_vocab, num_steps), attention_weights
