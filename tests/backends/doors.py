"""Where processes listen, as the kernel's tables say."""

import ipaddress
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.helpers import family

PATIENCE = 240.0
"""Seconds after which a process hangs, busy machines included."""

LISTENS = "0A"
"""As /proc/net/tcp writes that state."""

SEEN = re.compile(r": epoch \d+ of")
"""Elsewhere than on a terminal a line about progress comes after every tenth of the epochs."""


@dataclass(frozen=True)
class Door:
    """A socket that listens, in a network that has these interfaces."""

    address: str
    port: int
    network: str
    interfaces: frozenset[str]

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback


def doors_of(pid: int) -> set[Door]:
    """Where a process listens; nowhere, if it is gone."""
    process, found = Path(f"/proc/{pid}"), set()
    try:
        links = set(filter(None, map(link_of, (process / "fd").iterdir())))
        network = os.readlink(process / "ns" / "net")
        lines = (process / "net" / "dev").read_text(encoding="ascii").splitlines()[2:]
        tables = [(process / "net" / name).read_text(encoding="ascii") for name in ("tcp", "tcp6")]
    except (FileNotFoundError, ProcessLookupError):
        return found
    interfaces = frozenset(line.split(":")[0].strip() for line in lines)
    for line in (line for table in tables for line in table.splitlines()[1:]):
        _, local, _, state, *_ = fields = line.split()
        if state == LISTENS and f"socket:[{fields[9]}]" in links:
            address, port = local.split(":")
            found.add(Door(address_of(address), int(port, 16), network, interfaces))
    return found


def link_of(path: Path) -> str:
    """What an entry of a process's files stands for; nothing, if it has been closed."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def address_of(digits: str) -> str:
    """As the kernel writes it: words of four bytes, each in the order of the machine."""
    words = [bytes.fromhex(digits[k : k + 8]) for k in range(0, len(digits), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    found = ipaddress.ip_address(packed)
    return str(getattr(found, "ipv4_mapped", None) or found)  # ::ffff:127.0.0.1 is 127.0.0.1


def doors_while(
    processes: list[subprocess.Popen], logs: list[Path], shown: re.Pattern[str] = SEEN
) -> dict[int, set[Door]]:
    """Where every process that the test has started listens, and what these have started, from the
    beginning until training has gone on for a while."""
    deadline, found = time.monotonic() + PATIENCE, {}
    while True:
        goes_on = any(shown.search(log.read_text(encoding="utf-8")) for log in logs)
        for pid in family(os.getpid())[1:]:
            found.setdefault(pid, set()).update(doors_of(pid))
        if goes_on:
            return found
        ended = {log.name: log.read_text(encoding="utf-8") for log in logs[0].parent.glob("*.log")}
        assert not [process for process in processes if process.poll() is not None], ended
        assert time.monotonic() < deadline, ended
        time.sleep(0.5)
