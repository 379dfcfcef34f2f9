"""The commands: for each a function, which takes its arguments and returns its exit code."""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.markup import escape

from d2lrnn.cli import display, exit
from d2lrnn.cli.errors import tell_of
from d2lrnn.cli.parser import settings_of
from d2lrnn.cli.text_curve import TextCurve
from d2lrnn.comparison import compare, process, report
from d2lrnn.core import backends
from d2lrnn.errors import BackendNotInstalledError, InputError
from d2lrnn.runs import outputs, prediction, show, training
from d2lrnn.runs.conversion import convert
from d2lrnn.runs.settings import Settings
from d2lrnn.system.storage import write_atomically
from d2lrnn.system.terminal import console as make_console
from d2lrnn.system.terminal import one_line
from d2lrnn.weights.canonical import able

_GRACE = 10.0  # seconds after a signal in which a second one says the same


def run_backends(args: argparse.Namespace) -> int:
    """List the backends, and on what they can run."""
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(process.devices, backends.BACKENDS))
    if args.json:
        display.print_json({"backends": rows})
        return 0
    table = display.new_table("backend", "version", "devices")
    for row in rows:
        devices = ", ".join(row["devices"]) if row["problem"] is None else row["problem"]
        table.add_row(row["backend"], row["version"] or "-", escape(devices))
    make_console().print(table)
    for row in rows:
        if row["unused_gpu"] is not None:
            print(f"{row['backend']}: {row['unused_gpu']}")
    return 0


def run_train(args: argparse.Namespace) -> int:
    """Train a model, and keep it in a run folder."""
    settings = settings_of(args)
    names = [args.backend] if args.backend is not None else backends.candidates(able(settings.model))
    for backend in names:
        if args.backend is None:
            among = ", ".join(name for name in backends.PREFERRED if name in able(settings.model))
            chosen = backends.BACKENDS[backend].title
            exit.tell(f"d2lrnn: training in {chosen}, the first that works here of {among}")
        try:
            result = _trained(args, backend, settings)
        except BackendNotInstalledError as error:
            if backend == names[-1]:
                raise
            # Only its import could show it
            exit.tell(f"d2lrnn: {error}")
        else:
            display.print_run(result, args.json)
            break
    return 0


