"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`.

Weights and states are those of :mod:`d2lrnn.weights.canonical`, minibatches are NumPy arrays, and devices are named as
:func:`get_device` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy
import numpy.typing as npt
from mxnet import autograd, gluon, np

from d2lrnn.core import interface
from d2lrnn.core.interface import Array, Weights, implements
from d2lrnn.errors import InputError
from d2lrnn.weights import canonical

from . import training
from .concise import LAYERS, RNNModel, recurrent_layer
from .data import SeqDataLoader
from .device import device_name, device_names, get_device
from .fast import rnn_fast
from .prediction import Net
from .prediction import predict_ch8 as predict
from .scratch import RNNModelScratch, get_params, init_rnn_state, rnn
from .threads import num_threads, set_num_threads
from .training import train_ch8 as train
from .types import Device, State

__all__ = [
    "SeqDataLoader",
    "build_model",
    "device_name",
    "device_names",
    "forward",
    "get_device",
    "get_weights",
    "kind_of",
    "loss_and_gradients",
    "num_parameters",
    "num_threads",
    "predict",
    "set_num_threads",
    "set_weights",
    "train",
]


@implements(interface.Backend)
def build_model(
    kind: str,
    vocab_size: int,
    num_hiddens: int,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    device: str = "auto",
    seed: int | None = None,
) -> tuple[Net, Device]:
    weights = canonical.initial_weights(kind, vocab_size, num_hiddens, num_layers, bidirectional, seed=seed)
    place = get_device(device)
    net: Net
    if kind == "rnn-scratch":
        net = RNNModelScratch(vocab_size, num_hiddens, place, get_params, init_rnn_state, rnn_fast)
    else:
        layer = recurrent_layer(kind, vocab_size, num_hiddens, num_layers, bidirectional)
        net = RNNModel(layer, vocab_size)
        net.initialize(ctx=place)
        net(np.zeros((1, 1), dtype="int32", ctx=place), net.begin_state(batch_size=1, ctx=place))
        if kind != "gru":
            # A second bias that is only ever added to the first would double the bias's learning rate.
            net.rnn.collect_params(".*h2h_bias").setattr("grad_req", "null")
    set_weights(net, weights)
    return net, place


# What a layer must have for its canonical weights to say all of what it computes
_PLAIN = {
    "layout": "TNC",
    "dropout": 0,
    "projection_size": None,
    "lstm_state_clip_min": None,
    "lstm_state_clip_max": None,
    "use_sequence_length": False,
}


def kind_of(net: Any) -> str:
    """Return the kind of a model: one of :data:`d2lrnn.weights.canonical.KINDS`.

    Raises:
        InputError: If the canonical weights would not say all of what it computes; the message says why.
    """
    if isinstance(net, RNNModelScratch) and net.forward_fn in (rnn, rnn_fast):
        return "rnn-scratch"
    if not isinstance(net, RNNModel):
        raise InputError(
            f"the weights of {type(net).__name__} have no canonical form: use a model of build_model's kinds"
        )
    return _layer_kind(net.rnn)


def _layer_kind(layer: Any) -> str:
    name = type(layer).__name__
    for kind, (layer_class, options) in LAYERS.items():
        # A subclass may compute something else. Gluon keeps the activation in the name of the layer's mode.
        if type(layer) is layer_class and layer._mode.endswith(options.get("activation", "")):
            for option, value in _PLAIN.items():
                if (given := getattr(layer, f"_{option}")) != value:
                    raise InputError(
                        f"the weights of {name} with {option}={given!r} have no canonical form: "
                        f"make the layer with {option}={value!r}"
                    )
            return kind
    raise InputError(f"the weights of {name} have no canonical form: use a layer of recurrent_layer's kinds")


def _layers(net: Any) -> Iterator[tuple[str, Any]]:
    """Yield, for each layer and direction, the canonical prefix and Gluon's name of it."""
    directions = ("l", "r") if net.rnn._dir == 2 else ("l",)
    for layer, prefixes in enumerate(canonical.layer_prefixes(net.rnn._num_layers, net.rnn._dir == 2)):
        for prefix, direction in zip(prefixes, directions, strict=True):
            yield prefix, f"{direction}{layer}"


