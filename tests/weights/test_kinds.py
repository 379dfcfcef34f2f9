"""The backend knows the layers' kinds, and those that it does not know."""

import pytest
from weight_files import H, V

from d2lrnn.errors import InputError
from d2lrnn.weights import canonical


def check_kind_of(backend, layer, expected):
    """Check that a model over a layer is of a kind, or else that its weights are refused for a reason."""
    net = backend.d2l.RNNModel(layer, V)
    if expected in canonical.KINDS:
        assert backend.interface.kind_of(net) == expected
    else:
        with pytest.raises(InputError, match=expected):
            backend.interface.get_weights(net)


@pytest.mark.only("torch")
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("RNN", {}, "rnn"),
        ("RNN", {"nonlinearity": "relu"}, "rnn-relu"),
        ("LSTM", {"proj_size": 2}, "LSTM with proj_size=2 have no canonical form: make the layer with proj_size=0"),
        ("GRU", {"bias": False}, "GRU with bias=False"),
        ("GRU", {"batch_first": True}, "GRU with batch_first=True"),
        ("GRU", {"num_layers": 2, "dropout": 0.5}, "GRU with dropout=0.5"),
    ],
)
def test_what_kind_a_torch_layer_is(backend, name, options, expected):
    check_kind_of(backend, getattr(backend.framework.nn, name)(V, H, **options), expected)


@pytest.mark.only("mxnet")
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("RNN", {}, "rnn-relu"),  # Gluon's own default
        ("RNN", {"activation": "tanh"}, "rnn"),
        (
            "LSTM",
            {"projection_size": 2},
            "LSTM with projection_size=2 have no canonical form: make .*=None",
        ),
        ("LSTM", {"state_clip_min": -1, "state_clip_max": 1}, "LSTM with lstm_state_clip_min=-1"),
        ("GRU", {"layout": "NTC"}, "GRU with layout='NTC'"),
        ("GRU", {"num_layers": 2, "dropout": 0.5}, "GRU with dropout=0.5"),
    ],
)
def test_what_kind_an_mxnet_layer_is(backend, name, options, expected):
    check_kind_of(backend, getattr(backend.framework.gluon.rnn, name)(H, input_size=V, **options), expected)


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("SimpleRNN", {}, "rnn"),
        ("SimpleRNN", {"activation": "relu"}, "rnn-relu"),
        ("SimpleRNN", {"activation": "sigmoid"}, "SimpleRNN with activation='sigmoid' have no canonical form"),
        ("GRU", {}, "gru"),
        ("GRU", {"reset_after": False}, "gru-reset-before"),
        ("GRU", {"activation": "relu"}, "GRU with activation='relu'"),
        ("GRU", {"recurrent_activation": "hard_sigmoid"}, "GRU with recurrent_activation='hard_sigmoid'"),
        ("LSTM", {"use_bias": False}, "LSTM with use_bias=False"),
        ("LSTM", {"dropout": 0.5}, "LSTM with dropout=0.5"),
        ("LSTM", {"recurrent_dropout": 0.5}, "LSTM with recurrent_dropout=0.5"),
        ("LSTM", {"go_backwards": True}, "LSTM with go_backwards=True"),
    ],
)
def test_what_kind_a_keras_layer_is(backend, name, options, expected):
    layer = getattr(backend.framework.keras.layers, name)(H, return_sequences=True, return_state=True, **options)
    check_kind_of(backend, layer, expected)


@pytest.mark.only("torch")
def test_a_subclass_may_compute_something_else(backend):
    class Mine(backend.framework.nn.GRU):
        pass

    check_kind_of(backend, Mine(V, H), "the weights of Mine have no canonical form")


def test_a_model_that_is_none_of_ours(backend):
    with pytest.raises(InputError, match="the weights of object have no canonical form: use a model of build_model's"):
        backend.interface.get_weights(object())
