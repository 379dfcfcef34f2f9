"""Makes ``import mxnet`` work before ``d2lrnn.mxnet`` is imported: the book's notebooks import them in that order.

MXNet 1.9.1 cannot be imported where NumPy has no ``numpy.bool``, and a cell whose first line is ``import mxnet`` gives
d2lrnn no chance to help. So Python imports this module when it starts (by ``d2lrnn.pth``, beside the package). It
costs no more than the few lines below, and does nothing until somebody asks for MXNet.
"""

import sys
from importlib.machinery import PathFinder


class BeforeMXNet:
    """A finder of modules that finds none."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:
        """Supply what MXNet misses in NumPy when MXNet is about to be imported, and leave the search to the others."""
        if name != "mxnet" or cls not in sys.meta_path or PathFinder.find_spec(name) is None:
            return
        sys.meta_path.remove(cls)
        try:
            from d2lrnn.backends import supply_numpy_bool
        except ImportError:  # without NumPy MXNet fails by itself, and says why
            return
        supply_numpy_bool()


sys.meta_path.insert(0, BeforeMXNet)
