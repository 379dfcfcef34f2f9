"""Files that are downloaded, from a server on this machine."""

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
from lyrics import CONTENT, NO_SERVER, PACKED, zipped

from d2lrnn.data import (
    DATA_HUB,
    DownloadError,
    Text,
    download,
    downloads,
    load_corpus,
    read_text,
)
from d2lrnn.errors import D2LRNNError, D2LRNNWarning, InputError


@pytest.fixture(autouse=True)
def lyrics(monkeypatch):
    """The lyrics have a text of the test's own and its hash, and no server but one that a test gives them."""
    monkeypatch.setitem(DATA_HUB, "jaychou_lyrics", NO_SERVER)


class Server(ThreadingHTTPServer):
    """Serves ``files``, counts ``requests``, and answers late, or not before the end of the test, if ``silent``."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.silent, self.closing = {}, [], False, threading.Event()

    def publish(self, monkeypatch, content, promised=CONTENT, file="greeting.txt", name="greeting"):
        """Put a file on the server and, with the hash of what was promised, into the registry."""
        self.files[f"/{file}"], self.length = content, len(promised)
        url = f"http://127.0.0.1:{self.server_port}/{file}"
        monkeypatch.setitem(DATA_HUB, name, (url, hashlib.sha1(promised).hexdigest()))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.server.silent and self.server.closing.wait(10):
            return
        if (content := self.server.files.get(self.path)) is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(self.server.length))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, no folder of the user's, and no proxy between the test and its server."""
    monkeypatch.delenv(downloads.DATA_ENV, raising=False)
    folder = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda name: folder)
    return folder


def files_in(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_download_arrives_in_the_cache(server, cache, monkeypatch, capfd):
    server.publish(monkeypatch, CONTENT)
    path = Path(download("greeting"))
    assert path == cache / "greeting.txt"
    assert path.read_bytes() == CONTENT
    assert files_in(cache) == ["greeting.txt"]
    assert capfd.readouterr().out == ""


def test_a_download_goes_where_it_is_told(server, cache, monkeypatch, tmp_path):
    server.publish(monkeypatch, CONTENT)
    path = download("greeting", tmp_path / "here")
    assert Path(path) == tmp_path / "here" / "greeting.txt"
    assert not cache.exists()


def test_a_second_download_does_not_ask_the_server(server, cache, monkeypatch):
    server.publish(monkeypatch, CONTENT)
    assert download("greeting") == download("greeting")
    assert server.requests == ["/greeting.txt"]


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, cache, monkeypatch):
    server.publish(monkeypatch, CONTENT)
    cache.mkdir(exist_ok=True)
    (cache / "greeting.txt").write_bytes(CONTENT[:10])
    assert Path(download("greeting")).read_bytes() == CONTENT
    assert server.requests == ["/greeting.txt"]


def test_a_page_that_is_not_there_is_an_error(server, cache, monkeypatch):
    server.publish(monkeypatch, None)
    with pytest.raises(DownloadError, match=r"cannot download http://127.*404.*greeting.txt.*D2LRNN_DATA"):
        download("greeting")
    assert files_in(cache) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"x" * len(CONTENT), id="other-content"),
        pytest.param(CONTENT[:-5], id="broken-off"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_wrong_content_is_an_error_and_leaves_no_file(server, cache, monkeypatch, content):
    server.publish(monkeypatch, content)
    with pytest.raises(DownloadError, match=r"cannot download http://127.*/greeting.txt: "):
        download("greeting")
    assert server.requests == ["/greeting.txt"]
    assert files_in(cache) == []


def test_a_server_that_never_answers_is_an_error(server, cache, monkeypatch):
    server.publish(monkeypatch, CONTENT)
    server.silent = True
    monkeypatch.setattr(downloads, "DOWNLOAD_TIMEOUT", 0.2)
    with pytest.raises(DownloadError, match=r"cannot download .*greeting.txt: no answer within 0.2 seconds"):
        download("greeting")
    assert files_in(cache) == []


def test_a_server_that_cannot_be_reached_is_an_error_of_one_line(cache, monkeypatch, closed_port):
    monkeypatch.setitem(DATA_HUB, "greeting", (f"http://127.0.0.1:{closed_port}/greeting.txt", "0" * 40))
    with pytest.raises(
        DownloadError, match="put greeting.txt into a folder and name that folder in D2LRNN_DATA"
    ) as caught:
        download("greeting")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, D2LRNNError)
    assert isinstance(caught.value, OSError)


