"""The recurrent-network chapter of *Dive into Deep Learning*, three frameworks side by side.

Import one backend under the book's name for it and the book's cells run::

    from d2lrnn import torch as d2l  # or mxnet, or tensorflow

Importing :mod:`d2lrnn` itself imports no framework; :mod:`d2lrnn.data` and :mod:`d2lrnn.reference` need
NumPy only.
"""

__version__ = "0.1.0"
