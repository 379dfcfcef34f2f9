"""The interface of a backend: what programs use so that they need not know which framework they talk to."""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from d2lrnn.core.history import History
from d2lrnn.data import SeqDataLoader, Vocab

Array = npt.NDArray[Any]
Weights = dict[str, Array]  # by the names and in the layouts of d2lrnn.weights.canonical
State = tuple[Array, ...]  # each (layers * directions, batch_size, num_hiddens): (H,), of an LSTM (H, C)


class Backend(Protocol):
    """The module ``d2lrnn.<name>.backend``, which each of the four backends has.

    NumPy's arrays go in and come out. A net is a model of :meth:`build_model`, or one of the same classes that a reader
    has made; a device is what :meth:`get_device` returned, in TensorFlow a strategy. To a program both are opaque.
    """

    SeqDataLoader: type[SeqDataLoader]

    def build_model(
        self,
        kind: str,
        vocab_size: int,
        num_hiddens: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        device: str = "auto",
        seed: int | None = None,
    ) -> tuple[Any, Any]:
        """Return a net whose trained parameters are exactly the canonical ones, and its device."""

    def kind_of(self, net: Any) -> str:
        """Return the kind of a net, one of :data:`d2lrnn.weights.canonical.KINDS`."""

    def get_weights(self, net: Any) -> Weights:
        """Return a net's weights, copied."""

    def set_weights(self, net: Any, weights: Weights) -> None:
        """Give a net weights, in place."""

    def num_parameters(self, net: Any) -> int:
        """Return the number of trained parameters."""

    def forward(self, net: Any, X: npt.ArrayLike, state: State | None = None) -> tuple[Array, State]:
        """Run a net over a minibatch (batch_size, num_steps).

        Returns:
            Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new state.
        """

    def loss_and_gradients(
        self, net: Any, X: npt.ArrayLike, Y: npt.ArrayLike, state: State | None = None, *, theta: float | None = None
    ) -> tuple[float, Weights, float]:
        """Return a minibatch's mean loss in nats, the gradients by the weights' names, and their norm unclipped."""

    def train(
        self,
        net: Any,
        train_iter: Any,
        vocab: Vocab,
        lr: float,
        num_epochs: int,
        device: Any,
        use_random_iter: bool = False,
        **options: Any,
    ) -> History:
        """Train a net: ``train_ch8``."""

    def predict(self, prefix: str, num_preds: int, net: Any, vocab: Vocab, device: Any, **options: Any) -> str:
        """Continue a prefix: ``predict_ch8``."""

    def get_device(self, name: str = "auto") -> Any:
        """Return a device by name."""

    def device_name(self, device: Any) -> str:
        """Return the name of a device, as :meth:`get_device` takes it."""

    def device_names(self) -> list[str]:
        """Return the names of the devices here, the CPU first."""

    def num_threads(self) -> int:
        """Return with how many threads the CPU computes."""

    def set_num_threads(self, n: int) -> None:
        """Compute with so many threads."""
