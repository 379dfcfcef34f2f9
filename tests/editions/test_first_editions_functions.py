"""What the first editions' readers write down themselves, and what their edition's functions make of it.

That is a network from scratch, the layers of Gluon fed with arrays of ``mxnet.nd``, and PyTorch's port of the Chinese
edition.
"""

import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import load_edition

from d2lrnn.editions import first_editions
from d2lrnn.errors import DivergenceError, InputError
from d2lrnn.numpy.scratch import rnn_backward

TEXT = "分开 不分开 我们 一起走吧 " * 20
IDX_TO_CHAR = list(dict.fromkeys(TEXT))
CHAR_TO_IDX = {char: idx for idx, char in enumerate(IDX_TO_CHAR)}
CORPUS, SIZE, HIDDENS = [CHAR_TO_IDX[char] for char in TEXT], len(IDX_TO_CHAR), 8
LINE = re.compile(r"epoch (\d+), perplexity (\d+\.\d{6}), time (\d+\.\d{2}) sec")


@pytest.fixture(params=("zh", "en"))
def edition(request, backend):
    """An edition that has functions for networks from scratch."""
    return load_edition(backend, request.param)


def first_params(scale=0.5):
    """Return the weights to begin with, as arrays of float32: W_xh, W_hh, b_h, W_hq, b_q."""
    rng = np.random.default_rng(3)
    shapes = [(SIZE, HIDDENS), (HIDDENS, HIDDENS), (HIDDENS,), (HIDDENS, SIZE), (SIZE,)]
    return [rng.normal(0, scale, shape).astype(np.float32) for shape in shapes]


def functions(backend):
    """Return ``get_params``, ``init_rnn_state`` and ``rnn`` as a reader of an edition writes them down in a framework.

    ``get_params`` keeps what it has returned last in ``get_params.last``.
    """
    name, framework = backend.name, backend.framework
    if name == "torch":
        tensor = lambda array: framework.tensor(array, requires_grad=True)  # noqa: E731
        zeros, dot, tanh = framework.zeros, framework.matmul, framework.tanh
    elif name == "mxnet":
        nd = framework.nd

        def tensor(array):
            param = nd.array(array)
            param.attach_grad()
            return param

        zeros, dot, tanh = nd.zeros, nd.dot, nd.tanh
    elif name == "tensorflow":
        tensor, zeros, dot, tanh = framework.Variable, framework.zeros, framework.matmul, framework.tanh
    else:
        tensor, zeros, dot, tanh = (lambda array: array.astype(np.float64)), np.zeros, np.dot, np.tanh

    def get_params():
        get_params.last = [tensor(array) for array in first_params()]
        return get_params.last

    def init_rnn_state(batch_size, num_hiddens, ctx):
        return (zeros((batch_size, num_hiddens)),)

    def rnn(inputs, state, params):
        W_xh, W_hh, b_h, W_hq, b_q = params
        (H,) = state
        outputs = []
        for X in inputs:
            H = tanh(dot(X, W_xh) + dot(H, W_hh) + b_h)
            outputs.append(dot(H, W_hq) + b_q)
        return outputs, (H,)

    rnn.backward = backend.d2l.rnn.backward if name == "numpy" else None
    return get_params, init_rnn_state, rnn


def train(backend, edition, num_epochs=4, *, is_random_iter=False, lr=0.2, theta=1.0, own=None, **options):
    """Train a reader's network, and return the history and the parameters."""
    get_params, init_rnn_state, rnn = own or functions(backend)
    pred_period, prefixes = options.pop("pred_period", 100), options.pop("prefixes", ["分开"])
    history = edition.train_and_predict_rnn(
        rnn, get_params, init_rnn_state, HIDDENS, SIZE, backend.d2l.cpu(), CORPUS, IDX_TO_CHAR, CHAR_TO_IDX,
        is_random_iter, num_epochs, 5, lr, theta, 4, pred_period, 7, prefixes, **options)  # fmt: skip
    return history, [backend.numpy(param) for param in get_params.last]


