"""How an error is told: in one line, with the exit code that it has."""

from __future__ import annotations

import errno

from d2lrnn.cli import exit
from d2lrnn.errors import D2LRNNError
from d2lrnn.system import memory
from d2lrnn.system.formatting import format_bytes


def tell_of(error: Exception) -> int:
    """Tell of an error in one line, and return the exit code."""
    if isinstance(error, D2LRNNError):
        said = str(error)
    elif isinstance(error, MemoryError):
        there = memory.available()
        said = f"there is no memory left{'' if there is None else f' of {format_bytes(there)}'}: {memory.SMALLER}"
    elif isinstance(error, OSError):
        said = _explain(error)
    else:
        return exit.unexpected(error)
    exit.tell(f"d2lrnn: error: {said}")
    return 2


def _explain(error: OSError) -> str:
    """Return what the system said, of which file, and what may be done."""
    names = [repr(str(name)) for name in (error.filename, error.filename2) if name is not None]
    where = f"cannot use {' or '.join(names)}: " if names else ""
    advice = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "; is the disk full?"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "; check who owns it and who may write there"
    return f"{where}{error.strerror or error or type(error).__name__}{advice}"
