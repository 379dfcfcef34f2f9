"""Run folders: what is written comes back, a crash at any moment leaves a whole state, and damage is named."""

import builtins
import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from d2lrnn.core.history import History
from d2lrnn.data import Vocab
from d2lrnn.errors import InputError, InputFileError, StorageError
from d2lrnn.runs import folder_files, run_folder
from d2lrnn.runs.folder_files import State, best_epoch
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.system import storage
from d2lrnn.system.storage import write_atomically
from d2lrnn.weights import canonical
from d2lrnn.weights.safetensors_file import dump_tensors

VOCAB = Vocab("hello, world")
SETTINGS = Settings(model="gru", num_hiddens=5, epochs=9, seed=1, prefixes=("wor", "hé"))
CONFIG = {"backend": "torch", "versions": {"numpy": "1"}, "machine": {"cpus": 2}, "corpus": {"sha256": "ab"}}


def make_state(epochs, best=True):
    rng = np.random.default_rng(epochs)
    weights = canonical.initial_weights("gru", len(VOCAB), 5, seed=epochs)
    values = [float(value) for value in rng.random(epochs) + 1]
    history = History(list(range(1, epochs + 1)), values, values, values if best else [], values)
    return State(weights, history, rng.bit_generator.state, weights if best else None, f"epoch {epochs}\nhéllo\n\n")


def make_run(path, *epochs):
    with RunFolder.create(path, CONFIG, SETTINGS, VOCAB) as folder:
        for number in epochs:
            folder.save(make_state(number), "unfinished")
    return path


def assert_same_state(state, expected):
    assert state.history == expected.history
    assert state.random_state == expected.random_state
    assert state.samples == expected.samples
    for one, other in ((state.weights, expected.weights), (state.best, expected.best)):
        assert (one is None) == (other is None)
        for name in other or ():
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def content(path):
    return {entry.name: entry.read_bytes() for entry in path.iterdir()}


def rewrite(path, **changes):
    """Change what config.json says, with a hash that fits; a value that is a function makes the new of the old."""
    config = json.loads((path / "config.json").read_bytes())
    for name, change in changes.items():
        config[name] = change(config[name]) if callable(change) else change
    config["sha256"] = run_folder._config_digest(config)
    (path / "config.json").write_text(json.dumps(config))


# Reading and writing


@pytest.mark.parametrize("best", [True, False])
def test_a_state_comes_back_bit_for_bit(tmp_path, best):
    with RunFolder.create(tmp_path / "a" / "run", CONFIG, SETTINGS, VOCAB) as folder:
        folder.save(make_state(3, best), "interrupted", seconds=1.5)
    read = RunFolder.open(tmp_path / "a" / "run")
    assert (read.settings, read.backend, read.status, read.epoch) == (SETTINGS, "torch", "interrupted", 3)
    assert read.vocab.idx_to_token == VOCAB.idx_to_token
    assert read.config["seconds"] == 1.5
    assert_same_state(read.state, make_state(3, best))
    generator = np.random.default_rng()
    generator.bit_generator.state = read.state.random_state
    expected = np.random.default_rng(3)
    expected.random(3)
    assert generator.integers(2**62) == expected.integers(2**62)


def test_histories_with_values_that_no_json_could_hold_come_back(tmp_path):
    values = [float("inf"), float("nan"), 0.1 + 0.2, 1e-300]
    state = replace(make_state(4), history=History([1, 2, 3, 4], values, values, values, values))
    with RunFolder.create(tmp_path / "run", CONFIG, SETTINGS, VOCAB) as folder:
        folder.save(state, "unfinished")
    assert repr(RunFolder.open(tmp_path / "run").state.history) == repr(state.history)


def test_a_run_before_its_first_checkpoint_is_a_run_without_weights(tmp_path):
    folder = RunFolder.open(make_run(tmp_path / "run"))
    assert (folder.state, folder.epoch) == (None, 0)
    with pytest.raises(InputError, match="no weights yet: .* go on with resume.*run"):
        folder.weights()


