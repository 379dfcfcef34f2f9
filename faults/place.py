"""Where a fault is tried: an empty folder, real commands in it, and what they must never do, whatever they meet."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from d2lrnn.core import backends

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # where what hurts is made, in hostile.py, for the tests too
import hostile

COMMAND = str(Path(sys.executable).with_name("d2lrnn"))
MEMORY = hostile.MOST_MEMORY >> 20  # MiB
# What a command may say of what it refuses, in bytes
WORDS = 4000
UNFORESEEN = 70  # the exit code of the last door, which is a fault of ours too
TINY = ("--corpus", "story", "--num-hiddens", "8", "--max-tokens", "400", "--batch-size", "2", "--num-steps", "8",
        "--seed", "1")  # fmt: skip
_TRACEBACK = b"Traceback (most recent call last)"
_TIMED_OUT = -999
_ADDRESSES = 12 << 30  # bytes; TensorFlow takes half of it for itself


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        words: The command.
        code: Its exit code, or minus the number of the signal that ended it.
        out: What it wrote to standard output.
        err: What it wrote to standard error.
        seconds: How long it took.
        peak: The most memory that it, or a process that it started, had, in MiB.
    """

    words: tuple[str, ...]
    code: int
    out: bytes
    err: bytes
    seconds: float
    peak: float

    @property
    def said(self) -> str:
        """All that it said, as text."""
        return (self.out + self.err).decode("utf-8", "replace")

    def last_line(self) -> str:
        """Return the last line that it said, shortened and harmless."""
        lines = [line for line in self.said.splitlines() if line.strip()] or [""]
        return ascii(lines[-1])[1:-1][:160]


@dataclass
class Place:
    """An empty folder in which a fault is tried, and what was seen.

    Attributes:
        folder: The folder; commands run in it.
        usable: The backends that work here.
        processes: All that were started.
        outcomes: Of all commands that ended.
        wrong: What should not have happened, in words.
        lost: What was trained or typed and is gone, in words.
    """

    folder: Path
    usable: tuple[str, ...]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def canary(self) -> Path:
        """The file that code writes which should not run."""
        return self.folder / "executed"

    def start(
        self,
        *words: str | Path,
        env: Mapping[str, str] | None = None,
        closed: Sequence[int] = (),
        file_size: int | None = None,
        stdout: int | None = None,
    ) -> Process:
        """Start a command and return its process.

        Args:
            *words: Of ``d2lrnn``.
            env: Variables besides this process's own.
            closed: Numbers of streams that it finds closed.
            file_size: The largest file that it can write, in bytes, as on a disk that is full.
            stdout: Where its standard output goes, instead of here.
        """

        def prepare() -> None:
            # A shell hands what it starts in the background a deafness on, and so does nohup
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)
            if sys.platform == "linux":  # so that what is not refused does not take the machine with it
                resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
            for number in closed:
                os.close(number)
            if file_size is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

        environ = {**os.environ, "OMP_NUM_THREADS": "1", "D2LRNN_DATA": str(self.folder), **(env or {})}
        process = subprocess.Popen(
            [COMMAND, *map(str, words)],
            cwd=self.folder, env=environ, stdin=subprocess.DEVNULL, stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=prepare, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return Process(self, process, tuple(map(str, words)))

    def end_all(self) -> None:
        """Kill what still runs, with all that it has started."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            if process.returncode is None:
                process.wait()

    def run(self, *words: str | Path, limit: float = 120, **options: object) -> Outcome:
        """Run a command to its end; the options are those of :meth:`start`."""
        return self.start(*words, **options).end(limit)  # type: ignore[arg-type]

    def must(self, true: bool, what: str) -> None:
        """Record what should not have happened, unless it is as it must be."""
        if not true:
            self.wrong.append(what)

    def keeps(self, true: bool, what: str) -> None:
        """Record what is lost, unless it is there."""
        if not true:
            self.lost.append(what)

    def refused(self, outcome: Outcome) -> Outcome:
        """Record a command that should have refused what it was given, in a few words, and did not."""
        name = " ".join(outcome.words)[:60]
        self.must(outcome.code not in (0, _TIMED_OUT), f"{name}: not refused: {outcome.last_line()}")
        self.must(len(outcome.err) <= WORDS, f"{name}: an error of {len(outcome.err):,} bytes")
        return outcome

    def trained(self, name: str, *words: str) -> Path:
        """Train a small run in NumPy, which must work, and return its folder."""
        outcome = self.run("train", "--backend", "numpy", *TINY, "--epochs", "3", "--out", name, *words)
        if outcome.code != 0:
            raise RuntimeError(f"a plain training failed: {outcome.said}")
        return self.folder / name


@dataclass
class Process:
    """A command that goes on."""

    place: Place
    process: subprocess.Popen[bytes]
    words: tuple[str, ...]
    _out: bytearray = field(default_factory=bytearray)
    _err: bytearray = field(default_factory=bytearray)
    _ended: tuple[int, float] | None = None  # its exit code, and the most memory that it had, in MiB

    def __post_init__(self) -> None:
        self._begin = time.monotonic()
        streams = ((self.process.stdout, self._out), (self.process.stderr, self._err))
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in streams if pair[0]]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: object, into: bytearray) -> None:
        with stream, contextlib.suppress(ValueError, OSError):  # type: ignore[attr-defined]
            while piece := stream.read1(1 << 16):  # type: ignore[attr-defined]
                if len(into) < 1 << 24:
                    into += piece

    @property
    def said(self) -> str:
        """What it has said so far."""
        return bytes(self._out + self._err).decode("utf-8", "replace")

    def until(self, true: Callable[[], bool], limit: float = 60) -> bool:
        """Wait until something is so, and return whether it came to that while the command ran."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if true():
                return True
            if self._poll() is not None:
                return true()
            time.sleep(0.01)
        return False

    def send(self, number: int) -> None:
        """Send it a signal, to it alone."""
        if self._poll() is None:
            os.kill(self.process.pid, number)

    def children(self) -> list[int]:
        """Return the processes that it has started, and those have; on Linux."""
        found, todo = [], [self.process.pid]
        while todo:
            for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    mine = [int(number) for number in task.read_text().split()]
                    found += mine
                    todo += mine
        return found

    def end(self, limit: float = 120) -> Outcome:
        """Wait for its end, and see whether it did what no command may do."""
        code, peak = self._wait(limit)
        for reader in self._readers:
            reader.join(5)
        seconds = time.monotonic() - self._begin
        outcome = Outcome(self.words, code, bytes(self._out), bytes(self._err), seconds, peak)
        self.place.outcomes.append(outcome)
        name = " ".join(self.words)[:60]
        self.place.must(code != _TIMED_OUT, f"{name}: no end within {limit:.0f} s")
        self.place.must(code not in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS), f"{name}: crashed ({code})")
        return outcome

    def _poll(self) -> tuple[int, float] | None:
        """Return its exit code and the most memory that it had, in MiB, or None while it goes on.

        The only one that asks: the system tells once of an end, and ``Popen.poll``, which ``Popen.send_signal`` calls
        too, would hear it without the memory.
        """
        if self._ended is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self._ended = self.process.returncode, hostile.peak(usage) / 2**20
        return self._ended

    def _wait(self, limit: float) -> tuple[int, float]:
        end, pause = time.monotonic() + limit, 0.002
        while True:
            if (ended := self._poll()) is not None:
                return ended
            if time.monotonic() > end:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                return _TIMED_OUT, 0.0
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, or somebody who wants it to.

    Attributes:
        group: Its kind.
        name: What it is.
        attempt: What is done, in a place of its own.
        quick: Whether it is tried in the short form too.
        repeat: How often the long form tries it, each time at another moment.
        memory: What its commands may take, in MiB.
    """

    group: str
    name: str
    attempt: Callable[[Place], None]
    quick: bool = False
    repeat: int = 1
    memory: int = MEMORY


FAULTS: list[Fault] = []


def fault(group: str, name: str, **options: Any) -> Callable[[Callable[[Place], None]], None]:
    """Add a function to what is tried; the arguments are :class:`Fault`'s."""
    return lambda attempt: FAULTS.append(Fault(group, name, attempt, **options))


