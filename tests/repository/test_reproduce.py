"""The book's figures beside ours: what is trained, kept, taken again and refused, the table, and its file."""

import errno
import json
import os
import platform
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
import pytest
import reproduce
import reproduce_table
from reproduce import CONFIGURATIONS, MARKS, Configuration

from d2lrnn.core.history import History
from d2lrnn.data import DATA_HUB, Vocab, downloads, read_text
from d2lrnn.errors import D2LRNNWarning, InputError, InputFileError, StorageError, TrainingInterrupted
from d2lrnn.runs.environment import describe_here
from d2lrnn.runs.folder_files import State
from d2lrnn.runs.run_folder import CONFIG, RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.weights import canonical

BEGIN, END = MARKS
ALL = ["torch", "mxnet", "tensorflow"]
EPOCHS = 4
SMALL = Settings(num_hiddens=2, batch_size=2, num_steps=3, epochs=EPOCHS, max_tokens=100)
SCRATCH = Configuration("scratch", {EPOCHS: "1.0"}, SMALL, quick=2, remark="the remark")
ENGLISH = Configuration(
    "English", {2: "8.9", EPOCHS: "1.18"}, replace(SMALL, model="rnn", prefixes=("traveller",)), edition="en", quick=3
)
CHINESE = Configuration(
    "Chinese", {2: "79.5", 3: "14.4"}, replace(SMALL, model="rnn", epochs=3, prefixes=("分",)), edition="zh", quick=3
)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path_factory):
    """Two configurations of few epochs; the lyrics are nowhere, and every backend is there."""
    monkeypatch.setattr(reproduce, "CONFIGURATIONS", {"scratch": SCRATCH, "english": ENGLISH})
    monkeypatch.setattr(reproduce_table, "LAST_EPOCHS", 2)
    monkeypatch.setattr("d2lrnn.core.backends.problem", lambda name: None)
    monkeypatch.setitem(DATA_HUB, "jaychou_lyrics", ("http://127.0.0.1:1/jaychou_lyrics.txt.zip", "0" * 40))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path_factory.mktemp("cache"))


def keep(path, perplexity, seed=0, *, backend="torch", status="complete", sha256=None, **settings):
    """Make the folder of a run of SCRATCH that has come to some perplexities, or let the one there come to them."""
    prefixes = ("time traveller", "traveller")
    wanted = replace(SMALL, **{"seed": seed, "prefixes": prefixes, **settings})
    vocab = Vocab("ab")
    config = {
        "backend": backend,
        **describe_here(backend),
        "corpus": {"sha256": sha256 or read_text("time-machine").sha256},
        "created": f"2026-01-0{seed + 1}T10:00:00+0000",
    }
    count = len(perplexity)
    history = History(list(range(1, count + 1)), list(perplexity), [1.0] * count, [], [1.0] * count)
    weights = canonical.initial_weights(wanted.model, len(vocab), wanted.num_hiddens, 1, seed=0)
    state = State(weights, history, dict(np.random.default_rng(0).bit_generator.state))
    there = (path / CONFIG).exists()
    with RunFolder.reopen(path) if there else RunFolder.create(path, config, wanted, vocab) as folder:
        folder.save(state, status)


def answers(monkeypatch, *planned, perplexity=(9.0, 5.0, 3.0, 2.0)):
    """Let the processes give planned answers, and then good ones; return the jobs that they were given."""
    jobs, left = [], list(planned)

    def ask(job, on_event):
        jobs.append(job)
        on_event({"event": "epoch", "epoch": 1, "perplexity": perplexity[0]})
        if left and (answer := left.pop(0)) is not None:
            if isinstance(answer, BaseException):
                raise answer
            return {"event": "error", "message": answer}
        values = list(perplexity)[: job["settings"]["epochs"]]
        if job["task"] == "keep":
            settings = {key: job["settings"][key] for key in ("seed", "epochs", "corpus")}
            keep(Path(job["out"]), values, backend=job["backend"], **settings)
            return {"event": "result"}
        return {
            "event": "result",
            "perplexity": values,
            "corpus": job["settings"]["corpus"],
            "diverged": None,
            "threads": 1,
        }

    monkeypatch.setattr(reproduce, "ask", ask)
    return jobs


