"""Files, folders and numbers that are made to hurt, and a way to see what a real command makes of them.

Nothing here needs a framework, but for the .keras files, which need the h5py that comes with TensorFlow. Each of
:data:`FOLDERS`, :data:`FILES`, :data:`TEXTS`, :data:`SIZES` and :data:`NUMBERS` is a :class:`Hostile`: it writes what
it needs into an empty folder and returns the words of the command that meets it. :func:`run` runs that command in a
process of its own, and measures its memory there. :class:`Proxy` is a server that hurts.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MOST_MEMORY = 2**30  # bytes that a command may take at its peak, for a file or a setting that it refuses
STORY = ["--corpus", "story", "--max-tokens", "2000", "--batch-size", "4", "--num-steps", "10", "--epochs", "1",
         "--seed", "1", "--threads", "1", "--prefix", "the"]  # fmt: skip
BACKENDS = ("torch", "mxnet", "tensorflow", "numpy")


@dataclass(frozen=True)
class Hostile:
    """Something that hurts.

    Attributes:
        name: What it is.
        make: Writes it into a folder, and returns the words of the command, which runs in that folder.
        says: What the error must say, a part of its line.
        needs: The backend without which the command does not come that far, or None.
        code: The exit code that it should have.
    """

    name: str
    make: Callable[[Path], list[str]]
    says: str
    needs: str | None = None
    code: int = 2


@dataclass(frozen=True)
class Outcome:
    """What a command came to.

    Attributes:
        code: Its exit code; negative if a signal ended it.
        out: What it printed.
        err: What it printed to the error stream.
        peak: The largest resident size of its process, or of one that it waited for, in bytes.
        seconds: How long it took.
        stopped: Why it was killed, or an empty text.
    """

    code: int
    out: str
    err: str
    peak: int
    seconds: float
    stopped: str

    def problems(self, thing: Hostile) -> list[str]:
        """Return what is wrong with how it ended: nothing, if it ended with a line that says why, in little memory."""
        found = [self.stopped] if self.stopped else []
        if self.code != thing.code:
            found.append(f"exit code {self.code}")
        if "Traceback" in self.err:
            found.append(f"a traceback: {self.err.strip().splitlines()[-1][:200]}")
        if self.peak > MOST_MEMORY:
            found.append(f"{self.peak / 2**20:,.0f} MiB")
        if (longest := max(map(len, self.err.splitlines()), default=0)) > 1000:
            found.append(f"a line of {longest:,} characters")
        if thing.says not in self.err:
            found.append(f"it does not say {thing.says!r}, but {self.err.strip()[-300:]!r}")
        return found


def run(
    words: Sequence[str],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    seconds: float = 120,
    memory: int = 3 * 2**30,
    python: str = sys.executable,
) -> Outcome:
    """Run a command of d2lrnn in a folder, and kill it where it takes too long or too much. For POSIX systems.

    Args:
        words: The words after ``d2lrnn``.
        folder: The folder that it runs in.
        env: What is added to the environment.
        seconds: After how many it is killed.
        memory: At how many bytes it is killed. Only Linux tells of them in time.
        python: The Python that runs it.
    """
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        files = (out.fileno(), err.fileno())
        # A process of its own measures, a small one: the peak of a child begins with what its parent has
        command = [sys.executable, "-S", "-E", __file__, str(seconds), str(memory), *map(str, files),
                   python, "-m", "d2lrnn", *words]  # fmt: skip
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": path, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, pass_fds=files, check=True,
        )  # fmt: skip
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        return Outcome(out=texts[0], err=texts[1], **json.loads(done.stdout))


def peak(usage: Any) -> int:
    """Return the largest resident size that ``wait4`` tells of, in bytes."""
    return int(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def _watch(seconds: float, memory: int, out: int, err: int, command: Sequence[str]) -> dict[str, Any]:
    """Run a command to its end or to a limit, and return what :class:`Outcome` needs of it."""
    begin, stopped = time.monotonic(), ""
    process = subprocess.Popen(command, stdout=out, stderr=err)
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        passed, resident = time.monotonic() - begin, 0
        with contextlib.suppress(OSError, IndexError):
            resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if not stopped and (passed > seconds or resident > memory):
            stopped = f"killed after {passed:.0f} s" if passed > seconds else f"killed at {resident / 2**20:,.0f} MiB"
            os.kill(process.pid, 9)
        time.sleep(0.005)
    code = process.returncode = os.waitstatus_to_exitcode(status)
    return {"code": code, "peak": peak(usage), "seconds": time.monotonic() - begin, "stopped": stopped}


# Run folders


def _good_run(folder: Path) -> Path:
    """Write a run of NumPy's, which a command reads without a framework, and return its folder."""
    import numpy as np

    from d2lrnn.core.history import History
    from d2lrnn.data import load_data, read_text
    from d2lrnn.runs.folder_files import State
    from d2lrnn.runs.run_folder import RunFolder
    from d2lrnn.runs.settings import Settings
    from d2lrnn.weights import canonical

    text = read_text("story")
    train_iter, vocab = load_data(text, 2, 9, False, 600, seed=1)
    settings = Settings(model="rnn", num_hiddens=3, epochs=2, seed=1, corpus="story", max_tokens=600, batch_size=2,
                        num_steps=9, prefixes=("the",))  # fmt: skip
    weights = canonical.in_dtype(canonical.initial_weights("rnn", len(vocab), 3, seed=1), "float64")
    state = State(weights, History([1, 2], [9.0, 8.0], [1.0, 1.0], [], [1.0, 1.0]), train_iter.random_state)
    config = {"backend": "numpy", "corpus": {"name": "story", "sha256": text.sha256}, "seconds": 1.0}
    with RunFolder.create(folder / "run", config, settings, vocab) as made:
        made.save(state, "complete")
    assert np.isfinite(state.weights["output.b_q"]).all()
    return folder / "run"


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a run's config.json says, with a hash that fits."""
    from d2lrnn.runs import run_folder

    config = json.loads((path / "config.json").read_bytes())
    change(config)
    config["sha256"] = run_folder._config_digest(config)
    (path / "config.json").write_text(json.dumps(config))


