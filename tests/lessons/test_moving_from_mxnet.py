"""The page on moving from MXNet: every block of it is run, and what the three tabs of a topic compute is compared."""

from __future__ import annotations

import ast
import linecache
import re
from dataclasses import dataclass, field
from pathlib import Path

import conftest
import numpy as np
import pytest
import tolerances

from d2lrnn.core.backends import FRAMEWORKS

# MXNet's layers use names of its arrays that MXNet has renamed
pytestmark = [
    pytest.mark.filterwarnings("ignore:ndarray.* has been renamed:DeprecationWarning"),
    pytest.mark.only(*FRAMEWORKS),
]

PAGE = Path(__file__).parents[2] / "notebooks" / "site" / "moving-from-mxnet.md"
TABS = {"torch": "PyTorch", "mxnet": "MXNet", "tensorflow": "TensorFlow"}  # in the order of the page


@dataclass
class Block:
    """The code of a fence, and the line of the page before its first."""

    code: str
    line: int

    @property
    def name(self):
        """What a traceback calls the block."""
        return f"<{PAGE.name}, below line {self.line}>"

    def run(self, namespace):
        # Tracebacks show the block and not the whole page, and TensorFlow reads the source of what it compiles
        linecache.cache[self.name] = (len(self.code), None, self.code.splitlines(keepends=True), self.name)
        exec(compile(self.code, self.name, "exec"), namespace)

    def assigns(self, name):
        nodes = (node for node in ast.walk(ast.parse(self.code)) if isinstance(node, ast.Name))
        return any(node.id == name and isinstance(node.ctx, ast.Store) for node in nodes)


@dataclass
class Topic:
    """A set of tabs: the heading above it, and the block of each tab by its key."""

    heading: str
    keys: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    blocks: dict[str, Block] = field(default_factory=dict)


def parse(text):
    """Return the sets of tabs of a page, and the Python blocks outside of them."""
    topics, loose = [], []
    heading, inside, fence, code = "", False, None, []
    for number, line in enumerate(text.splitlines(), 1):
        if fence is not None:
            if line != "```":
                code.append(line)
                continue
            block = Block("\n".join(code) + "\n", fence)
            if inside:
                assert topics[-1].keys[-1] not in topics[-1].blocks, f"line {fence}: a second block in a tab"
                topics[-1].blocks[topics[-1].keys[-1]] = block
            else:
                loose.append(block)
            fence = None
        elif line == "```python":
            fence, code = number, []
        elif line.startswith("#"):
            heading = line.lstrip("# ")
        elif line == "::::{tab-set}":
            topics.append(Topic(heading))
            inside = True
        elif line == "::::":
            inside = False
        elif label := re.fullmatch(r":::\{tab-item\} (.+)", line):
            topics[-1].labels.append(label[1])
        elif key := re.fullmatch(r":sync: (.+)", line):
            topics[-1].keys.append(key[1])
    return topics, loose


TEXT = PAGE.read_text(encoding="utf-8")
(PREAMBLE, *TOPICS), LOOSE = parse(TEXT)
EACH_TOPIC = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.heading)


def run(topic, name):
    """Run a block of a topic after the imports of its tab, and return what it leaves in ``result``, as an array."""
    conftest.load_backend(name)
    namespace = {"__name__": "__main__"}
    PREAMBLE.blocks[name].run(namespace)
    topic.blocks[name].run(namespace)
    return array(namespace["result"]) if "result" in namespace else None


def array(value):
    """Return a tensor, a variable, a shape or a number as an array."""
    return conftest.Backend.numpy(tuple(value) if type(value).__name__ == "TensorShape" else value)