def lines(text):
    """Return the table's lines as lists of cells, those of its heading left out."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def collected(out, names=("torch",), **options):
    return lines(reproduce.table(reproduce.collect(names, out=out, **options)))


# The configurations


def test_the_configurations_are_the_books():
    schedule = [
        (key, item.settings.model, item.settings.num_hiddens, item.settings.num_layers, item.settings.sampling,
         item.settings.lr, item.settings.epochs)
        for key, item in CONFIGURATIONS.items()
    ]  # fmt: skip
    assert schedule == [
        ("scratch", "rnn-scratch", 512, 1, "sequential", 1.0, 500),
        ("scratch-random", "rnn-scratch", 512, 1, "random", 1.0, 500),
        ("concise", "rnn", 256, 1, "sequential", 1.0, 500),
        ("lstm", "lstm", 256, 2, "sequential", 2.0, 500),
        ("first-edition-en", "rnn", 256, 1, "sequential", 1.0, 500),
        ("first-edition-zh", "rnn", 256, 1, "sequential", 100.0, 200),
    ]
    for item in CONFIGURATIONS.values():
        assert (item.settings.batch_size, item.settings.num_steps, item.settings.max_tokens) == (32, 35, 10000)
        assert max(item.book) == item.settings.epochs
        item.settings.check()
    assert [item.edition for item in CONFIGURATIONS.values()] == ["", "", "", "", "en", "zh"]
    assert CONFIGURATIONS["first-edition-zh"].settings.theta == 0.01


# The table


def test_a_cell_has_the_range_over_the_seeds_and_how_many_these_are(tmp_path):
    for seed, last in enumerate((1.5, 1.25, 2.0)):
        keep(tmp_path / f"scratch-torch-{seed}", [9, 8, 7.5 + seed, last], seed)
    last, twenty, *_ = collected(tmp_path)
    assert last == ["scratch", "epoch 4", "1.0", "1.250 to 2.000 (3)"]
    assert twenty == ["", "epochs 3 to 4", "", "1.250 to 9.500 (3)"]


def test_a_range_of_one_figure_is_that_figure_and_large_ones_have_one_decimal(tmp_path):
    keep(tmp_path / "scratch-torch-0", [9, 8, 123.456, 1.0001], 0)
    keep(tmp_path / "scratch-torch-1", [9, 8, 9.9999, 1.0002], 1)
    last, twenty, *_ = collected(tmp_path, seeds=(0, 1))
    assert last[3] == "1.000 (2)"
    assert twenty[3] == "1.000 to 123.5 (2)"


def test_each_backend_has_a_column_of_its_own(tmp_path):
    for number, name in enumerate(ALL):
        keep(tmp_path / f"scratch-{name}-0", [9, 8, 7, 1 + number], backend=name)
    text = reproduce.table(reproduce.collect(ALL, seeds=(0,), out=tmp_path))
    assert "| the book | torch | mxnet | tensorflow |" in text
    assert lines(text)[0][3:] == ["1.000 (1)", "2.000 (1)", "3.000 (1)"]


def test_a_cell_tells_of_the_runs_that_are_not_complete(tmp_path):
    keep(tmp_path / "scratch-torch-0", [9, 8, 7, 1.5], 0)
    keep(tmp_path / "scratch-torch-1", [9, 8], 1, status="diverged")
    keep(tmp_path / "scratch-torch-3", [9], 3, status="interrupted")
    last, twenty, *_ = collected(tmp_path, seeds=(0, 1, 2, 3, 4))
    assert last[3] == ("1.500 (1); seed 1: diverged at epoch 3; seeds 2, 4: not run; seed 3: at epoch 1 so far")
    assert twenty[3] == "1.500 to 7.000 (1)"


def test_where_nothing_is_trained_the_table_says_so(tmp_path):
    document = reproduce.collect(["torch", "mxnet"], out=tmp_path)
    assert "with no run yet" in reproduce.table(document)
    assert [row[3:] for row in lines(reproduce.table(document))[:2]] == [["not run"] * 2, ["-"] * 2]
    assert json.loads(json.dumps(document)) == document


def test_a_backend_that_is_missing_has_its_reason_in_its_cell_and_the_others_their_figures(tmp_path, monkeypatch):
    jobs = answers(monkeypatch)
    monkeypatch.setattr(
        "d2lrnn.core.backends.problem", lambda name: "MXNet is not here: a | b" if name == "mxnet" else None
    )
    document = reproduce.reproduce(["torch", "mxnet"], seeds=(0, 1), out=tmp_path)
    assert {job["backend"] for job in jobs} == {"torch"}
    text = reproduce.table(document)
    assert "| 2.000 (2) | MXNet is not here: a \\| b |" in text


def test_the_first_edition_has_a_row_for_each_epoch_that_the_book_prints(tmp_path, monkeypatch):
    answers(monkeypatch)
    document = reproduce.reproduce(["torch"], seeds=(0, 1), out=tmp_path)
    assert lines(reproduce.table(document))[2:] == [
        ["English", "epoch 2", "8.9", "5.000 (2)"],
        ["", "epoch 4", "1.18", "2.000 (2)"],
        ["", "epochs 3 to 4", "", "2.000 to 3.000 (2)"],
    ]


def test_the_head_says_what_was_run_where_with_what_and_when(tmp_path, monkeypatch):
    machine = {"processor": "A fast one", "cpus": 2, "memory": 8 * 2**30, "system": "Some Linux, x86_64"}
    monkeypatch.setattr(reproduce, "describe_machine", lambda: dict(machine))
    monkeypatch.setattr("d2lrnn.core.backends.version", lambda name: "1.2.3")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    for seed in (0, 1):
        keep(tmp_path / f"scratch-torch-{seed}", [9, 8, 7, 1.5], seed)
    monkeypatch.setattr("d2lrnn.core.backends.version", lambda name: "1.2.4")
    keep(tmp_path / "scratch-torch-2", [9, 8, 7, 1.5], 2)
    document = reproduce.collect(["torch"], out=tmp_path)
    text = reproduce.table(document)
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120
    text = " ".join(text.split())
    assert "`python3 start reproduce --backends torch` from 2026-01-01 10:00 to 20" in text
    assert "Machine: A fast one; 2 cores; 8 GiB of memory; Some Linux, x86_64; threads: 7." in text
    assert f"numpy {np.__version__}, torch 1.2.3 and 1.2.4." in text
    assert f"SHA-256 {read_text('time-machine').sha256[:12]}" in text
    assert "of seeds 0, 1 and 2: the smallest to the largest over the seeds" in text
    assert text.endswith(" - the remark")
    assert "another machine" not in text
    document = reproduce.collect(ALL, out=tmp_path)
    assert document["command"] == "python3 start reproduce"


def test_trainings_of_another_machine_are_counted(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(platform, "system", lambda: "Elsewhere")
        keep(tmp_path / "scratch-torch-1", [9, 8, 7, 1.5], 1)
    keep(tmp_path / "scratch-torch-0", [9, 8, 7, 1.5], 0)
    document = reproduce.collect(["torch"], out=tmp_path)
    assert document["elsewhere"] == 1
    assert "- 1 of the trainings were made on another machine" in reproduce.table(document)


def test_a_text_that_stands_in_is_told_at_the_head(tmp_path, monkeypatch):
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path / "nothing"))
    monkeypatch.setitem(DATA_HUB, "time_machine", ("http://127.0.0.1:1/timemachine.txt", "0" * 40))
    jobs = answers(monkeypatch)
    with pytest.warns(D2LRNNWarning, match="the bundled story stands in"):
        document = reproduce.reproduce(ALL, seeds=(0,), out=tmp_path / "out")
    assert reproduce.table(document).startswith("**Not the book's text.**")
    assert {job["settings"]["corpus"] for job in jobs if job["task"] == "keep"} == {"story"}
    assert {job["settings"]["corpus"]["name"] for job in jobs if job["task"] != "keep"} == {"story"}


def test_a_quick_run_is_told_at_the_head_and_has_few_epochs_and_one_seed(tmp_path, monkeypatch):
    jobs = answers(monkeypatch)
    document = reproduce.reproduce(["torch"], quick=True, out=tmp_path)
    assert [job["settings"]["epochs"] for job in jobs] == [2, 3]
    assert [job["settings"]["seed"] for job in jobs] == [0, 0]
    text = reproduce.table(document)
    assert text.startswith("**A quick run**")
    assert "reproduce --backends torch --quick` from" in " ".join(text.split())
    assert "perplexities of seed 0: " in text
    assert [row[:3] for row in lines(text)] == [
        ["scratch", "epoch 2", "1.0 at epoch 4"],
        ["English", "epoch 2", "8.9"],
        ["", "epoch 3", "1.18 at epoch 4"],
    ]
    # Neither is in the other's way
    reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path)
    assert [job["settings"]["epochs"] for job in jobs] == [2, 3, 4, 4]


def test_without_the_lyrics_their_row_says_how_to_give_them(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "CONFIGURATIONS", {"chinese": CHINESE})
    jobs = answers(monkeypatch)
    document = reproduce.reproduce(["torch", "mxnet"], out=tmp_path)
    assert jobs == []
    (row,) = lines(reproduce.table(document))
    assert row[:3] == ["Chinese", "epochs 2, 3", "79.5, 14.4"]
    assert row[3] == (
        "the lyrics are not here: put jaychou_lyrics.txt.zip into a folder and name that folder in D2LRNN_DATA"
    )


def test_with_the_lyrics_the_chinese_edition_is_trained_on_them(tmp_path, monkeypatch):
    folder = os.environ[downloads.DATA_ENV]
    data = tmp_path / "data"
    data.mkdir()
    (data / "timemachine.txt").symlink_to(f"{folder}/timemachine.txt")
    (data / "jaychou_lyrics.txt").write_text("分开 不分开 " * 50, encoding="utf-8")
    monkeypatch.setenv(downloads.DATA_ENV, str(data))
    monkeypatch.setattr(reproduce, "CONFIGURATIONS", {"chinese": CHINESE})
    jobs = answers(monkeypatch, perplexity=(99.0, 80.0, 14.0))
    document = reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path / "out")
    (job,) = jobs
    assert job["settings"]["corpus"] == {"name": "lyrics", "sha256": read_text("lyrics").sha256}
    assert lines(reproduce.table(document))[0] == ["Chinese", "epoch 2", "79.5", "80.0 (1)"]


# What is trained, and what is taken as it is


def test_all_of_the_first_seed_is_trained_before_the_second(tmp_path, monkeypatch):
    jobs = answers(monkeypatch)
    events = []
    reproduce.reproduce(["torch", "mxnet"], seeds=(1, 0), out=tmp_path, on_event=lambda *event: events.append(event))
    order = [(job["settings"]["seed"], job["task"], job["backend"]) for job in jobs]
    assert order == [
        (seed, task, backend) for seed in (1, 0) for task in ("keep", "first edition") for backend in ("torch", "mxnet")
    ]
    assert events[:3] == [
        ("scratch-torch-1", {"event": "start", "number": 1, "total": 8, "epochs": EPOCHS}),
        ("scratch-torch-1", {"event": "epoch", "epoch": 1, "perplexity": 9.0}),
        ("scratch-torch-1", {"event": "end", "problem": None}),
    ]
    assert len(events) == 24


def test_what_is_complete_is_not_trained_again_and_what_is_not_goes_on(tmp_path, monkeypatch):
    jobs = answers(monkeypatch)
    keep(tmp_path / "scratch-torch-0", [9, 8, 7, 1.5], 0)
    keep(tmp_path / "scratch-torch-1", [9, 8], 1, status="diverged")
    first = reproduce.reproduce(["torch"], seeds=(0, 1), out=tmp_path)
    assert [job["task"] for job in jobs] == ["first edition"] * 2
    again = reproduce.reproduce(["torch"], seeds=(0, 1), out=tmp_path)
    assert len(jobs) == 2
    assert again == first
    keep(tmp_path / "scratch-torch-2", [9, 8], 2, status="interrupted")
    document = reproduce.reproduce(["torch"], seeds=(0, 1, 2), out=tmp_path)
    assert [(job["task"], job["settings"]["seed"]) for job in jobs[2:]] == [("keep", 2), ("first edition", 2)]
    assert lines(reproduce.table(document))[0][3] == "1.500 to 2.000 (2); seed 1: diverged at epoch 3"


def test_a_training_that_fails_costs_only_its_own_cell_and_is_tried_again(tmp_path, monkeypatch):
    answers(monkeypatch, "its process was killed by SIGKILL", None, "no memory")
    document = reproduce.reproduce(["torch"], seeds=(0, 1), out=tmp_path)
    last, _, _, english, _ = lines(reproduce.table(document))
    assert last[3] == "seed 0: its process was killed by SIGKILL; seed 1: no memory"
    assert english[3] == "2.000 (2)"
    jobs = answers(monkeypatch)
    document = reproduce.reproduce(["torch"], seeds=(0, 1), out=tmp_path)
    assert {job["task"] for job in jobs} == {"keep"}
    assert lines(reproduce.table(document))[0][3] == "2.000 (2)"


def test_a_disk_that_is_full_costs_only_the_run_that_met_it(tmp_path, monkeypatch):
    answers(monkeypatch)

    def full(path, content):
        raise StorageError("cannot write: no space left")

    with monkeypatch.context() as patch:
        patch.setattr(reproduce, "write_atomically", full)
        patch.setattr(common, "write_atomically", full)
        events = []
        with pytest.raises(StorageError, match="no space left"):  # of the table itself, at the end
            reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path, on_event=lambda *event: events.append(event))
    assert [event["problem"] for _, event in events if event["event"] == "end"] == [None, "cannot write: no space left"]


def test_the_table_is_given_before_it_is_written(tmp_path, monkeypatch):
    answers(monkeypatch)

    def full(path, content, marks):
        raise StorageError("cannot write: no space left")

    monkeypatch.setattr(reproduce, "put_between", full)
    given = []
    with pytest.raises(StorageError, match="no space left"):
        reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path, on_document=given.append)
    assert lines(reproduce.table(given[0]))[0][3] == "2.000 (1)"


def test_a_process_that_cannot_be_started_costs_only_its_own_cell(tmp_path, monkeypatch):
    answers(monkeypatch, OSError(12, "Cannot allocate memory"))
    document = reproduce.reproduce(["torch"], seeds=(0, 1), out=tmp_path)
    said = lines(reproduce.table(document))[0][3]
    assert said == "2.000 (1); seed 0: its process could not work: Cannot allocate memory"


def test_a_first_edition_that_diverges_says_at_which_epoch(tmp_path, monkeypatch):
    def ask(job, on_event):
        corpus = job["settings"]["corpus"]
        return {
            "event": "result",
            "perplexity": [9.0, 8.0],
            "corpus": corpus,
            "diverged": "the loss became NaN",
            "threads": 1,
        }

    monkeypatch.setattr(reproduce, "CONFIGURATIONS", {"english": ENGLISH})
    monkeypatch.setattr(reproduce, "ask", ask)
    document = reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path)
    assert [row[3] for row in lines(reproduce.table(document))] == ["8.000 (1)", "diverged at epoch 3", "-"]


def test_a_run_that_diverges_is_no_failure(tmp_path, monkeypatch):
    def ask(job, on_event):
        keep(Path(job["out"]), [9.0], job["settings"]["seed"], status="diverged")
        return {"event": "error", "message": "the loss became NaN"}

    monkeypatch.setattr(reproduce, "CONFIGURATIONS", {"scratch": SCRATCH})
    monkeypatch.setattr(reproduce, "ask", ask)
    events = []
    document = reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path, on_event=lambda *event: events.append(event))
    assert events[-1] == ("scratch-torch-0", {"event": "end", "problem": None})
    assert lines(reproduce.table(document))[0][3] == "diverged at epoch 2"


def test_a_text_that_changes_meanwhile_is_told(tmp_path, monkeypatch):
    def ask(job, on_event):
        corpus = {"name": "story", "sha256": "0"}
        return {"event": "result", "perplexity": [9.0] * EPOCHS, "corpus": corpus, "diverged": None, "threads": 1}

    monkeypatch.setattr(reproduce, "CONFIGURATIONS", {"english": ENGLISH})
    monkeypatch.setattr(reproduce, "ask", ask)
    document = reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path)
    assert "no longer the one that was there" in lines(reproduce.table(document))[1][3]
    assert list(tmp_path.glob("*.json")) == []


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, monkeypatch):
    answers(monkeypatch, None, KeyboardInterrupt())
    with pytest.raises(TrainingInterrupted, match=r"is kept in .*: the same command goes on from there"):
        reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path)
    assert not (tmp_path / "RESULTS.md").exists()
    jobs = answers(monkeypatch)
    reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path)
    assert [job["task"] for job in jobs] == ["first edition"]


# What is refused, before anything is trained


def nothing(job, on_event):
    raise AssertionError("something was trained")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        pytest.param({"epochs": 7}, "other settings .epochs is 7, and 4 is asked for.: name another", id="epochs"),
        pytest.param({"lr": 0.5}, "lr is 0.5, and 1.0 is asked for", id="lr"),
        pytest.param({"seed": 5}, "seed is 5, and 0 is asked for", id="seed"),
        pytest.param({"backend": "mxnet"}, "backend is 'mxnet', and 'torch' is asked for", id="backend"),
        pytest.param({"sha256": "f" * 64}, "is of another text .its SHA-256 is ffffffffffff", id="text"),
    ],
)
def test_a_folder_of_another_run_is_refused(tmp_path, monkeypatch, settings, match):
    monkeypatch.setattr(reproduce, "ask", nothing)
    keep(tmp_path / "scratch-torch-0", [9.0], **settings)
    with pytest.raises(InputError, match=match):
        reproduce.reproduce(["mxnet", "torch"], out=tmp_path)


def test_a_folder_that_is_damaged_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "ask", nothing)
    keep(tmp_path / "scratch-torch-0", [9.0])
    (tmp_path / "scratch-torch-0" / CONFIG).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="is no JSON document"):
        reproduce.reproduce(["torch"], out=tmp_path)


@pytest.fixture
def edition_file(tmp_path, monkeypatch):
    """Return the file of a first edition's run, and its content."""
    monkeypatch.setattr(reproduce, "CONFIGURATIONS", {"english": ENGLISH})
    with monkeypatch.context() as patch:
        answers(patch)
        reproduce.reproduce(["torch"], seeds=(0,), out=tmp_path)
    monkeypatch.setattr(reproduce, "ask", nothing)
    path = tmp_path / "english-torch-0.json"
    return path, json.loads(path.read_bytes())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        pytest.param({"format": 2}, "of a newer version; remove it", id="newer"),
        pytest.param({"perplexity": [1.0]}, "is damaged", id="too-few-epochs"),
        pytest.param({"perplexity": ["1"] * EPOCHS}, "is damaged", id="texts"),
        pytest.param({"status": "running"}, "is damaged", id="status"),
        pytest.param({"versions": None}, "is damaged", id="no-versions"),
        pytest.param({"saved": 1}, "is damaged", id="no-date"),
        pytest.param({"backend": "mxnet"}, "backend is 'mxnet'", id="backend"),
    ],
)
def test_a_file_of_another_first_edition_or_a_damaged_one_is_refused(edition_file, changes, match):
    path, row = edition_file
    path.write_text(json.dumps({**row, **changes}), encoding="utf-8")
    with pytest.raises(InputError, match=match):
        reproduce.reproduce(["torch"], seeds=(0,), out=path.parent)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_what_is_no_such_file_at_all_is_refused(edition_file, content):
    path, _ = edition_file
    path.write_bytes(content)
    with pytest.raises(InputError, match="remove it, and it is trained anew"):
        reproduce.reproduce(["torch"], seeds=(0,), out=path.parent)


