"""Several processes that train one model, joined by MultiWorkerMirroredStrategy: gRPC's ring on
CPUs, NCCL on GPUs.

Source: TensorFlow 2.21, ``tf.distribute.MultiWorkerMirroredStrategy``; ``TF_CONFIG`` is what its
guide sets by hand, and Kubeflow's TFJob.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import Tensor
from tensorflow.python.eager import context

from backends.protocol import Place
from common.errors import BadInput

# TensorFlow 2.18 moved the module that it is of.
CoordinatedJob = context.coordination_config_pb2.CoordinatedJob

SUM, get_replica_context = tf.distribute.ReduceOp.SUM, tf.distribute.get_replica_context

JOBS = ("chief", "worker")
"""What TF_CONFIG calls those who train, in the order of their ranks; a chief is a worker too."""

JOIN_LIMIT, HEARTBEAT_LIMIT = 240.0, 25.0
"""Seconds until an absent worker is given up, and one that is silent: a killed process is noticed
at once, a machine without power or network only so. With TensorFlow's own 10 s a worker of a busy
machine was taken for lost."""

TRUSTED = "DEEP_RNN_TRUSTED_NETWORK"
"""With 1 in it the user says that nobody else is in the network of several machines."""

OPEN = "TensorFlow's servers listen on every interface and read and write files for any caller"


def launched() -> bool:
    """Whether the environment says that a launcher started this process as one of several."""
    return bool(from_environment())


def from_environment() -> tf.train.ClusterSpec:
    """The cluster that TF_CONFIG tells of; BadInput if nobody can read it."""
    try:
        return tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
    except (AttributeError, TypeError, ValueError) as error:
        expected = 'JSON like {"cluster": {"worker": ["host:port", …]}, "task": …}'
        raise BadInput("TF_CONFIG", "", expected, repr(os.environ["TF_CONFIG"])) from error


def join(place: Place | None, device: str) -> "Workers":
    """Wait for the other workers, at their addresses or where the launcher says."""
    check_the_network(place)
    if place is None:
        cluster, told = from_environment(), tf.distribute.cluster_resolver.TFConfigClusterResolver()
        job, task = told.task_type, told.task_id
    else:
        cluster = tf.train.ClusterSpec({"worker": place.addresses})
        job, task = "worker", place.rank
    sizes = {name: cluster.num_tasks(name) for name in JOBS if name in cluster.jobs}
    if not (job in sizes and task in range(sizes[job])):
        raise BadInput("TF_CONFIG", "task", f"one of {sizes}", f"{job} {task}")
    if device == "gpu":
        if place is not None:
            os.environ["NCCL_SOCKET_IFNAME"] = "lo"
        take_one_gpu(cluster, cluster.task_address(job, task))
    watch(sizes)
    accelerators = {"GPU": int(device == "gpu")}
    options = {"task_type": job, "task_id": task, "num_accelerators": accelerators}
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, rpc_layer="grpc", **options
    )
    try:
        return Workers(tf.distribute.MultiWorkerMirroredStrategy(resolver))
    except tf.errors.OpError as error:
        expected = f"{sum(sizes.values())} workers to join within {JOIN_LIMIT:g} s"
        reason = error.message.splitlines()[0].split(". ")[0]
        raise BadInput(cluster.task_address(job, task), "", expected, reason) from error


def check_the_network(place: Place | None) -> None:
    """BadInput if others than the workers may reach them: there is no way to have TensorFlow listen
    at one address, and it asks nobody who is calling."""
    if place is not None and place.reachable:
        expected = f"a network namespace, since {OPEN} (allow this user to make one, or train where"
        expected += " there is no network, as in docker run --network none)"
        raise BadInput("--workers", "", expected, place.reachable)
    if place is None and os.environ.get(TRUSTED) != "1":
        expected = f"1 if the network has nobody but the workers in it, since {OPEN}"
        raise BadInput(TRUSTED, "", expected, repr(os.environ.get(TRUSTED, "")))


def take_one_gpu(cluster: tf.train.ClusterSpec, own: str) -> None:
    """Every worker has a GPU of its own: the first one of a machine its first GPU, and so on."""
    everyone = [a for job in JOBS if job in cluster.jobs for a in cluster.job_tasks(job)]
    here = [a for a in everyone if a.rsplit(":", 1)[0] == own.rsplit(":", 1)[0]]
    if gpus := tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices(gpus[here.index(own) % len(gpus)], "GPU")


def watch(sizes: dict[str, int]) -> None:
    """What the strategy would set up by itself, but for the limits: without them it would wait an
    hour for those who are to join."""
    context.context().configure_coordination_service(
        "standalone",
        f"/job:{next(iter(sizes))}/replica:0/task:0",
        cluster_register_timeout_in_ms=round(1000 * JOIN_LIMIT),
        heartbeat_timeout_in_ms=round(1000 * HEARTBEAT_LIMIT),
        coordinated_jobs=[CoordinatedJob(name=job, num_tasks=n) for job, n in sizes.items()],
    )
    context.context().coordination_service.cluster_register_with_barrier = True


@contextmanager
def losses_said() -> Iterator[None]:
    """TensorFlow says in the middle of a long message that another worker is gone."""
    try:
        yield
    except tf.errors.OpError as error:
        for line in error.message.splitlines():
            if reason := line.partition("Collective ops is aborted by: ")[2]:
                raise RuntimeError(f"another worker is lost: {reason}") from error
        raise


class Workers:
    """This process among the others."""

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.strategy = strategy
        self.size = strategy.num_replicas_in_sync
        self.rank = int(strategy.run(lambda: get_replica_context().replica_id_in_sync_group))

    def mean(self, tensors: list[Tensor]) -> list[Tensor]:
        """Their means over the workers, within ``together``; all of them travel as one."""
        packed = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
        packed = get_replica_context().all_reduce(SUM, packed) / self.size
        parts = tf.split(packed, [tensor.shape.num_elements() for tensor in tensors])
        return [tf.reshape(part, t.shape) for part, t in zip(parts, tensors, strict=True)]

    def together(self, function: Callable) -> Callable:
        """The function as all workers run it at once; only there may they exchange anything."""
        return lambda *args: self.strategy.run(function, args)

    def total(self, array: np.ndarray) -> np.ndarray:
        """The sum over the workers, element by element."""

        def summed(tensor: Tensor) -> Any:
            return get_replica_context().all_reduce(SUM, tensor)

        with losses_said():
            return self.together(summed)(tf.constant(array)).numpy()

    def leave(self) -> None:
        """Wait until the others leave as well: the first worker serves the others."""
        self.total(np.zeros(1))
