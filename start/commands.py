"""The commands: ``python3 start COMMAND``, which ``make COMMAND`` runs too."""

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import machine
from installer import (
    BUILD,
    FRAMEWORKS,
    LOG,
    ROOT,
    Installer,
    SetupError,
    Words,
    alone,
    call,
    environment,
    fingerprint,
    say,
    stop,
)

PROGRAM = "python3 start"
ALL = "parity"  # the environment with all frameworks
TESTED = ("lint", "base", "torch", "mxnet", "tensorflow", ALL)
# Few enough epochs to end within three minutes on two cores; the book trains for 500.
COMPARE = ("--epochs", "100", "--seed", "1")
MEASURED = BUILD / "compare.json"  # which the site shows
# What NumPy trains in the first minute, while the frameworks are fetched
FIRST_RUN = BUILD / "first-minute"
FIRST = ("--backend", "numpy", "--num-hiddens", "256", "--epochs", "100", "--seed", "1")
MORE = ("lowest", "mutation", "audit")  # environments that are tested when they are named
TOX = ROOT / ".tox"
MADE = "made.json"  # in that folder: for what its environments were made, and with which frameworks
OLDEST_FOR_SITE = (3, 11)


def compare(arguments: Sequence[str]) -> int:
    """Train the book's model in every framework, and put them side by side: a table, compare.png, report.html."""
    install_all(first_minute=True)
    if arguments:
        return call([environment(ALL) / "d2lrnn", "compare", *arguments])
    return _measure(Path())


def test(arguments: Sequence[str]) -> int:
    """Run all tests, each backend's in an environment of its own; or those that are named. pytest's words follow --."""
    named, pytest = list(arguments), []
    if "--" in named:
        place = named.index("--")
        named, pytest = named[:place], named[place:]
    if unknown := [name for name in named if name not in TESTED + MORE]:
        raise SetupError(f"no environment is named {', '.join(unknown)}: use some of {', '.join(TESTED + MORE)}")
    say("Fetching uv and tox, then what the tests need, into .bootstrap and .tox.")
    _forget_what_is_stale()
    installer = Installer()
    able, problems = installer.available()
    if lack := machine.libraries.lack_of_mxnet():
        problems.setdefault("mxnet", lack)
    left_out = dict(problems)
    if problems:
        left_out[ALL] = f"it needs all frameworks: {'; '.join(problems.values())}"
    names = named or list(TESTED)
    left_out = {name: problem for name, problem in left_out.items() if name in names}
    if named and left_out:
        raise SetupError("\n".join(f"{name} cannot be tested here: {problem}" for name, problem in left_out.items()))
    names = [name for name in names if name not in left_out]
    _say_what_is_left_out(left_out)
    if len(names) > 1:
        size = installer.size + 2
        say(f"Testing {', '.join(names)}: about 16 minutes on two cores, and {size:.0f} GB on disk in all.")
        command, environ = installer.tox("run-parallel", "--parallel", "auto", "-e", ",".join(names), *pytest)
    else:
        command, environ = installer.tox("run", "-e", names[0], *pytest)
    code = call(command, env=environ)
    _keep_what_was_made(able if ALL in names else _made().get("frameworks", []))
    _say_what_is_left_out(left_out)
    return code


