"""The script that counts whose cells run, on little notebooks of our own and packages made for them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cells
import pytest

TEACHER = """
def train(num_epochs=500):
    return num_epochs

class Unshowable:
    def __repr__(self):
        raise ValueError("cannot be shown")
"""


@pytest.fixture
def teacher(tmp_path, monkeypatch):
    """A package that a reader's cells may import instead of the book's: its name."""
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / "teacher.py").write_text(TEACHER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, sys.path)]))
    return "teacher"


def notebook(path, *sources):
    """Write a notebook of code cells, below one of text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {"cell_type": "markdown", "source": ["import nothing"]}
    # Both forms that the format knows: one string, or a list of lines
    code = [{"cell_type": "code", "source": s if n % 2 else s.splitlines(True)} for n, s in enumerate(sources)]
    path.write_text(json.dumps({"nbformat": 4, "cells": [text, *code]}), encoding="utf-8")
    return path


def errors(path, module, **options):
    """Run a notebook, and return what each of its cells failed with."""
    return {cell.number: cell.error for cell in cells.in_a_process(path, module, **options)}


def test_cells_are_counted_and_those_after_a_failure_run(tmp_path, teacher):
    path = notebook(tmp_path / "a.ipynb", "import d2l\nx = 1", "x = y", "d2l.nothing(x)", "assert x == 1")
    assert errors(path, teacher) == {
        1: None,
        2: "NameError: name 'y' is not defined",
        3: "AttributeError: module 'teacher' has no attribute 'nothing'",
        4: None,
    }


@pytest.mark.parametrize(
    "line",
    [
        "import d2l",
        "import d2lzh as d2l",
        "import d2lzh_pytorch as d2l",
        "import os, gluonbook as d2l",
        "from d2l import torch as d2l",
        "from d2l import mxnet as d2l",
        "from d2l import tensorflow as d2l",
        "import sys\nsys.path.append('..')\nimport d2l",
        "import sys; sys.path.insert(0, '../..'); import d2lzh as d2l; assert '../..' not in sys.path",
        "if True:\n    from d2l import (torch as\n        d2l)\n    after = 1",
        "name = '分开'; from d2l import torch as d2l; assert name == '分开'",
    ],
)
def test_the_books_package_is_replaced_in_each_form_of_its_import(tmp_path, teacher, line):
    path = notebook(tmp_path / "a.ipynb", line, "assert d2l.__name__ == 'teacher' and d2l.train(3) == 3")
    assert errors(path, teacher) == {1: None, 2: None}


@pytest.mark.parametrize("line", ["from d2l.torch import train", "from d2lzh import train", "from d2l import *"])
def test_names_that_are_imported_from_the_books_package_are_replaced_too(tmp_path, teacher, line):
    path = notebook(
        tmp_path / "a.ipynb", line, "assert train(3) == 3", "from d2l import torch as d2l, train as t; t(1)"
    )
    assert errors(path, teacher) == {1: None, 2: None, 3: None}


@pytest.mark.parametrize(
    "source",
    [
        "import json\nimport d2learn",
        "from .d2l import torch",
        "sys.path.append('/somewhere')",
        "text = 'from d2l import torch as d2l'",
        "def f():\n    return 5 \\\n  % 3",
        "max_epochs, lr = 2, 500\nnum_hiddens = 500\nf(num_epochs=num_epochs)\ng(lr=0.5, max_epochs=1.5)",
    ],
)
def test_nothing_else_is_changed(source):
    assert cells.changed(cells.without_ipython(source), "teacher", 2) == (source, [])


