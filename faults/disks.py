"""Disks that are full, folders that cannot be written, files that are somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

from place import TINY, Place, Skip, config, fault

GROUP = "disks"


@fault(GROUP, "a disk that is full from the start, or soon", quick=True)
def _(place: Place) -> None:
    for kilobytes in (0, 1, 2, 4, 8, 16):
        size = kilobytes * 1024
        place.run("train", "--backend", "numpy", *TINY, "--epochs", "4", "--out", f"run-{kilobytes}", file_size=size)
        if (place.folder / f"run-{kilobytes}" / "config.json").exists():
            outcome = place.run("show", f"run-{kilobytes}", "--png", f"{kilobytes}.png")
            place.must(outcome.code in (0, 1, 2), "show of what a full disk left")


@fault(GROUP, "a disk that fills while a run goes on")
def _(place: Place) -> None:
    for kilobytes in range(2, 90, 4):
        run = place.trained(f"run-{kilobytes}")
        before = config(run).get("epoch", 0)
        place.run("resume", run, "--epochs", "3", "--checkpoint-every", "1", file_size=kilobytes * 1024)
        outcome = place.run("show", run)
        place.keeps(
            outcome.code == 0 and config(run).get("epoch", 0) >= before, f"with {kilobytes} kB: {outcome.last_line()}"
        )
        outcome = place.run("resume", run, "--epochs", "1")
        place.keeps(outcome.code == 0, f"with {kilobytes} kB it cannot be resumed: {outcome.last_line()}")


@fault(GROUP, "no room for what a comparison writes", quick=True)
def _(place: Place) -> None:
    words = ("compare", "--backends", "numpy", *TINY, "--epochs", "2", "--png", "a.png", "--html", "a.html")
    outcome = place.run(*words, file_size=2048)
    place.keeps("perplexity" in outcome.said, f"the table of a comparison: {outcome.last_line()}")
    place.must(outcome.code != 0, "a comparison that could not write its picture says that all is well")


@fault(GROUP, "names that cannot be written or drawn", quick=True)
def _(place: Place) -> None:
    (place.folder / r"a$\frac$.txt").write_text("the sea and the sky " * 60)
    words = ("compare", "--backends", "numpy", *TINY[2:], "--epochs", "1", "--corpus")
    outcome = place.run(*words, r"a$\frac$.txt")
    place.keeps("perplexity" in outcome.said and outcome.code == 0, f"a name with a formula: {outcome.last_line()}")
    for name in ("c.pgf", "no/such/folder/a.png", "", ".", "a.png/b.png"):
        outcome = place.refused(place.run(*words, r"a$\frac$.txt", "--png", name))
        place.must(outcome.seconds < 60, f"--png {name!r} is refused late")
    run = place.trained("run")
    for name in ("c.xyz", "no/such/folder/a.png", "", "."):
        place.refused(place.run("show", run, "--png", name))


@fault(GROUP, "folders and files without permission", quick=True)
def _(place: Place) -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        raise Skip("whoever is root may do everything")
    run = place.trained("run")
    (run / "weights.safetensors").chmod(0)
    outcome = place.refused(place.run("predict", run))
    place.must("damaged" not in outcome.said, "weights that cannot be read are called damaged")
    place.folder.chmod(0o500)
    place.refused(place.run("train", "--backend", "numpy", *TINY, "--epochs", "1", "--out", "new"))


@fault(GROUP, "a device that takes nothing, a link to nowhere", quick=True)
def _(place: Place) -> None:
    run = place.trained("run")
    if Path("/dev/full").exists():
        with open("/dev/full", "wb") as full:  # noqa: PTH123 (a device)
            for words in (("backends",), ("show", run), ("predict", run), ("predict", run, "--json")):
                outcome = place.run(*words, stdout=full.fileno())
                place.must(outcome.code != 0, f"{words[0]}: what could not be written is no failure")
    (place.folder / "link").symlink_to("nowhere/at/all")
    place.refused(place.run("train", "--backend", "numpy", *TINY, "--epochs", "1", "--out", "link"))
    place.refused(place.run("convert", run, "--out", "link", "--backend", "numpy"))
    (place.folder / "link.npz").symlink_to("nowhere/at/all.npz")
    outcome = place.run("convert", run, "--out", "link.npz")
    place.must("File exists" not in outcome.said, "a link to nowhere is said to be there")
