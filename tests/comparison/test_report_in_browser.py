"""How the report of a comparison looks and works in a real browser."""

import re

import pytest
from conftest import Watch
from reports import DOCUMENTS, HOSTILE, NAMES, make_document

from d2lrnn.comparison import report


@pytest.fixture(params=list(DOCUMENTS))
def document(request):
    return DOCUMENTS[request.param]()


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
