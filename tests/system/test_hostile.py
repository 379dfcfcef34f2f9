"""What is made to hurt costs an error line: not the machine's memory, not an endless wait, and no traceback."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import hostile
import numpy as np
import pytest

from d2lrnn.data import downloads, text_files
from d2lrnn.errors import DivergenceError, InputError, NotEnoughMemoryError, shortened
from d2lrnn.runs.settings import LIMITS, Settings
from d2lrnn.runs.training import train
from d2lrnn.system import bounded, memory
from d2lrnn.system.arguments import require_rates
from d2lrnn.system.formatting import format_bytes
from d2lrnn.weights import canonical

posix = pytest.mark.skipif(os.name == "nt", reason="pipes, devices and wait4 are POSIX")


def each(*things):
    """Return what runs a test once for each thing, in the environment of the backend that it needs."""
    return pytest.mark.parametrize(
        ("backend", "thing") if things[0].needs else "thing",
        [
            pytest.param(*([thing.needs] if thing.needs else []), thing, id=thing.name,
                         marks=[pytest.mark.backend(thing.needs)] if thing.needs else [])
            for thing in things
        ],
        **({"indirect": ["backend"]} if things[0].needs else {}),
    )  # fmt: skip


ALL = [*hostile.FOLDERS, *hostile.FILES, *hostile.TEXTS, *hostile.SIZES, *hostile.NUMBERS]


def meet(thing, folder):
    outcome = hostile.run(thing.make(folder), folder, seconds=300)
    assert outcome.problems(thing) == []


@posix
@each(*(thing for thing in ALL if thing.needs is None))
def test_a_command_that_meets_it_says_so_in_little_memory(thing, tmp_path):
    meet(thing, tmp_path)


@posix
@each(*(thing for thing in ALL if thing.needs is not None))
def test_a_command_of_a_backend_that_meets_it_says_so_in_little_memory(backend, thing, tmp_path):
    meet(thing, tmp_path)


@posix
@pytest.mark.parametrize(
    ("words", "stopped"),
    [(("-c", "import time; time.sleep(60)"), "killed after 1 s"), (("-c", "bytearray(2**30)"), "killed at")],
)
def test_what_waits_and_what_swells_is_noticed(tmp_path, words, stopped):
    """The measurement itself can fail a command."""
    with (tmp_path / "out").open("wb") as out:
        found = hostile._watch(1 if "sleep" in words[1] else 60, 2**28, out.fileno(), out.fileno(),
                               [sys.executable, *words])  # fmt: skip
    outcome = hostile.Outcome(out="", err="", **found)
    if sys.platform == "linux" or "sleep" in words[1]:
        assert outcome.stopped.startswith(stopped)
    assert outcome.problems(hostile.FOLDERS[0]) != []


# What is read


def test_a_file_is_read_as_far_as_it_may_go(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert bounded.read_file(path, 5, "") == b"12345"
    with pytest.raises(bounded.TooLarge, match="has 5 bytes, and there may be 4") as caught:
        bounded.read_file(path, 4, "there may be")
    assert caught.value.size == 5
    with pytest.raises(IsADirectoryError):
        bounded.read_file(tmp_path, 5, "")
    with pytest.raises(FileNotFoundError):
        bounded.read_file(tmp_path / "nothing", 5, "")


@posix
def test_a_pipe_and_a_device_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(bounded.NotRegular):
            bounded.read_file(path, 5, "")


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_packed_is_unpacked_as_far_as_it_may_go(tmp_path, packing):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", packing) as archive:
        archive.writestr("a", bytes(2**21))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert bounded.unpack(archive, "a", 2**21) == bytes(2**21)
        with pytest.raises(InputError, match="'a' in the archive has 2,097,152 bytes, and may have 100"):
            bounded.unpack(archive, "a", 100)


def test_an_archive_of_many_files_is_not_opened(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(bounded._MEMBERS + 1):
            archive.writestr(f"{number}", b"")
    with (
        bounded.opened(tmp_path / "a.zip") as file,
        pytest.raises(InputError, match="more than 10,000 files"),
        bounded.opened_zip(file, 1),
    ):
        pass


def test_a_message_is_cut_in_the_middle():
    assert shortened("as it is") == "as it is"
    long = shortened("begin" + "x" * 10**6 + "end", 100)
    assert (len(long) < 150, long[:5], long[-3:]) == (True, "begin", "end")


# Numbers


@pytest.mark.parametrize("value", [5e-324, 1e-320, 10**400, 0, -1, float("nan"), float("inf"), "1", None])
@pytest.mark.parametrize("name", ["lr", "theta"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_rate_that_cannot_be_computed_with_is_refused(name, value, dtype):
    with pytest.raises(InputError, match=f"{name} must be"):
        require_rates(**{name: value}, dtype=dtype)


def test_a_learning_rate_beyond_float32_is_for_float64_alone(backend):
    """PyTorch's and MXNet's optimizers end in errors of their own there."""
    require_rates(lr=1e300, theta=1e300, dtype="float64")
    settings = Settings(corpus="story", model="rnn", num_hiddens=4, max_tokens=2000, batch_size=4, num_steps=10,
                        epochs=1, lr=1e300, threads=1)  # fmt: skip
    settings.check()
    expected = DivergenceError if backend.name == "numpy" else InputError
    with pytest.raises(expected, match="became|rose to|lr must be at most 3.4e.38, not 1e.300: float32 has no larger"):
        train(backend.name, settings, quiet=True)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(1e-30), np.finfo(np.float32).tiny, np.finfo(np.float32).max])
def test_a_rate_that_float32_holds_is_taken(value):
    require_rates(lr=value, theta=value)


@pytest.mark.parametrize("name", LIMITS)
def test_a_setting_has_a_largest_value(name):
    at = {"model": "rnn", "valid_fraction": 0.1, name: LIMITS[name]}
    Settings(**at).check()
    for value in (LIMITS[name] + 1, 10**400):
        with pytest.raises(InputError, match=f"{name} must be at most") as caught:
            Settings(**{**at, name: value}).check()
        assert len(str(caught.value)) < 300


# Memory


@pytest.mark.parametrize("kind", canonical.KINDS)
@pytest.mark.parametrize(("layers", "both"), [(1, False), (3, False), (1, True), (2, True)])
def test_weights_are_counted_as_they_are(kind, layers, both):
    if kind == "rnn-scratch" and (layers > 1 or both):
        layers, both = 1, False
    expected = sum(int(np.prod(shape)) for shape in canonical.shapes(kind, 7, 5, layers, both).values())
    assert canonical.num_weights(kind, 7, 5, layers, both) == expected
    weights = canonical.num_weights(kind, 7, 5, layers)
    assert canonical.bytes_of_training(kind, 7, 5, layers, itemsize=8) > 3 * 8 * weights


def test_what_does_not_fit_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    Settings(num_hiddens=512).check_memory(28, 4)
    with pytest.raises(NotEnoughMemoryError, match=r"needs at least 1.3 GB of memory, and there are 1.0 GB in all"):
        Settings(num_hiddens=10_000).check_memory(28, 4)
    # Of a training on another device the weights are made here, and no more
    Settings(num_hiddens=10_000).check_memory(28, 4, on_cpu=False)
    with pytest.raises(NotEnoughMemoryError, match=r"minibatches of 100,000 x 35 tokens .* \(batch_size, num_steps\)"):
        Settings(batch_size=100_000).check_memory(28, 4)


def test_where_a_machine_does_not_tell_only_what_is_absurd_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: None)
    Settings(num_hiddens=10**5).check_memory(28, 4)
    with pytest.raises(NotEnoughMemoryError, match="far more than a machine has"):
        Settings(num_hiddens=10**6, num_layers=10, model="rnn").check_memory(28, 4)


def test_this_machine_tells_what_it_has():
    assert memory.available() is None or 2**28 < memory.available() < 2**50


def test_a_container_has_what_its_limit_says(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("1000000000\n")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    assert memory._of_container() in (None, 10**9)  # None where there are no control groups
    if Path("/proc/self/cgroup").exists() and "0::" in Path("/proc/self/cgroup").read_text():
        assert memory._of_container() == 10**9
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_container() is None


@posix
def test_a_shell_may_limit_it():
    words = "import resource as r; r.setrlimit(r.RLIMIT_AS, (2**33, 2**33)); from d2lrnn.system import memory as m; "
    done = subprocess.run(
        [sys.executable, "-c", f"{words} print(m._of_limits() == 2**33)"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"


class ResourceExhaustedError(Exception):
    """As TensorFlow calls it."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("Failed to allocate CPU Memory"),  # MXNet's is such an error
        ValueError("array is too big; `arr.size * arr.dtype.itemsize` is larger than the maximum possible size."),
        ResourceExhaustedError("OOM when allocating tensor"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_framework_says_of_memory_is_said_in_words(error):
    message = "not enough memory.* for 3 units: make the model smaller"
    with pytest.raises(NotEnoughMemoryError, match=message), memory.explained("3 units"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        KeyError("memory"),
        InputError("array is too big"),
        ValueError("cannot read 'out of memory.txt'"),
    ],
)
def test_what_else_goes_wrong_is_left_as_it_is(error):
    with pytest.raises(type(error), match=str(error.args[0])) as caught, memory.explained("3 units"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("size", "words"), [(10, "10 bytes"), (1500, "1.5 kB"), (4e12, "4.0 TB"), (10**40, "more than")]
)
def test_sizes_are_said_as_people_read_them(size, words):
    assert format_bytes(size).startswith(words)


