"""One set of names, layouts and gate orders for the weights of every model kind, whatever the framework.

A model's weights are a dict of NumPy arrays::

    layers.0.W_xh          (inputs, gates * num_hiddens)       inputs: vocab_size, above the first layer the layer below
    layers.0.W_hh          (num_hiddens, gates * num_hiddens)
    layers.0.b_h           (gates * num_hiddens,)
    layers.0.b_hh          (gates * num_hiddens,)              'gru' only
    layers.0.reverse....   the same again                      bidirectional only
    output.W_hq            (directions * num_hiddens, vocab_size)
    output.b_q             (vocab_size,)

Gates stand side by side in the order that PyTorch and MXNet use: reset, update, candidate (GRU); input, forget,
candidate, output (LSTM). The simple RNN (``rnn`` with tanh, ``rnn-relu``) and the LSTM have one bias: the second one
that PyTorch and MXNet add to it changes no function the model can compute.

There are two GRUs. The reset gate of ``gru`` scales the recurrent product of the candidate with its bias, so it needs
both biases; this is the form of cuDNN, and of Keras with ``reset_after=True``. That of ``gru-reset-before`` scales the
state that goes into the product (Cho et al., 2014; book section 9.1), where a second bias would change nothing. Neither
can compute what the other does.

A state is a tuple of arrays (layers * directions, batch_size, num_hiddens): ``(H,)``, for the LSTM ``(H, C)``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from d2lrnn.core.backends import BACKENDS
from d2lrnn.core.interface import Tensors
from d2lrnn.core.interface import Weights as Weights
from d2lrnn.data.sampling import Seed
from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.system.arguments import require_at_most, require_positive

Shapes = dict[str, tuple[int, ...]]

GATES = {"rnn-scratch": 1, "rnn": 1, "rnn-relu": 1, "gru": 3, "gru-reset-before": 3, "lstm": 4}
KINDS = tuple(GATES)


class Only(NamedTuple):
    """The backends that can build a kind, what keeps the others from it, and the kind that they build instead."""

    backends: tuple[str, ...]
    because: str
    instead: str


ONLY_IN = {
    "gru-reset-before": Only(
        ("tensorflow", "numpy"), because="GRU applies the reset gate after the recurrent product", instead="gru"
    )
}
# What programs such as d2lrnn train let a model run; a reader gives RNNModelScratch any function
RUNS = {kind: "rnn_fast" if kind == "rnn-scratch" else "the framework's own layer" for kind in KINDS}
_LISTED = 8  # names that an error lists
MOST_LAYERS = 1000  # each is Python objects by the dozen, whatever its size


def check_kind(kind: str, num_layers: int = 1, bidirectional: bool = False) -> str:
    """Return a model kind as given.

    Raises:
        InputError: If there is no such kind, or it cannot have these layers.
    """
    if kind not in GATES:
        raise InputError(f"unknown model {kind!r:.80}: use one of {', '.join(KINDS)}")
    require_positive(num_layers=num_layers)
    require_at_most({"num_layers": MOST_LAYERS}, num_layers=num_layers)
    if kind == "rnn-scratch" and (num_layers > 1 or bidirectional):
        raise InputError("the model 'rnn-scratch' has one layer in one direction: use 'rnn' for more")
    return kind


def able(kind: str) -> tuple[str, ...]:
    """Return the backends that can build a kind."""
    return ONLY_IN[kind].backends if kind in ONLY_IN else tuple(BACKENDS)


def check_able(backend: str, kind: str) -> None:
    """Check that a backend can build a kind.

    Raises:
        InputError: If it cannot.
    """
    if backend not in able(kind):
        others, because, instead = ONLY_IN[kind]
        raise InputError(
            f"{BACKENDS[backend].title}'s {because}, so it is no {kind!r}: "
            f"use {' or '.join(BACKENDS[name].title for name in others)} for this model, or the model {instead!r}"
        )


def layer_prefixes(num_layers: int, bidirectional: bool) -> list[list[str]]:
    """Return, for each layer, the prefix of its weights' names in each of its directions."""
    directions = ["", "reverse."] if bidirectional else [""]
    return [[f"layers.{layer}.{direction}" for direction in directions] for layer in range(num_layers)]


