"""Runs that last: trained, interrupted, gone on with, continued in any backend, and shown, through the command line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import count_texts, in_backends

from d2lrnn.core import backends
from d2lrnn.core.history import Epoch, History
from d2lrnn.data import Preparation, Vocab, read_text
from d2lrnn.errors import DivergenceError, InputError, StorageError, TrainingInterrupted
from d2lrnn.runs import folder_files, prediction, run_folder, training
from d2lrnn.runs import recorder as following
from d2lrnn.runs.folder_files import State, best_epoch
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.weights import canonical

TINY = {"corpus": "story", "max_tokens": 2000, "num_hiddens": 12, "batch_size": 8, "num_steps": 20, "seed": 3}
TINY_ARGS = ["--corpus", "story", "--max-tokens", "2000", "--num-hiddens", "12", "--batch-size", "8",
             "--num-steps", "20", "--seed", "3"]  # fmt: skip


# What d2lrnn.runs.training does is the same whatever trains, which only what a framework could do otherwise is tested
# in all of
same_in_all = pytest.mark.only("torch")


@pytest.fixture(autouse=True)
def in_brief(monkeypatch):
    """Texts of a few characters are kept with an epoch, and no picture: both take longer than such a training."""
    monkeypatch.setattr(training, "BOOK_NUM_PREDS", 4)
    monkeypatch.setattr(following, "draw_history", lambda history: b"the curves")


def settings(**changes):
    return Settings(**{**TINY, "epochs": 6, **changes})


def train(backend, out, *, callback=None, **changes):
    return training.train(backend.name, settings(**changes), out=out, checkpoint_every=2, quiet=True, callback=callback)


def resume(out, epochs=None, **options):
    return training.resume(out, epochs, checkpoint_every=2, quiet=True, **options)


def interrupt_after(epochs, error=KeyboardInterrupt):
    def callback(number, epoch):
        if number == epochs:
            raise error

    return callback


def assert_same_run(one, other):
    one, other = RunFolder.open(one), RunFolder.open(other)
    assert one.epoch == other.epoch
    for best in (False, True):
        if best and one.state.best is None:
            assert other.state.best is None
            continue
        weights = other.weights(best)
        for name, value in one.weights(best).items():
            np.testing.assert_array_equal(value, weights[name], err_msg=name)
    assert one.state.random_state == other.state.random_state
    assert one.state.samples == other.state.samples
    for name in ("epoch", "perplexity", "valid_perplexity", "gradient_norm"):
        assert getattr(one.state.history, name) == getattr(other.state.history, name), name


def content(path):
    return {entry.name: entry.read_bytes() for entry in path.rglob("*") if entry.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a function that returns the folder of a backend's run, trained once and not to be changed."""
    made = {}

    def whole(backend, **options):
        key = (backend.name, *options)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("whole") / backend.name
            train(backend, made[key], **options)
        return made[key]

    return whole


RUNS = {
    "rnn-scratch": ("rnn-scratch", 1, "sequential"),
    "rnn": ("rnn", 1, "random"),
    "rnn-relu": ("rnn-relu", 1, "sequential"),
    "gru": ("gru", 2, "random"),
    "lstm": ("lstm", 1, "sequential"),
}


@pytest.mark.parametrize(("model", "num_layers", "sampling"), RUNS.values(), ids=RUNS)
def test_an_interrupted_run_resumes_bit_for_bit(backend, tmp_path, model, num_layers, sampling):
    # Short, and with one text to continue, which takes longer than the training
    options = {
        "model": model,
        "num_layers": num_layers,
        "sampling": sampling,
        "valid_fraction": 0.2,
        "max_tokens": 1000,
        "prefixes": ("the",),
    }
    train(backend, tmp_path / "whole", **options)
    # Between two checkpoints, which are after every second epoch
    with pytest.raises(TrainingInterrupted, match=r"3 of 6 epochs are saved: go on with resume\('.*cut'\)"):
        train(backend, tmp_path / "cut", callback=interrupt_after(3), **options)
    interrupted = RunFolder.open(tmp_path / "cut")
    assert (interrupted.status, interrupted.epoch) == ("interrupted", 3)
    result = resume(tmp_path / "cut")
    assert (result["status"], result["history"]["epoch"]) == ("complete", [1, 2, 3, 4, 5, 6])
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


@same_in_all
def test_a_run_that_is_interrupted_before_its_first_epoch_resumes_too(backend, whole, tmp_path):
    folder = tmp_path / "cut"
    with pytest.raises(TrainingInterrupted, match="0 of 6 epochs are saved"):
        training.train(backend.name, settings(), out=folder, quiet=True, ready=interrupt_at_once)
    assert (RunFolder.open(folder).state, RunFolder.open(folder).status) == (None, "interrupted")
    resume(folder)
    assert_same_run(folder, whole(backend))


