"""Clipping, and training for an epoch and for many (book sections 8.5.5 and 8.5.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from d2lrnn.core.book_tools import Timer
from d2lrnn.core.checks import check_losses, check_training
from d2lrnn.core.history import BOOK_NUM_PREDS, BOOK_PREFIXES, Epoch, History, perplexity
from d2lrnn.core.monitor import Callback, Monitor, Snapshot
from d2lrnn.core.scalars import Scalars
from d2lrnn.data import Vocab
from d2lrnn.errors import InputError

from .device import book_name
from .graphs import compiled, kept
from .prediction import Net, call, predict_ch8
from .types import Grads, Loss, Minibatches, Params, State, Strategy, Tensor, Updater


def parameters(net: Net) -> Params:
    """Return the trained parameters of a model of either kind, as a list of variables."""
    return list(net.trainable_variables)


def size(a: Tensor) -> int:
    """Return the number of elements of a tensor."""
    return tf.size(a).numpy()


def sgd(params: Params, grads: Grads, lr: float, batch_size: int) -> None:
    """Take a step of minibatch stochastic gradient descent, in place (book section 3.2).

    Args:
        params: Variables; one without a gradient (None) is left as it is.
        grads: Their gradients.
        lr: Learning rate.
        batch_size: Divides the gradients: 1 where the loss is a mean already.
    """
    for param, grad in zip(params, grads, strict=True):
        if grad is not None:
            param.assign_sub(lr * grad / batch_size)


def grad_clipping(grads: Grads, theta: float) -> Grads:
    """Clip gradients so that their norm as one vector is at most theta (book section 8.5.5).

    Args:
        grads: A list of tensors; those that are None are left out of the norm, and stay None.
        theta: The largest norm.

    Returns:
        The list of clipped gradients. Where the other backends return the norm, TensorFlow's form has the list;
        the norm is ``tf.linalg.global_norm(grads)``.
    """
    clipped, _ = clip(grads, theta)
    return clipped


def clip(grads: Grads, theta: float | Tensor) -> tuple[list[Tensor | None], Tensor]:
    """Return clipped gradients, and the norm before clipping, a scalar tensor."""
    grads = [None if grad is None else tf.convert_to_tensor(grad) for grad in grads]
    if all(grad is None for grad in grads):
        return grads, tf.zeros(())
    norm = tf.sqrt(sum(tf.reduce_sum(grad**2) for grad in grads if grad is not None))
    scale = tf.minimum(tf.cast(theta, norm.dtype) / norm, 1.0)
    return [None if grad is None else grad * scale for grad in grads], norm


def evaluate_loss(net: Callable[[Tensor], Tensor], data_iter: Minibatches, loss: Loss) -> float:
    """Return the mean loss of a model over a dataset of features and labels (book section 4.4)."""
    total: Tensor | float = 0.0
    count = 0
    for X, y in data_iter:
        l = loss(y, net(X))
        total, count = total + tf.reduce_sum(l), count + size(l)
    return float(total) / count


def evaluate_perplexity(net: Net, data_iter: Minibatches) -> float:
    """Return the perplexity of a model over sequential minibatches, such as a loader's ``valid_iter``.

    Args:
        net: A model of either kind.
        data_iter: Minibatches ``(X, Y)``, each continuing the one before.
    """
    state, total, count = None, 0.0, 0
    forward = compiled(net, "forward", lambda X, state: call(net, X, state, training=False))
    for X, Y in data_iter:
        if state is None:
            state = net.begin_state(batch_size=X.shape[0], dtype=tf.float32)
        y_hat, state = forward(X, state)
        y = tf.reshape(tf.transpose(Y), (-1,))
        total += tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(y, y_hat))
        count += size(y)
    return perplexity(float(total) / count)


def _scope(strategy: Strategy, params: Params) -> AbstractContextManager[object]:
    """Return where to train: in the strategy's scope, or, for a net that was made outside of it, just on its device."""
    variables = [param if callable(param.value) else param.value for param in params]  # Keras 3 wraps TensorFlow's
    if all(strategy.extended.variable_created_in_scope(variable) for variable in variables):
        return strategy.scope()
    return tf.device(book_name(strategy))