def _show(folder: Path) -> list[str]:
    return ["show", "run", "--png", "runs.png"]


def _instead(name: str, put: Callable[[Path], object]) -> Callable[[Path], list[str]]:
    """Return what makes a run with something else in the place of one of its files."""

    def make(folder: Path) -> list[str]:
        path = _good_run(folder) / name
        path.unlink(missing_ok=True)
        put(path)
        return _show(folder)

    return make


def _saying(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], list[str]]:
    """Return what makes a run whose configuration says something else."""

    def make(folder: Path) -> list[str]:
        rewrite(_good_run(folder), change)
        return _show(folder)

    return make


def _setting(name: str, value: Any) -> Callable[[Path], list[str]]:
    return _saying(lambda config: config["settings"].update({name: value}))


def _zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _holes(size: int) -> Callable[[Path], None]:
    """Return what makes a large file that takes no space on the disk."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


def _among_others(folder: Path) -> list[str]:
    shutil.copytree(_good_run(folder), folder / "good")
    rewrite(folder / "run", lambda config: config["settings"].update(lr=10**400))
    return ["show", "run", "good", "--png", "runs.png"]


def _named(name: str, put: Callable[[Path], object], *words: str) -> Callable[[Path], list[str]]:
    """Return what makes a single thing and a command."""

    def make(folder: Path) -> list[str]:
        put(folder / name)
        return list(words)

    return make


def _with_vocabulary(put: Callable[[Path], object]) -> Callable[[Path], list[str]]:
    """Return what makes a run of another one's weights and of something in the place of a vocabulary."""

    def make(folder: Path) -> list[str]:
        _good_run(folder)
        put(folder / "vocab")
        return ["convert", "run/weights.safetensors", "--backend", "numpy", "--out", "made", "--vocab", "vocab"]

    return make


