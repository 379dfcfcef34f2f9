"""Weights that travel between frameworks: nothing is lost on the way, and the model computes what it did before."""

import contextlib
import itertools
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import conftest
import numpy as np
import pytest
import safetensors.numpy
import tolerances
from conftest import MODELS, in_each_backend

from d2lrnn.comparison import reference
from d2lrnn.core import backends
from d2lrnn.core.backends import FRAMEWORKS
from d2lrnn.errors import BackendNotInstalledError, D2LRNNWarning, InputError, InputFileError
from d2lrnn.weights import canonical, exchange, layouts, maps, ndarray_list

V, H, B, T = 7, 5, 3, 6
ENDING = {"torch": ".pt", "mxnet": ".params", "tensorflow": ".keras", "numpy": ".npz"}
# The kinds that a framework's own layer computes, with the number of gates
FUSED = [model for model in MODELS if model.values[0] not in ("rnn-scratch", "gru-reset-before")]


def draw(kind, layers=1, both=False, seed=0):
    """Return weights that are large enough for every gate to matter, all different."""
    rng = np.random.default_rng(seed)
    return {n: rng.normal(0, 0.4, s).astype("float32") for n, s in canonical.shapes(kind, V, H, layers, both).items()}


@pytest.fixture
def X():
    return np.random.default_rng(1).integers(V, size=(B, T))


def assert_same(first, second):
    assert list(first) == list(second)
    for name, value in first.items():
        assert value.dtype == second[name].dtype == np.float32
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def assert_logits(logits, weights, X, kind):
    expected, _ = reference.forward(weights, X, None, kind)
    np.testing.assert_allclose(np.asarray(logits).reshape(T * B, V), expected, rtol=0, atol=tolerances.LOGITS)


def one_hot(X):
    return reference.one_hot(X, V).astype("float32")  # (num_steps, batch_size, vocab_size)


# Models as a user of each framework writes them, without anything of ours but the kind's name


def torch_model(kind, layers, both, **options):
    torch = sys.modules["torch"]
    classes = {"rnn": "RNN", "rnn-relu": "RNN", "gru": "GRU", "lstm": "LSTM"}
    options |= {"nonlinearity": "relu"} if kind == "rnn-relu" else {}

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(torch.nn, classes[kind])(V, H, layers, bidirectional=both, **options)
            self.linear = torch.nn.Linear((2 if both else 1) * H, V)

        def forward(self, x):
            return self.linear(self.rnn(x)[0])

    return Net()


def torch_logits(net, X):
    torch = sys.modules["torch"]
    with torch.no_grad():
        return net(torch.tensor(one_hot(X))).numpy()


def mxnet_model(kind, layers, both, dtype="float32", **options):
    gluon = sys.modules["mxnet"].gluon
    classes = {"rnn": "RNN", "rnn-relu": "RNN", "gru": "GRU", "lstm": "LSTM"}
    options |= {"rnn": {"activation": "tanh"}, "rnn-relu": {"activation": "relu"}}.get(kind, {})

    class Net(gluon.nn.Block):
        def __init__(self):
            super().__init__()
            with self.name_scope():
                self.rnn = getattr(gluon.rnn, classes[kind])(
                    H, layers, bidirectional=both, input_size=V, dtype=dtype, **options
                )
                self.dense = gluon.nn.Dense(V, flatten=False, in_units=(2 if both else 1) * H, dtype=dtype)

        def forward(self, x):
            # With no state given, Gluon asks for one in a way that MXNet itself has deprecated
            return self.dense(self.rnn(x, self.rnn.begin_state(batch_size=B, dtype=x.dtype))[0])

    return Net()


@contextlib.contextmanager
def before_numpy_mode(really=True):
    """Put MXNet into the mode that it began with, and that older files were written in."""
    if not really:
        yield
        return
    util = sys.modules["mxnet"].util
    with util.np_array(False), util.np_shape(False):
        yield


def mxnet_logits(net, X):
    return net(sys.modules["mxnet"].np.array(one_hot(X))).asnumpy()


def keras_model(kind, layers, both):
    keras = sys.modules["tensorflow"].keras
    cls, options = {
        "rnn": ("SimpleRNN", {}),
        "rnn-relu": ("SimpleRNN", {"activation": "relu"}),
        "gru": ("GRU", {}),
        "gru-reset-before": ("GRU", {"reset_after": False}),
        "lstm": ("LSTM", {}),
    }[kind]
    model = keras.Sequential([keras.Input((None, V))])
    for _ in range(layers):
        layer = getattr(keras.layers, cls)(H, return_sequences=True, **options)
        model.add(keras.layers.Bidirectional(layer) if both else layer)
    model.add(keras.layers.Dense(V))
    return model


def keras_logits(model, X):
    return np.asarray(model(one_hot(X).transpose(1, 0, 2))).transpose(1, 0, 2)


def randomise(backend, net, rng):
    """Give a framework's model weights that are large and all different, both biases included."""
    if backend.name == "torch":
        with sys.modules["torch"].no_grad():
            for param in net.parameters():
                param.copy_(backend.tensor(rng.normal(0, 0.4, tuple(param.shape))))
    elif backend.name == "mxnet":
        net.initialize()
        for param in net.collect_params().values():
            param.set_data(backend.tensor(rng.normal(0, 0.4, param.shape).astype("float32")))
    else:
        net.set_weights([rng.normal(0, 0.4, value.shape) for value in net.get_weights()])


def plain_model(backend, kind, layers, both):
    return {"torch": torch_model, "mxnet": mxnet_model, "tensorflow": keras_model}[backend.name](kind, layers, both)


def plain_logits(backend, net, X):
    return {"torch": torch_logits, "mxnet": mxnet_logits, "tensorflow": keras_logits}[backend.name](net, X)


def save(backend, net, path):
    if backend.name == "torch":
        sys.modules["torch"].save(net.state_dict(), path)
    elif backend.name == "mxnet":
        net.save_parameters(str(path))
    else:
        net.save(path)


def load(backend, path, kind, layers, both):
    """Return the model of a file as the framework's own means give it."""
    if backend.name == "tensorflow":
        return sys.modules["tensorflow"].keras.models.load_model(path)
    net = plain_model(backend, kind, layers, both)
    if backend.name == "torch":
        net.load_state_dict(sys.modules["torch"].load(path, weights_only=True), strict=True)
    else:
        net.load_parameters(str(path))
    return net


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
def test_a_written_file_computes_the_same_in_the_framework_alone(backend, tmp_path, X, kind, layers, both):
    weights = draw(kind, layers, both)
    path = tmp_path / f"model{ENDING[backend.name]}"
    exchange.write_file(path, kind, weights)
    net = load(backend, path, kind, layers, both)
    assert_logits(plain_logits(backend, net, X), weights, X, kind)


