"""The lyrics' archive, with a text of the tests' own in it, and no server to have it from."""

import hashlib
import io
import zipfile

CONTENT = "分开 and the time traveller\n".encode()


def zipped(content, name="jaychou_lyrics.txt"):
    """Return the bytes of a zip archive with one file in it."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr(name, content)
    return memory.getvalue()


PACKED = zipped(CONTENT)
NO_SERVER = ("http://127.0.0.1:1/jaychou_lyrics.txt.zip", hashlib.sha1(PACKED).hexdigest())
