"""The report of a comparison: its structure without any framework, and how it looks and works in a real browser."""

import copy
import json
import math
import os
import re
import shlex
import subprocess
import sys
from dataclasses import asdict, fields
from datetime import datetime
from html import unescape
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from conftest import Watch
from hypothesis import example, given
from hypothesis import strategies as st

from d2lrnn.cli import command as cli
from d2lrnn.comparison import compare, report, svg_curves
from d2lrnn.comparison.side_by_side import align, differing, read_lines, render_columns
from d2lrnn.core import backends
from d2lrnn.errors import InputError, StorageError
from d2lrnn.runs.settings import Settings
from d2lrnn.weights import canonical

NAMES = list(backends.FRAMEWORKS)
TITLES = {name: backends.BACKENDS[name].title for name in NAMES}
HOSTILE = "<script>document.title='hacked'</script>"
STEPS = 50


def make_row(place, name, settings, epochs):
    perplexity = [1.5 + 25 * math.exp(-epoch / 40) * (1 + 1e-5 * place) for epoch in range(epochs)]
    speed = 10_000 * (place + 1)
    return {
        "backend": name,
        "version": f"{place + 1}.2.3",
        "problem": None,
        "device": "cpu",
        "settings": asdict(settings),
        "corpus": {
            "name": "story",
            "sha256": "ab" * 32,
            "tokens": 4321,
            "tokens_per_epoch": 4200,
            "vocab_size": 28,
        },
        "parameters": 7654,
        "perplexity": perplexity[-1],
        "bits_per_character": math.log2(perplexity[-1]),
        "valid_perplexity": perplexity[-1] + 3 if settings.valid_fraction else None,
        "tokens_per_second": speed,
        "seconds": 12.5,
        "history": {"epoch": list(range(1, epochs + 1)), "perplexity": perplexity},
        "predictions": {prefix: f"{prefix} and so on" for prefix in settings.prefixes},
        "step_losses": [3.3 - 0.01 * step + (place + 1) * 1e-7 * (1 + step % 7) for step in range(STEPS)],
        "peak_memory": 2**28 * (place + 1),
        "startup_seconds": 1.5 * (place + 1),
        "max_loss_difference_at_first": (place + 1) * 7e-7,
        "max_loss_difference": (place + 1) * 7e-7,
    }


def make_document(names=NAMES, *, epochs=120, **changes):
    """Return a document with plausible values, such as a comparison returns."""
    settings = Settings(**{"corpus": "story", "epochs": epochs, "seed": 7, "prefixes": ("the", "once"), **changes})
    return {
        "settings": asdict(settings),
        "reference_losses": [3.3 - 0.01 * step for step in range(STEPS)],
        "environment": compare.environment(),
        "backends": [make_row(place, name, settings, epochs) for place, name in enumerate(names)],
    }


def failed(document, name, problem):
    for row in document["backends"]:
        if row["backend"] == name:
            version = row["version"]
            row.clear()
            row.update(backend=name, version=version, problem=problem)
    return document


def hostile():
    """Return a document in which all that a user may give is made to break out of the page, or to turn it round."""
    document = make_document(
        corpus=f"/tmp/{HOSTILE[:8]}& 时间机器 \u202eآلة\x07.txt",
        prefixes=(HOSTILE, '"><img src=x onerror=alert(1)>', "时间旅行者", "مسافر عبر", "-x", "</pre></script>"),
    )
    for place, row in enumerate(document["backends"]):
        row["device"] = f"gpu:{place} ({HOSTILE})"
        row["predictions"] = {prefix: f"{prefix}على{'ابت'[place]}{HOSTILE}" for prefix in row["predictions"]}
    return failed(document, "mxnet", f"its process died: {HOSTILE}")


def without_numbers():
    """Return a document in which every number is missing that may be."""
    document = make_document(valid_fraction=0.1)
    for row, gone in zip(document["backends"], (None, math.inf, math.nan), strict=True):
        row |= {
            "perplexity": gone,
            "bits_per_character": gone,
            "valid_perplexity": gone,
            "peak_memory": None,
            "max_loss_difference": gone,
            "max_loss_difference_at_first": gone,
        }
        row["history"]["perplexity"] = [gone] * len(row["history"]["epoch"])
        row["step_losses"] = [gone] * STEPS
    return document


def partly_infinite():
    document = make_document()
    document["backends"][1]["perplexity"] = math.inf
    document["backends"][1]["history"]["perplexity"][40:44] = [math.inf, None, math.nan, 1e300]
    document["backends"][2]["step_losses"][10:12] = [None, document["reference_losses"][11]]
    document["reference_losses"][20] = None
    return document


def nothing_ran():
    document = make_document()
    document["reference_losses"] = []
    for name in NAMES:
        failed(document, name, f"{TITLES[name]} is not installed: {backends.install_command(name)}")
    return document


def ended_early():
    document = make_document(valid_fraction=0.1, patience=5)
    history = document["backends"][1]["history"]
    document["backends"][1]["history"] = {key: values[:30] for key, values in history.items()}
    return document


def differing_texts():
    document = make_document()
    for row, letter in zip(document["backends"], "xyy", strict=True):
        row["predictions"]["once"] = f"once upon a {letter} time"
    return document


