"""The tab in NumPy: gradients that are written by hand, and what happens where there are none."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from nets import B, H, T, V

from d2lrnn import numpy as d2l
from d2lrnn.comparison import reference
from d2lrnn.errors import DivergenceError, InputError
from d2lrnn.numpy import backend as interface
from d2lrnn.numpy import nn
from d2lrnn.weights import canonical


@pytest.fixture
def tab():
    """Return what a reader imports as d2l, its backend, and what the tests do with them."""

    def train(net, train_iter, vocab, lr, num_epochs, **options):
        return d2l.train_ch8(net, train_iter, vocab, lr, num_epochs, d2l.cpu(), quiet=True, **options)

    def scratch(vocab_size, num_hiddens):
        functions = (d2l.get_params, d2l.init_rnn_state, d2l.rnn)
        return d2l.RNNModelScratch(vocab_size, num_hiddens, d2l.cpu(), *functions, seed=0)

    def predict(prefix, num_preds, net, vocab):
        return d2l.predict_ch8(prefix, num_preds, net, vocab, d2l.cpu())

    return SimpleNamespace(d2l=d2l, interface=interface, train=train, scratch=scratch, predict=predict)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def draw(rng, num_steps=T, batch_size=B, num_hiddens=H):
    """Return one-hot inputs, a state, parameters and a gradient of the logits, all of them large enough to matter."""
    X = np.eye(V)[rng.integers(V, size=(num_steps, batch_size))]
    shapes = canonical.shapes("rnn-scratch", V, num_hiddens).values()
    params = [rng.normal(0, num_hiddens**-0.5, shape) for shape in shapes]
    return X, (rng.normal(size=(batch_size, num_hiddens)),), params, rng.normal(size=(num_steps * batch_size, V))


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("num_steps", [1, 2, 12, 70])
def test_the_fast_form_is_the_loop(tab, rng, num_steps, batch_size):
    X, state, params, d_outputs = draw(rng, num_steps, batch_size)
    kept = [X.copy(), state[0].copy(), *(param.copy() for param in params)]
    (logits, (H_loop,)), (fast, (H_fast,)) = (form(X, state, params) for form in (tab.d2l.rnn, tab.d2l.rnn_fast))
    np.testing.assert_allclose(fast, logits, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(H_fast, H_loop, rtol=1e-12, atol=1e-13)
    for one, other in zip(
        tab.d2l.rnn.backward(X, state, params, d_outputs),
        tab.d2l.rnn_fast.backward(X, state, params, d_outputs),
        strict=True,
    ):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-12)
    for before, after in zip(kept, [X, *state, *params], strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("form", ["rnn", "rnn_fast"])
def test_the_gradients_are_those_of_finite_differences(tab, rng, form):
    forward = getattr(tab.d2l, form)
    X, state, params, d_outputs = draw(rng, 4, 2, 5)
    for param, grad in zip(params, forward.backward(X, state, params, d_outputs), strict=True):
        direction, step = rng.normal(size=param.shape), 1e-6
        values = []
        for sign in (1, -1):
            param += sign * step * direction
            values.append((forward(X, state, params)[0] * d_outputs).sum())
            param -= sign * step * direction
        slope = (values[0] - values[1]) / (2 * step)
        assert slope == pytest.approx((grad * direction).sum(), rel=1e-6, abs=1e-7)


def test_the_loss_has_the_gradient_of_finite_differences(tab, rng):
    loss = nn.CrossEntropyLoss()
    y_hat, y = rng.normal(0, 3, (6, 5)), rng.integers(5, size=6)
    value = loss(y_hat, y)
    grad = loss.backward()
    assert value == pytest.approx(
        -np.mean([np.log(np.exp(row)[k] / np.exp(row).sum()) for row, k in zip(y_hat, y, strict=True)])
    )
    for place in np.ndindex(y_hat.shape):
        moved = [y_hat + sign * 1e-6 * (np.arange(30).reshape(6, 5) == place[0] * 5 + place[1]) for sign in (1, -1)]
        assert (loss(moved[0], y) - loss(moved[1], y)) / 2e-6 == pytest.approx(grad[place], abs=1e-8)


def test_logits_that_are_large_have_a_loss(tab):
    loss = nn.CrossEntropyLoss()
    assert loss(np.array([[1e4, 0.0]]), np.array([1])) == pytest.approx(1e4)
    assert np.isfinite(loss.backward()).all()


def test_a_forward_function_without_a_gradient_can_be_run_and_not_trained(tab):
    train_iter, vocab = tab.d2l.load_data("story", 8, 10, False, 1000)
    net = tab.scratch(len(vocab), 8)

    def my_rnn(inputs, state, params):
        return tab.d2l.rnn(inputs, state, params)

    net.forward_fn = my_rnn
    # A character that the text does not have is one token, and five characters
    assert len(tab.predict("the", 5, net, vocab).replace("<unk>", "?")) == 8
    before = [param.copy() for param in net.params]
    with pytest.raises(InputError, match=r"my_rnn does not say what its gradient is: .* and set my_rnn.backward to it"):
        tab.train(net, train_iter, vocab, 1, 1)
    for param, value in zip(net.params, before, strict=True):
        np.testing.assert_array_equal(param, value)
    my_rnn.backward = tab.d2l.rnn.backward
    assert tab.train(net, train_iter, vocab, 1, 2).perplexity[1] < len(vocab)


def parts(tab):
    return {
        "the model": (tab.scratch(V, H), np.zeros((1, V))),
        "the layer": (nn.LSTM(V, H), np.zeros((1, 1, H))),
        "the dense layer": (nn.Dense(H, V), np.zeros((1, V))),
        "the loss": (SimpleNamespace(backward=lambda _: nn.CrossEntropyLoss().backward()), None),
    }


@pytest.mark.parametrize("name", ["the model", "the layer", "the dense layer", "the loss"])
def test_what_has_not_been_called_has_nothing_to_go_back_through(tab, name):
    part, gradient = parts(tab)[name]
    what = name.replace("dense ", "")
    with pytest.raises(InputError, match=f"^{what} has not been called, so there is nothing to go back through$"):
        part.backward(gradient)


def test_a_forward_object_without_a_gradient_is_called_by_its_class(tab):
    class Mine:
        def __call__(self, inputs, state, params):
            return tab.d2l.rnn(inputs, state, params)

    net = tab.scratch(V, H)
    net.forward_fn = Mine()
    net(np.zeros((1, 1), int), net.begin_state(1, "cpu"))
    with pytest.raises(InputError, match=r"Mine does not say what its gradient is: .* and set Mine.backward to it$"):
        net.backward(np.zeros((1, V)))


def test_a_model_from_scratch_hands_on_what_it_was_given(tab):
    """To the reader's own functions: the sizes, the device, and the seed if there is one."""
    calls = []

    def get_params(*args, **options):
        calls.append((args, options))
        return tab.d2l.get_params(*args, **options)

    def init_state(*args):
        calls.append((args, {}))
        return tab.d2l.init_rnn_state(*args)

    net = tab.d2l.RNNModelScratch(V, H, "here", get_params, init_state, tab.d2l.rnn)
    net.begin_state(3, "there")
    tab.d2l.RNNModelScratch(V, H, "here", get_params, init_state, tab.d2l.rnn, seed=0)
    assert calls == [((V, H, "here"), {}), ((3, H, "there"), {}), ((V, H, "here"), {"seed": 0})]


