"""Files that are downloaded once, verified, and kept: the book's registry of them."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from d2lrnn.errors import D2LRNNError, InputError
from d2lrnn.system.bounded import digest

DATA_URL = "http://d2l-data.s3-accelerate.amazonaws.com/"
# The book's registry of downloads: name -> (address, SHA-1). Its cells add entries of their own.
DATA_HUB: dict[str, tuple[str, str]] = {
    "time_machine": (DATA_URL + "timemachine.txt", "090b5e7e70c295757f55df93cb0a180b9691891a"),
    "jaychou_lyrics": (DATA_URL + "jaychou_lyrics.txt.zip", "aea46bd5d5fb2f05d6cd38d8e6b461d679fa4f00"),
    "fra-eng": (DATA_URL + "fra-eng.zip", "94646ad1522d915e7b0f9296181140edcf86a4f5"),
}
# Files that are as much the book's as the one of that name which its server has: their SHA-1. The lyrics as they lie in
# the repositories of the first editions have 52,607 bytes.
_OTHER_VERSIONS: dict[str, tuple[str, ...]] = {
    "jaychou_lyrics": ("9529987e701a4f37048ab778270a5dde9a762a0b",),
}
DATA_ENV = "D2LRNN_DATA"
DOWNLOAD_TIMEOUT = 20.0  # seconds without an answer
DOWNLOAD_SLOWEST = 1000.0  # bytes in a second, on average, once that time is over
# How many bytes a download may have, and how many seconds it may take in all. The Time Machine has 178,979 bytes, and
# the other two, packed, some megabytes at most; what a reader's cell adds to DATA_HUB may be pictures.
DOWNLOAD_MOST = 2**26, 600.0
DOWNLOAD_MOST_OTHERS = 2**32, 3600.0
_KNOWN = frozenset(DATA_HUB)
_PIECE = 2**14  # bytes that are taken off a connection at once
# Addresses from which download_once could not get a file, and why: within remembering_failures it does not wait for
# them once more. (download itself, which somebody calls on purpose, always tries.)
_failed: dict[str, str] | None = None


@contextlib.contextmanager
def remembering_failures(known: Mapping[str, str] | None = None) -> Iterator[None]:
    """Try a download that fails once only, for the length of a command; whoever calls from Python has it tried anew.

    Args:
        known: What has failed before in the command that this process works for (:func:`failures`).
    """
    global _failed
    before, _failed = _failed, dict(known or {})
    try:
        yield
    finally:
        _failed = before


def failures() -> dict[str, str]:
    """Return the addresses that failed so far in this command, and why."""
    return dict(_failed or {})


class DownloadError(D2LRNNError, OSError):
    """A file that could not be downloaded, or whose content is not the expected one."""

    __str__ = Exception.__str__


def file_name(name: str) -> str:
    """Return what the file of an entry of :data:`DATA_HUB` is called."""
    return DATA_HUB[name][0].rsplit("/", 1)[-1]


def own_file(name: str) -> Path | None:
    """Return where that file would be in the folder that D2LRNN_DATA names, or None if it names none."""
    folder = os.environ.get(DATA_ENV)
    return Path(folder).expanduser() / file_name(name) if folder else None


def _fetch(url: str, path: str, most: int, seconds: float) -> None:
    """Download a file, if it is not too long and does not take too long, whatever the server does.

    Args:
        url: Its address.
        path: Where to write it.
        most: How many bytes it may have.
        seconds: How long it may take in all.

    Raises:
        requests.RequestException: If the server cannot be reached, or answers with an error.
        OSError: If it is too long or takes too long, or cannot be written.
    """
    import requests

    pieces: queue.Queue[bytes | Exception | None] = queue.Queue(16)
    left = threading.Event()

    def hand_over(piece: bytes | Exception | None) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                pieces.put(piece, timeout=1)
                return

    def receive() -> None:
        try:
            with requests.get(url, timeout=DOWNLOAD_TIMEOUT, stream=True) as response:
                response.raise_for_status()
                for piece in response.iter_content(_PIECE):
                    hand_over(piece)
                    if left.is_set():
                        return
            hand_over(None)
        except Exception as error:
            hand_over(error)

    # The time that a connection waits for begins anew with every byte; so somebody else looks at the clock
    threading.Thread(target=receive, daemon=True).start()
    begin, received = time.monotonic(), 0
    try:
        with Path(path).open("wb") as file:
            while True:
                patience = min(seconds, DOWNLOAD_TIMEOUT + (received + _PIECE) / DOWNLOAD_SLOWEST)
                try:
                    piece = pieces.get(timeout=max(0.0, begin + patience - time.monotonic()))
                except queue.Empty:
                    if patience == seconds:
                        raise OSError(f"it takes more than {seconds:g} seconds") from None
                    raise OSError(f"it comes with less than {DOWNLOAD_SLOWEST:g} bytes in a second") from None
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise piece
                received += len(piece)
                if received > most:
                    raise OSError(f"it has more than {most:,} bytes")
                if time.monotonic() > begin + seconds:
                    raise OSError(f"it takes more than {seconds:g} seconds")
                file.write(piece)
    finally:
        left.set()


def download(name: str, cache_dir: str | Path | None = None) -> str:
    """Return the path of a file of :data:`DATA_HUB`, which is downloaded unless it is already there.

    The folder that the environment variable D2LRNN_DATA names is looked in first, where the file may also be another
    version that the book had. What arrives goes to a
    temporary file, is verified by its SHA-1, and only then takes its place. What comes too slowly, or does not end
    (:data:`DOWNLOAD_MOST`), is given up.

    Args:
        name: A key of :data:`DATA_HUB`.
        cache_dir: Where to keep it; by default the user's cache folder.

    Raises:
        InputError: If the name is unknown.
        DownloadError: If the server cannot be reached or answers with an error, or the content is not the expected one.
    """
    import pooch  # here, because it brings an HTTP client along that most runs never need
    import requests

    if name not in DATA_HUB:
        raise InputError(f"unknown download {name!r}: known are {', '.join(DATA_HUB)}; add others to DATA_HUB")
    url, sha1 = DATA_HUB[name]
    missing = ""
    if (own := own_file(name)) is not None:
        if not own.is_file():
            missing = f" (there is none in {os.environ[DATA_ENV]!r}, which it names)"
        else:
            if digest(own, "sha1") not in (sha1, *_OTHER_VERSIONS.get(name, ())):
                raise DownloadError(f"{str(own)!r} is not the expected file (SHA-1 {sha1}): replace or remove it")
            return str(own)
    try:
        return str(
            pooch.retrieve(
                url,
                known_hash=f"sha1:{sha1}",
                fname=file_name(name),
                path=cache_dir or pooch.os_cache("d2lrnn"),
                downloader=lambda url, file, _: _fetch(
                    url, file, *(DOWNLOAD_MOST if name in _KNOWN else DOWNLOAD_MOST_OTHERS)
                ),
            )
        )
    except (requests.RequestException, ValueError, OSError) as error:
        # requests wraps what happened in a page of nested exceptions
        if isinstance(error, requests.Timeout):
            reason = f"no answer within {DOWNLOAD_TIMEOUT:g} seconds"
        elif isinstance(error, requests.ConnectionError):
            reason = "the server cannot be reached"
        else:
            reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DownloadError(
            f"cannot download {url}: {reason}; put {file_name(name)} into a folder and name that folder in "
            f"{DATA_ENV}{missing}"
        ) from error


def download_once(name: str) -> str:
    """Download as :func:`download` does, but within :func:`remembering_failures` try no address that failed before."""
    url = DATA_HUB[name][0]
    own = own_file(name)
    if _failed is None or (own is not None and own.is_file()):
        return download(name)
    if url in _failed:
        raise DownloadError(_failed[url])
    try:
        return download(name)
    except DownloadError as error:
        _failed[url] = str(error)
        raise
