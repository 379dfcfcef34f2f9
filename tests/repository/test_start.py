"""The commands of a clone, ``python3 start ...``, with a uv, a tox and a pip that only say what they were asked."""

import ast
import configparser
import errno
import http.server
import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import commands
import installer
import machine
import pytest

ROOT = Path(installer.__file__).resolve().parents[1]
START = ROOT / "start"


@pytest.fixture
def front():
    """Return start/__main__.py as a module."""
    spec = importlib.util.spec_from_file_location("front_of_start", START / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Which Python


def test_an_old_python_can_read_the_front_door():
    tree = ast.parse((START / "__main__.py").read_text(encoding="utf-8"), feature_version=(3, 4))
    new = [node for node in ast.walk(tree) if isinstance(node, (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr))]
    assert not new


def test_the_pythons_are_those_that_the_package_promises(front):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = [(3, int(minor)) for minor in re.findall(r"Programming Language :: Python :: 3\.(\d+)", text)]
    assert versions == [(3, minor) for minor in range(front.OLDEST[1], front.NEWEST[1] + 1)]


@pytest.mark.parametrize(("version", "able"), [
    ((3, 9, 18), False), ((3, 10, 0), True), ((3, 14, 2), True), ((3, 15, 0), False), ((2, 7, 18), False),
])  # fmt: skip
def test_which_pythons_will_do(front, version, able):
    assert front.supported(version) == able


posix = pytest.mark.skipif(sys.platform == "win32", reason="the programs that stand in are shell scripts")


def program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def pythons(front, monkeypatch, tmp_path):
    """Return a function that puts interpreters on a path that has no others, and what one is replaced by."""
    ran = []
    monkeypatch.setattr(front.os, "execv", lambda path, words: ran.append(words))
    monkeypatch.setattr(sys, "argv", ["start", "compare", "--epochs", "3"])
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    def pythons(**versions):
        for name, version in versions.items():
            name = name.replace("_", ".")
            program(tmp_path / name, f"echo {version}; echo {tmp_path / name}")
        return ran

    return pythons


@posix
@pytest.mark.parametrize("version", ["3.9.18", "3.15.0", "2.7.18"])
def test_a_python_that_was_named_and_will_not_do_is_refused(front, monkeypatch, capsys, pythons, version):
    ran = pythons(mine=version, python3_13="3.13.5")
    monkeypatch.setenv("PYTHON", "mine")
    assert front.main() == 2
    assert capsys.readouterr().err.startswith(f"d2lrnn needs Python 3.10 to 3.14: PYTHON=mine is {version}.\nGet one, ")
    assert ran == []


def test_what_was_named_and_is_no_python(front, monkeypatch, capsys):
    monkeypatch.setenv("PYTHON", "no-such-program")
    assert front.main() == 2
    assert capsys.readouterr().err.startswith("PYTHON=no-such-program is no Python that can be run.\nGet one, ")


@posix
def test_a_python_that_was_named_is_the_one_that_runs(front, monkeypatch, pythons, tmp_path):
    ran = pythons(mine="3.12.1")
    monkeypatch.setenv("PYTHON", "mine")
    front.main()
    assert ran == [[str(tmp_path / "mine"), str(START), "compare", "--epochs", "3"]]
    assert "PYTHON" not in os.environ  # or that one would ask again


def test_without_a_python_that_will_do_it_is_said_how_to_get_one(front, monkeypatch, capsys, pythons):
    pythons()
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    assert front.main() == 2
    assert "this is 3.9.18, and no other one is on the path.\nGet one, " in capsys.readouterr().err


@posix
def test_another_python_is_used_first_the_newest_that_has_all_frameworks(front, monkeypatch, capsys, pythons, tmp_path):
    ran = pythons(python3_11="3.11.2", python3_12="3.12.1", python3_13="broken", python3_14="3.14.2")
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    front.main()
    assert capsys.readouterr().err == f"Python 3.9 is not supported: using {tmp_path / 'python3.12'}\n"
    assert ran == [[str(tmp_path / "python3.12"), str(START), "compare", "--epochs", "3"]]


# The commands


def test_make_has_the_same_commands():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split() == list(commands.COMMANDS)


def test_what_is_tested_is_what_tox_has():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    assert tox["tox"]["env_list"].split(", ") == list(commands.TESTED)


@pytest.mark.parametrize("words", [[], ["tset"]], ids=["none", "wrong"])
def test_a_command_that_there_is_not(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        commands.main(words)
    assert "usage: python3 start" in capsys.readouterr().err


def test_help_says_what_each_command_does(capsys):
    with pytest.raises(SystemExit, match="0"):
        commands.main(["--help"])
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in commands.COMMANDS)


@pytest.mark.parametrize("command", list(commands.COMMANDS))
def test_help_on_a_command_does_nothing_but_help(command, clone, asked, capsys):
    (clone / ".tox").mkdir()
    assert commands.main([command, "--help"]) == 0
    assert capsys.readouterr().out == f"python3 start {command}: {commands.COMMANDS[command].__doc__}\n"
    assert asked == []
    assert (clone / ".tox").is_dir()


def test_the_books_package_is_installed_by_the_commands_of_its_environment(clone, asked, monkeypatch):
    """tox leaves them out with --notest."""
    begun = []

    def start_making(self, name, *options):
        begun.append((name, options))
        return installer.start([sys.executable, "-c", ""], log=True)

    monkeypatch.setattr(installer.Installer, "start_making", start_making)
    assert commands.main(["bench", "--quick"]) == 0
    assert begun == [("parity", ("--notest",)), ("book", ())]
    assert asked[-1][0][-3:] == ["--book-python", str(clone / ".tox" / "book" / "bin" / "python"), "--quick"]


@posix
@pytest.mark.parametrize(
    ("command", "script"),
    [("accuracy", "accuracy.py"), ("long-runs", "long_run.py"), ("reproduce", "reproduce.py")],
)
def test_what_measures_is_run_in_the_environment_with_all_frameworks(clone, asked, monkeypatch, command, script):
    begun = []
    monkeypatch.setattr(installer.Installer, "start_making", lambda self, name, *options: begun.append(name))
    monkeypatch.setattr(installer.Installer, "wait_for", lambda self, process, what: None)
    assert commands.main([command, "--quick"]) == 0
    assert begun == ["parity"]
    place = commands.ROOT / "benchmarks" / script
    assert asked[-1][0] == [str(clone / ".tox" / "parity" / "bin" / "python"), str(place), "--quick"]


def test_clean_takes_no_words(clone, capsys):
    (clone / ".tox").mkdir()
    assert commands.main(["clean", "-n"]) == 2
    assert capsys.readouterr().err == "error: clean removes everything, and takes no -n\n"
    assert (clone / ".tox").is_dir()


def test_an_environment_that_there_is_not(clone, capsys):
    assert commands.main(["test", "jax"]) == 2
    assert capsys.readouterr().err.startswith("error: no environment is named jax: use some of lint, base")


@pytest.fixture
def clone(monkeypatch, tmp_path):
    """Move everything that the commands make into a folder of the test, with programs that say what they were asked."""
    for name in ("ROOT", "BOOTSTRAP", "BUILD", "LOG"):
        place = tmp_path / getattr(installer, name).relative_to(ROOT)
        for module in (installer, commands):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, place)
    monkeypatch.setattr(installer, "CONSTRAINTS", tmp_path / "constraints.txt")
    monkeypatch.setattr(installer, "OVERRIDES", tmp_path / "overrides.txt")
    monkeypatch.setattr(installer, "WITHOUT_CUDA_TOOLS", tmp_path / "without.txt")
    monkeypatch.setattr(commands, "TOX", tmp_path / ".tox")
    monkeypatch.setattr(commands, "FIRST_RUN", tmp_path / "build" / "first")
    monkeypatch.setattr(commands, "MEASURED", tmp_path / "build" / "compare.json")
    (tmp_path / "constraints.txt").write_text("")
    (tmp_path / "build").mkdir()
    monkeypatch.setattr(installer, "get_tools", lambda: None)
    monkeypatch.setattr(machine, "answers", lambda url: False)
    monkeypatch.setattr(machine.libraries, "lack_of_mxnet", lambda: None)
    monkeypatch.setattr(machine.libraries, "no_build_of_mxnet", lambda: None)
    monkeypatch.setattr(machine.graphics, "nvidia_gpus", list)
    for name in [name for name in os.environ if name.startswith(("UV_", "D2LRNN_"))]:
        monkeypatch.delenv(name)
    program(tmp_path / ".bootstrap" / "bin" / "uv", 'echo "uv $*"')
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """Return the list of all commands that are run, which are not run, and succeed."""
    ran = []

    def call(command, *, log=False, **options):
        ran.append(([str(word) for word in command], options.get("env", {})))
        return 0

    for module in (installer, commands):
        monkeypatch.setattr(module, "call", call)
    return ran


