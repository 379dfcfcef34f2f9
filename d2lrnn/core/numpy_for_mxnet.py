"""NumPy as MXNet 1.9.1 knows it, for MXNet alone.

MXNet's last release was written for NumPy 1.16, and asks NumPy for names that are gone: ``bool`` since NumPy 1.24, and
some twenty more since NumPy 2. To put them back into NumPy would change it for everybody in the process. So MXNet's own
modules get another module when they ``import numpy``: one with all that NumPy has, and what it had. NumPy itself, and
what everybody else sees of it, stay as they are.

MXNet hands numbers to its compiled part as text, too, and NumPy 2 writes a number in a tuple as ``np.int64(3)``. The
modules that write get a ``str`` that writes 3.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import machinery
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np


def _gone(name: str) -> Callable[..., Any]:
    """Return a function of finance, which has not worked since NumPy 1.20: MXNet wants it to be there."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"NumPy has had no {name} since version 1.20: use the package numpy-financial")

    fail.__name__ = name
    return fail


# Functions of their own, and no other names for NumPy's: MXNet keeps its own function for each of NumPy's, and two of
# its functions cannot stand for one.
def _alltrue(*args: Any, **kwargs: Any) -> Any:
    return np.all(*args, **kwargs)


def _sometrue(*args: Any, **kwargs: Any) -> Any:
    return np.any(*args, **kwargs)


def _product(*args: Any, **kwargs: Any) -> Any:
    return np.prod(*args, **kwargs)


def _round(*args: Any, **kwargs: Any) -> Any:
    return np.round(*args, **kwargs)


def _trapz(*args: Any, **kwargs: Any) -> Any:
    return np.trapezoid(*args, **kwargs)  # type: ignore[attr-defined,unused-ignore]  # NumPy 2 has it


def _msort(a: Any) -> Any:
    return np.sort(a, axis=0)


def _in1d(ar1: Any, ar2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    return np.isin(np.ravel(ar1), ar2, assume_unique=assume_unique, invert=invert)


# What NumPy had when MXNet was written, as far as MXNet asks for it. Where NumPy still has the name, its own is taken.
_HAD = {
    "PZERO": 0.0,
    "NZERO": -0.0,
    "PINF": np.inf,
    "NINF": -np.inf,
    "Inf": np.inf,
    "NaN": np.nan,
    "NAN": np.nan,
    "int": int,
    "alltrue": _alltrue,
    "sometrue": _sometrue,
    "product": _product,
    "round_": _round,
    "trapz": _trapz,
    "msort": _msort,
    "in1d": _in1d,
    **{name: _gone(name) for name in ("mirr", "npv", "pmt", "ppmt", "pv", "rate")},
    "compat": SimpleNamespace(basestring=str),
}


_IS_NUMPY_2 = np.lib.NumpyVersion(np.__version__) >= "2.0.0"


def _make() -> ModuleType:
    module = ModuleType("numpy", np.__doc__)
    # NumPy's own function for names that come when they are asked for, such as its testing, comes along
    vars(module).update(vars(np))
    vars(module).update({name: had for name, had in _HAD.items() if name not in vars(np)})
    if _IS_NUMPY_2:
        from numpy.lib.array_utils import (  # type: ignore[import-not-found,unused-ignore]  # NumPy 2 has it
            normalize_axis_tuple,
        )

        module.core = SimpleNamespace(numeric=SimpleNamespace(normalize_axis_tuple=normalize_axis_tuple))  # type: ignore[attr-defined]
    # NumPy 2 has another type under this name, and NumPy 1.24 to 1.26 have none
    module.bool = bool  # type: ignore[attr-defined]
    return module


def _plain(value: Any) -> Any:
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


class _Text(type):
    """Makes :class:`_text` do what MXNet does with ``str``: call it, and ask whether something is one."""

    def __call__(cls, value: object = "") -> str:
        return str(_plain(value) if type(value) in (tuple, list) else value)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, str)


class _text(metaclass=_Text):
    """``str``, which writes NumPy's numbers in tuples and lists as Python's."""


# The modules that hand numbers to the compiled part
_WRITERS = {"mxnet._ctypes.ndarray", "mxnet._ctypes.symbol", "mxnet.symbol.symbol"}


class _Loader(machinery.SourceFileLoader):
    """Loads a module whose import statements get :func:`_make`'s module for NumPy."""

    def exec_module(self, module: ModuleType) -> None:
        own: dict[str, Any] = {"__import__": _import}
        if _IS_NUMPY_2 and module.__name__ in _WRITERS:
            own["str"] = _text
        vars(module)["__builtins__"] = {**vars(builtins), **own}
        super().exec_module(module)


class _Finder:
    """Finds MXNet's modules, and no others."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> machinery.ModuleSpec | None:
        if name.partition(".")[0] != "mxnet":
            return None
        spec = machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


_MADE: list[ModuleType] = []


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] = (),
    level: int = 0,
) -> ModuleType:
    module = builtins.__import__(name, globals, locals, fromlist, level)
    if module is not np:
        return module
    if not _MADE:
        _MADE.append(_make())
    return _MADE[0]


def prepare() -> type[_Finder]:
    """Have MXNet's modules, which nobody has imported yet, find in NumPy what they ask for; return who finds them."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    if "mxnet" not in sys.modules:
        # Of an import that failed, for want of this, some modules stay behind
        for name in [name for name in sys.modules if name.startswith("mxnet.")]:
            del sys.modules[name]
    return _Finder
