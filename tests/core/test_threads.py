"""The number of threads: what decides it, who is told, and that a run keeps it."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from d2lrnn.cli import main as cli
from d2lrnn.comparison import compare
from d2lrnn.core import backends, threads
from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.runs import training
from d2lrnn.runs.conversion import convert
from d2lrnn.runs.environment import describe_here
from d2lrnn.runs.run_folder import CONFIG, RunFolder
from d2lrnn.runs.settings import Settings

TINY = {"corpus": "story", "max_tokens": 2000, "num_hiddens": 12, "batch_size": 8, "num_steps": 20, "seed": 3}


@pytest.fixture
def plain(monkeypatch):
    """An environment that says nothing about threads."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def measured(plain):
    """Return the list of what has been measured, where there are four processors and three threads are fastest."""
    calls = []
    plain.setattr("platform.system", lambda: "Linux")
    plain.setattr(threads, "usable_cpus", lambda: 4)
    plain.setattr(threads, "measure", lambda *sizes: calls.append(sizes) or 3)
    return calls


# What decides


@pytest.mark.parametrize(("said", "number"), [("2", 2), (" 7 ", 7), ("4,2", 4)])
def test_what_the_environment_says_is_taken(measured, monkeypatch, said, number):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    names = list(backends.BACKENDS)
    assert threads.choose(names, 32, 512) == dict.fromkeys(names, number)
    assert measured == []


@pytest.mark.parametrize("said", ["", "0", "-1", "two", "1.5", "99999999"])
def test_an_environment_that_says_no_number_says_nothing(measured, monkeypatch, said):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    warned = f"OMP_NUM_THREADS is '{said}', and no number of threads from 1 to 1024, so it is not heeded"
    with pytest.warns(D2LRNNWarning, match=warned) if said else contextlib.nullcontext():
        assert threads.choose(["torch"], 32, 512) == {"torch": 3}


def test_tensorflows_own_word_for_choosing_is_heeded(measured, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "0")
    assert threads.choose(["tensorflow"], 32, 512) == {"tensorflow": 3}


def test_tensorflows_own_variable_is_named_where_it_says_no_number(measured, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "all")
    with pytest.warns(D2LRNNWarning, match="TF_NUM_INTRAOP_THREADS is 'all'"):
        assert threads.choose(["tensorflow"], 32, 512) == {"tensorflow": 3}


def test_tensorflows_own_variable_comes_first(measured, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "4")
    assert threads.choose(["torch", "tensorflow"], 32, 512) == {"torch": 2, "tensorflow": 4}


def test_one_measurement_is_for_all(measured):
    assert threads.choose(["torch", "mxnet", "tensorflow"], 32, 512) == {"torch": 3, "mxnet": 1, "tensorflow": 3}
    assert measured == [(32, 512)]


def test_mxnet_has_one_thread_unless_the_model_is_very_large(measured, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert threads.choose(["mxnet"], 32, 1024) == {"mxnet": 1}
    assert measured == []
    assert threads.choose(["mxnet"], 32, 1025) == {"mxnet": 2}  # what it takes by itself, and no more


def test_one_processor_has_one_thread(measured, monkeypatch):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 1)
    assert threads.choose(["torch", "mxnet"], 32, 2048) == {"torch": 1, "mxnet": 1}
    assert measured == []


