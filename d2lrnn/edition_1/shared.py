"""What the tabs of edition 1.0 share: the names that need no framework, for ``d2l.`` in each of them."""

from d2lrnn.core.book_tools import (
    Accumulator,
    Timer,
    plot,
    set_axes,
    set_figsize,
    show_list_len_pair_hist,
    use_svg_display,
)
from d2lrnn.data import DATA_HUB, DATA_URL, bleu, tokenize
from d2lrnn.edition_1.board import ProgressBoard
from d2lrnn.edition_1.downloads import download, extract
from d2lrnn.edition_1.hyperparameters import HyperParameters, add_to_class
from d2lrnn.edition_1.texts import Vocab, check_len, check_shape

__all__ = [
    "DATA_HUB",
    "DATA_URL",
    "Accumulator",
    "HyperParameters",
    "ProgressBoard",
    "Timer",
    "Vocab",
    "add_to_class",
    "bleu",
    "check_len",
    "check_shape",
    "download",
    "extract",
    "plot",
    "set_axes",
    "set_figsize",
    "show_list_len_pair_hist",
    "tokenize",
    "use_svg_display",
]
