"""What the frameworks bring along and NumPy lacks: layers and a loss, with their gradients by hand, and a loader.

The layers are those of the book's sections 8.4, 9.1 and 9.2: :class:`RNN`, :class:`GRU`, :class:`LSTM`, and
:class:`Dense`. Each is called as a framework's layer is, and its ``backward`` takes the gradient of what it returned,
sets ``grads`` and returns the gradient of its inputs (backpropagation through time, section 8.7). Nothing is fused but
the products that are the same for all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from d2lrnn.data.sampling import Seed
from d2lrnn.errors import InputError
from d2lrnn.weights import canonical
from d2lrnn.weights.canonical import check_kind

from .types import State, Tensor

Row: TypeAlias = tuple[Tensor, ...]  # the state of one layer in one direction, each (batch_size, hidden_size)
Kept: TypeAlias = tuple[Any, ...]  # what the derivative of a step needs
Saved: TypeAlias = tuple[Tensor, list[Kept]]  # the inputs of a layer, and what its steps kept


class Module:
    """The base of layers and models. Your own defines :meth:`forward`, and to be trained ``backward``.

    ``backward`` takes the gradient of what the last call returned and keeps the gradients of the parameters: what other
    frameworks find by themselves.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what :meth:`forward` does."""
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the layer or model computes."""
        raise NotImplementedError(f"define forward in {type(self).__name__}")


