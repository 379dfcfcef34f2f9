"""From a text to tokens to indices (book section 8.2)."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from d2lrnn.data.arrays import as_array
from d2lrnn.errors import InputError

Token = Hashable
UNKNOWN = "<unk>"
CLEANINGS = ("letters", "book", "none")
TOKENS = ("char", "word")
_LINE_BREAK = "\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]"  # where str.splitlines parts lines
_WITH_ACCENT = re.compile("[!-~][\\u0300-\\u036f]+")
_LONG_ROW = 16  # of marks, which are put into their order by sorting; no letter of a language has so many
_WORD_JOINERS = "\u200c\u200d"  # invisible, and part of the spelling in Persian and in Indic scripts


def clean_lines(lines: Iterable[str], *, keep_punctuation: bool = False, keep_case: bool = False) -> list[str]:
    """Clean as the book does: whatever is not an ASCII letter becomes a space, in lower case.

    Args:
        lines: The lines of a text.
        keep_punctuation: Keep ASCII punctuation and digits too.
        keep_case: Keep capital letters.

    Returns:
        As many lines as were given; those without a letter are empty.
    """
    return [line.strip() for line in _spaced_lines(lines, keep_punctuation, keep_case)]


def _spaced_lines(lines: Iterable[str], keep_punctuation: bool, keep_case: bool) -> list[str]:
    """Clean as the book does, but leave a space at an end of a line where one is due."""
    # With punctuation, everything from '!' to '~': the visible part of ASCII.
    other = re.compile("[^!-~]+" if keep_punctuation else "[^A-Za-z]+")
    spaced = (other.sub(" ", line) for line in lines)
    return list(spaced) if keep_case else [line.lower() for line in spaced]


def with_accents_on(text: str) -> str:
    """Put each accent that stands behind an ASCII letter onto it, and change nothing else in a text."""
    return text if text.isascii() else _WITH_ACCENT.sub(lambda found: normal_form("NFC", found[0]), text)


def normal_form(form: Literal["NFC", "NFD"], text: str) -> str:
    """Return a text in a normal form of Unicode, ``'NFC'`` or ``'NFD'``, in a time that is linear in its length.

    Python puts the marks on a letter into their order by exchanging neighbours, which takes the square of their number.
    Here a long row of marks is brought into that order before.
    """
    parts = {c: unicodedata.normalize("NFD", c) for c in set(text) if not c.isascii()}
    marks = {c: part for c, part in parts.items() if all(map(unicodedata.combining, part))}
    if marks:
        rows = re.compile(f"[{re.escape(''.join(marks))}]{{{_LONG_ROW},}}")
        text = rows.sub(
            lambda row: "".join(sorted("".join(map(marks.__getitem__, row[0])), key=unicodedata.combining)), text
        )
    return unicodedata.normalize(form, text)


def clean_text(text: str, *, keep_punctuation: bool = False, keep_case: bool = False) -> str:
    """Keep the letters of every script, and one space wherever anything else stood.

    Args:
        text: Any text; it is brought to Unicode's composed form (NFC).
        keep_punctuation: Keep punctuation, digits and symbols too; runs of white space still become a space.
        keep_case: Keep capital letters.

    Returns:
        The cleaned text, without line breaks and without white space at its ends.
    """
    return " ".join(word for word in _gaps_and_words(text, keep_punctuation, keep_case) if word)


def _gaps_and_words(text: str, keep_punctuation: bool, keep_case: bool, *, is_piece: bool = False) -> list[str]:
    """Return the cleaned words of a text, in order, and an empty one for each further space between or around them.

    Args:
        text: The text.
        keep_punctuation: As in :func:`clean_text`.
        keep_case: Likewise.
        is_piece: An accent at the very beginning stands on a letter before it, and stays.
    """
    # In this order: some capital letters with an accent have a composed form as small letters only.
    text = normal_form("NFC", text if keep_case else text.lower())
    # One decision for each distinct character; the text itself is walked in C. Marks (M) are vowel signs and accents.
    kept = "LMNPS" if keep_punctuation else "LM"
    distinct = set(text)
    drop = {ord(c): " " for c in distinct if unicodedata.category(c)[0] not in kept and c not in _WORD_JOINERS}
    # What is left of an emoji that was dropped, say, stands on no letter and cannot be seen.
    dependent = _WORD_JOINERS + "".join(c for c in distinct if unicodedata.category(c)[0] == "M")
    first, *words = text.translate(drop).split(" ")
    return [first if is_piece else first.lstrip(dependent), *(word.lstrip(dependent) for word in words)]


def tokenize(lines: Sequence[str], token: str = "word") -> list[list[str]]:
    """Split lines into words or characters (book section 8.2.2).

    Args:
        lines: The lines of a text.
        token: ``'word'`` or ``'char'``.

    Returns:
        A list of tokens for each line.

    Raises:
        InputError: For another token type, which the book prints and then returns None for.
    """
    if token == "word":
        return [line.split() for line in lines]
    if token == "char":
        return [list(line) for line in lines]
    raise InputError(f"unknown token type {token!r}: use 'word' or 'char'")


@dataclass(frozen=True)
class Preparation:
    """How a text became tokens; whatever is given to a model of that text later is read in the same way.

    Args:
        token: ``'char'`` or ``'word'``.
        clean: ``'letters'``, ``'book'`` or ``'none'``; see :func:`d2lrnn.data.load_corpus`.
        keep_punctuation: Keep punctuation, digits and symbols.
        keep_case: Keep capital letters.

    Raises:
        InputError: If there is no such token type or cleaning.
    """

    token: str = "char"
    clean: str = "letters"
    keep_punctuation: bool = False
    keep_case: bool = False

    def __post_init__(self) -> None:
        if self.clean not in CLEANINGS:
            raise InputError(f"unknown cleaning {self.clean!r}: use one of {', '.join(CLEANINGS)}")
        if self.token not in TOKENS:
            raise InputError(f"unknown token type {self.token!r}: use 'word' or 'char'")

    @classmethod
    def from_dict(cls, values: Any) -> Preparation:
        """Return the preparation that :meth:`to_dict` gave, as it comes back from JSON.

        Raises:
            InputError: If a name is unknown, or a value cannot be used.
        """
        defaults = asdict(cls())
        if not (
            isinstance(values, Mapping)
            and all(name in defaults and isinstance(value, type(defaults[name])) for name, value in values.items())
        ):
            raise InputError(f"a preparation has some of {', '.join(defaults)}, and not {values!r:.80}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the preparation ready for JSON."""
        return asdict(self)

    def clean_piece(self, piece: str) -> str:
        """Clean a piece of a text: as the whole text, but it may begin and end with a space, as in "time traveller ".

        A piece of a cleaned text comes back as it is.
        """
        if self.clean == "letters":
            words = _gaps_and_words(piece, self.keep_punctuation, self.keep_case, is_piece=True)
            inner = " ".join(word for word in words if word)
            if not inner:
                return " " if len(words) > 1 else ""
            return ("" if words[0] else " ") + inner + ("" if words[-1] else " ")
        if self.clean == "book":
            # Lines are joined without a space, and only the ends of the piece itself are no ends of a line
            first, *others = _spaced_lines(re.split(_LINE_BREAK, piece), self.keep_punctuation, self.keep_case)
            if not others:
                return first
            return "".join([first.rstrip(), *(line.strip() for line in others[:-1]), others[-1].lstrip()])
        return piece

    def tokens_of(self, text: str) -> str | list[str]:
        """Return the tokens of a whole text: a string of characters, or a list of words."""
        options = {"keep_punctuation": self.keep_punctuation, "keep_case": self.keep_case}
        if self.clean == "book":
            lines = clean_lines(text.splitlines(), **options)
        else:
            lines = [clean_text(text, **options) if self.clean == "letters" else text]
        # Characters of joined lines, or the words of each line: one flat sequence either way
        return "".join(lines) if self.token == "char" else [word for line in tokenize(lines) for word in line]

    def prepare(self, piece: str) -> list[str]:
        """Return the tokens of a piece of a text, such as a prefix."""
        if self.token == "word":
            return list(self.tokens_of(piece))
        return list(self.clean_piece(piece))

    def join(self, tokens: Iterable[Any]) -> str:
        """Return tokens as one text, joined as they were parted."""
        return (" " if self.token == "word" else "").join(map(str, tokens))