def interrupt_at_once():
    raise KeyboardInterrupt


@same_in_all
def test_more_epochs_are_those_of_a_longer_run(backend, whole, tmp_path):
    train(backend, tmp_path / "short", epochs=4)
    result = resume(tmp_path / "short", 2)
    assert result["settings"]["epochs"] == 6
    short, long = RunFolder.open(tmp_path / "short"), RunFolder.open(whole(backend))
    assert short.state.history.perplexity == long.state.history.perplexity
    for name, value in long.weights().items():
        np.testing.assert_array_equal(short.weights()[name], value, err_msg=name)


@same_in_all
def test_a_complete_run_is_returned_as_it_is(backend, tmp_path):
    first = train(backend, tmp_path / "run")
    before = content(tmp_path / "run")
    again = resume(tmp_path / "run")
    assert content(tmp_path / "run") == before
    for name in ("perplexity", "history", "predictions", "status", "settings"):
        assert again[name] == first[name], name


# So large a rate that the held-out perplexity gets worse soon
STOPPED = {"valid_fraction": 0.2, "patience": 2, "epochs": 60, "lr": 8.0}


def test_training_stops_early_where_patience_runs_out(backend, whole, tmp_path):
    shutil.copytree(whole(backend, **STOPPED), tmp_path / "run")
    result = resume(tmp_path / "run")  # which returns it as it is
    values = result["history"]["valid_perplexity"]
    best = int(np.argmin(values)) + 1
    assert result["status"] == "stopped early"
    assert len(values) == best + 2 < 60
    assert result["best_epoch"] == best
    folder = RunFolder.open(tmp_path / "run")
    net, _, device = prediction.load_model(folder, best=True, device="cpu")
    weights = backend.interface.get_weights(net)
    assert any((weights[name] != value).any() for name, value in folder.weights().items())
    loader, _ = training.load(folder.settings, training.read_text("story"), backend.interface.SeqDataLoader)
    place = () if backend.name == "tensorflow" else (device,)
    perplexity = backend.d2l.evaluate_perplexity(net, loader.valid_iter, *place)
    assert perplexity == pytest.approx(values[best - 1], rel=1e-6)
    # It stays stopped, but for epochs that are asked for; those have patience anew
    assert len(resume(tmp_path / "run")["history"]["epoch"]) == best + 2
    more = resume(tmp_path / "run", 30)
    assert best + 2 + 2 <= len(more["history"]["epoch"])


@same_in_all
def test_a_run_that_is_cut_where_its_patience_ends_is_not_trained_on(backend, whole, tmp_path):
    last = RunFolder.open(whole(backend, **STOPPED)).epoch
    with pytest.raises(TrainingInterrupted):
        train(backend, tmp_path / "cut", callback=interrupt_after(last), **STOPPED)

    def copy(number, epoch):
        if number == last:
            shutil.copytree(tmp_path / "run", tmp_path / "killed")  # what kill -9 would leave at this moment

    training.train(
        backend.name, settings(**STOPPED), out=tmp_path / "run", checkpoint_every=1, quiet=True, callback=copy
    )
    assert RunFolder.open(tmp_path / "killed").status == "unfinished"
    for name in ("cut", "killed"):
        assert resume(tmp_path / name)["status"] == "stopped early"
        assert_same_run(tmp_path / name, whole(backend, **STOPPED))
        assert RunFolder.open(tmp_path / name).status == "stopped early"


@same_in_all
def test_patience_without_a_folder(backend):
    result = training.train(
        backend.name, settings(valid_fraction=0.2, patience=1, epochs=60, lr=8.0), quiet=True, out=None
    )
    values = result["history"]["valid_perplexity"]
    assert len(values) == int(np.argmin(values)) + 2 < 60


def test_a_run_that_diverges_keeps_what_was_good(backend, tmp_path):
    with pytest.raises(DivergenceError):
        train(backend, tmp_path / "run", model="rnn-relu", lr=1e12, theta=1e12, epochs=50)
    folder = RunFolder.open(tmp_path / "run")
    assert folder.status == "diverged"
    assert folder.state is None or np.isfinite(folder.state.history.gradient_norm).all()


