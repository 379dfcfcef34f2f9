"""The report of a comparison: one HTML file that needs nothing else, for a projector, a phone and a printer.

What is written is read without a script; the script in it only adds the values under a pointer. The page forbids itself
every request, and every script and style but its own, by a content security policy.

Here is what the page tells, in numbers; how it tells it is in the templates of ``report_page/``. A template escapes
every value and shows as a symbol what HTML does not allow or what turns words around, whoever wrote it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from d2lrnn.comparison.compare import FIRST_STEPS
from d2lrnn.comparison.svg_curves import Curve, draw_curves, sampled
from d2lrnn.core.backends import BACKENDS
from d2lrnn.data import CORPORA, Preparation, part_of_text
from d2lrnn.data.corpora import default_clean, default_max_tokens
from d2lrnn.runs.outputs import check_output
from d2lrnn.runs.settings import LABELS, SETTINGS
from d2lrnn.system.formatting import (
    NOT_FINITE,
    THIN,
    UNKNOWN,
    finite,
    format_decimal,
    format_mebibytes,
    format_percent,
    format_scientific,
    format_seconds,
)  # fmt: skip
from d2lrnn.system.storage import write_atomically
from d2lrnn.system.terminal import visible

if TYPE_CHECKING:
    from jinja2 import Environment

ENDINGS = ("html", "htm")
_READABLE_POINTS = 500  # of a curve, at most, that a pointer can read
_TABLE_ROWS = 12  # of a curve's values
_SIZES = {"wide": (580, 350), "narrow": (358, 300)}  # of a chart: a screen shows one or the other
_DASH = "–"  # what is not known

MODELS = {
    "rnn-scratch": "RNN from scratch",
    "rnn": "RNN",
    "rnn-relu": "RNN with ReLU",
    "gru": "GRU",
    "gru-reset-before": "GRU that resets before it multiplies",
    "lstm": "LSTM",
}


def check(path: str | Path) -> None:
    """Check that a report can be written to a path, before hours go into what it tells.

    Raises:
        InputError: If its folder is not there or not writable, or its ending is not that of HTML.
    """
    check_output(path, "the report", ENDINGS, "html")


def write(document: dict[str, Any], path: str | Path) -> None:
    """Write the report of a comparison to a file, all of it or nothing.

    Args:
        document: What :func:`d2lrnn.comparison.compare.compare` returned; it may have been JSON in between.
        path: The HTML file.

    Raises:
        StorageError: If the file cannot be written.
    """
    # What was given on a command line may have bytes that are no text; these have no place in UTF-8
    write_atomically(Path(path), render(document).encode("utf-8", "replace"))


def render(document: dict[str, Any]) -> str:
    """Return the report of a comparison as one HTML page.

    Args:
        document: What :func:`d2lrnn.comparison.compare.compare` returned. Where a number may be missing it may be None,
            NaN or infinite: JSON has only the first of these.
    """
    page, values = _templates(), _values(document)
    style = _asset("report.css") + page.get_template("code.css").render(values)
    script = _asset("report.js")
    hashes = {"style_hash": _hashed(style), "script_hash": _hashed(script)}
    return page.get_template("page.html").render(values, style=style, script=script, **hashes)


def _asset(name: str) -> str:
    return (resources.files("d2lrnn.comparison") / "report_page" / name).read_text(encoding="utf-8")


def _hashed(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@cache
def _templates() -> Environment:
    """Return the page's templates, with the forms in which they show numbers and words."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # here, for who writes no report needs none of it

    templates = Environment(
        loader=PackageLoader("d2lrnn.comparison", "report_page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if hasattr(value, "__html__") else visible(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    templates.tests["finite"] = finite
    templates.filters |= {
        "decimal": format_decimal,
        "nats": _nats,
        "number_of": lambda value: _DASH if value is None else format_decimal(value, 0),
        "mebibytes": lambda value: _typeset(format_mebibytes(value)),
        "seconds": lambda value: _typeset(format_seconds(value)),
        "percent": format_percent,
        "plural": lambda count, one, many: f"{count:,} {one if count == 1 else many}",
        "together": lambda words: " and ".join(", ".join(words).rsplit(", ", 1)),
        "all_of": lambda count: {2: "both", 3: "all three", 4: "all four"}.get(count, f"all {count}"),
        "on_one_line": lambda text: type(text)(re.sub("[ \n]+", " ", text).strip()),  # as escaped as it was
    }
    templates.globals |= {"unknown": _DASH, "labels": LABELS, "models": MODELS, "in_words": _in_words, "apart": _apart}
    return templates


def _typeset(text: str) -> str:
    """Return a number with its unit as a page has it."""
    return _DASH if text == UNKNOWN else text.replace(" ", THIN)


def _nats(value: float | None) -> str:
    return format_scientific(value) if finite(value) else NOT_FINITE


def _apart(low: float, high: float) -> str:
    """Return two numbers with as many digits as tell them apart, within reason."""
    for digits in range(3, 8):
        least, most = format_decimal(low, digits), format_decimal(high, digits)
        if least != most:
            return f"between {least} and {most}"
    return f"at {format_decimal(low)}"


# What the page tells


def _values(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the templates show of a comparison."""
    settings, losses = document["settings"], document["reference_losses"]
    rows = [{**row, "title": BACKENDS[row["backend"]].title} for row in document["backends"]]
    ran = [row for row in rows if row["problem"] is None]
    corpus, facts = str(settings["corpus"]), next((row["corpus"] for row in ran if "corpus" in row), None)
    distances = ("max_loss_difference", "max_loss_difference_at_first")
    return {
        "settings": settings,
        "asked": rows,
        "ran": ran,
        "failed": [row for row in rows if row["problem"] is not None],
        "corpus": corpus if corpus in CORPORA else Path(corpus).name or corpus,
        "facts": facts,
        "part": part_of_text(facts or {}),
        "losses": losses,
        "spacings": (spacings := [_spacing(loss) for loss in losses]),
        "few": min(FIRST_STEPS, len(losses)),
        "unmeasured": [row["title"] for row in ran if not all(finite(row[name]) for name in distances)],
        "figures": _figures(ran, losses, spacings) if ran else [],
        "continued": _continued(settings, ran) if ran else [],
        "code": _code(settings["model"], tuple(row["backend"] for row in rows)),
        "command": command(document),
        "environment": document.get("environment", {}),
        "finished": _moment(document.get("environment", {}).get("finished")),
    }


def _spacing(loss: float | None) -> float | None:
    """Return how far the float32 number beside a loss is from it."""
    return float(np.spacing(np.float32(loss))) if finite(loss) else None


def _figures(
    ran: Sequence[dict[str, Any]], losses: Sequence[float | None], spacings: Sequence[float | None]
) -> list[dict[str, Any]]:
    """Return the curves of the perplexity, and of the loss's distance from the reference where there is one."""
    titles = {row["backend"]: row["title"] for row in ran}
    steps = range(1, len(losses) + 1)
    perplexities = [Curve(row["backend"], row["history"]["epoch"], row["history"]["perplexity"]) for row in ran]
    distances = [Curve(row["backend"], steps, _distances(row["step_losses"], losses)) for row in ran]
    figures = [
        _figure(
            "perplexity", "Training perplexity", perplexities, titles, "epoch", "perplexity", format_decimal,
            least_decades=0.15,
        )
    ]  # fmt: skip
    if losses:
        figures.append(
            _figure(
                "difference", "Distance of the loss from NumPy’s in float64", distances, titles, "training step",
                "nats", _nats, least_decades=1.0, behind=[Curve("rounding", steps, spacings)],
                rule=min(FIRST_STEPS, len(losses)),
            )
        )  # fmt: skip
    return figures


def _distances(losses: Sequence[float | None], expected: Sequence[float | None]) -> list[float | None]:
    return [None if a is None or b is None else abs(a - b) for a, b in zip(losses, expected, strict=False)]


def _figure(
    identity: str, title: str, curves: Sequence[Curve], titles: dict[str, str], x_label: str, y_label: str,
    show: Callable[[float | None], str], *, least_decades: float, behind: Sequence[Curve] = (), rule: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return curves as drawings that say in words what they show, and their values for a table and for the script."""
    described = [
        f"{titles[curve.name]}: {show(curve.y[0])} at {x_label} {curve.x[0]}, {show(curve.y[-1])} at {curve.x[-1]}."
        for curve in curves
        if len(curve.y)
    ]
    charts = [
        draw_curves(
            [*behind, *curves],
            identity=f"{identity}-{variant}",
            title=f"{title}, by {x_label}",
            description=f"Curves over a logarithmic axis. {' '.join(described)}",
            x_label=x_label, y_label=f"{y_label}, log scale", width=width, height=height,
            least_decades=least_decades, rule=rule, rule_label=f"first {rule}", variant=variant,
        )
        for variant, (width, height) in _SIZES.items()
    ]  # fmt: skip
    values = [dict(zip(curve.x, curve.y, strict=False)) for curve in curves]
    places = max((list(curve.x) for curve in curves), key=len)  # a backend may have ended earlier than others

    def shown(value: dict[float, float | None], x: float) -> str:
        return show(value[x]) if x in value else _DASH

    readable = [places[index] for index in sampled(len(places), _READABLE_POINTS)]
    return {
        "identity": identity,
        "title": title,
        "charts": charts,
        "zeros": sum(value == 0 for curve in curves for value in curve.y),
        "behind": [curve.name for curve in behind],
        "rows": [
            (x, [shown(value, x) for value in values])
            for x in (places[index] for index in sampled(len(places), _TABLE_ROWS))
        ],
        "read": {
            "label": x_label,
            "x": readable,
            "curves": [
                {"name": curve.name, "title": titles[curve.name], "y": [shown(value, x) for x in readable]}
                for curve, value in zip(curves, values, strict=True)
            ],
        },
    }


def _continued(settings: dict[str, Any], ran: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each prefix that was continued with what each backend made of it, and where that differs."""
    found = []
    for prefix in dict.fromkeys(map(str, settings["prefixes"])):
        if all(prefix in row["predictions"] for row in ran):
            texts = [row["predictions"][prefix] for row in ran]
            place, read = first_difference(texts), _as_read(settings, prefix)
            parts = [_parts(read, text, place) for text in texts]
            found.append({"prefix": prefix, "place": place, "texts": parts})
    return found


def first_difference(texts: Sequence[str]) -> int | None:
    """Return the place of the first character that is not the same in all texts, or None if they are equal.

    An accent or a vowel sign belongs to the letter before it: where these differ, it is the place of the letter.
    """
    if len(set(texts)) == 1:
        return None
    shortest = min(map(len, texts))
    place = next((place for place in range(shortest) if len({text[place] for text in texts}) > 1), shortest)
    # where one of them has a mark, all of them go back to the letter that it stands on
    while place and any(place < len(text) and unicodedata.category(text[place])[0] == "M" for text in texts):
        place -= 1
    return place


def _as_read(settings: dict[str, Any], prefix: str) -> str:
    """Return a prefix as the models read it, which is how their texts begin."""
    clean = settings["clean"] or default_clean(settings["corpus"])
    preparation = Preparation("char", clean, settings["keep_punctuation"], settings["keep_case"])
    return preparation.clean_piece(prefix)


def _parts(prefix: str, text: str, place: int | None) -> tuple[str, str, str, str]:
    """Return a continuation in parts.

    Args:
        prefix: What was continued, as it was read.
        text: The continuation, which begins with it.
        place: Of the letter in which the continuations differ, if they do.

    Returns:
        The prefix, what is the same in all, the letter in which they differ, and the rest.
    """
    end = after = len(text) if place is None else place
    letter = ""
    if place is not None:
        after = place + 1
        while after < len(text) and unicodedata.category(text[after])[0] == "M":
            after += 1
        letter = text[place:after] or "∎"  # its text ends where another one goes on
    given = min(len(prefix), end) if text.startswith(prefix) else 0
    return text[:given], text[given:end], letter if not letter or letter.strip() else "␣", text[after:]


@cache  # the code that ran does not change while its process runs
def _code(model: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the code that ran in some backends, side by side.

    Args:
        model: What the comparison trained.
        names: Where.
    """
    from d2lrnn.comparison.alignment import align, mark, read_lines  # here, for it brings Pygments along

    package = resources.files("d2lrnn")
    files = ("fast.py", "scratch.py") if model == "rnn-scratch" else ("concise.py",)
    rows = []
    for file in files:
        texts = [(package / name / file).read_text(encoding="utf-8") for name in names]
        headed = [f"# d2lrnn/{name}/{file}\n\n{text}" for name, text in zip(names, texts, strict=True)]
        rows += align([read_lines(text) for text in headed])
    columns = mark(rows)
    return {
        "files": ", ".join(files),
        "columns": columns,
        "indents": sorted({line.indent for column in columns for line in column if line is not None}),
    }


def _in_words(name: str, value: Any) -> str | None:
    """Return the value of a setting as people read it, or None where it is a name or a text as somebody gave it."""
    if value is None:
        unsaid = {
            "clean": "the corpus’s own way",
            "patience": "without",
            "encoding": "its mark’s, or UTF-8",
            "threads": "none",
        }
        return unsaid.get(name, _DASH)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "max_tokens" and value == -1:
        return "all"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and name != "seed" else None


def command(document: dict[str, Any]) -> str:
    """Return the command that makes a comparison again, with what is not a default; its seed is always told."""
    settings = document["settings"]
    words = ["d2lrnn", "compare"]
    names = [row["backend"] for row in document["backends"]]
    if names != list(BACKENDS):
        words += ["--backends", ",".join(names)]
    usual_tokens = default_max_tokens(settings["corpus"])
    for setting in SETTINGS.values():
        value = settings.get(setting.name, setting.default)
        if setting.name == "prefixes":
            usual = CORPORA[settings["corpus"]].prefixes if settings["corpus"] in CORPORA else ()
            if tuple(value) != tuple(usual):
                # with = a prefix may begin with a hyphen
                words += [f"{setting.option}={prefix}" for prefix in value]
        elif value == (usual_tokens if setting.name == "max_tokens" else setting.default) or value is None:
            continue
        elif isinstance(value, bool):
            words.append(setting.option)
        else:
            short = isinstance(value, float) and float(f"{value:g}") == value
            words += [setting.option, f"{value:g}" if short else str(value)]
    return shlex.join(words)


def _moment(finished: str | None) -> str:
    """Return a time of ISO 8601 as people read it, with its zone where it has one."""
    if finished is None:
        return _DASH
    moment = datetime.fromisoformat(finished)
    zone = moment.strftime("%z")
    return f"{moment:%Y-%m-%d %H:%M:%S}" + (f" UTC{zone[:3]}:{zone[3:]}" if zone else "")
