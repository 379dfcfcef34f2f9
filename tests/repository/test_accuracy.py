"""What make accuracy does with its measurements, and a quick one in NumPy."""

import json
import re
import shutil
import sys

import accuracy
import common
import long_run
import numpy as np
import pytest
from common import ask, describe_machine, put_between, ready

from d2lrnn.errors import InputError
from d2lrnn.weights import canonical


def row(case, quantity, backend, error, largest):
    return {
        "case": case, "quantity": quantity, "backend": backend, "error": error, "largest": largest,
        "relative": error / largest,
    }  # fmt: skip


def measured(rows, quick=False):
    about = {
        "finished": "2026-11-26T12:00+00:00", "minutes": 3.0, "quick": quick, "machine": describe_machine(),
        "versions": {"python": "3"}, "text": "a text",
    }  # fmt: skip
    return {"about": about, "rows": rows}


def complete(**worse):
    """Return rows of every quantity in two models and two backends; some are worse in MXNet."""
    return [
        row(case, quantity, backend, 1e-6 * (worse.get(backend, 1) if case.startswith("gru") else 1), 2.0)
        for case in ("rnn, 1 layer", "gru, 2 layers")
        for quantity in accuracy.QUANTITIES
        for backend in ("torch", "mxnet")
    ]


def test_an_error_is_the_largest_of_all_numbers_beside_the_largest_of_them():
    exact = {"weights": {"a": np.array([1.0, -4.0]), "b": np.array([[2.0]])}}
    found = {"weights": {"a": np.array([1.0, -4.0], "float32"), "b": np.array([[2.25]], "float32")}}
    assert accuracy.errors(found, exact) == {"weights": {"error": 0.25, "largest": 4.0}}


def test_an_error_is_that_against_float64_and_not_against_what_it_rounds_to():
    exact = {"loss": {"loss": np.array(1 / 3)}}
    found = {"loss": {"loss": np.array(1 / 3, "float32")}}
    assert 0 < accuracy.errors(found, exact)["loss"]["error"] < 2e-8


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_a_value_that_is_no_number_is_the_error(place):
    values = np.array([1.0, 2.0], "float32")
    values[place] = np.nan
    found = accuracy.errors({"logits": {"logits": values}}, {"logits": {"logits": np.array([1.0, 2.0])}})
    assert np.isnan(found["logits"]["error"])
    rows = [*complete(), row("lstm, 1 layer", "logits", "mxnet", float("nan"), 1.0)]
    text = accuracy.section(measured([{**r, "error": r["error"]} for r in rows]))
    assert "| logits | 5.0e-07 (rnn, 1 layer) | nan (lstm, 1 layer) |" in text


def test_arrays_that_are_missing_are_not_taken_for_equal():
    exact = {"raw gradients": {"a": np.ones(2), "b": np.ones(2)}}
    with pytest.raises(SystemExit, match="raw gradients of a, and a, b are expected"):
        accuracy.errors({"raw gradients": {"a": np.ones(2)}}, exact)


def test_the_first_table_has_the_model_that_is_furthest_off():
    text = accuracy.section(measured(complete(mxnet=30)))
    assert "| loss | 5.0e-07 (rnn, 1 layer) | 1.5e-05 (gru, 2 layers) |" in text


def test_the_second_table_has_every_model_and_quantity_and_leaves_out_what_a_backend_cannot_build():
    only_one = [row("gru-reset-before, 1 layer", "loss", "torch", 4e-7, 4.0)]
    text = accuracy.section(measured(complete() + only_one))
    assert "| gru, 2 layers | weights after 50 steps | 2 | 1.0e-06 (5.0e-07) | 1.0e-06 (5.0e-07) |" in text
    assert "| gru-reset-before, 1 layer | loss | 4 | 4.0e-07 (1.0e-07) |  |" in text
    assert len(re.findall(r"^\| (?:rnn|gru), ", text, re.MULTILINE)) == 2 * len(accuracy.QUANTITIES)