@pytest.mark.only(*FRAMEWORKS)  # whose file has the canonical names
def test_a_written_scratch_model_has_the_books_names(backend, tmp_path, X):
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
def test_a_users_file_computes_the_same_in_the_reference(backend, tmp_path, X, kind, layers, both):
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
    with pytest.raises(InputError, match=rf"the weights are those of '{kind}', not of 'rnn': leave kind= .* out"):
        exchange.read_file(path, "rnn")


@pytest.mark.parametrize(("layers", "kinds"), [(1, "'rnn-scratch' or 'rnn' or 'rnn-relu'"), (2, "'rnn' or 'rnn-relu'")])
@pytest.mark.only("torch", "mxnet")
def test_the_activation_must_be_said_where_no_file_tells_it(backend, tmp_path, layers, kinds):
    path = tmp_path / f"model{ENDING[backend.name]}"
    exchange.write_file(path, "rnn-relu", draw("rnn-relu", layers))
    with pytest.raises(InputError, match=rf"may be those of {kinds}: say which by kind="):
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


# PyTorch


@pytest.mark.only("torch")
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_torch_other_names_and_number_types(backend, tmp_path, X, kind, dtype):
    torch = backend.framework
    net = torch_model(kind, 2, True)
    randomise(backend, net, np.random.default_rng(3))
    net = net.to(getattr(torch, "float16" if dtype == "float64" else dtype))
    state = {
        re.sub("^rnn", "module.model.my_rnn", re.sub("^linear", "module.fc", name)): value.to(getattr(torch, dtype))
        for name, value in net.state_dict().items()
    }
    torch.save(state, tmp_path / "users.pth")
    _, weights = exchange.read_file(tmp_path / "users.pth", kind)
    assert_logits(torch_logits(net.float(), X), weights, X, kind)


@pytest.mark.only("torch")
@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
def test_torch_without_biases(backend, tmp_path, X, kind, layers, both):
    net = torch_model(kind, layers, both, bias=False)
    net.linear = backend.framework.nn.Linear(net.linear.in_features, V, bias=False)
    save(backend, net, tmp_path / "users.pt")
    _, weights = exchange.read_file(tmp_path / "users.pt", kind)
    assert not weights["layers.0.b_h"].any()
    assert_logits(torch_logits(net, X), weights, X, kind)


class Harmful:
    """What a pickle may hold: code that runs when it is read."""

    ran = False

    def __reduce__(self):
        return (setattr, (Harmful, "ran", True))


@pytest.mark.only("torch")
def test_torch_runs_no_code_of_a_file(backend, tmp_path):
    path = tmp_path / "model.pt"
    backend.framework.save({"rnn.weight_ih_l0": Harmful()}, path)
    with pytest.raises(InputError, match="finds no plain tensors in the file"):
        exchange.read_file(path)
    path.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(InputError, match="finds no plain tensors in the file"):
        exchange.read_file(path)
    assert not Harmful.ran


@pytest.mark.only("torch")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda torch: [1], "holds a list, no dict of tensors"),
        (
            lambda torch: {"state_dict": {}},
            "'state_dict' of the file is a dict, no tensor: save net.state",
        ),
        (lambda torch: {"a": torch.zeros(1).expand(10**12)}, "more numbers than the file"),
        (lambda torch: {"a": torch.zeros(2, dtype=torch.int64)}, "'a' is torch.int64"),
        (lambda torch: {"a": torch.zeros(2, 2).to_sparse()}, "torch.sparse_coo: it must be dense"),
        (lambda torch: torch.nn.LSTM(V, H, proj_size=2).state_dict(), "'weight_hr_l0' is the projection of an LSTM"),
        (lambda torch: torch.nn.LSTM(V, H).state_dict(), "there must be one dense output layer.* the tensors are none"),
    ],
    ids=["list", "checkpoint", "huge", "integers", "sparse", "projection", "no-output"],
)
def test_torch_files_that_are_refused(backend, tmp_path, content, message):
    backend.framework.save(content(backend.framework), tmp_path / "users.pt")
    with pytest.raises(InputError, match=message):
        exchange.read_file(tmp_path / "users.pt")


# MXNet


@pytest.mark.only("mxnet")
@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
def test_mxnet_older_files(backend, tmp_path, X, kind, layers, both):
    """Files of before the NumPy mode: names with the blocks' prefixes, arrays of the second version."""
    mx = backend.framework
    path = str(tmp_path / "users.params")
    with before_numpy_mode():
        net = mxnet_model(kind, layers, both)
        net.initialize(mx.init.Uniform(0.4))
        for param in net.collect_params(".*bias").values():
            param.set_data(mx.nd.random.uniform(-0.4, 0.4, param.shape))
        logits = net(mx.nd.array(one_hot(X))).asnumpy()
        net.collect_params().save(path)
        assert any(re.fullmatch(r"net\d+_\w+\d+_l0_i2h_weight", name) for name in mx.nd.load(path))
    _, weights = exchange.read_file(path, kind)
    assert_logits(logits, weights, X, kind)


