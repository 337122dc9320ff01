"""Device, tensors in and out, eager or graph, and the passport."""

import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework.config import is_op_determinism_enabled

from common.errors import BadInput

DTYPES = {"float32": tf.float32, "float64": tf.float64}
SHORT = {"bfloat16": tf.bfloat16, "float16": tf.float16}
"""NumPy has no bfloat16: arrays that go in or out of these are float32, which holds all numbers of
both."""

TIERS = {
    "tf32": "float32 tensors; TF32 in products and cuDNN's RNNs while such a model computes",
    "mixed": "float32 weights; bfloat16 products, and Keras' layers in bfloat16, without cuDNN",
}
"""What float32 tensors are computed in otherwise; every array that goes in or out is float32. A CPU
has no TF32."""

EAGER_CALLS = 5
"""So many calls of a model run eagerly before its graph is made.

Making a graph of the gradients costs as much as 2 to 30 eager calls. Measured on 2 cores, float32,
in ms: an eager call, the first call of the graph, a later one:

    n=3 T=5 d=4 h=6 L=3         equations LSTM   97  2,700    6     layers LSTM   54  1,050    5
    n=32 T=35 d=28 h=256 L=2    equations LSTM  610  8,100  107     layers LSTM  540  1,100  180

A conformance case calls a model at most five times; training and benchmarks do it often. A Keras
layer of one kind and size is called by many cases: its graph, 0.4 s, pays after some ten calls.
Nor do the equations need a tf.while_loop: 8 s once are little in a training run.
"""

LONG = 30
"""From so many steps on the graph of a Keras layer, which has one loop whatever T is, is made at
once: it pays within a call or two. A GRU's 1,000 steps took 10 s eagerly, and take 0.9 s."""


def find_device(name: str, dtype: str = "float32") -> str:
    """ "cpu" or "gpu" as TensorFlow calls it; BadInput if it finds no GPU on this machine, or if it
    takes one to compute in this dtype."""
    # TF32 keeps 10 bits of a product's inputs; TensorFlow uses it by default where it can.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if name == "cpu" and dtype == "tf32":
        raise BadInput("tensorflow", dtype, "device gpu", name)
    if name == "cpu":
        return "/CPU:0"
    if not tf.config.list_physical_devices("GPU"):
        raise BadInput("tensorflow", "device", "a GPU that TensorFlow can use", "none")
    return "/GPU:0"


@contextmanager
def tf32() -> Iterator[None]:
    """TF32 is on within, and as it was before afterwards.

    The switch is the process's, and one process makes all runs of a command. So it is on only while
    a model of this tier computes: no other model can meet it, nor has to look after it.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def tf32_is_on() -> bool:
    return tf.config.experimental.tensor_float_32_execution_enabled()


class Bfloat16Factor:
    """A weight matrix W, float32, whose products X W are made in bfloat16: both factors are rounded
    to it, and what comes out is float32 again.

    bfloat16 has the exponents of float32: small gradients do not underflow, and the loss needs no
    scaling.
    """

    def __init__(self, W: tf.Tensor) -> None:
        self.W = tf.cast(W, tf.bfloat16)

    def __rmatmul__(self, X: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.cast(X, tf.bfloat16) @ self.W, X.dtype)


def read_as_factor(value: tf.Variable) -> tf.Tensor | Bfloat16Factor:
    """A parameter of the equations: a matrix is a factor of products, a bias is not."""
    tensor = tf.convert_to_tensor(value)
    return Bfloat16Factor(tensor) if tensor.shape.rank == 2 else tensor


def cudnn(device: str, dtype: str) -> bool | str:
    """Keras' ``use_cudnn``. Its "auto" tries cuDNN wherever it sees a GPU, even for work that was
    placed on the CPU. TensorFlow's cuDNN ops take bfloat16, but compute it in float32
    (``cudnn_rnn_ops.cc``), which would not be mixed precision."""
    return "auto" if "GPU" in device and dtype != "bfloat16" else False


def to_array(tensor: tf.Tensor) -> np.ndarray:
    """A copy: ``numpy`` never lends the tensor's own memory."""
    array = tensor.numpy()
    return array.astype("float32") if tensor.dtype in SHORT.values() else array


SPENT = {"programs": 0, "seconds": 0.0}
"""On graphs of ``Compiled``, since TensorFlow was imported here."""


def compiled() -> dict[str, float]:
    """How many graphs were made, and the seconds that the calls took which made them."""
    return dict(SPENT)


