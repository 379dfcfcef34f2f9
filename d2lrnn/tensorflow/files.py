"""A model's weights as the file ``.keras`` that Keras's users expect.

What is written is what ``keras.models.load_model`` reads, without any custom object: a ``keras.Sequential`` of Keras's
own layers, which takes one-hot vectors (batch_size, num_steps, vocab_size) and returns logits of the same shape. The
model's name is the kind: ``'rnn-scratch'`` is the same layers as ``'rnn'``. Such a model is read. What it is made of is
looked at before Keras builds it.
"""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import tensorflow as tf

from d2lrnn.core.interface import Tensors, Weights, implements
from d2lrnn.errors import InputError
from d2lrnn.system import bounded, memory
from d2lrnn.weights import canonical, recognition
from d2lrnn.weights.exchange import Codec

from . import backend
from .concise import RNNModel, directions, stacked_layers

__all__ = ["decode", "encode"]

Config = dict[str, Any]  # JSON
_RECURRENT = ("SimpleRNN", "GRU", "LSTM")
_MODULES = ("layers", "initializers", "regularizers", "constraints")
_WANTED = (
    "a keras.Sequential of Input((None, vocab_size)), recurrent layers with return_sequences=True, "
    "and a Dense(vocab_size)"
)
_WEIGHTS = "model.weights.h5"
# What says sizes beside those of the layers: Keras would make room for them
_SIZES = ("batch_shape", "batch_input_shape", "input_shape", "input_dim", "input_length", "batch_size")
_MAX_CONFIG = 1 << 20  # bytes of the description of a model; those of our models have a few thousand


@implements(Codec)
def encode(kind: str, weights: Tensors) -> bytes:
    weights = recognition.complete(kind, weights)
    vocab_size, num_hiddens, num_layers, bidirectional = canonical.sizes(kind, weights)
    layer_kind = "rnn" if kind == "rnn-scratch" else kind
    with tf.device("CPU:0"):
        layers = stacked_layers(layer_kind, vocab_size, num_hiddens, num_layers, bidirectional, return_state=False)
        dense = tf.keras.layers.Dense(vocab_size)
        model = tf.keras.Sequential([tf.keras.Input((None, vocab_size)), *layers, dense], name=kind)
        backend.set_weights(_net(layers, dense), weights)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            return path.read_bytes()


