"""Tensors that a user's program saved, recognised by their names, and MXNet's fused vector; in NumPy.

What each framework calls its arrays, and how it lays them out, is in :mod:`d2lrnn.weights.maps`. Here it is found out
which of these a set of tensors is, of what kind, and of how many layers.

Whatever would not be exact is refused: a model that travels computes what it computed before. A model of NumPy's, whose
weights are in float64, is rounded, and that is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate, product
from math import prod

import numpy as np
import numpy.typing as npt

from d2lrnn.core.interface import Array, Tensors, Weights
from d2lrnn.errors import InputError
from d2lrnn.system import wording
from d2lrnn.weights import canonical, maps
from d2lrnn.weights.canonical import GATES, listed

# The namings by which a recurrent layer's tensors are known: lstm.weight_ih_l0_reverse, and Gluon's by parameter and by
# block, rnnmodel0_rnn0_l0_i2h_weight and rnn._unfused.0.i2h_weight
_NAMINGS = (maps.TORCH, maps.MXNET, maps.MXNET_FILE)
_Place = tuple[int, str, str]  # the number of its naming, what stands before its name, and its canonical name
_MOST_BESIDE_ZERO = 2**20  # the other sizes of an array that is empty


def choose_kind(kind: str | None, found: Iterable[str], also: Iterable[str] = ()) -> str:
    """Return the kind of a model that was found in a file.

    Args:
        kind: What the user says it is, or None.
        found: What it may be. If it may be several things, the user must say which.
        also: What the user may call it besides.

    Raises:
        InputError: If it cannot be told, or the user is wrong.
    """
    found = list(found)
    if kind is None:
        if len(found) > 1:
            listed = " or ".join(map(repr, found))
            raise InputError(f"the weights may be those of {listed}: say which with {wording.by('kind', ...)}")
        return found[0]
    canonical.check_kind(kind)
    if kind not in (*found, *also):
        what = (
            f"leave {wording.by('kind')} out"
            if len(found) == 1
            else f"say which of these with {wording.by('kind', ...)}"
        )
        raise InputError(f"the weights are those of {' or '.join(map(repr, found))}, not of {kind!r}: {what}")
    return kind


def exact_float32(name: str, value: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return an array in float32, copied.

    Raises:
        InputError: If it holds no floating-point numbers, or one that float32 cannot hold.
    """
    array = np.asarray(value)
    # bfloat16 is no type of NumPy's own, and has kind V
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise InputError(f"weight {name!r} has type {array.dtype}: it must be float32, float64 or float16")
    with np.errstate(over="ignore", under="ignore"):
        result = array.astype(np.float32, order="C")
    if not np.array_equal(result.astype(array.dtype), array, equal_nan=array.dtype.kind == "f"):
        raise InputError(
            f"weight {name!r} has {array.dtype} numbers that float32 cannot hold exactly: round it first, "
            "if that is what you want"
        )
    return result


def rounded(weights: Tensors) -> Tensors:
    """Return the canonical weights of a file of ours in float32; those of a model in NumPy may be in float64.

    Where that rounds them, a warning says so.
    """
    limit = np.finfo(np.float32).max
    # What float32 has no number near is left for exact_float32 to refuse
    doubles = {
        name: value
        for name, value in weights.items()
        if value.dtype == np.float64 and np.abs(value).max(initial=0) <= limit
    }
    said = "the weights of the file are in float64, and are rounded to float32"
    return {**weights, **canonical.in_dtype(doubles, "float32", said)}


def complete(kind: str, weights: Tensors) -> Weights:
    """Return a model's canonical weights in float32 and in canonical order.

    Raises:
        InputError: If they are not those of such a model, or float32 cannot hold them.
    """
    if "layers.0.W_xh" in weights and "output.b_q" in weights and weights["layers.0.W_xh"].ndim == 2:
        inputs, outputs = len(weights["layers.0.W_xh"]), weights["output.b_q"].size
        if inputs != outputs:
            raise InputError(
                f"the recurrent layer reads vectors of {inputs} numbers and the output layer gives {outputs}: "
                "a canonical model reads one-hot vectors of the tokens it predicts, so they must be equal"
            )
    expected = canonical.shapes(kind, *canonical.sizes(kind, weights))
    return {name: exact_float32(name, weights[name]) for name in expected}


