"""Run folders that something has damaged: never a traceback, never a changed folder, one line that says what it is."""

import contextlib
import hashlib
import io
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from d2lrnn.cli import main as cli
from d2lrnn.core import backends
from d2lrnn.core.history import History
from d2lrnn.data import load_data
from d2lrnn.data.corpora import read_text
from d2lrnn.runs import run_folder
from d2lrnn.runs.folder_files import State
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.weights import canonical
from d2lrnn.weights.safetensors_file import dump_tensors, parse_tensors

FILES = ("config.json", "vocab.json", "weights.safetensors", "best.safetensors", "state.safetensors", "history.csv",
         "samples.txt")  # fmt: skip
SMALL = Settings(model="gru", num_hiddens=3, epochs=2, seed=1, corpus="story", max_tokens=600, batch_size=2,
                 num_steps=9, valid_fraction=0.2, prefixes=("the",))  # fmt: skip


def make_run(path, backend):
    """Make a complete run without its framework, whose seed is the only thing it is random in."""
    text = read_text("story")
    train_iter, vocab = load_data(text, 2, 9, False, 600, valid_fraction=0.2, seed=1)
    weights, best = (
        canonical.in_dtype(canonical.initial_weights("gru", len(vocab), 3, seed=seed), backends.BACKENDS[backend].dtype)
        for seed in (1, 2)
    )
    history = History([1, 2], [9.0, 8.0], [1.0, 1.0], [7.0, 9.0], [1.0, 1.0])
    state = State(weights, history, train_iter.random_state, best, "epoch 2\nthe\n\n")
    config = {"backend": backend, "corpus": {"name": "story", "sha256": text.sha256}, "seconds": 1.0}
    with RunFolder.create(path, config, SMALL, vocab) as folder:
        folder.save(state, "complete")
    return path


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 50) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["torch", "mxnet", "gru", "lstm", "\ud800", "a" * 300, 10**30, -(10**9), "../..", "\n"]),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=5,
)  # fmt: skip


def places(document, here=()):
    """Yield the path of every value in a document."""
    yield here
    if isinstance(document, (dict, list)):
        for key, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from places(value, (*here, key))


def mutate_bytes(draw, path, other):
    """Damage one file, as a disk or a person might."""
    file = path / draw(st.sampled_from([*FILES, "curve.png", ".lock"]))
    raw = file.read_bytes() if file.is_file() else b""
    how = draw(st.sampled_from(["flip", "cut", "add", "replace", "swap", "delete", "folder", "link", "next"]))
    if how == "flip" and raw:
        at = draw(st.integers(0, len(raw) * 8 - 1))
        changed = bytearray(raw)
        changed[at // 8] ^= 1 << at % 8
        raw = bytes(changed)
    elif how == "cut" and raw:
        raw = raw[: draw(st.integers(0, len(raw) - 1))]
    elif how == "add":
        raw += draw(st.binary(min_size=1, max_size=20))
    elif how == "replace":
        raw = draw(st.binary(max_size=200))
    elif how == "swap" and (other / file.name).is_file():
        raw = (other / file.name).read_bytes()
    elif how == "next":
        (path / f"{file.name}.next").write_bytes(draw(st.sampled_from([raw, raw[:-3], b"{}"])))
        return f"{file.name} with a .next"
    file.unlink(missing_ok=True)
    if how == "folder":
        file.mkdir()
    elif how == "link":
        file.symlink_to(path / "nothing")
    elif how != "delete":
        file.write_bytes(raw)
    return f"{file.name}: {how}"


def mutate_values(draw, path, other):
    """Change a value of the configuration, and let its hash fit, so that what comes after the hash is reached."""
    config = json.loads((path / "config.json").read_bytes())
    place = draw(st.sampled_from([place for place in places(config) if place]))
    parent = config
    for key in place[:-1]:
        parent = parent[key]
    if draw(st.booleans()):
        parent[place[-1]] = draw(JSON)
    else:
        del parent[place[-1]]
    with contextlib.suppress(TypeError):  # of a value that no JSON can hold
        config["sha256"] = run_folder._config_digest(config)
    (path / "config.json").write_text(json.dumps(config))
    return f"config.json: {place}"


def mutate_behind_the_hash(draw, path, other):
    """Change a file and record the hash of what it is now."""
    name = draw(st.sampled_from(FILES[1:]))
    mutate = draw(st.sampled_from(["bytes", "json", "tensors", "swap"]))
    raw = (path / name).read_bytes()
    if mutate == "swap":
        raw = (other / name).read_bytes()
    elif mutate == "json" and name == "vocab.json":
        raw = json.dumps(draw(JSON | st.fixed_dictionaries({"tokens": JSON}))).encode()
    elif mutate == "tensors" and name.endswith(".safetensors"):
        arrays = parse_tensors(raw, name)
        key = draw(st.sampled_from(sorted(arrays)))
        dtype = draw(st.sampled_from(["float32", "float16", "int64", "uint64", "bool"]))
        arrays[key] = np.full(draw(st.lists(st.integers(0, 4), max_size=3)), draw(st.integers(0, 3)), dtype)
        raw = dump_tensors(arrays)
    else:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=8)) + raw[at + draw(st.integers(0, 8)) :]
    (path / name).write_bytes(raw)
    config = json.loads((path / "config.json").read_bytes())
    config["files"][name] = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    config["sha256"] = run_folder._config_digest(config)
    (path / "config.json").write_text(json.dumps(config))
    return f"{name} behind its hash: {mutate}"