DOCUMENTS = {
    "plain": make_document,
    "one epoch": lambda: make_document(epochs=1),
    "many epochs": lambda: make_document(epochs=3000),
    "with NumPy": lambda: make_document(list(backends.BACKENDS)),
    "two backends": lambda: make_document(["mxnet", "tensorflow"]),
    "one backend": lambda: make_document(["tensorflow"]),
    "one failed": lambda: failed(make_document(), "mxnet", "its process was killed by SIGSEGV"),
    "nothing ran": nothing_ran,
    "no numbers": without_numbers,
    "partly infinite": partly_infinite,
    "ended early": ended_early,
    "differing texts": differing_texts,
    "no prefixes": lambda: make_document(prefixes=()),
    "another model": lambda: make_document(model="lstm", num_layers=2, valid_fraction=0.25),
    "hostile": hostile,
}


@pytest.fixture(params=list(DOCUMENTS))
def document(request):
    return DOCUMENTS[request.param]()


# What a page is made of


class Page(HTMLParser):
    """A page as a strict reader sees it: every element closed where it must be, by its own end tag."""

    VOID = frozenset({"meta", "link", "input"})
    # SVG elements of ours that close themselves
    EMPTY = frozenset({"path", "line", "rect", "circle"})

    def __init__(self, content):
        super().__init__(convert_charrefs=True)
        self.elements, self.problems, self._open = [], [], []
        self.texts = []
        self.feed(content)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag, _ in self._open]

    def handle_starttag(self, tag, attributes):
        element = (tag, dict(attributes), [])
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append((tag, element))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))
        if tag not in self.EMPTY:
            self.problems.append(f"<{tag}/>")

    def handle_endtag(self, tag):
        if not self._open or self._open[-1][0] != tag:
            self.problems.append(f"</{tag}> at {self.getpos()}")
        else:
            self._open.pop()

    def handle_data(self, data):
        for _, element in self._open:
            element[2].append(data)

    def handle_comment(self, data):
        self.problems.append(f"a comment: {data!r}")

    def find(self, tag, **wanted):
        """Return the elements of a kind with these attributes: (attributes, text)."""
        return [
            (attributes, "".join(text))
            for name, attributes, text in self.elements
            if name == tag and all(attributes.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]

    @property
    def text(self):
        ((_, text),) = self.find("body")
        return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(
    "broken",
    ["<p><b>x</p></b>", "<p>", "</p>", "<div/>", "<!-- x -->"],
)
def test_the_reader_of_these_tests_sees_what_is_broken(broken):
    assert Page(broken).problems
    assert not Page("<p>x<b>y</b><meta></p>").problems


def test_every_page_is_well_formed(document):
    page = Page(report.render(document))
    assert page.problems == []
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 0
    labels = [attributes["aria-labelledby"] for _, attributes, _ in page.elements if "aria-labelledby" in attributes]
    assert {name for label in labels for name in label.split()} <= set(ids)
    links = [attributes["href"] for attributes, _ in page.find("a")]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert [name for name, *_ in page.elements if re.fullmatch(r"h\d", name)].count("h1") == 1


def test_every_picture_is_well_formed_and_says_what_it_shows(document):
    content = report.render(document)
    pictures = re.findall(r"<svg\b.*?</svg>", content, re.DOTALL)
    assert pictures
    charts = []
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        if root.get("role") == "img":
            charts.append(root)
            title, description = root.find("title"), root.find("desc")
            assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
            assert title.text
            assert len(description.text) > len(title.text)
        else:
            assert root.get("aria-hidden") == "true"
        assert not re.search(r"nan|inf|None", re.sub(r">[^<]*<", "><", picture))
    ran = any(row["problem"] is None for row in document["backends"])
    assert len(charts) == (4 if ran else 0)  # two, each for a wide and for a narrow screen


def test_the_page_refers_to_nothing_outside_of_it(document):
    content = report.render(document)
    page = Page(content)
    for name, attributes, _ in page.elements:
        for attribute in ("src", "srcset", "href", "xlink:href", "data", "action", "poster", "background", "style"):
            if attribute in attributes:
                assert attribute == "href", (name, attributes)
                assert attributes["href"].startswith(("#", "data:image/svg+xml,")), (name, attributes)
        assert not [key for key in attributes if key.startswith("on")], (name, attributes)
        assert name not in {"img", "iframe", "object", "embed", "base", "form", "audio", "video"}
    for _, style in page.find("style"):
        assert "@import" not in style
        assert "url(" not in style
        assert "@font-face" not in style
    for _, script in page.find("script"):
        assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket|sendBeacon|eval|innerHTML)\b", script)


def test_the_policy_allows_this_style_and_this_script_alone():
    page = Page(report.render(make_document()))
    (policy,) = (attributes["content"] for attributes, _ in page.find("meta") if "http-equiv" in attributes)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    ((_, style),) = page.find("style")
    (script,) = (text for attributes, text in page.find("script") if not attributes)
    assert rules["style-src"] == report._hashed(style)
    assert rules["script-src"] == report._hashed(script)
    assert report._hashed(style + " ") != rules["style-src"]


# What it says


