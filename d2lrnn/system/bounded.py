"""What others made is read no further than it may go: regular files of a size that is allowed, archives likewise.

A run folder, a file of weights or a text that somebody was sent may be a pipe that never answers, a device that never
ends, or an archive of two kilobytes with gigabytes in it. What is allowed is said by whoever reads; here nothing is
read beyond it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from d2lrnn.errors import InputError

_PIECE = 2**20
_MEMBERS = 10_000  # of an archive; each takes half a kilobyte of memory when it is opened
# How an archive may be packed. Of the others zipfile unpacks a whole piece at once, whatever that becomes.
_PACKED = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}
_DIRECTORY = b"PK\x01\x02"


class NotRegular(OSError):
    """A path with something else in the place of a file: a pipe, a device, a socket."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(errno.EINVAL, "it is no regular file, but a pipe or a device", str(path))


class TooLarge(InputError):
    """A file that has more bytes than it may have.

    Attributes:
        size: How many it has.
    """

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file to read its bytes. A pipe is not waited for, and a device is not read.

    Raises:
        NotRegular: If it is something else.
        OSError: If it is a folder, or cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    # Looked at before it is opened too, for to open some devices does something
    _check_regular(os.stat(path), path)  # noqa: PTH116 (what is looked at must be what is opened)
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor)
        _check_regular(os.fstat(descriptor), path)
        yield file


def _check_regular(found: os.stat_result, path: str | Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise NotRegular(path)


def read_file(path: str | Path, most: int, what: str) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: The file.
        most: How many bytes it may have.
        what: Why it may not have more, for the error: ``'a configuration has at most'``.

    Raises:
        TooLarge: If it has more; nothing is read then.
        NotRegular: If it is no file but a pipe or a device.
        OSError: If it cannot be read.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= most:
            content = file.read(most + 1)  # it may have grown
            if len(content) <= most:
                return content
            size = len(content)
    raise TooLarge(f"{str(path)!r} has {size:,} bytes, and {what} {most:,}", size)


def digest(path: str | Path, algorithm: str) -> str:
    """Return the hash of a regular file of any size, in hexadecimal digits.

    Args:
        path: The file.
        algorithm: Its name, as hashlib knows it.

    Raises:
        NotRegular: If it is no file but a pipe or a device.
        OSError: If it cannot be read.
    """
    found = hashlib.new(algorithm)
    with opened(path) as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


@contextlib.contextmanager
def opened_zip(file: BinaryIO, size: int) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose list of files is not absurdly long.

    Args:
        file: The archive.
        size: How many bytes it has.

    Raises:
        InputError: If it has too many files.
        zipfile.BadZipFile: If it is no archive.
    """
    count, before = 0, b""
    file.seek(0)
    while count <= _MEMBERS and (piece := file.read(_PIECE)):
        count += (before + piece).count(_DIRECTORY)
        before = piece[-3:]
    if count > _MEMBERS:
        raise InputError(f"the archive of {size:,} bytes has more than {_MEMBERS:,} files: unpack it yourself")
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        yield archive


def unpack(archive: zipfile.ZipFile, name: str | zipfile.ZipInfo, most: int) -> bytes:
    """Return the content of a file in an archive.

    Args:
        archive: The archive.
        name: The file's name in it.
        most: How many bytes it may have.

    Raises:
        InputError: If it says that it has more, or is packed in a way that cannot be unpacked piece by piece.
        zipfile.BadZipFile: If it is damaged.
    """
    member = archive.getinfo(name) if isinstance(name, str) else name
    check_packing(member)
    if member.file_size > most:
        raise InputError(f"{member.filename!r} in the archive has {member.file_size:,} bytes, and may have {most:,}")
    pieces, left = [], most
    with archive.open(member) as file:
        while piece := file.read(min(_PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                raise InputError(
                    f"{member.filename!r} in the archive has more than the {most:,} bytes that it may have"
                )
            pieces.append(piece)
    return b"".join(pieces)


def check_packing(member: zipfile.ZipInfo) -> None:
    """Check that a file in an archive is stored as it is, or deflated.

    Raises:
        InputError: If it is packed in another way.
    """
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        how = _PACKED.get(member.compress_type, f"method {member.compress_type}")
        raise InputError(
            f"{member.filename!r} in the archive is packed with {how}: unpack it yourself, or pack it with deflate"
        )
