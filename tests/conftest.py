"""What all tests share: which backends are tested, and which text they read."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import hypothesis
import numpy as np
import pytest

from d2lrnn import backends, canonical
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

# Timings are noisy, so no example has a deadline. In CI the examples are the same each time.
hypothesis.settings.register_profile("d2lrnn", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("d2lrnn")


def _real_folder() -> Path | None:
    """Return the folder with the real text of The Time Machine, if there is one."""
    folders = [Path(os.environ[corpora.DATA_ENV])] if os.environ.get(corpora.DATA_ENV) else []
    for folder in [*folders, REAL_CORPUS.parent]:
        if (folder / "timemachine.txt").is_file():
            return folder
    return None


# Looked up once: later a fixture may put a stand-in where the real text would be
REAL_FOLDER = _real_folder()

# Every model that there is: its kind, how many layers, and whether it reads from both ends
MODELS = [
    pytest.param(kind, layers, both, id=f"{kind}-{layers}{'-bidirectional' if both else ''}")
    for kind in canonical.KINDS
    for layers, both in ((1, False), (2, False), (2, True))
    if kind != "rnn-scratch" or layers == 1
]


def pytest_report_header(config: pytest.Config) -> str:
    listed = [f"{name} {'tested' if name in TESTED else 'left out'}" for name in backends.BACKENDS]
    return f"backends: {', '.join(listed)}; The Time Machine: {'real' if REAL_FOLDER else 'absent'}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only")
        names = [name for name in TESTED if only is None or name in only.args]
        marked = [pytest.param(name, marks=pytest.mark.backend) for name in names]
        metafunc.parametrize("backend", marked, indirect=True)


def _cannot_be_built(item: pytest.Item) -> bool:
    """Whether a test would build a model in a backend that has no layer for it; that it is refused has its own test."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    able = canonical.ONLY_IN.get(params.get("kind"), tuple(backends.BACKENDS))
    return any(params.get(name, able[0]) not in able for name in ("backend", "one", "other", "trainer"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of what is not tested here, or cannot be built, are left out rather than skipped."""
    left_out = [
        item
        for item in items
        if _cannot_be_built(item)
        or (item.get_closest_marker("parity") and set(TESTED) != set(backends.BACKENDS))
        # pytest makes an item that it would skip where there is no backend to run a test for
        or ("backend" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("backend"))
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@dataclass(frozen=True)
class Backend:
    """A backend under test: its name, what a reader imports as d2l, and its uniform door.

    The methods put one text over what the tabs write in different forms.
    """

    name: str
    d2l: ModuleType
    interop: ModuleType

    @property
    def cpu(self) -> Any:
        """The device, or the strategy, that training takes."""
        return self.interop.get_device("cpu")

    @property
    def place(self) -> tuple[Any, ...]:
        """The device as a last positional argument, where the tab's functions take one."""
        return () if self.name == "tensorflow" else (self.cpu,)

    def scratch(self, vocab_size: int, num_hiddens: int, **options: Any) -> Any:
        """Return a model from scratch, made as the tab's cell makes it."""
        d2l = self.d2l
        if self.name == "tensorflow":
            functions = (d2l.init_rnn_state, d2l.rnn, d2l.get_params)
        else:
            functions = (self.cpu, d2l.get_params, d2l.init_rnn_state, d2l.rnn)
        return d2l.RNNModelScratch(vocab_size, num_hiddens, *functions, **options)

    def concise(self, kind: str, vocab_size: int, num_hiddens: int, *args: Any) -> Any:
        """Return a model over the framework's layer, ready to use."""
        net = self.d2l.RNNModel(self.d2l.recurrent_layer(kind, vocab_size, num_hiddens, *args), vocab_size)
        if self.name == "mxnet":
            net.initialize()
        return net

    def begin_state(self, net: Any, batch_size: int) -> Any:
        """Return a model's first state in the tab's call form."""
        if self.name == "torch":
            return net.begin_state(batch_size=batch_size, device=self.cpu)
        if self.name == "mxnet":
            return net.begin_state(batch_size=batch_size, ctx=self.cpu)
        return net.begin_state(batch_size=batch_size, dtype=self.framework.float32)

    @property
    def framework(self) -> ModuleType:
        """The framework's own module."""
        return importlib.import_module(self.name)

    def tensor(self, array: Any) -> Any:
        """Return an array as the framework's tensor."""
        array = np.asarray(array)
        if self.name == "torch":
            return self.framework.tensor(array)
        if self.name == "mxnet":
            return self.framework.np.array(array, dtype=array.dtype)
        return self.framework.constant(array)

    @staticmethod
    def numpy(tensor: Any) -> Any:
        """Return a tensor, or an array, as an array."""
        for method in ("detach", "asnumpy", "numpy"):
            if hasattr(tensor, method):
                tensor = getattr(tensor, method)()
        return np.asarray(tensor)

    def train(self, net: Any, train_iter: Any, vocab: Any, lr: Any, num_epochs: Any, *args: Any, **options: Any) -> Any:
        """Train quietly on the CPU."""
        return self.d2l.train_ch8(net, train_iter, vocab, lr, num_epochs, self.cpu, *args, **{"quiet": True, **options})

    def predict(self, prefix: Any, num_preds: int, net: Any, vocab: Any, **options: Any) -> str:
        """Continue a prefix on the CPU."""
        return self.d2l.predict_ch8(prefix, num_preds, net, vocab, *self.place, **options)


def load_backend(name: str) -> Backend:
    return Backend(name, importlib.import_module(f"d2lrnn.{name}"), backends.interop(name))


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    return load_backend(request.param)


@pytest.fixture(scope="session", autouse=True)
def no_download():
    """No test reaches for the network: The Time Machine is the real one, or the story under its name and hash."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("jaychou_lyrics", "fra-eng"):
            patch.setitem(DATA_HUB, name, (f"http://127.0.0.1:1/{name}.zip", DATA_HUB[name][1]))
        if REAL_FOLDER is not None:
            patch.setenv(corpora.DATA_ENV, str(REAL_FOLDER))
            yield
            return
        with tempfile.TemporaryDirectory() as stand_in:
            content = read_text("story").content.encode()
            (Path(stand_in) / "timemachine.txt").write_bytes(content)
            patch.setitem(DATA_HUB, "time_machine", (DATA_HUB["time_machine"][0], hashlib.sha1(content).hexdigest()))
            patch.setenv(corpora.DATA_ENV, stand_in)
            yield


@pytest.fixture(autouse=True)
def no_failed_downloads() -> None:
    """No test knows which downloads have failed before."""
    corpora.FAILED.clear()


@pytest.fixture
def real_time_machine() -> Text:
    """Return the real text; a test that checks its facts is skipped where it is not."""
    if REAL_FOLDER is None:
        pytest.skip(
            f"The Time Machine is not here: put timemachine.txt into a folder and name it in {corpora.DATA_ENV}"
        )
    return read_text("time-machine")


@pytest.fixture(params=list(CORPORA))
def corpus_name(request: pytest.FixtureRequest) -> str:
    return request.param


def count_texts(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """Return two lists that grow with each text that is read, and each that is cleaned and tokenized: its name."""
    read: list[str] = []
    tokenized: list[str] = []
    read_text, load_corpus = corpora.read_text, corpora.load_corpus

    def reading(source: Any, *args: Any, **options: Any) -> Text:
        read.append(str(source))
        return read_text(source, *args, **options)

    def tokenizing(source: Any, *args: Any, **options: Any) -> Any:
        tokenized.append(source.name if isinstance(source, Text) else str(source))
        return load_corpus(source, *args, **options)

    for name in ("d2lrnn.run", "d2lrnn.compare", "d2lrnn.data.corpora"):
        monkeypatch.setattr(f"{name}.read_text", reading)
    monkeypatch.setattr("d2lrnn.data.sampling.load_corpus", tokenizing)
    return read, tokenized


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def without(what: str) -> NoReturn:
    """Skip, but not in CI, where all that is needed has been installed."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(what)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return a real browser, which only tests with the marker ``site`` may ask for."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        without("no playwright: pip install 'd2lrnn[site]'")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        without(f"no browser: install one of {', '.join(BROWSERS)}")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=quiet)
        yield browser
        browser.close()


class Watch:
    """What a page must not do: ask for anything outside of a place, complain, or miss a file."""

    def __init__(self, page: Any, base: str) -> None:
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self._request(request, base))
        page.on(
            "console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("response", lambda response: response.status >= 400 and self.complaints.append(response.url))

    def _failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # which is what leaving a page does to its icon
            self.complaints.append(f"failed: {request.url}: {request.failure}")

    def _request(self, request: Any, base: str) -> None:
        if not request.url.startswith((base, "data:", "blob:")):
            self.foreign.append(request.url)
