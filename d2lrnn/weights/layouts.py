"""How PyTorch and MXNet name and lay out a model's weights, and the way between that and the canonical form, in NumPy.

Both keep a layer's matrices transposed, (gates * num_hiddens, inputs), in the canonical gate order, and have two bias
vectors where the canonical form of the simple RNN and the LSTM has one: their sum. The sum is exact if one of the two
is zero, and otherwise rounded once in float32.

Whatever would not be exact is refused: a model that travels computes what it computed before. A model of NumPy's, whose
weights are in float64, is rounded, and that is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from d2lrnn.errors import InputError
from d2lrnn.weights import canonical
from d2lrnn.weights.canonical import GATES, Weights, listed

Tensors = Mapping[str, npt.NDArray[Any]]

# A recurrent layer's tensor: which layer, which direction, of the inputs or of the state, weight or bias
_PATTERNS = (
    # PyTorch: lstm.weight_ih_l0_reverse
    re.compile(r"(?P<prefix>(.*[._])?)(?P<what>weight|bias)_(?P<side>ih|hh|hr)_l(?P<layer>\d{1,4})(?P<back>_reverse)?"),
    # Gluon by parameter: rnnmodel0_rnn0_l0_i2h_weight
    re.compile(r"(?P<prefix>(.*[._:])?)(l|(?P<back>r))(?P<layer>\d{1,4})_(?P<side>i2h|h2h|h2r)_(?P<what>weight|bias)"),
    # Gluon by block: rnn._unfused.0.i2h_weight, and bidirectional rnn._unfused.0.r_cell.i2h_weight
    re.compile(
        r"(?P<prefix>(.*\.)?)_unfused\.(?P<layer>\d{1,4})\.((l|(?P<back>r))_cell\.)?"
        r"(?P<side>i2h|h2h|h2r)_(?P<what>weight|bias)"
    ),
)
_MOST_BESIDE_ZERO = 2**20  # the other sizes of an array that is empty
# Models that the book writes from scratch (sections 8.5, 9.1, 9.2): of each canonical matrix, the book's names of its
# gates. Its LSTM calls the candidate c, and its GRU the candidate h.
SCRATCH = {"rnn-scratch": ("h",), "gru-reset-before": ("r", "z", "h"), "lstm": ("i", "f", "c", "o")}


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
            raise InputError(f"the weights may be those of {listed}: say which by kind= (--model)")
        return found[0]
    canonical.check_kind(kind)
    if kind not in (*found, *also):
        what = "leave kind= (--model) out" if len(found) == 1 else "say which of these by kind= (--model)"
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
        result = array.astype(np.float32)
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


def complete(kind: str, weights: Tensors) -> tuple[Weights, tuple[int, int, int, bool]]:
    """Return a model's canonical weights in float32 and in canonical order, and what :func:`canonical.sizes` says.

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
    sizes = canonical.sizes(kind, weights)
    return {name: exact_float32(name, weights[name]) for name in canonical.shapes(kind, *sizes)}, sizes


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
    for scratch in SCRATCH:
        if set(arrays) == {name for names in scratch_names(scratch).values() for name in names}:
            return _from_scratch(arrays, choose_kind(kind, [scratch], ["rnn"] if scratch == "rnn-scratch" else []))
    matches = {name: match for name in arrays if (match := _match(name))}
    rest = {name: value for name, value in arrays.items() if name not in matches}
    flat = [name for name, value in rest.items() if value.ndim == 1 and name.endswith("parameters")]
    if flat and not matches:
        vector = rest.pop(flat[0])
        W_hq, b_q = _output_layer(rest)
        kind, weights = _from_flat_of_any_size(vector, W_hq, kind)
    else:
        kind, weights = _from_layers(arrays, matches, kind)
        W_hq, b_q = _output_layer(rest)
    return kind, complete(kind, weights | {"output.W_hq": W_hq, "output.b_q": b_q})[0]


def _match(name: str) -> tuple[tuple[int, str], tuple[int, bool, str]] | None:
    """Return a recurrent tensor's family, which is its naming and its prefix, and its place there; else None."""
    for number, pattern in enumerate(_PATTERNS):
        if match := pattern.fullmatch(name):
            side = {"ih": "i2h", "hh": "h2h", "hr": "h2r"}.get(match["side"], match["side"])
            return (number, match["prefix"]), (int(match["layer"]), bool(match["back"]), f"{side}_{match['what']}")
    return None


