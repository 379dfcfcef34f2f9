"""Names and layouts of tensors, without a framework."""

import numpy as np
import pytest
from conftest import MODELS
from weight_files import FUSED, B, H, V, X, array_list, assert_logits, assert_same, draw, gluon_tensors, torch_tensors

from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.weights import canonical, exchange, maps, recognition


@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
@pytest.mark.parametrize(
    ("prefix", "output"), [("rnn.", "linear."), ("", ""), ("module.lstm.", "fc."), ("model.rnn_", "head.0.")]
)
def test_torch_names_with_any_prefix(kind, layers, both, prefix, output):
    tensors, weights = torch_tensors(kind, layers, both, prefix, output)
    found, result = recognition.from_tensors(tensors, kind)
    assert found == kind
    assert_same(result, weights)


@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
@pytest.mark.parametrize(
    "style",
    [
        "{prefix}{direction}{layer}_{part}",
        "arg:{direction}{layer}_{part}",
        "{direction}{layer}_{part}",
        "model.rnn.{direction}{layer}_{part}",
        "rnn._unfused.{layer}.{direction}_cell.{part}",
    ],
)
def test_gluon_names_with_any_prefix(kind, layers, both, style):
    tensors, weights = gluon_tensors(kind, layers, both, style)
    found, result = recognition.from_tensors(tensors, kind)
    assert found == kind
    assert_same(result, weights)


def test_gluon_names_of_one_direction_by_block():
    tensors, weights = gluon_tensors("lstm", 2, False, "_unfused.{layer}.{part}")
    assert_same(recognition.from_tensors(tensors)[1], weights)


@pytest.mark.parametrize("kind", list(maps.SCRATCH))
def test_the_books_parameters_from_scratch(kind):
    weights = draw(kind)
    gates = canonical.GATES[kind]
    tensors = {}
    for name, parts in maps.scratch_names(kind).items():
        tensors |= dict(zip(parts, np.split(weights[name], gates if len(parts) > 1 else 1, axis=-1), strict=True))
    assert len(tensors) == 3 * gates + 2
    found, result = recognition.from_tensors(tensors)
    assert found == kind
    assert_same(result, weights)
    with pytest.raises(InputError, match=f"those of '{kind}', not of 'rnn-relu'"):
        recognition.from_tensors(tensors, "rnn-relu")


def test_the_books_lstm_from_scratch_is_the_books_formula():
    """The gate order of its names, by the formula of section 9.2 rather than by our own table."""
    rng = np.random.default_rng(0)
    sizes = {"W_x": (V, H), "W_h": (H, H), "b_": (H,)}
    p = {f"{part}{gate}": rng.normal(0, 0.4, size).astype("f") for gate in "ifoc" for part, size in sizes.items()}
    p |= {"W_hq": rng.normal(size=(H, V)).astype("f"), "b_q": rng.normal(size=V).astype("f")}
    state, C, outputs = np.zeros((B, H)), np.zeros((B, H)), []

    def gate(x, name):
        return p[f"W_x{name}"][x] + state @ p[f"W_h{name}"] + p[f"b_{name}"]

    for x in X.T:
        I, F, O = (1 / (1 + np.exp(-gate(x, name))) for name in "ifo")
        C = F * C + I * np.tanh(gate(x, "c"))
        state = O * np.tanh(C)
        outputs.append(state @ p["W_hq"] + p["b_q"])
    kind, weights = recognition.from_tensors(p)
    assert kind == "lstm"
    assert_logits(np.concatenate(outputs), weights, X, kind)


def scratch_tensors(kind):
    """Return weights by the book's names of the parameters of a model from scratch."""
    weights, tensors = draw(kind), {}
    for name, parts in maps.scratch_names(kind).items():
        tensors |= dict(zip(parts, np.split(weights[name], len(parts), axis=-1), strict=True))
    return tensors


def test_the_books_model_from_scratch_may_be_called_a_layers():
    found, weights = recognition.from_tensors(scratch_tensors("rnn-scratch"), "rnn")
    assert found == "rnn"
    assert_same(weights, draw("rnn-scratch"))
    with pytest.raises(InputError, match="^the weights are those of 'lstm', not of 'rnn': leave kind out$"):
        recognition.from_tensors(scratch_tensors("lstm"), "rnn")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"W_xi": (V, H - 1)}, r"^the tensors 'W_xi', 'W_xf', 'W_xc', 'W_xo' have shapes \[\(7, 4\), \(7, 5\),"
        ),
        pytest.param(
            {f"b_{gate}": () for gate in "ifco"}, r"^the tensors 'b_i', .* have shapes \[\(\), \(\), \(\), \(\)\]$"
        ),
    ],
    ids=["another-shape", "numbers"],
)
def test_gates_from_scratch_that_do_not_fit_together(change, message):
    tensors = scratch_tensors("lstm") | {name: np.zeros(shape, "float32") for name, shape in change.items()}
    with pytest.raises(InputError, match=message):
        recognition.from_tensors(tensors)


