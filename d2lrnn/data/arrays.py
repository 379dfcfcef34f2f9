"""Numbers, and any framework's tensors, as arrays of NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(values: Any) -> Any:
    """Return numbers, or any framework's tensor on any device, as a NumPy array."""
    if hasattr(values, "asnumpy"):
        values = values.asnumpy()
    elif hasattr(values, "detach"):
        values = values.detach().cpu()  # (a tensor of TensorFlow's has this one too, and logs that it is deprecated)
    return np.asarray(values)
