"""What make faults finds: with a command that does what none may do, each must be seen."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).parents[2] / "faults"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands are shell scripts here")


@pytest.fixture
def place(monkeypatch):
    """Return the module that tries faults, and forget what it knows afterwards."""
    monkeypatch.syspath_prepend(str(FAULTS))
    known = set(sys.modules)
    import place

    monkeypatch.setattr(place, "FAULTS", [])
    yield place
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(FAULTS)):
            del sys.modules[name]


@pytest.fixture
def verdict(place, monkeypatch, tmp_path):
    """Return the verdict on a shell script in the place of d2lrnn."""

    def try_it(script, attempt=lambda there: there.run("show"), **options):
        command = tmp_path / "d2lrnn"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o700)
        monkeypatch.setattr(place, "COMMAND", str(command))
        place.fault("a group", "a fault", **options)(attempt)
        return place.attempt(place.FAULTS[-1], ())

    return try_it


def test_an_error_line_is_survived(verdict):
    found = verdict("echo error: no >&2; exit 2", lambda there: there.refused(there.run("show")))
    assert found.survived
    assert (found.commands, found.said, found.peak > 0) == (1, "error: no", True)


@pytest.mark.parametrize("script", [
    "echo 'Traceback (most recent call last):' >&2; echo 'ValueError: no' >&2; exit 1",
    "exit 70",
])  # fmt: skip
def test_what_nobody_foresaw_is_a_traceback(verdict, script):
    found = verdict(script)
    assert (found.tracebacks, found.survived) == (1, False)


def test_code_that_ran_is_seen(verdict):
    found = verdict("touch executed")
    assert found.executed
    assert not found.survived


@pytest.mark.parametrize(("script", "wrong"), [
    ("exit 0", "show: not refused: "),
    ("head -c 5000 /dev/zero | tr '\\0' x >&2; exit 2", "show: an error of 5,000 bytes"),
    ("kill -SEGV $$", "show: crashed (-11)"),
])  # fmt: skip
def test_what_is_not_refused_in_a_few_words(verdict, script, wrong):
    found = verdict(script, lambda there: there.refused(there.run("show")))
    assert wrong in found.wrong
    assert not found.survived


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="macOS has waitid since Python 3.13")
@pytest.mark.parametrize("meet", [
    lambda process: process.send(signal.SIGINT),
    lambda process: process.until(lambda: False),
], ids=["a signal that comes too late", "waiting for what does not come"])  # fmt: skip
def test_a_command_that_ends_first_is_seen_with_its_code_and_its_memory(verdict, meet):
    outcomes = []

    def attempt(there):
        process = there.start("show")
        os.waitid(os.P_PID, process.process.pid, os.WEXITED | os.WNOWAIT)
        meet(process)
        outcomes.append(process.end())

    found = verdict("exit 3", attempt)
    assert found.wrong == ()
    assert (outcomes[0].code, outcomes[0].peak > 0) == (3, True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a process's children")
def test_what_never_ends_is_ended_with_all_that_it_started(verdict, place):
    children = []

    def attempt(there):
        process = there.start("show")
        assert process.until(process.children)
        children.extend(process.children())
        process.end(0.1)

    found = verdict("sleep 1000 & sleep 1000", attempt)
    assert found.wrong == ("show: no end within 0 s",)
    assert not [child for child in children if Path(f"/proc/{child}/exe").exists()]


def test_what_is_lost_and_how_much_memory_was_taken(verdict, place):
    found = verdict("echo lost; exit 1", lambda there: there.keeps(there.run("show").code == 0, "a run"))
    assert (found.lost, found.survived) == (("a run",), False)
    script = f"exec {sys.executable} -c 'x = b\"x\" * (1 << 28)'"
    assert not verdict(script, memory=128).survived
    assert verdict(script, memory=1024).survived


def test_what_cannot_be_tried_is_skipped_with_a_reason(verdict, place):
    def attempt(there):
        raise place.Skip("no such device")

    assert verdict("exit 0", attempt).skipped == "no such device"


@pytest.fixture
def program(place):
    """Return faults/__main__.py as a module."""
    spec = importlib.util.spec_from_file_location("main_of_faults", FAULTS / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_counts_each_group_and_all(program, verdict):
    verdicts = [verdict("exit 0"), verdict("exit 70"), verdict("exit 0", lambda there: there.lost.append("a run"))]
    group, everything = program.table(verdicts)[2:]
    assert group.startswith("| a group | 3 | 1 | 0 | 2 | 1 | 0 | 1 | ")
    assert everything == group.replace("a group", "**all**")
    text = program.report(verdicts, 3)
    assert "- a group, a fault: a run" in text
    assert "in 3 minutes" in text


def test_every_fault_has_a_group_and_a_name_of_its_own(place, program):
    names = [(fault.group, fault.name) for fault in program.FAULTS]
    assert len(names) == len(set(names)) > 40
    assert len({group for group, _ in names}) >= 8
