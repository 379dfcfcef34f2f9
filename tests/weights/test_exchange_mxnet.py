"""MXNet's files and its fused vector, with MXNet and without it."""

import itertools
import re
import struct
import sys
import tracemalloc

import numpy as np
import pytest
import tolerances
from conftest import MODELS, in_each_backend
from weight_files import (
    FUSED,
    B,
    H,
    T,
    V,
    X,
    array_list,
    assert_logits,
    assert_same,
    before_numpy_mode,
    draw,
    gluon_tensors,
    mxnet_model,
    one_hot,
)

from d2lrnn.comparison import reference
from d2lrnn.core.backends import FRAMEWORKS
from d2lrnn.errors import InputError
from d2lrnn.weights import exchange, params_file, recognition

# With MXNet


@pytest.mark.only("mxnet")
@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
def test_mxnet_older_files(backend, tmp_path, kind, layers, both):
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
def test_mxnet_flat_vector_is_that_of_the_operator(backend, kind, layers, both, dtype):
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
    vector = recognition.to_flat(kind, weights)
    check(weights, vector)
    assert_same(recognition.from_flat(vector, kind, V, H, layers, both), weights)
    other = rng.normal(0, 0.4, vector.shape).astype("float32")  # with two biases
    check(recognition.from_flat(other, kind, V, H, layers, both), other)


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
    result = params_file.parse(path.read_bytes())
    assert list(result) == list(arrays)
    for name, value in arrays.items():
        assert result[name].dtype == value.dtype
        np.testing.assert_array_equal(result[name], value, strict=True)


@in_each_backend((model for model in MODELS if model.values[0] != "gru-reset-before"), ["mxnet"])
def test_a_file_written_without_mxnet_is_byte_for_byte_mxnets(backend, tmp_path, kind, layers, both):
    net, _ = backend.interface.build_model(kind, V, H, layers, bidirectional=both, device="cpu")
    backend.interface.set_weights(net, draw(kind, layers, both))
    if kind == "rnn-scratch":
        names = ["W_xh", "W_hh", "b_h", "W_hq", "b_q"]
        backend.framework.npx.save(str(tmp_path / "theirs.params"), dict(zip(names, net.params, strict=True)))
    else:
        net.save_parameters(str(tmp_path / "theirs.params"))
    exchange.write_file(tmp_path / "ours.params", kind, draw(kind, layers, both))
    assert (tmp_path / "ours.params").read_bytes() == (tmp_path / "theirs.params").read_bytes()


@pytest.mark.only("mxnet")
def test_arrays_are_written_byte_for_byte_as_mxnet_writes_them(backend, tmp_path):
    mx = backend.framework
    rng = np.random.default_rng(7)
    arrays = {
        f"ü{dtype}{shape}": rng.normal(size=shape).astype(dtype)
        for dtype in ("float32", "float64", "float16")
        for shape in ((), (3,), (2, 3), (1, 2, 3), (0, 3))
    }
    mx.npx.save(str(tmp_path / "a"), {name: mx.np.array(value, dtype=value.dtype) for name, value in arrays.items()})
    assert params_file.dump(arrays) == (tmp_path / "a").read_bytes()


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
    kind, weights = exchange.FORMATS[".params"].load().decode((tmp_path / "a.params").read_bytes())
    assert kind == "lstm"
    assert_same(weights, draw("lstm"))


# MXNet's files of arrays, without MXNet


ARRAYS = {"a": np.arange(6, dtype="float32").reshape(2, 3), "ü": np.ones(3, "float64"), "h": np.ones(1, "float16")}


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_list_of_arrays(version):
    result = params_file.parse(array_list(ARRAYS, version))
    assert list(result) == list(ARRAYS)
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(result[name], value, strict=True)
        assert result[name].flags.writeable


@pytest.mark.parametrize("change", [lambda array: array, np.asfortranarray, lambda array: array.astype(">f4")])
def test_a_list_of_arrays_is_written_as_mxnets_numpy_mode_does(change):
    assert params_file.dump(ARRAYS) == array_list(ARRAYS)
    array = np.arange(6, dtype="float32").reshape(2, 3)
    assert params_file.dump({"a": change(array)}) == array_list({"a": array})


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_list_of_arrays_that_ends_anywhere(version):
    content = array_list(ARRAYS, version)
    for end in range(len(content)):
        with pytest.raises(InputError):
            params_file.parse(content[:end])
    with pytest.raises(InputError, match="1 bytes follow the end"):
        params_file.parse(content + b"x")


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_list_of_arrays_with_any_byte_changed(version):
    """It is read, or refused, and takes no more memory than the file has."""
    content = array_list(ARRAYS, version)
    refused = []
    tracemalloc.start()
    try:
        for place, value in itertools.product(range(len(content)), (0x00, 0x7F, 0x80, 0xFF)):
            try:
                params_file.parse(content[:place] + bytes([value]) + content[place + 1 :])
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
        params_file.parse(content)


def test_files_of_mxnet_are_read_and_written_without_any_framework(tmp_path, monkeypatch):
    for name in FRAMEWORKS:
        for module in (f"d2lrnn.{name}", f"d2lrnn.{name}.files"):
            monkeypatch.setitem(sys.modules, module, None)  # which Python cannot import
    tensors, weights = gluon_tensors("gru", 2, True)
    (tmp_path / "a.params").write_bytes(array_list(tensors))
    assert_same(exchange.read_file(tmp_path / "a.params")[1], weights)
    exchange.write_file(tmp_path / "b.params", "gru", weights)
    assert_same(exchange.read_file(tmp_path / "b.params")[1], weights)
