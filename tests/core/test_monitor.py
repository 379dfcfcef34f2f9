"""What training reports: the history, the bar, the last lines, and when it stops."""

import contextlib
import math
import os
import re
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from d2lrnn.core.checks import check_training
from d2lrnn.core.history import Epoch, History, bits_per_character, format_perplexity, perplexity
from d2lrnn.core.monitor import Monitor, Snapshot
from d2lrnn.core.scalars import Scalars
from d2lrnn.data import SeqDataLoader
from d2lrnn.errors import DivergenceError, InputError


def epoch(*losses, seconds=2.0):
    return Epoch(np.array(losses, dtype=np.float32), [100] * len(losses), seconds, np.array([1.0, 2.0]))


def test_perplexity_is_the_exponential_of_the_loss_per_token():
    weighted = Epoch(np.array([1.0, 3.0]), [300, 100], 0.5, np.ones(2))
    assert weighted.perplexity == pytest.approx(math.exp(1.5))
    assert weighted.tokens_per_second == 800


@pytest.mark.parametrize(("loss", "expected"), [(0.0, 1.0), (1e4, math.inf), (math.inf, math.inf)])
def test_perplexity_of_extreme_losses(loss, expected):
    assert perplexity(loss) == expected


def test_perplexity_of_no_number_is_no_number():
    assert math.isnan(perplexity(math.nan))


def test_bits_per_character():
    assert bits_per_character(8.0) == 3.0


@pytest.mark.parametrize(
    ("losses", "step"),
    [((1, 2), None), ((1, math.nan, math.inf), 2), ((math.inf,), 1)],
    ids=["none", "second", "first"],
)
def test_the_first_bad_step_is_counted_from_one(losses, step):
    assert epoch(*losses).first_bad_step == step


def test_the_history_leaves_the_first_epoch_out_of_the_speed():
    history = History([1, 2, 3, 4], [8.0, 4.0, 2.0, 2.0], [1.0, 10.0, 30.0, 20.0])
    assert history.speed == 20
    assert History([1], [8.0], [7.0]).speed == 7
    assert history.bits_per_character == [3, 2, 1, 1]
    assert history.to_dict()["perplexity"] == [8.0, 4.0, 2.0, 2.0]
    assert len(history) == 4


def test_a_monitor_records_and_prints_the_books_lines(capsys):
    called = []
    with Monitor(2, callback=lambda number, epoch: called.append(number)) as monitor:
        monitor.add(1, epoch(2.0), valid_perplexity=9.0)
        monitor.add(2, epoch(0.0), valid_perplexity=8.04)
    history = monitor.report("cpu", lambda prefix: prefix + "!", ["a", "b"])
    assert history.perplexity == [pytest.approx(math.exp(2)), 1.0]
    assert history.valid_perplexity == [9.0, 8.04]
    assert history.gradient_norm == [1.5, 1.5]
    assert called == [1, 2]
    out, err = capsys.readouterr()
    assert out.splitlines() == ["perplexity 1.0, 50.0 tokens/sec on cpu", "held-out perplexity 8.0", "a!", "b!"]
    assert err == ""


class Freed:
    """Something that Ctrl-C meets while it is freed, as one of MXNet's arrays: Python drops the exception."""

    def __del__(self):
        raise KeyboardInterrupt


def test_a_ctrl_c_that_python_drops_ends_the_training_after_its_epoch(capsys):
    called, heard = [], sys.unraisablehook

    def train():
        with Monitor(9, quiet=True, callback=lambda number, epoch: called.append(number)) as monitor:
            for number in monitor.epochs:
                if number == 2:
                    Freed()
                monitor.add(number, epoch(1.0))

    with pytest.raises(KeyboardInterrupt):
        train()
    assert called == [1, 2]
    assert sys.unraisablehook is heard
    assert capsys.readouterr().err == ""


def test_any_other_exception_that_python_drops_is_told_as_ever(monkeypatch):
    class Failing:
        def __del__(self):
            raise ValueError("told")

    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with Monitor(1, quiet=True) as monitor:
        Failing()
        monitor.add(1, epoch(1.0))
    assert [str(dropped.exc_value) for dropped in told] == ["told"]


def test_a_monitor_goes_on_from_an_earlier_history_and_leaves_that_as_it_was():
    earlier = History([1, 2], [9.0, 8.0], [10.0, 10.0], [], [1.0, 1.0])
    with Monitor(2, history=earlier, quiet=True) as monitor:
        numbers = []
        for number in monitor.epochs:
            numbers.append(number)
            monitor.add(number, epoch(1.0), valid_perplexity=7.0)
    assert numbers == [3, 4]
    assert monitor.history.epoch == [1, 2, 3, 4]
    assert monitor.history.valid_perplexity == [pytest.approx(math.nan, nan_ok=True)] * 2 + [7.0, 7.0]
    assert earlier == History([1, 2], [9.0, 8.0], [10.0, 10.0], [], [1.0, 1.0])


