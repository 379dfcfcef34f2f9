"""The weight map of each framework, without a framework."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import MODELS
from weight_files import ENDING, H, V, assert_same, draw, torch_tensors

from d2lrnn.core.backends import FRAMEWORKS
from d2lrnn.errors import InputError
from d2lrnn.weights import canonical, maps

MAPS = [maps.TORCH, maps.MXNET, maps.MXNET_FILE, maps.TENSORFLOW, maps.NUMPY]
EACH_MAP = pytest.mark.parametrize("map_", MAPS, ids=lambda map_: map_.recurrent)


@EACH_MAP
@pytest.mark.parametrize(("kind", "layers", "both"), MODELS)
def test_to_a_framework_and_back_nothing_is_changed(map_, kind, layers, both):
    weights = draw(kind, layers, both)
    if map_.backend not in canonical.able(kind):
        with pytest.raises(InputError, match="applies the reset gate after the recurrent product, so it is no 'gru-re"):
            map_.to_framework(kind, weights)
        return
    assert_same(map_.to_canonical(kind, map_.to_framework(kind, weights)), weights)


NAMES = {
    "rnn._unfused.{layer}.{direction}{part}": [
        ("rnn._unfused.0.i2h_weight", "dense.bias"),
        ("rnn._unfused.1.l_cell.h2h_bias", "rnn._unfused.1.r_cell.h2h_bias"),
    ],
    "rnn.{direction}{layer}_{part}": [("rnn.l0_i2h_weight", "dense.bias"), ("rnn.l1_h2h_bias", "rnn.r1_h2h_bias")],
    "rnn.{part}_l{layer}{direction}": [
        ("rnn.weight_ih_l0", "linear.bias"),
        ("rnn.bias_hh_l1", "rnn.bias_hh_l1_reverse"),
    ],
    "rnn_layers.{layer}.{direction}cell.{part}": [
        ("rnn_layers.0.cell.kernel", "dense.bias"),
        ("rnn_layers.1.forward_layer.cell.bias", "rnn_layers.1.backward_layer.cell.bias"),
    ],
    "layers.{layer}.{direction}{part}": [
        ("layers.0.W_xh", "output.b_q"),
        ("layers.1.b_hh", "layers.1.reverse.b_hh"),
    ],
}


@EACH_MAP
@pytest.mark.parametrize(("kind", "layers", "both"), MODELS)
def test_the_order_of_the_weights_does_not_matter(map_, kind, layers, both):
    """A safetensors file, for one, has them in another."""
    if map_.backend not in canonical.able(kind):
        return
    weights = draw(kind, layers, both)
    made = map_.to_framework(kind, weights)
    turned = map_.to_framework(kind, dict(reversed(weights.items())))
    assert made.keys() == turned.keys()
    for name, value in made.items():
        np.testing.assert_array_equal(turned[name], value, strict=True)


@EACH_MAP
def test_the_names_are_the_frameworks(map_):
    one, two = NAMES[map_.recurrent]
    names = list(map_.to_framework("gru", draw("gru")))
    assert (names[0], names[-1]) == one
    assert set(two) < set(map_.to_framework("gru", draw("gru", 2, True)))
    assert list(map_.to_framework("rnn-scratch", draw("rnn-scratch"))) == ["W_xh", "W_hh", "b_h", "W_hq", "b_q"]


@pytest.mark.parametrize(("kind", "layers", "both"), [m for m in MODELS if m.values[0] not in canonical.ONLY_IN])
def test_pytorchs_arrays_are_those_that_the_tests_write_by_hand(kind, layers, both):
    if kind != "rnn-scratch":
        tensors, weights = torch_tensors(kind, layers, both)
        made = maps.TORCH.to_framework(kind, weights)
        assert list(made) == list(tensors)
        for name, value in tensors.items():
            np.testing.assert_array_equal(made[name], value, strict=True)


def test_keras_puts_the_update_gate_first_and_the_biases_in_rows():
    weights = draw("gru")
    made = maps.TENSORFLOW.to_framework("gru", weights)
    reset, update, candidate = (np.arange(gate * H, (gate + 1) * H) for gate in range(3))
    order = np.concatenate([update, reset, candidate])
    np.testing.assert_array_equal(made["rnn_layers.0.cell.kernel"], weights["layers.0.W_xh"][:, order])
    np.testing.assert_array_equal(made["rnn_layers.0.cell.recurrent_kernel"], weights["layers.0.W_hh"][:, order])
    biases = np.stack([weights["layers.0.b_h"], weights["layers.0.b_hh"]])
    np.testing.assert_array_equal(made["rnn_layers.0.cell.bias"], biases[:, order])
    other = draw("gru-reset-before")
    made = maps.TENSORFLOW.to_framework("gru-reset-before", other)
    np.testing.assert_array_equal(made["rnn_layers.0.cell.bias"], other["layers.0.b_h"][order])
    for kind in ("rnn", "lstm"):  # whose gates Keras has in our order
        made = maps.TENSORFLOW.to_framework(kind, draw(kind))
        np.testing.assert_array_equal(made["rnn_layers.0.cell.kernel"], draw(kind)["layers.0.W_xh"])


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1)])
def test_an_order_of_gates_that_is_not_its_own_inverse(order):
    map_ = replace(maps.NUMPY, gates={"gru": order})
    recurrent = {name: value for name, value in draw("gru").items() if name.startswith("layers.")}
    made = map_.to_framework("gru", recurrent)
    gates = np.split(recurrent["layers.0.W_xh"], 3, axis=1)
    np.testing.assert_array_equal(made["layers.0.W_xh"], np.concatenate([gates[gate] for gate in order], axis=1))
    assert_same(map_.to_canonical("gru", made), recurrent)


@pytest.mark.only(*FRAMEWORKS)  # NumPy's layers have their parameters by the canonical names
def test_the_parameters_of_a_model_are_found_by_their_paths(backend):
    net, _ = backend.interface.build_model("gru", V, H, 2, bidirectional=True, device="cpu")
    (map_,) = (map_ for map_ in MAPS if map_.backend == backend.name and map_ is not maps.MXNET_FILE)
    found = map_.parameters(net, 2, True)
    made = map_.to_framework("gru", backend.interface.get_weights(net))
    assert sorted(found) == sorted(made)
    assert {name: tuple(param.shape) for name, param in found.items()} == {n: v.shape for n, v in made.items()}


def test_every_backend_has_a_map():
    assert {map_.backend for map_ in MAPS} == set(ENDING)