def _resumed(folder: Path) -> list[str]:
    path = _good_run(folder)
    os.mkfifo(path / "weights.safetensors.next")
    (path / "weights.safetensors").unlink()
    return ["predict", "run"]


FOLDERS = (
    Hostile("weights from /dev/zero", _instead("weights.safetensors", _zeros), "no regular file"),
    Hostile("history from /dev/zero", _instead("history.csv", _zeros), "no regular file"),
    Hostile("samples from /dev/zero", _instead("samples.txt", _zeros), "", code=0),  # the run names no such file
    Hostile("vocabulary from /dev/zero", _instead("vocab.json", _zeros), "no regular file"),
    Hostile("config from /dev/zero", _instead("config.json", _zeros), "no regular file"),
    Hostile("config is a pipe", _instead("config.json", os.mkfifo), "no regular file"),
    Hostile("weights are a pipe", _instead("weights.safetensors", os.mkfifo), "no regular file"),
    Hostile("the next weights are a pipe", _resumed, "no regular file"),
    Hostile("config with a hole of 5 GB", _instead("config.json", _holes(5 * 2**30)), "bytes"),
    Hostile("weights with a hole of 5 GB", _instead("weights.safetensors", _holes(5 * 2**30)), "bytes"),
    Hostile("history with a hole of 5 GB", _instead("history.csv", _holes(5 * 2**30)), "bytes"),
    Hostile("vocabulary with a hole of 5 GB", _instead("vocab.json", _holes(5 * 2**30)), "bytes"),
    Hostile("a billion layers", _setting("num_layers", 10**9), "num_layers must be"),
    Hostile("100,000 layers", _setting("num_layers", 10**5), "num_layers must be"),
    Hostile("a billion units", _setting("num_hiddens", 10**9), "num_hiddens must be"),
    Hostile("a learning rate of 10^400", _setting("lr", 10**400), "lr must be"),
    Hostile("a learning rate of 10^400 among others", _among_others, "left out", code=0),
    Hostile("a seed of 4,000 digits", _setting("seed", 10**3999), "seed must be"),
    Hostile("10^30 epochs", _setting("epochs", 10**30), "epochs must be"),
    Hostile("an epoch of 4,000 digits", _saying(lambda config: config.update(epoch=10**3999)), "'epoch'"),
    Hostile("a format of 4,000 digits", _saying(lambda config: config.update(format=10**3999)), "format"),
    Hostile("seconds beyond a float", _saying(lambda config: config.update(seconds=10**400)), "'seconds'"),
    Hostile("tokens of 4,000 digits",
            _saying(lambda config: config["corpus"].update(used_tokens=1, text_tokens=10**3999)),
            "'corpus.text_tokens'"),
    Hostile("a model with a name of a million characters", _setting("model", "x" * 10**6), "unknown model"),
    Hostile("a prefix of a million characters", _setting("prefixes", ["x" * 10**6]), "prefixes"),
    Hostile("a vocabulary that is a pipe", _with_vocabulary(os.mkfifo), "cannot read the vocabulary"),
    Hostile("a vocabulary with a hole of 5 GB", _with_vocabulary(_holes(5 * 2**30)), "a vocabulary has at most"),
)  # fmt: skip


# Files of weights


def _convert(ending: str, make: Callable[[Path], object], *words: str) -> Callable[[Path], list[str]]:
    """Return what writes one file with a function of its path, and converts it."""

    def written(folder: Path) -> list[str]:
        make(folder / f"model{ending}")
        return ["convert", f"model{ending}", "--out", "made.safetensors", *words]

    return written


UNITS = 4
_CHUNK = 2**24  # numbers of a dataset that are packed together


