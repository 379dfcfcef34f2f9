"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`.

Weights and states are those of :mod:`d2lrnn.weights.canonical`, minibatches are NumPy arrays, and devices are named as
:func:`get_device` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf

from d2lrnn.core.interface import Array, Weights
from d2lrnn.errors import InputError
from d2lrnn.tensorflow import prediction, training
from d2lrnn.tensorflow.concise import LAYERS, RNNModel, directions, recurrent_layer
from d2lrnn.tensorflow.data import SeqDataLoader
from d2lrnn.tensorflow.device import device_name, device_names, get_device
from d2lrnn.tensorflow.fast import rnn_fast
from d2lrnn.tensorflow.scratch import RNNModelScratch, get_params, init_rnn_state, rnn
from d2lrnn.tensorflow.threads import num_threads, set_num_threads
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
    with device.scope():
        if kind == "rnn-scratch":
            net = RNNModelScratch(vocab_size, num_hiddens, init_rnn_state, rnn_fast, get_params)
        else:
            # Keras has one bias where it can, so there is none to freeze
            layer = recurrent_layer(kind, vocab_size, num_hiddens, num_layers, bidirectional)
            net = RNNModel(layer, vocab_size)
            net(tf.zeros((1, 1), tf.int32), net.begin_state(batch_size=1))
    set_weights(net, weights)
    return net, device


# What a layer must have for its canonical weights to say all of what it computes
_PLAIN = {
    "use_bias": True,
    "dropout": 0,
    "recurrent_dropout": 0,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
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
    kinds = {(_layer_kind(layer), len(directions(layer))) for layer in net.rnn_layers}
    if len(kinds) > 1:
        raise InputError("the weights of layers of several kinds have no canonical form: use layers of one kind")
    return kinds.pop()[0]


def _layer_kind(layer: Any) -> str:
    name = type(layer).__name__
    parts = directions(layer)
    if len(parts) == 2 and layer.merge_mode != "concat":
        raise InputError(
            f"the weights of {name} with merge_mode={layer.merge_mode!r} have no canonical form: "
            f"make the layer with merge_mode='concat'"
        )
    kinds = {
        kind_of_layer(part, LAYERS, {**_PLAIN, "go_backwards": backwards}, _option)
        for part, backwards in zip(parts, (False, True))  # noqa: B905 (one or two)
    }
    if len(kinds) > 1:
        raise InputError(f"the weights of {name} over layers of two kinds have no canonical form: use layers of one")
    return kinds.pop()


def _option(layer: Any, option: str) -> Any:
    """Return what a layer was made with, an activation by its name; None if it has no such option."""
    value = getattr(layer, option, None)
    if not callable(value):
        return value
    known = {name for name in ("tanh", "relu", "sigmoid") if tf.keras.activations.get(name) is value}
    return known.pop() if known else getattr(value, "__name__", repr(value))


def _parameters(net: Any) -> dict[str, Any]:
    """Return the parameters of a model by the framework's names."""
    if isinstance(net, RNNModelScratch):
        return maps.scratch_parameters(net.trainable_variables)
    return maps.TENSORFLOW.parameters(net, len(net.rnn_layers), len(directions(net.rnn_layers[0])) == 2)


def _read(net: Any, of: Callable[[Any], Array]) -> Weights:
    """Return the canonical arrays of something that each parameter has: its value, or its gradient."""
    kind = kind_of(net)
    return maps.TENSORFLOW.to_canonical(kind, {name: of(param) for name, param in _parameters(net).items()})


def _copied(tensor):
    # TensorFlow does not know the word with which NumPy 2 asks for a copy
    return np.array(np.asarray(tensor))


def get_weights(net: Any) -> Weights:
    """Return a model's weights as canonical NumPy arrays, copied."""
    return _read(net, _copied)


def set_weights(net: Any, weights: Mapping[str, Array]) -> None:
    """Give a model canonical weights, in place.

    Raises:
        InputError: If a name or a shape is not the model's.
    """
    canonical.check_weights(weights, {name: value.shape for name, value in get_weights(net).items()})
    kind, params = kind_of(net), _parameters(net)
    for name, value in maps.TENSORFLOW.to_framework(kind, weights).items():
        params[name].assign(value)


def num_parameters(net: Any) -> int:
    """Return the number of trained parameters."""
    return sum(prod(param.shape) for param in training.parameters(net))


def _begin_state(net, batch_size, state):
    if state is None:
        return net.begin_state(batch_size=batch_size, dtype=tf.float32)
    parts = [tf.constant(np.asarray(s), dtype=tf.float32) for s in state]
    if isinstance(net, RNNModelScratch):
        return (parts[0][0],)
    # Keras wants H, then C, of the first cell, then of the next
    return [part[row] for row in range(parts[0].shape[0]) for part in parts]


def _state(net, state):
    """Return a framework's state in its canonical form."""
    arrays = [part.numpy() for part in state]
    if isinstance(net, RNNModelScratch):
        return (arrays[0][None],)
    num_parts = 2 if kind_of(net) == "lstm" else 1
    return tuple(np.stack(arrays[part::num_parts]) for part in range(num_parts))


def forward(net, X, state=None):
    """Run a model over a minibatch.

    Args:
        net: A model.
        X: Array of token indices, shape (batch_size, num_steps).
        state: A canonical state; None for zeros.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new canonical state.
    """
    X = tf.constant(np.asarray(X), dtype=tf.int32)
    y_hat, new_state = net(X, _begin_state(net, X.shape[0], state))
    return y_hat.numpy(), _state(net, new_state)


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
    X, y = (tf.constant(a, dtype=tf.int32) for a in (np.asarray(X), np.asarray(Y).T.reshape(-1)))
    with tf.GradientTape() as tape:
        y_hat, _ = net(X, _begin_state(net, X.shape[0], state))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, y_hat))
    grads = tape.gradient(loss, params)
    norm = tf.linalg.global_norm(grads)
    if theta is not None:
        grads = training.grad_clipping(grads, theta)
    by_param = {id(param): _copied(grad) for param, grad in zip(params, grads, strict=True) if grad is not None}

    def gradient(param):
        return by_param.get(id(param), np.zeros(param.shape, np.float32))

    return float(loss), _read(net, gradient), float(norm)


def train(net, train_iter, vocab, lr, num_epochs, device, use_random_iter=False, **options):
    """Train a model on a device of :func:`get_device`: ``train_ch8``, whatever the framework."""
    return training.train_ch8(net, train_iter, vocab, lr, num_epochs, device, use_random_iter, **options)


def predict(prefix, num_preds, net, vocab, device, **options):
    """Continue a prefix on a device of :func:`get_device`: ``predict_ch8``, whatever the framework."""
    with device.scope():
        return prediction.predict_ch8(prefix, num_preds, net, vocab, **options)
