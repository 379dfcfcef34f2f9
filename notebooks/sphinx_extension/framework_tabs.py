"""A Sphinx extension: neighbouring notebook cells with a framework's tag become one group of tabs.

myst-nb drops code cells inside a ``tab-set`` directive, so the tabs are made from the parsed document: containers that
sphinx-design then writes as its tabs. All groups share one synchronisation group, ``framework``: a choice in one
switches all, is kept by the browser, and can be linked to with ``?framework=mxnet``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from comparison_page import write_comparison
from docutils import nodes
from lesson_page import write_pages
from lesson_source import LessonError
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx_design.shared import create_component

from d2lrnn.core.backends import FRAMEWORKS

GROUP = "framework"


class FrameworkDirective(SphinxDirective):
    """Prose for one framework: ``{framework} torch``."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return a container that the transform puts into a tab."""
        name = self.arguments[0]
        if name not in FRAMEWORKS:
            raise self.error(f"unknown framework {name!r}: use one of {', '.join(FRAMEWORKS)}")
        container = nodes.container(framework=name)
        self.set_source_info(container)
        self.state.nested_parse(self.content, self.content_offset, container)
        return [container]


def framework_of(node: nodes.Node) -> str | None:
    """Return the framework that a code cell or a piece of prose belongs to, or None for all."""
    if not isinstance(node, nodes.container):
        return None
    tags = node.get("cell_metadata", {}).get("tags", [])
    return node.get("framework") or next((tag for tag in tags if tag in FRAMEWORKS), None)


def _tab_set(cells: list[Any]) -> nodes.Element:
    tab_set = create_component("tab-set", classes=["sd-tab-set", "framework-tabs"])
    tab_set.source, tab_set.line = cells[0].source, cells[0].line
    for name, backend in FRAMEWORKS.items():
        mine = [cell for cell in cells if framework_of(cell) == name]
        if not mine:
            raise SphinxError(f"{tab_set.source}: a group of tabs near line {tab_set.line} has none for {name}")
        label = nodes.rubric(backend.title, "", nodes.Text(backend.title), classes=["sd-tab-label"])
        label["sync_id"], label["sync_group"] = name, GROUP
        content = create_component("tab-content", classes=["sd-tab-content"], children=mine)
        tab_set += create_component("tab-item", classes=["sd-tab-item"], selected=False, children=[label, content])
    return tab_set


class FrameworkTabs(SphinxTransform):
    """Put each run of neighbouring cells of frameworks into one group of tabs."""

    default_priority = 500

    def _runs(self) -> Iterator[list[Any]]:
        for parent in [self.document, *self.document.findall(nodes.section)]:
            run: list[Any] = []
            for child in (*parent.children, None):
                if child is not None and framework_of(child):
                    run.append(child)
                elif run:
                    yield run
                    run = []

    def apply(self, **_: Any) -> None:
        """Change the document."""
        for run in list(self._runs()):
            parent, index = run[0].parent, run[0].parent.index(run[0])
            for cell in run:
                parent.remove(cell)
            parent.insert(index, _tab_set(run))


def prepare(app: Sphinx) -> None:
    """Write what is made from executed notebooks and from a measured comparison; what is missing fails the build."""
    try:
        write_pages(app.srcdir / "lessons")
        write_comparison(app.srcdir / "measured")
    except LessonError as error:
        raise SphinxError(str(error)) from None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive and the transform."""
    app.setup_extension("sphinx_design")
    app.add_directive("framework", FrameworkDirective)
    app.add_transform(FrameworkTabs)
    app.connect("builder-inited", prepare)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
