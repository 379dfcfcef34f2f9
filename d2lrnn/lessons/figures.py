"""The figures of the lessons, drawn by code. Each function returns a matplotlib figure, which a notebook shows.

A framework's tensors are welcome wherever numbers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from d2lrnn.core.book_tools import use_svg_display
from d2lrnn.data.arrays import as_array
from d2lrnn.data.sampling import seq_data_iter_random, seq_data_iter_sequential
from d2lrnn.errors import InputError
from d2lrnn.system.arguments import require_positive
from d2lrnn.system.pictures import add_legend, number_plainly

BLUE, ORANGE, GREEN, GREY = "#3569b8", "#e0812c", "#1f7a4a", "#666b73"
PALE = {BLUE: "#dce7f7", ORANGE: "#fbe6d2", GREEN: "#d9efe2", GREY: "#eceef1"}


def _figure(width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """Return a new figure, in inches, that pyplot does not show a second time, and its axes."""
    from matplotlib import pyplot as plt

    use_svg_display()
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained", **options)
    plt.close(figure)
    return figure, axes


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure for drawings, whose units are inches."""
    figure, axes = _figure(width, height)
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    return figure, axes


def _box(axes: Any, x: float, y: float, text: str, color: str, width: float = 0.62, height: float = 0.42) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2, y - height / 2)
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.08", fc=PALE[color], ec=color)
    )
    # a token may be a dollar sign; what is a formula here begins with \\mathbf, between two of them
    formula = text.startswith(r"$\mathbf{") and text.endswith("$")
    axes.text(x, y, text, ha="center", va="center", fontsize=11, parse_math=formula)


def _arrow(
    axes: Any, start: tuple[float, float], end: tuple[float, float], color: str = "#444", **options: Any
) -> None:
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0, **options},
    )


def _visible(token: str) -> str:
    return "␣" if token == " " else token


def unrolled_rnn(inputs: Sequence[str], labels: Sequence[str], num_layers: int = 1) -> Any:
    """Draw a recurrent network unrolled over its steps (book sections 8.4.3 and 9.3).

    Args:
        inputs: A token for each step.
        labels: What follows each of them.
        num_layers: Hidden layers above each other.

    Raises:
        InputError: If there are not as many labels as inputs, or none.
    """
    require_positive(num_layers=num_layers)
    if not len(inputs) == len(labels) > 0:
        raise InputError(f"each input needs a label: there are {len(inputs)} inputs and {len(labels)} labels")
    gap = 0.95
    left, bottom = 0.95, 0.35
    top = bottom + gap * (num_layers + 1)
    figure, axes = _canvas(left + gap * len(inputs) + 0.5, top + 0.85)
    names = ["input", *(["hidden"] if num_layers == 1 else [f"hidden {n + 1}" for n in range(num_layers)]), "output"]
    for row, name in enumerate(names):
        axes.text(0.02, bottom + gap * row, name, va="center", fontsize=9, color=GREY)
    axes.text(0.02, top + 0.52, "label", va="center", fontsize=9, color=GREY)
    for step, (token, label) in enumerate(zip(inputs, labels, strict=True), start=1):
        x = left + gap * (step - 0.5)
        _box(axes, x, bottom, _visible(token), BLUE)
        for layer in range(num_layers):
            y = bottom + gap * (layer + 1)
            exponent = "" if num_layers == 1 else f"^{{({layer + 1})}}"
            _box(axes, x, y, rf"$\mathbf{{H}}{exponent}_{{{step}}}$", ORANGE)
            _arrow(axes, (x, y - gap + 0.21), (x, y - 0.21))
            _arrow(axes, (x - gap + (0.31 if step > 1 else 0.45), y), (x - 0.31, y), ORANGE)
            if step == len(inputs):
                _arrow(axes, (x + 0.31, y), (x + 0.62, y), ORANGE)
        _box(axes, x, top, rf"$\mathbf{{O}}_{{{step}}}$", GREEN)
        _arrow(axes, (x, top - gap + 0.21), (x, top - 0.21))
        axes.text(x, top + 0.52, _visible(label), ha="center", va="center", fontsize=11, color=GREEN, parse_math=False)
    return figure


