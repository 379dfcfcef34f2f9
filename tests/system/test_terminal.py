"""What the command prints of texts, names and folders of others: bytes that a terminal obeys are in none of it."""

import contextlib
import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

import d2lrnn
from d2lrnn.comparison import report
from d2lrnn.core.history import History
from d2lrnn.data import Preparation, Vocab
from d2lrnn.runs import run_folder
from d2lrnn.runs.folder_files import State
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.system.terminal import Door, doors, in_json, one_line, spelled, visible
from d2lrnn.weights import canonical

# The title of the window, the clipboard, a colour by one byte, a new line by another, and words turned around
ATTACK = (
    "\x1b]0;mine\x07\x1b]52;c;bWluZQ==\x07\x1b[2J\x9b31m\x85\u202eevil\u202c\u2066x\u2069\u200e\u200f\u061c\u2028\u2029"
    "\r\x7f\x08\x0b\x0c"
)
NAME = "\u202emine\u2069" if os.name == "nt" else ATTACK  # Windows takes no controls in names
FORGED = "\nd2lrnn: error: forged"
OBEYED = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")
# What a text may hold that is read with --clean none
TEXT = (
    "the time\r\nof \u202ethe\u202c sea\u2028 and\x85 the\x0b la\u0308nd \u2066a\u2069 می\u200cخواهم 👩\u200d🚀 " * 30
)
SMALL = [
    "--backend",
    "numpy",
    "--num-hiddens",
    "8",
    "--batch-size",
    "2",
    "--num-steps",
    "5",
    "--epochs",
    "2",
    "--seed",
    "1",
]

ORDINARY = {
    "line breaks and tabs": "a\tb\nc\r\nd",
    "accents": "la\u0308nd, é, Å",
    "Arabic": "مُسافِر عبر الزمن",
    "Hebrew": "שָׁלוֹם",
    "Persian, with a non-joiner": "می\u200cخواهم",
    "Hindi, with joiners": "क्\u200dष क्\u200cष",
    "Thai, with breaks": "ภาษา\u200bไทย",
    "Chinese": "时间旅行者",
    "emoji of several": "👩\u200d🚀 ❤️ 👍🏽 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "a hyphen that may show, and a space that does not break": "a\u00adb\u00a0c",
    "backslashes": r"C:\x1b \u202e",
}


@pytest.mark.parametrize("text", ORDINARY.values(), ids=list(ORDINARY))
def test_ordinary_text_of_every_script_stays_as_it_is(text):
    assert visible(text) == text
    assert in_json(json.dumps(text, ensure_ascii=False)) == json.dumps(text, ensure_ascii=False)


def acts(char):
    """Tell by Unicode's own tables whether a character is a control, parts lines, or sets a direction."""
    directions = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return (
        unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")
        or unicodedata.bidirectional(char) in directions
        or char in "\u200e\u200f\u061c"
    )


def test_whatever_acts_on_a_terminal_is_shown():
    every = [chr(code) for code in range(0x110000)]
    changed = {char for char in every if visible(char) != char}
    assert {char for char in every if acts(char)} - changed == set("\t\n")
    assert {char for char in changed if not acts(char)} == set("\u206a\u206b\u206c\u206d\u206e\u206f\ufff9\ufffa\ufffb")
    assert (visible("\x1b[31m\x07\r\x7f"), visible("\x9b\x85\u202e\ud800")) == ("␛[31m␇␍␡", r"\x9b\x85\u202e\ud800")
    for show in (visible, one_line, spelled):
        shown = show("".join(sorted(char for char in changed if char < "\ud801" or char > "\udfff")))
        assert show(shown) == shown
        assert not OBEYED.search(shown)


def test_json_says_the_same_in_other_letters():
    values = [chr(code) for code in range(0xD800)]
    document = in_json(json.dumps(values, ensure_ascii=False))
    assert json.loads(document) == values
    assert not OBEYED.search(document)


