"""The command line: its help, its errors (exit code 2, one line, no traceback) and what it prints."""

import errno
import json
import os
import re
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import count_texts
from matplotlib.axes import Axes

from d2lrnn.cli import command as cli
from d2lrnn.comparison import compare
from d2lrnn.core import backends, threads
from d2lrnn.core.history import History
from d2lrnn.data import corpora
from d2lrnn.errors import D2LRNNWarning, InputError, StorageError
from d2lrnn.runs import show
from d2lrnn.runs import training as trainings
from d2lrnn.runs.settings import Settings
from d2lrnn.weights import canonical

STORY = ["--corpus", "story", "--max-tokens", "2000", "--num-hiddens", "16", "--batch-size", "8", "--num-steps", "20"]


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Return a function that runs the command in an empty folder and returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        try:
            code = cli.main([str(arg) for arg in args])
        except SystemExit as stop:  # argparse's own way out
            code = stop.code
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def nothing_installed(monkeypatch):
    installed = backends.version
    monkeypatch.setattr(backends, "version", lambda name: installed(name) if name == "numpy" else None)


def last_line(err):
    return err.strip().splitlines()[-1]


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


@pytest.mark.parametrize("module", ["d2lrnn.cli.command", "d2lrnn"])
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
    "zero lr": (["train", "--backend", "torch", "--lr", "0"], "a positive number, got '0'"),
    "infinite lr": (["train", "--backend", "torch", "--lr", "inf"], "a positive number, got 'inf'"),
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


TOO_SHORT = {
    "by --max-tokens": (["--max-tokens", 50], "max_tokens=50 (--max-tokens 50) leaves 50 of the text's "),
    "by --valid-fraction": (["--valid-fraction", 0.9], "give another valid_fraction (--valid-fraction), more tokens"),
    "by --num-steps": (["--num-steps", 9999], "or a smaller batch_size or num_steps (--batch-size, --num-steps)"),
}


@pytest.mark.parametrize(("args", "message"), TOO_SHORT.values(), ids=list(TOO_SHORT))
def test_a_text_that_is_too_short_is_told_in_the_words_of_the_command_line(run, args, message):
    code, _, err = run("train", "--backend", "numpy", "--corpus", "story", *args)
    assert code == 2
    assert message in last_line(err)


def test_a_variable_that_says_no_number_of_threads_is_warned_about_once(run, monkeypatch):
    monkeypatch.setattr(threads, "SECONDS", 0.01)
    monkeypatch.setenv("OMP_NUM_THREADS", "abc")
    code, _, err = run("train", "--backend", "numpy", *STORY, "--epochs", 1, "--out", "run")
    assert code == 0
    assert err.count("OMP_NUM_THREADS is 'abc', and no number of threads from 1 to 1024") == 1


def test_a_run_without_prefixes_says_that_it_begins_from_nothing(run, tmp_path):
    run("train", "--backend", "numpy", *STORY, "--epochs", 1, "--out", "one")
    run("convert", "one", "--out", "one.npz")
    assert run("convert", "one.npz", "--vocab", "one", "--backend", "numpy", "--out", "two")[0] == 0
    code, out, err = run("predict", "two")
    assert (code, len(out.rstrip("\n"))) == (0, 50)
    assert "has no prefixes of its own, so its model begins from nothing" in last_line(err)
    assert "(--prefix)" in last_line(err)
    assert run("predict", "two", "--prefix", "")[2] == ""  # that is what was asked for


def test_of_many_runs_the_best_are_drawn_by_name_and_the_others_in_grey(run, monkeypatch):
    run("train", "--backend", "numpy", *STORY, "--epochs", 1, "--out", "one")
    (row,) = show.show(["one"])
    rows = [{**row, "out": f"run-{n}" + "x" * 200 * (n == 9), "perplexity": 46.0 - n if n else None} for n in range(46)]
    monkeypatch.setattr(cli.show, "show", lambda paths: rows)
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
    monkeypatch.setattr(cli.show, "show", lambda paths: rows[:10])
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
    args = cli._parser().parse_args(["predict", "a", "--prefix=-the", "--prefix", "sea"])
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
    monkeypatch.setattr(cli.show, "show", lambda paths: (_ for _ in ()).throw(error))
    code, out, err = run("show", "a")
    assert (code, out, err) == (2, "", f"d2lrnn: error: {said}\n")


def test_a_thing_is_warned_about_once_in_a_command(run, monkeypatch):
    def show(paths):
        for words in ("a text is not here", "a text is not here", "another one"):
            warnings.warn(words, D2LRNNWarning, stacklevel=2)
        return []

    monkeypatch.setattr(cli.show, "show", show)
    for _ in range(2):  # and again in the next one
        _, _, err = run("show", "a")
        assert err == "d2lrnn: warning: a text is not here\nd2lrnn: warning: another one\n"


@pytest.mark.parametrize("name", list(backends.FRAMEWORKS))
def test_a_backend_that_is_not_installed_is_named_with_its_remedy(run, nothing_installed, name):
    code, out, err = run("train", "--backend", name, *STORY)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(
        f"d2lrnn: error: {backends.BACKENDS[name].title} is not installed: pip install 'd2lrnn[{name}]'"
    )


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