def snapshot(path):
    """Return all that is in a folder, links as links."""
    return {
        str(entry.relative_to(path)): "folder" if entry.is_dir() else str(entry.readlink()) if entry.is_symlink()
        else entry.read_bytes()
        for entry in path.rglob("*") if entry.name != ".lock"
    }  # fmt: skip


def run_command(args):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(arg) for arg in args])
    return code, err.getvalue()


def check(draw, originals, command, values=True):
    """Damage a copy of a run, its values and then its bytes, and see what a command makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        shutil.copytree(originals[0], path)
        mutations = [mutate_bytes]
        if values:
            change = draw(st.sampled_from([mutate_values, mutate_behind_the_hash]))
            mutations = draw(st.sampled_from([[mutate_bytes], [change], [change], [change, mutate_bytes]]))
        done = [mutate(draw, path, originals[1]) for mutate in mutations]
        before = snapshot(path)
        options = {
            "show": ["--png", Path(folder) / "runs.png"],
            "convert": ["--backend", "tensorflow", "--out", Path(folder) / "copy"],
        }
        code, err = run_command([command, path, *options.get(command, [])])
        assert code in (0, 2), (done, command, err)
        assert code == 0 or len(err.strip().splitlines()) <= 2, (done, command, err)  # a warning may stand before
        after = snapshot(path)
        if (command, code) == ("resume", 0):
            # It tidies up what a crash has left
            before, after = (
                {name: raw for name, raw in found.items() if not name.endswith(".next")} for found in (before, after)
            )
        assert after == before, f"{command} changed the folder after {done}"


def often(times):
    return settings(max_examples=times, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return make_run(folder / "one", "torch"), make_run(folder / "two", "mxnet")


@often(200)
@given(draw=st.data())
def test_a_damaged_folder_is_shown_or_refused_and_left_alone(originals, draw):
    # Drawing curves takes its time
    check(draw.draw, originals, draw.draw(st.sampled_from(["show", "convert", "convert", "convert"])))


@pytest.mark.only("torch")
@often(200)
@given(draw=st.data())
def test_a_damaged_folder_is_continued_or_refused_and_left_alone(backend, trained, draw):
    check(draw.draw, trained[backend.name], "predict")


@pytest.mark.only("mxnet", "tensorflow")
@often(15)
@given(draw=st.data())
def test_what_is_read_from_a_damaged_folder_is_continued_in_the_others_too(backend, trained, draw):
    # A folder is read without any framework; what differs is the model that is made of it, which takes its time
    check(draw.draw, trained[backend.name], "predict")


@pytest.mark.only("torch")
@often(60)
@given(draw=st.data())
def test_a_damaged_folder_is_resumed_or_refused_and_left_alone(backend, trained, draw):
    # Its bytes only: the run is complete, and another number of epochs, say, would rightly be trained
    check(draw.draw, trained[backend.name], "resume", values=False)


@pytest.mark.only("mxnet", "tensorflow")
@often(6)
@given(draw=st.data())
def test_what_is_read_from_a_damaged_folder_is_resumed_in_the_others_too(backend, trained, draw):
    check(draw.draw, trained[backend.name], "resume", values=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: (make_run(folder / name, name), make_run(folder / f"{name}-other", "torch")) for name in backends.BACKENDS
    }


def test_the_folder_that_is_damaged_is_a_good_one(backend, trained):
    path = trained[backend.name][0]
    before = snapshot(path)
    assert run_command(["predict", path]) == (0, "")
    assert run_command(["resume", path])[0] == 0
    assert snapshot(path) == before
