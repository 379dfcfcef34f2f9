"""Weights that travel between frameworks: nothing is lost on the way, and the model computes what it did before."""

import itertools
import sys

import conftest
import numpy as np
import pytest
import safetensors.numpy
import tolerances
from conftest import MODELS, in_each_backend
from weight_files import (
    ENDING,
    FUSED,
    B,
    H,
    T,
    V,
    X,
    assert_logits,
    assert_same,
    draw,
    keras_logits,
    load,
    one_hot,
    plain_logits,
    plain_model,
    randomise,
    save,
    torch_logits,
    torch_model,
)

from d2lrnn.core import backends
from d2lrnn.core.backends import FRAMEWORKS
from d2lrnn.errors import BackendNotInstalledError, InputError, InputFileError
from d2lrnn.weights import canonical, exchange

# Each framework's file


@in_each_backend(MODELS)
def test_to_a_framework_and_back_nothing_is_changed(backend, tmp_path, kind, layers, both):
    weights = draw(kind, layers, both)
    path = tmp_path / f"model{ENDING[backend.name]}"
    exchange.write_file(path, kind, weights)
    found, result = exchange.read_file(path, kind)
    assert found == kind
    assert_same(result, weights)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@in_each_backend((model for model in MODELS if model.values[0] != "rnn-scratch"), FRAMEWORKS)
def test_a_written_file_computes_the_same_in_the_framework_alone(backend, tmp_path, kind, layers, both):
    weights = draw(kind, layers, both)
    path = tmp_path / f"model{ENDING[backend.name]}"
    exchange.write_file(path, kind, weights)
    net = load(backend, path, kind, layers, both)
    assert_logits(plain_logits(backend, net, X), weights, X, kind)


@pytest.mark.only(*FRAMEWORKS)  # whose file has the canonical names
def test_a_written_scratch_model_has_the_books_names(backend, tmp_path):
    weights = draw("rnn-scratch")
    path = tmp_path / f"model{ENDING[backend.name]}"
    exchange.write_file(path, "rnn-scratch", weights)
    if backend.name == "tensorflow":
        model = load(backend, path, "rnn", 1, False)
        assert model.name == "rnn-scratch"
        assert_logits(keras_logits(model, X), weights, X, "rnn-scratch")
        return
    loader = backend.framework.load if backend.name == "torch" else backend.framework.npx.load
    params = loader(str(path))
    assert list(params) == ["W_xh", "W_hh", "b_h", "W_hq", "b_q"]
    state = backend.d2l.init_rnn_state(B, H, backend.cpu)
    logits, _ = backend.d2l.rnn(backend.tensor(one_hot(X)), state, list(params.values()))
    assert_logits(backend.numpy(logits), weights, X, "rnn-scratch")


@pytest.mark.parametrize("kind", ["rnn", None])
def test_the_scratch_model_is_known_and_may_be_called_the_other(backend, tmp_path, kind):
    weights = draw("rnn-scratch")
    path = tmp_path / f"model{ENDING[backend.name]}"
    exchange.write_file(path, "rnn-scratch", weights)
    found, result = exchange.read_file(path, kind)
    assert found == (kind or "rnn-scratch")
    assert_same(result, weights)


@in_each_backend((model for model in MODELS if model.values[0] != "rnn-scratch"), FRAMEWORKS)
def test_a_users_file_computes_the_same_in_the_reference(backend, tmp_path, kind, layers, both):
    net = plain_model(backend, kind, layers, both)
    randomise(backend, net, np.random.default_rng(2))
    path = tmp_path / f"users{ENDING[backend.name]}"
    save(backend, net, path)
    found, weights = exchange.read_file(path, kind)
    assert found == kind
    assert_logits(plain_logits(backend, net, X), weights, X, kind)


@in_each_backend(["gru", "gru-reset-before", "lstm"])
def test_what_a_file_can_tell_need_not_be_said(backend, tmp_path, kind):
    path = tmp_path / f"model{ENDING[backend.name]}"
    exchange.write_file(path, kind, draw(kind))
    assert exchange.read_file(path)[0] == kind
    with pytest.raises(InputError, match=rf"the weights are those of '{kind}', not of 'rnn': leave kind out"):
        exchange.read_file(path, "rnn")


@pytest.mark.parametrize(("layers", "kinds"), [(1, "'rnn-scratch' or 'rnn' or 'rnn-relu'"), (2, "'rnn' or 'rnn-relu'")])
@pytest.mark.only("torch", "mxnet")
def test_the_activation_must_be_said_where_no_file_tells_it(backend, tmp_path, layers, kinds):
    path = tmp_path / f"model{ENDING[backend.name]}"
    exchange.write_file(path, "rnn-relu", draw("rnn-relu", layers))
    with pytest.raises(InputError, match=rf"may be those of {kinds}: say which with kind="):
        exchange.read_file(path)
    assert exchange.read_file(path, "rnn-relu")[0] == "rnn-relu"
    with pytest.raises(InputError, match="not of 'gru'"):
        exchange.read_file(path, "gru")


