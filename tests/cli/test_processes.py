"""The commands in processes of their own: what they import, what ends them, and what is left of them then."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from command_line import STORY, broken_framework, last_line
from killing import SETTINGS, losses

from d2lrnn.cli import exit
from d2lrnn.cli import main as cli
from d2lrnn.cli.commands import terminated_like_interrupted
from d2lrnn.comparison import process
from d2lrnn.runs import training
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.system import graphics, processes

pytestmark = [
    pytest.mark.usefixtures("no_time_machine"),
    pytest.mark.filterwarnings("ignore:The Time Machine is not here, the bundled story stands in"),
]
posix = pytest.mark.skipif(os.name != "posix", reason="sends signals and closes descriptors as POSIX knows them")
ROOT = Path(__file__).resolve().parents[2]
REPRODUCE = [sys.executable, str(ROOT / "benchmarks" / "reproduce.py")]
REPRODUCE_WORKER = str(ROOT / "benchmarks" / "reproduce_worker.py")
BUSY = "while True: pass"
# What pip writes for the command
SCRIPT = "import sys\nfrom d2lrnn.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
# Who begins with this holds a lock as long as it is there; a process that has ended but was not buried holds none
LOCKED = """
import fcntl, os, sys
if any(word in ({words!r}) for word in sys.orig_argv):
    held = open({lock!r}, "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    held.write(str(os.getpid()))
    held.flush()
"""


@pytest.fixture
def script(tmp_path_factory):
    """Return the words of the command as it is installed: a program in another folder than the one it is run in."""
    path = tmp_path_factory.mktemp("bin") / "d2lrnn"
    path.write_text(SCRIPT)
    return [sys.executable, str(path)]


@pytest.fixture
def environ(tmp_path_factory, monkeypatch):
    """Return a folder that is first on the path of all processes, which import d2lrnn and all else as this one does."""
    folder = tmp_path_factory.mktemp("first")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, sys.path)]))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    return folder


@pytest.fixture
def finished(script, environ, tmp_path):
    """Return a function that runs the command to its end, in an empty folder, and returns how it ended."""

    def finished(*args, program=script, **options):
        words = [*program, *map(str, args)]
        folder = tmp_path / "here"
        folder.mkdir(exist_ok=True)
        result = subprocess.run(words, cwd=folder, text=True, check=False, timeout=300,
                                **({"capture_output": True} | options))  # fmt: skip
        assert "Traceback" not in f"{result.stdout}{result.stderr}"
        assert "Exception ignored" not in f"{result.stdout}{result.stderr}"
        return result

    return finished


def until(condition):
    """Wait for something that comes at once or never."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Worker:
    """The lock that a worker holds as long as it is there."""

    def __init__(self, folder):
        self.path = folder / "lock"
        code = LOCKED.format(words=["d2lrnn.comparison.worker", REPRODUCE_WORKER], lock=str(self.path))
        (folder / "sitecustomize.py").write_text(code)

    @property
    def pid(self):
        return int(self.path.read_text() or 0) if self.path.exists() else 0

    def is_there(self):
        import fcntl

        if not self.pid:
            return False
        with self.path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def end(self):
        if self.is_there():
            os.kill(self.pid, signal.SIGKILL)


# What is imported

# Some of what is asked for on the way to a result, by us, by Python itself, and by what we use
NAMES = ["torch", "mxnet", "tensorflow", "numpy", "random", "json", "runpy", "linecache", "socket", "tempfile", "email",
         "csv", "rich", "pip", "d2lrnn", "sitecustomize", "usercustomize"]  # fmt: skip


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """Return a folder, the current one, with modules of many a name; who imports one of them leaves its name."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in NAMES:
        left = f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r} + ' ')\n"
        (folder / f"{name}.py").write_text(left + "raise SystemExit('this is not the real one')\n")
    monkeypatch.chdir(folder)
    return folder


def what_ran(hostile):
    path = hostile.parent / "ran"
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("args", [["backends", "--json"], ["compare", "--backends", "numpy", *STORY, "--epochs", 1]],
                         ids=["backends", "compare"])  # fmt: skip
def test_nothing_in_the_current_folder_is_imported(finished, hostile, args):
    result = finished(*args)
    assert (what_ran(hostile), result.returncode) == ("", 0)
    assert "this is not the real one" not in result.stdout


def test_a_worker_has_the_package_of_who_asks_wherever_that_lies(hostile, environ, tmp_path, monkeypatch):
    """As where a clone is the current folder and nothing is installed; another package of our name is first."""
    (environ / "d2lrnn.py").write_text("raise SystemExit('not this one')")
    assert process.ask({"task": "devices", "backend": "numpy"}) == {"event": "result", "devices": ["cpu"]}
    assert what_ran(hostile) == ""


def test_the_commands_of_a_clone_import_nothing_from_the_current_folder(hostile, environ):
    code = (
        "import runpy, subprocess, types; import installer; installer.settings_for_uv(); "
        "made = types.SimpleNamespace(environ={}, _path=str); "
        "subprocess.run(installer.Installer.tox(made, '--version')[0], capture_output=True); "
        f"start = runpy.run_path({str(ROOT / 'start' / '__main__.py')!r}, run_name='start'); "
        "print(start['ask']([sys.executable]))"
    )
    words = ["-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'start')!r}); {code}"]
    said = subprocess.run([sys.executable, *words], cwd=hostile, capture_output=True, text=True, check=False)
    assert what_ran(hostile) == "", said
    assert str(list(sys.version_info[:3])) in said.stdout, said


def test_the_benchmark_asks_the_books_python_without_the_current_folder(hostile, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import bench_book

    assert "does not have" in bench_book.problem(sys.executable)
    assert what_ran(hostile) == ""


@pytest.mark.parametrize("version", [(3, 10), sys.version_info[:2]], ids=["3.10", "this"])
def test_each_python_has_a_way_to_leave_the_current_folder_out(hostile, environ, monkeypatch, version):
    """The way of 3.10 works on any; from 3.13 on Python itself would import linecache before it."""
    monkeypatch.setattr(processes.sys, "version_info", version)
    if version == (3, 10):
        (hostile / "linecache.py").unlink()
    (environ / "told.py").write_text("import sys, json, random; print(sys.argv[1:], '' in sys.path, __name__)")
    words = processes.python("told", "a", "b c")
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr) == ("['a', 'b c'] False __main__\n", "")
    worker, job = processes.python("d2lrnn.comparison.worker"), '{"task": "devices", "backend": "numpy"}\n'
    answer = subprocess.run(worker, input=job, capture_output=True, text=True, check=False)
    assert what_ran(hostile) == "", answer


def test_every_python_process_is_started_by_the_same_words():
    """But for the cell of a notebook, which runs before d2lrnn is there, and for pytest in its own clone."""
    allowed = {"d2lrnn/system/processes.py", "notebooks/generator/lesson_notebook.py", "start/commands.py"}
    starts = re.compile(r"(?:executable|python\"?), \"-[mcI]\"")
    folders = ("d2lrnn", "benchmarks", "start", "notebooks/generator")
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if starts.search(path.read_text(encoding="utf-8"))
    }
    assert found <= allowed
    assert "start/commands.py" in found


def test_on_windows_no_program_of_the_current_folder_is_asked_for_the_card(tmp_path, monkeypatch):
    """Its own search begins there."""
    (tmp_path / "nvidia-smi.exe").write_text("")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(graphics, "sys", types.SimpleNamespace(platform="win32"))
    monkeypatch.setattr(graphics.shutil, "which", lambda name: str(tmp_path / f"{name}.exe"))
    monkeypatch.setenv("PATH", os.pathsep.join(["", str(tmp_path / "there")]))
    assert graphics._nvidia_smi() is None
    (tmp_path / "there" / "nvidia-smi.exe").write_text("")
    assert graphics._nvidia_smi() == str(tmp_path / "there" / "nvidia-smi.exe")


# What ends them


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGKILL", "SIGINT"])
@pytest.mark.parametrize("program", ["compare", "reproduce"])
def test_who_is_ended_leaves_no_worker(script, environ, tmp_path, program, name):
    """The worker is busy with a framework that goes on for ever, and never gives up Python's lock by itself."""
    broken_framework(environ, "torch", f"open({str(tmp_path / 'busy')!r}, 'w')\n{BUSY}")
    worker = Worker(environ)
    words = {"compare": [*script, "compare", *STORY], "reproduce": [*REPRODUCE, "--quick"]}[program]
    words += ["--backends", "torch"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until((tmp_path / "busy").exists)
        assert worker.is_there()
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=60)
        until(lambda: not worker.is_there())
    finally:
        process.kill()
        process.communicate()
        worker.end()
    if name in ("SIGQUIT", "SIGKILL"):
        assert process.returncode == -getattr(signal, name)
    else:
        assert process.returncode == 130
        assert last_line(err).startswith("d2lrnn: interrupted")
        assert "Traceback" not in err


@posix
def test_a_worker_that_trains_ends_with_who_asked_it(backend, environ, tmp_path):
    """In each framework, whose compiled code may be at work."""
    worker = Worker(environ)
    settings = {"corpus": "story", "epochs": 1000000, "num_hiddens": 64, "max_tokens": 2000, "seed": 0}
    job = {"task": "train", "backend": backend.name, "settings": settings, "step_losses": 1}
    code = (
        f"from d2lrnn.comparison import compare\ncompare.ask({job!r}, lambda event: print(event['event'], flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "epoch\n"]
        assert worker.is_there()
        process.kill()
        process.communicate()
        until(lambda: not worker.is_there())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        worker.end()


@posix
def test_whoever_is_to_outlive_the_terminal_does(script, environ, tmp_path):
    """As nohup starts it: deaf to the signal."""
    words = [*script, "train", "--backend", "numpy", *SETTINGS, "--epochs", "30", "--out", "run"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # fmt: skip
    until((tmp_path / "run" / "history.csv").exists)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert RunFolder.open(tmp_path / "run").status == "complete"


@posix
def test_a_terminal_that_closes_ends_a_training_that_is_saved(script, environ, tmp_path):
    """Its signal comes from the system, and what is said then can be written nowhere."""
    import fcntl
    import pty
    import termios

    try:
        controller, terminal = pty.openpty()
    except OSError as error:  # a container without /dev/pts
        pytest.skip(f"this machine gives no pseudo-terminal: {error}")
    words = [*script, "train", "--backend", "numpy", *SETTINGS, "--epochs", "100000", "--checkpoint-every", "10",
             "--out", "run"]  # fmt: skip
    process = subprocess.Popen(words, cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal,
                               start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))  # fmt: skip
    os.close(terminal)
    try:
        shown = b""
        while not (tmp_path / "run" / "history.csv").exists():
            shown += os.read(controller, 4096)
        os.close(controller)
        assert process.wait(120) == 130, shown
    finally:
        process.kill()
        process.wait()
    folder = RunFolder.open(tmp_path / "run")
    assert folder.status == "interrupted"
    assert folder.epoch == len(losses(tmp_path / "run"))
    assert training.resume(tmp_path / "run", 1, quiet=True)["status"] == "complete"


@posix
def test_a_second_word_that_it_should_end_does_not_end_the_saving():
    before, saved = signal.getsignal(signal.SIGHUP), []

    def training():
        with terminated_like_interrupted():
            # Or it would be these tests that end
            assert signal.SIG_DFL not in (signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM))
            try:
                os.kill(os.getpid(), signal.SIGHUP)
                time.sleep(60)
            finally:
                os.kill(os.getpid(), signal.SIGHUP)
                os.kill(os.getpid(), signal.SIGTERM)
                saved.append(True)

    with pytest.raises(KeyboardInterrupt):
        training()
    assert saved == [True]
    assert signal.getsignal(signal.SIGHUP) is before


@posix
@pytest.mark.parametrize("then", ["", "except BaseException: raise ImportError('it was interrupted') from None"],
                         ids=["falls through", "is taken for a failing import"])  # fmt: skip
def test_ctrl_c_in_the_first_imports_is_one_line(script, environ, tmp_path, then):
    code = f"import time, pathlib\ntry:\n pathlib.Path({str(tmp_path / 'busy')!r}).touch()\n time.sleep(60)\n"
    (environ / "rich.py").write_text(code + (then or "finally: pass"))
    process = subprocess.Popen([*script, "backends"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until((tmp_path / "busy").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "d2lrnn: interrupted\n")


@posix
def test_ctrl_c_before_any_other_module_of_ours_is_one_line_too(environ, tmp_path):
    code = (
        "import sys, time, pathlib\n"
        "class Slow:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.startswith('d2lrnn.') and name != 'd2lrnn.__main__':\n"
        "            pathlib.Path(sys.argv[1]).touch(); time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "import d2lrnn.__main__"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "busy")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until((tmp_path / "busy").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "d2lrnn: interrupted\n")


@posix
def test_matplotlib_heeds_no_file_of_the_current_folder(finished, trained, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    for make in (lambda path: path.write_bytes(b"\xff\xfe\xff"), os.mkfifo):
        make(here / "matplotlibrc")
        result = finished("show", str(trained), "--png", "a.png")
        assert (result.returncode, result.stderr) == (0, "")
        result = finished("train", "--backend", "numpy", *STORY, "--epochs", "1", "--out", "new")
        assert (result.returncode, "warning" in result.stderr) == (0, False)
        assert (here / "new" / "curve.png").is_file()
        shutil.rmtree(here / "new")
        (here / "matplotlibrc").unlink()


# Where their words go

TRAIN = ["train", "--backend", "numpy", *STORY, "--epochs", 2, "--out"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a run, for others to copy."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert cli.main([*map(str, TRAIN), str(folder), "--json"]) == 0
    return folder


@pytest.fixture
def commands(environ, finished, trained, tmp_path):
    """Return all commands, ready to be run, by name. Of PyTorch there is a stand-in that cannot be imported."""
    broken_framework(environ, "torch", "raise ImportError('libnothing.so')")
    shutil.copytree(trained, tmp_path / "here" / "run")
    return {
        "backends": ["backends"],
        "train": [*TRAIN, "new"],
        "resume": ["resume", "run", "--epochs", 1],
        "predict": ["predict", "run"],
        "convert": ["convert", "run", "--out", "run.npz"],
        "show": ["show", "run"],
        "compare": ["compare", "--backends", "numpy", *STORY, "--epochs", 1],
    }


NAMES_OF_COMMANDS = ["backends", "train", "resume", "predict", "convert", "show", "compare"]
# Each has its output closed; what is asked of the other two streams is asked of some
CLOSED = [
    *((name, (1,)) for name in NAMES_OF_COMMANDS),
    *((name, (2,)) for name in ("train", "show")),
    *((name, (0, 1, 2)) for name in ("backends", "train", "compare")),
]


@posix
@pytest.mark.parametrize(("name", "closed"), CLOSED, ids=[f"{name}-{'-'.join(map(str, of))}" for name, of in CLOSED])
def test_closed_streams_are_as_good_as_any(finished, commands, tmp_path, name, closed):
    result = finished(*commands[name], preexec_fn=lambda: [os.close(number) for number in closed])
    assert result.returncode == 0, result.stderr
    if name == "train":
        assert json.loads(finished("show", "new", "--json").stdout)["runs"][0]["status"] == "complete"


@posix
def test_no_file_gets_the_number_of_a_stream_that_was_closed(script, environ, tmp_path):
    """What compiled code has to say would be written into it."""
    (environ / "rich.py").write_text(f"open({str(tmp_path / 'weights')!r}, 'w').fileno(); import os\n"
                                     f"held = open({str(tmp_path / 'weights')!r}, 'w')\n"
                                     "os.write(2, b'noise'); os.write(1, b'noise')\nraise SystemExit(7)\n")  # fmt: skip
    command = [*script, "backends"]
    closed = subprocess.run(command, preexec_fn=lambda: [os.close(number) for number in (0, 1, 2)], check=False)
    assert (closed.returncode, (tmp_path / "weights").read_text()) == (7, "")


@posix
@pytest.mark.parametrize("name", [*NAMES_OF_COMMANDS, "--help", "--version"])
def test_a_reader_that_has_gone_ends_a_command_quietly(finished, commands, tmp_path, name):
    """What it had to do is done all the same."""
    reading, writing = os.pipe()
    os.close(reading)
    result = finished(*commands.get(name, [name]), stdout=writing, stderr=subprocess.PIPE, capture_output=False)
    os.close(writing)
    assert result.returncode == 141
    told = [line for line in result.stderr.splitlines() if name != "convert"]
    assert told == []
    if name == "train":
        assert json.loads(finished("show", "new", "--json").stdout)["runs"][0]["status"] == "complete"
    for file in {"compare": ("compare.png", "report.html"), "show": ("runs.png",)}.get(name, ()):
        assert (tmp_path / "here" / file).is_file()


@posix
def test_nobody_who_reads_the_errors_changes_no_exit_code(finished):
    reading, writing = os.pipe()
    os.close(reading)
    result = finished("predict", "nowhere", stderr=writing, stdout=subprocess.PIPE, capture_output=False)
    os.close(writing)
    assert (result.returncode, result.stdout) == (2, "")


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("args", [["--help"], ["show", "run"]], ids=["help", "show"])
def test_an_output_that_is_full_is_said_once(finished, commands, args):
    with Path("/dev/full").open("w") as full:
        result = finished(*args, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "No space left on device" in result.stderr


def test_a_clock_that_is_set_back_changes_no_duration(finished, environ):
    """The worker's clock is an hour behind that of who started it."""
    (environ / "sitecustomize.py").write_text(
        "import sys, time\nif 'd2lrnn.comparison.worker' in sys.orig_argv:\n before = time.time\n"
        " time.time = lambda: before() - 3600\n"
    )
    (row,) = json.loads(finished("compare", "--backends", "numpy", *STORY, "--epochs", 1, "--json").stdout)["backends"]
    assert 0 < row["startup_seconds"] < 1800


# The program that reproduces the book's figures, which is no command of the package


@pytest.fixture
def reproduced(environ, finished):
    """Return a function that runs it, where PyTorch cannot be imported and nothing else is asked for."""
    broken_framework(environ, "torch", "raise ImportError('libnothing.so')")
    return lambda **options: finished("--quick", "--backends", "torch", program=REPRODUCE, **options)


def test_reproducing_nothing_is_a_failure(reproduced):
    result = reproduced()
    assert result.returncode == 2
    assert "cannot be imported (libnothing.so)" in result.stdout
    assert last_line(result.stderr) == "d2lrnn: error: nothing could be trained; see the reasons above"


@posix
def test_reproducing_needs_no_output(reproduced):
    assert reproduced(preexec_fn=lambda: os.close(1)).returncode == 2


@posix
def test_a_reader_that_has_gone_ends_reproducing(reproduced):
    reading, writing = os.pipe()
    os.close(reading)
    assert reproduced(stdout=writing, stderr=subprocess.PIPE, capture_output=False).returncode == 141
    os.close(writing)


# The last door


def nested(depth=0):
    return nested(depth + 1)


def fail(error):
    raise error


UNFORESEEN = {
    "bug": (lambda paths: {}["no such\x1b]0;key\u202e"], r"KeyError: 'no such\\x1b]0;key\\u202e'"),
    "lines": (
        lambda paths: fail(ValueError("two\nlines " + "x" * 1000)),
        r"ValueError: two lines x+ \[... 710 characters more ...\] x+",
    ),
    "control": (lambda paths: fail(ValueError("\x9b31m\u202e")), r"ValueError: \\x9b31m\\u202e"),
    "silent": (lambda paths: fail(AssertionError), "AssertionError"),
    "depth": (lambda paths: nested(), "something is nested too deeply .*"),
}


@pytest.mark.parametrize(("show", "said"), UNFORESEEN.values(), ids=list(UNFORESEEN))
def test_what_nobody_foresaw_is_one_line_and_a_file(capfd, monkeypatch, tmp_path, show, said):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("d2lrnn.runs.show.show", show)
    assert cli.main(["show", "run"]) == exit.UNEXPECTED == 70
    out, err = capfd.readouterr()
    found = re.fullmatch(rf"d2lrnn: error: unexpected: {said}; its traceback is in '(.+)', for a report .*\n", err)
    assert (out, found is not None) == ("", True), err
    kept = Path(found[1])
    assert kept.parent == tmp_path
    text = kept.read_text(encoding="utf-8")
    assert text.startswith("d2lrnn ")
    assert "Traceback (most recent call last)" in text
    assert Path(__file__).name in text


def test_a_traceback_that_cannot_be_kept_is_not_shown_either(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr("d2lrnn.runs.show.show", lambda paths: 1 / 0)
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
        assert cli.main(["show", "run"]) == 70
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("d2lrnn: error: unexpected: ZeroDivisionError: division by zero; its traceback could not be")


def test_who_develops_sees_the_traceback(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("D2LRNN_TRACEBACK", "1")
    monkeypatch.setattr("d2lrnn.runs.show.show", lambda paths: 1 / 0)
    assert cli.main(["show", "run"]) == 70
    assert capfd.readouterr().err.endswith("ZeroDivisionError: division by zero\n")
    assert not list(tmp_path.glob("d2lrnn-error-*"))


def test_a_package_that_is_broken_is_one_line_too(script, environ, tmp_path):
    """Before the command itself is there."""
    (environ / "rich.py").write_text("raise RuntimeError('half an installation')")
    result = subprocess.run([*script, "backends"], capture_output=True, text=True, check=False,
                            env={**os.environ, "TMPDIR": str(tmp_path), "TEMP": str(tmp_path)})  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (70, "", 1)
    assert result.stderr.startswith("d2lrnn: error: unexpected: RuntimeError: half an installation; its traceback is")
    (kept,) = tmp_path.glob("d2lrnn-error-*.txt")
    assert str(kept) in result.stderr
