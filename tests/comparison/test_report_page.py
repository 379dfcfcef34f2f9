"""The page of a report, as a strict reader sees it: what it is made of, what it lets in, and its file."""

import copy
import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from jinja2 import UndefinedError
from reports import DOCUMENTS, HOSTILE, NAMES, Page, hostile, make_document

from d2lrnn.comparison import compare, report
from d2lrnn.core import backends
from d2lrnn.errors import InputError, StorageError
from d2lrnn.runs.settings import Settings


@pytest.fixture(params=list(DOCUMENTS))
def document(request):
    return DOCUMENTS[request.param]()


@pytest.mark.parametrize(
    "broken",
    ["<p><b>x</p></b>", "<p>", "</p>", "<div/>", "<!-- x -->"],
)
def test_the_reader_of_these_tests_sees_what_is_broken(broken):
    assert Page(broken).problems
    assert not Page("<p>x<b>y</b><meta></p>").problems


def test_a_template_shows_nothing_as_it_is_given_and_refuses_what_it_does_not_know():
    shown = report._templates().from_string("<p title='{{ value }}'>{{ value }}</p>").render(value="<b>'\x1b\u202e&")
    assert shown == "<p title='&lt;b&gt;&#39;␛\\u202e&amp;'>&lt;b&gt;&#39;␛\\u202e&amp;</p>"
    with pytest.raises(UndefinedError, match="'nothing' is undefined"):
        report._templates().from_string("{{ nothing }}").render()


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


def test_json_on_the_way_changes_nothing():
    document = make_document()
    again = json.loads(json.dumps(document))
    assert report.render(again) == report.render(document)


def test_the_document_is_left_as_it_was(document):
    before = copy.deepcopy(document)
    report.render(document)
    assert repr(document) == repr(before)


def test_no_framework_is_imported_for_it():
    code = (
        "import json, sys; from d2lrnn.comparison import report; report.render(json.load(sys.stdin)); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(make_document()), capture_output=True, text=True, check=True
    )
    imported = set(result.stdout.split())
    assert {"jinja2", "pygments"} <= imported
    assert not imported & {*NAMES, "matplotlib", "IPython"}


def test_who_writes_no_report_needs_none_of_its_libraries():
    code = "import sys; from d2lrnn.cli import commands; from d2lrnn.comparison import report; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(result.stdout.split())
    assert "d2lrnn.comparison.report" in imported
    assert not imported & {"jinja2", "markupsafe", "pygments"}


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
    assert "name another file" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "report.html").touch()
    report.check(tmp_path / "report.html")
    report.check(tmp_path / "REPORT.HTM")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and access(path, mode))
    with pytest.raises(InputError, match="the folder .* is not writable; name another file$"):
        report.check(tmp_path / "report.html")


def test_the_document_of_a_comparison_has_its_environment(monkeypatch):
    monkeypatch.setattr(backends, "version", lambda name: None)
    document = compare.compare(NAMES, Settings(corpus="story", seed=1))
    assert set(document["environment"]) == {"d2lrnn", "python", "numpy", "platform", "cpus", "finished"}
    assert Page(report.render(document)).find("h1")[0][1] == "No backend could run"
