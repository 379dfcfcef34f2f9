"""The chapter's language models in NumPy float64, with backpropagation through time by hand (book sections 8.4, 8.7).

This is the oracle that every backend is tested against, and is itself checked by finite differences. It is written
to be read: nothing is fused or hoisted except the products that are the same for all steps.

Weights and states are the canonical ones of :mod:`d2lrnn.canonical`. Of a minibatch, ``X`` and ``Y`` have shape
(batch_size, num_steps); logits have shape (num_steps * batch_size, vocab_size), time-major, as in the book.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from d2lrnn.canonical import check_kind, layer_prefixes

Array = npt.NDArray[np.float64]
State = tuple[Array, ...]  # (H,) or (H, C), each (layers * directions, batch_size, num_hiddens)
Params = Mapping[str, npt.NDArray[Any]]
Gradients = dict[str, Array]

# One step of each kind of cell, and its derivative.
#
# A step takes what the inputs contribute to the gates, a = x W_xh + b_h of shape (batch_size, gates * num_hiddens), the
# state, and the recurrent weights W_hh and b_hh (zero where there is none); it returns the new state and what the
# derivative will need. The derivative takes the gradient of the new state; it returns those of a, of W_hh, of the
# recurrent product, which b_hh is added to, and of the old state.

_Step = Callable[[Array, State, Array, Any], tuple[State, State]]
_StepBackward = Callable[[State, State, Array], tuple[Array, Array, Array, State]]


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))  # does not overflow


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


# Of each activation, its derivative as a function of its value
_SLOPES: dict[Callable[[Array], Array], Callable[[Array], Array]] = {
    np.tanh: lambda h: 1 - h**2,
    _relu: lambda h: (h > 0).astype(np.float64),
}


def _rnn_step(
    a: Array, state: State, W_hh: Array, b_hh: Any, activation: Callable[[Array], Array] = np.tanh
) -> tuple[State, State]:
    (h,) = state
    h_new = activation(a + h @ W_hh + b_hh)
    return (h_new,), (h, h_new)


def _rnn_step_backward(
    d_state: State, saved: State, W_hh: Array, activation: Callable[[Array], Array] = np.tanh
) -> tuple[Array, Array, Array, State]:
    (dh_new,), (h, h_new) = d_state, saved
    da = dh_new * _SLOPES[activation](h_new)
    return da, h.T @ da, da, (da @ W_hh.T,)


def _gru_step(a: Array, state: State, W_hh: Array, b_hh: Any) -> tuple[State, State]:
    (h,) = state
    a_r, a_z, a_n = np.split(a, 3, axis=1)
    r_r, r_z, r_n = np.split(h @ W_hh + b_hh, 3, axis=1)
    reset, update = _sigmoid(a_r + r_r), _sigmoid(a_z + r_z)
    candidate = np.tanh(a_n + reset * r_n)
    return (update * h + (1 - update) * candidate,), (h, reset, update, candidate, r_n)


def _gru_step_backward(d_state: State, saved: State, W_hh: Array) -> tuple[Array, Array, Array, State]:
    (dh_new,) = d_state
    h, reset, update, candidate, r_n = saved
    da_n = dh_new * (1 - update) * (1 - candidate**2)
    da_z = dh_new * (h - candidate) * update * (1 - update)
    da_r = da_n * r_n * reset * (1 - reset)
    dr = np.hstack([da_r, da_z, da_n * reset])
    return np.hstack([da_r, da_z, da_n]), h.T @ dr, dr, (dh_new * update + dr @ W_hh.T,)


def _gru_reset_before_step(a: Array, state: State, W_hh: Array, b_hh: Any) -> tuple[State, State]:
    (h,) = state
    a_r, a_z, a_n = np.split(a + b_hh, 3, axis=1)
    W_r, W_z, W_n = np.split(W_hh, 3, axis=1)
    reset, update = _sigmoid(a_r + h @ W_r), _sigmoid(a_z + h @ W_z)
    candidate = np.tanh(a_n + (reset * h) @ W_n)
    return (update * h + (1 - update) * candidate,), (h, reset, update, candidate)


def _gru_reset_before_step_backward(d_state: State, saved: State, W_hh: Array) -> tuple[Array, Array, Array, State]:
    (dh_new,) = d_state
    h, reset, update, candidate = saved
    W_r, W_z, W_n = np.split(W_hh, 3, axis=1)
    da_n = dh_new * (1 - update) * (1 - candidate**2)
    da_z = dh_new * (h - candidate) * update * (1 - update)
    d_scaled = da_n @ W_n.T  # of reset * h
    da_r = d_scaled * h * reset * (1 - reset)
    da = np.hstack([da_r, da_z, da_n])
    dW_hh = np.hstack([h.T @ da_r, h.T @ da_z, (reset * h).T @ da_n])
    return da, dW_hh, da, (dh_new * update + d_scaled * reset + da_r @ W_r.T + da_z @ W_z.T,)


def _lstm_step(a: Array, state: State, W_hh: Array, b_hh: Any) -> tuple[State, State]:
    h, c = state
    a_i, a_f, a_g, a_o = np.split(a + h @ W_hh + b_hh, 4, axis=1)
    i, f, g, o = _sigmoid(a_i), _sigmoid(a_f), np.tanh(a_g), _sigmoid(a_o)
    c_new = f * c + i * g
    return (o * np.tanh(c_new), c_new), (h, c, i, f, g, o, np.tanh(c_new))


def _lstm_step_backward(d_state: State, saved: State, W_hh: Array) -> tuple[Array, Array, Array, State]:
    dh_new, dc_new = d_state
    h, c, i, f, g, o, tanh_c = saved
    dc = dc_new + dh_new * o * (1 - tanh_c**2)
    da = np.hstack([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh_new * tanh_c * o * (1 - o)])
    return da, h.T @ da, da, (da @ W_hh.T, dc * f)


_STEPS: dict[str, tuple[_Step, _StepBackward]] = {
    "rnn-scratch": (_rnn_step, _rnn_step_backward),
    "rnn": (_rnn_step, _rnn_step_backward),
    "rnn-relu": (partial(_rnn_step, activation=_relu), partial(_rnn_step_backward, activation=_relu)),
    "gru": (_gru_step, _gru_step_backward),
    "gru-reset-before": (_gru_reset_before_step, _gru_reset_before_step_backward),
    "lstm": (_lstm_step, _lstm_step_backward),
}


def _layer_forward(kind: str, params: Params, prefix: str, X: Array, state: State) -> tuple[Array, State, Any]:
    """Run one layer in one direction over X (num_steps, batch_size, inputs)."""
    step, _ = _STEPS[kind]
    W_xh, W_hh, b_h = (params[prefix + name] for name in ("W_xh", "W_hh", "b_h"))
    b_hh = params.get(prefix + "b_hh", 0.0)
    A = X @ W_xh + b_h  # (num_steps, batch_size, gates * num_hiddens)
    H, saved = [], []
    for a in A:
        state, kept = step(a, state, W_hh, b_hh)
        H.append(state[0])
        saved.append(kept)
    return np.stack(H), state, (X, saved)


def _layer_backward(kind: str, params: Params, prefix: str, dH: Array, cache: Any, grads: Gradients) -> Array:
    """Add one layer's gradients to ``grads`` and return that of its input, (num_steps, batch_size, inputs)."""
    _, step_backward = _STEPS[kind]
    X, saved = cache
    W_hh = params[prefix + "W_hh"]
    dW_hh, db_hh = np.zeros_like(W_hh), np.zeros(W_hh.shape[1])
    dA = []
    d_state: State = tuple(np.zeros_like(dH[0]) for _ in range(2 if kind == "lstm" else 1))
    for dh, kept in zip(dH[::-1], saved[::-1], strict=True):
        da, dW, dr, d_state = step_backward((d_state[0] + dh, *d_state[1:]), kept, W_hh)
        dA.append(da)
        dW_hh += dW
        db_hh += dr.sum(0)
    dA_all = np.stack(dA[::-1])
    grads[prefix + "W_xh"] = np.einsum("tbi,tbg->ig", X, dA_all)
    grads[prefix + "W_hh"] = dW_hh
    grads[prefix + "b_h"] = dA_all.sum((0, 1))
    if prefix + "b_hh" in params:
        grads[prefix + "b_hh"] = db_hh
    return np.asarray(dA_all @ params[prefix + "W_xh"].T)


