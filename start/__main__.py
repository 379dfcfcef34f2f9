"""Everything there is to do in a clone, with nothing but Python: ``python3 start compare``, ``python3 start test``, ...

This file runs on any Python, old ones too, and looks for one that will do; the rest of the folder is for that one.
"""

import os
import subprocess
import sys

OLDEST, NEWEST = (3, 10), (3, 14)
HOW_TO_GET_ONE = """\
Get one, and name it (PYTHON=python3.12 make compare, or python3.12 start compare):
  Debian, Ubuntu   apt install python3 python3-pip
  Fedora           dnf install python3.12
  macOS            brew install python@3.12, or python.org
  Windows          winget install Python.Python.3.12, or python.org
  any system       uv python install 3.12 (https://docs.astral.sh/uv), which needs no rights
"""


def supported(version):
    """Return whether a version of Python, a pair of numbers, is one that d2lrnn runs on."""
    return OLDEST <= tuple(version[:2]) <= NEWEST


def version_of(python):
    """Return the version of an interpreter as a list of numbers, or None if there is none of this name."""
    code = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 (old Pythons have no Path)
            said = subprocess.check_output([python, "-c", code], stderr=nowhere)
        return [int(part) for part in said.decode("ascii").split(".")]
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def another_python():
    """Return the name of an interpreter on the path that will do, the newest one first, or None."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        name = "python%d.%d" % (NEWEST[0], minor)  # noqa: UP031 (old Pythons run this)
        version = version_of(name)
        if version is not None and supported(version):
            return name
    return None


def refusal(version, named):
    """Return what is said of an interpreter that will not do.

    Args:
        version: Its version.
        named: Whether somebody chose it.
    """
    here = ".".join(str(part) for part in version)
    what = "%s, which PYTHON names, is Python %s" % (sys.executable, here) if named else "this is Python " + here  # noqa: UP031
    ours = "d2lrnn needs Python %d.%d to %d.%d" % (OLDEST + NEWEST)  # noqa: UP031
    nor = "" if named else ", and no other one is on the path"
    return ours + ": " + what + nor + ".\n" + HOW_TO_GET_ONE


def main():
    """Run a command, or hand it to another Python; return the exit code."""
    version = list(sys.version_info[:3])
    if not supported(version):
        named = bool(os.environ.get("PYTHON"))
        python = None if named else another_python()
        if python is None:
            sys.stderr.write(refusal(version, named))
            return 2
        sys.stderr.write("Python %d.%d is not supported: using %s\n" % (version[0], version[1], python))  # noqa: UP031
        return subprocess.call([python, os.path.dirname(os.path.abspath(__file__))] + sys.argv[1:])  # noqa: PTH100, PTH120, RUF005
    import commands

    return commands.main(sys.argv[1:])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
