"""What the book's two first editions do without a framework: loading, sampling, and the lines that they print.

Before the chapter had its ``ch8`` functions there were two Gluon lessons with the same names and other arguments:
the Chinese edition's on song lyrics (its sections 6.3 and 6.5), and the English one's on The Time Machine (the
lesson on the concise implementation, while that edition was a draft). ``d2lrnn.<backend>.first_edition_zh`` and
``first_edition_en`` have their functions, over this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from d2lrnn.core.generation import read_prefix
from d2lrnn.core.history import Epoch, format_perplexity
from d2lrnn.data.arrays import as_array
from d2lrnn.data.corpora import read_text
from d2lrnn.data.text import Preparation, Vocab
from d2lrnn.errors import InputError, require_positive
from d2lrnn.system.terminal import visible

Array = npt.NDArray[Any]
Minibatches = Iterator[tuple[Array, Array]]
Seed = int | np.random.Generator | None

NUM_CHARS = 10000  # of the text, from its beginning
SIGMA = 0.01  # standard deviation of the first weights

# The English edition fixes what the Chinese one passes in: how often it prints, and how much text.
EN_LINE_EVERY, EN_TEXT_EVERY, EN_NUM_CHARS = 50, 100, 50


# The texts


class _ChineseEdition(Preparation):
    """How the Chinese edition reads a text: each line break is a space, and all else as it is."""

    def clean_piece(self, piece: str) -> str:
        return piece.replace("\n", " ").replace("\r", " ")


class _EnglishEdition(Preparation):
    """How the English edition reads a text: in lower case, and every run of white space is one space."""

    def clean_piece(self, piece: str) -> str:
        return re.sub(r"\s+", " ", piece.lower())


_CHINESE, _ENGLISH = _ChineseEdition(clean="none"), _EnglishEdition(clean="none")


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


def load_data_time_machine(num_examples: int = NUM_CHARS) -> tuple[list[int], Vocab]:
    """Load The Time Machine as the English edition does, by characters, in lower case and with its punctuation.

    Every run of white space, line breaks too, is one space.

    Args:
        num_examples: Characters to use from the beginning of the text.

    Returns:
        The list of their indices, and their :class:`~d2lrnn.data.text.Vocab`. (Equally frequent characters stand in
        the order of their first occurrence, where the edition sorted them.)

    Raises:
        InputError: If num_examples is not positive.
    """
    require_positive(num_examples=num_examples)
    text = _ENGLISH.clean_piece(read_text("time-machine").content).strip()[:num_examples]
    vocab = Vocab(text)
    vocab.preparation = _ENGLISH
    return vocab.encode(text).tolist(), vocab


# Sampling


def _check_corpus(corpus_indices: Any, batch_size: int, num_steps: int, needed: int) -> Array:
    corpus: Array = as_array(corpus_indices).astype(np.int64)
    if corpus.ndim != 1:
        raise InputError(f"a corpus is one sequence of indices, not an array of shape {corpus.shape}")
    if len(corpus) < needed:
        raise InputError(
            f"a corpus of {len(corpus)} characters is too short for one minibatch: {batch_size} sequences of "
            f"{num_steps} steps need at least {needed}; give a longer text, or a smaller batch_size or num_steps"
        )
    return corpus


def iter_random(corpus_indices: Any, batch_size: int, num_steps: int, *, shift: bool, seed: Seed = None) -> Minibatches:
    """Cut a corpus into subsequences of num_steps characters and yield them in random order.

    The editions share this iterator but for its start; :func:`d2lrnn.data.seq_data_iter_random` is the book's later
    one, which always starts at a random offset.

    Args:
        corpus_indices: One sequence of indices.
        batch_size: Subsequences in a minibatch.
        num_steps: Characters in a subsequence.
        shift: Start at a random offset of 0..num_steps-1 (English edition) and not at 0 (Chinese edition).
        seed: A number, a ``numpy.random.Generator``, or None for another order each time.

    Returns:
        An iterator over ``(X, Y)``, shape (batch_size, num_steps) each; ``Y`` is ``X`` moved by one character. What
        does not fill a minibatch is left out. (The English edition left out one more subsequence.)

    Raises:
        InputError: If the corpus is too short for one minibatch, or a size is not positive.
    """
    require_positive(batch_size=batch_size, num_steps=num_steps)
    spare = num_steps - 1 if shift else 0  # what the largest offset takes
    corpus = _check_corpus(corpus_indices, batch_size, num_steps, batch_size * num_steps + 1 + spare)
    rng = np.random.default_rng(seed)
    corpus = corpus[rng.integers(num_steps) if shift else 0 :]
    starts = rng.permutation((len(corpus) - 1) // num_steps) * num_steps

    def minibatches() -> Minibatches:
        for i in range(0, len(starts) - batch_size + 1, batch_size):
            windows = corpus[starts[i : i + batch_size, None] + np.arange(num_steps + 1)]  # (batch_size, num_steps + 1)
            yield windows[:, :-1], windows[:, 1:]

    return minibatches()


def iter_consecutive(
    corpus_indices: Any, batch_size: int, num_steps: int, *, shift: bool, seed: Seed = None
) -> Minibatches:
    """Cut a corpus into batch_size rows of the same length and yield them num_steps columns at a time.

    A row of one minibatch continues the same row of the one before. The rows are the editions': each is cut first
    and gives up its last character for the labels, where :func:`d2lrnn.data.seq_data_iter_sequential`, the book's
    later iterator, takes the labels from the next row too.

    Args:
        corpus_indices: One sequence of indices.
        batch_size: Rows.
        num_steps: Columns in a minibatch.
        shift: Start at a random offset of 0..num_steps-1 (English edition) and not at 0 (Chinese edition).
        seed: A number, a ``numpy.random.Generator``, or None for another offset each time.

    Returns:
        An iterator over ``(X, Y)``, shape (batch_size, num_steps) each; ``Y`` is ``X`` moved by one character.

    Raises:
        InputError: If the corpus is too short for one minibatch, or a size is not positive.
    """
    require_positive(batch_size=batch_size, num_steps=num_steps)
    spare = num_steps - 1 if shift else 0  # what the largest offset takes
    corpus = _check_corpus(corpus_indices, batch_size, num_steps, batch_size * (num_steps + 1) + spare)
    corpus = corpus[np.random.default_rng(seed).integers(num_steps) if shift else 0 :]
    length = len(corpus) // batch_size
    rows = corpus[: batch_size * length].reshape(batch_size, length)

    def minibatches() -> Minibatches:
        for i in range(0, length - num_steps, num_steps):
            yield rows[:, i : i + num_steps], rows[:, i + 1 : i + num_steps + 1]

    return minibatches()


class Consecutive:
    """What ``train_ch8`` iterates over: consecutive minibatches, anew in each epoch.

    Args:
        data_iter: Makes the minibatches of an epoch, ``(X, Y)`` tensors.
    """

    use_random_iter = False

    def __init__(self, data_iter: Callable[[], Iterable[Any]]) -> None:
        self._data_iter = data_iter

    def __iter__(self) -> Iterator[Any]:
        return iter(self._data_iter())


# Characters, weights and lines


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


def first_weights(shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Return the values that training begins from: Normal(0.01) for a matrix, and zeros for a bias vector.

    Args:
        shape: (outputs, inputs) for a matrix. A backend that keeps (inputs, outputs) transposes it, so that the same
            generator gives a network of one tanh or LSTM layer the same weights in every backend.
        rng: Draws them.
    """
    return (rng.normal(0.0, SIGMA, shape) if len(shape) > 1 else np.zeros(shape)).astype(np.float32)


