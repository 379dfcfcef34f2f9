"""Servers that drip, that never end, and that send something else."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from place import TINY, Place, fault

GROUP = "downloads"
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def _server(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """Serve, and yield the address, and the list of what is asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            try:
                answer(self)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", asked
    finally:
        server.shutdown()
        server.server_close()


def _begin(handler: http.server.BaseHTTPRequestHandler, size: int | None) -> None:
    handler.send_response(200)
    if size is not None:
        handler.send_header("Content-Length", str(size))
    handler.end_headers()


def _drip(handler: http.server.BaseHTTPRequestHandler) -> None:
    _begin(handler, 178_979)
    while True:
        handler.wfile.write(b"a")
        handler.wfile.flush()
        time.sleep(0.5)


def _endless(handler: http.server.BaseHTTPRequestHandler) -> None:
    _begin(handler, None)
    while True:
        handler.wfile.write(b"a" * (1 << 20))


def _huge(handler: http.server.BaseHTTPRequestHandler) -> None:
    _begin(handler, 1 << 50)
    _endless(handler)


def _other(handler: http.server.BaseHTTPRequestHandler) -> None:
    _begin(handler, 12)
    handler.wfile.write(b"not the text")


def _half(handler: http.server.BaseHTTPRequestHandler) -> None:
    _begin(handler, 178_979)
    handler.wfile.write(b"a" * 1000)


def _in_circles(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


def _trains_with_a_stand_in(place: Place, answer: Answer, limit: float) -> None:
    with _server(answer) as (url, asked):
        env = {
            "D2LRNN_DATA": "", "XDG_CACHE_HOME": str(place.folder / "cache"), "HOME": str(place.folder / "home"),
            "http_proxy": url, "HTTP_PROXY": url, "https_proxy": url, "HTTPS_PROXY": url, "no_proxy": "",
            "NO_PROXY": "",
        }  # fmt: skip
        words = ("train", "--backend", "numpy", *TINY[2:], "--epochs", "1", "--out", "run")
        outcome = place.run(*words, env=env, limit=limit)
    place.must(bool(asked), "the server was never asked")
    place.must(outcome.code == 0, f"no stand-in: {outcome.last_line()}")
    place.must("stands in" in outcome.said, "what is trained on is not said")
    left = [path for path in (place.folder / "cache").rglob("*") if path.is_file() and path.stat().st_size > 1 << 26]
    place.must(not left, f"left on the disk: {[path.name for path in left]}")


for _name, _answer, _quick in (
    ("a server that drips a byte every half second", _drip, False),
    ("a server that never ends", _endless, False),
    ("a server that promises a petabyte", _huge, False),
    ("a server with another text", _other, True),
    ("a server that breaks off", _half, True),
    ("a server that leads in circles", _in_circles, True),
):

    @fault(GROUP, _name, quick=_quick)
    def _(place: Place, answer: Answer = _answer) -> None:
        _trains_with_a_stand_in(place, answer, 180)