def test_a_callback_that_returns_true_ends_the_training():
    with Monitor(9, quiet=True, callback=lambda number, epoch: number == 2) as monitor:
        for number in monitor.epochs:
            monitor.add(number, epoch(1.0))
    assert monitor.history.epoch == [1, 2]


def test_a_quiet_monitor_prints_nothing_and_predicts_nothing(capsys):
    with Monitor(1, quiet=True) as monitor:
        monitor.add(1, epoch(1.0))
    monitor.report("cpu", lambda prefix: pytest.fail("predicted"), ["a"])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("losses", "finite", "step", "what"),
    [((1, math.nan), True, 2, "the loss"), ((1, 1, 1), False, 3, "a weight"), ((math.inf, 1), False, 1, "the loss")],
    ids=["loss", "weight", "both"],
)
def test_divergence_says_where(losses, finite, step, what):
    monitor = Monitor(3, quiet=True)
    monitor.add(1, epoch(1.0))
    with pytest.raises(DivergenceError, match=f"{what} became NaN or infinite at epoch 2, step {step}") as caught:
        monitor.add(2, epoch(*losses), finite=finite)
    assert (caught.value.epoch, caught.value.step, caught.value.history.epoch) == (2, step, [1])


def snapshot_of(weights):
    return Snapshot(weights, copy=np.copy, put_back=np.copyto, is_finite=lambda weight: np.isfinite(weight).all())


@pytest.mark.parametrize(("losses", "weight"), [((math.nan,), 3.0), ((1.0,), math.nan)], ids=["loss", "weight"])
def test_a_divergence_puts_the_weights_of_before_back(losses, weight):
    weights = [np.array([1.0]), np.array([2.0, 3.0])]
    monitor = Monitor(3, snapshot_of(weights), quiet=True)
    numbers = monitor.epochs
    next(numbers)
    weights[1][0] = 4.0
    monitor.check(epoch(1.0))
    monitor.add(1, epoch(1.0))
    next(numbers)
    weights[0][0] = weight
    with pytest.raises(DivergenceError, match="epoch 2, step 1"):
        monitor.check(epoch(*losses))
    np.testing.assert_array_equal(weights[0], [1.0])
    np.testing.assert_array_equal(weights[1], [4.0, 3.0])
    assert len(monitor.history) == 1


def test_the_weights_after_an_absurd_epoch_are_not_kept():
    weights = [np.array([1.0])]
    monitor = Monitor(9, snapshot_of(weights), vocab_size=28, quiet=True)
    numbers = monitor.epochs
    for value in (2.0, 3.0):  # eight minibatches each; absurd from the first on
        next(numbers)
        weights[0][0] = value
        with pytest.raises(DivergenceError) if value == 3.0 else contextlib.nullcontext():
            monitor.check(epoch(*FAR_OFF))
            monitor.add(len(monitor.history) + 1, epoch(*FAR_OFF))
    assert weights[0][0] == 1.0


FINE, FAR_OFF = [2.0] * 8, [2.0] * 4 + [14.0] * 4  # guessing among 28 tokens has 3.33 nats; 4 times that is 13.3


def follow(num_epochs, *epochs, vocab_size=28):
    """Return what a monitor made of some epochs: which were sane, and its error, if it had one."""
    monitor, sane = Monitor(num_epochs, vocab_size=vocab_size, quiet=True), []
    try:
        for number, losses in enumerate(epochs, 1):
            monitor.add(number, epoch(*losses))
            sane.append(monitor.sane)
    except DivergenceError as error:
        return sane, error
    return sane, None


@pytest.mark.parametrize(
    "epochs",
    [
        [[2.0, 955.0, 9.0, 2.0, 2.0, 2.0, 2.0, 2.0], FINE],
        [[2.0] * 6 + [14.0, 14.0], FINE],
        [[13.3] * 8, [13.3] * 8, [13.3] * 8],
        [FAR_OFF, FINE, FAR_OFF, FINE],
        [[955.0], [955.0], [2.0]],
    ],
    ids=["a jump", "a bad end", "bad but not absurd", "ups and downs", "epochs of one minibatch"],
)
def test_a_training_that_may_recover_is_not_given_up(epochs):
    sane, error = follow(9, *epochs)
    assert error is None
    assert len(sane) == len(epochs)
    assert sane[-1]


