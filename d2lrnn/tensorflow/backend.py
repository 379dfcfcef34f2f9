"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from d2lrnn.core import interface
from d2lrnn.core.interface import Array, Tensors, Weights, implements
from d2lrnn.data import Vocab
from d2lrnn.data.sampling import Seed
from d2lrnn.errors import InputError
from d2lrnn.weights import canonical, maps
from d2lrnn.weights.kinds import kind_of_layer, no_canonical_form

from . import training
from .concise import LAYERS, RNNModel, directions, recurrent_layer
from .data import SeqDataLoader
from .device import device_name, device_names, get_device
from .fast import rnn_fast
from .keras_3 import class_of
from .prediction import Net, predict_ch8
from .scratch import RNNModelScratch, get_params, init_rnn_state, rnn
from .threads import num_threads, set_num_threads
from .training import train_ch8 as train
from .types import State, Strategy, Tensor

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
) -> tuple[Net, Strategy]:
    weights = canonical.initial_weights(kind, vocab_size, num_hiddens, num_layers, bidirectional, seed=seed)
    place = get_device(device)
    net: Net
    with place.scope():
        if kind == "rnn-scratch":
            net = RNNModelScratch(vocab_size, num_hiddens, init_rnn_state, rnn_fast, get_params)
        else:
            # Keras has one bias where it can, so there is none to freeze
            layer = recurrent_layer(kind, vocab_size, num_hiddens, num_layers, bidirectional)
            net = RNNModel(layer, vocab_size)
            net(tf.zeros((1, 1), tf.int32), net.begin_state(batch_size=1))
    set_weights(net, weights)
    return net, place


# What a layer must have for its canonical weights to say all of what it computes
_PLAIN = {
    "use_bias": True,
    "dropout": 0,
    "recurrent_dropout": 0,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
}


@implements(interface.Backend)
def kind_of(net: Any) -> str:
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
        kind_of_layer(part, LAYERS, {**_PLAIN, "go_backwards": backwards}, _option, class_of)
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


def _copied(tensor: Tensor) -> Array:
    # TensorFlow does not know the word with which NumPy 2 asks for a copy
    return np.array(np.asarray(tensor))


@implements(interface.Backend)
def get_weights(net: Any) -> Weights:
    return _read(net, _copied)


@implements(interface.Backend)
def set_weights(net: Any, weights: Tensors) -> None:
    canonical.check_weights(weights, {name: value.shape for name, value in get_weights(net).items()})
    kind, params = kind_of(net), _parameters(net)
    for name, value in maps.TENSORFLOW.to_framework(kind, weights).items():
        params[name].assign(value)


@implements(interface.Backend)
def num_parameters(net: Any) -> int:
    return sum(prod(param.shape) for param in training.parameters(net))


def _begin_state(net: Any, batch_size: int, state: interface.State | None) -> State:
    if state is None:
        return net.begin_state(batch_size=batch_size, dtype=tf.float32)
    parts = [tf.constant(np.asarray(s), dtype=tf.float32) for s in state]
    if isinstance(net, RNNModelScratch):
        return (parts[0][0],)
    # Keras wants H, then C, of the first cell, then of the next
    return [part[row] for row in range(parts[0].shape[0]) for part in parts]


def _state(net: Any, state: State) -> interface.State:
    """Return a framework's state in its canonical form."""
    arrays = [part.numpy() for part in state]
    if isinstance(net, RNNModelScratch):
        return (arrays[0][None],)
    num_parts = 2 if kind_of(net) == "lstm" else 1
    return tuple(np.stack(arrays[part::num_parts]) for part in range(num_parts))


@implements(interface.Backend)
def forward(net: Net, X: npt.ArrayLike, state: interface.State | None = None) -> tuple[Array, interface.State]:
    inputs = tf.constant(np.asarray(X), dtype=tf.int32)
    y_hat, new_state = net(inputs, _begin_state(net, len(inputs), state))
    return y_hat.numpy(), _state(net, new_state)


@implements(interface.Backend)
def loss_and_gradients(
    net: Net, X: npt.ArrayLike, Y: npt.ArrayLike, state: interface.State | None = None, *, theta: float | None = None
) -> tuple[float, Weights, float]:
    params = training.parameters(net)
    inputs, y = (tf.constant(a, dtype=tf.int32) for a in (np.asarray(X), np.asarray(Y).T.reshape(-1)))
    with tf.GradientTape() as tape:
        y_hat, _ = net(inputs, _begin_state(net, len(inputs), state))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, y_hat))
    grads = tape.gradient(loss, params)
    norm = tf.linalg.global_norm(grads)
    if theta is not None:
        grads = training.grad_clipping(grads, theta)
    by_param = {id(param): _copied(grad) for param, grad in zip(params, grads, strict=True) if grad is not None}

    def gradient(param: Tensor) -> Array:
        return by_param.get(id(param), np.zeros(param.shape, np.float32))

    return float(loss), _read(net, gradient), float(norm)


@implements(interface.Backend)
def predict(
    prefix: str | Sequence[str],
    num_preds: int,
    net: Net,
    vocab: Vocab,
    device: Strategy,
    *,
    temperature: float | None = None,
    top_k: int | None = None,
    seed: Seed = None,
) -> str:
    with device.scope():
        return predict_ch8(prefix, num_preds, net, vocab, temperature=temperature, top_k=top_k, seed=seed)


if TYPE_CHECKING:
    from . import backend

    _: interface.Backend = backend