def expected(num_epochs, shift, *, is_random_iter=False, lr=0.2, theta=1.0, seed=None):
    """Return the perplexities, the norms of the gradients and the weights that an edition's training comes to.

    In float64, by the gradients of the NumPy tab, which are checked by finite differences.
    """
    params, rng = [array.astype(np.float64) for array in first_params()], np.random.default_rng(seed)
    data_iter = first_editions.iter_random if is_random_iter else first_editions.iter_consecutive
    perplexities, norms = [], []
    for _ in range(num_epochs):
        H, total, count, norms_of_epoch = np.zeros((4, HIDDENS)), 0.0, 0, []
        for X, Y in data_iter(CORPUS, 4, 5, shift=shift, seed=rng):
            if is_random_iter:
                H = np.zeros((4, HIDDENS))
            inputs, y, H_before = np.eye(SIZE)[X.T], Y.T.reshape(-1), H
            outputs = []
            for step in inputs:
                H = np.tanh(step @ params[0] + H @ params[1] + params[2])
                outputs.append(H @ params[3] + params[4])
            logits = np.concatenate(outputs)
            probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            total -= np.log(probabilities[np.arange(len(y)), y]).sum()
            count += len(y)
            grads = rnn_backward(inputs, (H_before,), params, (probabilities - np.eye(SIZE)[y]) / len(y))
            norm = np.sqrt(sum((grad**2).sum() for grad in grads))
            for param, grad in zip(params, grads, strict=True):
                param -= lr * grad * min(1.0, (np.inf if theta is None else theta) / norm)
            norms_of_epoch.append(norm)
        perplexities.append(np.exp(total / count))
        norms.append(norms_of_epoch)
    return perplexities, norms, params


def test_one_hot_vectors_are_a_list_of_steps(backend, edition):
    X = np.array([[0, 2, 1], [3, 3, 0]])
    tensor = backend.framework.nd.array(X) if backend.name == "mxnet" else backend.tensor(X)
    inputs = edition.to_onehot(tensor, SIZE)
    assert isinstance(inputs, list)
    np.testing.assert_array_equal([backend.numpy(step) for step in inputs], np.eye(SIZE)[X.T])
    if backend.name != "numpy":  # which computes in float64
        assert {backend.numpy(step).dtype for step in inputs} == {np.dtype(np.float32)}


def test_a_minibatch_of_any_type_of_numbers_has_one_hot_vectors(backend, edition):
    (X, _), *_ = edition.data_iter_consecutive(range(30), 2, 6)
    X = backend.numpy(X).astype(np.float32)  # as the editions' own iterators yield it
    tensor = backend.framework.nd.array(X) if backend.name == "mxnet" else backend.tensor(X)
    for step, column in zip(edition.to_onehot(tensor, 30), X.T.astype(int), strict=True):
        np.testing.assert_array_equal(backend.numpy(step), np.eye(30)[column])


@pytest.mark.parametrize("is_random_iter", [False, True])
@pytest.mark.parametrize("theta", [0.3, None])
def test_a_network_from_scratch_trains_as_computed_in_float64(backend, edition, is_random_iter, theta):
    options = {"is_random_iter": is_random_iter, "theta": theta, "seed": 11}
    history, params = train(backend, edition, 3, **options)
    perplexities, _, weights = expected(3, edition.__name__.endswith("en"), **options)
    np.testing.assert_allclose(history.perplexity, perplexities, rtol=2e-5)
    for actual, value in zip(params, weights, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-3, atol=1e-4)


def test_random_minibatches_are_another_training(backend, edition):
    consecutive, random = (train(backend, edition, 2, is_random_iter=kind, seed=1)[0] for kind in (False, True))
    assert consecutive.perplexity != random.perplexity


def test_the_lines_of_a_network_from_scratch(backend, edition, capsys):
    history, _ = train(backend, edition, 5, pred_period=2, prefixes=["分开", "不分开"])
    first, *texts, second, _, _ = capsys.readouterr().out.splitlines()
    for number, line in ((2, first), (4, second)):
        assert LINE.fullmatch(line).group(1, 2) == (str(number), f"{history.perplexity[number - 1]:f}")
    assert [re.fullmatch(r" - (分开|不分开).{7}", text) is not None for text in texts] == [True, True]


