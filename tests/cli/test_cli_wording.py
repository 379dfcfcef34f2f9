"""What the command line says with its own words where the library names parameters and functions."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import STORY, last_line

import d2lrnn
from d2lrnn.cli import main
from d2lrnn.cli.parser import Options, make_parser
from d2lrnn.core import backends
from d2lrnn.data import Vocab
from d2lrnn.errors import InputError
from d2lrnn.runs import RunFolder, resume
from d2lrnn.runs.settings import SETTINGS, Settings
from d2lrnn.system import wording
from d2lrnn.weights import recognition

TRAIN = ["train", "--backend", "numpy", *STORY, "--epochs", "1", "--seed", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a run, one that failed, one that was cut off, and texts."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main.main([*TRAIN, "--valid-fraction", "0.2", "--out", "one", "--json"]) == 0
        assert main.main([*TRAIN, "--out", "failed", "--device", "gpu"]) == 2
        assert main.main(["convert", "one", "--out", "one.npz"]) == 0
        assert main.main(["convert", "one.npz", "--vocab", "one", "--backend", "numpy", "--out", "two"]) == 0
        (folder / "mine.txt").write_text("the sea and the sky " * 200)
        assert main.main([*TRAIN, "--corpus", "mine.txt", "--out", "moved", "--json"]) == 0
    RunFolder.create(folder / "begun", {"backend": "numpy", "corpus": {}}, Settings(), Vocab("abc")).close()
    with RunFolder.create(folder / "lost", {"backend": "numpy", "corpus": {}}, Settings(), Vocab("abc")) as lost:
        lost.mark("diverged", "the loss rose")
    (folder / "mine.txt").rename(folder / "yours.txt")
    (folder / "other.txt").write_text("another text " * 400)
    (folder / "control").write_bytes(b"the \x07sea")
    (folder / "link").symlink_to("nowhere")
    (folder / "mine").mkdir()
    (folder / "mine" / "notes").touch()
    return folder


SAID = {
    "a run that is there": ([*TRAIN, "--out", "one"], "go on with 'd2lrnn resume one', or name another folder"),
    "a folder that is not empty": ([*TRAIN, "--out", "mine"],
                                   "is not empty (there is 'notes' in it): name another one with --out"),
    "a link to nowhere": ([*TRAIN, "--out", "link"], "a link to what is not there; name another one with --out"),
    "no run": (["predict", "nowhere"], "name a folder that 'd2lrnn train' has written"),
    "a run that failed": (["predict", "failed"], "train anew, with --out failed if you like"),
    "a run that was begun": (["predict", "begun"], "its first checkpoint; go on with 'd2lrnn resume begun'"),
    "a run that diverged": (["predict", "lost"], "go on with 'd2lrnn resume lost --lr RATE', with a smaller learning"),
    "no text": (["resume", "two"], "it can be continued with 'd2lrnn predict', and trained on from Python"),
    "no best weights": (["predict", "moved", "--best"], "it held no text out (valid_fraction, --valid-fraction)"),
    "no epochs left": (["resume", "one", "--lr", "0.1"], "say how many more with --epochs"),
    "a text that moved": (["resume", "moved"], "has moved, name its new place with --corpus"),
    "another text": (["resume", "moved", "--corpus", "other.txt"], "or name the file that has it with --corpus"),
    "a patience": ([*TRAIN, "--patience", "2"], "for example valid_fraction=0.1 (--valid-fraction 0.1)"),
    "a control character": ([*TRAIN, "--corpus", "control"], "in another encoding, name that (--encoding)"),
    "an unknown character": (["predict", "one", "--prefix", "ö", "--unknown", "error"], "'unk' or 'skip' (--unknown)"),
    "another framework": (["convert", "one", "--out", "w.pt", "--backend", "mxnet"], "and --backend says mxnet: leave "
                          "--backend out, or name another file, or a folder, with --out"),
    "no framework": (["convert", "one", "--out", "three"], "name its framework with --backend (torch, mxnet, "
                     "tensorflow, numpy), or give --out one of the endings"),
    "another model": (["convert", "one", "--out", "w.npz", "--model", "gru"], "not 'gru': leave --model out"),
    "the best of a run": (["convert", "one", "--out", "three", "--backend", "numpy", "--best"],
                          "too: leave --best out"),
    "no vocabulary": (["convert", "one.npz", "--out", "three", "--backend", "numpy"], "that has it with --vocab"),
    "a model of a file": (["convert", "one.npz", "--out", "b.npz", "--model", "gru"],
                          "not of 'gru': leave --model out"),
    "too many characters": (["predict", "one", "--num-preds", "2000000"], "--num-preds must be at most"),
    "a folder behind prefixes": (["predict", "--prefix", "time", "one"], "before --prefix, which takes all words "
                                 "behind it: d2lrnn predict DIR --prefix TEXT)"),
    "the report": (["compare", *STORY, "--html", "no/a.html"], "name another file with --html"),
}  # fmt: skip


@pytest.mark.parametrize(("args", "said"), SAID.values(), ids=list(SAID))
def test_an_error_names_options_and_commands(run, monkeypatch, place, args, said):
    monkeypatch.chdir(place)
    code, _, err = run(*args)
    assert code == 2
    assert said in last_line(err)


def test_a_run_of_a_missing_framework_names_the_option_for_another(run, monkeypatch, place):
    monkeypatch.chdir(place)
    monkeypatch.setattr(backends, "problem", lambda name: None if name == "mxnet" else f"{name} is not installed: pip")
    code, _, err = run("predict", "one")
    assert (code, "or continue the run in another one: --backend mxnet" in err) == (2, True)


def test_python_is_told_the_same_in_its_own_words(place):
    with pytest.raises(InputError, match="say how many more with epochs$"):
        resume(place / "one", lr=0.1)
    with pytest.raises(InputError, match=r"it held no text out \(valid_fraction\)$"):
        RunFolder.open(place / "moved").weights(best=True)
    with pytest.raises(InputError, match="train anew, with out='.*failed' if you like$"):
        RunFolder.open(place / "failed").trained()


def test_the_words_are_those_of_who_is_spoken_to():
    python = (" resume('a b', lr=0.5)", "out", "name=...", "")
    line = (" 'd2lrnn resume 'a b' --lr 0.5'", "--out", "--name VALUE", " (--batch-size, --num-steps)")

    def words():
        return (f" {wording.call('resume', 'a b', lr=0.5)}", wording.by("out"), wording.by("name", ...),
                wording.also("batch_size", "num_steps"))  # fmt: skip

    assert words() == python
    with wording.speaking(Options()):
        assert words() == line
    assert words() == python


def test_every_setting_is_named_by_its_own_option():
    with wording.speaking(Options()):
        assert [wording.by(name) for name in SETTINGS] == [setting.option for setting in SETTINGS.values()]
        assert wording.by("prefixes") == "--prefix"
        assert wording.by("kind") == "--model"
        assert wording.by("lr", ...) == "--lr RATE"


def test_a_kind_is_called_a_model_on_the_command_line():
    tensors = {f"rnn.{name}": np.zeros(shape, np.float32) for name, shape in
               {"weight_ih_l0": (2, 3), "weight_hh_l0": (2, 2), "bias_ih_l0": 2, "bias_hh_l0": 2}.items()}  # fmt: skip
    tensors |= {"linear.weight": np.zeros((3, 2), np.float32), "linear.bias": np.zeros(3, np.float32)}
    with wording.speaking(Options()):
        with pytest.raises(InputError, match=r"may be those of .*: say which with --model VALUE$"):
            recognition.from_tensors(tensors)
        with pytest.raises(InputError, match=r"not of 'gru': say which of these with --model VALUE$"):
            recognition.from_tensors(tensors, "gru")


# Of the report, the command that makes the same comparison; and the one option that has not the name of its setting
OUTSIDE = {("report.py", "--backends"), ("settings.py", "--prefix")}


def test_no_message_outside_of_the_command_line_names_an_option_or_a_command():
    sub_parsers = make_parser()._subparsers._group_actions[0].choices
    options = {option for sub in sub_parsers.values() for action in sub._actions for option in action.option_strings}
    told = re.compile(rf"(?<![\w-])--?[a-z][\w-]*|d2lrnn (?:{'|'.join(sub_parsers)})\b(?! import)")
    found = set()
    for path in Path(d2lrnn.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {ast.get_docstring(node, clean=False) for node in ast.walk(tree)
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))}  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docs:
                found |= {(path, word) for word in told.findall(node.value) if word in options or " " in word}
    inside = Path(d2lrnn.__file__).parent / "cli"
    assert any(inside in path.parents for path, _ in found)
    assert {(path.name, word) for path, word in found if inside not in path.parents} == OUTSIDE
