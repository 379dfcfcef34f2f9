"""The oracle that every backend is tested against: :mod:`d2lrnn.numpy` in float64, as functions of weights.

It is itself checked by finite differences. Weights and states are the canonical ones of
:mod:`d2lrnn.weights.canonical`. Of a minibatch, ``X`` and ``Y`` have shape (batch_size, num_steps); logits have shape
(num_steps * batch_size, vocab_size), time-major, as in the book.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from d2lrnn.numpy import backend, training
from d2lrnn.weights import canonical

Array = npt.NDArray[np.float64]
State = tuple[Array, ...]  # (H,) or (H, C), each (layers * directions, batch_size, num_hiddens)
Params = Mapping[str, npt.NDArray[Any]]
Gradients = dict[str, Array]


def _model(params: Params, kind: str) -> Any:
    """Return a model with these weights."""
    vocab_size, num_hiddens, num_layers, bidirectional = canonical.sizes(kind, params)
    net, _ = backend.build_model(kind, vocab_size, num_hiddens, num_layers, bidirectional=bidirectional, seed=0)
    backend.set_weights(net, params)
    return net


def begin_state(params: Params, batch_size: int, kind: str = "rnn") -> State:
    """Return a state of zeros: a tuple of (layers * directions, batch_size, num_hiddens)."""
    _, num_hiddens, num_layers, bidirectional = canonical.sizes(kind, params)
    zeros = np.zeros(((2 if bidirectional else 1) * num_layers, batch_size, num_hiddens))
    return (zeros, zeros) if kind == "lstm" else (zeros,)


def forward(params: Params, X: npt.ArrayLike, state: State | None = None, kind: str = "rnn") -> tuple[Array, State]:
    """Run a model over a minibatch.

    Args:
        params: Canonical weights.
        X: Token indices, shape (batch_size, num_steps).
        state: The state to start from; None for zeros.
        kind: One of :data:`d2lrnn.weights.canonical.KINDS`.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), and the new state.
    """
    logits, new_state = backend.forward(_model(params, kind), X, state)
    return logits, new_state


def loss_and_gradients(
    params: Params, X: npt.ArrayLike, Y: npt.ArrayLike, state: State | None = None, kind: str = "rnn"
) -> tuple[float, Gradients, State]:
    """Return a minibatch's mean loss in nats, the gradient of every weight, and the new state.

    The state that came in is a constant: gradients do not flow into the minibatch before (truncated
    backpropagation through time, book section 8.7.1).
    """
    net = _model(params, kind)
    loss, new_state = backend.loss_and_backward(net, X, Y, state)
    return loss, backend.get_gradients(net), new_state


def clip(grads: Gradients, theta: float) -> tuple[Gradients, float]:
    """Project the gradients, taken as one vector, onto the ball of radius theta (book section 8.5.5).

    Returns:
        The clipped gradients, and the norm before clipping.
    """
    norm = float(np.sqrt(sum((grad**2).sum() for grad in grads.values())))
    scale = min(1.0, theta / norm) if norm > 0 else 1.0
    return {name: grad * scale for name, grad in grads.items()}, norm


def train_steps(
    params: Params,
    minibatches: Iterable[tuple[Any, Any]],
    lr: float,
    *,
    theta: float = 1.0,
    kind: str = "rnn",
    use_random_iter: bool = False,
    state: State | None = None,
) -> tuple[Gradients, list[float], State | None]:
    """Train over some minibatches, one step each.

    Args:
        params: Canonical weights to start from; they are not changed.
        minibatches: Pairs (X, Y) of shape (batch_size, num_steps).
        lr: Learning rate.
        theta: Radius of gradient clipping.
        kind: The model kind.
        use_random_iter: Begin each minibatch from a state of zeros instead of the last one's state.
        state: The state to start from; None for zeros.

    Returns:
        The weights afterwards, the loss in nats of each minibatch before its step, and the last state.
    """
    net, losses = _model(params, kind), []
    for X, Y in minibatches:
        loss, state = backend.loss_and_backward(net, X, Y, None if use_random_iter else state)
        training.grad_clipping(net, theta)
        training.sgd(net.params, net.grads, lr, 1)
        losses.append(loss)
    return backend.get_weights(net), losses, state
