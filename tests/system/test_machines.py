"""Which machine it is: its Python and NumPy, what its system lacks, and its graphics cards. All of it is pretended."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from d2lrnn.core import backends
from d2lrnn.errors import BackendNotInstalledError
from d2lrnn.system import graphics, libraries

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PYTHONS = [f"3.{minor}" for minor in range(10, 15)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


# What is installed


def environment(python, system="Linux", machine="x86_64"):
    """Return what the markers of a requirement ask for."""
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    return {**default_environment(), **here, "platform_system": system, "platform_machine": machine}


def brought(extra, where):
    """Return what an extra brings, by name."""
    found = {}
    for text in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(where):
            if requirement.name == "d2lrnn":
                for inner in requirement.extras:
                    found |= brought(inner, where)
            else:
                found[requirement.name] = requirement
    return found


@pytest.mark.parametrize(
    ("python", "system", "machine", "expected"),
    [
        ("3.10", "Linux", "x86_64", "torch mxnet tensorflow-cpu"),
        ("3.12", "Linux", "aarch64", "torch mxnet tensorflow"),
        ("3.13", "Linux", "x86_64", "torch tensorflow-cpu"),  # MXNet comes by itself
        ("3.14", "Linux", "x86_64", "torch"),
        ("3.12", "Windows", "AMD64", "torch tensorflow-cpu"),
        ("3.12", "Darwin", "arm64", "torch tensorflow"),
        ("3.12", "Darwin", "x86_64", "mxnet"),
    ],
)
def test_all_is_what_has_wheels(python, system, machine, expected):
    names = brought("all", environment(python, system, machine))
    assert names.keys() & {"torch", "mxnet", "tensorflow", "tensorflow-cpu"} == set(expected.split())


def test_the_lessons_install_on_linux_on_arm():
    assert "constriction" in brought("lessons", environment("3.12"))
    assert "constriction" not in brought("lessons", environment("3.12", "Linux", "aarch64"))


@pytest.mark.parametrize("python", PYTHONS)
def test_each_package_has_one_version_for_each_python(python):
    here = [c for c in CONSTRAINTS if c.marker is None or c.marker.evaluate(environment(python))]
    assert len({c.name for c in here}) == len(here)
    pinned = {c.name: str(c.specifier).removeprefix("==") for c in here if str(c.specifier).startswith("==")}
    extras = {name: requirement for extra in ("all", "test", "site", "lessons") for name, requirement in
              brought(extra, environment(python)).items()}  # fmt: skip
    of_package = {requirement.name: requirement for requirement in map(Requirement, PROJECT["dependencies"])}
    # At 3.14 TensorFlow is whichever has a wheel
    assert {name for name in {**of_package, **extras} if name not in pinned} <= {"setuptools", "graphviz"}
    for name, requirement in {**of_package, **extras}.items():
        assert name not in pinned or requirement.specifier.contains(pinned[name]), requirement


@pytest.mark.parametrize("name", list(backends.FRAMEWORKS))
@pytest.mark.parametrize("python", PYTHONS)
def test_the_command_that_installs_a_framework_brings_it(monkeypatch, name, python):
    monkeypatch.setattr(backends.sys, "version_info", (*map(int, python.split(".")), 0))
    command = backends.install_command(name)
    (extra,) = set(re.findall(r"pip install '(?:d2lrnn|\.)\[(\w+)\]'", command))
    names = set(brought(extra, environment(python))) | set(re.findall(r"--no-deps (\w+)==", command))
    assert name in {name.removesuffix("-cpu") for name in names}


@pytest.mark.only("mxnet")
def test_where_mxnet_comes_alone_the_extra_brings_what_it_needs(backend):
    needs = {re.split(r"\W", text)[0] for text in backends.metadata.requires("mxnet")}
    of_package = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert needs <= set(brought("mxnet", environment("3.13"))) | of_package


def test_a_python_that_is_newer_than_a_frameworks_wheels(monkeypatch):
    monkeypatch.setattr(backends, "version", lambda name: None)
    monkeypatch.setattr(backends.platform, "system", lambda: "Linux")
    monkeypatch.setattr(backends.sys, "version_info", (3, 14, 0))
    assert backends.problem("tensorflow").endswith(
        "; TensorFlow 2.21 has no build for Python 3.14: without a newer one use 3.13"
    )
    for name in ("torch", "mxnet"):
        assert "no build" not in backends.problem(name)


@pytest.mark.parametrize(
    ("name", "system", "machine", "python", "message"),
    [
        ("torch", "Darwin", "x86_64", (3, 12, 0), "last build for Intel Macs is 2.2"),
        ("tensorflow", "Darwin", "x86_64", (3, 13, 0), "last build for Intel Macs is 2.16, for Python 3.12 at most"),
        ("tensorflow", "Darwin", "x86_64", (3, 12, 0), "is not installed: pip install 'd2lrnn"),
        ("torch", "Darwin", "arm64", (3, 12, 0), "is not installed: pip install 'd2lrnn"),
    ],
)
def test_a_mac_that_a_framework_has_left(monkeypatch, name, system, machine, python, message):
    monkeypatch.setattr(backends, "version", lambda name: None)
    monkeypatch.setattr(backends.platform, "system", lambda: system)
    monkeypatch.setattr(backends.platform, "machine", lambda: machine)
    monkeypatch.setattr(backends.sys, "version_info", python)
    assert message in backends.problem(name)


@pytest.mark.parametrize("missing", [[], ["libquadmath.so.0"]], ids=["none", "one"])
def test_libraries_that_mxnet_misses(monkeypatch, missing):
    monkeypatch.setattr(libraries, "missing", lambda names: missing)
    lack = libraries.lack_of_mxnet()
    assert (lack is None) if not missing else lack.startswith("MXNet needs libquadmath.so.0, which is not on this")


@pytest.mark.parametrize(("system", "kind", "named"), [
    ("Linux", "x86_64", None), ("Linux", "aarch64", None), ("Darwin", "x86_64", None),
    ("Darwin", "arm64", "Apple silicon"), ("Windows", "AMD64", "Windows"), ("Linux", "ppc64le", "Linux on ppc64le"),
])  # fmt: skip
def test_where_mxnet_has_builds(monkeypatch, system, kind, named):
    monkeypatch.setattr(libraries.platform, "system", lambda: system)
    monkeypatch.setattr(libraries.platform, "machine", lambda: kind)
    reason = libraries.no_build_of_mxnet()
    assert (reason is None) if named is None else f"no build for {named}: use Linux on x86-64" in reason


@pytest.mark.parametrize("name", list(backends.FRAMEWORKS))
def test_alpine_has_no_wheels(monkeypatch, name):
    monkeypatch.setattr(libraries.sysconfig, "get_config_var", lambda name: "cpython-312-x86_64-linux-musl")
    monkeypatch.setattr(backends.platform, "system", lambda: "Linux")
    monkeypatch.setattr(backends, "version", lambda name: None)
    assert "has no build for Linux with musl" in backends.problem(name)
    monkeypatch.setattr(backends, "version", lambda name: "1")  # somebody has built it
    assert "musl" not in (backends.problem(name) or "")


# NumPy, as MXNet knows it

ASKS = """
import numpy as np
import numpy.testing
from numpy import float32
isinstance('text', str)
found = [np.PZERO, np.NINF, np.bool, np.int, np.compat.basestring, np.alltrue([True]), np.round_(1.4), np.array]
"""
WRITES = "def write(*values): return [str(value) for value in values], isinstance('', str), str()"


def test_numpy_stays_what_it_is_and_mxnet_finds_what_it_had(tmp_path):
    """With a stand-in for MXNet, which asks for what MXNet asks for."""
    for name, code in {"__init__": "from . import asks", "asks": ASKS, "_ctypes/ndarray": WRITES}.items():
        file = tmp_path / "mxnet" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
    (tmp_path / "other.py").write_text("import numpy")
    code = (
        "import numpy, numpy.testing; before = dict(vars(numpy))\n"
        "from d2lrnn.core.numpy_for_mxnet import prepare; prepare(); prepare()\n"
        "import mxnet.asks, mxnet._ctypes.ndarray, other\n"
        "assert vars(numpy) == before\n"
        "assert other.numpy is numpy and mxnet.asks.float32 is numpy.float32\n"
        "zero, minus, truth, whole, text, every, rounded, array = mxnet.asks.found\n"
        "assert (zero, minus, truth, whole, text, every, rounded) == (0, -numpy.inf, bool, int, str, True, 1)\n"
        "assert array is numpy.array\n"
        "print(mxnet._ctypes.ndarray.write((numpy.int64(3), [numpy.float64(0.5)]), numpy.int64(2), 'a', None))"
    )
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(['(3, [0.5])', '2', 'a', 'None'], True, '')"


def test_an_import_of_mxnet_that_failed_before_is_begun_again(tmp_path):
    (tmp_path / "mxnet").mkdir()
    (tmp_path / "mxnet" / "__init__.py").write_text("from . import first, second")
    (tmp_path / "mxnet" / "first.py").write_text("import numpy as np")
    (tmp_path / "mxnet" / "second.py").write_text("import numpy as np; np.int")
    done = run_python(
        "import numpy\n"
        "try: import mxnet\n"
        "except AttributeError: pass\n"
        "from d2lrnn.core.numpy_for_mxnet import prepare; prepare()\n"
        "import mxnet; print(mxnet.first.np is numpy, mxnet.first.np.int)",
        tmp_path,
    )
    assert done.stdout.strip() == "False <class 'int'>", done.stderr


def run_python(code, folder):
    """Run a program that imports from a folder, and without what an installed d2lrnn adds to Python's start."""
    path = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]\n"
    no_start = "sys.meta_path[:] = [finder for finder in sys.meta_path if 'd2lrnn' not in finder.__module__]\n"
    no_start = no_start.replace("finder.__module__", "getattr(finder, '__module__', '')")
    return subprocess.run([sys.executable, "-c", path + no_start + code], capture_output=True, text=True, check=False)


