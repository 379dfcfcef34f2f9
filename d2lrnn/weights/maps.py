"""The weight map of each framework: by what name, and in what layout, it keeps each canonical weight.

A name is the path of a parameter from the model, ``RNNModel``: ``rnn.weight_ih_l0`` is ``net.rnn.weight_ih_l0``. In
PyTorch these are also the names of a ``state_dict``; MXNet's ``save_parameters`` has its own. NumPy's layers, which are
ours, have the canonical names.

PyTorch and MXNet have two bias vectors where the canonical form of the simple RNN and the LSTM has one: their sum. In
models of ours the second one is zero, and is not trained. The sum is exact if one of the two is zero, and otherwise
rounded once in float32.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, TypeVar

import numpy as np

from d2lrnn.core.interface import Array, Tensors, Weights
from d2lrnn.errors import InputError
from d2lrnn.weights import canonical

T = TypeVar("T")

# Models that the book writes from scratch (sections 8.5, 9.1, 9.2): of each canonical matrix, the book's names of its
# gates. Its LSTM calls the candidate c, and its GRU the candidate h.
SCRATCH = {"rnn-scratch": ("h",), "gru-reset-before": ("r", "z", "h"), "lstm": ("i", "f", "c", "o")}


def scratch_names(kind: str) -> dict[str, list[str]]:
    """Return, for each canonical weight of a model of :data:`SCRATCH`, the book's names of its gates' parts."""
    gates = SCRATCH[kind]
    return {
        "layers.0.W_xh": [f"W_x{gate}" for gate in gates],
        "layers.0.W_hh": [f"W_h{gate}" for gate in gates],
        "layers.0.b_h": [f"b_{gate}" for gate in gates],
        "output.W_hq": ["W_hq"],
        "output.b_q": ["b_q"],
    }


_BOOK = {name: book for name, (book,) in scratch_names("rnn-scratch").items()}


def scratch_parameters(params: Iterable[T]) -> dict[str, T]:
    """Return the parameters of ``RNNModelScratch``, which are in the book's order, by the book's names."""
    return dict(zip(_BOOK.values(), params, strict=True))


@dataclass(frozen=True)
class WeightMap:
    """Where one framework keeps the canonical weights.

    Attributes:
        backend: The framework's backend.
        recurrent: The name of an array of the recurrent layer, with places for its layer, its direction and its part.
        parts: The framework's name of each canonical part. Without a ``b_hh``, the two biases of ``'gru'`` are the rows
            of one array.
        directions: What stands for the direction: where there is one; and for the forward and the reverse of two.
        output: The names of the output layer's arrays.
        transposed: Whether a matrix is kept as (outputs, inputs).
        two_biases: Whether there is a second bias, of zeros, where the canonical form has one.
        gates: By the kind, the framework's order of gates where it is not the canonical one, whose numbers it has.
        projection: The name of the part that an LSTM with a projection has besides. It has no canonical form.
    """

    backend: str
    recurrent: str
    parts: Mapping[str, str]
    directions: tuple[str, str, str]
    output: Mapping[str, str]
    transposed: bool = False
    two_biases: bool = False
    gates: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    projection: str = ""

    def to_framework(self, kind: str, weights: Tensors) -> dict[str, Array]:
        """Return a model's weights by the framework's names and in its layouts.

        Args:
            kind: The kind of the model.
            weights: Canonical weights; the output layer's may be missing.

        Returns:
            Arrays in the order of the weights; some are views of those that were given.

        Raises:
            InputError: If the framework has no layer that computes the kind.
        """
        canonical.check_able(self.backend, kind)
        if kind == "rnn-scratch":
            return {_BOOK[name]: value for name, value in weights.items()}
        _, bidirectional = canonical.depth(weights)
        arrays: dict[str, Array] = {}

        def ordered(name: str) -> Array:
            value = weights[name]
            return _in_order(value, self.gates[kind]) if kind in self.gates and name not in self.output else value

        for name in weights:
            value = ordered(name)
            if "b_hh" not in self.parts:
                if name.endswith("b_hh"):
                    continue  # it goes with the first
                if name + "h" in weights:
                    value = np.stack([value, ordered(name + "h")])
            arrays[self.name(name, bidirectional)] = value.T if self.transposed else value
            if name.endswith("b_h") and self.two_biases and name + "h" not in weights:
                arrays[self.name(name + "h", bidirectional)] = np.broadcast_to(value.dtype.type(0), value.shape)
        return arrays

    def to_canonical(self, kind: str, arrays: Tensors) -> Weights:
        """Return the canonical weights of a model, or their gradients, from arrays of the framework.

        Args:
            kind: The kind of the model.
            arrays: What :meth:`to_framework` returns: NumPy arrays by the framework's names.

        Returns:
            Arrays by the canonical names; some are views of those that were given.

        Raises:
            InputError: If the two biases of a layer have different shapes.
        """
        if kind == "rnn-scratch" and "W_hh" in arrays:
            return {name: arrays[book] for name, book in _BOOK.items()}
        outputs = {theirs: name for name, theirs in self.output.items()}
        return self.from_layout(kind, {outputs.get(name) or self.place(name)[1]: arrays[name] for name in arrays})

    def from_layout(self, kind: str, arrays: Tensors) -> Weights:
        """Return what :meth:`to_canonical` does, from arrays that have the canonical names already."""
        weights: Weights = {}
        for name, array in arrays.items():
            values = {name: array.T if self.transposed else array}
            if name.endswith("b_h") and kind == "gru" and "b_hh" not in self.parts:
                values = {name: array[0], name + "h": array[1]}
            elif name.endswith("b_h") and self.two_biases:
                second = arrays[name + "h"]
                if array.shape != second.shape:
                    shapes = f"{array.shape} and {second.shape}"
                    raise InputError(f"the biases of {name[:-4]} have shapes {shapes}: they must be equal")
                values = {name: array, name + "h": second} if kind == "gru" else {name: array + second}
            elif name.endswith("b_hh") and self.two_biases:
                continue  # it went with the first
            if kind in self.gates and name not in self.output:
                order = tuple(map(int, np.argsort(self.gates[kind])))
                values = {own: _in_order(value, order) for own, value in values.items()}
            weights |= values
        return weights

    def parameters(self, net: Any, num_layers: int, bidirectional: bool) -> dict[str, Any]:
        """Return the parameters of an ``RNNModel`` by the framework's names, which are their paths from it."""
        prefixes = [prefix for layer in canonical.layer_prefixes(num_layers, bidirectional) for prefix in layer]
        names = [self.name(prefix + part, bidirectional) for prefix in prefixes for part in self.parts]
        return {name: reduce(_member, name.split("."), net) for name in (*names, *self.output.values())}

    def name(self, name: str, bidirectional: bool) -> str:
        """Return the framework's name of a canonical one."""
        if name in self.output:
            return self.output[name]
        _, layer, *reverse, part = name.split(".")
        direction = self.directions[1 + len(reverse) if bidirectional else 0]
        return self.recurrent.format(layer=layer, direction=direction, part=self.parts[part])

    def place(self, name: str) -> tuple[str, str]:
        """Return the canonical name of an array of the recurrent layer, whatever the layer is called in its name.

        Returns:
            What stands before the layer's own part of the name, and the canonical name, whose last word is
            ``projection`` for what has no canonical form; two empty words for any other array.
        """
        if not (match := self._pattern.fullmatch(name)):
            return "", ""
        part = {theirs: ours for ours, theirs in self.parts.items()}.get(match["part"], "projection")
        reverse = "reverse." if match["direction"] == self.directions[2] else ""
        return match["prefix"], f"layers.{int(match['layer'])}.{reverse}{part}"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        own = re.escape(self.recurrent.removeprefix("rnn.")).replace(r"\{", "{").replace(r"\}", "}")
        places = {
            "layer": r"(?P<layer>\d{1,4})",
            "direction": f"(?P<direction>{'|'.join(map(re.escape, self.directions))})",
            "part": f"(?P<part>{'|'.join((*self.parts.values(), self.projection))})",
        }
        return re.compile(r"(?P<prefix>(.*[._:])?)" + own.format(**places))


