"""The faster forms of the network: equal to what they stand for, and run only where they are."""

import contextlib
import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import tolerances

from d2lrnn import canonical
from d2lrnn.data import Vocab
from d2lrnn.generation import generate, most_probable, token_chooser

VOCAB = Vocab("the quick brown fox jumps over a lazy dog")  # as many tokens as an English text has, <unk> included
V, H, B, T = len(VOCAB), 32, 8, 12
# What a run of the network returns, in its order, and how far off it may be
QUANTITIES = {"logits": tolerances.LOGITS, "state": tolerances.STATE} | dict.fromkeys(
    (f"gradient of {name}" for name in ("H", "W_xh", "W_hh", "b_h", "W_hq", "b_q")), tolerances.GRADIENT["rnn-scratch"]
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def module(backend, name):
    return importlib.import_module(f"d2lrnn.{backend.name}.{name}")


@pytest.fixture
def fast(backend):
    return module(backend, "fast")


@pytest.fixture
def prediction(backend):
    return module(backend, "prediction")


def count_calls(monkeypatch, owner, name):
    """Return a list that grows with each call of a function."""
    calls, function = [], getattr(owner, name)

    def counted(*args, **kwargs):
        calls.append((args, kwargs))
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


@pytest.fixture
def recurrences(backend, fast, monkeypatch):
    """Return a list that grows with each run of the recurrence by hand; a layer of any size may be run so."""
    if backend.name == "tensorflow":
        return count_calls(monkeypatch, fast, "_recurrence")
    monkeypatch.setattr(fast, "LEAST_HIDDENS_FOR_LAYER", 0)
    return count_calls(monkeypatch, fast._Recurrence, "apply")


def fail(*args, **kwargs):
    raise RuntimeError("this does not work here")


# Runs and their gradients


def differentiate(backend, objective, arrays, variables=(), *, compiled=lambda function: function):
    """Return the values of an objective, and the gradients of its loss by what it takes and by variables, as arrays.

    Args:
        backend: The backend.
        objective: A function of tensors, which it must leave as they are, that returns a loss and a list of values.
        arrays: What it takes, as arrays.
        variables: What it depends on besides.
        compiled: What compiles a function, for TensorFlow.
    """

    def run(*tensors):
        wanted = [*tensors, *variables]
        if backend.name == "tensorflow":
            with backend.framework.GradientTape() as tape:
                tape.watch(tensors)
                loss, values = objective(*tensors)
            zero = backend.framework.UnconnectedGradients.ZERO
            gradients = tape.gradient(loss, wanted, unconnected_gradients=zero)
            return [*values, *map(backend.framework.convert_to_tensor, gradients)]
        if backend.name == "torch":
            for tensor in tensors:
                tensor.requires_grad_()
            loss, values = objective(*tensors)
            return [*values, *backend.framework.autograd.grad(loss, wanted, materialize_grads=True)]
        for tensor in tensors:
            tensor.attach_grad()
        with backend.framework.autograd.record():
            loss, values = objective(*tensors)
        loss.backward()
        return [*values, *(tensor.grad for tensor in wanted)]

    tensors = [backend.tensor(array) for array in arrays]
    results = [backend.numpy(result) for result in compiled(run)(*tensors)]
    for tensor, array in zip(tensors, arrays, strict=True):
        np.testing.assert_array_equal(backend.numpy(tensor), array)
    return results


def cross_entropy(backend, logits, labels):
    """Return the mean loss of logits, one row for each of the labels."""
    framework, labels = backend.framework, backend.tensor(labels.reshape(-1))
    if backend.name == "torch":
        return framework.nn.functional.cross_entropy(logits, labels)
    if backend.name == "mxnet":
        return framework.gluon.loss.SoftmaxCrossEntropyLoss()(logits, labels).mean()
    return framework.reduce_mean(framework.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def assert_near(results, expected, tolerance=None):
    """Compare the quantities of two runs, each with its own tolerance unless one is given."""
    for (name, atol), result, value in zip(QUANTITIES.items(), results, expected, strict=True):
        np.testing.assert_allclose(result, value, rtol=0, atol=tolerance or atol, err_msg=name)


def draw(rng, num_steps, batch_size=B, num_hiddens=H, dtype="float32"):
    """Return indices, labels, and a state and parameters that are large enough for each of them to matter."""
    X, Y = rng.integers(V, size=(2, num_steps, batch_size))
    shapes = [(batch_size, num_hiddens), *canonical.shapes("rnn-scratch", V, num_hiddens).values()]
    return X, Y, [rng.normal(0, num_hiddens**-0.5, shape).astype(dtype) for shape in shapes]


def one_hot(X, dtype="float32"):
    return np.eye(V, dtype=dtype)[X]


def run(backend, forward, inputs, Y, arrays, *, of_logits=1, of_state=0, **options):
    """Return the quantities of a function such as ``rnn``, with the gradients of a loss of its logits and new state."""
    tensor = backend.tensor(inputs)

    def objective(H, *params):
        logits, (H,) = forward(tensor, (H,), params)
        # Any number that is smaller than the number of columns is a label of theirs
        return of_logits * cross_entropy(backend, logits, Y) + of_state * cross_entropy(backend, H, Y[-1]), [logits, H]

    results = differentiate(backend, objective, arrays, **options)
    np.testing.assert_array_equal(backend.numpy(tensor), inputs)
    return results


# Nets, and what is done with them


def parameters(backend, net):
    return module(backend, "training").parameters(net)


def randomise(backend, net, rng):
    """Give a net or a layer weights that are all different and large enough to matter, biases included."""
    for param in parameters(backend, net):
        shape = tuple(param.shape)
        value = rng.normal(0, max(shape) ** -0.5, shape).astype("float32")
        if backend.name == "tensorflow":
            param.assign(value)
        else:
            (param.data if backend.name == "torch" else param)[:] = backend.tensor(value)


def ready(backend, kind, rng, num_layers=1):
    """Return a net that has run, so that all its weights are there, and whose weights are drawn."""
    net = backend.scratch(V, H) if kind == "rnn-scratch" else backend.concise(kind, V, H, num_layers)
    call(backend, net)
    randomise(backend, net, rng)
    return net


def call(backend, net):
    """Return the logits of a minibatch."""
    logits, _ = net(backend.tensor(np.zeros((B, T), np.int32)), backend.begin_state(net, B))
    return backend.numpy(logits)


def generated(backend, net, prefix="the fox", num_preds=40, **options):
    return backend.predict(prefix, num_preds, net, VOCAB, **options)


# The fast form is the loop


def check_it_is_the_loop(backend, X, Y, arrays, inputs=np.asarray, **options):
    expected = run(backend, backend.d2l.rnn, one_hot(X), Y, arrays)
    assert_near(run(backend, backend.d2l.rnn_fast, inputs(X), Y, arrays, **options), expected)


INPUTS = pytest.mark.parametrize("inputs", [one_hot, np.asarray], ids=["one-hot", "indices"])


@INPUTS
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("num_steps", [1, 2, 12, 70])
def test_the_fast_form_is_the_loop(backend, rng, inputs, num_steps, batch_size):
    check_it_is_the_loop(backend, *draw(rng, num_steps, batch_size), inputs)


@INPUTS
def test_the_fast_form_is_the_loop_with_many_hidden_units(backend, rng, inputs):
    check_it_is_the_loop(backend, *draw(rng, T, num_hiddens=256), inputs)


# Of TensorFlow: whether XLA compiles the graph, and whether each sequence loops in it
GRAPHS = pytest.mark.parametrize(("xla", "loops"), [(None, False), (None, True), (True, True)], ids=str)


@INPUTS
@GRAPHS
@pytest.mark.parametrize("num_steps", [1, 2, 70])
@pytest.mark.only("tensorflow")
def test_the_fast_form_is_the_loop_in_a_graph(backend, fast, rng, inputs, num_steps, xla, loops):
    def compiled(function):
        def traced(*args):
            with fast.loops() if loops else contextlib.nullcontext():
                return function(*args)

        return backend.framework.function(traced, autograph=False, jit_compile=xla)

    check_it_is_the_loop(backend, *draw(rng, num_steps), inputs, compiled=compiled)


@pytest.mark.only("tensorflow")
def test_one_graph_may_take_sequences_of_any_length(backend, rng):
    tf = backend.framework
    shapes = [(None, H), *canonical.shapes("rnn-scratch", V, H).values()]
    signature = [tf.TensorSpec((None, None), tf.int64), *map(tf.TensorSpec, shapes)]
    graph = tf.function(lambda X, H, *params: backend.d2l.rnn_fast(X, (H,), params), signature, autograph=False)
    for num_steps, batch_size in ((1, 1), (2, 8), (12, 3)):
        X, Y, arrays = draw(rng, num_steps, batch_size)
        expected = run(backend, backend.d2l.rnn, one_hot(X), Y, arrays)
        results = run(backend, lambda X, state, params: graph(X, *state, *params), X, Y, arrays)
        assert_near(results, expected)


@pytest.mark.only("tensorflow")
def test_gradients_in_a_graph_are_tensors(backend, rng):
    """As the loop's are. What TensorFlow has for lookups in a table, sliced tensors, have another norm."""
    tf, (X, Y, arrays) = backend.framework, draw(rng, T)
    kinds = []

    @tf.function(autograph=False)
    def step():
        H, *params = map(tf.constant, arrays)
        with tf.GradientTape() as tape:
            tape.watch(params)
            logits, _ = backend.d2l.rnn_fast(X, (H,), params)
            loss = cross_entropy(backend, logits, Y)
        kinds.extend(map(type, tape.gradient(loss, params)))

    step()
    assert len(kinds) == 5
    assert tf.IndexedSlices not in kinds


@pytest.mark.parametrize("of_logits", [0, 1], ids=["alone", "and-of-the-logits"])
def test_a_loss_of_the_new_state(backend, rng, of_logits):
    X, Y, arrays = draw(rng, T)
    options = {"of_logits": of_logits, "of_state": 1}
    expected = run(backend, backend.d2l.rnn, one_hot(X), Y, arrays, **options)
    assert_near(run(backend, backend.d2l.rnn_fast, X, Y, arrays, **options), expected)


def test_the_comparison_would_notice_another_first_state_after_seventy_steps(backend, rng):
    X, Y, (state, *params) = draw(rng, 70)
    results, others = (run(backend, backend.d2l.rnn_fast, X, Y, [H, *params]) for H in (state, 0.9 * state))
    with pytest.raises(AssertionError, match="gradient of W_hh"):
        assert_near([*results[:4], others[4], *results[5:]], results)


def test_runs_before_a_backward_pass_do_not_disturb_each_other(backend, rng):
    """The second begins where the first one did, and the third where the first one ended."""
    X, Y, arrays = draw(rng, 3 * T)

    def thrice(forward, inputs):
        parts = [backend.tensor(inputs(part)) for part in np.split(X, 3)]

        def objective(H, *params):
            first, middle = forward(parts[0], (H,), params)
            second, _ = forward(parts[1], (H,), params)
            third, (end,) = forward(parts[2], middle, params)
            logits = [first, second, third]
            return sum(map(cross_entropy, [backend] * 3, logits, np.split(Y, 3))) / 3, [*logits, end]

        *logits, end, d_H, d_xh, d_hh, d_h, d_hq, d_q = differentiate(backend, objective, arrays)
        return [np.stack(logits), end, d_H, d_xh, d_hh, d_h, d_hq, d_q]

    assert_near(thrice(backend.d2l.rnn_fast, np.asarray), thrice(backend.d2l.rnn, one_hot))


def logits_of(backend, forward, X, state, params):
    logits, _ = forward(backend.tensor(X), (backend.tensor(state),), [backend.tensor(param) for param in params])
    return backend.numpy(logits)


def refusals(backend):
    """Return the errors with which a backend refuses shapes that do not fit."""
    return (ValueError, backend.framework.errors.OpError if backend.name == "tensorflow" else RuntimeError)


def test_a_state_of_another_minibatch_is_refused(backend, rng):
    X, _, (state, *params) = draw(rng, T)
    for forward, inputs in ((backend.d2l.rnn, one_hot(X)), (backend.d2l.rnn_fast, X)):
        with pytest.raises(refusals(backend)):
            logits_of(backend, forward, inputs, state[: B // 2], params)


def test_one_state_for_all_sequences_is_refused_or_read_as_the_loop_reads_it(backend, rng):
    X, _, (state, *params) = draw(rng, T)
    expected = logits_of(backend, backend.d2l.rnn, one_hot(X), state[:1], params)
    with contextlib.suppress(*refusals(backend)):
        result = logits_of(backend, backend.d2l.rnn_fast, X, state[:1], params)
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerances.LOGITS)


@pytest.mark.only("torch")
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_sequence_without_steps_is_refused(backend, rng, one_hot):
    """oneDNN checks nothing that it is given, and would end the process."""
    torch, (_, _, arrays) = backend.framework, draw(rng, 1)
    H, *params = map(torch.tensor, arrays)
    inputs = torch.zeros(0, B, V) if one_hot else torch.zeros(0, B, dtype=torch.long)
    with pytest.raises(ValueError, match="without steps"):
        backend.d2l.rnn_fast(inputs, (H,), params)


@pytest.mark.only("torch")
@pytest.mark.parametrize("which", range(5), ids=["W_xh", "W_hh", "b_h", "W_hq", "b_q"])
def test_second_derivatives(backend, rng, which):
    """Of a loss that is linear in the logits too, where a gradient that is cut off would pass for zero."""
    torch, (X, _, arrays) = backend.framework, draw(rng, 3, batch_size=2, num_hiddens=4)
    H, *params = (torch.tensor(array, dtype=torch.float64) for array in arrays)
    X = torch.nn.functional.one_hot(torch.tensor(X), V).double()
    direction = torch.ones_like(params[which])
    results = []
    for forward in (backend.d2l.rnn, backend.d2l.rnn_fast):

        def logits(value, forward=forward):
            return forward(X, (H,), [*params[:which], value, *params[which + 1 :]])[0]

        _, linear = torch.autograd.functional.jvp(lambda value: logits(value).sum(), params[which], direction)
        _, cubic = torch.autograd.functional.hvp(lambda value: (logits(value) ** 3).sum(), params[which], direction)
        results.append((linear, cubic))
    for loop, fast in zip(*results, strict=True):
        assert loop.any()
        torch.testing.assert_close(fast, loop, rtol=1e-9, atol=1e-9)


@pytest.mark.only("torch")
def test_the_new_state_is_no_part_of_what_backpropagation_needs(backend, rng):
    """A reader may write into it, and who keeps it does not keep all hidden states."""
    X, Y, arrays = draw(rng, T)
    expected, states = run(backend, backend.d2l.rnn_fast, X, Y, arrays), []

    def forward(inputs, state, params):
        logits, (H,) = backend.d2l.rnn_fast(inputs, state, params)
        assert H.untyped_storage().nbytes() == H.nbytes
        states.append(backend.numpy(H).copy())
        H.detach().zero_()
        return logits, (H,)

    logits, _, *gradients = run(backend, forward, X, Y, arrays)
    assert_near([logits, *states, *gradients], expected)


@INPUTS
@pytest.mark.only("torch", "tensorflow")  # MXNet's one-hot vectors are float32
def test_numbers_of_twice_the_precision(backend, rng, inputs):
    X, Y, arrays = draw(rng, T, dtype="float64")
    expected = run(backend, backend.d2l.rnn, one_hot(X, "float64"), Y, arrays)
    results = run(backend, backend.d2l.rnn_fast, inputs(X).astype(int if inputs is np.asarray else float), Y, arrays)
    assert {result.dtype for result in results} == {np.dtype("float64")}
    assert_near(results, expected, 1e-12)


# PyTorch: its product, and very small numbers


@pytest.fixture(params=["missing", "switched-off"])
def no_product(backend, fast, monkeypatch, request):
    if request.param == "missing":
        monkeypatch.setattr(fast, "_ONEDNN_PRODUCT", None)
    else:
        monkeypatch.setattr(fast, "_ONEDNN_PRODUCT", fail)
        monkeypatch.setattr(backend.framework.backends.mkldnn, "enabled", False)


@pytest.mark.only("torch")
@pytest.mark.parametrize("num_steps", [1, T])
@pytest.mark.usefixtures("no_product")
def test_the_fast_form_is_the_loop_without_onednn(backend, rng, num_steps):
    check_it_is_the_loop(backend, *draw(rng, num_steps))


@pytest.mark.only("torch")
@pytest.mark.parametrize(
    "operators",
    [SimpleNamespace(binary=fail), SimpleNamespace(binary=lambda *args: args[0]), SimpleNamespace()],
    ids=["raises", "is-wrong", "is-missing"],
)
def test_a_product_that_does_not_work_is_not_used(backend, fast, monkeypatch, operators):
    monkeypatch.setattr(backend.framework.ops.mkldnn, "_linear_pointwise", operators)
    assert fast._onednn_product() is None


@pytest.mark.only("torch")
def test_another_processor_has_no_such_product(backend, fast, monkeypatch):
    monkeypatch.setattr(fast.platform, "machine", lambda: "arm64")
    assert fast._onednn_product() is None


def small_numbers_are_zeros(backend):
    return bool(backend.framework.tensor(1e-39) * 0.5 == 0)


@pytest.mark.only("torch")
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("ends", ["well", "with-an-error"])
def test_small_numbers_are_zeros_only_while_an_epoch_lasts(backend, before, ends):
    d2l, seen = backend.d2l, []
    train_iter, vocab = d2l.load_data("story", 16, 20, False, 1000, seed=0)
    net = backend.scratch(len(vocab), 8, seed=0)

    def loss(y_hat, y):
        seen.append(small_numbers_are_zeros(backend))
        return backend.framework.nn.functional.cross_entropy(y_hat, y) if ends == "well" else fail()

    updater = lambda batch_size: d2l.sgd(net.params, 1, batch_size)  # noqa: E731 (the book's form)
    backend.framework.set_flush_denormal(before)
    try:
        with contextlib.nullcontext() if ends == "well" else pytest.raises(RuntimeError, match="does not work"):
            d2l.train_epoch_ch8(net, train_iter, loss, updater, backend.cpu, False)
        assert small_numbers_are_zeros(backend) == before
    finally:
        backend.framework.set_flush_denormal(False)
    assert seen
    assert all(seen)


# Clipping and the step, in place


def set_gradients(backend, net, gradients):
    for param, gradient in zip(net.params, gradients, strict=True):
        if backend.name == "torch":
            param.grad = backend.tensor(gradient)
        else:
            param.grad[:] = backend.tensor(gradient)


@pytest.fixture
def with_gradients(backend, rng):
    """Return a net from scratch whose gradients are drawn, and arrays of its parameters and gradients."""
    net = backend.scratch(V, H)
    randomise(backend, net, rng)
    gradients = [rng.normal(0, 0.1, tuple(param.shape)).astype("float32") for param in net.params]
    set_gradients(backend, net, gradients)
    return net, [backend.numpy(param).copy() for param in net.params], gradients


@pytest.mark.only("torch", "mxnet")  # TensorFlow's gradients belong to no parameter
@pytest.mark.parametrize("theta", [0.5, 100])
def test_clipping_is_that_of_the_norm_of_all_gradients(backend, with_gradients, theta):
    net, _, gradients = with_gradients
    norm = np.linalg.norm(np.concatenate([gradient.ravel() for gradient in gradients]))
    assert float(backend.d2l.grad_clipping(net, theta)) == pytest.approx(norm, rel=1e-6)
    for param, gradient in zip(net.params, gradients, strict=True):
        np.testing.assert_allclose(backend.numpy(param.grad), gradient * min(1, theta / norm), rtol=1e-6)


@pytest.mark.only("torch", "mxnet")
def test_the_norm_of_many_numbers_is_exact(backend, rng):
    """Adding a million squares up one by one in float32 is off by more than a step's rounding (multi_sum_sq does)."""
    net = backend.scratch(V, 1024)
    gradients = [rng.uniform(0.5, 1.5, tuple(param.shape)).astype("float32") for param in net.params]
    set_gradients(backend, net, gradients)
    norm = np.sqrt(sum(np.sum(gradient.astype(float) ** 2) for gradient in gradients))
    assert float(backend.d2l.grad_clipping(net, 1e9)) == pytest.approx(norm, rel=1e-6)


@pytest.mark.only("torch", "mxnet")
def test_a_step_goes_against_the_gradient(backend, with_gradients):
    net, params, gradients = with_gradients
    backend.d2l.sgd(net.params, 0.5, 4)
    for param, value, gradient in zip(net.params, params, gradients, strict=True):
        np.testing.assert_allclose(backend.numpy(param), value - 0.5 * gradient / 4, rtol=0, atol=1e-7)


# A plain layer of the framework may be run by hand


def by_the_framework(backend, layer, X, state):
    """Return what the layer itself makes of time-major inputs."""
    if backend.name != "tensorflow":
        return layer(X, state)
    transpose = backend.framework.transpose
    Y, *state = layer(transpose(X, (1, 0, 2)), initial_state=state)
    return [transpose(Y, (1, 0, 2)), *state]


def columns_as_classes(backend, result, Y):
    rows = backend.framework.reshape(result, (-1, result.shape[-1]))
    return cross_entropy(backend, rows, np.resize(Y, rows.shape[0]))


def check_it_is_the_layer(backend, fast, rng, layer, num_layers=1, kind="rnn", loss_of=columns_as_classes):
    """Compare outputs, new state, and gradients by inputs, state and weights; the loss is of outputs and new state."""
    randomise(backend, layer, rng)
    torch = backend.name == "torch"
    state = (num_layers, B, layer.hidden_size) if torch else (B, layer.cell.units)
    arrays = [rng.normal(0, 0.5, shape).astype("float32") for shape in ((T, B, V), state)]
    Y = rng.integers(V, size=(T, B))

    def run_by(forward):
        def objective(X, H):
            results = forward(layer, X, H if torch else [H])
            return sum(loss_of(backend, result, Y) for result in results), list(results)

        return differentiate(backend, objective, arrays, parameters(backend, layer))

    expected = run_by(lambda *args: by_the_framework(backend, *args))
    atols = [tolerances.LOGITS, tolerances.STATE] + [tolerances.GRADIENT[kind]] * (len(expected) - 2)
    for result, value, atol in zip(run_by(fast.layer_fast), expected, atols, strict=True):
        np.testing.assert_allclose(result, value, rtol=0, atol=atol)


@pytest.mark.only("torch", "tensorflow")
@pytest.mark.parametrize("kind", ["rnn", "rnn-relu"])
def test_a_layer_by_hand_is_the_layer(backend, fast, rng, recurrences, kind):
    check_it_is_the_layer(backend, fast, rng, backend.d2l.recurrent_layer(kind, V, H), kind=kind)
    assert len(recurrences) == 1


@pytest.mark.only("torch")
@pytest.mark.parametrize("kind", ["rnn", "rnn-relu"])
def test_layers_above_each_other(backend, fast, rng, recurrences, kind):
    check_it_is_the_layer(backend, fast, rng, backend.d2l.recurrent_layer(kind, V, H, 2), 2, kind)
    assert len(recurrences) == 2


@pytest.mark.only("tensorflow")
def test_a_layer_around_a_cell(backend, fast, rng, recurrences):
    check_it_is_the_layer(backend, fast, rng, built(backend, lambda L: L.RNN(L.SimpleRNNCell(H), **RETURNS)))
    assert len(recurrences) == 1


@pytest.mark.only("torch")
@pytest.mark.usefixtures("recurrences")
def test_a_gradient_that_is_the_same_everywhere(backend, fast, rng):
    """PyTorch keeps such a one as a single number."""
    layer = backend.d2l.recurrent_layer("rnn", V, H)
    check_it_is_the_layer(backend, fast, rng, layer, loss_of=lambda backend, result, Y: result.sum() / (T * B * H))


@pytest.mark.only("torch")
def test_large_layers_are_run_by_hand_and_others_are_not(backend, fast, rng, monkeypatch):
    calls, least = count_calls(monkeypatch, fast._Recurrence, "apply"), fast.LEAST_HIDDENS_FOR_LAYER
    for num_hiddens, num_layers, expected in ((least, 1, 1), (256, 2, 2), (least - 1, 1, 0)):
        calls.clear()
        layer = backend.d2l.recurrent_layer("rnn", V, num_hiddens, num_layers)
        check_it_is_the_layer(backend, fast, rng, layer, num_layers)
        assert len(calls) == expected


@pytest.mark.only("torch", "tensorflow")
def test_a_net_over_a_plain_layer_runs_it_by_hand(backend, rng, recurrences):
    net = ready(backend, "rnn", rng)
    recurrences.clear()
    call(backend, net)
    assert len(recurrences) == 1
    if backend.name == "torch":  # without gradients its own layer is faster
        with backend.framework.no_grad():
            call(backend, net)
        assert len(recurrences) == 1


@pytest.mark.only("torch")
def test_a_layer_may_be_left_without_a_first_state(backend, recurrences):
    net = backend.concise("rnn", V, H)
    logits, _ = net(backend.tensor(np.zeros((B, T), int)), None)
    np.testing.assert_allclose(backend.numpy(logits), call(backend, net), rtol=0, atol=tolerances.LOGITS)


@pytest.mark.only("torch")
def test_a_layers_state_of_another_minibatch_is_refused(backend, recurrences):
    net = backend.concise("rnn", V, H)
    with pytest.raises(RuntimeError):
        net(backend.tensor(np.zeros((B, T), int)), backend.begin_state(net, B // 2))


# What is no plain layer is left alone


def flat(result):
    """Return all tensors of a layer's outputs and states."""
    return [tensor for part in result for tensor in flat(part)] if isinstance(result, (list, tuple)) else [result]


def check_it_is_left_alone(backend, fast, rng, layer):
    randomise(backend, layer, rng)
    X = backend.tensor(rng.normal(0, 0.5, (B, B, V)).astype("float32"))  # the first two axes may be read either way
    state = backend.begin_state(backend.d2l.RNNModel(layer, V), B)
    results = []
    for forward in (fast.layer_fast, lambda *args: by_the_framework(backend, *args)):
        if backend.name == "torch":
            backend.framework.manual_seed(0)  # of dropout
        results.append([backend.numpy(tensor) for tensor in flat(forward(layer, X, state))])
    for result, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(result, expected)


def hooked(layer, register):
    getattr(layer, register)(lambda *args: None)
    return layer


TORCH_LAYERS = {
    "bidirectional": lambda nn: nn.RNN(V, H, bidirectional=True),
    "dropout": lambda nn: nn.RNN(V, H, 2, dropout=0.5),
    "batch-first": lambda nn: nn.RNN(V, H, batch_first=True),
    "no-bias": lambda nn: nn.RNN(V, H, bias=False),
    "gru": lambda nn: nn.GRU(V, H),
    "lstm": lambda nn: nn.LSTM(V, H),
    "subclass": lambda nn: type("Mine", (nn.RNN,), {})(V, H),
    "parametrized": lambda nn: nn.utils.parametrizations.weight_norm(nn.RNN(V, H), "weight_hh_l0"),
    "hook": lambda nn: hooked(nn.RNN(V, H), "register_forward_hook"),
    "hook-before": lambda nn: hooked(nn.RNN(V, H), "register_forward_pre_hook"),
    "hook-of-gradients": lambda nn: hooked(nn.RNN(V, H), "register_full_backward_hook"),
}


@pytest.mark.only("torch")
@pytest.mark.parametrize("make", TORCH_LAYERS.values(), ids=TORCH_LAYERS)
def test_a_torch_layer_that_is_not_plain(backend, fast, rng, recurrences, make):
    layer = make(backend.framework.nn)
    check_it_is_left_alone(backend, fast, rng, layer)
    assert not fast.is_plain(layer)
    assert not recurrences


RETURNS = {"return_sequences": True, "return_state": True}
KERAS_LAYERS = {
    "stateful": lambda L: L.SimpleRNN(H, stateful=True, **RETURNS),
    "backwards": lambda L: L.SimpleRNN(H, go_backwards=True, **RETURNS),
    "no-bias": lambda L: L.SimpleRNN(H, use_bias=False, **RETURNS),
    "dropout": lambda L: L.SimpleRNN(H, dropout=0.5, **RETURNS),
    "recurrent-dropout": lambda L: L.SimpleRNN(H, recurrent_dropout=0.5, **RETURNS),
    "another-activation": lambda L: L.SimpleRNN(H, activation="sigmoid", **RETURNS),
    "half-precision": lambda L: L.SimpleRNN(H, dtype="mixed_float16", **RETURNS),
    "gru": lambda L: L.GRU(H, **RETURNS),
    "lstm": lambda L: L.LSTM(H, **RETURNS),
    "bidirectional": lambda L: L.Bidirectional(L.SimpleRNN(H, **RETURNS)),
    "subclass": lambda L: type("Mine", (L.SimpleRNN,), {})(H, **RETURNS),
    "subclass-of-the-cell": lambda L: L.RNN(type("Mine", (L.SimpleRNNCell,), {})(H), **RETURNS),
}


def built(backend, make):
    layer = make(backend.framework.keras.layers)
    layer.build((B, None, V))
    return layer


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("make", KERAS_LAYERS.values(), ids=KERAS_LAYERS)
def test_a_keras_layer_that_is_not_plain(backend, fast, rng, recurrences, make):
    layer = built(backend, make)
    check_it_is_left_alone(backend, fast, rng, layer)
    assert not fast.is_plain(layer)
    assert not recurrences


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("name", RETURNS)
def test_a_keras_layer_that_does_not_return_what_a_net_needs_is_not_plain(backend, fast, name):
    assert not fast.is_plain(built(backend, lambda L: L.SimpleRNN(H, **{**RETURNS, name: False})))


@pytest.mark.only("tensorflow")
def test_a_keras_layer_builds_itself_and_is_plain_from_then_on(backend, fast, rng, recurrences):
    layer = backend.framework.keras.layers.SimpleRNN(H, **RETURNS)
    check_it_is_left_alone(backend, fast, rng, layer)
    assert not recurrences
    check_it_is_the_layer(backend, fast, rng, layer)
    assert len(recurrences) == 1


GLUON_LAYERS = {
    "plain": (lambda R: R.RNN(H, activation="tanh", input_size=V), True),
    "relu": (lambda R: R.RNN(H, activation="relu", input_size=V), True),
    "two-layers": (lambda R: R.RNN(H, 2, activation="tanh", input_size=V), True),
    "bidirectional": (lambda R: R.RNN(H, bidirectional=True, input_size=V), False),
    "batch-first": (lambda R: R.RNN(H, layout="NTC", input_size=V), False),
    "dropout": (lambda R: R.RNN(H, 2, dropout=0.5, input_size=V), False),
    "gru": (lambda R: R.GRU(H, input_size=V), False),
    "lstm": (lambda R: R.LSTM(H, input_size=V), False),
    "subclass": (lambda R: type("Mine", (R.RNN,), {})(H, input_size=V), False),
    "hook": (lambda R: hooked(R.RNN(H, input_size=V), "register_forward_hook"), False),
    "hook-before": (lambda R: hooked(R.RNN(H, input_size=V), "register_forward_pre_hook"), False),
}


@pytest.mark.only("mxnet")
@pytest.mark.parametrize(("make", "plain"), GLUON_LAYERS.values(), ids=GLUON_LAYERS)
def test_gluons_layers_run_as_they_are(backend, fast, rng, make, plain):
    layer = make(backend.framework.gluon.rnn)
    layer.initialize()
    check_it_is_left_alone(backend, fast, rng, layer)
    assert fast.is_plain(layer) == plain


HOOKED = {
    "recurrent-layer": lambda net: net.rnn,
    "output-layer": lambda net: net.linear if hasattr(net, "linear") else net.dense,
    "net": lambda net: net,
}


@pytest.mark.only("torch", "mxnet")
@pytest.mark.parametrize("part", HOOKED.values(), ids=HOOKED)
def test_a_hook_is_called_in_training_and_in_generation(backend, fast, monkeypatch, rng, part):
    monkeypatch.setattr(fast, "LEAST_HIDDENS_FOR_LAYER", 0, raising=False)
    net, calls = ready(backend, "rnn", rng), []
    part(net).register_forward_hook(lambda *args: calls.append(args))
    call(backend, net)
    generated(backend, net, "the", 2)
    assert len(calls) == 1 + len("the") - 1 + 2


@pytest.mark.only("torch")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # PyTorch's, of its own parts
def test_an_exported_layer_is_the_frameworks(backend, recurrences):
    torch, net = backend.framework, backend.concise("rnn", V, H)
    program = torch.export.export(net, (torch.zeros(B, T, dtype=torch.long), backend.begin_state(net, B)))
    assert "aten.rnn_tanh.input" in {str(node.target) for node in program.graph.nodes}
    assert not recurrences


@pytest.mark.only("torch")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn"])
def test_a_net_may_be_compiled(backend, fast, rng, monkeypatch, kind):
    monkeypatch.setattr(fast, "LEAST_HIDDENS_FOR_LAYER", 0)
    net = ready(backend, kind, rng)
    expected = call(backend, net)
    compiled = backend.framework.compile(lambda X, state: net(X, state), backend="eager")
    logits, _ = compiled(backend.tensor(np.zeros((B, T), int)), backend.begin_state(net, B))
    np.testing.assert_allclose(backend.numpy(logits), expected, rtol=0, atol=tolerances.LOGITS)


@pytest.mark.only("torch")
@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn"])
@pytest.mark.usefixtures("recurrences")
def test_a_net_may_train_in_mixed_precision(backend, rng, kind):
    torch, net = backend.framework, ready(backend, kind, rng)
    exact = call(backend, net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, _ = net(torch.zeros(B, T, dtype=torch.long), backend.begin_state(net, B))
        loss = cross_entropy(backend, logits.float(), np.zeros(B * T, int))
    loss.backward()
    np.testing.assert_allclose(logits.float().detach(), exact, rtol=0, atol=0.1)


# A reader's own function is what runs


def losses_of(backend, net, epochs=2):
    """Return the losses of a few steps of training."""
    train_iter, vocab = backend.d2l.load_data("story", 16, 20, False, 3000, seed=0)
    losses = []
    callback = lambda number, epoch: losses.extend(epoch.losses.tolist())  # noqa: E731 (one line)
    backend.train(net, train_iter, vocab, 1, epochs, callback=callback)
    return losses


def copy_of(rnn, calls):
    """Return a forward function that computes what ``rnn`` does, and is another one; it appends to a list."""

    def forward_fn(inputs, state, params):
        calls.append(len(inputs))
        return rnn(inputs, state, params)

    return forward_fn


def test_a_readers_own_function_runs_and_trains_as_the_fast_form_does(backend):
    calls, losses = [], []
    for own in (False, True):
        net = backend.scratch(V, H, seed=0)
        net.forward_fn = copy_of(backend.d2l.rnn, calls) if own else net.forward_fn
        losses.append(losses_of(backend, net))
        assert bool(calls) == own
    # TensorFlow calls it to make a graph
    assert backend.name == "tensorflow" or len(calls) == len(losses[1])
    atol = tolerances.LOSSES_OVER_50_STEPS[backend.name, "rnn-scratch"]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0, atol=atol)


@pytest.mark.parametrize("use", [call, losses_of, generated])
def test_a_function_that_is_put_in_later_runs_from_then_on(backend, use):
    net, calls = backend.scratch(V, H, seed=0), []
    use(backend, net)
    net.forward_fn = copy_of(backend.d2l.rnn, calls)
    use(backend, net)
    assert calls


# Generation


KINDS = pytest.mark.parametrize("kind", ["rnn-scratch", "rnn", "rnn-relu"])


def generated_the_general_way(backend, net, *args, **options):
    """Return what a net writes token by token, by its own call, which is the book's loop if it is from scratch."""
    prediction = module(backend, "prediction")
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(net, "forward_fn"):
            patch.setattr(net, "forward_fn", copy_of(backend.d2l.rnn, []))
        patch.setattr(prediction, "step_fast", fail)
        patch.setattr(prediction, "_plain_params", lambda net: None)
        if backend.name == "tensorflow":
            patch.setattr(prediction, "generate", lambda *args, most_probable_tokens: generate(*args))
            patch.setattr(prediction, "compiled", lambda net, key, function: function)
        return generated(backend, net, *args, **options)


GENERATED = {
    "greedy": ("the fox", 40, {}),
    "drawn": ("the fox", 40, {"temperature": 0.8, "seed": 1}),
    "drawn-of-few": ("the fox", 40, {"top_k": 3, "seed": 1}),
    "nothing": ("the fox", 0, {}),
    "one": ("t", 1, {}),
    "after-nothing": ("", 10, {}),
    "nothing-after-nothing": ("", 0, {"seed": 1}),
}


@KINDS
@pytest.mark.parametrize(("prefix", "num_preds", "options"), GENERATED.values(), ids=GENERATED)
def test_generation_writes_what_the_general_way_writes(backend, rng, kind, prefix, num_preds, options):
    net = ready(backend, kind, rng)
    text = generated(backend, net, prefix, num_preds, **options)
    assert text == generated_the_general_way(backend, net, prefix, num_preds, **options)


@KINDS
def test_generation_takes_the_short_way_where_there_is_one(backend, rng, prediction, monkeypatch, kind):
    calls, net = count_calls(monkeypatch, prediction, "step_fast"), ready(backend, kind, rng)
    generated(backend, net)
    assert calls


@pytest.mark.parametrize(("kind", "num_layers"), [("gru", 1), ("lstm", 1), ("rnn", 2)])
def test_other_layers_generate_too(backend, rng, kind, num_layers):
    net = ready(backend, kind, rng, num_layers)
    assert generated(backend, net) == generated_the_general_way(backend, net)


def test_generation_leaves_the_first_state_as_it_is(backend, rng):
    """A reader may keep one."""
    net, H_0 = ready(backend, "rnn-scratch", rng), rng.normal(0, 1, (1, H)).astype("float32")
    state = (backend.tensor(H_0),)
    net.init_state = lambda *args: state
    texts = [generated(backend, net, **options) for options in ({}, {}, {"seed": 0}, {"seed": 0})]
    np.testing.assert_array_equal(backend.numpy(state[0]), H_0)
    assert texts[:2] == [texts[1], generated_the_general_way(backend, net)]
    assert texts[2] == texts[3]


@KINDS
@pytest.mark.parametrize("options", [{}, {"temperature": 1, "seed": 0}], ids=["greedy", "drawn"])
def test_a_net_whose_weights_have_changed_writes_with_the_new_ones(backend, rng, kind, options):
    net, texts = ready(backend, kind, rng), []
    for _ in range(2):
        texts.append(generated(backend, net, **options))
        assert texts[-1] == generated_the_general_way(backend, net, **options)
        randomise(backend, net, rng)
    assert texts[0] != texts[1]


@pytest.mark.only("mxnet")
def test_a_net_whose_dense_layer_has_not_seen_its_inputs_generates(backend):
    net = backend.concise("rnn", V, H)
    assert not backend.d2l.RNNModel(net.rnn, V).dense.weight.shape[1] > 0
    text = generated(backend, net)
    assert net.dense.weight.shape[1] == H
    assert text == generated(backend, net) == generated_the_general_way(backend, net)


def negated(layer, method):
    """Return a class of layers that compute what a class's do, with the other sign."""
    return type("Negated", (layer,), {method: lambda self, X: -getattr(layer, method)(self, X)})


OUTPUT_LAYERS = {
    "torch": {
        "no-bias": lambda nn: nn.Linear(H, V, bias=False),
        "activation": lambda nn: nn.Sequential(nn.Linear(H, V), nn.ReLU()),
        "subclass": lambda nn: negated(nn.Linear, "forward")(H, V),
    },
    "mxnet": {
        "no-bias": lambda nn: nn.Dense(V, use_bias=False, in_units=H),
        "activation": lambda nn: nn.Dense(V, activation="relu", in_units=H),
        "subclass": lambda nn: negated(nn.Dense, "forward")(V, in_units=H),
    },
    "tensorflow": {
        "no-bias": lambda layers: layers.Dense(V, use_bias=False),
        "activation": lambda layers: layers.Dense(V, activation="relu"),
        "subclass": lambda layers: negated(layers.Dense, "call")(V),
    },
}


@pytest.mark.parametrize("change", OUTPUT_LAYERS["torch"])
def test_an_output_layer_of_the_readers_own(backend, rng, change):
    framework, net = backend.framework, backend.concise("rnn", V, H)
    make = OUTPUT_LAYERS[backend.name][change]
    if backend.name == "torch":
        net.linear = make(framework.nn)
    elif backend.name == "tensorflow":
        net.dense.build((None, H))  # Keras keeps it, and complains of one that is never built
        net.dense = make(framework.keras.layers)
    else:
        net.dense = make(framework.gluon.nn)
        net.dense.initialize()
    call(backend, net)
    randomise(backend, net, rng)
    options = {"temperature": 0.5, "seed": 0}
    assert generated(backend, net, **options) == generated_the_general_way(backend, net, **options)


@pytest.mark.only("mxnet")
def test_a_recurrent_layer_that_has_not_seen_its_inputs(backend):
    net = backend.d2l.RNNModel(backend.framework.gluon.rnn.RNN(H, activation="tanh"), V)
    net.dense = backend.framework.gluon.nn.Dense(V, in_units=H)
    net.initialize()
    assert generated(backend, net) == generated_the_general_way(backend, net)


# TensorFlow: where XLA compiles the step


# Of each: a net of so many hidden units, and whether XLA may compile it
XLA = {
    "scratch": (lambda backend, *size: backend.scratch(V, *size), True),
    "rnn": (lambda backend, *size: backend.concise("rnn", V, *size), True),
    "rnn-relu": (lambda backend, *size: backend.concise("rnn-relu", V, *size), True),
    "rnn-two-layers": (lambda backend, *size: backend.concise("rnn", V, *size, 2), True),
    "rnn-bidirectional": (lambda backend, *size: backend.concise("rnn", V, *size, 1, True), False),
    "gru": (lambda backend, *size: backend.concise("gru", V, *size), False),
    "lstm": (lambda backend, *size: backend.concise("lstm", V, *size), False),
}


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize(("make", "expected"), XLA.values(), ids=XLA)
def test_xla_is_for_large_plain_nets(backend, prediction, monkeypatch, make, expected):
    least = prediction.LEAST_HIDDENS_FOR_XLA
    monkeypatch.setattr(prediction, "_xla_works", lambda: True)
    assert prediction.pays_for_xla(make(backend, least)) == expected
    assert not prediction.pays_for_xla(make(backend, least - 1))
    monkeypatch.setattr(prediction, "_xla_works", lambda: False)
    assert not prediction.pays_for_xla(make(backend, least))


@pytest.mark.only("tensorflow")
def test_xla_is_not_for_a_readers_own_function_or_class(backend, prediction):
    sizes = V, prediction.LEAST_HIDDENS_FOR_XLA
    net = backend.scratch(*sizes)
    net.forward_fn = copy_of(backend.d2l.rnn, [])
    assert not prediction.pays_for_xla(net)
    for net in (backend.scratch(*sizes), backend.concise("rnn", *sizes)):
        net.__class__ = type("Mine", (type(net),), {})
        assert not prediction.pays_for_xla(net)


@pytest.mark.only("tensorflow")
def test_xla_is_not_for_another_device(backend, prediction, monkeypatch):
    net = backend.scratch(V, prediction.LEAST_HIDDENS_FOR_XLA)
    on_gpu = SimpleNamespace(device="/job:localhost/replica:0/task:0/device:GPU:0")
    monkeypatch.setattr(backend.framework, "convert_to_tensor", lambda param: on_gpu)
    assert not prediction.pays_for_xla(net)


@pytest.mark.only("tensorflow")
def test_xla_is_tried_before_it_is_used(backend, prediction, monkeypatch):
    def without_xla(function, **options):
        raise backend.framework.errors.UnimplementedError(None, None, "no XLA here")

    assert prediction._xla_works.__wrapped__()
    monkeypatch.setattr(backend.framework, "function", without_xla)
    assert not prediction._xla_works.__wrapped__()


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn"])
def test_training_by_xla_is_training(backend, prediction, monkeypatch, kind):
    assert prediction._xla_works()
    losses, graphs = [], count_calls(monkeypatch, backend.framework, "function")
    for least in (1, H + 1):
        monkeypatch.setattr(prediction, "LEAST_HIDDENS_FOR_XLA", least)
        net, _ = backend.interop.build_model(kind, V, H, device="cpu", seed=0)
        losses.append(losses_of(backend, net))
    assert [options["jit_compile"] for _, options in graphs] == [True, None]
    atol = tolerances.LOSSES_OVER_50_STEPS[backend.name, kind]
    np.testing.assert_allclose(*losses, rtol=0, atol=atol)


# The most probable token, without a framework


def test_of_equals_the_first_is_the_most_probable():
    assert [most_probable(np.array(logits)) for logits in ([1, 3, 3], [0, 0, 0], [-2, -1, -1])] == [1, 0, 1]


@pytest.mark.parametrize("options", [{}, {"temperature": 0}], ids=["plain", "temperature-0"])
def test_many_most_probable_tokens_are_asked_for_at_once(options):
    fed, asked = [], []

    def many(index, count):
        asked.append((index, count))
        return np.full(count, 5)

    text = generate("the", 3, VOCAB, fed.append, token_chooser(**options), most_probable_tokens=many)
    assert (fed, asked) == ([VOCAB["t"], VOCAB["h"]], [(VOCAB["e"], 3)])
    assert text == "the" + 3 * VOCAB.to_tokens(5)


@pytest.mark.parametrize(
    "choose",
    [lambda logits: int(np.argmax(logits)), token_chooser(seed=0), token_chooser(top_k=1), token_chooser(1.0)],
    ids=["own", "seed", "top-1", "temperature"],
)
def test_another_choice_is_made_token_by_token(choose):
    fed = []

    def step(index):
        fed.append(index)
        return np.where(np.arange(V) == 7, 0, -np.inf)

    text = generate("the", 3, VOCAB, step, choose, most_probable_tokens=fail)
    assert text == "the" + 3 * VOCAB.to_tokens(7)
    assert fed == [*VOCAB[list("the")], 7, 7]


@pytest.mark.only("tensorflow")
def test_a_loss_that_xla_lacks_trains_in_the_frameworks_own_graph(backend, monkeypatch):
    monkeypatch.setattr(module(backend, "prediction"), "LEAST_HIDDENS_FOR_XLA", 1)
    tf, d2l = backend.framework, backend.d2l
    train_iter, vocab = d2l.load_data("story", 16, 20, False, 3000, seed=0)
    cross_entropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    seen = []

    def loss(y, y_hat):
        tf.py_function(seen.append, [y[0]], [])  # Python, in the middle of a graph
        return cross_entropy(y, y_hat)

    net = d2l.RNNModelScratch(len(vocab), H, d2l.init_rnn_state, d2l.rnn, d2l.get_params, seed=0)
    first, _ = d2l.train_epoch_ch8(net, train_iter, loss, tf.keras.optimizers.SGD(1.0), False)
    second, _ = d2l.train_epoch_ch8(net, train_iter, loss, tf.keras.optimizers.SGD(1.0), False)
    assert second < first
    assert len(seen) == 2 * len(list(train_iter))
