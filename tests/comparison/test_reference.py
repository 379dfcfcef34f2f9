"""The oracle itself: its gradients against finite differences, its parts against the book's formulas."""

import numpy as np
import pytest
import tolerances
from conftest import MODELS

from d2lrnn.comparison import reference
from d2lrnn.numpy import nn
from d2lrnn.weights import canonical

V, H, B, T = 6, 4, 3, 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def problem(rng, kind, layers, both):
    """Return weights large enough to bend every nonlinearity, a minibatch, and a state that is not zero."""
    weights = canonical.initial_weights(kind, V, H, layers, both, seed=rng)
    weights = {name: rng.normal(0, 0.7, value.shape) for name, value in weights.items()}
    state = tuple(rng.normal(size=s.shape) for s in reference.begin_state(weights, B, kind))
    return weights, rng.integers(V, size=(B, T)), rng.integers(V, size=(B, T)), state


def cross_entropy(logits, Y):
    """Return the mean loss of labels Y (batch_size, num_steps) under time-major logits."""
    return nn.CrossEntropyLoss()(logits, np.asarray(Y).T.reshape(-1))


def numerical_gradient(weights, name, index, X, Y, state, kind, step=1e-6):
    def loss(change):
        moved = {n: w.copy() for n, w in weights.items()}
        moved[name][index] += change
        return cross_entropy(reference.forward(moved, X, state, kind)[0], Y)

    return (loss(step) - loss(-step)) / (2 * step)


@pytest.mark.parametrize(("kind", "layers", "both"), MODELS)
def test_gradients_equal_finite_differences(rng, kind, layers, both):
    weights, X, Y, state = problem(rng, kind, layers, both)
    _, grads, _ = reference.loss_and_gradients(weights, X, Y, state, kind)
    assert list(grads) == list(weights)
    for name, value in weights.items():
        index = tuple(rng.integers(size) for size in value.shape)
        expected = numerical_gradient(weights, name, index, X, Y, state, kind)
        np.testing.assert_allclose(grads[name][index], expected, atol=tolerances.FINITE_DIFFERENCE, err_msg=name)


def test_the_finite_differences_would_notice_a_wrong_gradient(rng):
    weights, X, Y, state = problem(rng, "rnn", 1, False)
    _, grads, _ = reference.loss_and_gradients(weights, X, Y, state, "rnn")
    expected = numerical_gradient(weights, "layers.0.W_hh", (0, 0), X, Y, state, "rnn")
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(grads["layers.0.W_hh"][0, 0] * 1.0001, expected, atol=tolerances.FINITE_DIFFERENCE)


def test_the_simple_network_is_the_books_formula(rng):
    weights, X, _, (H0,) = problem(rng, "rnn-scratch", 1, False)
    W_xh, W_hh, b_h, W_hq, b_q = weights.values()
    state, outputs = H0[0], []
    for x in X.T:
        state = np.tanh(W_xh[x] + state @ W_hh + b_h)
        outputs.append(state @ W_hq + b_q)
    logits, new_state = reference.forward(weights, X, (H0,), "rnn-scratch")
    assert logits.shape == (T * B, V)
    np.testing.assert_allclose(logits, np.concatenate(outputs), rtol=1e-12)
    np.testing.assert_allclose(new_state[0], state[None], rtol=1e-12)


def test_the_gru_that_resets_before_is_the_books_formula(rng):
    weights, X, _, (H0,) = problem(rng, "gru-reset-before", 1, False)
    W_x, W_h, b, W_hq, b_q = weights.values()
    (W_xr, W_xz, W_xh), (W_hr, W_hz, W_hh), (b_r, b_z, b_h) = (np.split(w, 3, axis=-1) for w in (W_x, W_h, b))
    H, outputs = H0[0], []
    for x in X.T:
        R = 1 / (1 + np.exp(-(W_xr[x] + H @ W_hr + b_r)))
        Z = 1 / (1 + np.exp(-(W_xz[x] + H @ W_hz + b_z)))
        H_tilda = np.tanh(W_xh[x] + (R * H) @ W_hh + b_h)
        H = Z * H + (1 - Z) * H_tilda
        outputs.append(H @ W_hq + b_q)
    logits, (state,) = reference.forward(weights, X, (H0,), "gru-reset-before")
    np.testing.assert_allclose(logits, np.concatenate(outputs), rtol=1e-12)
    np.testing.assert_allclose(state, H[None], rtol=1e-12)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_simple_network_with_relu_is_the_books_formula(rng):
    weights, X, _, (H0,) = problem(rng, "rnn-relu", 1, False)
    W_xh, W_hh, b_h, W_hq, b_q = weights.values()
    H, outputs = H0[0], []
    for x in X.T:
        H = np.maximum(W_xh[x] + H @ W_hh + b_h, 0)
        outputs.append(H @ W_hq + b_q)
    logits, (state,) = reference.forward(weights, X, (H0,), "rnn-relu")
    np.testing.assert_allclose(logits, np.concatenate(outputs), rtol=1e-12)
    np.testing.assert_allclose(state, H[None], rtol=1e-12)


