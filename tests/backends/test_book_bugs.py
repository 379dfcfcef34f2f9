"""What the book gets wrong: each test fails on the behaviour of edition 0.17."""

import subprocess
import sys

import numpy as np
import pytest

from d2lrnn import data
from d2lrnn.core.backends import FRAMEWORKS
from d2lrnn.errors import InputError


@pytest.fixture
def loaders(backend):
    def load(use_random_iter):
        return backend.d2l.load_data("story", 4, 10, use_random_iter, 600, seed=0)

    return load


def test_a_random_iterator_is_not_read_as_a_sequential_one(backend, loaders):
    train_iter, vocab = loaders(True)
    net = backend.scratch(len(vocab), 8)
    with pytest.raises(InputError, match="train_iter samples randomly.*pass use_random_iter=True"):
        backend.train(net, train_iter, vocab, 1, 1)


def test_the_books_cell_with_a_sequential_iterator_runs_with_a_warning(backend, loaders):
    train_iter, vocab = loaders(False)
    net = backend.scratch(len(vocab), 8)
    with pytest.warns(UserWarning, match="nothing is sampled at random"):
        backend.train(net, train_iter, vocab, 1, 1, True)


def test_the_random_run_reads_other_minibatches_than_the_sequential_one(backend, loaders):
    sequential, shuffled = (next(iter(loaders(mode)[0]))[0] for mode in (False, True))
    assert not np.array_equal(backend.numpy(sequential), backend.numpy(shuffled))


@pytest.mark.only(*FRAMEWORKS)  # in NumPy nothing goes back by itself
def test_the_state_that_is_carried_over_is_detached(backend, loaders, monkeypatch):
    """In the second minibatch the network is fed a state that no gradient reaches back through."""
    if backend.name == "mxnet":
        # A backward pass frees the history, which would hide that the state still had one
        array = backend.framework.np.ndarray
        backward = array.backward
        monkeypatch.setattr(array, "backward", lambda self: backward(self, retain_graph=True))
    train_iter, vocab = loaders(False)
    net = backend.scratch(len(vocab), 8)
    states = []
    inner = net.forward_fn

    def forward_fn(inputs, state, params):
        states.append(state)
        return inner(inputs, state, params)

    net.forward_fn = forward_fn
    backend.train(net, train_iter, vocab, 1, 1, prefixes=())
    if backend.name == "torch":
        assert len(states) > 1
        assert all(H.grad_fn is None and not H.requires_grad for (H,) in states)
    elif backend.name == "mxnet":
        assert len(states) > 1
        for (H,) in states:
            with pytest.raises(backend.framework.MXNetError, match="computation(al)? graph"):
                H.backward()
    else:
        # Traced once: the state is an input of the graph, so its history cannot be part of the tape
        assert all(H.op.type == "Placeholder" for (H,) in states)


