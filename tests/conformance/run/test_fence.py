"""A network that only those are in who were started there."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from conformance.run import fence as fences
from conformance.run.fence import WAYS, fence
from tests.conformance.helpers import ROOT

pytestmark = pytest.mark.once

INTERFACES = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
HEARS = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    server.accept()
"""
CALLS = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)"
NESTED = "from conformance.run.fence import fence\nwith fence() as found: print(found)"


def answer(inside: list[str], code: str, *words: str) -> str:
    command = [*inside, sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.fixture(params=WAYS, ids=" ".join)
def inside(request, monkeypatch):
    """What a command begins with inside of a fence that was made in one of the ways."""
    monkeypatch.setattr(fences, "WAYS", {request.param: WAYS[request.param]})
    with fence() as (words, reason):
        if not words:
            pytest.skip(f"needs network namespaces: {reason}")
        yield words


def test_there_is_nothing_but_a_loopback(inside):
    assert answer(inside, INTERFACES) == "['lo']"


def test_those_inside_reach_each_other_and_nobody_else_reaches_them(inside):
    command = [*inside, sys.executable, "-c", HEARS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(port)), timeout=5)
            answer(inside, CALLS, port)
            assert server.wait(60) == 0
        finally:
            server.kill()


def test_what_is_written_inside_belongs_to_who_started_it(inside, tmp_path):
    answer(inside, f"open({str(tmp_path / 'file')!r}, 'x')")
    assert (tmp_path / "file").owner() == tmp_path.owner()


def test_where_there_is_no_network_none_is_made(inside):
    assert answer(inside, NESTED) == "([], '')"


def test_every_fence_is_another():
    with fence() as (one, _), fence() as (other, _):
        if not one:
            pytest.skip("needs network namespaces")
        read = "import os; print(os.readlink('/proc/self/ns/net'))"
        assert len({answer([], read), answer(one, read), answer(other, read)}) == 3


@pytest.fixture
def unshare(tmp_path, monkeypatch):
    """Put a script in the place of the command."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(script: str) -> None:
        (tmp_path / "unshare").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "unshare").chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'unshare: not permitted' >&2; exit 1", "unshare: not permitted"),
        ("exit 3", "unshare ended with exit code 3"),
        (None, "unshare: No such file or directory"),
    ],
)
def test_the_reason_is_told_where_none_can_be_made(script, expected, unshare):
    if script:
        unshare(script)
    with fence() as found:
        assert found == ([], expected)


def test_a_namespace_in_which_nothing_is_allowed_is_none(unshare):
    """As AppArmor makes it for who is not root."""
    nobody = []
    if os.geteuid() == 0:
        if (command := shutil.which("setpriv", path=os.defpath)) is None:
            pytest.skip("needs the command setpriv, to give up a right of root")
        nobody = [command, "--bounding-set=-net_admin"]
    unshare(f'while [ "${{1#--}}" != "$1" ]; do shift; done; exec {" ".join(nobody)} "$@"')
    with fence() as found:
        assert found == ([], "the loopback cannot be set up: Operation not permitted")


def test_only_linux_has_them(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with fence() as (words, reason):
        assert (words, reason) == ([], "network namespaces are Linux'")