def count_corpus(tokens: Sequence[Any]) -> Counter[Token]:
    """Count how often each token occurs.

    Args:
        tokens: A list of tokens, a list of lists of tokens (lines), or a string of characters.
    """
    if len(tokens) and isinstance(tokens[0], list):
        return Counter(token for line in tokens for token in line)
    return Counter(tokens)


def _to_list(indices: Any) -> Any:
    """Turn indices in any array or tensor type into plain Python numbers, nested as the array was."""
    if isinstance(indices, (list, tuple)):
        return [_to_list(index) for index in indices]
    return as_array(indices).tolist()


class Vocab:
    """The mapping between tokens and indices (book section 8.2.3).

    Index 0 is the unknown token; the reserved tokens follow, then the rest by falling frequency, equally
    frequent ones in the order of their first occurrence.

    Args:
        tokens: A list of tokens, a list of lists of tokens, or a string of characters. Tokens may be tuples.
        min_freq: Tokens that occur less often than this are left out.
        reserved_tokens: Tokens that are in the vocabulary whether they occur or not.

    Attributes:
        preparation: How the text became the tokens (:class:`Preparation`), so that a prefix is read as the text was.
            A vocabulary made by hand does not know: it has None, and may be given one.

    Raises:
        InputError: If a reserved token is given twice.
    """

    preparation: Preparation | None = None

    def __init__(
        self,
        tokens: Sequence[Any] | None = None,
        min_freq: int = 0,
        reserved_tokens: Sequence[Token] | None = None,
    ) -> None:
        reserved = [token for token in reserved_tokens or [] if token != UNKNOWN]
        if len(set(reserved)) != len(reserved):
            raise InputError(f"reserved tokens must differ from one another, but {reserved!r} do not")
        counter = count_corpus(tokens if tokens is not None else [])
        self._token_freqs = sorted(counter.items(), key=lambda item: item[1], reverse=True)
        self.idx_to_token: list[Token] = [UNKNOWN, *reserved]
        known = set(self.idx_to_token)
        self.idx_to_token += [t for t, freq in self._token_freqs if freq >= min_freq and t not in known]
        self.token_to_idx: dict[Token, int] = {token: idx for idx, token in enumerate(self.idx_to_token)}
        self._has_tuples = any(isinstance(token, tuple) for token in self.idx_to_token)

    def __len__(self) -> int:
        return len(self.idx_to_token)

    def __getitem__(self, tokens: Any) -> Any:
        """Return the index of a token, or the list of indices of a list of tokens.

        A tuple is one token where the vocabulary has tuples as tokens (word pairs, say), and otherwise a
        sequence of tokens, as in the book.
        """
        if isinstance(tokens, list) or (isinstance(tokens, tuple) and not self._has_tuples):
            return [self[token] for token in tokens]
        return self.token_to_idx.get(tokens, self.unk)

    def to_tokens(self, indices: Any) -> Any:
        """Return the token of an index, or the list of tokens of a list, array or tensor of indices.

        Raises:
            InputError: If an index is not in the vocabulary.
        """
        indices = _to_list(indices)
        if isinstance(indices, list):
            return [self.to_tokens(index) for index in indices]
        if not 0 <= indices < len(self):
            raise InputError(f"index {indices} is not in a vocabulary of {len(self)} tokens (0 to {len(self) - 1})")
        return self.idx_to_token[int(indices)]

    @property
    def unk(self) -> int:
        """Index of the unknown token."""
        return 0

    @property
    def token_freqs(self) -> list[tuple[Token, int]]:
        """Each token of the text with its number of occurrences, the most frequent first."""
        return self._token_freqs

    def encode(self, tokens: Sequence[Any]) -> npt.NDArray[np.int32]:
        """Return the indices of a string's characters, or of a list of tokens, as one array.

        Strings are looked up through a table over code points, without a Python loop over characters.
        """
        if isinstance(tokens, str):
            points = np.frombuffer(tokens.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
            table = np.full(int(np.max(points, initial=0)) + 1, self.unk, dtype=np.int32)
            for token, index in self.token_to_idx.items():
                if isinstance(token, str) and len(token) == 1 and ord(token) < len(table):
                    table[ord(token)] = index
            return table[points]
        get, unk = self.token_to_idx.get, self.unk
        return np.fromiter((get(token, unk) for token in tokens), dtype=np.int32, count=len(tokens))
