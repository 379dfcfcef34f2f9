"""Makes ``import mxnet`` work before ``d2lrnn.mxnet`` is imported: the book's notebooks import them in that order.

MXNet 1.9.1 cannot be imported where NumPy has no ``numpy.bool``, and a cell whose first line is ``import mxnet`` gives
d2lrnn no chance to help. So where d2lrnn is installed this file stands beside the package, as the module
``_d2lrnn_mxnet_first``, and ``d2lrnn.pth`` lets Python import it when it starts. At that time the current folder is not
on Python's path yet: to import d2lrnn here would bind the installed package, and whoever works in a clone would see
none of their changes. So it costs no more than the few lines below, and does nothing until somebody asks for MXNet.
"""

import sys


class BeforeMXNet:
    """A finder of modules that finds none."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:
        """Supply what MXNet misses in NumPy when MXNet is about to be imported, and leave the search to the others."""
        if name != "mxnet" or cls not in sys.meta_path:
            return
        from importlib.machinery import PathFinder

        if PathFinder.find_spec(name) is None:
            return
        sys.meta_path.remove(cls)
        try:
            from d2lrnn.backends import supply_numpy_bool
        except ImportError:  # without NumPy MXNet fails by itself, and says why
            return
        supply_numpy_bool()


sys.meta_path.insert(0, BeforeMXNet)
