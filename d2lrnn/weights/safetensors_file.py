"""A model's canonical weights as a file ``.safetensors``, which needs no framework; run folders hold such files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from d2lrnn.core.interface import Tensors, Weights, implements
from d2lrnn.errors import InputError
from d2lrnn.weights import recognition
from d2lrnn.weights.exchange import Codec

_MOST_HEADER = 2**22  # of a file of which nothing else is known


def dump_tensors(tensors: Mapping[str, Any], kind: str | None = None) -> bytes:
    """Return arrays as the content of a safetensors file, which says of which kind of model they are."""
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    return bytes(safetensors.numpy.save(arrays, None if kind is None else {"kind": kind}))


def parse_tensors(content: bytes, name: str) -> Weights:
    """Return the arrays of a safetensors file.

    Raises:
        InputError: If it is none.
    """
    length = int.from_bytes(content[:8], "little")
    if 8 + length <= len(content) and length > _MOST_HEADER:
        raise InputError(
            f"{name} is no safetensors file that can be read here: it describes its arrays in {length:,} bytes, and "
            f"{_MOST_HEADER:,} are more than enough"
        )
    try:
        return dict(safetensors.numpy.load(content))
    except Exception as error:  # the library raises errors of many kinds for what is no such file
        raise InputError(f"{name} is no safetensors file that can be read here: {error}") from None


@implements(Codec)
def encode(kind: str, weights: Tensors) -> bytes:
    return dump_tensors(recognition.complete(kind, weights), kind)


@implements(Codec)
def decode(content: bytes, kind: str | None = None) -> tuple[str, Weights]:
    tensors = parse_tensors(content, "the file")
    # The library has checked the header. It tells what the header says of the file only where the file has a path.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return recognition.from_canonical(tensors, header.get("__metadata__", {}).get("kind"), kind)
