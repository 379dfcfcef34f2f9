"""The types of this tab, by the same names in every tab.

Not every tab has ``Grads`` (TensorFlow and NumPy, where gradients are no attribute of parameters) and ``Strategy``
(TensorFlow); NumPy's ``Loss`` has its gradient besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from mxnet import context, np

Tensor: TypeAlias = np.ndarray
Device: TypeAlias = context.Context
State: TypeAlias = Tensor | Sequence[Tensor]
Params: TypeAlias = list[Tensor]
Minibatches: TypeAlias = Iterable[tuple[Tensor, Tensor]]

# What a model from scratch is made of
GetParams: TypeAlias = Callable[..., Params]
InitState: TypeAlias = Callable[..., State]
ForwardFn: TypeAlias = Callable[[Tensor, State, Params], tuple[Tensor, State]]
# What trains a model
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Updater: TypeAlias = Callable[..., object]
