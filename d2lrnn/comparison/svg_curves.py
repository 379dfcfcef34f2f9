"""Curves over a logarithmic axis as SVG: text that a browser draws, whose colours and strokes CSS decides.

Nothing here knows about training. A value that is no finite number leaves a gap in its curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from d2lrnn.system.formatting import THIN, format_power, format_scientific

MOST_POINTS = 400  # of a path; more than the pixels that there are for it
_MULTIPLES = ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
_LEAST, _MOST = 1e-300, 1e300
_LETTER = 7.0  # width of a digit of the labels, about
Tick = tuple[float, str]


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        name: Its class in the SVG, which CSS gives a colour and a dash.
        x: Where it has values.
        y: The values. None, NaN and infinity are gaps, and so are zero and less, which have no logarithm, and
            what is so large or so small that an axis around it would not fit into a float.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]


def drawable(value: float | None) -> bool:
    """Return whether a value has a place on a logarithmic axis, whose ends are still numbers."""
    return value is not None and _LEAST <= value <= _MOST


def _nice_step(span: float, most: int) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten with which at most so many steps fit into a span."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))


def whole_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Return ticks at whole numbers, the first of the range among them.

    Args:
        low: Where the range begins.
        high: Where it ends.
        most: How many ticks there may be, more or less.
    """
    first, last = math.ceil(low), math.floor(high)
    step = max(1, round(_nice_step(max(last - first, 1), most)))
    values = list(range(step * math.ceil(first / step), last + 1, step))
    if not values or values[0] > first:
        # a neighbour that is too near makes room for it
        values = [first, *[value for value in values if value - first > 0.6 * step]]
    return [(float(value), f"{value:,}") for value in values]


