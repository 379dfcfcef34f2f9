"""The ``d2lrnn`` command."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import io
import json
import math
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TextIO

from rich.markup import escape
from rich.table import Table

from d2lrnn import __version__
from d2lrnn.cli import last_door
from d2lrnn.cli.text_curve import TextCurve
from d2lrnn.comparison import compare, report
from d2lrnn.core import backends, pictures
from d2lrnn.core.generation import UNKNOWN_POLICIES
from d2lrnn.core.history import BOOK_NUM_PREDS, format_perplexity
from d2lrnn.core.monitor import format_progress
from d2lrnn.core.threads import say
from d2lrnn.data import CORPORA, part_of_text
from d2lrnn.data.corpora import BOOK_MAX_TOKENS, remembering_failures
from d2lrnn.data.text import CLEANINGS
from d2lrnn.errors import LONGEST, BackendNotInstalledError, D2LRNNError, D2LRNNWarning, InputError, TrainingInterrupted
from d2lrnn.runs import prediction, show, training
from d2lrnn.runs.conversion import convert
from d2lrnn.runs.settings import SAMPLINGS, Settings, check_text
from d2lrnn.system import memory
from d2lrnn.system.formatting import format_bytes, format_count, format_mebibytes, format_seconds
from d2lrnn.system.storage import write_atomically
from d2lrnn.system.terminal import behind, close_behind_a_bar, doors, in_json, one_line
from d2lrnn.system.terminal import console as make_console
from d2lrnn.weights.canonical import KINDS, RUNS, able
from d2lrnn.weights.exchange import FORMATS

_DEFAULTS = Settings()
_TABLE_WIDTH = 120  # of the comparison's table where the output is no terminal and has no width
_GRACE = 10.0  # seconds after a signal in which a second one says the same
_NARROWEST_TABLE = 105  # a terminal that is narrower gets a block for each backend


def _did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the name that was perhaps meant, as the end of an error, or nothing."""
    found = difflib.get_close_matches(given, list(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the words of a command beside the usage of this command, and what was perhaps meant."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse here what is not known: argparse would leave that to the parser of all commands."""
        self._given = list(sys.argv[1:] if args is None else args)
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions if action.help != argparse.SUPPRESS
                       for option in action.option_strings]  # fmt: skip
            meant = "".join(
                _did_you_mean(word.partition("=")[0], options) for word in unknown[:1] if word.startswith("--")
            )
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant or self._hyphen_advice(unknown[0])}")
        return namespace, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            raise argparse.ArgumentError(
                action, error.message + _did_you_mean(str(value), action.choices or ())
            ) from None

    def _hyphen_advice(self, word: str) -> str:
        """Return how to give a value that begins with a hyphen, if that is what a word may be."""
        before = self._given[: self._given.index(word)] if word in self._given else ()
        option = next((name for name in reversed(before) if name.startswith("--")), None)
        if option is None or not word.startswith("-") or word.startswith("--"):
            return ""
        return f" (a value that begins with a hyphen is written with =, as in {option.partition('=')[0]}={word})"

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and leave with exit code 2."""
        if found := re.match(r"argument (?:-\w, )?(--[\w-]+)(?:/\S+)?: expected .*argument", message):
            after = [word for name, word in zip(self._given, self._given[1:], strict=False) if name == found[1]]
            message += "".join(self._hyphen_advice(word) for word in after[:1])
        super().error(f"{one_line(message, LONGEST)} (see '{self.prog} --help')")

    def print_usage(self, file: Any = None) -> None:
        """Print how the command is called: words of ours, which newer Pythons colour in a terminal."""
        super().print_usage(behind(file or sys.stdout))

    def print_help(self, file: Any = None) -> None:
        """Print the help, likewise."""
        super().print_help(behind(file or sys.stdout))


def _whole(least: int, *also: int) -> Any:
    """Return an argument type: a whole number of at least ``least``, or one of some others."""
    expected = f"a whole number of at least {least}" + "".join(f", or {number}" for number in also)

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least and number not in also:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return number

    return parse


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return number


def _temperature(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number


def _fraction(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, got {text!r}")
    return number


def _name(text: str) -> str:
    """Return the name of a file or a folder: an empty one, as of a variable that is not set, would be this folder's."""
    if not text:
        raise argparse.ArgumentTypeError("expected the name of a file or a folder, got ''")
    return text


