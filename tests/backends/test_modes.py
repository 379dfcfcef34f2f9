"""Dropout acts in training, and only there; and the mode that the caller set is put back."""

import contextlib
import operator

import numpy as np
import pytest
from conftest import in_backends
from nets import B, H, T, call, parameters

from d2lrnn.core.backends import FRAMEWORKS
from d2lrnn.errors import D2LRNNWarning

pytestmark = pytest.mark.only(*FRAMEWORKS)  # NumPy's tab has no dropout, and so no modes
RATE, WEIGHTS = 0.9, 6  # weights so many times as large as usual make dropout visible


@pytest.fixture
def data(backend):
    """Return minibatches that are the same in every epoch, and their vocabulary."""
    train_iter, vocab = backend.d2l.load_data("story", B, T, False, 800, seed=0)
    return backend.d2l.SeqDataLoader(B, T, False, -1, corpus=train_iter.corpus, vocab=vocab, shift=False), vocab


def with_dropout(backend, vocab_size, rate):
    """Return a net whose layers drop out, with weights so large that this shows in everything that it computes."""
    d2l, framework = backend.d2l, backend.framework
    seed = {"torch": "manual_seed", "mxnet": "random.seed", "tensorflow": "keras.utils.set_random_seed"}[backend.name]
    operator.attrgetter(seed)(framework)(0)  # what is dropped out
    if backend.name == "torch":
        layer = framework.nn.LSTM(vocab_size, H, 2, dropout=rate)
    elif backend.name == "mxnet":
        layer = framework.gluon.rnn.LSTM(H, input_size=vocab_size)
    else:
        layer = framework.keras.layers.LSTM(H, dropout=rate, return_sequences=True, return_state=True)
    net = d2l.RNNModel(layer, vocab_size)
    if backend.name == "mxnet":
        dense, dropout = framework.gluon.nn.Dense, framework.npx.dropout
        forward = lambda self, X: dense.forward(self, dropout(X, p=rate))  # noqa: E731 (one line)
        net.dense = type("Dense", (dense,), {"forward": forward})(vocab_size)
        net.initialize()
    call(backend, net)
    rng = np.random.default_rng(0)
    for param in parameters(backend, net):
        value = (WEIGHTS * rng.uniform(-(H**-0.5), H**-0.5, tuple(param.shape))).astype("float32")
        if backend.name == "tensorflow":
            param.assign(value)
        else:
            (param.data if backend.name == "torch" else param)[:] = backend.tensor(value)
    return net


@contextlib.contextmanager
def callers_mode(backend, net, training, recording=False):
    """Set a mode as a caller does, and check that it is the same afterwards."""
    if backend.name == "torch":
        net.train(training)
        net.linear.train(not training)  # one that is frozen, say
        yield
        assert {name: module.training for name, module in net.named_modules()} == {
            "": training, "rnn": training, "linear": not training
        }  # fmt: skip
    elif backend.name == "mxnet":
        autograd = backend.framework.autograd
        modes = {(True, True): autograd.record, (True, False): autograd.train_mode}
        with modes.get((training, recording), autograd.predict_mode)():
            yield
            assert autograd.is_training() == training
            assert autograd.is_recording() == (training and recording)
    else:
        yield


MODES = in_backends(
    "training",
    {
        "torch": {"in-training-mode": True, "in-evaluation-mode": False},
        "mxnet": {"in-training-mode": True, "in-evaluation-mode": False},
        "tensorflow": {"": None},  # Keras has no mode but that of a call
    },
)


@MODES
def test_generation_drops_nothing_out(backend, data, training):
    _, vocab = data
    nets = [with_dropout(backend, len(vocab), rate) for rate in (RATE, 0.0)]
    for options in ({}, {"temperature": 1.0, "seed": 0}):
        texts = []
        for net in nets:
            with callers_mode(backend, net, training, recording=True):
                texts.append(backend.predict("the time", 30, net, vocab, **options))
        assert texts[0] == texts[1]


def test_the_comparison_would_notice_dropout(backend, data):
    """Another rate, in training mode, computes something else."""
    train_iter, vocab = data
    nets = [with_dropout(backend, len(vocab), rate) for rate in (RATE, 0.0)]
    X, _ = next(iter(train_iter))
    logits = []
    for net in nets:
        state = backend.begin_state(net, B)
        if backend.name == "torch":
            y_hat, _ = net.train()(X, state)
        elif backend.name == "mxnet":
            with backend.framework.autograd.train_mode():
                y_hat, _ = net(X, state)
        else:
            y_hat, _ = net(X, state, training=True)
        logits.append(backend.numpy(y_hat))
    assert abs(logits[0] - logits[1]).max() > 1


