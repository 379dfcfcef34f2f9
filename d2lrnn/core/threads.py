"""How many threads a framework computes with: as told, as the environment says, or as a moment's measurement decides.

Threads decide more than code. A recurrent network is a chain of small products, and threads wait for each other at the
end of each: on two processors that do nothing else a second thread makes training up to 1.8 times as fast, and where
other programs keep them busy up to 20 times as slow. Rounding depends on their number too, so a run records it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from d2lrnn.core import backends
from d2lrnn.errors import D2LRNNWarning, InputError

if TYPE_CHECKING:
    from d2lrnn.core.interface import Backend

MOST = 1024  # more than any processor has; far more, and a framework ends the process
SECONDS = 0.25  # that a measurement takes, about
# So many times as fast must more threads be, in each half of the measurement. On two idle processors and at 32
# sequences a second thread gave, in the measurement and in the training of PyTorch and TensorFlow: at 256 units 1.1 and
# 0.9 to 1.2, at 512 1.2 to 1.3 and 1.4 to 1.5, at 1,024 1.2 to 1.3 and 1.4 to 1.8. On busy ones it gave 0.1 to 0.8,
# and 0.05 to 0.9. At 64 units NumPy takes one in any case, as PyTorch and TensorFlow should.
FASTER = 1.15
# Of the products that are measured; larger ones take too long for a moment
_MOST_ROWS, _MOST_UNITS, _MOST_PRODUCTS = 256, 2048, 2**28
_BLOCK = 0.001  # seconds of work between two measured numbers

# MXNet's recurrent operator does not gain from what the products gain from: on two idle processors its training was
# 0.49 times as fast with a second thread at 256 units, 0.55 times at 512 and 1.11 times at 1,024.
# Up to here it has one.
_MXNET_SINGLE = 1024

# What else than OMP_NUM_THREADS a framework reads, and before it
_OWN_VARIABLES = {"tensorflow": "TF_NUM_INTRAOP_THREADS"}

given: set[str] = set()  # the frameworks whose number somebody set, with set_num_threads


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def from_environment(backend: str) -> int | None:
    """Return the number of threads that the user's environment asks for: OMP_NUM_THREADS, or None if it says nothing.

    For TensorFlow, TF_NUM_INTRAOP_THREADS comes before it. OpenMP's lists (``4,2``) count by their first number.
    """
    for name in (_OWN_VARIABLES.get(backend, ""), "OMP_NUM_THREADS"):
        said = os.environ.get(name, "").strip()
        first = said.split(",")[0].strip()
        if first.isdecimal() and 1 <= int(first) <= MOST:
            return int(first)
        if said and name and not (said == "0" and name in _OWN_VARIABLES.values()):  # where that means: choose
            warnings.warn(
                f"{name} is {said!r:.80}, and no number of threads from 1 to {MOST}, so it is not heeded: set it to "
                "one, or unset it",
                D2LRNNWarning,
                stacklevel=2,
            )
    return None


def by_itself(backend: str, machine: Mapping[str, Any]) -> int:
    """Return how many threads a framework takes if nobody says anything but the environment.

    For PyTorch it is a guess (:func:`is_guess`): some of its builds take a processor's threads and others its cores.

    Args:
        backend: The framework.
        machine: ``cpus``, ``processor``, ``system`` and ``OMP_NUM_THREADS``, as
            :func:`d2lrnn.runs.environment.describe_here` gives them.

    Returns:
        The number; 1 where the machine is not described.
    """
    if _has_one(backend, machine.get("system")):
        return 1
    cpus = machine.get("cpus")
    cpus = cpus if isinstance(cpus, int) and cpus > 0 else 1
    said = str(machine.get("OMP_NUM_THREADS")).split(",")[0].strip()
    if backend != "tensorflow" and said.isdecimal() and int(said) > 0:  # TensorFlow has never read it
        return min(int(said), MOST)
    if backend == "mxnet" and machine.get("processor") in ("x86_64", "AMD64"):
        cpus = max(1, cpus // 2)  # it takes two processors of these for one with two threads
    return min(cpus, MOST)


def is_guess(backend: str, machine: Mapping[str, Any]) -> bool:
    """Return whether :func:`by_itself` cannot know the number. It takes the same arguments."""
    said = str(machine.get("OMP_NUM_THREADS")).split(",")[0].strip()
    told = backend != "tensorflow" and said.isdecimal() and int(said) > 0
    return not told and (machine.get("cpus") is None or (backend == "torch" and machine["cpus"] != 1))


def _has_one(backend: str, system: object) -> bool:
    """Return whether a framework has one thread whatever is said: MXNet's build for macOS has no OpenMP."""
    return backend == "mxnet" and system == "Darwin"