def _in_order(array: Array, gates: tuple[int, ...]) -> Array:
    """Return an array whose last axis is gates side by side, with these in another order."""
    parts = np.split(array, len(gates), axis=-1)
    return np.concatenate([parts[gate] for gate in gates], axis=-1)


def _member(owner: Any, name: str) -> Any:
    return owner[int(name)] if name.isdigit() else getattr(owner, name)


TORCH = WeightMap(
    backend="torch",
    recurrent="rnn.{part}_l{layer}{direction}",
    parts={"W_xh": "weight_ih", "W_hh": "weight_hh", "b_h": "bias_ih", "b_hh": "bias_hh"},
    directions=("", "", "_reverse"),
    output={"output.W_hq": "linear.weight", "output.b_q": "linear.bias"},
    transposed=True,
    two_biases=True,
    projection="weight_hr",
)
MXNET = WeightMap(
    backend="mxnet",
    recurrent="rnn.{direction}{layer}_{part}",
    parts={"W_xh": "i2h_weight", "W_hh": "h2h_weight", "b_h": "i2h_bias", "b_hh": "h2h_bias"},
    directions=("l", "l", "r"),
    output={"output.W_hq": "dense.weight", "output.b_q": "dense.bias"},
    transposed=True,
    two_biases=True,
    projection="h2r_weight",
)
# The names that save_parameters gives to the same arrays
MXNET_FILE = replace(MXNET, recurrent="rnn._unfused.{layer}.{direction}{part}", directions=("", "l_cell.", "r_cell."))
TENSORFLOW = WeightMap(
    backend="tensorflow",
    recurrent="rnn_layers.{layer}.{direction}cell.{part}",
    parts={"W_xh": "kernel", "W_hh": "recurrent_kernel", "b_h": "bias"},
    directions=("", "forward_layer.", "backward_layer."),
    output={"output.W_hq": "dense.kernel", "output.b_q": "dense.bias"},
    gates={"gru": (1, 0, 2), "gru-reset-before": (1, 0, 2)},  # update, reset, candidate
)
NUMPY = WeightMap(
    backend="numpy",
    recurrent="layers.{layer}.{direction}{part}",
    parts={"W_xh": "W_xh", "W_hh": "W_hh", "b_h": "b_h", "b_hh": "b_hh"},
    directions=("", "", "reverse."),
    output={"output.W_hq": "output.W_hq", "output.b_q": "output.b_q"},
)
