"""Files of weights and texts that say they are larger than any memory, or unpack to that."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import hostile
from place import TINY, WORDS, Place, Skip, fault

GROUP = "hostile files"


def _tensor(shape: list[int], offsets: list[int], data: bytes = b"") -> Callable[[Path], None]:
    header = {"layers.0.W_hh": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}
    return hostile.safetensors(json.dumps(header).encode(), data)


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


# What tests/hostile.py has is not here: it is tried below
for _ending, _what, _files in (
    ("safetensors", "with headers that lie", (
        _bytes(struct.pack("<Q", 1 << 63)),  # bytes of header
        _bytes(struct.pack("<Q", 1000)),  # of a header that is not there
        _bytes(struct.pack("<Q", 100_000) + b"[" * 100_000),
        _tensor([1 << 62, 4], [0, 4], b"abcd"),
        _tensor([4], [0, 1 << 40], b"abcd" * 4),
    )),
    ("params", "with shapes that lie", (
        *(hostile.params(shape, form=2) for shape in (
            (0, 1 << 62), (1 << 62, 0), (1 << 31, 1 << 31), (-1, 4), (1 << 40,), (1,) * 40)),
        _bytes(b""), _bytes(b"\x12\x01"), _bytes(struct.pack("<QQQ", 0x112, 0, 1 << 62)),
    )),
    ("npz", "that unpack to gigabytes, or say so", [
        hostile.npz(shape, zipfile.ZIP_DEFLATED, zeros)
        for shape, zeros in (((1 << 40,), 0), ((0, 1 << 62), 0), ((1 << 26,), 1 << 28), ((-1,), 0))
    ]),
):  # fmt: skip

    @fault(GROUP, f".{_ending} {_what}", quick=True)
    def _(place: Place, ending: str = _ending, files: Sequence[Callable[[Path], object]] = _files) -> None:
        for write in files:
            write(place.folder / f"a.{ending}")
            place.refused(place.run("convert", f"a.{ending}", "--out", "b.safetensors" if ending == "npz" else "b.npz"))


@fault(GROUP, "texts in archives that unpack to gigabytes")
def _(place: Place) -> None:
    hostile.packed(zipfile.ZIP_DEFLATED, 3 << 30)(place.folder / "a.zip")
    train = ("train", "--backend", "numpy", *TINY[2:], "--epochs", "1", "--corpus")
    place.refused(place.run(*train, "a.zip"))
    (place.folder / "a.txt.gz").write_bytes(gzip.compress(bytes(1 << 24)))
    place.refused(place.run(*train, "a.txt.gz"))
    with (place.folder / "a.txt").open("wb") as text:
        text.truncate(1 << 35)
    place.refused(place.run(*train, "a.txt"))


@fault(GROUP, "names that are no files of weights", quick=True)
def _(place: Place) -> None:
    (place.folder / "a.npz").mkdir()
    (place.folder / "b.params").symlink_to("b.params")
    for name in ("a.npz", "b.params", "no.keras", "no", "", "/dev/null", "a.npz/a.npz", "x" * 5000, "a\x01.pt"):
        place.refused(place.run("convert", name, "--out", "c.safetensors"))
    place.refused(place.run("convert", "/dev/zero", "--out", "c.safetensors"))


def _met(thing: hostile.Hostile) -> Callable[[Place], None]:
    """Return what runs the command that meets a thing of tests/hostile.py."""

    def attempt(place: Place) -> None:
        if thing.needs is not None and thing.needs not in place.usable:
            raise Skip(f"{thing.needs} is not here")
        outcome = place.run(*thing.make(place.folder), limit=300)
        place.must(outcome.code == thing.code, f"exit code {outcome.code}: {outcome.last_line()}")
        place.must(thing.says in outcome.said, f"it does not say {thing.says!r}: {outcome.last_line()}")
        place.must(len(outcome.err) <= WORDS, f"an error of {len(outcome.err):,} bytes")

    return attempt


# The tests run each of these too
for _group, _things in (
    ("run folders", hostile.FOLDERS), (GROUP, (*hostile.FILES, *hostile.TEXTS)), ("sizes", hostile.SIZES),
    ("numbers", hostile.NUMBERS),
):  # fmt: skip
    for _thing in _things:
        fault(_group, _thing.name)(_met(_thing))
