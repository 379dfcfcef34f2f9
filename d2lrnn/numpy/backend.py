"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from d2lrnn.core import interface
from d2lrnn.core.interface import Array, Tensors, Weights, implements
from d2lrnn.data.sampling import Seed
from d2lrnn.weights import canonical, maps
from d2lrnn.weights.kinds import kind_of_layer, no_canonical_form

from . import nn, training
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
    seed: Seed = None,
) -> tuple[Net, Device]:
    weights = canonical.initial_weights(kind, vocab_size, num_hiddens, num_layers, bidirectional, seed=seed)
    place = get_device(device)
    net: Net
    if kind == "rnn-scratch":
        net = RNNModelScratch(vocab_size, num_hiddens, place, get_params, init_rnn_state, rnn_fast)
    else:
        net = RNNModel(recurrent_layer(kind, vocab_size, num_hiddens, num_layers, bidirectional), vocab_size)
    set_weights(net, weights)
    return net, place


@implements(interface.Backend)
def kind_of(net: Any) -> str:
    if isinstance(net, RNNModelScratch) and net.forward_fn in (rnn, rnn_fast):
        return "rnn-scratch"
    if not isinstance(net, RNNModel) or type(net.dense) is not nn.Dense:
        raise no_canonical_form(net)
    return kind_of_layer(net.rnn, LAYERS, {})


def _parameters(net: Any, of: str = "params") -> dict[str, Array]:
    """Return the parameters of a model, or their gradients (``grads``), by the names that its layers have for them."""
    if isinstance(net, RNNModelScratch):
        return maps.scratch_parameters(getattr(net, of))
    return {**getattr(net.rnn, of), **getattr(net.dense, of)}


@implements(interface.Backend)
def get_weights(net: Any) -> Weights:
    kind = kind_of(net)
    return maps.NUMPY.to_canonical(kind, {name: param.copy() for name, param in _parameters(net).items()})


@implements(interface.Backend)
def set_weights(net: Any, weights: Tensors) -> None:
    canonical.check_weights(weights, {name: value.shape for name, value in get_weights(net).items()})
    kind, params = kind_of(net), _parameters(net)
    for name, value in maps.NUMPY.to_framework(kind, weights).items():
        params[name][...] = value


@implements(interface.Backend)
def num_parameters(net: Any) -> int:
    return sum(prod(param.shape) for param in training.parameters(net))


def _begin_state(net: Any, batch_size: int, state: interface.State | None) -> State:
    if state is None:
        return net.begin_state(batch_size=batch_size, device="cpu")
    parts = [np.asarray(s, training.parameters(net)[0].dtype) for s in state]
    if isinstance(net, RNNModelScratch):
        return (parts[0][0],)
    return tuple(parts) if len(parts) > 1 else parts[0]


def _state(net: Any, state: State) -> interface.State:
    """Return a model's state in its canonical form."""
    parts = state if isinstance(state, tuple) else (state,)
    return (parts[0][None],) if isinstance(net, RNNModelScratch) else parts


@implements(interface.Backend)
def forward(net: Net, X: npt.ArrayLike, state: interface.State | None = None) -> tuple[Array, interface.State]:
    inputs = np.asarray(X)
    y_hat, new_state = net(inputs, _begin_state(net, len(inputs), state))
    return y_hat, _state(net, new_state)


@implements(interface.Backend)
def loss_and_gradients(
    net: Net, X: npt.ArrayLike, Y: npt.ArrayLike, state: interface.State | None = None, *, theta: float | None = None
) -> tuple[float, Weights, float]:
    loss, _ = loss_and_backward(net, X, Y, state)
    norm = training.grad_clipping(net, np.inf if theta is None else theta)
    return loss, get_gradients(net), float(norm)


def loss_and_backward(
    net: Net, X: npt.ArrayLike, Y: npt.ArrayLike, state: interface.State | None = None
) -> tuple[float, interface.State]:
    """Find the gradients of a minibatch's mean loss, which the net keeps; return the loss, and the canonical state."""
    inputs, loss = np.asarray(X), nn.CrossEntropyLoss()
    y_hat, new_state = net(inputs, _begin_state(net, len(inputs), state))
    l = loss(y_hat, np.asarray(Y).T.reshape(-1))
    net.backward(loss.backward())
    return float(l), _state(net, new_state)


def get_gradients(net: Any) -> Weights:
    """Return the gradients that a net keeps as canonical NumPy arrays."""
    return maps.NUMPY.to_canonical(kind_of(net), _parameters(net, "grads"))


if TYPE_CHECKING:
    from . import backend

    _: interface.Backend = backend
