"""The words of the command line: its commands, their options, and what is said of a wrong one.

The options of the settings come from their one list (:data:`d2lrnn.runs.settings.SETTINGS`), and so do their help,
their bounds and the words of the errors.
"""

from __future__ import annotations

import argparse
import difflib
import math
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from d2lrnn import __version__
from d2lrnn.core import backends
from d2lrnn.core.generation import UNKNOWN_POLICIES
from d2lrnn.core.history import BOOK_NUM_PREDS
from d2lrnn.errors import LONGEST, InputError
from d2lrnn.runs.settings import SETTINGS, Settings
from d2lrnn.runs.training import CHECKPOINT_EVERY
from d2lrnn.system.arguments import whole_number
from d2lrnn.system.terminal import behind, one_line
from d2lrnn.system.wording import NOTHING, Words
from d2lrnn.weights.canonical import KINDS
from d2lrnn.weights.exchange import FORMATS

__all__ = ["Options", "backend_names", "make_parser", "settings_of"]


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
        if message.endswith("required: DIR") and "--prefix" in self._given:
            message += f" (it comes before --prefix, which takes all words behind it: {self.prog} DIR --prefix TEXT)"
        super().error(f"{one_line(message, LONGEST)} (see '{self.prog} --help')")

    def print_usage(self, file: Any = None) -> None:
        """Print how the command is called: words of ours, which newer Pythons colour in a terminal."""
        super().print_usage(behind(file or sys.stdout))

    def print_help(self, file: Any = None) -> None:
        """Print the help, likewise."""
        super().print_help(behind(file or sys.stdout))


def _number(kind: Callable[[str], float], words: str, check: Callable[[Any], object]) -> Any:
    """Return an argument's type: a number that a check accepts; ``words`` say which that are."""

    def parse(text: str) -> float:
        try:
            number = kind(text)
            if check(number) is False:
                raise ValueError
        except ValueError:  # as InputError is, too
            raise argparse.ArgumentTypeError(f"expected {words}, got {text!r}") from None
        return number

    return parse


def _whole(least: int) -> Any:
    """Return an argument's type: a whole number of at least ``least``."""
    return _number(int, whole_number(least), lambda number: number >= least)


def _of_setting(name: str) -> dict[str, Any]:
    """Return what argparse is told of an option that is a setting, or has the bounds of one."""
    setting = SETTINGS[name]
    if setting.type is bool:
        return {"action": "store_true"}
    if setting.choices:
        return {"choices": setting.choices}
    if setting.type in (int, float):
        return {"type": _number(setting.type, setting.bounds, setting.check_bounds), "metavar": setting.metavar}
    several = {"nargs": "+", "action": "extend", "dest": name} if setting.type is not str else {}
    return {"metavar": setting.metavar, **({"type": _name} if name == "corpus" else {}), **several}


def _add_settings(parser: argparse.ArgumentParser, compared: bool = False) -> None:
    for setting in SETTINGS.values():
        if setting.compared or not compared:
            default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
            parser.add_argument(setting.option, default=default, help=setting.description, **_of_setting(setting.name))


def _name(text: str) -> str:
    """Return the name of a file or a folder: an empty one, as of a variable that is not set, would be this folder's."""
    if not text:
        raise argparse.ArgumentTypeError("expected the name of a file or a folder, got ''")
    return text