def _training_step(
    net: Net, loss: Loss, updater: Updater, jit_compile: bool
) -> Callable[..., tuple[Tensor, Tensor, State]]:
    """Return the function that trains on one minibatch, compiled once for a net, loss and updater."""

    def step(X: Tensor, Y: Tensor, state: State, theta: Tensor) -> tuple[Tensor, Tensor, State]:
        y = tf.reshape(tf.transpose(Y), (-1,))  # (num_steps * batch_size,), time-major as the logits are
        with tf.GradientTape() as tape:
            y_hat, state = call(net, X, state, training=True)
            l = tf.reduce_mean(loss(y, y_hat))
        params = parameters(net)
        grads, norm = clip(tape.gradient(l, params), theta)
        if hasattr(updater, "apply_gradients"):
            updater.apply_gradients(
                [(grad, param) for grad, param in zip(grads, params, strict=True) if grad is not None]
            )
        else:
            updater(1, grads)  # the loss is a mean already
        return l, norm, state

    # In the scope of a strategy, run on its device; elsewhere this is the default strategy, which just calls
    strategy = tf.distribute.get_strategy()
    return compiled(
        net, "step", lambda *args: strategy.run(step, args=args), [loss, updater, strategy], jit_compile=jit_compile
    )


def _loss_and_updater(net: Net, lr: float) -> tuple[Any, Any]:
    """Return the loss and the updater of ``train_ch8``, which the net keeps so that its graph serves again."""
    # The step takes the mean: Keras 2 refuses to do so itself in the scope of a strategy
    loss = kept(net, "loss", [], lambda: tf.keras.losses.SparseCategoricalCrossentropy(True, reduction="none"))
    # Keras 3 takes no int as learning rate
    updater = kept(net, "updater", [tf.distribute.get_strategy()], lambda: tf.keras.optimizers.SGD(lr))
    updater.learning_rate = lr
    return loss, updater


def scalars() -> Scalars:
    """Return what collects a scalar of each minibatch."""
    return Scalars(tf.stack, lambda tensor: tensor.numpy())


def snapshot(params: Params) -> Snapshot:
    """Return what keeps the values of parameters, for a training that diverges."""
    return Snapshot(
        params,
        copy=tf.identity,
        put_back=lambda param, value: param.assign(value),
        is_finite=lambda param: tf.reduce_all(tf.math.is_finite(param)),
    )


def _run_epoch(
    net: Net,
    train_iter: Minibatches,
    loss: Loss,
    updater: Updater,
    use_random_iter: bool,
    theta: float,
    jit_compile: bool,
) -> Epoch:
    state, timer = None, Timer()
    losses, norms, sizes = scalars(), scalars(), []
    step = _training_step(net, loss, updater, jit_compile)
    theta = tf.constant(theta, tf.float32)  # a number would be a part of the graph
    for X, Y in train_iter:
        if state is None or use_random_iter:
            # Begin from zeros in the first minibatch, and wherever the minibatch does not continue the one before.
            # A state from the step before is a constant: the tape of that step is gone.
            state = net.begin_state(batch_size=X.shape[0], dtype=tf.float32)
        l, norm, state = step(X, Y, state, theta)
        losses.append(l)
        norms.append(norm)
        sizes.append(int(np.prod(Y.shape)))  # of the shape, because size() reads from the device
    check_losses(losses)
    # No minibatch waits for the device; this does
    loss_values, norm_values = losses.numpy(), norms.numpy()
    return Epoch(loss_values, sizes, timer.stop(), norm_values)


