"""The lessons: their sources, the notebooks generated from them, their execution, and the pages made of them."""

import importlib.machinery
import importlib.util
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lesson_notebook
import lesson_page
import lesson_run
import lesson_source
import nbformat
import pytest
from lesson_source import LessonError, read_lesson, read_lessons

from d2lrnn.core.backends import FRAMEWORKS

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
LESSONS = read_lessons()
SOURCES = sorted(NOTEBOOKS.glob("lessons/*.md"))
PROSE = [*SOURCES, *sorted(NOTEBOOKS.glob("site/**/*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"]

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)

TINY = """---
frameworks: own
---

# A title

Prose, with a link to [another one](2-other.md).

```{code-cell} python
:tags: [torch]
name = "torch"
```

```{code-cell} python
:tags: [mxnet]
name = "mxnet"
```

```{code-cell} python
:tags: [tensorflow]
name = "tensorflow"
```

## A heading

```{code-cell} python
print("the same in all")
```

```{code-cell} python
:alt: 'A figure: dots'
print("from", name)
```

+++ {"tags": ["torch"]}

Of PyTorch.

+++ {"tags": ["mxnet"]}

Of MXNet, with a fence:

```text
fenced
```

+++ {"tags": ["tensorflow"]}

Of TensorFlow.

+++

The end.
"""


def write(folder, text, name="1-tiny"):
    (folder / "lessons").mkdir(exist_ok=True)
    path = folder / "lessons" / f"{name}.md"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A folder of notebooks with one small lesson, which needs no framework."""
    write(tmp_path, TINY)
    lesson_notebook.write_notebooks(tmp_path)
    monkeypatch.setattr(lesson_run, "NOTEBOOKS", tmp_path)
    return tmp_path


# The sources


def test_there_are_the_nine_lessons_in_their_order():
    assert [lesson.name[0] for lesson in LESSONS] == list("123456789")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# No front matter\n", "must begin with front matter"),
        ("---\nframeworks: some\n---\n\n# T\n", "frameworks: own, or all"),
        (TINY.replace("# A title", "No title"), "must begin with its title"),
        (TINY.replace(":tags: [torch]", ":tags: [torch, mxnet]"), "one framework, or none"),
        (TINY.replace('name = "mxnet"', "").replace(":tags: [mxnet]", ":tags: [torch]"), r"no cell for \['mxnet'\]"),
        (TINY.replace("Of MXNet", "# Of MXNet"), "a heading in a tab"),
        (TINY.replace("'A figure: dots'", "A figure: dots"), "1-tiny.md: .* could not be read"),
        (TINY.replace("own", "[own"), "1-tiny.md: while parsing"),
        (TINY.replace("frameworks: own", "[a, list]"), "1-tiny.md: "),
        (TINY.replace("frameworks: own", "frameworks: own\nrequire: [x]"), "has the keys frameworks and requires"),
        (TINY.replace("frameworks: own", "frameworks: own\nrequires: pandas"), "a list of names for pip"),
        (TINY.replace(":tags: [torch]", ":tags: [pytorch]"), "has the tags"),
        (TINY.replace(":alt:", ":atl:"), "has the option"),
        (TINY.replace("'A figure: dots'", "[a, b]"), "has the alt"),
        (TINY.replace("```{code-cell} python\nprint", "```{code-cel} python\nprint"), "makes no cell"),
        (TINY.replace("Of PyTorch.", "Of PyTorch\n----------"), "a heading in a tab"),
        (TINY.replace("# A title", "```{code-cell} python\n# A title\n```"), "must begin with its title"),
        (TINY.replace('{"tags": ["torch"]}', '{"tags": "torch"}'), "1-tiny.md"),
    ],
    ids=lambda value: value.replace("\\", "") if value and len(value) < 45 else "lesson",
)
def test_a_lesson_that_cannot_be_used_says_why(tmp_path, text, message):
    with pytest.raises(LessonError, match=message):
        read_lesson(write(tmp_path, text))


@pytest.mark.parametrize("content", [b"\xff\xfe# T", b""], ids=["not-utf-8", "empty"])
def test_a_file_that_is_no_lesson_is_named(tmp_path, content):
    path = write(tmp_path, "")
    path.write_bytes(content)
    with pytest.raises(LessonError, match="1-tiny.md"):
        read_lesson(path)


@pytest.mark.parametrize("name", ["README", "1 tiny", "tiny", "1-a.b"])
def test_a_lesson_has_a_number_and_words_for_a_name(tmp_path, name):
    with pytest.raises(LessonError, match="a number and words"):
        read_lesson(write(tmp_path, TINY, name))


def test_lessons_stand_in_the_order_of_their_numbers(tmp_path):
    for name in ("10-ten", "2-two", "1-one"):
        write(tmp_path, TINY.replace("2-other", "10-ten"), name)
    lessons = read_lessons(tmp_path / "lessons")
    assert [lesson.name for lesson in lessons] == ["1-one", "2-two", "10-ten"]
    assert "(10-ten.ipynb)" in lesson_notebook.make_notebook(lessons[0], "torch").cells[0].source


def test_a_comment_in_fenced_code_is_no_heading(tmp_path):
    read_lesson(write(tmp_path, TINY.replace("fenced\n", "# fenced\n")))


def test_a_folder_without_lessons_says_so(tmp_path):
    with pytest.raises(LessonError, match="no lesson"):
        read_lessons(tmp_path)


@each_lesson
def test_every_figure_has_a_text_for_those_who_cannot_see_it(lesson):
    drawing = re.compile(r"^(figures\.|d2l\.plot\()", re.MULTILINE)
    missing = [
        cell.source for cell in lesson.cells if cell.kind == "code" and drawing.search(cell.source) and not cell.alt
    ]
    assert missing == []


@each_lesson
def test_every_lesson_checks_what_it_shows(lesson):
    for framework in FRAMEWORKS:
        code = [cell.source for cell in lesson_notebook.cells_of(lesson, framework) if cell.kind == "code"]
        assert re.search(r"^ *assert ", "\n".join(code), re.MULTILINE), framework
        if any("train_ch8(" in source or "backend.train(" in source for source in code):
            assert re.search(r"^ *assert .*(perplexity|last|losses)", "\n".join(code), re.MULTILINE), framework


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+?\.(?:md|ipynb|py|txt))(?:#[^)]*)?\)", text):
        place = path.parent / target
        if place.suffix == ".ipynb":  # the site writes these from the lessons
            place = LESSON_FOLDER / f"{place.stem}.md"
        assert place.exists(), target


LESSON_FOLDER = NOTEBOOKS / "lessons"


# Prose once


def sentences(text):
    """Return the sentences of Markdown, without code and short ones."""
    text = re.sub(r"^(`{3,}|:{3,}).*?^\1[`:]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = (" ".join(block.split()) for block in re.split(r"\n\s*\n", text))
    found = [sentence for block in blocks for sentence in re.split(r"(?<=[.:?!])\s", block)]
    return [sentence for sentence in found if len(sentence.split()) >= 8]


def repeated(sources):
    """Return the sentences that stand in more than one place, each with the names of its sources."""
    places = {}
    for name, text in sources:
        for sentence in sentences(text):
            places.setdefault(sentence, []).append(name)
    return {sentence: names for sentence, names in places.items() if len(names) > 1}


def test_no_sentence_stands_in_two_places():
    assert repeated((path.name, path.read_text(encoding="utf-8")) for path in PROSE) == {}


@each_lesson
def test_no_tab_repeats_a_sentence_of_another(lesson):
    assert repeated((cell.framework, cell.source) for cell in lesson.cells if cell.kind == "markdown") == {}


def test_the_check_for_repeated_prose_finds_it():
    once = "A sentence of quite a few words, which somebody wrote into a lesson once."
    broken = once.replace("which ", "which\n")
    assert repeated([("a", f"{once}\n\nAnother."), ("b", f"Yes. {broken} No.\n")]) == {once: ["a", "b"]}
    assert repeated([("a", f"{once}\n\n{once}")]) == {once: ["a", "a"]}
    assert repeated([("a", once), ("b", f"```python\n{once}\n```\n")]) == {}
    assert (
        repeated([("a", f"Once more. {once}"), ("b", "Once more. This sentence is about nothing that is said there.")])
        == {}
    )


# The notebooks


def test_the_notebooks_are_those_of_the_lessons():
    assert lesson_notebook.differences() == []


def test_there_is_a_notebook_for_each_lesson_and_framework_and_no_other():
    found = sorted(
        str(path.relative_to(NOTEBOOKS)) for path in NOTEBOOKS.glob("*/*.ipynb") if path.parent.name in FRAMEWORKS
    )
    assert found == sorted(f"{name}/{lesson.name}.ipynb" for name in FRAMEWORKS for lesson in LESSONS)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@each_lesson
def test_a_notebook_is_valid_and_has_no_outputs(lesson, framework):
    notebook = nbformat.read(NOTEBOOKS / framework / f"{lesson.name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    installs = [cell for cell in code if "pip" in cell.source]
    assert installs == [notebook.cells[1]]
    assert installs[0].metadata["tags"] == [lesson_notebook.SKIP]
    text = "\n".join(cell.source for cell in notebook.cells)
    assert ".md)" not in text
    for other in FRAMEWORKS.keys() - {framework}:
        assert lesson.frameworks == "all" or f"d2lrnn.{other}" not in "\n".join(cell.source for cell in code)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return what runs the cell that installs, as Colab would; it returns what pip was asked for.

    Args:
        there: The modules that are there. One without a file is a folder, such as a clone in the folder of the reader.
        refused: What pip cannot install.
    """
    (tmp_path / "content" / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "content" / "notebooks")

    def run(cell, there=(), refused=(), folders=()):
        asked = []

        def call(command, **options):
            assert command[:5] == [sys.executable, "-m", "pip", "install", "--quiet"]
            asked.append(" ".join(command[5:]))
            return subprocess.CompletedProcess(command, int(asked[-1] in refused))

        def find_spec(name):
            if name in (*there, *folders):
                return importlib.machinery.ModuleSpec(name, None, origin=None if name in folders else f"{name}.py")
            return None

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess, "run", call)
            patch.setattr(importlib.util, "find_spec", find_spec)
            exec(compile(cell.source, "cell", "exec"), {})
        return asked

    return run


