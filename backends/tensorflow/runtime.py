"""Device, tensors in and out, eager or graph, and the passport."""

import os
import platform
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework.config import is_op_determinism_enabled

from common.errors import BadInput

DTYPES = {"float32": tf.float32, "float64": tf.float64}

EAGER_CALLS = 4
"""So many calls of a model run eagerly before its graph is made.

Making a graph of the gradients costs as much as 2 to 30 eager calls. Measured on 2 cores, float32,
in ms: an eager call, the first call of the graph, a later one:

    n=3 T=5 d=4 h=6 L=3         equations LSTM   97  2,700    6     layers LSTM   54  1,050    5
    n=32 T=35 d=28 h=256 L=2    equations LSTM  610  8,100  107     layers LSTM  540  1,100  180

A conformance case differentiates a model at most four times; training and benchmarks do it often.
Nor do the equations need a tf.while_loop: 8 s once are little in a training run.
"""


def find_device(name: str) -> str:
    """ "cpu" or "gpu" as TensorFlow calls it; BadInput if it finds no GPU on this machine."""
    # TF32 keeps 10 bits of a product's inputs; TensorFlow uses it by default where it can.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if name == "cpu":
        return "/CPU:0"
    if not tf.config.list_physical_devices("GPU"):
        raise BadInput("tensorflow", "device", "a GPU that TensorFlow can use", "none")
    return "/GPU:0"


def cudnn(device: str) -> bool | str:
    """Keras' ``use_cudnn``. Its "auto" tries cuDNN wherever it sees a GPU, even for work that was
    placed on the CPU."""
    return "auto" if "GPU" in device else False


def to_array(tensor: tf.Tensor) -> np.ndarray:
    """A copy: ``numpy`` never lends the tensor's own memory."""
    return tensor.numpy()


class Compiled:
    """A function that is run eagerly for its first calls, then as a tf.function."""

    def __init__(self, function: Callable, eager: int = EAGER_CALLS) -> None:
        self.function, self.eager, self.calls = function, eager, 0
        self.graph = tf.function(function, autograph=False)

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        return (self.graph if self.calls > self.eager else self.function)(*args)


def ops_that_ran(function: Callable, *args: Any) -> set[str]:
    """The kinds of ops in the graph that TensorFlow really ran, after all its rewriting.

    Only the run's metadata tell: a function's own graph still has MatMul where oneDNN's ran.
    """
    context.enable_run_metadata()
    try:
        tf.function(function)(*args)
        ran = context.export_run_metadata()
    finally:
        context.disable_run_metadata()
    graphs = ran.partition_graphs
    nodes = [node for graph in graphs for node in graph.node]
    nodes += [node for graph in graphs for f in graph.library.function for node in f.node_def]
    return {node.op for node in nodes}


def kernel_path(device: str) -> dict[str, str]:
    """Which kernels really run, per layer type and dtype, once a graph is made; for the GRU, with
    the reset after and before, if they differ."""
    kinds = {
        "SimpleRNN": [{}],
        "GRU": [{"use_cudnn": cudnn(device), "reset_after": after} for after in (True, False)],
        "LSTM": [{"use_cudnn": cudnn(device)}],
    }
    paths = {}
    for kind, variants in kinds.items():
        for dtype in DTYPES:
            found = []
            for options in variants:
                with tf.device(device):
                    layer = getattr(keras.layers, kind)(3, dtype=dtype, **options)
                    ran = ops_that_ran(layer, tf.zeros((1, 2, 2), dtype))
                loops = ["while loop"] if {"LoopCond", "While", "StatelessWhile"} & ran else []
                kernels = sorted(op for op in ran if "MatMul" in op or "CudnnRNN" in op)
                found.append(", ".join(loops + kernels))
            paths[f"{kind} {dtype}"] = "; reset before: ".join(dict.fromkeys(found))
    return paths


def threads(within: str) -> int:
    """How many threads run within one op, or between ops ("intra", "inter")."""
    asked = getattr(tf.config.threading, f"get_{within}_op_parallelism_threads")()
    # 0 stands for what the environment says, and failing that for one per core.
    return asked or int(os.environ.get(f"TF_NUM_{within.upper()}OP_THREADS", 0)) or os.cpu_count()


def passport(device: str) -> dict[str, Any]:
    found = find_device(device)
    gpus = tf.config.list_physical_devices("GPU") if found == "/GPU:0" else []
    name = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else None
    build, paths = tf.sysconfig.get_build_info(), kernel_path(found)
    return {
        "framework": "tensorflow",
        "version": tf.__version__,
        "keras": keras.__version__,
        "device": name or platform.processor() or "cpu",
        "threads": threads("intra"),
        "threads between ops": threads("inter"),
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "oneDNN": any("_Mkl" in path for path in paths.values()),
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
        "XLA": tf.config.optimizer.get_jit() or "off",
        "TF32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "deterministic ops": is_op_determinism_enabled(),
        "eager calls before the graph": EAGER_CALLS,
        "kernel path": paths,
    }
