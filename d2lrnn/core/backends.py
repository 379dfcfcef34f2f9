"""Which backends there are, whether they can work here, and the one place that prepares a framework's import.

Nothing here imports a framework until :func:`require` is asked for one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import sys
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from typing import TYPE_CHECKING, cast

from d2lrnn.core import numpy_for_mxnet
from d2lrnn.errors import BackendNotInstalledError, InputError

if TYPE_CHECKING:
    from d2lrnn.core.interface import Backend
from d2lrnn.system import libraries


@dataclass(frozen=True)
class Framework:
    """A framework that the package teaches.

    Attributes:
        title: Its name as people write it.
        distributions: The names under which pip may have installed it.
        dtype: The type of its models' weights.
        newest: The newest release when this was written, and the newest Python that there is a wheel of it for; None
            if every Python has one.
    """

    title: str
    distributions: tuple[str, ...]
    dtype: str = "float32"
    newest: tuple[str, tuple[int, int]] | None = None


# The name is that of our subpackage, of the framework's own top-level module, and of the extra. NumPy, the last one, is
# always there: d2lrnn itself needs it.
BACKENDS = {
    "torch": Framework("PyTorch", ("torch",), newest=("2.13", (3, 14))),
    "mxnet": Framework("MXNet", ("mxnet", "mxnet-mkl", *(f"mxnet-cu{cuda}" for cuda in (102, *range(110, 118))))),
    "tensorflow": Framework(
        "TensorFlow",
        ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly"),
        newest=("2.21", (3, 13)),
    ),
    "numpy": Framework("NumPy", ("numpy",), "float64"),
}
FRAMEWORKS = {name: backend for name, backend in BACKENDS.items() if name != "numpy"}  # the tabs of the book
# In which order a backend is chosen for who names none: the ones that are looked after come first, the slowest last
PREFERRED = ("torch", "tensorflow", "mxnet", "numpy")


def check_name(name: str) -> str:
    """Return the name of a backend as given.

    Raises:
        InputError: If there is no such backend.
    """
    if name not in BACKENDS:
        raise InputError(f"unknown backend {name!r}: use one of {', '.join(BACKENDS)}")
    return name


def candidates(able: Collection[str] = PREFERRED) -> list[str]:
    """Return those of :data:`PREFERRED` against which nothing is known here; NumPy, which always works, is the last.

    Args:
        able: Those that can do what is wanted.
    """
    return [name for name in PREFERRED if name in able and problem(name) is None]


def install_command(name: str) -> str:
    """Return what to type to install a backend for this Python."""
    more = ""
    if name == "mxnet" and sys.version_info >= (3, 13):
        # Its metadata asks for a NumPy that has no wheel for this Python, and it works with the one that has
        more = " && pip install --no-deps mxnet==1.9.1"
    return f"pip install 'd2lrnn[{name}]'{more} (in a clone: pip install '.[{name}]' -c constraints.txt{more})"


def version(name: str) -> str | None:
    """Return the framework's installed version without importing it, or None."""
    if util.find_spec(check_name(name)) is None:
        return None
    for distribution in BACKENDS[name].distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _no_build(name: str) -> str | None:
    """Say why no wheel of a framework, neither today's nor a later one, is for this machine, or return None."""
    title, system, processor = BACKENDS[name].title, platform.system(), platform.machine()
    if name == "numpy" or (version(name) is not None and (name != "mxnet" or system == "Linux")):
        return None  # somebody has built one
    if name == "mxnet":
        return libraries.no_build_of_mxnet()
    if libraries.is_musl():
        return f"{title} has no build for Linux with musl (Alpine): use one with glibc, such as Debian"
    if system == "Darwin" and processor == "x86_64":
        if name == "torch":
            return f"{title}'s last build for Intel Macs is 2.2, and d2lrnn needs 2.10: use Linux (a container, Colab)"
        if sys.version_info >= (3, 13):
            return f"{title}'s last build for Intel Macs is 2.16, for Python 3.12 at most: use such a Python"
    return None