def test_a_first_edition_of_other_settings_is_refused(edition_file):
    path, row = edition_file
    for changes, match in (
        ({"activation": "tanh"}, "activation is 'tanh', and 'relu' is asked for"),
        ({"corpus": {"name": "story", "sha256": ""}}, "corpus is .*story"),
        ({"more": 1}, "more is 1, and None is asked for"),
    ):
        path.write_text(json.dumps({**row, "settings": {**row["settings"], **changes}}), encoding="utf-8")
        with pytest.raises(InputError, match=match):
            reproduce.collect(["torch"], seeds=(0,), out=path.parent)


def test_a_file_that_cannot_be_read_is_refused(edition_file):
    path, _ = edition_file
    path.unlink()
    path.mkdir()
    with pytest.raises(InputFileError, match="cannot read .*english-torch-0.json"):
        reproduce.reproduce(["torch"], seeds=(0,), out=path.parent)


@pytest.mark.parametrize(
    ("names", "seeds", "match"),
    [
        (["jax"], (0,), "unknown backend 'jax'"),
        ([], (0,), "name at least one backend and one seed"),
        (["torch"], (), "name at least one backend and one seed"),
        (["torch"], (-1,), "seed must be a whole number of at least 0"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, names, seeds, match):
    with pytest.raises(InputError, match=match):
        reproduce.reproduce(names, seeds=seeds, out=tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "ask", nothing)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot make the folder"):
        reproduce.reproduce(["torch"], out=tmp_path / "file" / "out")


# The file that has the table


def test_only_what_is_between_the_marks_changes(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text(f"# Ours\n\nbefore\n\n{BEGIN}\nan old table\n{END}\n\nafter\n", encoding="utf-8")
    keep(tmp_path / "scratch-torch-0", [9, 8, 7, 1.5])
    document = reproduce.collect(["torch"], seeds=(0,), out=tmp_path)
    for _ in range(2):
        reproduce.write(document, path)
        content = path.read_text(encoding="utf-8")
        assert content == f"# Ours\n\nbefore\n\n{BEGIN}\n{reproduce.table(document)}{END}\n\nafter\n"


def test_a_file_that_is_not_there_is_made_and_can_be_written_again(tmp_path):
    document = reproduce.collect(["torch"], out=tmp_path)
    for _ in range(2):
        reproduce.write(document, tmp_path / "new.md")
    assert (tmp_path / "new.md").read_text(encoding="utf-8") == (
        f"# Results\n\n{BEGIN}\n{reproduce.table(document)}{END}\n"
    )


def test_the_line_ends_of_the_file_are_kept(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_bytes(f"# Ours\r\n{BEGIN}\r\n{END}\r\n".encode())
    reproduce.write(reproduce.collect(["torch"], out=tmp_path), path)
    content = path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 10


@pytest.mark.parametrize(
    "content",
    ["# Ours\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"],
    ids=["none", "one", "reversed", "twice"],
)
def test_a_file_without_its_marks_is_refused_and_left_as_it_is(tmp_path, monkeypatch, content):
    monkeypatch.setattr(reproduce, "ask", nothing)
    path = tmp_path / "RESULTS.md"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="does not say where the table goes: put a line '<!-- reproduce: begin -->'"):
        reproduce.reproduce(["torch"], out=tmp_path / "out", results=path)
    with pytest.raises(InputError, match="does not say where the table goes"):
        reproduce.write(reproduce.collect(["torch"], out=tmp_path), path)
    assert path.read_text(encoding="utf-8") == content


def test_a_file_that_is_no_text_or_has_no_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "ask", nothing)
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe")
    for name, match in (
        ("binary.md", "cannot put the table into"),
        ("no/such.md", "there is no folder"),
        ("", "cannot"),
    ):
        with pytest.raises(InputFileError, match=match):
            reproduce.reproduce(["torch"], out=tmp_path / "out", results=tmp_path / name)


@pytest.mark.parametrize(
    ("names", "options", "there", "committed"),
    [
        pytest.param(ALL, {}, True, True, id="all-of-it"),
        pytest.param(ALL, {}, False, False, id="no-such-file"),
        pytest.param(ALL, {"quick": True}, True, False, id="quick"),
        pytest.param(ALL[:2], {}, True, False, id="two-backends"),
    ],
)
def test_the_repositorys_own_table_is_written_only_by_a_whole_run(
    tmp_path, monkeypatch, names, options, there, committed
):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "benchmarks" / "RESULTS.md"
    if there:
        own.parent.mkdir()
        own.write_text(f"{BEGIN}{END}", encoding="utf-8")
    answers(monkeypatch)
    results = reproduce.reproduce(names, seeds=(0,), out="out", **options)["results"]
    folder = "out/quick" if options else "out"
    assert results == ("benchmarks/RESULTS.md" if committed else f"{folder}/RESULTS.md")
    assert "2.000" in (tmp_path / results).read_text(encoding="utf-8") or options
    if there and not committed:
        assert own.read_text(encoding="utf-8") == f"{BEGIN}{END}"


# The machine


def test_the_machine_is_described_from_what_the_system_tells(monkeypatch):
    here = common.describe_machine()
    assert here["cpus"] >= 1
    assert here["processor"]
    assert here["system"].endswith(f", {platform.machine()}")
    assert here["memory"] is None or here["memory"] > 2**28
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("14.5", ("", "", ""), "arm64"))
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: subprocess.CompletedProcess(args, 0, "Apple M9\n"))
    there = common.describe_machine()
    assert (there["processor"], there["system"]) == ("Apple M9", "Darwin 14.5, arm64")
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "release", lambda: "11")
    there = common.describe_machine()
    assert (there["processor"], there["system"]) == ("arm", "Windows 11, arm64")