def test_an_error_without_words_is_still_a_download_error(cache, monkeypatch):
    def fail(*args, **kwargs):
        raise TimeoutError

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(DownloadError, match="TimeoutError"):
        download("time_machine")


def test_the_users_folder_comes_first(server, cache, monkeypatch, tmp_path):
    server.publish(monkeypatch, CONTENT)
    (tmp_path / "greeting.txt").write_bytes(CONTENT)
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    assert Path(download("greeting")) == tmp_path / "greeting.txt"
    assert server.requests == []


def test_a_wrong_file_in_the_users_folder_is_an_error(server, cache, monkeypatch, tmp_path):
    server.publish(monkeypatch, CONTENT)
    (tmp_path / "greeting.txt").write_bytes(b"something else")
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    with pytest.raises(DownloadError, match="is not the expected file .*: replace or remove it"):
        download("greeting")
    assert server.requests == []
    assert (tmp_path / "greeting.txt").read_bytes() == b"something else"


def test_a_users_folder_without_the_file_is_passed_over(server, cache, monkeypatch, tmp_path):
    server.publish(monkeypatch, CONTENT)
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path / "nowhere"))
    assert Path(download("greeting")) == cache / "greeting.txt"


def test_an_unknown_download_is_an_error(cache):
    with pytest.raises(InputError, match="unknown download 'alphabet': known are .*time_machine"):
        download("alphabet")


def test_the_story_stands_in_for_a_time_machine_that_cannot_be_had(cache, monkeypatch, closed_port, capfd):
    monkeypatch.setitem(DATA_HUB, "time_machine", (f"http://127.0.0.1:{closed_port}/timemachine.txt", "0" * 40))
    with pytest.warns(UserWarning, match="the bundled story stands in: cannot download .*timemachine.txt") as caught:
        text = read_text("time-machine")
    assert text == read_text("story")
    assert [warning.filename for warning in caught] == [__file__]
    assert capfd.readouterr().out == ""


def test_within_a_command_a_text_that_could_not_be_downloaded_is_not_waited_for_again(
    cache, monkeypatch, closed_port, tmp_path
):
    url = f"http://127.0.0.1:{closed_port}/timemachine.txt"
    content = b"the time machine by h g wells"
    monkeypatch.setitem(DATA_HUB, "time_machine", (url, hashlib.sha1(content).hexdigest()))
    tries = []
    original = downloads.download
    monkeypatch.setattr(downloads, "download", lambda name: tries.append(name) or original(name))

    def read_in_vain():
        with pytest.warns(UserWarning, match="the bundled story stands in: cannot download .*timemachine.txt"):
            assert read_text("time-machine").name == "story"

    with downloads.remembering_failures():
        for _ in range(3):
            read_in_vain()
        assert tries == ["time_machine"]
        # who follows the advice gets the text, and who asks for the download itself has it tried
        monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
        (tmp_path / "timemachine.txt").write_bytes(content)
        assert read_text("time-machine").name == "time-machine"
        monkeypatch.delenv(downloads.DATA_ENV)
        with pytest.raises(DownloadError):
            original("time_machine")
    tries.clear()
    for _ in range(2):
        read_in_vain()
    assert tries == ["time_machine"] * 2


