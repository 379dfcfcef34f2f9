"""All three frameworks in one process, against each other."""

import itertools

import conftest
import numpy as np
import pytest
import tolerances
from conftest import MODELS, able

from d2lrnn import data
from d2lrnn.core import backends
from d2lrnn.weights import canonical, exchange

pytestmark = pytest.mark.parity
ENDING = {"torch": ".pt", "mxnet": ".params", "tensorflow": ".keras", "numpy": ".npz"}
H = 64


def each_pair(models):
    """Return what runs a test once for each model and each two backends that can both build it."""
    cases = [pytest.param(model, id=model) if isinstance(model, str) else model for model in models]
    return pytest.mark.parametrize(
        ("one", "other", "kind", "layers", "both")[: 2 + len(cases[0].values)],
        [
            pytest.param(one, other, *case.values, id=f"{one}-{other}-{case.id}")
            for case in cases
            for one, other in itertools.combinations(able(case.values[0]), 2)
        ],
    )


@pytest.fixture(scope="module")
def trained():
    """Train each kind once in each backend, from the same weights on the same minibatches."""
    cache = {}

    def train(kind):
        if kind not in cache:
            cache[kind] = {name: _train(name, kind) for name in able(kind)}
        return cache[kind]

    return train


def _train(name, kind):
    backend = conftest.load_backend(name)
    train_iter, vocab = backend.d2l.load_data("story", 16, 25, False, 6000, seed=0)
    net, device = backend.interface.build_model(kind, len(vocab), H, device="cpu", seed=0)
    history = backend.interface.train(net, train_iter, vocab, 1, 10, device, quiet=True)
    text = backend.interface.predict("time traveller", 50, net, vocab, device)
    return history, backend.interface.get_weights(net), text


@each_pair(canonical.KINDS)
def test_perplexity_after_training(trained, kind, one, other):
    first, second = trained(kind)[one][0], trained(kind)[other][0]
    assert first.perplexity[-1] < 0.75 * first.perplexity[0]
    np.testing.assert_allclose(first.perplexity, second.perplexity, rtol=tolerances.PERPLEXITY_AFTER_TRAINING[kind])


@each_pair(MODELS)
def test_forward_from_the_same_weights(kind, layers, both, one, other):
    rng = np.random.default_rng(0)
    shapes = canonical.shapes(kind, 28, 32, layers, both)
    weights = {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    X = rng.integers(28, size=(8, 12))
    results = []
    for name in (one, other):
        backend = backends.load(name)
        net, _ = backend.build_model(kind, 28, 32, layers, bidirectional=both, device="cpu")
        backend.set_weights(net, weights)
        results.append(backend.forward(net, X))
    (logits, state), (other_logits, other_state) = results
    np.testing.assert_allclose(logits, other_logits, rtol=0, atol=tolerances.LOGITS)
    np.testing.assert_allclose(state, other_state, rtol=0, atol=tolerances.STATE)


@pytest.mark.parametrize(("trainer", "kind"), [(trainer, kind) for kind in canonical.KINDS for trainer in able(kind)])
def test_weights_trained_in_one_continue_the_same_text_in_all(trained, tmp_path, kind, trainer):
    """Equal weights give equal greedy text; they are those of each trainer in turn, and travel as its own file."""
    _, weights, text = trained(kind)[trainer]
    path = tmp_path / f"model{ENDING[trainer]}"
    exchange.write_file(path, kind, canonical.in_dtype(weights, "float32"))
    _, weights = exchange.read_file(path, kind)
    _, vocab = data.load_corpus("story")
    texts = {}
    for name in able(kind):
        backend = backends.load(name)
        net, device = backend.build_model(kind, len(vocab), H, device="cpu")
        backend.set_weights(net, weights)
        texts[name] = backend.predict("time traveller", 50, net, vocab, device)
    assert texts == dict.fromkeys(able(kind), text)


@pytest.mark.parametrize("kind", canonical.KINDS)
def test_the_same_seed_gives_the_same_first_weights(kind):
    first, *others = (
        backend.get_weights(backend.build_model(kind, 28, 16, device="cpu", seed=9)[0])
        for backend in map(backends.load, able(kind))
    )
    for other in others:
        assert list(other) == list(first)
        for name, value in first.items():
            np.testing.assert_array_equal(other[name], value)


def test_the_book_initialiser_draws_the_same_weights_everywhere():
    params = []
    for name in backends.BACKENDS:
        backend = conftest.load_backend(name)
        params.append([backend.numpy(p) for p in backend.d2l.get_params(28, 16, *backend.place, seed=4)])
    for other in params[1:]:
        for mine, theirs in zip(params[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_every_backend_exports_the_same_names():
    names = [conftest.load_backend(name).d2l.__all__ for name in backends.BACKENDS]
    assert names[0] == names[1] == names[2]