def test_a_comparison_without_any_backend_fails_with_a_row_for_each(run, nothing_installed):
    frameworks = ("--backends", ",".join(backends.FRAMEWORKS))
    code, out, err = run("compare", *STORY, *frameworks)
    assert code == 2
    assert out.count("is not") >= 3
    assert last_line(err) == "d2lrnn: error: no backend could run; see the reasons above"
    code, out, _ = run("compare", *STORY, "--json", *frameworks)
    assert code == 2
    assert [row["backend"] for row in json.loads(out)["backends"]] == list(backends.FRAMEWORKS)


def test_without_any_framework_numpy_trains_and_is_compared(run, nothing_installed):
    code, out, err = run("train", *STORY, "--epochs", 2, "--out", "run")
    assert code == 0
    said = "d2lrnn: training in NumPy, the first that works here of torch, tensorflow, mxnet, numpy"
    assert err.splitlines()[0] == said
    assert out.splitlines()[-1].startswith("complete: 2 of 2 epochs")
    code, out, _ = run("compare", *STORY, "--epochs", 2, "--json")
    assert code == 0
    rows = json.loads(out)["backends"]
    assert [row["backend"] for row in rows if row["problem"] is None] == ["numpy"]
    assert rows[-1]["max_loss_difference"] < 1e-12


@pytest.mark.parametrize(("kind", "first"), [("gru", "torch"), ("gru-reset-before", "tensorflow")])
def test_the_backends_are_tried_in_an_order_and_only_those_that_can_build_the_model(monkeypatch, kind, first):
    monkeypatch.setattr(backends, "problem", lambda name: None)
    assert backends.candidates(canonical.able(kind))[0] == first
    monkeypatch.setattr(backends, "problem", lambda name: "not here" if name == first else None)
    assert first not in backends.candidates(canonical.able(kind))
    assert backends.candidates(canonical.able(kind))[-1] == "numpy"


def test_a_framework_that_is_broken_is_passed_over_with_its_reason(run, monkeypatch, tmp_path):
    """Only its import can show it, and nobody asked for this one."""
    (tmp_path / "torch.py").write_text("raise ImportError('no such library')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(backends, "problem", lambda name: None if name in ("torch", "numpy") else "not here")
    code, out, err = run("train", *STORY, "--epochs", 1, "--out", "run")
    assert code == 0
    first, why, then = err.splitlines()
    assert first.startswith("d2lrnn: training in PyTorch, the first that works here of torch, tensorflow")
    assert "no such library" in why
    assert then.startswith("d2lrnn: training in NumPy")
    assert out.splitlines()[-1].startswith("complete: 1 of 1 epochs")


@pytest.fixture
def text_files(tmp_path):
    files = {
        "empty": b"",
        "blank": b" \n\n",
        "latin-1": "caf\u00e9 au lait".encode("latin-1") * 200,
        "short": b"too short",
        "digits": b"0123456789" * 300,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "no corpus or file called"),
        (".", "cannot read"),
        ("empty", "is empty"),
        ("blank", "is empty"),
        ("latin-1", "is not UTF-8 (byte 0xe9 at position 3)"),
        ("short", "too short for one minibatch"),
        ("digits", "nothing is left"),
    ],
)
@pytest.mark.parametrize("command", [["train", "--backend", "torch"], ["compare"]], ids=["train", "compare"])
def test_texts_that_cannot_be_used(run, text_files, monkeypatch, command, name, message):
    # The text is looked at before a framework is imported, so this needs none
    monkeypatch.setattr(backends, "problem", lambda name: None)
    code, out, err = run(*command, "--corpus", text_files / name)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err


def test_too_many_layers_for_the_scratch_model(run, monkeypatch):
    code, _, err = run("train", "--backend", "torch", "--num-layers", "2", *STORY)
    assert code == 2
    assert "has one layer in one direction: use 'rnn' for more" in err


def test_a_dead_reader_of_our_output_is_no_error():
    command = f"{sys.executable} -m d2lrnn.cli.command train --help | head -1"
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


@pytest.mark.parametrize("model", ["rnn-scratch", "lstm"])
def test_train_prints_one_json_document(run, backend, model):
    args = ["--model", model, "--epochs", 3, "--seed", 1, "--valid-fraction", 0.2, "--prefix", "a", "the sea", "--json"]
    code, out, err = run("train", "--backend", backend.name, *STORY, *args)
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["backend"] == backend.name
    assert document["device"] == "cpu"
    assert document["settings"]["model"] == model
    assert len(document["history"]["perplexity"]) == 3
    assert document["perplexity"] == document["history"]["perplexity"][-1] < 28
    assert document["valid_perplexity"] == document["history"]["valid_perplexity"][-1] < 28
    assert document["tokens_per_second"] > 0
    assert list(document["predictions"]) == ["a", "the sea"]
    assert all(text.startswith(prefix) for prefix, text in document["predictions"].items())


