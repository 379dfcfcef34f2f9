"""``d2lrnn train``: texts, encodings and settings that can be used or not, and what is printed of a training."""

import json
import re
from pathlib import Path

import pytest
from command_line import STORY, last_line

from d2lrnn.core import backends, threads
from d2lrnn.runs import training as trainings
from d2lrnn.weights import canonical

TOO_SHORT = {
    "by --max-tokens": (["--max-tokens", 50], "max_tokens=50 (--max-tokens 50) leaves 50 of the text's "),
    "by --valid-fraction": (["--valid-fraction", 0.9], "give another valid_fraction (--valid-fraction), more tokens"),
    "by --num-steps": (["--num-steps", 9999], "or a smaller batch_size or num_steps (--batch-size, --num-steps)"),
}


@pytest.mark.parametrize(("args", "message"), TOO_SHORT.values(), ids=list(TOO_SHORT))
def test_a_text_that_is_too_short_is_told_in_the_words_of_the_command_line(run, args, message):
    code, _, err = run("train", "--backend", "numpy", "--corpus", "story", *args)
    assert code == 2
    assert message in last_line(err)


def test_a_variable_that_says_no_number_of_threads_is_warned_about_once(run, monkeypatch):
    monkeypatch.setattr(threads, "SECONDS", 0.01)
    monkeypatch.setenv("OMP_NUM_THREADS", "abc")
    code, _, err = run("train", "--backend", "numpy", *STORY, "--epochs", 1, "--out", "run")
    assert code == 0
    assert err.count("OMP_NUM_THREADS is 'abc', and no number of threads from 1 to 1024") == 1


def test_a_run_without_prefixes_says_that_it_begins_from_nothing(run, tmp_path):
    run("train", "--backend", "numpy", *STORY, "--epochs", 1, "--out", "one")
    run("convert", "one", "--out", "one.npz")
    assert run("convert", "one.npz", "--vocab", "one", "--backend", "numpy", "--out", "two")[0] == 0
    code, out, err = run("predict", "two")
    assert (code, len(out.rstrip("\n"))) == (0, 50)
    assert "has no prefixes of its own, so its model begins from nothing" in last_line(err)
    assert "(--prefix)" in last_line(err)
    assert run("predict", "two", "--prefix", "")[2] == ""  # that is what was asked for


@pytest.mark.parametrize("name", list(backends.FRAMEWORKS))
def test_a_backend_that_is_not_installed_is_named_with_its_remedy(run, nothing_installed, name):
    code, out, err = run("train", "--backend", name, *STORY)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(
        f"d2lrnn: error: {backends.BACKENDS[name].title} is not installed: pip install 'd2lrnn[{name}]'"
    )


def test_without_any_framework_numpy_trains_and_is_compared(run, nothing_installed):
    code, out, err = run("train", *STORY, "--epochs", 2, "--out", "run")
    assert code == 0
    said = "d2lrnn: training in NumPy, the first that works here of torch, tensorflow, mxnet, numpy"
    assert err.splitlines()[0] == said
    assert out.splitlines()[-1].startswith("complete: 2 of 2 epochs")
    code, out, _ = run("compare", *STORY, "--epochs", 2, "--json")
    assert code == 0
    rows = json.loads(out)["backends"]
    assert [row["backend"] for row in rows if row["problem"] is None] == ["numpy"]
    assert rows[-1]["max_loss_difference"] < 1e-12


@pytest.mark.parametrize(("kind", "first"), [("gru", "torch"), ("gru-reset-before", "tensorflow")])
def test_the_backends_are_tried_in_an_order_and_only_those_that_can_build_the_model(monkeypatch, kind, first):
    monkeypatch.setattr(backends, "problem", lambda name: None)
    assert backends.candidates(canonical.able(kind))[0] == first
    monkeypatch.setattr(backends, "problem", lambda name: "not here" if name == first else None)
    assert first not in backends.candidates(canonical.able(kind))
    assert backends.candidates(canonical.able(kind))[-1] == "numpy"