def test_a_text_that_does_not_fit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        file.truncate(2**25)
    monkeypatch.setattr(memory, "available", lambda: 2**28)
    with pytest.raises(NotEnoughMemoryError, match=r"a text of 33,554,432 bytes, needs at least 537 MB"):
        text_files.read_file(path)


# Downloads


@pytest.fixture
def from_proxy(tmp_path, monkeypatch):
    """Return a function that downloads through a server that hurts, within limits, and returns the error's words."""
    monkeypatch.delenv(downloads.DATA_ENV, raising=False)
    monkeypatch.setitem(downloads.DATA_HUB, "time_machine", ("http://nowhere.invalid/timemachine.txt", "0" * 40))

    def get(proxy, most, seconds):
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.address)
        monkeypatch.setattr(downloads, "DOWNLOAD_MOST", (most, seconds))
        with pytest.raises(downloads.DownloadError) as caught:
            downloads.download("time_machine", tmp_path / "cache")
        assert [path.name for path in (tmp_path / "cache").iterdir()] == []
        return str(caught.value)

    return get


def test_a_body_without_an_end_is_given_up_at_its_size(from_proxy):
    with hostile.Proxy(bytes(2**16)) as proxy:
        assert "it has more than 1,000,000 bytes; put timemachine.txt into a folder" in from_proxy(proxy, 10**6, 60)
        assert proxy.sent < 2**27  # what is under way in the buffers of two sockets is as much as there is


def test_a_body_that_drips_is_given_up_after_all_its_time(from_proxy):
    with hostile.Proxy(b"x", pause=0.05) as proxy:
        assert "it takes more than 1 seconds; put" in from_proxy(proxy, 10**6, 1.0)


def test_a_body_that_drips_is_given_up_before_that_for_its_speed(from_proxy, monkeypatch):
    monkeypatch.setattr(downloads, "DOWNLOAD_TIMEOUT", 0.2)
    monkeypatch.setattr(downloads, "_PIECE", 100)
    with hostile.Proxy(b"x", pause=0.05) as proxy:
        assert "it comes with less than 1000 bytes in a second; put" in from_proxy(proxy, 10**6, 60)


def test_a_head_that_drips_is_given_up_after_all_its_time(from_proxy):
    with hostile.Proxy(b"x", pause=0.05, head=False) as proxy:
        assert "it takes more than 1 seconds; put" in from_proxy(proxy, 10**6, 1.0)