def test_train_prints_the_books_lines(run, backend):
    code, out, err = run("train", "--backend", backend.name, *STORY, "--epochs", 1)
    assert (code, err) == (0, "")
    curve, reached, *lines, where = out.splitlines()
    assert re.fullmatch(r"epoch   1  perplexity  \d+\.\d\d  █{40}", curve)
    assert re.match(r"perplexity \d+\.\d, \d+\.\d tokens/sec on ", reached)
    assert [line[:9] for line in lines] == ["time trav", "traveller"]
    part = "2,000 of 30,613 characters"
    folder = rf"runs/\d{{8}}-\d{{6}}-{backend.name}-rnn-scratch"
    assert re.fullmatch(
        rf"complete: 1 of 1 epochs on {part}, threads: \d+, rnn-scratch ran rnn_fast; kept in {folder}", where
    )
    assert (Path(where.split()[-1]) / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.only("torch")  # all read texts by the same function
def test_train_on_the_verses_and_on_a_file_of_ones_own(run, backend, tmp_path):
    small = [
        "--backend",
        backend.name,
        "--num-hiddens",
        8,
        "--batch-size",
        2,
        "--num-steps",
        10,
        "--epochs",
        1,
        "--json",
    ]
    _, out, _ = run("train", *small, "--corpus", "verses")
    assert list(json.loads(out)["predictions"]) == ["分开", "不分开"]
    (tmp_path / "mine.txt").write_text("Ночь, улица, фонарь; " * 30, encoding="utf-8")
    _, out, _ = run("train", *small, "--corpus", tmp_path / "mine.txt")
    assert list(json.loads(out)["predictions"]) == ["ночь улица"]


@pytest.mark.only("torch")  # the command reads it, and no framework
def test_a_prefix_that_the_text_does_not_know_is_warned_about(run, backend):
    code, out, err = run("train", "--backend", backend.name, *STORY, "--epochs", 1, "--prefix", "Öde", "--json")
    assert code == 0
    assert err == "d2lrnn: warning: prefix 'Öde' has characters that the text lacks: 'ö'\n"
    assert json.loads(out)["predictions"]["Öde"].startswith("<unk>de")


def test_an_encoding_that_cannot_be_used(run, monkeypatch, text_files):
    monkeypatch.setattr(backends, "problem", lambda name: None)
    (text_files / "utf-16").write_bytes(("the sea and the sky " * 100).encode("utf-16-le"))
    for command in (["train", "--backend", "torch"], ["compare"]):
        for args, message in [
            (["--corpus", "latin-1", "--encoding", "klingon"], "unknown encoding 'klingon': use a name that Python"),
            (["--corpus", "story", "--encoding", "latin-1"], "'story' is a corpus: leave it out"),
            (["--corpus", "latin-1"], "or name its encoding, for example encoding='cp1252' (--encoding cp1252)"),
            (["--corpus", "utf-16"], "it looks like utf-16-le without a byte order mark; name that, as in"),
        ]:
            code, out, err = run(*command, *args)
            assert (code, out, len(err.splitlines())) == (2, "", 1)
            assert message in err


@pytest.mark.only("torch")  # all read texts by the same function
def test_a_file_in_another_encoding_is_read_whole(run, backend, tmp_path):
    words = " ".join(f"été{chr(97 + number % 26)}" for number in range(2100))
    (tmp_path / "mine.txt").write_bytes(words.encode("utf-16-le"))
    small = ["--corpus", "mine.txt", "--num-hiddens", 4, "--batch-size", 2, "--epochs", 1, "--json"]
    small += ["--encoding", "utf-16-le"]
    code, out, err = run("train", "--backend", backend.name, *small)
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["settings"]["encoding"] == "utf-16-le"
    assert document["settings"]["max_tokens"] == -1
    assert document["corpus"]["tokens"] == document["corpus"]["text_tokens"] == len(words) > 10_000
    code, out, err = run("compare", "--backends", backend.name, *small)
    (row,) = json.loads(out)["backends"]
    assert (code, err, row["problem"]) == (0, "", None)
    assert row["corpus"] == document["corpus"] | {"name": row["corpus"]["name"]}


@pytest.mark.only("torch")  # it is counted without any framework
def test_what_is_left_out_of_a_text_is_said(run, backend, tmp_path):
    (tmp_path / "mine.txt").write_text("the sea and the sky " * 100)
    small = ["--corpus", "mine.txt", "--num-hiddens", 4, "--batch-size", 2, "--epochs", 1, "--max-tokens", 1500]
    small += ["--valid-fraction", 0.2, "--seed", 1]
    code, out, _ = run("train", "--backend", backend.name, *small, "--out", "run")
    assert code == 0
    assert out.splitlines()[-1].startswith("complete: 1 of 1 epochs on 1,500 of 1,999 characters, best held-out")
    code, out, _ = run("show", "run")
    assert code == 0
    assert "1,500 of 1,999" in out
    assert "characters" in out
    code, out, _ = run("show", "run", "--json")
    (row,) = json.loads(out)["runs"]
    assert (row["used_tokens"], row["text_tokens"]) == (1500, 1999)
    code, out, err = run("compare", "--backends", backend.name, *small)
    assert (code, err) == (0, "")
    assert "1 epochs on 1,500 of 1,999 characters" in out
    assert "(1,500 of 1,999 characters, 11 different)" in Path("report.html").read_text()


@pytest.mark.only("torch")  # test_training and test_generation have those of each backend's functions
@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_prefix_is_read_as_the_text_was(run, backend, command):
    which = ["--backend"] if command == "train" else ["--backends"]
    args = [*which, backend.name, *STORY, "--epochs", 1, "--prefix", "It WAS,", "It WAS,", "--json"]
    code, out, err = run(command, *args)
    assert (code, err) == (0, "")
    document = json.loads(out)
    row = document if command == "train" else document["backends"][0]
    ((prefix, text),) = row["predictions"].items()
    assert prefix == "It WAS,"
    assert text.startswith("it was ")
    assert len(text) == 57
    if command == "compare":
        assert '<span class="given">it was </span>' in Path(document["html"]).read_text()


def test_a_gpu_that_is_not_there(run, backend):
    if backend.d2l.num_gpus():
        return
    code, out, err = run("train", "--backend", backend.name, *STORY, "--epochs", 1, "--device", "gpu")
    assert (code, out) == (2, "")
    assert f"no device 'gpu' for {backends.BACKENDS[backend.name].title} here: use one of cpu" in err


def test_training_that_diverges(run, backend):
    lr = "1e308" if backends.BACKENDS[backend.name].dtype == "float64" else "1e38"
    code, out, err = run("train", "--backend", backend.name, *STORY, "--epochs", 3, "--lr", lr, "--json")
    assert (code, out) == (2, "")
    assert re.search(r"became NaN or infinite at epoch \d, step \d+: .* try a smaller learning rate", err)


@pytest.mark.parametrize(("model", "lr"), [("rnn-scratch", "100"), ("lstm", "1e6")])
def test_training_whose_loss_is_finite_and_absurd_has_diverged(run, backend, model, lr):
    args = ["--model", model, "--epochs", 20, "--lr", lr, "--seed", 1, "--out", "run"]
    code, out, err = run("train", "--backend", backend.name, *STORY, *args)
    assert code == 2
    assert all(line.startswith("epoch ") for line in out.splitlines())
    (line,) = err.splitlines()
    assert re.search(r"the loss rose to \S{,8} nats a token, where guessing has 3.3, at epoch \d, step \d+: ", line)
    assert "smaller learning rate: they are the first ones, so begin again with 'd2lrnn resume run --lr 1'" in line
    code, out, _ = run("show", "run")
    assert code == 0
    assert "diverged" in out
    # the advice can be followed
    code, out, err = run("resume", "run", "--lr", 1, "--epochs", 2)
    assert (code, err) == (0, "")
    assert re.search(r"^perplexity \d+\.\d, ", out, re.MULTILINE)


def test_compare_one_backend(run, backend, tmp_path):
    # With a radius at which gradients are clipped, which the reference must do too
    args = ["--backends", backend.name, *STORY, "--epochs", 8, "--seed", 1, "--theta", 0.05, "--json"]
    code, out, err = run("compare", *args)
    document = json.loads(out)
    (row,) = document["backends"]
    assert (code, err) == (0, "")
    assert row["problem"] is None
    assert row["parameters"] == row["corpus"]["vocab_size"] * 16 * 2 + 16 * 16 + 16 + row["corpus"]["vocab_size"]
    assert row["max_loss_difference"] < 1e-4
    assert len(document["reference_losses"]) == len(row["step_losses"]) == 50
    assert row["peak_memory"] > 2**26
    assert row["startup_seconds"] > 0
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / document["html"]).read_text().startswith("<!doctype html>")


