"""The helpers that the book's cells call and that need no framework: timing, sums and plots.

matplotlib and IPython are imported when something is drawn, not before.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence, Sized
from typing import Any

import numpy as np

from d2lrnn.data.arrays import as_array


def in_notebook() -> bool:
    """Tell whether this runs in a Jupyter kernel, which can show figures."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


class Timer:
    """Record several running times, in seconds (book section 3.1). It starts when it is made."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.start()

    def start(self) -> None:
        """Start the timer."""
        self.tik = time.perf_counter()

    def stop(self) -> float:
        """Stop the timer, record the time since its start, and return it."""
        self.times.append(time.perf_counter() - self.tik)
        return self.times[-1]

    def avg(self) -> float:
        """Return the average time."""
        return sum(self.times) / len(self.times)

    def sum(self) -> float:
        """Return the sum of the times."""
        return sum(self.times)

    def cumsum(self) -> list[float]:
        """Return the accumulated times."""
        return [float(seconds) for seconds in np.cumsum(self.times)]


class Accumulator:
    """Sums over ``n`` variables (book section 3.6)."""

    def __init__(self, n: int) -> None:
        self.data = [0.0] * n

    def add(self, *args: Any) -> None:
        """Add one number, or scalar tensor, to each sum."""
        self.data = [a + float(as_array(b)) for a, b in zip(self.data, args, strict=True)]

    def reset(self) -> None:
        """Set the sums to zero."""
        self.data = [0.0] * len(self.data)

    def __getitem__(self, idx: int) -> float:
        return self.data[idx]


def use_svg_display() -> None:
    """Show figures as SVG in a notebook; elsewhere there is nothing to do (book section 2.4)."""
    if in_notebook():
        from matplotlib import pyplot as plt
        from matplotlib_inline import backend_inline

        # Without a date and random names in it, the same figure is the same file
        plt.rcParams["svg.hashsalt"] = "d2lrnn"
        backend_inline.set_matplotlib_formats("svg", metadata={"Date": None})


def lazy_modules(module: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a backend, by which it has modules that are imported once they are asked for.

    These are matplotlib's ``pyplot`` as ``plt``, and ``backend`` under the name that it had: ``interop``.

    Args:
        module: The backend's name.
    """

    def get(name: str) -> Any:
        modules = {"plt": "matplotlib.pyplot", "interop": f"{module}.backend"}
        if name not in modules:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return importlib.import_module(modules[name])

    return get


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """Set the size of matplotlib's figures, in inches (book section 2.4)."""
    from matplotlib import pyplot as plt

    use_svg_display()
    plt.rcParams["figure.figsize"] = figsize