@pytest.mark.parametrize(
    ("source", "expected", "reduced"),
    [
        ("num_epochs, lr = 500, 1", "num_epochs, lr = 2, 1", ["num_epochs = 500"]),
        ("num_epochs = 500", "num_epochs = 2", ["num_epochs = 500"]),
        ("fit(net, max_epochs=50)", "fit(net, max_epochs=2)", ["max_epochs = 50"]),
        ("'é', fit(num_epochs = 9)", "'é', fit(num_epochs = 2)", ["num_epochs = 9"]),
        ("def f(a, epochs=10, *, max_epochs=20): pass", "def f(a, epochs=2, *, max_epochs=2): pass",
         ["epochs = 10", "max_epochs = 20"]),
        ("for epoch in range(300):\n    pass", "for epoch in range(2):\n    pass", ["epoch = 300"]),
        ("import d2l; d2l.f(\n  num_epochs=\n    700)", "import t as d2l; d2l.f(\n  num_epochs=\n    2)",
         ["num_epochs = 700"]),
    ],
)  # fmt: skip
def test_what_trains_long_trains_shorter_and_it_is_said(source, expected, reduced):
    assert cells.changed(source, "t", 2) == (expected, reduced)


def test_without_a_number_of_epochs_a_cell_trains_as_it_says(tmp_path, teacher):
    sources = "from d2l import torch as d2l", "n = d2l.train(num_epochs=500)", "assert n == {}"
    path = notebook(tmp_path / "a.ipynb", *sources[:2], sources[2].format(500))
    assert errors(path, teacher) == {1: None, 2: None, 3: None}
    path = notebook(tmp_path / "b.ipynb", *sources[:2], sources[2].format(3))
    assert errors(path, teacher, epochs=3) == {1: None, 2: None, 3: None}
    assert [cell.reduced for cell in cells.in_a_process(path, teacher, epochs=3)] == [[], ["num_epochs = 500"], []]


def test_what_is_ipythons_is_left_out(tmp_path, teacher):
    path = notebook(
        tmp_path / "a.ipynb",
        "!pip install d2l",  # nothing but that: not one of the cells that are counted
        "%matplotlib inline\nimport d2l",
        "# a comment",
        "%%time\nif True:\n    !ls\nx = 7\n?x\nd2l.train?",
        "assert x \\\n  % 4 == 3",
        "%%bash\nls nothing",
    )
    assert errors(path, teacher) == {2: None, 4: None, 5: None}


def test_a_cell_that_is_not_python_fails_alone(tmp_path, teacher):
    path = notebook(tmp_path / "a.ipynb", "x = = 1", "x = 2")
    first, second = cells.in_a_process(path, teacher)
    assert first.error.startswith("SyntaxError: ")
    assert second.error is None


def test_the_last_value_of_a_cell_is_shown_as_a_notebook_shows_it(tmp_path, teacher):
    path = notebook(tmp_path / "a.ipynb", "import d2l; d2l.Unshowable()", "y = d2l.Unshowable()", "y;", "display(1)")
    assert errors(path, teacher) == {
        1: "ValueError: cannot be shown", 2: None, 3: "ValueError: cannot be shown", 4: None,
    }  # fmt: skip


def test_a_cell_is_run_as_the_main_module_whose_source_can_be_read(tmp_path, teacher):
    path = notebook(
        tmp_path / "a.ipynb",
        "def f():\n    return __name__",
        "import inspect, sys\nassert f() == '__main__' and sys.modules['__main__'].f is f",
        "assert inspect.getsource(f) == 'def f():\\n    return __name__\\n'",
    )
    assert errors(path, teacher) == {1: None, 2: None, 3: None}


def test_no_figure_waits_for_a_screen_and_none_stays_open(tmp_path, teacher, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "svg")
    path = notebook(
        tmp_path / "a.ipynb",
        "from matplotlib import pyplot as plt\nplt.plot([1, 2])",
        "assert plt.get_fignums() == [] and plt.get_backend().lower() == 'agg'",
    )
    assert errors(path, teacher) == {1: None, 2: None}


def test_a_cell_finds_the_books_data_beside_the_chapter(tmp_path, teacher):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "text.txt").write_text("time traveller")
    read = "assert open('{}/data/text.txt').read() == 'time traveller'"
    write = "open('../data/new.txt', 'w').close()"
    path = notebook(tmp_path / "a.ipynb", read.format(".."), read.format("../.."), write)
    assert errors(path, teacher, data=tmp_path / "data") == {1: None, 2: None, 3: None}
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["text.txt"]


