"""What Keras 3 takes of Keras 2's calls, once ``d2lrnn.tensorflow`` is imported; and that nothing else has changed."""

import subprocess
import sys

import numpy as np
import pytest

from d2lrnn.errors import InputError

pytestmark = pytest.mark.only("tensorflow")
LAYERS = ["SimpleRNN", "GRU", "LSTM"]


@pytest.fixture
def tf(backend):
    return backend.framework


def twins(tf, name, **options):
    """Return a time-major layer, the same layer batch-major, and inputs of shape (num_steps, batch_size, inputs)."""
    make = getattr(tf.keras.layers, name)
    major, plain = make(4, time_major=True, **options), make(4, **options)
    X = tf.constant(np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32))
    plain(turned(tf, X))
    major(X)
    major.set_weights(plain.get_weights())
    return major, plain, X


def turned(tf, X):
    return tf.transpose(X, (1, 0, 2))


@pytest.mark.parametrize("name", LAYERS)
def test_a_time_major_layer_computes_what_a_batch_major_one_does(backend, tf, name):
    major, plain, X = twins(tf, name, return_sequences=True, return_state=True)
    states = [tf.ones((2, 4))] * (2 if name == "LSTM" else 1)
    Y, *state = major(X, initial_state=states)
    expected, *expected_state = plain(turned(tf, X), initial_state=states)
    assert Y.shape == (5, 2, 4)
    np.testing.assert_allclose(turned(tf, Y), expected, rtol=1e-6, atol=1e-7)
    for own, others in zip(state, expected_state, strict=True):
        np.testing.assert_allclose(own, others, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS)
def test_a_time_major_layer_of_one_output_has_no_steps_to_turn_round(backend, tf, name):
    major, plain, X = twins(tf, name)
    assert major(X).shape == (2, 4)
    np.testing.assert_allclose(major(X), plain(turned(tf, X)), rtol=1e-6, atol=1e-7)


def test_a_mask_is_time_major_too(backend, tf):
    major, plain, X = twins(tf, "GRU", return_sequences=True)
    mask = tf.constant([[True, True]] * 3 + [[True, False]] * 2)
    expected = plain(turned(tf, X), mask=tf.transpose(mask))
    np.testing.assert_allclose(turned(tf, major(X, mask=mask)), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"return_sequences": True}, {"return_sequences": True, "return_state": True}])
def test_the_shapes_of_a_model_are_known_before_it_is_called(backend, tf, options):
    layer = tf.keras.layers.GRU(4, time_major=True, **options)
    outputs = layer(tf.keras.Input(batch_shape=(5, None, 3)))
    if options.get("return_state"):
        assert outputs[1].shape == (None, 4)
        outputs = outputs[0]
    assert outputs.shape == ((5, None, 4) if options else (None, 4))


def test_time_major_false_is_what_a_layer_is_anyway(backend, tf):
    major, plain = tf.keras.layers.GRU(4, time_major=False), tf.keras.layers.GRU(4)
    X = tf.ones((2, 5, 3))
    plain(X)
    major(X)
    major.set_weights(plain.get_weights())
    np.testing.assert_array_equal(major(X), plain(X))


def test_a_time_major_model_is_saved_and_loaded(backend, tf, tmp_path):
    model = tf.keras.Sequential(
        [tf.keras.Input(batch_shape=(5, None, 3)), tf.keras.layers.GRU(4, time_major=True, return_sequences=True)]
    )
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    X = tf.ones((5, 2, 3))
    np.testing.assert_array_equal(loaded(X), model(X))


@pytest.mark.parametrize(
    "cell", [lambda layers: layers.GRUCell(4), lambda layers: [layers.LSTMCell(4), layers.LSTMCell(4)]]
)
def test_our_model_and_a_readers_own_take_a_time_major_layer(backend, tf, cell):
    """Ours feeds a layer in the order that it asks for."""
    make = {"return_sequences": True, "return_state": True}
    major = tf.keras.layers.RNN(cell(tf.keras.layers), time_major=True, **make)
    plain = tf.keras.layers.RNN(cell(tf.keras.layers), **make)
    nets = [backend.d2l.RNNModel(layer, 7) for layer in (major, plain)]
    X = tf.constant([[1, 2, 3, 4], [5, 6, 0, 1]])
    for net in nets:
        net(X, net.begin_state(batch_size=2))
    nets[0].set_weights(nets[1].get_weights())
    outputs = [net(X, net.begin_state(batch_size=2)) for net in nets]
    np.testing.assert_allclose(outputs[0][0], outputs[1][0], rtol=1e-6, atol=1e-7)
    own = major(turned(tf, tf.one_hot(X, 7)))
    np.testing.assert_allclose(
        tf.reshape(nets[0].dense(own[0]), (-1, 7)), outputs[0][0], rtol=1e-6, atol=1e-7
    )  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), [("SimpleRNN", "rnn"), ("GRU", "gru"), ("LSTM", "lstm")])
