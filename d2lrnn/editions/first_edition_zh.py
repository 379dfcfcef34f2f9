"""The Chinese first edition: song lyrics, by characters (its sections 6.3 to 6.5)."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from d2lrnn.core.generation import read_prefix
from d2lrnn.core.history import History
from d2lrnn.data.corpora import read_text
from d2lrnn.data.sampling import Seed
from d2lrnn.data.text import Preparation, Vocab
from d2lrnn.editions.first_editions import NUM_CHARS, FirstEdition, Minibatches, Report, iter_consecutive
from d2lrnn.errors import InputError
from d2lrnn.system.arguments import require_positive


class _ChineseText(Preparation):
    """How the Chinese edition reads a text: each line break is a space, and all else as it is."""

    def clean_piece(self, piece: str) -> str:
        return piece.replace("\n", " ").replace("\r", " ")


_CHINESE = _ChineseText(clean="none")


def load_data_jay_lyrics(source: str | Path | None = None) -> tuple[list[int], dict[str, int], list[str], int]:
    """Load the text of the Chinese edition, by characters (its section 6.3).

    It is the beginning of the text, each line break a space, otherwise unchanged: punctuation and capital letters
    stay. The song lyrics are under copyright and do not ship. They are looked for in the folder that D2LRNN_DATA
    names, zipped or not, then in the cache, then downloaded; where they cannot be had the bundled Chinese verses
    stand in, with a warning.

    Args:
        source: The path of a ``.txt`` or ``.zip`` file of yours, or a corpus by name, instead.

    Returns:
        The list of the indices of the first 10,000 characters (fewer where the text has fewer); the index of each
        character, a dict without ``<unk>``; the character of each index, a list in the order of first occurrence (the
        edition's order was another one in each process); and how many different characters there are.

    Raises:
        InputError: If the file cannot be read, is not UTF-8, or is a zip archive that is damaged or without a text.
    """
    text = read_text("lyrics" if source is None else source).content
    chars = _CHINESE.clean_piece(text)[:NUM_CHARS]
    idx_to_char = list(dict.fromkeys(chars))
    char_to_idx = {char: idx for idx, char in enumerate(idx_to_char)}
    return [char_to_idx[char] for char in chars], char_to_idx, idx_to_char, len(idx_to_char)


def characters(idx_to_char: Sequence[str], char_to_idx: dict[str, int], vocab_size: int) -> Vocab:
    """Return what the Chinese edition passes as two mappings and a size, as the vocabulary that predictions take.

    Raises:
        InputError: If the three do not belong together.
    """
    if len(idx_to_char) != vocab_size or len(char_to_idx) != vocab_size:
        raise InputError(
            f"vocab_size is {vocab_size}, but idx_to_char has {len(idx_to_char)} characters and char_to_idx has "
            f"{len(char_to_idx)}: pass the three that load_data_jay_lyrics returned"
        )
    vocab = Vocab()
    vocab.preparation = _CHINESE
    vocab.idx_to_token = [*idx_to_char]
    vocab.token_to_idx = {char: idx for char, idx in char_to_idx.items()}  # noqa: C416 (its keys are of a wider type)
    return vocab


def check_prefixes(prefixes: Iterable[str], char_to_idx: Container[Any]) -> None:
    """Check that every character of the prefixes, read as the text was, has an index.

    Raises:
        InputError: If one has none, as may be with another text than the edition's. That vocabulary has no
            ``<unk>`` to stand for it.
    """
    vocab = SimpleNamespace(preparation=_CHINESE, token_to_idx=char_to_idx)
    for prefix in prefixes:
        chars, _ = read_prefix(prefix, vocab)
        if lacking := "".join(dict.fromkeys(char for char in chars if char not in char_to_idx)):
            raise InputError(
                f"prefix {prefix!r} has characters that the text lacks: {lacking!r}; "
                "choose prefixes from the text's own characters (char_to_idx)"
            )


def predict(prefix: str, vocab: Vocab, continue_: Callable[[str], str]) -> str:
    """Continue a prefix by a vocabulary without ``<unk>``; an empty one as after a space, or after the first character.

    Args:
        prefix: Any characters of the vocabulary.
        vocab: What :func:`characters` returned.
        continue_: Returns a prefix and its continuation.

    Raises:
        InputError: If the vocabulary lacks a character.
    """
    check_prefixes([prefix], vocab.token_to_idx)
    if prefix:
        return continue_(prefix)
    return continue_(" " if " " in vocab.token_to_idx else str(vocab.idx_to_token[0]))[1:]


class ChineseEdition(FirstEdition):
    """The functions of ``d2lrnn.<backend>.first_edition_zh``.

    Args:
        backend: What computes.
    """

    shift = False

    def data_iter_consecutive(
        self, corpus_indices: Any, batch_size: int, num_steps: int, ctx: Any = None
    ) -> Minibatches:
        """Cut the corpus into batch_size rows and yield them num_steps columns at a time; nothing of it is random.

        Args:
            corpus_indices: One sequence of indices.
            batch_size: Rows.
            num_steps: Columns in a minibatch.
            ctx: Where to put the tensors; by default the framework's own choice.

        Returns:
            An iterator over tensors ``(X, Y)`` of whole numbers, shape (batch_size, num_steps) each; ``Y`` is ``X``
            moved by one character.

        Raises:
            InputError: If the corpus is too short for one minibatch, or a size is not positive.
        """
        return self._tensors(iter_consecutive(corpus_indices, batch_size, num_steps, shift=self.shift), ctx)

    def predict_rnn_gluon(
        self,
        prefix: str,
        num_chars: int,
        model: Any,
        vocab_size: int,
        ctx: Any,
        idx_to_char: Sequence[str],
        char_to_idx: dict[str, int],
    ) -> str:
        """Continue a prefix, always by the most probable character.

        Args:
            prefix: A string; it may be empty.
            num_chars: Characters to add.
            model: An ``RNNModel``.
            vocab_size: Size of the vocabulary.
            ctx: Where the model is.
            idx_to_char: The character of each index.
            char_to_idx: The index of each character.

        Returns:
            The prefix and its continuation.

        Raises:
            InputError: If the vocabulary lacks a character of the prefix, which it has no ``<unk>`` for; if its three
                parts do not belong together; or if num_chars is negative.
        """
        vocab = characters(idx_to_char, char_to_idx, vocab_size)
        return predict(prefix, vocab, lambda prefix: self.backend.predict_ch8(prefix, num_chars, model, vocab, ctx))

    def train_and_predict_rnn_gluon(
        self,
        model: Any,
        num_hiddens: int,
        vocab_size: int,
        ctx: Any,
        corpus_indices: Any,
        idx_to_char: Sequence[str],
        char_to_idx: dict[str, int],
        num_epochs: int,
        num_steps: int,
        lr: Any,
        clipping_theta: Any,
        batch_size: int,
        pred_period: int,
        pred_len: int,
        prefixes: Sequence[str],
        *,
        seed: Seed = None,
    ) -> History:
        """Train a model from new weights on consecutive minibatches, and print how it goes.

        Every pred_period epochs a line like ``epoch 50, perplexity 79.496973, time 0.17 sec`` is printed, whose time is
        that of its epoch, and then the continuation of each prefix behind a dash.

        Args:
            model: An ``RNNModel``. It is trained in place, and the weights that it has are lost: it begins anew from
                Normal(0.01), biases from zero, as in the edition.
            num_hiddens: Hidden units; not used, since the model knows them.
            vocab_size: Size of the vocabulary.
            ctx: Where to train, such as ``try_gpu()``: a device; in TensorFlow its name or a strategy of one device
                will do. The model is moved there.
            corpus_indices: One sequence of indices.
            idx_to_char: The character of each index.
            char_to_idx: The index of each character.
            num_epochs: Passes over the corpus.
            num_steps: Characters in a subsequence.
            lr: Learning rate of stochastic gradient descent.
            clipping_theta: Radius of gradient clipping; None for no clipping.
            batch_size: Subsequences in a minibatch.
            pred_period: Epochs from one print to the next.
            pred_len: Characters to add to each prefix.
            prefixes: What to continue.
            seed: Of the first weights: a number, a ``numpy.random.Generator``, or None.

        Returns:
            The :class:`~d2lrnn.core.history.History`, with the perplexity of each epoch.

        Raises:
            InputError: If an argument cannot be used, or the vocabulary lacks a character of a prefix; nothing has been
                trained then.
            DivergenceError: As ``train_ch8``.
        """
        require_positive(num_epochs=num_epochs, pred_period=pred_period, pred_len=pred_len)
        vocab = characters(idx_to_char, char_to_idx, vocab_size)
        check_prefixes(prefixes, char_to_idx)

        def continuation(prefix: str) -> str:
            return self.predict_rnn_gluon(prefix, pred_len, model, vocab_size, ctx, idx_to_char, char_to_idx)

        def data_iter() -> Minibatches:
            return self.data_iter_consecutive(corpus_indices, batch_size, num_steps, ctx)

        report, rng = Report(pred_period, pred_period, prefixes, continuation), np.random.default_rng(seed)
        return self._train(model, data_iter, vocab, ctx, num_epochs, lr, clipping_theta, report, rng)
