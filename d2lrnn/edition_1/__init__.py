"""Edition 1.0 of the book: ``from d2lrnn.edition_1 import torch as d2l``, or ``mxnet`` or ``tensorflow``.

That edition has classes where the one before had functions: a ``Module`` has its loss and its optimizer, a
``DataModule`` its minibatches, and a ``Trainer`` brings the two together. Here is what its chapters on recurrent
networks call, written over our own data layer and backends. What needs no framework stands in this folder, and each
framework's part in a folder of its own, file for file the same.
"""
