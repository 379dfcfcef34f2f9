"""Arrays as the content of a safetensors file, and back; and a model's weights as such a file, which is our own.

Each module of a file's format has the functions :func:`encode` and :func:`decode`, with these arguments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from d2lrnn.errors import InputError
from d2lrnn.weights import layouts
from d2lrnn.weights.canonical import Weights
from d2lrnn.weights.maps import Tensors

MOST_TENSORS_HEADER = 2**22  # of a file of which nothing else is known


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
    if 8 + length <= len(content) and length > MOST_TENSORS_HEADER:
        raise InputError(
            f"{name} is no safetensors file that can be read here: it describes its arrays in {length:,} bytes, and "
            f"{MOST_TENSORS_HEADER:,} are more than enough"
        )
    try:
        return dict(safetensors.numpy.load(content))
    except Exception as error:  # the library raises errors of many kinds for what is no such file
        raise InputError(f"{name} is no safetensors file that can be read here: {error}") from None


def encode(kind: str, weights: Tensors) -> bytes:
    """Return the content of a safetensors file: the canonical weights by their names.

    Args:
        kind: One of :data:`d2lrnn.weights.canonical.KINDS`.
        weights: Canonical weights.

    Raises:
        InputError: If the weights are not those of such a model.
    """
    return dump_tensors(layouts.complete(kind, weights)[0], kind)


def decode(content: bytes, kind: str | None = None) -> tuple[str, Weights]:
    """Return the kind and the canonical weights of a model, from the content of a safetensors file.

    Args:
        content: The bytes of the file.
        kind: The kind of the model, where the file cannot tell.

    Raises:
        InputError: If it is no such file, is damaged, or holds no canonical weights.
    """
    tensors = parse_tensors(content, "the file")
    # The library has checked the header. It tells what the header says of the file only where the file has a path.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return layouts.from_canonical(tensors, header.get("__metadata__", {}).get("kind"), kind)