def test_mxnet_has_one_thread_on_a_mac(measured, monkeypatch):
    """Its build there has no OpenMP."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads.choose(["torch", "mxnet"], 32, 2048) == {"torch": 2, "mxnet": 1}


def test_where_numpy_cannot_be_told_the_framework_decides(measured, monkeypatch):
    monkeypatch.setattr(threads, "measure", lambda *sizes: None)
    assert threads.choose(["torch", "tensorflow"], 32, 512) == {"torch": 4, "tensorflow": 4}


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ([[4, 2, 1], [4, 2, 1]], 4),
        ([[4, 3.9, 3.8], [4, 3.9, 3.8]], 1),
        ([[4, 2, 1.9], [4, 2, 1.9]], 2),  # four are not clearly faster than two
        ([[4, 3.9, 2], [4, 3.9, 2]], 4),
        ([[4, 2, 8], [4, 8, 8]], 1),  # a processor that was free for a moment only
        ([[4, 8, 8], [4, 2, 8]], 1),
        ([[1, 20, 40], [1, 20, 40]], 1),
    ],
)
def test_more_threads_must_be_clearly_faster_in_both_halves(seconds, best):
    assert threads._fastest([1, 2, 4], np.array(seconds)) == best


class Machine:
    """A clock, and a library for products whose every step takes as long as is said for its number of threads."""

    def __init__(self, monkeypatch, cpus, seconds):
        self.now, self.number, self.seconds = 0.0, 1, seconds
        monkeypatch.setattr("threadpoolctl.ThreadpoolController", lambda: self)
        monkeypatch.setattr(threads, "usable_cpus", lambda: cpus)
        monkeypatch.setattr("time.perf_counter", lambda: self.now)
        monkeypatch.setattr(np, "tanh", self.step)

    def select(self, user_api):
        return self

    def __len__(self):
        return 1

    @contextlib.contextmanager
    def limit(self, limits):
        self.number = limits
        yield

    def step(self, H):
        self.now += self.seconds(self.number)
        return H


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        (lambda n: 1e-4 / n, 64),
        (lambda n: 2e-2 / n, 64),  # the largest product that is measured
        (lambda n: 1e-4 / min(n, 4), 4),
        (lambda n: 1e-4 * (1 if n == 1 else 10 * n), 1),  # a busy machine
        (lambda n: 2e-2 * (1 if n == 1 else n), 1),
    ],
)
def test_a_measurement_takes_half_a_second_at_most(monkeypatch, seconds, best):
    machine = Machine(monkeypatch, 64, seconds)
    assert threads.measure(32, 64) == best
    assert machine.now <= 0.5


def test_a_number_that_gets_slow_later_costs_no_more(monkeypatch):
    machine = Machine(monkeypatch, 64, lambda n: 1e-4 / n if machine.now < 0.01 else 1e-4 * n**2)
    assert threads.measure(32, 64) == 1
    assert machine.now <= 0.5


@pytest.mark.parametrize(("cpus", "numbers"), [(2, {1, 2}), (3, {1, 2, 3}), (1, {1})])
@pytest.mark.parametrize(("batch_size", "num_hiddens"), [(1, 1), (32, 300), (5000, 100000)])
def test_a_measurement_leaves_numpy_as_it_was(monkeypatch, cpus, numbers, batch_size, num_hiddens):
    from threadpoolctl import threadpool_info

    before = threadpool_info()
    monkeypatch.setattr(threads, "usable_cpus", lambda: cpus)
    monkeypatch.setattr(threads, "SECONDS", 0)
    assert threads.measure(batch_size, num_hiddens) in numbers
    assert threadpool_info() == before


@pytest.mark.parametrize(
    ("name", "machine", "number"),
    [
        ("torch", {"cpus": 8, "OMP_NUM_THREADS": None}, 8),
        ("torch", {"cpus": 8, "OMP_NUM_THREADS": "2"}, 2),
        ("tensorflow", {"cpus": 8, "OMP_NUM_THREADS": "2"}, 8),
        ("mxnet", {"cpus": 8, "processor": "x86_64", "OMP_NUM_THREADS": None}, 4),
        ("mxnet", {"cpus": 1, "processor": "x86_64", "OMP_NUM_THREADS": None}, 1),
        ("mxnet", {"cpus": 8, "processor": "aarch64", "OMP_NUM_THREADS": None}, 8),
        ("mxnet", {"cpus": 8, "processor": "x86_64", "OMP_NUM_THREADS": "3"}, 3),
        ("mxnet", {"cpus": 8, "processor": "x86_64", "system": "Darwin", "OMP_NUM_THREADS": "3"}, 1),
        ("torch", {}, 1),
        ("torch", {"cpus": "many", "OMP_NUM_THREADS": "x"}, 1),
    ],
)
def test_what_a_framework_takes_by_itself(name, machine, number):
    assert threads.by_itself(name, machine) == number


# Who is told


@pytest.mark.parametrize("number", [0, -1, 1025, True, 1.0, "2"])
def test_what_is_no_number_of_threads(number):
    with pytest.raises(InputError, match="threads must be a whole number from 1 to 1024, not"):
        Settings(threads=number).check()


def test_settings_from_before_there_were_threads():
    assert Settings.from_dict({"model": "gru"}).threads is None
    assert Settings.from_dict(Settings(threads=2).to_dict()).threads == 2


def test_numbers_in_words():
    assert threads.say({"torch": 2, "mxnet": 2}) == "2"
    assert threads.say({"torch": 2, "mxnet": 1}) == "torch 2, mxnet 1"


@pytest.mark.parametrize("command", [["train", "--backend", "torch"], ["compare"]])
def test_the_option_wants_a_whole_number(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--threads", "0"])
    assert stop.value.code == 2
    assert "--threads: expected a whole number of at least 1, got '0'" in capsys.readouterr().err


@pytest.mark.parametrize(("asked", "given"), [(None, {"torch": 3, "mxnet": 1}), (2, {"torch": 2, "mxnet": 2})])
def test_a_comparison_measures_once_and_tells_each_process(measured, monkeypatch, asked, given):
    jobs = {}

    def ask(job, on_event):
        jobs[job["backend"]] = job["settings"]["threads"]
        return {"event": "error", "message": "not today"}

    monkeypatch.setattr(compare, "ask", ask)
    monkeypatch.setattr(backends, "problem", lambda name: None)
    document = compare.compare(["torch", "mxnet"], Settings(**TINY, epochs=1, threads=asked))
    assert jobs == given
    assert document["settings"]["threads"] == asked
    assert len(measured) == (asked is None)


# With the frameworks

TRAIN = """
import os, sys
from d2lrnn import runs
from d2lrnn.core import backends
from d2lrnn.runs.settings import Settings
name, threads, epochs, out = sys.argv[1], int(sys.argv[2]) or None, int(sys.argv[3]), sys.argv[4]
small = dict(max_tokens=200, num_hiddens=24, batch_size=4, num_steps=10, prefixes=("t",))
seen = []
follow = lambda *epoch: seen.append(backends.load(name).num_threads())
if threads == -1:
    result = runs.resume(out, epochs, quiet=True, callback=follow)
