"""The editions that pass a vocabulary as two tables and a size: the Chinese first edition, and the English one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from d2lrnn.core.checks import check_training
from d2lrnn.core.generation import read_prefix
from d2lrnn.core.history import History
from d2lrnn.data.sampling import Seed
from d2lrnn.data.text import Preparation, Vocab
from d2lrnn.editions.first_editions import NUM_CHARS, FirstEdition, Report, radius
from d2lrnn.errors import InputError
from d2lrnn.system.arguments import require_positive

Characters: TypeAlias = tuple[list[int], dict[str, int], list[str], int]


def in_tables(text: str) -> Characters:
    """Return the beginning of a text, 10,000 characters, as indices, its two tables and its number of characters.

    Args:
        text: The text, prepared as the edition does it.

    Returns:
        The list of indices, the index of each character, the character of each index in the order of first occurrence,
        and how many different characters there are.
    """
    chars = text[:NUM_CHARS]
    idx_to_char = list(dict.fromkeys(chars))
    char_to_idx = {char: idx for idx, char in enumerate(idx_to_char)}
    return [char_to_idx[char] for char in chars], char_to_idx, idx_to_char, len(idx_to_char)


def characters(
    idx_to_char: Sequence[str], char_to_idx: dict[str, int], vocab_size: int, preparation: Preparation
) -> Vocab:
    """Return what an edition passes as two tables and a size, as the vocabulary that predictions take.

    Args:
        idx_to_char: The character of each index.
        char_to_idx: The index of each character.
        vocab_size: How many there are.
        preparation: How the edition reads a text.

    Raises:
        InputError: If the three do not belong together.
    """
    if len(idx_to_char) != vocab_size or len(char_to_idx) != vocab_size:
        raise InputError(
            f"vocab_size is {vocab_size}, but idx_to_char has {len(idx_to_char)} characters and char_to_idx has "
            f"{len(char_to_idx)}: pass the three that one call has returned"
        )
    vocab = Vocab()
    vocab.preparation = preparation
    vocab.idx_to_token = [*idx_to_char]
    vocab.token_to_idx = {char: idx for char, idx in char_to_idx.items()}  # noqa: C416 (its keys are of a wider type)
    return vocab


def check_prefixes(prefixes: Iterable[str], vocab: Vocab) -> None:
    """Check that every character of the prefixes, read as the text was, has an index.

    Args:
        prefixes: What is to be continued.
        vocab: What :func:`characters` returned.

    Raises:
        InputError: If one has none, as may be with another text than the edition's. That vocabulary has no
            ``<unk>`` to stand for it.
    """
    for prefix in prefixes:
        chars, _ = read_prefix(prefix, vocab)
        if lacking := "".join(dict.fromkeys(char for char in chars if char not in vocab.token_to_idx)):
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
    check_prefixes([prefix], vocab)
    if prefix:
        return continue_(prefix)
    return continue_(" " if " " in vocab.token_to_idx else str(vocab.idx_to_token[0]))[1:]


class CharacterEdition(FirstEdition):
    """What the Chinese edition and the English one have in common, besides what all have.

    Args:
        backend: What computes.
    """

    preparation: ClassVar[Preparation]  # how the edition reads a text

    def _predict(self, prefix: str, num_chars: int, model: Any, vocab: Vocab, ctx: Any) -> str:
        return predict(prefix, vocab, lambda prefix: self.backend.predict_ch8(prefix, num_chars, model, vocab, ctx))

    def _begin(
        self,
        model: Any,
        vocab_size: int,
        ctx: Any,
        idx_to_char: Sequence[str],
        char_to_idx: dict[str, int],
        num_epochs: int,
        pred_period: int,
        pred_len: int,
        prefixes: Sequence[str],
    ) -> tuple[Vocab, Report]:
        """Check what is to be printed, and return the vocabulary and what prints."""
        require_positive(num_epochs=num_epochs, pred_period=pred_period, pred_len=pred_len)
        vocab = characters(idx_to_char, char_to_idx, vocab_size, self.preparation)
        check_prefixes(prefixes, vocab)

        def continuation(prefix: str) -> str:
            return self._predict(prefix, pred_len, model, vocab, ctx)

        return vocab, Report(pred_period, pred_period, prefixes, continuation)

    def predict_rnn(
        self,
        prefix: str,
        num_chars: int,
        rnn: Callable[..., Any],
        params: Iterable[Any],
        init_rnn_state: Callable[..., Any],
        num_hiddens: int,
        vocab_size: int,
        ctx: Any,
        idx_to_char: Sequence[str],
        char_to_idx: dict[str, int],
    ) -> str:
        """Continue a prefix by a network from scratch, always by the most probable character.

        Args:
            prefix: A string; it may be empty.
            num_chars: Characters to add.
            rnn: A function of a list of one-hot vectors, (batch_size, vocab_size) for each step, a state and the
                parameters, which returns the list of the steps' outputs, of the same shapes, and the new state.
            params: The parameters.
            init_rnn_state: A function of batch_size, num_hiddens and ctx, which returns the first state.
            num_hiddens: Hidden units.
            vocab_size: Size of the vocabulary.
            ctx: Where the parameters are.
            idx_to_char: The character of each index.
            char_to_idx: The index of each character.

        Returns:
            The prefix and its continuation.

        Raises:
            InputError: As :meth:`predict_rnn_gluon`.
        """
        vocab = characters(idx_to_char, char_to_idx, vocab_size, self.preparation)
        model = self.backend.ScratchModel(rnn, params, init_rnn_state, num_hiddens, vocab_size, ctx)
        return self._predict(prefix, num_chars, model, vocab, ctx)

    def train_and_predict_rnn(
        self,
        rnn: Callable[..., Any],
        get_params: Callable[[], Iterable[Any]],
        init_rnn_state: Callable[..., Any],
        num_hiddens: int,
        vocab_size: int,
        ctx: Any,
        corpus_indices: Any,
        idx_to_char: Sequence[str],
        char_to_idx: dict[str, int],
        is_random_iter: bool,
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
        """Train a network from scratch, and print how it goes, as :meth:`train_and_predict_rnn_gluon` does.

        NumPy does not differentiate: to train there, ``rnn.backward`` must be a function that returns the gradients,
        such as ``d2lrnn.numpy.rnn.backward``.

        Args:
            rnn: A function of a list of one-hot vectors, (batch_size, vocab_size) for each step, a state and the
                parameters, which returns the list of the steps' outputs, of the same shapes, and the new state.
            get_params: A function without arguments that returns the parameters to begin with. They are trained in
                place.
            init_rnn_state: A function of batch_size, num_hiddens and ctx, which returns the first state.
            num_hiddens: Hidden units.
            vocab_size: Size of the vocabulary.
            ctx: Where the parameters are.
            corpus_indices: One sequence of indices.
            idx_to_char: The character of each index.
            char_to_idx: The index of each character.
            is_random_iter: Train on the minibatches of ``data_iter_random``, each from a new state, and not on those of
                ``data_iter_consecutive``.
            num_epochs: Passes over the corpus.
            num_steps: Characters in a subsequence.
            lr: Learning rate of stochastic gradient descent.
            clipping_theta: Radius of gradient clipping; None for no clipping.
            batch_size: Subsequences in a minibatch.
            pred_period: Epochs from one print to the next.
            pred_len: Characters to add to each prefix.
            prefixes: What to continue.
            seed: Of the minibatches, where they are random: a number, a ``numpy.random.Generator``, or None.

        Returns:
            The :class:`~d2lrnn.core.history.History`, with the perplexity of each epoch.

        Raises:
            InputError: As :meth:`train_and_predict_rnn_gluon`; in NumPy also if ``rnn`` has no gradient.
            DivergenceError: As ``train_ch8``.
        """
        is_random_iter, rng = bool(is_random_iter), np.random.default_rng(seed)
        minibatches = self._epochs(corpus_indices, batch_size, num_steps, ctx, rng, is_random_iter)
        check_training(minibatches, is_random_iter, lr=lr, num_epochs=num_epochs, theta=radius(clipping_theta))
        model = self.backend.ScratchModel(rnn, get_params(), init_rnn_state, num_hiddens, vocab_size, ctx)
        vocab, report = self._begin(
            model, vocab_size, ctx, idx_to_char, char_to_idx, num_epochs, pred_period, pred_len, prefixes
        )
        return self._train(model, minibatches, vocab, ctx, num_epochs, lr, clipping_theta, report)

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
        vocab = characters(idx_to_char, char_to_idx, vocab_size, self.preparation)
        return self._predict(prefix, num_chars, model, vocab, ctx)

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
        vocab, report = self._begin(
            model, vocab_size, ctx, idx_to_char, char_to_idx, num_epochs, pred_period, pred_len, prefixes
        )
        rng = np.random.default_rng(seed)
        minibatches = self._epochs(corpus_indices, batch_size, num_steps, ctx, rng)
        return self._train_anew(model, minibatches, vocab, ctx, num_epochs, lr, clipping_theta, report, rng)