def backend_names(text: str) -> list[str]:
    """Return the names of backends that an option gives, with commas between them."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        if not names:
            raise InputError("no backend is named")
        return list(dict.fromkeys(backends.check_name(name) for name in names))
    except InputError as error:
        unknown = [name for name in names if name not in backends.BACKENDS]
        meant = _did_you_mean(unknown[0], backends.BACKENDS) if unknown else ""
        raise argparse.ArgumentTypeError(f"{error}{meant}") from None


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def _add_checkpoints(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint-every", type=_whole(1), default=CHECKPOINT_EVERY, metavar="N",
                        help="epochs from one checkpoint to the next (%(default)s)")  # fmt: skip


def _add_run(parser: argparse.ArgumentParser, help: str = "the run folder") -> None:
    parser.add_argument("run_folder", type=_name, metavar="DIR", help=help)


_SHELLS = ("bash", "zsh", "tcsh")


def _is_temperature(number: float) -> bool:
    return math.isfinite(number) and number >= 0


class _PrintCompletion(argparse.Action):
    """Prints the completion script of a shell, and ends the program."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        import shtab  # here, because no other command needs it

        print(shtab.complete(parser, values))
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line. What is parsed names its ``command``."""
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

    command = commands.add_parser("train", help="train a character language model in one framework")
    command.add_argument("--backend", choices=list(backends.BACKENDS),
                         help=f"the framework (default: the first of {', '.join(backends.PREFERRED)} that works "
                         "here)")  # fmt: skip
    _add_settings(command)
    _add_json(command)
    command.add_argument(
        "--out", type=_name, metavar="DIR", help="the run folder (default: runs/<time>-<backend>-<model>)"
    )
    _add_checkpoints(command)

    command = commands.add_parser("resume", help="go on with a run from its last checkpoint")
    _add_run(command)
    command.add_argument("--epochs", **{**_of_setting("epochs"), "metavar": "MORE"},
                         help="train so many epochs more (default: those that are left)")  # fmt: skip
    command.add_argument("--lr", **_of_setting("lr"),
                         help="go on with another learning rate, as a run that diverged needs")  # fmt: skip
    command.add_argument("--corpus", type=_name, metavar="FILE", help="where the run's text is now, if it has moved")
    command.add_argument("--encoding", **_of_setting("encoding"), help="of its file now (default: the run's)")
    _add_checkpoints(command)
    _add_json(command)

    command = commands.add_parser("predict", help="continue a text with the model of a run, in any framework")
    _add_run(command)
    command.add_argument("--prefix", default=[], **_of_setting("prefixes"),
                         help="text to continue (default: the run's own)")  # fmt: skip
    command.add_argument("--num-preds", type=_whole(0), default=BOOK_NUM_PREDS, metavar="N",
                         help="characters to add (%(default)s)")  # fmt: skip
    command.add_argument("--temperature", metavar="T", type=_number(float, "a number of at least 0", _is_temperature),
                         help="draw characters; below 1 more likely ones, 0 the likeliest")  # fmt: skip
    command.add_argument("--top-k", type=_whole(1), metavar="K", help="draw among the K likeliest characters")
    command.add_argument("--seed", **_of_setting("seed"), help="of the draws")
    command.add_argument("--backend", choices=list(backends.BACKENDS),
                         help="the framework (default: the one that trained the run)")  # fmt: skip
    command.add_argument("--device", default="auto", metavar="D", help=SETTINGS["device"].description)
    command.add_argument("--unknown", choices=UNKNOWN_POLICIES, default="unk",
                         help="what to do with characters that the run's text lacks (%(default)s)")  # fmt: skip
    command.add_argument("--best", action="store_true", help="the weights that were best on held-out text")
    _add_json(command)

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

    command = commands.add_parser("show", help="a table and the curves of several runs")
    command.add_argument(
        "run_folders", type=_name, nargs="+", metavar="DIR", help="run folders, or folders with runs in them"
    )
    command.add_argument("--png", type=_name, default="runs.png", metavar="FILE",
                         help="where the curves are drawn (%(default)s)")  # fmt: skip
    _add_json(command)

    command = commands.add_parser("compare", help="train the same model in several frameworks, side by side")
    command.add_argument("--backends", type=backend_names, metavar="B,B,...",
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
    _add_settings(command, compared=True)
    _add_json(command)
    return parser


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings that the options of a command say."""
    values = {name: getattr(args, name) for name in SETTINGS if hasattr(args, name)}
    return Settings(**{**values, "prefixes": tuple(args.prefixes)})


_NAMES = {"kind": "--model", "target": "--out"}  # of parameters whose options have other names


class Options(Words):
    """The words of a command line: options in the place of parameters, and commands in that of functions."""

    def also(self, names: tuple[str, ...], value: Any, form: str) -> str:
        """Return the options of parameters in a form."""
        return form.format(", ".join(self.by(name, value) for name in names))

    def by(self, name: str, value: Any) -> str:
        """Return the option of a parameter, with its value."""
        setting = SETTINGS.get(name)
        option = setting.option if setting else _NAMES.get(name, f"--{name.replace('_', '-')}")
        if value is NOTHING or value is True:
            return option
        if value is ...:
            return f"{option} {setting.metavar if setting else 'VALUE'}"
        return f"{option} {value:g}" if isinstance(value, float) else f"{option} {shlex.quote(str(value))}"

    def call(self, function: str, arguments: tuple[Any, ...], parameters: dict[str, Any]) -> str:
        """Return the command of a function, in quotes."""
        words = ["d2lrnn", function, *(shlex.quote(str(argument)) for argument in arguments)]
        return f"'{' '.join([*words, *(self.by(*pair) for pair in parameters.items())])}'"
