"""What make bench does with its measurements. That it measures at all is seen by running it (--quick)."""

import json
import re
import sys

import bench
import bench_book
import bench_common
import bench_growth
import common
import pytest
from common import describe_machine, put_between


def measured(rows):
    about = {
        "finished": "2026-11-21T12:00+00:00", "minutes": 1.0, "quick": False, "rounds": 3, "startups": 2,
        "machine": describe_machine(), "versions": {"python": "3"}, "text": "a text",
    }  # fmt: skip
    return {"about": about, "rows": rows}


def against_the_book(book, ours, form="rnn_fast"):
    ratios = [b / a for a, b in zip(book, ours, strict=True)]
    return bench_book.row_of(
        "torch",
        "scratch",
        form,
        "training",
        "tokens/s",
        {"values": {"book": book, "ours": ours}, "ratios": {"ours": ratios}},
    )


class Measured:
    """Stands for a program: each measurement is the next of its values."""

    def __init__(self, values, log, name):
        self.values, self.log, self.name = iter(values), log, name

    def measure(self):
        self.log.append(self.name)
        return next(self.values)


def test_the_sides_take_turns_and_each_pair_of_neighbours_makes_a_ratio():
    log = []
    sides = {"book": Measured([1, 2, 4], log, "book"), "ours": Measured([2, 6, 4], log, "ours")}
    found = bench_common.alternate(3, sides, Measured.measure)
    assert log == ["ours", "book", "book", "ours", "ours", "book"]
    assert found == {"values": {"book": [1, 2, 4], "ours": [2, 6, 4]}, "ratios": {"ours": [2, 3, 1]}}


def test_the_ratio_is_the_median_of_the_ratios_and_not_the_ratio_of_the_medians():
    row = against_the_book([10, 20, 40], [30, 30, 30])
    assert (row["ratio"], row["lowest"], row["highest"]) == (1.5, 0.75, 3.0)
    assert (row["book"], row["ours"], row["times"], row["target"]) == (20, 30, 3, 1.5)


@pytest.mark.parametrize(("ours", "said"), [(1.49, "not met"), (1.5, "met")])
def test_a_table_says_whether_a_target_is_met(ours, said):
    text = bench.section("book", measured([against_the_book([1.0], [ours])]))
    assert re.search(rf"\*\*{ours:.2f}\*\* .* \| 1.5, {said} \|", text)


def test_only_the_fastest_form_has_a_target():
    assert against_the_book([1.0], [2.0], form="rnn")["target"] is None
    assert against_the_book([1.0], [2.0], form="rnn_fast")["target"] == 1.5


def test_ratios_of_earlier_runs_stand_beside_those_of_the_same_row():
    def run(ours, form="rnn_fast"):
        return measured([against_the_book([1.0], [ours], form)])

    text = bench.section("book", run(2.0), [run(1.9), run(1.8, form="rnn"), run(1.7)])
    assert "| **2.00** (2.00 to 2.00) | 1.90, 1.70 |" in text
    assert text.count("Earlier: to 2026-11-21 12:00. Machine: ") == 3


def test_a_table_of_the_limit_holds_both_parts_against_the_target():
    row = {
        "backend": "torch", "units": 512, "threads": 2, "ours": 1e5, "rate": 2e11, "part": 0.9, "part_of_best": 0.44,
        "operations": 1.7e6,
    }  # fmt: skip
    assert "0.45, met of own only" in bench.section("limit", measured([row]))
    assert "0.45, not met" in bench.section("limit", measured([row | {"part": 0.4}]))
    assert "0.45, met" in bench.section("limit", measured([row | {"part_of_best": 0.46}]))


def test_a_second_run_says_which_ratios_moved():
    before = {"book": measured([against_the_book([1.0], [2.0])])}
    near = {"book": measured([against_the_book([1.0], [2.2])])}
    far = {"book": measured([against_the_book([1.0], [1.6])])}
    assert list(bench.drift(near, before)) == ["Ratios against those that were kept before: 1 of 1 within 15 %"]
    assert [line.strip() for line in bench.drift(far, before)][1] == "torch, rnn_fast, 512 units, training: -20%"
    assert not list(bench.drift(near, {}))


def test_a_generated_text_has_as_many_characters_as_it_is_asked_for(tmp_path):
    from d2lrnn.data import load_corpus

    path = bench_growth.generated_text(tmp_path / "text.txt", 10_000)
    corpus, vocab = load_corpus(path, clean="book")
    assert abs(len(corpus) - 10_000) < 100
    assert len(vocab) > 10


def test_a_program_that_dies_is_quoted(tmp_path, monkeypatch):
    (tmp_path / "sides.py").write_text("raise SystemExit('no such thing here')", encoding="utf-8")
    monkeypatch.setattr(bench_common, "HERE", tmp_path)
    with pytest.raises(SystemExit, match="'ours torch' ended with this:\nno such thing here"):
        bench_common.Program("ours", "torch", sys.executable)


def test_the_committed_tables_are_what_was_measured(tmp_path):
    kept = json.loads((common.HERE / bench.KEPT).read_text(encoding="utf-8"))
    assert set(kept) == {*bench.QUESTIONS, "earlier"}
    earlier = kept["earlier"]
    assert set(earlier) <= set(bench.QUESTIONS)
    runs = [kept[name] for name in bench.QUESTIONS] + [run for of_it in earlier.values() for run in of_it]
    assert not any(run["about"]["quick"] for run in runs)
    results = (common.HERE / "RESULTS.md").read_text(encoding="utf-8")
    path = tmp_path / "RESULTS.md"
    path.write_text(results, encoding="utf-8")
    sections = [bench.section(name, kept[name], earlier.get(name, [])) for name in bench.QUESTIONS]
    put_between(path, "\n".join(sections), bench.MARKS)
    assert path.read_text(encoding="utf-8") == results