def test_a_framework_that_is_broken_is_passed_over_with_its_reason(run, monkeypatch, tmp_path):
    """Only its import can show it, and nobody asked for this one."""
    (tmp_path / "torch.py").write_text("raise ImportError('no such library')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(backends, "problem", lambda name: None if name in ("torch", "numpy") else "not here")
    code, out, err = run("train", *STORY, "--epochs", 1, "--out", "run")
    assert code == 0
    first, why, then = err.splitlines()
    assert first.startswith("d2lrnn: training in PyTorch, the first that works here of torch, tensorflow")
    assert "no such library" in why
    assert then.startswith("d2lrnn: training in NumPy")
    assert out.splitlines()[-1].startswith("complete: 1 of 1 epochs")


@pytest.fixture
def text_files(tmp_path):
    files = {
        "empty": b"",
        "blank": b" \n\n",
        "latin-1": "caf\u00e9 au lait".encode("latin-1") * 200,
        "short": b"too short",
        "digits": b"0123456789" * 300,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "no corpus or file called"),
        (".", "cannot read"),
        ("empty", "is empty"),
        ("blank", "is empty"),
        ("latin-1", "is not UTF-8 (byte 0xe9 at position 3)"),
        ("short", "too short for one minibatch"),
        ("digits", "nothing is left"),
    ],
)
@pytest.mark.parametrize("command", [["train", "--backend", "torch"], ["compare"]], ids=["train", "compare"])
def test_texts_that_cannot_be_used(run, text_files, monkeypatch, command, name, message):
    # The text is looked at before a framework is imported, so this needs none
    monkeypatch.setattr(backends, "problem", lambda name: None)
    code, out, err = run(*command, "--corpus", text_files / name)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err


def test_too_many_layers_for_the_scratch_model(run, monkeypatch):
    code, _, err = run("train", "--backend", "torch", "--num-layers", "2", *STORY)
    assert code == 2
    assert "has one layer in one direction: use 'rnn' for more" in err


@pytest.mark.parametrize("model", ["rnn-scratch", "lstm"])
def test_train_prints_one_json_document(run, backend, model):
    args = ["--model", model, "--epochs", 3, "--seed", 1, "--valid-fraction", 0.2, "--prefix", "a", "the sea", "--json"]
    code, out, err = run("train", "--backend", backend.name, "--device", "cpu", *STORY, *args)
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["backend"] == backend.name
    assert document["device"] == "cpu"
    assert document["settings"]["model"] == model
    assert len(document["history"]["perplexity"]) == 3
    assert document["perplexity"] == document["history"]["perplexity"][-1] < 28
    assert document["valid_perplexity"] == document["history"]["valid_perplexity"][-1] < 28
    assert document["tokens_per_second"] > 0
    assert list(document["predictions"]) == ["a", "the sea"]
    assert all(text.startswith(prefix) for prefix, text in document["predictions"].items())