def _keras_config(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return Keras's description of a small model, changed."""

    def layer(kind: str, **options: Any) -> dict[str, Any]:
        return {"module": "keras.layers", "class_name": kind, "config": options, "registered_name": None}

    recurrent = {"units": UNITS, "activation": "tanh", "use_bias": True, "return_sequences": True, "name": "rnn"}
    layers = [
        layer("InputLayer", batch_shape=[None, None, UNITS], dtype="float32", name="input"),
        layer("SimpleRNN", **recurrent),
        layer("Dense", units=UNITS, activation="linear", use_bias=True, name="dense"),
    ]
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "rnn", "layers": layers},
              "registered_name": None}  # fmt: skip
    change(config)
    return json.dumps(config).encode()


def _keras_weights(add: Callable[[Any, dict[str, Any]], object] = lambda group, options: None) -> bytes:
    """Return the weights of that model as Keras keeps them."""
    import h5py  # which Keras brings along
    import numpy as np

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        shapes = {"layers/simple_rnn/cell/vars": [(UNITS, UNITS), (UNITS, UNITS), (UNITS,)],
                  "layers/dense/vars": [(UNITS, UNITS), (UNITS,)]}  # fmt: skip
        for name, shapes_of in shapes.items():
            group = file.create_group(name)
            for number, shape in enumerate(shapes_of):
                group.create_dataset(str(number), data=np.zeros(shape, np.float32))
        file.create_group("layers/input_layer/vars")
        add(file, shapes)
    return buffer.getvalue()


def _keras(
    change: Callable[[dict[str, Any]], object] = lambda config: None,
    add: Callable[[Any, dict[str, Any]], object] = lambda file, shapes: None,
    compression: int = zipfile.ZIP_STORED,
) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("metadata.json", '{"keras_version": "3.15.1", "date_saved": "2026-11-26@00:00:00"}')
            archive.writestr("config.json", _keras_config(change))
            archive.writestr("model.weights.h5", _keras_weights(add))

    return make


def _build(size: int) -> Callable[[dict[str, Any]], object]:
    return lambda config: config["config"]["layers"][1].update(build_config={"input_shape": [None, None, size]})


def _kernel(**options: Any) -> Callable[[Any, dict[str, Any]], object]:
    """Return what puts a large dataset in the place of a kernel."""

    def change(file: Any, shapes: dict[str, Any]) -> None:
        group = file["layers/simple_rnn/cell/vars"]
        del group["0"]
        dataset = group.create_dataset("0", **{"shape": (2**30,), "dtype": "f4", **options})
        if "compression" in options:
            packed = zlib.compress(bytes(4 * _CHUNK), 9)
            for begin in range(0, 2**30, _CHUNK):
                dataset.id.write_direct_chunk((begin,), packed)

    return change


def _ints(*numbers: int) -> bytes:
    """Return the pickled tuple of some numbers."""
    return b"(" + b"".join(pickle.LONG1 + b"\x09" + number.to_bytes(9, "little") for number in numbers) + b"t"


def _text(text: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(text.encode())) + text.encode()


def _global(name: str) -> bytes:
    module, _, what = name.rpartition(".")
    return pickle.GLOBAL + f"{module}\n{what}\n".encode()


def _torch_pickle(tensors: Mapping[str, bytes]) -> bytes:
    """Return a dict of pickled things as PyTorch's file has it."""
    items = b"".join(_text(name) + value for name, value in tensors.items())
    return pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS + pickle.STOP