@MODES
def test_evaluation_drops_nothing_out(backend, data, training):
    train_iter, vocab = data
    perplexities = []
    for rate in (RATE, 0.0):
        net = with_dropout(backend, len(vocab), rate)
        with callers_mode(backend, net, training, recording=True):
            perplexities.append(backend.d2l.evaluate_perplexity(net, train_iter, *backend.place))
    assert perplexities[0] == perplexities[1]


@MODES
def test_a_loss_over_a_dataset_drops_nothing_out(backend, training):
    framework, d2l = backend.framework, backend.d2l
    if backend.name == "torch":
        net, loss = framework.nn.Dropout(RATE), lambda y_hat, y: (y_hat - y) ** 2
        net.rnn, net.linear = framework.nn.Identity(), framework.nn.Identity()  # callers_mode sets these
    elif backend.name == "mxnet":
        net, loss = framework.gluon.nn.Dropout(RATE), framework.gluon.loss.L2Loss()
    else:
        net, loss = framework.keras.layers.Dropout(RATE), lambda y, y_hat: (y_hat - y) ** 2
    ones = backend.tensor(np.ones((4, 3), np.float32))
    with callers_mode(backend, net, training, recording=True):
        assert d2l.evaluate_loss(net, [(ones, ones)], loss) == 0


@MODES
def test_training_drops_out_and_the_held_out_part_is_read_without(backend, data, training):
    train_iter, vocab = data
    net = with_dropout(backend, len(vocab), RATE)
    with callers_mode(backend, net, training):
        # So small a rate that the weights stay: only dropout tells the two perplexities apart
        history = backend.train(net, train_iter, vocab, 1e-30, 1, valid_iter=train_iter)
        held_out = backend.d2l.evaluate_perplexity(net, train_iter, *backend.place)
    plain = backend.train(with_dropout(backend, len(vocab), 0.0), train_iter, vocab, 1e-30, 1, valid_iter=train_iter)
    assert history.valid_perplexity == plain.valid_perplexity == [held_out]
    assert history.perplexity[0] != pytest.approx(plain.perplexity[0], rel=1e-3)


@MODES
def test_an_epoch_of_ones_own_drops_out(backend, data, training):
    train_iter, vocab = data
    framework, d2l, perplexities = backend.framework, backend.d2l, []
    for rate in (RATE, 0.0):
        net = with_dropout(backend, len(vocab), rate)
        if backend.name == "torch":
            rest = framework.nn.CrossEntropyLoss(), framework.optim.SGD(net.parameters(), 1e-30), backend.cpu
        elif backend.name == "mxnet":
            rest = framework.gluon.loss.SoftmaxCrossEntropyLoss(), lambda batch_size: None, backend.cpu
        else:
            rest = (
                framework.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                framework.keras.optimizers.SGD(1e-30),
            )
        with callers_mode(backend, net, training):
            perplexities.append(d2l.train_epoch_ch8(net, train_iter, *rest, False)[0])
    assert perplexities[0] != pytest.approx(perplexities[1], rel=1e-3)


@pytest.mark.only("torch")
def test_a_mode_is_put_back_after_an_error(backend, data):
    train_iter, vocab = data
    net = with_dropout(backend, len(vocab), RATE).eval()
    with pytest.raises(ZeroDivisionError):
        backend.d2l.train_epoch_ch8(
            net, train_iter, lambda y_hat, y: 1 / 0, lambda batch_size: None, backend.cpu, False
        )
    assert not any(module.training for module in net.modules())


@pytest.mark.only("mxnet")
def test_mxnets_layers_without_dropout_on_a_cpu_are_warned_about(backend, data):
    """It leaves dropout out without a word, and its other way computes wrong gradients."""
    train_iter, vocab = data
    rnn = backend.framework.gluon.rnn
    for rate in (0.5, 0):
        net = backend.d2l.RNNModel(rnn.LSTM(H, 2, dropout=rate, input_size=len(vocab)), len(vocab))
        net.initialize()
        expected = pytest.warns(D2LRNNWarning, match=r"dropout=0.5 of LSTM has no effect")
        with expected if rate else contextlib.nullcontext():
            backend.train(net, train_iter, vocab, 1, 1)
