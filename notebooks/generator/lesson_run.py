"""Execute the notebooks, and keep them with their outputs for the site."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from lesson_notebook import SKIP, check_notebooks, make_notebook
from lesson_source import NOTEBOOKS, Lesson, LessonError, read_lessons
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

import d2lrnn
from d2lrnn.core.backends import FRAMEWORKS, problem, version

EXECUTED = NOTEBOOKS.parent / "build" / "lessons"
HOW = "run make lessons, which executes the lessons, and then make site"
SECONDS_PER_CELL = 3600  # a cell of a full lesson trains for minutes, and nobody waits for one that hangs

# Two notebooks at a time, with a thread each, take less time than one after the other with two
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


@dataclass(frozen=True)
class Result:
    """How one notebook went.

    Attributes:
        framework: Its framework.
        lesson: Its lesson's name.
        seconds: How long it took.
        error: What went wrong, or None.
    """

    framework: str
    lesson: str
    seconds: float
    error: str | None


def fingerprint(framework: str) -> str:
    """Return a hash of what a notebook's outputs rest on besides its cells: the package, the framework, the length."""
    root = Path(d2lrnn.__file__).parent
    digest = hashlib.sha256(f"{version(framework)} {os.environ.get('D2LRNN_LESSONS')}".encode())
    for path in sorted(root.rglob("*.py")):
        if path.name == "_mxnet_first.py":  # an installed d2lrnn has it beside its package, and no lesson depends on it
            continue
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def read_current(lesson: Lesson, framework: str, executed: Path = EXECUTED) -> Any:
    """Return a lesson's executed notebook.

    Raises:
        LessonError: If it was not executed, or not to its end, or is damaged, or what it rests on has changed since.
    """
    name = f"{framework}/{lesson.name}.ipynb"
    path = executed / framework / f"{lesson.name}.ipynb"
    if not path.exists():
        raise LessonError(f"{name} was not executed: {HOW}")
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # half a file fails in many ways
        raise LessonError(f"{name} is damaged ({type(error).__name__}): {HOW}") from None
    wanted = make_notebook(lesson, framework)
    parts = [[(c.id, c.source, c.metadata.get("tags", [])) for c in book.cells] for book in (notebook, wanted)]
    if parts[0] != parts[1]:
        raise LessonError(f"{name} was executed before its lesson changed: {HOW}")
    run = [c for c in notebook.cells if c.cell_type == "code" and SKIP not in c.metadata.get("tags", [])]
    if any(cell.execution_count is None for cell in run):
        raise LessonError(f"{name} was not executed to its end: {HOW}")
    if notebook.metadata.get("d2lrnn") != fingerprint(framework):
        raise LessonError(f"{name} was executed with another d2lrnn or {FRAMEWORKS[framework].title}: {HOW}")
    return notebook


def is_current(lesson: Lesson, framework: str, executed: Path = EXECUTED) -> bool:
    """Tell whether a lesson's notebook has been executed as it stands."""
    try:
        read_current(lesson, framework, executed)
    except LessonError:
        return False
    return True


def execute_notebook(framework: str, name: str, executed: Path = EXECUTED) -> Result:
    """Execute one notebook in a kernel and a folder of its own, and write it with its outputs."""
    target = executed / framework / f"{name}.ipynb"
    failed = target.with_suffix(".failed.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in (target, failed):
        path.unlink(missing_ok=True)
    notebook = nbformat.read(NOTEBOOKS / framework / target.name, as_version=4)
    notebook.metadata["d2lrnn"] = fingerprint(framework)  # now: the package may be edited while the notebook runs
    start = time.perf_counter()
    error = None
    with tempfile.TemporaryDirectory() as folder:
        # a profile of the reader's own must not change the outputs
        env = {**ONE_THREAD, **os.environ, "IPYTHONDIR": folder, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        client = NotebookClient(
            notebook,
            timeout=SECONDS_PER_CELL,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute(env=env)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as reason:
            error = str(reason)
    place = target if error is None else failed
    part = place.with_suffix(".part")  # so that a notebook is there whole, or not at all
    nbformat.write(notebook, part)
    part.replace(place)
    return Result(framework, name, time.perf_counter() - start, error)


def execute_lessons(
    frameworks: Iterable[str], lessons: Iterable[Lesson], *, jobs: int, stale_only: bool, executed: Path = EXECUTED
) -> list[Result]:
    """Execute notebooks, some at a time, and tell how each went as soon as it is done.

    Raises:
        LessonError: If the notebooks are not those of the lessons, or a framework is not installed.
    """
    check_notebooks()
    for framework in frameworks:
        if (reason := problem(framework)) is not None:
            raise LessonError(reason)
    # The last lessons train longest: begun first, they do not keep one core busy while the others have nothing to do
    todo = [
        (framework, lesson.name)
        for lesson in reversed(list(lessons))
        for framework in frameworks
        if not (stale_only and is_current(lesson, framework, executed))
    ]
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own, about message queues
        pool = ThreadPoolExecutor(jobs)
        try:
            for result in pool.map(lambda job: execute_notebook(*job, executed), todo):
                mark = "failed" if result.error else "ok"
                print(f"{result.framework:<10} {result.lesson:<32} {result.seconds:6.1f} s  {mark}", flush=True)
                results.append(result)
        except KeyboardInterrupt:
            print(f"interrupted: {len(results)} of {len(todo)} notebooks are done and kept", flush=True)
            # The threads wait for kernels, which have heard nothing of it. They watch this process, and end with it.
            os._exit(130)
        pool.shutdown()
    return results


def remove_orphans(lessons: list[Lesson], executed: Path = EXECUTED) -> None:
    """Remove executed notebooks whose lesson is gone."""
    names = {lesson.name for lesson in lessons}
    for framework in FRAMEWORKS:
        for notebook in (executed / framework).glob("*.ipynb"):
            if notebook.name.removesuffix(".ipynb").removesuffix(".failed") not in names:
                notebook.unlink()


def default_jobs() -> int:
    """Return how many notebooks to execute at a time: one a core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(frameworks: list[str], names: list[str], *, jobs: int, stale_only: bool) -> int:
    """Execute the lessons that are named, all without names; return the exit code."""
    lessons = read_lessons()
    chosen = set() if names else {lesson.name for lesson in lessons}
    for name in names:
        # a whole name, a number, or a beginning
        mine = [lesson.name for lesson in lessons if name in (lesson.name, lesson.name.split("-")[0])] or [
            lesson.name for lesson in lessons if name and lesson.name.startswith(name)
        ]
        if not mine:
            raise LessonError(f"no lesson begins with {name!r}: use one of {', '.join(x.name for x in lessons)}")
        chosen |= set(mine)
    remove_orphans(lessons)
    start = time.perf_counter()
    results = execute_lessons(frameworks, [x for x in lessons if x.name in chosen], jobs=jobs, stale_only=stale_only)
    failures = [result for result in results if result.error]
    for result in failures:
        print(f"\n{result.framework}/{result.lesson}:\n{result.error}")
    print(f"{len(results)} notebooks in {time.perf_counter() - start:.0f} s, {len(failures)} failed")
    return 1 if failures else 0