def test_what_users_give_is_text_and_nothing_else():
    document = hostile()
    content = report.render(document)
    page = Page(content)
    assert page.problems == []
    assert [attributes for attributes, _ in page.find("script")] == [
        {"type": "application/json"}, {"type": "application/json"}, {}
    ]  # fmt: skip
    for prefix in document["settings"]["prefixes"]:
        assert prefix in page.text
    assert HOSTILE in page.text
    assert HOSTILE not in content
    assert "\x07" not in content
    assert "␇" in page.text
    assert "\u202e" not in content
    assert "\\u202e" in page.text
    # what is written from right to left is isolated from the words around it
    around = re.findall(r"<(\w+)([^>]*)>[^<]*آلة", content.split("<body>")[1])
    assert around
    assert all(tag == "bdi" or "dir=" in attributes for tag, attributes in around), around
    for attributes, text in page.find("p"):
        if attributes.get("class") == "typed":
            assert attributes["dir"] == "auto", text


def test_a_byte_that_is_no_text_is_no_reason_to_lose_the_report(tmp_path):
    document = make_document(corpus="/tmp/caf\udce9.txt")
    report.write(document, tmp_path / "report.html")
    assert r"caf\udce9.txt" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_table_has_the_results_of_each_backend():
    document = make_document(valid_fraction=0.1)
    content = report.render(document)
    table = re.search(r'<table class="results">.*?</table>', content, re.DOTALL).group()
    rows = {
        re.sub("<.*?>", "", head): [unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", cells)]
        for head, cells in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', table)
    }
    first, second, third = document["backends"]
    assert [re.sub("<.*?>", "", head) for head in re.findall(r'<th scope="col">(.*?)</th>', table)] == list(
        TITLES.values()
    )
    assert rows["version"] == ["1.2.3", "2.2.3", "3.2.3"]
    assert rows["parameters"] == ["7,654"] * 3
    assert rows["perplexity"] == [f"{row['perplexity']:.3f}" for row in (first, second, third)]
    assert rows["held-out perplexity"] == [f"{row['valid_perplexity']:.3f}" for row in (first, second, third)]
    assert rows["bits per character"] == [f"{row['bits_per_character']:.3f}" for row in (first, second, third)]
    assert rows["tokens/s"] == ["10,000", "20,000", "30,000"]
    assert rows["peak memory"] == ["256\u202fMiB", "512\u202fMiB", "768\u202fMiB"]
    assert rows["start-up"] == ["1.5\u202fs", "3.0\u202fs", "4.5\u202fs"]
    expected = ["7.0\u202f×\u202f10⁻⁷", "1.4\u202f×\u202f10⁻⁶", "2.1\u202f×\u202f10⁻⁶"]
    assert rows[f"in the first {compare.FIRST_STEPS} steps"] == expected
    assert rows[f"in all {STEPS} steps"] == expected


def test_the_held_out_row_is_there_only_if_a_part_was_held_out():
    assert "held-out perplexity" not in report.render(make_document())


def test_a_backend_that_did_not_run_has_its_row_with_the_reason():
    page = Page(report.render(DOCUMENTS["one failed"]()))
    (group,) = (text for attributes, text in page.find("tbody") if attributes.get("class") == "failed")
    assert "MXNet 2.2.3" in group
    assert "its process was killed by SIGSEGV" in group
    (headline,) = (text for _, text in page.find("h1"))
    assert headline.startswith("PyTorch and TensorFlow train")
    assert "MXNet did not run" in page.text
    assert "the same text in both" in page.text


def test_where_nothing_ran_every_backend_has_its_reason():
    page = Page(report.render(nothing_ran()))
    (headline,) = (text for _, text in page.find("h1"))
    assert headline == "No backend could run"
    for name in NAMES:
        assert f"{TITLES[name]} is not installed: {backends.install_command(name)}" in page.text
    assert not page.find("figure")


def test_the_headline_and_the_paragraph_tell_how_far_they_agree():
    document = make_document()
    finals = [row["perplexity"] for row in document["backends"]]
    page = Page(report.render(document))
    ((_, headline),) = page.find("h1")
    percent = 100 * (max(finals) / min(finals) - 1)
    assert f"end {percent:.2g}\u202f% apart" in headline
    lead = next(text for attributes, text in page.find("p") if attributes.get("class") == "lead")
    assert "An RNN from scratch of 1 layer with 512 hidden units" in lead
    assert "(4,321 tokens, 28 different)" in lead
    assert "(seed 7)" in lead
    assert "in the first 10 training steps by at most 2.1\u202f×\u202f10⁻⁶ nats" in lead
    assert "(TensorFlow)" in lead
    for row in document["backends"]:
        row["perplexity"] = 4.25
    page = Page(report.render(document))
    assert page.find("h1")[0][1].endswith("their perplexities end equal")
    assert "The last perplexities lie at 4.250." in page.text


def test_a_perplexity_that_is_not_finite_is_told():
    document = partly_infinite()
    page = Page(report.render(document))
    assert page.find("h1")[0][1].endswith("2 of 3 end with a finite perplexity")
    assert "not finite" in page.text
    assert "1 value is exactly zero and not drawn" in page.text
    for row in document["backends"]:
        row["perplexity"] = math.nan
    assert "none of 3 end with" in report.render(document)


def test_json_on_the_way_changes_nothing():
    document = make_document()
    again = json.loads(json.dumps(document))
    assert report.render(again) == report.render(document)


def test_the_document_is_left_as_it_was(document):
    before = copy.deepcopy(document)
    report.render(document)
    assert repr(document) == repr(before)


def test_every_setting_and_every_model_has_a_name():
    assert list(report.LABELS) == [field.name for field in fields(Settings)]
    assert set(report.MODELS) == set(canonical.KINDS)
    page = Page(report.render(make_document(theta=0.25, batch_size=17)))
    table = next(text for attributes, text in page.find("table") if attributes.get("class") == "settings")
    for label in report.LABELS.values():
        assert label in table
    assert f"{report.LABELS['theta']}0.25" in table
    assert f"{report.LABELS['batch_size']}17" in table
    assert "ab" * 32 in table


def test_a_setting_that_is_not_known_here_is_shown_under_its_own_name():
    document = make_document()
    document["settings"]["dropout"] = 0.125
    assert "dropout0.125" in Page(report.render(document)).text


def command_options():
    """Return the options of compare that are settings."""
    sub_parser = cli._parser()._subparsers._group_actions[0].choices["compare"]
    return {option for action in sub_parser._actions for option in action.option_strings}


COMMANDS = {
    "defaults": {"epochs": 500, "corpus": "time-machine", "prefixes": ("time traveller", "traveller")},
    "numbers": {"lr": 0.1, "theta": 0.5, "num_layers": 2, "model": "gru", "max_tokens": -1, "valid_fraction": 0.125},
    "flags": {"keep_punctuation": True, "keep_case": True, "clean": "letters", "sampling": "random", "device": "cpu"},
    "encoding": {"corpus": "/tmp/a.txt", "encoding": "utf-16-le"},
    "texts": {"corpus": "/tmp/a b's text.txt", "prefixes": ("-x", "", "it's", "时间", "$(rm)", "a\nb")},
}


@pytest.mark.parametrize("changes", COMMANDS.values(), ids=list(COMMANDS))
@pytest.mark.parametrize("names", [list(backends.BACKENDS), ["tensorflow", "torch"]], ids=["all", "two"])
def test_the_command_makes_the_same_comparison_again(changes, names):
    document = make_document(names, **changes)
    words = shlex.split(report.command(document))
    assert words[:2] == ["d2lrnn", "compare"]
    args = cli._parser().parse_args(words[1:])
    settings = cli._settings(args)
    if changes.get("corpus") == "time-machine":
        assert settings.prefixes == ()
        assert "--corpus" not in words
        settings = Settings(**{**asdict(settings), "prefixes": tuple(changes["prefixes"])})
    assert settings == Settings(**document["settings"])
    assert (args.backends or list(backends.BACKENDS)) == names
    (shown,) = (
        text for attributes, text in Page(report.render(document)).find("pre") if attributes.get("class") == "command"
    )
    assert shlex.split(shown) == words


def test_the_footer_tells_where_and_when():
    document = make_document()
    page = Page(report.render(document))
    ((_, footer),) = page.find("footer")
    environment = document["environment"]
    for name in ("d2lrnn", "python", "numpy", "platform"):
        assert str(environment[name]) in footer
    (moment,) = page.find("time")
    assert moment[0]["datetime"] == environment["finished"]
    assert datetime.fromisoformat(environment["finished"]).utcoffset() is not None
    del document["environment"]  # as in documents of earlier versions
    assert Page(report.render(document)).problems == []


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        (["same", "same"], None),
        (["abc", "abd", "abc"], 2),
        (["ab", "abc"], 2),
        (["", "a"], 0),
        (["cafe\u0301s", "cafe\u0300s"], 3),  # the accent belongs to its letter
        (["cafes", "cafe\u0301s"], 3),
        (["时间一", "时间二"], 2),
    ],
)
def test_the_first_difference_of_texts(texts, place):
    assert report.first_difference(texts) == place


