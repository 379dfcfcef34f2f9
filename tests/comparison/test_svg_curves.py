"""The curves of a report, drawn as SVG."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from d2lrnn.comparison import svg_curves


@given(st.floats(-300, 300), st.floats(0.05, 200), st.integers(4, 10))
def test_a_logarithmic_axis_has_ticks_that_can_be_told_apart(low, span, most):
    ticks = svg_curves.log_ticks(low, low + span, most)
    places, labels = zip(*ticks, strict=True)
    assert 2 <= len(ticks) <= max(most + 1, 8)
    assert all(low - 1e-9 <= place <= low + span + 1e-9 for place in places)
    assert all(a < b for a, b in pairwise(places))
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 14


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.9, 45.0, ["1", "2", "5", "10", "20"]),
        (9.8, 26.0, ["10", "15", "20", "25"]),
        (1e-8, 1.5e-4, ["10⁻⁸", "10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴"]),
        (1.02, 1.11, ["1.02", "1.04", "1.06", "1.08", "1.10"]),
    ],
)
def test_the_ticks_of_a_logarithmic_axis(low, high, labels):
    assert [label for _, label in svg_curves.log_ticks(math.log10(low), math.log10(high), 7)] == labels


@given(st.integers(1, 10), st.integers(0, 100_000), st.integers(3, 12))
def test_an_axis_of_whole_numbers_has_whole_ticks(first, count, most):
    ticks = svg_curves.whole_ticks(first, first + count, most)
    values = [value for value, _ in ticks]
    assert values[0] == first
    assert all(value == int(value) and first <= value <= first + count for value in values)
    assert all(a < b for a, b in pairwise(values))
    assert len(values) <= most + 2
    assert [int(label.replace(",", "")) for _, label in ticks] == values


def draw(ys, xs=None, **options):
    curve = svg_curves.Curve("torch", range(1, len(ys) + 1) if xs is None else xs, ys)
    root = ElementTree.fromstring(
        svg_curves.draw_curves(
            [curve], identity="a", title="t", description="d", x_label="x", y_label="y",
            width=400, height=300, least_decades=0.5, **options,
        )
    )  # fmt: skip
    paths = [path.get("d") for path in root.iter("path")]
    return root, [re.findall(r"([\d.]+) ([\d.]+)", line) for path in paths for line in path.split("M")[1:]]


def test_a_curve_falls_where_its_values_do():
    _, (line,) = draw([100.0, 10.0, 1.0])
    xs, ys = ([float(point[axis]) for point in line] for axis in (0, 1))
    assert xs == sorted(xs)
    assert ys == sorted(ys)  # down is a larger y
    assert ys[1] - ys[0] == pytest.approx(ys[2] - ys[1], abs=0.2)  # equal factors are equal distances


def test_what_has_no_logarithm_is_a_gap():
    root, lines = draw([3.0, 2.0, None, 2.0, math.inf, 1.5, 1.4, math.nan, 0.0, -1.0])
    assert [len(line) for line in lines] == [2, 2]
    assert len(list(root.iter("circle"))) == 1  # the one between two gaps
    root, lines = draw([None, math.inf])
    assert lines == []
    assert "no value to draw" in "".join(root.itertext())


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=30))
@example([1.7976931348623157e308])
@example([5e-324, 1e-310])
@example([1e300, 1e300])
def test_no_value_whatever_breaks_a_curve(ys):
    root, lines = draw(ys, rule=10, rule_label="<10>")
    for line in lines:
        assert all(0 <= float(x) <= 400 and 0 <= float(y) <= 300 for x, y in line)
    assert sum(map(len, lines)) + len(list(root.iter("circle"))) == sum(map(svg_curves.drawable, ys))


def test_a_long_curve_keeps_its_outline():
    ys = [10.0 + math.sin(step / 50) for step in range(5000)]
    ys[1234] = 1000.0
    ys[4321] = 0.01
    _, (long,) = draw(ys)
    assert len(long) <= svg_curves.MOST_POINTS
    heights = [float(y) for _, y in long]
    _, (outline,) = draw([10.0, 1000.0, 0.01, 10.0])
    assert min(heights) == pytest.approx(float(outline[1][1]), abs=0.2)
    assert max(heights) == pytest.approx(float(outline[2][1]), abs=0.2)


@given(st.integers(1, 10_000), st.integers(2, 600))
def test_sampled_positions_have_both_ends(count, most):
    places = svg_curves.sampled(count, most)
    assert (places[0], places[-1]) == (0, count - 1)
    assert len(set(places)) == len(places) == min(count, most)
