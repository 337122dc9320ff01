"""What joins processes listens where it must, and nobody else can take part."""

import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from conformance.__main__ import INTERRUPTED
from conformance.records.training import load_run
from conformance.run.fence import fence
from tests.backends.doors import PATIENCE, Door, address_of, doors_of, doors_while
from tests.backends.launchers import (
    EPOCHS,
    LONG,
    LOOPBACK,
    WITNESS,
    command,
    dmlc,
    free_port,
    said,
    tf_config,
    two_hosts,
)
from tests.conformance.helpers import assert_one_line, family, is_running, wait_until_gone

ON_EVERY_INTERFACE = {"tensorflow"}
"""Whose servers cannot be told where to listen."""


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
        return started[-1]

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


def all_of(found: dict[int, set[Door]]) -> set[Door]:
    return set().union(*found.values())


def test_workers_of_one_machine_have_a_network_of_their_own_and_end_if_one_hangs(
    train, backend_name: str, tmp_path: Path
) -> None:
    with fence() as (inside, reason):
        if not inside:
            pytest.skip(f"needs network namespaces: {reason}")
    process = train()
    found = doors_while([process], [tmp_path / "0.log"])
    assert not found[process.pid], "the parent needs nobody to call it"
    doors = all_of(found)
    assert len({door.network for door in doors}) == 1
    for door in doors:
        assert door.network != own_network()
        assert door.interfaces == {"lo"}
        assert door.is_loopback or backend_name in ON_EVERY_INTERFACE
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", door.port), timeout=5)
    # gloo waits for who is silent; the limit of an epoch ends that.
    assert_a_hang_is_ended(process, control_c=backend_name == "pytorch")


def test_without_namespaces_they_listen_at_the_loopback_or_are_refused_and_control_c_ends_a_hang(
    train, no_namespaces: dict[str, str], backend_name: str, tmp_path: Path
) -> None:
    process = train(**no_namespaces)
    if backend_name in ON_EVERY_INTERFACE:
        assert process.wait(PATIENCE) == EXIT_BAD_INPUT
        line = assert_one_line(said(tmp_path, 0))
        assert re.match("--workers: expected a network namespace, since .* every interface", line)
        assert line.endswith("found unshare: Operation not permitted")
        process = train()
        doors_while([process], [tmp_path / "0.log"])
    else:
        doors = all_of(doors_while([process], [tmp_path / "0.log"]))
        assert {door.network for door in doors} == {own_network()}
        assert [door for door in doors if not door.is_loopback] == []
    assert_a_hang_is_ended(process, control_c=True)


def assert_a_hang_is_ended(process: subprocess.Popen, control_c: bool) -> None:
    """One of two workers hangs: the run ends, by itself or by Ctrl-C, and leaves nobody."""
    members = family(process.pid)
    try:
        workers = [pid for pid in members if b"conformance.worker" in command_of(pid)]
        assert len(workers) == 2
        os.kill(workers[1], signal.SIGSTOP)
        if control_c:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == (INTERRUPTED if control_c else EXIT_FAIL)
        wait_until_gone(members)
    finally:
        for pid in filter(is_running, members):
            os.kill(pid, signal.SIGKILL)


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_two_hosts_that_a_launcher_has_started_train_the_same_and_listen_where_they_were_told(
    launch, backend_name: str, tmp_path: Path
) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    seen = backend_name not in ON_EVERY_INTERFACE  # who listens there says so
    with two_hosts() as hosts:
        longer = ("--epochs", "5") if seen else ()
        processes = launch(hosts, [command(backend_name, out, *longer) for out in outs])
        if seen:
            logs, shown = [tmp_path / "0.log", tmp_path / "1.log"], re.compile(": epoch [3-5] of 5")
            found = doors_while(processes, logs, shown)
            assert_each_listens_at_its_own(all_of(found), [host.address for host in hosts])
        for k, process in enumerate(processes):
            assert process.wait(PATIENCE) == EXIT_PASS, said(tmp_path, k)
    written = [path.parent for out in outs for path in out.glob("training/*/*/run.json")]
    assert len(written) == 1, "the first worker alone writes the run"
    digests = load_run(written[0]).digests[: len(WITNESS.digests)]
    assert len(digests) >= EPOCHS and digests == WITNESS.digests[: len(digests)]


def assert_each_listens_at_its_own(doors: Iterable[Door], addresses: list[str]) -> None:
    seen: dict[str, set[str]] = {}
    for door in doors:
        seen.setdefault(door.network, set()).add(door.address)
    assert sorted(map(sorted, seen.values())) == [[address] for address in addresses]


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