def test_the_place_where_texts_differ_is_marked_in_each():
    page = Page(report.render(differing_texts()))
    texts = re.search(r'<dl class="texts">.*?</dl>', report.render(differing_texts()), re.DOTALL).group()
    assert re.findall("<mark>(.*?)</mark>", texts) == ["x", "y", "y"]
    assert "The first 12 characters are the same" in page.text
    assert "The same text in all three" in page.text  # the other prefix
    assert "What they write is the same for 1 of 2 prefixes." in page.text


def test_the_prefix_is_told_apart_as_it_was_read():
    document = make_document(prefixes=("It WAS",), corpus="time-machine")
    for row in document["backends"]:
        row["predictions"] = {"It WAS": "it was and so on"}
    content = report.render(document)
    assert '<span class="given">it was</span> and so on' in content
    assert "It WAS" in Page(content).text  # the heading has it as it was given


def test_what_is_left_out_of_the_text_is_said():
    document = make_document()
    for row in document["backends"]:
        row["corpus"] |= {"tokens": 9000, "used_tokens": 10_000, "text_tokens": 170_580}
    page = Page(report.render(document))
    lead = next(text for attributes, text in page.find("p") if attributes.get("class") == "lead")
    assert "(10,000 of 170,580 characters, 28 different)" in lead
    table = next(text for attributes, text in page.find("table") if attributes.get("class") == "settings")
    assert "Used of the text10,000 of 170,580 characters" in table