def train_epoch_ch8(
    net: Net,
    train_iter: Minibatches,
    loss: Loss,
    updater: Updater,
    use_random_iter: bool,
    *,
    theta: float = 1.0,
    jit_compile: bool = False,
) -> tuple[float, float]:
    """Train a model for one epoch. The step is compiled into a graph when it is first taken.

    Args:
        net: A model of either kind.
        train_iter: Minibatches ``(X, Y)`` of indices (batch_size, num_steps).
        loss: A function of labels and logits.
        updater: A Keras optimizer, or a function of ``batch_size`` and the gradients that updates the parameters.
        use_random_iter: Begin every minibatch from a state of zeros, as random sampling needs.
        theta: Radius of gradient clipping.
        jit_compile: Let XLA compile the step. That takes seconds, and pays in a long training of a large net.

    Returns:
        The perplexity, and the speed in tokens per second.

    Raises:
        InputError: If the iterator samples randomly and use_random_iter is False.
    """
    check_training(train_iter, use_random_iter, theta=theta)
    epoch = _run_epoch(net, train_iter, loss, updater, use_random_iter, theta, jit_compile)
    return epoch.perplexity, epoch.tokens_per_second


def train_ch8(
    net: Net,
    train_iter: Minibatches,
    vocab: Vocab,
    lr: float,
    num_epochs: int,
    strategy: Strategy,
    use_random_iter: bool = False,
    *,
    theta: float = 1.0,
    valid_iter: Minibatches | None = None,
    prefixes: Sequence[str] = BOOK_PREFIXES,
    quiet: bool = False,
    callback: Callback | None = None,
    history: History | None = None,
    jit_compile: bool = False,
) -> History:
    """Train a model, show how it goes, and let it continue the prefixes (book section 8.5.6).

    Args:
        net: A model of either kind; it is trained in place, from the weights that it has.
        train_iter: Minibatches ``(X, Y)`` of indices (batch_size, num_steps).
        vocab: Their vocabulary.
        lr: Learning rate of stochastic gradient descent.
        num_epochs: Passes over ``train_iter``.
        strategy: A ``tf.distribute`` strategy of one replica, in whose scope the model was made.
        use_random_iter: Whether ``train_iter`` samples randomly.
        theta: Radius of gradient clipping.
        valid_iter: Held-out minibatches to evaluate after every epoch.
        prefixes: What to continue at the end.
        quiet: Show and print nothing.
        callback: Called after each epoch with its number and its :class:`~d2lrnn.core.history.Epoch`; training ends if
            it returns True.
        history: What an earlier training of this net returned. Epochs are numbered from where it ends.
        jit_compile: Let XLA compile the training step, as in :func:`train_epoch_ch8`.

    Returns:
        The :class:`~d2lrnn.core.history.History`, with the earlier one at its beginning.

    Raises:
        InputError: If an argument cannot be used, or the iterator samples randomly and use_random_iter is False.
        DivergenceError: If the loss or a weight becomes NaN or infinite, or the loss stays far worse than that of
            guessing (:data:`d2lrnn.core.monitor.ABSURD`); the net then has the weights from before it did.
    """
    check_training(train_iter, use_random_iter, lr=lr, num_epochs=num_epochs, theta=theta, net=net, vocab=vocab)
    if strategy.num_replicas_in_sync != 1:
        raise InputError(
            f"the strategy has {strategy.num_replicas_in_sync} replicas, and a state that is carried from minibatch to "
            "minibatch cannot be split over them: use tf.distribute.OneDeviceStrategy"
        )
    if not getattr(net, "built", True):
        # Keras makes weights at the first input. One of our own: the loader's would move its random generator on.
        with strategy.scope():
            net(tf.zeros((1, 1), tf.int32), net.begin_state(batch_size=1, dtype=tf.float32))
    params = parameters(net)
    with _scope(strategy, params):
        loss, updater = _loss_and_updater(net, float(lr))
        monitor = Monitor(
            num_epochs, snapshot(params), vocab_size=len(vocab), history=history, quiet=quiet, callback=callback
        )
        with monitor:
            for number in monitor.epochs:
                epoch = _run_epoch(net, train_iter, loss, updater, use_random_iter, theta, jit_compile)
                monitor.check(epoch)
                valid = evaluate_perplexity(net, valid_iter) if valid_iter is not None else None
                monitor.add(number, epoch, valid_perplexity=valid)
        return monitor.report(
            book_name(strategy), lambda prefix: predict_ch8(prefix, BOOK_NUM_PREDS, net, vocab), prefixes
        )
