"""Several processes that train one model, joined by jax.distributed: gloo on CPUs, NCCL on GPUs.

Source: jax 0.10, ``jax.distributed`` and ``jax.shard_map``; the launchers that JAX detects by
itself: ``jax._src.clusters``.
"""

import os
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from backends.protocol import Place
from common.errors import BadInput
from common.sockets import listen_at

LAUNCHERS = (
    ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"),
    ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"),
    ("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"),
)
"""What whoever starts workers by hand sets, then srun, mpirun, and an indexed Job of Kubernetes."""

START_SECONDS, SILENT_SECONDS = 100, 15
"""How long a worker waits for the others to come, and for a sign of life of one that came."""

AXIS = "workers"
ALIKE, SHARED = PartitionSpec(), PartitionSpec(None, AXIS)
"""An array that is the same in every worker, and one whose examples, on axis 1, are shared out."""


def launched() -> bool:
    """Whether the environment says that a launcher started this process as one of several."""
    return any(all(name in os.environ for name in names) for names in LAUNCHERS)


def join(place: Place | None, device: str) -> "Workers":
    """Wait for the other workers, at their addresses or where the launcher says."""
    # It would catch SIGTERM, which is to end a worker.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        if place is not None:
            os.environ |= dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), "lo")
            where = {"process_id": place.rank, "num_processes": len(place.addresses)}
            where |= {"coordinator_address": place.addresses[0], "local_device_ids": place.rank}
            listening = place.addresses[0]
        else:
            where = from_environment()
            address = where["coordinator_address"]
            listening = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", address)
        rank = where["process_id"]
        find_the_first(where["coordinator_address"] if rank else listening, rank)
        jax.distributed.initialize(
            **where,
            coordinator_bind_address=listening,
            initialization_timeout=START_SECONDS,
            heartbeat_timeout_seconds=SILENT_SECONDS,
            shutdown_timeout_seconds=SILENT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        found = str(error).splitlines()[0]
        raise BadInput("jax.distributed", "", "workers that can meet", found) from None
    meet_by_gloo()
    return Workers(device)


def from_environment() -> dict[str, Any]:
    """What a launcher says, as ``jax.distributed.initialize`` takes it. JAX finds it by itself, but
    would have the first worker listen on every interface."""
    names = ("coordinator_address", "num_processes", "process_id", "local_device_ids")
    if all(name in os.environ for name in LAUNCHERS[0]):
        address, size, rank = (os.environ[name] for name in LAUNCHERS[0])
        values: tuple = (address, int(size), int(rank), None)
    else:
        from jax._src.clusters import ClusterEnv

        detect = ClusterEnv.auto_detect_unset_distributed_params
        values = detect(*[None] * 5, START_SECONDS)
    if values[0] is None:
        raise ValueError("the launcher's environment is not whole")
    return dict(zip(names, values, strict=True))


def find_the_first(address: str, rank: int) -> None:
    """BadInput if the first worker cannot listen at its address, or is not there for the others.
    JAX would end the process, by SIGSEGV and by SIGABRT."""
    if rank == 0:
        listen_at(address).close()
        return
    host, port = address.rsplit(":", 1)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                expected = "the first worker there"
                raise BadInput("jax.distributed", address, expected, error) from None
        time.sleep(0.2)


def meet_by_gloo() -> None:
    """Have gloo listen where this machine reaches the first worker, or on the interface that
    GLOO_SOCKET_IFNAME names, as PyTorch's does.

    JAX leaves it to gloo, which asks for the address of this machine's name: often 127.0.1.1. There
    is no public way to say it, and one process needs none of this: JAX may be older there.
    """
    from jax._src import distributed, xla_bridge
    from jax._src.lib import _jax

    state = distributed.global_state
    options = {"interface": os.environ.get("GLOO_SOCKET_IFNAME")}
    if options["interface"] is None:
        host, port = state.coordinator_address.rsplit(":", 1)
        family, *_, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)  # sends nothing
            options = {"hostname": probe.getsockname()[0]}
    gloo = _jax.make_gloo_tcp_collectives(state.client, **options)
    make = partial(xla_bridge.make_cpu_client, gloo)
    xla_bridge.register_backend_factory("cpu", make, priority=0, fail_quietly=False)


class Workers:
    """This process among the others, with one device each."""

    def __init__(self, device: str) -> None:
        self.rank, self.size = jax.process_index(device), jax.process_count(device)
        each = [jax.local_devices(rank, device)[0] for rank in range(self.size)]
        self.mesh, self.device = Mesh(each, AXIS), each[self.rank]
        alike = NamedSharding(self.mesh, ALIKE)
        self.sum = jax.jit(lambda rows: rows.sum(axis=1), out_shardings=alike)

    def compiled(self, update: Callable[..., tuple]) -> Callable[..., tuple]:
        """A trainer's update as one program of all workers, in which ``mean`` may be called. Each
        of them gives its own arrays to it and gets its own back."""
        given, made = (ALIKE, SHARED, SHARED, SHARED), (ALIKE, SHARED, ALIKE, ALIKE, ALIKE)
        # Unchecked, jax.grad gives the gradients of a worker's own loss.
        shared = jax.shard_map(
            update, mesh=self.mesh, in_specs=given, out_specs=made, check_vma=False
        )
        program = jax.jit(shared, donate_argnums=(0, 1))

        def run(*arrays: Any) -> tuple:
            parts = [
                jax.tree.map(partial(self.part, spec=spec), tree)
                for spec, tree in zip(given, arrays, strict=True)
            ]
            return jax.tree.map(lambda array: array.addressable_data(0), program(*parts))

        return run

    def part(self, array: Array | np.ndarray, spec: PartitionSpec) -> Array:
        """This worker's part of an array of all workers."""
        shape = list(array.shape)
        if spec == SHARED:
            shape[1] *= self.size
        own = jax.device_put(array, self.device)
        placed = NamedSharding(self.mesh, spec)
        return jax.make_array_from_single_device_arrays(tuple(shape), placed, [own])

    def mean(self, tensors: Any) -> Any:
        """The mean over the workers of every array of a tree; all of them travel as one."""
        together, apart = ravel_pytree(tensors)
        return apart(lax.pmean(together, AXIS))

    def total(self, array: np.ndarray) -> np.ndarray:
        """The sum over the workers, element by element."""
        rows = self.part(array.reshape(-1, 1), SHARED)
        return np.array(self.sum(rows)).reshape(array.shape)

    def leave(self) -> None:
        """Wait until the others leave as well, and part."""
        jax.distributed.shutdown()
