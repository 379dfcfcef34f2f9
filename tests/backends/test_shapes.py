"""The shapes that the book shows beneath its cells (sections 8.5 and 8.6)."""

import numpy as np
import pytest

V = 28


def test_one_hot_of_a_minibatch_of_two_sequences(backend):
    """The model hands one-hot vectors to its forward function, a step after the other."""
    seen = []

    def forward_fn(inputs, state, params):
        seen.append(backend.numpy(inputs))
        return backend.d2l.rnn(inputs, state, params)

    net = backend.scratch(V, 512)
    net.forward_fn = forward_fn
    X = np.arange(10).reshape(2, 5)
    net(backend.tensor(X), backend.begin_state(net, 2))
    assert seen[0].shape == (5, 2, 28)
    np.testing.assert_array_equal(seen[0].argmax(axis=2), X.T)


def test_scratch_model(backend):
    net = backend.scratch(V, 512)
    Y, state = net(backend.tensor(np.arange(10).reshape(2, 5)), backend.begin_state(net, 2))
    assert tuple(Y.shape) == (10, 28)
    assert len(state) == 1
    assert tuple(state[0].shape) == (2, 512)


def test_parameters(backend):
    params = backend.d2l.get_params(V, 512, *backend.place)
    assert [tuple(param.shape) for param in params] == [(28, 512), (512, 512), (512,), (512, 28), (28,)]


def test_first_state(backend):
    (H,) = backend.d2l.init_rnn_state(2, 512, *backend.place)
    np.testing.assert_array_equal(backend.numpy(H), np.zeros((2, 512)))


def run_layer(backend, layer, X, batch_size):
    """Run the framework's own layer over time-major inputs: Keras's layers are batch-major."""
    if backend.name == "tensorflow":
        Y, *state = layer(backend.tensor(X.transpose(1, 0, 2)))
        return backend.numpy(Y).transpose(1, 0, 2), [backend.numpy(part)[None] for part in state]
    if backend.name in ("torch", "numpy"):
        Y, state = layer(backend.tensor(X))
        return backend.numpy(Y), [backend.numpy(part) for part in (state if isinstance(state, tuple) else [state])]
    layer.initialize()
    Y, state = layer(backend.tensor(X), layer.begin_state(batch_size=batch_size))
    return backend.numpy(Y), [backend.numpy(part) for part in state]


@pytest.mark.parametrize("batch_size", [32, 2])
@pytest.mark.parametrize(("kind", "parts"), [("rnn", 1), ("gru", 1), ("lstm", 2)])
def test_recurrent_layer(backend, kind, parts, batch_size):
    X = np.random.default_rng(0).random((35, batch_size, V), dtype=np.float32)
    Y, state = run_layer(backend, backend.d2l.recurrent_layer(kind, V, 256), X, batch_size)
    assert Y.shape == (35, batch_size, 256)
    assert [part.shape for part in state] == [(1, batch_size, 256)] * parts


@pytest.mark.parametrize(
    ("layers", "both", "rows"),
    [(1, False, 1), (2, False, 2), (2, True, 4)],
    ids=["one-layer", "two-layers", "bidirectional"],
)
@pytest.mark.parametrize(("kind", "parts"), [("rnn", 1), ("gru", 1), ("lstm", 2)])
def test_concise_model(backend, kind, parts, layers, both, rows):
    net, _ = backend.interface.build_model(kind, V, 256, layers, bidirectional=both, device="cpu")
    logits, state = backend.interface.forward(net, np.zeros((32, 35), int))
    assert logits.shape == (35 * 32, V)
    assert [part.shape for part in state] == [(rows, 32, 256)] * parts
