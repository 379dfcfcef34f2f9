"""The code that ran, side by side: which lines share a row, and what in them is marked."""

import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import NAMES, Page, make_document

from d2lrnn.comparison import report
from d2lrnn.comparison.alignment import align, differing, mark, read_lines
from d2lrnn.core import backends


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
    columns = mark(rows)
    assert {len(column) for column in columns} == {len(rows)}
    for column in columns:
        lines = [line for line in column if line is not None]
        assert not any(line.same and any(differs for differs, _ in line.runs) for line in lines)
        texts = ["".join(piece.text for _, pieces in line.runs for piece in pieces) for line in lines]
        assert "def rnn(inputs: Tensor, state: State, params: Params) -> tuple[Tensor, State]:" in texts
    same = sum(line is not None and line.same for line in columns[0])
    assert 0.4 * len(rows) < same < 0.8 * len(rows)  # the three tabs are one lesson


def test_the_page_has_the_rows_of_every_column():
    rows = [
        row for file in ("fast.py", "scratch.py") for row in align([read_lines(source(name, file)) for name in NAMES])
    ]
    columns = re.findall(r"<pre aria-label=[^>]*><code>(.*?)</code></pre>", report.render(make_document()), re.DOTALL)
    assert len(columns) == len(NAMES)
    for column in columns:
        lines = re.findall(r'<span class="(i\d+[^"]*)">(.*?)\n</span>', column)
        assert column.count('<span class="gap"') + len(lines) == len(rows)
        assert not [line for classes, line in lines if "same" in classes and "<mark>" in line]
        assert any("<mark>" in line for _, line in lines)


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