class DataLoader:
    """An iterator over minibatches of arrays.

    Args:
        arrays: Arrays of the same length, features and labels.
        batch_size: Examples in a minibatch.
        shuffle: Put them into a new order in each pass.

    Raises:
        InputError: If the arrays are not of the same length.
    """

    def __init__(self, arrays: Sequence[npt.ArrayLike], batch_size: int, shuffle: bool) -> None:
        self._arrays, self._batch_size, self._shuffle = [np.asarray(array) for array in arrays], batch_size, shuffle
        self._rng = np.random.default_rng()
        lengths = [len(array) for array in self._arrays]
        if len(set(lengths)) != 1:
            raise InputError(f"the arrays must have the same length, not {', '.join(map(str, lengths))}")

    def __len__(self) -> int:
        return -(-len(self._arrays[0]) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        count = len(self._arrays[0])
        order = self._rng.permutation(count) if self._shuffle else np.arange(count)
        for begin in range(0, count, self._batch_size):
            yield tuple(array[order[begin : begin + self._batch_size]] for array in self._arrays)


def one_hot(indices: Tensor, vocab_size: int, dtype: npt.DTypeLike = np.float64) -> Tensor:
    """Return the one-hot vectors of indices of any shape, as a last axis of size vocab_size."""
    return np.eye(vocab_size, dtype=dtype)[indices]


def log_sum_exp(logits: Tensor) -> Tensor:
    """Return the logarithm of the sum of the exponentials of each row, (examples, 1), without an overflow."""
    largest = logits.max(axis=1, keepdims=True)
    return largest + np.log(np.exp(logits - largest).sum(axis=1, keepdims=True))


class CrossEntropyLoss:
    """The mean cross-entropy, in nats, of labels under logits (book section 3.4), and its gradient."""

    def __init__(self) -> None:
        self._last: tuple[Tensor, Tensor] | None = None  # the logarithms of probabilities, and the labels

    def __call__(self, y_hat: Tensor, y: Tensor) -> Any:
        """Return the mean loss of labels (examples,) under logits (examples, classes)."""
        log_probs = y_hat - log_sum_exp(y_hat)
        self._last = log_probs, y
        return -log_probs[np.arange(len(y)), y].mean()

    def backward(self) -> Tensor:
        """Return the gradient of the logits of the last call: the softmax of them, less one at each label."""
        if self._last is None:
            raise InputError("the loss has not been called, so there is nothing to go back through")
        log_probs, y = self._last
        d_logits = np.exp(log_probs)
        d_logits[np.arange(len(y)), y] -= 1
        return d_logits / len(y)


def sigmoid(x: Tensor) -> Tensor:
    """Return the logistic function of x, which does not overflow."""
    return 0.5 * (np.tanh(0.5 * x) + 1)


class Recurrent(Module):
    """What :class:`RNN`, :class:`GRU` and :class:`LSTM` have in common: layers of cells, run over a sequence.

    A kind of cell is a step and its derivative. ``_step(a, state, W_hh, b_hh)`` takes what the inputs contribute to the
    gates, a = x W_xh + b_h of shape (batch_size, gates * num_hiddens), the state, a tuple of arrays (batch_size,
    num_hiddens), and the recurrent weights; it returns the new state, and what its derivative needs.
    ``_step_backward(d_state, saved, W_hh)`` takes the gradient of the new state; it returns those of a, of W_hh, of the
    recurrent product, which b_hh is added to, and of the old state.

    Args:
        kind: One of :data:`d2lrnn.weights.canonical.KINDS`.
        input_size: Size of the inputs, such as that of the vocabulary.
        hidden_size: Hidden units in each layer and direction.
        num_layers: Layers, each reading the one below.
        bidirectional: Read the sequence from both ends.
        seed: Of the first weights: a number, a ``numpy.random.Generator``, or None.

    Attributes:
        params: The parameters by the names of :mod:`d2lrnn.weights.canonical`, ``layers.0.W_xh`` and so on, in float64.
        grads: Their gradients, by the same names, once :meth:`backward` has been called.
        d_first_state: The gradient of the state that came in, in its form, once :meth:`backward` has been called.
    """

    num_states = 1

    def __init__(
        self,
        kind: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        *,
        seed: Seed = None,
    ) -> None:
        self.kind = check_kind(kind, num_layers, bidirectional)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bidirectional = num_layers, bidirectional
        weights = canonical.initial_weights(kind, input_size, hidden_size, num_layers, bidirectional, seed=seed)
        self.params = {name: value.astype(np.float64) for name, value in weights.items() if name.startswith("layers.")}
        self.grads: dict[str, Tensor] = {}
        self._saved: list[Saved] | None = None
        self.d_first_state: State | None = None

    def _step(self, a: Tensor, state: Row, W_hh: Tensor, b_hh: Tensor | float) -> tuple[Row, Kept]:
        raise NotImplementedError

    def _step_backward(self, d_state: Row, saved: Kept, W_hh: Tensor) -> tuple[Tensor, Tensor, Tensor, Row]:
        raise NotImplementedError

    def _directions(self) -> list[list[tuple[str, slice]]]:
        """Return, for each layer, the prefix of its parameters and the order of its steps in each direction."""
        orders = (slice(None), slice(None, None, -1))
        prefixes = canonical.layer_prefixes(self.num_layers, self.bidirectional)
        return [list(zip(layer, orders, strict=False)) for layer in prefixes]

    def forward(self, X: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run over a sequence.

        Args:
            X: Inputs, shape (num_steps, batch_size, input_size).
            state: An array (num_layers * directions, batch_size, hidden_size), for the LSTM a tuple of two; None for
                zeros.

        Returns:
            The last layer's hidden states, (num_steps, batch_size, directions * hidden_size), and the new state.
        """
        if state is None:
            state = self.begin_state(X.shape[1])
        first = state if isinstance(state, tuple) else (state,)
        last, saved = list[Row](), list[Saved]()
        for layer in self._directions():
            outputs = []
            for prefix, order in layer:
                row = tuple(part[len(last)] for part in first)
                # The reverse direction reads the steps backwards, and its outputs are turned round again
                H, row, kept = self._forward(prefix, X[order], row)
                outputs.append(H[order])
                last.append(row)
                saved.append(kept)
            X = np.concatenate(outputs, axis=2)
        self._saved = saved
        new_state = tuple(np.stack(parts) for parts in zip(*last, strict=True))
        return X, new_state if isinstance(state, tuple) else new_state[0]

    def begin_state(self, batch_size: int) -> State:
        """Return zeros (num_layers * directions, batch_size, hidden_size), for the LSTM a tuple of two."""
        rows = self.num_layers * (2 if self.bidirectional else 1)
        state = tuple(np.zeros((rows, batch_size, self.hidden_size), self.dtype) for _ in range(self.num_states))
        return state if len(state) > 1 else state[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the parameters."""
        return self.params["layers.0.W_hh"].dtype

    def _forward(self, prefix: str, X: Tensor, state: Row) -> tuple[Tensor, Row, Saved]:
        """Run one layer in one direction over X (num_steps, batch_size, inputs)."""
        W_xh, W_hh, b_h = (self.params[prefix + name] for name in ("W_xh", "W_hh", "b_h"))
        b_hh = self.params.get(prefix + "b_hh", 0.0)
        A = X @ W_xh + b_h  # (num_steps, batch_size, gates * hidden_size)
        outputs, saved = [], []
        for a in A:
            state, kept = self._step(a, state, W_hh, b_hh)
            outputs.append(state[0])
            saved.append(kept)
        return np.stack(outputs), state, (X, saved)

    def backward(self, dY: Tensor, d_state: State | None = None) -> Tensor:
        """Find the gradients of the parameters, from that of the outputs of the last call.

        A language model takes the state that came in for a constant: gradients do not flow into the minibatch before
        (truncated backpropagation through time, book section 8.7.1). Its gradient is kept as ``d_first_state`` for
        models in which it came from somewhere, as a decoder's does from the encoder.

        Args:
            dY: The gradient of the outputs, of the same shape.
            d_state: The gradient of the state that was returned, in its form; None for zeros.

        Returns:
            The gradient of the inputs.
        """
        if self._saved is None:
            raise InputError("the layer has not been called, so there is nothing to go back through")
        remaining, grads = list(self._saved), dict[str, Tensor]()
        last = d_state if isinstance(d_state, tuple) else (d_state,)
        firsts = list[Row]()
        for layer in reversed(self._directions()):
            parts = np.split(dY, len(layer), axis=2)
            d_inputs = []
            for (prefix, order), part in reversed(list(zip(layer, parts, strict=True))):
                saved = remaining.pop()
                row = None if d_state is None else tuple(state[len(remaining)] for state in last if state is not None)
                d_input, first = self._backward(prefix, part[order], row, saved, grads)
                d_inputs.append(d_input[order])
                firsts.append(first)
            dY = sum(d_inputs[1:], start=d_inputs[0])
        self.grads = {name: grads[name] for name in self.params}
        d_first = tuple(np.stack(rows[::-1]) for rows in zip(*firsts, strict=True))
        self.d_first_state = d_first if len(d_first) > 1 else d_first[0]
        return dY

    def _backward(
        self, prefix: str, dH: Tensor, d_last: Row | None, saved: Saved, grads: dict[str, Tensor]
    ) -> tuple[Tensor, Row]:
        """Add the gradients of one layer in one direction to ``grads``; return those of its inputs and first state."""
        X, steps = saved
        W_xh, W_hh = self.params[prefix + "W_xh"], self.params[prefix + "W_hh"]
        dW_hh, db_hh = np.zeros_like(W_hh), np.zeros_like(W_hh[0])
        d_state = d_last or tuple(np.zeros_like(dH[0]) for _ in range(self.num_states))
        dAs = []
        for dh, kept in zip(dH[::-1], steps[::-1], strict=True):
            da, dW, dr, d_state = self._step_backward((d_state[0] + dh, *d_state[1:]), kept, W_hh)
            dAs.append(da)
            dW_hh += dW
            db_hh += dr.sum(axis=0)
        dA = np.stack(dAs[::-1])  # (num_steps, batch_size, gates * hidden_size)
        grads[prefix + "W_xh"] = X.reshape(-1, X.shape[2]).T @ dA.reshape(-1, dA.shape[2])
        grads[prefix + "W_hh"] = dW_hh
        grads[prefix + "b_h"] = dA.sum(axis=(0, 1))
        if prefix + "b_hh" in self.params:
            grads[prefix + "b_hh"] = db_hh
        return dA @ W_xh.T, d_state


# Of each activation, its derivative as a function of its value
_ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "tanh": (np.tanh, lambda h: 1 - h**2),
    "relu": (lambda x: np.maximum(x, 0), lambda h: (h > 0).astype(h.dtype)),
}


class RNN(Recurrent):
    """The simple recurrent network: ``h' = tanh(a + h W_hh)`` (book section 8.4).

    Args:
        input_size: Size of the inputs.
        hidden_size: Hidden units in each layer and direction.
        num_layers: Layers, each reading the one below.
        nonlinearity: ``'tanh'`` or ``'relu'``.
        bidirectional: Read the sequence from both ends.
        seed: Of the first weights.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bidirectional: bool = False,
        seed: Seed = None,
    ) -> None:
        if nonlinearity not in _ACTIVATIONS:
            raise InputError(f"unknown nonlinearity {nonlinearity!r}: use one of {', '.join(_ACTIVATIONS)}")
        self.nonlinearity = nonlinearity
        kind = "rnn" if nonlinearity == "tanh" else "rnn-relu"
        super().__init__(kind, input_size, hidden_size, num_layers, bidirectional, seed=seed)

    def _step(self, a: Tensor, state: Row, W_hh: Tensor, b_hh: Tensor | float) -> tuple[Row, Kept]:
        (h,) = state
        h_new = _ACTIVATIONS[self.nonlinearity][0](a + h @ W_hh + b_hh)
        return (h_new,), (h, h_new)

    def _step_backward(self, d_state: Row, saved: Kept, W_hh: Tensor) -> tuple[Tensor, Tensor, Tensor, Row]:
        (dh_new,), (h, h_new) = d_state, saved
        da = dh_new * _ACTIVATIONS[self.nonlinearity][1](h_new)
        return da, h.T @ da, da, (da @ W_hh.T,)


class GRU(Recurrent):
    """The gated recurrent unit (book section 9.1), in one of its two forms (:mod:`d2lrnn.weights.canonical`).

    Args:
        input_size: Size of the inputs.
        hidden_size: Hidden units in each layer and direction.
        num_layers: Layers, each reading the one below.
        reset_after: Whether the reset gate scales the recurrent product of the candidate, as in cuDNN, or the state
            that goes into it, as in the paper (Cho et al., 2014) and the book.
        bidirectional: Read the sequence from both ends.
        seed: Of the first weights.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        reset_after: bool = True,
        bidirectional: bool = False,
        seed: Seed = None,
    ) -> None:
        self.reset_after = reset_after
        kind = "gru" if reset_after else "gru-reset-before"
        super().__init__(kind, input_size, hidden_size, num_layers, bidirectional, seed=seed)

    def _step(self, a: Tensor, state: Row, W_hh: Tensor, b_hh: Tensor | float) -> tuple[Row, Kept]:
        (h,) = state
        if self.reset_after:
            a_r, a_z, a_n = np.split(a, 3, axis=1)
            r_r, r_z, r_n = np.split(h @ W_hh + b_hh, 3, axis=1)
            reset, update = sigmoid(a_r + r_r), sigmoid(a_z + r_z)
            candidate = np.tanh(a_n + reset * r_n)
        else:
            a_r, a_z, a_n = np.split(a + b_hh, 3, axis=1)
            W_r, W_z, W_n = np.split(W_hh, 3, axis=1)
            reset, update = sigmoid(a_r + h @ W_r), sigmoid(a_z + h @ W_z)
            r_n = None
            candidate = np.tanh(a_n + (reset * h) @ W_n)
        return (update * h + (1 - update) * candidate,), (h, reset, update, candidate, r_n)

    def _step_backward(self, d_state: Row, saved: Kept, W_hh: Tensor) -> tuple[Tensor, Tensor, Tensor, Row]:
        (dh_new,) = d_state
        h, reset, update, candidate, r_n = saved
        da_n = dh_new * (1 - update) * (1 - candidate**2)
        da_z = dh_new * (h - candidate) * update * (1 - update)
        if self.reset_after:
            da_r = da_n * r_n * reset * (1 - reset)
            dr = np.hstack([da_r, da_z, da_n * reset])
            return np.hstack([da_r, da_z, da_n]), h.T @ dr, dr, (dh_new * update + dr @ W_hh.T,)
        W_r, W_z, W_n = np.split(W_hh, 3, axis=1)
        d_scaled = da_n @ W_n.T  # of reset * h
        da_r = d_scaled * h * reset * (1 - reset)
        da = np.hstack([da_r, da_z, da_n])
        dW_hh = np.hstack([h.T @ da_r, h.T @ da_z, (reset * h).T @ da_n])
        return da, dW_hh, da, (dh_new * update + d_scaled * reset + da_r @ W_r.T + da_z @ W_z.T,)