# The system's libraries


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A Linux for x86-64 on which MXNet is installed and which has no libraries for it; return a switch of systems."""
    release = {"ID": "debian"}
    monkeypatch.setattr(backends, "version", lambda name: "1.9.1")
    monkeypatch.setattr(backends.util, "find_spec", lambda name: object())
    monkeypatch.setattr(backends.platform, "system", lambda: "Linux")
    monkeypatch.setattr(backends.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(libraries.platform, "freedesktop_os_release", lambda: release)
    monkeypatch.setattr(libraries, "_LOADERS_LIST", tmp_path / "list")

    def load(name):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(libraries.ctypes, "CDLL", load)
    return release.update


@pytest.mark.parametrize(
    ("release", "remedy"),
    [
        ({"ID": "debian"}, "apt install libgomp1 libquadmath0"),
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, "apt install libgomp1 libquadmath0"),
        ({"ID": "fedora"}, "dnf install libgomp libquadmath"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install libgomp libquadmath"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "zypper install libgomp1 libquadmath0"),
        ({"ID": "arch"}, "pacman -S gcc-libs"),
        ({"ID": "void"}, "install the packages that contain them"),
    ],
    ids=lambda value: value.get("ID") if isinstance(value, dict) else "",
)
def test_all_libraries_that_are_missing_are_named_before_the_import(bare, release, remedy):
    bare(release)
    assert backends.problem("mxnet") == (
        f"MXNet needs libgomp.so.1 and libquadmath.so.0, which are not on this system: {remedy}"
    )
    assert backends.problem("torch") is None


def test_a_library_that_the_system_lists_is_not_loaded(bare, tmp_path):
    (tmp_path / "list").write_bytes(b"\0libgomp.so.1\0/usr/lib/libgomp.so.1\0")
    assert backends.problem("mxnet") == (
        "MXNet needs libquadmath.so.0, which is not on this system: apt install libquadmath0"
    )


def test_on_arm_mxnet_needs_arms_libraries(bare, monkeypatch):
    monkeypatch.setattr(backends.platform, "machine", lambda: "aarch64")
    assert backends.problem("mxnet").endswith(
        ": apt install libgomp1; install Arm Performance Libraries, from developer.arm.com"
    )


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("mxnet", "libgomp.so.1: cannot open shared object file: No such file or directory",
         "needs libgomp.so.1 and libquadmath.so.0, which are not on this system: apt install libgomp1 libquadmath0"),
        ("torch", "libstdc++.so.6: cannot open shared object file: No such file or directory",
         "needs libstdc++.so.6, which is not on this system: apt install libstdc++6"),
        ("mxnet", "libcudnn.so.8: cannot open shared object file",
         "needs libcudnn.so.8, libgomp.so.1 and libquadmath.so.0, which are not on this system: apt install libgomp1 "
         "libquadmath0; install NVIDIA's driver"),
        ("torch", "libother.so.1.2: cannot open shared object file", "libother.so.1.2, which is not on this system"),
        ("torch", "dlopen(torch/_C.so, 0x0002): Library not loaded: @rpath/libomp.dylib\n  Referenced from: x",
         "needs libomp.dylib, which is not on this Mac: brew install libomp"),
        ("tensorflow", "DLL load failed while importing _pywrap_tensorflow_internal", "vc_redist.x64.exe"),
        ("torch", "[WinError 126] The specified module could not be found. Error loading c10.dll", "vc_redist.x64.exe"),
        ("torch", "something else", "installed but cannot be imported (something else): try again in a new"),
    ],
)  # fmt: skip
def test_an_import_that_fails_for_want_of_a_library_names_it_and_its_remedy(bare, monkeypatch, name, said, message):
    def fail(name):
        raise OSError(said)

    monkeypatch.setattr(backends, "problem", lambda name: None)  # nothing was found out before
    monkeypatch.setattr(backends, "load_triton_first", lambda: None)
    monkeypatch.setattr(backends.numpy_for_mxnet, "prepare", lambda: None)
    monkeypatch.setattr(backends.importlib, "import_module", fail)
    with pytest.raises(BackendNotInstalledError) as caught:
        backends.require(name)
    assert message in str(caught.value)
    assert ("new environment" in str(caught.value)) == (said == "something else")


# Graphics cards


@pytest.fixture
def card(monkeypatch, tmp_path):
    """A Linux for x86-64; return what puts a card into it, and builds of frameworks."""
    monkeypatch.setattr(graphics.platform, "system", lambda: "Linux")
    monkeypatch.setattr(graphics.platform, "machine", lambda: "x86_64")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program = tmp_path / "nvidia-smi"

    def put(name, capability, driver="580.65.06", cuda=None, distributions=()):
        row = f"{name}, {driver}, {capability}" if capability else f"{name}, {driver}"
        knows = "" if capability else 'case "$1" in *compute_cap*) exit 2;; esac; '
        program.write_text(f"#!/bin/sh\n{knows}echo '{row}'\n")
        program.chmod(0o755)
        monkeypatch.setattr(graphics.shutil, "which", lambda name: str(program))
        monkeypatch.setattr(graphics, "_torch_cuda", lambda: cuda)
        monkeypatch.setattr(graphics, "_installed", lambda *names: set(names) <= set(distributions))

    return put


H100 = ("NVIDIA H100 80GB HBM3", "9.0")
P100 = ("Tesla P100-PCIE-16GB", "6.0")
needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="nvidia-smi is a shell script here")


def unused(name, devices):
    return graphics.unused(name, backends.BACKENDS[name].title, devices)


@needs_sh
@pytest.mark.parametrize(
    ("name", "here", "options", "message"),
    [
        ("torch", H100, {}, "NVIDIA H100 80GB HBM3 (compute capability 9.0) is not used: this build of PyTorch is the "
         "one for the CPU: pip uninstall torch, then pip install torch --index-url https://download.pytorch.org/whl/cu130"),
        ("torch", P100, {}, "/cu126"),
        ("torch", P100, {"cuda": "13"}, "for CUDA 13, which is not for this card and its driver: pip uninstall torch"),
        ("torch", H100, {"driver": "535.104.05"}, "/cu126"),
        ("torch", H100, {"driver": "470.1"}, "its driver 470.1 is too old: install 525 or later"),
        ("torch", ("NVIDIA B200", "10.0"), {"driver": "570.1"}, "its driver 570.1 is too old: install 580 or later"),
        ("torch", ("Tesla K80", "3.7"), {}, "PyTorch is built for a compute capability from 5.0"),
        ("torch", H100, {"cuda": "12"}, "PyTorch finds none; python -c"),
        ("torch", ("Quadro", None), {"driver": "450.80"}, "Quadro is not used: its driver 450.80 is too old"),
        ("tensorflow", H100, {"distributions": ["tensorflow-cpu"]}, "pip install 'tensorflow[and-cuda]'"),
        ("tensorflow", H100, {"distributions": ["tensorflow"]}, "the libraries of CUDA: pip install 'tensorflow["),
        ("tensorflow", H100, {"distributions": ["nvidia-cublas-cu12", "nvidia-cudnn-cu12"]}, "TensorFlow finds none"),
        ("tensorflow", ("Quadro M6000", "5.2"), {}, "TensorFlow is built for a compute capability from 6.0"),
        ("mxnet", H100, {"distributions": ["mxnet"]}, "is built for a compute capability from 5.0 and below 9.0"),
        ("mxnet", ("NVIDIA A100", "8.0"), {"distributions": ["mxnet"]}, "pip install --no-deps mxnet-cu117==1.9.1"),
    ],
)  # fmt: skip
def test_a_card_that_is_not_used_is_named_with_the_reason(card, name, here, options, message):
    card(*here, **options)
    assert message in unused(name, ["cpu"])
    assert unused(name, ["cpu", "gpu:0"]) is None
    assert unused("numpy", ["cpu"]) is None


@needs_sh
def test_a_card_that_is_hidden(card, monkeypatch):
    card(*H100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "is hidden by CUDA_VISIBLE_DEVICES='-1': unset it" in unused("torch", ["cpu"])


@needs_sh
def test_tensorflow_uses_no_card_on_windows(card, monkeypatch):
    card(*H100)
    monkeypatch.setattr(graphics.platform, "system", lambda: "Windows")
    assert "use it in WSL" in unused("tensorflow", ["cpu"])


def test_a_machine_without_a_card(card, monkeypatch, tmp_path):
    monkeypatch.setattr(graphics.shutil, "which", lambda name: None)
    monkeypatch.setattr(graphics, "_DRIVERS_LIST", tmp_path)
    assert unused("torch", ["cpu"]) is None
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA L4\nIRQ:   \t\t 11\n")
    monkeypatch.setattr(graphics, "_torch_cuda", lambda: None)
    assert unused("torch", ["cpu"]).startswith("NVIDIA L4 is not used: this build of PyTorch is the one for")


@pytest.mark.parametrize(("name", "message"), [("torch", "needs macOS 14"), ("tensorflow", "has no build for it")])
def test_apples_card(monkeypatch, name, message):
    monkeypatch.setattr(graphics.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(graphics.platform, "machine", lambda: "arm64")
    assert message in unused(name, ["cpu"])
    assert unused(name, ["cpu", "mps"]) is None


@pytest.mark.only("torch")
def test_the_cuda_of_the_installed_pytorch(backend):
    cuda = backend.framework.version.cuda
    assert graphics._torch_cuda() == (None if cuda is None else cuda.split(".")[0])
