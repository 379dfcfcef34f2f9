"""The types of this tab, by the same names in every tab.

Not every tab has ``Grads`` (TensorFlow and NumPy, where gradients are no attribute of parameters) and ``Strategy``
(TensorFlow); NumPy's ``Loss`` has its gradient besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

Tensor: TypeAlias = npt.NDArray[Any]
Device: TypeAlias = str
State: TypeAlias = Tensor | tuple[Tensor, ...]
Params: TypeAlias = list[Tensor]
Grads: TypeAlias = Sequence[Tensor | None]
Minibatches: TypeAlias = Iterable[tuple[Tensor, Tensor]]

# What a model from scratch is made of
GetParams: TypeAlias = Callable[..., Params]
InitState: TypeAlias = Callable[..., State]
ForwardFn: TypeAlias = Callable[[Tensor, State, Params], tuple[Tensor, State]]
# What trains a model
Updater: TypeAlias = Callable[..., object]


class Loss(Protocol):
    """A function of logits and labels that tells the gradient of the logits of its last call."""

    def __call__(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Return the loss."""

    def backward(self) -> Tensor:
        """Return the gradient."""