ADDRESS = "https://host.invalid/somebody/d2lrnn"


@pytest.mark.parametrize("framework", FRAMEWORKS)
@each_lesson
def test_nothing_is_installed_where_all_is_there(lesson, framework, install):
    there = ["d2lrnn", *FRAMEWORKS, *lesson.requires]
    assert install(lesson_notebook.install_cell(lesson, framework, ADDRESS), there) == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_only_what_is_missing_is_installed(framework, install):
    """Colab's own PyTorch, TensorFlow and NumPy stay as they are; MXNet's metadata would replace NumPy."""
    cell = lesson_notebook.install_cell(LESSONS[8], framework, "")
    asked = install(cell, ["torch", "tensorflow", "numpy"])
    mxnet = ["--no-deps mxnet setuptools<80;python_version>='3.12'"] if framework == "mxnet" else []
    assert asked == ["d2lrnn", *mxnet, "constriction"]
    assert install(cell)[1] == (mxnet or [framework])[0]
    assert len(install(lesson_notebook.install_cell(LESSONS[7], framework, ""))) == 4


def test_where_d2lrnn_comes_from(install, tmp_path):
    cells = {address: lesson_notebook.install_cell(LESSONS[0], "torch", address) for address in ("", ADDRESS)}
    there = ["torch"]
    assert install(cells[""], there) == ["d2lrnn"]
    assert install(cells[ADDRESS], there) == [f"git+{ADDRESS}"]
    assert install(cells[ADDRESS], there, refused=[f"git+{ADDRESS}"]) == [f"git+{ADDRESS}", "d2lrnn"]
    # Colab's folder, with a clone that somebody made by hand: Python takes it for a package without a file
    assert install(cells[""], there, folders=["d2lrnn"]) == ["d2lrnn"]
    # A notebook that lies in a clone
    (tmp_path / "d2lrnn").mkdir()
    (tmp_path / "d2lrnn" / "__init__.py").touch()
    assert install(cells[ADDRESS], there) == ["../.."]
    assert install(cells[""], there, refused=["../.."]) == ["../..", "d2lrnn"]