def from_canonical(tensors: Tensors, said: str | None, kind: str | None) -> tuple[str, Weights]:
    """Return the kind and the canonical weights, in float32, of a file of ours.

    Args:
        tensors: Arrays by the canonical names.
        said: The kind that the file says.
        kind: The kind that the user says.

    Raises:
        InputError: If they are no canonical weights, the kind cannot be told, or is not the given one.
    """
    found = canonical.kinds_of(tensors) if said is None else [canonical.check_kind(said)]
    # The scratch model computes what the simple RNN does
    kind = choose_kind(kind, found, also=("rnn",) if found == ["rnn-scratch"] else ())
    return kind, complete(kind, rounded(tensors))


def from_tensors(tensors: Tensors, kind: str | None = None) -> tuple[str, Weights]:
    """Return the kind and the canonical weights of a model, from the tensors of PyTorch or MXNet.

    The tensors are those of one recurrent layer of the framework, of any number of layers and directions, and of the
    dense output layer; what stands before ``weight_ih_l0`` or ``l0_i2h_weight`` does not matter. Layers without biases
    get biases of zero. The book's models from scratch are known by the names of their parameters, ``W_xh`` and so on.
    MXNet's fused vector ``..._parameters`` is taken apart if its length leaves one way to do it.

    Args:
        tensors: Arrays by the framework's names.
        kind: The kind of model; needed where the tensors cannot tell (tanh or ReLU).

    Raises:
        InputError: If there is something else among them, something is missing, the kind cannot be told or is not
            the given one, or the canonical form cannot hold them exactly.
    """
    if not tensors:
        raise InputError("there are no weights: save the parameters of the whole model")
    for name, value in tensors.items():
        # (What is made beside it, such as a bias of zeros, would not be empty)
        if 0 in np.shape(value) and max(np.shape(value)) > _MOST_BESIDE_ZERO:
            raise InputError(f"weight {name!r} has shape {np.shape(value)}: it is empty")
    arrays = {name: exact_float32(name, value) for name, value in tensors.items()}
    for scratch in maps.SCRATCH:
        if set(arrays) == {name for names in maps.scratch_names(scratch).values() for name in names}:
            return _from_scratch(arrays, choose_kind(kind, [scratch], ["rnn"] if scratch == "rnn-scratch" else []))
    places: dict[str, _Place] = {}
    for (number, naming), name in product(enumerate(_NAMINGS), arrays):
        prefix, canonical_name = naming.place(name)
        if canonical_name:
            places[name] = number, prefix, canonical_name
    rest = {name: value for name, value in arrays.items() if name not in places}
    flat = [name for name, value in rest.items() if value.ndim == 1 and name.endswith("parameters")]
    if flat and not places:
        vector = rest.pop(flat[0])
        W_hq, b_q = _output_layer(rest)
        kind, weights = _from_flat_of_any_size(vector, W_hq, kind)
    else:
        kind, weights = _from_layers(arrays, places, kind)
        W_hq, b_q = _output_layer(rest)
    return kind, complete(kind, weights | {"output.W_hq": W_hq, "output.b_q": b_q})


def _from_layers(arrays: Tensors, places: Mapping[str, _Place], kind: str | None) -> tuple[str, Weights]:
    """Return the kind and the recurrent weights of the tensors that have a place in a recurrent layer."""
    families = sorted({(number, prefix) for number, prefix, _ in places.values()})
    if not families:
        raise InputError(
            f"no recurrent layer of PyTorch or MXNet is among the tensors {listed(arrays)}: its tensors are called "
            "weight_ih_l0, or l0_i2h_weight, after any prefix"
        )
    if len(families) > 1:
        names = " and ".join(repr(prefix) for _, prefix in families)
        raise InputError(f"the tensors are of several recurrent layers, {names}: use one layer with num_layers")
    own: dict[str, Array] = {}  # by the canonical names, as the framework lays them out
    for name, (_, _, place) in places.items():
        if place in own:
            raise InputError(f"two tensors stand for the same weight, one of them {name!r}: remove one")
        if place.endswith("projection"):
            raise InputError(f"{name!r} is the projection of an LSTM, which has no canonical form: use none")
        own[place] = arrays[name]
    num_layers = 1 + max(int(place.split(".")[1]) for place in own)
    bidirectional = any(".reverse." in place for place in own)
    biases = any(".b_h" in place for place in own)
    ordered: dict[str, Array] = {}
    for layer, reverse in product(range(num_layers), ("", "reverse.") if bidirectional else ("",)):
        for part, title in maps.MXNET.parts.items():
            place = f"layers.{layer}.{reverse}{part}"
            if place not in own and (biases or part.startswith("W_")):
                direction = " of the reverse direction" if reverse else ""
                raise InputError(f"the {title} of layer {layer}{direction} is missing: save the whole model")
            zeros = np.zeros(own[f"layers.{layer}.{reverse}W_xh"].shape[:1], np.float32)
            ordered[place] = own.get(place, zeros)
    W_hh = own["layers.0.W_hh"]
    gates = W_hh.shape[0] // W_hh.shape[1] if W_hh.ndim == 2 and W_hh.shape[1] else 0
    if gates not in GATES.values() or W_hh.shape[0] != gates * W_hh.shape[1]:
        *numbers, last = sorted(set(GATES.values()))
        raise InputError(
            f"the h2h_weight of layer 0 has shape {W_hh.shape}: it must have {', '.join(map(str, numbers))} or {last} "
            "times as many rows as columns"
        )
    naming = _NAMINGS[families[0][0]]
    kind = choose_kind(kind, _kinds_with(gates, num_layers, bidirectional, naming.backend))
    return kind, naming.from_layout(kind, ordered)


