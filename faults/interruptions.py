"""Signals at any moment, kills, folders that are taken away, and several commands at once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from place import TINY, Place, Process, Skip, config, fault

GROUP = "interruptions"
_CHANCE = random.Random()
# Each tells of every sixth epoch. Long: half a minute; short: in which writing a checkpoint is a good part of an epoch
LONG = ("--corpus", "story", "--num-hiddens", "256", "--max-tokens", "20000", "--batch-size", "16", "--num-steps", "32",
        "--epochs", "60", "--checkpoint-every", "1", "--seed", "1")  # fmt: skip
SHORT = ("--corpus", "story", "--num-hiddens", "128", "--max-tokens", "2000", "--batch-size", "4", "--num-steps", "16",
         "--epochs", "60", "--checkpoint-every", "1")  # fmt: skip


def _told(process: Process) -> int:
    """Return the last epoch that a training has told of."""
    words = process.said.split()
    told = [int(after) for word, after in pairwise(words) if word == "epoch" and after.isdigit()]
    return max(told, default=0)


def _can_go_on(place: Place, run: Path, at_least: int, what: str) -> None:
    outcome = place.run("show", run)
    epoch = config(run).get("epoch", -1)
    place.keeps(outcome.code == 0, f"after {what} the run cannot be read: {outcome.last_line()}")
    place.keeps(epoch >= at_least, f"after {what} {epoch} epochs are kept of {at_least}")
    if epoch > 0:
        outcome = place.run("resume", run, "--epochs", "1")
        place.keeps(outcome.code == 0, f"after {what} the run cannot go on: {outcome.last_line()}")


for _number, _saves, _quick in (
    (signal.SIGINT, True, True),
    (signal.SIGTERM, True, False),
    (signal.SIGHUP, True, False),
    (signal.SIGQUIT, False, False),
    (signal.SIGKILL, False, True),
):

    @fault(GROUP, f"{_number.name} while a model trains", quick=_quick, repeat=5)
    def _(place: Place, number: signal.Signals = _number, saves: bool = _saves) -> None:
        run = place.folder / "run"
        # What a signal lets it save is seen where nothing else saves
        every = ("--checkpoint-every", "100000") if saves else ()
        process = place.start("train", "--backend", "numpy", *LONG, *every, "--out", run)
        process.until(lambda: _told(process) >= 2)
        time.sleep(_CHANCE.uniform(0, 1))
        told, kept = _told(process), config(run).get("epoch", 0)
        process.send(number)
        outcome = process.end(30)
        place.must(outcome.code != 0, f"{number.name}: exit code 0")
        # The line of an epoch is told before it is kept
        _can_go_on(place, run, told - 1 if saves else kept, number.name)


@fault(GROUP, "SIGKILL while a checkpoint is written", repeat=20)
def _(place: Place) -> None:
    run = place.folder / "run"
    process = place.start("train", "--backend", "numpy", *LONG, "--out", run)
    process.until(lambda: _told(process) >= 2)
    end = time.monotonic() + _CHANCE.uniform(0.2, 1)
    process.until(lambda: time.monotonic() > end and any(run.glob("*.next")), 20)
    kept = config(run).get("epoch", 0)
    process.send(signal.SIGKILL)
    process.end(30)
    _can_go_on(place, run, kept, "a kill while it wrote")


@fault(GROUP, "Ctrl-C in the first second", quick=True, repeat=10)
def _(place: Place) -> None:
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    start = 1.5 * (time.monotonic() - begin)  # of Python itself, in which no program can be heard yet
    for words in (["backends"], ["train", "--backend", "numpy", *TINY, "--epochs", "1"], ["--version"], ["show", "."]):
        process = place.start(*words)
        time.sleep(start + _CHANCE.uniform(0, 0.6))
        process.send(signal.SIGINT)
        process.end(30)


for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL):

    @fault(GROUP, f"{_number.name} for a comparison", quick=_number.name in ("SIGTERM", "SIGKILL"))
    def _(place: Place, number: signal.Signals = _number) -> None:
        if not Path("/proc/self/task").exists():
            raise Skip("only Linux tells of a process's children")
        # Of which an epoch takes long: a worker that only notices when it tells of one would be seen
        slow = ("--corpus", "story", "--max-tokens", "-1", "--num-hiddens", "512", "--batch-size", "8")
        process = place.start("compare", "--backends", "numpy", *slow, "--epochs", "100000")
        process.until(lambda: bool(process.children()), 120)
        time.sleep(4)  # until the worker has begun
        children = process.children()
        place.must(bool(children), "no worker was seen")
        process.send(number)
        process.end(30)
        end = time.monotonic() + 3
        while (left := [child for child in children if _is_alive(child)]) and time.monotonic() < end:
            time.sleep(0.05)
        place.must(not left, f"{number.name} leaves {len(left)} processes at work")
        for child in left:
            os.kill(child, signal.SIGKILL)


def _is_alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _seed_of(place: Place, out: str) -> object:
    """Return the seed of the run in the folder in which a training says, at its end, that it kept it."""
    where = out.rpartition("kept in ")[2].split("\n")[0].strip()
    settings = config(place.folder / where).get("settings") if where else None
    return settings.get("seed") if isinstance(settings, dict) else None


@fault(GROUP, "a folder that is removed, and made again by another training", quick=True)
def _(place: Place) -> None:
    first = place.start("train", "--backend", "numpy", *SHORT, "--seed", "1", "--out", "swap")
    first.until(lambda: _told(first) >= 2)
    shutil.rmtree(place.folder / "swap", ignore_errors=True)
    second = place.start("train", "--backend", "numpy", *SHORT, "--seed", "2", "--out", "swap")
    for process, seed in ((first, 1), (second, 2)):
        outcome = process.end(120)
        if "kept in" in outcome.said:
            found = _seed_of(place, outcome.out.decode())
            place.keeps(found == seed, f"the run with seed {seed} says where it is kept, and there is seed {found}")
        else:
            place.keeps(outcome.code != 0, f"the run with seed {seed} is gone, and nothing is said")


@fault(GROUP, "four trainings at once, with the name that d2lrnn chooses", quick=True)
def _(place: Place) -> None:
    words = ("train", "--backend", "numpy", *TINY, "--epochs", "2")
    for outcome in [process.end() for process in [place.start(*words) for _ in range(4)]]:
        place.must(outcome.code == 0, f"refused: {outcome.last_line()}")
    place.keeps(len(list(place.folder.glob("runs/*/weights.safetensors"))) == 4, "not every training kept its run")


@fault(GROUP, "the same folder for two trainings, and for two that go on", quick=True)
def _(place: Place) -> None:
    words = ("train", "--backend", "numpy", *TINY, "--epochs", "300", "--out", "run")
    codes = sorted(process.end().code for process in [place.start(*words) for _ in range(2)])
    place.must(codes[0] == 0 and codes[1] not in (0, -9), f"exit codes {codes}")
    processes = [place.start("resume", "run", "--epochs", "100") for _ in range(2)]
    for process in processes:
        process.end()
    _can_go_on(place, place.folder / "run", 400, "two that went on")


@fault(GROUP, "what failed, begun again with the mistake mended", quick=True)
def _(place: Place) -> None:
    for mistake in (["--device", "gpu"], ["--device", "gpu:7"], ["--num-hiddens", "1000000000"], ["--lr", "1e300"]):
        words = ("train", "--backend", "numpy", *TINY, "--epochs", "2", "--out", f"run{mistake[1]}")
        outcome = place.run(*words, *mistake)
        if mistake[0] == "--lr" or outcome.code == 0:
            continue
        outcome = place.run(*words)
        place.must(outcome.code == 0, f"{' '.join(mistake)}, then without: {outcome.last_line()}")