def test_what_pip_cannot_install_is_said(install):
    cell = lesson_notebook.install_cell(LESSONS[0], "torch", "")
    with pytest.raises(RuntimeError, match="cannot install d2lrnn: write its address behind REPOSITORY"):
        install(cell, refused=["d2lrnn"])
    with pytest.raises(RuntimeError, match="cannot install torch$"):
        install(cell, refused=["torch"])


def test_the_address_is_that_of_pyproject(tmp_path):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text("[project]\nname = 'd2lrnn'\n", encoding="utf-8")
    assert lesson_notebook.repository(pyproject) == ""
    pyproject.write_text(f"[project.urls]\nRepository = '{ADDRESS}'\n", encoding="utf-8")
    assert lesson_notebook.repository(pyproject) == ADDRESS
    own = lesson_notebook.install_cell(LESSONS[0], "torch")
    assert f'REPOSITORY = "{lesson_notebook.repository()}"' in own.source


def test_what_a_lesson_imports_is_installed_by_its_cell():
    for lesson in LESSONS:
        code = "\n".join(cell.source for cell in lesson.cells if cell.kind == "code")
        for module in ("constriction", "sklearn", "pandas"):
            assert (f"import {module}" in code) == (module in lesson.requires)


def test_writing_again_gives_the_same_bytes(tiny):
    before = {path: path.read_bytes() for path in tiny.glob("*/*.ipynb")}
    assert lesson_notebook.write_notebooks(tiny) == []
    shutil.rmtree(tiny / "torch")
    lesson_notebook.write_notebooks(tiny)
    assert {path: path.read_bytes() for path in tiny.glob("*/*.ipynb")} == before
    assert len(before) == 3


