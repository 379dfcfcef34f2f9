"""Environments for everything that is done in a clone, made inside it; the installer's own words go to a log.

uv fetches what an environment needs, all at once, and tox says what that is. Both are put into a folder of the clone by
pip, with --target: that works where a system's Python refuses other installs, and where it has no venv module.
"""

import ast
import contextlib
import errno
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import machine

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = ROOT / ".bootstrap"
BUILD = ROOT / "build"
LOG = BUILD / "install.log"
CONSTRAINTS = ROOT / "constraints.txt"
OVERRIDES = ROOT / "start" / "overrides.txt"
WITHOUT_CUDA_TOOLS = ROOT / "start" / "overrides-without-gpu.txt"
TOOLS = ("tox", "tox-uv", "uv")
FRAMEWORKS = {"torch": "PyTorch", "mxnet": "MXNet", "tensorflow": "TensorFlow"}
_GB = 1e9
# What an environment with all three takes on disk, as measured on Linux x86-64, in GB
SIZE, SIZE_WITH_CUDA = 3.0, 5.9
Words = Sequence["str | Path"]  # of a command
_GRACE = 5  # seconds
_WINDOWS = sys.platform == "win32"


class SetupError(Exception):
    """Something cannot be set up here; the message says what to do."""


def say(*lines: str) -> None:
    """Tell the user something, at once; standard output is for what a command was asked for."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def bin_of(folder: Path) -> Path:
    """Return the folder of an environment's programs."""
    return folder / ("Scripts" if _WINDOWS else "bin")


def environment(name: str) -> Path:
    """Return the folder of programs of one of tox's environments."""
    return bin_of(ROOT / ".tox" / name)


def _clean_environ() -> dict[str, str]:
    """Return the variables of this process, without those that lead another Python astray."""
    return {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }


def call(command: Words, *, log: bool = False, **options: Any) -> int:
    """Run a command in the clone and return its exit code. When this process is interrupted, so is the command.

    Args:
        command: Its words.
        log: Whether what it says goes to the log instead of the screen.
        **options: Of ``subprocess.Popen``.
    """
    with start(command, log=log, **options) as process:
        try:
            return process.wait()
        except BaseException:
            stop(process)
            raise


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a command. After Ctrl-C it knows already, and has some seconds to put away what it has.

    A second Ctrl-C ends it at once.
    """
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    finally:
        process.terminate()  # which one that has ended does not feel
        process.wait()


def start(command: Words, *, log: bool = False, **options: Any) -> subprocess.Popen[bytes]:
    """Start a command in the clone and return its process; the arguments are those of :func:`call`."""
    options.setdefault("env", _clean_environ())
    words = [str(word) for word in command]
    if not log:
        return subprocess.Popen(words, cwd=ROOT, **options)
    BUILD.mkdir(exist_ok=True)
    with LOG.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(words)}\n")
        file.flush()
        return subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)


def must(command: Words, what: str, **options: Any) -> None:
    """Run a command whose words go to the log.

    Raises:
        SetupError: If it fails: what did, and the end of the log.
    """
    if (code := call(command, log=True, **options)) != 0:
        raise SetupError(failure(what, code))


def failure(what: str, code: int) -> str:
    """Return the message about an installation that failed: the last lines of the log, and where it is."""
    lines = [line for line in LOG.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    told = "\n".join(f"  | {line}" for line in lines[-8:])
    return f"{what} failed with exit code {code}:\n{told}\nAll of it is in {LOG.relative_to(ROOT)}."


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other commands out of this clone: two would make, and remove, the same environments at the same time.

    Raises:
        SetupError: If there is another one at work.
    """
    with CONSTRAINTS.open("r+b") as file:  # one that every clone has, and that nothing is written to
        try:
            _lock(file)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise SetupError(
                    "another command is at work in this folder: wait until it is done, or run this one in another clone"
                ) from None
            # A file system that knows no locks, such as some of networks
        yield


