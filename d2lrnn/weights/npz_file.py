"""A model's weights as the file ``.npz`` that NumPy's users expect.

What is written is what ``numpy.load`` reads: the canonical weights by their names. A framework's names are read too;
:func:`d2lrnn.weights.recognition.from_tensors` says which.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from d2lrnn.core.interface import Tensors, Weights, implements
from d2lrnn.errors import InputError
from d2lrnn.system import bounded, memory
from d2lrnn.weights import recognition
from d2lrnn.weights.exchange import Codec

__all__ = ["decode", "encode"]

_KIND = "kind"  # the name under which a file says what its model is
# How many times larger than its file a file of weights, which compress little, may say to be; zeros compress well
_RATIO, _SMALL = 4, 2**26


@implements(Codec)
def encode(kind: str, weights: Tensors) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {**recognition.complete(kind, weights), _KIND: np.array(kind)}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@implements(Codec)
def decode(content: bytes, kind: str | None = None) -> tuple[str, Weights]:
    try:
        with bounded.opened_zip(io.BytesIO(content), len(content)) as archive:
            for member in archive.infolist():
                bounded.check_packing(member)
            size = sum(member.file_size for member in archive.infolist())
        if size > _RATIO * len(content) + _SMALL:
            raise InputError(f"the file of {len(content)} bytes says that it holds {size}: it is no file of weights")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except InputError:
        raise
    except Exception as error:  # NumPy and the zip library raise many kinds for files that are not their own
        if memory.is_lack_of_memory(error):
            raise
        raise InputError(
            f"NumPy finds no plain arrays in the file ({type(error).__name__}): write it with numpy.savez, and copy it "
            "completely"
        ) from None
    said = arrays.pop(_KIND, None)
    if "layers.0.W_hh" not in arrays:
        return recognition.from_tensors(arrays, kind)
    return recognition.from_canonical(arrays, None if said is None else str(said), kind)
