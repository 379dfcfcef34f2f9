"""Keras's files, as users write them."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from weight_files import (
    H,
    V,
    draw,
)

from d2lrnn.errors import InputError
from d2lrnn.weights import canonical, exchange


def keras_file(model, tmp_path):
    model.save(tmp_path / "users.keras")
    return tmp_path / "users.keras"


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (lambda L: [L.Embedding(V, 4), L.LSTM(H, return_sequences=True), L.Dense(V)], "layer 1 is a Embedding"),
        (lambda L: [L.LSTM(H), L.Dense(V)], "returns its last step only: make it with return_sequences=True"),
        (lambda L: [L.LSTM(H, return_sequences=True)], "the last layer is a LSTM, which has no canonical form"),
        (lambda L: [L.LSTM(H, return_sequences=True), L.Dense(V, activation="softmax")], "Dense with an activation"),
        (lambda L: [L.LSTM(H, return_sequences=True), L.Dense(V, use_bias=False)], "or without a bias"),
        (lambda L: [L.LSTM(H, return_sequences=True), L.Dense(V + 1)], "vectors of 7 numbers .* gives 8"),
        (lambda L: [L.LSTM(H, return_sequences=True), L.Dropout(0.5), L.Dense(V)], "layer 2 is a Dropout"),
        (lambda L: [L.Dense(V)], "does not hold the weights of a recurrent and a dense layer"),
        (
            lambda L: [L.LSTM(H, return_sequences=True), L.GRU(H, return_sequences=True), L.Dense(V)],
            "layers of several kinds",
        ),
        (
            lambda L: [L.LSTM(H, return_sequences=True, recurrent_dropout=0.5), L.Dense(V)],
            "LSTM with recurrent_dropout=0.5 have no canonical form: make the layer with recurrent_dropout=0",
        ),
        (
            lambda L: [L.Bidirectional(L.GRU(H, return_sequences=True), merge_mode="sum"), L.Dense(V)],
            "merge_mode='sum'",
        ),
    ],
)
def test_keras_models_that_are_refused(backend, tmp_path, layers, message):
    keras = backend.framework.keras
    layers = layers(keras.layers)
    first = keras.Input((None,)) if isinstance(layers[0], keras.layers.Embedding) else keras.Input((None, V))
    with pytest.raises(InputError, match=message):
        exchange.read_file(keras_file(keras.Sequential([first, *layers]), tmp_path))


@pytest.mark.only("tensorflow")
def test_a_keras_model_that_is_no_sequence_of_layers(backend, tmp_path):
    keras = backend.framework.keras
    inputs = keras.Input((None, V))
    outputs = keras.layers.Dense(V)(keras.layers.LSTM(H, return_sequences=True)(inputs))
    with pytest.raises(InputError, match="the model is a Functional: save a keras.Sequential of"):
        exchange.read_file(keras_file(keras.Model(inputs, outputs), tmp_path))


def change_config(path, change):
    """Write a .keras file again with its description changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    parts["config.json"] = json.dumps(change(config) or config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def code(config):
    config["config"]["layers"][1]["config"]["kernel_initializer"] = {
        "module": "builtins", "class_name": "function", "config": "print", "registered_name": "function",
    }  # fmt: skip


def huge(config):
    config["config"]["layers"][1]["config"]["units"] = 10**6


@pytest.mark.only("tensorflow")
def test_a_keras_file_that_would_fill_the_memory_is_refused_before_it_is_unpacked(backend, tmp_path):
    weights = canonical.initial_weights("gru", 5, 4, seed=0)
    exchange.write_file(tmp_path / "good.keras", "gru", weights)
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as good,
        zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in good.namelist():
            zeros = bytes(2**25) if name == "model.weights.h5" else b""
            bomb.writestr(name, good.read(name) + zeros)
    assert (tmp_path / "bomb.keras").stat().st_size < 2**17
    with pytest.raises(InputError, match=r"parts have \d+ bytes, and its \d+ weights need far less"):
        exchange.read_file(tmp_path / "bomb.keras")


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: [1], "the description of the model is not Keras's"),
        (lambda config: config["config"].pop("layers"), "the description of the model is not Keras's|is no model"),
        (code, "the model is made with 'function', which is not one of Keras's layers"),
        (huge, "does not hold the weights of a recurrent and a dense layer"),
        (lambda config: config.update(padding="x" * 2**20), "the description of the model is too long"),
    ],
    ids=["no-model", "no-layers", "code", "huge", "long"],
)
def test_a_keras_description_is_looked_at_before_keras_builds_it(backend, tmp_path, monkeypatch, change, message):
    def build(*args, **kwargs):
        raise AssertionError("Keras was asked to build it")

    path = tmp_path / "model.keras"
    exchange.write_file(path, "lstm", draw("lstm"))

    def changed(config):
        result = change(config)
        return result if isinstance(result, list) and result == [1] else config

    change_config(path, changed)
    monkeypatch.setattr(backend.framework.keras.models, "load_model", build)
    with pytest.raises(InputError, match=message):
        exchange.read_file(path)


KERAS_2 = """
import sys
import numpy as np
import tensorflow as tf
from d2lrnn.weights import canonical, exchange
folder = sys.argv[1]
assert tf.keras.layers.LSTM.__module__.startswith("tf_keras")
for kind in canonical.KINDS:
    for layers, both in ((1, False), (2, True))[: 1 if kind == "rnn-scratch" else 2]:
        weights = canonical.initial_weights(kind, 7, 5, layers, both, seed=0)
        exchange.write_file(f"{folder}/{kind}-{layers}.keras", kind, weights)
        found, result = exchange.read_file(f"{folder}/{kind}-{layers}.keras")
        assert found == kind
        assert all(np.array_equal(result[name], value) for name, value in weights.items())
layer = tf.keras.layers.LSTM(5, return_sequences=True, time_major=True)
tf.keras.Sequential([tf.keras.Input((None, 7)), layer, tf.keras.layers.Dense(7)]).save(f"{folder}/major.keras")
try:
    exchange.read_file(f"{folder}/major.keras")
except ValueError as error:
    assert "make it with time_major=False" in str(error), error
else:
    raise AssertionError
try:
    exchange.read_file(f"{folder}/keras-3.keras")
except ValueError as error:
    assert "of the same Keras, for Keras 2 does not read what 3 wrote" in str(error), error
else:
    raise AssertionError
"""


@pytest.mark.only("tensorflow")
def test_keras_2_reads_and_writes_its_own_files_and_keras_3_reads_them(backend, tmp_path):
    """Which Keras it is settles at TensorFlow's import, so this has a process of its own."""
    command = [sys.executable, "-c", KERAS_2, str(tmp_path)]
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    exchange.write_file(tmp_path / "keras-3.keras", "lstm", draw("lstm"))
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    # Keras 3 reads them too: their layers have time_major=False, which it takes here
    for kind in canonical.KINDS:
        for layers, both in ((1, False), (2, True))[: 1 if kind == "rnn-scratch" else 2]:
            found, result = exchange.read_file(tmp_path / f"{kind}-{layers}.keras")
            assert found == kind
            for name, value in canonical.initial_weights(kind, 7, 5, layers, both, seed=0).items():
                np.testing.assert_array_equal(result[name], value, err_msg=name)