def _layers(params: Params) -> list[list[str]]:
    num_layers = len({name.split(".")[1] for name in params if name.startswith("layers.")})
    return layer_prefixes(num_layers, "layers.0.reverse.W_xh" in params)


def _float64(params: Params) -> Gradients:
    return {name: np.asarray(value, dtype=np.float64) for name, value in params.items()}


def one_hot(X: npt.ArrayLike, vocab_size: int) -> Array:
    """Return the one-hot vectors of a minibatch, time-major: (num_steps, batch_size, vocab_size)."""
    return np.asarray(np.eye(vocab_size)[np.asarray(X).T])


def begin_state(params: Params, batch_size: int, kind: str = "rnn") -> State:
    """Return a state of zeros: a tuple of (layers * directions, batch_size, num_hiddens)."""
    rows = sum(len(layer) for layer in _layers(params))
    zeros = np.zeros((rows, batch_size, params["layers.0.W_hh"].shape[0]))
    return (zeros, zeros) if kind == "lstm" else (zeros,)


def _forward(params: Params, X: npt.ArrayLike, state: State | None, kind: str) -> tuple[Array, State, Any]:
    X = np.asarray(X)
    if state is None:
        state = begin_state(params, X.shape[0], kind)
    hidden = one_hot(X, params["output.W_hq"].shape[1])
    caches, last_states, row = [], [], 0
    for layer in _layers(params):
        outputs = []
        for direction, prefix in enumerate(layer):
            # The reverse direction reads the steps backwards, and its outputs are turned round again.
            order = slice(None, None, -1) if direction else slice(None)
            H, last, cache = _layer_forward(kind, params, prefix, hidden[order], tuple(s[row] for s in state))
            outputs.append(H[order])
            last_states.append(last)
            caches.append(cache)
            row += 1
        hidden = np.concatenate(outputs, axis=2)
    logits = hidden.reshape(-1, hidden.shape[2]) @ params["output.W_hq"] + params["output.b_q"]
    return logits, tuple(np.stack(parts) for parts in zip(*last_states, strict=True)), (hidden, caches)


