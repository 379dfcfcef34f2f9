"""Which tests are run where: no test is lost between the environments, and what tests start has their texts."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from conftest import NO_SERVER, able

from d2lrnn.core import backends
from d2lrnn.data import DATA_URL, read_text
from d2lrnn.errors import D2LRNNWarning, InputError
from d2lrnn.weights import canonical

pytest_plugins = ["pytester"]
HERE = Path(__file__).parents[1]
ROOT = HERE.parent

SAMPLE = """
import pytest
from conftest import MODELS, in_each_backend

def test_of_none():
    pass

def test_of_each(backend):
    pass

@pytest.mark.only("mxnet", "torch")
def test_of_two(backend):
    pass

@in_each_backend(["rnn", "gru-reset-before"])
@pytest.mark.parametrize("other", [1, 2])
def test_of_kinds(backend, kind, other):
    pass

@in_each_backend(model for model in MODELS if model.values[1] == 2 and model.values[0].startswith("gru"))
def test_of_models(backend, kind, layers, both):
    pass

@pytest.mark.parity
def test_of_all():
    pass

@pytest.mark.site
def test_of_the_site():
    pass
"""
ALL = ("torch", "mxnet", "tensorflow", "numpy")
EXPECTED = {
    "test_of_none",
    *(f"test_of_each[{name}]" for name in ALL),
    *(f"test_of_two[{name}]" for name in ("torch", "mxnet")),
    *(f"test_of_kinds[{other}-{name}-rnn]" for name in ALL for other in (1, 2)),
    *(f"test_of_kinds[{other}-{name}-gru-reset-before]" for name in ALL[2:] for other in (1, 2)),
    *(f"test_of_models[{name}-gru-2{both}]" for name in ALL for both in ("", "-bidirectional")),
    *(f"test_of_models[{name}-gru-reset-before-2{both}]" for name in ALL[2:] for both in ("", "-bidirectional")),
    "test_of_all",
}


def environments():
    """Return, for each environment of make test that has tests, what is asked for and which tests are chosen."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    found = {}
    for name in commands.TESTED:
        if name == "lint":
            continue
        asked = chosen = None
        for line in tox["testenv"]["set_env"].splitlines():
            factors, _, setting = line.partition(":")
            if name in factors.split(",") and setting.startswith(" D2LRNN_TEST_BACKENDS = "):
                asked = setting.removeprefix(" D2LRNN_TEST_BACKENDS = ")
        for line in tox["testenv"]["commands"].splitlines():
            factors, _, command = line.partition(": ")
            if name in factors.split(",") and command.startswith("python -m pytest"):
                chosen = re.fullmatch(r'python -m pytest \{posargs:tests -m "?([^"]*)"?\}', command)[1]
        found[name] = (asked, chosen)
    return found


@pytest.fixture
def pytest_with(pytester, monkeypatch):
    """Return a function that runs pytest, under our settings and our conftest.py, where every framework seems to be."""
    for path in (ROOT / "pyproject.toml", HERE / "conftest.py"):
        (pytester.path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    pytester.makepyfile(all_there="from d2lrnn.core import backends\nbackends.problem = lambda name: None")
    # What they import is this package, and not another one that is installed
    package = Path(backends.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (pytester.path, package))))

    def pytest_with(asked, tests, *args):
        pytester.makepyfile(test_sample=tests)
        monkeypatch.setenv("D2LRNN_TEST_BACKENDS", asked)
        return pytester.runpytest_subprocess("-p", "all_there", "test_sample.py", *args)

    return pytest_with


def test_every_test_is_run_in_one_environment(pytest_with):
    ran = []
    for asked, chosen in environments().values():
        result = pytest_with(asked, SAMPLE, "--collect-only", "-q", "-m", chosen)
        assert result.ret == 0, result.outlines
        ran += [line.split("::")[1] for line in result.outlines if "::" in line]
    assert sorted(ran) == sorted(EXPECTED)


def test_where_all_backends_are_tested_nothing_is_left_out(pytest_with):
    result = pytest_with(",".join(ALL), SAMPLE, "--collect-only", "-q")
    result.stdout.fnmatch_lines([f"{len(EXPECTED) + 1} tests collected in *"])


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        pytest.param(
            "import pytest\n@pytest.mark.only('pytorch')\ndef test_of_nothing(backend): pass",
            "*only('pytorch',) must name some of*",
            id="wrong-name",
        ),
        pytest.param(
            "import pytest\n@pytest.mark.only()\ndef test_of_nothing(backend): pass", "*only() must name*", id="no-name"
        ),
        pytest.param(
            "import pytest\n@pytest.mark.parametrize('x', [])\ndef test_of_nothing(x): pass",
            "*Empty parameter set in 'test_of_nothing'*",
            id="no-values",
        ),
        pytest.param(
            "def test_of_nothing(backend, real_time_machine): pass",
            "*test_of_nothing[torch]* needs the real text and is of a backend: *",
            id="real-text-of-a-backend",
        ),
        pytest.param(
            "import pytest\n@pytest.mark.parity\n@pytest.mark.real_text\ndef test_of_nothing(): pass",
            "*test_of_nothing needs the real text and is of a backend: *",
            id="real-text-of-all",
        ),
    ],
)
def test_a_test_that_would_vanish_is_an_error(pytest_with, tests, message):
    result = pytest_with("none", tests)
    assert result.ret != 0
    assert any(re.search(re.escape(message).replace(r"\*", ".*"), line) for line in result.outlines + result.errlines)


SKIPPED = """
import pytest

@pytest.mark.backend("torch")
def test_of_a_backend():
    pytest.skip("there is no wind")

@pytest.mark.backend("torch")
@pytest.mark.skipif(True, reason="it is night")
def test_that_does_not_begin():
    pass

@pytest.mark.backend("torch")
@pytest.mark.xfail(reason="known", strict=True)
def test_of_a_known_fault():
    raise AssertionError

def test_of_none():
    pytest.skip("there is no text")
"""


def test_a_test_of_a_backend_that_was_asked_for_is_not_skipped(pytest_with):
    result = pytest_with("torch", SKIPPED)
    result.assert_outcomes(failed=1, errors=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["*was skipped, and D2LRNN_TEST_BACKENDS asks for it: *there is no wind*"])


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        pytest.param(name, kind, marks=pytest.mark.backend(name), id=f"{name}-{kind}")
        for kind in canonical.KINDS
        for name in backends.BACKENDS
        if name not in able(kind)
    ],
    indirect=["backend"],
)
def test_what_a_backend_has_no_tests_for_it_refuses(backend, kind):
    """A backend that could build it after all would have lost its tests."""
    with pytest.raises(InputError, match=kind):
        backend.interface.build_model(kind, 28, 16, device="cpu")


def printed(code):
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_a_test_starts_reaches_for_no_network():
    code = "from requests.utils import get_environ_proxies as p; print(p({!r}).get('http'), p('http://127.0.0.1:7/'))"
    assert printed(code.format(DATA_URL)) == f"{NO_SERVER} {{}}"


@pytest.mark.usefixtures("no_time_machine")
def test_where_no_text_is_what_a_test_starts_reads_what_the_test_reads():
    with pytest.warns(D2LRNNWarning, match="the bundled story stands in"):
        assert read_text("time-machine").name == "story"
    assert printed("from d2lrnn.data import read_text; print(read_text('time-machine').name)") == "story"
