"""Files by their addresses, as the cells of edition 1.0 ask for them (its section B.8)."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

from d2lrnn import data
from d2lrnn.data.downloads import DATA_HUB, DownloadError, download_once, file_name, remembering_failures
from d2lrnn.data.translation import PAIRS, PAIRS_FILE
from d2lrnn.errors import InputError
from d2lrnn.system.bounded import digest
from d2lrnn.system.storage import explained, make_folder, write_atomically

_ADVICE = "name another folder"
_ASKED_FOR: set[str] = set()  # what is in DATA_HUB because somebody gave its SHA-1, who may correct it


def download(url: str, folder: str = "../data", sha1_hash: str | None = None) -> str:
    """Return the path of a file, which is downloaded unless it is already there (edition 1.0, section B.8).

    The folder that the environment variable D2LRNN_DATA names and the user's cache are looked in first. A copy of it
    lies in the folder. Where a text of the book cannot be had, one that ships with the package stands in, with a
    warning and under a name of its own.

    Args:
        url: Its address, or a key of ``DATA_HUB``.
        folder: The folder, which is made.
        sha1_hash: Its SHA-1; it may be left out for what is in ``DATA_HUB``.

    Raises:
        InputError: If nothing says what the content must be, or ``folder`` is none.
        DownloadError: If it cannot be downloaded, or its content is not the expected one.
        StorageError: If it cannot be written.
    """
    name = _registered(url, sha1_hash)
    target = Path(folder) / file_name(name)
    if target.is_file() and digest(target, "sha1") == DATA_HUB[name][1]:
        return str(target)
    make_folder(target.parent, f"cannot make {folder!r}", _ADVICE)
    with remembering_failures():
        try:
            path = Path(download_once(name))
        except DownloadError:
            content = _stand_in(name)
            if content is None:
                raise
            target = target.with_name(f"{target.stem}.stand-in{target.suffix}")
        else:
            if path.resolve() == target.resolve():
                return str(target)
            content = path.read_bytes()
    write_atomically(target, content)
    return str(target)


def _registered(url: str, sha1_hash: str | None) -> str:
    """Return the key in ``DATA_HUB`` of an address, which is added if it is not there."""
    for name, (known, sha1) in DATA_HUB.items():
        if url in (name, known) and sha1_hash in (None, sha1):
            return name
    if url in DATA_HUB and url not in _ASKED_FOR:
        raise InputError(f"{url!r} has the SHA-1 {DATA_HUB[url][1]}, not {sha1_hash}: leave sha1_hash out")
    if not url.startswith(("http://", "https://")):
        raise InputError(f"unknown download {url!r}: give an address, or one of {', '.join(DATA_HUB)}")
    if sha1_hash is None:
        raise InputError(f"nothing says what {url!r} must hold: give its SHA-1 as sha1_hash")
    _ASKED_FOR.add(url)
    DATA_HUB[url] = (url, sha1_hash)
    return url


def _stand_in(name: str) -> bytes | None:
    """Return what stands in for a file of the book, or None if nothing does. A warning says so."""
    for source, corpus in data.CORPORA.items():
        if corpus.download == name and not file_name(name).endswith(".zip"):
            return data.read_text(source).content.encode()
    if name != PAIRS:
        return None
    text, archive = data.read_data_nmt(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr(f"{PAIRS}/{PAIRS_FILE}", text)
    return archive.getvalue()


def extract(filename: str, folder: str | None = None) -> None:
    """Unpack a zip archive (edition 1.0, section B.8).

    Args:
        filename: The archive's path.
        folder: The folder to unpack it into; by default the one in which it lies.

    Raises:
        InputError: If it is no zip archive, is damaged, or has files that would lie outside of the folder.
        StorageError: If they cannot be written.
    """
    into = Path(filename).parent if folder is None else Path(folder)
    if not filename.endswith(".zip"):
        raise InputError(f"{filename!r} is not a zip archive: unpack it yourself, into {str(into)!r}")
    try:
        if not Path(filename).is_file():
            raise InputError(f"there is no file {filename!r}: download it first, with d2l.download")
        with explained(f"cannot unpack {filename!r}", _ADVICE), zipfile.ZipFile(filename) as archive:
            for name in archive.namelist():
                if ".." in name.split("/") or name.startswith("/") or "\\" in name or ":" in name:
                    raise InputError(f"{filename!r} holds {name!r}, which is not in its folder: nothing was unpacked")
            archive.extractall(into)
    # Unknown compressions and passwords are RuntimeErrors
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(
            f"cannot unpack {filename!r}: {error}; give a zip archive that is whole, without a password"
        ) from None
