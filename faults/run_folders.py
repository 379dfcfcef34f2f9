"""Run folders that were damaged, or made to do harm."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import hostile
from place import WORDS, Outcome, Place, Skip, fault

from d2lrnn.runs import run_folder

GROUP = "run folders"


def _read_with(place: Place, run: Path) -> Iterator[Outcome]:
    """Run every command that reads a run."""
    for words in (("show",), ("predict",), ("resume",), ("convert", "--out", "b.npz", "--force"), ("show", "--json")):
        yield place.run(words[0], run, *words[1:], limit=60)


def _all_refuse(place: Place, run: Path) -> None:
    for outcome in _read_with(place, run):
        place.refused(outcome)


def _link_to_zeros(path: Path) -> None:
    if not Path("/dev/zero").exists():
        raise Skip("there is no such device here")
    path.symlink_to("/dev/zero")


for _name, _put, _files in (
    ("links to a device that never ends", _link_to_zeros,
     ("weights.safetensors", "state.safetensors", "history.csv", "vocab.json", "config.json")),
    ("pipes that nobody writes to", os.mkfifo, ("config.json", "weights.safetensors", "history.csv")),
):  # fmt: skip

    @fault(GROUP, _name, quick=True)
    def _(place: Place, put: Callable[[Path], None] = _put, files: tuple[str, ...] = _files) -> None:
        run = place.trained("run")
        for name in files:
            (run / name).rename(place.folder / "kept")
            put(run / name)
            _all_refuse(place, run)
            (run / name).unlink()
            (place.folder / "kept").rename(run / name)
        place.must(place.run("show", run).code == 0, "the run is not as it was")


def _with_settings(run: Path, **changes: object) -> None:
    """Write another config.json, as somebody would who wants it to be believed."""
    hostile.rewrite(run, lambda config: config["settings"].update(changes))


@fault(GROUP, "settings that no machine can hold")
def _(place: Place) -> None:
    run = place.trained("run")
    content = (run / "config.json").read_bytes()
    for changes in (
        {"num_layers": 10**9},
        {"num_layers": 10**5},
        {"num_hiddens": 10**12},
        {"batch_size": 10**300},
        {"epochs": 10**400},
        {"num_steps": -1},
        {"lr": 10**400},
        {"seed": 10**4000},
    ):
        (run / "config.json").write_bytes(content)
        _with_settings(run, **changes)
        _all_refuse(place, run)
    (run / "config.json").write_bytes(content)
    place.must(place.run("show", run).code == 0, "the run is not as it was")


@fault(GROUP, "numbers in its files that JSON and CSV allow")
def _(place: Place) -> None:
    run = place.trained("run")
    content = (run / "config.json").read_bytes()
    for text in ("1e400", "-1e400", "NaN", "1" + "0" * 400, '"' + "x" * 10**6 + '"', "[" * 10**5, "{}", "null", "true"):
        for name in ("lr", "epochs", "num_hiddens", "seed", "corpus"):
            config = json.loads(content)
            config["settings"][name] = "HERE"
            written = json.dumps(config).replace('"HERE"', text)
            with contextlib.suppress(ValueError, RecursionError):  # with a hash that fits, where it can be read at all
                written = written.replace(config["sha256"], run_folder._config_digest(json.loads(written)))
            (run / "config.json").write_text(written)
            for outcome in _read_with(place, run):
                place.must(len(outcome.err) <= WORDS, f"{name}={text[:20]}: an error of {len(outcome.err):,} bytes")
                break  # one command is enough for each
    (run / "config.json").write_bytes(content)


@fault(GROUP, "one that is bad among many that are good", quick=True)
def _(place: Place) -> None:
    runs = [place.trained(name) for name in ("one", "two", "three")]
    _with_settings(runs[1], lr=10**400)
    outcome = place.run("show", *runs)
    place.keeps("one" in outcome.said and "three" in outcome.said, "the runs beside a bad one are not shown")


@fault(GROUP, "bytes that were changed, cut off or put there", repeat=10)
def _(place: Place) -> None:
    chance = random.Random(len(place.folder.name) + hash(place.folder.name))
    run = place.trained("run")
    for path in sorted(path for path in run.iterdir() if path.is_file() and path.suffix != ".png"):
        content = path.read_bytes()
        for _ in range(2):
            changed = bytearray(content)
            position = chance.randrange(max(1, len(changed)))
            kind = chance.randrange(3)
            if kind == 0 and changed:
                changed[position] ^= 1 << chance.randrange(8)
            elif kind == 1:
                del changed[position:]
            else:
                changed[position:position] = bytes(chance.randrange(256) for _ in range(9))
            path.write_bytes(bytes(changed))
            for words in (("show", run), ("predict", run)):
                place.run(*words, limit=60)
            path.write_bytes(content)
    place.keeps(place.run("show", run).code == 0, "the run, put back as it was")
