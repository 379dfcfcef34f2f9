"""What the first editions need of MXNet (:class:`d2lrnn.editions.first_editions.FirstEditionBackend`)."""

from typing import Any

import numpy
from mxnet import init, np

from d2lrnn.editions.first_editions import Array, first_weights
from d2lrnn.mxnet.concise import RNNModel
from d2lrnn.mxnet.device import try_gpu
from d2lrnn.mxnet.prediction import predict_ch8
from d2lrnn.mxnet.training import grad_clipping as clip_gradients
from d2lrnn.mxnet.training import train_ch8

__all__ = [
    "RNNModel",
    "clip_gradients",
    "initialize",
    "predict_ch8",
    "tensor",
    "train_ch8",
    "try_gpu",
]


def tensor(indices: Array, ctx: Any) -> np.ndarray:
    """Return indices as a tensor on a device."""
    # int32 holds every index exactly; MXNet's default, float32, ends at 16,777,216.
    return np.array(indices, dtype="int32", ctx=ctx)


class _FirstWeights(init.Initializer):
    """Gluon's Normal(0.01), drawn from a generator that is passed in. Biases have an initialiser of their own."""

    def __init__(self, rng: numpy.random.Generator) -> None:
        super().__init__()
        self.rng = rng

    def _init_weight(self, name: str, arr: Any) -> None:
        arr[:] = np.array(first_weights(arr.shape, self.rng), ctx=arr.ctx)


def initialize(model: Any, ctx: Any, rng: numpy.random.Generator) -> None:
    """Give a model new weights, on a device."""
    model.initialize(ctx=ctx, force_reinit=True)
    # Gluon settles shapes at the first input, and would draw what it has put off until then in another order
    model(np.zeros((1, 1), dtype="int32", ctx=ctx), model.begin_state(batch_size=1, ctx=ctx))
    model.initialize(init=_FirstWeights(rng), ctx=ctx, force_reinit=True)