@pytest.mark.parametrize(
    ("corpus", "max_tokens", "said"),
    [
        ("time-machine", 10_000, False), ("time-machine", 500, True), ("time-machine", -1, True),
        ("/tmp/a.txt", -1, False), ("/tmp/a.txt", 10_000, True),
    ],
)  # fmt: skip
def test_the_command_says_how_much_of_the_text_is_used_where_it_is_not_the_usual(corpus, max_tokens, said):
    words = shlex.split(report.command(make_document(corpus=corpus, max_tokens=max_tokens)))
    assert ("--max-tokens" in words) == said


def test_a_space_or_an_end_can_be_the_difference():
    document = make_document(prefixes=("a",))
    for row, text in zip(document["backends"], ("a b", "ab", "a"), strict=True):
        row["predictions"] = {"a": text}
    texts = re.search(r'<dl class="texts">.*?</dl>', report.render(document), re.DOTALL).group()
    assert re.findall("<mark>(.*?)</mark>", texts) == ["␣", "b", "∎"]


def test_without_prefixes_it_says_so():
    assert "No prefix was continued." in report.render(make_document(prefixes=()))


def test_the_values_can_be_read_without_the_script():
    document = make_document()
    page = Page(report.render(document))
    perplexities, distances = (text for attributes, text in page.find("table") if attributes.get("class") == "values")
    for row in document["backends"]:
        assert f"{row['perplexity']:.3f}" in perplexities
        assert f"{row['history']['perplexity'][0]:.3f}" in perplexities
    assert svg_curves.scientific(1e-7) in distances
    for data, axis in zip(page.find("script", type="application/json"), ("epoch", "training step"), strict=True):
        values = json.loads(data[1])
        assert values["label"] == axis
        assert [curve["name"] for curve in values["curves"]] == NAMES
        assert all(len(curve["y"]) == len(values["x"]) for curve in values["curves"])


def test_a_backend_that_ended_earlier_has_no_later_values():
    page = Page(report.render(ended_early()))
    values = json.loads(page.find("script", type="application/json")[0][1])
    assert values["x"] == list(range(1, 121))
    assert values["curves"][1]["y"][29:31] == [f"{ended_early()['backends'][1]['history']['perplexity'][29]:.3f}", "–"]


def test_no_framework_is_imported_for_it():
    code = (
        "import json, sys; from d2lrnn.comparison import report; report.render(json.load(sys.stdin)); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(make_document()), capture_output=True, text=True, check=True
    )
    imported = set(result.stdout.split())
    assert "pygments" in imported
    assert not imported & {*NAMES, "matplotlib", "IPython"}


# The file


def test_the_file_is_written_in_one_piece(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("an earlier report")
    document = make_document()
    report.write(document, str(path))
    assert path.read_bytes().decode() == report.render(document)
    path.write_text("an earlier report")
    monkeypatch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="No space left on device"):
        report.write(document, path)
    assert path.read_text() == "an earlier report"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("report.png", "its ending must be one of html, htm"),
        ("report", "its ending must be"),
        ("no/such/folder/report.html", "there is no folder"),
        ("folder.html", "it is not writable"),
        ("x" * 300 + ".html", "File name too long"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path, name, reason):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match=reason) as caught:
        report.check(tmp_path / name)
    assert "name another file with --html" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "report.html").touch()
    report.check(tmp_path / "report.html")
    report.check(tmp_path / "REPORT.HTM")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and access(path, mode))
    with pytest.raises(InputError, match="the folder .* is not writable; name another file with --html"):
        report.check(tmp_path / "report.html")


def test_the_document_of_a_comparison_has_its_environment(monkeypatch):
    monkeypatch.setattr(backends, "version", lambda name: None)
    document = compare.compare(NAMES, Settings(corpus="story", seed=1))
    assert set(document["environment"]) == {"d2lrnn", "python", "numpy", "platform", "cpus", "finished"}
    assert Page(report.render(document)).find("h1")[0][1] == "No backend could run"


# The curves


@given(st.floats(-300, 300), st.floats(0.05, 200), st.integers(4, 10))
def test_a_logarithmic_axis_has_ticks_that_can_be_told_apart(low, span, most):
    ticks = svg_curves.log_ticks(low, low + span, most)
    places, labels = zip(*ticks, strict=True)
    assert 2 <= len(ticks) <= max(most + 1, 8)
    assert all(low - 1e-9 <= place <= low + span + 1e-9 for place in places)
    assert all(a < b for a, b in pairwise(places))
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 14


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.9, 45.0, ["1", "2", "5", "10", "20"]),
        (9.8, 26.0, ["10", "15", "20", "25"]),
        (1e-8, 1.5e-4, ["10⁻⁸", "10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴"]),
        (1.02, 1.11, ["1.02", "1.04", "1.06", "1.08", "1.10"]),
    ],
)
def test_the_ticks_of_a_logarithmic_axis(low, high, labels):
    assert [label for _, label in svg_curves.log_ticks(math.log10(low), math.log10(high), 7)] == labels


@given(st.integers(1, 10), st.integers(0, 100_000), st.integers(3, 12))
def test_an_axis_of_whole_numbers_has_whole_ticks(first, count, most):
    ticks = svg_curves.whole_ticks(first, first + count, most)
    values = [value for value, _ in ticks]
    assert values[0] == first
    assert all(value == int(value) and first <= value <= first + count for value in values)
    assert all(a < b for a, b in pairwise(values))
    assert len(values) <= most + 2
    assert [int(label.replace(",", "")) for _, label in ticks] == values