def _torch_tensor(count: int, shape: Sequence[int], stride: Sequence[int], key: str = "0") -> bytes:
    """Return a pickled tensor over a storage of ``count`` float32 numbers."""
    storage = pickle.MARK + _text("storage") + _global("torch.FloatStorage") + _text(key) + _text("cpu")
    storage += pickle.LONG1 + b"\x09" + count.to_bytes(9, "little") + pickle.TUPLE + pickle.BINPERSID
    arguments = pickle.MARK + storage + pickle.BININT1 + b"\x00" + _ints(*shape) + _ints(*stride) + pickle.NEWFALSE
    arguments += _global("collections.OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.TUPLE
    return _global("torch._utils._rebuild_tensor_v2") + arguments + pickle.REDUCE


def _torch(tensors: Mapping[str, bytes], numbers: int, compression: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
    """Return what writes a file of PyTorch's with one storage of so many float32 numbers, all zero."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("model/data.pkl", _torch_pickle(tensors))
            archive.writestr("model/byteorder", "little")
            with archive.open("model/data/0", "w", force_zip64=True) as file:
                for begin in range(0, 4 * numbers, 2**24):
                    file.write(bytes(min(2**24, 4 * numbers - begin)))
            archive.writestr("model/version", "3\n")

    return make


def _many_views(path: Path) -> None:
    _torch({f"a{number}": _torch_tensor(2**19, (2**19,), (1,)) for number in range(1100)}, 2**19)(path)


def params(shape: Sequence[int], numbers: bytes = b"", form: int = 3) -> Callable[[Path], None]:
    """Return what writes a file of MXNet's with one array that says its shape, in its second or third form."""

    def make(path: Path) -> None:
        array = struct.pack("<Iii", 0xF993FAC7 + form, 0, len(shape)) + struct.pack(f"<{len(shape)}q", *shape)
        array += struct.pack("<iii", 1, 0, 0) + numbers
        name = b"rnn.weight_ih_l0"
        path.write_bytes(struct.pack("<QQQ", 0x112, 0, 1) + array + struct.pack("<QQ", 1, len(name)) + name)

    return make


def npz(shape: Sequence[int], compression: int, size: int) -> Callable[[Path], None]:
    """Return what writes an archive of one array that says its shape, with so many zeros behind it."""

    def make(path: Path) -> None:
        said = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
        header = said + " " * (118 - len(said) - 1) + "\n"
        with (
            zipfile.ZipFile(path, "w", compression) as archive,
            archive.open("layers.0.W_hh.npy", "w", force_zip64=True) as file,
        ):
            file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
            for begin in range(0, size, 2**24):
                file.write(bytes(min(2**24, size - begin)))

    return make


def safetensors(header: bytes, rest: bytes = b"") -> Callable[[Path], None]:
    """Return what writes a file of a header and what stands behind it."""
    return lambda path: path.write_bytes(struct.pack("<Q", len(header)) + header + rest) and None


def _many_names(path: Path) -> None:
    row = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    safetensors(json.dumps({f"{number:x}": row for number in range(10**6)}).encode())(path)


FILES = (
    Hostile("Keras is to build for a billion inputs", _convert(".keras", _keras(_build(10**9))), "", "tensorflow", 0),
    Hostile("a Keras model that is built for a billion inputs",
            _convert(".keras", _keras(lambda config: config["config"].update(build_input_shape=[None, None, 10**9]))),
            "", "tensorflow", 0),
    Hostile("a Keras layer of a billion sequences",
            _convert(".keras", _keras(lambda config: (
                config["config"]["layers"][0]["config"].update(batch_shape=[10**9, None, UNITS]),
                config["config"]["layers"][1]["config"].update(stateful=True)))), "", "tensorflow", 0),
    Hostile("a Keras layer of a million steps, unrolled",
            _convert(".keras", _keras(lambda config: (
                config["config"]["layers"][0]["config"].update(batch_shape=[None, 10**6, UNITS]),
                config["config"]["layers"][1]["config"].update(unroll=True)))), "", "tensorflow", 0),
    Hostile("Keras weights of 4 GB, packed with gzip",
            _convert(".keras", _keras(add=_kernel(compression="gzip", chunks=(_CHUNK,)))), "compressed", "tensorflow"),
    Hostile("Keras weights of 4 GB that were never written", _convert(".keras", _keras(add=_kernel())),
            "bytes", "tensorflow"),
    Hostile("Keras weights of 4 GB, packed with bzip2",
            _convert(".keras", _keras(compression=zipfile.ZIP_BZIP2)), "bzip2", "tensorflow"),
    Hostile("a storage of PyTorch's, seen 1,100 times", _convert(".pt", _many_views), "clone()", "torch"),
    Hostile("a storage of PyTorch's of 1 GB, packed",
            _convert(".pt", _torch({"a": _torch_tensor(2**28, (2**28,), (1,))}, 2**28, zipfile.ZIP_DEFLATED)),
            "compressed", "torch"),
    Hostile("a tensor of PyTorch's that repeats one number",
            _convert(".pt", _torch({"a": _torch_tensor(1, (2**30,), (0,))}, 1)), "more numbers than the file", "torch"),
    Hostile("a file of PyTorch's that asks for a bytearray of 10 GB",
            _convert(".pt", _torch({"a": _global("builtins.bytearray") + _ints(10**10) + pickle.REDUCE}, 1)),
            "bytearray", "torch"),
    Hostile("a bytearray of 10 GB in PyTorch's old form",
            _convert(".pt", lambda path: path.write_bytes(_torch_pickle(
                {"a": _global("builtins.bytearray") + _ints(10**10) + pickle.REDUCE}))), "", "torch"),
    Hostile("an array of MXNet's of shape (0, 2^62)", _convert(".params", params((0, 2**62))), "model.params"),
    Hostile("an array of MXNet's of shape (2^62, 0)", _convert(".params", params((2**62, 0))), "model.params"),
    Hostile("an array of MXNet's of shape (2^40, 0)", _convert(".params", params((2**40, 0)), "--model", "rnn"),
            "model.params"),
    Hostile("an archive of NumPy's of 500 MB",
            _convert(".npz", npz((2**27,), zipfile.ZIP_DEFLATED, 2**29)), "model.npz"),
    Hostile("an archive of NumPy's of 500 MB, packed with bzip2",
            _convert(".npz", npz((2**27,), zipfile.ZIP_BZIP2, 2**29)), "bzip2"),
    Hostile("an archive of NumPy's of shape (0, 2^62)", _convert(".npz", npz((0, 2**62), 0, 0)), "model.npz"),
    Hostile("safetensors of shape (0, 2^62)",
            _convert(".safetensors", safetensors(
                b'{"layers.0.W_hh":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]}}')),
            "model.safetensors"),
    Hostile("safetensors of a million names", _convert(".safetensors", _many_names), "model.safetensors"),
    *(Hostile(f"a {ending} file with a hole of 5 GB", _convert(ending, _holes(5 * 2**30)), f"model{ending}", needs)
      for ending, needs in ((".safetensors", None), (".params", None), (".npz", None), (".pt", "torch"),
                            (".keras", "tensorflow"))),
    *(Hostile(f"a {ending} file that is a pipe", _convert(ending, os.mkfifo), f"model{ending}")
      for ending in (".safetensors", ".pt")),
)  # fmt: skip


# Texts


def packed(compression: int, size: int = 5 * 10**8) -> Callable[[Path], None]:
    """Return what writes an archive with a large text in it."""
    piece = (b"the time traveller " * 10**5)[: 10**6]

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", compression) as archive, archive.open("a.txt", "w", force_zip64=True) as file:
            for _ in range(size // len(piece)):
                file.write(piece)

    return make


def _corpus(name: str) -> tuple[str, ...]:
    words = [word if word != "story" else name for word in STORY]
    return ("train", "--backend", "numpy", "--num-hiddens", "4", *words, "--out", "run")


TEXTS = (
    Hostile("an archive with a text of 500 MB",
            _named("a.zip", packed(zipfile.ZIP_DEFLATED), *_corpus("a.zip")), "no text is packed so well"),
    Hostile("an archive with a text of 50 MB, packed with bzip2",
            _named("a.zip", packed(zipfile.ZIP_BZIP2, 5 * 10**7), *_corpus("a.zip")), "bzip2"),
    Hostile("an archive with a hole of 5 GB", _named("a.zip", _holes(5 * 2**30), *_corpus("a.zip")), "a.zip"),
    Hostile("an archive that is a pipe", _named("a.zip", os.mkfifo, *_corpus("a.zip")), "a.zip"),
    Hostile("a text that is a pipe", _named("a.txt", os.mkfifo, *_corpus("a.txt")), "a.txt"),
    Hostile("a text from /dev/zero", _named("a.txt", _zeros, *_corpus("a.txt")), "a.txt"),
)  # fmt: skip


# Sizes and numbers


def _train(backend: str, *words: str) -> Callable[[Path], list[str]]:
    return lambda folder: ["train", "--backend", backend, *STORY, "--num-hiddens", "4", *words, "--out", "run"]


def _compare(*words: str) -> Callable[[Path], list[str]]:
    return lambda folder: ["compare", "--backends", "numpy", *STORY, "--num-hiddens", "4", *words]


SIZES = (
    *(Hostile(f"{units} units in {backend}", _train(backend, "--num-hiddens", str(units)), "num_hiddens", backend)
      for backend in BACKENDS for units in (10**6, 10**9, 10**18)),
    *(Hostile(f"100,000 layers in {backend}", _train(backend, "--model", "rnn", "--num-layers", "100000"), "num_layers",
              backend) for backend in BACKENDS),
    *(Hostile(f"{units} units compared", _compare("--num-hiddens", str(units)), "num_hiddens")
      for units in (10**6, 10**9, 10**18)),
    Hostile("100,000 layers compared", _compare("--model", "rnn", "--num-layers", "100000"), "num_layers"),
)  # fmt: skip


def _predict(backend: str, *words: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        _good_run(folder)
        return ["predict", "run", "--backend", backend, *words]

    return make


NUMBERS = (
    *(Hostile(f"a learning rate of 5e-324 in {backend}", _train(backend, "--lr", "5e-324"), "lr must be", backend)
      for backend in BACKENDS),
    *(Hostile(f"a radius of 1e-320 in {backend}", _train(backend, "--theta", "1e-320"), "theta must be", backend)
      for backend in BACKENDS),
    *(Hostile(f"2^63 characters in {backend}", _predict(backend, "--num-preds", str(2**63)), "--num-preds must be",
              backend) for backend in BACKENDS),
    Hostile("a seed of 4,000 digits", _train("numpy", "--seed", "9" * 4000), "seed"),
    Hostile("a number of 100,000 digits", _train("numpy", "--num-hiddens", "9" * 10**5), "num-hiddens"),
)  # fmt: skip


# A server


class Proxy(ThreadingHTTPServer):
    """Answers whatever is asked for, as an HTTP proxy would, with a body that may not end.

    Args:
        piece: What it sends again and again.
        pause: Seconds between two of them.
        length: The Content-Length that it promises, or None for none.
        head: Whether there is a whole head before it; or else it is a line of the head that does not end.
        times: How often it sends the piece; None for without end.
        circles: Whether it says that what is asked for has moved to where it is.
    """

    daemon_threads = True

    def __init__(
        self, piece: bytes, pause: float = 0.0, length: int | None = None, head: bool = True,
        times: int | None = None, circles: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(("127.0.0.1", 0), _Answer)
        self.piece, self.pause, self.length, self.head = piece, pause, length, head
        self.times, self.circles, self.asked, self.sent = times, circles, 0, 0
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(302 if self.server.circles else 200)
        if self.server.circles:
            self.send_header("Location", self.path)
        if self.server.length is not None:
            self.send_header("Content-Length", str(self.server.length))
        if self.server.head:
            self.end_headers()
        else:
            self.flush_headers()
        with contextlib.suppress(OSError):
            for piece in itertools.islice(itertools.repeat(self.server.piece), self.server.times):
                if self.server.closing.wait(self.server.pause):
                    return
                self.wfile.write(piece)
                self.server.sent += len(piece)

    def log_message(self, *args: Any) -> None:
        pass


if __name__ == "__main__":
    _seconds, _memory, _out, _err, *_command = sys.argv[1:]
    print(json.dumps(_watch(float(_seconds), int(_memory), int(_out), int(_err), _command)))
