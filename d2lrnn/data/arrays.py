"""Numbers, and any framework's tensors, as arrays of NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(values: Any) -> Any:
    """Return numbers, or any framework's tensor on any device, as a NumPy array."""
    for method in ("detach", "cpu", "asnumpy"):
        if hasattr(values, method):
            values = getattr(values, method)()
    return np.asarray(values)
