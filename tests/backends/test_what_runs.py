"""A model runs the function or the layer that it was given, and nothing in its place."""

import sys

import numpy as np
import pytest
import tolerances
from nets import (
    B,
    H,
    T,
    V,
    call,
    copy_of,
    count_calls,
    generated,
    generated_by_hand,
    losses_of,
    module,
    randomise,
    ready,
)

LARGE = 256  # hidden units, with which a faster way would pay


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def functions_that_run(use, *args):
    """Return the code of all Python functions that run while something is used. A breakpoint in one of them stops."""
    seen = set()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, arg: seen.add(frame.f_code))
    try:
        use(*args)
    finally:
        sys.setprofile(before)
    return seen


def scratch(backend, forward_fn, num_hiddens=H, **options):
    net = backend.scratch(V, num_hiddens, **options)
    net.forward_fn = forward_fn
    return net


USES = pytest.mark.parametrize("use", [call, losses_of, generated], ids=["calling", "training", "generating"])


# From scratch


@USES
@pytest.mark.parametrize("given", ["rnn", "rnn_fast"])
def test_a_model_from_scratch_runs_the_function_that_it_was_given(backend, given, use):
    seen = functions_that_run(use, backend, scratch(backend, getattr(backend.d2l, given), LARGE))
    other = {"rnn": "rnn_fast", "rnn_fast": "rnn"}[given]
    assert getattr(backend.d2l, given).__code__ in seen
    assert getattr(backend.d2l, other).__code__ not in seen


@USES
def test_a_function_that_is_put_in_later_runs_from_then_on(backend, use):
    net, calls = backend.scratch(V, H, seed=0), []
    use(backend, net)
    net.forward_fn = copy_of(backend.d2l.rnn, calls)
    use(backend, net)
    assert calls


def test_the_loop_its_copy_and_the_fast_form_train_alike(backend):
    calls = []
    forms = backend.d2l.rnn, copy_of(backend.d2l.rnn, calls), backend.d2l.rnn_fast
    loop, copy, fast = (losses_of(backend, scratch(backend, form, seed=0)) for form in forms)
    assert copy == loop
    # TensorFlow calls it to make a graph
    assert len(calls) == (1 if backend.name == "tensorflow" else len(loop))
    np.testing.assert_allclose(fast, loop, rtol=0, atol=tolerances.LOSSES_OVER_50_STEPS[backend.name, "rnn-scratch"])


def test_programs_take_the_fast_form_by_name(backend):
    net, _ = backend.interface.build_model("rnn-scratch", V, H, device="cpu", seed=0)
    assert net.forward_fn is backend.d2l.rnn_fast


def test_the_weights_of_either_form_are_those_of_the_model_from_scratch(backend):
    for form in (backend.d2l.rnn, backend.d2l.rnn_fast):
        assert backend.interface.kind_of(scratch(backend, form)) == "rnn-scratch"


# Over the framework's layer


LAYER_CALLS = {"torch": "forward", "mxnet": "forward", "tensorflow": "call", "numpy": "forward"}


@USES
@pytest.mark.parametrize("kind", ["rnn", "rnn-relu", "gru", "lstm"])
def test_a_model_over_a_layer_calls_the_layer(backend, monkeypatch, kind, use):
    net = backend.concise(kind, V, LARGE)
    call(backend, net)
    calls = count_calls(monkeypatch, type(net.rnn), LAYER_CALLS[backend.name])
    use(backend, net)
    assert calls


HOOKED = {
    "recurrent-layer": lambda net: net.rnn,
    "output-layer": lambda net: net.linear if hasattr(net, "linear") else net.dense,
    "net": lambda net: net,
}


@pytest.mark.only("torch", "mxnet")
@pytest.mark.parametrize("part", HOOKED.values(), ids=HOOKED)
def test_a_hook_is_called_in_training_and_in_generation(backend, rng, part):
    net, calls = ready(backend, "rnn", rng), []
    part(net).register_forward_hook(lambda *args: calls.append(args))
    call(backend, net)
    generated(backend, net, "the", 2)
    assert len(calls) == 1 + len("the") - 1 + 2


@pytest.mark.only("torch")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # PyTorch's, of its own parts
def test_an_exported_layer_is_the_frameworks(backend):
    torch, net = backend.framework, backend.concise("rnn", V, H)
    program = torch.export.export(net, (torch.zeros(B, T, dtype=torch.long), backend.begin_state(net, B)))
    assert "aten.rnn_tanh.input" in {str(node.target) for node in program.graph.nodes}


@pytest.mark.only("torch")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn"])
def test_a_net_may_be_compiled(backend, rng, kind):
    net = ready(backend, kind, rng)
    expected = call(backend, net)
    compiled = backend.framework.compile(lambda X, state: net(X, state), backend="eager")
    logits, _ = compiled(backend.tensor(np.zeros((B, T), int)), backend.begin_state(net, B))
    np.testing.assert_allclose(backend.numpy(logits), expected, rtol=0, atol=tolerances.LOGITS)


