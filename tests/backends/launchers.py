"""How each framework's own launcher tells a process which worker it is, and hosts to try it on."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.records.witness import load_witnesses

ROOT = Path(__file__).parents[2]
EPOCHS = 3
LONG = ("--max-tokens", "1400", "--epochs", "400")
"""Of a run that shows after a second that it goes on, and would for long: a line comes after every
tenth of the epochs, and those of a short text are soon over."""

WITNESS = next(w for w in load_witnesses() if w.name == "quick-lstm")


@dataclass(frozen=True)
class Host:
    """A machine, or a network namespace that looks like one to the processes in it."""

    address: str
    interface: str
    prefix: tuple[str, ...] = ()

    def start(self, command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen:
        """A process on this host, whose output goes to a file."""
        with open(log, "wb") as output:
            return subprocess.Popen(
                [*self.prefix, *command],
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )


LOOPBACK = Host("127.0.0.1", "lo")


def torchrun(rank: int, hosts: list[Host], port: int) -> dict[str, str]:
    """PyTorch; what torchrun sets."""
    where = {"MASTER_ADDR": hosts[0].address, "MASTER_PORT": str(port)}
    names = {"RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": str(len(hosts))}
    return where | names | {"GLOO_SOCKET_IFNAME": hosts[rank].interface}


def tf_config(rank: int, hosts: list[Host], port: int) -> dict[str, str]:
    """TensorFlow: every worker knows all addresses."""
    addresses = [f"{host.address}:{port + k}" for k, host in enumerate(hosts)]
    task = {"type": "worker", "index": rank}
    config = {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}
    return config | {"DEEP_RNN_TRUSTED_NETWORK": "1"}


def dmlc(rank: int, hosts: list[Host], port: int, role: str = "worker") -> dict[str, str]:
    """MXNet; a scheduler, a server and the workers differ in their role only."""
    return {
        "DMLC_ROLE": role,
        "DMLC_PS_ROOT_URI": hosts[0].address,
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NUM_WORKER": str(len(hosts)),
        "DMLC_NUM_SERVER": "1",
        "DMLC_NODE_HOST": hosts[rank].address,
        "DMLC_INTERFACE": hosts[rank].interface,
    }


def coordinator(rank: int, hosts: list[Host], port: int) -> dict[str, str]:
    """JAX."""
    return {
        "JAX_COORDINATOR_ADDRESS": f"{hosts[0].address}:{port}",
        "JAX_NUM_PROCESSES": str(len(hosts)),
        "JAX_PROCESS_ID": str(rank),
    }


LAUNCHERS = {"pytorch": torchrun, "tensorflow": tf_config, "mxnet": dmlc, "jax": coordinator}


def start(
    backend: str, hosts: list[Host], commands: list[list[str]], logs: Path
) -> list[subprocess.Popen]:
    """One command on each host, as that framework's launcher would start it; what it prints goes to
    ``logs``, 0.log and so on. The helpers that MXNet needs come last."""
    port = free_port(len(hosts))
    launcher = LAUNCHERS[backend]
    started = [
        host.start(command, launcher(rank, hosts, port), logs / f"{rank}.log")
        for rank, (host, command) in enumerate(zip(hosts, commands, strict=True))
    ]
    if backend == "mxnet":
        for role in ("scheduler", "server"):
            helper = [sys.executable, "-c", "from backends.mxnet.workers import serve; serve()"]
            environment = dmlc(0, hosts, port, role)
            started.append(hosts[0].start(helper, environment, logs / f"{role}.log"))
    return started


def command(backend: str, out: Path, *options: str) -> list[str]:
    """What a launcher starts on every host."""
    words = [sys.executable, "-m", "conformance", "train", "--backend", backend]
    words += ["--numerics", "lattice", "--epochs", str(EPOCHS), "--workers", "2"]
    return [*words, "--out", str(out), *options]


def said(logs: Path, k: int) -> str:
    """What the command on host k has printed."""
    return (logs / f"{k}.log").read_text(encoding="utf-8")


def free_port(size: int) -> int:
    """The first of so many ports in a row, all of them free a moment ago."""
    for port in range(20_000 + os.getpid() % 10_000, 60_000, size):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for k in range(size):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + k))
            return port
    raise OSError("no free port")


@contextlib.contextmanager
def two_hosts() -> Iterator[list[Host]]:
    """Two network namespaces with a cable between them; skips where they cannot be made."""
    if shutil.which("ip") is None:
        pytest.skip("needs the command ip, to make network namespaces")
    names = [f"drnn{os.getpid()}{side}" for side in "ab"]
    addresses = ["10.213.7.1", "10.213.7.2"]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", "veth0", "netns", names[0], "type", "veth",
               "peer", "name", "veth0", "netns", names[1])  # fmt: skip
            for name, address in zip(names, addresses, strict=True):
                ip("-n", name, "address", "add", f"{address}/24", "dev", "veth0")
                for interface in ("lo", "veth0"):
                    ip("-n", name, "link", "set", interface, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"needs network namespaces: {error.stderr.strip()}")
        yield [
            Host(address, "veth0", ("ip", "netns", "exec", name))
            for name, address in zip(names, addresses, strict=True)
        ]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