@pytest.mark.parametrize(
    ("layers", "both", "kinds"),
    [
        (1, False, "'rnn-scratch' or 'rnn' or 'rnn-relu'"),
        (2, False, "'rnn' or 'rnn-relu'"),
        (1, True, "'rnn' or 'rnn-relu'"),
    ],
)
def test_a_layer_that_may_be_of_several_kinds_is_told_with_all_of_them(layers, both, kinds):
    tensors, weights = torch_tensors("rnn-relu", layers, both)
    with pytest.raises(InputError, match=f"^the weights may be those of {kinds}: say which with kind="):
        recognition.from_tensors(tensors)
    message = f"^the weights are those of {kinds}, not of 'gru': say which of these with kind=\\.\\.\\.$"
    with pytest.raises(InputError, match=message):
        recognition.from_tensors(tensors, "gru")
    arrays = {
        "parameters": recognition.to_flat("rnn-relu", weights),
        "weight": weights["output.W_hq"].T,
        "bias": weights["output.b_q"],
    }
    with pytest.raises(InputError, match=f"^the weights may be those of {kinds}: say which with kind="):
        recognition.from_tensors(arrays)


def test_a_flat_vector_that_is_of_two_kinds_is_taken_apart_once_its_kind_is_said():
    rng = np.random.default_rng(0)  # a layer of three gates has here as many numbers as three layers of one
    shapes = canonical.shapes("gru", 4, 4)
    weights = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    arrays = {
        "parameters": recognition.to_flat("gru", weights),
        "weight": weights["output.W_hq"].T,
        "bias": weights["output.b_q"],
    }
    assert_same(recognition.from_tensors(arrays, "gru")[1], weights)
    with pytest.raises(InputError, match="can be taken apart in 2 ways"):
        recognition.from_tensors(arrays)


def test_a_weight_that_is_refused_is_named():
    whole = {name: value.astype(int) for name, value in draw("rnn").items()}
    for call, name in (
        (lambda: recognition.complete("rnn", whole), "layers.0.W_xh"),
        (lambda: recognition.to_flat("rnn", whole), "layers.0.W_xh"),
        (lambda: recognition.from_flat(np.zeros(70, int), "rnn", V, H), "parameters"),
    ):
        with pytest.raises(
            InputError, match=f"^weight '{name}' has type int64: it must be float32, float64 or float16$"
        ):
            call()


def test_weights_in_float64_are_rounded_with_a_word_where_that_changes_them():
    limit = float(np.finfo(np.float32).max)
    exact = {"half": np.array([0.5]), "single": np.float32([0.1]), "none": np.zeros(0), "largest": np.array([-limit])}
    kept = {"too large": np.array([1e300])}  # for exact_float32 to refuse
    made = recognition.rounded(exact | kept)
    assert list(made) == [*exact, *kept]
    assert [made[name].dtype for name in made] == [np.float32] * 4 + [np.float64]
    for name, value in (exact | kept).items():
        np.testing.assert_array_equal(made[name], value)
    message = "^the weights of the file are in float64, and are rounded to float32$"
    with pytest.warns(D2LRNNWarning, match=message):
        made = recognition.rounded(exact | {"tenth": np.array([0.1])})
    np.testing.assert_array_equal(made["tenth"], np.float32([0.1]))


def test_the_books_names_of_the_model_from_scratch():
    assert list(maps.scratch_parameters(range(5))) == ["W_xh", "W_hh", "b_h", "W_hq", "b_q"]


def test_two_biases_are_summed_and_rounded_once():
    tensors, _ = torch_tensors("lstm")
    other = np.random.default_rng(1).normal(size=tensors["rnn.bias_hh_l0"].shape).astype("float32")
    _, weights = recognition.from_tensors(tensors | {"rnn.bias_hh_l0": other})
    expected = (tensors["rnn.bias_ih_l0"].astype("float64") + other).astype("float32")
    np.testing.assert_array_equal(weights["layers.0.b_h"], expected)
    tensors, _ = torch_tensors("gru")
    other = np.random.default_rng(1).normal(size=tensors["rnn.bias_hh_l0"].shape).astype("float32")
    _, weights = recognition.from_tensors(tensors | {"rnn.bias_hh_l0": other})
    np.testing.assert_array_equal(weights["layers.0.b_h"], tensors["rnn.bias_ih_l0"])
    np.testing.assert_array_equal(weights["layers.0.b_hh"], other)


