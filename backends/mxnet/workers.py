"""Several processes that train one model, joined by MXNet's kvstore: the workers, servers that add
up what these push, and one scheduler, which lets all of them meet and hears whether they live.

On one machine the first worker starts the scheduler and a server. Under a launcher, or by hand,
each of them is, with DMLC_ROLE=scheduler or DMLC_ROLE=server,

    python -c "from backends.mxnet.workers import serve; serve()"

``import mxnet`` alone would also be one, but notice nobody's death. What they do is in helper.py.
Source: MXNet 1.9.1, ``kvstore('dist_sync')``; its variables: ps-lite, ``docs/env.md``.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import nd
from mxnet.base import _LIB
from mxnet.kvstore import KVStore
from mxnet.libinfo import find_lib_path
from mxnet.ndarray import NDArray

from backends.mxnet.helper import ENGINE, HEARTBEAT, JOIN_LIMIT, SILENCE, ZEROED, Store
from backends.protocol import Place
from common.errors import BadInput

LAUNCHER = ("DMLC_PS_ROOT_URI", "DMLC_PS_ROOT_PORT", "DMLC_NUM_WORKER", "DMLC_NUM_SERVER")
"""What MXNet's launchers set beside DMLC_ROLE, and whoever starts workers by hand."""

ROLE = "DEEP_RNN_ROLE"
"""Where backends/mxnet/__init__.py has put DMLC_ROLE."""

HELPER = Path(__file__).with_name("helper.py")

END_LIMIT = 5.0
"""Seconds for scheduler and server to end once all workers have left."""


def launched() -> bool:
    """Whether the environment says that a launcher started this process as one of several."""
    role = os.environ[ROLE]
    if role not in ("", "worker"):
        expected = "worker (scheduler and server are started with backends.mxnet.workers.serve)"
        raise BadInput("DMLC_ROLE", "", expected, role)
    return bool(role) and all(name in os.environ for name in LAUNCHER)


def join(place: Place | None, device: str) -> "Workers":
    """Wait for the other workers, at their addresses or where the launcher says."""
    os.environ["DMLC_ROLE"] = "worker"
    os.environ.setdefault("PS_HEARTBEAT_INTERVAL", str(HEARTBEAT))
    if device == "gpu" and place is not None:
        os.environ.setdefault("LOCAL_RANK", str(place.rank))  # find_device reads it
    helpers = {} if place is None else prepare(place)
    joining, began = in_a_thread(lambda: mx.kv.create(ENGINE)), time.monotonic()
    where = f"{os.environ['DMLC_PS_ROOT_URI']}:{os.environ['DMLC_PS_ROOT_PORT']}"
    while True:
        try:
            workers = Workers(joining.result(HEARTBEAT), list(helpers.values()))
            break
        except TimeoutError:
            for role, helper in helpers.items():
                if (code := helper.poll()) is not None:
                    found = f"one that ended with exit code {code} (is the port in use?)"
                    raise BadInput(where, "", f"MXNet's {role}", found) from None
            if time.monotonic() - began > JOIN_LIMIT:
                size, servers = os.environ["DMLC_NUM_WORKER"], os.environ["DMLC_NUM_SERVER"]
                expected = f"MXNet's scheduler, {servers} of its servers and {size} workers"
                found = f"not all of them within {JOIN_LIMIT:g} s"
                raise BadInput(where, "", expected, found) from None
    check(workers, where)
    return workers


def check(workers: "Workers", where: str) -> None:
    """BadInput if a server rounds to float32: it was not started by ``serve``."""
    servers, number = int(os.environ["DMLC_NUM_SERVER"]), 1 + 2.0**-40
    tensors = [nd.array([number], dtype="float64") for _ in range(servers)]
    workers.add([f"for server {k}" for k in range(servers)], tensors)
    if any(tensor.asscalar() != workers.size * number for tensor in tensors):
        expected = "servers that were started with backends.mxnet.workers.serve"
        raise BadInput(where, "", expected, "one that rounds float64 to float32")