def _trained(args: argparse.Namespace, backend: str, settings: Settings) -> dict[str, Any]:
    out = args.out if args.out is not None else training.default_folder(backend, settings)
    with terminated_like_interrupted():
        return training.train(
            backend,
            settings,
            out=out,
            numbered=args.out is None,
            checkpoint_every=args.checkpoint_every,
            quiet=args.json,
            callback=None if args.json else TextCurve(max(1, settings.epochs // 10)),
        )


def run_resume(args: argparse.Namespace) -> int:
    """Go on with a run."""
    with terminated_like_interrupted():
        result = training.resume(
            args.run_folder,
            args.epochs,
            lr=args.lr,
            corpus=args.corpus,
            encoding=args.encoding,
            checkpoint_every=args.checkpoint_every,
            quiet=args.json,
            callback=None if args.json else TextCurve(10 if args.epochs is None else max(1, args.epochs // 10)),
        )
    display.print_run(result, args.json)
    return 0


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let a training that a batch system (SIGTERM) or a terminal (SIGHUP) ends save what it has, as after Ctrl-C."""
    told = -math.inf

    def interrupt(*ignored: Any) -> None:
        nonlocal told
        # A terminal and its shell both tell, and the second must not end the saving; but what asks later means it
        if time.monotonic() - told > _GRACE:
            told = time.monotonic()
            raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # Who is to be deaf, as nohup wants it, stays so
    before = {
        number: signal.signal(number, interrupt)
        for number in numbers
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_predict(args: argparse.Namespace) -> int:
    """Continue texts with the model of a run."""
    texts = prediction.predict(
        args.run_folder,
        args.prefixes,
        args.num_preds,
        backend=args.backend,
        temperature=args.temperature,
        top_k=args.top_k,
        seed=args.seed,
        unknown=args.unknown,
        best=args.best,
        device=args.device,
    )
    if args.json:
        # As in what train prints; and in a list, which has a text for each prefix that is there twice
        by_prefix = {row["prefix"]: row["text"] for row in texts}
        display.print_json({"predictions": by_prefix, "texts": texts})
    else:
        print("\n".join(row["text"] for row in texts))
    return 0


def run_convert(args: argparse.Namespace) -> int:
    """Turn a run or a file of weights into another."""
    made = convert(
        args.source, args.out, backend=args.backend, kind=args.model, vocab=args.vocab, best=args.best, force=args.force
    )
    if args.json:
        display.print_json(made)
        return 0
    sizes = f"{made['num_layers']} x {made['num_hiddens']} units, {made['vocab_size']} tokens"
    print(f"{made['kind']}, {sizes}: {one_line(made['out'])}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print a table of runs and draw their curves."""
    outputs.check_picture(args.png)
    rows = show.show(args.run_folders)
    _each(lambda: display.print_runs(rows, args), lambda: show.draw(rows, args.png))
    if not args.json:
        named, part = len(show.by_name(rows)), ""
        if named < len(rows):
            part = f" ({named} of {len(rows)} runs by name, those with the lowest perplexities; the others in grey)"
        make_console().print(f"curves: {one_line(args.png)}{part}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _each(*steps: Callable[[], None]) -> None:
    """Do each of several steps, those after one that fails too, and raise then what the first one that failed raised.

    What took hours is printed, which is the first step, and written wherever it can be.
    """
    errors: list[Exception] = []
    for number, step in enumerate(steps):
        try:
            step()
            if number == 0:
                sys.stdout.flush()  # what cannot be printed is known now
        except Exception as error:
            errors.append(error)
    for other in errors[1:]:
        tell_of(other)
    if errors:
        raise errors[0]


def run_compare(args: argparse.Namespace) -> int:
    """Train in several backends, and put them side by side."""
    settings = settings_of(args)
    names = args.backends or list(backends.BACKENDS)
    outputs.check_picture(args.png)
    report.check(args.html)
    if args.document is not None:
        outputs.check_output(args.document, "the document", None, "document")
    given = {option: Path(file).resolve() for option in ("png", "html", "document") if (file := getattr(args, option))}
    if len(set(given.values())) < len(given):
        raise InputError(f"--{', --'.join(given)} must name different files, and two of them name the same one")
    with terminated_like_interrupted(), display.follow(settings.epochs, args.json) as on_event:
        document = compare.compare(names, settings, on_event)
    done = [row for row in document["backends"] if row["problem"] is None]
    draw = [lambda: compare.draw(document, args.png)] if done else []
    files = {"report": args.html, **({"curves": args.png} if done else {})}
    document |= {"html": args.html, **({"png": args.png} if done else {})}
    tell = display.print_json if args.json else display.print_comparison
    keep = (
        [lambda: write_atomically(Path(args.document), f"{display.json_of(document)}\n".encode())]
        if args.document
        else []
    )
    _each(lambda: tell(document), *keep, *draw, lambda: report.write(document, args.html))
    if not args.json:
        lines = "\n".join(f"{name}: {one_line(file)}" for name, file in files.items())
        make_console().print(lines, highlight=False, markup=False, soft_wrap=True)
    if document["interrupted"]:
        raise KeyboardInterrupt
    absent = [name for name in names if backends.problem(name) is not None]
    if not done:
        exit.tell("d2lrnn: error: no backend could run; see the reasons above")
        return 2
    # One that is not installed, or for which the system lacks something, fails the run only if it was asked for by name
    failed = len(names) - len(done) - (0 if args.backends else len(absent))
    return 1 if failed else 0
