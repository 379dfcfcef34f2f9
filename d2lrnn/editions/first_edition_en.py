"""The English first edition, versions 0.5 and 0.6: The Time Machine by characters, with its punctuation."""

from __future__ import annotations

import re

from d2lrnn.data.corpora import read_text
from d2lrnn.data.text import Preparation
from d2lrnn.editions.characters import CharacterEdition, Characters, in_tables
from d2lrnn.editions.first_editions import ShiftedEdition


class _EnglishText(Preparation):
    """How the English edition reads a text: in lower case, and each line break is a space."""

    def clean_piece(self, piece: str) -> str:
        return re.sub(r"\r\n|\r|\n", " ", piece).lower()


_ENGLISH = _EnglishText(clean="none")


def load_data_time_machine() -> Characters:
    """Load The Time Machine as the English edition does, by characters, in lower case and with its punctuation.

    Each line break is a space, otherwise white space stays as it is. The draft after this edition returns two values
    instead: :mod:`d2lrnn.editions.first_edition_en_draft`.

    Returns:
        The list of the indices of the first 10,000 characters; the index of each character, a dict without ``<unk>``;
        the character of each index, a list in the order of first occurrence (the edition's order was another one in
        each process); and how many different characters there are.
    """
    return in_tables(_ENGLISH.clean_piece(read_text("time-machine").content))


class EnglishEdition(ShiftedEdition, CharacterEdition):
    """The functions of ``d2lrnn.<backend>.first_edition_en``.

    Args:
        backend: What computes.
    """

    preparation = _ENGLISH
