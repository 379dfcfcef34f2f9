"""How make long-runs judges what it measures, and a moment of it in NumPy."""

import json
import sys

import common
import long_run
import numpy as np
import pytest
from common import describe_machine, put_between

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="what a process has is read from /proc")


def samples(minutes=30, number=300, *, warming=60.0, leak=0.0, noise=2.0, files=6, threads=3, seed=0):
    """Return the samples of a process that has 400 MiB: it warms up, and then leaks so many MiB an hour."""
    rng = np.random.default_rng(seed)
    found = []
    for i, seconds in enumerate(np.linspace(6, 60 * minutes, number)):
        resident = 400 - 200 * np.exp(-3 * seconds / warming) + leak * seconds / 3600 + noise * rng.normal()
        found.append({
            "seconds": float(seconds), "resident": resident * MIB, "peak": (430 + leak * seconds / 3600) * MIB,
            "files": files(i) if callable(files) else files, "threads": threads(i) if callable(threads) else threads,
        })  # fmt: skip
    return found


def measured(found):
    about = {"finished": "2026-11-26T12:00+00:00", "quick": False, "machine": describe_machine(),
             "versions": {"python": "3"}, "text": "story"}  # fmt: skip
    return {
        "about": about, "seconds": found[-1]["seconds"], "rounds": len(found), "warm_up": long_run.warm_up(found),
        "series": long_run.thinned(found),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.0, 1.0, 4.0])
def test_noise_is_flat(seed, noise):
    found = long_run.judge(measured(samples(noise=noise, seed=seed)))
    assert found["flat"] is True
    assert all(found[name]["flat"] for name in long_run.MEASURED)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("leak", [12.0, 100.0, 2000.0])
def test_a_leak_is_found(seed, leak):
    """Of 12 MiB an hour, in half an hour of noise of 2 MiB."""
    found = long_run.judge(measured(samples(leak=leak, seed=seed)))
    assert (found["flat"], found["resident"]["flat"], found["files"]["flat"]) == (False, False, True)
    assert found["resident"]["growth"] / MIB == pytest.approx(leak, abs=4)


def test_a_leak_that_is_there_from_the_beginning_is_no_warm_up():
    found = samples(leak=4000, warming=1, noise=0)
    assert long_run.warm_up(found) <= found[-1]["seconds"] / 3
    assert long_run.judge(measured(found))["flat"] is False


def test_a_few_samples_that_are_far_off_change_nothing():
    found = samples()
    for sample in found[100::9]:
        sample["resident"] *= 3
    assert long_run.judge(measured(found))["flat"] is True