def test_a_model_of_a_time_major_layer_has_canonical_weights(backend, tf, name, kind):
    layer = getattr(tf.keras.layers, name)(4, time_major=True, return_sequences=True, return_state=True)
    net = backend.d2l.RNNModel(layer, 7)
    net(tf.zeros((1, 1), tf.int32), net.begin_state())
    assert backend.interface.kind_of(net) == kind
    other, _ = backend.interface.build_model(kind, 7, 4, seed=0)
    backend.interface.set_weights(net, backend.interface.get_weights(other))
    X = np.array([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(backend.interface.forward(net, X)[0], backend.interface.forward(other, X)[0])


def test_layers_keep_their_names_and_classes(backend, tf):
    layer = tf.keras.layers.GRU(4, time_major=True)
    assert isinstance(layer, tf.keras.layers.GRU)
    assert type(layer).__name__ == "GRU"
    assert layer.name.startswith("gru")
    assert type(tf.keras.layers.GRU(4)) is tf.keras.layers.GRU
    assert not hasattr(tf.keras.layers.GRU(4), "time_major")


def test_a_readers_own_layer_has_its_own_time_major(backend, tf):
    class Own(tf.keras.layers.GRU):
        def __init__(self, units, time_major="mine"):
            super().__init__(units)
            self.mine = time_major

    layer = Own(4, time_major="yours")
    assert type(layer) is Own
    assert layer.mine == "yours"


def test_both_ways_at_once_is_refused(backend, tf):
    with pytest.raises(InputError, match="Bidirectional takes no time-major GRU: leave out time_major"):
        tf.keras.layers.Bidirectional(tf.keras.layers.GRU(4, time_major=True))
    tf.keras.layers.Bidirectional(tf.keras.layers.GRU(4))


@pytest.mark.parametrize("name", ["SimpleRNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize("of", ["sizes", "inputs"])
def test_the_first_state_of_a_cell_in_keras_2s_form(backend, tf, name, of):
    cell = getattr(tf.keras.layers, name)(4)
    options = {"batch_size": 2, "dtype": tf.float32} if of == "sizes" else {"inputs": tf.zeros((2, 3))}
    state = cell.get_initial_state(**options)
    for part in [state] if name != "LSTMCell" else state:
        assert part.shape == (2, 4)
        assert part.dtype == tf.float32
        assert not part.numpy().any()
    assert isinstance(cell.get_initial_state(batch_size=2), list)  # Keras 3's own form
    assert isinstance(cell.get_initial_state(2), list)


def test_the_first_state_of_stacked_cells(backend, tf):
    cells = tf.keras.layers.StackedRNNCells([tf.keras.layers.GRUCell(4), tf.keras.layers.LSTMCell(5)])
    first, (h, c) = cells.get_initial_state(batch_size=2, dtype=tf.float16)
    assert [tuple(part.shape) for part in (first, h, c)] == [(2, 4), (2, 5), (2, 5)]
    assert first.dtype == tf.float16


def test_a_first_state_of_unknown_size_is_an_error_that_says_so(backend, tf):
    with pytest.raises(InputError, match="needs inputs, or else batch_size and dtype"):
        tf.keras.layers.GRUCell(4).get_initial_state(dtype=tf.float32)
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        tf.keras.layers.GRUCell(4).get_initial_state(size=3, dtype=tf.float32)


@pytest.mark.parametrize("rate", [2, np.int64(2)])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_whole_number_is_a_learning_rate(backend, tf, name, rate):
    optimizer = getattr(tf.keras.optimizers, name)
    assert float(optimizer(rate).learning_rate) == 2
    assert float(optimizer(learning_rate=rate).learning_rate) == 2
    assert float(optimizer(0.5).learning_rate) == 0.5


def test_what_is_no_learning_rate_is_refused_as_before(backend, tf):
    for rate in ("fast", True):
        with pytest.raises(ValueError, match="`learning_rate` should be float"):
            tf.keras.optimizers.SGD(rate)


def test_what_keras_refuses_it_still_refuses(backend, tf):
    with pytest.raises(ValueError, match="no_such_option"):
        tf.keras.layers.GRU(4, no_such_option=True)
    with pytest.raises(ValueError, match="no_such_option"):
        tf.keras.layers.GRU(4, time_major=True, no_such_option=True)


KERAS_2 = """
import tensorflow as tf
layers = tf.keras.layers
before = {name: dict(vars(getattr(layers, name))) for name in dir(layers) if isinstance(getattr(layers, name), type)}
from d2lrnn import tensorflow as d2l
assert layers.RNN.__module__.startswith("tf_keras")
assert all(dict(vars(getattr(layers, name))) == members for name, members in before.items())
"""


def test_on_keras_2_nothing_changes(backend, monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    result = subprocess.run([sys.executable, "-c", KERAS_2], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
