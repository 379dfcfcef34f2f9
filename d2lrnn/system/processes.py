"""The words of a Python process that another one starts: it imports nothing from the folder that it is started in.

``python -m`` and ``python -c`` put the current folder first on the path. A ``random.py`` or a ``torch.py`` that lies
there, a student's own or one from an archive, would run in place of the real one.

The commands of a clone ask before anything is installed, so this needs Python's own library only.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["python", "python_code"]

_PACKAGE = Path(__file__).resolve().parents[1]

# What -P does, which Python 3.10 does not have. At this point the current folder is '' there, and nothing has been
# imported from it yet.
_SAFE = "import sys; sys.path[:] = filter(None, sys.path)\n"
_START = (
    _SAFE
    + """\
import runpy
name = sys.argv.pop(1)
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""
)
# The package is the one that this process has: it may have been found where the other process must not look
_START_OURS = (
    _SAFE
    + """\
import runpy
from importlib import util
from pathlib import Path
folder, name = sys.argv.pop(1), sys.argv.pop(1)
if "d2lrnn" not in sys.modules:
    init = Path(folder, "__init__.py")
    spec = util.spec_from_file_location("d2lrnn", init, submodule_search_locations=[folder])
    sys.modules["d2lrnn"] = util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["d2lrnn"])
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""
)


def python(module: str, *words: str) -> list[str]:
    """Return the words that run a module with this Python, as ``python -m`` does but without the current folder.

    Args:
        module: Its name. One of d2lrnn is of the package that this process has.
        *words: Its arguments.
    """
    # From 3.13 on -c itself imports a module of Python's before it runs the code, so _SAFE alone would be too late
    safe = ["-P"] if sys.version_info >= (3, 11) else []
    if module.partition(".")[0] == _PACKAGE.name:
        return [sys.executable, *safe, "-c", _START_OURS, str(_PACKAGE), module, *words]
    if safe:
        return [sys.executable, *safe, "-m", module, *words]
    return [sys.executable, "-c", _START, module, *words]


def python_code(interpreter: str, code: str) -> list[str]:
    """Return the words that run code with any Python 3, as ``python -c`` does but without the current folder.

    It knows neither Python's variables, such as ``PYTHONPATH``, nor what a user has installed for themselves only.

    Args:
        interpreter: The path of the Python, whose version is not known yet.
        code: The code.
    """
    return [interpreter, "-I", "-c", code]
