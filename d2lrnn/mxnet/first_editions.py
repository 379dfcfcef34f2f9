"""What the first editions need of MXNet (:class:`d2lrnn.editions.first_editions.FirstEditionBackend`).

Their MXNet had no NumPy semantics: arrays are those of ``mxnet.nd``, and so are the parameters of Gluon's layers. The
import of this module turns NumPy's semantics off, which that of :mod:`d2lrnn.mxnet` has turned on. Whoever goes on to
the later chapter in the same process calls ``npx.set_np()``.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy
from mxnet import autograd, gluon, init, nd, npx

from d2lrnn.core.book_tools import Timer
from d2lrnn.core.checks import check_losses, check_training
from d2lrnn.core.generation import generate, token_chooser
from d2lrnn.core.history import Epoch, History
from d2lrnn.core.monitor import Callback, Monitor, Snapshot
from d2lrnn.core.scalars import Scalars
from d2lrnn.data import Vocab
from d2lrnn.editions import first_editions
from d2lrnn.editions.first_editions import Array, first_weights
from d2lrnn.errors import InputError

from . import concise
from .device import try_gpu
from .training import parameters, sgd, warn_of_dropout
from .types import Device, Loss, Minibatches, Updater

__all__ = [
    "RNNModel",
    "ScratchModel",
    "clip_gradients",
    "initialize",
    "predict_ch8",
    "sgd",
    "tensor",
    "to_onehot",
    "train_ch8",
    "try_gpu",
]

npx.reset_np()

Tensor: TypeAlias = nd.NDArray
State: TypeAlias = Tensor | Sequence[Tensor]


def check_semantics() -> None:
    """Check that NumPy's semantics are off.

    Raises:
        InputError: If they are on: Gluon's layers then take and return other arrays than these editions have.
    """
    if npx.is_np_array():
        raise InputError(
            "NumPy's semantics are on, and the arrays of the first editions are those of mxnet.nd: call "
            "mxnet.npx.reset_np() (their import did so, and something has called npx.set_np() since), and make the "
            "model anew"
        )


class RNNModel(concise.RNNModel):
    """A language model: one-hot vectors, recurrent layers, and a dense output layer, over arrays of ``mxnet.nd``.

    Args:
        rnn_layer: ``rnn.RNN``, ``rnn.GRU`` or ``rnn.LSTM`` of Gluon, time-major.
        vocab_size: Size of the vocabulary.
    """

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (num_steps * batch_size, vocab_size) and the new state for indices (batch_size, num_steps)."""
        check_semantics()
        X = nd.one_hot(inputs.T, self.vocab_size)  # (num_steps, batch_size, vocab_size)
        Y, state = self.rnn(X, state)  # (num_steps, batch_size, num_directions * num_hiddens)
        # The dense layer takes every step of every sequence as an example
        output = self.dense(Y.reshape((-1, Y.shape[-1])))
        return output, state


def to_onehot(X: Tensor, size: int) -> list[Tensor]:
    """Return the one-hot vectors of each step of a minibatch (the first editions' section on networks from scratch).

    Args:
        X: Indices, shape (batch_size, num_steps), whole numbers of any type.
        size: Size of the vocabulary.

    Returns:
        A list of num_steps tensors, shape (batch_size, size) each.
    """
    return [nd.one_hot(x, size) for x in X.T]


def tensor(indices: Array, ctx: Any) -> Tensor:
    """Return indices as a tensor on a device."""
    # int32 holds every index exactly; MXNet's default, float32, ends at 16,777,216.
    return nd.array(indices, dtype="int32", ctx=ctx)


class _FirstWeights(init.Initializer):
    """Gluon's Normal(0.01), drawn from a generator that is passed in. Biases have an initialiser of their own."""

    def __init__(self, rng: numpy.random.Generator) -> None:
        super().__init__()
        self.rng = rng

    def _init_weight(self, name: str, arr: Any) -> None:
        arr[:] = nd.array(first_weights(arr.shape, self.rng), ctx=arr.ctx)


def initialize(model: Any, ctx: Any, rng: numpy.random.Generator) -> None:
    """Give a model new weights, on a device."""
    check_semantics()
    model.initialize(ctx=ctx, force_reinit=True)
    # Gluon settles shapes at the first input, and would draw what it has put off until then in another order
    model(nd.zeros((1, 1), dtype="int32", ctx=ctx), model.begin_state(batch_size=1, ctx=ctx))
    model.initialize(init=_FirstWeights(rng), ctx=ctx, force_reinit=True)