def compare(value, other):
    assert value.shape == other.shape
    np.testing.assert_allclose(value, other, rtol=0, atol=tolerances.SNIPPET)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Blocks write their files to a folder of their own."""
    monkeypatch.chdir(tmp_path)


@EACH_TOPIC
def test_a_block_runs_after_the_imports_alone(backend, topic):
    run(topic, backend.name)


def test_the_blocks_run_one_after_another(backend):
    namespace = {"__name__": "__main__"}
    for topic in (PREAMBLE, *TOPICS):
        topic.blocks[backend.name].run(namespace)


@pytest.mark.parity
@pytest.mark.parametrize(
    "topic",
    [topic for topic in TOPICS if topic.blocks["torch"].assigns("result")],
    ids=lambda topic: topic.heading,
)
@pytest.mark.parametrize("other", ["mxnet", "tensorflow"])
def test_the_tabs_have_the_same_result(topic, other):
    compare(run(topic, other), run(topic, "torch"))


@pytest.mark.parity
@pytest.mark.parametrize("block", LOOSE, ids=lambda block: f"line-{block.line}")
def test_a_block_of_all_three_runs(block):
    block.run({"__name__": "__main__"})


@pytest.mark.parametrize("topic", [PREAMBLE, *TOPICS], ids=lambda topic: topic.heading)
def test_a_topic_has_its_three_tabs(topic):
    assert dict(zip(topic.keys, topic.labels, strict=True)) == TABS
    assert topic.keys == list(topic.blocks) == list(TABS)
    assert len({block.assigns("result") for block in topic.blocks.values()}) == 1


def test_no_block_is_left_out():
    assert len(TOPICS) > 40
    assert len(LOOSE) == 1
    assert TEXT.count("```python\n") == 3 * (1 + len(TOPICS)) + len(LOOSE)
    assert TEXT.count("{tab-set}") == 1 + len(TOPICS)
    assert len({topic.heading for topic in TOPICS}) == len(TOPICS)


def shown(call, code):
    """Say whether a call as the table writes it occurs in code; ``...`` stands for arguments."""
    pattern = ".*".join(re.escape(part) for part in call.split("..."))
    before = r"(?<![\w.])" if call[0].isalpha() else ""
    after = r"(?!\w)" if call[-1].isalnum() or call[-1] == "_" else ""
    return re.search(before + pattern + after, code) is not None


ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("row", ROWS[1:], ids=lambda row: row[0].strip("`"))
def test_the_table_has_only_what_the_blocks_show(row):
    names = {label: key for key, label in TABS.items()}
    for label, cell in zip(ROWS[0], row, strict=True):
        code = "".join(topic.blocks[names[label]].code for topic in TOPICS)
        calls = re.findall(r"`([^`]+)`", cell)
        assert calls or re.fullmatch(r"\(.+\)", cell)
        assert [call for call in calls if not shown(call, code)] == []


# The tests of the helpers


def page(torch="result = 1", mxnet="result = 1", tensorflow="result = 1"):
    tabs = [
        f":::{{tab-item}} {TABS[key]}\n:sync: {key}\n\n```python\n{code}\n```\n:::\n"
        for key, code in (("torch", torch), ("mxnet", mxnet), ("tensorflow", tensorflow))
    ]
    return "\n".join(["# A page", "::::{tab-set}", ":sync-group: framework", "", *tabs, "::::"])


def test_blocks_are_found_with_their_lines():
    text = page(mxnet="x = 1\n\nresult = x") + "\n\n```python\nloose = 1\n```\n"
    (topic,), (block,) = parse(text)
    assert topic.heading == "A page"
    assert topic.blocks["mxnet"].code == "x = 1\n\nresult = x\n"
    for found in (*topic.blocks.values(), block):
        assert "\n".join(text.splitlines()[found.line :]).startswith(found.code)


def test_a_second_block_in_a_tab_is_refused():
    with pytest.raises(AssertionError, match="a second block"):
        parse(page(torch="x = 1\n```\n\n```python\nx = 2"))


def test_an_error_names_its_line_of_the_page():
    block = Block("x = 1\nassert x == 2\n", 120)
    with pytest.raises(AssertionError) as caught:
        block.run({})
    assert str(caught.traceback[-1].path) == "<moving-from-mxnet.md, below line 120>"
    assert str(caught.traceback[-1].statement) == "assert x == 2"


def test_a_result_that_is_set_in_a_loop_is_found():
    assert Block("for result in range(3):\n    pass\n", 0).assigns("result")
    assert not Block("print(result)\n", 0).assigns("result")


@pytest.mark.parametrize(
    ("value", "other"),
    [([1.0, 2.0], [1.0, 2.00001]), ([1.0, 1.0], 1.0), ([[1.0, 2.0]], [1.0, 2.0]), (np.nan, 0.0)],
    ids=["value", "scalar", "shape", "nan"],
)
def test_different_results_are_told_apart(value, other):
    compare(np.array(value), np.array(value))
    with pytest.raises(AssertionError):
        compare(np.array(value), np.array(other))


def test_a_call_that_is_not_shown_is_told_apart():
    code = 'Y = torch.catalog(X.to("cpu"))\nlayer = rnn.RNN(H, activation="tanh", input_size=C)\n'
    assert shown("torch.catalog", code)
    assert shown(".to", code)
    assert shown('rnn.RNN(..., activation="tanh")', code.replace(", input_size=C", ""))
    for call in ("torch.cat", ".t", "catalog", 'rnn.RNN(..., activation="relu")'):
        assert not shown(call, code)
