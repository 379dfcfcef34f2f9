"""The Chinese first edition: song lyrics, by characters (its sections 6.3 to 6.8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from d2lrnn.data.corpora import read_text
from d2lrnn.data.text import Preparation
from d2lrnn.editions.characters import CharacterEdition, Characters, in_tables
from d2lrnn.editions.first_editions import Minibatches, iter_consecutive


class _ChineseText(Preparation):
    """How the Chinese edition reads a text: each line break is a space, and all else as it is."""

    def clean_piece(self, piece: str) -> str:
        return piece.replace("\n", " ").replace("\r", " ")


_CHINESE = _ChineseText(clean="none")


def load_data_jay_lyrics(source: str | Path | None = None) -> Characters:
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
    return in_tables(_CHINESE.clean_piece(read_text("lyrics" if source is None else source).content))


class ChineseEdition(CharacterEdition):
    """The functions of ``d2lrnn.<backend>.first_edition_zh``.

    Args:
        backend: What computes.
    """

    shift, preparation = False, _CHINESE

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