def _from_layers(
    arrays: Tensors, matches: Mapping[str, tuple[tuple[int, str], tuple[int, bool, str]]], kind: str | None
) -> tuple[str, Weights]:
    """Return the kind and the recurrent weights of the tensors that have a place in a recurrent layer."""
    families = sorted({family for family, _ in matches.values()})
    if not families:
        raise InputError(
            f"no recurrent layer of PyTorch or MXNet is among the tensors {listed(arrays)}: its tensors are called "
            "weight_ih_l0, or l0_i2h_weight, after any prefix"
        )
    if len(families) > 1:
        names = " and ".join(repr(prefix) for _, prefix in families)
        raise InputError(f"the tensors are of several recurrent layers, {names}: use one layer with num_layers")
    places: dict[tuple[int, bool, str], npt.NDArray[Any]] = {}
    for name, (_, place) in matches.items():
        if place in places:
            raise InputError(f"two tensors stand for the same weight, one of them {name!r}: remove one")
        if place[2].startswith("h2r"):
            raise InputError(f"{name!r} is the projection of an LSTM, which has no canonical form: use none")
        places[place] = arrays[name]
    num_layers = 1 + max(layer for layer, _, _ in places)
    bidirectional = any(back for _, back, _ in places)
    biases = any(part.endswith("bias") for _, _, part in places)
    parts = ("i2h_weight", "h2h_weight", *(("i2h_bias", "h2h_bias") if biases else ()))
    for layer in range(num_layers):
        for back in (False, True) if bidirectional else (False,):
            for part in parts:
                if (layer, back, part) not in places:
                    direction = " of the reverse direction" if back else ""
                    raise InputError(f"the {part} of layer {layer}{direction} is missing: save the whole model")
    W_hh = places[0, False, "h2h_weight"]
    gates = W_hh.shape[0] // W_hh.shape[1] if W_hh.ndim == 2 and W_hh.shape[1] else 0
    if gates not in GATES.values() or W_hh.shape[0] != gates * W_hh.shape[1]:
        raise InputError(
            f"the h2h_weight of layer 0 has shape {W_hh.shape}: it must have 1, 3 or 4 times as many rows as columns"
        )
    kind = choose_kind(kind, _kinds_with(gates, num_layers, bidirectional))
    weights: Weights = {}
    prefixes = canonical.layer_prefixes(num_layers, bidirectional)
    for layer, directions in enumerate(prefixes):
        for back, prefix in zip((False, True), directions):  # noqa: B905 (one direction or two)
            W_xh, W_hh = (places[layer, back, part] for part in ("i2h_weight", "h2h_weight"))
            zeros = np.zeros(W_xh.shape[:1], np.float32)
            b_h, b_hh = (places.get((layer, back, part), zeros) for part in ("i2h_bias", "h2h_bias"))
            weights |= _canonical_layer(kind, prefix, W_xh, W_hh, b_h, b_hh)
    return kind, weights


def _kinds_with(gates: int, num_layers: int, bidirectional: bool) -> list[str]:
    """Return the kinds that a recurrent layer of PyTorch or MXNet may be, by its number of gates."""
    alone = num_layers == 1 and not bidirectional
    return [
        kind
        for kind, number in GATES.items()
        if number == gates and kind not in canonical.ONLY_IN and (alone or kind != "rnn-scratch")
    ]


def _canonical_layer(
    kind: str,
    prefix: str,
    W_xh: npt.NDArray[Any],
    W_hh: npt.NDArray[Any],
    b_h: npt.NDArray[Any],
    b_hh: npt.NDArray[Any],
) -> Weights:
    """Return one layer's canonical weights in one direction, from the framework's."""
    if b_h.shape != b_hh.shape:
        raise InputError(f"the biases of {prefix[:-1]} have shapes {b_h.shape} and {b_hh.shape}: they must be equal")
    matrices = {prefix + "W_xh": W_xh.T, prefix + "W_hh": W_hh.T}
    biases = {prefix + "b_h": b_h, prefix + "b_hh": b_hh} if kind == "gru" else {prefix + "b_h": b_h + b_hh}
    return {name: np.ascontiguousarray(value) for name, value in (matrices | biases).items()}


def _output_layer(rest: Tensors) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
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


def scratch_parameters() -> list[str]:
    """Return the book's names of the parameters of ``'rnn-scratch'``, in its order."""
    return [name for names in scratch_names("rnn-scratch").values() for name in names]


def _from_scratch(arrays: Tensors, kind: str) -> tuple[str, Weights]:
    names = scratch_names("rnn-scratch" if kind == "rnn" else kind)
    weights = {}
    for name, parts in names.items():
        if len({(arrays[part].shape, arrays[part].ndim) for part in parts}) > 1 or arrays[parts[0]].ndim == 0:
            raise InputError(f"the tensors {listed(parts)} have shapes {[arrays[part].shape for part in parts]}")
        weights[name] = np.concatenate([arrays[part] for part in parts], axis=-1)
    return kind, complete(kind, weights)[0]


