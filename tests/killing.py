"""Kill a training (SIGKILL) at random moments, resume it, and compare it with one that was never interrupted.

``test_killing.py`` does a few; ``python tests/killing.py --backend torch --times 30`` does many and prints each.
At random a kill rarely meets a commit, which is where a run could be lost. So each second one is aimed: it waits for
the first file of a commit, and a random time of at most as long as a commit takes. Only what is killed is a process of
its own: to start one takes longer than all of its training.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from d2lrnn.cli import main as cli

# Large weights, and a checkpoint after every epoch, so that many a kill meets the writing of one
SETTINGS = ["--corpus", "story", "--num-hiddens", "256", "--max-tokens", "2000", "--batch-size", "16",
            "--valid-fraction", "0.2", "--seed", "7", "--checkpoint-every", "1", "--prefix", "the"]  # fmt: skip
COMMIT = 0.03  # seconds that one takes at most, on most disks
EXACT = ("weights.safetensors", "best.safetensors", "state.safetensors", "vocab.json", "samples.txt")


@dataclass(frozen=True)
class Kill:
    """What one kill met: after how many seconds, at which saved epoch, and how far a commit was, if there was one."""

    seconds: float
    epoch: int
    met: str | None


WRITING, MOVING = "files being written", "committed, files being moved"

# A process that kills itself where a commit takes place: where config.json gets a new content
MORTAL = """
import os, signal, sys
from d2lrnn.cli.main import main

number, moment = int(sys.argv[1]), sys.argv[2]
replace, kill = os.replace, getattr(signal, "SIGKILL", signal.SIGTERM)

def die_at_commit(source, target):
    global number
    number -= os.path.basename(target) == "config.json"
    if number == 0 and moment == "before":
        os.kill(os.getpid(), kill)
    replace(source, target)
    if number == 0:
        os.kill(os.getpid(), kill)

os.replace = die_at_commit
sys.exit(main(sys.argv[3:]))
"""


def train_command(backend: str, sampling: str, epochs: int, out: Path) -> list[str]:
    return ["train", "--backend", backend, "--sampling", sampling,
            "--epochs", str(epochs), *SETTINGS, "--out", str(out), "--json"]  # fmt: skip


def run(command: list[str]) -> None:
    """Run a command of d2lrnn to its end, which must be a good one."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = cli.main(command)
    assert code == 0, f"{command[0]} ended with {code}: {errors.getvalue()}"


def losses(folder: Path) -> list[list[str]]:
    """Return the history without the speed, which no two runs share."""
    with (folder / "history.csv").open(newline="") as file:
        return [[value for name, value in row.items() if name != "tokens_per_second"] for row in csv.DictReader(file)]


def differences(folder: Path, other: Path) -> list[str]:
    """Return the names of what differs between two runs: nothing, if they are the same run."""
    found = [name for name in EXACT if (folder / name).read_bytes() != (other / name).read_bytes()]
    return found + ([] if losses(folder) == losses(other) else ["history.csv"])


def under_way(out: Path) -> str | None:
    """Return how far the commit is that stands in a run folder, or None."""
    waiting = [path for path in out.glob("*.next") if path.name != "config.json.next"]
    if not waiting:
        return None
    files = json.loads((out / "config.json").read_bytes())["files"]
    made = [
        path
        for path in waiting
        if files.get(path.stem, {}).get("sha256") == hashlib.sha256(path.read_bytes()).hexdigest()
    ]
    # What is in the old state already is written anew too
    return MOVING if made and not (out / "config.json.next").exists() else WRITING


def kill_and_resume(
    backend: str, sampling: str, epochs: int, out: Path, after: float, aim: float | None = None
) -> Kill | None:
    """Train, kill so many seconds after the folder was there, and resume to the end.

    Args:
        backend: The backend.
        sampling: How it samples.
        epochs: How long the training is.
        out: Its folder.
        after: Seconds.
        aim: If given, the kill waits after that for a commit to begin, and so many seconds more.

    Returns:
        What the kill met, or None if training had ended before.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "d2lrnn.cli.main", *train_command(backend, sampling, epochs, out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (out / "config.json").exists():
        assert process.poll() is None, "it ended before it had a folder"
        time.sleep(0.001)
    time.sleep(after)
    if aim is not None:
        while process.poll() is None and not any(name.endswith(".next") for name in os.listdir(out)):  # noqa: PTH208
            pass
        time.sleep(aim)
    too_late = process.poll() is not None
    process.kill()
    process.wait()
    return None if too_late else look_and_resume(out, after)


def kill_at_commit(number: int, moment: str, backend: str, sampling: str, epochs: int, out: Path) -> Kill:
    """Train, kill just before or just after a commit, the same moment on every machine, and resume to the end.

    Args:
        number: Which commit. The first one makes the folder, and each epoch has one.
        moment: ``"before"`` its last file takes its place, which is the commit, or ``"after"`` it.
        backend: The backend.
        sampling: How it samples.
        epochs: How long the training is.
        out: Its folder.
    """
    command = train_command(backend, sampling, epochs, out)
    process = subprocess.run([sys.executable, "-c", MORTAL, str(number), moment, *command], capture_output=True)
    # Windows has no SIGKILL, and ends a process as unconditionally for SIGTERM
    assert abs(process.returncode) == getattr(signal, "SIGKILL", signal.SIGTERM), process.stderr.decode()
    return look_and_resume(out)


def look_and_resume(out: Path, seconds: float = math.nan) -> Kill:
    """Look at what a kill left, which can be read, and resume to the end."""
    met = under_way(out)
    run(["show", str(out), "--png", str(out.with_suffix(".png"))])
    epoch = len(losses(out)) if (out / "history.csv").exists() else 0
    run(["resume", str(out), "--checkpoint-every", "1", "--json"])
    return Kill(seconds, epoch, met)


def kill_often(
    backend: str, sampling: str, times: int, epochs: int, folder: Path, chance: random.Random
) -> tuple[list[Kill], list[list[str]]]:
    """Kill as many trainings, each at a moment of its own, and return what was met, and what differed after each."""
    whole = folder / f"{sampling}-whole"
    begin = time.perf_counter()
    run(train_command(backend, sampling, epochs, whole))
    seconds = time.perf_counter() - begin
    kills: list[Kill] = []
    found: list[list[str]] = []
    number = 0
    while len(kills) < times:
        number += 1
        out = folder / f"{sampling}-{number}"
        aim = chance.uniform(0, COMMIT) if number % 2 == 0 else None
        if (kill := kill_and_resume(backend, sampling, epochs, out, chance.uniform(0, seconds), aim)) is not None:
            kills.append(kill)
            found.append(differences(out, whole))
    return kills, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--times", type=int, default=30, help="half of them with each sampling (30)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    args = parser.parse_args()
    wrong, met = 0, []
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        for sampling, times in (("sequential", (args.times + 1) // 2), ("random", args.times // 2)):
            kills, found = kill_often(args.backend, sampling, times, args.epochs, Path(folder), chance)
            for kill, names in zip(kills, found, strict=True):
                when = f"killed after {kill.seconds:.2f} s, epoch {kill.epoch}"
                when += f", {kill.met}" if kill.met else ""
                met.append(kill.met)
                print(f"{args.backend} {sampling}: {when}: {'differs in ' + ', '.join(names) if names else 'equal'}")
                wrong += bool(names)
    print(
        f"{args.backend}: {args.times} kills, of which {met.count(WRITING)} met a commit with its {WRITING}, and "
        f"{met.count(MOVING)} one that was {MOVING}; {wrong} runs that differ from the uninterrupted one"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
