"""What several places of the repository say, and would drift apart: workflows, guides, tox.ini and pyproject.toml."""

import configparser
import re
import sys
from pathlib import Path

import pytest
import yaml

from d2lrnn.core import backends
from d2lrnn.runs import run_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest needs there

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GUIDES = ("CONTRIBUTING.md", "SECURITY.md", ".github/pull_request_template.md")

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def pythons_of(matrix):
    """Return the versions of Python that a job's matrix names, with those of its ``include``."""
    return {*matrix.get("python", []), *(row["python"] for row in matrix.get("include", []) if "python" in row)}


def promised_pythons():
    """Return the versions of Python that pyproject.toml promises, as its classifiers list them."""
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in PROJECT["classifiers"]]
    return [match[1] for match in found if match]


def environments():
    """Return the environments that tox.ini knows by name."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    listed = re.findall(r"[\w-]+", tox["tox"]["env_list"])
    return {*listed, *(name.partition(":")[2] for name in tox.sections() if name.startswith("testenv:"))}


def targets():
    """Return the targets of the Makefile."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    return {name for line in lines if line.startswith(".PHONY:") for name in line.split()[1:]}


def steps(job):
    """Return the commands of a job, with what its matrix puts into its variables."""
    matrix = job.get("strategy", {}).get("matrix", {})
    for step in job["steps"]:
        command = step.get("run", "")
        for name, value in step.get("env", {}).items():
            key = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", str(value))
            rows = [row[key[1]] for row in matrix.get("include", []) if key[1] in row] if key else []
            values = [*matrix.get(key[1], []), *rows] if key else []
            command = re.sub(rf'"\${name}"', " ".join(map(str, values)), command)
        yield command


def commands(text):
    """Return what a text asks of make and of start: pairs of a command and its arguments."""
    found = re.findall(r"(?:^|[\s`(])(?:make|python3? start) ([a-z][\w-]*)([^\n`#|,;)&]*)", text, re.MULTILINE)
    return [(name, rest.split()) for name, rest in found]


def mentioned(text):
    """Return the files and folders that a guide names between backticks or links to, by their paths from the root."""
    quoted = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    file = re.compile(r"[\w.-]*(/[\w.-]*)+|[\w.-]+\.(css|ini|js|json|md|py|toml|txt|yml)|Dockerfile|Makefile")
    return {*links, *filter(file.fullmatch, quoted)}


def problems(path):
    """Return what is wrong with a workflow, a line each."""
    workflow, lines = read_yaml(path), []
    if workflow.get("permissions") != {}:
        lines.append("its permissions are not {}: each job says which it needs")
    if "concurrency" not in workflow:
        lines.append("it has no concurrency group")
    for name, job in workflow["jobs"].items():
        lines += [f"{name} has no {key}" for key in ("permissions", "timeout-minutes") if key not in job]
        if unknown := set(job.get("needs", "").split()) - workflow["jobs"].keys():
            lines.append(f"{name} needs {unknown}")
        for step in job["steps"]:
            if "uses" in step and not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]):
                lines.append(f"{name} uses {step['uses']}, which is not pinned by its commit")
            if step.get("uses", "").startswith("actions/checkout@") and step["with"]["persist-credentials"]:
                lines.append(f"{name} leaves its credentials in the clone")
            if "${{" in step.get("run", ""):
                lines.append(f"{name} puts an expression into a shell, where env belongs: {step['run']}")
        for command in steps(job):
            for what, arguments in commands(command):
                if what not in targets():
                    lines.append(f"{name} runs {what}, which the Makefile has not")
                if what == "test" and (unknown := set(arguments) - environments()):
                    lines.append(f"{name} tests {unknown}, which tox.ini has not")
    return lines


@each_workflow
def test_a_workflow_is_safe_and_runs_what_there_is(path):
    assert problems(path) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("permissions: {}", "permissions: write-all", "its permissions"),
        ("concurrency:", "concurrent:", "no concurrency"),
        ("    timeout-minutes: 15\n", "", "lint has no timeout-minutes"),
        ("    permissions:\n      contents: read\n", "", "lint has no permissions"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "not pinned"),
        ("persist-credentials: false", "persist-credentials: true", "credentials"),
        ("start test lint", "start test lnt", "tests {'lnt'}"),
        ("start test lint", "start tests lint", "runs tests"),
        ("make compare\n", "make comparison\n", "runs comparison"),
        ("backend: [torch, mxnet, tensorflow]", "backend: [torch, jax]", "tests {'jax'}"),
        ("backend: tensorflow }", "backend: keras }", "tests {'keras'}"),
        ("start test lint", "start test ${{ github.head_ref }}", "an expression into a shell"),
    ],
)
def test_the_check_of_workflows_can_fail(tmp_path, old, new, problem):
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "tests.yml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert problem in "\n".join(problems(path))