def test_best_weights_where_nothing_was_held_out(tmp_path):
    with RunFolder.create(tmp_path / "run", CONFIG, SETTINGS, VOCAB) as folder:
        folder.save(make_state(2, best=False), "unfinished")
    with pytest.raises(InputError, match="it held no text out"):
        RunFolder.open(tmp_path / "run").weights(best=True)


@pytest.mark.parametrize(
    ("values", "begin", "expected"),
    [([3, 2, 2, 4], 0, 2), ([3, 2, 2, 4], 2, 3), ([], 0, None), ([float("nan"), 5], 0, 2), ([1], 1, None)],
)
def test_the_best_epoch_is_the_first_of_the_smallest(values, begin, expected):
    assert best_epoch(History(list(range(1, len(values) + 1)), [], [], values), begin) == expected


def test_a_run_folder_holds_no_pickle_and_nothing_but_what_is_documented(tmp_path):
    names = set(content(make_run(tmp_path / "run", 1, 2)))
    expected = {"config.json", "vocab.json", "weights.safetensors", "best.safetensors", "state.safetensors"}
    assert names - {".lock"} == expected | {"history.csv", "samples.txt"}
    assert all(f"``{name}``" in run_folder.__doc__ for name in names - {".lock"})


def test_other_programs_can_read_the_weights(tmp_path):
    from safetensors import safe_open

    make_run(tmp_path / "run", 1)
    with safe_open(tmp_path / "run" / "weights.safetensors", framework="numpy") as file:
        names = list(file.keys())
        assert {name: file.get_tensor(name).shape for name in names} == canonical.shapes("gru", len(VOCAB), 5)


# A crash at any moment


class Crash(BaseException):
    """The process is gone: nobody catches this."""


WRITES = [(os, "replace"), (os, "fsync"), (pathlib.Path, "open"), (pathlib.Path, "unlink")]


def break_at(monkeypatch, moment, error):
    """Let the moment-th of all changes of the disk fail, before or (for a negative one) after it has been made."""
    count, opened = 0, pathlib.Path.open

    def breaking(original):
        def call(*args, **options):
            nonlocal count
            if original is opened and "w" not in "".join(args[1:]):
                return original(*args, **options)  # to read changes nothing
            count += 1
            if count == moment:
                raise error()
            result = original(*args, **options)
            if count == -moment:
                if original is opened:
                    result.close()
                raise error()
            return result

        return call

    for place, name in WRITES:
        monkeypatch.setattr(place, name, breaking(getattr(place, name)))
    return lambda: count


def count_changes(path, monkeypatch):
    with monkeypatch.context() as patch, RunFolder.reopen(path) as folder:
        count = break_at(patch, 0, Crash)
        folder.save(make_state(5), "unfinished")
    return count()


def test_a_crash_at_any_moment_leaves_the_old_state_or_the_new_one(tmp_path, monkeypatch):
    total = count_changes(make_run(tmp_path / "counted", 2), monkeypatch)
    assert total > 15
    seen = set()
    for moment in [*range(1, total + 1), *range(-total, 0)]:
        path = make_run(tmp_path / f"run{moment}", 2)
        with monkeypatch.context() as patch, RunFolder.reopen(path) as folder:
            break_at(patch, moment, Crash)
            with pytest.raises(Crash):
                folder.save(make_state(5), "unfinished")
        before = content(path)
        read = RunFolder.open(path)
        assert content(path) == before, "reading changed the folder"
        assert_same_state(read.state, make_state(read.epoch))
        seen.add(read.epoch)
        with RunFolder.reopen(path) as folder:  # and it goes on from there
            assert_same_state(folder.state, make_state(read.epoch))
            folder.save(make_state(6), "complete")
        assert_same_state(RunFolder.open(path).state, make_state(6))
        assert not list(path.glob("*.next"))
    assert seen == {2, 5}