def test_a_network_from_scratch_learns_and_continues_its_text(backend, edition):
    own = functions(backend)
    get_params, init_rnn_state, rnn = own
    assert train(backend, edition, 60, lr=1.0, own=own, seed=1)[0].perplexity[-1] < 1.3
    args = (HIDDENS, SIZE, backend.d2l.cpu(), IDX_TO_CHAR, CHAR_TO_IDX)
    params = get_params.last
    assert edition.predict_rnn("不分开 我", 8, rnn, params, init_rnn_state, *args) == "不分开 我们 一起走吧 分"
    assert edition.predict_rnn("分开", 0, rnn, params, init_rnn_state, *args) == "分开"


def test_a_prediction_from_scratch_is_that_of_the_most_probable_characters(backend, edition):
    get_params, init_rnn_state, rnn = functions(backend)
    W_xh, W_hh, b_h, W_hq, b_q = (array.astype(np.float64) for array in first_params())
    H, read, text = np.zeros((1, HIDDENS)), list("分开"), "分开"
    for position in range(1 + 12):
        H = np.tanh(np.eye(SIZE)[[CHAR_TO_IDX[read[position]]]] @ W_xh + H @ W_hh + b_h)
        if position >= 1:
            read.append(IDX_TO_CHAR[int((H @ W_hq + b_q).argmax())])
    text = "".join(read[: 2 + 12])
    args = (HIDDENS, SIZE, backend.d2l.cpu(), IDX_TO_CHAR, CHAR_TO_IDX)
    assert edition.predict_rnn("分开", 12, rnn, get_params(), init_rnn_state, *args) == text


def test_a_function_may_return_one_tensor_of_all_outputs_as_the_later_chapter_does(backend, edition):
    get_params, init_rnn_state, rnn = functions(backend)
    name, framework = backend.name, backend.framework
    together = {
        "torch": lambda outputs: framework.cat(outputs),
        "mxnet": lambda outputs: framework.nd.concat(*outputs, dim=0),
        "tensorflow": lambda outputs: framework.concat(outputs, axis=0),
        "numpy": np.concatenate,
    }[name]

    def later(inputs, state, params):
        outputs, state = rnn(inputs, state, params)
        return together(outputs), state

    later.backward = rnn.backward
    assert (
        train(backend, edition, 2, own=(get_params, init_rnn_state, later), seed=1)[0].perplexity
        == train(backend, edition, 2, seed=1)[0].perplexity
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"num_epochs": 0}, "num_epochs must be a whole number of at least 1", id="no-epochs"),
        pytest.param({"lr": -1}, "lr must be a positive finite number", id="lr"),
        pytest.param({"theta": 0}, "theta must be a positive finite number", id="theta"),
        pytest.param({"pred_period": 0}, "pred_period must be", id="pred_period"),
        pytest.param({"prefixes": ["离开"]}, "prefix '离开' has .* lacks: '离'", id="prefix"),
    ],
)
def test_an_argument_that_cannot_be_used_is_an_error_before_the_training(backend, edition, options, match, capsys):
    with pytest.raises(InputError, match=match):
        train(backend, edition, **options)
    assert capsys.readouterr().out == ""


def test_a_network_that_diverges_says_so(backend, edition):
    with pytest.raises(DivergenceError, match="at epoch"):
        train(backend, edition, 30, lr=1e4, theta=None)


def test_a_character_that_the_text_lacks_is_no_prefix(backend, edition):
    get_params, init_rnn_state, rnn = functions(backend)
    args = (HIDDENS, SIZE, backend.d2l.cpu(), IDX_TO_CHAR, CHAR_TO_IDX)
    with pytest.raises(InputError, match="has characters that the text lacks: '离'"):
        edition.predict_rnn("离", 3, rnn, get_params(), init_rnn_state, *args)


@pytest.mark.only("numpy")
def test_numpy_trains_what_says_its_gradient(backend, edition):
    get_params, init_rnn_state, rnn = functions(backend)
    rnn.backward = None
    with pytest.raises(InputError, match="NumPy does not differentiate, and rnn does not say what its gradient is"):
        train(backend, edition, own=(get_params, init_rnn_state, rnn))