def test_every_model_is_measured():
    models = accuracy.cases(quick=False)
    assert {kind for kind, _, _ in models} == set(canonical.KINDS)
    assert {layers for _, layers, _ in models} == {1, 2}
    assert any(both for _, _, both in models)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Return the folder of a quick measuring in NumPy."""
    out = tmp_path_factory.mktemp("accuracy")
    assert accuracy.main(["--quick", "--backends", "numpy", "--out", str(out)]) == 0
    return out


def test_a_quick_measuring_in_numpy(quick):
    document = json.loads((quick / accuracy.KEPT).read_text(encoding="utf-8"))
    rows, moved = (
        [row for row in document["rows"] if (row["backend"] == accuracy.MOVED) is it] for it in (False, True)
    )
    single = [row for row in rows if row["quantity"] in accuracy.SINGLE]
    expected = [
        (accuracy.words(*case), quantity)
        for case in accuracy.cases(quick=True)
        for quantity in (accuracy.SINGLE if case[-1] else accuracy.QUANTITIES)
    ]
    assert [(row["case"], row["quantity"]) for row in rows] == expected
    # Float32 rounds, and no more than that: float64 against itself would be 0, another function far above
    assert all(1e-9 < row["relative"] < 1e-5 for row in single)
    # What is moved by 6e-8 at first has moved by not much less after a step, nor by much more
    assert [(row["case"], row["quantity"]) for row in moved] == [
        pair for pair in expected if pair[1] not in accuracy.SINGLE
    ]
    assert all(1e-9 < row["relative"] < 1e-6 for row in moved if row["quantity"] == "weights after 1 step")
    by = {(row["case"], row["quantity"]): row for row in rows}
    for case in accuracy.cases(quick=True):
        raw, clipped = (by[accuracy.words(*case), f"{name} gradients"]["largest"] for name in ("raw", "clipped"))
        assert clipped == pytest.approx(raw / 2)
    text = (quick / "RESULTS.md").read_text(encoding="utf-8")
    assert text == f"# Results\n\n{accuracy.MARKS[0]}\n{accuracy.section(document)}{accuracy.MARKS[1]}\n"
    assert "**A quick run**" in text


def test_what_the_oracle_keeps_comes_back(tmp_path):
    given = {"weights": {"a.b": np.ones((2, 3), "float32")}, "state": [np.zeros(2)], "minibatch": [np.eye(2)] * 2}
    exact = {"raw gradients": {"layers.0.W": np.arange(3.0)}, "loss": {"loss": np.array(2.5)}}
    accuracy._keep({"folder": tmp_path}, 0, {**given, "theta": 0.5}, exact)
    back, exact_back = accuracy._kept({"folder": tmp_path}, 0)
    assert back.pop("theta") == 0.5
    for part in ("state", "minibatch"):
        assert [a.tolist() for a in back[part]] == [a.tolist() for a in given[part]]
    assert back["weights"]["a.b"].dtype == np.float32
    assert {q: {n: v.tolist() for n, v in of.items()} for q, of in exact_back.items()} == {
        "raw gradients": {"layers.0.W": [0, 1, 2]}, "loss": {"loss": 2.5}
    }  # fmt: skip


FAILS = f"""
import sys
sys.path[:0] = {sys.path!r}
import common
from d2lrnn.errors import InputError

def side(job):
    yield {{"n": 1}}
    exec(job["does"])

common.run(lambda: 0, "", side)
"""


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("sys.exit('no such thing here')", "its process ended with exit code 1: no such thing here$"),
        ("raise InputError('no such thing here')", "no such thing here$"),
        ("{}['a']", r"Traceback(.|\n)*fails\.py(.|\n)*KeyError: 'a'"),
    ],
)
def test_a_process_that_fails_is_quoted(tmp_path, does, said):
    script = tmp_path / "fails.py"
    script.write_text(FAILS, encoding="utf-8")
    answers = []
    with pytest.raises(SystemExit, match=rf"^fails\.py in torch: {said}"):
        ask(script, {"backend": "torch", "does": does}, lambda so_far: answers.append(so_far[-1]))
    assert answers == [{"n": 1}]


@pytest.mark.parametrize("program", [accuracy, long_run], ids=["accuracy", "long runs"])
def test_what_cannot_be_written_is_said_before_it_is_measured(program, monkeypatch, tmp_path):
    monkeypatch.setattr(common, "ask", lambda script, job, told: pytest.fail("it measures"))
    monkeypatch.setattr(long_run.Path, "is_file", lambda path: path.exists() or str(path).startswith("/proc"))
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results of mine\n", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(program.MARKS[0])):
        program.main(["--backends", "numpy", "--out", str(tmp_path)])
    assert results.read_text(encoding="utf-8") == "# Results of mine\n"
    with pytest.raises(SystemExit, match="name another folder with --out"):
        program.main(["--backends", "numpy", "--out", str(results / "folder")])


def test_what_is_between_the_marks_stays_until_there_is_more(tmp_path):
    results = tmp_path / "RESULTS.md"
    ready(tmp_path, ("<a>", "<b>"))
    assert results.read_text(encoding="utf-8") == "# Results\n\n<a>\n<b>\n"
    results.write_text("x\n<a>\nthe table\n\nof old\n<b>\ny\n", encoding="utf-8")
    ready(tmp_path, ("<a>", "<b>"))
    assert results.read_text(encoding="utf-8") == "x\n<a>\nthe table\n\nof old\n<b>\ny\n"


@pytest.mark.parametrize(
    ("names", "said"),
    [("pytorch", "unknown backend 'pytorch': use one of "), ("", "no backend is named"),
     ("tensorflwo", "did you mean 'tensorflow'?")],
)  # fmt: skip
def test_a_backend_that_there_is_not(names, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        accuracy.main(["--backends", names])
    assert said in capsys.readouterr().err


def test_a_part_does_not_take_the_place_of_the_whole(quick, monkeypatch, tmp_path):
    """Without --out the committed table stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(accuracy, "HERE", tmp_path / "committed")
    monkeypatch.setattr(common, "ask", lambda script, job, told: [] if job["oracle"] else complete())
    for words in (["--quick"], ["--backends", "numpy"]):
        assert accuracy.main(words) == 0
        shutil.rmtree(tmp_path / "build" / "accuracy")
    assert not (tmp_path / "committed").exists()


def test_the_committed_tables_are_what_was_measured(tmp_path):
    results = (accuracy.HERE / "RESULTS.md").read_text(encoding="utf-8")
    kept = json.loads((accuracy.HERE / accuracy.KEPT).read_text(encoding="utf-8"))
    assert not kept["about"]["quick"]
    path = tmp_path / "RESULTS.md"
    path.write_text(results, encoding="utf-8")
    put_between(path, accuracy.section(kept), accuracy.MARKS)
    assert path.read_text(encoding="utf-8") == results