def draw(ys, xs=None, **options):
    curve = svg_curves.Curve("torch", range(1, len(ys) + 1) if xs is None else xs, ys)
    root = ElementTree.fromstring(
        svg_curves.draw_curves(
            [curve], identity="a", title="t", description="d", x_label="x", y_label="y",
            width=400, height=300, least_decades=0.5, **options,
        )
    )  # fmt: skip
    paths = [path.get("d") for path in root.iter("path")]
    return root, [re.findall(r"([\d.]+) ([\d.]+)", line) for path in paths for line in path.split("M")[1:]]


def test_a_curve_falls_where_its_values_do():
    _, (line,) = draw([100.0, 10.0, 1.0])
    xs, ys = ([float(point[axis]) for point in line] for axis in (0, 1))
    assert xs == sorted(xs)
    assert ys == sorted(ys)  # down is a larger y
    assert ys[1] - ys[0] == pytest.approx(ys[2] - ys[1], abs=0.2)  # equal factors are equal distances


def test_what_has_no_logarithm_is_a_gap():
    root, lines = draw([3.0, 2.0, None, 2.0, math.inf, 1.5, 1.4, math.nan, 0.0, -1.0])
    assert [len(line) for line in lines] == [2, 2]
    assert len(list(root.iter("circle"))) == 1  # the one between two gaps
    root, lines = draw([None, math.inf])
    assert lines == []
    assert "no value to draw" in "".join(root.itertext())


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=30))
@example([1.7976931348623157e308])
@example([5e-324, 1e-310])
@example([1e300, 1e300])
def test_no_value_whatever_breaks_a_curve(ys):
    root, lines = draw(ys, rule=10, rule_label="<10>")
    for line in lines:
        assert all(0 <= float(x) <= 400 and 0 <= float(y) <= 300 for x, y in line)
    assert sum(map(len, lines)) + len(list(root.iter("circle"))) == sum(map(svg_curves.drawable, ys))


def test_a_long_curve_keeps_its_outline():
    ys = [10.0 + math.sin(step / 50) for step in range(5000)]
    ys[1234] = 1000.0
    ys[4321] = 0.01
    _, (long,) = draw(ys)
    assert len(long) <= svg_curves.MOST_POINTS
    heights = [float(y) for _, y in long]
    _, (outline,) = draw([10.0, 1000.0, 0.01, 10.0])
    assert min(heights) == pytest.approx(float(outline[1][1]), abs=0.2)
    assert max(heights) == pytest.approx(float(outline[2][1]), abs=0.2)


@given(st.integers(1, 10_000), st.integers(2, 600))
def test_sampled_positions_have_both_ends(count, most):
    places = svg_curves.sampled(count, most)
    assert (places[0], places[-1]) == (0, count - 1)
    assert len(set(places)) == len(places) == min(count, most)


# The code


def source(name, file="scratch.py"):
    text = (resources.files("d2lrnn") / name / file).read_text(encoding="utf-8")
    return f"# d2lrnn/{name}/{file}\n\n{text}"


@pytest.mark.parametrize("names", [NAMES, ["mxnet", "numpy"]], ids=["the tabs", "two"])
@pytest.mark.parametrize(
    ("model", "files"),
    [("rnn-scratch", ["fast.py", "scratch.py"]), ("rnn", ["concise.py"]), ("lstm", ["concise.py"])],
)
def test_the_columns_hold_what_ran_word_for_word(model, files, names):
    page = Page(report.render(make_document(names, model=model)))
    columns = {
        attributes["aria-label"]: text for attributes, text in page.find("pre") if attributes.get("class") is None
    }
    assert list(columns) == [backends.BACKENDS[name].title for name in names]
    for name in names:
        assert columns[backends.BACKENDS[name].title] == "".join(source(name, file) for file in files)
    assert f"the same in {'all three' if names == NAMES else 'both'} is grey" in page.text


def test_the_note_tells_what_ran():
    assert "over <code>rnn_fast</code>, which computes what" in report.render(make_document())
    assert "over the framework’s own layer." in report.render(make_document(model="lstm"))


def test_columns_have_as_many_rows_and_what_is_equal_is_dimmed():
    rows = align([read_lines(source(name)) for name in NAMES])
    columns = render_columns(rows)
    assert {column.count('<span class="gap"') + len(re.findall(r'<span class="i\d', column)) for column in columns} == {
        len(rows)
    }
    for column in columns:
        for classes, line in re.findall(r'<span class="(i\d+[^"]*)">(.*?)\n</span>', column):
            assert not ("same" in classes and "<mark>" in line)
        assert "def rnn(inputs, state, params):" in re.sub("<.*?>", "", column)
    same = sum(" same" in part for part in columns[0].split("<span")[1:])
    assert 0.4 * len(rows) < same < 0.8 * len(rows)  # the three tabs are one lesson


LINES = st.lists(st.sampled_from(["a = 1", "b = f(a)", "b = g(a)", "", "return b", "x", "    y = x.z(1)"]), max_size=12)


