"""Edition 1.0's texts: its vocabulary, The Time Machine, and sentence pairs (its sections 9.2, 9.3 and 10.5)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from d2lrnn import data
from d2lrnn.data.arrays import as_array
from d2lrnn.data.text import UNKNOWN, Token
from d2lrnn.data.translation import BOS, EOS, PAD
from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.system.arguments import require_positive

Indices = npt.NDArray[np.int32]

_NO_LETTERS = re.compile("[^A-Za-z]+")


class Vocab(data.Vocab):
    """The mapping between tokens and indices, in edition 1.0's order (its section 9.2.3).

    All tokens, the unknown and the reserved ones among them, stand in the order of their characters' code points. In
    the edition before they stood by falling frequency, behind ``<unk>``.

    Args:
        tokens: A list of tokens, or a list of lists of tokens. Tokens are strings.
        min_freq: Tokens that occur less often than this are left out.
        reserved_tokens: Tokens that are in the vocabulary whether they occur or not.

    Raises:
        InputError: If a token is no string, or a reserved token is given twice.
    """

    def __init__(self, tokens: Sequence[Any] = (), min_freq: int = 0, reserved_tokens: Sequence[Token] = ()) -> None:
        super().__init__(tokens, min_freq, reserved_tokens)
        strange = [token for token in self.idx_to_token if not isinstance(token, str)]
        if strange:
            raise InputError(f"the tokens of edition 1.0's vocabulary are sorted strings, and {strange[0]!r} is none")
        self.idx_to_token.sort(key=str)
        self.token_to_idx = {token: idx for idx, token in enumerate(self.idx_to_token)}

    @property
    def unk(self) -> int:
        """Index of the unknown token."""
        return self.token_to_idx[UNKNOWN]


class TimeMachineText:
    """From The Time Machine to indices (edition 1.0, sections 9.2 and 9.3): what its data has in all frameworks."""

    num_train: int
    num_val: int
    X: Any
    Y: Any
    get_tensorloader: Callable[..., Any]

    def get_dataloader(self, train: bool) -> Any:
        """Return the minibatches for training, in a new order in each pass, or those that are held out."""
        idx = slice(0, self.num_train) if train else slice(self.num_train, self.num_train + self.num_val)
        return self.get_tensorloader([self.X, self.Y], train, idx)

    def _download(self) -> str:
        """Return the text. Where it cannot be had, the story that ships stands in, with a warning."""
        return data.read_text("time-machine").content

    def _preprocess(self, text: str) -> str:
        """Put a space wherever something else than ASCII letters stands, line breaks too, and write in lower case."""
        return _NO_LETTERS.sub(" ", text).lower()

    def _tokenize(self, text: str) -> list[str]:
        """Split a text into characters."""
        return list(text)

    def build(self, raw_text: str, vocab: Any = None) -> tuple[list[int], Any]:
        """Turn a text into indices.

        Args:
            raw_text: The text as it is.
            vocab: Its vocabulary; by default one of its own tokens.

        Returns:
            The list of its indices, and the vocabulary.
        """
        tokens = self._tokenize(self._preprocess(raw_text))
        if vocab is None:
            vocab = Vocab(tokens)
            own = type(self)
            if (own._preprocess, own._tokenize) == (TimeMachineText._preprocess, TimeMachineText._tokenize):
                # How a prefix is read: as by the text, but a letter beyond ASCII is not left out without a word
                vocab.preparation = data.Preparation("char", "letters")
        return (vocab.encode(tokens).tolist() if isinstance(vocab, data.Vocab) else vocab[tokens]), vocab

    @staticmethod
    def windows(corpus: Sequence[int], num_steps: int, num_train: int, num_val: int) -> Indices:
        """Return every subsequence of num_steps + 1 tokens, one from each place of a corpus.

        Args:
            corpus: Indices.
            num_steps: Tokens that the model reads.
            num_train: Subsequences to train on, from the first one.
            num_val: Subsequences that are held out, from those that follow. Where the corpus has fewer, a warning says
                so.

        Returns:
            An array of shape (len(corpus) - num_steps, num_steps + 1), whose rows share memory: it is not to be
            written to.

        Raises:
            InputError: If a number is not positive, or the corpus has no such subsequence.
        """
        require_positive(num_steps=num_steps, num_train=num_train, num_val=num_val)
        count = len(corpus) - num_steps
        if count < 1:
            raise InputError(
                f"a text of {len(corpus)} tokens has no subsequence of {num_steps} and one more: give a longer text, "
                "or a smaller num_steps"
            )
        if count < num_train + num_val:
            warnings.warn(
                f"the text has {count:,} subsequences of {num_steps} tokens, and num_train={num_train:,} and "
                f"num_val={num_val:,} are more: {max(0, count - num_train):,} are held out",
                D2LRNNWarning,
                stacklevel=3,
            )
        return np.lib.stride_tricks.sliding_window_view(np.asarray(corpus, dtype=np.int32), num_steps + 1)


class SentencePairs:
    """From English and French sentences to indices (edition 1.0, section 10.5): what its data has in all frameworks."""

    num_steps: int
    num_train: int
    num_val: int
    arrays: tuple[Any, ...]
    src_vocab: Any
    tgt_vocab: Any
    get_tensorloader: Callable[..., Any]

    def tensor(self, a: Any) -> Any:
        """Return an array of indices as a tensor."""
        raise NotImplementedError

    def _build_arrays(
        self, raw_text: str, src_vocab: Any = None, tgt_vocab: Any = None
    ) -> tuple[tuple[Any, ...], Any, Any]:
        """Return the tensors of a text of sentence pairs, and its vocabularies unless they are given."""
        arrays, src_vocab, tgt_vocab = self.arrays_of(raw_text, src_vocab, tgt_vocab)
        return tuple(map(self.tensor, arrays)), src_vocab, tgt_vocab

    def get_dataloader(self, train: bool) -> Any:
        """Return the minibatches for training, in a new order in each pass, or those that are held out."""
        idx = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader(self.arrays, train, idx)

    def build(self, src_sentences: Sequence[str], tgt_sentences: Sequence[str]) -> tuple[Any, ...]:
        """Return the tensors of sentence pairs, by the vocabularies of the data.

        Args:
            src_sentences: Source sentences.
            tgt_sentences: Their translations.
        """
        return self._build_arrays(self.joined(src_sentences, tgt_sentences), self.src_vocab, self.tgt_vocab)[0]

    def _download(self) -> str:
        """Return the text, a pair in a line. Where it cannot be had, short pairs that ship stand in, with a warning."""
        return data.read_data_nmt()

    def _preprocess(self, text: str) -> str:
        """Write in lower case, with a space before punctuation."""
        return data.preprocess_nmt(text)

    def _tokenize(self, text: str, max_examples: int | None = None) -> tuple[list[list[str]], list[list[str]]]:
        """Split sentence pairs into words.

        Args:
            text: A pair in each line, with a tab in it.
            max_examples: Pairs to return from the beginning of the text, None for all. (The book returns one more.)

        Returns:
            The source sentences and the target sentences, each a list of words that ends in ``<eos>``.

        Raises:
            InputError: If there are no pairs.
        """
        return tuple(  # type: ignore[return-value]
            [[word for word in sentence if word] + [EOS] for sentence in sentences]
            for sentences in data.tokenize_nmt(text, max_examples)
        )

    def arrays_of(
        self, raw_text: str, src_vocab: Any = None, tgt_vocab: Any = None
    ) -> tuple[tuple[Indices, Indices, Indices, Indices], Any, Any]:
        """Turn sentence pairs into rows of indices of one length.

        Args:
            raw_text: The pairs as they are.
            src_vocab: The vocabulary of the source; by default one of the words that occur twice in it.
            tgt_vocab: That of the target, likewise.

        Returns:
            Source, decoder input, the source's valid lengths, and labels; the two vocabularies. The lengths have shape
            (pairs,), the others (pairs, num_steps). The decoder's input is the labels behind ``<bos>``, without their
            last one.
        """
        require_positive(num_steps=self.num_steps)
        # Sentences for vocabularies that there are already are somebody's own, and all of them are meant
        most = self.num_train + self.num_val if src_vocab is None else None
        src, tgt = self._tokenize(self._preprocess(raw_text), most)

        def rows(sentences: list[list[str]], vocab: Any, first: list[str]) -> tuple[Indices, Any]:
            padded = [[*first, *data.truncate_pad(line, self.num_steps, PAD)] for line in sentences]
            vocab = Vocab(padded, min_freq=2, reserved_tokens=[*first, PAD, EOS]) if vocab is None else vocab
            return np.array([vocab[line] for line in padded], dtype=np.int32), vocab

        source, src_vocab = rows(src, src_vocab, [])  # (pairs, num_steps)
        target, tgt_vocab = rows(tgt, tgt_vocab, [BOS])  # (pairs, num_steps + 1)
        valid_len = (source != src_vocab[PAD]).sum(axis=1, dtype=np.int32)
        return (source, target[:, :-1], valid_len, target[:, 1:]), src_vocab, tgt_vocab

    def check_count(self, count: int) -> None:
        """Warn if there are fewer pairs than were asked for."""
        if count < self.num_train + self.num_val:
            warnings.warn(
                f"there are {count} sentence pairs, and num_train={self.num_train} and num_val={self.num_val} are "
                f"more: {max(0, count - self.num_train)} are held out",
                D2LRNNWarning,
                stacklevel=3,
            )

    @staticmethod
    def joined(src_sentences: Sequence[str], tgt_sentences: Sequence[str]) -> str:
        """Return sentence pairs as one text, a pair in a line with a tab in it.

        Raises:
            InputError: If there are not as many of one as of the other.
        """
        if len(src_sentences) != len(tgt_sentences):
            raise InputError(f"{len(src_sentences)} source and {len(tgt_sentences)} target sentences are no pairs")
        return "\n".join(f"{src}\t{tgt}" for src, tgt in zip(src_sentences, tgt_sentences, strict=True))


def check_len(a: Any, n: int) -> None:
    """Check that a sequence has n members (edition 1.0, section 9.5.1).

    Raises:
        AssertionError: If it has not.
    """
    if len(a) != n:
        raise AssertionError(f"the sequence has {len(a)} members, and {n} are expected")


def check_shape(a: Any, shape: Sequence[int]) -> None:
    """Check that a tensor has a shape (edition 1.0, section 9.5.1).

    Raises:
        AssertionError: If it has not.
    """
    found = tuple(a.shape if hasattr(a, "shape") else as_array(a).shape)
    if found != tuple(shape):
        raise AssertionError(f"the tensor has shape {found}, and {tuple(shape)} is expected")
