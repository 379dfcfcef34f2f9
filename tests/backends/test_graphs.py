"""TensorFlow's graphs: made once for what they are made of, and seen to be stale when that has changed."""

import gc
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tolerances
from nets import H, V, copy_of, count_calls, generated, generated_by_hand, losses_of, randomise, ready

from d2lrnn.errors import D2LRNNWarning

pytestmark = pytest.mark.only("tensorflow")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def data(backend):
    return backend.d2l.load_data("story", 16, 8, False, 1000, seed=0)


def number_of_graphs():
    gc.collect()
    gc.collect()  # what ends with what the first one found
    return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())


def counted(backend, monkeypatch, kind, vocab):
    """Return a net, and a list that grows whenever it is called to make a graph of it."""
    if kind == "rnn-scratch":
        calls = []
        net = backend.scratch(len(vocab), H, seed=0)
        net.forward_fn = copy_of(backend.d2l.rnn, calls)
        return net, calls
    net = backend.concise(kind, len(vocab), H)
    return net, count_calls(monkeypatch, type(net), "call")


@pytest.mark.parametrize("kind", ["rnn-scratch", "lstm"])
def test_only_the_first_training_makes_graphs(backend, data, monkeypatch, kind):
    train_iter, vocab = data
    net, calls = counted(backend, monkeypatch, kind, vocab)

    def train(lr, theta):
        # A strategy and a loader of its own each time, as cells that are run again have
        strategy = backend.interface.get_device("cpu")
        backend.d2l.train_ch8(net, train_iter, vocab, lr, 1, strategy, theta=theta, valid_iter=train_iter, quiet=True)
        backend.predict("the", 3, net, vocab, seed=0)

    train(1, 1)
    calls.clear()
    graphs = number_of_graphs()
    for lr, theta in ((1, 1), (0.5, 1), (0.5, 2), (1.0, 3.5)):
        train(lr, theta)
        assert not calls
        assert number_of_graphs() == graphs


@pytest.mark.parametrize("kind", ["rnn-scratch", "lstm"])
def test_the_graphs_of_a_net_go_with_it(backend, data, kind):
    """TensorFlow itself keeps each graph with a custom gradient in it for good."""
    train_iter, vocab = data

    def number_after_another_net():
        net, device = backend.interface.build_model(kind, len(vocab), H, device="cpu")
        backend.d2l.train_ch8(net, train_iter, vocab, 1, 1, device, valid_iter=train_iter, quiet=True)
        backend.predict("the", 3, net, vocab, seed=0)
        with_it = number_of_graphs()
        del net
        return with_it, number_of_graphs()

    number_after_another_net()
    with_it, without = number_after_another_net()
    assert with_it > without
    assert number_after_another_net() == (with_it, without)


def weights_after(backend, net, data, **options):
    train_iter, vocab = data
    train_iter = backend.d2l.SeqDataLoader(16, 20, False, -1, corpus=train_iter.corpus, vocab=vocab, seed=0)
    backend.train(net, train_iter, vocab, options.pop("lr", 1), 1, **options)
    return [backend.numpy(param).copy() for param in net.trainable_variables]


@pytest.mark.parametrize("changed", [{"lr": 0.5}, {"theta": 0.1}], ids=["learning-rate", "radius"])
def test_a_number_that_changes_is_seen(backend, data, changed):
    _, vocab = data
    used, new = (backend.interface.build_model("rnn", len(vocab), H, device="cpu", seed=0)[0] for _ in range(2))
    first = backend.interface.get_weights(used)
    weights_after(backend, used, data)
    backend.interface.set_weights(used, first)
    for result, expected in zip(
        weights_after(backend, used, data, **changed), weights_after(backend, new, data, **changed), strict=True
    ):
        np.testing.assert_array_equal(result, expected)


def exchange(name, make):
    """Return a change of a net: another layer under a name."""

    def change(net, d2l, keras):
        net._tracker.unlock()  # Keras forbids it once a net is built; not everybody asks Keras
        setattr(net, name, make(d2l, keras))

    return change


# What a reader may exchange in a net
CHANGES = {
    "function": ("rnn-scratch", lambda net, d2l, keras: setattr(net, "forward_fn", negated(d2l.rnn))),
    "output-layer": ("rnn", exchange("dense", lambda d2l, keras: keras.layers.Dense(V, "relu"))),
    "output-function": ("rnn", exchange("dense", lambda d2l, keras: lambda X: -X[:, :V])),
    "layer": ("rnn", exchange("rnn", lambda d2l, keras: d2l.recurrent_layer("rnn-relu", V, H))),
    "option": ("rnn", lambda net, d2l, keras: setattr(net.dense, "activation", keras.activations.relu)),
    "own-attribute": ("scaled-scratch", lambda net, d2l, keras: setattr(net, "_scale", -1.0)),
    "own-attribute-of-a-layer": ("scaled", lambda net, d2l, keras: setattr(net, "_scale", -1.0)),
    "option-of-a-cell": ("rnn", lambda net, d2l, keras: setattr(net.rnn.cell, "activation", keras.activations.relu)),
}


