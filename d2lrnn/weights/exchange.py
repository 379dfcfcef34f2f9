"""Weights that travel between frameworks: files that each one's users expect, read into the canonical form and back.

The ending of a file's name says what it is:

- ``.pt``, ``.pth``: PyTorch's, a ``state_dict``; needs PyTorch.
- ``.params``: MXNet's, as ``save_parameters`` writes it; needs no MXNet.
- ``.keras``: a Keras model of standard layers over one-hot vectors; needs TensorFlow.
- ``.npz``: NumPy's, as ``numpy.savez`` writes it, with the canonical names.
- ``.safetensors``: the canonical weights by their names (:mod:`d2lrnn.weights.canonical`); needs no framework.

Nothing is rounded on the way, but for the sum of two biases where neither is zero (:mod:`d2lrnn.weights.layouts`), and
for weights of NumPy's, in float64, which a warning says. What would compute something else on the other side is refused
with the reason.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from d2lrnn.errors import InputError, InputFileError
from d2lrnn.system import bounded, memory
from d2lrnn.system.storage import write_atomically
from d2lrnn.weights import canonical, layouts, ndarray_list
from d2lrnn.weights.canonical import Weights
from d2lrnn.weights.maps import Tensors
from d2lrnn.weights.tensors import MOST_TENSORS_HEADER

# The format of each ending: the backend whose file it is, or our own
FORMATS = {".pt": "torch", ".pth": "torch", ".params": "mxnet", ".keras": "tensorflow", ".npz": "numpy",
           ".safetensors": "canonical"}  # fmt: skip


def _format(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"{str(path)!r} has no ending that says what it is: use one of {', '.join(FORMATS)}")
    return FORMATS[ending]


def format_of(name: str) -> Any:
    """Return the module with ``encode`` and ``decode`` of the format of a backend, or of our own (``'canonical'``).

    Raises:
        BackendNotInstalledError: If it needs a framework that is not installed.
    """
    own = {"canonical": "tensors", "mxnet": "params", "numpy": "npz"}
    return importlib.import_module(f"d2lrnn.weights.{own[name]}" if name in own else f"d2lrnn.{name}.files")


def read_file(path: str | Path, kind: str | None = None) -> tuple[str, Weights]:
    """Return the kind and the canonical weights, in float32, of a model in a file.

    Nothing that stands in a file is run.

    Args:
        path: The file; its ending says what it is.
        kind: The kind of the model. It is needed where the file cannot tell: in a file of PyTorch's or MXNet's, a
            simple RNN is ``'rnn'`` (tanh) or ``'rnn-relu'``, or with one layer ``'rnn-scratch'``.

    Raises:
        InputFileError: If the file is not there or cannot be read.
        InputError: If it is no such file, is damaged, holds something that has no canonical form, cannot tell its
            kind, or is not of the given kind.
        NotEnoughMemoryError: If the weights do not fit into memory.
        BackendNotInstalledError: If the framework that it needs is not installed.
    """
    path = Path(path)
    form = _format(path)
    if kind is not None:
        canonical.check_kind(kind)
    try:
        # A device or a pipe may never end
        if not path.is_file():
            what = "is no file" if path.exists() else "does not exist"
            raise InputFileError(f"{str(path)!r} {what}: give the path of a file of weights")
        content = _content(path, form)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputFileError(f"cannot read {str(path)!r} ({reason}): give a file of weights") from None
    decode = format_of(form).decode
    try:
        with memory.explained(f"the weights in {str(path)!r}", "read it on a machine that has more"):
            kind, weights = decode(content, kind)
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from None
    return kind, weights


# How a file of each format begins: as a zip archive, or one of PyTorch's old ones as a pickle
_BEGINNINGS = {
    "torch": (b"PK\x03\x04", b"\x80"),
    "mxnet": (ndarray_list.BEGINNING,),
    "tensorflow": (b"PK\x03\x04",),
    "numpy": (b"PK\x03\x04",),
}
_LARGE = 2**26  # bytes; a smaller file is read whatever it is


def _content(path: Path, form: str) -> bytes:
    """Return the bytes of a file; a large one must begin as such a file does, and fit into memory some times over.

    Raises:
        InputError: If it does not begin so.
        NotEnoughMemoryError: If it is too large.
        OSError: If it cannot be read.
    """
    with bounded.opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _LARGE:
            begins = file.read(16)
            known = _BEGINNINGS.get(form)
            if known is None:  # safetensors
                right = int.from_bytes(begins[:8], "little") <= MOST_TENSORS_HEADER and begins[8:9] == b"{"
            else:
                right = begins.startswith(known)
            if not right:
                raise InputError(
                    f"{str(path)!r} does not begin as a {path.suffix} file does: it is damaged, or another kind of file"
                )
            # The file, its arrays, and these in our own layout
            memory.check(3 * size, f"to read {str(path)!r}", "read it on a machine that has more")
    return bounded.read_file(path, max(size, _LARGE), "when it was opened it had at most")


def write_file(path: str | Path, kind: str, weights: Tensors) -> None:
    """Write a model's canonical weights as the file that a framework's users expect.

    A crash at any moment leaves the file that was there before, or the new one.

    Args:
        path: The file; its ending says what it becomes. A file that is there is replaced.
        kind: The kind of the model.
        weights: Canonical weights; in float32, or exact in it.

    Raises:
        InputError: If the weights are not those of such a model, the framework has no layer that computes it, or
            the path is that of a folder, or in none.
        StorageError: If the file cannot be written.
        BackendNotInstalledError: If the framework that it needs is not installed.
    """
    path = Path(path)
    form = _format(path)
    complete, _ = layouts.complete(kind, weights)
    encode = format_of(form).encode
    try:
        if path.is_dir():
            raise InputError(f"cannot write {str(path)!r}: it is a folder; give the path of a file in it")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot write {str(path)!r} ({error}): give another path") from None
    write_atomically(path, encode(kind, complete))