def _kinds_with(gates: int, num_layers: int, bidirectional: bool, backend: str) -> list[str]:
    """Return the kinds that a recurrent layer of a backend may be, by its number of gates."""
    alone = num_layers == 1 and not bidirectional
    return [
        kind
        for kind, number in GATES.items()
        if number == gates and backend in canonical.able(kind) and (alone or kind != "rnn-scratch")
    ]


def _output_layer(rest: Tensors) -> tuple[Array, Array]:
    """Return W_hq and b_q from the tensors that are not of the recurrent layer: the dense output layer's."""
    for name in rest:
        if "embed" in name.lower():
            raise InputError(f"{name!r} is an embedding: a canonical model reads one-hot vectors and has none")
    weights = [name for name, value in rest.items() if re.fullmatch(r"(.*[._:])?weight", name) and value.ndim == 2]
    if len(weights) != 1:
        raise InputError(
            f"beside the recurrent layer there must be one dense output layer, a weight of two dimensions and its "
            f"bias; the tensors are {listed(rest) or 'none'}"
        )
    (name,) = weights
    bias = name[: -len("weight")] + "bias"
    extra = [other for other in rest if other not in (name, bias)]
    if extra:
        raise InputError(f"the tensors {listed(extra)} have no place in a recurrent and a dense layer: remove them")
    W_hq = np.ascontiguousarray(rest[name].T)
    return W_hq, rest.get(bias, np.zeros(W_hq.shape[1], np.float32))


def _from_scratch(arrays: Tensors, kind: str) -> tuple[str, Weights]:
    names = maps.scratch_names("rnn-scratch" if kind == "rnn" else kind)
    weights = {}
    for name, parts in names.items():
        if len({(arrays[part].shape, arrays[part].ndim) for part in parts}) > 1 or arrays[parts[0]].ndim == 0:
            raise InputError(f"the tensors {listed(parts)} have shapes {[arrays[part].shape for part in parts]}")
        weights[name] = np.concatenate([arrays[part] for part in parts], axis=-1)
    return kind, complete(kind, weights)


def _in_flat_order(kind: str, weights: Tensors) -> dict[str, Array]:
    """Return MXNet's arrays of recurrent weights in the order of the flat vector: all matrices before all biases."""
    arrays = maps.MXNET.to_framework("rnn" if kind == "rnn-scratch" else kind, weights)
    return dict(sorted(arrays.items(), key=lambda item: item[0].endswith("bias")))


def _recurrent_shapes(kind: str, inputs: int, num_hiddens: int, num_layers: int, both: bool) -> canonical.Shapes:
    """Return the shapes of the weights that are in the flat vector.

    Raises:
        InputError: If the operator cannot compute the kind, or there is no such model.
    """
    canonical.check_kind(kind)
    if "mxnet" not in canonical.able(kind):
        raise InputError(f"MXNet's fused operator cannot compute {kind!r}: its {canonical.ONLY_IN[kind].because}")
    shapes = canonical.shapes(kind, inputs, num_hiddens, num_layers, both)
    return {name: shape for name, shape in shapes.items() if not name.startswith("output.")}


