"""Device, tensors in and out, and the passport."""

import os
import platform
import re
import subprocess
import sys
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import nd

from common.errors import BadInput

TIERS = {
    "tf32": "MXNet 1.9.1 offers no switch for TF32, and NVIDIA_TF32_OVERRIDE, which keeps it off "
    "here, holds for the whole process",
    "mixed": "MXNet 1.9.1 offers mixed precision as amp.init() alone, which rewrites the operators "
    "of the whole process and cannot be undone",
}
"""Why none of a GPU's other tiers is computed here. Source: MXNet 1.9.1, ``contrib.amp``,
``operator/rnn-inl.h`` and ``test_utils.effective_dtype``."""


def find_device(name: str, dtype: str = "float32") -> mx.Context:
    """ "cpu" or "gpu" as an MXNet context; BadInput if there is no GPU that MXNet can use, or if it
    takes one to compute in this dtype."""
    if name == "cpu" and dtype in TIERS:
        raise BadInput("mxnet", dtype, "device gpu", name)
    if name == "cpu":
        return mx.cpu()
    if mx.context.num_gpus() == 0:
        raise BadInput("mxnet", "device", "a GPU that MXNet can use", "none")
    return mx.gpu(int(os.environ.get("LOCAL_RANK", 0)))


def to_array(tensor: nd.NDArray) -> np.ndarray:
    """A copy: the tensor may be changed in place later."""
    return tensor.asnumpy()


class Scalar:
    """A number that MXNet may still be computing; ``float`` waits for it. (An NDArray cannot be
    given to ``float``.)"""

    def __init__(self, tensor: nd.NDArray) -> None:
        self.tensor = tensor

    def __float__(self) -> float:
        return float(self.tensor.asscalar())


PROBE = """
import mxnet as mx
for layer in (mx.gluon.rnn.RNN, mx.gluon.rnn.GRU, mx.gluon.rnn.LSTM):
    for dtype in ("float32", "float64"):
        print("layer", layer.__name__, dtype, flush=True)
        block = layer(3, input_size=2, dtype=dtype)
        block.initialize(mx.init.Zero())
        block(mx.nd.zeros((2, 1, 2), dtype=dtype)).wait_to_read()
"""


def kernel_path(device: mx.Context) -> dict[str, str]:
    """Which kernels really run, per layer type and dtype.

    MXNet's profiler shows the operator but not its kernel; oneDNN reports its own primitives, to
    the standard output of a process that was started with ``DNNL_VERBOSE=1``.
    """
    if device.device_type == "gpu":
        return {"RNN, GRU, LSTM": "cuDNN (deduced: MXNet has no other recurrent kernel on a GPU)"}
    environment = os.environ | {"DNNL_VERBOSE": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", PROBE]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    paths = {}
    for part in run.stdout.split("layer ")[1:]:
        title, _, ran = part.partition("\n")
        primitive = re.search(r"exec,cpu,rnn,([^,]+)", ran)
        paths[title] = f"oneDNN {primitive[1]}" if primitive else "MXNet's own, native"
    return paths


def passport(device: str) -> dict[str, Any]:
    found = find_device(device)
    features = mx.runtime.Features()
    return {
        "framework": "mxnet",
        "version": mx.__version__,
        "mode": "imperative, differentiated by autograd; nothing is hybridised",
        "device": platform.processor() or "cpu" if found.device_type == "cpu" else str(found),
        "threads": os.environ.get("OMP_NUM_THREADS", "not set: OpenMP's own choice"),
        "engine": os.environ.get("MXNET_ENGINE_TYPE", "not set: ThreadedEnginePerDevice"),
        "features": sorted(name for name, feature in features.items() if feature.enabled),
        "MXNET_USE_MKLDNN_RNN": os.environ.get("MXNET_USE_MKLDNN_RNN", "not set: 1"),
        "NVIDIA_TF32_OVERRIDE": os.environ["NVIDIA_TF32_OVERRIDE"],
        "MXNET_SAFE_ACCUMULATION": os.environ.get("MXNET_SAFE_ACCUMULATION", "not set: 0"),
        "kernel path": kernel_path(found),
    }
