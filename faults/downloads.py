"""Servers that drip, that never end, and that send something else."""

from __future__ import annotations

from typing import Any

import hostile
from place import TINY, Place, fault

GROUP = "downloads"
SIZE = 178_979  # of the text


for _name, _quick, _server in (
    ("a server that drips a byte every half second", False, {"piece": b"a", "pause": 0.5, "length": SIZE}),
    ("a server that never ends", False, {"piece": bytes(1 << 20)}),
    ("a server that promises a petabyte", False, {"piece": bytes(1 << 20), "length": 1 << 50}),
    ("a server with another text", True, {"piece": b"not the text", "length": 12, "times": 1}),
    ("a server that breaks off", True, {"piece": b"a" * 1000, "length": SIZE, "times": 1}),
    ("a server that leads in circles", True, {"piece": b"", "times": 0, "circles": True}),
):

    @fault(GROUP, _name, quick=_quick)
    def _(place: Place, server: dict[str, Any] = _server) -> None:
        with hostile.Proxy(**server) as proxy:
            env = {
                "D2LRNN_DATA": "", "XDG_CACHE_HOME": str(place.folder / "cache"), "HOME": str(place.folder / "home"),
                "no_proxy": "", "NO_PROXY": "",
                **dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"), proxy.address),
            }  # fmt: skip
            words = ("train", "--backend", "numpy", *TINY[2:], "--epochs", "1", "--out", "run")
            outcome = place.run(*words, env=env, limit=180)
        place.must(proxy.asked > 0, "the server was never asked")
        place.must(outcome.code == 0, f"no stand-in: {outcome.last_line()}")
        place.must("stands in" in outcome.said, "what is trained on is not said")
        files = [path for path in (place.folder / "cache").rglob("*") if path.is_file()]
        left = [path.name for path in files if path.stat().st_size > 1 << 26]
        place.must(not left, f"left on the disk: {left}")