def test_an_edited_cell_changes_its_own_id_and_no_other(tiny):
    before = nbformat.read(tiny / "torch" / "1-tiny.ipynb", as_version=4)
    write(tiny, TINY.replace("Prose, with", "Other prose, with"))
    lesson_notebook.write_notebooks(tiny)
    after = nbformat.read(tiny / "torch" / "1-tiny.ipynb", as_version=4)
    assert [a.id == b.id for a, b in zip(before.cells, after.cells, strict=True)] == [False] + [True] * 7


def test_two_equal_cells_have_ids_of_their_own(tmp_path):
    twice = '```{code-cell} python\nprint("the same in all")\n```\n\n'
    lesson = read_lesson(write(tmp_path, TINY.replace("## A heading\n\n", f"## A heading\n\n{twice}")))
    ids = [cell.id for cell in lesson_notebook.make_notebook(lesson, "torch").cells]
    assert len(set(ids)) == len(ids) == 9


def test_stale_missing_and_orphaned_notebooks_are_found_and_put_right(tiny):
    assert lesson_notebook.differences(tiny) == []
    (tiny / "mxnet" / "1-tiny.ipynb").unlink()
    (tiny / "torch" / "9-gone.ipynb").write_text("{}", encoding="utf-8")
    write(tiny, TINY.replace('"tensorflow"\n', '"TensorFlow"\n'))
    assert lesson_notebook.differences(tiny) == [
        "torch/9-gone.ipynb has no lesson",
        "mxnet/1-tiny.ipynb is missing",
        "tensorflow/1-tiny.ipynb is stale",
    ]
    with pytest.raises(LessonError, match="run make notebooks"):
        lesson_notebook.check_notebooks(tiny)
    assert len(lesson_notebook.write_notebooks(tiny)) == 3
    assert lesson_notebook.differences(tiny) == []


# Execution, and the pages


@pytest.fixture(scope="module")
def executed_once(tmp_path_factory):
    """The small lesson's notebooks, executed and not to be changed."""
    folder = tmp_path_factory.mktemp("executed")
    write(folder, TINY)
    lesson_notebook.write_notebooks(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesson_run, "NOTEBOOKS", folder)
        for framework in FRAMEWORKS:
            result = lesson_run.execute_notebook(framework, "1-tiny", folder / "executed")
            assert result.error is None
    return folder / "executed"


@pytest.fixture
def executed(tiny, executed_once):
    """The executed notebooks of a test's own."""
    return shutil.copytree(executed_once, tiny / "executed")


# The client's own: a message queue that is closed late, and a setting that is about to change its default
executes = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


@executes
def test_execution_keeps_the_outputs_and_knows_what_is_current(tiny, executed, monkeypatch):
    lesson = read_lesson(tiny / "lessons" / "1-tiny.md")
    assert lesson_run.is_current(lesson, "torch", executed)
    cells = nbformat.read(executed / "torch" / "1-tiny.ipynb", as_version=4).cells
    assert [cell.execution_count for cell in cells if cell.cell_type == "code"] == [None, 1, 2, 3]
    assert cells[4].outputs[0].text == "the same in all\n"
    write(tiny, TINY.replace("in all", "everywhere"))
    lesson_notebook.write_notebooks(tiny)
    assert not lesson_run.is_current(read_lesson(tiny / "lessons" / "1-tiny.md"), "torch", executed)
    assert lesson_run.is_current(lesson, "torch", executed)
    monkeypatch.setenv("D2LRNN_LESSONS", "full")  # other outputs are to be expected then
    assert not lesson_run.is_current(lesson, "torch", executed)