def test_a_run_that_diverged_goes_on_from_its_last_good_weights_with_another_rate(backend, tmp_path):
    folder = tmp_path / "run"
    good = train(backend, folder, epochs=2)["history"]["perplexity"]
    weights = RunFolder.open(folder).weights()
    command = re.escape(f"resume({str(folder)!r}, lr=1.0)")
    with pytest.raises(DivergenceError, match=f"at epoch 3, step .*: go on from them with {command}"):
        resume(folder, 4, lr=100)
    diverged = RunFolder.open(folder)
    assert (diverged.status, diverged.epoch, diverged.settings.lr) == ("diverged", 2, 100)
    assert diverged.config["error"].startswith("the loss rose to ")
    assert diverged.state.history.perplexity == good
    for name, value in diverged.weights().items():
        np.testing.assert_array_equal(value, weights[name])
    # As it is it diverges again, which is said before; with the advice it does not
    with (
        pytest.warns(UserWarning, match="diverged after epoch 2 with the learning rate 100, and will do so again"),
        pytest.raises(DivergenceError),
    ):
        resume(folder)
    result = resume(folder, lr=0.5)
    assert (result["status"], result["settings"]["lr"]) == ("complete", 0.5)
    assert result["history"]["epoch"] == [1, 2, 3, 4, 5, 6]
    assert result["history"]["perplexity"][:2] == good
    assert result["history"]["perplexity"][-1] < good[-1]
    after = RunFolder.open(folder)
    assert after.settings.lr == 0.5
    assert after.config["earlier_lr"] == [{"until": 2, "lr": 1.0}, {"until": 2, "lr": 100}]
    assert "error" not in after.config
    # which is what a run is that had the second rate from there on
    train(backend, tmp_path / "other", epochs=2)
    resume(tmp_path / "other", 4, lr=0.5)
    assert_same_run(folder, tmp_path / "other")


def test_a_run_that_diverged_in_its_first_epoch_begins_again(backend, tmp_path):
    folder = tmp_path / "run"
    command = re.escape(f"resume({str(folder)!r}, lr=1.0)")
    words = "at epoch 1, step .*: .* no epoch has gone well, so begin again"
    with pytest.raises(DivergenceError, match=f"{words} with {command}"):
        train(backend, folder, epochs=1, lr=1e38)
    assert RunFolder.open(folder).state is None
    assert resume(folder, lr=1)["history"]["epoch"] == [1]


@same_in_all
def test_a_learning_rate_needs_epochs_to_go_on_with(backend, tmp_path):
    train(backend, tmp_path / "run", epochs=2)
    before = content(tmp_path / "run")
    with pytest.raises(InputError, match="has no epochs left .* learning rate: say how many more with epochs"):
        resume(tmp_path / "run", lr=0.5)
    with pytest.raises(InputError, match="lr must be a positive finite number, not -1"):
        resume(tmp_path / "run", 2, lr=-1)
    assert content(tmp_path / "run") == before


def test_epochs_that_are_absurd_are_kept_only_once_a_better_one_has_come(tmp_path):
    """What the disk has is the last sane epoch, and the history of all of them when training has recovered."""
    folder = make_folder(tmp_path / "run")
    # The held-out perplexity is best after one of the absurd ones, whose minibatches had all gone wrong before its end
    losses, valid = (2.0, 99.0, 99.0, 2.0), (9.0, 8.0, 5.0, 6.0)
    epochs = [Epoch(np.full(8, loss), [10] * 8, 1.0, np.ones(8), value, absurd=loss > 9)
              for loss, value in zip(losses, valid, strict=True)]  # fmt: skip
    given = RunFolder.open(folder).weights()
    with RunFolder.reopen(folder) as opened:
        recorder = following.Recorder(
            opened, opened.state.history, settings(epochs=99), 1, None,
            weights=lambda: {name: np.full_like(value, number) for name, value in given.items()},
            random_state=lambda: opened.state.random_state, predict=str,
        )  # fmt: skip
        seen = []
        for number, epoch in enumerate(epochs, 2):
            recorder(number, epoch)
            seen.append(RunFolder.open(folder).epoch)
    assert seen == [2, 2, 2, 5]
    state = RunFolder.open(folder).state
    assert state.history.epoch == [1, 2, 3, 4, 5]
    assert best_epoch(state.history) == 4
    assert {float(value.flat[0]) for value in state.best.values()} == {4.0}
    assert {float(value.flat[0]) for value in state.weights.values()} == {5.0}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (InputError("no such thing;\nsay another"), "no such thing; say another"),
    ],
)
def test_an_error_leaves_the_last_epoch_in_the_folder_and_says_that_the_run_failed(backend, tmp_path, error, words):
    with pytest.raises(type(error)):
        train(backend, tmp_path / "run", callback=interrupt_after(3, error))
    folder = RunFolder.open(tmp_path / "run")
    assert (folder.epoch, folder.status) == (3, "failed")
    assert folder.config["error"] == words
    assert resume(tmp_path / "run")["status"] == "complete"
    assert "error" not in RunFolder.open(tmp_path / "run").config