@given(st.lists(LINES, min_size=3, max_size=3))
def test_lines_keep_their_order_whatever_is_beside_them(texts):
    sources = [read_lines("\n".join(lines)) for lines in texts]
    rows = align(sources)
    for place, lines in enumerate(sources):
        assert [row[place] for row in rows if row[place] is not None] == lines
    assert all(any(line is not None for line in row) for row in rows)


@given(LINES)
def test_equal_sources_are_equal_rows(lines):
    source_lines = read_lines("\n".join(lines))
    assert align([source_lines] * 3) == [(line,) * 3 for line in source_lines]


def test_what_belongs_together_stands_side_by_side():
    one = read_lines("import torch\n\nx = torch.zeros(3)\nreturn x")
    other = read_lines("import numpy as np\n# more\n\nx = np.zeros(3)\nreturn x")
    rows = [["".join(piece.text for piece in line or ()) for line in row] for row in align([one, other])]
    assert ["x = torch.zeros(3)", "x = np.zeros(3)"] in rows
    assert ["return x", "return x"] in rows


def test_only_the_words_that_differ_are_marked():
    (line,), (other,) = read_lines("x = torch.zeros(n, device=d)"), read_lines("x = np.zeros(n)")
    marked = "".join(piece.text for piece, differs in zip(line, differing(line, [other]), strict=True) if differs)
    assert marked == "torch, device=d"
    assert not any(differing(line, [line, line]))


# In a browser