def to_flat(kind: str, weights: Tensors) -> npt.NDArray[np.float32]:
    """Return the recurrent weights as the one vector ``parameters`` of MXNet's fused operator (``npx.rnn``).

    The vector holds, layer by layer and direction by direction, i2h and h2h matrices row by row, and after all of
    them, in the same order, i2h and h2h biases. Where the canonical form has one bias, that of h2h is zero.

    Args:
        kind: The kind of model.
        weights: Canonical weights; those of the output layer have no place in the vector and may be missing.

    Raises:
        InputError: If the operator cannot compute the kind, or the weights are not those of such a model.
    """
    recurrent = {name: value for name, value in weights.items() if not name.startswith("output.")}
    W_xh, W_hh = (recurrent.get(f"layers.0.{name}", np.zeros(0)) for name in ("W_xh", "W_hh"))
    if W_xh.ndim != 2 or W_hh.ndim != 2:
        raise InputError("the weights have no matrices 'layers.0.W_xh' and 'layers.0.W_hh': give canonical weights")
    expected = _recurrent_shapes(kind, len(W_xh), len(W_hh), *canonical.depth(recurrent))
    canonical.check_weights(recurrent, expected)
    arrays = _in_flat_order(kind, {name: exact_float32(name, recurrent[name]) for name in expected})
    return np.concatenate([array.reshape(-1) for array in arrays.values()])


def from_flat(
    vector: npt.ArrayLike,
    kind: str,
    vocab_size: int,
    num_hiddens: int,
    num_layers: int = 1,
    bidirectional: bool = False,
) -> Weights:
    """Return the canonical recurrent weights of the vector ``parameters`` of MXNet's fused operator.

    Args:
        vector: One-dimensional; see :func:`to_flat` for its order.
        kind: The kind of model.
        vocab_size: Size of the operator's inputs.
        num_hiddens: Hidden units in each layer and direction, ``state_size``.
        num_layers: Layers.
        bidirectional: Read the sequence from both ends.

    Returns:
        The weights ``layers...`` of the canonical form; the output layer's are not in the vector.

    Raises:
        InputError: If the vector has another length than such a model's, or the operator cannot compute the kind.
    """
    shapes = _recurrent_shapes(kind, vocab_size, num_hiddens, num_layers, bidirectional)
    # One number repeated: the shapes are known, and no memory is taken
    shaped = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    layout = {name: value.shape for name, value in _in_flat_order(kind, shaped).items()}
    array = exact_float32("parameters", vector)
    ends = list(accumulate(prod(shape) for shape in layout.values()))
    if array.shape != (ends[-1],):
        raise InputError(f"the vector has shape {array.shape}, and that of such a model {(ends[-1],)}: check the sizes")
    parts = (part.reshape(shape) for part, shape in zip(np.split(array, ends[:-1]), layout.values(), strict=True))
    weights = maps.MXNET.to_canonical(kind, dict(zip(layout, parts, strict=True)))
    return {name: weights[name] for name in shapes}


def _from_flat_of_any_size(vector: Array, W_hq: Array, kind: str | None) -> tuple[str, Weights]:
    """Return the kind and weights of a vector, if only one number of layers, directions and gates has its length."""
    outputs, vocab_size = W_hq.shape
    ways = []
    number = sorted(set(GATES.values()) if kind is None else {GATES[canonical.check_kind(kind)]})
    for gates, directions in product(number, (1, 2)):
        num_hiddens, odd = divmod(outputs, directions)
        if odd or not num_hiddens or not vocab_size:
            continue
        first, further = (gates * outputs * (inputs + num_hiddens + 2) for inputs in (vocab_size, outputs))
        layers, remainder = divmod(vector.size - first, further)
        if layers >= 0 and not remainder:
            ways.append((gates, num_hiddens, layers + 1, directions == 2))
    if len(ways) != 1:
        raise InputError(
            f"the vector of {vector.size} numbers can be taken apart in {len(ways)} ways beside an output layer "
            f"of {outputs} inputs and {vocab_size} outputs: take it apart with from_flat, which is told the sizes"
        )
    gates, num_hiddens, num_layers, bidirectional = ways[0]
    kind = choose_kind(kind, _kinds_with(gates, num_layers, bidirectional, "mxnet"))
    return kind, from_flat(vector, kind, vocab_size, num_hiddens, num_layers, bidirectional)
