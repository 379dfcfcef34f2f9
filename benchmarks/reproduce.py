"""Trains what the book prints perplexities of, in every backend and over several seeds: ``make reproduce``.

Each training has a process of its own, and leaves what it reached under one folder: the configurations of edition 0.17
as run folders (:mod:`d2lrnn.runs.run_folder`), those of the two first editions, whose functions keep nothing, as a
small JSON file each. What is there is not trained again, so that an interrupted :func:`reproduce` goes on where it
stopped, and the table is made from nothing but these files.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import reproduce_table
from common import HERE, RESULTS, around, describe_machine, parser, place, put_between
from reproduce_table import table

from d2lrnn.cli import exit
from d2lrnn.cli.commands import terminated_like_interrupted
from d2lrnn.cli.display import json_of
from d2lrnn.cli.main import framed
from d2lrnn.comparison import process
from d2lrnn.core import backends
from d2lrnn.core.threads import by_itself
from d2lrnn.data import CORPORA, DATA_HUB, Text, read_text
from d2lrnn.data.corpora import BOOK_MAX_TOKENS
from d2lrnn.data.downloads import DATA_ENV
from d2lrnn.errors import D2LRNNWarning, InputError, InputFileError, StorageError, TrainingInterrupted
from d2lrnn.runs import outputs
from d2lrnn.runs.environment import describe_here, now
from d2lrnn.runs.run_config import CONFIG, are_facts
from d2lrnn.runs.run_folder import RunFolder
from d2lrnn.runs.settings import Settings
from d2lrnn.runs.training import corpus_source
from d2lrnn.system.storage import make_folder, write_atomically
from d2lrnn.system.terminal import one_line

OUT = "runs/reproduce"
OWN_RESULTS = Path(HERE.name, RESULTS)  # of the current folder
SEEDS = (0, 1, 2)
MARKS = "<!-- reproduce: begin -->", "<!-- reproduce: end -->"
_FORMAT = 1  # of a first edition's file
FINAL = ("complete", "diverged")  # a run of which nothing more is to come
OnEvent = Callable[[str, dict[str, Any]], None]
Follow = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Configuration:
    """One line of the book that prints a perplexity.

    Attributes:
        title: What the table calls it.
        book: What the book printed, by epoch.
        settings: What to train; the seed is filled in, and the text and its prefixes where a text stands in.
        edition: ``'en'`` or ``'zh'`` for one of the two first editions.
        activation: Of a first edition's layer. Both editions wrote ``rnn.RNN(num_hiddens)``, and Gluon's own choice
            is the ReLU.
        quick: The epochs of a quick run.
        remark: What must be known to compare the figures.
    """

    title: str
    book: Mapping[int, str]
    settings: Settings
    edition: str = ""
    activation: str = "relu"
    quick: int = 20
    remark: str = ""


_BOOK = Settings(max_tokens=BOOK_MAX_TOKENS)
_FIRST = replace(_BOOK, model="rnn", num_hiddens=256)
CONFIGURATIONS: dict[str, Configuration] = {
    "scratch": Configuration("scratch, 512 units, sequential sampling (8.5)", {500: "1.0"}, _BOOK),
    "scratch-random": Configuration(
        "scratch, 512 units, random sampling (8.5)",
        {500: "about 1.3 to 1.5"},
        replace(_BOOK, sampling="random"),
        remark="The book's run with random sampling reads the minibatches of sequential sampling, and only begins each "
        "without a state; what it prints differs from tab to tab and from build to build. Random sampling here is "
        "random.",
    ),
    "concise": Configuration(
        "concise RNN, 256 units (8.6)", {500: "about 1.3"}, replace(_BOOK, model="rnn", num_hiddens=256)
    ),
    "lstm": Configuration(
        "two-layer LSTM, 256 units, learning rate 2 (9.3)",
        {500: "1.0"},
        replace(_BOOK, model="lstm", num_hiddens=256, num_layers=2, lr=2.0),
    ),
    "first-edition-en": Configuration(
        "English first edition, 256 units",
        {50: "8.9", 100: "4.7", 150: "2.5", 200: "1.7", 500: "1.18"},
        replace(_FIRST, prefixes=("traveller", "time traveller")),
        edition="en",
        quick=50,
    ),
    "first-edition-zh": Configuration(
        "Chinese first edition, 256 units, learning rate 100, clipped at 0.01",
        {50: "79.5", 100: "14.4", 150: "4.4", 200: "2.3"},
        replace(_FIRST, corpus="lyrics", epochs=200, lr=100.0, theta=0.01, prefixes=("分开", "不分开")),
        edition="zh",
        quick=50,
    ),
}


@dataclass(frozen=True)
class _Run:
    """One training: a configuration in a backend from a seed, and where it is kept."""

    name: str
    configuration: Configuration
    backend: str
    settings: Settings
    text: Text
    path: Path

    def wanted(self) -> dict[str, Any]:
        """Return the settings in the form in which they are kept."""
        if not self.configuration.edition:
            return {name: value for name, value in self.settings.to_dict().items() if name != "threads"}
        values = self.settings.to_dict()
        return {
            "edition": self.configuration.edition,
            "activation": self.configuration.activation,
            **{key: values[key] for key in _EDITION_SETTINGS},
            "corpus": {"name": self.text.name, "sha256": self.text.sha256},
        }


_EDITION_SETTINGS = ("num_hiddens", "num_steps", "batch_size", "epochs", "lr", "theta", "seed", "prefixes")


@dataclass
class _Plan:
    """What is to be trained, and from which texts."""

    quick: bool
    seeds: tuple[int, ...]
    names: tuple[str, ...]
    out: Path
    text: Text
    lyrics: Text
    runs: list[_Run] = field(default_factory=list)

    def of(self, configuration: Configuration) -> Iterator[_Run]:
        return (run for run in self.runs if run.configuration is configuration)

    def missing(self, configuration: Configuration) -> str | None:
        """Say why a configuration cannot be trained here in any backend."""
        if configuration.edition == "zh" and self.lyrics.name != "lyrics":
            packed = DATA_HUB["jaychou_lyrics"][0].rsplit("/", 1)[-1]
            return f"the lyrics are not here: put {packed} into a folder and name that folder in {DATA_ENV}"
        return None


def _plan(names: Sequence[str], quick: bool, seeds: Sequence[int], out: str | Path) -> _Plan:
    for name in names:
        backends.check_name(name)
    if not names or not seeds:
        raise InputError("nothing is to be trained: name at least one backend and one seed")
    text = read_text("time-machine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", D2LRNNWarning)  # the table says it
        lyrics = read_text("lyrics")
    folder = Path(out) / "quick" if quick else Path(out)
    plan = _Plan(quick, tuple(seeds[:1] if quick else seeds), tuple(dict.fromkeys(names)), folder, text, lyrics)
    # All of the first seed, then all of the second: whenever it ends, something of everything is there
    for seed in plan.seeds:
        for key, configuration in CONFIGURATIONS.items():
            if plan.missing(configuration) is not None:
                continue
            settings = replace(configuration.settings, seed=seed)
            if quick:
                settings = replace(settings, epochs=min(configuration.quick, settings.epochs))
            if not configuration.edition:
                settings = replace(settings, corpus=corpus_source(text), prefixes=CORPORA["time-machine"].prefixes)
            settings.check()
            for backend in plan.names:
                name = f"{key}-{backend}-{seed}"
                path = folder / (f"{name}.json" if configuration.edition else name)
                used = lyrics if configuration.edition == "zh" else text
                plan.runs.append(_Run(name, configuration, backend, settings, used, path))
    return plan


# What is kept


def _kept(run: _Run) -> dict[str, Any] | None:
    """Return what is kept of a run, or None if there is nothing yet.

    Raises:
        InputError: If what is there is damaged, or of another run than the one asked for.
    """
    row = _kept_edition(run) if run.configuration.edition else _kept_folder(run)
    if row is None:
        return None
    wanted = {"backend": run.backend, **run.wanted()}
    found = {"backend": row["backend"], **row.pop("settings")}
    for name in [*wanted, *found]:
        if name not in found or name not in wanted or wanted[name] != found[name]:
            raise InputError(
                f"{str(run.path)!r} is kept from other settings ({name} is {found.get(name)!r}, and "
                f"{wanted.get(name)!r} is asked for): name another folder, or move this one away"
            )
    return row


def _kept_folder(run: _Run) -> dict[str, Any] | None:
    if not (run.path / CONFIG).exists():
        return None
    folder = RunFolder.open(run.path)
    config, settings = folder.config, folder.settings.to_dict()
    if (sha256 := config.get("corpus", {}).get("sha256")) != run.text.sha256:
        raise InputError(
            f"the run in {str(run.path)!r} is of another text (its SHA-256 is {str(sha256)[:12]}..., not "
            f"{run.text.sha256[:12]}...): name another folder, or move this one away"
        )
    return {
        "backend": folder.backend,
        "threads": settings.pop("threads"),  # each training settles its own
        "settings": settings,
        "status": folder.status,
        "perplexity": [] if folder.state is None else folder.state.history.perplexity,
        **{key: config.get(key) for key in _PROVENANCE},
    }


_PROVENANCE = ("versions", "machine", "created", "saved")


def _kept_edition(run: _Run) -> dict[str, Any] | None:
    try:
        content = run.path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputFileError(f"cannot read {str(run.path)!r}: {error.strerror or error}; check who owns it") from None
    damaged = InputError(
        f"{str(run.path)!r} is not what this command writes: it is damaged or of a newer version; remove it, and it "
        "is trained anew"
    )
    try:
        row = json.loads(content)
    except ValueError:
        raise damaged from None
    right = (
        isinstance(row, dict)
        and row.get("format") == _FORMAT
        and row.get("status") in FINAL
        and isinstance(row.get("settings"), dict)
        and isinstance(row.get("perplexity"), list)
        and all(isinstance(value, float) for value in row["perplexity"])
        and (row["status"] != "complete" or len(row["perplexity"]) == row["settings"].get("epochs"))
        and all(are_facts(row.get(key)) for key in ("versions", "machine"))
        and all(isinstance(row.get(key), str) for key in ("backend", "created", "saved"))
    )
    if not right:
        raise damaged
    kept = {key: row[key] for key in ("backend", "settings", "status", "perplexity", *_PROVENANCE)}
    return {**kept, "threads": row.get("threads")}


# Training


def reproduce(
    names: Sequence[str],
    *,
    quick: bool = False,
    seeds: Sequence[int] = SEEDS,
    out: str | Path = OUT,
    results: str | Path | None = None,
    on_event: OnEvent = lambda name, event: None,
    on_document: Callable[[dict[str, Any]], None] = lambda document: None,
) -> dict[str, Any]:
    """Train what the book prints perplexities of, and put ours beside them.

    What a former call left in ``out`` is used: complete runs are taken as they are, and others go on.

    Args:
        names: The backends.
        quick: Train each configuration for a few epochs and from the first seed only, which takes minutes and shows
            that all of it works. It is kept apart, in the folder ``quick`` of ``out``.
        seeds: Each configuration is trained from each of them.
        out: Where the trainings are kept, ``<configuration>-<backend>-<seed>`` each.
        results: A Markdown file to put the table into (:func:`write`). By default that is ``benchmarks/RESULTS.md`` of
            the current folder, if it is there and all is trained that belongs into it: every backend, not quickly, and
            on the real text. Otherwise it is ``RESULTS.md`` in the folder of the trainings.
        on_event: Called with the name of a training and an event: ``start`` (with its ``number`` of ``total``, and the
            ``epochs`` it has), ``epoch`` (``epoch`` and ``perplexity``; a first edition reports as often as it
            prints), and ``end`` (with a ``problem``, or None).
        on_document: Called with what is returned before the table is written, which a disk may refuse.

    Returns:
        The document that :func:`collect` returns, with ``results``, the path of the file that has the table.

    Raises:
        InputError: If a backend is unknown, something in ``out`` is damaged or was trained with other settings, or
            ``results`` cannot take the table. Nothing has been trained then.
        TrainingInterrupted: After Ctrl-C.
    """
    plan = _plan(names, quick, seeds, out)
    for run in plan.runs:
        _kept(run)  # what is refused should be refused before hours go by
    make_folder(plan.out, f"cannot make the folder {str(plan.out)!r}", "name another one")
    target = Path(results) if results is not None else _default_results(plan)
    around(target, MARKS)
    outputs.check_output(target, "the table", None, "results")
    problems: dict[str, str] = {}
    try:
        for number, run in enumerate(plan.runs, 1):
            on_event(run.name, {
                "event": "start", "number": number, "total": len(plan.runs), "epochs": run.settings.epochs
            })  # fmt: skip
            problem = _train(run, on_event)
            if problem is not None:
                problems[run.name] = problem
            on_event(run.name, {"event": "end", "problem": problem})
    except KeyboardInterrupt:
        raise TrainingInterrupted(
            f"interrupted; what was trained is kept in {str(plan.out)!r}: the same command goes on from there"
        ) from None
    document = {**_collect(plan, problems), "results": str(target)}
    try:
        on_document(document)
    finally:  # whatever became of what it wrote to
        write(document, target)
    return document


def _train(run: _Run, on_event: OnEvent) -> str | None:
    """Train what is left of a run; return what went wrong, if anything did, but for a loss that diverged."""

    def follow(event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            on_event(run.name, event)

    try:
        kept = _kept(run)
        if kept is not None and kept["status"] in FINAL:
            return None
        train = _train_edition if run.configuration.edition else _train_folder
        return backends.problem(run.backend) or train(run, follow)
    except (InputError, StorageError) as error:  # a full disk, for one: the others may still be trained
        return str(error)
    except OSError as error:  # no memory for its process, say
        return f"its process could not work: {error.strerror or error}"


def ask(job: dict[str, Any], on_event: Follow) -> dict[str, Any]:
    """Give a job to a process of its own, ``reproduce_worker.py``, and return its last answer."""
    return process.ask(job, on_event, [sys.executable, str(HERE / "reproduce_worker.py")])


def _train_folder(run: _Run, follow: Follow) -> str | None:
    job = {"task": "keep", "backend": run.backend, "settings": run.wanted(), "out": str(run.path)}
    answer = ask(job, follow)
    if answer["event"] == "result":
        if (where := answer.get("out", str(run.path))) != str(run.path):
            return f"its folder was removed or replaced while it trained, and it is kept in {where!r}: move that back"
        return None
    kept = _kept(run)
    return None if kept is not None and kept["status"] == "diverged" else str(answer["message"])


def _train_edition(run: _Run, follow: Follow) -> str | None:
    created = now()
    job = {"task": "first edition", "backend": run.backend, "settings": run.wanted()}
    answer = ask(job, follow)
    if answer["event"] == "error":
        return str(answer["message"])
    # As its process found the text, which may have been taken away or replaced meanwhile
    if answer["corpus"] != run.wanted()["corpus"]:
        return "its text is no longer the one that was there when this began: bring it back"
    row = {
        "format": _FORMAT,
        "backend": run.backend,
        **describe_here(run.backend),
        "threads": answer["threads"],
        "settings": run.wanted(),
        "status": "diverged" if answer["diverged"] else "complete",
        "perplexity": answer["perplexity"],
        "created": created,
        "saved": now(),
    }
    write_atomically(run.path, json.dumps(row, ensure_ascii=False, indent=1).encode() + b"\n")
    return None


# What it came to


def collect(
    names: Sequence[str], *, quick: bool = False, seeds: Sequence[int] = SEEDS, out: str | Path = OUT
) -> dict[str, Any]:
    """Return what has been trained so far, and train nothing.

    Args:
        names: The backends.
        quick: Of the quick trainings.
        seeds: The seeds.
        out: Where the trainings are kept.

    Returns:
        A document ready for JSON: ``command``, ``quick``, ``backends``, ``seeds``, ``corpus``, ``machine`` (this one),
        ``began`` and ``ended``, ``versions`` (of each package the ones in use), ``threads`` (with how many
        the trainings were computed), ``elsewhere`` (how many trainings another machine made) and the
        ``configurations``. Each of these has a ``title``, the ``epochs``, the ``book``'s figures by epoch, a
        ``remark``, ``missing`` (why it cannot be trained here, or None) and its ``runs``. A run has its ``backend`` and
        ``seed``, a ``status`` (``not run`` if nothing is kept), the ``epoch`` it came to, its ``perplexity`` at the
        last epoch and at the book's by epoch, the smallest and largest of the ``last_epochs``, and a ``problem``, or
        None.

    Raises:
        InputError: If a backend is unknown, or something in ``out`` is damaged or was trained with other settings.
    """
    return _collect(_plan(names, quick, seeds, out), {})


def _collect(plan: _Plan, problems: Mapping[str, str]) -> dict[str, Any]:
    kept = {run.name: row for run in plan.runs if (row := _kept(run)) is not None}
    used = list(kept.values())
    here = describe_here(plan.names[0])["machine"]
    versions: dict[str, list[str]] = {}
    for row in used:
        for name, version in (row["versions"] or {}).items():
            if str(version) not in versions.setdefault(name, []):
                versions[name].append(str(version))
    machines = [dict(row["machine"] or {}) for row in used]
    threads = sorted({_threads(row) for row in used})
    for machine in (*machines, here):
        machine.pop("OMP_NUM_THREADS", None)
    chosen = f" --backends {','.join(plan.names)}" if set(plan.names) != set(backends.FRAMEWORKS) else ""
    return {
        "command": "python3 start reproduce" + chosen + (" --quick" if plan.quick else ""),
        "quick": plan.quick,
        "backends": list(plan.names),
        "seeds": list(plan.seeds),
        "corpus": {"name": plan.text.name, "sha256": plan.text.sha256},
        "machine": describe_machine(),
        "began": min((row["created"] for row in used if row["created"]), default=None),
        "ended": max((row["saved"] for row in used if row["saved"]), default=None),
        "versions": versions,
        "threads": threads,
        "elsewhere": sum(any(machine[key] != here[key] for key in machine if key in here) for machine in machines),
        "configurations": [
            _configuration_row(key, configuration, plan, kept, problems)
            for key, configuration in CONFIGURATIONS.items()
        ],
    }


def _threads(row: Mapping[str, Any]) -> int:
    """Return with how many threads a training was computed, one from before that was recorded too."""
    return row["threads"] if row["threads"] is not None else by_itself(row["backend"], row["machine"] or {})


def _configuration_row(
    key: str, configuration: Configuration, plan: _Plan, kept: Mapping[str, dict[str, Any]], problems: Mapping[str, str]
) -> dict[str, Any]:
    epochs = min(configuration.quick, configuration.settings.epochs) if plan.quick else configuration.settings.epochs
    rows = []
    for run in plan.of(configuration):
        row = kept.get(run.name)
        values = [] if row is None else row["perplexity"]
        status = "not run" if row is None else row["status"]
        last = values[-reproduce_table.LAST_EPOCHS :] if status == "complete" else []
        points = [epoch for epoch in {*configuration.book, epochs} if epoch <= len(values)]
        rows.append({
            "backend": run.backend,
            "seed": run.settings.seed,
            "status": status,
            "epoch": len(values),
            "perplexity": {str(epoch): values[epoch - 1] for epoch in sorted(points)},
            "last_epochs": [min(last), max(last)] if last else None,
            "problem": problems.get(run.name) or backends.problem(run.backend) if status not in FINAL else None,
        })  # fmt: skip
    return {
        "name": key,
        "title": configuration.title,
        "epochs": epochs,
        "book": {str(epoch): printed for epoch, printed in configuration.book.items()},
        "remark": configuration.remark,
        "missing": plan.missing(configuration),
        "runs": rows,
    }


# The file that has the table


def write(document: Mapping[str, Any], path: str | Path) -> None:
    """Put the table of what :func:`reproduce` or :func:`collect` returned into a Markdown file.

    Raises:
        InputError: If the file cannot be read, or does not have each of :data:`MARKS` once.
        StorageError: If it cannot be written.
    """
    put_between(path, table(document), MARKS)


def _default_results(plan: _Plan) -> Path:
    full = set(plan.names) == set(backends.FRAMEWORKS) and not plan.quick and plan.text.name == "time-machine"
    return OWN_RESULTS if full and OWN_RESULTS.is_file() else plan.out / RESULTS


# The program


def main(words: Sequence[str] | None = None) -> int:
    """Train, print the table, and write it; return the exit code.

    That is 0, 1 if a backend failed, 2 if nothing could be trained, and otherwise as of the command ``d2lrnn``.
    """
    return framed(lambda: _main(words))


def _main(words: Sequence[str] | None) -> int:
    made = parser("Train what the book prints perplexities of. make reproduce does all of the set-up.",
                  "a few epochs and one seed: minutes instead of hours",
                  f"where the trainings are kept; the program goes on from there ({OUT})")  # fmt: skip
    made.set_defaults(out=OUT)
    made.add_argument("--results", type=place, metavar="FILE", help="the Markdown file to put the table into")
    made.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    arguments = made.parse_args(words)
    with terminated_like_interrupted():
        return _reproduce(arguments.backends, arguments.json, quick=arguments.quick, out=arguments.out,
                          results=arguments.results)  # fmt: skip


def _reproduce(asked: Sequence[str] | None, as_json: bool, **options: Any) -> int:
    def tell(document: dict[str, Any]) -> None:
        print(json_of(document, plain=True) if as_json else table(document), flush=True)

    document = reproduce(asked or list(backends.FRAMEWORKS), on_event=_tell_of_trainings, on_document=tell, **options)
    if not as_json:
        print(f"\nwritten to {one_line(document['results'])}", flush=True)
    rows = [row for configuration in document["configurations"] for row in configuration["runs"]]
    done = [row for row in rows if row["status"] in FINAL]
    if rows and not done:
        exit.tell("d2lrnn: error: nothing could be trained; see the reasons above")
        return 2
    # One that cannot work here fails the program only if it was asked for by name
    failed = [row for row in rows if row not in done and (asked or not backends.problem(row["backend"]))]
    return 1 if failed else 0


def _tell_of_trainings(name: str, event: dict[str, Any]) -> None:
    """Say on the error stream which training begins, and what went wrong with one."""
    if event["event"] == "start":
        exit.tell(f"{event['number']} of {event['total']}: {name}, {event['epochs']} epochs")
    elif event["event"] == "end" and event["problem"]:
        exit.tell(f"{name}: {event['problem']}")


if __name__ == "__main__":
    sys.exit(main())
