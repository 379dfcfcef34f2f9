"""Weights for the tests of what travels: drawn, in a framework's own model, by its names, and in MXNet's file."""

import contextlib
import re
import struct
import sys

import numpy as np
import tolerances
from conftest import MODELS

from d2lrnn.comparison import reference
from d2lrnn.numpy import nn
from d2lrnn.weights import canonical

V, H, B, T = 7, 5, 3, 6
X = np.random.default_rng(1).integers(V, size=(B, T))  # tokens
ENDING = {"torch": ".pt", "mxnet": ".params", "tensorflow": ".keras", "numpy": ".npz"}
# The kinds that a framework's own layer computes, with the number of gates
FUSED = [model for model in MODELS if model.values[0] not in ("rnn-scratch", "gru-reset-before")]


def draw(kind, layers=1, both=False, seed=0):
    """Return weights that are large enough for every gate to matter, all different."""
    rng = np.random.default_rng(seed)
    return {n: rng.normal(0, 0.4, s).astype("float32") for n, s in canonical.shapes(kind, V, H, layers, both).items()}


def assert_same(first, second):
    assert list(first) == list(second)
    for name, value in first.items():
        assert value.dtype == second[name].dtype == np.float32
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def assert_logits(logits, weights, X, kind):
    expected, _ = reference.forward(weights, X, None, kind)
    np.testing.assert_allclose(np.asarray(logits).reshape(T * B, V), expected, rtol=0, atol=tolerances.LOGITS)


def one_hot(X):
    return nn.one_hot(X.T, V, "float32")  # (num_steps, batch_size, vocab_size)


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


# The same by the frameworks' names, and in MXNet's file


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