def test_a_net_that_has_weights_is_trained_from_them(backend, loaders):
    train_iter, vocab = loaders(False)
    net = backend.concise("rnn", len(vocab), 8)
    backend.train(net, train_iter, vocab, 1, 1)
    learned = backend.interface.get_weights(net)
    backend.train(net, train_iter, vocab, 1e-7, 1)
    for name, value in backend.interface.get_weights(net).items():
        np.testing.assert_allclose(value, learned[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.only(*FRAMEWORKS)  # NumPy has nothing to read back from
def test_the_loss_is_read_back_once_an_epoch(backend, loaders, monkeypatch):
    train_iter, vocab = loaders(False)
    net = backend.scratch(len(vocab), 8)
    minibatches, epochs = train_iter.tokens_per_epoch // 40, 3
    assert minibatches > 4
    reads = []
    tensor = type(backend.tensor(np.zeros(1, np.float32)))
    for method in {"torch": ["item", "numpy", "__float__"], "mxnet": ["asnumpy"], "tensorflow": ["numpy"]}[
        backend.name
    ]:
        original = getattr(tensor, method)
        monkeypatch.setattr(tensor, method, lambda self, *a, _o=original: reads.append(1) or _o(self, *a))
    backend.train(net, train_iter, vocab, 1, epochs, prefixes=())
    # The losses of an epoch in one piece, its norms in another, and whether each of the five weights is finite
    assert 0 < len(reads) <= epochs * (2 + 5)


def test_an_integer_learning_rate_works(backend, loaders):
    train_iter, vocab = loaders(False)
    backend.train(backend.concise("rnn", len(vocab), 8), train_iter, vocab, 1, 1)


def test_a_parameter_without_a_gradient_is_skipped(backend, loaders):
    train_iter, vocab = loaders(False)
    if backend.name == "tensorflow":

        def get_params(vocab_size, num_hiddens):
            unused = backend.framework.Variable(backend.framework.ones(3))
            return [*backend.d2l.get_params(vocab_size, num_hiddens), unused]

        functions = (backend.d2l.init_rnn_state, lambda i, s, p: backend.d2l.rnn(i, s, p[:5]), get_params)
        net = backend.d2l.RNNModelScratch(len(vocab), 8, *functions)
        unused = net.trainable_variables[5]
    else:

        def get_params(vocab_size, num_hiddens, device):
            unused = backend.tensor(np.ones(3, np.float32))
            if backend.name == "torch":
                unused.requires_grad_(True)
            return [*backend.d2l.get_params(vocab_size, num_hiddens, device), unused]

        def rnn(inputs, state, params):
            return backend.d2l.rnn(inputs, state, params[:5])

        if backend.name == "numpy":
            rnn.backward = lambda X, state, params, dY: [*backend.d2l.rnn.backward(X, state, params[:5], dY), None]
        functions = (get_params, backend.d2l.init_rnn_state, rnn)
        net = backend.d2l.RNNModelScratch(len(vocab), 8, *backend.place, *functions)
        unused = net.params[5]
    history = backend.train(net, train_iter, vocab, 1, 1, prefixes=())
    assert len(history) == 1
    np.testing.assert_array_equal(backend.numpy(unused), np.ones(3))


def test_an_empty_prefix_works(backend):
    _, vocab = data.load_corpus("story")
    net = backend.scratch(len(vocab), 8, seed=0)
    assert len(backend.predict("", 10, net, vocab)) == 10


def test_no_epochs_is_an_error_that_says_so(backend, loaders):
    train_iter, vocab = loaders(False)
    with pytest.raises(ValueError, match="num_epochs must be a whole number of at least 1, not 0"):
        backend.train(backend.scratch(len(vocab), 8), train_iter, vocab, 1, 0)


@pytest.mark.parametrize("use_random_iter", [False, True], ids=["sequential", "random"])
def test_a_corpus_shorter_than_a_minibatch_is_an_error_that_says_so(backend, use_random_iter):
    with pytest.raises(ValueError, match="too short for one minibatch.*at least 1155 tokens"):
        backend.d2l.load_data("story", 32, 35, use_random_iter, 1000)


def test_an_unknown_token_type_is_an_error(backend):
    with pytest.raises(ValueError, match="unknown token type 'letter'"):
        backend.d2l.tokenize(["a line"], "letter")


def test_tuples_and_a_reserved_unknown_token_in_a_vocabulary(backend):
    pairs = backend.d2l.Vocab([("the", "time"), ("time", "machine"), ("the", "time")])
    assert pairs["the", "time"] == 1
    assert backend.d2l.Vocab(list("ab"), reserved_tokens=["<pad>", "<unk>"])["<unk>"] == 0


@pytest.mark.only("tensorflow")
def test_the_training_step_is_compiled_once_and_has_no_persistent_tape(backend, loaders, monkeypatch):
    train_iter, vocab = loaders(False)
    made = []
    tape = backend.framework.GradientTape
    monkeypatch.setattr(backend.framework, "GradientTape", lambda *a, **k: made.append((a, k)) or tape(*a, **k))
    backend.train(backend.concise("rnn", len(vocab), 8), train_iter, vocab, 1, 3, prefixes=())
    assert made == [((), {})]


@pytest.mark.only("tensorflow")
def test_a_forward_function_that_cannot_be_compiled_runs_with_a_warning(backend, loaders):
    train_iter, vocab = loaders(False)
    net = backend.scratch(len(vocab), 8)
    inner = net.forward_fn

    def forward_fn(inputs, state, params):
        assert np.isfinite(state[0].numpy()).all()  # a graph has no values
        return inner(inputs, state, params)

    net.forward_fn = forward_fn
    with pytest.warns(UserWarning, match="cannot be compiled and runs slowly"):
        history = backend.train(net, train_iter, vocab, 1, 2, prefixes=())
    assert len(history) == 2


@pytest.mark.only("tensorflow")
def test_several_replicas_are_refused(backend, loaders):
    train_iter, vocab = loaders(False)
    net = backend.scratch(len(vocab), 8)

    class TwoReplicas:
        num_replicas_in_sync = 2

    with pytest.raises(InputError, match="2 replicas.*OneDeviceStrategy"):
        backend.d2l.train_ch8(net, train_iter, vocab, 1, 1, TwoReplicas())


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("kind", ["rnn-scratch", "gru"])
def test_a_mirrored_strategy_of_one_device_trains(backend, loaders, kind):
    train_iter, vocab = loaders(False)
    strategy = backend.framework.distribute.MirroredStrategy(["/CPU:0"])
    with strategy.scope():
        net = backend.scratch(len(vocab), 8) if kind == "rnn-scratch" else backend.concise(kind, len(vocab), 8)
    history = backend.d2l.train_ch8(net, train_iter, vocab, 1, 8, strategy, quiet=True)
    assert history.perplexity[-1] < history.perplexity[0]


@pytest.mark.only("mxnet")
def test_mxnet_finds_in_numpy_what_it_misses_and_nobody_else_does(backend):
    code = (
        "import sys, numpy; before = dict(vars(numpy))\n"
        "import d2lrnn.mxnet, mxnet; after = vars(numpy)\n"
        "changed = {name for name in {**before, **after} if before.get(name) is not after.get(name)}\n"
        "parts = {name for name in changed if f'numpy.{name}' in sys.modules}  # of NumPy, which come when asked for\n"
        "print(mxnet.np.bool is bool, *(changed - parts))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True"]


@pytest.mark.only("mxnet")
@pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")  # what NumPy 1.26 says of its own names
def test_mxnet_does_on_numpy_2_what_it_did_on_numpy_1(backend):
    d2l_np, three, half = backend.framework.np, np.int64(3), np.float64(0.5)
    assert d2l_np.full((three, 2), half).shape == (3, 2)
    assert d2l_np.ones((3, 4)).transpose((np.int64(1), np.int64(0))).reshape((three, -1)).shape == (3, 4)
    assert backend.framework.nd.moveaxis(backend.framework.nd.ones((2, 3)), 0, 1).shape == (3, 2)
    symbol = backend.framework.sym.var("x", shape=(three, 2))
    assert symbol.attr("__shape__") == "(3, 2)"
    a = d2l_np.array([3.0, 1.0, 2.0])
    for result, expected in [
        (d2l_np.msort(a), [1, 2, 3]),
        (d2l_np.trapz(a), 3.5),
        (d2l_np.in1d(a, d2l_np.array([1.0, 2.0])), [False, True, True]),
        (d2l_np.alltrue(a > 1), False),
        (d2l_np.pad(a.reshape(1, 3), ((0, 0), (1, 0))), [[0, 3, 1, 2]]),
        (a[a > 1], [3, 2]),
    ]:
        np.testing.assert_array_equal(backend.numpy(result), expected)
    with pytest.raises(RuntimeError, match="numpy"):
        d2l_np.npv(half, a)