@dataclass(frozen=True)
class Verdict:
    """What came of a fault.

    Attributes:
        group: The fault's.
        name: The fault's.
        skipped: Why it was not tried, or None.
        tracebacks: How many commands ended with what nobody foresaw.
        executed: Whether code ran that came with a file.
        lost: What is gone.
        wrong: What else should not be so.
        peak: The most memory of a command, in MiB.
        commands: How many commands were run.
        seconds: How long it took.
        said: The last line that was said.
    """

    group: str
    name: str
    skipped: str | None
    tracebacks: int
    executed: bool
    lost: tuple[str, ...]
    wrong: tuple[str, ...]
    peak: float
    commands: int
    seconds: float
    said: str

    @property
    def survived(self) -> bool:
        """Whether it cost an error line, and nothing else."""
        return not (self.tracebacks or self.executed or self.lost or self.wrong)


def config(run: Path) -> dict[str, Any]:
    """Return what a run's config.json holds, nothing where it cannot be read."""
    try:
        return dict(json.loads((run / "config.json").read_bytes()))
    except (OSError, ValueError):
        return {}


class Skip(Exception):
    """A fault that cannot be tried here; the message says why."""


def usable_backends() -> tuple[str, ...]:
    """Return the backends that are installed and work here."""
    return tuple(name for name in backends.BACKENDS if backends.problem(name) is None)


@contextlib.contextmanager
def _new_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fault-"))
    try:
        yield folder
    finally:
        for path in [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]:
            with contextlib.suppress(OSError):
                path.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def attempt(fault: Fault, usable: tuple[str, ...]) -> Verdict:
    """Try a fault and return what came of it."""
    skipped, begin = None, time.monotonic()
    with _new_folder() as folder:
        place = Place(folder, usable)
        try:
            fault.attempt(place)
        except Skip as reason:
            skipped = str(reason)
        except Exception as error:  # the others are tried all the same
            place.wrong.append(f"the fault itself failed: {error!r:.200}")
        finally:
            place.end_all()
        executed = place.canary.exists()
    unforeseen = [o for o in place.outcomes if _TRACEBACK in o.out + o.err or o.code == UNFORESEEN]
    peak = max((outcome.peak for outcome in place.outcomes), default=0.0)
    wrong = [*place.wrong, *(f"{' '.join(o.words)[:60]}: {_first_of_ours(o)}" for o in unforeseen)]
    if peak > fault.memory:
        wrong.append(f"{peak:,.0f} MiB of memory")
    said = place.outcomes[-1].last_line() if place.outcomes else ""
    return Verdict(
        fault.group, fault.name, skipped, len(unforeseen), executed, tuple(place.lost), tuple(wrong), peak,
        len(place.outcomes), time.monotonic() - begin, said,
    )  # fmt: skip


def _first_of_ours(outcome: Outcome) -> str:
    """Return what a traceback ended with."""
    ends = re.findall(r"^(\w[\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)$", outcome.said, re.MULTILINE)
    return "traceback: " + (ascii(ends[-1])[1:-1][:160] if ends else outcome.last_line())
