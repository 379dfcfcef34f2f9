"""The report of a comparison: one HTML file that needs nothing else, for a projector, a phone and a printer.

What is written is read without a script; the script in it only adds the values under a pointer. The page forbids itself
every request, and every script and style but its own, by a content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from d2lrnn.comparison.compare import FIRST_STEPS, check_output
from d2lrnn.comparison.side_by_side import align, indent, read_lines, render_columns
from d2lrnn.comparison.svg_curves import Curve, draw_curves, sampled, scientific
from d2lrnn.core.backends import BACKENDS
from d2lrnn.data import CORPORA, Preparation, part_of_text
from d2lrnn.data.corpora import default_clean, default_max_tokens
from d2lrnn.runs.settings import Settings
from d2lrnn.system.storage import write_atomically
from d2lrnn.system.terminal import visible

ENDINGS = ("html", "htm")
_READABLE_POINTS = 500  # of a curve, at most, that a pointer can read
_TABLE_ROWS = 12  # of a curve's values
_WIDE, _NARROW = (580, 350), (358, 300)  # sizes of a chart: a screen shows one or the other
_ROUNDING = "rounding"  # the class of the curve that no backend drew
_NOT_FINITE, _UNKNOWN = "not finite", "–"
_THIN = "\u202f"  # between a number and its unit: narrow, and no place for a line to break

MODELS = {
    "rnn-scratch": "RNN from scratch",
    "rnn": "RNN",
    "rnn-relu": "RNN with ReLU",
    "gru": "GRU",
    "gru-reset-before": "GRU that resets before it multiplies",
    "lstm": "LSTM",
}
LABELS = {
    "model": "Model",
    "num_hiddens": "Hidden units a layer",
    "num_layers": "Layers",
    "batch_size": "Sequences a minibatch",
    "num_steps": "Tokens a sequence",
    "epochs": "Epochs",
    "lr": "Learning rate",
    "theta": "Gradient norm clipped at",
    "sampling": "Sampling",
    "corpus": "Corpus",
    "encoding": "Encoding",
    "max_tokens": "Tokens used at most",
    "valid_fraction": "Part held out",
    "clean": "Cleaning",
    "keep_punctuation": "Punctuation kept",
    "keep_case": "Capital letters kept",
    "patience": "Patience, epochs",
    "seed": "Seed",
    "device": "Device asked for",
    "threads": "Threads asked for",
    "prefixes": "Prefixes",
}
_SECTIONS = {
    "results": "Results",
    "curves": "Curves",
    "speed": "Speed and memory",
    "texts": "What they write",
    "code": "Code",
    "settings": "Settings",
    "about": "About",
}


def check(path: str | Path) -> None:
    """Check that a report can be written to a path, before hours go into what it tells.

    Raises:
        InputError: If its folder is not there or not writable, or its ending is not that of HTML.
    """
    check_output(path, "the report", ENDINGS, "--html")


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
    assets = resources.files("d2lrnn.comparison") / "report_page"
    code, code_style = _code(document["settings"]["model"], tuple(row["backend"] for row in document["backends"]))
    style = (assets / "report.css").read_text(encoding="utf-8") + code_style
    script = (assets / "report.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hashed(style)}; script-src {_hashed(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    ran = [row for row in document["backends"] if row["problem"] is None]
    sections = {
        "results": _results(document, ran),
        "curves": _curves(document, ran),
        "speed": _speed(ran),
        "texts": _texts(document, ran),
        "code": code,
        "settings": _settings(document, ran),
        "about": _about(document),
    }
    sections = {name: content for name, content in sections.items() if content}
    links = "".join(f'<a href="#{name}">{_SECTIONS[name]}</a>' for name in sections)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-heading"><h2 id="{name}-heading">{_SECTIONS[name]}</h2>'
        f"{content}</section>\n"
        for name, content in sections.items()
        if name != "about"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(_title(document))}</title>\n"
        f'<link rel="icon" href="data:image/svg+xml,{quote(_icon())}">\n'
        f"<style>{style}</style>\n</head>\n<body>\n"
        f'<header><p class="eyebrow">d2lrnn compare</p><h1>{_headline(ran)}</h1>'
        f'<p class="lead">{_paragraph(document, ran)}</p><nav aria-label="Sections">{links}</nav></header>\n'
        f"<main>\n{body}</main>\n"
        f'<footer id="about" aria-labelledby="about-heading"><h2 id="about-heading">{_SECTIONS["about"]}</h2>'
        f"{sections['about']}</footer>\n<script>{script}</script>\n</body>\n</html>\n"
    )


def _hashed(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _icon() -> str:
    """Return four bars, one in each backend's colour."""
    bars = zip((2, 10, 18, 26), (10, 16, 22, 28), ("#7e22ce", "#c2410c", "#1d4fd8", "#0f766e"), strict=True)
    drawn = "".join(f'<rect x="{x}" y="{32 - h}" width="6" height="{h}" fill="{fill}"/>' for x, h, fill in bars)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 33 33">{drawn}</svg>'


