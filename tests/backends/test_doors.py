"""What joins processes listens where it must, and nobody else can take part."""

import ipaddress
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT
from conformance.run.fence import fence
from tests.backends.launchers import (
    LOOPBACK,
    command,
    dmlc,
    free_port,
    said,
    tf_config,
    two_hosts,
)
from tests.conformance.helpers import assert_one_line, family

PATIENCE = 240.0
LISTENS = "0A"
"""As /proc/net/tcp writes that state."""

SEEN = "epoch 20 of"
LONG = ("--epochs", "200")
ON_EVERY_INTERFACE = {"tensorflow"}
"""Whose servers cannot be told where to listen."""


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


def doors_while(processes: list[subprocess.Popen], logs: list[Path]) -> dict[int, set[Door]]:
    """Where every process that the test has started listens, and what these have started, from the
    beginning until training has gone on for a while."""
    deadline, found = time.monotonic() + PATIENCE, {}
    while not any(SEEN in log.read_text(encoding="utf-8") for log in logs):
        ended = {log.name: log.read_text(encoding="utf-8") for log in logs[0].parent.glob("*.log")}
        assert not [process for process in processes if process.poll() is not None], ended
        assert time.monotonic() < deadline, ended
        for pid in family(os.getpid())[1:]:
            found.setdefault(pid, set()).update(doors_of(pid))
        time.sleep(0.1)
    return found


def own_network() -> str:
    return os.readlink("/proc/self/ns/net")


@pytest.fixture
def train(backend_name: str, backend, tmp_path: Path):
    """Start ``train --workers 2`` on this machine, with these settings; it is ended afterwards."""
    if not hasattr(backend, "join"):
        pytest.skip(f"{backend_name} has no engine that joins processes")
    if not Path("/proc/net/tcp6").exists():
        pytest.skip("needs Linux' tables of sockets")
    started = []

    def begin(**settings: str) -> subprocess.Popen:
        words = command(backend_name, tmp_path / "results", *LONG)
        # What somebody uses on a cluster has no say here.
        elsewhere = {"GLOO_SOCKET_IFNAME": "eth7", "DMLC_INTERFACE": "eth7"}
        started.append(LOOPBACK.start(words, elsewhere | settings, tmp_path / "0.log"))
        return started[0]

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def no_namespaces(tmp_path: Path) -> dict[str, str]:
    """Settings of a system that forbids namespaces."""
    forbidden = tmp_path / "unshare"
    forbidden.write_text("#!/bin/sh\necho 'unshare: Operation not permitted' >&2\nexit 1\n")
    forbidden.chmod(0o755)
    return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}


def test_what_listens_is_seen() -> None:
    own = {(door.address, door.port) for door in doors_of(os.getpid())}
    opened = set()
    wanted = {"127.0.0.1": True, "0.0.0.0": False, "::1": True, "::": False}
    sockets = []
    try:
        for address, is_loopback in wanted.items():
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                sockets.append(socket.create_server((address, 0), family=kind))
            except OSError:
                continue  # a machine without IPv6
            opened.add((address, sockets[-1].getsockname()[1]))
            door = Door(address, 1, "", frozenset())
            assert door.is_loopback == is_loopback
        assert len(opened) >= 2
        found = {(door.address, door.port) for door in doors_of(os.getpid())}
        assert found - own == opened
    finally:
        for each in sockets:
            each.close()
    if sys.byteorder == "little":
        assert address_of("0000000000000000FFFF00000100007F") == "127.0.0.1"
        assert address_of("00000000000000000000000000000000") == "::"


def test_a_process_s_children_and_theirs_are_seen() -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while len(found := family(os.getpid())) < 3:
                assert time.monotonic() < deadline
            assert process.pid in found
        finally:
            for pid in found[1:]:
                os.kill(pid, 9)


def test_workers_of_one_machine_have_a_network_of_their_own(
    train, backend_name: str, tmp_path: Path
) -> None:
    with fence() as (inside, reason):
        if not inside:
            pytest.skip(f"needs network namespaces: {reason}")
    process = train()
    found = doors_while([process], [tmp_path / "0.log"])
    assert not found[process.pid], "the parent needs nobody to call it"
    doors = set().union(*found.values())
    assert len({door.network for door in doors}) == 1
    for door in doors:
        assert door.network != own_network()
        assert door.interfaces == {"lo"}
        assert door.is_loopback or backend_name in ON_EVERY_INTERFACE
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", door.port), timeout=5)


