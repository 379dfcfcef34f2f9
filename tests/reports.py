"""Documents of comparisons that never were, plain ones and odd ones, and how tests read the report of one."""

import math
import re
from dataclasses import asdict
from html.parser import HTMLParser

from d2lrnn.core import backends
from d2lrnn.runs.environment import here_and_now
from d2lrnn.runs.settings import Settings

NAMES = list(backends.FRAMEWORKS)
TITLES = {name: backends.BACKENDS[name].title for name in NAMES}
HOSTILE = "<script>document.title='hacked'</script>"
STEPS = 50


def make_row(place, name, settings, epochs):
    perplexity = [1.5 + 25 * math.exp(-epoch / 40) * (1 + 1e-5 * place) for epoch in range(epochs)]
    speed = 10_000 * (place + 1)
    return {
        "backend": name,
        "version": f"{place + 1}.2.3",
        "problem": None,
        "device": "cpu",
        "settings": asdict(settings),
        "corpus": {
            "name": "story",
            "sha256": "ab" * 32,
            "tokens": 4321,
            "tokens_per_epoch": 4200,
            "vocab_size": 28,
        },
        "parameters": 7654,
        "perplexity": perplexity[-1],
        "bits_per_character": math.log2(perplexity[-1]),
        "valid_perplexity": perplexity[-1] + 3 if settings.valid_fraction else None,
        "tokens_per_second": speed,
        "seconds": 12.5,
        "history": {"epoch": list(range(1, epochs + 1)), "perplexity": perplexity},
        "predictions": {prefix: f"{prefix} and so on" for prefix in settings.prefixes},
        "step_losses": [3.3 - 0.01 * step + (place + 1) * 1e-7 * (1 + step % 7) for step in range(STEPS)],
        "peak_memory": 2**28 * (place + 1),
        "startup_seconds": 1.5 * (place + 1),
        "max_loss_difference_at_first": (place + 1) * 7e-7,
        "max_loss_difference": (place + 1) * 7e-7,
    }


def make_document(names=NAMES, *, epochs=120, **changes):
    """Return a document with plausible values, such as a comparison returns."""
    settings = Settings(**{"corpus": "story", "epochs": epochs, "seed": 7, "prefixes": ("the", "once"), **changes})
    return {
        "settings": asdict(settings),
        "reference_losses": [3.3 - 0.01 * step for step in range(STEPS)],
        "environment": here_and_now(),
        "backends": [make_row(place, name, settings, epochs) for place, name in enumerate(names)],
    }


def failed(document, name, problem):
    for row in document["backends"]:
        if row["backend"] == name:
            version = row["version"]
            row.clear()
            row.update(backend=name, version=version, problem=problem)
    return document


def hostile():
    """Return a document in which all that a user may give is made to break out of the page, or to turn it round."""
    document = make_document(
        corpus=f"/tmp/{HOSTILE[:8]}& 时间机器 \u202eآلة\x07.txt",
        prefixes=(HOSTILE, '"><img src=x onerror=alert(1)>', "时间旅行者", "مسافر عبر", "-x", "</pre></script>"),
    )
    for place, row in enumerate(document["backends"]):
        row["device"] = f"gpu:{place} ({HOSTILE})"
        row["predictions"] = {prefix: f"{prefix}على{'ابت'[place]}{HOSTILE}" for prefix in row["predictions"]}
    return failed(document, "mxnet", f"its process died: {HOSTILE}")


def without_numbers():
    """Return a document in which every number is missing that may be."""
    document = make_document(valid_fraction=0.1)
    for row, gone in zip(document["backends"], (None, math.inf, math.nan), strict=True):
        row |= {
            "perplexity": gone,
            "bits_per_character": gone,
            "valid_perplexity": gone,
            "peak_memory": None,
            "max_loss_difference": gone,
            "max_loss_difference_at_first": gone,
        }
        row["history"]["perplexity"] = [gone] * len(row["history"]["epoch"])
        row["step_losses"] = [gone] * STEPS
    return document


def partly_infinite():
    document = make_document()
    document["backends"][1]["perplexity"] = math.inf
    document["backends"][1]["history"]["perplexity"][40:44] = [math.inf, None, math.nan, 1e300]
    document["backends"][2]["step_losses"][10:12] = [None, document["reference_losses"][11]]
    document["reference_losses"][20] = None
    return document


def nothing_ran():
    document = make_document()
    document["reference_losses"] = []
    for name in NAMES:
        failed(document, name, f"{TITLES[name]} is not installed: {backends.install_command(name)}")
    return document


def ended_early():
    document = make_document(valid_fraction=0.1, patience=5)
    history = document["backends"][1]["history"]
    document["backends"][1]["history"] = {key: values[:30] for key, values in history.items()}
    return document


def differing_texts():
    document = make_document()
    for row, letter in zip(document["backends"], "xyy", strict=True):
        row["predictions"]["once"] = f"once upon a {letter} time"
    return document


DOCUMENTS = {
    "plain": make_document,
    "one epoch": lambda: make_document(epochs=1),
    "many epochs": lambda: make_document(epochs=3000),
    "with NumPy": lambda: make_document(list(backends.BACKENDS)),
    "two backends": lambda: make_document(["mxnet", "tensorflow"]),
    "one backend": lambda: make_document(["tensorflow"]),
    "one failed": lambda: failed(make_document(), "mxnet", "its process was killed by SIGSEGV"),
    "nothing ran": nothing_ran,
    "no numbers": without_numbers,
    "partly infinite": partly_infinite,
    "ended early": ended_early,
    "differing texts": differing_texts,
    "no prefixes": lambda: make_document(prefixes=()),
    "another model": lambda: make_document(model="lstm", num_layers=2, valid_fraction=0.25),
    "hostile": hostile,
}


class Page(HTMLParser):
    """A page as a strict reader sees it: every element closed where it must be, by its own end tag."""

    VOID = frozenset({"meta", "link", "input"})
    # SVG elements of ours that close themselves
    EMPTY = frozenset({"path", "line", "rect", "circle"})

    def __init__(self, content):
        super().__init__(convert_charrefs=True)
        self.elements, self.problems, self._open = [], [], []
        self.texts = []
        self.feed(content)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag, _ in self._open]

    def handle_starttag(self, tag, attributes):
        element = (tag, dict(attributes), [])
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append((tag, element))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))
        if tag not in self.EMPTY:
            self.problems.append(f"<{tag}/>")

    def handle_endtag(self, tag):
        if not self._open or self._open[-1][0] != tag:
            self.problems.append(f"</{tag}> at {self.getpos()}")
        else:
            self._open.pop()

    def handle_data(self, data):
        for _, element in self._open:
            element[2].append(data)

    def handle_comment(self, data):
        self.problems.append(f"a comment: {data!r}")

    def find(self, tag, **wanted):
        """Return the elements of a kind with these attributes: (attributes, text)."""
        return [
            (attributes, "".join(text))
            for name, attributes, text in self.elements
            if name == tag and all(attributes.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]

    @property
    def text(self):
        ((_, text),) = self.find("body")
        return re.sub(r"\s+", " ", text)