def measure(batch_size: int, num_hiddens: int) -> int | None:
    """Return with how many threads NumPy computes a recurrent network's chain of products fastest, here and now.

    That is H = tanh(H W) with H of shape (batch_size, num_hiddens), in float32. One thread, two, four and so on up to
    all processors take turns, for a quarter of a second; the first number that is clearly slower ends the list. More
    threads must be clearly faster (:data:`FASTER`), and in the first half of that time as in the second: a processor
    that is free for a moment only is none to count on.

    Returns:
        The number; None where NumPy's library for products cannot be told how many threads to use (Apple's).
    """
    from threadpoolctl import ThreadpoolController

    cpus = usable_cpus()
    blas = ThreadpoolController().select(user_api="blas")
    if not len(blas):
        return None
    candidates = [*(n for n in (2**power for power in range(10)) if n < cpus), cpus]
    units = min(num_hiddens, _MOST_UNITS)
    rows = min(batch_size, _MOST_ROWS, max(1, _MOST_PRODUCTS // units**2))
    W = np.full((units, units), 1 / units, "float32")
    begin = np.ones((rows, units), "float32")

    def seconds(n: int, num_steps: int, most: float) -> float:
        """Return how long so many steps take with n threads; a little over ``most`` if they take longer."""
        with blas.limit(limits=n):
            H, started, passed = begin, time.perf_counter(), 0.0
            for _ in range(num_steps):
                H = np.tanh(H @ W)
                passed = time.perf_counter() - started
                if passed > most:
                    break
            return passed

    end = time.perf_counter() + SECONDS
    seconds(1, 1, SECONDS)  # the first one is slower
    step = seconds(1, 1, SECONDS)
    num_steps = max(1, round(_BLOCK / max(1e-9, step)))
    climb = [seconds(1, num_steps, SECONDS) if num_steps > 1 else step]
    for n in candidates[1:]:
        if time.perf_counter() > end - SECONDS / 2:
            break
        most = FASTER * min(climb)
        # The first time has to begin the threads, and either may be a bad moment
        passed = seconds(n, num_steps, most)
        if passed > most:
            passed = seconds(n, num_steps, most)
        if passed > most:
            break
        climb.append(passed)
    rounds, count = [climb], len(climb)
    while len(rounds) < 2 or time.perf_counter() < end:
        row: list[float] = []
        for n in candidates[:count]:
            if row and time.perf_counter() > end:
                break
            passed = seconds(n, num_steps, SECONDS / 4)
            if row and passed > SECONDS / 4:
                count = len(row)  # it has become so slow that the list ends before it
                break
            row.append(passed)
        if len(rounds) < 2:
            count = len(row)
        if len(row) == count:
            rounds.append(row)
    half = len(rounds) // 2
    rounds = [row[:count] for row in rounds]
    halves = np.array([np.sum(part, axis=0) for part in (rounds[:half], rounds[-half:])])
    return _fastest(candidates[:count], halves)


def _fastest(candidates: Sequence[int], seconds: Any) -> int:
    """Return the candidate that is clearly faster than the smaller ones in each row of times, (2, candidates)."""
    best = 0
    for n in range(1, len(candidates)):
        if (seconds[:, best] >= FASTER * seconds[:, n]).all():
            best = n
    return candidates[best]


def choose(names: Sequence[str], batch_size: int, num_hiddens: int) -> dict[str, int]:
    """Return for each backend how many threads it should compute with; no framework is imported.

    What the environment says is taken, and one processor has one thread, as MXNet has on macOS. For all others there is
    one measurement (:func:`measure`), if any needs it.
    """
    cpus = usable_cpus()
    one = [name for name in names if _has_one(name, platform.system())]
    chosen = {name: 1 if name in one else from_environment(name) or (1 if cpus == 1 else None) for name in names}
    measured: list[int | None] = []
    for name, number in chosen.items():
        if number is not None:
            continue
        if name == "mxnet" and num_hiddens <= _MXNET_SINGLE:
            chosen[name] = 1
            continue
        if not measured:
            measured.append(measure(batch_size, num_hiddens))
        own = by_itself(name, {"cpus": cpus, "processor": platform.machine()})
        best = own if measured[0] is None else measured[0]
        chosen[name] = min(best, own) if name == "mxnet" else best
    return {name: number or 1 for name, number in chosen.items()}


def settle(backend: str, threads: int | None, batch_size: int, num_hiddens: int) -> int:
    """Return how many threads a training in this process computes with.

    In a process where the framework has been imported, as in a notebook, a number that somebody gave it stays unless
    another one is asked for. Nothing is changed here. (What PyTorch itself was told before d2lrnn's part for it was
    imported cannot be told from what it takes by itself; what ``d2l.set_num_threads`` was told can.)

    Args:
        backend: The framework.
        threads: The number that was asked for; None for :func:`choose`.
        batch_size: Sequences in a minibatch.
        num_hiddens: Hidden units.

    Returns:
        The number, which the framework can compute with.

    Raises:
        InputError: If a number was asked for that the framework, which has begun in this process, cannot change to.
    """
    one = _has_one(backend, platform.system())
    if backend not in sys.modules and (threads is None or not one):
        return threads if threads is not None else choose([backend], batch_size, num_hiddens)[backend]
    backends.load(backend)
    own = importlib.import_module(f"d2lrnn.{backend}.threads")
    if threads is not None:
        own.check_num_threads(threads)
        return threads
    number: int = own.num_threads()
    return choose([backend], batch_size, num_hiddens)[backend] if own.may_choose() else number


@contextlib.contextmanager
def computing_with(backend: str, threads: int) -> Iterator[Backend]:
    """Import a backend so that it computes with so many threads, and yield its interface.

    Afterwards the framework has the number that it had, where it can still change (PyTorch). The environment is as it
    was: MXNet reads OMP_NUM_THREADS while it is imported, and what is read of it later is the user's own value.

    Raises:
        InputError: If the framework has begun in this process and cannot change its number.
    """
    with _environment(OMP_NUM_THREADS=str(threads)) if backend == "mxnet" else contextlib.nullcontext():
        framework = backends.load(backend)
    own, was_given = importlib.import_module(f"d2lrnn.{backend}.threads"), backend in given
    before = own.keep_threads()
    framework.set_num_threads(threads)
    try:
        yield framework
    finally:
        own.put_back_threads(before)
        if not was_given:
            given.discard(backend)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def say(numbers: Mapping[str, int]) -> str:
    """Return the numbers of several backends in words: one for all, or each with its name."""
    if len(set(numbers.values())) == 1:
        return str(next(iter(numbers.values())))
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def check_number(n: object) -> int:
    """Return a number of threads as given.

    Raises:
        InputError: If it is none.
    """
    if isinstance(n, bool) or not hasattr(n, "__index__") or not 1 <= n.__index__() <= MOST:
        raise InputError(f"threads must be a whole number from 1 to {MOST}, not {n!r}")
    return int(n.__index__())