def test_without_namespaces_they_listen_at_the_loopback_or_are_refused(
    train, no_namespaces: dict[str, str], backend_name: str, tmp_path: Path
) -> None:
    process = train(**no_namespaces)
    if backend_name in ON_EVERY_INTERFACE:
        assert process.wait(PATIENCE) == EXIT_BAD_INPUT
        line = assert_one_line(said(tmp_path, 0))
        assert re.match("--workers: expected a network namespace, since .* every interface", line)
        assert line.endswith("found unshare: Operation not permitted")
        return
    found = doors_while([process], [tmp_path / "0.log"])
    doors = set().union(*found.values())
    assert {door.network for door in doors} == {own_network()}
    assert [door for door in doors if not door.is_loopback] == []


def test_on_two_hosts_they_listen_at_the_addresses_that_were_named(
    launch, backend_name: str, tmp_path: Path
) -> None:
    if backend_name in ON_EVERY_INTERFACE:
        pytest.skip("listens on every interface, and says so")
    with two_hosts() as hosts:
        commands = [command(backend_name, tmp_path / host.address, *LONG) for host in hosts]
        processes = launch(hosts, commands)
        found = doors_while(processes, [tmp_path / "0.log", tmp_path / "1.log"])
        addresses: dict[str, set[str]] = {}
        for door in set().union(*found.values()):
            addresses.setdefault(door.network, set()).add(door.address)
        assert sorted(map(sorted, addresses.values())) == [[host.address] for host in hosts]


def test_on_two_hosts_what_listens_on_every_interface_is_refused_until_it_is_allowed(
    backend_name: str, tmp_path: Path
) -> None:
    if backend_name not in ON_EVERY_INTERFACE:
        pytest.skip("listens at the address that was named")
    settings = tf_config(0, [LOOPBACK, LOOPBACK], port=1) | {"DEEP_RNN_TRUSTED_NETWORK": ""}
    process = LOOPBACK.start(command(backend_name, tmp_path), settings, tmp_path / "0.log")
    assert process.wait(PATIENCE) == EXIT_BAD_INPUT
    line = assert_one_line(said(tmp_path, 0))
    assert line.startswith("DEEP_RNN_TRUSTED_NETWORK: expected 1 if the network has nobody but the")


class Call:
    """Whoever unpickles it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


COMMAND = """
import pathlib, sys
import mxnet as mx
message = pathlib.Path(sys.argv[1]).read_text("latin-1")
mx.kv.create("dist_sync")._send_command_to_servers(0, message)
"""


@pytest.mark.parametrize("serves", ["MXNet's own", "ours"])
def test_a_server_runs_nothing_that_a_command_brings(
    serves: str, backend_name: str, tmp_path: Path
) -> None:
    if backend_name != "mxnet":
        pytest.skip("MXNet's servers take commands")
    made, message = tmp_path / "made", tmp_path / "message"
    message.write_bytes(pickle.dumps(Call(made), 0))
    port = free_port(1)
    ours = "from backends.mxnet.workers import serve; serve()"
    code = {"scheduler": ours, "server": ours if serves == "ours" else "import mxnet"}
    started = {}
    try:
        for role, words in code.items():
            setting = dmlc(0, [LOOPBACK], port, role) | {"PYTHONWARNINGS": "ignore"}
            log = tmp_path / f"{role}.log"
            started[role] = LOOPBACK.start([sys.executable, "-c", words], setting, log)
        caller = [sys.executable, "-c", COMMAND, str(message)]
        setting = dmlc(0, [LOOPBACK], port) | {"PYTHONWARNINGS": "ignore"}
        started["worker"] = LOOPBACK.start(caller, setting, tmp_path / "worker.log")
        deadline = time.monotonic() + PATIENCE
        while not made.exists() and started["server"].poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        if serves == "ours":
            assert started["server"].wait(PATIENCE) == 1
            text = (tmp_path / "server.log").read_text(encoding="utf-8")
            assert "MXNet's server ends: it was sent command 0" in text
        assert made.exists() == (serves != "ours")
    finally:
        for process in started.values():
            process.kill()
            process.wait()