@pytest.mark.only("mxnet")
@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mxnet_flat_vector_is_that_of_the_operator(backend, X, kind, layers, both, dtype):
    mx = backend.framework
    rng = np.random.default_rng(4)
    rows = layers * (2 if both else 1)

    def run(vector):
        states = [mx.np.zeros((rows, B, H), dtype=dtype) for _ in range(2 if kind == "lstm" else 1)]
        data, parameters = (mx.np.array(value, dtype=dtype) for value in (one_hot(X), vector))
        options = {"state_size": H, "num_layers": layers, "bidirectional": both, "state_outputs": True}
        mode = {"rnn": "rnn_tanh", "rnn-relu": "rnn_relu"}.get(kind, kind)
        outputs = mx.npx.rnn(data, parameters, *states, mode=mode, **options)
        return [output.asnumpy() for output in outputs]

    def check(weights, vector):
        output = {"output.W_hq": np.eye(rows // layers * H, V), "output.b_q": np.zeros(V)}
        logits, states = reference.forward(weights | output, X, None, kind)
        hidden, *new_states = run(vector)
        # The output layer picks the first of the hidden units
        picked = (hidden @ output["output.W_hq"]).reshape(T * B, V)
        np.testing.assert_allclose(picked, logits, rtol=0, atol=tolerances.LOGITS)
        for state, expected in zip(new_states, states, strict=True):
            np.testing.assert_allclose(state, expected, rtol=0, atol=tolerances.STATE)

    weights = {name: value for name, value in draw(kind, layers, both).items() if name.startswith("layers.")}
    vector = layouts.to_flat(kind, weights)
    check(weights, vector)
    assert_same(layouts.from_flat(vector, kind, V, H, layers, both), weights)
    other = rng.normal(0, 0.4, vector.shape).astype("float32")  # with two biases
    check(layouts.from_flat(other, kind, V, H, layers, both), other)


@pytest.mark.only("mxnet")
@pytest.mark.parametrize("np_mode", [False, True], ids=["version-2", "version-3"])
def test_mxnet_arrays_are_read_as_mxnet_reads_them(backend, tmp_path, np_mode):
    mx = backend.framework
    rng = np.random.default_rng(5)
    arrays = {
        f"arg:{dtype}{shape}": rng.normal(size=shape).astype(dtype)
        for dtype in ("float32", "float64", "float16")
        for shape in ((), (3,), (2, 3), (1, 2, 3), (0, 3))
        if np_mode or shape not in ((), (0, 3))
    }
    path = tmp_path / "a.params"
    with before_numpy_mode(not np_mode):
        if np_mode:
            mx.npx.save(str(path), {name: mx.np.array(value, dtype=value.dtype) for name, value in arrays.items()})
        else:
            mx.nd.save(str(path), {name: mx.nd.array(value, dtype=value.dtype) for name, value in arrays.items()})
    result = ndarray_list.parse(path.read_bytes())
    assert list(result) == list(arrays)
    for name, value in arrays.items():
        assert result[name].dtype == value.dtype
        np.testing.assert_array_equal(result[name], value, strict=True)


@pytest.mark.only("mxnet")
@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_tests_own_files_of_arrays_are_mxnets(backend, tmp_path, version):
    mx = backend.framework
    arrays = {"a": np.arange(6, dtype="float32").reshape(2, 3), "ü": np.ones(3, "float64")}
    (tmp_path / "a.params").write_bytes(array_list(arrays, version))
    with before_numpy_mode():
        theirs = mx.nd.load(str(tmp_path / "a.params"))
    assert list(theirs) == list(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(theirs[name].asnumpy(), value)


@pytest.mark.only("mxnet")
def test_mxnet_reads_eleven_layers_and_writes_ten(backend, tmp_path):
    exchange.write_file(tmp_path / "a.params", "gru", draw("gru", 10))
    assert_same(exchange.read_file(tmp_path / "a.params")[1], draw("gru", 10))
    with pytest.raises(InputError, match="knows no more than 10 layers: these are 11"):
        exchange.write_file(tmp_path / "a.params", "gru", draw("gru", 11))


@pytest.mark.only("mxnet")
def test_mxnet_reads_what_the_parser_reads(backend, tmp_path):
    exchange.write_file(tmp_path / "a.params", "lstm", draw("lstm"))
    kind, weights = exchange.format_of("mxnet").decode((tmp_path / "a.params").read_bytes())
    assert kind == "lstm"
    assert_same(weights, draw("lstm"))


# Keras


def keras_file(model, tmp_path):
    model.save(tmp_path / "users.keras")
    return tmp_path / "users.keras"


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (lambda L: [L.Embedding(V, 4), L.LSTM(H, return_sequences=True), L.Dense(V)], "layer 1 is a Embedding"),
        (lambda L: [L.LSTM(H), L.Dense(V)], "returns its last step only: make it with return_sequences=True"),
        (lambda L: [L.LSTM(H, return_sequences=True)], "the last layer is a LSTM, which has no canonical form"),
        (lambda L: [L.LSTM(H, return_sequences=True), L.Dense(V, activation="softmax")], "Dense with an activation"),
        (lambda L: [L.LSTM(H, return_sequences=True), L.Dense(V, use_bias=False)], "or without a bias"),
        (lambda L: [L.LSTM(H, return_sequences=True), L.Dense(V + 1)], "vectors of 7 numbers .* gives 8"),
        (lambda L: [L.LSTM(H, return_sequences=True), L.Dropout(0.5), L.Dense(V)], "layer 2 is a Dropout"),
        (lambda L: [L.Dense(V)], "does not hold the weights of a recurrent and a dense layer"),
        (
            lambda L: [L.LSTM(H, return_sequences=True), L.GRU(H, return_sequences=True), L.Dense(V)],
            "layers of several kinds",
        ),
        (
            lambda L: [L.LSTM(H, return_sequences=True, recurrent_dropout=0.5), L.Dense(V)],
            "LSTM with recurrent_dropout=0.5 have no canonical form: make the layer with recurrent_dropout=0",
        ),
        (
            lambda L: [L.Bidirectional(L.GRU(H, return_sequences=True), merge_mode="sum"), L.Dense(V)],
            "merge_mode='sum'",
        ),
    ],
)
def test_keras_models_that_are_refused(backend, tmp_path, layers, message):
    keras = backend.framework.keras
    layers = layers(keras.layers)
    first = keras.Input((None,)) if isinstance(layers[0], keras.layers.Embedding) else keras.Input((None, V))
    with pytest.raises(InputError, match=message):
        exchange.read_file(keras_file(keras.Sequential([first, *layers]), tmp_path))


@pytest.mark.only("tensorflow")
def test_a_keras_model_that_is_no_sequence_of_layers(backend, tmp_path):
    keras = backend.framework.keras
    inputs = keras.Input((None, V))
    outputs = keras.layers.Dense(V)(keras.layers.LSTM(H, return_sequences=True)(inputs))
    with pytest.raises(InputError, match="the model is a Functional: save a keras.Sequential of"):
        exchange.read_file(keras_file(keras.Model(inputs, outputs), tmp_path))


def change_config(path, change):
    """Write a .keras file again with its description changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    parts["config.json"] = json.dumps(change(config) or config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def code(config):
    config["config"]["layers"][1]["config"]["kernel_initializer"] = {
        "module": "builtins", "class_name": "function", "config": "print", "registered_name": "function",
    }  # fmt: skip


def huge(config):
    config["config"]["layers"][1]["config"]["units"] = 10**6


@pytest.mark.only("tensorflow")
def test_a_keras_file_that_would_fill_the_memory_is_refused_before_it_is_unpacked(backend, tmp_path):
    weights = canonical.initial_weights("gru", 5, 4, seed=0)
    exchange.write_file(tmp_path / "good.keras", "gru", weights)
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as good,
        zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in good.namelist():
            zeros = bytes(2**25) if name == "model.weights.h5" else b""
            bomb.writestr(name, good.read(name) + zeros)
    assert (tmp_path / "bomb.keras").stat().st_size < 2**17
    with pytest.raises(InputError, match=r"parts have \d+ bytes, and its \d+ weights need far less"):
        exchange.read_file(tmp_path / "bomb.keras")


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: [1], "the description of the model is not Keras's"),
        (lambda config: config["config"].pop("layers"), "the description of the model is not Keras's|is no model"),
        (code, "the model is made with 'function', which is not one of Keras's layers"),
        (huge, "does not hold the weights of a recurrent and a dense layer"),
        (lambda config: config.update(padding="x" * 2**20), "the description of the model is too long"),
    ],
    ids=["no-model", "no-layers", "code", "huge", "long"],
)
def test_a_keras_description_is_looked_at_before_keras_builds_it(backend, tmp_path, monkeypatch, change, message):
    def build(*args, **kwargs):
        raise AssertionError("Keras was asked to build it")

    path = tmp_path / "model.keras"
    exchange.write_file(path, "lstm", draw("lstm"))

    def changed(config):
        result = change(config)
        return result if isinstance(result, list) and result == [1] else config

    change_config(path, changed)
    monkeypatch.setattr(backend.framework.keras.models, "load_model", build)
    with pytest.raises(InputError, match=message):
        exchange.read_file(path)


KERAS_2 = """
import sys
import numpy as np
import tensorflow as tf
from d2lrnn.weights import canonical, exchange
folder = sys.argv[1]
assert tf.keras.layers.LSTM.__module__.startswith("tf_keras")
for kind in canonical.KINDS:
    for layers, both in ((1, False), (2, True))[: 1 if kind == "rnn-scratch" else 2]:
        weights = canonical.initial_weights(kind, 7, 5, layers, both, seed=0)
        exchange.write_file(f"{folder}/a.keras", kind, weights)
        found, result = exchange.read_file(f"{folder}/a.keras")
        assert found == kind
        assert all(np.array_equal(result[name], value) for name, value in weights.items())
layer = tf.keras.layers.LSTM(5, return_sequences=True, time_major=True)
tf.keras.Sequential([tf.keras.Input((None, 7)), layer, tf.keras.layers.Dense(7)]).save(f"{folder}/major.keras")
try:
    exchange.read_file(f"{folder}/major.keras")
except ValueError as error:
    assert "make it with time_major=False" in str(error), error
else:
    raise AssertionError
"""


@pytest.mark.only("tensorflow")
def test_keras_2_reads_and_writes_its_own_files(backend, tmp_path):
    """Which Keras it is settles at TensorFlow's import, so this has a process of its own."""
    command = [sys.executable, "-c", KERAS_2, str(tmp_path)]
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    with pytest.raises(InputError, match="save it with model.save of the same Keras, for 2 and 3 do not read each"):
        exchange.read_file(tmp_path / "a.keras")


# The uniform door knows the layers' kinds, and those that it does not know


def check_kind_of(backend, layer, expected):
    """Check that a model over a layer is of a kind, or else that its weights are refused for a reason."""
    net = backend.d2l.RNNModel(layer, V)
    if expected in canonical.KINDS:
        assert backend.interface.kind_of(net) == expected
    else:
        with pytest.raises(InputError, match=expected):
            backend.interface.get_weights(net)


@pytest.mark.only("torch")
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("RNN", {}, "rnn"),
        ("RNN", {"nonlinearity": "relu"}, "rnn-relu"),
        ("LSTM", {"proj_size": 2}, "LSTM with proj_size=2 have no canonical form: make the layer with proj_size=0"),
        ("GRU", {"bias": False}, "GRU with bias=False"),
        ("GRU", {"batch_first": True}, "GRU with batch_first=True"),
        ("GRU", {"num_layers": 2, "dropout": 0.5}, "GRU with dropout=0.5"),
    ],
)
def test_what_kind_a_torch_layer_is(backend, name, options, expected):
    check_kind_of(backend, getattr(backend.framework.nn, name)(V, H, **options), expected)