def radius(theta: Any) -> Any:
    """Return a radius of clipping: theta itself, or for None, which means no clipping, one that no float32 reaches."""
    return float(np.finfo(np.float32).max) if theta is None else theta


class Report:
    """Prints how training goes: called with the number of each epoch and its record.

    Args:
        line_every: Epochs from one line to the next, ``epoch 50, perplexity 79.496973, time 0.17 sec``.
        text_every: Epochs from one `` - `` and text of each prefix to the next.
        prefixes: What to continue.
        predict: Returns a prefix and its continuation.
        total_time: The time of a line is that of all the epochs since the last one (English edition), in seconds,
            and not that of the last epoch (Chinese edition).
    """

    def __init__(
        self,
        line_every: int,
        text_every: int,
        prefixes: Sequence[str],
        predict: Callable[[str], str],
        *,
        total_time: bool = False,
    ) -> None:
        self.line_every, self.text_every = line_every, text_every
        self.prefixes, self.predict, self.total_time = prefixes, predict, total_time
        self._seconds = 0.0

    def __call__(self, number: int, epoch: Epoch) -> None:
        """Print what is due after an epoch."""
        self._seconds = epoch.seconds + (self._seconds if self.total_time else 0.0)
        if number % self.line_every == 0:
            print(f"epoch {number}, perplexity {format_perplexity(epoch.perplexity, 6)}, time {self._seconds:.2f} sec")
            self._seconds = 0.0
        if number % self.text_every == 0:
            for prefix in self.prefixes:
                print(" -", visible(self.predict(prefix)))