def clip_gradients(net: Any, theta: float) -> Tensor:
    """Clip the gradients, in place, so that their norm as one vector is at most theta.

    Args:
        net: A model of either kind; parameters without a gradient are skipped.
        theta: The largest norm.

    Returns:
        The norm before clipping, of shape (1,). It is on the device, where reading it would wait for the step.
    """
    grads = [param.grad for param in parameters(net) if param.grad is not None]
    if not grads:
        return nd.zeros(1)
    norm = nd.sqrt(nd.add_n(*[nd.square(grad).sum() for grad in grads]))
    scale = nd.minimum(float(theta) / norm, 1.0)
    for grad in grads:
        grad[:] *= scale
    return norm


def detach(state: Any) -> Any:
    """Return a state without the history of how it was computed, so that gradients stop there."""
    return state.detach() if isinstance(state, nd.NDArray) else [detach(s) for s in state]


def predict_ch8(prefix: str | Sequence[str], num_preds: int, net: Any, vocab: Vocab, device: Device) -> str:
    """Continue a prefix, always by the most probable token, as the later function of this name does."""
    check_semantics()
    state = net.begin_state(batch_size=1, ctx=device)

    def next_logits(index: int) -> Array:
        nonlocal state
        y, state = net(nd.array([[index]], dtype="int32", ctx=device), state)
        logits: Array = y[0].asnumpy()
        return logits

    with autograd.pause(train_mode=False):  # without dropout, wherever this is called
        return generate(prefix, num_preds, vocab, next_logits, token_chooser())


def _scalars() -> Scalars:
    # MXNet queues operations without end, and keeps what they need: those of all but the last minibatches must be done
    return Scalars(
        lambda values: nd.concat(*values, dim=0),
        lambda tensor: tensor.asnumpy(),
        wait=lambda tensor: tensor.wait_to_read(),
    )


def _run_epoch(
    net: Any, train_iter: Minibatches, loss: Loss, updater: Updater, device: Device, use_random_iter: bool, theta: float
) -> Epoch:
    state, timer = None, Timer()
    losses, norms, sizes = _scalars(), _scalars(), []
    for X, Y in train_iter:
        if state is None or use_random_iter:
            # Begin from zeros in the first minibatch, and wherever the minibatch does not continue the one before
            state = net.begin_state(batch_size=X.shape[0], ctx=device)
        else:
            state = detach(state)
        y = Y.T.reshape((-1,))  # (num_steps * batch_size,), time-major as the logits are
        X, y = X.as_in_context(device), y.as_in_context(device)
        with autograd.record():
            y_hat, state = net(X, state)
            l = loss(y_hat, y).mean()
        l.backward()
        norm = clip_gradients(net, theta)
        updater(batch_size=1)  # the loss is a mean already
        losses.append(l.detach())
        norms.append(norm)
        sizes.append(y.size)
    check_losses(losses)
    # No minibatch waits for the device; this does
    npx.waitall()
    loss_values, norm_values = losses.numpy(), norms.numpy()
    return Epoch(loss_values, sizes, timer.stop(), norm_values)


def train_ch8(
    net: Any,
    train_iter: Any,
    vocab: Vocab,
    lr: Any,
    num_epochs: int,
    device: Device,
    use_random_iter: bool,
    *,
    theta: Any,
    quiet: bool,
    callback: Callback,
) -> History:
    """Train a model from the weights that it has, as the later function of this name does."""
    check_semantics()
    check_training(train_iter, use_random_iter, lr=lr, num_epochs=num_epochs, theta=theta, net=net, vocab=vocab)
    warn_of_dropout(net, device)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    if isinstance(net, gluon.Block):
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr})
        updater = lambda batch_size: trainer.step(batch_size)  # noqa: E731 (the book's form)
    else:
        updater = lambda batch_size: sgd(net.params, lr, batch_size)  # noqa: E731 (the book's form)
    snapshot = Snapshot(
        parameters(net),
        copy=lambda param: param.copy(),
        put_back=lambda param, value: value.copyto(param),
        is_finite=lambda param: nd.contrib.isfinite(param).min().asscalar(),
    )
    monitor = Monitor(num_epochs, snapshot, vocab_size=len(vocab), quiet=quiet, callback=callback)
    with monitor:
        for number in monitor.epochs:
            epoch = _run_epoch(net, train_iter, loss, updater, device, use_random_iter, theta)
            monitor.check(epoch)
            monitor.add(number, epoch)
    return monitor.history


class ScratchModel(first_editions.ScratchModel):
    """A reader's functions as one model."""

    def to_onehot(self, X: Tensor, size: int) -> list[Tensor]:
        """Return the one-hot vectors of each step of a minibatch."""
        return to_onehot(X, size)

    def concatenate(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the outputs of all steps as one tensor, one step below the other."""
        return nd.concat(*outputs, dim=0)
