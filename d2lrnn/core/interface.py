"""The interface of a backend: what programs use so that they need not know which framework they talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy.typing as npt

from d2lrnn.core.history import BOOK_PREFIXES, History
from d2lrnn.core.monitor import Callback
from d2lrnn.data import Vocab, sampling
from d2lrnn.data.sampling import Array as Array
from d2lrnn.data.sampling import Seed

Weights = dict[str, Array]  # by the names and in the layouts of d2lrnn.weights.canonical
Tensors = Mapping[str, Array]  # what weights are given as, and arrays by a framework's names
State = tuple[Array, ...]  # each (layers * directions, batch_size, num_hiddens): (H,), of an LSTM (H, C)
Function = TypeVar("Function", bound=Callable[..., object])


class Backend(Protocol):
    """The module ``d2lrnn.<name>.backend``, which each of the four backends has.

    NumPy's arrays go in and come out; weights and states are those of :mod:`d2lrnn.weights.canonical`. A net is a model
    of :meth:`build_model`, or one of the same classes that a reader has made; a device is what :meth:`get_device`
    returned, in TensorFlow a strategy. To a program both are opaque.
    """

    @property
    def SeqDataLoader(self) -> type[sampling.SeqDataLoader]:
        """The loader of minibatches that yields the framework's tensors."""

    def build_model(
        self,
        kind: str,
        vocab_size: int,
        num_hiddens: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        device: str = "auto",
        seed: Seed = None,
    ) -> tuple[Any, Any]:
        """Return a model whose trained parameters are exactly the canonical ones, and its device.

        Args:
            kind: One of :data:`d2lrnn.weights.canonical.KINDS`.
            vocab_size: Size of the vocabulary.
            num_hiddens: Hidden units in each layer and direction.
            num_layers: Layers.
            bidirectional: Read the sequence from both ends.
            device: A name for ``get_device``.
            seed: Of the first weights: a number, a ``numpy.random.Generator``, or None. The same seed gives the same
                ones in every backend.

        Raises:
            InputError: If the kind or the device is unknown, or a size is not positive.
        """

    def kind_of(self, net: Any) -> str:
        """Return the kind of a net: one of :data:`d2lrnn.weights.canonical.KINDS`.

        Raises:
            InputError: If the canonical weights would not say all of what it computes; the message says why.
        """

    def get_weights(self, net: Any) -> Weights:
        """Return a net's canonical weights, copied.

        Raises:
            InputError: If it has none: those of :meth:`kind_of`.
        """

    def set_weights(self, net: Any, weights: Tensors) -> None:
        """Give a net canonical weights, in place.

        Raises:
            InputError: If a name or a shape is not the net's.
        """

    def num_parameters(self, net: Any) -> int:
        """Return the number of trained parameters."""

    def forward(self, net: Any, X: npt.ArrayLike, state: State | None = None) -> tuple[Array, State]:
        """Run a model over a minibatch.

        Args:
            net: A model.
            X: Array of token indices, shape (batch_size, num_steps).
            state: A canonical state; None for zeros.

        Returns:
            Logits of shape (num_steps * batch_size, vocab_size), time-major, and the new canonical state.
        """

    def loss_and_gradients(
        self, net: Any, X: npt.ArrayLike, Y: npt.ArrayLike, state: State | None = None, *, theta: float | None = None
    ) -> tuple[float, Weights, float]:
        """Return a minibatch's mean loss in nats, the canonical gradients, and their norm before clipping.

        Args:
            net: A model.
            X: Array of token indices, shape (batch_size, num_steps).
            Y: Array of labels, shape (batch_size, num_steps).
            state: A canonical state; None for zeros.
            theta: Clip the gradients at this norm, by ``grad_clipping``; None leaves them as they are.
        """

    # TensorFlow's own function calls the device a strategy, so these are given by position
    def train(
        self,
        net: Any,
        train_iter: Iterable[tuple[Any, Any]],
        vocab: Vocab,
        lr: float,
        num_epochs: int,
        device: Any,
        /,
        use_random_iter: bool = False,
        *,
        theta: float = 1.0,
        valid_iter: Iterable[tuple[Any, Any]] | None = None,
        prefixes: Sequence[str] = BOOK_PREFIXES,
        quiet: bool = False,
        callback: Callback | None = None,
        history: History | None = None,
    ) -> History:
        """Train a model on a device of ``get_device``: ``train_ch8``, whatever the framework."""

    def predict(
        self,
        prefix: str | Sequence[str],
        num_preds: int,
        net: Any,
        vocab: Vocab,
        device: Any,
        *,
        temperature: float | None = None,
        top_k: int | None = None,
        seed: Seed = None,
    ) -> str:
        """Continue a prefix on a device of ``get_device``: ``predict_ch8``, whatever the framework."""

    def get_device(self, name: str = "auto") -> Any:
        """Return a device by name; in TensorFlow it is the strategy that ``train_ch8`` takes.

        Args:
            name: ``'cpu'``, ``'gpu'`` or ``'gpu:1'`` (CUDA's words, ``'cuda'`` and ``'cuda:1'``, will do), in PyTorch
                also ``'mps'``, or ``'auto'`` for what ``try_gpu`` finds.

        Raises:
            InputError: If there is no such device here; the CPU never stands in silently.
        """

    def device_name(self, device: Any, /) -> str:
        """Return the name of a device, as ``get_device`` takes it."""

    def device_names(self) -> list[str]:
        """Return the names of the devices here, as ``get_device`` takes them, the CPU first."""

    def num_threads(self) -> int:
        """Return the number of threads that the framework computes with on the CPU."""

    def set_num_threads(self, n: int) -> None:
        """Compute with n threads from now on.

        A small model on a busy machine is much faster with one (:mod:`d2lrnn.core.threads`). Rounding depends on the
        number. PyTorch and NumPy can change it at any time, TensorFlow until its first operation. MXNet reads it once,
        while it is imported: set the environment variable OMP_NUM_THREADS before that; afterwards only the number in
        use is taken.

        Args:
            n: A whole number of at least 1.

        Raises:
            InputError: If n is none, or the framework cannot change to it any more, or not here.
        """


class Threads(Protocol):
    """The module ``d2lrnn.<name>.threads``: what :mod:`d2lrnn.core.threads` asks of each of the four backends."""

    def num_threads(self) -> int:
        """Return the number of threads in use: :meth:`Backend.num_threads`."""

    def check_num_threads(self, n: int) -> None:
        """Check that the framework can compute with n threads from now on, and change nothing.

        Args:
            n: A whole number of at least 1.

        Raises:
            InputError: If n is none, or the framework cannot change to it any more, or not here.
        """

    def may_choose(self) -> bool:
        """Return whether nobody has set the number, as far as that can be seen, and it can still change."""

    def keep_threads(self) -> Any:
        """Return what ``put_back_threads`` needs to make all as it is now."""

    def put_back_threads(self, kept: Any) -> None:
        """Make the number what it was, where it can still change.

        Args:
            kept: What ``keep_threads`` returned.
        """


def implements(protocol: type) -> Callable[[Function], Function]:
    """Return a decorator for a function of a backend that a protocol describes: it takes over the docstring."""

    def describe(function: Function) -> Function:
        function.__doc__ = getattr(protocol, function.__name__).__doc__
        return function

    return describe
