"""What an import brings along, each in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

from d2lrnn import backends


def modules_after(statement):
    """Return the names of the top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}; import sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_the_package_imports_nothing_heavy():
    assert not modules_after("import d2lrnn") & {*backends.BACKENDS, "numpy", "matplotlib", "requests"}


@pytest.mark.parametrize(
    "module",
    [
        "canonical",
        "checkpoint",
        "cli",
        "compare",
        "convert",
        "data",
        "exchange",
        "figures",
        "first_editions",
        "helpers",
        "layouts",
        "monitor",
        "ndarray_list",
        "reference",
        "report",
        "reproduce",
        "run",
        "settings",
        "show",
        "threads",
    ],
)
def test_the_framework_free_part_imports_no_framework(module):
    assert not modules_after(f"import d2lrnn.{module}") & {*backends.BACKENDS, "matplotlib", "requests", "IPython"}


def test_a_backend_imports_its_framework_and_no_other(backend):
    assert modules_after(f"import d2lrnn.{backend.name}") & set(backends.BACKENDS) == {backend.name}


@pytest.mark.only("torch", "mxnet")  # TensorFlow imports it by itself
def test_a_backend_leaves_matplotlib_until_plt_is_asked_for(backend):
    statement = f"from d2lrnn import {backend.name} as d2l"
    assert "matplotlib" not in modules_after(statement)
    assert "matplotlib" in modules_after(f"{statement}; d2l.plt")


def test_a_backend_imports_without_a_word(backend):
    code = f"import d2lrnn.{backend.name}"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "")


STARTUP = (Path(__file__).parents[1] / "d2lrnn" / "startup.pth").read_text(encoding="utf-8").strip()


@pytest.mark.only("mxnet")
def test_mxnet_can_be_imported_first_as_the_books_cells_do(backend):
    """What an installed d2lrnn makes Python run at its start is run here by hand: an editable install has it not."""
    cell = "import mxnet; from mxnet import np, npx; from d2lrnn import mxnet as d2l; print(d2l.__name__)"
    code = f"{STARTUP}; {cell}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("d2lrnn.mxnet\n", "")


def test_pythons_start_stays_light():
    assert not modules_after(STARTUP) & {*backends.BACKENDS, "numpy", "importlib_metadata", "matplotlib"}


def test_a_missing_framework_is_named_with_its_remedy():
    """Runs everywhere: an entry of None in sys.modules makes Python treat a module as not there."""
    code = (
        "from importlib import util; find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
        "import d2lrnn.torch"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "PyTorch is not installed: pip install 'd2lrnn[torch]'" in result.stderr.splitlines()[-1]