def sampling(num_tokens: int = 42, batch_size: int = 2, num_steps: int = 5, *, seed: int | None = None) -> Any:
    """Draw which minibatch reads which tokens of a text, sampled sequentially and at random (book section 8.3.4).

    Each cell is a token, in the order of the text; its colour and number are its minibatch. Both rows are what the
    package's iterators return.

    Args:
        num_tokens: Length of the text.
        batch_size: Subsequences in a minibatch.
        num_steps: Tokens of a subsequence.
        seed: Of the random choices.

    Raises:
        InputError: If the text is too short for a minibatch.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    require_positive(num_tokens=num_tokens, batch_size=batch_size, num_steps=num_steps)
    palette = colormaps["tab10"]
    figure, axes = _canvas(9.2, 2.3)
    width = 9.0 / num_tokens
    schemes = {"sequential": seq_data_iter_sequential, "random": seq_data_iter_random}
    for row, (name, iterator) in enumerate(schemes.items()):
        y = 1.25 - row
        axes.text(0.1, y + 0.5, f"{name} sampling", fontsize=10, va="bottom")
        owner: dict[int, tuple[int, bool]] = {}
        for number, (X, _) in enumerate(iterator(np.arange(num_tokens), batch_size, num_steps, seed=seed)):
            for subsequence in X:
                owner |= {int(t): (number, i == 0) for i, t in enumerate(subsequence)}
        for token in range(num_tokens):
            number, first = owner.get(token, (-1, False))
            color = (*palette(number % 10)[:3], 0.35) if number >= 0 else "#ffffff"
            x = 0.1 + token * width
            axes.add_patch(Rectangle((x, y), width, 0.4, fc=color, ec="#c4c8ce", lw=0.6))
            if first:
                axes.plot([x, x], [y - 0.06, y + 0.46], color="#222", lw=1.4)
            if number >= 0:
                axes.text(x + width / 2, y + 0.2, str(number + 1), ha="center", va="center", fontsize=8)
    return figure


def clipping(gradients: Any, theta: float = 1.0) -> Any:
    """Draw gradients of two components, and their projections onto the ball of radius theta (book section 8.5.5).

    Args:
        gradients: Array of shape (n, 2).
        theta: The radius.

    Raises:
        InputError: If the gradients are not pairs, or theta is not positive.
    """
    from matplotlib.patches import Circle

    points = np.asarray(as_array(gradients), dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"gradients must have shape (n, 2), not {points.shape}")
    if not (np.isfinite(points).all() and 0 < theta < np.inf):
        raise InputError(f"the gradients must be finite, and theta positive and finite, not {theta!r}")
    figure, axes = _figure(4.2, 3.6)
    axes.add_patch(Circle((0, 0), theta, fc=PALE[GREY], ec=GREY, ls="--"))
    for point in points:
        norm = float(np.hypot(*point))
        end = point * min(1.0, theta / norm) if norm else point
        if norm > theta:
            _arrow(axes, (0.0, 0.0), tuple(point), GREY, alpha=0.5)
            axes.plot(*zip(point, end, strict=True), color=GREY, ls=":", lw=1)
        _arrow(axes, (0.0, 0.0), tuple(end), BLUE)
    reach = 1.1 * max(theta, float(np.abs(points).max(initial=0)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="first component", ylabel="second component", title=f"θ = {theta:g}")
    return figure


def curves(
    lines: Mapping[str, Any],
    ylabel: str = "perplexity",
    xlabel: str = "epoch",
    *,
    log: bool = True,
    best: float | None = None,
) -> Any:
    """Draw how a figure develops over the epochs of several trainings.

    Args:
        lines: A :class:`~d2lrnn.core.history.History`, or numbers, by the name that the legend gives it. The histories'
            perplexities are drawn, on held-out text too where there is some.
        ylabel: Label of the vertical axis.
        xlabel: Label of the horizontal axis.
        log: Logarithmic vertical axis.
        best: Draw a level at this height.
    """
    if not lines:
        raise InputError("there is nothing to draw: give at least one line, by its name")
    figure, axes = _figure(5.6, 3.2)
    for name, line in lines.items():
        values = getattr(line, "perplexity", line)
        (drawn,) = axes.plot(np.arange(1, len(values) + 1), as_array(values), label=name)
        if held_out := getattr(line, "valid_perplexity", None):
            steps = np.arange(1, len(held_out) + 1)
            axes.plot(steps, held_out, "--", color=drawn.get_color(), label=f"{name}, held out")
    if best is not None:
        axes.axhline(best, color=GREY, ls=":")
    axes.set(yscale="log" if log else "linear")
    axes.set_xlabel(xlabel, parse_math=False)
    axes.set_ylabel(ylabel, parse_math=False)
    low, high = axes.get_ylim()
    if log and high / low < 100:
        number_plainly(axes.yaxis)
    axes.grid(alpha=0.3)
    add_legend(axes)
    return figure


def bars(values: Mapping[str, float], xlabel: str) -> Any:
    """Draw a horizontal bar for each of a few figures, with its value.

    Args:
        values: The figures by name.
        xlabel: What they are, with their unit.
    """
    if not values:
        raise InputError("there is nothing to draw: give at least one figure, by its name")
    figure, axes = _figure(5.6, 0.5 + 0.42 * len(values))
    drawn = axes.barh(list(values), list(values.values()), color=BLUE, height=0.6)
    axes.bar_label(drawn, [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values.values()], padding=4)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_xlabel(xlabel, parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def heatmap(values: Any, xlabels: Sequence[str], ylabel: str, *, limit: float = 1.0) -> Any:
    """Draw activations over the steps of a text.

    Args:
        values: Array of shape (num_units, num_steps).
        xlabels: The token of each step.
        ylabel: What the rows are.
        limit: The colours run from minus this to this.

    Raises:
        InputError: If there is not a label for each step.
    """
    array = as_array(values)
    if array.ndim != 2 or array.shape[1] != len(xlabels):
        raise InputError(f"values must be (num_units, {len(xlabels)}), a column for each label, not {array.shape}")
    if not limit > 0:
        raise InputError(f"limit must be positive, not {limit!r}")
    figure, axes = _figure(7.2, 2.6)
    image = axes.imshow(array, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_xticks(range(len(xlabels)), [_visible(token) for token in xlabels], fontsize=8, parse_math=False)
    axes.set_ylabel(ylabel, parse_math=False)
    axes.set_yticks([])
    figure.colorbar(image, ax=axes)
    return figure
