"""Downloads, from a server on this machine that does what servers do."""

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from common.errors import BadInput
from common.texts.download import Download, fetch

pytestmark = pytest.mark.once

PAYLOAD = "".join(
    f"Line {i} of a text, a little unlike the others.\n" for i in range(2000)
).encode()


@dataclass
class Server:
    """What the server on 127.0.0.1 does, and the Range headers that it was sent."""

    address: str = ""
    payload: bytes = PAYLOAD
    knows_ranges: bool = True
    breaks_after: int | None = None
    is_silent: bool = False
    answer: bytes = b""  # all of it, the status line too; empty: the payload
    ranges: list[str | None] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def download(self) -> Download:
        """What the server has when it is honest."""
        return Download(self.address, len(PAYLOAD), hashlib.sha256(PAYLOAD).hexdigest())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            state.ranges.append(wanted)
            if state.is_silent:
                state.stop.wait()
                return
            if state.answer:
                self.wfile.write(state.answer)
                return
            start = 0
            if wanted and state.knows_ranges:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start and start >= len(state.payload):
                self.send_error(416)
                return
            body = state.payload[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.breaks_after])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_port}/text.txt"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        state.stop.set()
        http.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "text.txt"


@pytest.fixture
def part(path: Path) -> Path:
    path.parent.mkdir()
    return path.with_name("text.txt.part")


def test_a_download_is_kept_and_not_asked_for_again(server: Server, path: Path) -> None:
    assert fetch(server.download, path) == PAYLOAD
    assert fetch(server.download, path) == PAYLOAD
    assert server.ranges == [None]
    assert [file.name for file in path.parent.iterdir()] == ["text.txt"]


def test_a_broken_download_is_continued(server: Server, path: Path) -> None:
    server.breaks_after = 30_000
    with pytest.raises(BadInput, match="found only 30000 bytes, which the next attempt continues"):
        fetch(server.download, path)
    assert not path.exists()
    with pytest.raises(BadInput, match="found only 60000 bytes"):
        fetch(server.download, path)
    server.breaks_after = None
    assert fetch(server.download, path) == path.read_bytes() == PAYLOAD
    assert server.ranges == [None, "bytes=30000-", "bytes=60000-"]


def test_a_server_that_ignores_ranges_sends_the_whole_again(
    server: Server, path: Path, part: Path
) -> None:
    part.write_bytes(PAYLOAD[:30_000])
    server.knows_ranges = False
    assert fetch(server.download, path) == path.read_bytes() == PAYLOAD
    assert server.ranges == ["bytes=30000-"]


def test_a_part_that_is_wrong_is_thrown_away_and_the_whole_downloaded(
    server: Server, path: Path, part: Path
) -> None:
    part.write_bytes(b"?" * 30_000)
    assert fetch(server.download, path) == PAYLOAD
    assert server.ranges == ["bytes=30000-", None]


@pytest.mark.parametrize("length", [len(PAYLOAD), len(PAYLOAD) + 1])
def test_a_part_that_is_wrong_and_complete_is_thrown_away(
    server: Server, path: Path, part: Path, length: int
) -> None:
    part.write_bytes(b"?" * length)
    assert fetch(server.download, path) == PAYLOAD
    assert server.ranges == [None]


def test_a_part_that_is_complete_and_right_needs_no_server(
    server: Server, path: Path, part: Path
) -> None:
    part.write_bytes(PAYLOAD)
    assert fetch(server.download, path) == path.read_bytes() == PAYLOAD
    assert server.ranges == []
    assert not part.exists()


def test_a_range_that_the_server_cannot_satisfy_starts_again(
    server: Server, path: Path, part: Path
) -> None:
    part.write_bytes(PAYLOAD[:30_000])
    server.payload = PAYLOAD[:30_000]
    with pytest.raises(BadInput, match="found only 30000 bytes"):
        fetch(server.download, path)
    assert server.ranges == ["bytes=30000-", None]


@pytest.mark.parametrize("wrong", [PAYLOAD.swapcase(), PAYLOAD.swapcase() * 2])
def test_a_download_with_another_hash_is_refused_and_not_kept(
    server: Server, path: Path, wrong: bytes
) -> None:
    server.payload = wrong
    found = hashlib.sha256(PAYLOAD.swapcase()).hexdigest()
    with pytest.raises(BadInput, match=f"{server.download.sha256} .*, found sha256 {found}$"):
        fetch(server.download, path)
    assert not path.exists()
    assert path.with_name("text.txt.part").read_bytes() == b""
    assert server.ranges == [None]


@pytest.mark.parametrize("corrupt", [b"", PAYLOAD[:-1], PAYLOAD + b"?", PAYLOAD.swapcase()])
def test_a_corrupt_cache_is_downloaded_anew(server: Server, path: Path, corrupt: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(corrupt)
    assert fetch(server.download, path) == path.read_bytes() == PAYLOAD
    assert server.ranges == [None]


def test_commands_that_are_started_together_download_once(server: Server, path: Path) -> None:
    together = threading.Barrier(4)
    found: list[bytes] = []

    def command() -> None:
        together.wait()
        found.append(fetch(server.download, path))

    threads = [threading.Thread(target=command) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [PAYLOAD] * 4
    assert server.ranges == [None]


@pytest.mark.parametrize(
    "answer, found",
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "HTTP Error 404: Not Found"),
        (b"nonsense", "nonsense"),
    ],
)
def test_a_server_without_the_file_is_refused(
    server: Server, path: Path, answer: bytes, found: str
) -> None:
    server.answer = answer
    with pytest.raises(BadInput, match=f"^{server.address}: expected .*, found {found}$"):
        fetch(server.download, path)


def test_a_silent_server_is_given_up(server: Server, path: Path) -> None:
    server.is_silent = True
    with pytest.raises(BadInput, match="found .*timed out"):
        fetch(server.download, path, timeout=0.2)


def test_a_cache_that_cannot_be_written_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="file/text.txt: expected a cache that can be written"):
        fetch(server.download, tmp_path / "file" / "text.txt")
    assert server.ranges == []