def broken_framework(folder, name, code):
    """Put a module in the place of a framework's, for processes that are started with what this returns as PYTHONPATH.

    What they import otherwise is what this process does.
    """
    (folder / f"{name}.py").write_text(code)
    return os.pathsep.join([str(folder), *filter(None, sys.path)])


@pytest.mark.only("torch")  # what dies is a stand-in for the framework
@pytest.mark.parametrize(
    ("crash", "reason"),
    [
        ("import os; os.abort()", "its process was killed by SIGABRT"),
        ("import os; os.kill(os.getpid(), 9)", "its process was killed by SIGKILL"),
        ("import sys; sys.stderr.write('out of luck'); import os; os._exit(3)", "ended with exit code 3"),
        ("raise ImportError('libnothing.so')", "is installed but cannot be imported (libnothing.so)"),
    ],
    ids=["abort", "kill", "exit", "import-error"],
)
def test_a_backend_that_dies_gets_a_row_and_fails_the_run(run, backend, tmp_path, monkeypatch, crash, reason):
    monkeypatch.setenv("PYTHONPATH", broken_framework(tmp_path, backend.name, crash))
    code, out, err = run("compare", "--backends", backend.name, *STORY, "--epochs", 1, "--json")
    (row,) = json.loads(out)["backends"]
    assert code == 2
    assert reason in row["problem"]
    assert "no backend could run" in err


