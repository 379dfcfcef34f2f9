"""What training reports, whichever backend trains: the history, the progress bar, the curve and the last lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from d2lrnn.core.book_tools import Animator, in_notebook
from d2lrnn.core.history import Epoch, History, format_perplexity
from d2lrnn.errors import DivergenceError
from d2lrnn.system.formatting import format_count
from d2lrnn.system.interrupts import DroppedInterrupts
from d2lrnn.system.terminal import close_behind_a_bar, console, visible

_CURVE_POINTS = 50  # how often the curve of a whole training is drawn anew
# A model that guesses among V tokens has a loss of log(V) nats, and a perplexity of V. A minibatch whose loss is more
# than so many times that is far off, and an epoch is absurd if most minibatches of its second half are. Measured in
# PyTorch, with clipping: GRUs at learning rate 10 were at 3.7 for an epoch and came down again, to 0.4; 12 units at
# learning rate 8 went to and fro between 1 and 3.2; where epochs were absurd, at learning rates of 5 to 1e6, the loss
# stayed between 4 and 35 times guessing for good. But four minibatches may be at 319 and all be well after them: a ReLU
# at learning rate 100, as in the first edition, in its first epoch.
ABSURD = 4.0
_ABSURD_STEPS = 16  # minibatches that absurd epochs must have had in a row, before training is given up


Callback = Callable[[int, Epoch], bool | None]


class Snapshot:
    """The weights of a net from before an epoch, to be put back where training diverges.

    Args:
        params: The net's parameters, which training changes in place.
        copy: The backend's function that returns the values of a parameter, as a copy.
        put_back: Gives a parameter such values again, in place.
        is_finite: Tells whether all values of a parameter are finite.
    """

    def __init__(
        self,
        params: Sequence[Any],
        copy: Callable[[Any], Any],
        put_back: Callable[[Any, Any], object],
        is_finite: Callable[[Any], Any],
    ) -> None:
        self._params, self._copy, self._put_back, self._is_finite = params, copy, put_back, is_finite
        self._values: list[Any] = []

    def take(self) -> None:
        """Keep the weights that the net has now."""
        self._values = [self._copy(param) for param in self._params]

    def put_back(self) -> None:
        """Give the net the weights that were kept last."""
        for param, value in zip(self._params, self._values, strict=True):
            self._put_back(param, value)

    @property
    def finite(self) -> bool:
        """Whether all the weights that the net has now are finite."""
        return all(bool(self._is_finite(param)) for param in self._params)


class Monitor:
    """Follows one training: a context manager around the loop over epochs.

    Args:
        num_epochs: How many epochs there will be.
        snapshot: Of the net's weights. It is taken before each epoch, unless the one before was absurd.
        vocab_size: Tokens of the vocabulary: how bad guessing is. Without it only a loss that is no number is bad.
        history: The record of earlier epochs to go on from; it is copied.
        quiet: Show and print nothing.
        callback: Called after each epoch with its number and its :class:`Epoch`; training ends if it returns True.

    Attributes:
        history: The :class:`History` so far.
    """

    def __init__(
        self,
        num_epochs: int,
        snapshot: Snapshot | None = None,
        *,
        vocab_size: int | None = None,
        history: History | None = None,
        quiet: bool = False,
        callback: Callback | None = None,
    ) -> None:
        self.history = History() if history is None else history.copy()
        self.num_epochs, self.quiet, self.callback = len(self.history) + num_epochs, quiet, callback
        self._snapshot = snapshot
        self._guessing = math.inf if vocab_size is None else math.log(max(vocab_size, 2))
        # Where the absurd epochs began that are the last ones: the epoch, the minibatch, and what happened there
        self._absurd_since: tuple[int, int, str] | None = None
        self._absurd_steps = 0
        self._stopped = False
        self._bar: _TerminalBar | _NotebookBar | None = None
        self._animator: Animator | None = None
        self._interrupts = DroppedInterrupts()

    def __enter__(self) -> Monitor:
        self._interrupts.__enter__()
        if not self.quiet:
            if in_notebook():
                self._bar = _NotebookBar(self.num_epochs)
            elif sys.stderr.isatty():
                self._bar = _TerminalBar(self.num_epochs)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._interrupts.__exit__(kind, error, traceback)
        if self._bar is not None:
            self._bar.close()

    @property
    def epochs(self) -> Iterator[int]:
        """The numbers of the epochs to come, until the callback ends the training."""
        for number in range(len(self.history) + 1, self.num_epochs + 1):
            if self._stopped:
                return
            if self._snapshot is not None and self.sane:
                self._snapshot.take()
            yield number

    @property
    def sane(self) -> bool:
        """Whether the weights are worth keeping: the last epoch, if there was one, was not absurd (:data:`ABSURD`)."""
        return self._absurd_since is None

    def _far_off(self, epoch: Epoch) -> npt.NDArray[Any]:
        """Tell of each minibatch whether its loss is far worse than guessing."""
        return np.asarray(epoch.losses) > ABSURD * self._guessing

    def _is_absurd(self, epoch: Epoch) -> bool:
        second_half = self._far_off(epoch)[len(epoch.losses) // 2 :]
        return bool(2 * np.count_nonzero(second_half) > len(second_half))

    def _where_absurd(self, number: int, epoch: Epoch) -> tuple[int, int, str]:
        largest = format_perplexity(float(np.max(np.asarray(epoch.losses))), 1)
        what = f"the loss rose to {largest} nats a token, where guessing has {self._guessing:.1f},"
        return number, int(np.argmax(self._far_off(epoch))) + 1, what

    def diverged(self, epoch: Epoch, finite: bool = True) -> tuple[int, int, str] | None:
        """Tell whether training has diverged.

        Args:
            epoch: The epoch that was trained last, before it is added.
            finite: Whether all the weights after it are finite.

        Returns:
            The epoch and its minibatch, both counted from 1, where it began, and what happened there; or None.
        """
        number = len(self.history) + 1
        bad = epoch.first_bad_step
        if bad is not None or not finite:
            what = f"{'the loss' if bad is not None else 'a weight'} became NaN or infinite"
            return self._absurd_since or (number, bad or len(epoch.losses), what)
        if not self._is_absurd(epoch):
            return None
        if self._absurd_steps + len(epoch.losses) < _ABSURD_STEPS and number < self.num_epochs:
            return None
        return self._absurd_since or self._where_absurd(number, epoch)

    def check(self, epoch: Epoch, finite: bool | None = None) -> None:
        """Check that training has not diverged; where it has, the last weights that were :attr:`sane` are put back.

        Args:
            epoch: The epoch that was trained last, before it is added.
            finite: Whether all the weights after it are finite; None to look at them.

        Raises:
            DivergenceError: If a loss of it, or a weight after it, is NaN or infinite, or its losses are far worse than
                guessing, and have been so for some minibatches or to the end of training.
        """
        if finite is None:
            finite = self._snapshot is None or self._snapshot.finite
        if (diverged := self.diverged(epoch, finite)) is None:
            return
        if self._snapshot is not None:
            self._snapshot.put_back()
        began, step, what = diverged
        raise DivergenceError(
            f"{what} at epoch {began}, step {step}: the weights from before that epoch are kept; try a smaller "
            "learning rate",
            began,
            step,
            self.history.first(began - 1),
        )

    def add(self, number: int, epoch: Epoch, *, finite: bool = True, valid_perplexity: float | None = None) -> None:
        """Record an epoch and show it.

        Raises:
            DivergenceError: As :meth:`check`.
            KeyboardInterrupt: If Ctrl-C came during the epoch, and Python dropped it
                (:class:`~d2lrnn.system.interrupts.DroppedInterrupts`).
        """
        self.check(epoch, finite)
        absurd = self._is_absurd(epoch)
        if absurd:
            self._absurd_since = self._absurd_since or self._where_absurd(number, epoch)
        else:
            self._absurd_since = None
        self._absurd_steps = self._absurd_steps + len(epoch.losses) if absurd else 0
        epoch = replace(epoch, valid_perplexity=valid_perplexity, absurd=absurd)
        self.history.add(number, epoch)
        if self._bar is not None:
            self._bar.update(number, epoch.perplexity, epoch.tokens_per_second)
        if isinstance(self._bar, _NotebookBar) and is_time_to_draw(number, self.num_epochs):
            self._draw(number)
        if self.callback is not None:
            self._stopped = self.callback(number, epoch) is True
        self._interrupts.check()

    def _draw(self, number: int) -> None:
        valid = self.history.valid_perplexity
        if self._animator is None:
            legend = ["train", "held out"] if valid else ["train"]
            xlim = [min(10, self.num_epochs - 1), self.num_epochs] if self.num_epochs > 1 else None
            self._animator = Animator(xlabel="epoch", ylabel="perplexity", legend=legend, xlim=xlim)
        self._animator.add(number, [self.history.perplexity[-1], *valid[-1:]])

    def report(self, device: object, predict: Callable[[str], str], prefixes: Sequence[str]) -> History:
        """Print the last lines in the book's form, and return the history.

        The speed is the median of the epochs rather than the last one's, which swings.
        """
        if not self.quiet:
            reached = format_perplexity(self.history.perplexity[-1], 1)
            print(f"perplexity {reached}, {self.history.speed:.1f} tokens/sec on {device}")
            if self.history.valid_perplexity:
                print(f"held-out perplexity {format_perplexity(self.history.valid_perplexity[-1], 1)}")
            for prefix in prefixes:
                print(visible(predict(prefix)))
        return self.history

    def report_loss(self, device: object) -> History:
        """Print the last line of a translation model in the book's form, and return the history."""
        if not self.quiet:
            loss = format_perplexity(math.log(self.history.perplexity[-1]), 3)
            print(f"loss {loss}, {self.history.speed:.1f} tokens/sec on {device}")
        return self.history


