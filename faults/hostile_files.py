"""Files of weights and texts that say they are larger than any memory, or unpack to that."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable

import hostile
import numpy as np
from place import TINY, WORDS, Place, Skip, fault

GROUP = "hostile files"


def _header(tensors: dict[str, object], data: bytes = b"") -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "a header of 2^63 bytes": lambda: struct.pack("<Q", 1 << 63),
    "a header that is not there": lambda: struct.pack("<Q", 1000),
    "a shape of 2^62": lambda: _header(
        {"layers.0.W_hh": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 4]}}, b"abcd"
    ),
    "a shape of nothing times everything": lambda: _header(
        {"layers.0.W_hh": {"dtype": "F32", "shape": [0, 1 << 62], "data_offsets": [0, 0]}}
    ),
    "offsets outside": lambda: _header(
        {"layers.0.W_hh": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 40]}}, b"abcd" * 4
    ),
    "a million tensors": lambda: _header(
        {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(200_000)}
    ),
    "brackets in brackets": lambda: struct.pack("<Q", 100_000) + b"[" * 100_000,
}


@fault(GROUP, ".safetensors with headers that lie", quick=True)
def _(place: Place) -> None:
    for content in SAFETENSORS.values():
        (place.folder / "a.safetensors").write_bytes(content())
        place.refused(place.run("convert", "a.safetensors", "--out", "b.npz"))


def _params(shape: tuple[int, ...], data: bytes = b"") -> bytes:
    """Return a file of MXNet's with one array of that shape."""
    name = b"rnn0_l0_h2h_weight"
    array = struct.pack("<IiI", 0xF993FAC9, 0, len(shape)) + struct.pack(f"<{len(shape)}q", *shape)
    array += struct.pack("<iii", 1, 0, 0) + data
    return struct.pack("<QQQ", 0x112, 0, 1) + array + struct.pack("<Q", 1) + struct.pack("<Q", len(name)) + name


@fault(GROUP, ".params with shapes that lie", quick=True)
def _(place: Place) -> None:
    shapes = ((0, 1 << 62), (1 << 62, 0), (1 << 31, 1 << 31), (-1, 4), (1 << 40,), (1,) * 40)
    for content in (*map(_params, shapes), b"", b"\x12\x01", struct.pack("<QQQ", 0x112, 0, 1 << 62)):
        (place.folder / "a.params").write_bytes(content)
        place.refused(place.run("convert", "a.params", "--out", "b.npz"))


@fault(GROUP, ".npz that unpack to gigabytes, or say so", quick=True)
def _(place: Place) -> None:
    def member(shape: tuple[int, ...], zeros: int) -> bytes:
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            buffer,
            {"descr": "<f4", "fortran_order": False, "shape": shape},  # type: ignore[arg-type]
        )
        return buffer.getvalue() + bytes(zeros)

    for shape, zeros in (((1 << 40,), 0), ((0, 1 << 62), 0), ((1 << 26,), 1 << 28), ((-1,), 0)):
        with zipfile.ZipFile(place.folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("layers.0.W_hh.npy", member(shape, zeros))
        place.refused(place.run("convert", "a.npz", "--out", "b.safetensors", "--force"))


@fault(GROUP, "texts in archives that unpack to gigabytes")
def _(place: Place) -> None:
    with (
        zipfile.ZipFile(place.folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.txt", "w", force_zip64=True) as text,
    ):
        for _ in range(3 << 10):
            text.write(b"the sea " * (1 << 17))
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
