"""Control characters that would move a cursor, set a title, write to a clipboard or turn a line around."""

from __future__ import annotations

import json
import zipfile

import hostile
from place import TINY, Outcome, Place, fault

GROUP = "terminals"
ATTACK = "a\x1b[2Jb\x1b]0;title\x07c\x1b]52;c;QQ==\x07d\x9b31me\u202ef\u2066g\x7fh"
_RAW = [chr(number) for number in (*range(32), *range(127, 160)) if chr(number) not in "\n\r\t"]
_RAW += [*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))]


def _shows_no_control(place: Place, outcome: Outcome) -> Outcome:
    found = sorted({ascii(character) for character in _RAW if character in outcome.said})
    place.must(not found, f"{' '.join(outcome.words)[:40]!a}: {', '.join(found)} reached the terminal")
    return outcome


@fault(GROUP, "a text with control characters, kept as it is", quick=True)
def _(place: Place) -> None:
    (place.folder / "refused.txt").write_text((ATTACK + " the sea and the sky\n") * 50, encoding="utf-8")
    place.refused(_shows_no_control(place, place.run("train", "--corpus", "refused.txt", "--clean", "none")))
    # What a text may hold: directions of letters, and the controls that part lines
    text = "the sea \u202eand\u202c the\x0b\x0c\x85\u2028\u2029 \u2066sky\u2069 \u200e\u061c\n"
    (place.folder / "a.txt").write_text(text * 50, encoding="utf-8")
    settings = ("--num-hiddens", "8", "--epochs", "1", "--batch-size", "2", "--num-steps", "8")
    words = ("train", "--backend", "numpy", "--corpus", "a.txt", "--clean", "none", *settings, "--out", "run")
    place.must(_shows_no_control(place, place.run(*words)).code == 0, "a text that may be read is refused")
    _shows_no_control(place, place.run("predict", "run", "--prefix", ATTACK))
    _shows_no_control(place, place.run("predict", "run", "--json"))


@fault(GROUP, "names of files, folders and prefixes", quick=True)
def _(place: Place) -> None:
    name = ATTACK.replace("/", "")
    (place.folder / name).write_text("the sea and the sky " * 50)
    train = ("train", "--backend", "numpy", *TINY[2:], "--epochs", "1")
    _shows_no_control(place, place.run(*train, "--corpus", name, "--out", f"{name}-run"))
    _shows_no_control(place, place.run(*train, "--corpus", f"not {name}"))
    for command in ("show", "predict", "resume"):
        _shows_no_control(place, place.run(command, f"{name}-run"))
        _shows_no_control(place, place.run(command, f"not {name}"))
    _shows_no_control(place, place.run("show", f"{name}-run", "--json"))
    _shows_no_control(place, place.run("convert", f"{name}-run", "--out", f"{name}.npz"))
    _shows_no_control(place, place.run("convert", f"{name}-run", "--out", f"{name}.npz"))
    _shows_no_control(place, place.run(name))
    _shows_no_control(place, place.run("train", f"--{name}"))
    _shows_no_control(place, place.run("train", "--model", name))


@fault(GROUP, "a run folder that somebody sent")
def _(place: Place) -> None:
    run = place.trained("run")
    content = (run / "config.json").read_bytes()
    settings = json.loads(content)["settings"]
    for change in (
        {"backend": ATTACK},
        {"versions": {ATTACK: ATTACK, "numpy": ATTACK}},
        {"corpus": {"name": ATTACK}},
        {"created": ATTACK},
        {"status": ATTACK},
        {"error": ATTACK},
        {ATTACK: ATTACK},
        {"settings": {**settings, "corpus": ATTACK, "prefixes": [ATTACK]}},
        {"settings": {**settings, ATTACK: 1}},
    ):
        (run / "config.json").write_bytes(content)
        hostile.rewrite(run, lambda config, change=change: config.update(change))
        for words in (["show"], ["show", "--json"], ["predict"], ["resume"], ["convert", "--out", "b.npz", "--force"]):
            _shows_no_control(place, place.run(words[0], run, *words[1:]))


@fault(GROUP, "names in a zip, classes in a .keras")
def _(place: Place) -> None:
    with zipfile.ZipFile(place.folder / "a.zip", "w") as archive:
        archive.writestr(f"{ATTACK}.txt", "the sea")
        archive.writestr(f"2{ATTACK}.txt", "the sky")
    _shows_no_control(place, place.run("train", "--backend", "numpy", "--corpus", "a.zip"))
    if "tensorflow" in place.usable:
        with zipfile.ZipFile(place.folder / "a.keras", "w") as archive:
            archive.writestr("config.json", json.dumps({"module": "keras", "class_name": ATTACK, "config": {}}))
            archive.writestr("metadata.json", "{}")
            archive.writestr("model.weights.h5", b"")
        _shows_no_control(place, place.run("convert", "a.keras", "--out", "b.npz"))


@fault(GROUP, "closed streams and pipes that end")
def _(place: Place) -> None:
    run = place.trained("run")
    commands = (
        ("backends",), ("show", run), ("predict", run), ("train", "--backend", "numpy", *TINY, "--epochs", "1"),
        ("resume", run, "--epochs", "1"), ("convert", run, "--out", "a.npz", "--force"), ("--help",),
        ("compare", "--backends", "numpy", *TINY, "--epochs", "1"),
    )  # fmt: skip
    for words in commands:
        for closed in ((1,), (2,), (1, 2), (0, 1, 2)):
            place.run(*words, closed=closed)
