"""What the pictures that are written to files have in common: names are drawn as they are, and errors are told."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from d2lrnn.errors import D2LRNNError, InputError


def heed_no_file_here() -> None:
    """Let Matplotlib read no ``matplotlibrc`` of the current folder, where it looks first: somebody may have sent it.

    It reads it when it is imported. So that is done elsewhere, if there is such a file.
    """
    if "matplotlib" in sys.modules or not os.path.lexists("matplotlibrc"):
        return
    here = Path.cwd()
    os.chdir(Path(__file__).parent)
    try:
        import matplotlib  # noqa: F401
    finally:
        os.chdir(here)


@contextlib.contextmanager
def drawing(what: str = "cannot draw") -> Iterator[None]:
    """Draw in here: no user's settings send a text to LaTeX, and what Matplotlib says against it is told in a line.

    Args:
        what: How the error begins.

    Raises:
        InputError: If it cannot be drawn.
    """
    import matplotlib

    try:
        with matplotlib.rc_context({"text.usetex": False}):
            yield
    except (D2LRNNError, OSError, MemoryError):
        raise
    except Exception as error:  # it raises errors of many kinds, and some of several lines
        raise InputError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}") from None


def new_figure(width: float, height: float) -> Any:
    """Return a figure, in inches, that is drawn to a file and nowhere else."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def number_plainly(axis: Any) -> None:
    """Let a logarithmic axis have 6, 8, 10 rather than powers of ten."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("{x:g}")


def add_legend(axes: Any, **options: Any) -> None:
    """Add a legend, if there is something to name. A dollar sign in a name begins no formula."""
    if axes.get_legend_handles_labels()[0]:
        for text in axes.legend(**options).get_texts():
            text.set_parse_math(False)


def image(figure: Any, kind: str) -> bytes:
    """Return a figure as the content of an image file.

    Args:
        figure: The figure.
        kind: The ending of the file's name, without its dot.
    """
    content = io.BytesIO()
    figure.savefig(content, dpi=150, format=kind)
    return content.getvalue()


def check_kind(kind: str, what: str) -> None:
    """Check that images of a kind can be drawn here, by drawing one: some kinds need programs beside Matplotlib.

    Args:
        kind: The ending of the file's name, without its dot.
        what: How the error begins.

    Raises:
        InputError: If they cannot.
    """
    with drawing(what):
        figure = new_figure(1, 1)
        figure.text(0, 0, "0")
        image(figure, kind)
