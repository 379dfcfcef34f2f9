"""A model's weights as MXNet's file ``.params``, without MXNet.

Each module of a file's format has these functions with these arguments. Weights are those of
:mod:`d2lrnn.weights.canonical`.
"""

from __future__ import annotations

from d2lrnn.errors import InputError
from d2lrnn.weights import layouts, maps, ndarray_list
from d2lrnn.weights.canonical import Weights
from d2lrnn.weights.maps import Tensors

__all__ = ["decode", "encode"]

# Gluon looks for one digit in its parameters' names
_MAX_LAYERS = 10


def encode(kind: str, weights: Tensors) -> bytes:
    """Return the content of a file that ``load_parameters`` reads: the parameters of a model of ``build_model``.

    It is byte for byte what ``save_parameters`` of MXNet 1.9.1 writes. The names are ``rnn._unfused.0.i2h_weight`` and
    so on, ``dense.weight`` and ``dense.bias``, and for ``'rnn-scratch'`` those of the book's parameters, ``W_xh``,
    ``W_hh``, ``b_h``, ``W_hq``, ``b_q``, which ``npx.load`` reads.

    Args:
        kind: One of :data:`d2lrnn.weights.canonical.KINDS`.
        weights: Canonical weights.

    Raises:
        InputError: If the weights are not those of such a model, or the framework has no layer that computes it.
    """
    weights, (_, _, num_layers, _) = layouts.complete(kind, weights)
    if num_layers > _MAX_LAYERS:
        raise InputError(f"MXNet's save_parameters knows no more than {_MAX_LAYERS} layers: these are {num_layers}")
    return ndarray_list.dump(maps.MXNET_FILE.to_framework(kind, weights))


def decode(content: bytes, kind: str | None = None) -> tuple[str, Weights]:
    """Return the kind and the canonical weights of a model, from the content of a file of ``save_parameters``.

    The file holds named arrays, see :func:`d2lrnn.weights.layouts.from_tensors` for which.

    Args:
        content: The bytes of the file.
        kind: The kind of the model, where the file cannot tell.

    Raises:
        InputError: If it is no such file, is damaged, or its model has no canonical form.
    """
    return layouts.from_tensors(ndarray_list.parse(content), kind)