def test_the_gru_is_the_formula_of_the_frameworks(rng):
    """The reset gate scales the recurrent product, with its bias: what cuDNN, PyTorch and MXNet compute."""
    weights, X, _, (H0,) = problem(rng, "gru", 1, False)
    W_x, W_h, b, b_hh, W_hq, b_q = weights.values()
    (W_xr, W_xz, W_xh), (W_hr, W_hz, W_hh) = (np.split(w, 3, axis=-1) for w in (W_x, W_h))
    (b_r, b_z, b_h), (b_hr, b_hz, b_hn) = (np.split(w, 3) for w in (b, b_hh))
    H, outputs = H0[0], []
    for x in X.T:
        R = sigmoid(W_xr[x] + b_r + H @ W_hr + b_hr)
        Z = sigmoid(W_xz[x] + b_z + H @ W_hz + b_hz)
        H_tilda = np.tanh(W_xh[x] + b_h + R * (H @ W_hh + b_hn))
        H = Z * H + (1 - Z) * H_tilda
        outputs.append(H @ W_hq + b_q)
    logits, (state,) = reference.forward(weights, X, (H0,), "gru")
    np.testing.assert_allclose(logits, np.concatenate(outputs), rtol=1e-12)
    np.testing.assert_allclose(state, H[None], rtol=1e-12)


def test_the_lstm_is_the_books_formula(rng):
    weights, X, _, (H0, C0) = problem(rng, "lstm", 1, False)
    W_x, W_h, b, W_hq, b_q = weights.values()
    gates = [np.split(w, 4, axis=-1) for w in (W_x, W_h, b)]
    (W_xi, W_xf, W_xc, W_xo), (W_hi, W_hf, W_hc, W_ho), (b_i, b_f, b_c, b_o) = gates
    H, C, outputs = H0[0], C0[0], []
    for x in X.T:
        I = sigmoid(W_xi[x] + H @ W_hi + b_i)
        F = sigmoid(W_xf[x] + H @ W_hf + b_f)
        O = sigmoid(W_xo[x] + H @ W_ho + b_o)
        C_tilda = np.tanh(W_xc[x] + H @ W_hc + b_c)
        C = F * C + I * C_tilda
        H = O * np.tanh(C)
        outputs.append(H @ W_hq + b_q)
    logits, (state, cell) = reference.forward(weights, X, (H0, C0), "lstm")
    np.testing.assert_allclose(logits, np.concatenate(outputs), rtol=1e-12)
    np.testing.assert_allclose(state, H[None], rtol=1e-12)
    np.testing.assert_allclose(cell, C[None], rtol=1e-12)


def test_two_layers_in_both_directions_are_the_layers_one_above_the_other(rng):
    """Each direction of each layer computes what a model of one layer does, and a state is a row of each."""
    weights, X, _, (H0,) = problem(rng, "rnn", 2, True)
    inputs = np.eye(V)[X.T]  # (num_steps, batch_size, V)
    rows, row = [], 0
    for layer in range(2):
        outputs = []
        for prefix, step in ((f"layers.{layer}.", 1), (f"layers.{layer}.reverse.", -1)):
            H, steps = H0[row], []
            for x in inputs[::step]:
                H = np.tanh(x @ weights[prefix + "W_xh"] + H @ weights[prefix + "W_hh"] + weights[prefix + "b_h"])
                steps.append(H)
            outputs.append(np.stack(steps[::step]))
            rows.append(H)
            row += 1
        inputs = np.concatenate(outputs, axis=2)
    expected = inputs.reshape(T * B, -1) @ weights["output.W_hq"] + weights["output.b_q"]
    logits, (state,) = reference.forward(weights, X, (H0,), "rnn")
    np.testing.assert_allclose(logits, expected, rtol=1e-12)
    np.testing.assert_allclose(state, np.stack(rows), rtol=1e-12)


