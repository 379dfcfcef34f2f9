"""A scalar of each minibatch, collected on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


class Scalars:
    """Collects a scalar of each minibatch, on the device.

    Every few are put together into one tensor. A tensor for each of them until the epoch ends would leave memory in
    pieces: gigabytes in a long epoch.

    Args:
        stack: The backend's function that makes one tensor of a list of scalars.
        to_numpy: Waits for such a tensor, and returns it as an array.
        wait: Called with each tensor when the next one is made, where a backend must be kept from running ahead.
    """

    _TOGETHER = 16

    def __init__(
        self,
        stack: Callable[[list[Any]], Any],
        to_numpy: Callable[[Any], npt.NDArray[Any]],
        wait: Callable[[Any], object] = lambda tensor: None,
    ) -> None:
        self._stack, self._to_numpy, self._wait = stack, to_numpy, wait
        self._last: list[Any] = []
        self._before: list[Any] = []

    def __len__(self) -> int:
        return len(self._before) * self._TOGETHER + len(self._last)

    def append(self, value: Any) -> None:
        """Add the scalar of another minibatch."""
        self._last.append(value)
        if len(self._last) == self._TOGETHER:
            if self._before:
                self._wait(self._before[-1])
            self._before.append(self._stack(self._last))
            self._last = []

    def numpy(self) -> npt.NDArray[Any]:
        """Wait for the device, and return all of them, which must be one at least."""
        tensors = self._before + ([self._stack(self._last)] if self._last else [])
        return np.concatenate([self._to_numpy(tensor) for tensor in tensors])