def test_a_write_that_ends_half_way_is_not_taken_for_a_whole_one(tmp_path):
    path = make_run(tmp_path / "run", 2)
    for name in ("weights.safetensors", "config.json"):
        (path / f"{name}.next").write_bytes((path / name).read_bytes()[:100])
    assert_same_state(RunFolder.open(path).state, make_state(2))


def test_ctrl_c_while_saving_and_then_saving_again_leaves_the_newest_state(tmp_path, monkeypatch):
    total = count_changes(make_run(tmp_path / "counted", 2), monkeypatch)
    for moment in [*range(1, total + 1), *range(-total, 0)]:
        path = make_run(tmp_path / f"run{moment}", 2)
        with RunFolder.reopen(path) as folder:
            with monkeypatch.context() as patch:
                break_at(patch, moment, KeyboardInterrupt)
                with pytest.raises(KeyboardInterrupt):
                    folder.save(make_state(5), "unfinished")
            folder.save(make_state(5), "interrupted")
        read = RunFolder.open(path)
        assert_same_state(read.state, make_state(5))
        assert read.status == "interrupted"


def test_ctrl_c_while_saving_and_a_crash_while_saving_again_leave_a_whole_state(tmp_path, monkeypatch):
    total = count_changes(make_run(tmp_path / "counted", 2), monkeypatch)
    before = make_run(tmp_path / "before", 2)
    for interrupt in range(-total, 0):
        for crash in range(1, 8):  # what comes later is what the test of a single crash goes through
            path = shutil.copytree(before, tmp_path / f"run{interrupt}-{crash}")
            with RunFolder.reopen(path) as folder:
                with monkeypatch.context() as patch:
                    break_at(patch, interrupt, KeyboardInterrupt)
                    with pytest.raises(KeyboardInterrupt):
                        folder.save(make_state(5), "unfinished")
                # (It has little to write where the first one was as good as finished, and may end before)
                with monkeypatch.context() as patch, contextlib.suppress(Crash):
                    break_at(patch, crash, Crash)
                    folder.save(make_state(5), "interrupted")
            read = RunFolder.open(path)
            assert_same_state(read.state, make_state(read.epoch))


def test_a_full_disk_at_any_moment_is_said_and_leaves_the_old_state(tmp_path, monkeypatch):
    def full():
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    total = count_changes(make_run(tmp_path / "counted", 2), monkeypatch)
    refused = 0
    for moment in range(1, total + 1):
        path = make_run(tmp_path / f"run{moment}", 2)
        with RunFolder.reopen(path) as folder:
            with monkeypatch.context() as patch:
                break_at(patch, moment, full)
                with pytest.raises(StorageError, match="No space left on device; ") as caught:
                    folder.save(make_state(5), "unfinished")
            assert "\n" not in str(caught.value)
            read = RunFolder.open(path)
            assert_same_state(read.state, make_state(read.epoch))
            refused += read.epoch == 2
            folder.save(make_state(5), "unfinished")  # there is space again
        assert_same_state(RunFolder.open(path).state, make_state(5))
    assert refused >= total // 2


def test_a_failed_save_leaves_no_half_written_files_on_a_full_disk(tmp_path, monkeypatch):
    path = make_run(tmp_path / "run", 2)
    before = content(path)
    original = os.fsync

    def full(descriptor):
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    with RunFolder.reopen(path) as folder:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="what was saved before is still there"):
            folder.save(make_state(5), "unfinished")
    assert content(path) == before