def test_the_pythons_that_are_tested_are_those_that_are_promised():
    jobs = read_yaml(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    promised = promised_pythons()
    assert jobs["base"]["strategy"]["matrix"]["python"] == promised
    assert pythons_of(jobs["framework"]["strategy"]["matrix"]) <= {*promised}
    assert promised[0] in pythons_of(jobs["framework"]["strategy"]["matrix"])
    oldest, newest = (int(promised[place].split(".")[1]) for place in (0, -1))
    assert promised == [f"3.{minor}" for minor in range(oldest, newest + 1)]
    # A version after the newest may be forbidden or not, and none before it may be
    bounds = dict(re.findall(r"(>=|<)3\.(\d+)", PROJECT["requires-python"]))
    assert int(bounds[">="]) == oldest
    assert int(bounds.get("<", newest + 1)) == newest + 1


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_job_runs_on_another_python(path):
    for job in read_yaml(path)["jobs"].values():
        for step in job["steps"]:
            version = step.get("with", {}).get("python-version", "3.11")
            assert version in (*promised_pythons(), "${{ matrix.python }}")


def test_readme_says_the_oldest_and_the_newest_python():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for version in (promised_pythons()[0], promised_pythons()[-1]):
        assert re.search(rf"(?<![\d.]){re.escape(version)}(?!\d)", readme)


def test_each_backend_and_environment_is_tested():
    jobs = read_yaml(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    tested = {
        name for job in jobs.values() for line in steps(job) for what, names in commands(line) if what == "test"
        for name in names
    }  # fmt: skip
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    assert tested == set(re.findall(r"\w+", tox["tox"]["env_list"]))
    assert tested > set(backends.FRAMEWORKS)
    lowest = {row["extra"] for row in jobs["lowest"]["strategy"]["matrix"]["include"]}
    assert lowest == set(backends.BACKENDS)


def test_the_release_reads_what_is_there():
    """Its commands find the version and the section of a release as the files have them today."""
    version = re.findall(r'^__version__ = "(.*)"$', (ROOT / "d2lrnn" / "__init__.py").read_text("utf-8"), re.MULTILINE)
    assert len(version) == 1
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", changelog, re.MULTILINE)[0] == "[Unreleased]"
    job = read_yaml(ROOT / ".github" / "workflows" / "release.yml")["jobs"]["publish"]
    assert (job["environment"], job["permissions"]) == ("pypi", {"id-token": "write"})


@pytest.mark.parametrize("guide", GUIDES)
def test_what_a_guide_names_is_there(guide):
    text = (ROOT / guide).read_text(encoding="utf-8")
    assert [name for name in sorted(mentioned(text)) if not is_there(name)] == []
    assert [name for name, _ in commands(text) if name not in targets()] == []
    # What follows -- is for pytest
    tests = [names[: [*names, "--"].index("--")] for name, names in commands(text) if name == "test"]
    assert {name for names in tests for name in names} <= environments()


def is_there(name):
    # A run's file is none of ours. Paths are from the root, from a folder that the text speaks of, or from a backend's
    folders = ("", "d2lrnn", "tests", ".github/workflows", *(f"d2lrnn/{backend}" for backend in backends.BACKENDS))
    return name == run_folder.CONFIG or any((ROOT / folder / name).exists() for folder in folders)


def test_the_checks_of_guides_can_fail():
    text = "`d2lrnn/gone.py`, [here](OTHER.md), `backend.py`, `GATES`, `a / b`; `make tset`, `python3 start test x y`."
    assert mentioned(text) == {"d2lrnn/gone.py", "OTHER.md", "backend.py"}
    assert not is_there("d2lrnn/gone.py")
    assert is_there("backend.py")
    assert is_there("d2lrnn/core/backends.py")
    assert commands(text) == [("tset", []), ("test", ["x", "y"])]


def test_every_file_of_a_backend_is_in_the_guide():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in (ROOT / "d2lrnn" / "torch").glob("*.py"):
        assert f"`{path.name}`" in guide


def test_issues_ask_of_the_lessons_that_there_are():
    form = read_yaml(ROOT / ".github" / "ISSUE_TEMPLATE" / "lesson.yml")
    options = next(part["attributes"]["options"] for part in form["body"] if part.get("id") == "lesson")
    lessons = sorted(path.stem for path in (ROOT / "notebooks" / "lessons").glob("*.md"))
    numbered = [re.sub(r"\W+", "-", option.lower()) for option in options if option[0].isdigit()]
    assert numbered == lessons


def test_the_image_has_what_mxnet_needs_and_a_reader_without_privileges():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    base = re.search(r"^FROM python:(3\.\d+)-", text, re.MULTILINE)
    assert base[1] in promised_pythons()
    for package in ("git", "libgomp1", "libquadmath0", "make"):
        assert re.search(rf"^ .*\b{package}\b", text, re.MULTILINE)  # not in a comment
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] not in ("root", "0")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    made = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    # What git ignores is not copied into the image either
    assert {name.removeprefix("**/") for name in ignored} >= set(made) - {"*.egg-info"}
