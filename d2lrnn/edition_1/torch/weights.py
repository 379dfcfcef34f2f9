"""The weights of edition 1.0's language models as canonical ones (:mod:`d2lrnn.weights.canonical`), and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from d2lrnn.core.interface import Tensors, Weights
from d2lrnn.edition_1 import canonical_form
from d2lrnn.torch import RNNModel, backend
from d2lrnn.torch.types import Tensor
from d2lrnn.weights import canonical


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
    with torch.random.fork_rng():  # the output layer's own first weights are for nothing
        net = RNNModel(layer, model.vocab_size)
    net.linear = model.linear
    canonical_form.check_all(model, len(list(model.parameters())), len(list(net.parameters())))
    return net


def _run_once(model: Any) -> None:
    """Let a model make the weights that it makes at its first input."""
    if any(isinstance(param, nn.parameter.UninitializedParameter) for param in model.parameters()):
        device = next(model.rnn.parameters()).device
        with torch.no_grad():
            model(torch.zeros((1, 1), dtype=torch.int64, device=device))


def _scratch(model: Any) -> tuple[str, canonical_form.Places, dict[str, Tensor]]:
    params = canonical_form.without_prefix(dict(model.named_parameters()))
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
    return canonical_form.join(places, {name: param.detach().cpu().numpy() for name, param in params.items()})


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
    with torch.no_grad():
        for name, value in canonical_form.part(places, weights).items():
            params[name].copy_(torch.from_numpy(np.array(value, dtype=np.float32)))
