"""The faster form of the network: equal to the loop that it stands for."""

import contextlib
import importlib

import numpy as np
import pytest
import tolerances
from nets import VOCAB, B, H, T, V, fail, randomise

from d2lrnn.core.backends import FRAMEWORKS
from d2lrnn.core.generation import generate, most_probable, token_chooser
from d2lrnn.errors import InputError
from d2lrnn.weights import canonical

pytestmark = pytest.mark.only(*FRAMEWORKS)  # test_numpy.py has those of NumPy, which has no automatic gradients
# What a run of the network returns, in its order, and how far off it may be
QUANTITIES = {"logits": tolerances.LOGITS, "state": tolerances.STATE} | dict.fromkeys(
    (f"gradient of {name}" for name in ("H", "W_xh", "W_hh", "b_h", "W_hq", "b_q")), tolerances.GRADIENT["rnn-scratch"]
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def fast(backend):
    return importlib.import_module(f"d2lrnn.{backend.name}.fast")


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


# The fast form is the loop


def check_it_is_the_loop(backend, X, Y, arrays, **options):
    expected = run(backend, backend.d2l.rnn, one_hot(X), Y, arrays)
    assert_near(run(backend, backend.d2l.rnn_fast, one_hot(X), Y, arrays, **options), expected)


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("num_steps", [1, 2, 12, 70])
def test_the_fast_form_is_the_loop(backend, rng, num_steps, batch_size):
    check_it_is_the_loop(backend, *draw(rng, num_steps, batch_size))


def test_the_fast_form_is_the_loop_with_many_hidden_units(backend, rng):
    check_it_is_the_loop(backend, *draw(rng, T, num_hiddens=256))


# Of TensorFlow: whether XLA compiles the graph, and whether each sequence loops in it
GRAPHS = pytest.mark.parametrize(("xla", "loops"), [(None, False), (None, True), (True, True)], ids=str)


@GRAPHS
@pytest.mark.parametrize("num_steps", [1, 2, 70])
@pytest.mark.only("tensorflow")
def test_the_fast_form_is_the_loop_in_a_graph(backend, fast, rng, num_steps, xla, loops):
    def compiled(function):
        def traced(*args):
            with fast.loops() if loops else contextlib.nullcontext():
                return function(*args)

        return backend.framework.function(traced, autograph=False, jit_compile=xla)

    check_it_is_the_loop(backend, *draw(rng, num_steps), compiled=compiled)


@pytest.mark.only("tensorflow")
def test_one_graph_may_take_sequences_of_any_length(backend, rng):
    tf = backend.framework
    shapes = [(None, H), *canonical.shapes("rnn-scratch", V, H).values()]
    signature = [tf.TensorSpec((None, None, V)), *map(tf.TensorSpec, shapes)]
    graph = tf.function(lambda X, H, *params: backend.d2l.rnn_fast(X, (H,), params), signature, autograph=False)
    for num_steps, batch_size in ((1, 1), (2, 8), (12, 3)):
        X, Y, arrays = draw(rng, num_steps, batch_size)
        expected = run(backend, backend.d2l.rnn, one_hot(X), Y, arrays)
        results = run(backend, lambda X, state, params: graph(X, *state, *params), one_hot(X), Y, arrays)
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
            logits, _ = backend.d2l.rnn_fast(one_hot(X), (H,), params)
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
    assert_near(run(backend, backend.d2l.rnn_fast, one_hot(X), Y, arrays, **options), expected)


def test_the_comparison_would_notice_another_first_state_after_seventy_steps(backend, rng):
    X, Y, (state, *params) = draw(rng, 70)
    results, others = (run(backend, backend.d2l.rnn_fast, one_hot(X), Y, [H, *params]) for H in (state, 0.9 * state))
    with pytest.raises(AssertionError, match="gradient of W_hh"):
        assert_near([*results[:4], others[4], *results[5:]], results)


def test_runs_before_a_backward_pass_do_not_disturb_each_other(backend, rng):
    """The second begins where the first one did, and the third where the first one ended."""
    X, Y, arrays = draw(rng, 3 * T)

    def thrice(forward):
        parts = [backend.tensor(one_hot(part)) for part in np.split(X, 3)]

        def objective(H, *params):
            first, middle = forward(parts[0], (H,), params)
            second, _ = forward(parts[1], (H,), params)
            third, (end,) = forward(parts[2], middle, params)
            logits = [first, second, third]
            return sum(map(cross_entropy, [backend] * 3, logits, np.split(Y, 3))) / 3, [*logits, end]

        *logits, end, d_H, d_xh, d_hh, d_h, d_hq, d_q = differentiate(backend, objective, arrays)
        return [np.stack(logits), end, d_H, d_xh, d_hh, d_h, d_hq, d_q]

    assert_near(thrice(backend.d2l.rnn_fast), thrice(backend.d2l.rnn))


def logits_of(backend, forward, X, state, params):
    logits, _ = forward(backend.tensor(X), (backend.tensor(state),), [backend.tensor(param) for param in params])
    return backend.numpy(logits)


def refusals(backend):
    """Return the errors with which a backend refuses shapes that do not fit."""
    return (ValueError, backend.framework.errors.OpError if backend.name == "tensorflow" else RuntimeError)


def test_a_state_of_another_minibatch_is_refused(backend, rng):
    X, _, (state, *params) = draw(rng, T)
    for forward in (backend.d2l.rnn, backend.d2l.rnn_fast):
        with pytest.raises(refusals(backend)):
            logits_of(backend, forward, one_hot(X), state[: B // 2], params)


def test_one_state_for_all_sequences_is_refused_or_read_as_the_loop_reads_it(backend, rng):
    X, _, (state, *params) = draw(rng, T)
    expected = logits_of(backend, backend.d2l.rnn, one_hot(X), state[:1], params)
    with contextlib.suppress(*refusals(backend)):
        result = logits_of(backend, backend.d2l.rnn_fast, one_hot(X), state[:1], params)
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerances.LOGITS)


def test_a_sequence_without_steps_is_refused(backend, rng):
    X, _, arrays = draw(rng, 0)
    H, *params = map(backend.tensor, arrays)
    with pytest.raises(InputError, match="without steps"):
        backend.d2l.rnn_fast(backend.tensor(one_hot(X)), (H,), params)


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
    expected, states = run(backend, backend.d2l.rnn_fast, one_hot(X), Y, arrays), []

    def forward(inputs, state, params):
        logits, (H,) = backend.d2l.rnn_fast(inputs, state, params)
        assert H.untyped_storage().nbytes() == H.nbytes
        states.append(backend.numpy(H).copy())
        H.detach().zero_()
        return logits, (H,)

    logits, _, *gradients = run(backend, forward, one_hot(X), Y, arrays)
    assert_near([logits, *states, *gradients], expected)


@pytest.mark.only("torch", "tensorflow")  # MXNet's one-hot vectors are float32
def test_numbers_of_twice_the_precision(backend, rng):
    X, Y, arrays = draw(rng, T, dtype="float64")
    expected = run(backend, backend.d2l.rnn, one_hot(X, "float64"), Y, arrays)
    results = run(backend, backend.d2l.rnn_fast, one_hot(X, "float64"), Y, arrays)
    assert {result.dtype for result in results} == {np.dtype("float64")}
    assert_near(results, expected, 1e-12)


# PyTorch: very small numbers


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


# PyTorch: other ways to run it


@pytest.mark.only("torch")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # PyTorch's, of its own parts
def test_the_fast_form_may_be_compiled(backend, rng):
    def compiled(inputs, state, params):
        return backend.framework.compile(backend.d2l.rnn_fast, backend="eager")(inputs, state, params)

    X, Y, arrays = draw(rng, T)
    assert_near(run(backend, compiled, one_hot(X), Y, arrays), run(backend, backend.d2l.rnn, one_hot(X), Y, arrays))


@pytest.mark.only("torch")
def test_the_fast_form_may_run_in_mixed_precision(backend, rng):
    X, Y, arrays = draw(rng, T)

    def mixed(forward):
        def in_bfloat16(*args):
            with backend.framework.autocast("cpu", dtype=backend.framework.bfloat16):
                logits, (H,) = forward(*args)
            return logits.float(), (H.float(),)

        return run(backend, in_bfloat16, one_hot(X), Y, arrays)

    assert_near(mixed(backend.d2l.rnn_fast), mixed(backend.d2l.rnn), 0.05)  # one part in 256 is the type's precision


@pytest.mark.only("torch")
def test_the_transformations_of_functions_are_refused_with_a_reason(backend, rng):
    X, _, arrays = draw(rng, T)
    H, *params = map(backend.framework.tensor, arrays)

    def total(b_h):
        return backend.d2l.rnn_fast(backend.tensor(one_hot(X)), (H,), [*params[:2], b_h, *params[3:]])[0].sum()

    with pytest.raises(RuntimeError, match="functorch transforms"):
        backend.framework.func.grad(total)(params[2])


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
