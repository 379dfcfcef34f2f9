"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`.

Weights and states are those of :mod:`d2lrnn.weights.canonical`, minibatches are NumPy arrays, and devices are named as
:func:`get_device` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy
from mxnet import autograd, gluon, np

from d2lrnn.core.interface import Array, Weights
from d2lrnn.mxnet import prediction, training
from d2lrnn.mxnet.concise import LAYERS, RNNModel, recurrent_layer
from d2lrnn.mxnet.data import SeqDataLoader
from d2lrnn.mxnet.device import device_name, device_names, get_device
from d2lrnn.mxnet.fast import rnn_fast
from d2lrnn.mxnet.scratch import RNNModelScratch, get_params, init_rnn_state, rnn
from d2lrnn.mxnet.threads import num_threads, set_num_threads
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
        net = RNNModel(layer, vocab_size)
        net.initialize(ctx=device)
        net(np.zeros((1, 1), dtype="int32", ctx=device), net.begin_state(batch_size=1, ctx=device))
        if kind != "gru":
            # A second bias that is only ever added to the first would double the bias's learning rate.
            net.rnn.collect_params(".*h2h_bias").setattr("grad_req", "null")
    set_weights(net, weights)
    return net, device


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
        raise no_canonical_form(net)
    return kind_of_layer(net.rnn, LAYERS, _PLAIN, _option)


def _option(layer: Any, option: str) -> Any:
    if option == "activation":  # which Gluon keeps in the name of the layer's mode
        return {"rnn_tanh": "tanh", "rnn_relu": "relu"}.get(getattr(layer, "_mode", None))
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
    kind, params = kind_of(net), _parameters(net)
    for name, value in maps.MXNET.to_framework(kind, weights).items():
        param = params[name]
        array = param.data() if isinstance(param, gluon.Parameter) else param
        array[:] = np.array(value, dtype="float32", ctx=array.ctx)


def num_parameters(net: Any) -> int:
    """Return the number of trained parameters."""
    return sum(prod(param.shape) for param in training.parameters(net))


def _begin_state(net, batch_size, state, device):
    if state is None:
        return net.begin_state(batch_size=batch_size, ctx=device)
    parts = [np.array(numpy.asarray(s), dtype="float32", ctx=device) for s in state]
    if isinstance(net, RNNModelScratch):
        return (parts[0][0],)
    return parts


def _state(net, state):
    """Return a framework's state in its canonical form."""
    arrays = [part.asnumpy() for part in state]
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
    device = training.parameters(net)[0].ctx
    X = np.array(numpy.asarray(X), dtype="int32", ctx=device)
    y_hat, new_state = net(X, _begin_state(net, X.shape[0], state, device))
    return y_hat.asnumpy(), _state(net, new_state)


def loss_and_gradients(net, X, Y, state=None, *, theta=None):
    """Return a minibatch's mean loss in nats, the canonical gradients, and their norm before clipping.

    Args:
        net: A model.
        X: Array of token indices, shape (batch_size, num_steps).
        Y: Array of labels, shape (batch_size, num_steps).
        state: A canonical state; None for zeros.
        theta: Clip the gradients at this norm, by ``grad_clipping``; None leaves them as they are.
    """
    device = training.parameters(net)[0].ctx
    X, y = (np.array(a, dtype="int32", ctx=device) for a in (numpy.asarray(X), numpy.asarray(Y).T.reshape(-1)))
    begin = _begin_state(net, X.shape[0], state, device)
    with autograd.record():
        y_hat, _ = net(X, begin)
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(y_hat, y).mean()
    loss.backward()
    norm = training.grad_clipping(net, numpy.inf if theta is None else theta)
    return float(loss), _read(net, _gradient), float(norm)


def train(net, train_iter, vocab, lr, num_epochs, device, use_random_iter=False, **options):
    """Train a model on a device of :func:`get_device`: ``train_ch8``, whatever the framework."""
    return training.train_ch8(net, train_iter, vocab, lr, num_epochs, device, use_random_iter, **options)


def predict(prefix, num_preds, net, vocab, device, **options):
    """Continue a prefix on a device of :func:`get_device`: ``predict_ch8``, whatever the framework."""
    return prediction.predict_ch8(prefix, num_preds, net, vocab, device, **options)
