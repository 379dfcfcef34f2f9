"""Write, check and execute the lessons' notebooks: ``python notebooks/generator write|check|execute``."""

import argparse
import sys

from lesson_notebook import check_notebooks, write_notebooks
from lesson_run import default_jobs, run
from lesson_source import LessonError

from d2lrnn.core.backends import FRAMEWORKS


def main() -> int:
    """Do what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="generator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write", help="write the notebooks of all lessons")
    commands.add_parser("check", help="check that they are up to date")
    execute = commands.add_parser("execute", help="execute the notebooks, and keep them with their outputs")
    execute.add_argument("lessons", nargs="*", help="the beginnings of lessons' names; all by default")
    execute.add_argument("--frameworks", default=",".join(FRAMEWORKS), help="by default %(default)s")
    execute.add_argument("--jobs", type=int, default=default_jobs(), help="notebooks at a time; by default one a core")
    execute.add_argument("--stale", action="store_true", help="only those that changed since they were executed")
    args = parser.parse_args()
    try:
        if args.command == "execute":
            frameworks = list(dict.fromkeys(name.strip() for name in args.frameworks.split(",")))
            if unknown := set(frameworks) - FRAMEWORKS.keys():
                raise LessonError(f"unknown framework {', '.join(sorted(unknown))}: use {', '.join(FRAMEWORKS)}")
            if args.jobs < 1:
                raise LessonError(f"--jobs must be at least 1, not {args.jobs}")
            return run(frameworks, args.lessons, jobs=args.jobs, stale_only=args.stale)
        if args.command == "check":
            check_notebooks()
        else:
            for path in write_notebooks():
                print(path.parent.name + "/" + path.name)
    except LessonError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