def _backend_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        if not names:
            raise InputError("no backend is named")
        return list(dict.fromkeys(backends.check_name(name) for name in names))
    except InputError as error:
        unknown = [name for name in names if name not in backends.BACKENDS]
        meant = _did_you_mean(unknown[0], backends.BACKENDS) if unknown else ""
        raise argparse.ArgumentTypeError(f"{error}{meant}") from None


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", choices=KINDS, default=_DEFAULTS.model, help="the model (default: %(default)s, which runs rnn_fast)")
    add(
        "--num-hiddens",
        type=_whole(1),
        default=_DEFAULTS.num_hiddens,
        metavar="N",
        help="hidden units (%(default)s)",
    )
    add("--num-layers", type=_whole(1), default=_DEFAULTS.num_layers, metavar="N", help="layers (%(default)s)")
    add(
        "--batch-size",
        type=_whole(1),
        default=_DEFAULTS.batch_size,
        metavar="N",
        help="sequences a minibatch (%(default)s)",
    )
    add(
        "--num-steps",
        type=_whole(1),
        default=_DEFAULTS.num_steps,
        metavar="N",
        help="tokens a sequence (%(default)s)",
    )
    add(
        "--epochs",
        type=_whole(1),
        default=_DEFAULTS.epochs,
        metavar="N",
        help="passes over the text (%(default)s)",
    )
    add("--lr", type=_positive, default=_DEFAULTS.lr, metavar="RATE", help="learning rate (%(default)g)")
    add(
        "--theta",
        type=_positive,
        default=_DEFAULTS.theta,
        metavar="T",
        help="clip gradients at this norm (%(default)g)",
    )
    add(
        "--sampling",
        choices=SAMPLINGS,
        default=_DEFAULTS.sampling,
        help="how minibatches are read (%(default)s)",
    )
    add("--corpus", type=_name, default=_DEFAULTS.corpus, metavar="NAME|FILE",
        help=f"{', '.join(CORPORA)}, or a text file (%(default)s)")  # fmt: skip
    _add_encoding(parser)
    add("--max-tokens", type=_whole(1, -1), default=_DEFAULTS.max_tokens, metavar="N",
        help=f"tokens used from the text's beginning, -1 for all ({BOOK_MAX_TOKENS}; of a file, all)")  # fmt: skip
    add("--valid-fraction", type=_fraction, default=_DEFAULTS.valid_fraction, metavar="F",
        help="part of them held out from the end (%(default)g)")  # fmt: skip
    add("--clean", choices=CLEANINGS, help="keep the letters of every script, the book's a to z, or everything "
        "(default: book for the time machine, else letters)")  # fmt: skip
    add("--keep-punctuation", action="store_true", help="keep punctuation, digits and symbols")
    add("--keep-case", action="store_true", help="keep capital letters")
    add(
        "--seed",
        type=_whole(0),
        metavar="S",
        help="of the first weights and of the minibatches (default: drawn)",
    )
    add(
        "--device",
        default=_DEFAULTS.device,
        metavar="D",
        help="cpu, gpu, gpu:1 (or cuda, cuda:1), mps (torch) or auto (%(default)s)",
    )
    add("--threads", type=_whole(1), metavar="N",
        help="threads of the CPU (default: OMP_NUM_THREADS, or what a moment's measurement finds fastest)")  # fmt: skip
    add("--prefix", dest="prefixes", nargs="+", action="extend", default=[], metavar="TEXT",
        help="text to continue at the end (default: the corpus's own)")  # fmt: skip
    _add_json(parser)


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--encoding", metavar="NAME",
                        help="of the text file (default: what its byte order mark says, or utf-8)")  # fmt: skip


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def _add_checkpoints(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint-every", type=_whole(1), default=training.CHECKPOINT_EVERY, metavar="N",
                        help="epochs from one checkpoint to the next (%(default)s)")  # fmt: skip


def _add_run(parser: argparse.ArgumentParser, help: str = "the run folder") -> None:
    parser.add_argument("run_folder", type=_name, metavar="DIR", help=help)


