"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

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
        net = RNNModel(layer, vocab_size).to(place)
        for name, param in layer.named_parameters():
            # A second bias that is only ever added to the first would double the bias's learning rate.
            if name.startswith("bias_hh") and kind != "gru":
                param.requires_grad_(False)
    set_weights(net, weights)
    return net, place


# What a layer must have for its canonical weights to say all of what it computes
_PLAIN = {"bias": True, "batch_first": False, "dropout": 0, "proj_size": 0}


@implements(interface.Backend)
def kind_of(net: Any) -> str:
    if isinstance(net, RNNModelScratch) and net.forward_fn in (rnn, rnn_fast):
        return "rnn-scratch"
    if not isinstance(net, RNNModel):
        raise no_canonical_form(net)
    return kind_of_layer(net.rnn, LAYERS, _PLAIN)


def _parameters(net: Any) -> dict[str, Any]:
    """Return the parameters of a model by the framework's names."""
    if isinstance(net, RNNModelScratch):
        return maps.scratch_parameters(net.params)
    return maps.TORCH.parameters(net, net.rnn.num_layers, net.rnn.bidirectional)


def _read(net: Any, of: Callable[[Any], Array]) -> Weights:
    """Return the canonical arrays of something that each parameter has: its value, or its gradient."""
    kind = kind_of(net)
    return maps.TORCH.to_canonical(kind, {name: of(param) for name, param in _parameters(net).items()})


@implements(interface.Backend)
def get_weights(net: Any) -> Weights:
    return _read(net, lambda param: param.detach().cpu().numpy().copy())


@implements(interface.Backend)
def set_weights(net: Any, weights: Tensors) -> None:
    canonical.check_weights(weights, {name: value.shape for name, value in get_weights(net).items()})
    kind, params = kind_of(net), _parameters(net)
    with torch.no_grad():
        for name, value in maps.TORCH.to_framework(kind, weights).items():
            params[name].copy_(torch.from_numpy(np.array(value, dtype=np.float32)))


@implements(interface.Backend)
def num_parameters(net: Any) -> int:
    return sum(prod(param.shape) for param in training.parameters(net))


def _begin_state(net: Any, batch_size: int, state: interface.State | None, device: Device) -> State:
    if state is None:
        return net.begin_state(batch_size=batch_size, device=device)
    parts = [torch.tensor(np.asarray(s), dtype=torch.float32, device=device) for s in state]
    if isinstance(net, RNNModelScratch):
        return (parts[0][0],)
    return tuple(parts) if len(parts) > 1 else parts[0]


def _state(net: Any, state: State) -> interface.State:
    """Return a framework's state in its canonical form."""
    parts = state if isinstance(state, tuple) else (state,)
    arrays = [part.detach().cpu().numpy() for part in parts]
    return (arrays[0][None],) if isinstance(net, RNNModelScratch) else tuple(arrays)


@implements(interface.Backend)
def forward(net: Net, X: npt.ArrayLike, state: interface.State | None = None) -> tuple[Array, interface.State]:
    device = training.parameters(net)[0].device
    with torch.no_grad():
        inputs = torch.tensor(np.asarray(X), device=device)
        y_hat, new_state = net(inputs, _begin_state(net, len(inputs), state, device))
    return y_hat.cpu().numpy(), _state(net, new_state)


@implements(interface.Backend)
def loss_and_gradients(
    net: Net, X: npt.ArrayLike, Y: npt.ArrayLike, state: interface.State | None = None, *, theta: float | None = None
) -> tuple[float, Weights, float]:
    params = training.parameters(net)
    device = params[0].device
    for param in params:
        param.grad = None
    inputs, y = (torch.tensor(a, device=device) for a in (np.asarray(X), np.asarray(Y).T.reshape(-1)))
    y_hat, _ = net(inputs, _begin_state(net, len(inputs), state, device))
    loss = nn.functional.cross_entropy(y_hat, y.long())
    loss.backward()
    norm = training.grad_clipping(net, np.inf if theta is None else theta)

    def gradient(param: Tensor) -> Array:
        return (torch.zeros_like(param) if param.grad is None else param.grad).cpu().numpy().copy()

    result = float(loss.detach()), _read(net, gradient), float(norm)
    for param in params:
        param.grad = None
    return result


if TYPE_CHECKING:
    from . import backend

    _: interface.Backend = backend