def set_axes(axes: Any, xlabel: Any, ylabel: Any, xlim: Any, ylim: Any, xscale: str, yscale: str, legend: Any) -> None:
    """Set the labels, limits, scales and legend of matplotlib axes (book section 2.4)."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    _draw_as_it_is(axes.xaxis.label, axes.yaxis.label)
    axes.set_xscale(xscale)
    axes.set_yscale(yscale)
    axes.set_xlim(xlim)
    axes.set_ylim(ylim)
    if legend:
        _draw_as_it_is(*axes.legend(legend).get_texts())
    axes.grid()


def _draw_as_it_is(*labels: Any) -> None:
    r"""Let a label with dollar signs be what it is, unless it is a formula, as $\theta$ in a reader's own cell is.

    Matplotlib would raise an error for it, and not before the figure is drawn.
    """
    from matplotlib.mathtext import MathTextParser

    for label in labels:
        if label.get_text().count("$") > 1:
            try:
                MathTextParser("path").parse(label.get_text())
            except ValueError:
                label.set_parse_math(False)


def _as_lines(values: Any) -> list[Any]:
    """Return a list of one-dimensional arrays, from one such array, a list of them, or an array of rows."""
    if hasattr(values, "ndim") and values.ndim == 1:
        return [as_array(values)]
    if isinstance(values, (list, tuple, range)) and not (len(values) and np.ndim(as_array(values[0]))):
        return [as_array(values)]
    return [as_array(line) for line in values]


def plot(
    X: Any,
    Y: Any = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: Sequence[str] | None = None,
    xlim: Any = None,
    ylim: Any = None,
    xscale: str = "linear",
    yscale: str = "linear",
    fmts: Sequence[str] = ("-", "m--", "g-.", "r:"),
    figsize: tuple[float, float] = (3.5, 2.5),
    axes: Any = None,
) -> None:
    """Plot one or several lines (book section 2.4).

    Args:
        X: The abscissae of the line, or of each of the lines; without Y, the ordinates.
        Y: The ordinates of the line or lines: numbers, arrays or any framework's tensors.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        legend: A name for each line.
        xlim: Range of the horizontal axis.
        ylim: Range of the vertical axis.
        xscale: ``'linear'`` or ``'log'``.
        yscale: ``'linear'`` or ``'log'``.
        fmts: matplotlib's format of each line, used in turn.
        figsize: Size in inches.
        axes: The axes to draw into; by default the current ones.
    """
    from matplotlib import pyplot as plt

    set_figsize(figsize)
    axes = axes if axes is not None else plt.gca()
    xs, ys = _as_lines(X), [] if Y is None else _as_lines(Y)
    if not ys:
        xs, ys = [np.arange(len(line)) for line in xs], xs
    if len(xs) != len(ys):
        xs = xs * len(ys)
    axes.cla()
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        axes.plot(x, y, fmts[i % len(fmts)])
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)


def show_list_len_pair_hist(
    legend: Sequence[str], xlabel: str, ylabel: str, xlist: Sequence[Sized], ylist: Sequence[Sized]
) -> None:
    """Draw how long the lists of two lists of lists are, as a histogram of bars in pairs (book section 9.5.2).

    Args:
        legend: A name for each of the two.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        xlist: Lists, such as the words of each source sentence.
        ylist: Lists, such as the words of each target sentence. Their bars are hatched.
    """
    from matplotlib import pyplot as plt

    set_figsize()
    bars: Any
    _, _, bars = plt.hist([[len(words) for words in lists] for lists in (xlist, ylist)])
    plt.xlabel(xlabel)
    plt.ylabel(ylabel)
    for bar in bars[1]:
        bar.set_hatch("/")
    plt.legend(legend)


class Animator:
    """Plot lines that grow while training goes on (book section 3.6).

    In a notebook the figure is shown once and then updated in its place. Elsewhere it is only drawn, as ``fig``.
    The arguments are those of :func:`plot`; ``nrows`` and ``ncols`` are those of ``matplotlib.pyplot.subplots``.
    """

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        legend: Sequence[str] | None = None,
        xlim: Any = None,
        ylim: Any = None,
        xscale: str = "linear",
        yscale: str = "linear",
        fmts: Sequence[str] = ("-", "m--", "g-.", "r:"),
        nrows: int = 1,
        ncols: int = 1,
        figsize: tuple[float, float] = (3.5, 2.5),
    ) -> None:
        from matplotlib import pyplot as plt

        use_svg_display()
        self.fig, self.axes = plt.subplots(nrows, ncols, figsize=figsize, squeeze=False)
        plt.close(self.fig)  # pyplot would show it a second time at the end of the cell
        self._config = (xlabel, ylabel, xlim, ylim, xscale, yscale, legend or [])
        self._fmts = fmts
        self._lines: list[tuple[list[float], list[float]]] = []
        self._handle: Any = None

    def add(self, x: Any, y: Any) -> None:
        """Add one point to each line and draw.

        Args:
            x: The abscissa, or one for each line.
            y: The ordinate, or one for each line; None adds nothing to that line.
        """
        ys = list(y) if hasattr(y, "__len__") else [y]
        xs = list(x) if hasattr(x, "__len__") else [x] * len(ys)
        self._lines += [([], []) for _ in range(len(ys) - len(self._lines))]
        for line, a, b in zip(self._lines, xs, ys, strict=True):
            if a is not None and b is not None:
                line[0].append(float(a))
                line[1].append(float(b))
        axes = self.axes[0, 0]
        axes.cla()
        for i, (line_x, line_y) in enumerate(self._lines):
            axes.plot(line_x, line_y, self._fmts[i % len(self._fmts)])
        set_axes(axes, *self._config)
        self._show()

    def _show(self) -> None:
        if not in_notebook():
            return
        from IPython.display import display

        if self._handle is None:
            self._handle = display(self.fig, display_id=True)
        else:
            self._handle.update(self.fig)