@executes
@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": [', None], ids=["empty", "list", "dict", "half", "cut"])
def test_a_damaged_notebook_is_executed_again(tiny, executed, content):
    path = executed / "torch" / "1-tiny.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: len(text) // 2] if content is None else content, encoding="utf-8")
    lesson = read_lesson(tiny / "lessons" / "1-tiny.md")
    assert not lesson_run.is_current(lesson, "torch", executed)
    with pytest.raises(LessonError, match="torch/1-tiny.ipynb is damaged"):
        lesson_page.merge(lesson, executed)


@executes
def test_a_cell_that_fails_is_told_and_leaves_no_executed_notebook(tiny):
    write(tiny, TINY.replace('print("the same in all")', "1 / 0"))
    lesson_notebook.write_notebooks(tiny)
    result = lesson_run.execute_notebook("torch", "1-tiny", tiny / "executed")
    assert "ZeroDivisionError" in result.error
    assert [path.name for path in (tiny / "executed" / "torch").iterdir()] == ["1-tiny.failed.ipynb"]


@executes
def test_a_page_has_each_output_once_or_in_each_ones_tab(tiny, executed):
    page = lesson_page.merge(read_lesson(tiny / "lessons" / "1-tiny.md"), executed)
    nbformat.validate(page)
    code = [
        (cell.metadata.tags, "".join(o.text for o in cell.outputs)) for cell in page.cells if cell.cell_type == "code"
    ]
    assert code == [
        (["torch"], ""),
        (["mxnet"], ""),
        (["tensorflow"], ""),
        ([], "the same in all\n"),
        (["torch"], "from torch\n"),
        (["mxnet"], "from mxnet\n"),
        (["tensorflow"], "from tensorflow\n"),
    ]
    prose = [cell.source for cell in page.cells if cell.cell_type == "markdown"]
    assert "[another one](2-other.ipynb)" in prose[0]
    assert prose[2] == "```{framework} torch\nOf PyTorch.\n```"
    assert prose[3] == "````{framework} mxnet\nOf MXNet, with a fence:\n\n```text\nfenced\n```\n````"
    assert page.cells[-5].metadata.mystnb.image.alt == "A figure: dots"


@executes
def test_a_page_without_its_executed_notebook_is_refused(tiny, executed):
    lesson = read_lesson(tiny / "lessons" / "1-tiny.md")
    path = executed / "mxnet" / "1-tiny.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))

    for cell in notebook["cells"]:
        cell.pop("execution_count", None)
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}
    path.write_text(json.dumps(notebook), encoding="utf-8")
    with pytest.raises(LessonError, match=r"mxnet/1-tiny.ipynb was not executed to its end: run make lessons"):
        lesson_page.merge(lesson, executed)

    notebook["cells"][-1]["source"] = "Another end."
    path.write_text(json.dumps(notebook), encoding="utf-8")
    with pytest.raises(LessonError, match=r"mxnet/1-tiny.ipynb was executed before its lesson changed"):
        lesson_page.merge(lesson, executed)

    path.unlink()
    with pytest.raises(LessonError, match=r"mxnet/1-tiny.ipynb was not executed: run make lessons"):
        lesson_page.merge(lesson, executed)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (
            "/home/me/d2lrnn/d2lrnn/core/monitor.py:9: D2LRNNWarning: so\n",
            "d2lrnn/core/monitor.py:9: D2LRNNWarning: so\n",
        ),
        ("/x/lib/python3.11/site-packages/torch/a.py:1: UserWarning: b", "torch/a.py:1: UserWarning: b"),
        ("/tmp/ipykernel_12/345.py:3: UserWarning: b", "this cell, line 3: UserWarning: b"),
        ("Downloading http://host/d2lrnn/file", "Downloading http://host/d2lrnn/file"),
    ],
)
def test_a_warning_on_a_page_does_not_name_the_folders_of_the_machine(text, clean):
    output = nbformat.v4.new_output("stream", name="stderr", text=text)
    assert lesson_page._clean([output])[0].text == clean