@pytest.mark.only("torch", "mxnet")
def test_a_gru_that_resets_before_is_refused_where_no_layer_computes_it(backend, tmp_path):
    for build in (backend.d2l.recurrent_layer, backend.interface.build_model):
        with pytest.raises(InputError, match="applies the reset gate after .* 'gru-reset-before': use TensorFlow"):
            build("gru-reset-before", V, H)
    path = tmp_path / f"model{ENDING[backend.name]}"
    with pytest.raises(InputError, match="use TensorFlow"):
        exchange.write_file(path, "gru-reset-before", draw("gru-reset-before"))
    assert not list(tmp_path.iterdir())
    exchange.write_file(path, "gru", draw("gru"))
    with pytest.raises(InputError, match="those of 'gru', not of 'gru-reset-before'"):
        exchange.read_file(path, "gru-reset-before")


@pytest.mark.parametrize("step", [1, 3])
def test_half_a_file_and_garbage(backend, tmp_path, step):
    path = tmp_path / f"model{ENDING[backend.name]}"
    exchange.write_file(path, "lstm", draw("lstm"))
    content = path.read_bytes()
    broken = [content[: len(content) * part // 8] for part in range(0, 8, step)]
    for wrong in (*broken, b"\0" * 300, b"\x80\x02}", b"weights", content[::-1]):
        path.write_bytes(wrong)
        with pytest.raises(InputError) as caught:
            exchange.read_file(path)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(repr(str(path)))


# The canonical file, and paths


@pytest.mark.parametrize(("kind", "layers", "both"), MODELS)
def test_the_canonical_file_and_back(tmp_path, kind, layers, both):
    weights = draw(kind, layers, both)
    exchange.write_file(tmp_path / "a.safetensors", kind, weights)
    found, result = exchange.read_file(tmp_path / "a.safetensors")
    assert found == kind
    assert_same(result, weights)
    with pytest.raises(InputError, match="not of"):
        exchange.read_file(tmp_path / "a.safetensors", "lstm" if kind != "lstm" else "gru")


def test_a_canonical_file_that_does_not_say_its_kind(tmp_path):
    path = tmp_path / "weights.safetensors"
    for kind, said in (("gru", None), ("gru-reset-before", None), ("lstm", None), ("rnn-relu", "rnn-relu")):
        path.write_bytes(safetensors.numpy.save(draw(kind)))
        found, result = exchange.read_file(path, said)
        assert found == kind
        assert_same(result, draw(kind))
    with pytest.raises(InputError, match="may be those of 'rnn-scratch' or 'rnn' or 'rnn-relu': say which with kind="):
        exchange.read_file(path)


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"a": np.ones(3)}, None, "it has no matrix 'layers.0.W_hh'"),
        ({"layers.0.W_hh": np.ones((3, 3))}, None, "those of no canonical model"),
        (draw("gru"), {"kind": "lstm"}, "'layers.0.b_hh'|has shape"),
        (draw("gru"), {"kind": "transformer"}, "unknown model 'transformer'"),
        (draw("gru") | {"output.b_q": np.full(V, 1e300)}, None, "float64 numbers that float32 cannot hold"),
    ],
)
def test_canonical_files_that_are_refused(tmp_path, tensors, metadata, message):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors.numpy.save(tensors, metadata))
    with pytest.raises(InputError, match=message):
        exchange.read_file(path)


def test_half_a_canonical_file(tmp_path):
    path = tmp_path / "weights.safetensors"
    exchange.write_file(path, "gru", draw("gru"))
    content = path.read_bytes()
    for end in (*range(0, 200, 7), *range(200, len(content), 151)):
        path.write_bytes(content[:end])
        with pytest.raises(InputError) as caught:
            exchange.read_file(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".safetensors", ".params"])
def test_paths_that_cannot_be_read(tmp_path, ending):
    with pytest.raises(InputFileError, match="does not exist: give the path of a file of weights"):
        exchange.read_file(tmp_path / f"none{ending}")
    with pytest.raises(InputFileError, match="does not exist"):
        exchange.read_file(tmp_path / "no-folder" / f"none{ending}")
    folder = tmp_path / f"folder{ending}"
    folder.mkdir()
    with pytest.raises(InputFileError, match="is no file"):
        exchange.read_file(folder)
    with pytest.raises(InputFileError, match="null|does not exist"):
        exchange.read_file(f"a\0{ending}")