def test_a_name_and_a_message_are_one_line_of_a_length_that_can_be_read():
    assert one_line("a\nb\r\nc") == "a␊b␍␊c"
    assert spelled("a\nb\x1bc\r\n") == r"a\nb\x1bc\r\n"
    line = one_line("begin" + "x" * 10**6 + "what to do")
    assert len(line) < 4100
    assert line.startswith("begin")
    assert line.endswith("what to do")
    assert "[... 996,015 characters more ...]" in line


def test_a_door_is_the_stream_behind_it_but_for_what_is_written():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
    door = Door(stream)
    assert (door.encoding, door.isatty()) == ("utf-8", False)
    assert door.write("\x1b[1m") == 4
    door.writelines(["\x07", "a\n"])
    print("\u202e", file=door, flush=True)
    assert raw.getvalue().decode() == "␛[1m␇a\n\\u202e\n"
    door.close()
    assert stream.closed


def test_the_doors_are_there_for_a_while_and_also_where_there_is_no_stream(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    errors = sys.stderr
    with contextlib.suppress(RuntimeError), doors():
        assert sys.stdout is None
        assert isinstance(sys.stderr, Door)
        raise RuntimeError
    assert (sys.stdout, sys.stderr) == (None, errors)


def test_nothing_in_the_package_has_a_console_of_its_own():
    package = Path(d2lrnn.__file__).parent
    found = [file.name for file in package.rglob("*.py") if "rich.console" in file.read_text(encoding="utf-8")]
    assert found == ["terminal.py"]


# The command itself, in a process of its own


def d2lrnn_prints(folder, *args, code=0, **environment):
    """Run the command; return what it prints, after a check of all bytes of it, and its error stream."""
    done = subprocess.run(
        [sys.executable, "-m", "d2lrnn", *args],
        cwd=folder,
        capture_output=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", **environment},
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    for printed in (out, err):
        assert not (found := OBEYED.search(printed)), f"{args}: {printed[found.start() :][:60]!a} in {printed!a}"
    assert done.returncode == code, err
    assert "Traceback" not in err
    assert FORGED not in "\n" + err
    assert FORGED not in "\n" + out
    return out, err


def received(path, tokens=ATTACK + "\n", **changes):
    """Make a run folder as somebody might who wants to reach the terminal of who opens it."""
    vocab = Vocab(sorted(set("the sea" + tokens)))
    vocab.preparation = Preparation("char", "none")
    weights = canonical.in_dtype(canonical.initial_weights("gru", len(vocab), 4, seed=1), "float64")
    state = State(weights, History([1], [9.0], [1.0], [], [1.0]), dict(np.random.default_rng(0).bit_generator.state))
    config = {"backend": "numpy", "versions": {"numpy": "1"}, "corpus": {"name": f"text{ATTACK}{FORGED}"}}
    settings = Settings(model="gru", num_hiddens=4, epochs=1, seed=1, prefixes=(f"the {ATTACK}",), threads=1)
    with RunFolder.create(path, config, settings, vocab) as folder:
        folder.save(state, "failed", f"no{ATTACK}{FORGED}")
    if changes:
        content = {**json.loads((path / "config.json").read_bytes()), **changes}
        content["sha256"] = run_folder._config_digest(content)
        (path / "config.json").write_text(json.dumps(content))
    return path


def test_a_hostile_text_and_name_through_a_training_and_a_prediction(tmp_path):
    (tmp_path / f"{NAME}.txt").write_bytes(TEXT.encode())
    given = ["--corpus", f"{NAME}.txt", "--clean", "none"]
    out, _ = d2lrnn_prints(tmp_path, "train", *SMALL, *given, "--out", f"run{NAME}", "--prefix", f"the{ATTACK}")
    assert out.splitlines()[-1].endswith(f"kept in run{visible(NAME)}")
    assert r"\u202e" in out
    out, _ = d2lrnn_prints(tmp_path, "predict", f"run{NAME}", "--prefix", "the time\r\nof \u202e می\u200cخ 👩\u200d🚀")
    assert out.startswith("the time\r\nof \\u202e می\u200cخ 👩\u200d🚀")
    out, _ = d2lrnn_prints(tmp_path, "predict", f"run{NAME}", "--prefix", "of \u202e", "--json")
    assert json.loads(out)["texts"][0]["text"].startswith("of \u202e")
    out, _ = d2lrnn_prints(tmp_path, "resume", f"run{NAME}", "--epochs", "1", "--json")
    assert json.loads(out)["out"] == f"run{NAME}"
    compared = [word.replace("--backend", "--backends") for word in SMALL]
    d2lrnn_prints(tmp_path, "compare", *compared, *given, "--png", f"{NAME}.png", "--html", f"{NAME}.html")
    page = (tmp_path / f"{NAME}.html").read_text(encoding="utf-8")
    assert not OBEYED.search(page)
    assert visible(NAME) in re.search("<title>(.*)</title>", page)[1]


def test_a_run_folder_that_was_received(tmp_path):
    run = received(tmp_path / f"run{NAME}{'' if os.name == 'nt' else FORGED}").name
    out, _ = d2lrnn_prints(tmp_path, "show", run, "--png", f"{NAME}.png", COLUMNS="400")
    assert f"│ {one_line(run)} " in out
    assert f" {one_line(f'text{ATTACK}{FORGED}')} " in out
    out, _ = d2lrnn_prints(tmp_path, "show", run, COLUMNS="60")
    out, _ = d2lrnn_prints(tmp_path, "show", run, "--json")
    assert json.loads(out)["runs"][0]["error"].startswith(f"no{ATTACK[:5]}")
    out, _ = d2lrnn_prints(tmp_path, "predict", run, "--temperature", "9", "--seed", "1", "--num-preds", "300")
    assert "␛" in out
    out, _ = d2lrnn_prints(tmp_path, "convert", run, "--out", f"{NAME}.npz")
    assert out.endswith(f"tokens: {visible(NAME)}.npz\n")


@pytest.mark.parametrize(
    "command", [["show"], ["predict"], ["resume"], ["convert", "--backend", "numpy", "--out", "new"]]
)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend": f"torch{ATTACK}{FORGED}"}, "'backend' holds .*, and should be one of torch, mxnet, tensorflow"),
        ({"versions": {"numpy": ATTACK}}, "'versions' holds .*, and should be names and versions, short texts"),
        ({"versions": {ATTACK: "1"}}, "'versions' holds"),
        ({"versions": {"numpy": "1" * 999}}, "'versions' holds"),
        ({"versions": {"numpy": ["1"]}}, "'versions' holds"),
        ({"machine": {"system": ATTACK}}, "'machine' holds"),
        ({"saved": ATTACK}, "'saved' holds"),
    ],
    ids=["backend", "version", "package", "long", "list", "machine", "time"],
)
def test_a_run_of_no_known_backend_or_of_strange_versions_is_refused_in_one_line(
    tmp_path, capfd, monkeypatch, command, changes, message
):
    from d2lrnn.cli import main as cli

    monkeypatch.chdir(tmp_path)
    received(tmp_path / "run", **changes)
    first, *others = command
    assert cli.main([first, "run", *others]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert re.match(f"d2lrnn: error: 'run/config.json' cannot be used: its {message}", err.replace("\\\\", "/")), err
    assert not OBEYED.search(err)
    assert not (tmp_path / "new").exists()


def hostile_files(folder):
    """Make files of which an error quotes names that stand in them."""
    with zipfile.ZipFile(folder / "two.zip", "w") as archive:
        for name in "ab":
            archive.writestr(f"{name}{ATTACK}{FORGED}.txt", "text")
    with zipfile.ZipFile(folder / "layer.keras", "w") as archive:
        layer = {"class_name": f"Evil{ATTACK}{FORGED}", "config": {"name": ATTACK}}
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        array = io.BytesIO()
        np.save(array, np.zeros(3))
        archive.writestr(f"W{ATTACK}.npy", array.getvalue())


ERRORS = {
    "names in a zip": ["train", *SMALL, "--corpus", "two.zip"],
    "the class of a layer": ["convert", "layer.keras", "--out", "b.npz"],
    "the name of an array": ["convert", "a.npz", "--out", "b.npz"],
    "no such run": ["show", f"run{ATTACK}{FORGED}"],
    "no such command": [f"run{ATTACK}{FORGED}"],
    "no such option": ["train", f"--{ATTACK}{FORGED}"],
    "a word too many": ["predict", "run", f"{ATTACK}{FORGED}"],
    "no number": ["train", "--epochs", f"3{ATTACK}{FORGED}"],
    "no such choice": ["train", "--model", f"{ATTACK}{FORGED}"],
    "no such backend": ["compare", "--backends", f"{ATTACK}{FORGED}"],
    "no such text": ["train", *SMALL, "--corpus", f"{ATTACK}{FORGED}"],
    "no such device": ["train", *SMALL, "--corpus", "story", "--out", "run", "--device", f"{ATTACK}{FORGED}"],
    "no such encoding": ["train", *SMALL, "--corpus", "two.zip", "--encoding", f"{ATTACK}{FORGED}"],
}


@pytest.mark.parametrize("args", ERRORS.values(), ids=list(ERRORS))
def test_an_error_that_quotes_what_was_given_is_one_line_and_harmless(tmp_path, args):
    hostile_files(tmp_path)
    out, err = d2lrnn_prints(tmp_path, *args, code=2)
    assert out == ""
    last = err.splitlines()[-1]
    assert re.match("d2lrnn( [a-z]+)?: error: ", last), err


def in_a_terminal(folder, code, *args):
    """Run Python in a pseudo-terminal; return its exit code and all that it printed there, on both streams.

    A process that says nothing for minutes has stopped for good: it is ended, and says where it was.
    """
    import pty

    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    environment = {key: value for key, value in environment.items() if key not in ("NO_COLOR", "CI")}
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", code, *args],
        cwd=folder, stdin=its, stdout=its, stderr=its, env=environment,
    )  # fmt: skip
    os.close(its)
    printed = b""
    try:
        while True:
            if not select.select([ours], [], [], 240)[0]:
                process.send_signal(signal.SIGABRT)
            try:
                part = os.read(ours, 2**16)
            except OSError:  # what Linux says at the end
                break
            if not part:
                break
            printed += part
        return process.wait(60), printed.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminal that Python opens")
