"""Which kind of model a net of a framework is, by its layers and how these were made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from d2lrnn.errors import InputError
from d2lrnn.weights.canonical import check_able, check_kind

Layers = Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]]  # of each kind, the layer and its own options


def check_layer(backend: str, layers: Layers, kind: str, num_layers: int, bidirectional: bool) -> None:
    """Check that a framework has a layer of a kind.

    Args:
        backend: The framework's backend.
        layers: Of each kind, the class of its layer, and the options that make it this kind.
        kind: The kind.
        num_layers: Layers.
        bidirectional: Read the sequence from both ends.

    Raises:
        InputError: If the kind is unknown or cannot have these layers, or the framework has no layer that computes it.
    """
    check_kind(kind, num_layers, bidirectional)
    check_able(backend, kind)
    if kind not in layers:
        raise InputError(f"no layer of the framework is {kind!r}: use one of {', '.join(layers)}")


def no_canonical_form(net: Any) -> InputError:
    """Return the error for a net that is no model of ours."""
    return InputError(f"the weights of {type(net).__name__} have no canonical form: use a model of build_model's kinds")


def _option(layer: Any, option: str) -> Any:
    return getattr(layer, option, None)


def kind_of_layer(
    layer: Any,
    layers: Layers,
    plain: Mapping[str, Any],
    option_of: Callable[[Any, str], Any] = _option,
    class_of: Callable[[Any], type[Any]] = type,
) -> str:
    """Return the kind that a framework's recurrent layer computes.

    Args:
        layer: The layer.
        layers: Of each kind, the class of its layer, and the options that make it this kind.
        plain: The options that a layer must have for its canonical weights to say all of what it computes.
        option_of: Returns an option of a layer by its name; None if it has no such option.
        class_of: Returns the class of a layer, as ``layers`` has it.

    Raises:
        InputError: If no canonical weights say all of what it computes; the message says why.
    """
    name = type(layer).__name__
    for kind, (layer_class, options) in layers.items():
        # A subclass may compute something else
        if class_of(layer) is not layer_class:
            continue
        if all(option_of(layer, option) == value for option, value in options.items()):
            for option, value in {**plain, **options}.items():
                if (given := option_of(layer, option)) not in (value, None):
                    raise InputError(
                        f"the weights of {name} with {option}={given!r} have no canonical form: "
                        f"make the layer with {option}={value!r}"
                    )
            return kind
    activation = option_of(layer, "activation")
    how = f" with activation={activation!r}" if isinstance(activation, str) else ""
    raise InputError(f"the weights of {name}{how} have no canonical form: use a layer of recurrent_layer's kinds")