_SHELLS = ("bash", "zsh", "tcsh")


class _PrintCompletion(argparse.Action):
    """Prints the completion script of a shell, and ends the program."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        import shtab  # here, because no other command needs it

        print(shtab.complete(parser, values))
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="d2lrnn",
        description="Recurrent neural networks of Dive into Deep Learning in PyTorch, MXNet, TensorFlow and NumPy.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"d2lrnn {__version__}")
    parser.add_argument("--print-completion", action=_PrintCompletion, metavar="SHELL", choices=_SHELLS,
                        help=f"print a script of completions for a shell: {', '.join(_SHELLS)}")  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("backends", help="which frameworks are installed, and on what they can run")
    command.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    command.set_defaults(run=_backends)

    command = commands.add_parser("train", help="train a character language model in one framework")
    command.add_argument("--backend", choices=list(backends.BACKENDS),
                         help=f"the framework (default: the first of {', '.join(backends.PREFERRED)} that works "
                         "here)")  # fmt: skip
    _add_settings(command)
    command.add_argument("--patience", type=_whole(1), metavar="N",
                         help="stop when the held-out perplexity has not improved for N epochs")  # fmt: skip
    command.add_argument(
        "--out", type=_name, metavar="DIR", help="the run folder (default: runs/<time>-<backend>-<model>)"
    )
    _add_checkpoints(command)
    command.set_defaults(run=_train)

    command = commands.add_parser("resume", help="go on with a run from its last checkpoint")
    _add_run(command)
    command.add_argument("--epochs", type=_whole(1), metavar="MORE",
                         help="train so many epochs more (default: those that are left)")  # fmt: skip
    command.add_argument("--lr", type=_positive, metavar="RATE",
                         help="go on with another learning rate, as a run that diverged needs")  # fmt: skip
    command.add_argument("--corpus", type=_name, metavar="FILE", help="where the run's text is now, if it has moved")
    command.add_argument("--encoding", metavar="NAME", help="of its file now (default: the run's)")
    _add_checkpoints(command)
    _add_json(command)
    command.set_defaults(run=_resume)

    command = commands.add_parser("predict", help="continue a text with the model of a run, in any framework")
    _add_run(command)
    command.add_argument("--prefix", dest="prefixes", nargs="+", action="extend", default=[], metavar="TEXT",
                         help="text to continue (default: the run's own)")  # fmt: skip
    command.add_argument("--num-preds", type=_whole(0), default=BOOK_NUM_PREDS, metavar="N",
                         help="characters to add (%(default)s)")  # fmt: skip
    command.add_argument("--temperature", type=_temperature, metavar="T",
                         help="draw characters; below 1 more likely ones, 0 the likeliest")  # fmt: skip
    command.add_argument("--top-k", type=_whole(1), metavar="K", help="draw among the K likeliest characters")
    command.add_argument("--seed", type=_whole(0), metavar="S", help="of the draws")
    command.add_argument("--backend", choices=list(backends.BACKENDS),
                         help="the framework (default: the one that trained the run)")  # fmt: skip
    command.add_argument("--device", default="auto", metavar="D",
                         help="cpu, gpu, gpu:1 (or cuda, cuda:1), mps (torch) or auto (%(default)s)")  # fmt: skip
    command.add_argument("--unknown", choices=UNKNOWN_POLICIES, default="unk",
                         help="what to do with characters that the run's text lacks (%(default)s)")  # fmt: skip
    command.add_argument("--best", action="store_true", help="the weights that were best on held-out text")
    _add_json(command)
    command.set_defaults(run=_predict)

    command = commands.add_parser("convert", help="turn a run, or a framework's own file of weights, into another")
    command.add_argument(
        "source", type=_name, metavar="DIR|FILE", help=f"a run folder, or a file ({', '.join(FORMATS)})"
    )
    command.add_argument("--out", type=_name, required=True, metavar="DIR2|FILE2",
                         help="a new run folder, or a file with one of these endings")  # fmt: skip
    command.add_argument("--backend", choices=list(backends.BACKENDS), help="the framework of the new run")
    command.add_argument("--model", choices=KINDS, help="the model, where a file does not tell it")
    command.add_argument("--vocab", type=_name, metavar="DIR|FILE",
                         help="a run folder or vocab.json: the vocabulary, for a run made of a file")  # fmt: skip
    command.add_argument("--force", action="store_true", help="replace FILE2 if it is there already")
    command.add_argument("--best", action="store_true", help="the weights that were best on held-out text")
    _add_json(command)
    command.set_defaults(run=_convert)

    command = commands.add_parser("show", help="a table and the curves of several runs")
    command.add_argument(
        "run_folders", type=_name, nargs="+", metavar="DIR", help="run folders, or folders with runs in them"
    )
    command.add_argument("--png", type=_name, default="runs.png", metavar="FILE",
                         help="where the curves are drawn (%(default)s)")  # fmt: skip
    _add_json(command)
    command.set_defaults(run=_show)

    command = commands.add_parser("compare", help="train the same model in several frameworks, side by side")
    command.add_argument("--backends", type=_backend_names, metavar="B,B,...",
                         help=f"the frameworks (default: all of {','.join(backends.BACKENDS)})")  # fmt: skip
    command.add_argument(
        "--png", type=_name, default="compare.png", metavar="FILE", help="where the curves are drawn (%(default)s)"
    )
    command.add_argument(
        "--html", type=_name, default="report.html", metavar="FILE", help="where the report is written (%(default)s)"
    )
    command.add_argument(
        "--document", type=_name, metavar="FILE", help="where the document of --json is written too (default: nowhere)"
    )
    _add_settings(command)
    command.set_defaults(run=_compare)
    return parser


def _settings(args: argparse.Namespace) -> Settings:
    values = {field.name: getattr(args, field.name) for field in fields(Settings) if hasattr(args, field.name)}
    return Settings(**{**values, "prefixes": tuple(args.prefixes)})


def _print_json(document: dict[str, Any]) -> None:
    # Where the output is not UTF-8, what it lacks is spelled with JSON's own escapes
    print(_json(document, (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8"))


def _json(document: dict[str, Any], plain: bool = False) -> str:
    """Return a document in JSON, harmless to a terminal; ``plain``: in ASCII."""

    def finite(value: Any) -> Any:
        """JSON has no word for infinite; null is what its readers expect."""
        if isinstance(value, dict):
            return {key: finite(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [finite(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return in_json(json.dumps(finite(document), ensure_ascii=plain, indent=2, allow_nan=False))


def _backends(args: argparse.Namespace) -> int:
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(compare.devices, backends.BACKENDS))
    if args.json:
        _print_json({"backends": rows})
        return 0
    table = _table("backend", "version", "devices")
    for row in rows:
        devices = ", ".join(row["devices"]) if row["problem"] is None else row["problem"]
        table.add_row(row["backend"], row["version"] or "-", escape(devices))
    make_console().print(table)
    for row in rows:
        if row["unused_gpu"] is not None:
            print(f"{row['backend']}: {row['unused_gpu']}")
    return 0


def _train(args: argparse.Namespace) -> int:
    settings = _settings(args)
    names = [args.backend] if args.backend is not None else backends.candidates(able(settings.model))
    for backend in names:
        if args.backend is None:
            among = ", ".join(name for name in backends.PREFERRED if name in able(settings.model))
            chosen = backends.BACKENDS[backend].title
            last_door.tell(f"d2lrnn: training in {chosen}, the first that works here of {among}")
        try:
            result = _trained(args, backend, settings)
        except BackendNotInstalledError as error:
            if backend == names[-1]:
                raise
            # Only its import could show it
            last_door.tell(f"d2lrnn: {error}")
        else:
            _print_run(result, args.json)
            break
    return 0


def _trained(args: argparse.Namespace, backend: str, settings: Settings) -> dict[str, Any]:
    out = args.out if args.out is not None else training.default_folder(backend, settings)
    with _terminated_like_interrupted():
        return training.train(
            backend,
            settings,
            out=out,
            numbered=args.out is None,
            checkpoint_every=args.checkpoint_every,
            quiet=args.json,
            callback=None if args.json else TextCurve(max(1, settings.epochs // 10)),
        )


def _resume(args: argparse.Namespace) -> int:
    with _terminated_like_interrupted():
        result = training.resume(
            args.run_folder,
            args.epochs,
            lr=args.lr,
            corpus=args.corpus,
            encoding=args.encoding,
            checkpoint_every=args.checkpoint_every,
            quiet=args.json,
            callback=None if args.json else TextCurve(10),
        )
    _print_run(result, args.json)
    return 0


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
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


def _print_run(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(result)
        return
    done, total = len(result["history"]["epoch"]), result["settings"]["epochs"]
    best = f", best held-out perplexity at epoch {result['best_epoch']}" if result["best_epoch"] else ""
    part = f" on {part}" if (part := part_of_text(result["corpus"])) else ""
    threads = f", threads: {result['settings']['threads']}"
    ran = f", {result['settings']['model']} ran {result['runs']}"
    print(f"{result['status']}: {done} of {total} epochs{part}{best}{threads}{ran}; kept in {one_line(result['out'])}")


def _predict(args: argparse.Namespace) -> int:
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
        _print_json({"predictions": by_prefix, "texts": texts})
    else:
        print("\n".join(row["text"] for row in texts))
    return 0


def _convert(args: argparse.Namespace) -> int:
    made = convert(
        args.source, args.out, backend=args.backend, kind=args.model, vocab=args.vocab, best=args.best, force=args.force
    )
    if args.json:
        _print_json(made)
        return 0
    sizes = f"{made['num_layers']} x {made['num_hiddens']} units, {made['vocab_size']} tokens"
    print(f"{made['kind']}, {sizes}: {one_line(made['out'])}")
    return 0


def _show(args: argparse.Namespace) -> int:
    compare.check_picture(args.png)
    rows = show.show(args.run_folders)
    _each(lambda: _print_runs(rows, args), lambda: show.draw(rows, args.png))
    if not args.json:
        named, part = len(show.by_name(rows)), ""
        if named < len(rows):
            part = f" ({named} of {len(rows)} runs by name, those with the lowest perplexities; the others in grey)"
        make_console().print(f"curves: {one_line(args.png)}{part}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _print_runs(rows: Sequence[dict[str, Any]], args: argparse.Namespace) -> None:
    if args.json:
        _print_json({"runs": rows, "png": args.png})
        return
    table = _table("run", "backend", "model", "corpus", "epochs", "status", "perplexity", "held out", "tokens/s")
    for row in rows:
        settings = row["settings"]
        model = f"{settings['model']} {'x'.join(str(settings[key]) for key in ('num_layers', 'num_hiddens'))}"
        corpus = "\n".join(filter(None, [one_line(row["corpus"] or "-"), part_of_text(row)]))
        best = (
            f" (best {format_perplexity(row['best_valid_perplexity'])} at {row['best_epoch']})"
            if row["best_epoch"]
            else ""
        )
        cells = [
            one_line(row["out"]), row["backend"], model, corpus, f"{row['epoch']} of {row['epochs']}",
            row["status"], format_perplexity(row["perplexity"]), format_perplexity(row["valid_perplexity"]) + best,
            format_count(row["tokens_per_second"]),
        ]  # fmt: skip
        table.add_row(*map(escape, cells))
    console = make_console()
    if not console.is_terminal:
        console = make_console(width=max(console.width, _TABLE_WIDTH))
    if console.width >= _NARROWEST_TABLE:
        console.print(table)
    else:  # a block for each run
        for values in zip(*(column.cells for column in table.columns), strict=True):
            lines = zip((str(column.header) for column in table.columns), values, strict=True)
            console.print("\n".join(f"{heading}: {cell}" for heading, cell in lines) + "\n", highlight=False)
    for row in rows:
        if row["error"] is not None:
            problem = f"{one_line(row['out'])}: {one_line(row['error'])}"
            console.print(problem, highlight=False, markup=False, soft_wrap=True)


def _tell_of(error: Exception) -> int:
    """Tell of an error in one line, and return the exit code."""
    if isinstance(error, D2LRNNError):
        said = str(error)
    elif isinstance(error, MemoryError):
        there = memory.available()
        said = f"there is no memory left{'' if there is None else f' of {format_bytes(there)}'}: {memory.SMALLER}"
    elif isinstance(error, OSError):
        said = _explain(error)
    else:
        return last_door.unexpected(error)
    last_door.tell(f"d2lrnn: error: {said}")
    return 2


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
        _tell_of(other)
    if errors:
        raise errors[0]


def _table(*headings: str) -> Table:
    """Return a table that breaks a long word instead of cutting it, so that two names stay two."""
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _compare(args: argparse.Namespace) -> int:
    settings = _settings(args)
    names = args.backends or list(backends.BACKENDS)
    compare.check_picture(args.png)
    report.check(args.html)
    if args.document is not None:
        compare.check_output(args.document, "the document", None, "--document")
    given = {option: Path(file).resolve() for option in ("png", "html", "document") if (file := getattr(args, option))}
    if len(set(given.values())) < len(given):
        raise InputError(f"--{', --'.join(given)} must name different files, and two of them name the same one")
    with _terminated_like_interrupted(), _follow(settings.epochs) as on_event:
        document = compare.compare(names, settings, on_event)
    done = [row for row in document["backends"] if row["problem"] is None]
    draw = [lambda: compare.draw(document, args.png)] if done else []
    files = {"report": args.html, **({"curves": args.png} if done else {})}
    document |= {"html": args.html, **({"png": args.png} if done else {})}
    tell = _print_json if args.json else _print_comparison
    keep = [lambda: write_atomically(Path(args.document), f"{_json(document)}\n".encode())] if args.document else []
    _each(lambda: tell(document), *keep, *draw, lambda: report.write(document, args.html))
    if not args.json:
        lines = "\n".join(f"{name}: {one_line(file)}" for name, file in files.items())
        make_console().print(lines, highlight=False, markup=False, soft_wrap=True)
    if document["interrupted"]:
        raise KeyboardInterrupt
    absent = [name for name in names if backends.problem(name) is not None]
    if not done:
        last_door.tell("d2lrnn: error: no backend could run; see the reasons above")
        return 2
    # One that is not installed, or for which the system lacks something, fails the run only if it was asked for by name
    failed = len(names) - len(done) - (0 if args.backends else len(absent))
    return 1 if failed else 0


@contextlib.contextmanager
def _follow(epochs: int) -> Iterator[compare.Progress]:
    """Show, on the error stream, how far the comparison has come: a bar in a terminal, else nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = make_console(stderr=True)
    with Progress(
        TextColumn("{task.fields[name]:>10}"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"),
        TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        close_behind_a_bar()
        tasks: dict[str, Any] = {}

        def on_event(name: str, event: dict[str, Any]) -> None:
            if event["event"] == "start":
                total = None if name == "reference" else epochs
                tasks[name] = progress.add_task("starting", total=total, name=name)
            elif event["event"] == "epoch":
                description = format_progress(event["perplexity"], event["tokens_per_second"])
                progress.update(tasks[name], completed=event["epoch"], description=description)
            if name != "reference" and "reference" in tasks:
                progress.remove_task(tasks.pop("reference"))

        yield on_event


def _print_comparison(document: dict[str, Any]) -> None:
    console = make_console()
    if not console.is_terminal:
        console = make_console(width=max(console.width, _TABLE_WIDTH))
    settings, steps = document["settings"], len(document["reference_losses"])
    few = min(compare.FIRST_STEPS, steps)
    held_out = settings["valid_fraction"] > 0
    headings = [
        "backend\nversion\ndevice",
        "para-\nmeters",
        "perplexity",
        *(["held out"] if held_out else []),
        "tokens/s",
    ]
    headings += ["peak\nmemory", "start-up", f"loss differs\nfrom NumPy by\n(in {few} / {steps} steps)", "continues"]
    rows = []
    for row in document["backends"]:
        name = f"{row['backend']}\n{row['version'] or '-'}"
        if row["problem"] is not None:
            rows.append([name, *["-"] * (len(headings) - 2), one_line(row["problem"])])
            continue
        valid = [format_perplexity(row["valid_perplexity"])] if held_out else []
        rows.append([
            f"{name}\n{row['device']}", format_count(row["parameters"]), format_perplexity(row["perplexity"]), *valid,
            format_count(row["tokens_per_second"]), format_mebibytes(row["peak_memory"]),
            format_seconds(row["startup_seconds"]),
            f"{row['max_loss_difference_at_first']:.1e}\n{row['max_loss_difference']:.1e}",
            "\n".join(row["predictions"].values()),
        ])  # fmt: skip
    part = next((part_of_text(row.get("corpus", {})) for row in document["backends"] if row["problem"] is None), "")
    corpus = one_line(f"{part} of {settings['corpus']}" if part else settings["corpus"])
    title = f"{settings['model']}, {settings['num_hiddens']} units, {settings['epochs']} epochs on {corpus}"
    table = Table(title=escape(f"{title}, seed {settings['seed']}"), show_lines=True)
    if console.width >= _NARROWEST_TABLE:
        for heading in headings:
            words = heading == "continues"
            left = words or "backend" in heading
            table.add_column(heading, justify="left" if left else "right", no_wrap=not words, overflow="fold")
        for cells in rows:
            table.add_row(*map(escape, cells))
    else:  # what is no row there is a block here
        table.show_header = False
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        names = "\n".join(heading.split("\n(")[0].replace("-\n", "").replace("\n", " ") for heading in headings[1:-1])
        for cells in rows:
            values = [cell.replace("\n", " / ") for cell in cells[1:-1]]
            failed = set(values) == {"-"}
            table.add_row(escape(cells[0].replace("\n", " ")), escape(cells[-1]))
            if not failed:
                table.add_row(names, escape("\n".join(values)))
    console.print(table)
    numbers = {row["backend"]: row["settings"]["threads"] for row in document["backends"] if row["problem"] is None}
    if numbers:
        console.print(f"threads: {say(numbers)}", highlight=False, markup=False)
    console.print(
        f"{settings['model']} ran {RUNS[settings['model']]}. "
        "Each backend began from the same weights and read the same minibatches. The loss of the first training steps,"
        " in nats, is compared with NumPy's in float64: training amplifies the rounding of float32 from step to step.",
        style="dim",
    )


def _explain(error: OSError) -> str:
    """Return what the system said, of which file, and what may be done."""
    names = [repr(str(name)) for name in (error.filename, error.filename2) if name is not None]
    where = f"cannot use {' or '.join(names)}: " if names else ""
    advice = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "; is the disk full?"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "; check who owns it and who may write there"
    return f"{where}{error.strerror or error or type(error).__name__}{advice}"


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    last_door.tell(f"d2lrnn: warning: {message}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    That is 0, 1 if a backend of a comparison failed, 2 for bad input, 70 after an error that nobody foresaw, 130 after
    Ctrl-C, and 141 where the reader of its output has gone.
    """
    return last_door.guard(lambda: _main(argv))


@doors()
def _main(argv: Sequence[str] | None) -> int:
    for stream in map(behind, (sys.stdout, sys.stderr)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an output of another encoding lacks many a character
    pictures.heed_no_file_here()
    given = list(sys.argv[1:] if argv is None else argv)
    said: set[str] = set()

    def show_warning(message: Warning | str, *where: Any, **others: Any) -> None:
        """Say a thing once in a command, however often it is come upon."""
        if str(message) not in said:
            said.add(str(message))
            _show_warning(message, *where, **others)

    with warnings.catch_warnings(), remembering_failures():
        warnings.showwarning = show_warning
        warnings.simplefilter("always", D2LRNNWarning)
        try:
            try:
                args = _parser().parse_args(given)
            except SystemExit:  # it has helped
                sys.stdout.flush()
                raise
            for argument in given:
                check_text(argument)
            code = int(args.run(args))
            sys.stdout.flush()
            return code
        except KeyboardInterrupt as error:
            last_door.tell(f"d2lrnn: {error if isinstance(error, TrainingInterrupted) else 'interrupted'}")
            return last_door.INTERRUPTED
        except BrokenPipeError:  # whoever read our output has gone, as in 'd2lrnn backends | head -1'
            raise
        except (D2LRNNError, MemoryError, OSError) as error:
            return _tell_of(error)


if __name__ == "__main__":
    sys.exit(main())