def _flat_shapes(kind: str, inputs: int, num_hiddens: int, num_layers: int, bidirectional: bool) -> list[Any]:
    """Return the canonical prefix, the framework's name and the shape of each part of the flat vector, in order."""
    width, directions = GATES[kind] * num_hiddens, 2 if bidirectional else 1
    prefixes = canonical.layer_prefixes(num_layers, bidirectional)
    weights, biases = [], []
    for layer in prefixes:
        for prefix in layer:
            weights += [(prefix, "i2h_weight", (width, inputs)), (prefix, "h2h_weight", (width, num_hiddens))]
            biases += [(prefix, "i2h_bias", (width,)), (prefix, "h2h_bias", (width,))]
        inputs = directions * num_hiddens
    return weights + biases


def _check_flat_kind(kind: str) -> None:
    canonical.check_kind(kind)
    if kind in canonical.ONLY_IN:
        raise InputError(f"MXNet's fused operator cannot compute {kind!r}: its reset gate comes after the product")


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
    _check_flat_kind(kind)
    recurrent = {name: value for name, value in weights.items() if not name.startswith("output.")}
    W_xh, W_hh = (recurrent.get(f"layers.0.{name}", np.zeros(0)) for name in ("W_xh", "W_hh"))
    if W_xh.ndim != 2 or W_hh.ndim != 2:
        raise InputError("the weights have no matrices 'layers.0.W_xh' and 'layers.0.W_hh': give canonical weights")
    num_layers = len({name.split(".")[1] for name in recurrent if name.startswith("layers.")})
    sizes = (len(W_xh), len(W_hh), num_layers, any(name.startswith("layers.0.reverse.") for name in recurrent))
    expected = canonical.shapes(kind, *sizes)
    canonical.check_weights(recurrent, {name: expected[name] for name in expected if not name.startswith("output.")})
    parts = []
    for prefix, name, shape in _flat_shapes(kind, *sizes):
        ours = {"i2h_weight": "W_xh", "h2h_weight": "W_hh", "i2h_bias": "b_h", "h2h_bias": "b_hh"}[name]
        if prefix + ours in recurrent:
            parts.append(exact_float32(prefix + ours, recurrent[prefix + ours]).T.reshape(-1))
        else:
            parts.append(np.zeros(shape, np.float32))
    return np.concatenate(parts)


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
    _check_flat_kind(kind)
    canonical.shapes(kind, vocab_size, num_hiddens, num_layers, bidirectional)  # checks the sizes
    array = exact_float32("parameters", vector)
    layout = _flat_shapes(kind, vocab_size, num_hiddens, num_layers, bidirectional)
    length = sum(int(np.prod(shape)) for _, _, shape in layout)
    if array.shape != (length,):
        raise InputError(f"the vector has shape {array.shape}, and that of such a model {(length,)}: check the sizes")
    found: dict[str, dict[str, npt.NDArray[Any]]] = {}
    begin = 0
    for prefix, name, shape in layout:
        end = begin + int(np.prod(shape))
        found.setdefault(prefix, {})[name] = array[begin:end].reshape(shape)
        begin = end
    weights: Weights = {}
    for prefix, parts in found.items():
        weights |= _canonical_layer(kind, prefix, *parts.values())
    return weights


def _from_flat_of_any_size(vector: npt.NDArray[Any], W_hq: npt.NDArray[Any], kind: str | None) -> tuple[str, Weights]:
    """Return the kind and weights of a vector, if only one number of layers, directions and gates has its length."""
    outputs, vocab_size = W_hq.shape
    ways = []
    for gates in sorted(set(GATES.values()) if kind is None else {GATES[canonical.check_kind(kind)]}):
        for bidirectional in (False, True):
            num_hiddens, odd = divmod(outputs, 2 if bidirectional else 1)
            if odd or not num_hiddens or not vocab_size:
                continue
            layer_width, state_width = gates * num_hiddens * (outputs // num_hiddens), num_hiddens + 2
            first, further = layer_width * (vocab_size + state_width), layer_width * (outputs + state_width)
            layers, remainder = divmod(vector.size - first, further)
            if layers >= 0 and not remainder:
                ways.append((gates, num_hiddens, layers + 1, bidirectional))
    if len(ways) != 1:
        raise InputError(
            f"the vector of {vector.size} numbers can be taken apart in {len(ways)} ways beside an output layer "
            f"of {outputs} inputs and {vocab_size} outputs: take it apart with from_flat, which is told the sizes"
        )
    gates, num_hiddens, num_layers, bidirectional = ways[0]
    kind = choose_kind(kind, _kinds_with(gates, num_layers, bidirectional))
    return kind, from_flat(vector, kind, vocab_size, num_hiddens, num_layers, bidirectional)