def test_in_a_terminal_our_own_colours_and_bars_stay_and_those_of_others_do_not(tmp_path):
    (tmp_path / "text").write_bytes(TEXT.encode())
    received(tmp_path / f"run{NAME}")
    code = (
        "import sys, warnings; from d2lrnn.cli import main as cli\n"
        # While the bar is there, Rich catches what is printed, and obeys it
        "from d2lrnn.cli.text_curve import TextCurve; call = TextCurve.__call__\n"
        f"def hostile(self, *args): print({ATTACK!a}, flush=True); warnings.warn({ATTACK!a}); call(self, *args)\n"
        "TextCurve.__call__ = hostile\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    train = ["train", *SMALL, "--corpus", "text", "--clean", "none", "--out", "new"]
    for args in (["show", f"run{NAME}"], train):
        status, printed = in_a_terminal(tmp_path, code, *args)
        assert status == 0, printed
        assert re.search("\x1b\\[[0-9;]*m", printed), args  # ours
        assert "␛]0;mine␇" in printed
        ours = re.sub("\x1b\\[[0-9;?]*[A-Za-z]|\r", "", printed)  # colours, and where the cursor goes for the bar
        assert not (found := OBEYED.search(ours)), ascii(ours[found.start() - 80 :][:200])
        assert "\x1b[2J" not in printed


def test_the_report_shows_what_acts_wherever_it_is(tmp_path):
    from reports import make_document

    document = make_document(corpus=f"/tmp/{ATTACK}.txt", prefixes=(f"a{ATTACK}",))
    for row in document["backends"]:
        row["version"] = row["device"] = ATTACK
        row["predictions"] = {prefix: prefix + ATTACK + row["backend"] for prefix in row["predictions"]}
    document["environment"]["platform"] = ATTACK
    content = report.render(document)
    assert not OBEYED.search(content)
    assert "␛]0;mine␇" in re.search("<title>(.*)</title>", content)[1]
