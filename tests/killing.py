"""Kill a training (SIGKILL) at random moments, resume it, and compare it with one that was never interrupted.

``test_killing.py`` does a few; ``python tests/killing.py --backend torch --times 30`` does many and prints each.
Only what is killed is a process of its own: to start one takes longer than all of its training.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from d2lrnn import cli

# Large weights, and a checkpoint after every epoch, so that many a kill meets the writing of one
SETTINGS = ["--corpus", "story", "--num-hiddens", "256", "--max-tokens", "2000", "--batch-size", "16",
            "--valid-fraction", "0.2", "--seed", "7", "--checkpoint-every", "1", "--prefix", "the"]  # fmt: skip
EXACT = ("weights.safetensors", "best.safetensors", "state.safetensors", "vocab.json", "samples.txt")


@dataclass(frozen=True)
class Kill:
    """What one kill met: after how many seconds, at which saved epoch, and whether a commit was under way."""

    seconds: float
    epoch: int
    half_written: bool


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


def kill_and_resume(backend: str, sampling: str, epochs: int, out: Path, after: float) -> Kill | None:
    """Train, kill so many seconds after the folder was there, and resume to the end.

    Returns:
        What the kill met, or None if training had ended before.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "d2lrnn.cli", *train_command(backend, sampling, epochs, out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (out / "config.json").exists():
        assert process.poll() is None, "it ended before it had a folder"
        time.sleep(0.001)
    time.sleep(after)
    too_late = process.poll() is not None
    process.kill()
    process.wait()
    if too_late:
        return None
    half_written = any(out.glob("*.next"))
    run(["show", str(out), "--png", str(out.with_suffix(".png"))])  # it can be read after the kill
    epoch = len(losses(out)) if (out / "history.csv").exists() else 0
    run(["resume", str(out), "--checkpoint-every", "1", "--json"])
    return Kill(after, epoch, half_written)


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
        if (kill := kill_and_resume(backend, sampling, epochs, out, chance.uniform(0, seconds))) is not None:
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
    wrong = 0
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        for sampling, times in (("sequential", (args.times + 1) // 2), ("random", args.times // 2)):
            kills, found = kill_often(args.backend, sampling, times, args.epochs, Path(folder), chance)
            for kill, names in zip(kills, found, strict=True):
                when = f"killed after {kill.seconds:.2f} s, epoch {kill.epoch}"
                when += ", a commit under way" if kill.half_written else ""
                print(f"{args.backend} {sampling}: {when}: {'differs in ' + ', '.join(names) if names else 'equal'}")
                wrong += bool(names)
    print(f"{args.backend}: {args.times} kills, {wrong} runs that differ from the uninterrupted one")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