def forward(params: Params, X: npt.ArrayLike, state: State | None = None, kind: str = "rnn") -> tuple[Array, State]:
    """Run a model over a minibatch.

    Args:
        params: Canonical weights.
        X: Token indices, shape (batch_size, num_steps).
        state: The state to start from; None for zeros.
        kind: One of :data:`d2lrnn.canonical.KINDS`.

    Returns:
        Logits of shape (num_steps * batch_size, vocab_size), and the new state.
    """
    check_kind(kind)
    logits, state, _ = _forward(_float64(params), X, state, kind)
    return logits, state


def cross_entropy(logits: Array, Y: npt.ArrayLike) -> float:
    """Return the mean cross-entropy in nats of labels Y (batch_size, num_steps) under time-major logits."""
    y = np.asarray(Y).T.reshape(-1)
    log_sum = np.logaddexp.reduce(logits, axis=1)
    return float(np.mean(log_sum - logits[np.arange(len(y)), y]))


def loss_and_gradients(
    params: Params, X: npt.ArrayLike, Y: npt.ArrayLike, state: State | None = None, kind: str = "rnn"
) -> tuple[float, Gradients, State]:
    """Return a minibatch's mean loss in nats, the gradient of every weight, and the new state.

    The state that came in is a constant: gradients do not flow into the minibatch before (truncated
    backpropagation through time, book section 8.7.1).
    """
    check_kind(kind)
    params = _float64(params)
    logits, new_state, (hidden, caches) = _forward(params, X, state, kind)
    y = np.asarray(Y).T.reshape(-1)
    d_logits = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))  # softmax
    d_logits[np.arange(len(y)), y] -= 1
    d_logits /= len(y)
    grads: Gradients = {
        "output.W_hq": hidden.reshape(len(y), -1).T @ d_logits,
        "output.b_q": d_logits.sum(axis=0),
    }
    d_hidden = (d_logits @ params["output.W_hq"].T).reshape(hidden.shape)
    remaining = list(caches)
    for layer in reversed(_layers(params)):
        d_outputs = np.split(d_hidden, len(layer), axis=2)
        d_inputs = []
        for direction in reversed(range(len(layer))):
            order = slice(None, None, -1) if direction else slice(None)
            dX = _layer_backward(kind, params, layer[direction], d_outputs[direction][order], remaining.pop(), grads)
            d_inputs.append(dX[order])
        d_hidden = np.sum(d_inputs, axis=0)
    return cross_entropy(logits, Y), {name: grads[name] for name in params}, new_state


def clip(grads: Gradients, theta: float) -> tuple[Gradients, float]:
    """Project the gradients, taken as one vector, onto the ball of radius theta (book section 8.5.5).

    Returns:
        The clipped gradients, and the norm before clipping.
    """
    norm = float(np.sqrt(sum((grad**2).sum() for grad in grads.values())))
    scale = min(1.0, theta / norm) if norm > 0 else 1.0
    return {name: grad * scale for name, grad in grads.items()}, norm


def sgd(params: Params, grads: Gradients, lr: float) -> Gradients:
    """Return the weights after one step of stochastic gradient descent."""
    return {name: value - lr * grads[name] for name, value in params.items()}


def train_steps(
    params: Params,
    minibatches: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
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
    weights, losses = _float64(params), []
    for X, Y in minibatches:
        loss, grads, state = loss_and_gradients(weights, X, Y, None if use_random_iter else state, kind)
        weights = sgd(weights, clip(grads, theta)[0], lr)
        losses.append(loss)
    return weights, losses, state