@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
def test_layers_without_biases_get_zeros(kind, layers, both):
    tensors, weights = torch_tensors(kind, layers, both)
    _, result = recognition.from_tensors({name: value for name, value in tensors.items() if "bias" not in name}, kind)
    zeros = {name: value if "W_" in name else np.zeros_like(value) for name, value in weights.items()}
    assert_same(result, zeros)


def without(name):
    return lambda tensors: tensors.pop(name)


def adding(name, *shape, dtype="float32"):
    return lambda tensors: tensors.update({name: np.ones(shape, dtype)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.clear(), "^there are no weights: save the parameters of the whole model$"),
        (
            lambda tensors: [tensors.pop(name) for name in [*tensors] if name.startswith("rnn.")],
            "^no recurrent layer of PyTorch or MXNet is among the tensors 'linear.weight', 'linear.bias': its tensors "
            "are called weight_ih_l0, or l0_i2h_weight, after any prefix$",
        ),
        (adding("rnn.parameters", 9), "the tensors 'rnn.parameters' have no place"),
        (
            lambda tensors: tensors.update({f"t{i}": np.ones(1, "float32") for i in range(6)}),
            "the tensors 't0', 't1', 't2', 't3', 't4', 't5' have no place",
        ),
        (
            lambda tensors: tensors.update({f"t{i}": np.ones(1, "float32") for i in range(9)}),
            "'t7' and 1 more have no place",
        ),
        (without("rnn.weight_hh_l1_reverse"), "the h2h_weight of layer 1 of the reverse direction is missing"),
        (without("rnn.bias_ih_l0"), "the i2h_bias of layer 0 is missing"),
        (without("linear.weight"), "there must be one dense output layer"),
        (adding("fc.weight", 7, 10), "there must be one dense output layer"),
        (adding("norm.scale", 7), "the tensors 'norm.scale' have no place in a recurrent and a dense layer"),
        (adding("projection", 7, 4), "the tensors 'projection' have no place in a recurrent and a dense layer"),
        (lambda tensors: [tensors.pop(f"linear.{part}") for part in ("weight", "bias")], "the tensors are none$"),
        (
            lambda tensors: tensors.update({f"t{i}": np.ones(1, "float32") for i in range(11)}),
            "'t0', 't1', 't2', 't3', 't4', 't5', 't6', 't7' and 3 more have no place",
        ),
        (adding("embedding.weight", 7, 4), "'embedding.weight' is an embedding: a canonical model reads one-hot"),
        (adding("other.weight_ih_l0", 20, 7), "the tensors are of several recurrent layers, 'other.' and 'rnn.'"),
        (adding("rnn.weight_hr_l0", 2, 5), "'rnn.weight_hr_l0' is the projection of an LSTM"),
        (adding("rnn.weight_ih_l00", 20, 7), "two tensors stand for the same weight"),
        (adding("rnn.weight_ih_l9999", 20, 7), "the i2h_weight of layer 2 is missing"),
        (adding("rnn.weight_hh_l0", 20, 4), "it must have 1, 3 or 4 times as many rows as columns"),
        (adding("rnn.weight_hh_l0", 10, 5), "it must have 1, 3 or 4 times as many rows as columns"),
        (adding("rnn.weight_hh_l0", 0, 0), "it must have 1, 3 or 4 times as many rows as columns"),
        (adding("rnn.weight_hh_l0"), "it must have 1, 3 or 4 times as many rows as columns"),
        (adding("rnn.weight_ih_l0"), "."),
        (adding("rnn.weight_ih_l1", 20, 7), r"'layers.1.W_xh' has shape \(7, 20\), the model's \(10, 20\)"),
        (adding("rnn.bias_hh_l0", 1), r"the biases of layers.0 have shapes \(20,\) and \(1,\)"),
        (adding("linear.bias"), "'output.b_q' has shape|reads vectors of 7 numbers and the output layer gives 1"),
        (
            adding("linear.bias", 8),
            "reads vectors of 7 numbers and the output layer gives 8: a canonical model .* be equal$",
        ),
        (adding("linear.bias", 7, dtype="int64"), "weight 'linear.bias' has type int64: it must be float32"),
        (adding("linear.bias", 7, dtype="bool"), "has type bool"),
        (adding("linear.bias", 7, dtype="complex64"), "has type complex64"),
    ],
)
def test_tensors_that_are_refused(change, message):
    tensors, _ = torch_tensors("lstm", 2, True)
    assert recognition.from_tensors(tensors)[0] == "lstm"
    change(tensors)
    with pytest.raises(InputError, match=message):
        recognition.from_tensors(tensors)


