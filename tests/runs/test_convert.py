"""Runs and files of weights turned into one another, through the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from d2lrnn.cli import main as cli
from d2lrnn.core.backends import BACKENDS
from d2lrnn.core.history import History
from d2lrnn.data import Preparation, Vocab
from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.runs import prediction, training
from d2lrnn.runs.conversion import convert
from d2lrnn.runs.folder_files import State
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.weights import canonical, exchange

VOCAB = Vocab("the sea and the sky")


def make_run(path, backend="torch", kind="rnn", best=True, vocab=VOCAB):
    settings = Settings(model=kind, num_hiddens=6, epochs=5, seed=1, prefixes=("the",))
    weights, other = (
        canonical.in_dtype(canonical.initial_weights(kind, len(VOCAB), 6, seed=seed), BACKENDS[backend].dtype)
        for seed in (1, 2)
    )
    state = State(
        weights, History([1, 2], [9.0, 8.0], [1.0, 1.0], [7.0, 9.0] if best else [], [1.0, 1.0]),
        np.random.default_rng(3).bit_generator.state, other if best else None, "epoch 2\n",
    )  # fmt: skip
    config = {"backend": backend, "corpus": {"name": "story", "sha256": "ab"}, "created": "then", "seconds": 3.5}
    with RunFolder.create(path, config, settings, vocab) as folder:
        folder.save(state, "interrupted", best_epoch=1)
    return path


def make_run_of_many_digits(path):
    """Make a run in NumPy with weights that float32 has to round."""
    folder = RunFolder.open(make_run(path, "numpy"))
    state = replace(folder.state, weights={name: value / 3 for name, value in folder.state.weights.items()})
    with folder.take():
        folder.save(state, "interrupted")
    return path


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_a_run_becomes_a_run_of_another_backend_in_the_same_state(tmp_path, capfd):
    source = make_run(tmp_path / "one")
    assert cli.main(["convert", str(source), "--backend", "mxnet", "--out", str(tmp_path / "two")]) == 0
    assert capfd.readouterr().out == f"rnn, 1 x 6 units, {len(VOCAB)} tokens: {tmp_path / 'two'}\n"
    one, two = RunFolder.open(source), RunFolder.open(tmp_path / "two")
    assert (two.backend, two.status, two.config["seconds"]) == ("mxnet", "interrupted", 3.5)
    assert two.config["converted_from"] == {"backend": "torch", "epochs": 2}
    assert (two.settings, two.vocab.idx_to_token) == (one.settings, one.vocab.idx_to_token)
    assert (two.state.history, two.state.random_state) == (one.state.history, one.state.random_state)
    assert_same_weights(two.state.weights, one.state.weights)
    assert_same_weights(two.state.best, one.state.best)


@pytest.mark.parametrize(
    ("out", "refusal"),
    [
        ("one", "there is a run in"),
        ("full", "is not empty"),
        ("no-folder/two.npz", "there is no folder"),
    ],
)
def test_what_is_refused_is_not_warned_about_before(tmp_path, capfd, out, refusal):
    source = make_run_of_many_digits(tmp_path / "one")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").touch()
    backend = [] if "." in out else ["--backend", "torch"]
    assert cli.main(["convert", str(source), *backend, "--out", str(tmp_path / out)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert refusal in line


@pytest.mark.parametrize("out", ["two", "two.safetensors"])
def test_that_numpys_weights_lose_digits_is_said(tmp_path, out):
    source = make_run_of_many_digits(tmp_path / "one")
    with pytest.warns(D2LRNNWarning, match=r"the weights are rounded, for a .* holds them in float32"):
        convert(source, tmp_path / out, backend=None if "." in out else "torch")


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_a_file_of_numpys_weights_is_rounded_as_its_run_would_be(tmp_path, ending):
    weights = {name: value / 3 for name, value in canonical.initial_weights("gru", 9, 6, 1, seed=0).items()}
    weights = canonical.in_dtype(weights, "float64")
    weights["output.b_q"] = weights["output.b_q"] + 0.1
    file = tmp_path / f"weights{ending}"
    if ending == ".npz":
        np.savez(file, **weights)
    else:
        save_file(weights, file)
    with pytest.warns(D2LRNNWarning, match="the weights of the file are in float64, and are rounded to float32"):
        convert(file, tmp_path / "two.npz", kind="gru")
    with np.load(tmp_path / "two.npz") as made:
        assert_same_weights({name: made[name] for name in weights}, canonical.in_dtype(weights, "float32"))
    weights["output.b_q"][0] = 1e300
    np.savez(tmp_path / "large.npz", **weights)
    with pytest.raises(InputError, match="'output.b_q' has float64 numbers that float32 cannot hold exactly"):
        convert(tmp_path / "large.npz", tmp_path / "three.npz", kind="gru")


@pytest.mark.parametrize("best", [False, True])
def test_a_run_becomes_a_file_and_the_file_a_run(tmp_path, best):
    source = make_run(tmp_path / "one")
    file = tmp_path / "weights.safetensors"
    made = convert(source, file, best=best)
    assert (made["out"], made["kind"], made["num_hiddens"]) == (str(file), "rnn", 6)
    kind, weights = exchange.read_file(file)
    assert kind == "rnn"
    assert_same_weights(weights, RunFolder.open(source).weights(best))
    for name, vocab in (("two", source), ("three", source / "vocab.json")):
        convert(file, tmp_path / name, backend="tensorflow", vocab=vocab)
        two = RunFolder.open(tmp_path / name)
        assert (two.backend, two.status, two.epoch) == ("tensorflow", "converted", 0)
        assert two.vocab.idx_to_token == VOCAB.idx_to_token
        assert_same_weights(two.weights(), weights)
    assert cli.main(["show", str(tmp_path / "two"), "--png", str(tmp_path / "runs.png")]) == 0


@pytest.mark.parametrize("preparation", [None, Preparation("char", "book", keep_case=True)], ids=["old", "new"])
def test_how_a_text_was_prepared_goes_along(tmp_path, preparation):
    vocab = Vocab("the sea and the sky")
    vocab.preparation = preparation
    source = make_run(tmp_path / "one", vocab=vocab)
    expected = preparation or Preparation("char", "letters")  # which the settings of an old run say
    convert(source, tmp_path / "two", backend="mxnet")
    assert RunFolder.open(tmp_path / "two").vocab.preparation == expected
    convert(source, tmp_path / "w.safetensors")
    for name, which in (("three", source), ("four", source / "vocab.json")):
        convert(tmp_path / "w.safetensors", tmp_path / name, backend="torch", vocab=which)
        assert RunFolder.open(tmp_path / name).vocab.preparation == expected


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path, capfd):
    source = make_run(tmp_path / "one")
    file = tmp_path / "mine.safetensors"
    file.write_text("precious")
    assert cli.main(["convert", str(source), "--out", str(file)]) == 2
    err = capfd.readouterr().err
    assert err == f"d2lrnn: error: {str(file)!r} is there already: name another file, or replace it with --force\n"
    assert file.read_text() == "precious"
    assert cli.main(["convert", str(source), "--out", str(file), "--force"]) == 0
    assert_same_weights(exchange.read_file(file)[1], RunFolder.open(source).weights())


def test_a_run_made_of_a_file_has_no_text_to_train_on(tmp_path, monkeypatch):
    convert(make_run(tmp_path / "one"), tmp_path / "w.safetensors")
    convert(tmp_path / "w.safetensors", tmp_path / "two", backend="torch", vocab=tmp_path / "one")
    monkeypatch.setattr(training.backends, "problem", lambda name: None)
    with pytest.raises(InputError, match="was made from a file of weights and has no text to train on"):
        training.resume(tmp_path / "two")


def test_the_weights_of_a_run_folder_are_a_file_that_tells_its_kind(tmp_path):
    make_run(tmp_path / "one", kind="rnn-relu")
    assert exchange.read_file(tmp_path / "one" / "weights.safetensors")[0] == "rnn-relu"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["one", "--out", "two"], "'two' is to be a run folder: name its framework with --backend"),
        (["one", "--out", "two.bin"], "'two.bin' is to be a run folder"),
        (["one", "--out", "w.pt", "--backend", "mxnet"], "a .pt file is torch's own, and --backend says mxnet"),
        (["one", "--out", "one", "--backend", "mxnet"], "there is a run in 'one' already"),
        (["one", "--out", "two", "--backend", "mxnet", "--best"], "keeps all its weights"),
        (["one", "--out", "w.safetensors", "--model", "gru"], "is of the model 'rnn', not 'gru'"),
        (["nowhere", "--out", "two", "--backend", "mxnet"], "there is no 'nowhere': give a run folder, or a file"),
        (["nowhere.pt", "--out", "w.safetensors"], "'nowhere.pt'"),
        ([".", "--out", "two", "--backend", "mxnet"], "'.' is not a run folder"),
        (["reset", "--out", "two", "--backend", "mxnet"],
         "'gru-reset-before' cannot be converted exactly to MXNet, which has no layer that computes it"),
        (["reset.safetensors", "--out", "two", "--backend", "torch", "--vocab", "one"], "cannot be converted exactly"),
        (["one.safetensors", "--out", "two", "--backend", "torch"], "holds no vocabulary: name the run folder"),
        (["one.safetensors", "--out", "two", "--backend", "torch", "--vocab", "nothing"], "cannot read the vocabulary"),
        (["one.safetensors", "--out", "two", "--backend", "torch", "--vocab", "small.json"],
         "has 2 tokens, and the model in 'one.safetensors' is for"),
        (["one.safetensors", "--out", "two", "--backend", "torch", "--vocab", "one/config.json"],
         "holds no vocabulary"),
        (["nan.safetensors", "--out", "two", "--backend", "torch", "--vocab", "one"], "that are NaN or infinite"),
        (["reset", "--out", "one/weights.safetensors"], "'one' is a run folder, which holds what its run wrote"),
        (["one", "--out", "nowhere/x.safetensors"], "there is no folder 'nowhere'; make it"),
        (["both.safetensors", "--out", "two", "--backend", "torch", "--vocab", "one"], "reads a text from both ends"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_said_in_a_line(tmp_path, monkeypatch, capfd, args, message):
    monkeypatch.chdir(tmp_path)
    make_run("one")
    make_run("reset", "tensorflow", "gru-reset-before")
    for name in ("one", "reset"):
        convert(name, f"{name}.safetensors")
    both = canonical.initial_weights("rnn", len(VOCAB), 6, bidirectional=True, seed=1)
    exchange.write_file("both.safetensors", "rnn", both)
    bad = canonical.initial_weights("rnn", len(VOCAB), 6, seed=1)
    bad["output.b_q"][0] = np.nan
    exchange.write_file("nan.safetensors", "rnn", bad)
    (tmp_path / "small.json").write_text(json.dumps({"tokens": ["<unk>", "a"]}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert cli.main(["convert", *args]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_framework_goes_on_with_the_run_of_another(backend, tmp_path):
    # The minibatches are those that were to come, and the weights the same: the loss goes on where it was
    settings = Settings(corpus="story", max_tokens=2000, num_hiddens=12, batch_size=8, num_steps=20, seed=3, epochs=4)
    training.train(backend.name, settings, out=tmp_path / "whole", quiet=True)
    with pytest.raises(KeyboardInterrupt):
        training.train(backend.name, settings, out=tmp_path / "cut", quiet=True, callback=interrupt_after_two)
    convert(tmp_path / "cut", tmp_path / "again", backend=backend.name)
    training.resume(tmp_path / "again", quiet=True)
    one, other = (RunFolder.open(tmp_path / name).state for name in ("again", "whole"))
    assert one.history.perplexity == other.history.perplexity
    assert_same_weights(one.weights, other.weights)


def interrupt_after_two(number, epoch):
    if number == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn", "rnn-relu", "gru", "lstm"])
def test_round_trips_of_runs_through_the_frameworks_own_file(backend, tmp_path, kind):
    ending = {"torch": ".pt", "mxnet": ".params", "tensorflow": ".keras", "numpy": ".npz"}[backend.name]
    source = make_run(tmp_path / "one", backend.name, kind)
    convert(source, tmp_path / f"model{ending}")
    convert(tmp_path / f"model{ending}", tmp_path / "two", backend=backend.name, kind=kind, vocab=source)
    assert_same_weights(RunFolder.open(tmp_path / "two").weights(), RunFolder.open(source).weights())
    assert prediction.predict(tmp_path / "two", ["the"], 20) == prediction.predict(source, ["the"], 20)


@pytest.mark.parity
@pytest.mark.parametrize("source", list(BACKENDS))
@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn", "rnn-relu", "gru", "lstm"])
def test_a_run_of_each_backend_is_continued_with_the_same_text_in_all(tmp_path, source, kind):
    settings = Settings(
        model=kind, corpus="story", max_tokens=4000, num_hiddens=32, batch_size=8, num_steps=20, seed=3, epochs=2,
    )  # fmt: skip
    training.train(source, settings, out=tmp_path / "run", quiet=True)
    texts = {name: prediction.predict(tmp_path / "run", backend=name) for name in BACKENDS}
    drawn = {
        name: prediction.predict(tmp_path / "run", ["the "], 100, backend=name, temperature=0.8, seed=5)
        for name in texts
    }
    assert all(text == texts["torch"] for text in texts.values())
    assert all(text == drawn["torch"] for text in drawn.values())
    assert all(len(row["text"]) == len(row["prefix"]) + 50 for row in texts["torch"])
    (row,) = drawn["torch"]
    assert len(set(row["text"])) > 5


@pytest.mark.parity
def test_another_framework_goes_on_with_the_training(tmp_path):
    settings = Settings(corpus="story", max_tokens=4000, num_hiddens=32, batch_size=8, num_steps=20, seed=3, epochs=8)
    training.train("torch", settings, out=tmp_path / "whole", quiet=True)
    with pytest.raises(KeyboardInterrupt):
        training.train("torch", settings, out=tmp_path / "cut", quiet=True, callback=interrupt_after_two)
    convert(tmp_path / "cut", tmp_path / "mxnet", backend="mxnet")
    training.resume(tmp_path / "mxnet", quiet=True)
    whole, cut = (RunFolder.open(tmp_path / name).state.history for name in ("whole", "mxnet"))
    np.testing.assert_allclose(cut.perplexity, whole.perplexity, rtol=1e-3)


def test_a_link_to_nowhere_is_somebodys_file_too(tmp_path):
    link = tmp_path / "weights.npz"
    link.symlink_to("nowhere")
    with pytest.raises(InputError, match="is there already: name another file, or replace it with force=True"):
        convert(make_run(tmp_path / "run", backend="numpy"), link)
    assert link.is_symlink()
    convert(tmp_path / "run", link, force=True)
    assert link.is_file()
    (tmp_path / "folder").symlink_to("nowhere")
    with pytest.raises(InputError, match="it is a link to what is not there"):
        convert(tmp_path / "run", tmp_path / "folder", backend="numpy")