def test_a_model_from_scratch_begins_with_the_weights_of_its_seed(tab):
    expected = canonical.initial_weights("rnn-scratch", V, H, seed=3)
    for params in (
        tab.d2l.get_params(V, H, tab.d2l.cpu(), seed=3),
        tab.d2l.RNNModelScratch(
            V, H, tab.d2l.cpu(), tab.d2l.get_params, tab.d2l.init_rnn_state, tab.d2l.rnn, seed=3
        ).params,
    ):
        for param, value in zip(params, expected.values(), strict=True):
            assert param.dtype == np.float64
            np.testing.assert_array_equal(param, value)


LAYERS = {
    "rnn": nn.RNN,
    "rnn-relu": partial(nn.RNN, nonlinearity="relu"),
    "gru": nn.GRU,
    "gru-reset-before": partial(nn.GRU, reset_after=False),
    "lstm": nn.LSTM,
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_begins_with_the_weights_of_its_seed(kind):
    layer = LAYERS[kind](V, H, 2, bidirectional=True, seed=3)
    expected = canonical.initial_weights(kind, V, H, 2, True, seed=3)
    assert list(layer.params) == [name for name in expected if name.startswith("layers.")]
    for name, param in layer.params.items():
        assert param.dtype == np.float64
        np.testing.assert_array_equal(param, expected[name])
    alone = LAYERS[kind](V, H)
    assert (alone.kind, alone.num_layers, alone.bidirectional) == (kind, 1, False)


def test_a_dense_layer_begins_within_the_bound_with_the_weights_of_its_seed():
    layer, same, other = (nn.Dense(100, 400, seed=seed) for seed in (1, 1, 2))
    for name, shape in {"output.W_hq": (100, 400), "output.b_q": (400,)}.items():
        param = layer.params[name]
        assert param.shape == shape
        assert -0.1 <= param.min() < -0.095
        assert 0.095 < param.max() <= 0.1
        np.testing.assert_array_equal(param, same.params[name])
        assert not np.array_equal(param, other.params[name])


def test_a_step_goes_against_the_gradient(tab):
    params = [np.array([1.0, 2.0]), np.array([3.0]), np.array([[4.0]])]
    tab.d2l.sgd(params, [np.array([8.0, -4.0]), None, np.array([[2.0]])], 0.5, 4)
    for param, expected in zip(params, ([0.0, 2.5], [3.0], [[3.75]]), strict=True):
        np.testing.assert_array_equal(param, expected)


def test_a_step_needs_a_gradient_or_none_of_each_parameter(tab):
    with pytest.raises(ValueError, match="zip"):
        tab.d2l.sgd([np.zeros(2), np.zeros(3)], [np.ones(2)], 1, 1)


@pytest.mark.parametrize("kind", canonical.KINDS)
def test_a_model_begins_without_gradients_and_from_zeros(tab, kind):
    net, device = tab.interface.build_model(kind, V, H)
    assert net.grads == [None] * len(net.params)
    assert tab.d2l.grad_clipping(net, 1) == 0
    if kind != "rnn-scratch":
        state = net.begin_state(device)
        for part in state if kind == "lstm" else (state,):
            np.testing.assert_array_equal(part, np.zeros((1, 1, H)))


def test_a_model_takes_no_argument_that_it_does_not_know(tab):
    with pytest.raises(TypeError):
        tab.d2l.RNNModel(nn.RNN(V, H), V, colour="blue")


@pytest.mark.parametrize(("theta", "scale"), [(1.0, 0.2), (5.0, 1.0), (10.0, 1.0)])
def test_clipping_is_that_of_the_norm_of_all_gradients(tab, theta, scale):
    first, last = np.array([3.0, 0.0]), np.array([[4.0]])
    net = SimpleNamespace(grads=[first, None, last])
    assert tab.d2l.grad_clipping(net, theta) == 5.0
    np.testing.assert_allclose(first, [3 * scale, 0])
    np.testing.assert_allclose(last, [[4 * scale]])


def test_the_loss_over_a_dataset_counts_every_number_the_same(tab):
    """Labels of one dimension are read in the shape of the outputs, and a short last minibatch counts for less."""
    batches = [(np.array([[1.0], [2.0]]), np.array([0.0, 0.0])), (np.array([[5.0]]), np.array([1.0]))]
    mean = tab.d2l.evaluate_loss(lambda X: 2 * X, batches, lambda y_hat, y: (y_hat - y) ** 2)
    assert isinstance(mean, float)
    assert mean == pytest.approx((2**2 + 4**2 + 9**2) / 3)


@pytest.mark.parametrize("kind", ["rnn-scratch", "lstm"])
def test_a_model_in_float32_stays_in_float32(tab, kind):
    """As a reader makes one who wants speed: the type of the parameters is that of all that is computed."""
    losses = []
    for dtype in ("float64", "float32"):
        train_iter, vocab = tab.d2l.load_data("story", 8, 10, False, 1000, seed=0)
        net, device = tab.interface.build_model(kind, len(vocab), H, device="cpu", seed=0)
        net = net.float() if dtype == "float32" else net
        history = tab.train(net, train_iter, vocab, 1, 2)
        assert {param.dtype for param in net.params} == {grad.dtype for grad in net.grads} == {np.dtype(dtype)}
        logits, _ = net(np.zeros((2, 3), int), net.begin_state(batch_size=2, device=device))
        assert logits.dtype == dtype
        losses.append(history.perplexity)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def test_a_state_is_read_in_the_type_of_the_model(tab):
    """What comes from the oracle is in float64; a model in float32 computes on in float32."""
    for kind in ("rnn-scratch", "gru", "lstm"):
        net, _ = tab.interface.build_model(kind, V, H, device="cpu", seed=0)
        _, state = tab.interface.forward(net, [[1, 2], [3, 4]])
        assert {part.dtype for part in state} == {np.dtype("float64")}
        logits, new_state = tab.interface.forward(net.float(), [[1, 2], [3, 4]], state)
        assert {array.dtype for array in (logits, *new_state)} == {np.dtype("float32")}


def test_the_device_reaches_the_readers_own_functions(tab, capsys):
    """In training, in the held-out part, and in what is predicted at the end and afterwards."""
    train_iter, vocab = tab.d2l.load_data("story", 8, 20, False, 2000, valid_fraction=0.2, seed=0)
    net, seen = tab.scratch(len(vocab), 8), []

    def init_state(batch_size, num_hiddens, device):
        seen.append((batch_size, device))
        return tab.d2l.init_rnn_state(batch_size, num_hiddens, device)

    net.init_state = init_state
    held_out = train_iter.valid_iter
    tab.d2l.train_ch8(net, train_iter, vocab, 1, 1, "here", valid_iter=held_out, prefixes=("the",))
    assert seen == [(8, "here"), (held_out.batch_size, "here"), (1, "here")]
    # And it is not quiet unless it is told to be
    perplexity, held_out_perplexity, text = capsys.readouterr().out.split("\n", 2)
    assert perplexity.endswith(" tokens/sec on here")
    assert held_out_perplexity.startswith("held-out perplexity")
    assert text.startswith("the")
    seen.clear()
    own_epoch(tab, net, train_iter, False, device="there")
    assert seen == [(8, "there")]
    seen.clear()
    tab.interface.predict("the", 1, net, vocab, "here")
    tab.interface.forward(net, [[1], [2]])
    assert seen == [(1, "here"), (2, "cpu")]


def test_the_uniform_door_trains_and_predicts_as_the_tab_does(tab):
    train_iter, vocab = tab.d2l.load_data("story", 8, 20, True, 2000, seed=0)
    results = []
    for train, predict in ((tab.interface.train, tab.interface.predict), (tab.d2l.train_ch8, tab.d2l.predict_ch8)):
        train_iter, vocab = tab.d2l.load_data("story", 8, 20, True, 2000, seed=0)
        net = tab.scratch(len(vocab), 8)
        history = train(net, train_iter, vocab, 2, 2, tab.d2l.cpu(), True, theta=0.5, quiet=True)
        results.append((history.perplexity, predict("the", 9, net, vocab, tab.d2l.cpu(), temperature=2, seed=1)))
    assert results[0] == results[1]


def own_epoch(tab, net, train_iter, use_random_iter, device="cpu", **options):
    updater = lambda batch_size: tab.d2l.sgd(net.params, net.grads, 1, batch_size)  # noqa: E731 (the book's form)
    loss = nn.CrossEntropyLoss()
    return tab.d2l.train_epoch_ch8(net, train_iter, loss, updater, device, use_random_iter, **options)


def test_an_epoch_by_hand_samples_randomly_as_train_ch8_does(tab):
    """With few steps a carried state would make another number of it."""
    perplexities = []
    for use_random_iter in (True, False):
        train_iter, vocab = tab.d2l.load_data("story", 8, 5, True, 2000, seed=0)
        net = tab.scratch(len(vocab), 8)
        for param in net.params:
            param *= 60
        if use_random_iter:
            perplexities.append(own_epoch(tab, net, train_iter, True)[0])
            net = tab.scratch(len(vocab), 8)
            for param in net.params:
                param *= 60
            train_iter, vocab = tab.d2l.load_data("story", 8, 5, True, 2000, seed=0)
            perplexities += tab.train(net, train_iter, vocab, 1, 1, use_random_iter=True).perplexity
        else:
            perplexities.append(own_epoch(tab, net, list(train_iter), False)[0])
    assert perplexities[0] == perplexities[1] != perplexities[2]


def test_an_epoch_by_hand_is_one_of_train_ch8(tab):
    """With the book's radius of clipping, 1, unless another is given."""
    perplexities = []
    for options in ({}, {"theta": 1.0}, {"theta": 0.01}):
        train_iter, vocab = tab.d2l.load_data("story", 8, 20, False, 2000, seed=0)
        nets = [tab.scratch(len(vocab), 8) for _ in range(2)]
        for net in nets:  # so that gradients are longer than the radius
            for param in net.params:
                param *= 60
        by_hand, _ = own_epoch(tab, nets[0], train_iter, False, **options)
        train_iter, vocab = tab.d2l.load_data("story", 8, 20, False, 2000, seed=0)
        assert tab.train(nets[1], train_iter, vocab, 1, 1, **options).perplexity == [by_hand]
        perplexities.append(by_hand)
    assert perplexities[0] == perplexities[1] != perplexities[2]


def test_an_epoch_by_hand_checks_what_it_is_given(tab):
    train_iter, vocab = tab.d2l.load_data("story", 8, 20, True, 2000, seed=0)
    net = tab.scratch(len(vocab), 8)
    with pytest.raises(InputError, match="use_random_iter"):
        own_epoch(tab, net, train_iter, False)
    with pytest.raises(InputError, match="theta must be"):
        own_epoch(tab, net, train_iter, True, theta=-1)
    with pytest.raises(InputError, match="theta must be"):
        tab.train(net, train_iter, vocab, 1, 1, use_random_iter=True, theta=-1)


def test_an_epoch_is_told_with_what_was_measured_in_it(tab):
    """Of each minibatch the loss before its step, its tokens, and the norm of its gradient before clipping."""
    train_iter, vocab = tab.d2l.load_data("story", 8, 20, False, 2000, seed=0)
    net, epochs = tab.scratch(len(vocab), 8), []
    first = next(iter(tab.d2l.load_data("story", 8, 20, False, 2000, seed=0)[0]))
    loss, _, norm = tab.interface.loss_and_gradients(net, *first, theta=1e-9)
    history = tab.train(net, train_iter, vocab, 1, 3, callback=lambda number, epoch: epochs.append(epoch))
    assert [len(epoch.losses) for epoch in epochs] == [len(epoch.norms) for epoch in epochs]
    assert (epochs[0].losses[0], epochs[0].norms[0]) == pytest.approx((loss, norm))
    assert set(epochs[0].sizes) == {8 * 20}
    assert [epoch.perplexity for epoch in epochs] == history.perplexity
    more = tab.train(net, train_iter, vocab, 1, 5, history=history, callback=lambda number, epoch: number == 5)
    assert (history.epoch, more.epoch) == ([1, 2, 3], [1, 2, 3, 4, 5])


def test_a_loss_of_rows_of_very_different_size(tab):
    """Each row is measured by its own largest logit: by another's, a row of small ones would vanish."""
    loss = nn.CrossEntropyLoss()
    assert loss(np.array([[1e4, 0.0], [0.0, 0.0]]), np.array([1, 0])) == pytest.approx((1e4 + np.log(2)) / 2)
    np.testing.assert_allclose(loss.backward(), [[0.5, -0.5], [-0.25, 0.25]])


@pytest.mark.parametrize("kind", [kind for kind in canonical.KINDS if kind != "rnn-scratch"])
def test_a_layer_that_may_compute_something_else_is_of_no_kind(tab, kind):
    net = tab.d2l.RNNModel(tab.d2l.recurrent_layer(kind, V, H), V)
    assert tab.interface.kind_of(net) == kind
    net.rnn.__class__ = type("Mine", (type(net.rnn),), {})
    with pytest.raises(InputError, match="^the weights of Mine have no canonical form: use a layer of recurrent_layer"):
        tab.interface.kind_of(net)


def test_a_model_that_may_compute_something_else_is_of_no_kind(tab):
    net = tab.d2l.RNNModel(nn.RNN(V, H), V)
    net.dense.__class__ = type("Mine", (nn.Dense,), {})
    with pytest.raises(InputError, match="^the weights of RNNModel have no canonical form: use a model of build_model"):
        tab.interface.kind_of(net)
    own = tab.scratch(V, H)
    own.forward_fn = lambda inputs, state, params: tab.d2l.rnn(inputs, state, params)
    with pytest.raises(InputError, match="^the weights of RNNModelScratch have no canonical form"):
        tab.interface.kind_of(own)
    net = tab.d2l.RNNModel(nn.RNN(V, H), V)
    net.rnn.nonlinearity = "sin"
    with pytest.raises(InputError, match="^the weights of RNN have no canonical form"):
        tab.interface.kind_of(net)


def test_a_model_is_of_one_layer_in_one_direction_unless_said(tab):
    net, device = tab.interface.build_model("gru", V, H, seed=3)
    assert device == "cpu"
    assert (net.rnn.num_layers, net.rnn.bidirectional, net.num_directions) == (1, False, 1)
    for name, value in canonical.initial_weights("gru", V, H, seed=3).items():
        np.testing.assert_array_equal(tab.interface.get_weights(net)[name], value)
    layer = tab.d2l.recurrent_layer("lstm", V, H)
    assert (layer.num_layers, layer.bidirectional) == (1, False)


def test_a_nonlinearity_that_there_is_not(tab):
    with pytest.raises(InputError, match="unknown nonlinearity 'elu': use one of tanh, relu"):
        nn.RNN(V, H, nonlinearity="elu")


def test_arrays_of_another_length_are_refused(tab):
    with pytest.raises(InputError, match="must have the same length, not 3, 4"):
        tab.d2l.load_array((np.zeros(3), np.zeros(4)), 2)


def test_a_sequence_without_steps(tab, rng):
    X, state, params, _ = draw(rng, 0)
    with pytest.raises(InputError, match="^a sequence without steps has no logits: inputs must have at least one$"):
        tab.d2l.rnn_fast(X, state, params)


def test_it_learns_and_goes_on_with_a_text(tab):
    train_iter, vocab = tab.d2l.load_data("story", 8, 20, False, 2000, valid_fraction=0.2, seed=0)
    net = tab.scratch(len(vocab), 32)
    history = tab.train(net, train_iter, vocab, 1, 8, valid_iter=train_iter.valid_iter)
    assert history.perplexity[-1] < history.perplexity[0] < len(vocab)
    assert len(history.valid_perplexity) == 8
    assert tab.predict("It WAS", 5, net, vocab).startswith("it was")


def test_a_loss_that_diverges_keeps_the_last_good_weights(tab):
    train_iter, vocab = tab.d2l.load_data("story", 8, 20, False, 2000, seed=0)
    net = tab.scratch(len(vocab), 8)
    before = [param.copy() for param in net.params]
    with pytest.raises(DivergenceError):
        tab.train(net, train_iter, vocab, 1e308, 3)
    for param, value in zip(net.params, before, strict=True):
        np.testing.assert_array_equal(param, value)


def test_a_last_step_that_breaks_the_weights_is_undone(tab):
    """The losses of the epoch were measured before it, and are finite."""
    train_iter, vocab = tab.d2l.load_data("story", 8, 20, False, 200, seed=0)
    assert len(list(train_iter)) == 1
    net = tab.scratch(len(vocab), 8)
    net.params[3] *= 1e4  # W_hq, so that gradients are long
    before = [param.copy() for param in net.params]
    with pytest.raises(DivergenceError):
        tab.train(net, train_iter, vocab, 1e308, 1, theta=1e9)
    for param, value in zip(net.params, before, strict=True):
        np.testing.assert_array_equal(param, value)


@pytest.mark.parametrize("kind", canonical.KINDS)
def test_weights_come_back_as_they_were_given(tab, kind):
    net, _ = tab.interface.build_model(kind, V, H, device="cpu", seed=0)
    weights = tab.interface.get_weights(net)
    assert tab.interface.kind_of(net) == kind
    assert {name: value.shape for name, value in weights.items()} == canonical.shapes(kind, V, H)
    assert {value.dtype for value in weights.values()} == {np.dtype("float64")}
    assert tab.interface.num_parameters(net) == sum(value.size for value in weights.values())
    logits, _ = tab.interface.forward(net, np.zeros((2, 3), int))
    np.testing.assert_allclose(logits, reference.forward(weights, np.zeros((2, 3), int), kind=kind)[0], atol=1e-12)


def test_a_device_that_is_not_there(tab):
    assert tab.interface.get_device("auto") == tab.d2l.try_gpu() == "cpu"
    with pytest.raises(InputError, match="no device 'gpu' for NumPy here: use one of cpu"):
        tab.interface.get_device("gpu")


def test_the_number_of_threads(tab):
    before = tab.d2l.num_threads()
    tab.d2l.set_num_threads(before + 1)
    assert tab.d2l.num_threads() == before + 1
    tab.d2l.set_num_threads(before)
    with pytest.raises(InputError, match="must be a whole number from 1"):
        tab.d2l.set_num_threads(0)