def _lock(file: IO[bytes]) -> None:
    """Lock a file until it is closed, or raise OSError at once if another process has it."""
    if sys.platform == "win32":
        file.seek(1 << 30)  # past its end: Windows would keep others from reading what is locked
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def get_tools() -> None:
    """Put uv and tox into the clone, unless they are there.

    Raises:
        SetupError: If neither pip nor uv is here, or the tools cannot be fetched.
    """
    stamp, wanted = BOOTSTRAP / "made-by", f"{platform.python_version()} {CONSTRAINTS.read_text(encoding='utf-8')}"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    for left in BOOTSTRAP.glob("*"):
        if left.name != "cache":
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    options: Words = ["--target", BOOTSTRAP, "-c", CONSTRAINTS, *TOOLS]
    if call(machine.processes.python("pip", "--version"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
        command: Words = [*machine.processes.python("pip", "install", "--disable-pip-version-check"), *options]
    elif shutil.which("uv"):
        command = ["uv", "pip", "install", "--python", sys.executable, *options]
    else:
        raise SetupError(
            f"{sys.executable} has no pip: install it (Debian, Ubuntu: apt install python3-pip; Fedora: dnf install "
            "python3-pip; elsewhere: python -m ensurepip), or install uv"
        )
    # Whoever lets pip install into environments only, or for themselves, does not mean a folder that is named
    environ = {**_clean_environ(), "PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0"}
    must(command, "fetching uv and tox with pip", env=environ)
    stamp.write_text(wanted, encoding="utf-8")


def _pip_settings() -> dict[str, str]:
    """Return how this machine's pip is set up: from its files and from variables, which come last."""
    said = subprocess.run(
        machine.processes.python("pip", "config", "list"),
        capture_output=True,
        text=True,
        env=_clean_environ(),
        check=False,
    )
    found = {}
    for line in sorted(said.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        try:
            found[name.rpartition(".")[2]] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            continue
    return found


def settings_for_uv() -> dict[str, str]:
    """Return the variables that let uv use the same indexes, mirrors and certificates as this machine's pip."""
    pip = _pip_settings()
    settings = {}
    for name, variable in (
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("find-links", "UV_FIND_LINKS"),
        ("trusted-host", "UV_INSECURE_HOST"),
        ("cert", "SSL_CERT_FILE"),
        ("no-index", "UV_NO_INDEX"),
        ("proxy", "ALL_PROXY"),
    ):
        if pip.get(name):
            settings[variable] = " ".join(pip[name].split())
    if "UV_INDEX" in settings:
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip does it: the newest, wherever it is
    return settings


class Installer:
    """Makes environments, with uv's settings as this machine needs them.

    Attributes:
        cuda: Whether PyTorch comes with CUDA.
    """

    def __init__(self) -> None:
        get_tools()
        overrides = [OVERRIDES]
        self.environ = {"UV_CACHE_DIR": str(BOOTSTRAP / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
        self.environ.update(settings_for_uv())
        self.cuda = machine.is_linux() and not _has_cpu_build_of_torch(self.environ.get("UV_FIND_LINKS", ""))
        if self.cuda and not machine.has_nvidia_gpu():
            if machine.answers(machine.CPU_BUILDS_OF_TORCH):
                self.environ["UV_TORCH_BACKEND"] = "cpu"
                self.cuda = False
            else:
                overrides.append(WITHOUT_CUDA_TOOLS)
        # Paths with a space would be two; uv reads a file of the folder in which it runs, which is this one
        self.environ["UV_OVERRIDE"] = " ".join(str(path.relative_to(ROOT)) for path in overrides)
        self.environ["UV_CONSTRAINT"] = str(CONSTRAINTS.relative_to(ROOT))
        self.environ = {
            **_clean_environ(),
            **self.environ,
            **{k: v for k, v in os.environ.items() if k.startswith("UV_")},
        }
        self.uv = bin_of(BOOTSTRAP) / ("uv.exe" if _WINDOWS else "uv")
        if not self.uv.exists():  # pip --target puts programs into bin, on every system
            self.uv = BOOTSTRAP / "bin" / self.uv.name

    @property
    def size(self) -> float:
        """About how much the environment with all frameworks takes on disk, in GB."""
        return SIZE_WITH_CUDA if self.cuda else SIZE

    def tox(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """Return the words of a command that runs tox, and its variables."""
        environ = {**self.environ, "PYTHONPATH": str(BOOTSTRAP), "PATH": self._path()}
        return machine.processes.python("tox", *words), environ

    def _path(self) -> str:
        return os.pathsep.join([str(self.uv.parent), os.environ.get("PATH", os.defpath)])

    def start_making(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """Begin to make one of tox's environments and return the process; see :meth:`wait_for`.

        Args:
            name: Its name.
            *options: Of ``tox run``: ``--notest`` leaves out the environment's commands.
        """
        command, environ = self.tox("run", "-e", name, *options)
        return start(command, log=True, env=environ)

    def wait_for(self, process: subprocess.Popen[bytes], what: str) -> None:
        """Wait for an installation, and show how far it is.

        Raises:
            SetupError: If it fails.
        """
        began, before = time.monotonic(), shutil.disk_usage(ROOT).free
        shown, live = began, sys.stderr.isatty()
        while process.poll() is None:
            time.sleep(0.2)
            now = time.monotonic()
            if now - shown >= (1 if live else 15):
                shown = now
                done = max(0, before - shutil.disk_usage(ROOT).free) / _GB
                line = f"fetching {what}: {done:.1f} GB more on disk after {now - began:.0f} s"
                print(f"\r{line} " if live else line, end="" if live else "\n", file=sys.stderr, flush=True)
        if live:
            print("\r" + " " * 78 + "\r", end="", file=sys.stderr, flush=True)
        if process.returncode != 0:
            raise SetupError(failure(f"fetching {what}", process.returncode))

    def choose(self, names: Sequence[str]) -> None:
        """Let the environment with all frameworks have these only; tox.ini reads the variables."""
        for name in FRAMEWORKS:
            if name not in names:
                self.environ[f"D2LRNN_{name.upper()}"] = ""

    def small_environment(self) -> Path:
        """Make an environment with d2lrnn and no framework, and return its folder of programs.

        Raises:
            SetupError: If that fails.
        """
        folder = BOOTSTRAP / "numpy"
        programs = bin_of(folder)
        must(
            [self.uv, "venv", "--clear", "--python", sys.executable, folder], "making an environment", env=self.environ
        )
        install: Words = [self.uv, "pip", "install", "--python", folder, ROOT]
        must(install, "installing d2lrnn", env=self.environ)
        return programs

    def available(self) -> tuple[list[str], dict[str, str]]:
        """Return which frameworks can be installed here, and of the others why not."""
        able, problems = [], {}
        for name, title in FRAMEWORKS.items():
            if name == "mxnet" and (reason := machine.libraries.no_build_of_mxnet()) is not None:
                problems[name] = reason
            elif not self._resolves(name):
                problems[name] = f"the package index has no {title} for {machine.describe()} (yet)"
            else:
                able.append(name)
        return able, problems

    def _resolves(self, name: str) -> bool:
        """Return whether the index has what a framework's extra asks for, as wheels for this machine.

        Raises:
            SetupError: If that cannot be found out.
        """
        command: Words = [
            self.uv, "pip", "compile", "--quiet", "--no-header", "--python", sys.executable, "--only-binary", ":all:",
            "--extra", name, ROOT / "pyproject.toml", "--output-file", BUILD / f"{name}.txt",
        ]  # fmt: skip
        begin = LOG.stat().st_size if LOG.exists() else 0
        if (code := call(command, log=True, env=self.environ)) == 0:
            return True
        if "No solution found" in LOG.read_bytes()[begin:].decode("utf-8", errors="replace"):
            return False
        raise SetupError(failure(f"asking the package index for {FRAMEWORKS[name]}", code))


def fingerprint() -> str:
    """Return what environments depend on beside the package, in short: after a change they are made anew."""
    files = (CONSTRAINTS, OVERRIDES, WITHOUT_CUDA_TOOLS, ROOT / "tox.ini")
    content = b"".join(path.read_bytes() for path in files if path.is_file())
    return f"{platform.python_version()} {platform.machine()} {hashlib.sha256(content).hexdigest()[:16]}"


def _has_cpu_build_of_torch(places: str) -> bool:
    """Return whether a folder of this machine's own has a wheel of PyTorch without CUDA for this Python."""
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    return any(
        "+cpu" in wheel.name and f"-{tag}-" in wheel.name
        for place in places.split()
        for wheel in Path(place.removeprefix("file://")).glob("torch-*.whl")
    )
