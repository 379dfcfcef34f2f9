"""Makes ``import mxnet`` work before ``d2lrnn.mxnet`` is imported: the book's notebooks import them in that order.

MXNet 1.9.1 asks NumPy for names that it has no longer, and a cell whose first line is ``import mxnet`` gives d2lrnn no
chance to help. So where d2lrnn is installed this file stands beside the package, as the module
``_d2lrnn_mxnet_first``, and ``d2lrnn.pth`` lets Python import it when it starts. At that time the current folder is not
on Python's path yet: to import d2lrnn here would bind the installed package, and whoever works in a clone would see
none of their changes. So it costs no more than the few lines below, and does nothing until somebody asks for MXNet.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


class BeforeMXNet:
    """A finder of modules that finds MXNet, and no other."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """Make way for who lets MXNet find in NumPy what it asks for, when MXNet is about to be imported."""
        if name != "mxnet" or cls not in sys.meta_path:
            return None
        from importlib.machinery import PathFinder

        if PathFinder.find_spec(name) is None:
            return None
        sys.meta_path.remove(cls)
        try:
            from d2lrnn.core.numpy_for_mxnet import prepare
        except ImportError:  # without NumPy MXNet fails by itself, and says why
            return None
        return prepare().find_spec(name)


sys.meta_path.insert(0, BeforeMXNet)