@pytest.mark.parametrize("kind", canonical.KINDS)
def test_two_halves_with_a_carried_state_equal_the_whole(rng, kind):
    weights, X, _, state = problem(rng, kind, 1, False)
    whole, last = reference.forward(weights, X, state, kind)
    first, middle = reference.forward(weights, X[:, :2], state, kind)
    second, end = reference.forward(weights, X[:, 2:], middle, kind)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-12)
    np.testing.assert_allclose(end, last, rtol=1e-12)


@pytest.mark.parametrize(("kind", "layers", "both"), MODELS)
def test_a_first_state_is_zeros_for_each_layer_and_direction(kind, layers, both):
    state = reference.begin_state(canonical.initial_weights(kind, V, H, layers, both), B, kind)
    assert len(state) == (2 if kind == "lstm" else 1)
    for part in state:
        np.testing.assert_array_equal(part, np.zeros((layers * (2 if both else 1), B, H)))


def test_one_hot_of_a_time_major_minibatch():
    vectors = nn.one_hot(np.arange(10).reshape(2, 5).T, 28)
    assert vectors.shape == (5, 2, 28)
    np.testing.assert_array_equal(vectors.argmax(axis=2), np.arange(10).reshape(2, 5).T)


def test_cross_entropy_of_equal_logits_is_the_log_of_the_vocabulary():
    assert cross_entropy(np.zeros((6, 28)), np.zeros((2, 3), int)) == pytest.approx(np.log(28))


def test_cross_entropy_of_huge_logits_does_not_overflow():
    assert cross_entropy(np.array([[1e4, 0.0]]), [[1]]) == pytest.approx(1e4)


def test_clipping_shrinks_to_the_radius_and_keeps_the_direction():
    grads, norm = reference.clip({"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}, 1.0)
    assert norm == 5.0
    np.testing.assert_allclose(grads["a"], [0.6, 0.0])
    np.testing.assert_allclose(grads["b"], [[0.8]])


@pytest.mark.parametrize("gradient", [0.0, 0.5], ids=["zero", "inside"])
def test_clipping_leaves_what_is_inside_the_ball(gradient):
    grads, norm = reference.clip({"a": np.array([gradient])}, 1.0)
    assert (grads["a"][0], norm) == (gradient, gradient)


def test_training_steps_carry_the_state_or_begin_anew(rng):
    weights, X, Y, state = problem(rng, "rnn", 1, False)
    before = {name: value.copy() for name, value in weights.items()}
    _, losses, last = reference.train_steps(weights, [(X, Y), (X, Y)], 0.5, state=state)
    after_one, first, middle = reference.train_steps(weights, [(X, Y)], 0.5, state=state)
    _, second, end = reference.train_steps(after_one, [(X, Y)], 0.5, state=middle)
    assert losses == first + second
    np.testing.assert_array_equal(end, last)
    _, anew, _ = reference.train_steps(after_one, [(X, Y)], 0.5, use_random_iter=True, state=middle)
    assert anew != second
    for name, value in before.items():
        np.testing.assert_array_equal(weights[name], value)


def test_training_steps_clip_to_1_unless_told_otherwise(rng):
    weights, X, Y, _ = problem(rng, "rnn", 1, False)
    weights = {name: 3 * value for name, value in weights.items()}
    _, grads, _ = reference.loss_and_gradients(weights, X, Y)
    assert reference.clip(grads, 1.0)[1] > 2
    moved = {}
    for name, options in {"untold": {}, "1": {"theta": 1.0}, "2": {"theta": 2.0}}.items():
        after, _, _ = reference.train_steps(weights, [(X, Y)], 0.5, **options)
        moved[name] = np.sqrt(sum(((after[key] - value) ** 2).sum() for key, value in weights.items()))
    assert moved == {name: pytest.approx(length) for name, length in {"untold": 0.5, "1": 0.5, "2": 1.0}.items()}


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown model 'transformer'"):
        reference.forward({}, [[0]], None, "transformer")