def depth(weights: Iterable[str]) -> tuple[int, bool]:
    """Return the number of layers that the names of canonical weights speak of, and whether of both directions."""
    layers = [name for name in weights if name.startswith("layers.")]
    return len({name.split(".")[1] for name in layers}), any(name.startswith("layers.0.reverse.") for name in layers)


def shapes(kind: str, vocab_size: int, num_hiddens: int, num_layers: int = 1, bidirectional: bool = False) -> Shapes:
    """Return the name and shape of every weight of a model, in their canonical order.

    Raises:
        InputError: If there is no such kind, or a size is not positive.
    """
    check_kind(kind, num_layers, bidirectional)
    require_positive(vocab_size=vocab_size, num_hiddens=num_hiddens)
    width = GATES[kind] * num_hiddens
    directions = 2 if bidirectional else 1
    result: Shapes = {}
    inputs = vocab_size
    for layer in layer_prefixes(num_layers, bidirectional):
        for prefix in layer:
            result |= {f"{prefix}W_xh": (inputs, width), f"{prefix}W_hh": (num_hiddens, width)}
            result |= {f"{prefix}b_h": (width,)}
            if kind == "gru":
                result |= {f"{prefix}b_hh": (width,)}
        inputs = directions * num_hiddens
    return result | {"output.W_hq": (inputs, vocab_size), "output.b_q": (vocab_size,)}


def num_weights(kind: str, vocab_size: int, num_hiddens: int, num_layers: int = 1, bidirectional: bool = False) -> int:
    """Return how many weights a model has. Nothing is allocated, however many there are."""
    return sum(map(prod, shapes(kind, vocab_size, num_hiddens, num_layers, bidirectional).values()))


def bytes_of_training(
    kind: str,
    vocab_size: int,
    num_hiddens: int,
    num_layers: int = 1,
    *,
    batch_size: int = 1,
    num_steps: int = 1,
    itemsize: int = 4,
) -> int:
    """Return the bytes that a training takes at least, so that nothing is refused that would have worked.

    These are the weights, their gradients and a copy of the last good ones; and of one minibatch, for backpropagation
    through time, the gates and the state of each layer, and the logits and their gradient.

    Args:
        kind: One of :data:`KINDS`.
        vocab_size: Tokens of the vocabulary.
        num_hiddens: Hidden units in each layer.
        num_layers: Layers.
        batch_size: Sequences in a minibatch.
        num_steps: Tokens in a sequence.
        itemsize: Bytes of a number: 4, and 8 for NumPy's float64.
    """
    weights = num_weights(kind, vocab_size, num_hiddens, num_layers)
    activations = num_steps * batch_size * (num_layers * GATES[kind] * num_hiddens + 2 * vocab_size)
    return itemsize * (3 * weights + activations)


def sizes(kind: str, weights: Tensors) -> tuple[int, int, int, bool]:
    """Return what a model's weights say of it: vocab_size, num_hiddens, num_layers, bidirectional.

    The weights are checked to be those of such a model, and no others.

    Raises:
        InputError: If there is no such kind, or the weights are not those of a model of this kind.
    """
    check_kind(kind)
    for name, ndim in (("layers.0.W_hh", 2), ("output.b_q", 1)):
        if name not in weights:
            raise InputError(f"weight {name!r} is missing: these are no canonical weights of the model {kind!r}")
        if weights[name].ndim != ndim or 0 in weights[name].shape:
            raise InputError(f"weight {name!r} has shape {tuple(weights[name].shape)}: it must have {ndim} dimensions")
    vocab_size, num_hiddens = len(weights["output.b_q"]), len(weights["layers.0.W_hh"])
    num_layers, bidirectional = depth(weights)
    check_weights(weights, shapes(kind, vocab_size, num_hiddens, num_layers, bidirectional))
    return vocab_size, num_hiddens, num_layers, bidirectional


