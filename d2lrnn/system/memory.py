"""How much memory there is, in bytes: what cannot fit is refused before anything is allocated.

What a thing needs is a lower bound, so that nothing is refused that would have worked.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from d2lrnn.errors import D2LRNNError, NotEnoughMemoryError
from d2lrnn.system.formatting import format_bytes

UNKNOWN = 2**44  # bytes, 16 TiB: what is refused where a machine does not tell what it has
_TEXT = 16  # bytes that are needed, at the peak, for each byte of a text that is cleaned and counted
_CGROUPS = Path("/sys/fs/cgroup")
# What frameworks say when they get no memory; their errors are of kinds of their own
_SAID = re.compile(r"(can't|cannot|can not|failed to|unable to) allocate|out of memory|not enough memory|bad_alloc|"
                   r"\bOOM\b", re.IGNORECASE)  # fmt: skip
_SAID_BY_NUMPY = re.compile(r"array is too big|Maximum allowed (size|dimension)")
_KINDS = ("MemoryError", "OutOfMemoryError", "ResourceExhaustedError")


def of_text(size: int) -> int:
    """Return the bytes that a text takes, at the peak, to be read, cleaned and counted.

    Args:
        size: Of the file, in bytes.
    """
    return _TEXT * size


def available() -> int | None:
    """Return how many bytes this process may take: the machine's memory, or less if its container or its shell says so.

    That is what there is in all, not what is free at the moment. None where the system does not tell.
    """
    found = [size for size in (of_machine(), _of_container(), _of_limits()) if size is not None]
    return min(found, default=None)


def of_machine() -> int | None:
    """Return how many bytes of memory this machine has, whatever of them may be used; None where it does not tell."""
    if sys.platform == "win32":
        return _of_windows()
    with contextlib.suppress(AttributeError, ValueError, OSError):
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return size if size > 0 else None
    return None


def _of_windows() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong),
                    *((name, ctypes.c_ulonglong) for name in ("total", "b", "c", "d", "e", "f", "g"))]  # fmt: skip

    status = Status(length=ctypes.sizeof(Status))
    with contextlib.suppress(AttributeError, OSError):
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined,unused-ignore]
            return int(status.total)
    return None


def _of_container() -> int | None:
    """Return the smallest limit of the control groups that this process is in, on Linux."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "":
                root, name = _CGROUPS, "memory.max"
            elif "memory" in controllers.split(","):
                root, name = _CGROUPS / "memory", "memory.limit_in_bytes"
            else:
                continue
            folder = root / group.lstrip("/")
            # In a container its own group is often the root of what it sees
            for place in (folder, *folder.parents):
                if place != root and root not in place.parents:
                    break
                with contextlib.suppress(OSError, ValueError):  # "max" is no limit
                    found.append(int((place / name).read_text(encoding="utf-8")))
    return min(found, default=None)


def _of_limits() -> int | None:
    """Return what ``ulimit -v`` says, where there is such a thing."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        return None if soft == resource.RLIM_INFINITY else int(soft)
    return None


def check(needed: int, what: str, advice: str) -> None:
    """Check that something fits into the memory that there is.

    Args:
        needed: How many bytes it takes at least.
        what: What it is, for the error.
        advice: What to do if it does not fit.

    Raises:
        NotEnoughMemoryError: If it does not fit.
    """
    there = available()
    if needed > (UNKNOWN if there is None else there):
        has = "far more than a machine has" if there is None else f"and there are {format_bytes(there)} in all"
        raise NotEnoughMemoryError(f"{what} needs at least {format_bytes(needed)} of memory, {has}: {advice}")


SMALLER = "make the model smaller (num_hiddens, num_layers), or the minibatch (batch_size, num_steps)"


def is_lack_of_memory(error: BaseException) -> bool:
    """Tell whether an error, of whatever framework, says that there was no memory left."""
    if isinstance(error, MemoryError) or any(kind.__name__ in _KINDS for kind in type(error).__mro__):
        return True
    if isinstance(error, ValueError):  # NumPy's, and no other, which may quote anything
        return _SAID_BY_NUMPY.search(str(error)[:2000]) is not None
    return isinstance(error, RuntimeError) and _SAID.search(str(error)[:2000]) is not None


@contextlib.contextmanager
def explained(what: str, advice: str = SMALLER) -> Iterator[None]:
    """Turn a framework's error that says that there is no memory left into one that says what to do.

    Args:
        what: What was done, for the error.
        advice: What to do.

    Raises:
        NotEnoughMemoryError: If there was no memory left.
    """
    try:
        yield
    except D2LRNNError:
        raise
    except Exception as error:
        if not is_lack_of_memory(error):
            raise
        there = available()
        has = "" if there is None else f", of {format_bytes(there)} in all"
        raise NotEnoughMemoryError(f"there is not enough memory{has} for {what}: {advice}") from None