else:
    settings = Settings(corpus="story", seed=3, epochs=epochs, threads=threads, **small)
    result = runs.train(name, settings, out=out, quiet=True, callback=follow)
print(result["settings"]["threads"], *seen, os.environ["OMP_NUM_THREADS"])
"""


def without_variables():
    """Return the environment without the variables that say a number."""
    return {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")}


def in_a_process(backend, number, epochs, out, *, environment="1"):
    """Train, or with -1 resume, in a process of its own; return what it prints: the number recorded, those in use."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, backend.name, str(number), str(epochs), str(out)],
        capture_output=True, text=True, check=True, env={**without_variables(), "OMP_NUM_THREADS": environment},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_the_number_is_used_recorded_and_kept_by_resume(backend, tmp_path):
    # What the environment says, which is the last that is printed, does not matter
    assert in_a_process(backend, 1, 1, tmp_path / "one", environment="2") == ["1", "1", "2"]
    assert in_a_process(backend, 2, 2, tmp_path / "whole") == ["2", "2", "2", "1"]
    assert in_a_process(backend, 2, 1, tmp_path / "cut") == ["2", "2", "1"]
    assert json.loads((tmp_path / "cut" / CONFIG).read_text())["settings"]["threads"] == 2
    assert in_a_process(backend, -1, 1, tmp_path / "cut") == ["2", "2", "1"]
    for name in ("weights.safetensors", "state.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_the_environments_number_is_used_and_recorded(backend, tmp_path):
    assert in_a_process(backend, 0, 1, tmp_path / "run", environment="2") == ["2", "2", "2"]


SETTLE = """
import importlib, sys
from d2lrnn.core import threads
name, code = sys.argv[1:]
importlib.import_module(name)
d2l = importlib.import_module("d2lrnn." + name)
real = d2l.num_threads()
if name == "torch":  # as with two threads in each of the processor's cores, and PyTorch takes one for each core
    threads.usable_cpus = lambda: 2 * real
    other = 2 * real
else:
    other = real + 1
threads.choose = lambda names, *sizes: dict.fromkeys(names, other)
exec(code)
print(threads.settle(name, None, 32, 512), other, real)
"""


def settle(backend, code="", **environment):
    """Settle the number in a process of its own, where other than its own is fastest; return it, the other, its own."""
    done = subprocess.run(
        [sys.executable, "-c", SETTLE, backend.name, code],
        capture_output=True, text=True, env={**without_variables(), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


SETTLING_CHANGES_NOTHING = """
from tensorflow.config import threading as t
for number in (None, other):
    assert threads.settle(name, number, 32, 512) == other
    assert (t.get_intra_op_parallelism_threads(), t.get_inter_op_parallelism_threads()) == (0, 0)
"""


@pytest.mark.only("torch", "tensorflow")
def test_a_number_that_nobody_set_is_chosen(backend):
    settled, other, _ = settle(backend, SETTLING_CHANGES_NOTHING if backend.name == "tensorflow" else "")
    assert settled == other


@pytest.mark.only("torch", "tensorflow")
def test_it_is_chosen_again_after_a_training(backend):
    settled, other, _ = settle(backend, "with threads.computing_with(name, other):\n    pass")
    assert settled == other


def test_a_number_that_was_set_to_what_it_was_stays(backend):
    settled, _, real = settle(backend, "d2l.set_num_threads(real)")
    assert settled == real


def test_a_number_that_was_set_in_the_framework_stays(backend):
    code = {
        "torch": "import torch; torch.set_num_threads(real + 2)",
        "mxnet": "",
        "tensorflow": "import tensorflow as tf; tf.config.threading.set_intra_op_parallelism_threads(real + 2)",
        "numpy": "from threadpoolctl import threadpool_limits; threadpool_limits(real + 1)",
    }[backend.name]
    settled, _, real = settle(backend, code)
    assert settled == real + {"torch": 2, "mxnet": 0, "tensorflow": 2, "numpy": 1}[backend.name]


@pytest.mark.only("mxnet")
def test_what_mxnet_really_takes_by_itself(backend):
    here = describe_here("mxnet")["machine"]
    assert settle(backend)[2] == threads.by_itself("mxnet", {**here, "OMP_NUM_THREADS": None})
    assert settle(backend, OMP_NUM_THREADS="3")[2] == threads.by_itself("mxnet", {**here, "OMP_NUM_THREADS": "3"})


@pytest.mark.only("mxnet")
def test_mxnet_without_openmp(backend, monkeypatch):
    monkeypatch.setattr("d2lrnn.mxnet.threads._LIB", object())
    assert backend.d2l.num_threads() == 1
    backend.d2l.set_num_threads(1)
    with pytest.raises(InputError, match="this MXNet was built without OpenMP and computes with one thread, not 2"):
        backend.d2l.set_num_threads(2)
    assert train(backend)["settings"]["threads"] == 1


@pytest.mark.only("mxnet")
def test_a_run_goes_on_without_openmp(backend, tmp_path, monkeypatch):
    train(backend, tmp_path / "run")
    rewrite(tmp_path / "run", 2, system="Darwin")
    monkeypatch.setattr("d2lrnn.mxnet.threads._LIB", object())
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.delitem(sys.modules, "mxnet")  # as in a new process, where only the system's name is known
    with pytest.warns(UserWarning, match="with 2 threads so far and goes on with 1, so its rounding"):
        training.resume(tmp_path / "run", 1, quiet=True)


def rewrite(out, number, **machine):
    """Give a run folder another number of threads, or with None make it one from before the number was recorded."""
    with RunFolder.reopen(out) as folder:
        folder.settings = replace(folder.settings, threads=number)
        folder.config = {**folder.config, "machine": {**folder.config["machine"], **machine}}
        folder.save(folder.state, folder.status)


def test_a_run_from_before_goes_on_as_its_machine_computed(backend, tmp_path):
    in_a_process(backend, 1, 1, tmp_path / "run")
    rewrite(tmp_path / "run", None, cpus=2, OMP_NUM_THREADS="2")
    assert in_a_process(backend, -1, 1, tmp_path / "run") == ["2", "2", "1"]


@pytest.mark.only("torch")
def test_a_guess_of_what_a_run_computed_with_is_said_to_be_one(backend, tmp_path):
    train(backend, tmp_path / "run")
    rewrite(tmp_path / "run", None, cpus=2, OMP_NUM_THREADS=None)
    with pytest.warns(UserWarning, match="not recorded with how many threads the run computed: 2 is a guess"):
        training.resume(tmp_path / "run", 1, quiet=True)


def test_a_number_can_be_set_while_it_can_be_changed(backend):
    before = backend.d2l.num_threads()
    assert backend.interface.num_threads() == before >= 1
    backend.tensor(np.ones(3, "float32"))  # TensorFlow has begun
    backend.d2l.set_num_threads(before)
    with pytest.raises(InputError, match="threads must be a whole number from 1 to 1024, not 0"):
        backend.d2l.set_num_threads(0)
    if backend.name in ("torch", "numpy"):
        backend.d2l.set_num_threads(before + 1)
        assert backend.d2l.num_threads() == before + 1
        assert backend.name == "numpy" or backend.framework.get_num_threads() == before + 1
        backend.d2l.set_num_threads(before)
    else:
        with pytest.raises(InputError, match=f"threads is {before} in this process and cannot become {before + 1} any "
                           "more: begin a new one"):  # fmt: skip
            backend.d2l.set_num_threads(before + 1)
    assert backend.d2l.num_threads() == before


def train(backend, out=None, **changes):
    return training.train(backend.name, Settings(**{**TINY, "epochs": 1, **changes}), out=out, quiet=True)


def test_where_the_framework_has_begun(backend, tmp_path):
    """As in a notebook: the number in use is recorded, and another one is told from it."""
    backend.tensor(np.ones(3, "float32"))
    before = backend.d2l.num_threads()
    if backend.name in ("torch", "numpy"):  # they can always change, and have their own number again afterwards
        assert train(backend, tmp_path / "run", threads=before + 1)["settings"]["threads"] == before + 1
    else:
        assert train(backend)["settings"]["threads"] == before
        with pytest.raises(InputError, match=f"cannot become {before + 1} any more"):
            train(backend, tmp_path / "run", threads=before + 1)
        assert not (tmp_path / "run").exists()
    assert backend.d2l.num_threads() == before


@pytest.mark.only("torch")
def test_a_number_that_the_reader_set_is_left(backend, plain):
    plain.setattr(threads, "measure", lambda *sizes: 1)
    before = backend.d2l.num_threads()
    backend.d2l.set_num_threads(threads.usable_cpus() + 1)
    try:
        assert train(backend)["settings"]["threads"] == threads.usable_cpus() + 1
    finally:
        backend.d2l.set_num_threads(before)


@pytest.mark.only("mxnet", "tensorflow")
def test_a_run_whose_number_cannot_be_had_goes_on_with_a_word(backend, tmp_path):
    train(backend, tmp_path / "run")
    before = backend.d2l.num_threads()
    rewrite(tmp_path / "run", before + 1)
    with pytest.warns(
        UserWarning, match=rf"with {before + 1} threads so far and goes on with {before}, so its rounding"
    ):
        training.resume(tmp_path / "run", 1, quiet=True)
    assert RunFolder.open(tmp_path / "run").settings.threads == before


@pytest.mark.only("torch")
def test_a_converted_run_settles_its_own_number(backend, tmp_path):
    train(backend, tmp_path / "run", threads=2)
    convert(tmp_path / "run", tmp_path / "there", backend="mxnet")
    assert RunFolder.open(tmp_path / "there").settings.threads is None


def test_the_command_says_the_number(backend, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    number = backend.d2l.num_threads()
    options = ["--corpus", "story", "--max-tokens", "2000", "--num-hiddens", "12", "--epochs", "1"]
    code = cli.main(["train", "--backend", backend.name, *options, "--threads", str(number), "--out", "run"])
    assert code == 0
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith(f" characters, threads: {number}, rnn-scratch ran rnn_fast; kept in run")
    )
