"""The weights of edition 1.0's language models by the names of :mod:`d2lrnn.weights.canonical`, without a framework.

A model over a framework's layer is known by the layer. One from scratch is known by the names of its parameters, as in
a file of them: ``W_xi`` and so on of an LSTM, ``rnns.0.W_xh`` of a network of layers, ``f_rnn.W_xh`` and ``b_rnn.W_xh``
of one of both directions. What the classes of a reader's own cells make of these, nobody can tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from d2lrnn.core.interface import Tensors, Weights
from d2lrnn.errors import InputError
from d2lrnn.weights.canonical import listed
from d2lrnn.weights.maps import SCRATCH, scratch_names

T = TypeVar("T")
Places = list[tuple[str, list[str]]]  # of each canonical weight, the parameters that are its parts, side by side

_OUTPUT = ("W_hq", "b_q")
# What a module knows besides what it consists of
_NO_PARTS = ("hparams", "trainer", "board")


def members(module: Any, is_module: Callable[[Any], bool]) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield what a module consists of, and what the modules in it consist of, in lists and dicts too.

    Args:
        module: A module.
        is_module: Tells whether something is one.

    Returns:
        Of each member its path, such as ``rnns.0.W_xh``; what holds it, a module's ``__dict__``, a list or a dict; its
        name or number there; and the member.
    """
    holders: list[tuple[str, Any]] = [("", vars(module))]
    seen = {id(module)}
    while holders:
        path, holder = holders.pop(0)
        for name, value in enumerate(holder) if isinstance(holder, list) else list(holder.items()):
            # (Gluon keeps the layers of nn.Sequential there alone)
            own = name == "_children" or not isinstance(name, str) or not (name.startswith("_") or name in _NO_PARTS)
            if not own:
                continue
            place = path if name == "_children" else f"{path}{name}"
            yield place, holder, name, value
            inner = vars(value) if is_module(value) else value
            if isinstance(inner, (dict, list)) and id(value) not in seen:
                seen.add(id(value))
                holders.append((place if name == "_children" else f"{place}.", inner))


def scratch_places(names: Iterable[str]) -> tuple[str, Places]:
    """Return the kind of a model from scratch, and where each of its canonical weights is.

    Args:
        names: The paths of all its parameters.

    Raises:
        InputError: If they are those of no such model.
    """
    own = [name for name in names if name not in _OUTPUT]
    output: Places = [("output.W_hq", ["W_hq"]), ("output.b_q", ["b_q"])]
    places = dict.fromkeys(name.rpartition(".")[0] for name in own)
    if len(places) == 1:
        prefix = "".join(f"{place}." if place else "" for place in places)
        for kind in SCRATCH:
            recurrent = [
                (name, [prefix + part for part in parts])
                for name, parts in scratch_names(kind).items()
                if not name.startswith("output.")
            ]
            if {part for _, parts in recurrent for part in parts} == set(own):
                return kind, recurrent + output
    recurrent = []
    for place in places:
        layer, direction = re.search(r"(?:^|\.)rnns\.(\d+)$", place), re.search(r"(?:^|\.)([fb])_rnn$", place)
        prefix = f"layers.{layer[1] if layer else 0}.{'reverse.' if direction and direction[1] == 'b' else ''}"
        recurrent += [(prefix + part, [f"{place}.{part}"]) for part in ("W_xh", "W_hh", "b_h")]
    if not own or {part for _, parts in recurrent for part in parts} != set(own):
        raise InputError(
            f"the parameters {listed(own) or 'none'} are those of no model from scratch of the book's: they are called "
            "W_xh, W_hh and b_h, or those of an LSTM or a GRU, with W_hq and b_q"
        )
    return "rnn", recurrent + output


def join(places: Places, arrays: Tensors) -> Weights:
    """Return canonical weights, of the parameters of a model from scratch by their paths."""
    return {name: np.concatenate([arrays[part] for part in parts], axis=-1) for name, parts in places}


def part(places: Places, weights: Tensors) -> Weights:
    """Return the parameters of a model from scratch by their paths, of canonical weights."""
    return {
        path: value
        for name, parts in places
        for path, value in zip(parts, np.split(weights[name], len(parts), axis=-1), strict=True)
    }


def check_output(params: Mapping[str, Any], model: Any) -> None:
    """Check that a model has the output layer from scratch.

    Raises:
        InputError: If it has not.
    """
    if lacking := [name for name in _OUTPUT if name not in params]:
        raise InputError(
            f"the weights of {type(model).__name__} have no canonical form, for it has no {listed(lacking)}: use "
            "RNNLMScratch over a network from scratch, and RNNLM over the framework's layers"
        )


def check_all(model: Any, count: int, found: int) -> None:
    """Check that all parameters of a model are those of its recurrent layers and its output layer.

    Raises:
        InputError: If there are others.
    """
    if count != found:
        raise InputError(
            f"the weights of {type(model).__name__} have no canonical form: it has {count} parameters, and its "
            f"recurrent layers and its output layer have {found}"
        )


def framework_layer(model: Any) -> Any:
    """Return the framework's recurrent layer, or layers, over which a model is; None if it is from scratch."""
    if hasattr(model, "rnn") and hasattr(model, "linear"):
        return getattr(model.rnn, "rnn", None)
    return None


def no_layer(model: Any) -> InputError:
    """Return the error for a model that is over none of the framework's layers."""
    return InputError(
        f"{type(model).__name__} is over none of the framework's recurrent layers: make an RNNLM over one"
    )


def without_prefix(params: Mapping[str, T]) -> dict[str, T]:
    """Return the parameters of a language model without the name ``rnn`` that its recurrent network has in it."""
    return {name.removeprefix("rnn."): param for name, param in params.items()}
