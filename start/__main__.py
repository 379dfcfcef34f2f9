"""Everything there is to do in a clone, with nothing but Python: ``python3 start compare``, ``python3 start test``, ...

This file runs on any Python, old ones too, and looks for one that will do; the rest of the folder is for that one.
"""

import os
import subprocess
import sys

OLDEST, NEWEST = (3, 10), (3, 14)
HOW_TO_GET_ONE = """\
Get one, and run the command with it (make test PYTHON=python3.12; python3.12 start test; Windows: py -3.12 start test):
  Debian, Ubuntu   apt install python3 python3-pip
  Fedora           dnf install python3.12
  macOS            brew install python@3.12, or python.org
  Windows          winget install Python.Python.3.12, or python.org
  any system       uv python install 3.12 (https://docs.astral.sh/uv), which needs no rights
"""


def supported(version):
    """Return whether a version of Python, a pair of numbers, is one that d2lrnn runs on."""
    return OLDEST <= tuple(version[:2]) <= NEWEST


def ask(command):
    """Return the version and the path of an interpreter, or None if this is none.

    Args:
        command: The words that run it.
    """
    # A file, not -c: that would put the current folder on its path, and some Pythons import something even so
    which = os.path.join(os.path.dirname(os.path.abspath(__file__)), "which.py")  # noqa: PTH100, PTH118, PTH120
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 (old Pythons have no Path)
            said = subprocess.check_output(list(command) + [which], stderr=nowhere)  # noqa: RUF005
        version, path = said.decode("utf-8").splitlines()[:2]
        return [int(part) for part in version.split(".")], path
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def another_python():
    """Return the path of an interpreter that will do, or None: the newest with all frameworks first."""
    for minor in [13, 12, 11, 10, 14]:
        name = "3.%d" % minor  # noqa: UP031 (old Pythons run this)
        for command in (["python" + name], ["py", "-" + name]):
            found = ask(command)
            if found is not None and supported(found[0]):
                return found[1]
    return None


def refusal(version, named):
    """Return what is said of an interpreter that will not do.

    Args:
        version: Its version.
        named: What PYTHON says, or nothing.
    """
    here = ".".join(str(part) for part in version)
    what = "PYTHON=" + named + " is " + here if named else "this is " + here + ", and no other one is on the path"
    return "d2lrnn needs Python %d.%d to %d.%d: " % (OLDEST + NEWEST) + what + ".\n" + HOW_TO_GET_ONE  # noqa: UP031


def hand_over(python):
    """Run the same command with another interpreter, in the place of this one."""
    words = [python, os.path.dirname(os.path.abspath(__file__))] + sys.argv[1:]  # noqa: PTH100, PTH120, RUF005
    if os.name != "posix":
        return subprocess.call(words)
    sys.stderr.flush()
    return os.execv(python, words)


def main():
    """Run a command, or hand it to another Python; return the exit code."""
    version, named = list(sys.version_info[:3]), os.environ.pop("PYTHON", "")
    if named:
        found = ask([named])
        if found is None:
            sys.stderr.write("PYTHON=" + named + " is no Python that can be run.\n" + HOW_TO_GET_ONE)
            return 2
        if not supported(found[0]):
            sys.stderr.write(refusal(found[0], named))
            return 2
        if os.path.realpath(found[1]) != os.path.realpath(sys.executable):
            return hand_over(found[1])
    elif not supported(version):
        python = another_python()
        if python is None:
            sys.stderr.write(refusal(version, named))
            return 2
        sys.stderr.write("Python %d.%d is not supported: using %s\n" % (version[0], version[1], python))  # noqa: UP031
        return hand_over(python)
    import commands

    return commands.main(sys.argv[1:])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