def prepare(place: Place) -> dict[str, subprocess.Popen]:
    """What a launcher does on one machine; the first worker starts scheduler and server."""
    host, port = place.addresses[0].rsplit(":", 1)
    os.environ |= {
        "DMLC_PS_ROOT_URI": host,
        "DMLC_PS_ROOT_PORT": port,
        "DMLC_NUM_WORKER": str(len(place.addresses)),
        "DMLC_NUM_SERVER": "1",
        # MXNet takes the address of some other interface, if there is one.
        "DMLC_NODE_HOST": host,
        # With it a scheduler listens on every interface.
        "DMLC_USE_KUBERNETES": "0",
    }
    os.environ.pop("DMLC_INTERFACE", None)
    if place.rank:
        return {}
    command, nothing = [*helper_command(), str(os.getpid())], subprocess.DEVNULL
    return {
        role: subprocess.Popen(command, env=helper_environment(role), stdin=nothing)
        for role in ("scheduler", "server")
    }


def helper_command() -> list[str]:
    """helper.py as a process that sees nothing of the suite, nor of what is installed."""
    return [sys.executable, "-I", "-S", str(HELPER), find_lib_path()[0]]


def helper_environment(role: str) -> dict[str, str]:
    return os.environ | ZEROED | {"DMLC_ROLE": role}


def serve() -> None:
    """Become the scheduler or a server, as DMLC_ROLE says, until training is over or a node is
    dead: this process is helper.py's from here on, and nothing behind the call is reached."""
    os.execve(sys.executable, helper_command(), helper_environment(os.environ[ROLE]))


class Workers:
    """This process among the others."""

    def __init__(self, store: KVStore, helpers: list[subprocess.Popen]) -> None:
        self.store, self.helpers, self.met = store, helpers, time.monotonic()
        self.known: set[str] = set()
        self.rank, self.size = store.rank, store.num_workers

    def mean(self, tensors: list[NDArray]) -> None:
        """Put the mean over the workers into every tensor."""
        self.add([f"{k} of a step" for k in range(len(tensors))], tensors)
        for tensor in tensors:
            tensor /= self.size

    def total(self, array: np.ndarray) -> np.ndarray:
        """The sum over the workers, element by element."""
        tensor = nd.array(array, dtype="float64")
        self.add(["total"], [tensor])
        return tensor.asnumpy()

    def add(self, names: list[str], tensors: list[NDArray]) -> None:
        """Put the sum over the workers into every tensor. The store keeps it, under a key that
        belongs to one dtype and shape."""
        pairs = zip(names, tensors, strict=True)
        keys = {f"{name} {t.dtype.__name__} {t.shape}": t for name, t in pairs}
        if new := [key for key in keys if key not in self.known]:
            self.wait(lambda: self.store.init(new, [keys[key] for key in new]))
            self.known.update(new)
        self.store.pushpull(list(keys), tensors, out=tensors)
        self.wait(lambda: [tensor.wait_to_read() for tensor in tensors])

    def wait(self, call: Callable[[], Any]) -> None:
        """Do what may take until others have done their part; RuntimeError if one is dead. MXNet
        itself would wait for ever. The scheduler is the first to hear of it, and ends."""
        called = in_a_thread(call)
        while True:
            try:
                return called.result(HEARTBEAT)
            except TimeoutError:
                ended = [helper for helper in self.helpers if helper.poll() is not None]
                if ended or Store(_LIB, self.store.handle).dead(self.met):
                    problem = "a worker or a server has died, or MXNet's scheduler has"
                    raise RuntimeError(f"{problem}: not heard for {SILENCE} s") from None

    def leave(self) -> None:
        """Wait until the others leave as well, and part; scheduler and server end by that."""
        self.store = None
        for helper in self.helpers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                helper.wait(END_LIMIT)
            helper.kill()


def in_a_thread(call: Callable[[], Any]) -> Future:
    """Call it where it may block for ever and yet keeps no process from ending."""
    called: Future = Future()

    def run() -> None:
        try:
            called.set_result(call())
        except Exception as error:  # raised where the result is asked for
            called.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return called