@pytest.mark.only("mxnet")
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("RNN", {}, "rnn-relu"),  # Gluon's own default
        ("RNN", {"activation": "tanh"}, "rnn"),
        (
            "LSTM",
            {"projection_size": 2},
            "LSTM with projection_size=2 have no canonical form: make .*=None",
        ),
        ("LSTM", {"state_clip_min": -1, "state_clip_max": 1}, "LSTM with lstm_state_clip_min=-1"),
        ("GRU", {"layout": "NTC"}, "GRU with layout='NTC'"),
        ("GRU", {"num_layers": 2, "dropout": 0.5}, "GRU with dropout=0.5"),
    ],
)
def test_what_kind_an_mxnet_layer_is(backend, name, options, expected):
    check_kind_of(backend, getattr(backend.framework.gluon.rnn, name)(H, input_size=V, **options), expected)


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("SimpleRNN", {}, "rnn"),
        ("SimpleRNN", {"activation": "relu"}, "rnn-relu"),
        ("SimpleRNN", {"activation": "sigmoid"}, "SimpleRNN with activation='sigmoid' have no canonical form"),
        ("GRU", {}, "gru"),
        ("GRU", {"reset_after": False}, "gru-reset-before"),
        ("GRU", {"activation": "relu"}, "GRU with activation='relu'"),
        ("GRU", {"recurrent_activation": "hard_sigmoid"}, "GRU with recurrent_activation='hard_sigmoid'"),
        ("LSTM", {"use_bias": False}, "LSTM with use_bias=False"),
        ("LSTM", {"dropout": 0.5}, "LSTM with dropout=0.5"),
        ("LSTM", {"recurrent_dropout": 0.5}, "LSTM with recurrent_dropout=0.5"),
        ("LSTM", {"go_backwards": True}, "LSTM with go_backwards=True"),
    ],
)
def test_what_kind_a_keras_layer_is(backend, name, options, expected):
    layer = getattr(backend.framework.keras.layers, name)(H, return_sequences=True, return_state=True, **options)
    check_kind_of(backend, layer, expected)


