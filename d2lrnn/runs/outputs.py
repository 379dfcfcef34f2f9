"""Files that a command is to write, checked before hours are spent on what goes into them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from d2lrnn.errors import InputError
from d2lrnn.runs.run_folder import is_of_a_run
from d2lrnn.system.pictures import check_kind
from d2lrnn.system.wording import also


def check_output(path: str | Path, what: str, endings: Sequence[str] | None, option: str) -> None:
    """Check that a file can be written, before hours go into what it shows.

    Args:
        path: The file.
        what: What it holds, for the message.
        endings: Those that it may have, in small letters and without their dot; None for any.
        option: The option that names another file.

    Raises:
        InputError: If its folder is not there or not writable, or its ending is another one.
    """
    path = Path(path)
    try:
        if endings is not None and path.suffix.lower().lstrip(".") not in endings:
            reason = f"its ending must be one of {', '.join(endings)}"
        elif not path.parent.is_dir():
            reason = f"there is no folder {str(path.parent)!r}"
        elif path.is_dir() or (path.exists() and not os.access(path, os.W_OK)):
            reason = "it is not writable"
        elif path.exists() and not path.is_file():
            reason = "it is no regular file, but a pipe or a device, whose place a file would take"
        elif is_of_a_run(path):
            reason = f"the run in {str(path.parent)!r} is kept in it"
        elif not os.access(path.parent, os.W_OK):  # a file that is there is replaced, which takes more than writing it
            reason = f"the folder {str(path.parent)!r} is not writable"
        else:
            with contextlib.suppress(FileNotFoundError):
                path.lstat()  # what the disk says against the name
            with tempfile.TemporaryFile(dir=path.parent):  # and against another file
                return
    except OSError as error:  # a name that is too long, for one
        reason = error.strerror or str(error)
    raise InputError(
        f"cannot write {what} to {str(path)!r}: {reason}; name another file{also(option, form=' with {}')}"
    )


def check_picture(path: str | Path) -> None:
    """Check that a picture can be written to a path, before hours go into what it shows.

    Raises:
        InputError: If its folder is not there or not writable, or Matplotlib cannot draw what its ending says.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    check_output(path, "the curves", sorted(FigureCanvasAgg.get_supported_filetypes()), "png")
    path = Path(path)
    other = also("png", form=" (name another with {})")
    check_kind(path.suffix.lower().lstrip("."), f"cannot write the curves to {str(path)!r}{other}")