def test_a_storage_error_is_the_systems_and_no_wrong_value(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(StorageError) as caught:
        write_atomically(tmp_path / "file", b"")
    assert caught.value.errno == errno.ENOSPC
    assert isinstance(caught.value, OSError)
    assert not isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_file_that_the_disk_does_not_give_is_not_called_damaged(tmp_path, monkeypatch, name):
    path = make_run(tmp_path / "run", 2)
    original = os.open

    def refuse(file, *args, **options):
        if pathlib.Path(file).name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return original(file, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=f"cannot read '.*{name}': Permission denied; check who owns it"):
        RunFolder.open(path)


def test_the_words_of_an_error_are_kept_until_the_run_goes_on(tmp_path):
    path = make_run(tmp_path / "run", 2)
    with RunFolder.reopen(path) as folder:
        folder.save(make_state(3), "failed", "MemoryError")
    assert (RunFolder.open(path).status, RunFolder.open(path).config["error"]) == ("failed", "MemoryError")
    with RunFolder.reopen(path) as folder:
        folder.save(make_state(4), "unfinished")
    assert "error" not in RunFolder.open(path).config


def test_a_folder_is_read_once_to_go_on_with_it_and_again_only_after_another_process(tmp_path, monkeypatch):
    path = make_run(tmp_path / "run", 2)
    read = []
    original = run_folder._read_part
    monkeypatch.setattr(run_folder, "_read_part", lambda *args: read.append(args[1]) or original(*args))
    found = RunFolder.open(path)
    with found.take() as folder:
        assert folder.epoch == 2
    assert sorted(read) == sorted(HASHED)
    found = RunFolder.open(path)
    with RunFolder.reopen(path) as other:
        other.save(make_state(5), "unfinished")
    with found.take() as folder:
        assert_same_state(folder.state, make_state(5))


def test_writing_atomically(tmp_path, monkeypatch):
    target = tmp_path / "file"
    write_atomically(target, b"one")
    write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o666 & ~storage._umask()
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(StorageError, match="cannot write .*: Input/output error; "):
        write_atomically(target, b"three")
    assert content(tmp_path) == {"file": b"two"}
    with pytest.raises(InputError, match="cannot write"):
        write_atomically(tmp_path / "missing" / "file", b"")
    with pytest.raises(InputError, match="cannot write"):
        write_atomically(tmp_path / "null\0byte", b"")


# Two processes


def test_a_folder_in_use_is_refused_and_free_afterwards(tmp_path):
    path = make_run(tmp_path / "run", 2)
    program = (
        "import sys, pathlib; from d2lrnn.runs.run_folder import RunFolder\n"
        f"with RunFolder.reopen({str(path)!r}):\n    print('locked', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(InputError, match="another process is at work in"):
            RunFolder.reopen(path)
        assert RunFolder.open(path).epoch == 2  # reading needs no lock
    finally:
        other.communicate("")
    with RunFolder.reopen(path) as folder:
        assert folder.epoch == 2
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "locked\n"
    other.kill()
    other.communicate()
    with RunFolder.reopen(path) as folder:  # a lock does not outlive its process
        assert folder.epoch == 2


def test_a_reader_waits_for_a_commit_that_comes_in_between(tmp_path, monkeypatch):
    path = make_run(tmp_path / "run", 2)
    original = run_folder._read_part
    commits = []

    def read_part(folder, name, *others):
        if name == "state.safetensors" and not commits:
            commits.append(name)
            with RunFolder.reopen(path) as other:
                other.save(make_state(5), "unfinished")
        return original(folder, name, *others)

    monkeypatch.setattr(run_folder, "_read_part", read_part)
    folder = RunFolder.open(path)
    assert commits
    assert_same_state(folder.state, make_state(5))


# What cannot be used


def test_a_new_run_takes_an_empty_folder_and_no_other(tmp_path):
    (tmp_path / "empty").mkdir()
    make_run(tmp_path / "empty", 1)
    with pytest.raises(InputError, match=r"a run in .* already: go on with resume\('.*empty'\), or name another"):
        RunFolder.create(tmp_path / "empty", CONFIG, SETTINGS, VOCAB)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it")
    with pytest.raises(InputError, match=r"is not empty \(there is 'thesis.tex' in it\)"):
        RunFolder.create(tmp_path / "mine", CONFIG, SETTINGS, VOCAB)
    assert content(tmp_path / "mine") == {"thesis.tex": b"all of it"}
    with pytest.raises(InputError, match="cannot make the run folder"):
        RunFolder.create(tmp_path / "mine" / "thesis.tex", CONFIG, SETTINGS, VOCAB)


def test_a_run_that_was_killed_while_it_was_made_can_be_made_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        break_at(patch, 3, Crash)
        with pytest.raises(Crash):
            make_run(tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()
    assert RunFolder.open(make_run(tmp_path / "run", 1)).epoch == 1


@pytest.mark.parametrize("name", ["", "file", "nowhere", "null\0byte"])
def test_what_is_no_run_folder(tmp_path, name):
    (tmp_path / "file").write_text("text")
    with pytest.raises(InputFileError, match=r"is not a run folder: .*; name a folder that train\(\) has written"):
        RunFolder.open(tmp_path / name)


HASHED = ["vocab.json", "weights.safetensors", "best.safetensors", "state.safetensors", "history.csv", "samples.txt"]


@pytest.mark.parametrize("name", HASHED)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing", "folder", "empty"])
def test_a_damaged_file_is_named(tmp_path, name, damage):
    path = make_run(tmp_path / "run", 2)
    file = path / name
    raw = bytearray(file.read_bytes())
    if damage == "flipped":
        raw[len(raw) // 2] ^= 1
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes({"flipped": raw, "truncated": raw[:-1], "empty": b""}[damage])
    with pytest.raises(InputError, match=f"{name}' is {'missing' if damage == 'missing' else 'damaged'}") as caught:
        RunFolder.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is no JSON document"),
        (b'{"format": 1', "is no JSON document"),
        (b"[" * 100_000, "is no JSON document"),
        (b"\xff\xfe", "is no JSON document"),
        (b"[]", "is not of a run"),
        (b'{"name": "another program"}', "is not of a run"),
        (b'{"format": true}', "is not of a run"),
        (b'{"format": 2, "anything": []}', r"written by a newer d2lrnn \(it has format 2, .*\): upgrade"),
        (b'{"format": 1}', "is damaged or was edited"),
    ],
)
def test_a_config_that_is_none(tmp_path, raw, message):
    path = make_run(tmp_path / "run", 2)
    (path / "config.json").write_bytes(raw)
    with pytest.raises(InputError, match=message):
        RunFolder.open(path)


def test_a_value_of_the_config_that_was_edited(tmp_path):
    path = make_run(tmp_path / "run", 2)
    file = path / "config.json"
    file.write_text(file.read_text().replace('"lr": 1.0', '"lr": 2.0'))
    with pytest.raises(InputError, match=r"config.json' is damaged or was edited"):
        RunFolder.open(path)
    file.write_text(json.dumps(json.loads(file.read_text().replace('"lr": 2.0', '"lr": 1.0'))))
    RunFolder.open(path)  # other spaces and line breaks are no change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": lambda old: {**old, "num_hiddens": 6}}, "does not fit the model .* has shape"),
        ({"settings": lambda old: {**old, "model": "lstm"}}, "does not fit the model"),
        ({"settings": lambda old: {**old, "model": "perceptron"}}, "settings that cannot be used: unknown model"),
        ({"settings": lambda old: {**old, "num_hiddens": "5"}}, "'num_hiddens' must be of type int, not '5'"),
        ({"settings": lambda old: {**old, "seed": True}}, "'seed' must be of type"),
        ({"settings": lambda old: {**old, "colour": "red"}}, "there is no setting 'colour'"),
        ({"settings": []}, "settings must be names and values"),
        ({"vocab_size": 3}, "it is the vocabulary of another run"),
        ({"epoch": 3}, "history.csv' has 2 epochs, and config.json says 3"),
        ({"files": {}}, "'files' holds {}, and should be vocab.json, and for a run that has trained weights"),
        ({"files": lambda old: {**old, "../../etc/passwd": {"sha256": ""}}}, "'files' holds .* and no other file"),
        (
            {"files": lambda old: {"vocab.json": old["vocab.json"], "history.csv": old["history.csv"]}},
            "'files' holds .* for a run that has trained weights.safetensors, state.safetensors, history.csv",
        ),
        ({"status": "thinking"}, "'status' holds 'thinking', and should be one of unfinished, interrupted, complete"),
        ({"backend": None}, "'backend' holds None, and should be one of torch, mxnet, tensorflow, numpy"),
        ({"backend": "jax"}, "'backend' holds 'jax', and should be one of torch, mxnet, tensorflow, numpy"),
        ({"epoch": "2"}, "'epoch' holds '2', and should be a whole number of at least 0"),
        ({"epoch": True}, "'epoch' holds True, and should be a whole number"),
        ({"vocab_size": -1}, "'vocab_size' holds -1, and should be a whole number of at least 0"),
        ({"corpus": "story"}, "'corpus' holds 'story', and should be names and values"),
        ({"corpus": {"name": 3}}, "'corpus.name' holds 3, and should be a text"),
        ({"machine": []}, "'machine' holds .., and should be names and values"),
        ({"seconds": "long"}, "'seconds' holds 'long', and should be a number"),
        ({"patience_from": 1.5}, "'patience_from' holds 1.5, and should be a whole number"),
        ({"error": 5}, "'error' holds 5, and should be a text"),
        ({"earlier_lr": [1.0]}, "'earlier_lr' holds .1.0., and should be a list of learning rates"),
    ],
)
def test_a_config_whose_hash_fits_and_whose_content_does_not(tmp_path, changes, message):
    path = make_run(tmp_path / "run", 2)
    rewrite(path, **changes)
    with pytest.raises(InputError, match=message):
        RunFolder.open(path)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("vocab.json", b"{}", "holds no vocabulary"),
        ("vocab.json", b'{"tokens": ["a"]}', "of which the first is '<unk>'"),
        ("vocab.json", b'{"tokens": ["<unk>", 1]}', "holds no vocabulary"),
        ("vocab.json", b'{"tokens": ["<unk>", "a", "a"]}', "holds a token twice"),
        ("vocab.json", b'{"tokens": ["<unk>", "a"]}', "it is the vocabulary of another run"),
        ("weights.safetensors", b"not tensors", "is no safetensors file"),
        ("weights.safetensors", b"\xff" * 8, "is no safetensors file"),
        ("weights.safetensors", dump_tensors({"W": np.zeros(1)}), "weight 'layers.0.W_xh' is missing"),
        ("best.safetensors", b"", "is no safetensors file"),
        (
            "state.safetensors",
            dump_tensors({"epoch": np.array([2])}),
            "does not hold the epoch and the six",
        ),
        ("history.csv", b"", "is no table of epoch, perplexity"),
        ("history.csv", b"\xff", "is no table of epoch, perplexity"),
        ("history.csv", b"a,b\n1,2\n", "is no table of epoch, perplexity"),
    ],
)
def test_a_file_whose_hash_fits_and_whose_content_does_not(tmp_path, name, raw, message):
    path = make_run(tmp_path / "run", 2)
    (path / name).write_bytes(raw)
    rewrite(path, files=lambda old: {**old, name: {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}})
    with pytest.raises(InputError, match=message):
        RunFolder.open(path)


