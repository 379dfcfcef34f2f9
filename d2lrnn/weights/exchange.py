"""Weights that travel between frameworks: files that each one's users expect, read into the canonical form and back.

The ending of a file's name says what it is:

- ``.pt``, ``.pth``: PyTorch's, a ``state_dict``; needs PyTorch.
- ``.params``: MXNet's, as ``save_parameters`` writes it; needs no MXNet.
- ``.keras``: a Keras model of standard layers over one-hot vectors; needs TensorFlow.
- ``.npz``: NumPy's, as ``numpy.savez`` writes it, with the canonical names.
- ``.safetensors``: the canonical weights by their names (:mod:`d2lrnn.weights.canonical`); needs no framework.

Nothing is rounded on the way, but for the sum of two biases where neither is zero (:mod:`d2lrnn.weights.maps`), and
for weights of NumPy's, in float64, which a warning says. What would compute something else on the other side is refused
with the reason.
"""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from d2lrnn.core.interface import Tensors, Weights
from d2lrnn.errors import InputError, InputFileError
from d2lrnn.system import bounded, memory
from d2lrnn.system.storage import write_atomically
from d2lrnn.weights import canonical


class Codec(Protocol):
    """The module that writes and reads one kind of file."""

    def encode(self, kind: str, weights: Tensors) -> bytes:
        """Return the content of a file: a model's weights.

        Args:
            kind: One of :data:`d2lrnn.weights.canonical.KINDS`.
            weights: Canonical weights.

        Raises:
            InputError: If the weights are not those of such a model, or such a file cannot hold it.
        """

    def decode(self, content: bytes, kind: str | None = None) -> tuple[str, Weights]:
        """Return the kind and the canonical weights, in float32, of the model in a file; nothing in it is run.

        Args:
            content: The bytes of the file.
            kind: The kind of the model, where the file cannot tell.

        Raises:
            InputError: If it is no such file, is damaged, holds something that has no canonical form, cannot tell its
                kind, or is not of the given kind.
        """


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        backend: The backend whose file it is, or ``'canonical'``.
        module: Where its :class:`Codec` is.
        begins: A regular expression of how such a file begins.
    """

    backend: str
    module: str
    begins: bytes

    def load(self) -> Codec:
        """Return what writes and reads it.

        Raises:
            BackendNotInstalledError: If it needs a framework that is not installed.
        """
        return cast("Codec", importlib.import_module(f"d2lrnn.{self.module}"))


_ZIP = rb"PK\x03\x04"
_TORCH = Format("torch", "torch.files", _ZIP + rb"|\x80")  # before PyTorch 1.6 a pickle
FORMATS = {
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".params": Format("mxnet", "weights.params_file", rb"\x12\x01\0{14}"),
    ".keras": Format("tensorflow", "tensorflow.files", _ZIP),
    ".npz": Format("numpy", "weights.npz_file", _ZIP),
    # The length of a header that is no longer than need be, and the header, which is JSON
    ".safetensors": Format("canonical", "weights.safetensors_file", rb"..[\0-\x40]\0{5}\{"),
}
_LARGE = 2**26  # bytes; a smaller file is read whatever it is


def _format(path: Path) -> Format:
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"{str(path)!r} has no ending that says what it is: use one of {', '.join(FORMATS)}")
    return FORMATS[ending]


def read_file(path: str | Path, kind: str | None = None) -> tuple[str, Weights]:
    """Return the kind and the canonical weights, in float32, of a model in a file; nothing in it is run.

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
    codec = form.load()
    try:
        with memory.explained(f"the weights in {str(path)!r}", "read it on a machine that has more"):
            kind, weights = codec.decode(content, kind)
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from None
    return kind, weights


def _content(path: Path, form: Format) -> bytes:
    """Return the bytes of a file; a large one must begin as such a file does, and fit into memory some times over.

    Raises:
        InputError: If it does not begin so.
        NotEnoughMemoryError: If it is too large.
        OSError: If it cannot be read.
    """
    with bounded.opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _LARGE:
            if not re.match(form.begins, file.read(16), re.DOTALL):
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
    codec = _format(path).load()
    try:
        if path.is_dir():
            raise InputError(f"cannot write {str(path)!r}: it is a folder; give the path of a file in it")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot write {str(path)!r} ({error}): give another path") from None
    write_atomically(path, codec.encode(kind, weights))