def test_a_notebook_of_text_with_markers_is_read(tmp_path, teacher):
    path = tmp_path / "a.py"
    path.write_text(
        "# ---\n# jupyter: header\n# ---\n\n# %% [markdown]\n# import nothing\n\n# %%\nimport d2l\n"
        "\n# %% tags=['x']\nz\n# %% [md]\n# text\n#%%\nd2l.train(1)\n"
    )
    assert errors(path, teacher) == {1: None, 2: "NameError: name 'z' is not defined", 3: None}


def test_a_crash_costs_only_its_notebook(tmp_path, teacher):
    crash = "import os\nprint('last words', flush=True)\nos.abort()"
    path = notebook(tmp_path / "a.ipynb", "x = 1", crash, "x = 2", "# nothing", "x")
    found = cells.in_a_process(path, teacher)
    assert [cell.number for cell in found] == [1, 2, 3, 5]
    assert found[0].error is None
    assert found[1].error.startswith("the process ended with ")
    assert "last words" in found[1].trace
    assert [cell.error for cell in found[2:]] == ["not run", "not run"]


def test_a_cell_that_asks_to_exit_fails_and_the_next_runs(tmp_path, teacher):
    path = notebook(tmp_path / "a.ipynb", "import sys; sys.exit(0)", "input()", "x = 2")
    assert errors(path, teacher) == {1: "SystemExit: 0", 2: "EOFError: EOF when reading a line", 3: None}


def test_a_notebook_that_takes_too_long_is_ended(tmp_path, teacher, monkeypatch):
    marker = tmp_path / "the second cell began"

    class Impatient(subprocess.Popen):
        """Its time is over when the second cell began, however busy the machine is."""

        def wait(self, timeout=None):
            while timeout is not None and not marker.exists():
                time.sleep(0.01)
            if timeout is not None:
                raise subprocess.TimeoutExpired("notebook", timeout)
            return super().wait()

    monkeypatch.setattr(subprocess, "Popen", Impatient)
    endless = f"open({str(marker)!r}, 'w').close()\nwhile True: pass"
    path = notebook(tmp_path / "a.ipynb", "x = 1", endless, "x = 2")
    expected = {1: None, 2: "more than 30 seconds for the notebook", 3: "not run"}
    assert errors(path, teacher, seconds=30) == expected


@pytest.fixture
def folder(tmp_path, teacher):
    """A folder with two notebooks, in one of which a cell fails."""
    notebook(tmp_path / "books" / "b.ipynb", "import d2l\nnum_epochs = 9", "d2l.train(num_epochs)")
    notebook(tmp_path / "books" / "more" / "a.ipynb", "import d2l", "d2l.predict('time')", "1")
    notebook(tmp_path / "books" / ".ipynb_checkpoints" / "b.ipynb", "a copy that is no Python")
    return tmp_path / "books"


def test_a_table_names_what_failed_and_what_was_shortened(folder, capsys):
    assert cells.main([str(folder), "--as", "teacher", "--epochs", "2"]) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("b.ipynb 2 / 2 ")
    assert lines[1].startswith("more/a.ipynb 2 / 3 ")
    assert lines[2] == "cell 2: AttributeError: module 'teacher' has no attribute 'predict'"
    assert lines[3] == "all 4 / 5"
    assert lines[-2:] == ["trained shorter than written:", "b.ipynb cell 1: num_epochs = 9"]


def test_where_a_cell_failed_is_shown_if_it_is_asked_for(folder, capsys):
    cells.main([str(folder), "--as", "teacher", "--verbose", "--only", "more"])
    out = capsys.readouterr().out
    assert "b.ipynb" not in out
    assert "d2l.predict('time')" in out