# Gluon without NumPy's semantics


@pytest.mark.only("mxnet")
@pytest.mark.parametrize("which", ["zh", "en", "en_draft"])
def test_the_import_turns_numpys_semantics_off(backend, which):
    code = (
        f"from d2lrnn.mxnet import first_edition_{which} as d2l\n"
        "from mxnet import nd, npx\n"
        "X, Y = next(d2l.data_iter_random(range(30), 2, 6))\n"
        "print(npx.is_np_array(), npx.is_np_shape(), type(X) is nd.NDArray)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "False", "True"], done.stderr


@pytest.mark.only("mxnet")
def test_gluons_layers_and_operators_take_nd_arrays(backend, edition):
    from mxnet import nd
    from mxnet.gluon import rnn

    layer = rnn.RNN(6)
    layer.initialize()
    Y, state = layer(nd.random.uniform(shape=(5, 2, SIZE)), layer.begin_state(batch_size=2))
    assert (type(Y), Y.shape, state[0].shape) == (nd.NDArray, (5, 2, 6), (1, 2, 6))
    for X, _ in edition.data_iter_consecutive(CORPUS, 4, 5, edition.try_gpu()):
        assert nd.one_hot(X, SIZE).shape == (4, 5, SIZE)
    np.testing.assert_array_equal(nd.one_hot(X, SIZE).asnumpy(), np.eye(SIZE)[X.asnumpy()])


@pytest.mark.only("mxnet")
def test_a_readers_gluon_model_trains_and_predicts(backend, edition, capsys):
    from mxnet import init
    from mxnet.gluon import nn, rnn

    class Model(nn.Block):  # as a reader may have written it down
        def __init__(self, rnn_layer, vocab_size, **kwargs):
            super().__init__(**kwargs)
            self.inner = edition.RNNModel(rnn_layer, vocab_size)

        def forward(self, inputs, state):
            return self.inner(inputs, state)

        def begin_state(self, *args, **kwargs):
            return self.inner.begin_state(*args, **kwargs)

    ctx = edition.try_gpu()
    for layer in (rnn.LSTM(4, num_layers=2), rnn.GRU(4), rnn.LSTM(4, num_layers=2, bidirectional=True), rnn.RNN(4)):
        model = Model(layer, SIZE)
        model.initialize(init.Xavier(), ctx=ctx)
        assert len(edition.predict_rnn_gluon("分开", 10, model, SIZE, ctx, IDX_TO_CHAR, CHAR_TO_IDX)) == 12
        edition.train_and_predict_rnn_gluon(
            model, 4, SIZE, ctx, CORPUS, IDX_TO_CHAR, CHAR_TO_IDX, 1, 5, 1e2, 1e-2, 4, 1, 5, ["分开"])  # fmt: skip
        line, text = capsys.readouterr().out.splitlines()
        assert LINE.fullmatch(line)
        assert re.fullmatch(" - 分开.{5}", text)


@pytest.mark.only("mxnet")
def test_with_numpys_semantics_on_an_edition_says_what_to_do(backend, edition):
    from mxnet import npx

    backend.framework.npx.set_np()
    model = edition.RNNModel(backend.d2l.recurrent_layer("rnn", SIZE, 4), SIZE)
    model.initialize()
    given = (SIZE, npx.cpu())
    error = r"NumPy's semantics are on.*call mxnet\.npx\.reset_np\(\)"
    with pytest.raises(InputError, match=error):
        edition.predict_rnn_gluon("分开", 3, model, *given, IDX_TO_CHAR, CHAR_TO_IDX)
    with pytest.raises(InputError, match=error):
        edition.train_and_predict_rnn_gluon(
            model, 4, *given, CORPUS, IDX_TO_CHAR, CHAR_TO_IDX, 1, 5, 1, 1, 4, 1, 5, ["分开"]
        )
    with pytest.raises(InputError, match=error):
        train(backend, edition)


@pytest.mark.only("mxnet")
@pytest.mark.parametrize("kind", ["scratch", "concise"])
def test_with_numpys_semantics_off_the_later_chapter_says_what_to_do(backend, kind):
    load_edition(backend, "zh")
    d2l = backend.d2l
    train_iter, vocab = d2l.load_data("verses", 4, 5, max_tokens=200)
    net = backend.scratch(len(vocab), 4) if kind == "scratch" else backend.concise("rnn", len(vocab), 4)
    error = r"NumPy's semantics are off.*call mxnet\.npx\.set_np\(\)"
    with pytest.raises(InputError, match=error):
        backend.train(net, train_iter, vocab, 1, 1)
    with pytest.raises(InputError, match=error):
        d2l.train_epoch_ch8(net, train_iter, None, None, backend.cpu, False)
    if kind == "concise":
        with pytest.raises(InputError, match=error):
            backend.predict("分", 1, net, vocab)


@pytest.mark.only("mxnet")
def test_the_weights_of_an_editions_model_go_anywhere(backend, edition):
    model = edition.RNNModel(backend.d2l.recurrent_layer("rnn", SIZE, 4), SIZE)
    ctx = backend.d2l.cpu()
    edition.train_and_predict_rnn_gluon(
        model, 4, SIZE, ctx, CORPUS, IDX_TO_CHAR, CHAR_TO_IDX, 2, 5, 1, 1, 4, 9, 5, [], seed=1)  # fmt: skip
    weights = backend.interface.get_weights(model)
    text = edition.predict_rnn_gluon("分开", 20, model, SIZE, ctx, IDX_TO_CHAR, CHAR_TO_IDX)
    edition.train_and_predict_rnn_gluon(
        model, 4, SIZE, ctx, CORPUS, IDX_TO_CHAR, CHAR_TO_IDX, 2, 5, 1, 1, 4, 9, 5, [], seed=2)  # fmt: skip
    backend.interface.set_weights(model, weights)
    for name, value in backend.interface.get_weights(model).items():
        np.testing.assert_array_equal(value, weights[name])
    assert edition.predict_rnn_gluon("分开", 20, model, SIZE, ctx, IDX_TO_CHAR, CHAR_TO_IDX) == text


# The port to PyTorch


class Own:
    """A reader's own model for the port, which has no ``begin_state``."""

    @staticmethod
    def make(backend, edition, layer):
        torch = backend.framework

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn, self.dense = layer, torch.nn.Linear(layer.hidden_size, SIZE)

            def forward(self, inputs, state):
                Y, state = self.rnn(torch.stack(edition.to_onehot(inputs, SIZE)), state)
                return self.dense(Y.view(-1, Y.shape[-1])), state

        return Model()


def adam(backend, model, num_epochs, lr, theta):
    """Return the perplexities of the port's training, as PyTorch's own functions compute it."""
    torch = backend.framework
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    state, perplexities = None, []
    for _ in range(num_epochs):
        losses = []
        for X, Y in first_editions.iter_consecutive(CORPUS, 4, 5, shift=False):
            output, state = model(torch.tensor(X), state)
            state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
            loss = torch.nn.functional.cross_entropy(output, torch.tensor(Y.T.reshape(-1)))
            optimizer.zero_grad()
            loss.backward()
            if theta is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), theta)
            optimizer.step()
            losses.append(loss.item())
        perplexities.append(np.exp(np.mean(losses)))
    return perplexities


