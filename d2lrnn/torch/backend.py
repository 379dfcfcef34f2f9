"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`.

Weights and states are those of :mod:`d2lrnn.weights.canonical`, minibatches are NumPy arrays, and devices are named as
:func:`get_device` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from d2lrnn.core.interface import Array, Weights
from d2lrnn.torch import prediction, training
from d2lrnn.torch.concise import LAYERS, RNNModel, recurrent_layer
from d2lrnn.torch.data import SeqDataLoader
from d2lrnn.torch.device import device_name, device_names, get_device
from d2lrnn.torch.fast import rnn_fast
from d2lrnn.torch.scratch import RNNModelScratch, get_params, init_rnn_state, rnn
from d2lrnn.torch.threads import num_threads, set_num_threads
from d2lrnn.weights import canonical, maps
from d2lrnn.weights.kinds import kind_of_layer, no_canonical_form

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


def build_model(kind, vocab_size, num_hiddens, num_layers=1, *, bidirectional=False, device="auto", seed=None):
    """Return a model whose trained parameters are exactly the canonical ones, and its device.

    Args:
        kind: One of :data:`d2lrnn.weights.canonical.KINDS`.
        vocab_size: Size of the vocabulary.
        num_hiddens: Hidden units in each layer and direction.
        num_layers: Layers.
        bidirectional: Read the sequence from both ends.
        device: A name for :func:`get_device`.
        seed: Of the first weights; the same seed gives the same ones in every backend.

    Raises:
        InputError: If the kind or the device is unknown, or a size is not positive.
    """
    weights = canonical.initial_weights(kind, vocab_size, num_hiddens, num_layers, bidirectional, seed=seed)
    device = get_device(device)
    if kind == "rnn-scratch":
        net = RNNModelScratch(vocab_size, num_hiddens, device, get_params, init_rnn_state, rnn_fast)
    else:
        layer = recurrent_layer(kind, vocab_size, num_hiddens, num_layers, bidirectional)
        net = RNNModel(layer, vocab_size).to(device)
        for name, param in net.rnn.named_parameters():
            # A second bias that is only ever added to the first would double the bias's learning rate.
            if name.startswith("bias_hh") and kind != "gru":
                param.requires_grad_(False)
    set_weights(net, weights)
    return net, device


# What a layer must have for its canonical weights to say all of what it computes
_PLAIN = {"bias": True, "batch_first": False, "dropout": 0, "proj_size": 0}


def kind_of(net: Any) -> str:
    """Return the kind of a model: one of :data:`d2lrnn.weights.canonical.KINDS`.

    Raises:
        InputError: If the canonical weights would not say all of what it computes; the message says why.
    """
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


def get_weights(net: Any) -> Weights:
    """Return a model's weights as canonical NumPy arrays, copied."""
    return _read(net, lambda param: param.detach().cpu().numpy().copy())


def set_weights(net: Any, weights: Mapping[str, Array]) -> None:
    """Give a model canonical weights, in place.

    Raises:
        InputError: If a name or a shape is not the model's.
    """
    canonical.check_weights(weights, {name: value.shape for name, value in get_weights(net).items()})
    kind, params = kind_of(net), _parameters(net)
    with torch.no_grad():
        for name, value in maps.TORCH.to_framework(kind, weights).items():
            params[name].copy_(torch.from_numpy(np.array(value, dtype=np.float32)))


def num_parameters(net: Any) -> int:
    """Return the number of trained parameters."""
    return sum(prod(param.shape) for param in training.parameters(net))


def _begin_state(net, batch_size, state, device):
    if state is None:
        return net.begin_state(batch_size=batch_size, device=device)
    parts = [torch.tensor(np.asarray(s), dtype=torch.float32, device=device) for s in state]
    if isinstance(net, RNNModelScratch):
        return (parts[0][0],)
    return tuple(parts) if len(parts) > 1 else parts[0]


def _state(net, state):
    """Return a framework's state in its canonical form."""
    parts = state if isinstance(state, tuple) else (state,)
    arrays = [part.detach().cpu().numpy() for part in parts]
    return (arrays[0][None],) if isinstance(net, RNNModelScratch) else tuple(arrays)


def forward(net, X, state=None):
    """Run a model over a minibatch.

    Args:
        net: A model.
        X: Array of token indices, shape (batch_size, num_steps).
        state: A canonical state; None for zeros.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new canonical state.
    """
    device = training.parameters(net)[0].device
    with torch.no_grad():
        X = torch.tensor(np.asarray(X), device=device)
        y_hat, new_state = net(X, _begin_state(net, X.shape[0], state, device))
    return y_hat.cpu().numpy(), _state(net, new_state)


def loss_and_gradients(net, X, Y, state=None, *, theta=None):
    """Return a minibatch's mean loss in nats, the canonical gradients, and their norm before clipping.

    Args:
        net: A model.
        X: Array of token indices, shape (batch_size, num_steps).
        Y: Array of labels, shape (batch_size, num_steps).
        state: A canonical state; None for zeros.
        theta: Clip the gradients at this norm, by ``grad_clipping``; None leaves them as they are.
    """
    params = training.parameters(net)
    device = params[0].device
    for param in params:
        param.grad = None
    X, y = (torch.tensor(np.asarray(a), device=device) for a in (X, np.asarray(Y).T.reshape(-1)))
    y_hat, _ = net(X, _begin_state(net, X.shape[0], state, device))
    loss = nn.functional.cross_entropy(y_hat, y.long())
    loss.backward()
    norm = training.grad_clipping(net, np.inf if theta is None else theta)

    def gradient(param):
        return (torch.zeros_like(param) if param.grad is None else param.grad).cpu().numpy().copy()

    result = float(loss.detach()), _read(net, gradient), float(norm)
    for param in params:
        param.grad = None
    return result


def train(net, train_iter, vocab, lr, num_epochs, device, use_random_iter=False, **options):
    """Train a model on a device of :func:`get_device`: ``train_ch8``, whatever the framework."""
    return training.train_ch8(net, train_iter, vocab, lr, num_epochs, device, use_random_iter, **options)


def predict(prefix, num_preds, net, vocab, device, **options):
    """Continue a prefix on a device of :func:`get_device`: ``predict_ch8``, whatever the framework."""
    return prediction.predict_ch8(prefix, num_preds, net, vocab, device, **options)
