"""Files and folders that are written whole or not at all, and errors that say what to do."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from d2lrnn.errors import D2LRNNError, InputError, StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new one, and nothing in between.

    Raises:
        InputError: If there is no such folder.
        StorageError: If it cannot be written; there is then no trace of it.
    """
    with explained(f"cannot write {str(path)!r}", "free some space, or choose another place"):
        if not path.parent.is_dir():
            raise InputError(
                f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}; make it, or name another one"
            )
        # Not its whole name, which with more behind it may be longer than the disk takes
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        temporary = Path(name)
        try:
            with open(handle, "wb") as file:  # noqa: PTH123 (a descriptor)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only their owner may read
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)  # noqa: PTH105 (the name of the system call says what matters here)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        flush_folder(path.parent)


def make_folder(path: Path, what: str, advice: str) -> None:
    """Make a folder, and those above it, unless it is there.

    Args:
        path: The folder.
        what: How an error begins that says that it could not be made.
        advice: What to do then.

    Raises:
        InputError: If there is a file in its place, or in that of a folder above it.
        StorageError: If the disk does not take it.
    """
    with explained(what, advice):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            reason = "it is a link to what is not there" if _dangles(path) else error.strerror
            raise InputError(f"{what}: {reason}; {advice}") from None


def make_new_folder(path: Path, what: str, advice: str, begin: int = 1) -> Path:
    """Make a folder that was not there, and return it: the named one, or one with the next number behind its name.

    Of several processes that ask at once each gets a folder of its own.

    Args:
        path: The folder; those above it are made too.
        what: How an error begins that says that it could not be made.
        advice: What to do then.
        begin: The number to begin with; 1 is the name without a number.

    Raises:
        InputError: If there is a file in the place of a folder above it.
        StorageError: If the disk does not take it.
    """
    make_folder(path.parent, what, advice)
    for number in itertools.count(begin):
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        with explained(what, advice), contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("there are more numbers than folders")


def _dangles(path: Path) -> bool:
    """Tell whether a path, or one above it, is a link to what is not there."""
    return any(part.is_symlink() and not part.exists() for part in (path, *path.parents))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def flush_folder(folder: Path) -> None:
    """Bring the folder's list of names to the disk; on Windows there is no such call, and no need."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explained(what: str, advice: str) -> Iterator[None]:
    """Turn what the system says of a file into an error that says what to do."""
    try:
        yield
    except D2LRNNError:
        raise
    except OSError as error:
        raise StorageError(f"{what}: {error.strerror or error}; {advice}", error.errno) from None
    except ValueError as error:  # a null byte in a path
        raise InputError(f"{what}: {error}; {advice}") from None


def write_flushed(path: Path, content: bytes) -> None:
    """Write a file, and bring it to the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