def kinds_of(weights: Tensors) -> list[str]:
    """Return the kinds that canonical weights may be those of.

    Raises:
        InputError: If they are those of none.
    """
    W_hh = weights.get("layers.0.W_hh")
    if W_hh is None or W_hh.ndim != 2 or not W_hh.shape[0]:
        raise InputError(
            f"it has no matrix 'layers.0.W_hh', but {', '.join(map(repr, list(weights)[:6])) or 'nothing'}"
        )
    kinds = []
    for kind in GATES:
        try:
            sizes(kind, weights)
        except InputError:
            continue
        kinds.append(kind)
    if not kinds:
        raise InputError(
            "its names and shapes are those of no canonical model: d2lrnn.weights.canonical says which they are"
        )
    return kinds


def listed(names: Iterable[str]) -> str:
    """Return names as an error lists them: the first ones, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(repr(name) for name in names[:_LISTED]) + more


def check_weights(weights: Tensors, expected: Shapes) -> None:
    """Check that weights have the expected names and shapes.

    Raises:
        InputError: If they have not, naming the first difference.
    """
    for name in [*expected, *weights]:
        if name not in weights:
            raise InputError(f"weight {name!r} is missing; the model has {listed(expected)}")
        if name not in expected:
            raise InputError(f"the model has no weight {name!r}; it has {listed(expected)}")
        if tuple(weights[name].shape) != expected[name]:
            raise InputError(f"weight {name!r} has shape {tuple(weights[name].shape)}, the model's {expected[name]}")


def initial_weights(
    kind: str,
    vocab_size: int,
    num_hiddens: int,
    num_layers: int = 1,
    bidirectional: bool = False,
    *,
    seed: Seed = None,
) -> Weights:
    """Draw a model's first weights in float32; the same seed gives the same ones to every backend.

    ``rnn-scratch`` is initialised as in the book (section 8.5.2): normal with standard deviation 0.01, biases
    zero. The others are uniform within 1 / sqrt(inputs of the recurrent or output product), as in PyTorch.
    """
    rng = np.random.default_rng(seed)
    expected = shapes(kind, vocab_size, num_hiddens, num_layers, bidirectional)
    weights: Weights = {}
    for name, shape in expected.items():
        if kind == "rnn-scratch":
            draw = rng.normal(0.0, 0.01, shape) if len(shape) > 1 else np.zeros(shape)
        else:
            fan_in = expected["output.W_hq"][0] if name.startswith("output.") else num_hiddens
            draw = rng.uniform(-(fan_in**-0.5), fan_in**-0.5, shape)
        weights[name] = draw.astype(np.float32)
    return weights


def with_tokens_in_order(weights: Tensors, order: Sequence[int]) -> Weights:
    """Return the weights of the same model for a vocabulary with its tokens in another order.

    Args:
        weights: Canonical weights.
        order: For each token of the new vocabulary, its index in the old one.
    """
    made = dict(weights)
    for name in weights:
        if name in ("layers.0.W_xh", "layers.0.reverse.W_xh"):
            made[name] = weights[name][list(order)]  # the row of an input is that of its token
        elif name.startswith("output."):
            made[name] = weights[name][..., list(order)]
    return made


def in_dtype(weights: Tensors, dtype: str, warning: str | None = None) -> Weights:
    """Return weights in another type, rounded where it has fewer digits: those of a model in NumPy are in float64.

    Args:
        weights: Weights by their names.
        dtype: The type.
        warning: What a :class:`~d2lrnn.errors.D2LRNNWarning` says where that rounds them; None for no word.
    """
    made = {name: value.astype(dtype, copy=False) for name, value in weights.items()}
    if warning is not None and not all(np.array_equal(made[name], value) for name, value in weights.items()):
        warnings.warn(warning, D2LRNNWarning, stacklevel=3)
    return made
