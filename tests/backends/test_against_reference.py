"""Each backend against the NumPy reference, from the same weights, without the other frameworks."""

from functools import cache

import numpy as np
import pytest
import tolerances
from conftest import MODELS, in_each_backend

from d2lrnn import data
from d2lrnn.comparison import reference
from d2lrnn.core.backends import BACKENDS
from d2lrnn.weights import canonical

V, H, B, T = 28, 32, 8, 12


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@cache  # the tests give a model weights and train it no further
def build(backend, kind, layers, both):
    return backend.interface.build_model(kind, V, H, layers, bidirectional=both, device="cpu")[0]


@pytest.fixture
def model(backend, rng, kind, layers, both):
    """Return a model, its weights (large enough for the gates to matter), and a state that is not zero."""
    net = build(backend, kind, layers, both)
    shapes = canonical.shapes(kind, V, H, layers, both)
    weights = {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    backend.interface.set_weights(net, weights)
    zeros = reference.begin_state(weights, B, kind)
    return net, weights, tuple(rng.normal(0, 0.5, s.shape).astype(np.float32) for s in zeros)


@pytest.fixture
def minibatch(rng):
    return rng.integers(V, size=(B, T)), rng.integers(V, size=(B, T))


@in_each_backend(MODELS)
def test_weights_come_back_as_they_were_given(backend, model):
    net, weights, _ = model
    result = backend.interface.get_weights(net)
    assert list(result) == list(weights)
    for name, value in weights.items():
        assert result[name].dtype == BACKENDS[backend.name].dtype
        np.testing.assert_array_equal(result[name], value, err_msg=name)


@in_each_backend(MODELS)
def test_exactly_the_canonical_parameters_are_trained(backend, model, kind, layers, both):
    net, weights, _ = model
    assert backend.interface.num_parameters(net) == sum(value.size for value in weights.values())


@in_each_backend(MODELS)
@pytest.mark.parametrize("from_zeros", [True, False], ids=["from-zeros", "from-a-state"])
def test_logits_and_state(backend, model, minibatch, kind, layers, both, from_zeros):
    net, weights, state = model
    state = None if from_zeros else state
    logits, new_state = backend.interface.forward(net, minibatch[0], state)
    expected, expected_state = reference.forward(weights, minibatch[0], state, kind)
    assert (logits.shape, logits.dtype) == ((T * B, V), BACKENDS[backend.name].dtype)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerances.LOGITS)
    assert len(new_state) == len(expected_state)
    for part, expected_part in zip(new_state, expected_state, strict=True):
        assert part.shape == expected_part.shape
        np.testing.assert_allclose(part, expected_part, rtol=0, atol=tolerances.STATE)


@in_each_backend(MODELS)
def test_loss_and_raw_gradients(backend, model, minibatch, kind, layers, both):
    net, weights, state = model
    loss, grads, norm = backend.interface.loss_and_gradients(net, *minibatch, state)
    expected_loss, expected, _ = reference.loss_and_gradients(weights, *minibatch, state, kind)
    _, expected_norm = reference.clip(expected, 1.0)
    np.testing.assert_allclose(loss, expected_loss, rtol=0, atol=tolerances.LOSS)
    np.testing.assert_allclose(norm, expected_norm, rtol=0, atol=tolerances.NORM[kind])
    assert list(grads) == list(expected)
    for name, value in expected.items():
        # A second bias that is frozen has no gradient: the first one's is that of the canonical bias
        np.testing.assert_allclose(grads[name], value, rtol=0, atol=tolerances.GRADIENT[kind], err_msg=name)


@in_each_backend(MODELS)
def test_clipped_gradients(backend, model, minibatch, kind, layers, both):
    check_clipped(backend, model, minibatch, kind, 0.01)


@in_each_backend([model for model in MODELS if model.id in ("rnn-scratch-1", "lstm-2")])  # it is the same for all
def test_gradients_inside_of_theta_are_left_alone(backend, model, minibatch, kind, layers, both):
    check_clipped(backend, model, minibatch, kind, 100.0)


def check_clipped(backend, model, minibatch, kind, theta):
    net, weights, state = model
    _, grads, norm = backend.interface.loss_and_gradients(net, *minibatch, state, theta=theta)
    _, raw, _ = reference.loss_and_gradients(weights, *minibatch, state, kind)
    expected, expected_norm = reference.clip(raw, theta)
    assert theta > 1 or expected_norm > theta
    np.testing.assert_allclose(norm, expected_norm, rtol=0, atol=tolerances.NORM[kind])
    for name, value in expected.items():
        np.testing.assert_allclose(grads[name], value, rtol=0, atol=tolerances.GRADIENT[kind], err_msg=name)


def test_the_comparison_would_notice_an_error_of_one_part_in_a_thousand(rng):
    weights = {n: rng.normal(0, 0.2, s) for n, s in canonical.shapes("rnn", V, H).items()}
    X = rng.integers(V, size=(B, T))
    logits, _ = reference.forward(weights, X)
    weights["layers.0.W_hh"] *= 1.001
    wrong, _ = reference.forward(weights, X)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(wrong, logits, rtol=0, atol=tolerances.LOGITS)


def trained(backend, kind, epochs, *, use_random_iter=False, lr=1.0):
    """Train in a backend and in the reference from the same weights and minibatches; return losses and weights."""
    corpus, vocab = data.load_corpus("story", 3000)
    sizes = {"corpus": corpus, "vocab": vocab, "seed": 3}
    loader = backend.interface.SeqDataLoader(16, 20, use_random_iter, -1, **sizes)
    net, device = backend.interface.build_model(kind, len(vocab), 64, device="cpu", seed=5)
    weights = backend.interface.get_weights(net)
    losses = []
    backend.interface.train(
        net, loader, vocab, lr, epochs, device, use_random_iter, quiet=True,
        callback=lambda number, epoch: losses.extend(epoch.losses.tolist()),
    )  # fmt: skip
    expected, mirror = [], data.SeqDataLoader(16, 20, use_random_iter, -1, **sizes)
    for _ in range(epochs):
        weights, epoch_losses, _ = reference.train_steps(
            weights, mirror, lr, kind=kind, use_random_iter=use_random_iter
        )
        expected += epoch_losses
    return losses, expected, backend.interface.get_weights(net), weights


@pytest.mark.parametrize("use_random_iter", [False, True], ids=["sequential", "random"])
@in_each_backend(canonical.KINDS)
def test_weights_after_an_epoch_of_training(backend, kind, use_random_iter):
    _, _, weights, expected = trained(backend, kind, 1, use_random_iter=use_random_iter)
    for name, value in expected.items():
        np.testing.assert_allclose(
            weights[name], value, rtol=0, atol=tolerances.WEIGHTS_AFTER_AN_EPOCH[backend.name], err_msg=name
        )


@in_each_backend(canonical.KINDS)
def test_losses_over_fifty_steps(backend, kind):
    losses, expected, _, _ = trained(backend, kind, 6)
    assert len(losses) == len(expected) >= 50
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(
        losses[:50], expected[:50], rtol=0, atol=tolerances.LOSSES_OVER_50_STEPS[backend.name, kind]
    )
