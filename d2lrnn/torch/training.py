"""Clipping, and training for an epoch and for many (book sections 8.5.5 and 8.5.6)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from d2lrnn.core.book_tools import Timer
from d2lrnn.core.checks import check_losses, check_training
from d2lrnn.core.history import BOOK_NUM_PREDS, BOOK_PREFIXES, Epoch, History, perplexity
from d2lrnn.core.monitor import Callback, Monitor, Snapshot
from d2lrnn.core.scalars import Scalars
from d2lrnn.data import Vocab

from .prediction import Net, mode, predict_ch8
from .types import Device, Loss, Minibatches, Params, Tensor, Updater


def parameters(net: Net | nn.Module) -> Params:
    """Return the trained parameters of a model of either kind, as a list of tensors."""
    if isinstance(net, nn.Module):
        return [param for param in net.parameters() if param.requires_grad]
    return list(net.params)


def size(a: Tensor) -> int:
    """Return the number of elements of a tensor."""
    return a.numel()


def sgd(params: Params, lr: float, batch_size: int) -> None:
    """Take a step of minibatch stochastic gradient descent, in place, and zero the gradients (book section 3.2).

    Args:
        params: Tensors; one without a gradient (None) is left as it is.
        lr: Learning rate.
        batch_size: Divides the gradients: 1 where the loss is a mean already.
    """
    with torch.no_grad():
        for param in params:
            if param.grad is not None:
                param -= lr * param.grad / batch_size
                param.grad.zero_()


def grad_clipping(net: Net | nn.Module, theta: float) -> Tensor:
    """Clip the gradients, in place, so that their norm as one vector is at most theta (book section 8.5.5).

    Args:
        net: A model of either kind; parameters without a gradient are skipped.
        theta: The largest norm.

    Returns:
        The norm before clipping, a scalar tensor. It is on the device, where reading it would wait for the step.
    """
    grads = [param.grad for param in parameters(net) if param.grad is not None]
    if not grads:
        return torch.zeros(())
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in grads]))
    scale = torch.clamp(float(theta) / norm, max=1.0)
    for grad in grads:
        grad *= scale
    return norm


def detach(state: Any) -> Any:
    """Return a state without the history of how it was computed, so that gradients stop there."""
    return state.detach() if isinstance(state, torch.Tensor) else tuple(detach(s) for s in state)


def evaluate_loss(net: Callable[[Tensor], Tensor], data_iter: Minibatches, loss: Loss) -> float:
    """Return the mean loss of a model over a dataset of features and labels (book section 4.4)."""
    total: Tensor | float = 0.0
    count = 0
    with torch.no_grad(), mode(net, training=False):
        for X, y in data_iter:
            out = net(X)
            l = loss(out, y.reshape(out.shape))
            total, count = total + l.sum(), count + l.numel()
    return float(total) / count


def evaluate_perplexity(net: Net, data_iter: Minibatches, device: Device) -> float:
    """Return the perplexity of a model over sequential minibatches, such as a loader's ``valid_iter``.

    Args:
        net: A model of either kind.
        data_iter: Minibatches ``(X, Y)``, each continuing the one before.
        device: Where the model is.
    """
    loss = nn.CrossEntropyLoss(reduction="sum")
    state, total, count = None, 0.0, 0
    with torch.no_grad(), mode(net, training=False):
        for X, Y in data_iter:
            if state is None:
                state = net.begin_state(batch_size=X.shape[0], device=device)
            y_hat, state = net(X.to(device), state)
            total, count = total + loss(y_hat, Y.T.reshape(-1).to(device)), count + Y.numel()
    return perplexity(float(total) / count)


def scalars() -> Scalars:
    """Return what collects a scalar of each minibatch."""
    return Scalars(torch.stack, lambda tensor: tensor.cpu().numpy())


def snapshot(params: Params) -> Snapshot:
    """Return what keeps the values of parameters, for a training that diverges."""
    return Snapshot(
        params,
        copy=lambda param: param.detach().clone(),
        put_back=lambda param, value: param.detach().copy_(value),
        is_finite=lambda param: torch.isfinite(param).all(),
    )


@contextlib.contextmanager
def small_numbers_as_zeros() -> Iterator[None]:
    """Take numbers too small for float32's normal range (below 1.2e-38) for zeros while this lasts.

    Gradients get there once hidden states saturate, and a processor multiplies such numbers many times slower.
    """
    already = bool(torch.tensor(1e-39) * 0.5 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


@small_numbers_as_zeros()
def _run_epoch(
    net: Net, train_iter: Minibatches, loss: Loss, updater: Updater, device: Device, use_random_iter: bool, theta: float
) -> Epoch:
    state, timer = None, Timer()
    losses, norms, sizes = scalars(), scalars(), []
    with mode(net, training=True):
        for X, Y in train_iter:
            if state is None or use_random_iter:
                # Begin from zeros in the first minibatch, and wherever the minibatch does not continue the one before
                state = net.begin_state(batch_size=X.shape[0], device=device)
            else:
                state = detach(state)
            y = Y.T.reshape(-1)  # (num_steps * batch_size,), time-major as the logits are
            X, y = X.to(device), y.to(device)
            y_hat, state = net(X, state)
            l = loss(y_hat, y.long()).mean()
            if isinstance(updater, torch.optim.Optimizer):
                updater.zero_grad()
                l.backward()
                norm = grad_clipping(net, theta)
                updater.step()
            else:
                l.backward()
                norm = grad_clipping(net, theta)
                updater(batch_size=1)  # the loss is a mean already
            losses.append(l.detach())
            norms.append(norm)
            sizes.append(size(y))
    check_losses(losses)
    # No minibatch waits for the device; this does
    loss_values, norm_values = losses.numpy(), norms.numpy()
    return Epoch(loss_values, sizes, timer.stop(), norm_values)


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
        loss: A function of logits and labels.
        updater: A ``torch.optim`` optimizer, or a function of ``batch_size`` that updates and zeroes the gradients.
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
    updater: Updater
    if isinstance(net, nn.Module):
        updater = torch.optim.SGD(net.parameters(), lr)
    else:
        updater = lambda batch_size: sgd(net.params, lr, batch_size)  # noqa: E731 (the book's form)
    params = parameters(net)
    for param in params:
        param.grad = None  # what a cell before this one left behind would be added to the first step
    monitor = Monitor(
        num_epochs, snapshot(params), vocab_size=len(vocab), history=history, quiet=quiet, callback=callback
    )
    with monitor:
        for number in monitor.epochs:
            epoch = _run_epoch(net, train_iter, loss, updater, device, use_random_iter, theta)
            monitor.check(epoch)
            valid = evaluate_perplexity(net, valid_iter, device) if valid_iter is not None else None
            monitor.add(number, epoch, valid_perplexity=valid)
    return monitor.report(device, lambda prefix: predict_ch8(prefix, BOOK_NUM_PREDS, net, vocab, device), prefixes)
