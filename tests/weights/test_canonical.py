"""The canonical weights, and which backends can work here."""

import numpy as np
import pytest
from conftest import MODELS

from d2lrnn.core import backends
from d2lrnn.errors import BackendNotInstalledError, InputError
from d2lrnn.weights import canonical


def test_shapes_of_the_scratch_model():
    assert canonical.shapes("rnn-scratch", 28, 512) == {
        "layers.0.W_xh": (28, 512),
        "layers.0.W_hh": (512, 512),
        "layers.0.b_h": (512,),
        "output.W_hq": (512, 28),
        "output.b_q": (28,),
    }


@pytest.mark.parametrize(
    ("kind", "gates"), [("rnn", 1), ("rnn-relu", 1), ("gru", 3), ("gru-reset-before", 3), ("lstm", 4)]
)
def test_shapes_of_two_bidirectional_layers(kind, gates):
    shapes = canonical.shapes(kind, 28, 16, 2, True)
    assert shapes["layers.0.reverse.W_xh"] == (28, gates * 16)
    assert shapes["layers.1.W_xh"] == (32, gates * 16)
    assert shapes["layers.1.reverse.W_hh"] == (16, gates * 16)
    assert shapes["output.W_hq"] == (32, 28)
    assert ("layers.0.b_hh" in shapes) == (kind == "gru")


@pytest.mark.parametrize("kind", canonical.KINDS)
def test_first_weights_follow_the_seed(kind):
    first, same, other = (canonical.initial_weights(kind, 28, 16, seed=seed) for seed in (1, 1, 2))
    assert {name: value.shape for name, value in first.items()} == canonical.shapes(kind, 28, 16)
    for name, value in first.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, same[name])
    assert not np.array_equal(first["layers.0.W_xh"], other["layers.0.W_xh"])


def test_the_scratch_model_begins_as_in_the_book():
    weights = canonical.initial_weights("rnn-scratch", 100, 300, seed=0)
    assert weights["layers.0.W_hh"].std() == pytest.approx(0.01, rel=0.02)
    assert weights["layers.0.W_hh"].mean() == pytest.approx(0, abs=2e-4)
    np.testing.assert_array_equal(weights["layers.0.b_h"], np.zeros(300))


def test_the_concise_models_begin_within_the_bound():
    """As wide as the product that a weight is part of: the recurrent one, or the output's, of both directions."""
    weights = canonical.initial_weights("lstm", 28, 100, bidirectional=True, seed=0)
    for name, value in weights.items():
        bound = 200**-0.5 if name == "output.W_hq" or name == "output.b_q" else 0.1
        assert -bound <= value.min() < -0.85 * bound, name
        assert 0.85 * bound < value.max() <= bound, name


def test_weights_in_another_type_are_rounded_or_the_same():
    weights = canonical.initial_weights("gru", 5, 4, seed=0)
    doubles = canonical.in_dtype(weights, "float64")
    assert list(doubles) == list(weights)
    for name, value in doubles.items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, weights[name])
        assert canonical.in_dtype(doubles, "float64")[name] is value  # not copied for nothing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.pop("output.b_q"),
            "^weight 'output.b_q' is missing; the model has 'layers.0.W_xh', 'layers.0.W_hh',",
        ),
        (
            lambda w: w.update(extra=np.zeros(1)),
            "^the model has no weight 'extra'; it has 'layers.0.W_xh', 'layers.0.W_hh', 'layers.0.b_h',",
        ),
        (lambda w: w.update({"layers.0.b_h": np.zeros(3)}), r"'layers.0.b_h' has shape \(3,\), the model's \(16,\)"),
    ],
    ids=["missing", "extra", "shape"],
)
def test_weights_that_do_not_fit(change, message):
    weights = canonical.initial_weights("rnn", 28, 16)
    canonical.check_weights(weights, canonical.shapes("rnn", 28, 16))
    change(weights)
    with pytest.raises(InputError, match=message):
        canonical.check_weights(weights, canonical.shapes("rnn", 28, 16))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("transformer", 28, 16), "unknown model 'transformer': use one of rnn-scratch, rnn, rnn-relu, gru,"),
        (("rnn-scratch", 28, 16, 2), "^the model 'rnn-scratch' has one layer in one direction: use 'rnn' for more$"),
        (("rnn-scratch", 28, 16, 1, True), "one layer in one direction"),
        (("rnn", 28, 0), "num_hiddens must be a whole number of at least 1, not 0"),
        (("rnn", 28, 16, -1), "num_layers must be a whole number of at least 1, not -1"),
        (("rnn", 2.5, 16), "vocab_size must be a whole number of at least 1, not 2.5"),
    ],
)
def test_models_that_there_are_not(arguments, message):
    with pytest.raises(InputError, match=message):
        canonical.shapes(*arguments)


@pytest.mark.parametrize(("kind", "layers", "both"), MODELS)
def test_the_sizes_of_a_model_stand_in_its_weights(kind, layers, both):
    weights = canonical.initial_weights(kind, 28, 16, layers, both)
    assert canonical.sizes(kind, weights) == (28, 16, layers, both)


def test_a_model_may_have_one_unit_and_one_token():
    for kind in canonical.KINDS:
        assert canonical.sizes(kind, canonical.initial_weights(kind, 1, 1)) == (1, 1, 1, False)


