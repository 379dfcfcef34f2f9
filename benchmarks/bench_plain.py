"""How d2lrnn compares with what users of PyTorch and Keras write themselves: a question of ``bench.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench_common import Bench, alternate, earlier, medians, ratio, rounded
from common import say

from d2lrnn.system.formatting import markdown_table


def measure(bench: Bench) -> list[dict[str, Any]]:
    """Compare with the same model as users of PyTorch and Keras write it."""
    rows = []
    for backend in (name for name in bench.names if name in ("torch", "tensorflow")):
        for units in bench.effort.units:
            say(f"against the framework's own way: {backend}, {units} units")
            settings = {"model": "concise", "num_hiddens": units}
            with bench.beside("plain", backend, **settings) as sides:
                found = alternate(bench.effort.rounds, sides, lambda p: p.tokens_per_second(bench.effort.seconds / 2))
            rows.append({"backend": backend, "units": units, **medians(found)})
    return rows


def tables(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> list[list[str]]:
    """Return what was measured as parts of a page."""
    return [
        ["### Against the frameworks' own ways"],
        [
            "The same concise model as users write it without either package: `keras.Model.fit` with `SimpleRNN`, and "
            "the loop of PyTorch's word language model with `nn.RNN`. Tokens per second, and the ratio."
        ],
        markdown_table(
            ["", "units", "theirs", "d2lrnn", "ratio", "earlier"],
            [
                [r["backend"], str(r["units"]), rounded(r["plain"]), rounded(r["ours"]), ratio(r), earlier(r)]
                for r in rows
            ],
        ),
    ]