@implements(Codec)
def decode(content: bytes, kind: str | None = None) -> tuple[str, Weights]:
    content = _checked(content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        try:
            with warnings.catch_warnings(), tf.device("CPU:0"):
                warnings.simplefilter("ignore")  # of an optimizer, or a version, that does not matter to weights
                model = tf.keras.models.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises many kinds for files that are not its own
            if memory.is_lack_of_memory(error):
                raise
            raise InputError(
                f"Keras cannot load the model ({type(error).__name__}): save it with model.save of the same Keras, "
                "for Keras 2 does not read what 3 wrote, and copy the file completely"
            ) from None
    if not model.built:
        raise InputError(f"the model has no weights yet: save {_WANTED}")
    *layers, dense = model.layers
    net = _net(layers, dense)
    found = backend.kind_of(net)
    alone = found == "rnn" and len(layers) == 1 and len(directions(layers[0])) == 1
    if alone and model.name == "rnn-scratch":
        kind = recognition.choose_kind(kind, ["rnn-scratch"], ["rnn"])
    else:
        kind = recognition.choose_kind(kind, [found], ["rnn-scratch"] if alone else [])
    return kind, recognition.complete(kind, backend.get_weights(net))


def _net(layers: list[Any], dense: Any) -> RNNModel:
    """Return the layers of a Keras model as a model whose weights the backend knows."""
    net = RNNModel(layers, dense.units)
    net.dense = dense
    return net


def _checked(content: bytes) -> bytes:
    """Return a file of the same model in which nothing takes more memory than the weights that are in it.

    It has the description of the layers, without what else Keras would do with sizes that stand there, and the weights.

    Raises:
        InputError: If the file is no such model, or something in it takes more.
    """
    try:
        with bounded.opened_zip(io.BytesIO(content), len(content)) as archive:
            for part in archive.infolist():
                bounded.check_packing(part)
            size = sum(part.file_size for part in archive.infolist())
            if archive.getinfo("config.json").file_size > _MAX_CONFIG:
                raise InputError(f"the description of the model is too long: save {_WANTED}")
            config = json.loads(bounded.unpack(archive, "config.json", _MAX_CONFIG))
            inputs = _check_config(config, size)
            weights = bounded.unpack(archive, _WEIGHTS, size)
            metadata = bounded.unpack(archive, "metadata.json", _MAX_CONFIG)
        _check_weights(weights)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("metadata.json", metadata)
            archive.writestr("config.json", json.dumps(_plain_config(config, inputs)))
            archive.writestr(_WEIGHTS, weights)
        return made.getvalue()
    except InputError:
        raise
    except Exception as error:  # a damaged archive makes zipfile raise many kinds
        raise InputError(
            f"this is no model in Keras's format .keras ({type(error).__name__}): save it with model.save, "
            "and copy the file completely"
        ) from None


def _plain_config(config: Config, inputs: int) -> Any:
    """Return a description with nothing but its layers and their options, for vectors of so many inputs."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(part) for part in value]
        if not isinstance(value, dict):
            return value
        kept = {key: plain(part) for key, part in value.items() if key not in ("build_config", "compile_config")}
        if isinstance(options := kept.get("config"), dict) and "units" in options:
            kept["config"] = {key: part for key, part in options.items() if key not in _SIZES}
            # Which make room for sequences, or a layer for each step, and change no weight
            kept["config"] |= {option: False for option in ("stateful", "unroll") if option in options}
        return kept

    layers = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
    first: Config = {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None}
    shape = "batch_shape" if tf.keras.layers.Layer.__module__.startswith("keras.") else "batch_input_shape"
    first["config"] = {shape: [None, None, inputs], "dtype": "float32", "name": "input_layer"}
    options = {key: part for key, part in config["config"].items() if key in ("name", "trainable")}
    return plain({**config, "config": {**options, "layers": [first, *layers]}})


def _check_weights(content: bytes) -> None:
    """Check that a file of HDF5 holds plain arrays and no more numbers than it has bytes.

    One that is compressed, or was never written, takes the memory that its shape says, and one may lie in another file.

    Raises:
        InputError: If it does not.
    """
    import h5py  # which comes with Keras

    seen: set[int] = set()
    total = 0

    def walk(group: Any) -> None:
        nonlocal total
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"{name!r} among the weights is a link to somewhere else: save {_WANTED}")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:
                continue
            seen.add(place)
            if isinstance(item, h5py.Group):
                walk(item)
            elif not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiubV" or item.is_virtual:
                raise InputError(f"{name!r} among the weights is no plain array: save {_WANTED}")
            elif item.chunks is not None or item.external is not None:
                raise InputError(f"{name!r} among the weights is compressed, or in pieces, as Keras keeps none: "
                                 f"save {_WANTED}")  # fmt: skip
            else:
                total += item.size * item.dtype.itemsize
                if total > len(content):
                    raise InputError(
                        f"the weights have more than {total} bytes, and their file {len(content)}: save {_WANTED}"
                    )

    with h5py.File(io.BytesIO(content), "r") as file:
        walk(file)


def _check_config(config: Config, size: int) -> int:
    """Check that a description is that of layers we know, whose weights a file of this size can hold.

    Returns:
        How many inputs the first layer has.

    Raises:
        InputError: If it is not.
    """
    try:
        if config["class_name"] != "Sequential":
            raise InputError(f"the model is a {config['class_name']}: save {_WANTED}")
        _check_modules(config["config"])
        layers = [(layer["class_name"], layer["config"]) for layer in config["config"]["layers"]]
        numbers = 0
        if layers and layers[0][0] == "InputLayer":
            _, first = layers.pop(0)
            shape = first.get("batch_shape") or first["batch_input_shape"]
        else:  # a model that was built by its first call
            shape = config["config"].get("build_input_shape")
        if shape is None:
            raise InputError(f"the model has no weights yet: save {_WANTED}")
        inputs = shape[-1] or 0  # of an embedding there is none, and which layer it is says more
        for place, (name, layer) in enumerate(layers, start=1):
            numbers += _count(place, name, layer, inputs, place == len(layers))
            inputs = _whole(_width(name, layer))
        if len(layers) < 2 or 4 * numbers > size:
            raise InputError(f"the file does not hold the weights of a recurrent and a dense layer: save {_WANTED}")
        # An optimizer may have a few numbers for each weight; what is far more would only fill the memory
        if size > 40 * numbers + 2**24:
            raise InputError(
                f"the file's parts have {size} bytes, and its {numbers} weights need far less: save {_WANTED}"
            )
        return _whole(shape[-1])
    except InputError:
        raise
    except Exception as error:  # whatever may be missing in a description that another program made
        raise InputError(
            f"the description of the model is not Keras's ({type(error).__name__}): save {_WANTED}"
        ) from None


def _whole(size: Any) -> int:
    """Return a size as given; the least one is 1."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise InputError(f"the description of the model has the size {size!r:.50}: save {_WANTED}")
    return size


def _check_modules(value: Any) -> None:
    """Check that whatever Keras will make from a description is one of its own classes, and no function."""
    if isinstance(value, dict):
        name = value.get("class_name")
        own = value.get("module") in (None, "keras", *(f"keras.{module}" for module in _MODULES))
        if not own or name == "function" or not isinstance(name, (str, type(None))) or name == "__lambda__":
            raise InputError(f"the model is made with {name!r}, which is not one of Keras's layers: save {_WANTED}")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_modules(part)


def _recurrent_parts(name: str, layer: Config) -> list[tuple[str, Config]]:
    """Return the names and the settings of what a layer consists of: two layers if it is bidirectional, else itself."""
    if name != "Bidirectional":
        return [(name, layer)]
    parts = [layer["layer"], *filter(None, [layer.get("backward_layer")])]
    return [(part["class_name"], part["config"]) for part in parts]


def _width(name: str, layer: Config) -> Any:
    return _recurrent_parts(name, layer)[0][1]["units"] * (2 if name == "Bidirectional" else 1)


def _count(place: int, name: str, layer: Config, inputs: int, last: bool) -> int:
    """Return how many weights a layer has at least.

    Raises:
        InputError: If it has no canonical form in this place.
    """
    if last:
        if name != "Dense" or layer["activation"] != "linear" or not layer["use_bias"]:
            how = " with an activation or without a bias" if name == "Dense" else ""
            raise InputError(f"the last layer is a {name}{how}, which has no canonical form: save {_WANTED}")
        return inputs * layer["units"]
    parts = _recurrent_parts(name, layer)
    if not {part for part, _ in parts} <= set(_RECURRENT):
        raise InputError(f"layer {place} is a {name}, which has no canonical form there: save {_WANTED}")
    if not all(settings["return_sequences"] for _, settings in parts):
        raise InputError(f"the {name} returns its last step only: make it with return_sequences=True")
    if any(settings.get("time_major") for _, settings in parts):  # Keras 2 only
        raise InputError(f"the {name} takes the steps first: make it with time_major=False")
    return sum((inputs + settings["units"]) * settings["units"] for _, settings in parts)
