"""A model's weights as MXNet's file ``.params``, which is read and written with NumPy alone.

MXNet is retired and has no build for some machines, but its files are still there, and the programs that read them. The
file holds named arrays, as ``save_parameters``, ``nd.save`` and ``npx.save`` write them; little-endian, one after the
other:

- a list: uint64 0x112, uint64 0, uint64 count, the arrays; uint64 count, the names, each as uint64 length and UTF-8;
- an array: uint32 magic number of its version; version 2 and 3: int32 storage type, 0 for dense; the shape as int32
  number of dimensions and int64 each; int32 device type and int32 device number; int32 number type; the numbers.

Version 1 has no storage type. Before it there was no magic number: the number of dimensions and each of them are
uint32. Version 3 is that of MXNet's NumPy mode. All four are read; of the number types, the floating-point ones.

What is written is what ``load_parameters`` reads into a model of ``build_model``, byte for byte as ``save_parameters``
of MXNet 1.9.1 writes it. The names are ``rnn._unfused.0.i2h_weight`` and so on, ``dense.weight`` and ``dense.bias``;
for ``'rnn-scratch'`` those of the book's parameters, ``W_xh``, ``W_hh``, ``b_h``, ``W_hq``, ``b_q``, which ``npx.load``
reads. :func:`d2lrnn.weights.recognition.from_tensors` says which names are read.
"""

from __future__ import annotations

import struct
from math import prod

import numpy as np

from d2lrnn.core.interface import Array, Tensors, Weights, implements
from d2lrnn.errors import InputError
from d2lrnn.weights import canonical, maps, recognition
from d2lrnn.weights.exchange import Codec

__all__ = ["decode", "encode"]

# Gluon looks for one digit in its parameters' names
_MAX_LAYERS = 10
_LIST = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_CPU = (1, 0)  # the device's type and number
_MAX_DIMENSIONS = 32  # as in NumPy 1
_MOST_NUMBERS = 2**48
_FLOATS = {0: "<f4", 1: "<f8", 2: "<f2"}
_OTHERS = {3: "uint8", 4: "int32", 5: "int8", 6: "int64", 7: "bool", 8: "int16", 12: "bfloat16"}


class _Reader:
    """A position in the content of a file that is never left, whatever the content says."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    @property
    def remaining(self) -> int:
        return len(self.content) - self.position

    def take(self, size: int) -> bytes:
        if size > self.remaining:
            raise InputError("the file ends too early: copy it again, or save it again with MXNet")
        self.position += size
        return self.content[self.position - size : self.position]

    def numbers(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))

    def count(self, of: str, size: int) -> int:
        """Read how many of something follow, each of which takes at least ``size`` bytes."""
        (count,) = self.numbers("Q")
        if count > self.remaining // size:
            raise InputError(f"the file says that {count} {of} follow, and ends before: it is damaged")
        return count


def _shape(reader: _Reader) -> tuple[int, ...]:
    (magic,) = reader.numbers("I")
    if magic in (_V2, _V3):
        (storage,) = reader.numbers("i")
        if storage != 0:
            raise InputError(f"an array of the file is sparse (storage type {storage}): save dense arrays")
    if magic in (_V1, _V2, _V3):
        (ndim,), dimension = reader.numbers("i"), "q"
    else:
        ndim, dimension = magic, "I"
    if not 0 <= ndim <= _MAX_DIMENSIONS:
        raise InputError(f"an array of the file has {ndim} dimensions: it is damaged, or none of MXNet's")
    shape = reader.numbers(f"{ndim}{dimension}")
    if any(size < 0 for size in shape):
        raise InputError(f"an array of the file has shape {shape}: it is damaged")
    # One of no numbers may say any sizes beside its zero, and NumPy cannot hold them all
    if 0 in shape and prod(size or 1 for size in shape) > _MOST_NUMBERS:
        raise InputError(f"an array of the file has shape {shape}, more than there can be: it is damaged")
    if magic != _V3 and ndim == 0:
        raise InputError("an array of the file has no shape: save the parameters after the first forward pass")
    return shape


def _array(reader: _Reader) -> Array:
    shape = _shape(reader)
    _, _, number_type = reader.numbers("iii")
    if number_type not in _FLOATS:
        name = _OTHERS.get(number_type, f"of type {number_type}")
        raise InputError(f"an array of the file is {name}: weights must be float32, float64 or float16")
    dtype = np.dtype(_FLOATS[number_type])
    # Python's integers do not overflow, and nothing is allocated before the bytes are known to be there
    numbers = reader.take(prod(shape) * dtype.itemsize)
    return np.frombuffer(numbers, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def parse(content: bytes) -> Weights:
    """Return the arrays of a file by name.

    Args:
        content: The bytes of the file.

    Raises:
        InputError: If it is no such file, is damaged, has no names, or holds something else than dense
            floating-point arrays.
    """
    reader = _Reader(content)
    if len(content) < 24 or reader.numbers("QQ") != (_LIST, 0):
        raise InputError("this is no file of MXNet's arrays: save it with save_parameters, nd.save or npx.save")
    arrays = [_array(reader) for _ in range(reader.count("arrays", 8))]
    names = []
    for _ in range(reader.count("names", 8)):
        try:
            names.append(reader.take(reader.count("bytes", 1)).decode())
        except UnicodeDecodeError:
            raise InputError("a name in the file is no text: it is damaged") from None
    if reader.remaining:
        raise InputError(f"{reader.remaining} bytes follow the end of the file's list: it is damaged")
    if not names and arrays:
        raise InputError("the file's arrays have no names: save a dict of arrays")
    if len(set(names)) != len(names) or len(names) != len(arrays):
        raise InputError(f"the file has {len(arrays)} arrays and {len(set(names))} names: it is damaged")
    return dict(zip(names, arrays, strict=True))


def dump(arrays: Tensors) -> bytes:
    """Return the content of a file of named arrays, byte for byte as MXNet 1.9.1 writes it in its NumPy mode.

    Args:
        arrays: Arrays of float32, float64 or float16 by name.
    """
    parts = [struct.pack("<QQQ", _LIST, 0, len(arrays))]
    for array in arrays.values():
        dtype = array.dtype.newbyteorder("<")
        number_type = {name: number for number, name in _FLOATS.items()}[dtype.str]
        shape = struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
        parts += [struct.pack("<Ii", _V3, 0), shape, struct.pack("<iii", *_CPU, number_type)]
        parts.append(array.astype(dtype).tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        encoded = name.encode()
        parts += [struct.pack("<Q", len(encoded)), encoded]
    return b"".join(parts)


@implements(Codec)
def encode(kind: str, weights: Tensors) -> bytes:
    weights = recognition.complete(kind, weights)
    num_layers, _ = canonical.depth(weights)
    if num_layers > _MAX_LAYERS:
        raise InputError(f"MXNet's save_parameters knows no more than {_MAX_LAYERS} layers: these are {num_layers}")
    return dump(maps.MXNET_FILE.to_framework(kind, weights))


@implements(Codec)
def decode(content: bytes, kind: str | None = None) -> tuple[str, Weights]:
    return recognition.from_tensors(parse(content), kind)