def scaled(backend, kind):
    """Return a net of a reader's own class, with an option that it keeps to itself."""
    d2l = backend.d2l
    if kind == "scaled-scratch":

        class Scratch(d2l.RNNModelScratch):
            _scale = 1.0

            def __call__(self, X, state):
                logits, state = super().__call__(X, state)
                return self._scale * logits, state

        return Scratch(V, H, d2l.init_rnn_state, d2l.rnn, d2l.get_params)

    class Model(d2l.RNNModel):
        _scale = 1.0

        def call(self, inputs, state):
            logits, state = super().call(inputs, state)
            return self._scale * logits, state

    return Model(d2l.recurrent_layer("rnn", V, H), V)


def test_a_net_that_counts_its_calls_is_no_other_net(backend, data, monkeypatch):
    train_iter, vocab = data

    class Counting(backend.d2l.RNNModelScratch):
        calls = 0

        def __call__(self, X, state):
            self.calls, self.log = self.calls + 1, [*getattr(self, "log", []), "called"]
            return super().__call__(X, state)

    net = Counting(len(vocab), H, backend.d2l.init_rnn_state, backend.d2l.rnn, backend.d2l.get_params)
    net.log = []
    graphs = count_calls(monkeypatch, backend.framework, "function")
    for _ in range(3):
        backend.train(net, train_iter, vocab, 1, 2, valid_iter=train_iter)
        backend.predict("the", 3, net, vocab)
    assert len(graphs) <= 8  # two of each of the four at most


def test_with_keras_2_only_the_first_training_makes_graphs(backend):
    code = (
        "import tensorflow as tf; from d2lrnn.core import backends; from d2lrnn import tensorflow as d2l\n"
        "made, function = [], tf.function\n"
        "tf.function = lambda *args, **kwargs: made.append(1) or function(*args, **kwargs)\n"
        "backend = backends.load('tensorflow')\n"
        "train_iter, vocab = d2l.load_data('story', 16, 8, max_tokens=1000)\n"
        "for kind in ('rnn', 'lstm'):\n"
        "    net, strategy = backend.build_model(kind, len(vocab), 8, device='cpu')\n"
        "    for _ in range(2):\n"
        "        d2l.train_ch8(net, train_iter, vocab, 1, 2, strategy, valid_iter=train_iter, quiet=True)\n"
        "        d2l.predict_ch8('the', 3, net, vocab)\n"
        "        print(len(made))\n"
    )
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["4", "4", "8", "8"]


def negated(rnn):
    def forward_fn(inputs, state, params):
        logits, state = rnn(inputs, state, params)
        return -logits, state

    return forward_fn


@pytest.mark.parametrize(("kind", "change"), CHANGES.values(), ids=CHANGES)
def test_a_net_that_has_changed_generates_as_what_it_is_now(backend, rng, kind, change):
    net = scaled(backend, kind) if kind.startswith("scaled") else ready(backend, kind, rng)
    for options in ({}, {"seed": 0}):
        generated(backend, net, **options)
    change(net, backend.d2l, backend.framework.keras)
    net(backend.tensor(np.zeros((1, 1), np.int32)), backend.begin_state(net, 1))
    randomise(backend, net, rng)
    for options in ({}, {"seed": 0}):
        assert generated(backend, net, **options) == generated_by_hand(backend, net, **options)


def test_a_net_that_has_changed_trains_as_what_it_is_now(backend):
    losses = []
    for before in (True, False):
        net = backend.scratch(V, H, seed=0)
        first = [backend.numpy(param).copy() for param in net.trainable_variables]
        if before:
            losses_of(backend, net)
            for param, value in zip(net.trainable_variables, first, strict=True):
                param.assign(value)
        net.forward_fn = negated(backend.d2l.rnn)
        losses.append(losses_of(backend, net))
    assert losses[0] == losses[1]


def test_a_variable_that_is_exchanged_is_trained(backend, data):
    train_iter, vocab = data
    net = backend.scratch(len(vocab), H, seed=0)
    backend.train(net, train_iter, vocab, 1, 1)
    net.trainable_variables = backend.d2l.get_params(len(vocab), H, seed=1)
    before = [backend.numpy(param).copy() for param in net.trainable_variables]
    backend.train(net, train_iter, vocab, 1, 1)
    for param, value in zip(net.trainable_variables, before, strict=True):
        assert (backend.numpy(param) != value).any()


