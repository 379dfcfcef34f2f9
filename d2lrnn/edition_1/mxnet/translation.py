"""Sentence pairs in minibatches, and a model that translates them (edition 1.0, sections 10.5 to 10.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mxnet import autograd, gluon, init, np
from mxnet.gluon import nn

from d2lrnn.edition_1 import base
from d2lrnn.edition_1.texts import SentencePairs
from d2lrnn.mxnet import Encoder
from d2lrnn.mxnet.concise import check_semantics
from d2lrnn.mxnet.types import Device, Tensor

from .recurrent import GRU
from .training import Classifier, DataModule


class MTFraEng(SentencePairs, DataModule):
    """English sentences and their French translations (edition 1.0, section 10.5).

    Where they cannot be had, some short ones that ship stand in, with a warning.

    Args:
        batch_size: Pairs in a minibatch.
        num_steps: Words of a sentence, its ``<eos>`` among them; a short one is filled up with padding, and of a long
            one the end is cut off.
        num_train: Pairs to train on, from the beginning of the text.
        num_val: Pairs that are held out, from those that follow.

    Attributes:
        arrays: Source, decoder input, the source's valid lengths, and labels: indices of shape (pairs, num_steps), the
            lengths (pairs,). The decoder's input is the labels behind ``<bos>``.
        src_vocab: The source's vocabulary.
        tgt_vocab: The target's.
    """

    def __init__(self, batch_size: int, num_steps: int = 9, num_train: int = 512, num_val: int = 128) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.arrays, self.src_vocab, self.tgt_vocab = self._build_arrays(self._download())
        self.check_count(len(self.arrays[0]))

    def tensor(self, a: Any) -> Tensor:
        """Return an array of indices as a tensor."""
        return np.array(a, dtype="int32")


class EncoderDecoder(base.EncoderDecoder, Classifier):
    """An encoder and a decoder that starts from what the encoder found (edition 1.0, section 10.6.3).

    Args:
        encoder: An ``Encoder``.
        decoder: A ``Decoder``.
    """

    def predict_step(
        self, batch: Sequence[Tensor], device: Device | None, num_steps: int, save_attention_weights: bool = False
    ) -> tuple[Tensor, list[Any]]:
        """Translate a minibatch, word by word the most probable one (edition 1.0, section 10.7.6).

        Args:
            batch: Source, decoder input, valid lengths and labels. Of the decoder's input the first word is used.
            device: Where the model is.
            num_steps: Words to predict.
            save_attention_weights: Keep ``self.decoder.attention_weights`` after each.

        Returns:
            Indices (batch_size, num_steps), and the attention weights.
        """
        check_semantics()
        src, tgt, src_valid_len, _ = (a if device is None else a.as_in_ctx(device) for a in batch)
        with autograd.pause(train_mode=False):
            enc_all_outputs = self.encoder(src, src_valid_len)
            dec_state = self.decoder.init_state(enc_all_outputs, src_valid_len)
            outputs, attention_weights = [tgt[:, :1]], []
            for _ in range(num_steps):
                Y, dec_state = self.decoder(outputs[-1], dec_state)  # (batch_size, 1, vocab_size)
                outputs.append(Y.argmax(2).astype("int32"))
                if save_attention_weights:
                    attention_weights.append(self.decoder.attention_weights)
        return np.concatenate(outputs[1:], 1), attention_weights


class Seq2SeqEncoder(Encoder):
    """An encoder of an embedding and gated recurrent units (edition 1.0, section 10.7.2).

    Args:
        vocab_size: Words of the source.
        embed_size: Numbers that stand for a word.
        num_hiddens: Hidden units.
        num_layers: Layers.
        dropout: Share of the outputs between two layers that is dropped in training.
    """

    def __init__(self, vocab_size: int, embed_size: int, num_hiddens: int, num_layers: int, dropout: float = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = GRU(num_hiddens, num_layers, dropout)
        self.initialize(init.Xavier())

    def forward(self, X: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        """Return outputs (num_steps, batch_size, num_hiddens) and state (num_layers, batch_size, num_hiddens).

        Args:
            X: Indices (batch_size, num_steps).
            *args: Valid lengths, which are not used.
        """
        embs = self.embedding(X.T)  # (num_steps, batch_size, embed_size)
        return self.rnn(embs)


class Seq2Seq(EncoderDecoder):
    """An encoder and a decoder that are trained to translate (edition 1.0, section 10.7.4).

    Args:
        encoder: An ``Encoder``.
        decoder: A ``Decoder``.
        tgt_pad: The index of padding among the labels, which has no loss.
        lr: Learning rate.
    """

    tgt_pad: int

    def __init__(self, encoder: Any, decoder: Any, tgt_pad: int, lr: float) -> None:
        super().__init__(encoder, decoder)
        self.save_hyperparameters()

    validation_step = base.Module.validation_step  # a translation has no accuracy

    def configure_optimizers(self) -> Any:
        """Return what updates the parameters: Adam at the learning rate ``self.lr``."""
        return gluon.Trainer(self.parameters(), "adam", {"learning_rate": self.lr})

    def loss(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """Return the cross-entropy of outputs and labels in nats; padding has none (edition 1.0, section 10.7.5).

        Args:
            Y_hat: Outputs (batch_size, num_steps, vocab_size).
            Y: Labels (batch_size, num_steps).
            averaged: Whether to return the mean of the words that are no padding.
        """
        l = super().loss(Y_hat, Y, averaged=False)
        mask = (Y.reshape(-1) != self.tgt_pad).astype("float32")
        return (l * mask).sum() / mask.sum() if averaged else l * mask
