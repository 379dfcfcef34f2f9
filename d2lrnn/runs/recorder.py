"""What follows a training epoch by epoch, writes its checkpoints, and ends it when patience has run out."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from d2lrnn.core.history import Epoch, History, format_perplexity
from d2lrnn.core.monitor import Callback
from d2lrnn.errors import D2LRNNError, D2LRNNWarning, DivergenceError, StorageError, shortened
from d2lrnn.runs.folder_files import State, best_epoch
from d2lrnn.runs.run_config import MOST_TEXT
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.runs.show import draw_history
from d2lrnn.weights.canonical import Weights

_SAMPLES = 20  # how often, at most, a training lets the model continue its prefixes for the folder
_SECONDS_BETWEEN_CURVES = 10.0  # of a training that goes on; drawing takes a good part of a second


def in_words(error: BaseException) -> str:
    """Return an error as a line of text that can be kept: its kind where it is none of ours, and what it says."""
    said = shortened(" ".join(str(error).split()), MOST_TEXT // 2).encode("utf-8", "replace").decode()
    return (
        said if isinstance(error, D2LRNNError) else f"{type(error).__name__}: {said}" if said else type(error).__name__
    )


def patience_is_out(settings: Settings, history: History, begin: int = 0) -> bool:
    """Tell whether the held-out perplexity has not improved for as many epochs as patience lasts.

    Args:
        settings: With ``patience``, or None in it for never.
        history: The epochs so far.
        begin: Only the epochs after this one count.
    """
    if settings.patience is None or not len(history):
        return False
    return len(history) - (best_epoch(history, begin) or begin) >= settings.patience


@dataclass(frozen=True)
class _Kept:
    """A whole epoch: all of its :class:`~d2lrnn.runs.folder_files.State` but the history, which goes on to grow."""

    epoch: int
    weights: Weights
    random_state: dict[str, Any]
    best: Weights | None
    best_epoch: int | None
    samples: str


class Recorder:
    """Follows a training epoch by epoch, writes its checkpoints, and ends it when patience has run out.

    Used around the training, it writes the last complete epoch in whatever way the training ends.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        history: History,
        settings: Settings,
        checkpoint_every: int,
        callback: Callback | None,
        *,
        weights: Callable[[], Weights],
        random_state: Callable[[], dict[str, Any]],
        predict: Callable[[str], str],
    ) -> None:
        self.folder, self.settings, self.checkpoint_every, self.callback = folder, settings, checkpoint_every, callback
        self.history = history.copy()
        # The first epochs with the smallest held-out perplexity: of all, and of those after which patience counts
        self.patience_from: int = folder.config.get("patience_from", 0) if folder is not None else 0
        self.best, self.best_in_patience = (best_epoch(history, begin) for begin in (0, self.patience_from))
        self.weights, self.random_state, self.predict = weights, random_state, predict
        state = None if folder is None else folder.state
        self.kept: _Kept | None = None
        self.best_weights = None if state is None else state.best
        if state is not None:
            self.kept = _Kept(
                len(state.history), state.weights, state.random_state, state.best, self.best, state.samples
            )
        self.stopped_early = False
        self.seconds_before: float = folder.config.get("seconds", 0.0) if folder is not None else 0.0
        self.begin = self.curve_drawn = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The time that the whole run has taken so far."""
        return self.seconds_before + time.perf_counter() - self.begin

    def __call__(self, number: int, epoch: Epoch) -> bool:
        """Record an epoch; return whether training should end."""
        self.history.add(number, epoch)
        # Before anything that may be interrupted: an epoch is the last one or is not, however the training ends
        self.best, self.best_in_patience = self._better(number, self.best), self._better(number, self.best_in_patience)
        patience = self.settings.patience
        waited = number - (self.best_in_patience or self.patience_from)
        # (An absurd epoch is none to end with: training recovers from it, or has diverged soon)
        self.stopped_early = patience is not None and waited >= patience and not epoch.absurd
        if self.folder is not None:
            weights = self.weights() if self.best == number or not epoch.absurd else None
            if self.best == number:
                self.best_weights = weights
            if not epoch.absurd:  # or the weights before it stay the last good ones, unless a later one is better
                self._remember(number, weights)
            if number % self.checkpoint_every == 0 and number < self.settings.epochs:
                self._checkpoint()
        stop = self.callback is not None and self.callback(number, epoch) is True
        return stop or self.stopped_early

    def _better(self, number: int, best: int | None) -> int | None:
        """Return which of two epochs has the smaller held-out perplexity: the last one, or the best one before."""
        values = self.history.valid_perplexity
        if not values or math.isnan(values[number - 1]):
            return best
        return number if best is None or values[number - 1] < values[best - 1] else best

    def _remember(self, number: int, weights: Any) -> None:
        """Keep what a checkpoint needs, all at once, so that Ctrl-C finds this epoch whole or the one before.

        The history only grows: that of this epoch is its beginning (:meth:`_state`).
        """
        samples = self.kept.samples if self.kept is not None else ""
        every = max(1, self.settings.epochs // _SAMPLES)
        if number % every == 0 or number == self.settings.epochs:
            lines = [f"epoch {number}, perplexity {format_perplexity(self.history.perplexity[-1])}"]
            samples += "\n".join([*lines, *map(self.predict, self.settings.prefixes), "", ""])
        self.kept = _Kept(number, weights, dict(self.random_state()), self.best_weights, self.best, samples)

    def _state(self) -> State | None:
        """Return the state of the last whole epoch, or None before the first one."""
        if (kept := self.kept) is None:
            return None
        return State(kept.weights, self.history.first(kept.epoch), kept.random_state, kept.best, kept.samples)

    def _checkpoint(self) -> None:
        """Write a checkpoint while training goes on; what cannot be written now may be at the next one."""
        try:
            self._save("unfinished")
        except StorageError as error:
            warnings.warn(f"{error} (training goes on, and tries again)", D2LRNNWarning, stacklevel=2)
            return
        if time.perf_counter() - self.curve_drawn > _SECONDS_BETWEEN_CURVES:
            self._draw()

    def _save(self, status: str, error: str | None = None) -> None:
        assert self.folder is not None  # as wherever this is called
        if (state := self._state()) is None:
            self.folder.mark(status, error)
        else:
            assert self.kept is not None  # of which the state is made
            best = self.kept.best_epoch
            self.folder.save(state, status, error, best_epoch=best, seconds=round(self.seconds, 3))

    def _draw(self) -> None:
        if self.folder is None or (state := self._state()) is None:
            return
        try:
            self.folder.draw(draw_history(state.history))
        except Exception as error:  # of whatever kind: a picture is not worth a run
            warnings.warn(f"the curve is not drawn: {in_words(error)}", D2LRNNWarning, stacklevel=2)
        self.curve_drawn = time.perf_counter()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.folder is None:
            return
        done = self.kept.epoch if self.kept is not None else 0
        if isinstance(error, DivergenceError):
            status = "diverged"
        elif done >= self.settings.epochs:
            status = "complete"
        elif self.stopped_early and done == len(self.history):
            status = "stopped early"
        else:  # what is no Exception is Ctrl-C or the like
            status = "failed" if isinstance(error, Exception) else "interrupted"
        self._save(status, in_words(error) if error is not None and status in ("diverged", "failed") else None)
        self._draw()