def test_the_number_of_threads_is_each_trainings_own(tmp_path):
    keep(tmp_path / "scratch-torch-0", [9, 8, 7, 1.5], threads=2)
    keep(tmp_path / "scratch-torch-1", [9, 8, 7, 1.5], 1, threads=1)
    document = reproduce.collect(["torch"], seeds=(0, 1), out=tmp_path)
    assert document["threads"] == [1, 2]
    assert "threads: 1 and 2." in " ".join(reproduce.table(document).split())


# Its options


@pytest.mark.parametrize("option", ["--backends", "--backend"])
def test_several_backends_are_reproduced(capsys, monkeypatch, option):
    asked = []

    def reproduced(names, on_document, **options):
        asked.extend(names)
        on_document({})
        return {"configurations": ()}

    monkeypatch.setattr(reproduce, "reproduce", reproduced)
    assert reproduce.main([option, "mxnet,torch", "--json"]) == 0
    assert capsys.readouterr().out == "{}\n"
    assert asked == ["mxnet", "torch"]


def test_its_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        reproduce.main(["--help"])
    out = capsys.readouterr().out
    assert out.startswith("usage: ")
    assert "--backend " not in out


@pytest.mark.parametrize("option", ["--out", "--results"])
def test_an_empty_name_is_not_taken_for_the_current_folder(capsys, option):
    with pytest.raises(SystemExit, match="2"):
        reproduce.main([option, ""])
    out, err = capsys.readouterr()
    assert out == ""
    assert "expected the name of a file or a folder, got ''" in err.splitlines()[-1]