@pytest.mark.only("torch")
@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn"])
def test_a_net_may_train_in_mixed_precision(backend, rng, kind):
    torch, net = backend.framework, ready(backend, kind, rng)
    exact = call(backend, net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, _ = net(torch.zeros(B, T, dtype=torch.long), backend.begin_state(net, B))
        loss = torch.nn.functional.cross_entropy(logits.float(), torch.zeros(B * T, dtype=torch.long))
    loss.backward()
    np.testing.assert_allclose(logits.float().detach(), exact, rtol=0, atol=0.1)


@pytest.mark.only("torch")
def test_a_layer_may_be_left_without_a_first_state(backend):
    net = backend.concise("rnn", V, H)
    logits, _ = net(backend.tensor(np.zeros((B, T), int)), None)
    np.testing.assert_allclose(backend.numpy(logits), call(backend, net), rtol=0, atol=tolerances.LOGITS)


@pytest.mark.only("torch")
def test_a_layers_state_of_another_minibatch_is_refused(backend):
    net = backend.concise("rnn", V, H)
    with pytest.raises(RuntimeError):
        net(backend.tensor(np.zeros((B, T), int)), backend.begin_state(net, B // 2))


# Generation


@pytest.mark.parametrize("kind", ["rnn-scratch", "rnn"])
def test_generation_calls_the_net(backend, monkeypatch, rng, kind):
    net = ready(backend, kind, rng)
    calls = count_calls(monkeypatch, type(net), "__call__")
    generated(backend, net, "the", 5)
    # TensorFlow compiles the call: once to warm up, and once to go on
    assert len(calls) == (2 if backend.name == "tensorflow" else len("the") - 1 + 5)


KINDS = pytest.mark.parametrize("kind", ["rnn-scratch", "rnn", "rnn-relu"])
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
def test_generation_writes_what_the_net_says(backend, rng, kind, prefix, num_preds, options):
    net = ready(backend, kind, rng)
    text = generated(backend, net, prefix, num_preds, **options)
    assert text == generated_by_hand(backend, net, prefix, num_preds, **options)


@pytest.mark.parametrize(("kind", "num_layers"), [("gru", 1), ("lstm", 1), ("rnn", 2)])
def test_other_layers_generate_too(backend, rng, kind, num_layers):
    net = ready(backend, kind, rng, num_layers)
    assert generated(backend, net) == generated_by_hand(backend, net)


def test_generation_leaves_the_first_state_as_it_is(backend, rng):
    """A reader may keep one."""
    net, H_0 = ready(backend, "rnn-scratch", rng), rng.normal(0, 1, (1, H)).astype("float32")
    state = (backend.tensor(H_0),)
    net.init_state = lambda *args: state
    texts = [generated(backend, net, **options) for options in ({}, {}, {"seed": 0}, {"seed": 0})]
    np.testing.assert_array_equal(backend.numpy(state[0]), H_0)
    assert texts[:2] == [texts[1], generated_by_hand(backend, net)]
    assert texts[2] == texts[3]


@KINDS
@pytest.mark.parametrize("options", [{}, {"temperature": 1, "seed": 0}], ids=["greedy", "drawn"])
def test_a_net_whose_weights_have_changed_writes_with_the_new_ones(backend, rng, kind, options):
    net, texts = ready(backend, kind, rng), []
    for _ in range(2):
        texts.append(generated(backend, net, **options))
        assert texts[-1] == generated_by_hand(backend, net, **options)
        randomise(backend, net, rng)
    assert texts[0] != texts[1]


@pytest.mark.only("mxnet")
def test_a_net_whose_dense_layer_has_not_seen_its_inputs_generates(backend):
    net = backend.concise("rnn", V, H)
    assert not backend.d2l.RNNModel(net.rnn, V).dense.weight.shape[1] > 0
    text = generated(backend, net)
    assert net.dense.weight.shape[1] == H
    assert text == generated(backend, net) == generated_by_hand(backend, net)


@pytest.mark.only("mxnet")
def test_a_recurrent_layer_that_has_not_seen_its_inputs(backend):
    net = backend.d2l.RNNModel(backend.framework.gluon.rnn.RNN(H, activation="tanh"), V)
    net.dense = backend.framework.gluon.nn.Dense(V, in_units=H)
    net.initialize()
    assert generated(backend, net) == generated_by_hand(backend, net)


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
    "numpy": {
        "no-bias": lambda nn: without_bias(nn.Dense(H, V)),
        "activation": lambda nn: rectified(nn.Dense)(H, V),
        "subclass": lambda nn: negated(nn.Dense, "forward")(H, V),
    },
}


def without_bias(layer):
    """Return a layer that adds no bias: one of zeros, which nothing changes."""
    layer.forward = lambda X: X @ layer.params["output.W_hq"]
    return layer


def rectified(layer):
    return type("Rectified", (layer,), {"forward": lambda self, X: np.maximum(layer.forward(self, X), 0)})


@pytest.mark.parametrize("change", OUTPUT_LAYERS["torch"])
def test_an_output_layer_of_the_readers_own_is_seen_at_once(backend, rng, change):
    framework, net = backend.framework, ready(backend, "rnn", rng)
    generated(backend, net)
    make = OUTPUT_LAYERS[backend.name][change]
    if backend.name == "torch":
        net.linear = make(framework.nn)
    elif backend.name == "numpy":
        net.dense = make(module(backend, "nn"))
    elif backend.name == "tensorflow":
        net._tracker.unlock()  # Keras forbids it once a net is built; not everybody asks Keras
        net.dense = make(framework.keras.layers)
    else:
        net.dense = make(framework.gluon.nn)
        net.dense.initialize()
    call(backend, net)
    randomise(backend, net, rng)
    for options in ({}, {"temperature": 0.5, "seed": 0}):
        assert generated(backend, net, **options) == generated_by_hand(backend, net, **options)
