import io
import sys

import numpy as np
import pytest

from d2lrnn.cli.text_curve import TextCurve
from d2lrnn.core.history import Epoch


def epoch(loss, valid_perplexity=None):
    return Epoch(np.array([loss, loss]), [10, 10], 1.0, np.array([1.0]), valid_perplexity)


def lines_of(capsys, losses, every):
    curve = TextCurve(every)
    for number, loss in enumerate(losses, 1):
        curve(number, epoch(loss))
    return capsys.readouterr().out.splitlines()


def test_the_first_epoch_and_every_so_many_have_a_line(capsys):
    lines = lines_of(capsys, np.linspace(3, 1, 25), 10)
    assert [line.split()[1] for line in lines] == ["1", "10", "20"]
    assert lines[0].startswith("epoch   1  perplexity  20.09  ")


def test_a_bar_is_as_long_as_the_loss(capsys):
    lines = lines_of(capsys, [4.0, 2.0, 1.0125, 0.0, 8.0], 1)
    bars = ["".join(sign for sign in line if sign in "█▏") for line in lines]
    assert bars == ["█" * 40, "█" * 20, "█" * 10 + "▏", "", "█" * 40]


@pytest.mark.parametrize("loss", [800.0, np.inf, np.nan])
def test_a_loss_that_has_no_length(capsys, loss):
    lines = lines_of(capsys, [loss, 3.0, loss], 1)
    assert len(lines) == 3
    assert lines[2].endswith("█" * 40)


def test_the_held_out_perplexity_stands_beside_it(capsys):
    TextCurve(1)(1, epoch(1.0, 3.25))
    assert capsys.readouterr().out.endswith("  held out 3.25\n")


def test_an_output_without_blocks_gets_signs(monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    TextCurve(1)(1, epoch(1.0))
    assert buffer.getvalue().decode().rstrip().endswith("  " + "#" * 40)


def test_a_training_goes_on_without_anybody_who_reads(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    for output in (None, Gone()):
        monkeypatch.setattr(sys, "stdout", output)
        TextCurve(1)(1, epoch(1.0))