@pytest.mark.parametrize(("name", "every"), [("files", 1), ("files", 50), ("threads", 100)])
def test_what_is_lost_now_and_then_is_found(name, every):
    found = long_run.judge(measured(samples(**{name: lambda i: 6 + i // every})))
    assert (found["flat"], found[name]["flat"], found["resident"]["flat"]) == (False, False, True)


def test_files_that_come_and_go_are_flat():
    assert long_run.judge(measured(samples(files=lambda i: 6 + i % 3, threads=lambda i: 3 + (i % 7 == 0))))["flat"]


@pytest.mark.parametrize("warming", [20.0, 120.0, 400.0])
def test_the_warm_up_is_measured(warming):
    """The synthetic process has all but 2.5 % of what it adds after 1.23 of its times, and 1 % of 400 MiB is that."""
    lasted = long_run.warm_up(samples(warming=warming, noise=0))
    assert lasted == pytest.approx(warming * np.log(50) / 3, abs=7 + 0.2 * warming)


def test_the_warm_up_has_at_least_a_round_of_each_kind():
    found = samples(number=100, warming=1, noise=0)
    assert long_run.warm_up(found) == found[len(long_run.KINDS) - 1]["seconds"]
    assert long_run.warm_up(found[:2]) == found[1]["seconds"]


def test_too_few_samples_are_not_judged():
    short = measured(samples(number=long_run.FEWEST))
    found = long_run.judge(short)
    assert (found["flat"], found["resident"]["growth"]) == (None, None)
    assert "too short to tell" in long_run.section({"torch": short})


def test_thinning_keeps_the_level_and_both_ends():
    found = samples(number=5000, leak=50)
    series = long_run.thinned(found)
    assert {len(values) for values in series.values()} == {long_run.KEPT_SAMPLES}
    assert series["seconds"][0] < 120
    assert series["seconds"][-1] > 1780
    assert series["peak"][-1] == found[-1]["peak"]
    full = long_run.slope([s["seconds"] for s in found[1000::4]], [s["resident"] for s in found[1000::4]])
    assert long_run.slope(series["seconds"][48:], series["resident"][48:]) == pytest.approx(full, rel=0.05)
    assert long_run.thinned(found[:5])["resident"] == [s["resident"] for s in found[:5]]


def test_the_table_says_what_grows():
    text = long_run.section({
        "torch": measured(samples()),
        "mxnet": measured(samples(leak=300, files=lambda i: i // 2)),
    })  # fmt: skip
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" |")[-2].strip() for line in lines[2:]] == ["flat", "**grows: resident, files**"]
    assert "30" in lines[2]
    assert text.count("Measured: ") == 1
    assert "torch to 2026-11-26 12:00, mxnet to 2026-11-26 12:00" in " ".join(text.split())


@linux
def test_a_leak_of_this_process_is_seen():
    before = long_run.read_process()
    kept = np.ones(40 * MIB, "uint8")  # more than what malloc may have left from others before: 32
    with open("/dev/null") as file:  # noqa: PTH123
        after = long_run.read_process()
    assert 39 * MIB < after["resident"] - before["resident"] < 50 * MIB
    assert after["peak"] >= after["resident"] - MIB
    assert after["files"] == before["files"] + 1
    assert after["threads"] == before["threads"] >= 1
    assert file.closed
    assert len(kept)


@linux
def test_a_moment_in_numpy(tmp_path, monkeypatch):
    assert long_run.main(["--minutes", "0.02", "--backends", "numpy", "--out", str(tmp_path)]) == 0
    document = json.loads((tmp_path / long_run.KEPT).read_text(encoding="utf-8"))
    assert list(document) == ["numpy"]
    series = document["numpy"]["series"]
    assert document["numpy"]["rounds"] == len(series["seconds"]) >= 1
    assert set(series) == {"seconds", "resident", "peak", "files", "threads"}
    assert all(value > 10 * MIB for value in series["resident"])
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert text == f"# Results\n\n{long_run.MARKS[0]}\n{long_run.section(document)}{long_run.MARKS[1]}\n"
    assert "**Shorter than 30 minutes**" in text
    # Another backend's figures stay beside it, and what grows is an exit code
    grown = samples(leak=500)
    monkeypatch.setattr(common, "ask", lambda script, job, told: grown)
    monkeypatch.setattr(common, "usable", lambda names: names)
    assert long_run.main(["--backends", "torch", "--out", str(tmp_path)]) == 1
    assert list(json.loads((tmp_path / long_run.KEPT).read_text(encoding="utf-8"))) == ["numpy", "torch"]


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "half"])
def test_minutes_that_are_none(minutes, capsys):
    with pytest.raises(SystemExit, match="2"):
        long_run.main(["--minutes", minutes])
    assert "--minutes" in capsys.readouterr().err


def test_elsewhere_than_on_linux_it_says_so(monkeypatch):
    monkeypatch.setattr(long_run.Path, "is_file", lambda path: False)
    with pytest.raises(SystemExit, match="only Linux has: measure there"):
        long_run.main(["--backends", "numpy"])


def test_figures_that_are_damaged_are_not_written_over(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "ask", lambda script, job, told: samples())
    monkeypatch.setattr(long_run.Path, "is_file", lambda path: True)  # /proc, elsewhere than on Linux
    (tmp_path / long_run.KEPT).write_text("{", encoding="utf-8")
    with pytest.raises(SystemExit, match="name another folder with --out"):
        long_run.main(["--backends", "numpy", "--out", str(tmp_path)])
    assert (tmp_path / long_run.KEPT).read_text(encoding="utf-8") == "{"


def test_the_committed_table_is_what_was_measured(tmp_path):
    results = (long_run.HERE / "RESULTS.md").read_text(encoding="utf-8")
    document = json.loads((long_run.HERE / long_run.KEPT).read_text(encoding="utf-8"))
    assert not any(measured["about"]["quick"] for measured in document.values())
    path = tmp_path / "RESULTS.md"
    path.write_text(results, encoding="utf-8")
    put_between(path, long_run.section(document), long_run.MARKS)
    assert path.read_text(encoding="utf-8") == results
