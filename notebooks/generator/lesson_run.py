"""Execute the notebooks, and keep them with their outputs for the site."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
from lesson_notebook import check_notebooks
from lesson_source import NOTEBOOKS, Lesson, LessonError, read_lessons
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from d2lrnn.backends import BACKENDS, problem

EXECUTED = NOTEBOOKS.parent / "build" / "lessons"
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


def is_current(framework: str, name: str, executed: Path = EXECUTED) -> bool:
    """Tell whether a notebook has been executed since its sources changed."""
    path = executed / framework / f"{name}.ipynb"
    if not path.exists():
        return False
    done, wanted = (nbformat.read(p, as_version=4) for p in (path, NOTEBOOKS / framework / path.name))
    return [(c.id, c.source) for c in done.cells] == [(c.id, c.source) for c in wanted.cells]


def execute_notebook(framework: str, name: str, executed: Path = EXECUTED) -> Result:
    """Execute one notebook in a kernel and a folder of its own, and write it with its outputs."""
    target = executed / framework / f"{name}.ipynb"
    failed = target.with_suffix(".failed.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in (target, failed):
        path.unlink(missing_ok=True)
    notebook = nbformat.read(NOTEBOOKS / framework / target.name, as_version=4)
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
    nbformat.write(notebook, target if error is None else failed)
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
    todo = [
        (framework, lesson.name)
        for lesson in lessons
        for framework in frameworks
        if not (stale_only and is_current(framework, lesson.name, executed))
    ]
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own, about message queues
        with ThreadPoolExecutor(jobs) as pool:
            for result in pool.map(lambda job: execute_notebook(*job, executed), todo):
                mark = "failed" if result.error else "ok"
                print(f"{result.framework:<10} {result.lesson:<32} {result.seconds:6.1f} s  {mark}", flush=True)
                results.append(result)
    return results


def remove_orphans(lessons: list[Lesson], executed: Path = EXECUTED) -> None:
    """Remove executed notebooks whose lesson is gone."""
    names = {lesson.name for lesson in lessons}
    for path in executed.glob("*"):
        if path.is_dir() and path.name not in BACKENDS:
            shutil.rmtree(path)
        for notebook in path.glob("*.ipynb"):
            if notebook.name.split(".")[0] not in names:
                notebook.unlink()


def default_jobs() -> int:
    """Return how many notebooks to execute at a time: one a core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(frameworks: list[str], names: list[str], *, jobs: int, stale_only: bool) -> int:
    """Execute the lessons that are named, all without names; return the exit code."""
    lessons = read_lessons()
    remove_orphans(lessons)
    if unknown := [name for name in names if not any(lesson.name.startswith(name) for lesson in lessons)]:
        known = ", ".join(lesson.name for lesson in lessons)
        raise LessonError(f"no lesson begins with {', '.join(unknown)}: use one of {known}")
    chosen = [lesson for lesson in lessons if not names or lesson.name.startswith(tuple(names))]
    start = time.perf_counter()
    results = execute_lessons(frameworks, chosen, jobs=jobs, stale_only=stale_only)
    failures = [result for result in results if result.error]
    for result in failures:
        print(f"\n{result.framework}/{result.lesson}:\n{result.error}")
    print(f"{len(results)} notebooks in {time.perf_counter() - start:.0f} s, {len(failures)} failed")
    return 1 if failures else 0
