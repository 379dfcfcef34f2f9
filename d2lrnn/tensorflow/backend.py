"""What programs use, whatever the framework: :class:`d2lrnn.core.interface.Backend`.

Weights and states are those of :mod:`d2lrnn.weights.canonical`, minibatches are NumPy arrays, and devices are named as
:func:`get_device` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from d2lrnn.core import interface
from d2lrnn.core.interface import Array, Weights, implements
from d2lrnn.data import Vocab
from d2lrnn.data.sampling import Seed
from d2lrnn.errors import InputError
from d2lrnn.weights import canonical

from . import training
from .concise import LAYERS, RNNModel, directions, recurrent_layer
from .data import SeqDataLoader
from .device import device_name, device_names, get_device
from .fast import rnn_fast
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
    seed: int | None = None,
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
    kinds = {_part_kind(part, backwards) for part, backwards in zip(parts, (False, True))}  # noqa: B905 (one or two)
    if len(kinds) > 1:
        raise InputError(f"the weights of {name} over layers of two kinds have no canonical form: use layers of one")
    return kinds.pop()


def _part_kind(layer: Any, backwards: bool) -> str:
    name = type(layer).__name__
    for kind, (layer_class, options) in LAYERS.items():
        # A subclass may compute something else
        if type(layer) is layer_class and all(_option(layer, option) == value for option, value in options.items()):
            for option, value in {**_PLAIN, "go_backwards": backwards, **options}.items():
                if (given := _option(layer, option)) not in (value, None):
                    raise InputError(
                        f"the weights of {name} with {option}={given!r} have no canonical form: "
                        f"make the layer with {option}={value!r}"
                    )
            return kind
    activation = _option(layer, "activation")
    raise InputError(
        f"the weights of {name}{f' with activation={activation!r}' if activation else ''} have no canonical form: "
        f"use a layer of recurrent_layer's kinds"
    )


def _option(layer: Any, option: str) -> Any:
    """Return what a layer was made with, an activation by its name; None if it has no such option."""
    value = getattr(layer, option, None)
    if not callable(value):
        return value
    known = {name for name in ("tanh", "relu", "sigmoid") if tf.keras.activations.get(name) is value}
    return known.pop() if known else getattr(value, "__name__", repr(value))


def _layers(net: Any) -> Iterator[tuple[str, Any]]:
    """Yield, for each layer and direction, the canonical prefix and Keras's cell of it."""
    bidirectional = len(directions(net.rnn_layers[0])) == 2
    for layer, prefixes in zip(
        net.rnn_layers, canonical.layer_prefixes(len(net.rnn_layers), bidirectional), strict=True
    ):
        for prefix, part in zip(prefixes, directions(layer), strict=True):
            yield prefix, part.cell


def _swap_gates(array: Array) -> Array:
    # Keras puts the GRU's update gate before the reset gate; swapping twice swaps back
    update, reset, candidate = np.split(array, 3, axis=-1)
    return np.concatenate([reset, update, candidate], axis=-1)


def _read(net: Any, of: Callable[[Any], Array]) -> Weights:
    """Return the canonical arrays of something that each parameter has: its value, or its gradient."""
    kind = kind_of(net)
    if kind == "rnn-scratch":
        return {name: of(param) for name, param in zip(canonical.SCRATCH_NAMES, net.trainable_variables, strict=True)}
    result: Weights = {}
    for prefix, cell in _layers(net):
        W_xh, W_hh, bias = of(cell.kernel), of(cell.recurrent_kernel), of(cell.bias)
        # The two biases of 'gru' stand in one variable (2, gates * num_hiddens)
        arrays = [W_xh, W_hh, bias[0], bias[1]] if kind == "gru" else [W_xh, W_hh, bias]
        if kind.startswith("gru"):
            arrays = [_swap_gates(array) for array in arrays]
        names = [prefix + name for name in ("W_xh", "W_hh", "b_h", "b_hh")]
        result |= dict(zip(names, arrays))  # noqa: B905 (only 'gru' has a b_hh)
    return result | {"output.W_hq": of(net.dense.kernel), "output.b_q": of(net.dense.bias)}


def _copied(tensor: Tensor) -> Array:
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
    kind = kind_of(net)
    if kind == "rnn-scratch":
        for name, param in zip(canonical.SCRATCH_NAMES, net.trainable_variables, strict=True):
            param.assign(weights[name])
        return
    for prefix, cell in _layers(net):
        names = ("W_xh", "W_hh", "b_h", "b_hh") if kind == "gru" else ("W_xh", "W_hh", "b_h")
        W_xh, W_hh, *biases = (weights[prefix + name] for name in names)
        if kind.startswith("gru"):
            W_xh, W_hh, *biases = (_swap_gates(array) for array in (W_xh, W_hh, *biases))
        cell.kernel.assign(W_xh)
        cell.recurrent_kernel.assign(W_hh)
        cell.bias.assign(np.stack(biases) if kind == "gru" else biases[0])
    net.dense.kernel.assign(weights["output.W_hq"])
    net.dense.bias.assign(weights["output.b_q"])


def num_parameters(net: Any) -> int:
    """Return the number of trained parameters."""
    return sum(int(np.prod(param.shape)) for param in training.parameters(net))


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
