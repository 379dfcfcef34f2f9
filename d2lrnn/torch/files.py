"""A model's weights as the file ``.pt`` that PyTorch's users expect.

What is written is what ``torch.load`` reads: the ``state_dict`` of a model of ``build_model``. The names are
``rnn.weight_ih_l0`` and so on, ``linear.weight`` and ``linear.bias``, and for ``'rnn-scratch'`` those of the book's
parameters, ``W_xh``, ``W_hh``, ``b_h``, ``W_hq``, ``b_q``. A ``state_dict`` is a dict of tensors;
:func:`d2lrnn.weights.recognition.from_tensors` says which names are read.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
import zipfile
from typing import Any

import numpy as np
import torch

from d2lrnn.core.interface import Array, Tensors, Weights, implements
from d2lrnn.errors import InputError
from d2lrnn.system import bounded, memory
from d2lrnn.weights import maps, recognition
from d2lrnn.weights.exchange import Codec

__all__ = ["decode", "encode"]


@implements(Codec)
def encode(kind: str, weights: Tensors) -> bytes:
    arrays = maps.TORCH.to_framework(kind, recognition.complete(kind, weights))
    tensors = {name: torch.tensor(np.ascontiguousarray(value)) for name, value in arrays.items()}
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


@implements(Codec)
def decode(content: bytes, kind: str | None = None) -> tuple[str, Weights]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old forms, which are read all the same
            tensors = torch.load(_checked(content), map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # PyTorch raises many kinds for files that are not its own
        if memory.is_lack_of_memory(error):
            raise
        raise InputError(
            f"PyTorch finds no plain tensors in the file ({type(error).__name__}): "
            "save net.state_dict() with torch.save, and copy the file completely"
        ) from None
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors):
        raise InputError(f"the file holds a {type(tensors).__name__}, no dict of tensors: save net.state_dict()")
    arrays = {name: _array(name, value, len(content)) for name, value in tensors.items()}
    if sum(array.nbytes for array in arrays.values()) > 2 * len(content):  # bfloat16 has grown
        raise InputError("the tensors have more numbers than the file: save copies of them, made by clone()")
    return recognition.from_tensors(arrays, kind)


def _checked(content: bytes) -> io.BytesIO:
    """Return a file of ``torch.save`` to read, in which nothing takes more memory than it takes in the file.

    PyTorch unpacks what is compressed, whatever it becomes, and calls what a pickle names, with the sizes that it says.

    Raises:
        InputError: If something does.
    """
    if not content.startswith(b"PK"):
        file = io.BytesIO(content)
        for _ in range(_OLD_PICKLES):
            _check_pickle(file)
        file.seek(0)
        return file
    # Written anew, for another program may find other files in the same archive
    made = io.BytesIO()
    with bounded.opened_zip(io.BytesIO(content), len(content)) as archive, zipfile.ZipFile(made, "w") as copy:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise InputError("parts of the file are compressed, and torch.save compresses nothing: save it again")
        if sum(member.file_size for member in members) > len(content):
            raise InputError("the parts of the file have more bytes than the file: it is damaged")
        for member in members:
            part = bounded.unpack(archive, member, len(content))
            if member.filename.rpartition("/")[2] == "data.pkl":
                _check_pickle(io.BytesIO(part))
            copy.writestr(member.filename, part)
    made.seek(0)
    return made


# What a pickle of tensors may call with the sizes that stand in it: what only looks at a storage. (Parameters and other
# tensors are met by a message of their own.)
_CALLED = re.compile(
    r"collections OrderedDict|torch Size|torch device|torch\._utils _rebuild_(tensor(_v2)?|parameter|sparse_tensor)|"
    r"torch\.serialization _get_layout|torch(\.storage)? \w+Storage|torch (u?int|float|bfloat|complex)\w+|torch bool"
)
_MOST_PICKLE = 2**24  # bytes, which is more than 50,000 tensors
_OLD_PICKLES = 5  # with which a file of before PyTorch 1.6 begins; after them come the numbers


def _check_pickle(file: io.BytesIO) -> None:
    """Check what the pickle at a place in a file calls, before it does, and leave the file after it.

    Raises:
        InputError: If it is too long, or calls something that could take memory.
        Exception: Of many kinds, if it is no pickle.
    """
    for opcode, argument, position in pickletools.genops(file):
        if (position or 0) > _MOST_PICKLE:
            raise InputError(f"the description of the tensors has more than {_MOST_PICKLE:,} bytes: it is damaged")
        if opcode.name == "GLOBAL" and not _CALLED.fullmatch(str(argument)):
            raise InputError(
                f"PyTorch finds no plain tensors in the file, but {str(argument).replace(' ', '.')}: save "
                "net.state_dict() with torch.save"
            )


def _array(name: str, tensor: Any, size: int) -> Array:
    """Return a tensor as an array; ``size`` is that of the file."""
    if not isinstance(tensor, torch.Tensor):
        raise InputError(f"{name!r} of the file is a {type(tensor).__name__}, no tensor: save net.state_dict() alone")
    if tensor.layout != torch.strided or not tensor.is_floating_point() or tensor.is_meta:
        raise InputError(f"weight {name!r} is {tensor.dtype}, {tensor.layout}: it must be dense, of floating point")
    # A view may repeat a few stored numbers over any shape
    if tensor.numel() * tensor.element_size() > size:
        raise InputError(f"weight {name!r} has more numbers than the file: save a copy of it, made by clone()")
    # NumPy has no bfloat16; float32 holds all its numbers
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