class Compiled:
    """A function that is run eagerly for its first calls, then as a tf.function.

    signature: of the arguments, where one graph is to hold for several shapes
    xla:       whether XLA compiles the graph
    """

    def __init__(
        self,
        function: Callable,
        eager: int = EAGER_CALLS,
        signature: list | None = None,
        xla: bool = False,
    ) -> None:
        self.function, self.eager, self.calls = function, eager, 0
        self.graph = tf.function(function, signature, autograph=False, jit_compile=xla or None)

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        if self.calls <= self.eager:
            return self.function(*args)
        before, began = self.graph.experimental_get_tracing_count(), time.perf_counter()
        result = self.graph(*args)
        if made := self.graph.experimental_get_tracing_count() - before:
            SPENT["programs"] += made
            SPENT["seconds"] += time.perf_counter() - began
        return result


def ops_that_ran(function: Callable, *args: Any) -> set[str]:
    """The kinds of ops in the graph that TensorFlow really ran, after all its rewriting.

    Only the run's metadata tell: a function's own graph still has MatMul where oneDNN's ran. As in
    ``Compiled``, nothing of the function is translated by AutoGraph.
    """
    context.enable_run_metadata()
    try:
        tf.function(function, autograph=False)(*args)
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
        "GRU": [{"reset_after": after} for after in (True, False)],
        "LSTM": [{}],
    }
    dtypes = [*DTYPES, "mixed_bfloat16"] if "GPU" in device else DTYPES
    # Weights need not be drawn: which kernels run does not depend on them.
    zeros = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
    paths = {}
    for kind, variants in kinds.items():
        for dtype in dtypes:
            found = []
            for options in variants:
                with tf.device(device):
                    layer = getattr(keras.layers, kind)(3, dtype=dtype, **zeros, **options)
                    if kind != "SimpleRNN":
                        layer.use_cudnn = cudnn(device, layer.compute_dtype)
                    layer.build((1, 2, 2))  # a graph that makes its variables is traced twice
                    ran = ops_that_ran(layer, tf.zeros((1, 2, 2), layer.compute_dtype))
                loops = ["while loop"] if {"LoopCond", "While", "StatelessWhile"} & ran else []
                kernels = sorted(op for op in ran if "MatMul" in op or "CudnnRNN" in op)
                found.append(", ".join(loops + kernels))
            paths[f"{kind} {dtype}"] = "; reset before: ".join(dict.fromkeys(found))
    return paths


def threads(within: str) -> int:
    """How many threads run within one op, or between ops ("intra", "inter")."""
    asked = getattr(tf.config.threading, f"get_{within}_op_parallelism_threads")()
    # 0 stands for what the environment says, and failing that for one per core.
    said = int(os.environ.get(f"TF_NUM_{within.upper()}OP_THREADS", 0))
    return asked or said or os.cpu_count() or 1


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
        "NVIDIA_TF32_OVERRIDE": os.environ.get("NVIDIA_TF32_OVERRIDE", "not set"),
        "tiers": TIERS if found == "/GPU:0" else {},
        "deterministic ops": is_op_determinism_enabled(),
        "mode": f"{EAGER_CALLS} eager calls of a model, then its graph; of a Keras layer likewise, "
        f"which the models that have such a layer share, or its graph at once from {LONG} steps "
        "on; training runs: one graph",
        "kernel path": paths,
    }


def read_file(path: Path) -> dict[str, Any]:
    """The variables of a checkpoint, by name, in NumPy. path: without ``.index``

    Raises ValueError if it is none, or not whole."""
    try:
        reader = tf.train.load_checkpoint(str(path))
        names = reader.get_variable_to_dtype_map()
        kinds = {n: kind for n, kind in names.items() if kind.is_floating or kind.is_integer}
        shapes = reader.get_variable_to_shape_map()
        wanted = sum(math.prod(shapes[name]) * kind.size for name, kind in kinds.items())
        stored = sum(part.stat().st_size for part in path.parent.glob(f"{path.name}.data-*"))
        if wanted > stored:
            raise ValueError(f"{stored:,} bytes of numbers, where the index has {wanted:,}")
        return {n: np.asarray(reader.get_tensor(n), kind_of(k)) for n, k in sorted(kinds.items())}
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None


def kind_of(dtype: Any) -> str:
    """NumPy's type of a tensor's, or float32 for bfloat16, which NumPy lacks."""
    return "float32" if dtype == tf.bfloat16 else dtype.as_numpy_dtype