@pytest.mark.only("torch")
def test_a_subclass_may_compute_something_else(backend):
    class Mine(backend.framework.nn.GRU):
        pass

    check_kind_of(backend, Mine(V, H), "the weights of Mine have no canonical form")


def test_a_model_that_is_none_of_ours(backend):
    with pytest.raises(InputError, match="the weights of object have no canonical form: use a model of build_model's"):
        backend.interface.get_weights(object())


# Names and layouts, without a framework


def torch_tensors(kind, layers=1, both=False, prefix="rnn.", output="linear.", second_bias=None):
    """Return canonical weights by PyTorch's names, and the weights."""
    weights = draw(kind, layers, both)
    tensors = {}
    for layer, prefixes in enumerate(canonical.layer_prefixes(layers, both)):
        for ours, end in zip(prefixes, ("", "_reverse"), strict=False):
            b_h = weights[f"{ours}b_h"]
            zeros = np.zeros_like(b_h)
            tensors |= {
                f"{prefix}weight_ih_l{layer}{end}": weights[f"{ours}W_xh"].T,
                f"{prefix}weight_hh_l{layer}{end}": weights[f"{ours}W_hh"].T,
                f"{prefix}bias_ih_l{layer}{end}": b_h,
                f"{prefix}bias_hh_l{layer}{end}": weights.get(f"{ours}b_hh", zeros),
            }
    tensors |= {f"{output}weight": weights["output.W_hq"].T, f"{output}bias": weights["output.b_q"]}
    return tensors, weights


def gluon_tensors(kind, layers=1, both=False, style="{prefix}{direction}{layer}_{part}"):
    """Return canonical weights by one of Gluon's ways to name them, and the weights."""
    tensors, weights = torch_tensors(kind, layers, both, prefix="", output="net0_dense0_")
    renamed = {}
    for name, value in tensors.items():
        if match := re.fullmatch(r"(weight|bias)_(i|h)h_l(\d)(_reverse)?", name):
            part = f"{match[2]}2h_{match[1]}"
            name = style.format(prefix="net0_rnn0_", direction="r" if match[4] else "l", layer=match[3], part=part)
        renamed[name] = value
    return renamed, weights


@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
@pytest.mark.parametrize(
    ("prefix", "output"), [("rnn.", "linear."), ("", ""), ("module.lstm.", "fc."), ("model.rnn_", "head.0.")]
)
def test_torch_names_with_any_prefix(kind, layers, both, prefix, output):
    tensors, weights = torch_tensors(kind, layers, both, prefix, output)
    found, result = layouts.from_tensors(tensors, kind)
    assert found == kind
    assert_same(result, weights)


@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
@pytest.mark.parametrize(
    "style",
    [
        "{prefix}{direction}{layer}_{part}",
        "arg:{direction}{layer}_{part}",
        "{direction}{layer}_{part}",
        "model.rnn.{direction}{layer}_{part}",
        "rnn._unfused.{layer}.{direction}_cell.{part}",
    ],
)
def test_gluon_names_with_any_prefix(kind, layers, both, style):
    tensors, weights = gluon_tensors(kind, layers, both, style)
    found, result = layouts.from_tensors(tensors, kind)
    assert found == kind
    assert_same(result, weights)


def test_gluon_names_of_one_direction_by_block():
    tensors, weights = gluon_tensors("lstm", 2, False, "_unfused.{layer}.{part}")
    assert_same(layouts.from_tensors(tensors)[1], weights)


@pytest.mark.parametrize("kind", list(maps.SCRATCH))
def test_the_books_parameters_from_scratch(X, kind):
    weights = draw(kind)
    gates = canonical.GATES[kind]
    tensors = {}
    for name, parts in maps.scratch_names(kind).items():
        tensors |= dict(zip(parts, np.split(weights[name], gates if len(parts) > 1 else 1, axis=-1), strict=True))
    assert len(tensors) == 3 * gates + 2
    found, result = layouts.from_tensors(tensors)
    assert found == kind
    assert_same(result, weights)
    with pytest.raises(InputError, match=f"those of '{kind}', not of 'rnn-relu'"):
        layouts.from_tensors(tensors, "rnn-relu")


def test_the_books_lstm_from_scratch_is_the_books_formula(X):
    """The gate order of its names, by the formula of section 9.2 rather than by our own table."""
    rng = np.random.default_rng(0)
    sizes = {"W_x": (V, H), "W_h": (H, H), "b_": (H,)}
    p = {f"{part}{gate}": rng.normal(0, 0.4, size).astype("f") for gate in "ifoc" for part, size in sizes.items()}
    p |= {"W_hq": rng.normal(size=(H, V)).astype("f"), "b_q": rng.normal(size=V).astype("f")}
    state, C, outputs = np.zeros((B, H)), np.zeros((B, H)), []

    def gate(x, name):
        return p[f"W_x{name}"][x] + state @ p[f"W_h{name}"] + p[f"b_{name}"]

    for x in X.T:
        I, F, O = (1 / (1 + np.exp(-gate(x, name))) for name in "ifo")
        C = F * C + I * np.tanh(gate(x, "c"))
        state = O * np.tanh(C)
        outputs.append(state @ p["W_hq"] + p["b_q"])
    kind, weights = layouts.from_tensors(p)
    assert kind == "lstm"
    assert_logits(np.concatenate(outputs), weights, X, kind)


def scratch_tensors(kind):
    """Return weights by the book's names of the parameters of a model from scratch."""
    weights, tensors = draw(kind), {}
    for name, parts in maps.scratch_names(kind).items():
        tensors |= dict(zip(parts, np.split(weights[name], len(parts), axis=-1), strict=True))
    return tensors


