"""The plot that grows while a model of edition 1.0 is trained (edition 1.0, section 3.2.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from d2lrnn.core.book_tools import in_notebook, set_axes, use_svg_display
from d2lrnn.data.arrays import as_array
from d2lrnn.edition_1.hyperparameters import HyperParameters


class Point(NamedTuple):
    """A point of a line."""

    x: float
    y: float


def _mean(points: Sequence[Point]) -> Point:
    return Point(sum(point.x for point in points) / len(points), sum(point.y for point in points) / len(points))


class ProgressBoard(HyperParameters):
    """A plot of several lines that grow (edition 1.0, section 3.2.1).

    In a notebook the figure is shown once and then updated in its place. Elsewhere nothing is drawn, and the points are
    kept all the same.

    Args:
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        xlim: Range of the horizontal axis.
        ylim: Range of the vertical axis.
        xscale: ``'linear'`` or ``'log'``.
        yscale: ``'linear'`` or ``'log'``.
        ls: matplotlib's styles of the lines, used in turn.
        colors: matplotlib's colors of the lines, used in turn.
        fig: The figure to draw into; by default a new one.
        axes: The axes to draw into; by default those of the figure.
        figsize: Size of a new figure in inches.
        display: Whether to draw at all.

    Attributes:
        data: The :class:`Point` s of each line, by its label.
        raw_points: Of each line the points that wait to be put together.
    """

    xlabel: str | None
    ylabel: str | None
    xlim: Any
    ylim: Any
    xscale: str
    yscale: str
    ls: Sequence[str]
    colors: Sequence[str]
    fig: Any
    axes: Any
    figsize: tuple[float, float]
    display: bool

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        xlim: Any = None,
        ylim: Any = None,
        xscale: str = "linear",
        yscale: str = "linear",
        ls: Sequence[str] = ("-", "--", "-.", ":"),
        colors: Sequence[str] = ("C0", "C1", "C2", "C3"),
        fig: Any = None,
        axes: Any = None,
        figsize: tuple[float, float] = (3.5, 2.5),
        display: bool = True,
    ) -> None:
        self.save_hyperparameters()
        self.data: dict[str, list[Point]] = {}
        self.raw_points: dict[str, list[Point]] = {}
        self._handle: Any = None
        self._held = False

    def draw(self, x: Any, y: Any, label: str, every_n: int = 1) -> None:
        """Add a point to a line, and draw.

        Args:
            x: Its abscissa, a number or a tensor of any framework that holds one.
            y: Its ordinate, likewise.
            label: The line's.
            every_n: Put so many points together to one, their mean; 0 is as 1.
        """
        line, points = self.data.setdefault(label, []), self.raw_points.setdefault(label, [])
        points.append(Point(float(as_array(x)), float(as_array(y))))
        if len(points) < every_n:
            return
        line.append(_mean(points))
        points.clear()
        if not self._held:
            self.show()

    def figure(self) -> Any:
        """Return matplotlib's figure with the lines as they are now."""
        from matplotlib import pyplot as plt

        use_svg_display()
        if self.axes is None:
            if self.fig is None:
                self.fig = plt.figure(figsize=self.figsize)
                plt.close(self.fig)  # pyplot would show it a second time at the end of the cell
            self.axes = self.fig.gca()
        self.fig = self.axes.figure
        self.axes.cla()
        for number, line in enumerate(self.data.values()):
            style, color = self.ls[number % len(self.ls)], self.colors[number % len(self.colors)]
            self.axes.plot([point.x for point in line], [point.y for point in line], linestyle=style, color=color)
        limits = self.xlim or None, self.ylim or None
        set_axes(self.axes, self.xlabel or "x", self.ylabel, *limits, self.xscale, self.yscale, list(self.data))
        return self.fig

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Begin new lines, and leave it to the caller, while this lasts, when to :meth:`show` them, in a new place."""
        self.data.clear()
        self.raw_points.clear()
        self._handle, self._held = None, True
        try:
            yield
        finally:
            self._held = False

    def show(self) -> None:
        """Show the figure as it is now, where there is a notebook, and drawing is asked for."""
        if not (self.display and self.data and in_notebook()):
            return
        from IPython.display import display

        figure = self.figure()
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)