class LSTM(Recurrent):
    """Long short-term memory (book section 9.2). Its state is a tuple of H and C.

    Args:
        input_size: Size of the inputs.
        hidden_size: Hidden units in each layer and direction.
        num_layers: Layers, each reading the one below.
        bidirectional: Read the sequence from both ends.
        seed: Of the first weights.
    """

    num_states = 2

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, *, bidirectional: bool = False, seed: Seed = None
    ) -> None:
        super().__init__("lstm", input_size, hidden_size, num_layers, bidirectional, seed=seed)

    def _step(self, a: Tensor, state: Row, W_hh: Tensor, b_hh: Tensor | float) -> tuple[Row, Kept]:
        h, c = state
        a_i, a_f, a_g, a_o = np.split(a + h @ W_hh + b_hh, 4, axis=1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        c_new = f * c + i * g
        tanh_c = np.tanh(c_new)
        return (o * tanh_c, c_new), (h, c, i, f, g, o, tanh_c)

    def _step_backward(self, d_state: Row, saved: Kept, W_hh: Tensor) -> tuple[Tensor, Tensor, Tensor, Row]:
        dh_new, dc_new = d_state
        h, c, i, f, g, o, tanh_c = saved
        dc = dc_new + dh_new * o * (1 - tanh_c**2)
        da = np.hstack([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh_new * tanh_c * o * (1 - o)])
        return da, h.T @ da, da, (da @ W_hh.T, dc * f)


class Dense(Module):
    """A dense layer: ``X W_hq + b_q``.

    Args:
        input_size: Size of its inputs.
        output_size: Size of its outputs.
        seed: Of the first weights, uniform within 1 / sqrt(input_size).

    Attributes:
        params: The parameters by the names of :mod:`d2lrnn.weights.canonical`, ``output.W_hq`` and ``output.b_q``, in
            float64.
        grads: Their gradients, by the same names, once :meth:`backward` has been called.
    """

    def __init__(self, input_size: int, output_size: int, *, seed: Seed = None) -> None:
        rng, limit = np.random.default_rng(seed), input_size**-0.5
        self.params = {
            "output.W_hq": rng.uniform(-limit, limit, (input_size, output_size)),
            "output.b_q": rng.uniform(-limit, limit, output_size),
        }
        self.grads: dict[str, Tensor] = {}
        self._X: Tensor | None = None

    def forward(self, X: Tensor) -> Tensor:
        """Return the outputs (examples, output_size) for inputs (examples, input_size)."""
        self._X = X
        return X @ self.params["output.W_hq"] + self.params["output.b_q"]

    def backward(self, dY: Tensor) -> Tensor:
        """Find the gradients of the parameters from that of the outputs, and return that of the inputs."""
        if self._X is None:
            raise InputError("the layer has not been called, so there is nothing to go back through")
        self.grads = {"output.W_hq": self._X.T @ dY, "output.b_q": dY.sum(axis=0)}
        return dY @ self.params["output.W_hq"].T


class Embedding(Module):
    """A vector for each index (book section 9.7.1).

    Args:
        vocab_size: Size of the vocabulary.
        embed_size: Size of a vector.
        seed: Of the first vectors, standard normal as PyTorch's.

    Attributes:
        params: The vectors, ``embedding.W`` of shape (vocab_size, embed_size), in float64.
        grads: Their gradient, by the same name, once :meth:`backward` has been called.
    """

    def __init__(self, vocab_size: int, embed_size: int, *, seed: Seed = None) -> None:
        self.params = {"embedding.W": np.random.default_rng(seed).normal(size=(vocab_size, embed_size))}
        self.grads: dict[str, Tensor] = {}
        self._X: Tensor | None = None

    def forward(self, X: Tensor) -> Tensor:
        """Return the vectors, shape (..., embed_size), of indices of any shape (...)."""
        self._X = np.asarray(X)
        return self.params["embedding.W"][self._X]

    def backward(self, dY: Tensor) -> None:
        """Find the gradient of the vectors, a sum over all places of an index.

        Args:
            dY: The gradient of what the last call returned, of the same shape (..., embed_size).

        Raises:
            InputError: If the layer has not been called.
        """
        if self._X is None:
            raise InputError("the layer has not been called, so there is nothing to go back through")
        self.grads = {"embedding.W": np.zeros_like(self.params["embedding.W"])}
        np.add.at(self.grads["embedding.W"], self._X, dY)


class Adam:
    """The optimizer Adam (book section 11.10), with PyTorch's and MXNet's usual settings.

    Args:
        params: Tensors of any shapes, which :meth:`step` changes in place.
        lr: Learning rate.

    Attributes:
        beta1: What the running mean of the gradients keeps of itself in a step.
        beta2: What the running mean of their squares keeps of itself.
        eps: Added to the root of that mean, so that nothing is divided by zero. (Keras has 1e-7.)
    """

    beta1, beta2, eps = 0.9, 0.999, 1e-8

    def __init__(self, params: Sequence[Tensor], lr: float) -> None:
        self._params, self._lr, self._steps = list(params), lr, 0
        self._means = [(np.zeros_like(param), np.zeros_like(param)) for param in self._params]

    def step(self, grads: Sequence[Tensor | None]) -> None:
        """Take a step.

        Args:
            grads: The gradient of each parameter, of its shape; a parameter without one (None) stays as it is.

        Raises:
            ValueError: If there are not as many gradients as parameters.
        """
        self._steps += 1
        for param, grad, (first, second) in zip(self._params, grads, self._means, strict=True):
            if grad is None:
                continue
            first += (1 - self.beta1) * (grad - first)
            second += (1 - self.beta2) * (grad**2 - second)
            # Both began at zero, which is made up for
            mean, square = first / (1 - self.beta1**self._steps), second / (1 - self.beta2**self._steps)
            param -= self._lr * mean / (np.sqrt(square) + self.eps)