@pytest.mark.parity
def test_compare_all_three(run):
    code, out, err = run("compare", *STORY, "--epochs", 2, "--seed", 1)
    assert (code, err) == (0, "")
    for name in backends.BACKENDS:
        assert len(re.findall(rf"^│ {name}\b", out, re.MULTILINE)) == 1
    assert "report: report.html\ncurves: compare.png\n" in out
    assert Path("compare.png").is_file()
    assert Path("report.html").is_file()


@pytest.mark.parity
def test_compare_begins_from_the_same_weights_and_reads_the_same_minibatches(run):
    _, out, _ = run("compare", *STORY, "--epochs", 2, "--sampling", "random", "--json")
    document = json.loads(out)
    assert document["settings"]["seed"] is not None
    assert len({row["corpus"]["sha256"] for row in document["backends"]}) == 1
    for row in document["backends"]:
        assert row["max_loss_difference"] < 1e-4


@pytest.mark.parity
def test_backends_that_are_not_installed_are_listed_and_fail_nothing_unless_they_were_named(run, monkeypatch):
    """With two of them not installed."""
    installed = backends.version
    monkeypatch.setattr(backends, "version", lambda name: installed(name) if name in ("torch", "numpy") else None)
    code, out, err = run("compare", *STORY, "--epochs", 1, "--json")
    assert (code, err) == (0, "")
    assert out.count("is not installed") == 2
    assert run("compare", *STORY, "--epochs", 1, "--backends", "torch,tensorflow")[0] == 1
    assert run("compare", *STORY, "--epochs", 1, "--backends", "mxnet,tensorflow")[0] == 2


def test_what_the_system_lacks_for_a_backend_fails_nothing_unless_it_was_named(run, monkeypatch):
    def problem(name):
        return None if name == "numpy" else "it needs libgomp.so.1, which is not on this system: apt install libgomp1"

    monkeypatch.setattr(backends, "problem", problem)
    monkeypatch.setattr(backends, "version", lambda name: "1.0")
    code, out, _ = run("compare", *STORY, "--epochs", 1, "--json")
    assert (code, out.count("apt install libgomp1")) == (0, 3)
    assert run("compare", *STORY, "--epochs", 1, "--backends", "mxnet,numpy")[0] == 1