@pytest.mark.only("torch")
@pytest.mark.parametrize("theta", [1e-2, None])
@pytest.mark.parametrize("layer", ["RNN", "LSTM"])
@pytest.mark.parametrize("own", [False, True])
def test_the_port_trains_by_adam_from_the_weights_that_are_there(backend, layer, own, theta, capsys):
    zh, torch = load_edition(backend, "zh"), backend.framework
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        made = getattr(torch.nn, layer)(SIZE, HIDDENS)
        models.append(Own.make(backend, zh, made) if own else zh.RNNModel(made, SIZE))
    history = zh.train_and_predict_rnn_pytorch(
        models[0], HIDDENS, SIZE, torch.device("cpu"), CORPUS, IDX_TO_CHAR, CHAR_TO_IDX,
        4, 5, 1e-2, theta, 4, 2, 7, ["分开", "不分开"])  # fmt: skip
    np.testing.assert_allclose(history.perplexity, adam(backend, models[1], 4, 1e-2, theta), rtol=1e-5)
    first, *texts, second, _, _ = capsys.readouterr().out.splitlines()
    assert [LINE.fullmatch(line).group(1) for line in (first, second)] == ["2", "4"]
    assert [re.fullmatch(r" - (分开|不分开).{7}", text) is not None for text in texts] == [True, True]