def test_another_loss_is_seen(backend, data):
    tf, (train_iter, vocab) = backend.framework, data
    net = backend.scratch(len(vocab), H, seed=0)
    cross_entropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    updater = tf.keras.optimizers.SGD(0.0)
    perplexities = [
        backend.d2l.train_epoch_ch8(net, train_iter, loss, updater, False)[0]
        for loss in (cross_entropy, lambda y, y_hat: 2 * cross_entropy(y, y_hat), cross_entropy)
    ]
    assert perplexities[1] == pytest.approx(perplexities[0] ** 2, rel=1e-2)
    assert perplexities[2] == pytest.approx(perplexities[0], rel=1e-2)


# What cannot be a graph, and what XLA lacks


def warned(record):
    return [str(warning.message) for warning in record if issubclass(warning.category, D2LRNNWarning)]


def no_graph(rnn, calls):
    def forward_fn(inputs, state, params):
        logits, state = rnn(inputs, state, params)
        calls.append(float(logits[0, 0]))  # which a graph does not have
        return logits, state

    return forward_fn


def test_what_is_no_graph_is_warned_about_once_and_runs(backend, data, monkeypatch):
    train_iter, vocab = data
    net, calls = backend.scratch(len(vocab), H, seed=0), []
    net.forward_fn = no_graph(backend.d2l.rnn, calls)
    graphs = count_calls(monkeypatch, backend.framework, "function")
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        for _ in range(2):
            backend.train(net, train_iter, vocab, 1, 3)
            backend.predict("the", 3, net, vocab)
    (message,) = warned(record)
    assert message.startswith("RNNModelScratch cannot be compiled and runs slowly, operator by operator: ")
    assert len(graphs) == 3  # the step, and the two of generation
    assert len(calls) == 2 * (3 * len(list(train_iter)) + 2 + 3)


def test_an_error_of_a_readers_function_is_the_readers_to_see(backend, data):
    train_iter, vocab = data
    net = backend.scratch(len(vocab), H)

    def forward_fn(inputs, state, params):
        raise ValueError("a slip of the pen")

    net.forward_fn = forward_fn
    with pytest.raises(ValueError, match="a slip of the pen"):
        backend.train(net, train_iter, vocab, 1, 1)


@pytest.mark.parametrize("form", ["rnn", "rnn_fast"])
def test_training_by_xla_is_training(backend, monkeypatch, form):
    losses, graphs = [], count_calls(monkeypatch, backend.framework, "function")
    for jit_compile in (True, False):
        net = backend.scratch(V, H, seed=0)
        net.forward_fn = getattr(backend.d2l, form)
        losses.append(losses_of(backend, net, num_steps=6, jit_compile=jit_compile))
    assert [options.get("jit_compile") for _, options in graphs] == [True, None]
    atol = tolerances.LOSSES_OVER_50_STEPS[backend.name, "rnn-scratch"]
    np.testing.assert_allclose(*losses, rtol=0, atol=atol)


def test_xla_is_for_those_who_ask_for_it(backend, monkeypatch):
    """It may be the slower way, and takes seconds to begin."""
    graphs = count_calls(monkeypatch, backend.framework, "function")
    losses_of(backend, backend.interface.build_model("rnn-scratch", V, 512, device="cpu", seed=0)[0], epochs=1)
    assert graphs
    assert not any(options.get("jit_compile") for _, options in graphs)


def test_what_xla_lacks_is_warned_about_once_and_runs(backend, data, monkeypatch):
    tf, (train_iter, vocab) = backend.framework, data
    cross_entropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    seen = []

    def loss(y, y_hat):
        tf.py_function(seen.append, [y[0]], [])  # Python, in the middle of a graph
        return cross_entropy(y, y_hat)

    net, updater = backend.scratch(len(vocab), H, seed=0), tf.keras.optimizers.SGD(1.0)
    graphs = count_calls(monkeypatch, tf, "function")
    perplexities = []
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        for _ in range(3):
            perplexity, _ = backend.d2l.train_epoch_ch8(net, train_iter, loss, updater, False, jit_compile=True)
            perplexities.append(perplexity)
    (message,) = warned(record)
    assert message.startswith("RNNModelScratch cannot be compiled and runs without XLA: ")
    assert len(graphs) == 2
    assert perplexities[2] < perplexities[0]
    assert len(seen) == 3 * len(list(train_iter))
