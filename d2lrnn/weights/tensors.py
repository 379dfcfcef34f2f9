"""Arrays as the content of a safetensors file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from d2lrnn.errors import InputError
from d2lrnn.weights.canonical import Weights

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