@pytest.mark.parametrize(
    ("change", "what"), [(lambda w: w.astype(np.float64), "float64"), (lambda w: w * np.float32(np.nan), "nan")]
)
def test_weights_that_are_not_float32_and_finite(tmp_path, change, what):
    path = make_run(tmp_path / "run", 2)
    raw = dump_tensors({name: change(value) for name, value in make_state(2).weights.items()})
    (path / "weights.safetensors").write_bytes(raw)
    rewrite(path, files=lambda old: {**old, "weights.safetensors": {"sha256": hashlib.sha256(raw).hexdigest()}})
    with pytest.raises(InputError, match=r"has a weight '.*' that is not float32 and finite"):
        RunFolder.open(path)


def test_a_state_of_another_epoch(tmp_path):
    one, other = make_run(tmp_path / "one", 2), make_run(tmp_path / "other", 3)
    raw = (other / "state.safetensors").read_bytes()
    (one / "state.safetensors").write_bytes(raw)
    rewrite(one, files=lambda old: {**old, "state.safetensors": {"sha256": hashlib.sha256(raw).hexdigest()}})
    with pytest.raises(InputError, match=r"is of epoch 3, and config.json of epoch 2"):
        RunFolder.open(one)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    real = builtins.__import__

    def guarded(name, *args, **options):
        assert name not in ("pickle", "_pickle"), "a run folder needs no pickle"
        return real(name, *args, **options)

    path = make_run(tmp_path / "run", 2)
    monkeypatch.setattr(builtins, "__import__", guarded)
    RunFolder.open(path)