def test_the_books_model_from_scratch_may_be_called_a_layers():
    found, weights = layouts.from_tensors(scratch_tensors("rnn-scratch"), "rnn")
    assert found == "rnn"
    assert_same(weights, draw("rnn-scratch"))
    with pytest.raises(InputError, match="^the weights are those of 'lstm', not of 'rnn': leave kind= .--model. out$"):
        layouts.from_tensors(scratch_tensors("lstm"), "rnn")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"W_xi": (V, H - 1)}, r"^the tensors 'W_xi', 'W_xf', 'W_xc', 'W_xo' have shapes \[\(7, 4\), \(7, 5\),"
        ),
        pytest.param(
            {f"b_{gate}": () for gate in "ifco"}, r"^the tensors 'b_i', .* have shapes \[\(\), \(\), \(\), \(\)\]$"
        ),
    ],
    ids=["another-shape", "numbers"],
)
def test_gates_from_scratch_that_do_not_fit_together(change, message):
    tensors = scratch_tensors("lstm") | {name: np.zeros(shape, "float32") for name, shape in change.items()}
    with pytest.raises(InputError, match=message):
        layouts.from_tensors(tensors)


@pytest.mark.parametrize(
    ("layers", "both", "kinds"),
    [
        (1, False, "'rnn-scratch' or 'rnn' or 'rnn-relu'"),
        (2, False, "'rnn' or 'rnn-relu'"),
        (1, True, "'rnn' or 'rnn-relu'"),
    ],
)
def test_a_layer_that_may_be_of_several_kinds_is_told_with_all_of_them(layers, both, kinds):
    tensors, weights = torch_tensors("rnn-relu", layers, both)
    with pytest.raises(InputError, match=f"^the weights may be those of {kinds}: say which by kind="):
        layouts.from_tensors(tensors)
    message = f"^the weights are those of {kinds}, not of 'gru': say which of these by kind= .--model.$"
    with pytest.raises(InputError, match=message):
        layouts.from_tensors(tensors, "gru")
    arrays = {
        "parameters": layouts.to_flat("rnn-relu", weights),
        "weight": weights["output.W_hq"].T,
        "bias": weights["output.b_q"],
    }
    with pytest.raises(InputError, match=f"^the weights may be those of {kinds}: say which by kind="):
        layouts.from_tensors(arrays)


def test_a_flat_vector_that_is_of_two_kinds_is_taken_apart_once_its_kind_is_said():
    rng = np.random.default_rng(0)  # a layer of three gates has here as many numbers as three layers of one
    shapes = canonical.shapes("gru", 4, 4)
    weights = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    arrays = {
        "parameters": layouts.to_flat("gru", weights),
        "weight": weights["output.W_hq"].T,
        "bias": weights["output.b_q"],
    }
    assert_same(layouts.from_tensors(arrays, "gru")[1], weights)
    with pytest.raises(InputError, match="can be taken apart in 2 ways"):
        layouts.from_tensors(arrays)


def test_a_weight_that_is_refused_is_named():
    whole = {name: value.astype(int) for name, value in draw("rnn").items()}
    for call, name in (
        (lambda: layouts.complete("rnn", whole), "layers.0.W_xh"),
        (lambda: layouts.to_flat("rnn", whole), "layers.0.W_xh"),
        (lambda: layouts.from_flat(np.zeros(70, int), "rnn", V, H), "parameters"),
    ):
        with pytest.raises(
            InputError, match=f"^weight '{name}' has type int64: it must be float32, float64 or float16$"
        ):
            call()


def test_weights_in_float64_are_rounded_with_a_word_where_that_changes_them():
    limit = float(np.finfo(np.float32).max)
    exact = {"half": np.array([0.5]), "single": np.float32([0.1]), "none": np.zeros(0), "largest": np.array([-limit])}
    kept = {"too large": np.array([1e300])}  # for exact_float32 to refuse
    made = layouts.rounded(exact | kept)
    assert list(made) == [*exact, *kept]
    assert [made[name].dtype for name in made] == [np.float32] * 4 + [np.float64]
    for name, value in (exact | kept).items():
        np.testing.assert_array_equal(made[name], value)
    message = "^the weights of the file are in float64, and are rounded to float32$"
    with pytest.warns(D2LRNNWarning, match=message):
        made = layouts.rounded(exact | {"tenth": np.array([0.1])})
    np.testing.assert_array_equal(made["tenth"], np.float32([0.1]))


def test_the_books_names_of_the_model_from_scratch():
    assert list(maps.scratch_parameters(range(5))) == ["W_xh", "W_hh", "b_h", "W_hq", "b_q"]


def test_two_biases_are_summed_and_rounded_once():
    tensors, _ = torch_tensors("lstm")
    other = np.random.default_rng(1).normal(size=tensors["rnn.bias_hh_l0"].shape).astype("float32")
    _, weights = layouts.from_tensors(tensors | {"rnn.bias_hh_l0": other})
    expected = (tensors["rnn.bias_ih_l0"].astype("float64") + other).astype("float32")
    np.testing.assert_array_equal(weights["layers.0.b_h"], expected)
    tensors, _ = torch_tensors("gru")
    other = np.random.default_rng(1).normal(size=tensors["rnn.bias_hh_l0"].shape).astype("float32")
    _, weights = layouts.from_tensors(tensors | {"rnn.bias_hh_l0": other})
    np.testing.assert_array_equal(weights["layers.0.b_h"], tensors["rnn.bias_ih_l0"])
    np.testing.assert_array_equal(weights["layers.0.b_hh"], other)


@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
def test_layers_without_biases_get_zeros(kind, layers, both):
    tensors, weights = torch_tensors(kind, layers, both)
    _, result = layouts.from_tensors({name: value for name, value in tensors.items() if "bias" not in name}, kind)
    zeros = {name: value if "W_" in name else np.zeros_like(value) for name, value in weights.items()}
    assert_same(result, zeros)


def without(name):
    return lambda tensors: tensors.pop(name)


