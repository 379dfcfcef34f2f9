"""What all tests share: which backends are tested, and which text they read."""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from d2lrnn import backends
from d2lrnn.data import CORPORA, DATA_HUB, Text, corpora, read_text

ENV = "D2LRNN_TEST_BACKENDS"
REAL_CORPUS = Path(__file__).parents[2] / "shared" / "data" / "timemachine.txt"


def _tested() -> list[str]:
    """Return the backends to test: those asked for, which must work, or else those that are installed."""
    asked = os.environ.get(ENV)
    if asked is None:
        return [name for name in backends.BACKENDS if backends.problem(name) is None]
    names = [] if asked == "none" else asked.split(",")
    for name in names:
        if (reason := backends.problem(name)) is not None:
            raise pytest.UsageError(f"{ENV} asks for {name}: {reason}")
    return names


TESTED = _tested()


def pytest_report_header(config: pytest.Config) -> str:
    listed = [f"{name} {'tested' if name in TESTED else 'left out'}" for name in backends.BACKENDS]
    return f"backends: {', '.join(listed)}; The Time Machine: {'real' if _real_folder() else 'absent'}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        marks = pytest.mark.backend
        metafunc.parametrize("backend", [pytest.param(name, marks=marks) for name in TESTED], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of a backend that is not tested here are left out rather than skipped."""
    left_out = [
        item
        for item in items
        if (item.get_closest_marker("parity") and set(TESTED) != set(backends.BACKENDS))
        or ("backend" in getattr(item, "fixturenames", ()) and not TESTED)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@dataclass(frozen=True)
class Backend:
    """A backend under test: its name, what a reader imports as d2l, and its uniform door."""

    name: str
    d2l: ModuleType
    interop: ModuleType


def load_backend(name: str) -> Backend:
    return Backend(name, importlib.import_module(f"d2lrnn.{name}"), backends.interop(name))


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    return load_backend(request.param)


def _real_folder() -> Path | None:
    """Return the folder with the real text of The Time Machine, if there is one."""
    folders = [Path(os.environ[corpora.DATA_ENV])] if os.environ.get(corpora.DATA_ENV) else []
    for folder in [*folders, REAL_CORPUS.parent]:
        if (folder / "timemachine.txt").is_file():
            return folder
    return None


@pytest.fixture(scope="session", autouse=True)
def no_download():
    """No test reaches for the network: The Time Machine is the real one, or the story under its name and hash."""
    folder = _real_folder()
    with pytest.MonkeyPatch.context() as patch:
        if folder is not None:
            patch.setenv(corpora.DATA_ENV, str(folder))
            yield
            return
        with tempfile.TemporaryDirectory() as stand_in:
            content = read_text("story").content.encode()
            (Path(stand_in) / "timemachine.txt").write_bytes(content)
            patch.setitem(DATA_HUB, "time_machine", (DATA_HUB["time_machine"][0], hashlib.sha1(content).hexdigest()))
            patch.setenv(corpora.DATA_ENV, stand_in)
            yield


@pytest.fixture
def real_time_machine() -> Text:
    """Return the real text; a test that checks its facts is skipped where it is not."""
    if _real_folder() is None:
        pytest.skip(f"The Time Machine is not here: put timemachine.txt into a folder and name it in {corpora.DATA_ENV}")
    return read_text("time-machine")


@pytest.fixture(params=list(CORPORA))
def corpus_name(request: pytest.FixtureRequest) -> str:
    return request.param