def test_a_lesson_that_is_not_there_is_named():
    with pytest.raises(LessonError, match="no lesson begins with '42': use one of 1-text"):
        lesson_run.run(["torch"], ["42"], jobs=1, stale_only=False)


def test_a_page_keeps_all_outputs_of_a_cell_in_their_order():
    new = nbformat.v4.new_output
    outputs = [
        new("stream", name="stdout", text="a\n"),
        new("stream", name="stdout", text="b\n"),
        new("stream", name="stderr", text="c\n"),
        new("stream", name="stdout", text="d\n"),
        new("execute_result", data={"text/plain": "e"}, execution_count=3),
    ]
    assert [o.get("text", o.get("data")) for o in lesson_page._clean(outputs)] == [
        "a\nb\n", "c\n", "d\n", {"text/plain": "e"},
    ]  # fmt: skip


@executes
def test_a_figure_without_a_text_is_refused(tiny, executed):
    path = executed / "torch" / "1-tiny.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    picture = {"output_type": "display_data", "data": {"image/png": ""}, "metadata": {}}
    notebook["cells"][4]["outputs"] = [picture]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    with pytest.raises(LessonError, match="with :alt:"):
        lesson_page.merge(read_lesson(tiny / "lessons" / "1-tiny.md"), executed)


# The command


@pytest.fixture
def sandbox(tmp_path):
    """A copy of the generator beside one small lesson whose cells need nothing."""
    shutil.copytree(NOTEBOOKS / "generator", tmp_path / "notebooks" / "generator")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    write(tmp_path / "notebooks", TINY)
    return tmp_path


def generator(sandbox, *args):
    command = [sys.executable, sandbox / "notebooks" / "generator", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_check_fails_until_the_notebooks_are_written(sandbox):
    before = generator(sandbox, "check")
    assert before.returncode == 2
    assert before.stderr.count("\n") == 1
    assert "torch/1-tiny.ipynb is missing" in before.stderr
    assert generator(sandbox, "write").stdout.split() == [f"{name}/1-tiny.ipynb" for name in FRAMEWORKS]
    assert generator(sandbox, "check").returncode == 0


@pytest.mark.parametrize(
    "args", [["execute", "--frameworks", "jax"], ["execute", "--jobs", "0"], ["execute", "7"]], ids=" ".join
)
def test_a_bad_argument_is_one_line(monkeypatch, capsys, args):
    monkeypatch.setattr(sys, "argv", ["generator", *args])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(NOTEBOOKS / "generator" / "__main__.py"), run_name="__main__")
    assert (caught.value.code, capsys.readouterr().err.count("\n")) == (2, 1)


@pytest.mark.only("torch")  # of these cells none needs a framework
def test_execute_runs_what_is_stale_and_fails_with_a_cell(sandbox, backend):
    write(sandbox / "notebooks", TINY.replace('print("the same in all")', "1 / 0"))
    generator(sandbox, "write")
    failing = generator(sandbox, "execute", "--frameworks", backend.name)
    assert failing.returncode == 1
    assert "ZeroDivisionError" in failing.stdout
    write(sandbox / "notebooks", TINY)
    generator(sandbox, "write")
    assert "1 notebooks in" in generator(sandbox, "execute", "--stale", "--frameworks", backend.name).stdout
    again = generator(sandbox, "execute", "--stale", "--frameworks", f"{backend.name}, {backend.name}")
    assert (again.returncode, "0 notebooks in" in again.stdout) == (0, True)


@pytest.mark.only("torch")
@pytest.mark.skipif(os.name != "posix", reason="sends a signal as a terminal does")
def test_ctrl_c_ends_it_at_once_in_one_line(sandbox, backend):
    started = sandbox / "started"
    cell = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(300)"
    write(sandbox / "notebooks", TINY.replace('print("the same in all")', cell))
    generator(sandbox, "write")
    command = [sys.executable, "-u", sandbox / "notebooks" / "generator", "execute", "--frameworks", backend.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not started.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed, complaints = process.communicate(timeout=20)
    assert (process.returncode, complaints) == (130, "")
    assert printed == "interrupted: 0 of 1 notebooks are done and kept\n"


def test_the_sources_are_read_from_where_they_are():
    assert lesson_source.LESSONS == LESSON_FOLDER
