"""What all tests share: which backends are tested, and which text they read."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import hypothesis
import numpy as np
import pytest

from d2lrnn.core import backends, threads
from d2lrnn.data import CORPORA, DATA_HUB, Text, corpora, downloads, read_text
from d2lrnn.weights import canonical

# The tests' models are so small that a second thread costs more than it brings, on a busy machine many times more. Said
# here, before a framework is imported, it holds for this process and for those that it starts, however pytest is called
for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
    os.environ.setdefault(variable, "1")

# A shell hands what it starts in the background a deafness on, and so does nohup; tests end what they start by signals
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (getattr(signal, name) for name in ("SIGHUP", "SIGQUIT") if hasattr(signal, name)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

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
    folders = [Path(os.environ[downloads.DATA_ENV])] if os.environ.get(downloads.DATA_ENV) else []
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


def able(kind: str) -> tuple[str, ...]:
    """Return the backends that can build a kind; test_selection.py holds that the others refuse it."""
    return canonical.able(kind)


def in_each_backend(models: Iterable[Any], among: Iterable[str] = backends.BACKENDS) -> pytest.MarkDecorator:
    """Return what runs a test once for each model and each backend that can build it.

    Args:
        models: Kinds, or some of :data:`MODELS`; the test asks for ``backend`` and ``kind``, and of the latter may
            also ask for ``layers`` and ``both``.
        among: The backends that are tested.
    """
    cases = [pytest.param(model, id=model) if isinstance(model, str) else model for model in models]
    return pytest.mark.parametrize(
        ("backend", "kind", "layers", "both")[: 1 + len(cases[0].values)],
        [
            pytest.param(name, *case.values, id=f"{name}-{case.id}", marks=pytest.mark.backend(name))
            for case in cases
            for name in able(case.values[0])
            if name in among
        ],
        indirect=["backend"],
    )


def in_backends(name: str, cases: Mapping[str, Mapping[str, Any]]) -> pytest.MarkDecorator:
    """Return what runs a test in some backends, once for each of the cases that it has there.

    Args:
        name: What the test asks for besides ``backend``.
        cases: Of each backend, its cases: their ids and values.
    """
    made = [
        pytest.param(backend, value, id="-".join(filter(None, (backend, case))), marks=pytest.mark.backend(backend))
        for backend, own in cases.items()
        for case, value in own.items()
    ]
    return pytest.mark.parametrize(("backend", name), made, indirect=["backend"])


# What a framework says of the machine, and no code of ours can help; a test allows by itself what it provokes
ALLOWED_WARNINGS = (
    "ignore:Guards may run slower on Python 3.13.0:RuntimeWarning",  # PyTorch's, when it compiles
    # Keras's own, on NumPy 2: it copies TensorFlow's variables by a call that TensorFlow does not know all of
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:keras[.]src[.]backend[.]tensorflow",
)


def pytest_configure(config: pytest.Config) -> None:
    for warning in ALLOWED_WARNINGS:
        config.addinivalue_line("filterwarnings", warning)


def pytest_report_header(config: pytest.Config) -> str:
    listed = [f"{name} {'tested' if name in TESTED else 'left out'}" for name in backends.BACKENDS]
    return f"backends: {', '.join(listed)}; The Time Machine: {'real' if REAL_FOLDER else 'absent'}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test that asks for a backend once for each, tested here or not: the same tests are there everywhere."""
    if "backend" not in metafunc.fixturenames:
        return
    if any("backend" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")):
        return  # by in_each_backend or in_backends
    only = metafunc.definition.get_closest_marker("only")
    names = tuple(backends.BACKENDS) if only is None else only.args
    if not names or not set(names) <= set(backends.BACKENDS):
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: only{names} must name some of {[*backends.BACKENDS]}")
    marked = [pytest.param(name, marks=pytest.mark.backend(name)) for name in names]
    metafunc.parametrize("backend", marked, indirect=True)


def _left_out(item: pytest.Item) -> bool:
    """Whether a test is of a backend that is not tested here. Where all are, nothing is left out."""
    of = item.get_closest_marker("backend")
    return (of is not None and of.args[0] not in TESTED) or (
        item.get_closest_marker("parity") is not None and set(TESTED) != set(backends.BACKENDS)
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of backends that are not tested here are left out rather than skipped."""
    for item in items:
        if "real_time_machine" in getattr(item, "fixturenames", ()):
            item.add_marker("real_text")
        # The environments of backends have no text, and where there is one no backend is tested: it would run nowhere
        if item.get_closest_marker("real_text") and any(map(item.get_closest_marker, ("backend", "parity", "site"))):
            raise pytest.UsageError(f"{item.nodeid} needs the real text and is of a backend: make two tests of it")
    left_out = [item for item in items if _left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _left_out(item)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Where a backend was asked for, a test of it that is skipped has failed."""
    report = yield
    of = item.get_closest_marker("backend") or item.get_closest_marker("parity")
    if report.skipped and not hasattr(report, "wasxfail") and of is not None and os.environ.get(ENV):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and {ENV} asks for it: {report.longrepr[-1]}"
    return report


@dataclass(frozen=True)
class Backend:
    """A backend under test: its name, what a reader imports as d2l, and its interface.

    The methods put one text over what the tabs write in different forms.
    """

    name: str
    d2l: ModuleType
    interface: ModuleType

    @property
    def cpu(self) -> Any:
        """The device, or the strategy, that training takes."""
        return self.interface.get_device("cpu")

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
        if self.name in ("torch", "numpy"):
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
        return self.framework.constant(array) if self.name == "tensorflow" else array

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
    loaded = Backend(name, importlib.import_module(f"d2lrnn.{name}"), backends.load(name))
    if name == "mxnet":
        loaded.framework.npx.set_np()  # as the first import did; a test before may have imported a first edition since
    return loaded


def load_edition(backend: Backend, name: str) -> ModuleType:
    """Return a first edition's module of a backend, as if this were its first import."""
    edition = importlib.import_module(f"d2lrnn.{backend.name}.first_edition_{name}")
    if backend.name == "mxnet":
        backend.framework.npx.reset_np()
    return edition


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    return load_backend(request.param)


NO_SERVER = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def numpys_semantics():
    """Whether MXNet has NumPy's semantics, which is for the whole process, no test says to those after it."""
    yield
    if "d2lrnn.mxnet.first_editions" in sys.modules:
        sys.modules["mxnet"].npx.set_np()


@pytest.fixture(autouse=True)
def own_threads():
    """That a test has set a number of threads says nothing to the tests after it, whatever their order."""
    before = set(threads.given)
    yield
    threads.given.clear()
    threads.given.update(before)


@pytest.fixture(scope="session", autouse=True)
def no_download():
    """No test reaches for the network: The Time Machine is the real one, or the story under its name and hash.

    A process that a test starts inherits the environment and nothing else. It reaches for the network no more, but
    the hash that is patched here it does not see: see :func:`no_time_machine`.
    """
    with pytest.MonkeyPatch.context() as patch:
        for scheme in ("http", "https", "all"):
            patch.setenv(f"{scheme}_proxy", NO_SERVER)
            patch.setenv(f"{scheme}_proxy".upper(), NO_SERVER)
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, "127.0.0.1,localhost")
        for name in ("jaychou_lyrics", "fra-eng"):
            patch.setitem(DATA_HUB, name, (f"{NO_SERVER}/{name}.zip", DATA_HUB[name][1]))
        if REAL_FOLDER is not None:
            patch.setenv(downloads.DATA_ENV, str(REAL_FOLDER))
            yield
            return
        with tempfile.TemporaryDirectory() as stand_in:
            content = read_text("story").content.encode()
            (Path(stand_in) / "timemachine.txt").write_bytes(content)
            patch.setitem(DATA_HUB, "time_machine", (DATA_HUB["time_machine"][0], hashlib.sha1(content).hexdigest()))
            patch.setenv(downloads.DATA_ENV, stand_in)
            yield


@pytest.fixture
def no_time_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Time Machine is nowhere, for this process and for those that it starts: on every machine alike."""
    file = tmp_path / "no-texts" / "timemachine.txt"
    file.parent.mkdir()
    # A file of another hash ends the search, before a cache is looked into, also where the hash is patched
    file.write_text("not the book's", encoding="utf-8")
    monkeypatch.setenv(downloads.DATA_ENV, str(file.parent))


@pytest.fixture
def real_time_machine() -> Text:
    """Return the real text; a test that checks its facts has the marker ``real_text``, and is skipped without it."""
    if REAL_FOLDER is None:
        pytest.skip(
            f"The Time Machine is not here: put timemachine.txt into a folder and name it in {downloads.DATA_ENV}"
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

    for name in ("d2lrnn.runs.training", "d2lrnn.comparison.compare", "d2lrnn.data.corpora"):
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


@pytest.fixture
def run(capfd: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that runs the command in an empty folder and returns its exit code, output and errors."""
    from d2lrnn.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> tuple[int, str, str]:
        try:
            code = main.main([str(arg) for arg in args])
        except SystemExit as stop:  # argparse's own way out
            code = stop.code
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let NumPy be all that is installed."""
    installed = backends.version
    monkeypatch.setattr(backends, "version", lambda name: installed(name) if name == "numpy" else None)