# A folder that somebody removes, moves or replaces


def remove(path):
    shutil.rmtree(path)


def move(path):
    path.rename(path.with_name("elsewhere"))


def empty(path):
    for entry in path.iterdir():
        entry.unlink()


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder in which a file is open")
@pytest.mark.parametrize("take_away", [remove, move, empty])
@pytest.mark.parametrize("replace_it", [True, False], ids=["replaced", "gone"])
def test_a_run_whose_folder_is_taken_away_goes_on_beside_it_and_mixes_with_no_other(tmp_path, take_away, replace_it):
    path = tmp_path / "run"
    with RunFolder.create(path, CONFIG, SETTINGS, VOCAB) as folder:
        folder.save(make_state(2), "unfinished")
        take_away(path)
        if replace_it:
            make_run(path, 3)
            other = content(path)
        with pytest.warns(UserWarning, match="'.*run' was removed, moved or replaced .* the run is kept in '.*run-2'"):
            folder.save(make_state(4), "unfinished")
        assert folder.path == tmp_path / "run-2"
        folder.save(make_state(5), "unfinished")  # which is said once
        with pytest.raises(InputError, match="another process is at work in"):
            RunFolder.reopen(tmp_path / "run-2")
        folder.mark("complete")
    if replace_it:
        assert content(path) == other
        assert RunFolder.open(path).epoch == 3
    kept = RunFolder.open(tmp_path / "run-2")
    assert kept.status == "complete"
    assert_same_state(kept.state, make_state(5))
    assert kept.vocab.idx_to_token == VOCAB.idx_to_token


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder in which a file is open")
def test_where_files_have_no_numbers_the_configuration_tells_whose_a_folder_is(tmp_path, monkeypatch):
    """As on some disks that Windows reads from a network."""
    monkeypatch.setattr(RunFolder, "_identity", lambda self: [(0, 0) for path in (self.path, self.path / ".lock")
                                                              if path.stat()])  # fmt: skip
    path = tmp_path / "run"
    with RunFolder.create(path, CONFIG, SETTINGS, VOCAB) as folder:
        folder.save(make_state(2), "unfinished")
        shutil.rmtree(path)
        make_run(path, 3)
        with pytest.warns(UserWarning, match="was removed, moved or replaced"):
            folder.save(make_state(4), "unfinished")
    assert (RunFolder.open(path).epoch, RunFolder.open(tmp_path / "run-2").epoch) == (3, 4)


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder in which a file is open")
def test_a_status_alone_takes_all_of_the_run_with_it(tmp_path):
    with RunFolder.create(tmp_path / "run", CONFIG, SETTINGS, VOCAB) as folder:
        folder.save(make_state(2), "unfinished")
        shutil.rmtree(tmp_path / "run")
        with pytest.warns(UserWarning, match="was removed, moved or replaced"):
            folder.mark("complete")
    assert_same_state(RunFolder.open(tmp_path / "run-2").state, make_state(2))


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder in which a file is open")
def test_a_folder_that_is_replaced_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    path, original, times = tmp_path / "run", storage.flush_folder, []
    with RunFolder.create(path, CONFIG, SETTINGS, VOCAB) as folder:

        def swap(where):
            times.append(where)
            if len(times) == 2:  # after what was to be committed was written, and before the commit
                shutil.rmtree(path)
                make_run(path, 3)
            original(where)

        monkeypatch.setattr(run_folder, "flush_folder", swap)
        with pytest.warns(UserWarning, match="was removed, moved or replaced"):
            folder.save(make_state(4), "unfinished")
    assert (RunFolder.open(path).epoch, RunFolder.open(tmp_path / "run-2").epoch) == (3, 4)