@same_in_all
def test_an_error_before_the_first_epoch_is_recorded_too(backend, tmp_path):
    with pytest.raises(InputError, match="no device 'tpu'"):
        train(backend, tmp_path / "run", device="tpu")
    folder = RunFolder.open(tmp_path / "run")
    assert (folder.epoch, folder.status) == (0, "failed")
    assert folder.config["error"].startswith("no device 'tpu'")


@same_in_all
def test_damage_that_a_checkpoint_finds_is_not_taken_for_a_full_disk(backend, tmp_path):
    epochs = []

    def damage(number, epoch):
        epochs.append(number)
        if number == 3:
            (tmp_path / "run" / "config.json").write_text("{}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it goes on and tries again, if it did
        with pytest.raises(InputError, match=r"config.json' is not of a run"):
            train(backend, tmp_path / "run", callback=damage)
    assert epochs == [1, 2, 3]  # the checkpoint after the fourth ends it


@same_in_all
def test_a_run_reads_and_tokenizes_its_text_once(backend, tmp_path, monkeypatch):
    read, tokenized = count_texts(monkeypatch)
    train(backend, tmp_path / "run", epochs=1)
    assert (read, tokenized) == (["story"], ["story"])
    opened = []
    original = RunFolder._open.__func__
    monkeypatch.setattr(RunFolder, "_open", classmethod(lambda cls, *args: opened.append(1) or original(cls, *args)))
    resume(tmp_path / "run", 1)
    assert (read, tokenized) == (["story"] * 2, ["story"] * 2)
    assert len(opened) == 1


@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_a_backends_loader_yields_what_numpys_would_have(backend, sampling):
    loader, vocab = training.load(settings(valid_fraction=0.2, sampling=sampling), training.read_text("story"))
    next(iter(loader))  # from where it is
    made = loader.read_as(backend.interface.SeqDataLoader)
    assert made.vocab is vocab
    assert (made.used_tokens, made.text_tokens) == (loader.used_tokens, loader.text_tokens)
    assert made.text_tokens > made.used_tokens == 2000
    for _ in range(2):
        for one, other in ((loader, made), (loader.valid_iter, made.valid_iter)):
            for (X, Y), (X_, Y_) in zip(one, other, strict=True):
                np.testing.assert_array_equal(X, backend.numpy(X_))
                np.testing.assert_array_equal(Y, backend.numpy(Y_))


def test_recording_an_epoch_does_not_copy_those_before_it(tmp_path, monkeypatch):
    folder = make_folder(tmp_path / "run")
    copied = []
    for name in ("copy", "first"):
        original = getattr(History, name)

        def counting(self, *args, original=original):
            copied.append(len(self))
            return original(self, *args)

        monkeypatch.setattr(History, name, counting)
    epoch = Epoch(np.ones(1), [10], 1.0, np.ones(1), 2.0)
    with RunFolder.reopen(folder) as opened:
        recorder = following.Recorder(
            opened, opened.state.history, settings(epochs=200, patience=300, valid_fraction=0.1), 100, None,
            weights=opened.weights, random_state=lambda: opened.state.random_state, predict=str,
        )  # fmt: skip
        monkeypatch.setattr(following, "best_epoch", lambda *args: copied.append(args) or best_epoch(*args))
        for number in range(2, 150):
            recorder(number, epoch)
    assert len(copied) <= 5  # at the beginning, and for the one checkpoint
    assert recorder.best == 2


@same_in_all
def test_a_disk_that_is_full_for_a_while_does_not_end_the_training(backend, tmp_path, monkeypatch):
    original = RunFolder.save
    failed = []

    def save(self, state, status, *args, **changes):
        if len(state.history) == 2:
            failed.append(status)
            raise StorageError("cannot save: no space; free some")
        original(self, state, status, *args, **changes)

    monkeypatch.setattr(RunFolder, "save", save)
    with pytest.warns(UserWarning, match=r"no space; free some \(training goes on, and tries again\)"):
        train(backend, tmp_path / "run")
    assert failed == ["unfinished"]
    assert RunFolder.open(tmp_path / "run").epoch == 6


@same_in_all
def test_another_text_is_not_trained_on(backend, tmp_path, monkeypatch):
    text = tmp_path / "novel.txt"
    text.write_text("the sea the sky the land " * 40)
    options = {"corpus": str(text), "max_tokens": -1, "batch_size": 2, "num_steps": 10}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingInterrupted):
        train(backend, tmp_path / "run", callback=interrupt_after(2), **{**options, "corpus": "novel.txt"})
    before = content(tmp_path / "run")
    monkeypatch.chdir("/")  # it is found from anywhere
    text.write_text("another text " * 80)
    with pytest.raises(InputError, match="is not the one that the run in .* began with"):
        resume(tmp_path / "run")
    text.rename(tmp_path / "moved.txt")
    with pytest.raises(InputError, match=r"novel\.txt.* name its new place with corpus"):
        resume(tmp_path / "run")
    assert content(tmp_path / "run") == before
    (tmp_path / "moved.txt").write_text("the sea the sky the land " * 40)
    assert resume(tmp_path / "run", corpus=tmp_path / "moved.txt")["status"] == "complete"
    assert RunFolder.open(tmp_path / "run").settings.corpus == str(tmp_path / "moved.txt")