def test_the_tests_of_all_environments_run_side_by_side(clone, asked):
    assert commands.main(["test"]) == 0
    words, environ = asked[-1]
    parallel = ("run-parallel", "--parallel", "auto", "-e", ",".join(commands.TESTED))
    assert words == machine.processes.python("tox", *parallel)
    assert environ["PYTHONPATH"] == str(clone / ".bootstrap")
    assert (environ["UV_CONSTRAINT"], environ["UV_OVERRIDE"].split()[0]) == ("constraints.txt", "overrides.txt")


def test_the_tests_of_one_environment(clone, asked):
    assert commands.main(["test", "base", "--", "tests/runs/test_runs.py", "-k", "gru"]) == 0
    assert asked[-1][0][-7:] == ["run", "-e", "base", "--", "tests/runs/test_runs.py", "-k", "gru"]


@posix
def test_a_framework_that_the_index_does_not_have_is_left_out_and_named(clone, capsys, monkeypatch):
    program(
        clone / ".bootstrap" / "bin" / "uv",
        'case "$*" in *"--extra tensorflow"*) echo "No solution found"; exit 1;; esac',
    )
    ran = []
    monkeypatch.setattr(commands, "call", lambda command, **options: ran.append(command) or 0)
    assert commands.main(["test"]) == 0
    assert ran[0][-1] == "lint,base,torch,mxnet"
    out = capsys.readouterr().err
    why = f"the package index has no TensorFlow for {machine.describe()} (yet)"
    assert out.count(f"LEFT OUT: the tests of tensorflow: {why}\n") == 2  # before, and after what scrolls by
    assert out.count(f"LEFT OUT: the tests of parity: it needs all frameworks: {why}\n") == 2
    assert commands.main(["test", "tensorflow"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: tensorflow cannot be tested here: {why}"


@posix
def test_an_index_that_cannot_be_reached_leaves_nothing_out(clone, capsys):
    program(clone / ".bootstrap" / "bin" / "uv", "echo 'error: Request failed'; exit 2")
    for command in ("test", "compare"):
        assert commands.main([command]) == 2
        err = capsys.readouterr().err
        assert "error: asking the package index for PyTorch failed with exit code 2:\n" in err
        assert "  | error: Request failed\n" in err
        assert "LEFT OUT" not in err


@posix
@pytest.mark.parametrize("change", ["python", "constraints", "left out"])
def test_environments_that_do_not_fit_any_more_are_made_anew(clone, monkeypatch, change):
    program(clone / ".bootstrap" / "numpy" / "bin" / "d2lrnn", "exit 0")
    begun = []

    def start_making(self, name, *options):
        begun.append((clone / ".tox" / "parity").exists())
        program(clone / ".tox" / "parity" / "bin" / "d2lrnn", "exit 0")
        return installer.start([sys.executable, "-c", ""], log=True)

    monkeypatch.setattr(installer.Installer, "start_making", start_making)
    monkeypatch.setattr(commands, "call", lambda command, **options: 0)
    if change == "left out":
        program(
            clone / ".bootstrap" / "bin" / "uv",
            'case "$*" in *"--extra mxnet"*) echo "No solution found"; exit 1;; esac',
        )
    assert commands.main(["compare", "--epochs", "3"]) == 0
    assert begun == [False]
    asked = []
    available = installer.Installer.available
    monkeypatch.setattr(installer.Installer, "available", lambda self: asked.append(1) or available(self))
    if change == "python":
        monkeypatch.setattr(installer.platform, "python_version", lambda: "3.99.0")
    elif change == "constraints":
        (clone / "constraints.txt").write_text("torch==99\n")
    assert commands.main(["compare", "--epochs", "3"]) == 0
    assert begun == [False, change == "left out"]
    assert asked == [1]  # whether there is more than there was
    assert commands.main(["compare", "--epochs", "3"]) == 0
    assert asked == [1, 1] if change == "left out" else asked == [1]


def test_a_disk_that_is_full_is_an_error_in_words(clone, capsys, monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device", "/there")

    monkeypatch.setattr(installer.Installer, "__init__", full)
    assert commands.main(["compare", "--epochs", "3"]) == 2
    said = "error: No space left on device (/there): make room or give access to this folder\n"
    assert capsys.readouterr().err.endswith(said)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_interrupted_leaves_nothing_running(tmp_path, number):
    """In a process of its own, whose installation would take a minute."""
    code = (
        "import contextlib, sys; sys.path.insert(0, sys.argv[1]); import commands, installer\n"
        "commands.alone = contextlib.nullcontext\n"  # the command that runs these tests is at work in this clone
        "commands.COMMANDS['lint'] = lambda words: installer.call("
        "[sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'])\n"
        "sys.exit(commands.main(['lint']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, START], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        child = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(30) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_second_ctrl_c_while_a_command_is_given_time_ends_it(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        wait = process.wait

        def interrupted_once(seconds=None):
            monkeypatch.setattr(process, "wait", wait)
            raise KeyboardInterrupt

        monkeypatch.setattr(process, "wait", interrupted_once)
        with pytest.raises(KeyboardInterrupt):
            installer.stop(process)
        code = process.poll()
        process.kill()
    assert code not in (None, 0)


def test_system_libraries_that_are_missing_are_named_with_their_remedy(clone, asked, capsys, monkeypatch):
    monkeypatch.setattr(machine.libraries, "lack_of_mxnet", lambda: "MXNet needs libgomp.so.1: apt install libgomp1")
    assert commands.main(["test"]) == 0
    assert asked[-1][0][-1] == "lint,base,torch,tensorflow"
    assert "LEFT OUT: the tests of mxnet: MXNet needs libgomp.so.1: apt install libgomp1\n" in capsys.readouterr().err
    assert commands.main(["test", "mxnet"]) == 2
    assert "apt install libgomp1" in capsys.readouterr().err


def test_a_system_without_builds_of_mxnet(clone, asked, capsys, monkeypatch):
    monkeypatch.setattr(machine.libraries, "no_build_of_mxnet", lambda: "MXNet has no build for this: use Linux")
    assert commands.main(["test"]) == 0
    assert asked[-1][0][-1] == "lint,base,torch,tensorflow"
    assert "LEFT OUT: the tests of mxnet: MXNet has no build for this: use Linux\n" in capsys.readouterr().err


def test_two_commands_do_not_make_the_same_environments_at_the_same_time(clone, asked, capsys):
    with installer.alone():
        assert commands.main(["test", "base"]) == 2
        assert "another command is at work in this folder: wait until it is done" in capsys.readouterr().err
        assert commands.main(["test", "--help"]) == 0
        assert not asked
    assert commands.main(["test", "base"]) == 0
    assert asked


def test_a_file_system_without_locks(clone, asked, monkeypatch):
    def no_locks(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(installer, "_lock", no_locks)
    assert commands.main(["test", "base"]) == 0
    assert asked


@posix
def test_the_first_minute(clone, capfd, monkeypatch):
    """NumPy trains while the frameworks are fetched; then all are compared."""
    program(clone / ".bootstrap" / "numpy" / "bin" / "d2lrnn", 'echo "d2lrnn $*"')
    begun = []

    def start_making(self, name, *options):
        program(
            clone / ".tox" / name / "bin" / "d2lrnn",
            'echo "all: $*"; test "$6" != --document || { echo the document > "$7"; echo the picture > "$9"; }',
        )
        begun.append((name, {key: value for key, value in self.environ.items() if key.startswith("D2LRNN_")}))
        return installer.start([sys.executable, "-c", "print('noise')"], log=True)

    monkeypatch.setattr(installer.Installer, "start_making", start_making)
    # The fake of sys.stderr that pytest has is no file that a program could write into
    monkeypatch.setattr(commands.sys, "stderr", sys.__stderr__)
    assert commands.main(["compare"]) == 0
    out, err = capfd.readouterr()
    kept = Path("build", "measured.json")
    assert out == f"all: compare --epochs 100 --seed 1 --document {kept} --png compare.png --html report.html\n"
    # What the site shows
    assert (clone / "build" / "compare.json").read_text() == "the document\n"
    assert (clone / "build" / "compare.png").read_text() == "the picture\n"
    assert not (clone / kept).exists()
    assert 0 < err.index("Fetching PyTorch, MXNet and TensorFlow") < err.index("d2lrnn train --backend numpy")
    assert "noise" not in err
    assert begun == [("parity", {})]  # nothing is taken away from it
    # The second time everything is there
    assert commands.main(["compare", "--epochs", "3"]) == 0
    assert capfd.readouterr() == ("all: compare --epochs 3\n", "")
    assert [name for name, _ in begun] == ["parity", "parity"]


@posix
def test_an_installation_that_fails_names_its_log(clone, capfd, monkeypatch):
    program(clone / ".bootstrap" / "numpy" / "bin" / "d2lrnn", "exit 0")
    code = "import sys; print('no room', file=sys.stderr); sys.exit(3)"
    monkeypatch.setattr(
        installer.Installer,
        "start_making",
        lambda self, name, *options: installer.start([sys.executable, "-c", code], log=True),
    )
    assert commands.main(["compare"]) == 2
    err = capfd.readouterr().err
    assert "\nerror: fetching PyTorch, MXNet and TensorFlow failed with exit code 3:\n" in err
    assert err.endswith(f"  | no room\nAll of it is in {Path('build', 'install.log')}.\n")
    assert not (clone / ".tox" / commands.MADE).exists()  # so that the next try begins anew


def test_clean_removes_what_was_made_and_nothing_else(clone):
    (clone / ".tox" / "parity").mkdir(parents=True)
    (clone / "mutants").mkdir()
    (clone / "runs").mkdir()
    assert commands.main(["clean"]) == 0
    assert sorted(path.name for path in clone.iterdir()) == ["constraints.txt", "runs"]


# What is fetched


@pytest.mark.parametrize(("gpu", "reached", "local", "backend", "cuda"), [
    pytest.param(True, True, False, None, True, id="a-gpu"),
    pytest.param(False, True, False, "cpu", False, id="no-gpu"),
    pytest.param(False, False, False, None, True, id="no-gpu-and-no-index-of-cpu-builds"),
    pytest.param(False, True, True, None, False, id="a-wheel-of-ones-own"),
])  # fmt: skip
def test_who_has_no_gpu_gets_no_cuda_where_it_can_be_helped(clone, monkeypatch, gpu, reached, local, backend, cuda):
    monkeypatch.setattr(machine, "is_linux", lambda: True)
    monkeypatch.setattr(machine.graphics, "nvidia_gpus", lambda: [machine.graphics.GPU("NVIDIA L4")] if gpu else [])
    monkeypatch.setattr(machine, "answers", lambda url: reached)
    if local:
        tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
        (clone / f"torch-2.13.0+cpu-{tag}-{tag}-linux_x86_64.whl").touch()
    monkeypatch.setattr(installer, "settings_for_uv", lambda: {"UV_FIND_LINKS": str(clone)})
    made = installer.Installer()
    assert (made.environ.get("UV_TORCH_BACKEND"), made.cuda) == (backend, cuda)
    slim = not gpu and not reached
    assert made.environ["UV_OVERRIDE"].split() == ["overrides.txt", "without.txt"][: 2 if slim else 1]
    assert made.size == (installer.SIZE_WITH_CUDA if cuda else installer.SIZE)


def test_elsewhere_than_on_linux_pytorch_has_no_cuda(clone, monkeypatch):
    monkeypatch.setattr(machine, "is_linux", lambda: False)
    made = installer.Installer()
    assert (made.cuda, "UV_TORCH_BACKEND" in made.environ) == (False, False)


def test_uv_looks_where_pip_does(monkeypatch, tmp_path):
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://one.example/simple\nextra-index-url =\n    https://two.example/simple\n"
        "    https://three.example/simple\n[install]\nfind-links = /wheels\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://mine.example/simple")
    found = installer.settings_for_uv()
    assert found["UV_DEFAULT_INDEX"] == "https://mine.example/simple"
    assert found["UV_INDEX"] == "https://two.example/simple https://three.example/simple"
    assert (found["UV_INDEX_STRATEGY"], found["UV_FIND_LINKS"]) == ("unsafe-best-match", "/wheels")


def test_what_the_user_tells_uv_comes_first(clone, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", "/mine")
    assert installer.Installer().environ["UV_CACHE_DIR"] == "/mine"


def test_without_pip_and_without_uv(monkeypatch, tmp_path):
    for name in ("BOOTSTRAP", "BUILD", "LOG"):
        monkeypatch.setattr(installer, name, tmp_path / name)
    monkeypatch.setattr(installer, "call", lambda command, **options: 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(installer.SetupError, match=r"has no pip: install it \(Debian, Ubuntu: apt install python3-pip"):
        installer.get_tools()


def test_the_tools_are_fetched_once(monkeypatch, tmp_path):
    for name in ("BOOTSTRAP", "BUILD", "LOG"):
        monkeypatch.setattr(installer, name, tmp_path / name)
    ran = []

    def call(command, **options):
        ran.append(command)
        (tmp_path / "BOOTSTRAP").mkdir(exist_ok=True)
        return 0

    monkeypatch.setattr(installer, "call", call)
    installer.get_tools()
    fetched = len(ran)
    installer.get_tools()
    assert len(ran) == fetched == 2


# The machine


def test_whether_an_address_answers():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *ignored: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    assert machine.answers(url)
    assert not machine.answers(f"{url}nothing-here")
    server.shutdown()
    server.server_close()
    assert not machine.answers(url)
    assert not machine.answers("no address")


def test_it_asks_the_clones_own_d2lrnn_whatever_is_installed(tmp_path):
    (tmp_path / "d2lrnn.py").write_text("raise ImportError('another version')")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import machine; print(machine.libraries.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code, START],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path,
    )  # fmt: skip
    assert Path(done.stdout.strip()) == ROOT / "d2lrnn" / "system" / "libraries.py"


def test_it_needs_the_standard_library_only():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import commands; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, START], capture_output=True, text=True, check=True)
    ours = {"commands", "installer", "machine", "d2lrnn", "__main__"}
    others = {name.partition(".")[0] for name in done.stdout.split()} - ours - sys.stdlib_module_names
    assert not others
