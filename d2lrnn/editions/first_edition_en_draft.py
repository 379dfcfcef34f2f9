"""The draft after the English first edition: The Time Machine by characters, with a ``Vocab``.

It is the lesson on Gluon's layers as the book's site showed it from April to June 2019, between versions 0.6 and 0.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from d2lrnn.core.history import History
from d2lrnn.data.corpora import read_text
from d2lrnn.data.sampling import Seed
from d2lrnn.data.text import Preparation, Vocab
from d2lrnn.editions.first_editions import NUM_CHARS, Report, ShiftedEdition, radius
from d2lrnn.system.arguments import require_positive

# The draft fixes what the editions pass in: how often it prints, and how much text.
LINE_EVERY, TEXT_EVERY, PRED_LEN = 50, 100, 50


class _DraftText(Preparation):
    """How the draft reads a text: in lower case, and every run of white space is one space."""

    def clean_piece(self, piece: str) -> str:
        return re.sub(r"\s+", " ", piece.lower())


_DRAFT = _DraftText(clean="none")


def load_data_time_machine(num_examples: int = NUM_CHARS) -> tuple[list[int], Vocab]:
    """Load The Time Machine as the draft does, by characters, in lower case and with its punctuation.

    Every run of white space, line breaks too, is one space.

    Args:
        num_examples: Characters to use from the beginning of the text.

    Returns:
        The list of their indices, and their :class:`~d2lrnn.data.text.Vocab`. (Equally frequent characters stand in
        the order of their first occurrence, where the draft sorted them.)

    Raises:
        InputError: If num_examples is not positive.
    """
    require_positive(num_examples=num_examples)
    text = _DRAFT.clean_piece(read_text("time-machine").content).strip()[:num_examples]
    vocab = Vocab(text)
    vocab.preparation = _DRAFT
    return vocab.encode(text).tolist(), vocab


class EnglishDraft(ShiftedEdition):
    """The functions of ``d2lrnn.<backend>.first_edition_en_draft``.

    Args:
        backend: What computes.
    """

    def grad_clipping_gluon(self, model: Any, theta: Any, ctx: Any) -> Any:
        """Clip a model's gradients, in place, so that their norm as one vector is at most theta.

        Args:
            model: An ``RNNModel``; parameters without a gradient are skipped.
            theta: The largest norm; None for no clipping.
            ctx: Not used: the gradients know where they are.

        Returns:
            The norm before clipping, a scalar tensor.
        """
        return self.backend.clip_gradients(model, radius(theta))

    def predict_rnn_gluon(self, prefix: str, num_chars: int, model: Any, vocab: Vocab, ctx: Any) -> str:
        """Continue a prefix, always by the most probable character.

        Args:
            prefix: A string; it may be empty.
            num_chars: Characters to add.
            model: An ``RNNModel``.
            vocab: Its vocabulary.
            ctx: Where the model is.

        Returns:
            The prefix and its continuation; a character that the vocabulary lacks reads ``<unk>``.

        Raises:
            InputError: If num_chars is negative.
        """
        return self.backend.predict_ch8(prefix, num_chars, model, vocab, ctx)

    def train_and_predict_rnn_gluon(
        self,
        model: Any,
        num_hiddens: int,
        corpus_indices: Any,
        vocab: Vocab,
        ctx: Any,
        num_epochs: int,
        num_steps: int,
        lr: Any,
        clipping_theta: Any,
        batch_size: int,
        prefixes: Sequence[str],
        *,
        seed: Seed = None,
    ) -> History:
        """Train a model from new weights on consecutive minibatches, and print how it goes.

        Every 50 epochs a line like ``epoch 50, perplexity 8.694924, time 2.85 sec`` is printed, whose time is that of
        all 50, and every 100 the continuation of each prefix by 50 characters behind a dash.

        Args:
            model: An ``RNNModel``. It is trained in place, and the weights that it has are lost: it begins anew from
                Normal(0.01), biases from zero, as in the draft.
            num_hiddens: Hidden units; not used, since the model knows them.
            corpus_indices: One sequence of indices.
            vocab: Their vocabulary.
            ctx: Where to train, such as ``try_gpu()``: a device; in TensorFlow its name or a strategy of one device
                will do. The model is moved there.
            num_epochs: Passes over the corpus.
            num_steps: Characters in a subsequence.
            lr: Learning rate of stochastic gradient descent.
            clipping_theta: Radius of gradient clipping; None for no clipping.
            batch_size: Subsequences in a minibatch.
            prefixes: What to continue.
            seed: Of the first weights and of the offsets: a number, a ``numpy.random.Generator``, or None.

        Returns:
            The :class:`~d2lrnn.core.history.History`, with the perplexity of each epoch.

        Raises:
            InputError: If an argument cannot be used; nothing has been trained then.
            DivergenceError: As ``train_ch8``.
        """
        rng = np.random.default_rng(seed)

        def continuation(prefix: str) -> str:
            return self.predict_rnn_gluon(prefix, PRED_LEN, model, vocab, ctx)

        report = Report(LINE_EVERY, TEXT_EVERY, prefixes, continuation, total_time=True)
        minibatches = self._epochs(corpus_indices, batch_size, num_steps, ctx, rng)
        return self._train_anew(model, minibatches, vocab, ctx, num_epochs, lr, clipping_theta, report, rng)