# Words and numbers


def _text(value: object) -> str:
    """Return what somebody else wrote as HTML; what HTML does not allow, and what turns words around, as symbols."""
    return escape(visible(value))


def _isolated(value: object) -> str:
    """Return the same in a direction of its own, so that it cannot turn the words around it."""
    return f"<bdi>{_text(value)}</bdi>"


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _decimal(value: float | None, digits: int = 3) -> str:
    if value is None or not math.isfinite(value):
        return _NOT_FINITE
    return f"{value:,.{digits}f}" if abs(value) < 1e6 else scientific(value)


def _nats(value: float | None) -> str:
    return scientific(value) if value is not None and math.isfinite(value) else _NOT_FINITE


def _count(value: float | None) -> str:
    return _decimal(value, 0) if value is not None else _UNKNOWN


def _mebibytes(value: float | None) -> str:
    return f"{value / 2**20:,.0f}{_THIN}MiB" if value is not None and math.isfinite(value) else _UNKNOWN


def _seconds(value: float | None) -> str:
    return f"{value:.1f}{_THIN}s" if value is not None and math.isfinite(value) else _UNKNOWN


def _percent(fraction: float) -> str:
    percent = 100 * fraction
    if 1e-4 <= percent < 1e6:
        return f"{percent:.2g}{_THIN}%" if percent < 100 else f"{percent:,.0f}{_THIN}%"
    return f"{scientific(percent)}{_THIN}%"


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _together(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _all(count: int) -> str:
    return {2: "both", 3: "all three", 4: "all four"}.get(count, f"all {count}")


def _backend_title(row: dict[str, Any]) -> str:
    return BACKENDS[row["backend"]].title


def _key(name: str) -> str:
    """Return a sample of a backend's line: its colour and its dash."""
    return (
        '<svg class="key" viewBox="0 0 32 10" aria-hidden="true" focusable="false">'
        f'<path class="curve {name}" d="M2 5H30"/></svg>'
    )


def _named(row: dict[str, Any]) -> str:
    return f'<span class="backend {row["backend"]}">{_key(row["backend"])}{_backend_title(row)}</span>'


def _corpus_name(document: dict[str, Any]) -> str:
    corpus = str(document["settings"]["corpus"])
    return corpus if corpus in CORPORA else Path(corpus).name or corpus


def _title(document: dict[str, Any]) -> str:
    settings = document["settings"]
    model = MODELS.get(settings["model"], settings["model"])
    return f"{model} on {_corpus_name(document)}, seed {settings['seed']}: d2lrnn compare"


# What the numbers say


def _spread(values: Iterable[float]) -> float:
    """Return how far the largest of some numbers lies above the smallest, as a fraction of the smallest."""
    values = list(values)
    return max(values) / min(values) - 1


def _apart(low: float, high: float) -> str:
    """Return two numbers with as many digits as tell them apart, within reason."""
    for digits in range(3, 8):
        least, most = _decimal(low, digits), _decimal(high, digits)
        if least != most:
            return f"between {least} and {most}"
    return f"at {_decimal(low)}"


def _headline(ran: Sequence[dict[str, Any]]) -> str:
    if not ran:
        return "No backend could run"
    titles = _together([_backend_title(row) for row in ran])
    if len(ran) == 1:
        return f"{titles} beside NumPy"
    finals = [row["perplexity"] for row in ran if _finite(row["perplexity"])]
    same = f"{titles} train the same model: "
    if len(finals) < len(ran):
        return same + f"{len(finals) or 'none'} of {len(ran)} end with a finite perplexity"
    spread = _spread(finals)
    return same + (f"their perplexities end {_percent(spread)} apart" if spread else "their perplexities end equal")


def _paragraph(document: dict[str, Any], ran: Sequence[dict[str, Any]]) -> str:
    settings = document["settings"]
    model = MODELS.get(settings["model"], _text(settings["model"]))
    layers = _plural(settings["num_layers"], "layer", "layers")
    facts = next((row["corpus"] for row in ran if "corpus" in row), None)
    size = ""
    if facts:
        used = part_of_text(facts) or f"{facts['tokens']:,} tokens"
        size = f" ({used}, {facts['vocab_size']:,} different)"
    asked = len(document["backends"])
    who = "once in each backend: from" if asked > 1 else "from"
    was = "was" if ran else "was to be"
    most = "at most " if settings.get("patience") else ""  # training may have ended before
    sentences = [
        f"{'An' if model[0] in 'RL' else 'A'} {model} of {layers} with "
        f"{_plural(settings['num_hiddens'], 'hidden unit', 'hidden units')} {was} trained for {most}"
        f"{_plural(settings['epochs'], 'epoch', 'epochs')} on {_isolated(_corpus_name(document))}{size}, "
        f"at learning rate {settings['lr']:g}, in minibatches of {settings['batch_size']} sequences of "
        f"{settings['num_steps']} tokens, with {_text(settings['sampling'])} sampling, {who} the same weights and the "
        f"same minibatches (seed {settings['seed']})."
    ]
    return " ".join([*sentences, *_agreement(document, ran)])


def _agreement(document: dict[str, Any], ran: Sequence[dict[str, Any]]) -> list[str]:
    """Return sentences on how far the backends agree, with each other and with NumPy."""
    sentences = []
    steps = len(document["reference_losses"])
    few = min(FIRST_STEPS, steps)
    measured = [
        row for row in ran if _finite(row["max_loss_difference"]) and _finite(row["max_loss_difference_at_first"])
    ]
    if len(measured) == len(ran) and ran and steps:
        most = max(measured, key=lambda row: row["max_loss_difference"])
        which = f" ({_backend_title(most)})" if len(ran) > 1 else ""
        over = f"over {_plural(steps, 'training step', 'training steps')} by at most"
        if few < steps:
            first = max(row["max_loss_difference_at_first"] for row in measured)
            over = f"in the first {few} training steps by at most <b>{_nats(first)}</b> nats, and in {steps} by at most"
        sentences.append(
            f"The loss differs from NumPy’s in float64 {over} <b>{_nats(most['max_loss_difference'])}</b> nats{which}."
        )
        loss = document["reference_losses"][0]
        if _finite(loss):
            spacing = float(np.spacing(np.float32(loss)))
            sentences.append(
                f"At the first loss, {loss:.2f}, two neighbouring float32 numbers are {_nats(spacing)} apart."
            )
    elif ran and steps:
        left = _together([_backend_title(row) for row in ran if row not in measured])
        sentences.append(f"The distance of the loss from NumPy’s in float64 is no finite number for {left}.")
    if len(ran) > 1:
        finals = [row["perplexity"] for row in ran]
        if all(map(_finite, finals)):
            sentences.append(f"The last perplexities lie {_apart(min(finals), max(finals))}.")
        same = [len(set(texts)) == 1 for _, texts in _continuations(document, ran)]
        if same and all(same):
            sentences.append(f"What the trained models write is the same text in {_all(len(ran))}.")
        elif same:
            sentences.append(
                f"What they write is the same for {sum(same)} of {_plural(len(same), 'prefix', 'prefixes')}."
            )
    if failed := [_backend_title(row) for row in document["backends"] if row["problem"] is not None]:
        sentences.append(f"<b>{_together(failed)} did not run</b>: see below.")
    return sentences


# The sections


def _results(document: dict[str, Any], ran: Sequence[dict[str, Any]]) -> str:
    steps = len(document["reference_losses"])
    few = min(FIRST_STEPS, steps)
    held_out = document["settings"]["valid_fraction"] > 0
    groups: dict[str, dict[str, list[str]]] = {
        "Ran on": {
            "version": [_text(row["version"] or _UNKNOWN) for row in ran],
            "device": [_text(row["device"]) for row in ran],
            "threads": [_text(row.get("settings", {}).get("threads") or _UNKNOWN) for row in ran],
            "parameters": [_count(row["parameters"]) for row in ran],
        },
        "Learned": {
            "perplexity": [_decimal(row["perplexity"]) for row in ran],
            "held-out perplexity": [_decimal(row["valid_perplexity"]) for row in ran] if held_out else [],
            "bits per character": [_decimal(row["bits_per_character"]) for row in ran],
        },
        "Loss differs from NumPy by, nats": {
            f"in the first {few} steps": [_nats(row["max_loss_difference_at_first"]) for row in ran],
            f"in all {steps} steps": [_nats(row["max_loss_difference"]) for row in ran] if few < steps else [],
        },
        "Took": {
            "tokens/s": [_count(row["tokens_per_second"]) for row in ran],
            "peak memory": [_mebibytes(row["peak_memory"]) for row in ran],
            "start-up": [_seconds(row["startup_seconds"]) for row in ran],
        },
    }
    width = len(ran) + 1
    parts = []
    if ran:
        heads = "".join(f'<th scope="col">{_named(row)}</th>' for row in ran)
        parts.append(f"<thead><tr><td></td>{heads}</tr></thead>")
        for group, measures in groups.items():
            parts.append(f'<tbody><tr class="group"><th scope="rowgroup" colspan="{width}">{group}</th></tr>')
            for name, cells in measures.items():
                if cells:
                    values = "".join(f"<td>{cell}</td>" for cell in cells)
                    parts.append(f'<tr><th scope="row">{name}</th>{values}</tr>')
            parts.append("</tbody>")
    if failed := [row for row in document["backends"] if row["problem"] is not None]:
        parts.append(
            f'<tbody class="failed"><tr class="group"><th scope="rowgroup" colspan="{max(width, 2)}">'
            "Did not run</th></tr>"
        )
        for row in failed:
            version = f" {_text(row['version'])}" if row["version"] else ""
            reason = f'<td colspan="{max(width - 1, 1)}" dir="auto">{_text(row["problem"])}</td>'
            parts.append(f'<tr><th scope="row">{_named(row)}<small>{version}</small></th>{reason}</tr>')
        parts.append("</tbody>")
    return f'<table class="results">{"".join(parts)}</table>'


def _curves(document: dict[str, Any], ran: Sequence[dict[str, Any]]) -> str:
    if not ran:
        return ""
    perplexities = [Curve(row["backend"], row["history"]["epoch"], row["history"]["perplexity"]) for row in ran]
    expected = document["reference_losses"]
    distances = [
        Curve(row["backend"], range(1, len(expected) + 1), _distances(row["step_losses"], expected)) for row in ran
    ]
    spacing = [float(np.spacing(np.float32(loss))) if _finite(loss) else None for loss in expected]
    rounding = Curve(_ROUNDING, range(1, len(expected) + 1), spacing)
    left_out = sum(value == 0 for curve in distances for value in curve.y)
    zero = f" {_plural(left_out, 'value is', 'values are')} exactly zero and not drawn." if left_out else ""
    together = "lie over each other where the backends agree" if len(ran) > 1 else "is that of the only backend"
    note = f"After each epoch. {'The lines' if len(ran) > 1 else 'The line'} {together}."
    figures = [
        _figure(
            "perplexity", "Training perplexity", note, perplexities, "epoch", "perplexity", _decimal, least_decades=0.15
        )
    ]
    if expected:
        grey = f'<span class="backend">{_key(_ROUNDING)}spacing of float32 numbers</span>'
        figures.append(
            _figure(
                "difference", "Distance of the loss from NumPy’s in float64",
                f"Step by step, in nats. Training amplifies the rounding of float32.{zero}",
                distances, "training step", "nats", _nats, least_decades=1.0,
                behind=[rounding], also=grey, rule=min(FIRST_STEPS, len(expected)),
            )
        )  # fmt: skip
    return f'<div class="figures two">{"".join(figures)}</div>'


def _distances(losses: Sequence[float | None], expected: Sequence[float | None]) -> list[float | None]:
    return [None if a is None or b is None else abs(a - b) for a, b in zip(losses, expected, strict=False)]


def _figure(
    identity: str, title: str, note: str, curves: Sequence[Curve], x_label: str, y_label: str, show: Any, *,
    least_decades: float, behind: Sequence[Curve] = (), also: str = "", rule: int | None = None,
) -> str:  # fmt: skip
    """Return curves with a legend, a description in words, and their values in a table and for the script."""
    titles = {curve.name: BACKENDS[curve.name].title for curve in curves}
    described = [
        f"{titles[curve.name]}: {show(curve.y[0])} at {x_label} {curve.x[0]}, {show(curve.y[-1])} at {curve.x[-1]}."
        for curve in curves
        if len(curve.y)
    ]
    svg = ""
    for variant, (width, height) in (("wide", _WIDE), ("narrow", _NARROW)):
        svg += draw_curves(
            [*behind, *curves],
            identity=f"{identity}-{variant}",
            title=f"{title}, by {x_label}",
            description=f"Curves over {'a logarithmic axis' if curves else 'nothing'}. {' '.join(described)}",
            x_label=x_label, y_label=f"{y_label}, log scale", width=width, height=height,
            least_decades=least_decades, rule=rule, rule_label=f"first {rule}", variant=variant,
        )  # fmt: skip
    values = [dict(zip(curve.x, curve.y, strict=False)) for curve in curves]
    places = max((list(curve.x) for curve in curves), key=len)  # a backend may have ended earlier than others
    readable = [places[index] for index in sampled(len(places), _READABLE_POINTS)]
    last = max(len(readable) - 1, 0)
    read = {
        "label": x_label,
        "x": readable,
        "curves": [
            {
                "name": curve.name,
                "title": titles[curve.name],
                "y": [show(value.get(x)) if x in value else _UNKNOWN for x in readable],
            }
            for curve, value in zip(curves, values, strict=True)
        ],
    }
    data = json.dumps(read, ensure_ascii=False, separators=(",", ":"))  # words of ours and numbers: nothing to escape
    rows = "".join(
        f'<tr><th scope="row">{x:,}</th>'
        + "".join(f"<td>{show(value[x]) if x in value else _UNKNOWN}</td>" for value in values)
        + "</tr>"
        for x in (places[index] for index in sampled(len(places), _TABLE_ROWS))
    )
    heads = "".join(f'<th scope="col">{titles[curve.name]}</th>' for curve in curves)
    legend = "".join(
        f'<span class="backend {curve.name}">{_key(curve.name)}{titles[curve.name]} <output></output></span>'
        for curve in curves
    )
    return (
        f'<figure class="{identity}" data-curves><figcaption><h3>{title}</h3><p>{note}</p></figcaption>'
        f'<p class="legend">{legend}{also}</p>{svg}'
        f'<label class="reader" hidden><span>{x_label} <output></output></span>'
        f'<input type="range" min="0" max="{last}" value="{last}" step="1"></label>'
        f'<details><summary>Values in a table</summary><table class="values"><thead><tr><th scope="col">{x_label}</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></details>"
        f'<script type="application/json">{data}</script></figure>'
    )


def _speed(ran: Sequence[dict[str, Any]]) -> str:
    if not ran:
        return ""
    measures = (
        ("tokens_per_second", "Training speed", "tokens a second, the median of the epochs; more is faster", _count),
        ("peak_memory", "Peak memory", "largest resident size of the process; less is better", _mebibytes),
        ("startup_seconds", "Start-up", "start of the process to the first minibatch; less is better", _seconds),
    )
    figures = []
    for name, title, note, show in measures:
        largest = max((row[name] for row in ran if _finite(row[name])), default=0)
        bars = ""
        for row in ran:
            share = 100 * row[name] / largest if _finite(row[name]) and largest else 0
            bars += (
                f"<div><dt>{_named(row)}</dt><dd>{show(row[name])}</dd>"
                f'<svg class="bar {row["backend"]}" aria-hidden="true" focusable="false">'
                f'<rect width="{share:.2f}%" height="100%"/></svg></div>'
            )
        figures.append(
            f'<figure><figcaption><h3>{title}</h3><p>{note}</p></figcaption><dl class="bars">{bars}</dl></figure>'
        )
    return f'<div class="figures three">{"".join(figures)}</div>'


def _continuations(document: dict[str, Any], ran: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return each prefix that was continued with what each backend made of it."""
    prefixes = [str(prefix) for prefix in document["settings"]["prefixes"]]
    return [
        (prefix, [row["predictions"][prefix] for row in ran])
        for prefix in dict.fromkeys(prefixes)
        if ran and all(prefix in row["predictions"] for row in ran)
    ]


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


def _texts(document: dict[str, Any], ran: Sequence[dict[str, Any]]) -> str:
    if not ran:
        return ""
    blocks = []
    for prefix, texts in _continuations(document, ran):
        place = first_difference(texts)
        read = _as_read(document, prefix)
        heading = (
            f'<h3>From <q><bdi class="typed">{_text(prefix)}</bdi></q></h3>' if prefix else "<h3>From nothing</h3>"
        )
        if place is None:
            who = f"The same text in {_all(len(ran))}" if len(ran) > 1 else _backend_title(ran[0])
            blocks.append(f'{heading}<p class="note">{who}:</p>{_continuation(read, texts[0], None)}')
            continue
        keys = "".join(
            f"<dt>{_named(row)}</dt><dd>{_continuation(read, text, place)}</dd>"
            for row, text in zip(ran, texts, strict=True)
        )
        alike = (
            f"The first {_plural(place, 'character is', 'characters are')} the same" if place else "Nothing is the same"
        )
        blocks.append(
            f'{heading}<p class="note">{alike}; then comes the one that is marked.</p><dl class="texts">{keys}</dl>'
        )
    return "".join(f'<div class="continued">{block}</div>' for block in blocks) or "<p>No prefix was continued.</p>"


def _as_read(document: dict[str, Any], prefix: str) -> str:
    """Return a prefix as the models read it, which is how their texts begin."""
    settings = document["settings"]
    clean = settings["clean"] or default_clean(settings["corpus"])
    preparation = Preparation("char", clean, settings["keep_punctuation"], settings["keep_case"])
    return preparation.clean_piece(prefix)


def _continuation(prefix: str, text: str, place: int | None) -> str:
    """Return a continuation, with the prefix, as it was read, told apart, and the place where it differs marked."""
    given = len(prefix) if text.startswith(prefix) else 0
    end = len(text) if place is None else place
    marked = ""
    if place is not None:
        after = place + 1
        while after < len(text) and unicodedata.category(text[after])[0] == "M":
            after += 1
        letter = text[place:after] or "∎"  # its text ends where another one goes on
        marked = f"<mark>{_text(letter) if letter.strip() else '␣'}</mark>{_text(text[after:])}"
    given = min(given, end)
    before = f'<span class="given">{_text(text[:given])}</span>' if given else ""
    return f'<p class="typed" dir="auto">{before}{_text(text[given:end])}{marked}</p>'


@cache  # the code that ran does not change while its process runs
def _code(model: str, names: tuple[str, ...]) -> tuple[str, str]:
    """Return the code that ran in some backends, side by side, and the style that depends on how much it is.

    Args:
        model: What the comparison trained.
        names: Where.
    """
    package = resources.files("d2lrnn")
    files = ("fast.py", "scratch.py") if model == "rnn-scratch" else ("concise.py",)
    rows = []
    for file in files:
        texts = [(package / name / file).read_text(encoding="utf-8") for name in names]
        headed = [f"# d2lrnn/{name}/{file}\n\n{text}" for name, text in zip(names, texts, strict=True)]
        rows += align([read_lines(text) for text in headed])
    radios = columns = ""
    for name, lines in zip(names, render_columns(rows), strict=True):
        title = BACKENDS[name].title
        checked = " checked" if name == names[0] else ""
        radios += (
            f'<label class="{name}"><input type="radio" name="code" value="{name}"{checked}>{_key(name)}{title}</label>'
        )
        columns += (
            f'<div class="column {name}"><h3>{_key(name)}{title} <small>d2lrnn/{name}/{", ".join(files)}</small></h3>'
            f'<pre aria-label="{title}"><code>{lines}</code></pre></div>'
        )
    if model == "rnn-scratch":
        note = (
            "What ran: <code>RNNModelScratch</code> over <code>rnn_fast</code>, which computes what the textbook’s "
            "loop, <code>rnn</code>, does."
        )
    else:
        note = "What ran: <code>RNNModel</code> over the framework’s own layer."
    if len(names) > 1:
        note += (
            f" A line that is the same in {_all(len(names))} is grey; in the others, the words that differ are marked."
        )
    # A row has the same height in every column, and a line that wraps goes on further in than it began
    columns_of_code = f".code {{ grid-template-columns: repeat({len(names)}, minmax(0, 1fr)); }}"
    rows_of_code = f".column {{ grid-row: 1 / span {len(rows) + 1}; }}"
    style = f"@media print, (min-width: 1000px) {{ {columns_of_code} {rows_of_code} }}\n"
    for spaces in sorted({indent(line) for row in rows for line in row if line is not None}):
        hang = f"{spaces + 4}ch"
        style += f".code .i{spaces} {{ padding-left: calc({hang} + .75rem); text-indent: -{hang}; }}\n"
    tabs = f'<fieldset class="tabs"><legend>Show</legend>{radios}</fieldset>'
    return f'<p class="note">{note}</p><div class="code">{tabs}{columns}</div>', style


def _shown(name: str, value: Any) -> str:
    """Return the value of a setting as people read it."""
    if name == "model" and value in MODELS:
        return f"{MODELS[value]} <small>{_text(value)}</small>"
    if name == "prefixes":
        return "".join(f'<bdi class="typed">{_text(prefix) or "(empty)"}</bdi>' for prefix in value)
    if value is None:
        unsaid = {
            "clean": "the corpus’s own way",
            "patience": "without",
            "encoding": "its mark’s, or UTF-8",
            "threads": "none",
        }
        return unsaid.get(name, _UNKNOWN)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "max_tokens" and value == -1:
        return "all"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and name != "seed" else _isolated(value)


def _settings(document: dict[str, Any], ran: Sequence[dict[str, Any]]) -> str:
    entries = {LABELS.get(name, name): _shown(name, value) for name, value in document["settings"].items()}
    facts = next((row["corpus"] for row in ran if "corpus" in row), None)
    if facts:
        entries |= {
            **({"Used of the text": part} if (part := part_of_text(facts)) else {}),
            "Tokens trained on": f"{facts['tokens']:,}",
            "of these in an epoch": f"{facts['tokens_per_epoch']:,}",
            "Vocabulary": f"{facts['vocab_size']:,}",
            "SHA-256 of the text": f'<span class="typed">{_text(facts["sha256"])}</span>',
        }
    rows = "".join(f'<tr><th scope="row">{_text(name)}</th><td>{value}</td></tr>' for name, value in entries.items())
    return f'<table class="settings"><tbody>{rows}</tbody></table>'


def command(document: dict[str, Any]) -> str:
    """Return the command that makes a comparison again, with what is not a default; its seed is always told."""
    settings, defaults = document["settings"], Settings()
    words = ["d2lrnn", "compare"]
    names = [row["backend"] for row in document["backends"]]
    if names != list(BACKENDS):
        words += ["--backends", ",".join(names)]
    usual_tokens = default_max_tokens(settings["corpus"])
    for field in fields(Settings):
        value = settings.get(field.name, getattr(defaults, field.name))
        option = "--" + field.name.replace("_", "-")
        if field.name == "prefixes":
            usual = CORPORA[settings["corpus"]].prefixes if settings["corpus"] in CORPORA else ()
            if tuple(value) != tuple(usual):
                # with = a prefix may begin with a hyphen
                words += [f"--prefix={prefix}" for prefix in value]
        elif value == (usual_tokens if field.name == "max_tokens" else getattr(defaults, field.name)) or value is None:
            continue
        elif isinstance(value, bool):
            words.append(option)
        else:
            words += [option, f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)]
    return shlex.join(words)


def _about(document: dict[str, Any]) -> str:
    environment = document.get("environment", {})
    finished = environment.get("finished")
    when = _UNKNOWN
    if finished is not None:
        moment = datetime.fromisoformat(finished)
        zone = moment.strftime("%z")
        when = f'<time datetime="{_text(finished)}">{moment:%Y-%m-%d %H:%M:%S}</time>'
        when += f" UTC{zone[:3]}:{zone[3:]}" if zone else ""
    entries = {
        "d2lrnn": _text(environment.get("d2lrnn", _UNKNOWN)),
        "Python": _text(environment.get("python", _UNKNOWN)),
        "NumPy": _text(environment.get("numpy", _UNKNOWN)),
        "Platform": _text(environment.get("platform", _UNKNOWN)),
        "Processors": _text(environment.get("cpus", _UNKNOWN)),
        "Finished": when,
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in entries.items())
    return (
        f'<dl class="facts">{listed}</dl><p>The same comparison again:</p>'
        f'<pre class="command" dir="ltr" tabindex="0" aria-label="The command">{_text(command(document))}</pre>'
    )
