"""``d2lrnn compare``: the table, the document, the picture and the files that it writes."""

import errno
import json
import os
import re
from pathlib import Path

import pytest
from command_line import STORY, last_line, rows_of
from matplotlib.axes import Axes

from d2lrnn.cli import display
from d2lrnn.comparison import compare
from d2lrnn.core import backends
from d2lrnn.core.history import History
from d2lrnn.errors import InputError, StorageError
from d2lrnn.runs import show
from d2lrnn.runs.settings import Settings


def test_a_comparison_without_any_backend_fails_with_a_row_for_each(run, nothing_installed):
    frameworks = ("--backends", ",".join(backends.FRAMEWORKS))
    code, out, err = run("compare", *STORY, *frameworks)
    assert code == 2
    assert out.count("is not") >= 3
    assert last_line(err) == "d2lrnn: error: no backend could run; see the reasons above"
    code, out, _ = run("compare", *STORY, "--json", *frameworks)
    assert code == 2
    assert [row["backend"] for row in json.loads(out)["backends"]] == list(backends.FRAMEWORKS)


def test_compare_one_backend(run, backend, tmp_path):
    # With a radius at which gradients are clipped, which the reference must do too
    args = ["--backends", backend.name, *STORY, "--epochs", 8, "--seed", 1, "--theta", 0.05, "--json"]
    code, out, err = run("compare", *args)
    document = json.loads(out)
    (row,) = document["backends"]
    assert (code, err) == (0, "")
    assert row["problem"] is None
    assert row["parameters"] == row["corpus"]["vocab_size"] * 16 * 2 + 16 * 16 + 16 + row["corpus"]["vocab_size"]
    assert row["max_loss_difference"] < 1e-4
    assert len(document["reference_losses"]) == len(row["step_losses"]) == 50
    assert row["peak_memory"] > 2**26
    assert row["startup_seconds"] > 0
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / document["html"]).read_text().startswith("<!doctype html>")


def test_who_reads_a_pipe_is_told_how_far_a_comparison_has_come(run):
    code, out, err = run("compare", *STORY, "--backends", "numpy", "--epochs", 2)
    assert (code, err) == (0, "")
    first, second = out.splitlines()[:2]
    assert first == "numpy: begins"
    assert re.fullmatch(r"numpy: perplexity \d+\.\d\d, [\d,]+ tokens/s, \d+\.\d s", second)


@pytest.mark.parity
def test_compare_all_three(run):
    code, out, err = run("compare", *STORY, "--epochs", 2, "--seed", 1)
    assert (code, err) == (0, "")
    for name in backends.BACKENDS:
        assert len(re.findall(rf"^│ {name}\b", out, re.MULTILINE)) == 1
    assert "report: report.html\ncurves: compare.png\n" in out
    assert Path("compare.png").is_file()
    assert Path("report.html").is_file()


@pytest.mark.parity
def test_compare_begins_from_the_same_weights_and_reads_the_same_minibatches(run):
    _, out, _ = run("compare", *STORY, "--epochs", 2, "--sampling", "random", "--json")
    document = json.loads(out)
    assert document["settings"]["seed"] is not None
    assert len({row["corpus"]["sha256"] for row in document["backends"]}) == 1
    for row in document["backends"]:
        assert row["max_loss_difference"] < 1e-4


@pytest.mark.parity
def test_backends_that_are_not_installed_are_listed_and_fail_nothing_unless_they_were_named(run, monkeypatch):
    """With two of them not installed."""
    installed = backends.version
    monkeypatch.setattr(backends, "version", lambda name: installed(name) if name in ("torch", "numpy") else None)
    code, out, err = run("compare", *STORY, "--epochs", 1, "--json")
    assert (code, err) == (0, "")
    assert out.count("is not installed") == 2
    assert run("compare", *STORY, "--epochs", 1, "--backends", "torch,tensorflow")[0] == 1
    assert run("compare", *STORY, "--epochs", 1, "--backends", "mxnet,tensorflow")[0] == 2


def test_what_the_system_lacks_for_a_backend_fails_nothing_unless_it_was_named(run, monkeypatch):
    def problem(name):
        return None if name == "numpy" else "it needs libgomp.so.1, which is not on this system: apt install libgomp1"

    monkeypatch.setattr(backends, "problem", problem)
    monkeypatch.setattr(backends, "version", lambda name: "1.0")
    code, out, _ = run("compare", *STORY, "--epochs", 1, "--json")
    assert (code, out.count("apt install libgomp1")) == (0, 3)
    assert run("compare", *STORY, "--epochs", 1, "--backends", "mxnet,numpy")[0] == 1


