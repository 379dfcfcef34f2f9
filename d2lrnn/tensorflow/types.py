"""The types of this tab, by the same names in every tab.

Not every tab has ``Grads`` (TensorFlow and NumPy, where gradients are no attribute of parameters) and ``Strategy``
(TensorFlow); NumPy's ``Loss`` has its gradient besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

import tensorflow as tf

Tensor: TypeAlias = tf.Tensor
Device: TypeAlias = AbstractContextManager[object]
Strategy: TypeAlias = tf.distribute.Strategy
State: TypeAlias = Sequence[Tensor]
Params: TypeAlias = list[tf.Variable]
Grads: TypeAlias = Sequence[Tensor | None]
Minibatches: TypeAlias = Iterable[tuple[Tensor, Tensor]]

# What a model from scratch is made of
GetParams: TypeAlias = Callable[..., Params]
InitState: TypeAlias = Callable[..., State]
ForwardFn: TypeAlias = Callable[[Tensor, State, Params], tuple[Tensor, State]]
# What trains a model
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Updater: TypeAlias = tf.keras.optimizers.Optimizer | Callable[..., object]