def problem(name: str) -> str | None:
    """Say why a backend cannot be used here and what to do, or return None if nothing is known against it.

    Nothing is imported to find out.
    """
    backend = BACKENDS[check_name(name)]
    title = backend.title
    if (reason := _no_build(name)) is not None:
        return reason
    if version(name) is None:
        reason = f"{title} is not installed: {install_command(name)}"
        if backend.newest is not None and sys.version_info[:2] > backend.newest[1]:
            release, (major, minor) = backend.newest
            here = ".".join(map(str, sys.version_info[:2]))
            reason += f"; {title} {release} has no build for Python {here}: without a newer one use {major}.{minor}"
        return reason
    if name == "mxnet":
        if sys.version_info >= (3, 12) and util.find_spec("distutils") is None:
            return f"{title} 1.9.1 needs distutils, which Python 3.12 dropped: pip install 'setuptools<80'"
        return libraries.lack_of_mxnet()
    return None


def check_usable(name: str) -> None:
    """Check that nothing is known against a backend here, without importing it.

    Raises:
        InputError: If there is no such backend.
        BackendNotInstalledError: If it is not installed or cannot work here.
    """
    if (reason := problem(name)) is not None:
        raise BackendNotInstalledError(reason)


@contextlib.contextmanager
def _muted_stderr(mute: bool) -> Iterator[None]:
    """Drop what is written to the error stream by compiled code, whose first log lines heed no setting."""
    if not mute:
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as sink:  # noqa: PTH123 (a device, not a path)
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def load_triton_first() -> None:
    """Load Triton before TensorFlow, or never.

    Triton 3.7 comes with PyTorch for CUDA, which imports it at the first optimizer. Where TensorFlow 2.21 has been
    imported before it, the process dies there (a segmentation fault); the other way round both work.
    """
    if "triton" in sys.modules or util.find_spec("triton") is None or util.find_spec("tensorflow") is None:
        return
    if "tensorflow" in sys.modules:
        sys.modules["triton"] = None  # type: ignore[assignment]  # so that PyTorch takes it for missing
        return
    with contextlib.suppress(ImportError, OSError):
        importlib.import_module("triton")


def require(name: str) -> None:
    """Import a framework, so that the import statements after this find it ready.

    Raises:
        BackendNotInstalledError: If it is not installed or cannot work here; the message says what to do.
    """
    check_usable(name)
    if name == "mxnet":
        numpy_for_mxnet.prepare()
    if name in ("torch", "tensorflow"):
        load_triton_first()
    if name == "tensorflow":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no word on CPU instructions and missing CUDA libraries
    try:
        with warnings.catch_warnings(), _muted_stderr(name == "tensorflow" and name not in sys.modules):
            # MXNet touches what NumPy and distutils have deprecated, and TensorFlow what protobuf has.
            warnings.simplefilter("ignore", DeprecationWarning)
            importlib.import_module(name)
    except (ImportError, OSError, AttributeError) as error:
        title = BACKENDS[name].title
        needs, own = (libraries.of_mxnet(), ()) if name == "mxnet" else ((), libraries.CUDA)
        if (lacks := libraries.what_an_import_lacks(title, error, needs, own)) is not None:
            raise BackendNotInstalledError(lacks) from error
        raise BackendNotInstalledError(
            f"{title} is installed but cannot be imported ({error}): "
            f"try again in a new environment, {install_command(name)}"
        ) from error


def find_device(backend: str, name: str, there: list[str]) -> str:
    """Return a device's name as a backend's ``device_names`` has it.

    Args:
        backend: Whose device.
        name: As ``get_device`` takes it: CUDA's words for a GPU are understood too, and ``'auto'`` is the first
            device that is not the CPU, if there is one.
        there: What ``device_names`` returned, the CPU first.

    Raises:
        InputError: If there is no such device.
    """
    if name == "auto":
        return there[:2][-1]
    kind, colon, number = name.partition(":")
    full = f"gpu:{number if colon else 0}" if kind in ("gpu", "cuda") else name
    if full not in there:
        title = BACKENDS[backend].title
        raise InputError(f"no device {name!r} for {title} here: use one of {', '.join(there)}, or auto")
    return full


def load(name: str) -> Backend:
    """Import a backend, and return what programs use of it: the module ``d2lrnn.<name>.backend``.

    Raises:
        InputError: If there is no such backend.
        BackendNotInstalledError: If it is not installed or cannot work here.
    """
    return cast("Backend", importlib.import_module(f"d2lrnn.{check_name(name)}.backend"))