def test_paths_that_cannot_be_written(tmp_path):
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    for path in (folder, tmp_path / "no-folder" / "a.safetensors", "a\0.safetensors"):
        with pytest.raises(InputError) as caught:
            exchange.write_file(path, "gru", draw("gru"))
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.safetensors"]


@pytest.mark.parametrize("path", ["weights", "weights.bin", "weights.pt.gz", ".pt", ""])
def test_endings_that_say_nothing(path):
    message = "has no ending that says what it is: use one of .pt, .pth, .params, .keras, .npz, .safetensors"
    with pytest.raises(InputError, match=message):
        exchange.read_file(path)
    with pytest.raises(InputError, match=message):
        exchange.write_file(path, "gru", draw("gru"))


def test_an_ending_in_capital_letters(tmp_path):
    exchange.write_file(tmp_path / "A.SAFETENSORS", "gru", draw("gru"))
    assert_same(exchange.read_file(tmp_path / "A.SAFETENSORS")[1], draw("gru"))


@pytest.mark.parametrize("kind", ["transformer", 3])
def test_kinds_that_there_are_not(tmp_path, kind):
    with pytest.raises(InputError, match="unknown model"):
        exchange.read_file(tmp_path / "a.safetensors", kind)
    with pytest.raises(InputError, match="unknown model"):
        exchange.write_file(tmp_path / "a.safetensors", kind, draw("gru"))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.safetensors"
    exchange.write_file(path, "gru", draw("gru"))
    with pytest.raises(InputError, match="'output.b_q' is missing"):
        exchange.write_file(path, "lstm", {n: v for n, v in draw("lstm").items() if n != "output.b_q"})
    assert_same(exchange.read_file(path)[1], draw("gru"))
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_are_not_in_float32_are_written_if_they_are_exact(tmp_path):
    weights = draw("gru")
    exchange.write_file(tmp_path / "a.safetensors", "gru", {n: v.astype("float64") for n, v in weights.items()})
    assert_same(exchange.read_file(tmp_path / "a.safetensors")[1], weights)
    with pytest.raises(InputError, match="float32 cannot hold"):
        exchange.write_file(tmp_path / "a.safetensors", "gru", {n: v.astype("float64") / 3 for n, v in weights.items()})


@pytest.mark.parametrize(("name", "ending"), [(name, ENDING[name]) for name in ("torch", "tensorflow")])
def test_a_framework_that_is_missing(tmp_path, monkeypatch, name, ending):
    for module in (f"d2lrnn.{name}", f"d2lrnn.{name}.files"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(backends.util, "find_spec", lambda module: None)
    with pytest.raises(BackendNotInstalledError, match=rf"pip install 'd2lrnn\[{name}\]'"):
        exchange.write_file(tmp_path / f"a{ending}", "gru", draw("gru"))
    (tmp_path / f"a{ending}").write_bytes(b"")
    with pytest.raises(BackendNotInstalledError, match=rf"pip install 'd2lrnn\[{name}\]'"):
        exchange.read_file(tmp_path / f"a{ending}")


# From one framework to the next


@pytest.mark.parity
@pytest.mark.parametrize("endings", list(itertools.permutations([".pt", ".params", ".keras"])), ids="".join)
@pytest.mark.parametrize(("kind", "layers", "both"), [m for m in MODELS if m.values[0] not in canonical.ONLY_IN])
def test_around_all_three_nothing_is_changed(tmp_path, kind, layers, both, endings):
    weights = draw(kind, layers, both)
    travelling = weights
    for stop, ending in enumerate((*endings, endings[0])):
        path = tmp_path / f"{stop}{ending}"
        exchange.write_file(path, kind, travelling)
        found, travelling = exchange.read_file(path, kind)
        assert found == kind
        assert_same(travelling, weights)


@pytest.mark.parity
@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
def test_the_frameworks_themselves_compute_the_same_after_the_trip(tmp_path, kind, layers, both):
    """A user's PyTorch model in MXNet and in Keras, by each one's own means, both biases included."""
    torch, mxnet, tensorflow = map(conftest.load_backend, ("torch", "mxnet", "tensorflow"))
    net = torch_model(kind, layers, both)
    randomise(torch, net, np.random.default_rng(6))
    save(torch, net, tmp_path / "users.pt")
    expected = torch_logits(net, X)
    for backend in (mxnet, tensorflow):
        path = tmp_path / f"there{ENDING[backend.name]}"
        exchange.write_file(path, *exchange.read_file(tmp_path / "users.pt", kind))
        logits = plain_logits(backend, load(backend, path, kind, layers, both), X)
        np.testing.assert_allclose(logits.reshape(T * B, V), expected.reshape(T * B, V), rtol=0, atol=tolerances.LOGITS)
