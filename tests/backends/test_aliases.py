"""The names by which the book's sources call each framework's own functions: the same in every tab."""

import importlib

import numpy as np
import pytest

# What edition 0.17 and its translations have at the end of each tab; a size is shared with the chapter's own
NAMES = [
    "abs",
    "arange",
    "argmax",
    "astype",
    "concat",
    "cos",
    "cosh",
    "exp",
    "eye",
    "float32",
    "int32",
    "linspace",
    "log",
    "matmul",
    "meshgrid",
    "nn_Module",
    "normal",
    "numpy",
    "ones",
    "rand",
    "randn",
    "reduce_mean",
    "reduce_sum",
    "reshape",
    "sin",
    "sinh",
    "stack",
    "tanh",
    "tensor",
    "to",
    "transpose",
    "zeros",
]


def aliases(backend):
    return importlib.import_module(f"d2lrnn.{backend.name}.aliases")


def test_every_tab_has_the_same(backend):
    assert aliases(backend).__all__ == NAMES
    for name in NAMES:
        assert getattr(backend.d2l, name) is getattr(aliases(backend), name)


def test_no_star_import_brings_them(backend):
    assert not set(NAMES) & set(backend.d2l.__all__)
    namespace = {}
    exec(f"from d2lrnn.{backend.name} import *", namespace)
    assert "RNNModel" in namespace
    assert "abs" not in namespace


# Each with what NumPy makes of it in float64; forms that all tabs take
COMPUTED = {
    "abs": (lambda d2l, x: d2l.abs(x), np.abs),
    "argmax": (lambda d2l, x: d2l.argmax(x, 0), lambda x: x.argmax(0)),
    "astype": (lambda d2l, x: d2l.astype(x, d2l.int32), lambda x: x.astype(np.int32)),
    "concat": (lambda d2l, x: d2l.concat((x, x), 1), lambda x: np.concatenate((x, x), 1)),
    "cos": (lambda d2l, x: d2l.cos(x), np.cos),
    "cosh": (lambda d2l, x: d2l.cosh(x), np.cosh),
    "exp": (lambda d2l, x: d2l.exp(x), np.exp),
    "log": (lambda d2l, x: d2l.log(d2l.abs(x)), lambda x: np.log(np.abs(x))),
    "matmul": (lambda d2l, x: d2l.matmul(x, d2l.transpose(x)), lambda x: x @ x.T),
    "reduce_mean": (lambda d2l, x: d2l.reduce_mean(x), np.mean),
    "reduce_sum": (lambda d2l, x: d2l.reduce_sum(x, 1), lambda x: x.sum(1)),
    "reshape": (lambda d2l, x: d2l.reshape(x, (-1, 1)), lambda x: x.reshape(-1, 1)),
    "sin": (lambda d2l, x: d2l.sin(x), np.sin),
    "sinh": (lambda d2l, x: d2l.sinh(x), np.sinh),
    "stack": (lambda d2l, x: d2l.stack([x, x]), lambda x: np.stack([x, x])),
    "tanh": (lambda d2l, x: d2l.tanh(x), np.tanh),
    "to": (lambda d2l, x: d2l.to(x, d2l.try_gpu()), lambda x: x),
    "transpose": (lambda d2l, x: d2l.transpose(x), np.transpose),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_what_it_computes(backend, name):
    x = np.random.default_rng(0).normal(size=(3, 4))
    own, numpys = COMPUTED[name]
    result = backend.d2l.numpy(own(backend.d2l, backend.d2l.tensor(x.tolist(), dtype=backend.d2l.float32)))
    assert isinstance(result, (np.ndarray, np.generic))
    assert result.shape == np.shape(numpys(x))
    np.testing.assert_allclose(result, numpys(x), rtol=1e-5, atol=1e-6)


def test_what_it_makes(backend):
    d2l = backend.d2l
    for made, expected in [
        (d2l.zeros((2, 3)), np.zeros((2, 3))),
        (d2l.ones((2, 3)), np.ones((2, 3))),
        (d2l.eye(3), np.eye(3)),
        (d2l.arange(1, 5), np.arange(1, 5)),
        (d2l.arange(1, 5, dtype=d2l.float32), np.arange(1, 5)),
        (d2l.tensor([[1, 2], [3, 4]], dtype=d2l.int32), [[1, 2], [3, 4]]),
        (d2l.linspace(0.0, 1.0, 5), np.linspace(0, 1, 5)),
    ]:
        np.testing.assert_array_equal(d2l.numpy(made), expected)


def test_what_it_draws(backend):
    """Each tab in its own form."""
    d2l = backend.d2l
    normal = d2l.normal((50, 20), 2.0, 0.5) if backend.name == "tensorflow" else d2l.normal(2.0, 0.5, (50, 20))
    uniform = d2l.rand((50, 20)) if backend.name == "tensorflow" else d2l.rand(50, 20)
    for drawn, mean, deviation in ((normal, 2, 0.5), (uniform, 0.5, 12**-0.5), (d2l.randn(50, 20), 0, 1)):
        values = d2l.numpy(drawn)
        assert values.shape == (50, 20)
        # Of a thousand numbers: seven standard errors
        assert abs(values.mean() - mean) < 7 * deviation / 1000**0.5
        assert 0.8 < values.std() / deviation < 1.2


def test_a_module_is_the_frameworks(backend):
    assert issubclass(backend.d2l.EncoderDecoder, backend.d2l.nn_Module)


@pytest.mark.only("torch")
def test_what_has_a_gradient_becomes_an_array_too(backend):
    x = backend.framework.ones(3, requires_grad=True)
    np.testing.assert_array_equal(backend.d2l.numpy(x * 2), [2, 2, 2])