def test_train_prints_the_books_lines(run, backend):
    code, out, err = run("train", "--backend", backend.name, *STORY, "--epochs", 1)
    assert (code, err) == (0, "")
    curve, reached, *lines, where = out.splitlines()
    assert re.fullmatch(r"epoch   1  perplexity  \d+\.\d\d  █{40}", curve)
    assert re.match(r"perplexity \d+\.\d, \d+\.\d tokens/sec on ", reached)
    assert [line[:9] for line in lines] == ["time trav", "traveller"]
    part = "2,000 of 30,613 characters"
    folder = rf"runs/\d{{8}}-\d{{6}}-{backend.name}-rnn-scratch"
    assert re.fullmatch(
        rf"complete: 1 of 1 epochs on {part}, threads: \d+, rnn-scratch ran rnn_fast; kept in {folder}", where
    )
    assert (Path(where.split()[-1]) / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.only("torch")  # all read texts by the same function
def test_train_on_the_verses_and_on_a_file_of_ones_own(run, backend, tmp_path):
    small = [
        "--backend",
        backend.name,
        "--num-hiddens",
        8,
        "--batch-size",
        2,
        "--num-steps",
        10,
        "--epochs",
        1,
        "--json",
    ]
    _, out, _ = run("train", *small, "--corpus", "verses")
    assert list(json.loads(out)["predictions"]) == ["分开", "不分开"]
    (tmp_path / "mine.txt").write_text("Ночь, улица, фонарь; " * 30, encoding="utf-8")
    _, out, _ = run("train", *small, "--corpus", tmp_path / "mine.txt")
    assert list(json.loads(out)["predictions"]) == ["ночь улица"]


@pytest.mark.only("torch")  # the command reads it, and no framework
def test_a_prefix_that_the_text_does_not_know_is_warned_about(run, backend):
    code, out, err = run("train", "--backend", backend.name, *STORY, "--epochs", 1, "--prefix", "Öde", "--json")
    assert code == 0
    assert err == "d2lrnn: warning: prefix 'Öde' has characters that the text lacks: 'ö'\n"
    assert json.loads(out)["predictions"]["Öde"].startswith("<unk>de")


def test_an_encoding_that_cannot_be_used(run, monkeypatch, text_files):
    monkeypatch.setattr(backends, "problem", lambda name: None)
    (text_files / "utf-16").write_bytes(("the sea and the sky " * 100).encode("utf-16-le"))
    for command in (["train", "--backend", "torch"], ["compare"]):
        for args, message in [
            (["--corpus", "latin-1", "--encoding", "klingon"], "unknown encoding 'klingon': use a name that Python"),
            (["--corpus", "story", "--encoding", "latin-1"], "'story' is a corpus: leave it out"),
            (["--corpus", "latin-1"], "or name its encoding, for example encoding='cp1252' (--encoding cp1252)"),
            (["--corpus", "utf-16"], "it looks like utf-16-le without a byte order mark; name that, as in"),
        ]:
            code, out, err = run(*command, *args)
            assert (code, out, len(err.splitlines())) == (2, "", 1)
            assert message in err


@pytest.mark.only("torch")  # all read texts by the same function
def test_a_file_in_another_encoding_is_read_whole(run, backend, tmp_path):
    words = " ".join(f"été{chr(97 + number % 26)}" for number in range(2100))
    (tmp_path / "mine.txt").write_bytes(words.encode("utf-16-le"))
    small = ["--corpus", "mine.txt", "--num-hiddens", 4, "--batch-size", 2, "--epochs", 1, "--json"]
    small += ["--encoding", "utf-16-le"]
    code, out, err = run("train", "--backend", backend.name, *small)
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["settings"]["encoding"] == "utf-16-le"
    assert document["settings"]["max_tokens"] == -1
    assert document["corpus"]["tokens"] == document["corpus"]["text_tokens"] == len(words) > 10_000
    code, out, err = run("compare", "--backends", backend.name, *small)
    (row,) = json.loads(out)["backends"]
    assert (code, err, row["problem"]) == (0, "", None)
    assert row["corpus"] == document["corpus"] | {"name": row["corpus"]["name"]}


@pytest.mark.only("torch")  # it is counted without any framework
def test_what_is_left_out_of_a_text_is_said(run, backend, tmp_path):
    (tmp_path / "mine.txt").write_text("the sea and the sky " * 100)
    small = ["--corpus", "mine.txt", "--num-hiddens", 4, "--batch-size", 2, "--epochs", 1, "--max-tokens", 1500]
    small += ["--valid-fraction", 0.2, "--seed", 1]
    code, out, _ = run("train", "--backend", backend.name, *small, "--out", "run")
    assert code == 0
    assert out.splitlines()[-1].startswith("complete: 1 of 1 epochs on 1,500 of 1,999 characters, best held-out")
    code, out, _ = run("show", "run")
    assert code == 0
    assert "1,500 of 1,999" in out
    assert "characters" in out
    code, out, _ = run("show", "run", "--json")
    (row,) = json.loads(out)["runs"]
    assert (row["used_tokens"], row["text_tokens"]) == (1500, 1999)
    code, out, err = run("compare", "--backends", backend.name, *small)
    assert (code, err) == (0, "")
    assert "1 epochs on 1,500 of 1,999 characters" in out
    assert "(1,500 of 1,999 characters, 11 different)" in Path("report.html").read_text()


@pytest.mark.only("torch")  # test_training and test_generation have those of each backend's functions
@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_prefix_is_read_as_the_text_was(run, backend, command):
    which = ["--backend"] if command == "train" else ["--backends"]
    args = [*which, backend.name, *STORY, "--epochs", 1, "--prefix", "It WAS,", "It WAS,", "--json"]
    code, out, err = run(command, *args)
    assert (code, err) == (0, "")
    document = json.loads(out)
    row = document if command == "train" else document["backends"][0]
    ((prefix, text),) = row["predictions"].items()
    assert prefix == "It WAS,"
    assert text.startswith("it was ")
    assert len(text) == 57
    if command == "compare":
        assert '<span class="given">it was </span>' in Path(document["html"]).read_text()


def test_a_gpu_that_is_not_there(run, backend):
    if backend.d2l.num_gpus():
        return
    code, out, err = run("train", "--backend", backend.name, *STORY, "--epochs", 1, "--device", "gpu")
    assert (code, out) == (2, "")
    assert f"no device 'gpu' for {backends.BACKENDS[backend.name].title} here: use one of cpu" in err


def test_training_that_diverges(run, backend):
    lr = "1e308" if backends.BACKENDS[backend.name].dtype == "float64" else "1e38"
    code, out, err = run("train", "--backend", backend.name, *STORY, "--epochs", 3, "--lr", lr, "--json")
    assert (code, out) == (2, "")
    assert re.search(r"became NaN or infinite at epoch \d, step \d+: .* try a smaller learning rate", err)


@pytest.mark.parametrize(("model", "lr"), [("rnn-scratch", "100"), ("lstm", "1e6")])
def test_training_whose_loss_is_finite_and_absurd_has_diverged(run, backend, model, lr):
    args = ["--model", model, "--epochs", 20, "--lr", lr, "--seed", 1, "--out", "run"]
    code, out, err = run("train", "--backend", backend.name, *STORY, *args)
    assert code == 2
    assert all(line.startswith("epoch ") for line in out.splitlines())
    (line,) = err.splitlines()
    assert re.search(r"the loss rose to \S{,8} nats a token, where guessing has 3.3, at epoch \d, step \d+: ", line)
    assert "smaller learning rate: no epoch has gone well, so begin again with 'd2lrnn resume run --lr 1'" in line
    code, out, _ = run("show", "run")
    assert code == 0
    assert "diverged" in out
    # the advice can be followed
    code, out, err = run("resume", "run", "--lr", 1, "--epochs", 2)
    assert (code, err) == (0, "")
    assert re.search(r"^perplexity \d+\.\d, ", out, re.MULTILINE)


def test_trainings_that_begin_in_one_second_get_a_folder_each(run, monkeypatch, tmp_path):
    """Also where the name was free when it was looked for."""
    monkeypatch.setattr(trainings, "default_folder", lambda backend, settings: tmp_path / "runs" / "now")
    kept = []
    for _ in range(3):
        code, out, _ = run("train", "--backend", "numpy", *STORY, "--epochs", 1, "--seed", 1, "--threads", 1, "--json")
        assert code == 0
        kept.append(Path(json.loads(out)["out"]).name)
    assert kept == ["now", "now-2", "now-3"]


def test_the_corrected_command_takes_the_folder_of_one_that_failed(run):
    args = ["train", "--backend", "numpy", *STORY, "--epochs", 1, "--seed", 1, "--threads", 1, "--out", "dev"]
    code, _, err = run(*args, "--device", "gpu")
    assert (code, last_line(err)) == (2, "d2lrnn: error: no device 'gpu' for NumPy here: use one of cpu, or auto")
    code, _, err = run("predict", "dev")
    assert "it failed before its first checkpoint (no device 'gpu'" in err
    code, out, _ = run(*args)
    assert code == 0
    assert "kept in dev" in out


def test_a_run_without_a_seed_tells_the_one_that_was_drawn(run, backend):
    _, out, _ = run("train", "--backend", backend.name, *STORY, "--epochs", 1, "--json")
    first = json.loads(out)
    _, out, _ = run(
        "train", "--backend", backend.name, *STORY, "--epochs", 1, "--json", "--seed", first["settings"]["seed"]
    )
    assert json.loads(out)["perplexity"] == first["perplexity"]


def test_too_small_a_held_out_part_is_named(run, monkeypatch):
    monkeypatch.setattr(backends, "problem", lambda name: None)
    code, _, err = run("train", "--backend", "torch", *STORY, "--valid-fraction", "0.001")
    assert code == 2
    assert "valid_fraction=0.001 holds out 2 of 2000 tokens; at least 40 must be" in err