def log_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Return the ticks of a logarithmic axis: powers of ten, their multiples, or whatever a short range needs.

    Args:
        low: The decimal logarithm of where the axis begins.
        high: That of where it ends.
        most: How many ticks there may be, at least 3.

    Returns:
        The decimal logarithm of each tick, and its label.
    """
    powers = range(math.floor(low), math.ceil(high) + 1)
    for multiples in _MULTIPLES:
        places = [(power + math.log10(multiple), multiple, power) for power in powers for multiple in multiples]
        places = [place for place in places if low <= place[0] <= high]
        if 3 <= len(places) <= most:
            return [(place, _label(multiple, power)) for place, multiple, power in places]
    whole = [power for power in powers if low <= power <= high]
    if len(whole) > most:
        step = math.ceil(len(whole) / most)
        return [(float(power), _label(1, power)) for power in whole if power % step == 0]
    # less than a decade or so: steps of equal size, which the axis then shows closer and closer
    start, end = 10.0**low, 10.0**high
    size = _nice_step(end - start, most)
    if math.floor(end / size) - math.ceil(start / size) < 2:  # two ticks or fewer
        size = _nice_step(end - start, 2 * most)
    exponent = math.floor(math.log10(size))
    values = [count * size for count in range(math.ceil(start / size), math.floor(end / size) + 1)]
    if exponent < -4 or end >= 1e6:
        return [
            (math.log10(value), format_scientific(value, max(0, math.floor(math.log10(value)) - exponent)))
            for value in values
        ]
    return [(math.log10(value), f"{value:,.{max(0, -exponent)}f}") for value in values]


def _label(multiple: int, power: int) -> str:
    if -3 <= power <= 5:
        return f"{multiple * 10.0**power:,.{max(0, -power)}f}"
    return format_power(power) if multiple == 1 else f"{multiple}{THIN}×{THIN}{format_power(power)}"


def sampled(count: int, most: int) -> list[int]:
    """Return at most so many positions of a sequence, evenly spread, the first and the last among them."""
    return [int(place) for place in np.unique(np.linspace(0, count - 1, min(count, most)).round())]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return fewer points with the same outline: of each group the first, the lowest, the highest and the last."""
    if len(points) <= MOST_POINTS:
        return points
    kept: list[tuple[float, float]] = []
    for group in np.array_split(np.arange(len(points)), MOST_POINTS // 4):
        heights = [points[place][1] for place in group]
        places = {0, int(np.argmin(heights)), int(np.argmax(heights)), len(group) - 1}
        kept += [points[group[place]] for place in sorted(places)]
    return kept


def _path(curve: Curve, across: Scale, up: Scale) -> str:
    """Return a curve's path; a point without neighbours is a dot."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(curve.x, curve.y, strict=False):
        if y is None or not drawable(y):
            runs.append([])
        else:
            runs[-1].append((across(x), up(math.log10(y))))
    lines, dots = [], []
    for run in runs:
        if len(run) == 1:
            dots.append(f'<circle class="dot {escape(curve.name)}" cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="4"/>')
        elif run:
            lines.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in _thinned(run)))
    path = f'<path class="curve {escape(curve.name)}" d="{"".join(lines)}"/>' if lines else ""
    return path + "".join(dots)


@dataclass(frozen=True)
class Scale:
    """A line of numbers laid on a line of pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a number."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def draw_curves(
    curves: Sequence[Curve],
    *,
    identity: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    width: int,
    height: int,
    least_decades: float,
    rule: float | None = None,
    rule_label: str = "",
    variant: str = "",
) -> str:
    """Return an SVG element with curves over a linear axis of whole numbers and a logarithmic one.

    Args:
        curves: What to draw, the first below the others.
        identity: What the ids in it begin with, unique in the page.
        title: A name for those who do not see it.
        description: What is to be seen, in words.
        x_label: What the horizontal axis counts.
        y_label: What the vertical axis measures.
        width: Width in the units of which a letter is about seven wide.
        height: Height in the same units.
        least_decades: How much the vertical axis shows at least; where curves hardly differ, they should look so.
        rule: Where a vertical line stands, if it does.
        rule_label: What is written beside it.
        variant: A further class of the element.

    Returns:
        The element. Its ``data-x`` has the first and the last number of the horizontal axis and their pixels, for a
        script; a line of class ``cursor``, which is not shown, is there for the script to move.
    """
    numbers = [math.log10(y) for curve in curves for y in curve.y if y is not None and drawable(y)]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    margin = max(0.05 * (high - low), (least_decades - (high - low)) / 2)
    low, high = low - margin, high + margin
    places = [x for curve in curves for x in curve.x] or [1.0]
    first, last = min(places), max(places)
    if first == last:
        first, last = first - 0.5, last + 0.5

    top, bottom = 38.0, 46.0
    right = max(14.0, _LETTER * len(f"{last:,.0f}") / 2)  # half of the last label
    y_ticks = log_ticks(low, high, max(4, int(height // 44)))
    left = 14 + _LETTER * max((len(label) for _, label in y_ticks), default=1)
    across = Scale(first, last, left, width - right)
    up = Scale(low, high, height - bottom, top)
    x_ticks = whole_ticks(first, last, max(3, int((width - left) // (34 + _LETTER * len(f"{last:,.0f}")))))

    floor = height - bottom
    parts = [
        f'<svg class="chart {escape(variant)}" role="img" viewBox="0 0 {width} {height}" '
        f'aria-labelledby="{identity}-title {identity}-desc" '
        f'data-x="{first:g} {last:g} {left:.1f} {width - right:.1f} {width}">',
        f'<title id="{identity}-title">{escape(title)}</title><desc id="{identity}-desc">{escape(description)}</desc>',
        f'<text class="name" x="0" y="13">{escape(y_label)}</text>',
        f'<text class="name" x="{width - right:.1f}" y="{height - 6}" text-anchor="end">{escape(x_label)}</text>',
    ]
    for place, label in y_ticks:
        y = up(place)
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{width - right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8:.1f}" y="{y + 4.5:.1f}" text-anchor="end">{label}</text>')
    parts.append(f'<line class="axis" x1="{left:.1f}" x2="{width - right:.1f}" y1="{floor:.1f}" y2="{floor:.1f}"/>')
    for place, label in x_ticks:
        x = across(place)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor:.1f}" y2="{floor + 5:.1f}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{floor + 20:.1f}" text-anchor="middle">{label}</text>')
    if rule is not None and first < rule < last:
        x = across(rule)
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{floor:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{top - 5:.1f}" text-anchor="middle">{escape(rule_label)}</text>'
        )
    parts += [_path(curve, across, up) for curve in curves]
    if not numbers:
        middle = (left + width - right) / 2
        parts.append(
            f'<text class="tick" x="{middle:.1f}" y="{(top + floor) / 2:.1f}" text-anchor="middle">'
            "no value to draw</text>"
        )
    parts.append(f'<line class="cursor" x1="{left:.1f}" x2="{left:.1f}" y1="{top:.1f}" y2="{floor:.1f}"/></svg>')
    return "".join(parts)