def _made() -> dict[str, Any]:
    """Return for what the environments were made, and which frameworks the one with all has."""
    try:
        return dict(json.loads((TOX / MADE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _keep_what_was_made(frameworks: Sequence[str]) -> None:
    TOX.mkdir(exist_ok=True)
    document = {"for": fingerprint(), "frameworks": list(frameworks)}
    (TOX / MADE).write_text(json.dumps(document), encoding="utf-8")


def _forget_what_is_stale() -> None:
    """Remove environments of another Python or of other versions; their files are in the cache, if they fit again."""
    if TOX.is_dir() and _made().get("for") != fingerprint():
        shutil.rmtree(TOX)


def _say_what_is_left_out(left_out: Mapping[str, str]) -> None:
    for name, problem in left_out.items():
        say(f"LEFT OUT: the tests of {name}: {problem}")


def lint(arguments: Sequence[str]) -> int:
    """Check the code: ruff and mypy."""
    command, environ = Installer().tox("run", "-e", "lint", *arguments)
    return call(command, env=environ)


def notebooks(arguments: Sequence[str]) -> int:
    """Write the notebooks of the lessons, after a change to one."""
    return _generator("write", *arguments)


def lessons(arguments: Sequence[str]) -> int:
    """Execute all lessons, and keep them with their outputs in build/lessons."""
    return _generator("execute", *arguments)


def _generator(*words: str) -> int:
    install_all()
    return call([environment(ALL) / "python", ROOT / "notebooks" / "generator", *words])


def site(arguments: Sequence[str]) -> int:
    """Build the site in build/site: executes what was not executed yet, and measures what its comparison page shows."""
    if sys.version_info[:2] < OLDEST_FOR_SITE:
        raise SetupError("the site needs Python 3.11 or later: name one (PYTHON=python3.12 make site)")
    if code := _generator("execute", "--stale", *arguments):
        return code
    sources = [*(ROOT / "d2lrnn").rglob("*.py"), ROOT / "start" / "commands.py"]
    if not MEASURED.is_file() or MEASURED.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        say("Comparing all frameworks, for the site's page of that ...")
        if _measure(BUILD.relative_to(ROOT)) != 0:
            raise SetupError("the comparison failed, so that the site's page of it cannot be made")
    for folder in ("site", "doctrees"):
        shutil.rmtree(BUILD / folder, ignore_errors=True)
    sphinx: Words = [
        environment(ALL) / "sphinx-build",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        BUILD / "doctrees",
        "-b",
        "html",
    ]
    if code := call([*sphinx, ROOT / "notebooks" / "site", BUILD / "site"]):
        return code
    say("the site: build/site/index.html")
    return 0


def _measure(folder: Path) -> int:
    """Compare all frameworks, into a folder, and keep what came of it for the site too; return the exit code."""
    BUILD.mkdir(exist_ok=True)
    document, picture = BUILD / "measured.json", folder / "compare.png"
    files = ("--document", document.relative_to(ROOT), "--png", picture, "--html", folder / "report.html")
    code = call([environment(ALL) / "d2lrnn", "compare", *COMPARE, *files])
    if code == 0:
        picture = ROOT / picture
        if picture != MEASURED.with_suffix(".png"):
            shutil.copyfile(picture, MEASURED.with_suffix(".png"))
        document.replace(MEASURED)
    return code


def test_site(arguments: Sequence[str]) -> int:
    """Check the built site in a real browser."""
    install_all()
    return call([environment(ALL) / "python", "-m", "pytest", *(arguments or ["tests"]), "-m", "site"])


def bench(arguments: Sequence[str]) -> int:
    """Measure speed and memory, against the book's own package, into benchmarks/RESULTS.md: half an hour."""
    installer = install_all()
    say("Fetching the book's package ...")  # by the environment's commands: pip would not take its requirements
    installer.wait_for(installer.start_making("book"), "the book's package")
    script: Words = [environment(ALL) / "python", ROOT / "benchmarks" / "bench.py"]
    return call([*script, "--book-python", environment("book") / "python", *arguments])


def accuracy(arguments: Sequence[str]) -> int:
    """Measure how far each backend's rounding is from float64, into benchmarks/RESULTS.md: minutes."""
    return _measuring("benchmarks/accuracy.py", arguments)


def long_runs(arguments: Sequence[str]) -> int:
    """Train, predict and resume in one process a backend, and see whether it grows: half an hour in each (Linux)."""
    return _measuring("benchmarks/long_run.py", arguments)


def reproduce(arguments: Sequence[str]) -> int:
    """Train what the book prints perplexities of, over three seeds, into benchmarks/RESULTS.md: an hour or two."""
    return _measuring("benchmarks/reproduce.py", arguments)


def faults(arguments: Sequence[str]) -> int:
    """Try what goes wrong, for real: hostile files, signals, full disks, into RESULTS.md (not on Windows)."""
    return _measuring("faults", arguments)


def _measuring(program: str, arguments: Sequence[str]) -> int:
    install_all()
    return call([environment(ALL) / "python", ROOT / program, *arguments])


def clean(arguments: Sequence[str]) -> int:
    """Remove all that these commands have made."""
    if arguments:
        raise SetupError(f"clean removes everything, and takes no {' '.join(arguments)}")
    for name in (".bootstrap", ".tox", "build", "dist", "mutants"):
        if (ROOT / name).exists():
            shutil.rmtree(ROOT / name)
    return 0


def install_all(*, first_minute: bool = False) -> Installer:
    """Make the environment with all frameworks, or bring it up to date, and return its :class:`Installer`.

    Args:
        first_minute: Whether NumPy trains on the screen meanwhile, where it takes long.

    Raises:
        SetupError: If that fails.
    """
    _forget_what_is_stale()
    titles = ", ".join(FRAMEWORKS.values())
    if shutil.which("d2lrnn", path=environment(ALL)) and _made().get("frameworks") == list(FRAMEWORKS):
        installer = Installer()
        installer.wait_for(installer.start_making(ALL, "--notest"), titles)
        return installer
    say("Everything is put into this folder (.bootstrap, .tox, build); the command clean removes these three.")
    say("Fetching uv and tox, which fetch the rest (70 MB) ...")
    LOG.unlink(missing_ok=True)
    installer = Installer()
    able, problems = installer.available()
    titles = " and ".join(", ".join([FRAMEWORKS[name] for name in able]).rsplit(", ", 1)) or "the tools"
    for problem in problems.values():
        say(f"LEFT OUT: {problem}")
    if "mxnet" in able and (lack := machine.libraries.lack_of_mxnet()):
        say(f"{lack}. Without them its row stays empty.")
    if installer.cuda and not machine.has_nvidia_gpu():
        say("PyTorch's index of builds without CUDA cannot be reached: the build with CUDA is fetched, 3 GB more.")
    installer.choose(able)
    if first_minute:
        say("Fetching d2lrnn and NumPy (200 MB on disk) ...")
        programs = installer.small_environment()
    say(f"Fetching {titles}, {installer.size:.0f} GB on disk, with its words in {LOG.relative_to(ROOT)} ...")
    process = installer.start_making(ALL, "--notest")
    try:
        if first_minute:
            say("Meanwhile the same model in NumPy, with 256 units:", "")
            shutil.rmtree(FIRST_RUN, ignore_errors=True)
            call([programs / "d2lrnn", "train", *FIRST, "--out", FIRST_RUN.relative_to(ROOT)], stdout=sys.stderr)
            say("")
        installer.wait_for(process, titles)
    except BaseException:
        stop(process)
        raise
    _keep_what_was_made(able)
    return installer


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "compare": compare,
    "test": test,
    "lint": lint,
    "notebooks": notebooks,
    "lessons": lessons,
    "site": site,
    "test-site": test_site,
    "bench": bench,
    "accuracy": accuracy,
    "long-runs": long_runs,
    "reproduce": reproduce,
    "faults": faults,
    "clean": clean,
}


def main(arguments: Sequence[str]) -> int:
    """Run the command that is named, and return its exit code."""
    told = "\n".join(f"  {name:<10} {str(function.__doc__).splitlines()[0]}" for name, function in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Each command sets up what it needs, in this folder.",
        epilog=f"commands:\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to what the command runs")
    args = parser.parse_args(arguments)
    if args.arguments[:1] in (["-h"], ["--help"]):
        print(f"{PROGRAM} {args.command}: {COMMANDS[args.command].__doc__}")
        return 0
    # What a container or a job that is cancelled sends; tox and uv must not go on without us
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with alone():
            return COMMANDS[args.command](args.arguments)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"error: {error.strerror or error}{where}: make room or give access to this folder", file=sys.stderr)
        return 2