@same_in_all
def test_other_versions_are_warned_about(backend, tmp_path, monkeypatch):
    with pytest.raises(TrainingInterrupted):
        train(backend, tmp_path / "run", callback=interrupt_after(2))
    monkeypatch.setattr("d2lrnn.__version__", "99.0")
    with pytest.warns(UserWarning, match="d2lrnn was .* and is 99.0.*its rounding may differ"):
        resume(tmp_path / "run")


# The commands


@pytest.fixture
def command(tmp_path):
    """Return a function that runs the command in a process of its own and returns how it ended."""

    def command(*args, **options):
        return subprocess.run(
            [sys.executable, "-m", "d2lrnn.cli.main", *map(str, args)],
            cwd=tmp_path, capture_output=True, text=True, check=False, **options,
        )  # fmt: skip

    return command


SIGNALS = {"ctrl-c": "SIGINT", "sigterm": "SIGTERM", "sighup": "SIGHUP"}


# All signals take one way through d2lrnn; a framework's compiled code may be in the way of Ctrl-C
@in_backends(
    "number",
    {name: {"ctrl-c": signal.SIGINT} for name in backends.BACKENDS}
    | {"torch": {name: getattr(signal, number) for name, number in SIGNALS.items() if hasattr(signal, number)}},
)
def test_interrupting_saves_and_says_how_to_go_on(backend, tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "d2lrnn", "train", "--backend", backend.name, *TINY_ARGS, "--epochs", "100000",
         "--out", "run"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "run" / "weights.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert all(line.startswith("epoch ") for line in out.splitlines())
    done = RunFolder.open(tmp_path / "run").epoch
    assert err == f"d2lrnn: interrupted; {done} of 100000 epochs are saved: go on with 'd2lrnn resume run'\n"
    assert done >= 10
    assert not list((tmp_path / "run").glob("*.next"))
    assert len(resume(tmp_path / "run", 2)["history"]["epoch"]) == done + 2


@pytest.mark.only("torch")  # the files of a run are written without any framework
def test_a_real_full_disk(backend, command, tmp_path):
    resource = pytest.importorskip("resource", reason="a limit on the size of files is POSIX's")

    def limit():  # the weights of 512 units take more than a megabyte, all else less
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    args = ["train", "--backend", backend.name, *TINY_ARGS, "--epochs", 2, "--num-hiddens", 512, "--out", "run"]
    result = command(*args, preexec_fn=limit)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("d2lrnn: error: cannot save into 'run': File too large; free some")
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "run").glob("*.next"))
    assert resume(tmp_path / "run")["status"] == "complete"