@pytest.mark.parity
def test_when_one_backend_dies_the_others_go_on(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", broken_framework(tmp_path, "mxnet", "import os; os.abort()"))
    code, out, _ = run("compare", "--backends", "mxnet,torch", *STORY, "--epochs", 1, "--json")
    rows = {row["backend"]: row["problem"] for row in json.loads(out)["backends"]}
    assert code == 1
    assert rows["torch"] is None
    assert rows["mxnet"].startswith("its process was killed by SIGABRT")


def test_a_process_that_dies_half_way_through_a_line_is_answered_for(monkeypatch, tmp_path):
    """The worker is any interpreter: one that writes half an answer and is gone."""
    code = 'import sys, os; sys.stdout.write(\'{"event": "epo\'); sys.stdout.flush(); os._exit(7)'
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\n{code}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    assert compare.ask({"task": "train"}) == {"event": "error", "message": "its process ended with exit code 7"}
    assert os.access(fake, os.X_OK)


NOISE = """
import os, sys
sys.stdout.write("half a line of Python's")  # not flushed
os.write(1, b'7\\n["a list"]\\n{"event": 5}\\nand half a line of compiled code')
raise ImportError("libnoise.so")
"""


@pytest.mark.parametrize("early", [True, False], ids=["before our code", "while it runs"])
def test_what_others_write_to_the_output_of_a_worker_is_no_answer(tmp_path, monkeypatch, early):
    """A framework that is nothing but noise: its worker's answer comes through, and the noise does not."""
    name = "sitecustomize" if early else "torch"
    code = NOISE.replace("raise ImportError", "#") if early else NOISE
    monkeypatch.setenv("PYTHONPATH", broken_framework(tmp_path, name, code))
    broken_framework(tmp_path, "torch", "raise ImportError('libnoise.so')" if early else NOISE)
    events = []
    answer = compare.ask({"task": "devices", "backend": "torch"}, events.append)
    assert events == [answer]
    assert answer["event"] == "error"
    assert "cannot be imported (libnoise.so)" in answer["message"]


def test_a_download_that_failed_is_not_tried_in_every_process(monkeypatch, tmp_path):
    """The worker is told of it: a server counts who asks."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/timemachine.txt"
        # In the worker too, which imports our package anew
        (tmp_path / "sitecustomize.py").write_text(
            "from d2lrnn.data import corpora\n"
            f"corpora.DATA_HUB['time_machine'] = ({url!r}, '0' * 40)\n"
            "import pooch\n"
            f"pooch.os_cache = lambda name: {str(tmp_path / 'cache')!r}\n"
        )
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.delenv(corpora.DATA_ENV, raising=False)
        monkeypatch.setitem(corpora.DATA_HUB, "time_machine", (url, "0" * 40))
        monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
        broken_framework(tmp_path, "torch", "raise ImportError('once the text has been read')")
        settings = {"corpus": "time-machine", "epochs": 1, "num_hiddens": 4}
        with corpora.remembering_failures():
            with pytest.warns(D2LRNNWarning, match="the bundled story stands in"):
                corpora.read_text("time-machine")
            assert len(asked) == 1
            answer = compare.ask({"task": "train", "backend": "torch", "settings": settings, "step_losses": 1})
        assert "once the text has been read" in answer["message"]
        server.shutdown()
        thread.join()
    assert len(asked) == 1


def test_a_download_that_failed_is_tried_once_in_each_command(run, monkeypatch):
    tried = []

    def fail(name):
        tried.append(name)
        raise corpora.DownloadError("no network")

    def command(args):
        return corpora.read_text("time-machine") != corpora.read_text("time-machine")

    monkeypatch.delenv(corpora.DATA_ENV)
    monkeypatch.setattr(corpora, "download", fail)
    monkeypatch.setattr("d2lrnn.cli.command._backends", command)
    for number in (1, 2):
        code, _, err = run("backends")
        assert (code, err.count("the bundled story stands in: no network")) == (0, 1)
        assert len(tried) == number


def rows_of(*names):
    history = {"epoch": [1, 2], "perplexity": [9.0, 8.0]}
    return [{"backend": name, "problem": None, "history": history, "step_losses": [3.0, 2.0]} for name in names]


def test_the_curves_of_any_number_of_backends_are_drawn(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn = []
    original = Axes.plot

    def plot(self, *args, **look):
        drawn.append((look["label"], look["linestyle"], look["linewidth"]))
        return original(self, *args, **look)

    monkeypatch.setattr(Axes, "plot", plot)
    names = ["torch", "mxnet", "tensorflow", "numpy", "jax", "tinygrad"]
    settings = {"model": "rnn", "num_hiddens": 4, "corpus": "story", "seed": 1}
    document = {"settings": settings, "reference_losses": [3.0, 2.1], "backends": rows_of(*names)}
    compare.draw(document, tmp_path / "compare.png")
    assert [label for label, _, _ in drawn] == [name for name in names for _ in range(2)]
    assert len(set(drawn)) == len(names)  # each looks like no other


def test_the_picture_of_a_comparison_is_written_in_one_piece(tmp_path, monkeypatch):
    settings = {"model": "rnn", "num_hiddens": 4, "corpus": "story", "seed": 1}
    document = {"settings": settings, "reference_losses": [3.0, 2.1], "backends": rows_of("torch")}
    path = tmp_path / "compare.png"
    path.write_text("an earlier picture")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StorageError, match="No space left on device"):
            compare.draw(document, path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["an earlier picture"]
    compare.draw(document, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="cannot write the curves to .*a.xyz"):
        compare.draw(document, tmp_path / "a.xyz")


@pytest.mark.parametrize("name", [r"a$\frac$.txt", "$x$", "50 $ or $_", r"\alpha$$"])
def test_a_name_is_drawn_as_it_is_and_not_as_mathematics(tmp_path, name):
    import matplotlib

    settings = {"model": "rnn", "num_hiddens": 4, "corpus": name, "seed": 1}
    document = {"settings": settings, "reference_losses": [3.0, 2.1], "backends": rows_of("torch")}
    history = {**rows_of("torch")[0]["history"], "valid_perplexity": [9.5, 9.0]}
    with matplotlib.rc_context({"text.usetex": True}):  # a user's own setting, which needs LaTeX
        compare.draw(document, tmp_path / "compare.png")
        show.draw([{"out": name, "history": history}], tmp_path / "runs.png")
        show.draw_history(History([1, 2], [9.0, 8.0], [1.0, 1.0], [9.5, 9.0], [1.0, 1.0]))
    assert all((tmp_path / file).read_bytes().startswith(b"\x89PNG") for file in ("compare.png", "runs.png"))


@pytest.fixture
def finished(monkeypatch):
    """Let a comparison be finished at once."""
    settings = {**Settings(corpus="story", seed=1).to_dict(), "threads": 1}
    corpus = {"name": "story", "used_tokens": 10, "text_tokens": 10}
    row = {"backend": "numpy", "version": "1", "device": "cpu", "parameters": 9, "perplexity": 8.125,
           "valid_perplexity": None, "tokens_per_second": 7.0, "peak_memory": None, "startup_seconds": 1.0,
           "max_loss_difference_at_first": 0.0, "max_loss_difference": 0.0, "predictions": {"a": "ab"},
           "corpus": corpus, "settings": settings}  # fmt: skip
    document = {"settings": settings, "reference_losses": [3.0, 2.1], "backends": [{**rows_of("numpy")[0], **row}],
                "environment": {}, "interrupted": False}  # fmt: skip
    monkeypatch.setattr(compare, "compare", lambda *ignored: document)
    return document


def test_the_document_of_a_comparison_is_kept_beside_its_table(run, finished, monkeypatch, tmp_path):
    monkeypatch.setattr("d2lrnn.comparison.report.write", lambda document, path: None)
    code, out, err = run("compare", *STORY, "--document", "a.json")
    assert (code, "8.125" in out, err) == (0, True, "")
    assert run("compare", *STORY, "--json")[1] == (tmp_path / "a.json").read_text(encoding="utf-8")
    code, _, err = run("compare", *STORY, "--document", "no/a.json")
    assert code == 2
    assert err.startswith(
        "d2lrnn: error: cannot write the document to 'no/a.json': there is no folder 'no'; name another"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_what_takes_the_place_of_something_else_is_refused_before_anything_is_trained(run, monkeypatch, tmp_path):
    monkeypatch.setattr(compare, "compare", lambda *ignored: pytest.fail("trained"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for file, reason in {
        "pipe": "it is no regular file, but a pipe",
        "link": "it is no regular file, but a pipe",
        "run/config.json": "the run in 'run' is kept in it",
        "run/weights.safetensors": "the run in 'run' is kept in it",
        "run/.lock": "the run in 'run' is kept in it",
    }.items():
        code, _, err = run("compare", *STORY, "--document", file)
        assert code == 2
        assert err.startswith(f"d2lrnn: error: cannot write the document to {file!r}: {reason}"), err
    code, _, err = run("compare", *STORY, "--document", "run/../r.html", "--html", "./r.html")
    assert (code, "--document must name different files, and two of them name the same one" in err) == (2, True)


def test_a_memory_that_ends_is_told_in_words(run, monkeypatch):
    monkeypatch.setattr(cli.show, "show", lambda paths: (_ for _ in ()).throw(MemoryError))
    code, out, err = run("show", "run")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"d2lrnn: error: there is no memory left( of [\d.]+ GB)?: make the model smaller .*\n", err)


@pytest.mark.parametrize("as_json", [True, False])
def test_what_cannot_be_written_is_told_after_what_came_out(run, finished, monkeypatch, tmp_path, as_json):
    def full(*ignored):
        raise StorageError("cannot write it: no space left")

    def odd(*ignored):
        raise RuntimeError("out of ink")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(compare, "draw", full)
    monkeypatch.setattr("d2lrnn.comparison.report.write", odd)
    code, out, err = run("compare", *STORY, *(["--json"] if as_json else []))
    assert code == 2
    assert (json.loads(out)["backends"][0]["perplexity"] == 8.125) if as_json else "8.125" in out
    assert "report: " not in out
    unforeseen, first = err.splitlines()
    assert unforeseen.startswith("d2lrnn: error: unexpected: RuntimeError: out of ink; its traceback is in ")
    assert first == "d2lrnn: error: cannot write it: no space left"


def test_what_cannot_be_printed_is_written_all_the_same(run, finished, monkeypatch, tmp_path):
    def closed(*ignored):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "_print_comparison", closed)
    monkeypatch.setattr("d2lrnn.comparison.report.write", lambda document, path: Path(path).write_text("the report"))
    code, _, err = run("compare", *STORY)
    assert (code, err) == (2, "d2lrnn: error: No space left on device; is the disk full?\n")
    assert (tmp_path / "report.html").read_text() == "the report"
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_a_kind_of_picture_that_cannot_be_drawn_here_is_refused_before_anything_is_trained(run, monkeypatch):
    from matplotlib.figure import Figure

    original = Figure.savefig

    def savefig(self, *args, **options):
        if options["format"] == "pgf":
            raise RuntimeError("'xelatex' not found;\ninstall it")
        return original(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    monkeypatch.setattr(compare, "compare", lambda *ignored: pytest.fail("trained"))
    code, out, err = run("compare", *STORY, "--png", "c.pgf")
    assert (code, out) == (2, "")
    assert err == (
        "d2lrnn: error: cannot write the curves to 'c.pgf' (name another with --png): 'xelatex' not found; install it\n"
    )


@pytest.mark.parametrize("option", ["--png", "--html"])
def test_a_name_that_the_disk_does_not_take_is_refused_before_anything_is_trained(run, monkeypatch, option):
    monkeypatch.setattr(compare, "compare", lambda *ignored: pytest.fail("trained"))
    ending = {"--png": ".png", "--html": ".html"}[option]
    code, out, err = run("compare", *STORY, option, "n" * 300 + ending)
    assert (code, out) == (2, "")
    assert "name too long" in err


def test_what_is_finished_is_kept_whatever_becomes_of_the_other_processes(monkeypatch):
    answers = iter([None, OSError(errno.ENOMEM, "Cannot allocate memory"), KeyboardInterrupt()])

    def ask(job, on_event):
        answer = next(answers)
        if answer is not None:
            raise answer
        on_event({"event": "ready", "startup_seconds": 1.0})
        return {"event": "result", "step_losses": [3.0] * job["step_losses"]}

    monkeypatch.setattr(backends, "problem", lambda name: None)
    monkeypatch.setattr(compare, "ask", ask)
    settings = Settings(corpus="story", max_tokens=2000, num_hiddens=4, batch_size=8, num_steps=20, epochs=1, seed=1)
    document = compare.compare(["numpy", "torch", "mxnet", "tensorflow"], replace(settings, threads=1))
    assert document["interrupted"]
    assert [row["problem"] for row in document["backends"]] == [
        None, "its process could not work: Cannot allocate memory", "interrupted",
        "not run: the comparison was interrupted",
    ]  # fmt: skip
    answers = iter([KeyboardInterrupt()])  # with nothing to keep
    with pytest.raises(KeyboardInterrupt):
        compare.compare(["numpy"], replace(settings, threads=1))


def test_an_interrupted_comparison_prints_what_was_finished(run, finished, monkeypatch):
    monkeypatch.setattr("d2lrnn.comparison.report.write", lambda document, path: None)
    finished["interrupted"] = True
    code, out, err = run("compare", *STORY, "--json")
    assert (code, err) == (130, "d2lrnn: interrupted\n")
    assert json.loads(out)["backends"][0]["perplexity"] == 8.125


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_process_that_is_killed_by_a_signal_without_a_name_is_answered_for(monkeypatch, tmp_path):
    (tmp_path / "numpy_ends.py").write_text("import os; os.kill(os.getpid(), 35)")
    original = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda args, **options: original([sys.executable, tmp_path / "numpy_ends.py"], **options)
    )
    assert compare.ask({"task": "devices"})["message"] == "its process was killed by signal 35"


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


def test_trainings_that_begin_in_one_second_get_a_folder_each(run, monkeypatch, tmp_path):
    """Also where the name was free when it was looked for."""
    monkeypatch.setattr(trainings, "default_folder", lambda backend, settings: tmp_path / "runs" / "now")
    kept = []
    for _ in range(3):
        code, out, _ = run("train", "--backend", "numpy", *STORY, "--epochs", 1, "--seed", 1, "--threads", 1, "--json")
        assert code == 0
        kept.append(Path(json.loads(out)["out"]).name)
    assert kept == ["now", "now-2", "now-3"]


def test_the_corrected_command_takes_the_folder_of_one_that_failed(run):
    args = ["train", "--backend", "numpy", *STORY, "--epochs", 1, "--seed", 1, "--threads", 1, "--out", "dev"]
    code, _, err = run(*args, "--device", "gpu")
    assert (code, last_line(err)) == (2, "d2lrnn: error: no device 'gpu' for NumPy here: use one of cpu, or auto")
    code, _, err = run("predict", "dev")
    assert "it failed before its first checkpoint (no device 'gpu'" in err
    code, out, _ = run(*args)
    assert code == 0
    assert "kept in dev" in out


def test_a_comparison_reads_and_tokenizes_its_text_once(monkeypatch):
    """The workers, which are others' processes, do the same each: see the test of run.train."""
    read, tokenized = count_texts(monkeypatch)
    monkeypatch.setattr(backends, "problem", lambda name: None)
    monkeypatch.setattr(compare, "ask", lambda job, on_event: {"event": "error", "message": "not here"})
    settings = Settings(corpus="story", max_tokens=2000, num_hiddens=4, batch_size=8, num_steps=20, epochs=1, seed=1)
    document = compare.compare(list(backends.BACKENDS), settings)
    assert len(document["reference_losses"]) == 12
    assert (read, tokenized) == (["story"], ["story"])


@pytest.mark.only("torch")  # the table is the same for all
def test_a_narrow_terminal_gets_a_block_for_each_backend(run, backend, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    code, out, _ = run("compare", "--backends", backend.name, *STORY, "--epochs", 1)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert code == 0
    assert max(len(line) for line in plain.splitlines()) <= 60
    assert re.search(r"perplexity +│ \d+\.\d{3} ", plain)
    assert "time traveller" in plain


@pytest.mark.only("torch")  # all read texts by the same function
def test_compare_reads_the_bundled_text_whatever_lies_in_the_folder(run, backend, tmp_path):
    (tmp_path / "story").write_text("not the story at all " * 200)
    code, out, _ = run("compare", "--backends", backend.name, *STORY, "--epochs", 1, "--json")
    (row,) = json.loads(out)["backends"]
    assert code == 0
    assert row["corpus"]["name"] == "story"
    assert row["max_loss_difference"] < 1e-4


def test_a_run_without_a_seed_tells_the_one_that_was_drawn(run, backend):
    _, out, _ = run("train", "--backend", backend.name, *STORY, "--epochs", 1, "--json")
    first = json.loads(out)
    _, out, _ = run(
        "train", "--backend", backend.name, *STORY, "--epochs", 1, "--json", "--seed", first["settings"]["seed"]
    )
    assert json.loads(out)["perplexity"] == first["perplexity"]


@pytest.mark.parametrize(
    ("option", "path", "reason"),
    [
        ("--png", "no/such/folder/a.png", "there is no folder"),
        ("--png", "a.xyz", "its ending must be one of"),
        ("--png", ".png", "ending must be"),
        ("--html", "no/such/folder/a.html", "there is no folder"),
        ("--html", "a.png", "ending must be"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_trained(
    run, nothing_installed, option, path, reason
):
    code, out, err = run("compare", *STORY, option, path)
    assert (code, out) == (2, "")
    assert reason in err


def test_too_small_a_held_out_part_is_named(run, monkeypatch):
    monkeypatch.setattr(backends, "problem", lambda name: None)
    code, _, err = run("train", "--backend", "torch", *STORY, "--valid-fraction", "0.001")
    assert code == 2
    assert "valid_fraction=0.001 holds out 2 of 2000 tokens; at least 40 must be" in err