def is_time_to_draw(number: int, num_epochs: int) -> bool:
    """Tell whether the curve of a training is drawn anew after an epoch: some fifty times in all, and at the end."""
    return number == num_epochs or number % max(1, num_epochs // _CURVE_POINTS) == 0


def format_progress(perplexity: float, tokens_per_second: float) -> str:
    """Return how far training has come, as a progress bar tells it."""
    return f"perplexity {format_perplexity(perplexity, 2)}, {format_count(tokens_per_second)} tokens/s"


class _TerminalBar:
    """A bar on the terminal's error stream, so that standard output stays clean."""

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"),
            TimeRemainingColumn(), console=console(stderr=True), transient=True,
            # what a callback prints goes above the bar, but not where it would leave a file or a pipe for the terminal
            redirect_stdout=sys.stdout.isatty(),
        )  # fmt: skip
        self._task = self._progress.add_task("", total=total)
        self._progress.start()
        close_behind_a_bar()

    def update(self, done: int, perplexity: float, tokens_per_second: float) -> None:
        self._progress.update(self._task, completed=done, description=format_progress(perplexity, tokens_per_second))

    def close(self) -> None:
        self._progress.stop()


class _NotebookBar:
    """A bar of plain HTML, which needs no widget extension and stays in the saved notebook as text."""

    def __init__(self, total: int) -> None:
        from IPython.display import display

        self._total = total
        self._handle: Any = display(self._content(0, "training"), display_id=True)

    def _content(self, done: int, summary: str) -> Any:
        return _NotebookContent(done, self._total, summary)

    def update(self, done: int, perplexity: float, tokens_per_second: float) -> None:
        self._handle.update(self._content(done, format_progress(perplexity, tokens_per_second)))

    def close(self) -> None:
        """Leave the last state where it stands."""


@dataclass(frozen=True)
class _NotebookContent:
    done: int
    total: int
    summary: str

    def __repr__(self) -> str:
        return f"epoch {self.done}/{self.total}, {self.summary}"

    def _repr_html_(self) -> str:
        return f'<progress value="{self.done}" max="{self.total}"></progress> {self!r}'