def test_the_curves_of_any_number_of_backends_are_drawn(tmp_path, monkeypatch):

    drawn = []
    original = Axes.plot

    def plot(self, *args, **look):
        drawn.append((look["label"], look["linestyle"], look["linewidth"]))
        return original(self, *args, **look)

    monkeypatch.setattr(Axes, "plot", plot)
    names = ["torch", "mxnet", "tensorflow", "numpy", "jax", "tinygrad"]
    settings = {"model": "rnn", "num_hiddens": 4, "corpus": "story", "seed": 1}
    document = {"settings": settings, "reference_losses": [3.0, 2.1], "backends": rows_of(*names)}
    compare.draw(document, tmp_path / "compare.png")
    assert [label for label, _, _ in drawn] == [name for name in names for _ in range(2)]
    assert len(set(drawn)) == len(names)  # each looks like no other


def test_the_picture_of_a_comparison_is_written_in_one_piece(tmp_path, monkeypatch):
    settings = {"model": "rnn", "num_hiddens": 4, "corpus": "story", "seed": 1}
    document = {"settings": settings, "reference_losses": [3.0, 2.1], "backends": rows_of("torch")}
    path = tmp_path / "compare.png"
    path.write_text("an earlier picture")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StorageError, match="No space left on device"):
            compare.draw(document, path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["an earlier picture"]
    compare.draw(document, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="cannot write the curves to .*a.xyz"):
        compare.draw(document, tmp_path / "a.xyz")


@pytest.mark.parametrize("name", [r"a$\frac$.txt", "$x$", "50 $ or $_", r"\alpha$$"])
def test_a_name_is_drawn_as_it_is_and_not_as_mathematics(tmp_path, name):
    import matplotlib

    settings = {"model": "rnn", "num_hiddens": 4, "corpus": name, "seed": 1}
    document = {"settings": settings, "reference_losses": [3.0, 2.1], "backends": rows_of("torch")}
    history = {**rows_of("torch")[0]["history"], "valid_perplexity": [9.5, 9.0]}
    with matplotlib.rc_context({"text.usetex": True}):  # a user's own setting, which needs LaTeX
        compare.draw(document, tmp_path / "compare.png")
        show.draw([{"out": name, "history": history}], tmp_path / "runs.png")
        show.draw_history(History([1, 2], [9.0, 8.0], [1.0, 1.0], [9.5, 9.0], [1.0, 1.0]))
    assert all((tmp_path / file).read_bytes().startswith(b"\x89PNG") for file in ("compare.png", "runs.png"))


@pytest.fixture
def finished(monkeypatch):
    """Let a comparison be finished at once."""
    settings = {**Settings(corpus="story", seed=1).to_dict(), "threads": 1}
    corpus = {"name": "story", "used_tokens": 10, "text_tokens": 10}
    row = {"backend": "numpy", "version": "1", "device": "cpu", "parameters": 9, "perplexity": 8.125,
           "valid_perplexity": None, "tokens_per_second": 7.0, "peak_memory": None, "startup_seconds": 1.0,
           "max_loss_difference_at_first": 0.0, "max_loss_difference": 0.0, "predictions": {"a": "ab"},
           "corpus": corpus, "settings": settings}  # fmt: skip
    document = {"settings": settings, "reference_losses": [3.0, 2.1], "backends": [{**rows_of("numpy")[0], **row}],
                "environment": {}, "interrupted": False}  # fmt: skip
    monkeypatch.setattr(compare, "compare", lambda *ignored: document)
    return document


def test_the_document_of_a_comparison_is_kept_beside_its_table(run, finished, monkeypatch, tmp_path):
    monkeypatch.setattr("d2lrnn.comparison.report.write", lambda document, path: None)
    code, out, err = run("compare", *STORY, "--document", "a.json")
    assert (code, "8.125" in out, err) == (0, True, "")
    assert run("compare", *STORY, "--json")[1] == (tmp_path / "a.json").read_text(encoding="utf-8")
    code, _, err = run("compare", *STORY, "--document", "no/a.json")
    assert code == 2
    assert err.startswith(
        "d2lrnn: error: cannot write the document to 'no/a.json': there is no folder 'no'; name another"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_what_takes_the_place_of_something_else_is_refused_before_anything_is_trained(run, monkeypatch, tmp_path):
    monkeypatch.setattr(compare, "compare", lambda *ignored: pytest.fail("trained"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for file, reason in {
        "pipe": "it is no regular file, but a pipe",
        "link": "it is no regular file, but a pipe",
        "run/config.json": "the run in 'run' is kept in it",
        "run/weights.safetensors": "the run in 'run' is kept in it",
        "run/.lock": "the run in 'run' is kept in it",
    }.items():
        code, _, err = run("compare", *STORY, "--document", file)
        assert code == 2
        assert err.startswith(f"d2lrnn: error: cannot write the document to {file!r}: {reason}"), err
    code, _, err = run("compare", *STORY, "--document", "run/../r.html", "--html", "./r.html")
    assert (code, "--document must name different files, and two of them name the same one" in err) == (2, True)


@pytest.mark.parametrize("as_json", [True, False])
def test_what_cannot_be_written_is_told_after_what_came_out(run, finished, monkeypatch, tmp_path, as_json):
    def full(*ignored):
        raise StorageError("cannot write it: no space left")

    def odd(*ignored):
        raise RuntimeError("out of ink")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(compare, "draw", full)
    monkeypatch.setattr("d2lrnn.comparison.report.write", odd)
    code, out, err = run("compare", *STORY, *(["--json"] if as_json else []))
    assert code == 2
    assert (json.loads(out)["backends"][0]["perplexity"] == 8.125) if as_json else "8.125" in out
    assert "report: " not in out
    unforeseen, first = err.splitlines()
    assert unforeseen.startswith("d2lrnn: error: unexpected: RuntimeError: out of ink; its traceback is in ")
    assert first == "d2lrnn: error: cannot write it: no space left"


def test_what_cannot_be_printed_is_written_all_the_same(run, finished, monkeypatch, tmp_path):
    def closed(*ignored):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(display, "print_comparison", closed)
    monkeypatch.setattr("d2lrnn.comparison.report.write", lambda document, path: Path(path).write_text("the report"))
    code, _, err = run("compare", *STORY)
    assert (code, err) == (2, "d2lrnn: error: No space left on device; is the disk full?\n")
    assert (tmp_path / "report.html").read_text() == "the report"
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_a_kind_of_picture_that_cannot_be_drawn_here_is_refused_before_anything_is_trained(run, monkeypatch):
    from matplotlib.figure import Figure

    original = Figure.savefig

    def savefig(self, *args, **options):
        if options["format"] == "pgf":
            raise RuntimeError("'xelatex' not found;\ninstall it")
        return original(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    monkeypatch.setattr(compare, "compare", lambda *ignored: pytest.fail("trained"))
    code, out, err = run("compare", *STORY, "--png", "c.pgf")
    assert (code, out) == (2, "")
    assert err == (
        "d2lrnn: error: cannot write the curves to 'c.pgf' (name another with --png): 'xelatex' not found; install it\n"
    )


@pytest.mark.parametrize("option", ["--png", "--html"])
def test_a_name_that_the_disk_does_not_take_is_refused_before_anything_is_trained(run, monkeypatch, option):
    monkeypatch.setattr(compare, "compare", lambda *ignored: pytest.fail("trained"))
    ending = {"--png": ".png", "--html": ".html"}[option]
    code, out, err = run("compare", *STORY, option, "n" * 300 + ending)
    assert (code, out) == (2, "")
    assert "name too long" in err


def test_an_interrupted_comparison_prints_what_was_finished(run, finished, monkeypatch):
    monkeypatch.setattr("d2lrnn.comparison.report.write", lambda document, path: None)
    finished["interrupted"] = True
    code, out, err = run("compare", *STORY, "--json")
    assert (code, err) == (130, "d2lrnn: interrupted\n")
    assert json.loads(out)["backends"][0]["perplexity"] == 8.125


@pytest.mark.only("torch")  # the table is the same for all
def test_a_narrow_terminal_gets_a_block_for_each_backend(run, backend, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    code, out, _ = run("compare", "--backends", backend.name, *STORY, "--epochs", 1)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert code == 0
    assert max(len(line) for line in plain.splitlines()) <= 60
    assert re.search(r"perplexity +│ \d+\.\d{3} ", plain)
    assert "time traveller" in plain


@pytest.mark.only("torch")  # all read texts by the same function
def test_compare_reads_the_bundled_text_whatever_lies_in_the_folder(run, backend, tmp_path):
    (tmp_path / "story").write_text("not the story at all " * 200)
    code, out, _ = run("compare", "--backends", backend.name, *STORY, "--epochs", 1, "--json")
    (row,) = json.loads(out)["backends"]
    assert code == 0
    assert row["corpus"]["name"] == "story"
    assert row["max_loss_difference"] < 1e-4


@pytest.mark.parametrize(
    ("option", "path", "reason"),
    [
        ("--png", "no/such/folder/a.png", "there is no folder"),
        ("--png", "a.xyz", "its ending must be one of"),
        ("--png", ".png", "ending must be"),
        ("--html", "no/such/folder/a.html", "there is no folder"),
        ("--html", "a.png", "ending must be"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_trained(
    run, nothing_installed, option, path, reason
):
    code, out, err = run("compare", *STORY, option, path)
    assert (code, out) == (2, "")
    assert reason in err
