"""The one download of the Inception weights, from a server of the test's own."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from gan.errors import InputError
from gan.evaluation.features import inception_weights
from gan.evaluation.features.inception_weights import FILE, find_weights

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Sends `content`, and counts the requests."""

    content = CONTENT
    breaks_after: int | None = None
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests += 1
        if server.status != 200:
            self.send_error(server.status)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.content)))
        self.end_headers()
        self.wfile.write(server.content[: server.breaks_after])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("GAN_SEARCH_CACHE", str(folder))
    monkeypatch.delenv(inception_weights.OFFLINE)
    return folder


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as running:
        monkeypatch.setattr(inception_weights, "URL", f"http://127.0.0.1:{running.server_port}/{FILE}")
        monkeypatch.setattr(inception_weights, "SHA256", hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setattr(inception_weights, "BYTES", len(CONTENT))
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_is_downloaded_once(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int | None]] = []
    folder = cache
    folder.mkdir()
    inception_weights._download(folder / FILE, lambda done, total: shown.append((done, total)))
    assert shown[-1] == (3, 3) and len(shown) > 1
    assert find_weights(None) == folder / FILE
    assert (folder / FILE).read_bytes() == CONTENT
    assert server.requests == 1
    assert files(folder) == [FILE]


def test_many_who_ask_at_once_download_once(server: Server, cache: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: find_weights(None), range(8)))
    assert set(found) == {cache / FILE}
    assert server.requests == 1


def test_a_download_that_breaks_off_leaves_nothing(server: Server, cache: Path) -> None:
    server.breaks_after = 100_000
    with pytest.raises(InputError, match=r"100,000 of 3,000,000 bytes.*--features random-conv") as caught:
        find_weights(None)
    assert "\n" not in str(caught.value)
    assert files(cache) == []
    server.breaks_after = None
    assert find_weights(None).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT + b"more", b"<html>not found</html>" * 200_000])
def test_another_file_is_refused_and_thrown_away(server: Server, cache: Path, content: bytes) -> None:
    server.content = content
    if content.startswith(CONTENT):  # what is too long is cut at the size that it should have
        assert find_weights(None).read_bytes() == CONTENT
        return
    with pytest.raises(InputError, match=r"has sha256 .*, not .*deleted") as caught:
        find_weights(None)
    assert "\n" not in str(caught.value)
    assert files(cache) == []


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_has_nothing(server: Server, cache: Path, status: int) -> None:
    server.status = status
    with pytest.raises(InputError, match=f"HTTP {status}"):
        find_weights(None)
    assert server.requests == 1
    assert files(cache) == []


def test_without_a_network_one_line_tells_what_to_do_at_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception_weights, "URL", f"http://127.0.0.1:9/{FILE}")
    with pytest.raises(InputError) as caught:
        find_weights(None)
    said = str(caught.value)
    assert "\n" not in said
    for part in (inception_weights.URL, str(cache / FILE), "--inception-weights", "--features random-conv"):
        assert part in said


def test_a_server_that_never_answers_is_not_waited_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(inception_weights, "URL", f"http://127.0.0.1:{silent.getsockname()[1]}/{FILE}")
        monkeypatch.setattr(inception_weights, "TIMEOUT", 0.2)
        with pytest.raises(InputError, match="timed out"):
            find_weights(None)


def test_offline_nothing_is_tried(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception_weights.OFFLINE, "1")
    with pytest.raises(InputError, match=f"{inception_weights.OFFLINE} is set"):
        find_weights(None)
    assert server.requests == 0 and not cache.exists()


def test_whoever_only_looks_fetches_nothing(server: Server, cache: Path) -> None:
    with pytest.raises(InputError, match="fetched when needed"):
        find_weights(None, fetch=False)
    assert server.requests == 0 and not cache.exists()


def test_a_cache_that_cannot_be_written(server: Server, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(InputError, match="cannot be kept there"):
        find_weights(None)