@pytest.mark.parametrize(
    ("num_epochs", "epochs", "began", "step"),
    [
        (9, [FINE, FAR_OFF, FAR_OFF, FINE], 2, 5),
        (2, [FINE, FAR_OFF], 2, 5),
        (9, [[1e30] * 16], 1, 1),
        (40, [*[[2.0]] * 3, *[[99.0]] * 16], 4, 1),
        (9, [FINE, FAR_OFF, [2.0, math.nan]], 2, 5),
    ],
    ids=["twice in a row", "at the end", "a long epoch", "epochs of one minibatch", "nan after all"],
)
def test_a_loss_far_worse_than_guessing_is_divergence_from_where_it_began(num_epochs, epochs, began, step):
    _, error = follow(num_epochs, *epochs)
    assert (error.epoch, error.step, error.history.epoch) == (began, step, list(range(1, began)))
    assert f"guessing has 3.3, at epoch {began}, step {step}: the weights from before that epoch are kept" in str(error)
    assert len(str(error)) < 200


def test_without_a_vocabulary_only_a_loss_that_is_no_number_is_divergence():
    assert follow(2, [1e30] * 16, [1e30] * 16, vocab_size=None) == ([True, True], None)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (7.3178, 3, "7.318"),
        (7.3178, 1, "7.3"),
        (123456.7, 1, "123456.7"),
        (1e84, 3, "1.0e+84"),
        (math.inf, 1, "over 1e+304"),
        (math.nan, 1, "not a number"),
        (None, 3, "-"),
    ],
)
def test_perplexities_are_written_so_that_they_can_be_read(value, digits, expected):
    assert format_perplexity(value, digits) == expected


@pytest.mark.parametrize("loss", [193.4, 1e5])
def test_what_a_monitor_prints_can_be_read(loss, capsys):
    with Monitor(1) as monitor:
        monitor.add(1, epoch(loss), valid_perplexity=math.inf)
    monitor.report("cpu", str, [])
    out = capsys.readouterr().out
    assert re.fullmatch(r"perplexity (9.8e\+83|over 1e\+304), 50.0 tokens/sec on cpu\nheld-out .* over 1e\+304\n", out)


def test_the_first_epochs_of_a_history_are_a_record_of_its_own():
    history = History([1, 2], [9.0, 8.0], [1.0, 1.0], [7.0, 9.0], [1.0, 1.0])
    first = history.first(1)
    assert first == History([1], [9.0], [1.0], [7.0], [1.0])
    first.epoch.append(5)
    assert history.epoch == [1, 2]
    assert History([1], [9.0], [1.0], [], [1.0]).first(1).valid_perplexity == []


def loader(use_random_iter):
    return SeqDataLoader(2, 5, use_random_iter, -1, corpus=range(100))


@pytest.mark.parametrize("mode", [False, True], ids=["sequential", "random"])
def test_an_iterator_asked_for_its_own_mode_is_accepted(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_training(loader(mode), mode)
        check_training([], mode)  # an iterator of the reader's own does not tell how it samples


def test_a_random_iterator_is_refused_where_a_state_is_carried():
    with pytest.raises(InputError, match="pass use_random_iter=True"):
        check_training(loader(True), False)


def test_a_sequential_iterator_is_warned_about_where_random_sampling_is_asked_for():
    with pytest.warns(UserWarning, match="samples sequentially"):
        check_training(loader(False), True)


@pytest.mark.parametrize("options", [{"lr": 0}, {"lr": "1"}, {"lr": math.inf}, {"theta": -1}, {"theta": None}])
def test_numbers_that_cannot_be_used(options):
    (name,) = options
    with pytest.raises(InputError, match=f"{name} must be a positive finite number"):
        check_training([], False, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_terminal_shows_a_live_bar_on_the_error_stream():
    import pty

    code = (
        "import numpy, time\n"
        "from d2lrnn.core.monitor import Epoch, Monitor\n"
        "with Monitor(3, callback=lambda number, epoch: print('after', number)) as monitor:\n"
        "    for number in (1, 2, 3):\n"
        "        monitor.add(number, Epoch(numpy.zeros(1), [700], 1.0, numpy.ones(1)))\n"
        "        time.sleep(0.3)\n"
        "monitor.report('cpu', str, ())\n"
    )
    try:
        controller, terminal = pty.openpty()
    except OSError as error:  # a container without /dev/pts
        pytest.skip(f"this machine gives no pseudo-terminal: {error}")
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=terminal, env=environment, text=True
    )
    os.close(terminal)
    shown, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            chunk = os.read(controller, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    out, _ = process.communicate(timeout=60)
    os.close(controller)
    assert process.returncode == 0
    assert "perplexity 1.00, 700 tokens/s" in shown.decode()
    assert out == "after 1\nafter 2\nafter 3\nperplexity 1.0, 700.0 tokens/sec on cpu\n"


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_scalars_come_back_in_their_order_and_few_tensors_are_kept(count):
    stacked, waited = [], []

    def stack(values):
        stacked.append(list(values))
        return np.array(values)

    scalars = Scalars(stack, np.asarray, wait=waited.append)
    for value in range(count):
        scalars.append(value)
        assert len(scalars) == value + 1
    assert len(stacked) == count // 16
    assert len(waited) == max(0, count // 16 - 1)
    assert scalars.numpy().tolist() == list(range(count))
