"""The built site in a real browser, over http and from the disk.

make test-site runs these. Where no site was built, or there is no browser, they are skipped; in CI that is an error.
"""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from importlib import util
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import Watch, without

from d2lrnn.core.backends import FRAMEWORKS

pytestmark = pytest.mark.site

SITE = Path(__file__).parents[2] / "build" / "site"
LESSON = "lessons/2-rnn-from-scratch.html"
OTHER = "lessons/5-gru-and-lstm.html"
TITLES = {name: backend.title for name, backend in FRAMEWORKS.items()}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="session")
def server():
    handler = functools.partial(_Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(params=["http", "file"])
def base(request, browser):
    """The address of the site, served or on the disk."""
    if not (SITE / "index.html").exists():
        without("the site is not built: make site")
    return request.getfixturevalue("server") if request.param == "http" else SITE.as_uri() + "/"


@pytest.fixture
def context(browser):
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def page(context, base):
    page = context.new_page()
    page.watch = Watch(page, base)
    yield page
    assert page.watch.foreign == []
    assert page.watch.complaints == []


def choose(page, name, group=0):
    page.locator(".framework-tabs").nth(group).locator("> label", has_text=TITLES[name]).click()


def shown(page):
    """Return, for each group of tabs, the frameworks whose contents can be seen."""
    return page.eval_on_selector_all(
        ".sd-tab-set",
        """sets => sets.map(set => [...set.querySelectorAll(":scope > label")]
            .filter(label => getComputedStyle(label.nextElementSibling).display !== "none")
            .map(label => label.dataset.syncId))""",
    )


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_one_click_switches_every_group(page, base, name):
    page.goto(base + LESSON)
    other = next(other for other in FRAMEWORKS if other != name)
    choose(page, other)
    choose(page, name, group=2)
    groups = shown(page)
    assert len(groups) > 10
    assert groups == [[name]] * len(groups)


def test_only_the_chosen_frameworks_outputs_can_be_seen(page, base):
    page.goto(base + LESSON)
    printed = page.locator(".framework-tabs .cell_output", has_text="tokens/sec on")
    assert printed.count() == 6
    for name in FRAMEWORKS:
        choose(page, name)
        seen = [output.inner_text() for output in printed.all() if output.is_visible()]
        assert len(seen) == 2
        other = {"torch": "/CPU:0", "mxnet": "/CPU:0", "tensorflow": "cpu(0)"}[name]
        assert all(other not in text for text in seen)


def test_the_choice_survives_navigation_and_reload(page, base):
    page.goto(base + LESSON)
    choose(page, "tensorflow")
    page.goto(base + OTHER)
    assert set(map(tuple, shown(page))) == {("tensorflow",)}
    page.reload()
    assert set(map(tuple, shown(page))) == {("tensorflow",)}
    page.get_by_role("link", name="Moving from MXNet, call by call").first.click()
    page.wait_for_load_state()
    assert set(map(tuple, shown(page))) == {("tensorflow",)}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_link_makes_the_choice(page, base, name):
    page.goto(f"{base}{LESSON}?framework={name}")
    assert set(map(tuple, shown(page))) == {(name,)}
    page.goto(base + OTHER)
    assert set(map(tuple, shown(page))) == {(name,)}


@pytest.mark.parametrize("asked", ["nonsense", "", "MXNET"])
def test_a_link_to_no_framework_leaves_the_readers_choice(page, base, asked):
    page.goto(base + LESSON)
    choose(page, "tensorflow")
    page.goto(f"{base}{LESSON}?framework={asked}")
    page.wait_for_load_state("load")
    page.goto(base + OTHER)
    chosen = "mxnet" if asked == "MXNET" else "tensorflow"
    assert set(map(tuple, shown(page))) == {(chosen,)}


def test_formulas_are_rendered(page, base):
    page.goto(base + LESSON)
    page.wait_for_selector("mjx-container svg")
    page.wait_for_function("MathJax.startup.promise.then(() => true)")
    formulas = page.locator(".math")
    assert formulas.count() > 10
    assert page.locator(".math mjx-container svg").count() == formulas.count()
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert "\\mathbf" not in page.locator("article").inner_text()


def test_the_keyboard_alone_is_enough(page, base):
    page.goto(base + LESSON)
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.sd-tab-set > input')"):
            break
    else:
        pytest.fail("no group of tabs can be reached with the Tab key")
    before = shown(page)[0]
    page.keyboard.press("ArrowRight")
    after = shown(page)
    assert after[0] != before
    assert after == [after[0]] * len(after)
    outline = page.evaluate("getComputedStyle(document.activeElement.nextElementSibling).outlineStyle")
    assert outline == "solid"  # it can be seen where one is
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.matches('.sd-tab-set:first-of-type > input')")


@pytest.mark.parametrize(
    "path", ["index.html", LESSON, "lessons/9-exercises.html", "comparison.html", "api/model.html"]
)
def test_a_narrow_screen_is_wide_enough(page, base, path):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(base + path)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # no text is cut off: what is wider than the screen can be scrolled in its own box
    cut = page.evaluate(
        """() => [...document.querySelectorAll("article *")].filter(element => {
            if (!element.getClientRects().length || element.closest("svg, mjx-container")) return false;
            if (element.getBoundingClientRect().right <= 391) return false;
            for (let box = element; box && box.tagName !== "ARTICLE"; box = box.parentElement)
                if (["auto", "scroll"].includes(getComputedStyle(box).overflowX)) return false;
            return true;
        }).map(element => element.outerHTML.slice(0, 100))"""
    )
    assert cut == []
    if path == LESSON:
        choose(page, "mxnet")
        assert set(map(tuple, shown(page))) == {("mxnet",)}
        label = page.locator(".sd-tab-label").first.bounding_box()
        assert label["height"] >= 24  # large enough for a finger


def pages():
    return sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html")) if SITE.exists() else []


def test_every_page_loads_without_a_complaint_or_a_request_elsewhere(page, base):
    assert len(pages()) > 20
    for path in pages():
        page.goto(base + path)
        page.wait_for_load_state("load")
        assert page.watch.complaints == [], path
        assert page.watch.foreign == [], path
        assert [group for group in shown(page) if len(group) != 1] == [], path
        alts = page.eval_on_selector_all("article img", "images => images.map(image => image.alt)")
        assert [alt for alt in alts if not alt.strip() or "_images/" in alt] == [], path


def test_links_within_the_site_lead_somewhere(page, base):
    broken = []
    for path in pages():
        page.goto(base + path)
        links = page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
        for link in {link.split("#")[0] for link in links if link.startswith(base)}:
            target = SITE / unquote(urlsplit(link.removeprefix(base)).path)
            if not (target / "index.html" if target.is_dir() else target).exists():
                broken.append((path, link))
    assert broken == []


def test_the_site_has_the_outputs_of_every_lesson(page, base):
    for path in sorted(SITE.glob("lessons/*.html")):
        page.goto(f"{base}lessons/{path.name}")
        for name in FRAMEWORKS:
            choose(page, name)
            visible = page.eval_on_selector_all(
                ".cell_output", "outputs => outputs.filter(output => output.getClientRects().length).length"
            )
            assert visible >= 5, (path.name, name)
        text = page.locator("article").inner_text()
        assert "Traceback" not in text


@pytest.mark.parametrize("what", ["lesson", "comparison"])
def test_without_the_executed_notebooks_there_is_no_site(tmp_path, what):
    """A copy of the folder without build/ beside it: nothing was executed there, and nothing measured."""
    if util.find_spec("sphinx") is None:
        without("no Sphinx: pip install 'd2lrnn[site]'")
    root = SITE.parents[1]
    shutil.copytree(root / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("__pycache__"))
    if what == "comparison":
        shutil.copytree(root / "build" / "lessons", tmp_path / "build" / "lessons")
    command = [sys.executable, "-m", "sphinx", "-b", "html", tmp_path / "notebooks" / "site", tmp_path / "site"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    missing = {
        "lesson": "torch/1-text-and-sampling.ipynb was not executed: run make lessons",
        "comparison": "compare.json is missing: run make site",
    }
    assert missing[what] in result.stderr
    assert not (tmp_path / "site" / "index.html").exists()