@pytest.mark.only("torch")  # and locked
def test_two_processes_on_one_folder(backend, command, tmp_path):
    train(backend, tmp_path / "run", epochs=2)
    with RunFolder.reopen(tmp_path / "run"):
        result = command("resume", "run", "--epochs", 2)
    assert result.returncode == 2
    assert result.stderr == (
        "d2lrnn: error: another process is at work in 'run': wait until it has finished, or name another folder\n"
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that returns a backend's run, trained once."""
    made = {}

    def trained(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("runs") / name
            training.train(name, settings(epochs=3, valid_fraction=0.2), out=made[name], quiet=True)
        return made[name]

    return trained


def test_predict_continues_a_run(backend, trained, capfd):
    from d2lrnn.cli import main as cli

    path = trained(backend.name)
    before = content(path)
    assert cli.main(["predict", str(path), "--prefix", "the sea", "a", "--num-preds", "7"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line[:7] for line in lines] == ["the sea", lines[1][:7]]
    assert [len(line) for line in lines] == [14, 8]
    drawn = []
    for options in ([], ["--temperature", "1"], ["--temperature", "1", "--best"], ["--top-k", "1"]):
        assert cli.main(["predict", str(path), "--prefix", "the", "--seed", "4", "--json", *options]) == 0
        drawn.append(json.loads(capfd.readouterr().out)["predictions"]["the"])
    assert drawn[0] == drawn[1]
    assert [{"prefix": "the", "text": drawn[3]}] == prediction.predict(path, ["the"], 50)
    assert content(path) == before


@same_in_all
def test_a_prefix_that_is_there_twice_is_continued_twice(backend, trained, capfd):
    from d2lrnn.cli import main as cli

    path = str(trained(backend.name))
    for seed in ([], ["--seed", "4"]):
        args = ["predict", path, "--prefix", "the", "the", "a", "--temperature", "1", *seed]
        assert cli.main(args) == 0
        lines = capfd.readouterr().out.splitlines()
        assert [line[:3] for line in lines[:2]] == ["the", "the"]
        assert len({*lines}) == 3
        assert cli.main([*args, "--json"]) == 0
        document = json.loads(capfd.readouterr().out)
        assert [row["prefix"] for row in document["texts"]] == ["the", "the", "a"]
        assert list(document["predictions"]) == ["the", "a"]
        assert all(text.startswith(prefix) for prefix, text in document["predictions"].items())
        if seed:
            assert [row["text"] for row in document["texts"]] == lines
    # Whatever else is asked for, the first text of a prefix is that of its seed
    (row,) = prediction.predict(path, ["a"], temperature=1, seed=4)
    assert row["text"] == lines[2]


@same_in_all
def test_a_run_folder_keeps_how_its_text_was_prepared(backend, tmp_path, capfd):
    from d2lrnn.cli import main as cli

    path = tmp_path / "run"
    train(backend, path, epochs=1, keep_punctuation=True, prefixes=("It WAS, ",))
    expected = Preparation("char", "letters", keep_punctuation=True)
    assert RunFolder.open(path).vocab.preparation == expected
    net, vocab, device = prediction.load_model(path)
    assert vocab.preparation == expected
    text = backend.interface.predict("it was, ", 9, net, vocab, device)
    assert backend.interface.predict("It WAS, ", 9, net, vocab, device) == text
    assert cli.main(["predict", str(path), "--prefix", "It  WAS,\n", "--num-preds", "9"]) == 0
    assert capfd.readouterr().out == f"{text}\n"
    assert cli.main(["predict", str(path), "--num-preds", "9"]) == 0  # the run's own, kept as they were given
    assert capfd.readouterr().out == f"{text}\n"
    assert "\nit was, " in (path / "samples.txt").read_text()


@same_in_all
def test_a_run_is_gone_on_with_in_the_encoding_of_its_text(backend, tmp_path):
    text, content = tmp_path / "novel.txt", "das große Öl der See " * 80
    text.write_bytes(content.encode("cp1252"))
    options = {"corpus": str(text), "encoding": "cp1252", "batch_size": 2, "num_steps": 10, "max_tokens": None}
    with pytest.raises(TrainingInterrupted):
        train(backend, tmp_path / "run", callback=interrupt_after(2), **options)
    folder = RunFolder.open(tmp_path / "run")
    assert (folder.settings.encoding, folder.settings.max_tokens) == ("cp1252", -1)
    assert resume(tmp_path / "run")["status"] == "complete"
    text.rename(tmp_path / "moved.txt")
    assert resume(tmp_path / "run", 1, corpus=tmp_path / "moved.txt")["history"]["epoch"][-1] == 7
    # The same text, saved in another encoding
    (tmp_path / "moved.txt").write_text(content, encoding="utf-16")
    with pytest.raises(InputError, match="begins with the byte order mark of utf-16-le, and .* 'cp1252'"):
        resume(tmp_path / "run", 1)
    assert resume(tmp_path / "run", 1, encoding="utf-16")["settings"]["encoding"] == "utf-16"
    with pytest.raises(InputError, match="unknown encoding 'klingon'"):
        resume(tmp_path / "run", 1, encoding="klingon")


@same_in_all
def test_a_corpus_that_is_found_again_as_a_file_is_what_it_was(backend, tmp_path):
    content = read_text("time-machine").content
    train(backend, tmp_path / "run", epochs=2, corpus="time-machine", max_tokens=None)
    (tmp_path / "moved.txt").write_text(content, encoding="utf-8")
    before = RunFolder.open(tmp_path / "run")
    assert before.vocab.preparation.clean == "book"
    result = resume(tmp_path / "run", 1, corpus=tmp_path / "moved.txt")
    assert result["corpus"]["used_tokens"] == before.settings.max_tokens == 10_000
    after = RunFolder.open(tmp_path / "run")
    assert (after.vocab.preparation, after.settings.clean) == (before.vocab.preparation, "book")
    assert after.epoch == 3


@same_in_all
def test_characters_that_the_text_lacks(backend, trained):
    path = trained(backend.name)
    with pytest.warns(UserWarning, match="'THE é ж' has characters that the text lacks: 'éж'"):
        (row,) = prediction.predict(path, ["THE é ж"], 3)
    assert row["prefix"] == "THE é ж"
    assert row["text"].startswith("the <unk> <unk>")
    (row,) = prediction.predict(path, ["ThéE sea"], 3, unknown="skip")
    assert row["text"].startswith("the sea")
    with pytest.warns(UserWarning, match="nothing is left of the prefix '1895', which is cleaned as the text was"):
        prediction.predict(path, ["1895"], 3)
    with pytest.raises(InputError, match=r"lacks: 'é'; leave them out, or choose"):
        prediction.predict(path, ["é"], unknown="error")
    with pytest.raises(InputError, match="unknown policy 'ignore': use one of unk, skip, error"):
        prediction.predict(path, ["a"], unknown="ignore")


@same_in_all
def test_show_puts_runs_beside_each_other(backend, trained, capfd, tmp_path, monkeypatch):
    from d2lrnn.cli import main as cli

    monkeypatch.chdir(tmp_path)
    path = trained(backend.name)
    with pytest.raises(TrainingInterrupted):
        training.train(backend.name, settings(), out="other", quiet=True, ready=interrupt_at_once)
    assert cli.main(["show", str(path), "other", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert [(row["epoch"], row["epochs"], row["status"]) for row in document["runs"]] == [
        (3, 3, "complete"), (0, 6, "interrupted"),
    ]  # fmt: skip
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(["show", str(path), "other", "--png", "curves.svg"]) == 0
    out = capfd.readouterr().out
    assert "complete" in out
    assert "3 of 3" in out
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["resume", "nowhere"], "'nowhere' is not a run folder: there is no such folder"),
        (["predict", "nowhere"], "'nowhere' is not a run folder"),
        (["show", "."], "'.' is not a run folder: there is no config.json in it"),
        (["train", "--backend", "torch", "--out", "file/run"], "cannot make the run folder 'file/run'"),
        (["train", "--backend", "torch", "--patience", "3"], "hold out a part of the text"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capfd, monkeypatch, tmp_path, args, message):
    from d2lrnn.cli import main as cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backends, "problem", lambda name: None)
    monkeypatch.setattr(training.backends, "load", lambda name: pytest.fail("a framework was imported"))
    (tmp_path / "file").write_text("")
    assert cli.main([*args, *(TINY_ARGS if args[0] == "train" else [])]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]


def test_a_run_of_a_missing_framework_names_the_others(tmp_path, monkeypatch):
    path = make_folder(tmp_path / "run")
    monkeypatch.setattr(backends, "problem", lambda name: None if name == "mxnet" else f"{name} is not installed: pip")
    with pytest.raises(ImportError, match="torch is not installed: pip; or continue the run .*: backend='mxnet'"):
        prediction.predict(path, ["a"])


# What the places around may do to it


def make_folder(path, kind="rnn", text="abc"):
    chosen = settings(model=kind, prefixes=(text[:1],))
    vocab = Vocab(text)
    weights = canonical.initial_weights(kind, len(vocab), chosen.num_hiddens, seed=0)
    config = {"backend": "torch", "corpus": {"name": text}}
    with RunFolder.create(path, config, chosen, vocab) as folder:
        history = History([1], [2.0], [2.0], [], [1.0])
        folder.save(State(weights, history, dict(np.random.default_rng(0).bit_generator.state)), "interrupted")
    return path


@pytest.mark.parametrize(
    ("corpus", "changes", "expected"),
    [
        ("time-machine", {}, Preparation("char", "book")),
        ("novel.txt", {"keep_case": True}, Preparation("char", "letters", keep_case=True)),
        ("novel.txt", {"clean": "none"}, Preparation("char", "none")),
        (None, {}, None),
    ],
)
def test_the_settings_of_an_old_run_folder_say_how_its_text_was_prepared(tmp_path, corpus, changes, expected):
    config = {"backend": "torch", "corpus": {} if corpus is None else {"name": corpus}}
    with RunFolder.create(tmp_path / "run", config, settings(**changes), Vocab("abc")):
        pass
    assert "preparation" not in json.loads((tmp_path / "run" / "vocab.json").read_text())
    assert RunFolder.open(tmp_path / "run").vocab.preparation == expected


def test_a_run_folder_whose_vocabulary_has_a_preparation_of_another_kind(tmp_path, monkeypatch):
    dump = folder_files.dump_vocab
    monkeypatch.setattr(run_folder, "dump_vocab", lambda vocab: dump(vocab)[:-3] + b', "preparation": {"stem": 1}}')
    with RunFolder.create(tmp_path / "run", {"backend": "torch"}, settings(), Vocab("abc")):
        pass
    with pytest.raises(InputError, match="vocab.json' does not say how its text was prepared: a preparation has some"):
        RunFolder.open(tmp_path / "run")


def test_show_takes_a_folder_of_runs_and_leaves_out_what_is_none(command, tmp_path):
    for name in ("runs/one", "runs/many/two", "runs/many/three"):
        make_folder(tmp_path / name)
    (tmp_path / "runs" / "empty").mkdir()
    result = command("show", *sorted((tmp_path / "runs").iterdir()), "--json")
    assert [row["out"].rsplit("/", 1)[1] for row in json.loads(result.stdout)["runs"]] == ["three", "two", "one"]
    assert result.returncode == 0
    assert "warning: left out: " in result.stderr
    assert "runs/empty' is not a run folder" in result.stderr
    assert command("show", "runs/empty").returncode == 2


def test_two_runs_whose_names_differ_at_the_end_are_told_apart(tmp_path, monkeypatch, capfd):
    from d2lrnn.cli import main as cli

    monkeypatch.chdir(tmp_path)
    names = [f"runs/{'a-long-name-' * 6}{end}" for end in ("one", "two")]
    for name in names:
        make_folder(tmp_path / name)
    assert cli.main(["show", *names]) == 0
    rows = [line.split("│")[1].strip() for line in capfd.readouterr().out.splitlines() if line.startswith("│")]
    assert "".join(rows) == "".join(names)


@pytest.mark.parametrize("value", [3e84, float("inf")])
def test_a_table_of_runs_can_be_read_whatever_the_numbers(tmp_path, monkeypatch, capfd, value):
    from d2lrnn.cli import main as cli

    monkeypatch.chdir(tmp_path)
    with RunFolder.reopen(make_folder(tmp_path / "run")) as folder:
        history = History([1, 2], [value, value], [2.0, 2.0], [value, value], [1.0, 1.0])
        folder.save(replace(folder.state, history=history, best=folder.weights()), "complete")
    assert cli.main(["show", "run"]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "over 1e+304" in out or "3.0e+84" in out
    assert len(max(out.split(), key=len)) < 130  # a rule of the table


def test_show_says_what_ended_a_run(tmp_path, capfd):
    from d2lrnn.cli import main as cli

    with RunFolder.reopen(make_folder(tmp_path / "run")) as folder:
        folder.save(folder.state, "failed", "MemoryError: [not enough]")
    args = ["show", str(tmp_path / "run"), "--png", str(tmp_path / "a.png")]
    assert cli.main(args) == 0
    assert f"{tmp_path / 'run'}: MemoryError: [not enough]\n" in capfd.readouterr().out
    assert cli.main([*args, "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)["runs"]
    assert (row["status"], row["error"]) == ("failed", "MemoryError: [not enough]")


def test_show_in_a_narrow_terminal(tmp_path, monkeypatch, capfd):
    from d2lrnn.cli import display
    from d2lrnn.cli import main as cli

    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr(display, "_TABLE_WIDTH", 40)
    assert cli.main(["show", str(make_folder(tmp_path / "a")), "--png", str(tmp_path / "a.png")]) == 0
    out = capfd.readouterr().out
    assert "epochs: 1 of 6\n" in out
    assert "┃" not in out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_output_of_another_encoding(command, tmp_path, encoding):
    make_folder(tmp_path / "verses", text="山水😀")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    result = command("show", "verses", "--json", env=environment)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["runs"][0]["corpus"] == "山水😀"
    assert command("show", "verses", env=environment).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device here that is always full")
def test_an_output_that_cannot_be_written(tmp_path):
    make_folder(tmp_path / "run")
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "d2lrnn.cli.main", "show", "run", "--json"],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == "d2lrnn: error: No space left on device; is the disk full?\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
@pytest.mark.parametrize("option", ["--corpus", "--prefix", "--out"])
def test_names_that_are_not_utf_8_are_refused(command, tmp_path, option):
    result = command("train", "--backend", "torch", *TINY_ARGS, option, "caf\udce9")
    assert result.returncode == 2
    assert result.stderr == "d2lrnn: error: 'caf\\udce9' is not UTF-8 and could not be kept or printed: rename it\n"
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="is not UTF-8"):
        settings(prefixes=("caf\udce9",)).check()