# A folder that can be used again


@pytest.mark.parametrize("status", ["failed", "unfinished", "interrupted", "diverged"])
def test_a_run_without_weights_gives_its_folder_to_the_next_one(tmp_path, status):
    path = tmp_path / "run"
    with RunFolder.create(path, CONFIG, SETTINGS, VOCAB) as folder:
        folder.mark(status, "no device 'tpu'")
        with pytest.raises(InputError, match="another process is at work in"):
            RunFolder.create(path, CONFIG, SETTINGS, VOCAB)
    with RunFolder.create(path, CONFIG, replace(SETTINGS, lr=0.25), Vocab("another text")) as folder:
        assert "error" not in folder.config
    opened = RunFolder.open(path)
    assert (opened.status, opened.settings.lr, len(opened.vocab)) == ("unfinished", 0.25, len(Vocab("another text")))
    (path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not empty \(there is 'notes.txt' in it\)"):
        RunFolder.create(path, CONFIG, SETTINGS, VOCAB)


def test_what_cannot_be_committed_at_first_leaves_no_run_that_is_in_the_way(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new"):
        with pytest.raises(InputError, match="'machine' holds"):
            RunFolder.create(tmp_path / name, {**CONFIG, "machine": {"system": "a\r"}}, SETTINGS, VOCAB)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]  # the folder of who asked stays


def test_only_a_folder_that_was_made_is_removed(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new"):
        with RunFolder.create(tmp_path / name, CONFIG, SETTINGS, VOCAB) as folder:
            folder.discard()
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    made = []
    for _ in range(3):
        with RunFolder.create(tmp_path / "runs" / "now", CONFIG, SETTINGS, VOCAB, numbered=True) as folder:
            made.append(folder.path.name)
    assert made == ["now", "now-2", "now-3"]


def test_a_folder_in_the_place_of_a_link_to_nowhere(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    for path, numbered in (("link", False), ("link/run", False), ("link/run", True)):
        with pytest.raises(InputError, match="it is a link to what is not there; name another one$"):
            RunFolder.create(tmp_path / path, CONFIG, SETTINGS, VOCAB, numbered=numbered)


def test_a_name_as_long_as_the_disk_takes_is_written_too(tmp_path):
    write_atomically(tmp_path / ("n" * 251 + ".png"), b"picture")
    assert (tmp_path / ("n" * 251 + ".png")).read_bytes() == b"picture"


# A long training


def test_a_history_that_is_kept_in_every_epoch_is_written_out_once(tmp_path, monkeypatch):
    rows, original = [], folder_files._dump_row
    monkeypatch.setattr(folder_files, "_dump_row", lambda row: rows.append(row) or original(row))
    values = [float(number) for number in range(1, 101)]
    with RunFolder.create(tmp_path / "run", CONFIG, SETTINGS, VOCAB) as folder:
        for epochs in range(1, 101):
            few = values[:epochs]
            history = History(list(range(1, epochs + 1)), few, few, few, few)
            folder.save(replace(make_state(1), history=history), "unfinished")
    assert len(rows) == 100
    assert RunFolder.open(tmp_path / "run").state.history == history
    with RunFolder.reopen(tmp_path / "run") as folder:  # and one that is another is written as it is
        folder.save(make_state(3), "unfinished")
        folder.save(make_state(4), "unfinished")
    assert RunFolder.open(tmp_path / "run").state.history == make_state(4).history