def adding(name, *shape, dtype="float32"):
    return lambda tensors: tensors.update({name: np.ones(shape, dtype)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.clear(), "^there are no weights: save the parameters of the whole model$"),
        (
            lambda tensors: [tensors.pop(name) for name in [*tensors] if name.startswith("rnn.")],
            "^no recurrent layer of PyTorch or MXNet is among the tensors 'linear.weight', 'linear.bias': its tensors "
            "are called weight_ih_l0, or l0_i2h_weight, after any prefix$",
        ),
        (adding("rnn.parameters", 9), "the tensors 'rnn.parameters' have no place"),
        (
            lambda tensors: tensors.update({f"t{i}": np.ones(1, "float32") for i in range(6)}),
            "the tensors 't0', 't1', 't2', 't3', 't4', 't5' have no place",
        ),
        (
            lambda tensors: tensors.update({f"t{i}": np.ones(1, "float32") for i in range(9)}),
            "'t7' and 1 more have no place",
        ),
        (without("rnn.weight_hh_l1_reverse"), "the h2h_weight of layer 1 of the reverse direction is missing"),
        (without("rnn.bias_ih_l0"), "the i2h_bias of layer 0 is missing"),
        (without("linear.weight"), "there must be one dense output layer"),
        (adding("fc.weight", 7, 10), "there must be one dense output layer"),
        (adding("norm.scale", 7), "the tensors 'norm.scale' have no place in a recurrent and a dense layer"),
        (adding("projection", 7, 4), "the tensors 'projection' have no place in a recurrent and a dense layer"),
        (lambda tensors: [tensors.pop(f"linear.{part}") for part in ("weight", "bias")], "the tensors are none$"),
        (
            lambda tensors: tensors.update({f"t{i}": np.ones(1, "float32") for i in range(11)}),
            "'t0', 't1', 't2', 't3', 't4', 't5', 't6', 't7' and 3 more have no place",
        ),
        (adding("embedding.weight", 7, 4), "'embedding.weight' is an embedding: a canonical model reads one-hot"),
        (adding("other.weight_ih_l0", 20, 7), "the tensors are of several recurrent layers, 'other.' and 'rnn.'"),
        (adding("rnn.weight_hr_l0", 2, 5), "'rnn.weight_hr_l0' is the projection of an LSTM"),
        (adding("rnn.weight_ih_l00", 20, 7), "two tensors stand for the same weight"),
        (adding("rnn.weight_ih_l9999", 20, 7), "the i2h_weight of layer 2 is missing"),
        (adding("rnn.weight_hh_l0", 20, 4), "it must have 1, 3 or 4 times as many rows as columns"),
        (adding("rnn.weight_hh_l0", 10, 5), "it must have 1, 3 or 4 times as many rows as columns"),
        (adding("rnn.weight_hh_l0", 0, 0), "it must have 1, 3 or 4 times as many rows as columns"),
        (adding("rnn.weight_hh_l0"), "it must have 1, 3 or 4 times as many rows as columns"),
        (adding("rnn.weight_ih_l0"), "."),
        (adding("rnn.weight_ih_l1", 20, 7), r"'layers.1.W_xh' has shape \(7, 20\), the model's \(10, 20\)"),
        (adding("rnn.bias_hh_l0", 1), r"the biases of layers.0 have shapes \(20,\) and \(1,\)"),
        (adding("linear.bias"), "'output.b_q' has shape|reads vectors of 7 numbers and the output layer gives 1"),
        (
            adding("linear.bias", 8),
            "reads vectors of 7 numbers and the output layer gives 8: a canonical model .* be equal$",
        ),
        (adding("linear.bias", 7, dtype="int64"), "weight 'linear.bias' has type int64: it must be float32"),
        (adding("linear.bias", 7, dtype="bool"), "has type bool"),
        (adding("linear.bias", 7, dtype="complex64"), "has type complex64"),
    ],
)
def test_tensors_that_are_refused(change, message):
    tensors, _ = torch_tensors("lstm", 2, True)
    assert layouts.from_tensors(tensors)[0] == "lstm"
    change(tensors)
    with pytest.raises(InputError, match=message):
        layouts.from_tensors(tensors)


@pytest.mark.parametrize("number", [0.1, 1e300, 1e-300], ids=["rounded", "too-large", "too-small"])
def test_numbers_that_float32_cannot_hold(number):
    tensors, weights = torch_tensors("lstm")
    tensors = {name: value.astype("float64") for name, value in tensors.items()}
    assert_same(layouts.from_tensors(tensors)[1], weights)
    tensors["linear.bias"][0] = number
    with pytest.raises(
        InputError, match="'linear.bias' has float64 numbers that float32 cannot hold exactly: round"
    ) as refused:
        layouts.from_tensors(tensors)
    assert str(refused.value).endswith(": round it first, if that is what you want")


def test_numbers_that_are_none_travel_as_they_are():
    tensors, _ = torch_tensors("lstm")
    tensors["linear.bias"][:3] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(layouts.from_tensors(tensors)[1]["output.b_q"][:3], [np.nan, np.inf, -np.inf])


# MXNet's flat vector, without MXNet


@pytest.mark.parametrize(("kind", "layers", "both"), [m for m in MODELS if m.values[0] != "gru-reset-before"])
def test_the_flat_vector_and_back(kind, layers, both):
    weights = draw(kind, layers, both)
    vector = layouts.to_flat(kind, weights)
    assert (vector.ndim, vector.dtype) == (1, np.float32)
    recurrent = {name: value for name, value in weights.items() if name.startswith("layers.")}
    assert_same(layouts.from_flat(vector, kind, V, H, layers, both), recurrent)
    np.testing.assert_array_equal(vector, layouts.to_flat(kind, recurrent))


def test_the_order_of_the_flat_vector():
    weights = draw("gru", 2)
    expected = [weights[f"layers.{layer}.{name}"].T.ravel() for layer in range(2) for name in ("W_xh", "W_hh")]
    expected += [weights[f"layers.{layer}.{name}"] for layer in range(2) for name in ("b_h", "b_hh")]
    np.testing.assert_array_equal(layouts.to_flat("gru", weights), np.concatenate(expected))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layouts.to_flat("gru-reset-before", draw("gru-reset-before")), "cannot compute 'gru-reset-before'"),
        (lambda: layouts.from_flat(np.zeros(9), "gru-reset-before", V, H), "cannot compute 'gru-reset-before'"),
        (lambda: layouts.to_flat("lstm", draw("gru")), "'layers.0.W_xh' has shape"),
        (
            lambda: layouts.to_flat("lstm", {}),
            "^the weights have no matrices 'layers.0.W_xh' and 'layers.0.W_hh': give canonical weights$",
        ),
        (lambda: layouts.to_flat("lstm", {"layers.0.W_xh": np.zeros((V, 20))}), "the weights have no matrices"),
        (lambda: layouts.from_flat(np.zeros(140), "rnn-scratch", V, H, 1, True), "has one layer in one direction"),
        (lambda: layouts.from_flat(np.zeros(9), "lstm", V, H), r"has shape \(9,\), and that of such a model \(280,\)"),
        (lambda: layouts.from_flat(np.zeros((28, 10)), "lstm", V, H), r"has shape \(28, 10\)"),
        (lambda: layouts.from_flat(np.zeros(280, int), "lstm", V, H), "has type int64"),
        (lambda: layouts.from_flat(np.zeros(280), "lstm", V, 0), "num_hiddens must be"),
        (lambda: layouts.from_flat(np.zeros(280), "transformer", V, H), "unknown model 'transformer'"),
    ],
)
def test_flat_vectors_that_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
def test_a_file_with_a_flat_vector(tmp_path, kind, layers, both):
    weights = draw(kind, layers, both)
    arrays = {
        "arg:lstm_parameters": layouts.to_flat(kind, weights),
        "arg:pred_weight": weights["output.W_hq"].T,
        "arg:pred_bias": weights["output.b_q"],
    }
    (tmp_path / "a.params").write_bytes(array_list(arrays))
    found, result = exchange.read_file(tmp_path / "a.params", kind)
    assert found == kind
    assert_same(result, weights)


