"""The figures of the lessons show what they are asked to show."""

import io

import numpy as np
import pytest

from d2lrnn.core import book_tools
from d2lrnn.core.history import History
from d2lrnn.data import seq_data_iter_random, seq_data_iter_sequential
from d2lrnn.errors import InputError
from d2lrnn.lessons import figures


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def test_the_unrolled_network_has_a_column_for_each_step():
    words = texts(figures.unrolled_rnn("ab c", "b cd"))
    assert [word for word in words if len(word) == 1] == list("ab") + list("b␣") + list("␣c") + list("cd")
    assert sum("mathbf{H}" in word for word in words) == 4


def test_the_unrolled_network_has_a_row_for_each_layer():
    words = texts(figures.unrolled_rnn("abc", "bcd", num_layers=3))
    assert sum("mathbf{H}" in word for word in words) == 9
    assert {"hidden 1", "hidden 2", "hidden 3"} < set(words)


@pytest.mark.parametrize(("inputs", "labels"), [("", ""), ("ab", "b")])
def test_the_unrolled_network_needs_a_label_for_each_input(inputs, labels):
    with pytest.raises(InputError, match="each input needs a label"):
        figures.unrolled_rnn(inputs, labels)


def test_the_numbers_of_the_sampling_figure_are_those_of_the_iterators():
    num_tokens, batch_size, num_steps, seed = 40, 2, 5, 3
    axes = figures.sampling(num_tokens, batch_size, num_steps, seed=seed).axes[0]
    width = 9.0 / num_tokens
    for row, iterator in enumerate((seq_data_iter_sequential, seq_data_iter_random)):
        shown = {
            round((text.get_position()[0] - 0.1) / width - 0.5): int(text.get_text())
            for text in axes.texts
            if text.get_text().isdigit() and text.get_position()[1] == pytest.approx(1.45 - row)
        }
        expected = {
            int(token): number
            for number, (X, _) in enumerate(iterator(np.arange(num_tokens), batch_size, num_steps, seed=seed), start=1)
            for token in X.ravel()
        }
        assert shown == expected


def test_clipping_draws_each_gradient_within_the_radius():
    gradients = [[3.0, 4.0], [0.3, -0.4]]
    arrows = [text.xy for text in figures.clipping(gradients, theta=2).axes[0].texts]
    assert [3.0, 4.0] in np.round(arrows, 9).tolist()  # as it was
    np.testing.assert_allclose(arrows[1], [1.2, 1.6])  # and as it is clipped
    np.testing.assert_allclose(arrows[2], [0.3, -0.4])


@pytest.mark.parametrize(("gradients", "theta", "message"), [([1, 2], 1, "shape"), ([[1, 2]], 0, "positive")])
def test_clipping_refuses_what_it_cannot_draw(gradients, theta, message):
    with pytest.raises(InputError, match=message):
        figures.clipping(gradients, theta)


def test_curves_draw_histories_and_plain_numbers():
    history = History([1, 2], [9.0, 5.0], [1.0, 1.0], [9.5, 7.0])
    axes = figures.curves({"net": history, "plain": [3, 2, 1]}, best=6.5).axes[0]
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["net"] == [9.0, 5.0]
    assert lines["net, held out"] == [9.5, 7.0]
    assert lines["plain"] == [3, 2, 1]
    assert list(axes.lines[0].get_xdata()) == [1, 2]
    assert axes.get_yscale() == "log"


def test_bars_are_labelled_with_their_figures():
    axes = figures.bars({"slow": 12345.6, "fast": 1.25}, "tokens/s").axes[0]
    assert [text.get_text() for text in axes.texts] == ["12,346", "1.25"]
    assert [bar.get_width() for bar in axes.patches] == [12345.6, 1.25]


def test_a_heatmap_needs_a_label_for_each_column():
    figure = figures.heatmap(np.zeros((3, 4)), list("a bc"), "cells")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["a", "␣", "b", "c"]
    with pytest.raises(InputError, match=r"not \(3, 4\)"):
        figures.heatmap(np.zeros((3, 4)), list("abc"), "cells")


def test_a_figure_is_the_same_file_each_time(monkeypatch):
    monkeypatch.setattr(book_tools, "in_notebook", lambda: True)
    monkeypatch.setattr("matplotlib_inline.backend_inline.set_matplotlib_formats", lambda *args, **kwargs: None)

    def svg():
        file = io.StringIO()
        figures.unrolled_rnn("ab", "bc").savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()

    assert svg() == svg()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.sampling(0),
        lambda: figures.sampling(40, 2, 0),
        lambda: figures.clipping([[1.0, np.nan]]),
        lambda: figures.clipping([[1.0, 2.0]], np.inf),
        lambda: figures.curves({}),
        lambda: figures.bars({}, "tokens/s"),
        lambda: figures.heatmap(np.zeros((2, 2)), "ab", "cells", limit=0),
        lambda: figures.heatmap([1, 2], "ab", "cells"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw):
    with pytest.raises(InputError):
        draw()


def test_a_dollar_sign_is_a_token_like_others():
    figures.unrolled_rnn("$x_{$", "x_{$y").savefig(io.BytesIO())
    figures.heatmap(np.zeros((1, 3)), list("$_{"), "cells").savefig(io.BytesIO())


def test_figures_are_not_shown_a_second_time():
    from matplotlib import pyplot as plt

    plt.close("all")
    figures.curves({"a": [1, 2]})
    assert plt.get_fignums() == []


NOT_MATHEMATICS = [r"a$\frac$.txt", "$_$", r"$\mathbf$"]


@pytest.mark.parametrize("name", NOT_MATHEMATICS)
def test_names_are_drawn_as_they_are(name):
    drawn = [
        figures.curves({name: [2.0, 1.0], "b": [3.0, 2.0]}, name, name),
        figures.bars({name: 1.0}, name),
        figures.heatmap(np.zeros((2, 1)), [name], name),
        figures.unrolled_rnn([name], [name]),
    ]
    for figure in drawn:
        figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("name", NOT_MATHEMATICS)
def test_a_readers_own_label_is_a_formula_only_if_it_is_one(name):
    animator = book_tools.Animator(xlabel=name, ylabel=r"$\theta$", legend=[name])
    animator.add(1, 2.0)
    animator.fig.savefig(io.BytesIO(), format="png")
    axes = animator.axes[0, 0]
    labels = (axes.xaxis.label, axes.yaxis.label, *axes.get_legend().get_texts())
    assert [label.get_parse_math() for label in labels] == [False, True, False]