def test_a_program_gets_the_same_as_json(folder, capsys):
    assert cells.main([str(folder), "--as", "teacher", "--epochs", "2", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["ran"], document["cells"], document["epochs"], document["as"]) == (4, 5, 2, "teacher")
    assert [(each["name"], each["ran"]) for each in document["notebooks"]] == [("b.ipynb", 2), ("more/a.ipynb", 2)]
    assert document["notebooks"][0]["cells"][0]["reduced"] == ["num_epochs = 9"]
    assert document["notebooks"][1]["cells"][1]["error"].startswith("AttributeError")


def test_where_all_cells_run_the_command_succeeds(folder):
    command = [sys.executable, cells.__file__, str(folder / "b.ipynb"), "--as", "teacher"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1].split()) == (0, ["all", "2", "/", "2"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that a process could end by in its own way")
def test_whoever_ends_the_command_ends_the_notebook_that_it_runs(tmp_path, teacher):
    told = tmp_path / "pid"
    source = f"import os\nwith open({str(told)!r}, 'x') as file: file.write(f'{{os.getpid()}}\\n')\nwhile True: pass"
    path = notebook(tmp_path / "a.ipynb", source)
    with subprocess.Popen([sys.executable, cells.__file__, str(path), "--as", "teacher"]) as command:
        while not told.exists() or not told.read_text().endswith("\n"):
            assert command.poll() is None
            time.sleep(0.01)
        command.terminate()
    assert command.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--as", "teacher"], "nowhere does not exist: give a folder of notebooks"),
        (["empty", "--as", "teacher"], "empty has no notebooks: give a folder with .ipynb files"),
        (["bad.ipynb", "--as", "teacher"], "bad.ipynb is no notebook of the format 4"),
        (["old.ipynb", "--as", "teacher"], "old.ipynb is no notebook of the format 4"),
        (["good.ipynb", "--as", "teacher", "--only", "gru"], "no notebook in good.ipynb has 'gru' in its path"),
        (["good.ipynb", "--as", "teacher", "--epochs", "0"], "--epochs 0: a cell trains for 1 epoch at least"),
        (["good.ipynb", "--as", "teacher", "--data", "nowhere"], "--data nowhere is no folder"),
        (["good.ipynb", "--as", "not a module"], "--as 'not a module' is no name of a module"),
    ],
)
def test_what_cannot_be_counted_is_said(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("bad.ipynb").write_text("no JSON")
    Path("old.ipynb").write_text('{"nbformat": 3, "worksheets": []}')
    notebook(Path("good.ipynb"), "1")
    with pytest.raises(SystemExit) as ended:
        cells.main(words)
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


LAYERS = {
    "torch": "import torch\nfrom d2l import torch as d2l",
    "mxnet": "from mxnet import np, npx\nfrom d2l import mxnet as d2l\nnpx.set_np()",
    "tensorflow": "import tensorflow as tf\nfrom d2l import tensorflow as d2l",
    "numpy": "import numpy as np\nfrom d2l import torch as d2l",
}


def test_a_backend_stands_in_the_place_of_the_books_package(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    path = notebook(
        tmp_path / "a.ipynb",
        LAYERS[backend.name],
        "batches, vocab = d2l.load_data('story', batch_size=4, num_steps=5, max_tokens=200, seed=0)",
        "[(X.shape, Y.shape) for X, Y in batches], len(vocab)",
        "d2l.no_such_name",
    )
    assert errors(path, f"d2lrnn.{backend.name}") == {
        1: None, 2: None, 3: None, 4: f"AttributeError: module 'd2lrnn.{backend.name}' has no attribute 'no_such_name'",
    }  # fmt: skip


@pytest.mark.only("mxnet")
def test_what_mxnet_finds_wrong_later_is_the_error_of_its_own_cell(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    wrong = "from mxnet import nd\nx = nd.take(nd.ones((2, 2)), nd.array([5]), mode='raise')"
    found = errors(notebook(tmp_path / "a.ipynb", wrong, "y = 1"), f"d2lrnn.{backend.name}")
    assert found[1] is not None
    assert found[2] is None
