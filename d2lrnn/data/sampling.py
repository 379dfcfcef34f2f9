"""The two ways to read minibatches of subsequences off a long sequence (book section 8.3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from d2lrnn.data.corpora import Text, default_max_tokens, load_corpus
from d2lrnn.data.text import Vocab
from d2lrnn.errors import InputError
from d2lrnn.system.arguments import require_positive
from d2lrnn.system.wording import also

Array = npt.NDArray[Any]
Seed = int | np.random.Generator | None

# A held-out tail is read in rows of at least this many minibatches, so that a carried state has time to warm up.
_VALID_MINIBATCHES = 8


def _check_length(corpus: Array, batch_size: int, num_steps: int) -> None:
    require_positive(batch_size=batch_size, num_steps=num_steps)
    # The largest offset drops num_steps - 1 tokens, and the last label lies one beyond the last input.
    needed = batch_size * num_steps + num_steps
    if corpus.ndim != 1:
        raise InputError(f"a corpus is one sequence of token indices, not an array of shape {corpus.shape}")
    if len(corpus) < needed:
        raise InputError(
            f"a corpus of {corpus.size} tokens is too short for one minibatch: {batch_size} sequences of "
            f"{num_steps} steps need at least {needed} tokens; give a longer text, or a smaller batch_size or "
            f"num_steps{also('batch_size', 'num_steps')}"
        )


def seq_data_iter_random(
    corpus: Any, batch_size: int, num_steps: int, *, seed: Seed = None
) -> Iterator[tuple[Array, Array]]:
    """Cut the corpus into subsequences at a random offset and yield them in random order.

    Args:
        corpus: One sequence of token indices.
        batch_size: Subsequences in a minibatch.
        num_steps: Tokens in a subsequence.
        seed: A number, a ``numpy.random.Generator``, or None for a different order each time.

    Returns:
        An iterator over ``(X, Y)`` of shape (batch_size, num_steps) each; ``Y`` is ``X`` moved by one token.
        The offset is one of 0..num_steps-1. Subsequences that do not fill a minibatch are left out.

    Raises:
        InputError: If the corpus is too short for one minibatch or a size is not positive.
    """
    corpus = np.asarray(corpus)
    _check_length(corpus, batch_size, num_steps)
    rng = np.random.default_rng(seed)
    corpus = corpus[rng.integers(num_steps) :]
    num_subseqs = (len(corpus) - 1) // num_steps
    starts = rng.permutation(num_subseqs) * num_steps
    # A view: row i is corpus[i : i + num_steps + 1], the inputs and, one further, the labels.
    windows = np.lib.stride_tricks.sliding_window_view(corpus, num_steps + 1)

    def minibatches() -> Iterator[tuple[Array, Array]]:
        for i in range(0, num_subseqs - batch_size + 1, batch_size):
            subseqs = windows[starts[i : i + batch_size]]  # (batch_size, num_steps + 1)
            yield subseqs[:, :-1], subseqs[:, 1:]

    return minibatches()


def seq_data_iter_sequential(
    corpus: Any, batch_size: int, num_steps: int, *, seed: Seed = None, shift: bool = True
) -> Iterator[tuple[Array, Array]]:
    """Cut the corpus into batch_size long rows and yield them num_steps columns at a time.

    A row of one minibatch continues the same row of the one before, so a state can be carried over.

    Args:
        corpus: One sequence of token indices.
        batch_size: Rows.
        num_steps: Columns in a minibatch.
        seed: A number, a ``numpy.random.Generator``, or None for a different offset each time.
        shift: Start at a random offset of 0..num_steps-1, as the book does. False starts at 0, to evaluate.

    Returns:
        An iterator over ``(X, Y)``, views of the corpus of shape (batch_size, num_steps) each; ``Y`` is ``X``
        moved by one token. Columns that do not fill a minibatch are left out, as in the book: at 32 rows of
        35 steps, 8,960 of 10,000 tokens are used.

    Raises:
        InputError: If the corpus is too short for one minibatch or a size is not positive.
    """
    corpus = np.asarray(corpus)
    _check_length(corpus, batch_size, num_steps)
    offset = int(np.random.default_rng(seed).integers(num_steps)) if shift else 0
    num_tokens = (len(corpus) - offset - 1) // batch_size * batch_size
    Xs = corpus[offset : offset + num_tokens].reshape(batch_size, -1)
    Ys = corpus[offset + 1 : offset + 1 + num_tokens].reshape(batch_size, -1)

    def minibatches() -> Iterator[tuple[Array, Array]]:
        for i in range(0, Xs.shape[1] - num_steps + 1, num_steps):
            yield Xs[:, i : i + num_steps], Ys[:, i : i + num_steps]

    return minibatches()


class SeqDataLoader:
    """An iterator over minibatches that starts anew, at a new offset, each time it is iterated over.

    Args:
        batch_size: Sequences in a minibatch.
        num_steps: Tokens in a sequence.
        use_random_iter: Sample randomly instead of sequentially.
        max_tokens: Tokens to use from the beginning of the corpus; -1 for all.
        corpus: One sequence of token indices; by default The Time Machine, by characters.
        vocab: The vocabulary of that corpus.
        seed: A number, a ``numpy.random.Generator``, or None. One generator serves all the epochs, so two
            loaders with the same seed yield the same minibatches, epoch after epoch.
        shift: Start each epoch at a random offset; see :func:`seq_data_iter_sequential`.

    Attributes:
        corpus: Array of the token indices in use.
        vocab: Their :class:`~d2lrnn.data.text.Vocab`.
        use_random_iter: How this loader samples; ``train_ch8`` checks that it is asked for the same.
        num_tokens: Length of ``corpus``.
        text_tokens: Length of the whole text, with what ``max_tokens`` leaves out and what is held out.
        tokens_per_epoch: Tokens in the minibatches of an epoch at offset 0. An epoch at a later offset may have one
            minibatch less.
        valid_iter: A loader over the held-out end of the text, or None.

    Raises:
        InputError: If the corpus is too short for one minibatch or a size is not positive.
    """

    def __init__(
        self,
        batch_size: int,
        num_steps: int,
        use_random_iter: bool,
        max_tokens: int,
        *,
        corpus: Any = None,
        vocab: Vocab | None = None,
        seed: Seed = None,
        shift: bool = True,
    ) -> None:
        if corpus is None:
            corpus, vocab = load_corpus("time-machine")
        whole = np.asarray(corpus)
        self.corpus = whole[: _token_limit(max_tokens)]
        self.text_tokens = whole.size
        self.vocab = vocab
        self.batch_size, self.num_steps, self.use_random_iter = batch_size, num_steps, bool(use_random_iter)
        self.valid_iter: SeqDataLoader | None = None
        _check_length(self.corpus, batch_size, num_steps)
        self._rng = np.random.default_rng(seed)
        self._shift = shift

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self.use_random_iter:
            return seq_data_iter_random(self.corpus, self.batch_size, self.num_steps, seed=self._rng)
        return seq_data_iter_sequential(self.corpus, self.batch_size, self.num_steps, seed=self._rng, shift=self._shift)

    def read_as(self, loader: type[SeqDataLoader]) -> SeqDataLoader:
        """Return a loader of another class that yields the minibatches that this one would have yielded.

        The corpus is shared, and the generators are separate from then on.
        """
        made = loader(
            self.batch_size, self.num_steps, self.use_random_iter, -1,
            corpus=self.corpus, vocab=self.vocab, shift=self._shift,
        )  # fmt: skip
        made.random_state, made.text_tokens = self.random_state, self.text_tokens
        if self.valid_iter is not None:
            made.valid_iter = self.valid_iter.read_as(loader)
        return made

    @property
    def random_state(self) -> dict[str, Any]:
        """What the draws of the epochs to come depend on: the state of the loader's NumPy bit generator.

        Set on a loader with the same arguments, it makes this one yield what the other would have yielded.
        """
        return dict(self._rng.bit_generator.state)

    @random_state.setter
    def random_state(self, state: Mapping[str, Any]) -> None:
        self._rng.bit_generator.state = state

    @property
    def num_tokens(self) -> int:
        """Tokens of the corpus that this loader reads from."""
        return len(self.corpus)

    @property
    def used_tokens(self) -> int:
        """Tokens of the text that are used: those to train on, and those held out for ``valid_iter``."""
        return self.num_tokens + (0 if self.valid_iter is None else self.valid_iter.num_tokens)

    @property
    def tokens_per_epoch(self) -> int:
        """Tokens in the minibatches of an epoch that starts at offset 0."""
        if self.use_random_iter:
            minibatches = (self.num_tokens - 1) // self.num_steps // self.batch_size
        else:
            minibatches = (self.num_tokens - 1) // self.batch_size // self.num_steps
        return minibatches * self.batch_size * self.num_steps


def part_of_text(corpus: Mapping[str, Any]) -> str:
    """Return how much of a text is used, for people: "10,000 of 170,580 characters"; empty where nothing is left out.

    Args:
        corpus: What a result says of its text: ``used_tokens`` (:attr:`SeqDataLoader.used_tokens`) and ``text_tokens``.
            One that does not say them, as of a run that was kept before they were there, leaves nothing out.
    """
    used, whole = corpus.get("used_tokens"), corpus.get("text_tokens")
    if not (isinstance(used, int) and isinstance(whole, int) and used < whole):
        return ""
    return f"{used:,} of {whole:,} characters"


def _token_limit(max_tokens: int | None) -> int | None:
    if max_tokens in (-1, None):
        return None
    require_positive(max_tokens=max_tokens)
    return max_tokens


def load_data(
    source: str | Path | Text,
    batch_size: int,
    num_steps: int,
    use_random_iter: bool = False,
    max_tokens: int | None = None,
    *,
    token: str = "char",
    clean: str | None = None,
    keep_punctuation: bool = False,
    keep_case: bool = False,
    encoding: str | None = None,
    valid_fraction: float = 0.0,
    seed: Seed = None,
    loader: type[SeqDataLoader] = SeqDataLoader,
) -> tuple[SeqDataLoader, Vocab]:
    """Load minibatches, and the vocabulary, of any text.

    Args:
        source: A corpus by name (:data:`d2lrnn.data.CORPORA`), the path of a text file, or a text already read.
        batch_size: Sequences in a minibatch.
        num_steps: Tokens in a sequence.
        use_random_iter: Sample randomly instead of sequentially.
        max_tokens: Tokens to use from the beginning of the text; -1 for all. By default the book's 10,000 of a corpus
            by name, and all of a file of yours.
        token: ``'char'`` or ``'word'``.
        clean: See :func:`d2lrnn.data.load_corpus`.
        keep_punctuation: Keep punctuation, digits and symbols.
        keep_case: Keep capital letters.
        encoding: Of a file; see :func:`d2lrnn.data.load_corpus`.
        valid_fraction: Hold out this part of the tokens, 0 to below 1, from the end of the text. The loader
            over them is the ``valid_iter`` of the one returned; it is sequential and starts at offset 0.
        seed: A number, a ``numpy.random.Generator``, or None.
        loader: The class to make; a backend passes its own, which yields its tensors.

    Returns:
        The loader, and the vocabulary of the whole text.

    Raises:
        InputError: If the text cannot be read, or is too short for one minibatch.
    """
    require_positive(batch_size=batch_size, num_steps=num_steps)
    if not isinstance(valid_fraction, (int, float)) or not 0 <= valid_fraction < 1:
        raise InputError(f"valid_fraction must be at least 0 and below 1, not {valid_fraction!r}")
    if max_tokens is None:
        max_tokens = default_max_tokens(source.name if isinstance(source, Text) else str(source))
    limit = _token_limit(max_tokens)
    corpus, vocab = load_corpus(
        source,
        token=token,
        clean=clean,
        keep_punctuation=keep_punctuation,
        keep_case=keep_case,
        encoding=encoding,
    )
    text_tokens = len(corpus)
    corpus = corpus[:limit]
    needed = (batch_size + 1) * num_steps
    if len(corpus) < min(needed, text_tokens):
        more = "larger max_tokens" if needed <= text_tokens else "longer text"
        raise InputError(
            f"max_tokens={max_tokens}{also('max_tokens', value=max_tokens)} leaves {len(corpus):,} of the text's "
            f"{text_tokens:,} tokens, too short for one minibatch: {batch_size} sequences of {num_steps} steps need at "
            f"least {needed} tokens; give a {more}, or a smaller batch_size or "
            f"num_steps{also('batch_size', 'num_steps')}"
        )
    num_valid = round(len(corpus) * valid_fraction)
    if valid_fraction and not 2 * num_steps <= num_valid <= len(corpus) - needed:
        raise InputError(
            f"valid_fraction={valid_fraction!r} holds out {num_valid} of "
            f"{len(corpus)} tokens; at least {2 * num_steps} must be, and {needed} must be left; give another "
            f"valid_fraction{also('valid_fraction')}, more tokens, or a longer text"
        )
    train_corpus, valid_corpus = corpus[: len(corpus) - num_valid], corpus[len(corpus) - num_valid :]
    train_iter = loader(batch_size, num_steps, use_random_iter, -1, corpus=train_corpus, vocab=vocab, seed=seed)
    train_iter.text_tokens = text_tokens
    if valid_fraction:
        rows = max(1, min(batch_size, (num_valid - num_steps) // (_VALID_MINIBATCHES * num_steps)))
        train_iter.valid_iter = loader(rows, num_steps, False, -1, corpus=valid_corpus, vocab=vocab, shift=False)
    return train_iter, vocab


def load_data_time_machine(
    batch_size: int,
    num_steps: int,
    use_random_iter: bool = False,
    max_tokens: int = 10000,
    *,
    keep_punctuation: bool = False,
    keep_case: bool = False,
    valid_fraction: float = 0.0,
    seed: Seed = None,
    loader: type[SeqDataLoader] = SeqDataLoader,
) -> tuple[SeqDataLoader, Vocab]:
    """Load minibatches, and the vocabulary, of The Time Machine by characters (book section 8.3.4).

    The arguments are those of :func:`load_data`.
    """
    return load_data(
        "time-machine",
        batch_size,
        num_steps,
        use_random_iter,
        max_tokens,
        keep_punctuation=keep_punctuation,
        keep_case=keep_case,
        valid_fraction=valid_fraction,
        seed=seed,
        loader=loader,
    )
