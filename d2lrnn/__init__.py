"""The recurrent-network chapter of *Dive into Deep Learning*, in PyTorch, MXNet, TensorFlow and NumPy side by side.

Import one backend under the book's name for it and the book's cells run::

    from d2lrnn import torch as d2l  # or mxnet, tensorflow, numpy

Importing :mod:`d2lrnn` itself imports no framework; :mod:`d2lrnn.data` and :mod:`d2lrnn.numpy` need
NumPy only.
"""

__version__ = "0.1.0"