def test_a_flat_vector_of_both_directions_is_not_the_scratch_models():
    weights = draw("rnn", 1, True)
    vector = layouts.to_flat("rnn", weights)
    arrays = {"parameters": vector, "weight": weights["output.W_hq"].T, "bias": weights["output.b_q"]}
    with pytest.raises(InputError, match="^the weights may be those of 'rnn' or 'rnn-relu': say which"):
        layouts.from_tensors(arrays)


def test_a_flat_vector_of_another_length():
    weights = draw("lstm")
    arrays = {"parameters": np.zeros(281, "f"), "weight": weights["output.W_hq"].T, "bias": weights["output.b_q"]}
    with pytest.raises(InputError, match="can be taken apart in 0 ways .* take it apart with from_flat"):
        layouts.from_tensors(arrays)


# MXNet's files of arrays, without MXNet


def array_list(arrays, version=3):
    """Return MXNet's file of arrays, as one of its versions wrote it."""
    content = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        if version:
            content += struct.pack("<I", 0xF993FAC7 + version) + (struct.pack("<i", 0) if version > 1 else b"")
        dimension = "q" if version else "I"
        content += struct.pack(f"<i{array.ndim}{dimension}", array.ndim, *array.shape)
        content += struct.pack("<iii", 1, 0, {"float32": 0, "float64": 1, "float16": 2, "int32": 4}[array.dtype.name])
        content += array.astype(array.dtype.newbyteorder("<")).tobytes()
    content += struct.pack("<Q", len(arrays))
    for name in arrays:
        content += struct.pack("<Q", len(name.encode())) + name.encode()
    return content


ARRAYS = {"a": np.arange(6, dtype="float32").reshape(2, 3), "ü": np.ones(3, "float64"), "h": np.ones(1, "float16")}


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_list_of_arrays(version):
    result = ndarray_list.parse(array_list(ARRAYS, version))
    assert list(result) == list(ARRAYS)
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(result[name], value, strict=True)
        assert result[name].flags.writeable


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_list_of_arrays_that_ends_anywhere(version):
    content = array_list(ARRAYS, version)
    for end in range(len(content)):
        with pytest.raises(InputError):
            ndarray_list.parse(content[:end])
    with pytest.raises(InputError, match="1 bytes follow the end"):
        ndarray_list.parse(content + b"x")


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_list_of_arrays_with_any_byte_changed(version):
    """It is read, or refused, and takes no more memory than the file has."""
    content = array_list(ARRAYS, version)
    refused = []
    tracemalloc.start()
    try:
        for place, value in itertools.product(range(len(content)), (0x00, 0x7F, 0x80, 0xFF)):
            try:
                ndarray_list.parse(content[:place] + bytes([value]) + content[place + 1 :])
            except InputError as error:
                refused.append(str(error))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert len(refused) > len(content)
    assert not any("\n" in message for message in refused)


def with_shape(*shape):
    """Return a list of one array of the third version that says it has a shape, and has one number."""
    shape_bytes = struct.pack(f"<i{len(shape)}q", len(shape), *shape)
    return struct.pack("<QQQIi", 0x112, 0, 1, 0xF993FACA, 0) + shape_bytes + struct.pack("<iiif", 1, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no file of MXNet's arrays"),
        (b"PK" * 20, "no file of MXNet's arrays"),
        (struct.pack("<QQQ", 0x112, 0, 2**63), "says that 9223372036854775808 arrays follow, and ends before"),
        (with_shape(2**62, 2**62, 2**62), "the file ends too early"),
        (with_shape(-1), r"has shape \(-1,\): it is damaged"),
        (with_shape(*[1] * 33), "has 33 dimensions"),
        (struct.pack("<QQQIii", 0x112, 0, 1, 0xF993FACA, 1, 0) + bytes(40), "is sparse .storage type 1."),
        (struct.pack("<QQQIii", 0x112, 0, 1, 0xF993FAC9, 0, 0) + bytes(40), "has no shape"),
        (array_list({"a": np.ones(3, "int32")}), "an array of the file is int32: weights must be float32"),
        (array_list({"a": np.ones(3, "f")})[:-17] + bytes(8), "the file's arrays have no names"),
        (array_list({"a": np.ones(3, "f")})[:-1] + b"\xff", "a name in the file is no text"),
        (array_list({"a": np.ones(3, "f"), "b": np.ones(3, "f")})[:-1] + b"a", "has 2 arrays and 1 names"),
    ],
)
def test_lists_of_arrays_that_are_refused(content, message):
    with pytest.raises(InputError, match=message):
        ndarray_list.parse(content)


def test_files_of_mxnet_are_read_and_written_without_any_framework(tmp_path, monkeypatch):
    for name in FRAMEWORKS:
        for module in (f"d2lrnn.{name}", f"d2lrnn.{name}.files"):
            monkeypatch.setitem(sys.modules, module, None)  # which Python cannot import
    tensors, weights = gluon_tensors("gru", 2, True)
    (tmp_path / "a.params").write_bytes(array_list(tensors))
    assert_same(exchange.read_file(tmp_path / "a.params")[1], weights)
    exchange.write_file(tmp_path / "b.params", "gru", weights)
    assert_same(exchange.read_file(tmp_path / "b.params")[1], weights)


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
    with pytest.raises(InputError, match="may be those of 'rnn-scratch' or 'rnn' or 'rnn-relu': say which by kind="):
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
def test_the_frameworks_themselves_compute_the_same_after_the_trip(tmp_path, X, kind, layers, both):
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
