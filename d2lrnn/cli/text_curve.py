"""The curve of a training in plain text, line by line: for a terminal, a pipe or a log."""

from __future__ import annotations

import contextlib
import math
import sys

from d2lrnn.core.history import Epoch, format_perplexity

_WIDTH = 40  # of the first line's bar, in characters


class TextCurve:
    """A callback of :func:`d2lrnn.runs.training.train` that prints a line now and then: perplexities, and bars.

    A bar is as long as the loss, the logarithm of the perplexity. The first one has the full width; a model that knows
    every next token would have none.

    Args:
        every: Print the first epoch, and those whose number is a multiple of this.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._printed = False
        self._longest = 0.0

    def __call__(self, number: int, epoch: Epoch) -> None:
        """Print the line of an epoch, if it has one."""
        if self._printed and number % self.every:
            return
        self._printed = True
        share = 1.0
        if math.isfinite(epoch.loss):
            self._longest = self._longest or epoch.loss
            share = min(epoch.loss / self._longest, 1.0) if self._longest else 0.0
        held_out = epoch.valid_perplexity
        with contextlib.suppress(OSError):  # whoever reads may have gone; the training goes on
            print(
                f"epoch {number:>3}  perplexity {format_perplexity(epoch.perplexity, 2):>6}  {_bar(share)}"
                + (f"  held out {format_perplexity(held_out, 2)}" if held_out is not None else ""),
                flush=True,
            )


def _bar(share: float) -> str:
    """Return a bar of blocks, which are as fine as an eighth, or of # where the output cannot show them."""
    eighths = round(8 * _WIDTH * share)
    blocks = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]
    try:
        blocks.encode(getattr(sys.stdout, "encoding", None) or "ascii")  # a service may have no output
    except UnicodeEncodeError:
        return "#" * round(_WIDTH * share)
    return blocks.rstrip()
