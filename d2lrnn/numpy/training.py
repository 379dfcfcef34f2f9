"""Clipping, and training for an epoch and for many (book sections 8.5.5 and 8.5.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from d2lrnn.core.book_tools import Timer
from d2lrnn.core.checks import check_losses, check_training
from d2lrnn.core.history import BOOK_NUM_PREDS, BOOK_PREFIXES, Epoch, History, perplexity
from d2lrnn.core.monitor import Callback, Monitor, Snapshot
from d2lrnn.data import Vocab

from . import nn
from .prediction import Net, predict_ch8
from .types import Device, Grads, Loss, Minibatches, Params, Tensor, Updater


def parameters(net: Net) -> Params:
    """Return the trained parameters of a model of either kind, as a list of tensors."""
    return list(net.params)


def size(a: Tensor) -> int:
    """Return the number of elements of a tensor."""
    return np.size(a)


def sgd(params: Params, grads: Grads, lr: float, batch_size: int) -> None:
    """Take a step of minibatch stochastic gradient descent, in place (book section 3.2).

    Args:
        params: Tensors; one without a gradient (None) is left as it is.
        grads: Their gradients.
        lr: Learning rate.
        batch_size: Divides the gradients: 1 where the loss is a mean already.
    """
    for param, grad in zip(params, grads, strict=True):
        if grad is not None:
            param -= lr * grad / batch_size


def grad_clipping(net: Net, theta: float) -> Tensor:
    """Clip the gradients, in place, so that their norm as one vector is at most theta (book section 8.5.5).

    Args:
        net: A model of either kind; parameters without a gradient are skipped.
        theta: The largest norm.

    Returns:
        The norm before clipping.
    """
    grads = [grad for grad in net.grads if grad is not None]
    norm = np.sqrt(sum(np.sum(grad**2) for grad in grads))
    if norm > theta:
        for grad in grads:
            grad *= theta / norm
    return norm


def evaluate_loss(
    net: Callable[[Tensor], Tensor], data_iter: Minibatches, loss: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """Return the mean loss of a model over a dataset of features and labels (book section 4.4)."""
    total: Tensor | float = 0.0
    count = 0
    for X, y in data_iter:
        out = net(X)
        l = loss(out, y.reshape(out.shape))
        total, count = total + np.sum(l), count + np.size(l)
    return float(total) / count


def evaluate_perplexity(net: Net, data_iter: Minibatches, device: Device) -> float:
    """Return the perplexity of a model over sequential minibatches, such as a loader's ``valid_iter``.

    Args:
        net: A model of either kind.
        data_iter: Minibatches ``(X, Y)``, each continuing the one before.
        device: Where the model is.
    """
    loss = nn.CrossEntropyLoss()
    state, total, count = None, 0.0, 0
    for X, Y in data_iter:
        if state is None:
            state = net.begin_state(batch_size=X.shape[0], device=device)
        y_hat, state = net(X, state)
        total, count = total + loss(y_hat, Y.T.reshape(-1)) * Y.size, count + Y.size
    return perplexity(float(total) / count)


def snapshot(params: Params) -> Snapshot:
    """Return what keeps the values of parameters, for a training that diverges."""
    return Snapshot(
        params,
        copy=np.copy,
        put_back=np.copyto,
        is_finite=lambda param: np.isfinite(param).all(),
    )


def _run_epoch(
    net: Net, train_iter: Minibatches, loss: Loss, updater: Updater, device: Device, use_random_iter: bool, theta: float
) -> Epoch:
    state, timer = None, Timer()
    losses, norms, sizes = [], [], []
    for X, Y in train_iter:
        if state is None or use_random_iter:
            # Begin from zeros in the first minibatch, and wherever the minibatch does not continue the one before.
            # A state from the step before is a constant: nothing goes back through it.
            state = net.begin_state(batch_size=X.shape[0], device=device)
        y = Y.T.reshape(-1)  # (num_steps * batch_size,), time-major as the logits are
        y_hat, state = net(X, state)
        l = loss(y_hat, y)
        net.backward(loss.backward())
        norm = grad_clipping(net, theta)
        updater(batch_size=1)  # the loss is a mean already
        losses.append(l)
        norms.append(norm)
        sizes.append(size(y))
    check_losses(losses)
    return Epoch(np.array(losses), sizes, timer.stop(), np.array(norms))


def train_epoch_ch8(
    net: Net,
    train_iter: Minibatches,
    loss: Loss,
    updater: Updater,
    device: Device,
    use_random_iter: bool,
    *,
    theta: float = 1.0,
) -> tuple[float, float]:
    """Train a model for one epoch.

    Args:
        net: A model of either kind.
        train_iter: Minibatches ``(X, Y)`` of indices (batch_size, num_steps).
        loss: A function of logits and labels such as ``nn.CrossEntropyLoss``: its ``backward()`` returns the
            gradient of the logits.
        updater: A function of ``batch_size`` that updates the parameters by ``net.grads``.
        device: Where the model is.
        use_random_iter: Begin every minibatch from a state of zeros, as random sampling needs.
        theta: Radius of gradient clipping.

    Returns:
        The perplexity, and the speed in tokens per second.

    Raises:
        InputError: If the iterator samples randomly and use_random_iter is False.
    """
    check_training(train_iter, use_random_iter, theta=theta)
    epoch = _run_epoch(net, train_iter, loss, updater, device, use_random_iter, theta)
    return epoch.perplexity, epoch.tokens_per_second


def train_ch8(
    net: Net,
    train_iter: Minibatches,
    vocab: Vocab,
    lr: float,
    num_epochs: int,
    device: Device,
    use_random_iter: bool = False,
    *,
    theta: float = 1.0,
    valid_iter: Minibatches | None = None,
    prefixes: Sequence[str] = BOOK_PREFIXES,
    quiet: bool = False,
    callback: Callback | None = None,
    history: History | None = None,
) -> History:
    """Train a model, show how it goes, and let it continue the prefixes (book section 8.5.6).

    Args:
        net: A model of either kind; it is trained in place, from the weights that it has.
        train_iter: Minibatches ``(X, Y)`` of indices (batch_size, num_steps).
        vocab: Their vocabulary.
        lr: Learning rate of stochastic gradient descent.
        num_epochs: Passes over ``train_iter``.
        device: Where the model is.
        use_random_iter: Whether ``train_iter`` samples randomly.
        theta: Radius of gradient clipping.
        valid_iter: Held-out minibatches to evaluate after every epoch.
        prefixes: What to continue at the end.
        quiet: Show and print nothing.
        callback: Called after each epoch with its number and its :class:`~d2lrnn.core.history.Epoch`; training ends if
            it returns True.
        history: What an earlier training of this net returned. Epochs are numbered from where it ends.

    Returns:
        The :class:`~d2lrnn.core.history.History`, with the earlier one at its beginning.

    Raises:
        InputError: If an argument cannot be used, or the iterator samples randomly and use_random_iter is False.
        DivergenceError: If the loss or a weight becomes NaN or infinite, or the loss stays far worse than that of
            guessing (:data:`d2lrnn.core.monitor.ABSURD`); the net then has the weights from before it did.
    """
    check_training(train_iter, use_random_iter, lr=lr, num_epochs=num_epochs, theta=theta, net=net, vocab=vocab)
    loss = nn.CrossEntropyLoss()
    params = parameters(net)
    updater = lambda batch_size: sgd(params, net.grads, lr, batch_size)  # noqa: E731 (the book's form)
    monitor = Monitor(
        num_epochs, snapshot(params), vocab_size=len(vocab), history=history, quiet=quiet, callback=callback
    )
    with monitor, np.errstate(over="ignore", invalid="ignore"):  # what diverges is told once, and in words
        for number in monitor.epochs:
            epoch = _run_epoch(net, train_iter, loss, updater, device, use_random_iter, theta)
            monitor.check(epoch)
            valid = evaluate_perplexity(net, valid_iter, device) if valid_iter is not None else None
            monitor.add(number, epoch, valid_perplexity=valid)
    return monitor.report(device, lambda prefix: predict_ch8(prefix, BOOK_NUM_PREDS, net, vocab, device), prefixes)
