"""The helpers of the book's cells, without a framework."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from d2lrnn.core import book_tools


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_a_timer_records_every_time(monkeypatch):
    ticks = iter([10.0, 12.0, 20.0, 23.0])
    monkeypatch.setattr(book_tools.time, "perf_counter", lambda: next(ticks))
    timer = book_tools.Timer()
    assert timer.stop() == 2
    timer.start()
    assert timer.stop() == 3
    assert (timer.avg(), timer.sum(), timer.cumsum()) == (2.5, 5, [2, 5])


def test_an_accumulator_adds_numbers_and_scalars_and_resets():
    metric = book_tools.Accumulator(2)
    metric.add(1, np.float32(0.5))
    metric.add(2.0, np.array(1))
    assert [metric[0], metric[1]] == [3.0, 1.5]
    metric.reset()
    assert [metric[0], metric[1]] == [0.0, 0.0]


def test_an_accumulator_refuses_another_number_of_numbers():
    with pytest.raises(ValueError, match="argument"):
        book_tools.Accumulator(2).add(1)


def lines():
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in plt.gca().lines]


@pytest.mark.parametrize(
    ("X", "Y", "expected"),
    [
        ([3, 5, 7], None, [([0, 1, 2], [3, 5, 7])]),
        ([[3, 5], [7, 9]], None, [([0, 1], [3, 5]), ([0, 1], [7, 9])]),
        ([1, 2], [3, 5], [([1, 2], [3, 5])]),
        (range(2), [3, 5], [([0, 1], [3, 5])]),
        (np.array([1, 2]), [np.array([3, 5]), np.array([7, 9])], [([1, 2], [3, 5]), ([1, 2], [7, 9])]),
        ([[1, 2], [4]], [[3, 5], [7]], [([1, 2], [3, 5]), ([4], [7])]),
        (np.array([1, 2]), np.array([[3, 5], [7, 9]]), [([1, 2], [3, 5]), ([1, 2], [7, 9])]),
    ],
    ids=["one-line", "two-lines", "x-and-y", "a-range", "one-x-for-two", "an-x-for-each", "rows"],
)
def test_plot_draws_the_lines(X, Y, expected):
    book_tools.plot(X, Y)
    assert lines() == expected


def test_the_lengths_of_pairs_are_drawn_side_by_side():
    book_tools.show_list_len_pair_hist(["source", "target"], "words", "count", ["a", "ab", "ab"], [[1, 2, 3]] * 4)
    axes = plt.gca()
    counts = [[bar.get_height() for bar in bars if bar.get_height()] for bars in axes.containers]
    assert counts == [[1, 2], [4]]
    assert {bar.get_hatch() for bar in axes.containers[0]} == {None}
    assert {bar.get_hatch() for bar in axes.containers[1]} == {"/"}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("words", "count")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["source", "target"]


def test_plot_sets_the_axes():
    book_tools.plot([1, 10, 100], xlabel="x", ylabel="n(x)", legend=["a"], xlim=[1, 3], yscale="log", figsize=(5, 2))
    axes = plt.gca()
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("x", "n(x)", "log")
    assert axes.get_xlim() == (1, 3)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a"]
    assert tuple(plt.rcParams["figure.figsize"]) == (5, 2)


def test_an_animator_adds_points_to_each_line_and_leaves_no_open_figure():
    animator = book_tools.Animator(xlabel="epoch", ylabel="perplexity", legend=["train", "held out"], xlim=[10, 500])
    animator.add(10, [3.0, None])
    animator.add(20, (2.0, 2.5))
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in animator.axes[0, 0].lines]
    assert drawn == [([10, 20], [3, 2]), ([20], [2.5])]
    assert plt.get_fignums() == []


def test_there_is_no_notebook_here():
    assert book_tools.in_notebook() is False