def test_the_backends_that_can_build_a_kind():
    assert canonical.able("rnn") == ("torch", "mxnet", "tensorflow", "numpy")
    assert canonical.able("gru-reset-before") == ("tensorflow", "numpy")


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("gru", lambda w: w.pop("layers.0.W_hh"), "'layers.0.W_hh' is missing: these are no canonical weights"),
        ("gru", lambda w: w.update({"output.b_q": np.zeros(())}), r"'output.b_q' has shape \(\): it must have 1"),
        ("gru", lambda w: w.update({"output.b_q": np.zeros(0)}), r"'output.b_q' has shape \(0,\)"),
        ("gru", lambda w: w.update({"layers.2.W_hh": np.zeros(1)}), "'layers.1.W_xh' is missing"),
        ("lstm", lambda w: None, "'layers.0.W_xh' has shape"),
        ("gru-reset-before", lambda w: None, "the model has no weight 'layers.0.b_hh'"),
    ],
)
def test_sizes_of_weights_that_are_not_the_models(kind, change, message):
    weights = canonical.initial_weights("gru", 28, 16)
    change(weights)
    with pytest.raises(InputError, match=message):
        canonical.sizes(kind, weights)


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ({}, "nothing"),
        ({"W": np.zeros((2, 2)), "b": np.zeros(2)}, "'W', 'b'"),
        ({name: np.zeros(2) for name in "abcdefgh"}, "'a', 'b', 'c', 'd', 'e', 'f'"),
        ({"layers.0.W_hh": np.zeros(4)}, "'layers.0.W_hh'"),
        ({"layers.0.W_hh": np.zeros((0, 4))}, "'layers.0.W_hh'"),
    ],
    ids=["nothing", "others", "many-others", "a-vector", "no-rows"],
)
def test_weights_without_a_recurrent_matrix_are_of_no_kind(weights, found):
    with pytest.raises(InputError, match=f"^it has no matrix 'layers.0.W_hh', but {found}$"):
        canonical.kinds_of(weights)


def test_the_backends_that_can_build_a_kind_are_backends():
    assert set(canonical.ONLY_IN) < set(canonical.KINDS)
    for able, _, instead in canonical.ONLY_IN.values():
        assert instead in canonical.KINDS
        assert 0 < len(able) < len(backends.BACKENDS)
        assert set(able) < set(backends.BACKENDS)


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(backends, "version", lambda name: "1.9.1")


@pytest.mark.parametrize("name", list(backends.BACKENDS))
def test_a_backend_that_is_missing(monkeypatch, name):
    monkeypatch.setattr(backends.util, "find_spec", lambda module: None)
    assert backends.version(name) is None
    with pytest.raises(BackendNotInstalledError, match=rf"is not installed: pip install 'd2lrnn\[{name}\]'"):
        backends.require(name)
    with pytest.raises(ImportError):
        backends.require(name)


@pytest.mark.parametrize(
    ("installed_as", "expected"),
    [("tensorflow", "2.21.0"), ("tensorflow-cpu", "2.21.0"), ("tensorflow-by-hand", "unknown")],
)
def test_the_version_is_that_of_whichever_distribution_is_installed(monkeypatch, installed_as, expected):
    def version(distribution):
        if distribution != installed_as:
            raise backends.metadata.PackageNotFoundError(distribution)
        return "2.21.0"

    monkeypatch.setattr(backends.util, "find_spec", lambda module: object())
    monkeypatch.setattr(backends.metadata, "version", version)
    assert backends.version("tensorflow") == expected


@pytest.mark.parametrize(
    ("system", "machine", "message"),
    [("Windows", "AMD64", "no build for Windows"), ("Darwin", "arm64", "no build for Apple silicon")],
)
def test_mxnet_where_it_has_no_build(monkeypatch, installed, system, machine, message):
    monkeypatch.setattr(backends.platform, "system", lambda: system)
    monkeypatch.setattr(backends.platform, "machine", lambda: machine)
    assert message in backends.problem("mxnet")
    assert backends.problem("torch") is None


@pytest.fixture
def on_linux(monkeypatch, installed):
    monkeypatch.setattr(backends.platform, "system", lambda: "Linux")
    monkeypatch.setattr(backends.platform, "machine", lambda: "x86_64")


def test_mxnet_on_python_3_12_without_distutils(monkeypatch, on_linux):
    monkeypatch.setattr(backends.sys, "version_info", (3, 12, 0))
    monkeypatch.setattr(backends.util, "find_spec", lambda module: None)
    assert "pip install 'setuptools<80'" in backends.problem("mxnet")


def test_a_framework_that_is_installed_and_broken(monkeypatch, on_linux):
    def fail(name):
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(backends.importlib, "import_module", fail)
    with pytest.raises(BackendNotInstalledError, match="installed but cannot be imported .libcudart"):
        backends.require("torch")


def test_an_unknown_backend():
    with pytest.raises(InputError, match="unknown backend 'jax': use one of torch, mxnet, tensorflow"):
        backends.load("jax")


def test_more_layers_than_any_model_has_are_an_error():
    assert canonical.check_kind("lstm", canonical.MOST_LAYERS) == "lstm"
    with pytest.raises(InputError, match="num_layers must be at most 1,000, not 1001"):
        canonical.check_kind("lstm", 1001)