@pytest.mark.parametrize("number", [0.1, 1e300, 1e-300], ids=["rounded", "too-large", "too-small"])
def test_numbers_that_float32_cannot_hold(number):
    tensors, weights = torch_tensors("lstm")
    tensors = {name: value.astype("float64") for name, value in tensors.items()}
    assert_same(recognition.from_tensors(tensors)[1], weights)
    tensors["linear.bias"][0] = number
    with pytest.raises(
        InputError, match="'linear.bias' has float64 numbers that float32 cannot hold exactly: round"
    ) as refused:
        recognition.from_tensors(tensors)
    assert str(refused.value).endswith(": round it first, if that is what you want")


def test_numbers_that_are_none_travel_as_they_are():
    tensors, _ = torch_tensors("lstm")
    tensors["linear.bias"][:3] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(recognition.from_tensors(tensors)[1]["output.b_q"][:3], [np.nan, np.inf, -np.inf])


# MXNet's flat vector, without MXNet


@pytest.mark.parametrize(("kind", "layers", "both"), [m for m in MODELS if m.values[0] != "gru-reset-before"])
def test_the_flat_vector_and_back(kind, layers, both):
    weights = draw(kind, layers, both)
    vector = recognition.to_flat(kind, weights)
    assert (vector.ndim, vector.dtype) == (1, np.float32)
    recurrent = {name: value for name, value in weights.items() if name.startswith("layers.")}
    assert_same(recognition.from_flat(vector, kind, V, H, layers, both), recurrent)
    np.testing.assert_array_equal(vector, recognition.to_flat(kind, recurrent))


def test_the_order_of_the_flat_vector():
    weights = draw("gru", 2)
    expected = [weights[f"layers.{layer}.{name}"].T.ravel() for layer in range(2) for name in ("W_xh", "W_hh")]
    expected += [weights[f"layers.{layer}.{name}"] for layer in range(2) for name in ("b_h", "b_hh")]
    np.testing.assert_array_equal(recognition.to_flat("gru", weights), np.concatenate(expected))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: recognition.to_flat("gru-reset-before", draw("gru-reset-before")),
            "cannot compute 'gru-reset-before'",
        ),
        (lambda: recognition.from_flat(np.zeros(9), "gru-reset-before", V, H), "cannot compute 'gru-reset-before'"),
        (lambda: recognition.to_flat("lstm", draw("gru")), "'layers.0.W_xh' has shape"),
        (
            lambda: recognition.to_flat("lstm", {}),
            "^the weights have no matrices 'layers.0.W_xh' and 'layers.0.W_hh': give canonical weights$",
        ),
        (lambda: recognition.to_flat("lstm", {"layers.0.W_xh": np.zeros((V, 20))}), "the weights have no matrices"),
        (lambda: recognition.from_flat(np.zeros(140), "rnn-scratch", V, H, 1, True), "has one layer in one direction"),
        (
            lambda: recognition.from_flat(np.zeros(9), "lstm", V, H),
            r"has shape \(9,\), and that of such a model \(280,\)",
        ),
        (lambda: recognition.from_flat(np.zeros((28, 10)), "lstm", V, H), r"has shape \(28, 10\)"),
        (lambda: recognition.from_flat(np.zeros(280, int), "lstm", V, H), "has type int64"),
        (lambda: recognition.from_flat(np.zeros(280), "lstm", V, 0), "num_hiddens must be"),
        (lambda: recognition.from_flat(np.zeros(280), "transformer", V, H), "unknown model 'transformer'"),
    ],
)
def test_flat_vectors_that_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(("kind", "layers", "both"), FUSED)
def test_a_file_with_a_flat_vector(tmp_path, kind, layers, both):
    weights = draw(kind, layers, both)
    arrays = {
        "arg:lstm_parameters": recognition.to_flat(kind, weights),
        "arg:pred_weight": weights["output.W_hq"].T,
        "arg:pred_bias": weights["output.b_q"],
    }
    (tmp_path / "a.params").write_bytes(array_list(arrays))
    found, result = exchange.read_file(tmp_path / "a.params", kind)
    assert found == kind
    assert_same(result, weights)


def test_a_flat_vector_of_both_directions_is_not_the_scratch_models():
    weights = draw("rnn", 1, True)
    vector = recognition.to_flat("rnn", weights)
    arrays = {"parameters": vector, "weight": weights["output.W_hq"].T, "bias": weights["output.b_q"]}
    with pytest.raises(InputError, match="^the weights may be those of 'rnn' or 'rnn-relu': say which"):
        recognition.from_tensors(arrays)


def test_a_flat_vector_of_another_length():
    weights = draw("lstm")
    arrays = {"parameters": np.zeros(281, "f"), "weight": weights["output.W_hq"].T, "bias": weights["output.b_q"]}
    with pytest.raises(InputError, match="can be taken apart in 0 ways .* take it apart with from_flat"):
        recognition.from_tensors(arrays)