def _read(net: Any, of: Callable[[Any], Array]) -> Weights:
    """Return the canonical arrays of something that each parameter has: its value, or its gradient."""
    kind = kind_of(net)
    if kind == "rnn-scratch":
        return {name: of(param) for name, param in zip(canonical.SCRATCH_NAMES, net.params, strict=True)}
    result: Weights = {}
    for prefix, layer in _layers(net):
        W_xh, W_hh, b_h, b_hh = (
            of(getattr(net.rnn, f"{layer}_{name}")) for name in ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias")
        )
        # MXNet keeps its matrices transposed: (gates * num_hiddens, inputs)
        result |= {prefix + "W_xh": W_xh.T, prefix + "W_hh": W_hh.T}
        result |= {prefix + "b_h": b_h, prefix + "b_hh": b_hh} if kind == "gru" else {prefix + "b_h": b_h + b_hh}
    return result | {"output.W_hq": of(net.dense.weight).T, "output.b_q": of(net.dense.bias)}


def _value(param: Any) -> Array:
    return (param.data() if isinstance(param, gluon.Parameter) else param).asnumpy().copy()


def _gradient(param: Any) -> Array:
    if isinstance(param, gluon.Parameter):
        return numpy.zeros(param.shape, "float32") if param.grad_req == "null" else param.grad().asnumpy().copy()
    return param.grad.asnumpy().copy()


def get_weights(net: Any) -> Weights:
    """Return a model's weights as canonical NumPy arrays, copied."""
    return _read(net, _value)


def set_weights(net: Any, weights: Mapping[str, Array]) -> None:
    """Give a model canonical weights, in place.

    Raises:
        InputError: If a name or a shape is not the model's.
    """
    canonical.check_weights(weights, {name: value.shape for name, value in get_weights(net).items()})
    kind = kind_of(net)

    def write(param: Any, value: Array) -> None:
        array = param.data() if isinstance(param, gluon.Parameter) else param
        array[:] = np.array(value, dtype="float32", ctx=array.ctx)

    if kind == "rnn-scratch":
        for name, param in zip(canonical.SCRATCH_NAMES, net.params, strict=True):
            write(param, weights[name])
        return
    for prefix, layer in _layers(net):
        write(getattr(net.rnn, f"{layer}_i2h_weight"), weights[prefix + "W_xh"].T)
        write(getattr(net.rnn, f"{layer}_h2h_weight"), weights[prefix + "W_hh"].T)
        b_h = weights[prefix + "b_h"]
        write(getattr(net.rnn, f"{layer}_i2h_bias"), b_h)
        write(
            getattr(net.rnn, f"{layer}_h2h_bias"),
            weights[prefix + "b_hh"] if kind == "gru" else numpy.zeros_like(b_h),
        )
    write(net.dense.weight, weights["output.W_hq"].T)
    write(net.dense.bias, weights["output.b_q"])


def num_parameters(net: Any) -> int:
    """Return the number of trained parameters."""
    return sum(param.size for param in training.parameters(net))


def _begin_state(net: Any, batch_size: int, state: interface.State | None, device: Device) -> State:
    if state is None:
        return net.begin_state(batch_size=batch_size, ctx=device)
    parts = [np.array(numpy.asarray(s), dtype="float32", ctx=device) for s in state]
    if isinstance(net, RNNModelScratch):
        return (parts[0][0],)
    return parts


def _state(net: Any, state: State) -> interface.State:
    """Return a framework's state in its canonical form."""
    arrays = [part.asnumpy() for part in state]
    return (arrays[0][None],) if isinstance(net, RNNModelScratch) else tuple(arrays)


@implements(interface.Backend)
def forward(net: Net, X: npt.ArrayLike, state: interface.State | None = None) -> tuple[Array, interface.State]:
    device = training.parameters(net)[0].ctx
    inputs = np.array(numpy.asarray(X), dtype="int32", ctx=device)
    y_hat, new_state = net(inputs, _begin_state(net, len(inputs), state, device))
    return y_hat.asnumpy(), _state(net, new_state)


@implements(interface.Backend)
def loss_and_gradients(
    net: Net, X: npt.ArrayLike, Y: npt.ArrayLike, state: interface.State | None = None, *, theta: float | None = None
) -> tuple[float, Weights, float]:
    device = training.parameters(net)[0].ctx
    inputs, y = (np.array(a, dtype="int32", ctx=device) for a in (numpy.asarray(X), numpy.asarray(Y).T.reshape(-1)))
    begin = _begin_state(net, len(inputs), state, device)
    with autograd.record():
        y_hat, _ = net(inputs, begin)
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(y_hat, y).mean()
    loss.backward()
    norm = training.grad_clipping(net, numpy.inf if theta is None else theta)
    return float(loss), _read(net, _gradient), float(norm)


if TYPE_CHECKING:
    from . import backend

    _: interface.Backend = backend
