"""What an import brings along, each in a fresh interpreter."""

import csv
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from d2lrnn.core import backends

ROOT = Path(__file__).parents[2]


def modules_after(statement):
    """Return the names of the top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}; import sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    return set(printed_without_a_word(code).split())


def printed_without_a_word(code):
    """Return what a fresh interpreter prints, which must say nothing on its error stream, not even a warning."""
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_the_package_imports_nothing_heavy():
    assert not modules_after("import d2lrnn") & {*backends.BACKENDS, "numpy", "matplotlib", "requests"}


def modules_without_a_framework():
    """Return the modules of every room but the backends' own, and of the root."""
    rooms = [
        path.parent for path in (ROOT / "d2lrnn").glob("*/__init__.py") if path.parent.name not in backends.FRAMEWORKS
    ]
    files = [path.relative_to(ROOT).with_suffix("") for room in rooms for path in room.glob("*.py")]
    return ["d2lrnn.errors", *sorted(".".join(file.parts).removesuffix(".__init__") for file in files)]


@pytest.mark.parametrize("module", modules_without_a_framework())
def test_the_framework_free_part_imports_no_framework(module):
    assert not modules_after(f"import {module}") & {*backends.FRAMEWORKS, "matplotlib", "requests", "IPython"}


def test_what_lessons_of_earlier_versions_import_is_still_there(backend):
    """Their modules have moved into folders."""
    code = (
        "from d2lrnn import backends, canonical, figures, reference, run; run.train, run.resume, run.load_model; "
        f"from d2lrnn.{backend.name} import interop; from d2lrnn.core.backends import load; "
        f"print(interop is load('{backend.name}'), backends.BACKENDS is not None, reference.__name__)"
    )
    assert printed_without_a_word(code).split() == ["True", "True", "d2lrnn.comparison.reference"]
    with pytest.raises(ImportError, match="nothing_like_that"):
        from d2lrnn import nothing_like_that  # noqa: F401


