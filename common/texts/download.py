"""Downloads that are checked, cached, and continued where they broke off."""

import fcntl
import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

from common.errors import BadInput
from common.storage.files import write_atomically

TIMEOUT = 30.0


@dataclass(frozen=True)
class Download:
    """A file that never changes: where it is, how many bytes it has, and their hash."""

    address: str
    size: int
    sha256: str

    def is_whole(self, data: bytes) -> bool:
        return hashlib.sha256(data).hexdigest() == self.sha256

    def failed(self, found: object) -> BadInput:
        """The error of a download that did not bring the file."""
        expected = (
            f"{self.size} bytes with sha256 {self.sha256}"
            " (where there is no network, --text PATH takes a copy of the text)"
        )
        return BadInput(self.address, "", expected, found)


def fetch(download: Download, path: Path, timeout: float = TIMEOUT) -> bytes:
    """The bytes of a download, from the cache at ``path`` if they are there and right.

    Otherwise they are downloaded to ``path`` + ``.part``, which a later call continues if the
    connection breaks, and moved to ``path`` when their hash is right.

    timeout: seconds that the server may stay silent
    Raises BadInput if the file cannot be downloaded, is another one, or cannot be cached.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        if download.is_whole(data := _read(path)):
            return data
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "a+b") as file:
            # Commands that are started together, one per framework, would write into one part.
            fcntl.flock(file, fcntl.LOCK_EX)
            if download.is_whole(data := _read(path)):
                return data
            data = _download(download, file, timeout)
            write_atomically(path, lambda temporary: temporary.write_bytes(data))
            part.unlink()
            return data
    except OSError as error:
        raise BadInput(path, "", "a cache that can be written", error.strerror or error) from None


def _download(download: Download, part: BinaryIO, timeout: float) -> bytes:
    """Complete the part and check it. A wrong one is thrown away; if it was begun by an earlier
    call, there is a second attempt from the start."""
    while True:
        continued = part.seek(0, SEEK_END) > 0
        try:
            _receive(download, part, timeout)
        except (OSError, http.client.HTTPException) as error:
            raise download.failed(str(error) or type(error).__name__) from None
        part.seek(0)
        data = part.read()
        if download.is_whole(data):
            return data
        if len(data) < download.size:
            raise download.failed(f"only {len(data)} bytes, which the next attempt continues")
        part.truncate(0)
        if not continued:
            raise download.failed(f"sha256 {hashlib.sha256(data).hexdigest()}")


def _receive(download: Download, part: BinaryIO, timeout: float) -> None:
    """Append to the part what it lacks, or all of the file if the server does not know ranges."""
    start = part.seek(0, SEEK_END)
    if start >= download.size:
        return
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(download.address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                part.seek(0)
                part.truncate()
            # No more than the size is read, so that a wrong server cannot fill the disk.
            while (lacking := download.size - part.tell()) and (data := response.read1(lacking)):
                part.write(data)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
        part.truncate(0)
        _receive(download, part, timeout)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