@pytest.mark.only("torch")
def test_the_ports_prediction_is_that_of_the_edition(backend):
    zh, torch = load_edition(backend, "zh"), backend.framework
    model = zh.RNNModel(torch.nn.LSTM(SIZE, HIDDENS), SIZE)
    args = (model, SIZE, torch.device("cpu"), IDX_TO_CHAR, CHAR_TO_IDX)
    assert zh.predict_rnn_pytorch("分开", 10, *args) == zh.predict_rnn_gluon("分开", 10, *args)
    with pytest.raises(InputError, match="lacks: '离'"):
        zh.predict_rnn_pytorch("离", 10, *args)


@pytest.mark.only("torch")
def test_each_text_that_the_port_prints_begins_anew(backend, capsys):
    """Not from the state in which the text before it, or the training, has ended."""
    zh, torch = load_edition(backend, "zh"), backend.framework
    torch.manual_seed(0)
    model = zh.RNNModel(torch.nn.RNN(SIZE, HIDDENS), SIZE)
    with torch.no_grad():
        model.rnn.weight_hh_l0.mul_(8)  # so that the state counts
    zh.train_and_predict_rnn_pytorch(
        model, HIDDENS, SIZE, torch.device("cpu"), CORPUS, IDX_TO_CHAR, CHAR_TO_IDX,
        2, 5, 1e-2, 1, 4, 1, 20, ["走", "分开", "走", "我", "走"])  # fmt: skip
    printed = capsys.readouterr().out.splitlines()[-5:]
    args = (model, SIZE, torch.device("cpu"), IDX_TO_CHAR, CHAR_TO_IDX)
    assert printed == [" - " + zh.predict_rnn_pytorch(prefix, 20, *args) for prefix in ("走", "分开", "走", "我", "走")]


@pytest.mark.only("torch")
@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param({"num_epochs": 0}, "num_epochs must be", id="num_epochs"),
        pytest.param({"lr": 0}, "lr must be", id="lr"),
        pytest.param({"clipping_theta": -1}, "theta must be", id="theta"),
        pytest.param({"prefixes": ["离"]}, "lacks: '离'", id="prefixes"),
    ],
)
def test_what_the_port_cannot_use_is_an_error_before_the_training(backend, change, match):
    zh, torch = load_edition(backend, "zh"), backend.framework
    model = zh.RNNModel(torch.nn.RNN(SIZE, HIDDENS), SIZE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    options = {"num_epochs": 1, "num_steps": 5, "lr": 1e-2, "clipping_theta": 1e-2, "batch_size": 4,
               "pred_period": 1, "pred_len": 3, "prefixes": ["分开"]}  # fmt: skip
    with pytest.raises(InputError, match=match):
        zh.train_and_predict_rnn_pytorch(
            model, HIDDENS, SIZE, torch.device("cpu"), CORPUS, IDX_TO_CHAR, CHAR_TO_IDX, **(options | change)
        )
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.only("torch")
def test_clipping_takes_the_parameters_of_a_module_as_the_port_hands_them_over(backend):
    """They are a generator, which the port went through twice."""
    zh, torch = load_edition(backend, "zh"), backend.framework
    model = torch.nn.Linear(3, 2)
    (100 * model(torch.ones(1, 3)).sum()).backward()
    zh.grad_clipping(model.parameters(), 0.5, torch.device("cpu"))
    norm = sum(float((param.grad**2).sum()) for param in model.parameters()) ** 0.5
    np.testing.assert_allclose(norm, 0.5, rtol=1e-6)