@pytest.mark.only("torch", "tensorflow")
@pytest.mark.parametrize("first", [False, True], ids=["d2lrnn-first", "tensorflow-first"])
def test_triton_is_loaded_before_tensorflow_or_never(backend, tmp_path, monkeypatch, first):
    """It comes with PyTorch for CUDA; the stand-in tells when it was loaded."""
    (tmp_path / "triton.py").write_text("import sys; late = 'tensorflow' in sys.modules")
    if backend.name == "torch":
        (tmp_path / "tensorflow.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    for name, value in {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}.items():
        monkeypatch.setenv(name, value)  # imported first, TensorFlow tells of some processors
    own = f"import d2lrnn.{backend.name}"
    code = f"import tensorflow; {own}" if first else f"{own}; import tensorflow"
    seen = printed_without_a_word(f"{code}; import sys; print(getattr(sys.modules['triton'], 'late', 'never'))")
    assert seen.strip() == ("never" if first else "False")


def test_a_backend_imports_its_framework_and_no_other_without_a_word(backend):
    assert modules_after(f"import d2lrnn.{backend.name}") & set(backends.BACKENDS) == {backend.name, "numpy"}


@pytest.mark.only("torch", "mxnet")  # TensorFlow imports it by itself
def test_a_backend_leaves_matplotlib_until_plt_is_asked_for(backend):
    code = (
        f"import sys; from d2lrnn import {backend.name} as d2l; print('matplotlib' in sys.modules); "
        "d2l.plt; print('matplotlib' in sys.modules)"
    )
    assert printed_without_a_word(code).split() == ["False", "True"]


# What an installed d2lrnn adds to Python's start


def python_with(folder, *packages):
    """Make a Python with the files of one of our wheels, and what other folders have; return its command."""
    venv.create(folder, symlinks=os.name != "nt")
    command = next(folder.glob("[bS]*/python*"))
    site = output(command, "import sysconfig; print(sysconfig.get_path('purelib'))")
    # Their own such files are not read from there, and setuptools has one for the distutils that MXNet needs
    own = [file.read_text().strip() for package in packages for file in Path(package).glob("distutils-*.pth")]
    (Path(site) / "others.pth").write_text("".join(f"{line}\n" for line in (*packages, *own)), encoding="utf-8")
    return command, Path(site)


def run(command, code, *options, cwd=None):
    """Run a program in an environment with no settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [command, *options, "-c", code], capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )


def output(*args, **options):
    """Return what a program prints, which must go well and say nothing else."""
    result = run(*args, **options)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(tmp_path_factory, "standard")


@pytest.fixture(scope="module")
def editable(tmp_path_factory):
    return build(tmp_path_factory, "editable")


def build(tmp_path_factory, version):
    folder = tmp_path_factory.mktemp(version)
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=[version])
    return zipfile.ZipFile(path)


@pytest.fixture
def installed(tmp_path, wheel):
    """Return the command of a Python in which only d2lrnn is installed, and where it is."""
    command, site = python_with(tmp_path / "python")
    wheel.extractall(site)
    return command, site


def test_in_a_clone_the_clone_is_imported_though_another_is_installed(installed, tmp_path):
    command, site = installed
    code = "import d2lrnn; print(d2lrnn.__file__)"
    assert output(command, code, cwd=ROOT) == str(ROOT / "d2lrnn" / "__init__.py")
    assert output(command, code, cwd=tmp_path) == str(site / "d2lrnn" / "__init__.py")


def test_pythons_start_stays_light(installed, tmp_path):
    command, site = installed
    code = "import sys; print(*sys.modules)"
    after = set(output(command, code, cwd=tmp_path).split())
    assert "_d2lrnn_mxnet_first" in after
    (site / "d2lrnn.pth").write_text("# what Python needs to read any such file is not ours\n")
    assert after - set(output(command, code, cwd=tmp_path).split()) == {"_d2lrnn_mxnet_first"}


def test_a_start_that_finds_no_module_of_ours_says_nothing(installed, tmp_path):
    command, site = installed
    (site / "_d2lrnn_mxnet_first.py").unlink()
    assert output(command, "print(1)", cwd=tmp_path) == "1"
    assert output(command, "print(1)", "-I", cwd=tmp_path) == "1"


@pytest.mark.parametrize("options", [("-S",), ("-I",), ("-E", "-s")], ids=" ".join)
def test_python_starts_with_options_that_leave_something_out(installed, tmp_path, options):
    command, _ = installed
    expected = str("-S" not in options)
    assert (
        output(command, "import sys; print('_d2lrnn_mxnet_first' in sys.modules)", *options, cwd=tmp_path) == expected
    )


def test_every_file_of_the_package_is_in_the_wheel_the_templates_and_texts_too(wheel):
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "d2lrnn").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "d2lrnn/comparison/report_page/page.html" in files
    assert files - set(wheel.namelist()) == {"d2lrnn/core/startup.pth", "d2lrnn/core/_mxnet_first.py"}


def test_all_that_is_installed_is_recorded(wheel, editable):
    """Which is what pip goes by when it takes a package away again."""
    for archive in (wheel, editable):
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (record,) = (name for name in names if name.endswith(".dist-info/RECORD"))
        recorded = {row[0] for row in csv.reader(archive.read(record).decode().splitlines())}
        assert recorded == names
        assert {"d2lrnn.pth", "_d2lrnn_mxnet_first.py"} < names
        assert not {"d2lrnn/core/startup.pth", "d2lrnn/core/_mxnet_first.py"} & names


@pytest.mark.only("mxnet")
@pytest.mark.parametrize("how", ["wheel", "editable"])
def test_mxnet_can_be_imported_first_as_the_books_cells_do(backend, tmp_path, request, how):
    # Our own file is found first, and the frameworks where they are
    command, site = python_with(tmp_path / "python", *(path for path in sys.path if path.endswith("site-packages")))
    request.getfixturevalue(how).extractall(site)
    cell = "import mxnet; from mxnet import np, npx; from d2lrnn import mxnet as d2l; print(d2l.__name__, d2l.__file__)"
    name, file = output(command, cell, cwd=tmp_path).split()
    assert name == "d2lrnn.mxnet"
    assert Path(file) == (ROOT if how == "editable" else site) / "d2lrnn" / "mxnet" / "__init__.py"
    (site / "d2lrnn.pth").unlink()
    assert "AttributeError" in run(command, "import mxnet", cwd=tmp_path).stderr


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
