"""The weights of edition 1.0's language models as canonical ones (:mod:`d2lrnn.weights.canonical`), and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from d2lrnn.core.interface import Tensors, Weights
from d2lrnn.edition_1 import canonical_form
from d2lrnn.tensorflow import RNNModel, backend
from d2lrnn.tensorflow.types import Tensor
from d2lrnn.weights import canonical

from .training import Module

# The layers that are made of a cell
_LAYERS = {
    tf.keras.layers.SimpleRNNCell: tf.keras.layers.SimpleRNN,
    tf.keras.layers.GRUCell: tf.keras.layers.GRU,
    tf.keras.layers.LSTMCell: tf.keras.layers.LSTM,
}


def rnn_model(model: Any) -> RNNModel:
    """Return the ``RNNModel`` of edition 0.17 that has the layers of a language model: what one learns the other knows.

    Args:
        model: An ``RNNLM`` over one of the framework's layers. If it has not run yet, it is run once.

    Raises:
        InputError: If it is over something else.
    """
    layer = canonical_form.framework_layer(model)
    if layer is None:
        raise canonical_form.no_layer(model)
    _run_once(model)
    net = RNNModel(_layers(layer), model.vocab_size)
    net.dense = model.linear
    net.built = True  # Keras still has the first output layer in its list, which has no weights and needs none
    canonical_form.check_all(model, len(model.trainable_variables), len(net.trainable_variables))
    return net


def _layers(layer: Any) -> Any:
    """Return a layer, or of a layer over stacked cells a list of such as are over one each, with the same cells."""
    if isinstance(layer, (list, tuple)):
        return list(layer)
    cell: Any = layer.cell if hasattr(layer, "cell") else None
    cells: list[Any] = cell.cells if isinstance(cell, tf.keras.layers.StackedRNNCells) else [cell]
    if not all(type(one) in _LAYERS for one in cells) or type(layer) in _LAYERS.values():
        return layer
    layers = [_LAYERS[type(one)](one.units, return_sequences=True, return_state=True) for one in cells]
    for made, one in zip(layers, cells, strict=True):
        made.cell = one
    return layers if len(layers) > 1 else layers[0]


def _run_once(model: Any) -> None:
    """Let a model make the weights that it makes at its first input."""
    if not getattr(model.linear, "built", True):
        model(tf.zeros((1, 1), tf.int32))


def _scratch(model: Any) -> tuple[str, canonical_form.Places, dict[str, Tensor]]:
    found = canonical_form.members(model, lambda value: isinstance(value, Module))
    params = {path: value for path, _, _, value in found if isinstance(value, tf.Variable)}
    canonical_form.check_all(model, len(model.trainable_variables), len(params))
    params = canonical_form.without_prefix(params)
    canonical_form.check_output(params, model)
    return *canonical_form.scratch_places(params), params


def kind_of(model: Any) -> str:
    """Return the kind of a language model: one of :data:`d2lrnn.weights.canonical.KINDS`.

    Args:
        model: An ``RNNLM`` over one of the framework's layers, or an ``RNNLMScratch`` over a network from scratch.

    Raises:
        InputError: If the canonical weights would not say all of what it computes; the message says why.
    """
    if canonical_form.framework_layer(model) is not None:
        return backend.kind_of(rnn_model(model))
    return _scratch(model)[0]


def get_weights(model: Any) -> Weights:
    """Return a language model's canonical weights, copied.

    Raises:
        InputError: If it has none: those of :func:`kind_of`.
    """
    if canonical_form.framework_layer(model) is not None:
        return backend.get_weights(rnn_model(model))
    _, places, params = _scratch(model)
    return canonical_form.join(places, {name: param.numpy() for name, param in params.items()})


def set_weights(model: Any, weights: Tensors) -> None:
    """Give a language model canonical weights, in place.

    Raises:
        InputError: If a name or a shape is not the model's.
    """
    if canonical_form.framework_layer(model) is not None:
        backend.set_weights(rnn_model(model), weights)
        return
    canonical.check_weights(weights, {name: value.shape for name, value in get_weights(model).items()})
    _, places, params = _scratch(model)
    for name, value in canonical_form.part(places, weights).items():
        params[name].assign(np.asarray(value, dtype=np.float32))
