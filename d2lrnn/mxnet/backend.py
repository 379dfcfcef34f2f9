"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy
import numpy.typing as npt
from mxnet import autograd, gluon, np

from d2lrnn.core import interface
from d2lrnn.core.interface import Array, Tensors, Weights, implements
from d2lrnn.data.sampling import Seed
from d2lrnn.weights import canonical, maps
from d2lrnn.weights.kinds import kind_of_layer, no_canonical_form

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
from .types import Device, State, Tensor

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
    seed: Seed = None,
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


@implements(interface.Backend)
def kind_of(net: Any) -> str:
    if isinstance(net, RNNModelScratch) and net.forward_fn in (rnn, rnn_fast):
        return "rnn-scratch"
    if not isinstance(net, RNNModel):
        raise no_canonical_form(net)
    return kind_of_layer(net.rnn, LAYERS, _PLAIN, _option)


def _option(layer: Any, option: str) -> Any:
    if option == "activation":  # which Gluon keeps in the name of the layer's mode
        return {"rnn_tanh": "tanh", "rnn_relu": "relu"}.get(getattr(layer, "_mode", ""))
    return getattr(layer, f"_{option}", None)


def _parameters(net: Any) -> dict[str, Any]:
    """Return the parameters of a model by the framework's names."""
    if isinstance(net, RNNModelScratch):
        return maps.scratch_parameters(net.params)
    return maps.MXNET.parameters(net, net.rnn._num_layers, net.rnn._dir == 2)


def _read(net: Any, of: Callable[[Any], Array]) -> Weights:
    """Return the canonical arrays of something that each parameter has: its value, or its gradient."""
    kind = kind_of(net)
    return maps.MXNET.to_canonical(kind, {name: of(param) for name, param in _parameters(net).items()})


def _data(param: Any) -> Tensor:
    return param.data() if isinstance(param, gluon.Parameter) else param


@implements(interface.Backend)
def get_weights(net: Any) -> Weights:
    return _read(net, lambda param: _data(param).asnumpy().copy())


@implements(interface.Backend)
def set_weights(net: Any, weights: Tensors) -> None:
    canonical.check_weights(weights, {name: value.shape for name, value in get_weights(net).items()})
    kind, params = kind_of(net), _parameters(net)
    for name, value in maps.MXNET.to_framework(kind, weights).items():
        # An array of NumPy's fits both: the first editions' models have arrays of mxnet.nd
        _data(params[name])[:] = numpy.asarray(value, dtype="float32")


@implements(interface.Backend)
def num_parameters(net: Any) -> int:
    return sum(prod(param.shape) for param in training.parameters(net))


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

    def gradient(param: Any) -> Array:
        grad = _data(param).grad
        return numpy.zeros(param.shape, "float32") if grad is None else grad.asnumpy().copy()

    return float(loss), _read(net, gradient), float(norm)


if TYPE_CHECKING:
    from . import backend

    _: interface.Backend = backend
