"""Choosing the next token, and putting tokens together: what prediction needs and no framework has to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from d2lrnn.data.sampling import Seed
from d2lrnn.data.text import UNKNOWN, Preparation, Vocab, normal_form, with_accents_on
from d2lrnn.data.translation import BOS, EOS, RESERVED
from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.system.arguments import require_at_most, require_positive
from d2lrnn.system.wording import also

Chooser = Callable[[npt.NDArray[Any]], int]


MOST_PREDS = 10**6  # tokens that are added to a prefix at once; TensorFlow has a place for each before it begins


def check_num_preds(num_preds: Any) -> None:
    """Check how many tokens are to be added.

    Raises:
        InputError: If that is no whole number from 0 to :data:`MOST_PREDS`.
    """
    if not hasattr(num_preds, "__index__") or num_preds < 0:
        raise InputError(f"num_preds must be a whole number of at least 0, not {num_preds!r}")
    require_at_most({"num_preds": MOST_PREDS}, num_preds=num_preds)


def most_probable(logits: npt.NDArray[Any]) -> int:
    """Return the index of the largest of the logits, the first of equals."""
    return int(np.argmax(logits))


def token_chooser(temperature: float | None = None, top_k: int | None = None, seed: Seed = None) -> Chooser:
    """Return the function that chooses the next token from the logits.

    Without arguments it takes the most probable token. With any of them it draws one, with probability
    proportional to exp(logit / temperature).

    Args:
        temperature: Divides the logits; 1 where another argument is given, 0 means the most probable token. It is the
            inverse of the exponent alpha of the book's exercise, which raises probabilities to a power: 0.5 is alpha 2.
        top_k: Draw among this many most probable tokens.
        seed: A number, a ``numpy.random.Generator``, or None for different draws each time.

    Returns:
        A function of the logits, shape (vocab_size,), that returns an index.

    Raises:
        InputError: If the temperature is negative or not finite, or top_k is not positive.
    """
    if top_k is not None:
        require_positive(top_k=top_k)
    number = isinstance(temperature, (int, float, np.number))
    if temperature is not None and not (number and np.isfinite(temperature) and temperature >= 0):
        raise InputError(f"temperature must be a finite number of at least 0, not {temperature!r}")
    greedy = temperature is None and top_k is None and seed is None
    if greedy or temperature == 0:
        return most_probable
    rng = np.random.default_rng(seed)
    scale = 1.0 if temperature is None else temperature

    def choose(logits: npt.NDArray[Any]) -> int:
        scores = np.asarray(logits, dtype=np.float64)
        candidates = np.argsort(-scores, kind="stable")[:top_k]
        with np.errstate(over="ignore"):  # far below the largest is minus infinity, and its probability is zero
            probabilities = np.exp((scores[candidates] - scores[candidates[0]]) / scale)
        return int(rng.choice(candidates, p=probabilities / probabilities.sum()))

    return choose


def check_target(tgt_vocab: Vocab) -> None:
    """Check that a target's vocabulary has the words that a translation begins and ends with.

    Raises:
        InputError: If it lacks ``<bos>`` or ``<eos>``.
    """
    if len({tgt_vocab[token] for token in (UNKNOWN, BOS, EOS)}) < 3:
        raise InputError(f"tgt_vocab must have {BOS} and {EOS}: make it with reserved_tokens={list(RESERVED)}")


def translate(next_index: Callable[[int], int], tgt_vocab: Vocab, num_steps: int) -> str:
    """Return the words that a decoder writes, from ``<bos>`` until it writes ``<eos>``.

    Args:
        next_index: A function of a token's index that returns that of the next token.
        tgt_vocab: The target's vocabulary.
        num_steps: The most words.

    Raises:
        InputError: If the vocabulary lacks ``<bos>`` or ``<eos>``.
    """
    check_target(tgt_vocab)
    written, index = list[int](), tgt_vocab[BOS]
    while len(written) < num_steps and (index := next_index(index)) != tgt_vocab[EOS]:
        written.append(index)
    return " ".join(tgt_vocab.to_tokens(written))


UNKNOWN_POLICIES = ("unk", "skip", "error")


def read_prefix(prefix: str | Sequence[Any], vocab: Any) -> tuple[list[Any], Callable[[Iterable[Any]], str]]:
    """Return the tokens of a prefix, read as the vocabulary's text was, and the function that joins tokens again.

    Args:
        prefix: A string, or a list of tokens, which are taken as they are.
        vocab: The vocabulary; one without a :class:`~d2lrnn.data.Preparation` was made by hand.
    """
    preparation: Preparation | None = getattr(vocab, "preparation", None)
    if preparation is None:
        # Made by hand: what it has counted says whether it is of words. (With spaces in them they are parts of a text.)
        counted = [token for token, _ in getattr(vocab, "token_freqs", ()) if isinstance(token, str)]
        of_words = any(len(token) > 1 for token in counted) and not any(set(token) & {" ", "\n"} for token in counted)
        words = of_words or not isinstance(prefix, str)
        preparation = Preparation("word" if words else "char", clean="none")
    if not isinstance(prefix, str):
        return list(prefix), preparation.join
    if preparation.clean == "book":
        # Which drops a letter with an accent, and of a letter with the accent behind it drops the accent alone. A text
        # has such letters composed, as good as always, and whoever types a prefix does not see which form it is in
        prefix = with_accents_on(prefix)
    tokens = preparation.prepare(prefix)
    if preparation.clean == "none" and (known := getattr(vocab, "token_to_idx", None)) is not None:
        # A text that is not cleaned has the normal form that it has: of the spellings of the prefix, take the known one
        forms = [prefix, *(normal_form(form, prefix) for form in ("NFC", "NFD"))]
        tokens = min(map(preparation.prepare, forms), key=lambda read: sum(token not in known for token in read))
    return tokens, preparation.join


def fit_prefix(prefix: str, vocab: Vocab, unknown: str = "unk") -> str:
    """Return a prefix as a model reads it: prepared as its text was, and what the text lacks left out or warned about.

    Args:
        prefix: The prefix.
        vocab: The model's vocabulary.
        unknown: What to do with a character, or a word, that the vocabulary lacks: ``'unk'`` warns, and the model reads
            it as ``<unk>``; ``'skip'`` leaves it out; ``'error'`` refuses. The same goes for a prefix of which the
            preparation leaves nothing but a space.

    Raises:
        InputError: If a character is refused, or the policy is unknown.
    """
    if unknown not in UNKNOWN_POLICIES:
        raise InputError(f"unknown policy {unknown!r}: use one of {', '.join(UNKNOWN_POLICIES)}")
    tokens, join = read_prefix(prefix, vocab)
    by_characters = not join(["", ""])
    lacking = sorted({token for token in tokens if token not in vocab.token_to_idx})
    if lacking:
        what = f"prefix {prefix!r} has {'characters' if by_characters else 'words'} that the text lacks"
        what += f": {('' if by_characters else ' ').join(lacking)!r}"
    elif prefix.strip() and not join(tokens).strip():
        what = f"nothing is left of the prefix {prefix!r}, which is cleaned as the text was"
    else:
        return join(tokens)
    if unknown == "error":
        raise InputError(f"{what}; leave them out, or choose what to do with them: 'unk' or 'skip'{also('unknown')}")
    if unknown == "skip":
        return join(token for token in tokens if token not in lacking)
    warnings.warn(what, D2LRNNWarning, stacklevel=2)
    return join(tokens)


def generate(
    prefix: str | Sequence[Any],
    num_preds: int,
    vocab: Vocab,
    step: Callable[[int], npt.NDArray[Any]],
    choose: Chooser,
    *,
    most_probable_tokens: Callable[[int, int], Iterable[int]] | None = None,
) -> str:
    """Warm up on a prefix and continue it token by token (book section 8.5.4).

    Args:
        prefix: A string, which is read as the vocabulary's text was: cleaned, and parted into characters or words; by
            a vocabulary made by hand it is read as it is. Or a list of tokens, which are taken as they are. If it is
            empty, the model begins as after a space (or, where the vocabulary has none, after the most frequent token).
        num_preds: How many tokens to add.
        vocab: The model's vocabulary.
        step: Feeds one token's index to the model and returns the logits of the next, shape (vocab_size,).
        choose: Returns an index for logits; see :func:`token_chooser`.
        most_probable_tokens: Where a backend can choose the most probable token by itself: feeds one token's index, and
            then each time the token that it has chosen, and returns as many as the second argument says. It is used
            where ``choose`` is :func:`most_probable`.

    Returns:
        The prefix, as the model read it, and its continuation, joined as the text was: characters as they are, words
        (and, where a vocabulary made by hand does not know, the tokens of a list) by spaces. A token that the
        vocabulary lacks reads ``<unk>``.

    Raises:
        InputError: If num_preds is negative, or more than :data:`MOST_PREDS`.
    """
    check_num_preds(num_preds)
    tokens, join = read_prefix(prefix, vocab)
    outputs = [vocab[token] for token in tokens]
    before = outputs or [vocab[" "] or min(1, len(vocab) - 1)]
    for index in before[:-1]:  # the warm-up: only the state matters
        step(index)
    last = before[-1]
    if choose is most_probable and most_probable_tokens is not None:
        outputs += map(int, most_probable_tokens(last, num_preds))
    else:
        for _ in range(num_preds):
            last = choose(step(last))
            outputs.append(last)
    return join(vocab.to_tokens(outputs))
