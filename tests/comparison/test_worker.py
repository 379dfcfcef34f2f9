"""The processes of a comparison: what dies in one, and what others write to its output."""

import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from command_line import STORY, broken_framework
from conftest import count_texts

from d2lrnn.comparison import compare, process
from d2lrnn.core import backends
from d2lrnn.data import corpora, downloads
from d2lrnn.errors import D2LRNNWarning
from d2lrnn.runs.settings import Settings


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
    assert process.ask({"task": "train"}) == {"event": "error", "message": "its process ended with exit code 7"}
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
    answer = process.ask({"task": "devices", "backend": "torch"}, events.append)
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
            "from d2lrnn.data import corpora, downloads\n"
            f"downloads.DATA_HUB['time_machine'] = ({url!r}, '0' * 40)\n"
            "import pooch\n"
            f"pooch.os_cache = lambda name: {str(tmp_path / 'cache')!r}\n"
        )
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.delenv(downloads.DATA_ENV, raising=False)
        monkeypatch.setitem(downloads.DATA_HUB, "time_machine", (url, "0" * 40))
        monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
        broken_framework(tmp_path, "torch", "raise ImportError('once the text has been read')")
        settings = {"corpus": "time-machine", "epochs": 1, "num_hiddens": 4}
        with downloads.remembering_failures():
            with pytest.warns(D2LRNNWarning, match="the bundled story stands in"):
                corpora.read_text("time-machine")
            assert len(asked) == 1
            answer = process.ask({"task": "train", "backend": "torch", "settings": settings, "step_losses": 1})
        assert "once the text has been read" in answer["message"]
        server.shutdown()
        thread.join()
    assert len(asked) == 1


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


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_process_that_is_killed_by_a_signal_without_a_name_is_answered_for(monkeypatch, tmp_path):
    (tmp_path / "numpy_ends.py").write_text("import os; os.kill(os.getpid(), 35)")
    original = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda args, **options: original([sys.executable, tmp_path / "numpy_ends.py"], **options)
    )
    assert process.ask({"task": "devices"})["message"] == "its process was killed by signal 35"


def test_a_comparison_reads_and_tokenizes_its_text_once(monkeypatch):
    """The workers, which are others' processes, do the same each: see the test of run.train."""
    read, tokenized = count_texts(monkeypatch)
    monkeypatch.setattr(backends, "problem", lambda name: None)
    monkeypatch.setattr(compare, "ask", lambda job, on_event: {"event": "error", "message": "not here"})
    settings = Settings(corpus="story", max_tokens=2000, num_hiddens=4, batch_size=8, num_steps=20, epochs=1, seed=1)
    document = compare.compare(list(backends.BACKENDS), settings)
    assert len(document["reference_losses"]) == 12
    assert (read, tokenized) == (["story"], ["story"])
