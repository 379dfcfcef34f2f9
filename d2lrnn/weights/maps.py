"""The weight map of each framework: by what name, and in what layout, it keeps each canonical weight.

=============  =======================  ===================  ===========================================  ===========
canonical      PyTorch                  MXNet                Keras                                        the book
=============  =======================  ===================  ===========================================  ===========
layers.N.W_xh  rnn.weight_ih_lN         rnn.lN_i2h_weight    rnn_layers.N.cell.kernel                     W_xh
layers.N.W_hh  rnn.weight_hh_lN         rnn.lN_h2h_weight    rnn_layers.N.cell.recurrent_kernel           W_hh
layers.N.b_h   rnn.bias_ih_lN           rnn.lN_i2h_bias      rnn_layers.N.cell.bias                       b_h
layers.N.b_hh  rnn.bias_hh_lN           rnn.lN_h2h_bias      the second row of the bias
output.W_hq    linear.weight            dense.weight         dense.kernel                                 W_hq
output.b_q     linear.bias              dense.bias           dense.bias                                   b_q
matrices       transposed               transposed           as they are                                  as they are
biases         two, always              two, always          one; of 'gru' two, as the rows of an array   one
gates          as they are              as they are          GRU: update, reset, candidate                one by one
=============  =======================  ===================  ===========================================  ===========

Names are the paths of the parameters from the model, ``RNNModel``: ``rnn.weight_ih_l0`` is ``net.rnn.weight_ih_l0``. In
PyTorch these are also the names of a ``state_dict``; MXNet's ``save_parameters`` has its own. NumPy's layers, which are
ours, have the canonical names.

PyTorch and MXNet have two bias vectors where the canonical form of the simple RNN and the LSTM has one: their sum. In
models of ours the second one is zero, and is not trained. The sum is exact if one of the two is zero, and otherwise
rounded once in float32.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import count
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from d2lrnn.errors import InputError
from d2lrnn.weights import canonical
from d2lrnn.weights.canonical import Weights

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]
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


_SCRATCH_NAMES = {name: book for name, (book,) in scratch_names("rnn-scratch").items()}


def scratch_parameters(params: Iterable[T]) -> dict[str, T]:
    """Return the parameters of ``RNNModelScratch``, which are in the book's order, by the book's names."""
    return dict(zip(_SCRATCH_NAMES.values(), params, strict=True))


@dataclass(frozen=True)
class WeightMap:
    """Where one framework keeps the canonical weights. The module's docstring shows all of them in a table."""

    backend: str
    recurrent: str
    """Name of an array of the recurrent layer, with places for its layer, its direction and its part."""
    parts: Mapping[str, str]
    """The framework's name of each part. One name for both biases means the rows of one array."""
    directions: tuple[str, str, str]
    """What stands for the direction where there is one; for the forward and the reverse one where there are two."""
    output: Mapping[str, str]
    """Names of the arrays of the output layer."""
    transposed: bool = False
    """Whether a matrix is kept as (outputs, inputs)."""
    biases: Literal["as needed", "always two", "as rows"] = "as needed"
    gates: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The framework's order of gates, each by its canonical number, where it is another one."""
    projection: str = ""
    """Name of the part that an LSTM with a projection has besides; it has no canonical form."""
    gru: str = ""
    """Name of the GRU layer, where it can compute only one of the two forms."""

    def to_framework(self, kind: str, weights: Tensors) -> dict[str, Array]:
        """Return a model's weights by the framework's names and in its layouts.

        Args:
            kind: The kind of the model.
            weights: Canonical weights, or anything of their names and shapes; the output layer's may be missing.

        Returns:
            Arrays in the order in which the framework keeps them; some are views of those that were given.

        Raises:
            InputError: If the framework has no layer that computes the kind.
        """
        self.check_kind(kind)
        if kind == "rnn-scratch":
            return {_SCRATCH_NAMES[name]: value for name, value in weights.items()}
        arrays: dict[str, Array] = {}
        for prefix, name in self._layers(*canonical.depth(weights)):
            parts = {part: weights[prefix + part] for part in self.parts if prefix + part in weights}
            if kind in self.gates:
                parts = {part: _in_order(value, self.gates[kind]) for part, value in parts.items()}
            if self.biases == "always two" and "b_hh" not in parts:
                parts["b_hh"] = np.broadcast_to(parts["b_h"].dtype.type(0), parts["b_h"].shape)
            if self.biases == "as rows" and "b_hh" in parts:
                parts["b_h"] = np.stack([parts["b_h"], parts.pop("b_hh")])
            arrays |= {name(part): self._turned(value) for part, value in parts.items()}
        output = {part: weights[f"output.{part}"] for part in self.output if f"output.{part}" in weights}
        return arrays | {self.output[part]: self._turned(value) for part, value in output.items()}

    def to_canonical(self, kind: str, arrays: Tensors) -> Weights:
        """Return the canonical weights of a model, or their gradients, from arrays of the framework.

        Args:
            kind: The kind of the model.
            arrays: What :meth:`to_framework` returns: NumPy arrays by the framework's names.

        Returns:
            Arrays in canonical order; some are views of those that were given.

        Raises:
            InputError: If the two biases of a layer have different shapes.
        """
        if kind == "rnn-scratch" and "W_hh" in arrays:
            return {name: arrays[book] for name, book in _SCRATCH_NAMES.items() if book in arrays}
        weights: Weights = {}
        for prefix, name in self._layers(*self._depth(arrays)):
            parts = {part: self._turned(arrays[name(part)]) for part in self.parts if name(part) in arrays}
            if self.biases == "as rows":
                del parts["b_hh"]  # which has the name of the first
                if kind == "gru":
                    parts["b_h"], parts["b_hh"] = parts["b_h"]
            if self.biases == "always two":
                b_h, b_hh = parts["b_h"], parts["b_hh"]
                if b_h.shape != b_hh.shape:
                    raise InputError(
                        f"the biases of {prefix[:-1]} have shapes {b_h.shape} and {b_hh.shape}: they must be equal"
                    )
                if kind != "gru":
                    parts["b_h"] = b_h + parts.pop("b_hh")
            if kind in self.gates:
                order = tuple(map(int, np.argsort(self.gates[kind])))
                parts = {part: _in_order(value, order) for part, value in parts.items()}
            weights |= {prefix + part: value for part, value in parts.items()}
        output = {part: arrays[name] for part, name in self.output.items() if name in arrays}
        return weights | {f"output.{part}": self._turned(value) for part, value in output.items()}

    def parameters(self, net: Any, num_layers: int, bidirectional: bool) -> dict[str, Any]:
        """Return the parameters of an ``RNNModel`` by the framework's names, which are their paths from it."""
        names = [name(part) for _, name in self._layers(num_layers, bidirectional) for part in self.parts]
        return {name: reduce(_member, name.split("."), net) for name in (*names, *self.output.values())}

    def check_kind(self, kind: str) -> str:
        """Return a model kind as given.

        Raises:
            InputError: If the framework has no layer that computes it.
        """
        if self.backend not in canonical.able(kind):
            raise InputError(
                f"{self.gru} applies the reset gate after the recurrent product, so it is no {kind!r}: "
                f"use TensorFlow or NumPy for this model, or the model 'gru'"
            )
        return kind

    def name(self, layer: int, reverse: bool, part: str, *, bidirectional: bool) -> str:
        """Return the framework's name of an array of the recurrent layer, by its canonical part such as ``'W_xh'``."""
        direction = self.directions[1 + reverse if bidirectional else 0]
        return self.recurrent.format(layer=layer, direction=direction, part=self.parts[part])

    def _layers(self, num_layers: int, bidirectional: bool) -> Iterator[tuple[str, Callable[[str], str]]]:
        """Yield, for each layer and direction, its canonical prefix and what gives the framework's name of a part."""
        for layer, prefixes in enumerate(canonical.layer_prefixes(num_layers, bidirectional)):
            for reverse, prefix in enumerate(prefixes):

                def name(part: str, place: tuple[int, bool] = (layer, bool(reverse))) -> str:
                    return self.name(*place, part, bidirectional=bidirectional)

                yield prefix, name

    def _depth(self, arrays: Tensors) -> tuple[int, bool]:
        """Return the number of layers of a model's arrays, and whether it is bidirectional."""
        bidirectional = self.name(0, True, "W_hh", bidirectional=True) in arrays
        names = (self.name(layer, False, "W_hh", bidirectional=bidirectional) for layer in count())
        return next(layer for layer, name in enumerate(names) if name not in arrays), bidirectional

    def _turned(self, array: Array) -> Array:
        return array.T if self.transposed and array.ndim > 1 else array

    def pattern(self, before: str) -> re.Pattern[str]:
        """Return what matches the names of the recurrent layer's arrays, whatever the layer is called.

        Its groups are ``prefix``, ``layer``, ``direction`` and ``part``, the last two as the framework writes them.

        Args:
            before: The characters that may stand between the prefix and the name.
        """
        places = {
            "layer": r"(?P<layer>\d{1,4})",
            "direction": f"(?P<direction>{'|'.join(sorted({re.escape(name) for name in self.directions}))})",
            "part": f"(?P<part>{'|'.join((*self.parts.values(), self.projection))})",
        }
        pieces = re.split(r"\{(\w+)\}", self.recurrent.removeprefix("rnn."))
        name = "".join(places[piece] if place % 2 else re.escape(piece) for place, piece in enumerate(pieces))
        return re.compile(rf"(?P<prefix>(.*[{before}])?){name}")


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
    output={"W_hq": "linear.weight", "b_q": "linear.bias"},
    transposed=True,
    biases="always two",
    projection="weight_hr",
    gru="nn.GRU",
)
MXNET = WeightMap(
    backend="mxnet",
    recurrent="rnn.{direction}{layer}_{part}",
    parts={"W_xh": "i2h_weight", "W_hh": "h2h_weight", "b_h": "i2h_bias", "b_hh": "h2h_bias"},
    directions=("l", "l", "r"),
    output={"W_hq": "dense.weight", "b_q": "dense.bias"},
    transposed=True,
    biases="always two",
    projection="h2r_weight",
    gru="rnn.GRU",
)
# The names that save_parameters gives to the same arrays
MXNET_FILE = replace(MXNET, recurrent="rnn._unfused.{layer}.{direction}{part}", directions=("", "l_cell.", "r_cell."))
TENSORFLOW = WeightMap(
    backend="tensorflow",
    recurrent="rnn_layers.{layer}.{direction}cell.{part}",
    parts={"W_xh": "kernel", "W_hh": "recurrent_kernel", "b_h": "bias", "b_hh": "bias"},
    directions=("", "forward_layer.", "backward_layer."),
    output={"W_hq": "dense.kernel", "b_q": "dense.bias"},
    biases="as rows",
    gates={"gru": (1, 0, 2), "gru-reset-before": (1, 0, 2)},
)
NUMPY = WeightMap(
    backend="numpy",
    recurrent="layers.{layer}.{direction}{part}",
    parts={"W_xh": "W_xh", "W_hh": "W_hh", "b_h": "b_h", "b_hh": "b_hh"},
    directions=("", "", "reverse."),
    output={"W_hq": "output.W_hq", "b_q": "output.b_q"},
)