def test_a_download_is_tried_again_in_python_once_there_is_a_network(cache, monkeypatch, closed_port):
    url = f"http://127.0.0.1:{closed_port}/jaychou_lyrics.txt.zip"
    monkeypatch.setitem(DATA_HUB, "jaychou_lyrics", (url, hashlib.sha1(PACKED).hexdigest()))
    with pytest.warns(D2LRNNWarning, match="the bundled verses stand in"):
        read_text("lyrics")
    monkeypatch.setattr(downloads, "download", lambda name: str(cache / "there"))
    cache.mkdir(exist_ok=True)
    (cache / "there").write_bytes(PACKED)
    assert read_text("lyrics").name == "lyrics"


# The lyrics of the first Chinese edition, which come zipped


def publish_lyrics(server, monkeypatch, content=PACKED):
    server.publish(monkeypatch, content, PACKED, "jaychou_lyrics.txt.zip", "jaychou_lyrics")


def test_the_lyrics_are_downloaded_and_unpacked(server, cache, monkeypatch):
    publish_lyrics(server, monkeypatch)
    assert read_text("lyrics") == Text("lyrics", CONTENT.decode(), hashlib.sha256(CONTENT).hexdigest())
    assert read_text("lyrics").content == CONTENT.decode()
    assert server.requests == ["/jaychou_lyrics.txt.zip"]
    assert files_in(cache) == ["jaychou_lyrics.txt.zip"]


def test_a_download_of_the_lyrics_with_another_hash_is_not_used(server, cache, monkeypatch):
    publish_lyrics(server, monkeypatch, zipped(CONTENT.replace(b"time", b"TIME")))
    with pytest.warns(D2LRNNWarning, match="the bundled verses stand in: cannot download .*hash"):
        text = read_text("lyrics")
    assert text == read_text("verses")
    assert server.requests == ["/jaychou_lyrics.txt.zip"]
    assert files_in(cache) == []


def test_the_verses_stand_in_for_lyrics_that_cannot_be_had(cache):
    match = "first Chinese edition's song text is not here, the bundled verses stand in: .*D2LRNN_DATA"
    with pytest.warns(D2LRNNWarning, match=match) as caught:
        assert read_text("lyrics") == read_text("verses")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    ("name", "content"),
    [("jaychou_lyrics.txt.zip", PACKED), ("jaychou_lyrics.txt", CONTENT)],
    ids=["packed", "unpacked"],
)
def test_the_users_folder_has_the_lyrics(cache, monkeypatch, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    assert read_text("lyrics") == Text("lyrics", CONTENT.decode(), hashlib.sha256(CONTENT).hexdigest())


def test_a_packed_file_in_the_users_folder_comes_before_an_unpacked_one(cache, monkeypatch, tmp_path):
    (tmp_path / "jaychou_lyrics.txt.zip").write_bytes(PACKED)
    (tmp_path / "jaychou_lyrics.txt").write_bytes(b"something else")
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    assert read_text("lyrics").content == CONTENT.decode()


def test_packed_lyrics_with_another_hash_in_the_users_folder_are_not_used(server, cache, monkeypatch, tmp_path):
    publish_lyrics(server, monkeypatch)
    (tmp_path / "jaychou_lyrics.txt.zip").write_bytes(zipped("something else"))
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    with pytest.warns(D2LRNNWarning, match="verses stand in: .*is not the expected file .*: replace or remove it"):
        assert read_text("lyrics") == read_text("verses")
    assert server.requests == []


def test_unpacked_lyrics_that_are_not_utf_8_are_an_error(cache, monkeypatch, tmp_path):
    (tmp_path / "jaychou_lyrics.txt").write_bytes("分开".encode("gbk"))
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    with pytest.raises(InputError, match="jaychou_lyrics.txt' is not UTF-8"):
        read_text("lyrics")


def test_a_text_in_a_zip_archive_is_a_text_like_any_other(tmp_path):
    (tmp_path / "mine.zip").write_bytes(zipped(CONTENT, "any name.TXT"))
    tokens, vocab = load_corpus(tmp_path / "mine.zip")
    assert "".join(vocab.to_tokens(tokens)) == CONTENT.decode().strip()
