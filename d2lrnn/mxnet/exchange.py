"""A model's weights as the file that the framework's users expect, for :mod:`d2lrnn.weights.exchange`.

Each backend has these functions with these arguments. Weights are those of :mod:`d2lrnn.weights.canonical`.
"""

import tempfile
from pathlib import Path

from mxnet import npx

from d2lrnn.errors import InputError
from d2lrnn.mxnet import backend
from d2lrnn.weights import layouts, ndarray_list

__all__ = ["decode", "encode"]

# Gluon looks for one digit in its parameters' names
_MAX_LAYERS = 10


def encode(kind, weights):
    """Return the content of a file that ``load_parameters`` reads: the parameters of a model of ``build_model``.

    The names are ``rnn._unfused.0.i2h_weight`` and so on, ``dense.weight`` and ``dense.bias``, and for
    ``'rnn-scratch'`` those of the book's parameters, ``W_xh``, ``W_hh``, ``b_h``, ``W_hq``, ``b_q``, which
    ``npx.load`` reads.

    Args:
        kind: One of :data:`d2lrnn.weights.canonical.KINDS`.
        weights: Canonical weights.

    Raises:
        InputError: If the weights are not those of such a model, or the framework has no layer that computes it.
    """
    weights, (*sizes, bidirectional) = layouts.complete(kind, weights)
    if sizes[2] > _MAX_LAYERS:
        raise InputError(f"MXNet's save_parameters knows no more than {_MAX_LAYERS} layers: these are {sizes[2]}")
    net, _ = backend.build_model(kind, *sizes, bidirectional=bidirectional, device="cpu", seed=0)
    backend.set_weights(net, weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.params"
        if kind == "rnn-scratch":
            npx.save(str(path), dict(zip(layouts.scratch_parameters(), net.params, strict=True)))
        else:
            net.save_parameters(str(path))
        return path.read_bytes()


def decode(content, kind=None):
    """Return the kind and the canonical weights of a model, from the content of a file of ``save_parameters``.

    The file holds named arrays, see :func:`d2lrnn.weights.layouts.from_tensors` for which. It is read by
    :mod:`d2lrnn.weights.ndarray_list`, and so it is where MXNet is not installed.

    Args:
        content: The bytes of the file.
        kind: The kind of the model, where the file cannot tell.

    Raises:
        InputError: If it is no such file, is damaged, or its model has no canonical form.
    """
    return layouts.from_tensors(ndarray_list.parse(content), kind)
