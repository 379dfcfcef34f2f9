"""The command line: its help, its errors (exit code 2, one line, no traceback) and what it prints."""

import errno
import json
import re
import subprocess
import sys
import warnings

import pytest
from command_line import STORY, last_line
from matplotlib.axes import Axes

from d2lrnn.cli.parser import make_parser
from d2lrnn.core import backends
from d2lrnn.data import corpora, downloads
from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.runs import show

COMMANDS = ["backends", "train", "resume", "predict", "convert", "show", "compare"]


@pytest.mark.parametrize("args", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help(run, args):
    code, out, _ = run(*args)
    assert code == 0
    assert "usage: d2lrnn" in out


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(run, option):
    code, out, _ = run(option)
    assert code == 0
    assert re.fullmatch(r"d2lrnn \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize("module", ["d2lrnn.cli.main", "d2lrnn"])
def test_the_installed_command_is_this_one(module):
    result = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, check=False)
    assert result.stdout.startswith(b"d2lrnn ")
    assert result.stderr == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_completes_our_words(run, tmp_path, shell):
    code, out, err = run("--print-completion", shell)
    assert (code, err) == (0, "")
    if shell == "bash":
        (tmp_path / "completion").write_text(out)
        words = 'COMP_WORDS=(d2lrnn tr) COMP_CWORD=1 COMP_LINE="d2lrnn tr"; _shtab_d2lrnn; echo "${COMPREPLY[@]}"'
        done = subprocess.run(
            ["bash", "-c", f"source completion; {words}"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["train"]
    assert "num-hiddens" in out
    code, out, err = run("--print-completion", "powershell")
    assert (code, out) == (2, "")
    assert "choose from bash, zsh, tcsh" in last_line(err).replace("'", "")  # quoted before Python 3.13.1


BAD_ARGUMENTS = {
    "no command": ([], "required: COMMAND"),
    "unknown command": (["trian"], "invalid choice: 'trian'"),
    "unknown backend": (["train", "--backend", "jax"], "invalid choice: 'jax'"),
    "unknown backends": (["compare", "--backends", "torch,jax"], "unknown backend 'jax': use one of torch, mxnet"),
    "no backends": (["compare", "--backends", ","], "no backend is named"),
    "unknown model": (["train", "--backend", "torch", "--model", "bert"], "invalid choice: 'bert'"),
    "no epochs": (["train", "--backend", "torch", "--epochs", "0"], "a whole number of at least 1, got '0'"),
    "negative units": (["train", "--backend", "torch", "--num-hiddens", "-5"], "at least 1, got '-5'"),
    "half a layer": (["train", "--backend", "torch", "--num-layers", "0.5"], "at least 1, got '0.5'"),
    "words for steps": (["train", "--backend", "torch", "--num-steps", "many"], "at least 1, got 'many'"),
    "no tokens": (["train", "--backend", "torch", "--max-tokens", "0"], "at least 1, or -1, got '0'"),
    "zero lr": (["train", "--backend", "torch", "--lr", "0"], "a positive finite number, got '0'"),
    "infinite lr": (["train", "--backend", "torch", "--lr", "inf"], "a positive finite number, got 'inf'"),
    "all held out": (["train", "--backend", "torch", "--valid-fraction", "1"], "from 0 to below 1, got '1'"),
    "negative seed": (["train", "--backend", "torch", "--seed", "-1"], "at least 0, got '-1'"),
    "unknown sampling": (["train", "--backend", "torch", "--sampling", "bootstrap"], "invalid choice: 'bootstrap'"),
}


@pytest.mark.parametrize(("args", "message"), BAD_ARGUMENTS.values(), ids=list(BAD_ARGUMENTS))
def test_arguments_that_cannot_be_used(run, args, message):
    code, out, err = run(*args)
    assert code == 2
    assert out == ""
    assert message in last_line(err)


NAMES = {
    "the text": ["train", "--corpus", ""],
    "a new run": ["train", "--out", ""],
    "a run": ["predict", ""],
    "one of several runs": ["show", "a", ""],
    "the curves": ["show", "a", "--png", ""],
    "the report": ["compare", "--html", ""],
    "what to convert": ["convert", "", "--out", "a.npz"],
    "what it becomes": ["convert", "a", "--out", "", "--backend", "torch"],
    "the vocabulary": ["convert", "a.npz", "--out", "a", "--vocab", ""],
}


@pytest.mark.parametrize("args", NAMES.values(), ids=list(NAMES))
def test_an_empty_name_is_not_taken_for_the_current_folder(run, args):
    """It is what a variable of a shell gives that is not set."""
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert "expected the name of a file or a folder, got ''" in last_line(err)


def test_of_many_runs_the_best_are_drawn_by_name_and_the_others_in_grey(run, monkeypatch):
    run("train", "--backend", "numpy", *STORY, "--epochs", 1, "--out", "one")
    (row,) = show.show(["one"])
    rows = [{**row, "out": f"run-{n}" + "x" * 200 * (n == 9), "perplexity": 46.0 - n if n else None} for n in range(46)]
    monkeypatch.setattr(show, "show", lambda paths: rows)
    drawn = []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda self, *data, **look: drawn.append(look) or plot(self, *data, **look))
    code, out, err = run("show", "runs")
    assert (code, err) == (0, "")
    assert "curves: runs.png (10 of 46 runs by name, those with the lowest perplexities; the others in grey)" in out
    labels = [look["label"] for look in drawn if look["label"] is not None]
    assert labels == ["36 others", *(f"run-{n}" for n in range(36, 46))]
    assert sum(look.get("color") == "0.8" for look in drawn) == 36
    drawn.clear()
    monkeypatch.setattr(show, "show", lambda paths: rows[:10])
    assert run("show", "runs")[1].endswith("curves: runs.png\n")
    labels = [look["label"] for look in drawn]
    assert labels == [*(f"run-{n}" for n in range(9)), "..." + "x" * 50]


MISTAKES = {
    "command": (["tran"], "", "did you mean 'train'?"),
    "option": (["train", "--backend", "torch", "--epoks", "3"], "train", "--epoks 3; did you mean '--epochs'?"),
    "option with a value": (["train", "--backend", "torch", "--epoks=3"], "train", "did you mean '--epochs'?"),
    "option of the whole": (["show", "a", "--Json"], "show", "did you mean '--json'?"),
    "choice": (["train", "--backend", "torhc"], "train", "did you mean 'torch'?"),
    "model": (["convert", "a", "--out", "b", "--model", "lsmt"], "convert", "did you mean 'lstm'?"),
    "list": (["compare", "--backends", "torch,mxnte"], "compare", "did you mean 'mxnet'?"),
    "prefix": (["predict", "a", "--prefix", "-the"], "predict", "written with =, as in --prefix=-the"),
    "second prefix": (["predict", "a", "--prefix", "it", "-the"], "predict", "written with =, as in --prefix=-the"),
    "file": (["convert", "a", "--out", "-b.pt"], "convert", "written with =, as in --out=-b.pt"),
    "nothing like it": (["train", "--backend", "torch", "--zzz"], "train", "unrecognized arguments: --zzz (see "),
    "no value": (["train", "--backend"], "train", "argument --backend: expected one argument (see "),
}


@pytest.mark.parametrize(("args", "command", "advice"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_shows_the_commands_own_usage_and_what_was_meant(run, args, command, advice):
    code, out, err = run(*args)
    whole = f"d2lrnn {command}".strip()
    assert (code, out) == (2, "")
    assert err.startswith(f"usage: {whole} [-h]")
    assert last_line(err).startswith(f"{whole}: error: ")
    assert last_line(err).endswith(f"(see '{whole} --help')")
    assert advice in last_line(err)


def test_a_prefix_with_a_hyphen_is_taken_as_the_advice_says():
    args = make_parser().parse_args(["predict", "a", "--prefix=-the", "--prefix", "sea"])
    assert args.prefixes == ["-the", "sea"]


SYSTEM_ERRORS = {
    "denied": (PermissionError(errno.EACCES, "Permission denied", "notes.txt"),
               "cannot use 'notes.txt': Permission denied; check who owns it and who may write there"),
    "full": (OSError(errno.ENOSPC, "No space left on device", "a.txt"),
             "cannot use 'a.txt': No space left on device; is the disk full?"),
    "quota": (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded; is the disk full?"),
    "failing": (OSError(errno.EIO, "Input/output error", "a", None, "b"), "cannot use 'a' or 'b': Input/output error"),
    "not of the system": (OSError("read of closed pipe"), "read of closed pipe"),
}  # fmt: skip


@pytest.mark.parametrize(("error", "said"), SYSTEM_ERRORS.values(), ids=list(SYSTEM_ERRORS))
def test_an_error_of_the_system_is_told_as_it_is(run, monkeypatch, error, said):
    monkeypatch.setattr(show, "show", lambda paths: (_ for _ in ()).throw(error))
    code, out, err = run("show", "a")
    assert (code, out, err) == (2, "", f"d2lrnn: error: {said}\n")


def test_a_thing_is_warned_about_once_in_a_command(run, monkeypatch):
    def warn(paths):
        for words in ("a text is not here", "a text is not here", "another one"):
            warnings.warn(words, D2LRNNWarning, stacklevel=2)
        return []

    monkeypatch.setattr(show, "show", warn)
    for _ in range(2):  # and again in the next one
        _, _, err = run("show", "a")
        assert err == "d2lrnn: warning: a text is not here\nd2lrnn: warning: another one\n"


def test_the_list_of_backends_tells_how_to_install_what_is_missing(run, nothing_installed):
    code, out, _ = run("backends", "--json")
    rows = json.loads(out)["backends"]
    assert code == 0
    assert [row["backend"] for row in rows] == list(backends.BACKENDS)
    for row in rows[:3]:
        assert (row["version"], row["devices"]) == (None, [])
        assert f"pip install 'd2lrnn[{row['backend']}]'" in row["problem"]
    code, out, _ = run("backends")
    assert code == 0
    assert out.count("is not installed") == 3


def test_a_dead_reader_of_our_output_is_no_error():
    command = f"{sys.executable} -m d2lrnn.cli.main train --help | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert result.stdout.startswith("usage")
    assert "Traceback" not in result.stderr


def test_backends_lists_versions_and_devices(run, backend):
    code, out, _ = run("backends", "--json")
    (row,) = [row for row in json.loads(out)["backends"] if row["backend"] == backend.name]
    assert code == 0
    assert row["problem"] is None
    assert row["version"].startswith(backend.framework.__version__.split("+")[0])
    assert row["devices"] == backend.interface.device_names()


def test_a_download_that_failed_is_tried_once_in_each_command(run, monkeypatch):
    tried = []

    def fail(name):
        tried.append(name)
        raise downloads.DownloadError("no network")

    def command(args):
        return corpora.read_text("time-machine") != corpora.read_text("time-machine")

    monkeypatch.delenv(downloads.DATA_ENV)
    monkeypatch.setattr(downloads, "download", fail)
    monkeypatch.setattr("d2lrnn.cli.commands.run_backends", command)
    for number in (1, 2):
        code, _, err = run("backends")
        assert (code, err.count("the bundled story stands in: no network")) == (0, 1)
        assert len(tried) == number


def test_a_memory_that_ends_is_told_in_words(run, monkeypatch):
    monkeypatch.setattr(show, "show", lambda paths: (_ for _ in ()).throw(MemoryError))
    code, out, err = run("show", "run")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"d2lrnn: error: there is no memory left( of [\d.]+ GB)?: make the model smaller .*\n", err)


def test_a_table_of_runs_is_printed_though_its_curves_cannot_be_drawn(run, monkeypatch):
    def odd(*ignored):
        raise InputError("cannot draw the curves")

    monkeypatch.setattr(show, "show", lambda paths: [])
    monkeypatch.setattr(show, "draw", odd)
    code, out, err = run("show", "runs", "--json")
    assert (code, json.loads(out), err) == (
        2,
        {"runs": [], "png": "runs.png"},
        "d2lrnn: error: cannot draw the curves\n",
    )