@pytest.fixture
def open_report(browser, tmp_path):
    """Return a function that opens a report from the disk, as a reader would, and watches what it does."""
    contexts, watches = [], []

    def open_report(document, width=1440, *, height=900, content=None, **options):
        path = tmp_path / f"report {len(contexts)}.html"
        if content is None:
            report.write(document, path)
        else:
            path.write_text(content, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.watch = Watch(page, path.as_uri())
        watches.append(page.watch)
        page.goto(path.as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()
    if not getattr(open_report, "complains", False):
        assert [watch.foreign + watch.complaints for watch in watches] == [[] for _ in watches]


WIDTHS = [320, 390, 768, 1440]


@pytest.mark.site
@pytest.mark.parametrize("width", WIDTHS)
def test_a_screen_of_any_width_is_wide_enough(open_report, document, width):
    page = open_report(document, width)
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate(
        """width => [...document.querySelectorAll("body *")].filter(element => {
            if (!element.getClientRects().length || element.closest("legend, script")) return false;
            const box = element.getBoundingClientRect();
            return box.right > width + 0.5 || box.left < -0.5;
        }).map(element => element.outerHTML.slice(0, 100))""",
        width,
    )
    assert cut == []
    title = page.title()
    assert title.endswith("d2lrnn compare")
    assert "hacked" not in title or "<script>" in title


def shown_columns(page):
    return [
        column.get_attribute("class").split()[-1] for column in page.locator(".column").all() if column.is_visible()
    ]


@pytest.mark.site
@pytest.mark.parametrize("scripted", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_curves_of_all_backends_can_be_seen(open_report, width, scripted):
    page = open_report(make_document(), width, java_script_enabled=scripted)
    charts = [chart for chart in page.locator(".chart").all() if chart.is_visible()]
    assert len(charts) == 2
    for chart in charts:
        looks = set()
        for name in NAMES:
            curve = chart.locator(f"path.curve.{name}")
            box = curve.bounding_box()
            assert box["width"] > 250
            assert box["height"] > 30
            looks.add(
                curve.evaluate("path => [getComputedStyle(path).stroke, getComputedStyle(path).strokeDasharray].join()")
            )
        assert len(looks) == 3
        assert len({look.rpartition(")")[2] for look in looks}) == 3  # told apart by their dashes alone
        sizes = chart.locator("text").evaluate_all("texts => texts.map(text => text.getBoundingClientRect().height)")
        assert min(sizes) > 11
    assert page.locator(".reader").first.is_visible() == scripted
    assert page.locator("details").first.is_visible()


@pytest.mark.site
@pytest.mark.parametrize("scripted", [True, False], ids=["script", "no-script"])
def test_on_a_phone_the_code_has_tabs(open_report, scripted):
    page = open_report(make_document(), 390, java_script_enabled=scripted)
    assert shown_columns(page) == ["torch"]
    for name in reversed(NAMES):
        page.locator(f".tabs label.{name}").click()
        assert shown_columns(page) == [name]
        assert page.locator(f".tabs label.{name}").bounding_box()["height"] >= 40  # large enough for a finger
    page.locator(".tabs input").first.focus()
    page.keyboard.press("ArrowRight")
    assert shown_columns(page) == ["mxnet"]


@pytest.mark.site
def test_on_a_wide_screen_the_code_stands_side_by_side(open_report):
    page = open_report(make_document(), 1440)
    assert shown_columns(page) == NAMES
    assert not page.locator(".tabs").is_visible()
    tops = page.locator(".code pre code").evaluate_all(
        "columns => columns.map(column => [...column.children].map(row => Math.round(row.getBoundingClientRect().top)))"
    )
    assert len(tops[0]) > 90
    assert tops[0] == tops[1] == tops[2]
    bottom = page.locator(".code").bounding_box()
    after = page.locator("#settings h2").bounding_box()
    assert bottom["y"] + bottom["height"] < after["y"]


@pytest.mark.site
def test_the_values_under_a_pointer_can_be_read(open_report):
    document = make_document()
    page = open_report(document, 1440)
    figure = page.locator("figure.perplexity")
    values = figure.locator(".legend output")
    perplexity = [row["history"]["perplexity"] for row in document["backends"]]

    def shows(epoch):
        assert figure.locator(".reader output").inner_text() == str(epoch)
        assert values.all_inner_texts() == [f"{curve[epoch - 1]:.3f}" for curve in perplexity]

    shows(120)
    cursor = figure.locator(".chart.wide .cursor")
    assert not cursor.is_visible()
    slider = figure.locator("input")
    slider.focus()
    page.keyboard.press("Home")
    shows(1)
    page.keyboard.press("ArrowRight")
    shows(2)
    assert slider.get_attribute("aria-valuetext").startswith(f"epoch 2: PyTorch {perplexity[0][1]:.3f}, MXNet")
    assert cursor.evaluate("line => getComputedStyle(line).visibility") == "visible"
    box = figure.locator(".chart.wide").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
    shows(120)
    assert float(cursor.get_attribute("x1")) > 500
    page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
    shows(1)


@pytest.mark.site
def test_a_finger_reads_values_too(open_report):
    page = open_report(make_document(), 390, has_touch=True, is_mobile=True)
    chart = page.locator("figure.difference .chart.narrow")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    step = int(page.locator("figure.difference .reader output").inner_text())
    assert 15 < step < 35
    assert page.locator("figure.difference .legend output").first.inner_text() != ""


@pytest.mark.site
@pytest.mark.parametrize("width", [390, 1440])
def test_the_keyboard_reaches_all_that_can_be_used_and_shows_where_it_is(open_report, width):
    page = open_report(make_document(), width)
    usable = page.locator("a[href], input[type=range], summary, [tabindex]").count()
    usable += 1 if width == 390 else 0  # the tabs are one stop
    reached = []
    for _ in range(usable):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => {
                    const here = document.activeElement;
                    const ring = here.matches(".tabs input") ? here.parentElement : here;
                    const place = [...document.querySelectorAll("*")].indexOf(here);
                    return [place, getComputedStyle(ring).outlineStyle];
                }"""
            )
        )
    assert len({place for place, _ in reached}) == usable
    assert {outline for _, outline in reached} == {"solid"}


# Of every piece of text that can be seen: its colour against what is behind it, after WCAG 2
CONTRASTS = """() => {
    const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
    const light = rgb => rgb.slice(0, 3).map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = element => {
        for (let box = element; box; box = box.parentElement) {
            const colour = parse(getComputedStyle(box).backgroundColor);
            if (colour[3] === 1) return colour;
        }
        return [255, 255, 255, 1];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
        if (element.closest("script, title, desc, legend")) continue;
        const style = getComputedStyle(element);
        const colour = parse(element.closest("svg") ? style.fill : style.color);
        const [a, b] = [light(colour), light(behind(element.closest("svg") ?? element))].sort((x, y) => y - x);
        found.push([(a + 0.05) / (b + 0.05), walker.currentNode.data.slice(0, 40), element.className]);
    }
    return found;
}"""


@pytest.mark.site
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", ["differing texts", "one failed"])
def test_every_word_stands_out_from_what_is_behind_it(open_report, scheme, width, name):
    page = open_report(DOCUMENTS[name](), width, color_scheme=scheme)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 300
    assert [entry for entry in contrasts if entry[0] < 4.5] == []
    # and what is drawn, from the page
    page_light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    drawn = page.evaluate(
        "[...document.querySelectorAll('.chart .curve, .bar rect')].map(shape => "
        "getComputedStyle(shape).stroke === 'none' ? getComputedStyle(shape).fill : getComputedStyle(shape).stroke)"
    )
    assert len(drawn) > 12
    for colour in set(drawn):
        assert contrast(colour, page_light) >= 3, colour


def contrast(one, other):
    def light(text):
        values = [int(value) / 255 for value in re.findall(r"\d+", text)[:3]]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([light(one), light(other)])
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_of_these_tests_is_that_of_wcag():
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(118, 118, 118)", "rgb(255, 255, 255)") == pytest.approx(4.54, abs=0.01)


@pytest.mark.site
def test_on_paper_it_is_light_and_complete(open_report):
    page = open_report(make_document(), 680, color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)" != dark
    assert contrast(page.evaluate("getComputedStyle(document.body).color"), "rgb(255, 255, 255)") > 7
    assert shown_columns(page) == NAMES
    for hidden in ("nav", ".tabs", ".reader", "details"):
        assert not page.locator(hidden).first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert len(page.pdf(format="A4")) > 20_000


@pytest.mark.site
def test_a_script_that_found_its_way_in_would_not_run(open_report):
    content = report.render(make_document()).replace("<main>", f"<main>{HOSTILE}<img src='https://example.org/x.png'>")
    assert HOSTILE in content
    page = open_report(None, content=content)
    open_report.complains = True  # that it refuses them is what the browser says
    assert page.title().endswith("d2lrnn compare")
    assert any("Content Security Policy" in complaint for complaint in page.watch.complaints)
    assert page.locator("figure.perplexity .reader").is_visible()  # ours did
