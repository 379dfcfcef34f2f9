"""The recurrent-network chapter of *Dive into Deep Learning*, in PyTorch, MXNet, TensorFlow and NumPy side by side.

Import one backend under the book's name for it and the book's cells run::

    from d2lrnn import torch as d2l  # or mxnet, tensorflow, numpy

Importing :mod:`d2lrnn` itself imports no framework; :mod:`d2lrnn.data` and :mod:`d2lrnn.numpy` need
NumPy only.
"""

__version__ = "0.1.0"

# What lessons of earlier versions import from here
_MOVED = {
    "backends": "d2lrnn.core.backends",
    "canonical": "d2lrnn.weights.canonical",
    "figures": "d2lrnn.lessons.figures",
    "reference": "d2lrnn.comparison.reference",
    "run": "d2lrnn.runs",
}


def __getattr__(name: str) -> object:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return import_module(_MOVED[name])