def test_what_is_not_finite_is_null_in_json(capsys, monkeypatch):
    def reproduced(names, on_document, **options):
        on_document({"perplexity": float("inf")})
        return {"configurations": ()}

    monkeypatch.setattr(reproduce, "reproduce", reproduced)
    assert reproduce.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"perplexity": None}


@pytest.mark.parametrize(
    ("error", "said"),
    [(MemoryError(), "there is no memory left"), (OSError(errno.ENOSPC, "No space left"), "is the disk full?")],
)
def test_what_goes_wrong_is_told_as_the_command_tells_it(capsys, monkeypatch, error, said):
    def reproduced(names, **options):
        for _ in range(2):
            warnings.warn("no text", D2LRNNWarning, stacklevel=1)
        raise error

    monkeypatch.setattr(reproduce, "reproduce", reproduced)
    assert reproduce.main([]) == 2
    err = capsys.readouterr().err
    assert err.count("d2lrnn: warning: no text") == 1
    assert said in err.splitlines()[-1]


# With the frameworks


@pytest.mark.only("torch")  # what trains is d2lrnn.runs.training, whose tests are for each backend
# What trains is a process of its own, which knows nothing of the text that this one has put in the book's place
@pytest.mark.usefixtures("no_time_machine")
@pytest.mark.filterwarnings("ignore:The Time Machine is not here, the bundled story stands in")
def test_trainings_are_made_interrupted_and_gone_on_with(backend, tmp_path, monkeypatch):
    processes = []

    class Process(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            processes.append(self)

    monkeypatch.setattr("d2lrnn.comparison.process.subprocess.Popen", Process)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # several threads for so small a model would wait for each other
    tiny = replace(SCRATCH, settings=replace(SMALL, num_hiddens=4, epochs=24), book={24: "1.0"})
    english = replace(ENGLISH, settings=replace(ENGLISH.settings, epochs=2, batch_size=32, num_steps=35))
    monkeypatch.setattr(reproduce, "CONFIGURATIONS", {"scratch": tiny, "english": english})
    epochs = []

    def interrupt(name, event):
        if event["event"] == "epoch" and event["epoch"] == 11:  # there is a checkpoint of epoch 10
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="the same command goes on"):
        reproduce.reproduce([backend.name], seeds=(0,), out=tmp_path / "one", on_event=interrupt)
    assert [process.poll() is None for process in processes] == [False]
    document = reproduce.reproduce(
        [backend.name], seeds=(0,), out=tmp_path / "one",
        on_event=lambda name, event: epochs.append((name, event.get("epoch"))),
    )  # fmt: skip
    assert (f"scratch-{backend.name}-0", 10) not in epochs
    rows = [row for configuration in document["configurations"] for row in configuration["runs"]]
    assert [(row["status"], row["problem"], row["epoch"]) for row in rows] == [
        ("complete", None, 24),
        ("complete", None, 2),
    ]
    table = reproduce.table(document)
    assert table.startswith("**Not the book's text.**")
    assert "not run" not in table
    assert rows[0]["perplexity"]["24"] < 25
    count = len(processes)
    assert reproduce.reproduce([backend.name], seeds=(0,), out=tmp_path / "one") == document
    assert len(processes) == count
    # The same as if nothing had come between the one that was interrupted
    monkeypatch.setattr(reproduce, "CONFIGURATIONS", {"scratch": tiny})
    whole = reproduce.reproduce([backend.name], seeds=(0,), out=tmp_path / "two")
    ((other,),) = (configuration["runs"] for configuration in whole["configurations"])
    assert rows[0]["perplexity"] == other["perplexity"]
