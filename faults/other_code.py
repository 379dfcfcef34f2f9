"""Files of the current folder that have the names of modules, and files whose content is code."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from place import TINY, Place, Skip, fault

GROUP = "code that should not run"
_SPY = "open({canary!r}, 'w').close()\n"


def _spy(place: Place) -> str:
    return _SPY.format(canary=str(place.canary))


@fault(GROUP, "modules of the current folder, with names of frameworks and of Python's own", quick=True)
def _(place: Place) -> None:
    names = ("torch", "mxnet", "tensorflow", "numpy", "random", "json", "d2lrnn", "sitecustomize", "queue", "rich")
    for name in names:
        (place.folder / f"{name}.py").write_text(_spy(place))
    place.must(place.run("backends").code == 0, "backends does not work beside such files")
    place.run("train", "--backend", "numpy", *TINY, "--epochs", "1", "--out", "run")
    place.run("predict", "run")
    place.run("compare", "--backends", "numpy", *TINY, "--epochs", "1")


class _Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return open, (str(self.canary), "w")


def _pickles(canary: Path) -> dict[str, bytes]:
    """Return pickles that write a file when they are loaded, by what they pretend to be."""
    payload = _Payload(canary)
    return {
        "plain": pickle.dumps(payload),
        "old": pickle.dumps(payload, protocol=0),
        "among tensors": pickle.dumps({"rnn.weight_hh_l0": payload}),
        "as a list": pickle.dumps([payload] * 3),
    }


@fault(GROUP, "pickles called .pt and .pth", quick=True)
def _(place: Place) -> None:
    if "torch" not in place.usable:
        raise Skip("PyTorch is not here")
    for name, content in _pickles(place.canary).items():
        for ending in (".pt", ".pth"):
            (place.folder / f"a{ending}").write_bytes(content)
            place.refused(place.run("convert", f"a{ending}", "--out", "b.safetensors", "--force"))
        # As PyTorch writes it: a zip with the pickle and its tensors
        with zipfile.ZipFile(place.folder / f"{name}.pt", "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/byteorder", "little")
        place.refused(place.run("convert", f"{name}.pt", "--out", "b.safetensors", "--force"))


@fault(GROUP, "pickles called .npz, .safetensors, .params and .keras", quick=True)
def _(place: Place) -> None:
    for content in _pickles(place.canary).values():
        for ending in (".npz", ".safetensors", ".params", *([".keras"] if "tensorflow" in place.usable else [])):
            (place.folder / f"a{ending}").write_bytes(content)
            place.refused(place.run("convert", f"a{ending}", "--out", "b.safetensors", "--force"))


@fault(GROUP, "an .npz of Python objects")
def _(place: Place) -> None:
    objects = np.empty(1, object)
    objects[0] = _Payload(place.canary)
    np.savez(place.folder / "a.npz", **{"layers.0.W_hh": objects})
    place.refused(place.run("convert", "a.npz", "--out", "b.safetensors"))


@fault(GROUP, "a run folder with pickles in the place of its files", quick=True)
def _(place: Place) -> None:
    run = place.trained("run")
    contents = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    for path, content in contents.items():
        path.write_bytes(pickle.dumps(_Payload(place.canary)))
        place.run("show", run)
        place.run("predict", run)
        path.write_bytes(content)


_LAMBDA = "open({canary!r}, 'w')"


@fault(GROUP, "a .keras with lambdas, classes of others and functions", quick=True)
def _(place: Place) -> None:
    if "tensorflow" not in place.usable:
        raise Skip("TensorFlow is not here")
    import base64
    import marshal

    code = base64.b64encode(marshal.dumps(compile(_LAMBDA.format(canary=str(place.canary)), "x", "eval"))).decode()
    lambda_layer = {
        "module": "keras.layers", "class_name": "Lambda", "registered_name": None,
        "config": {"name": "l", "function": {"class_name": "__lambda__", "config": {"code": code, "defaults": None}}},
    }  # fmt: skip
    of_others = {"module": "os", "class_name": "system", "config": f"touch {place.canary}", "registered_name": None}
    function = {"class_name": "function", "module": "builtins", "config": "exec", "registered_name": "exec"}
    for layer in (lambda_layer, of_others, function, {**lambda_layer, "config": function}):
        model = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
        with zipfile.ZipFile(place.folder / "a.keras", "w") as archive:
            archive.writestr("config.json", json.dumps(model))
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
            archive.writestr("model.weights.h5", b"")
        place.refused(place.run("convert", "a.keras", "--out", "b.safetensors", "--force"))
