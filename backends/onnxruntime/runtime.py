"""Device, sessions, and the passport."""

import platform
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto

from common.errors import BadInput
from common.parameters import Arrays

THREADS = 1
"""Cases are small, and as many processes run beside one another as there are cores."""

CPU = "CPUExecutionProvider"


def check(device: str, dtype: str) -> None:
    """BadInput for a device or a dtype for which there are no kernels of these layers."""
    if device != "cpu":
        raise BadInput("onnxruntime", "device", "cpu", device)
    if dtype != "float32":
        raise BadInput("onnxruntime", "dtype", "float32", dtype)


class Session:
    """A model in ONNX Runtime: NumPy in, NumPy out, by name."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model.SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(self.model, options, providers=[CPU])
        self.given = [end.name for end in self.session.get_inputs()]
        self.made = [end.name for end in self.session.get_outputs()]

    def __call__(self, given: Arrays) -> Arrays:
        found = self.session.run(self.made, {name: given[name] for name in self.given})
        return dict(zip(self.made, map(np.asarray, found), strict=True))


def passport(device: str) -> dict[str, Any]:
    return {
        "framework": "onnxruntime",
        "version": onnxruntime.__version__,
        "onnx": onnx.__version__,
        "mode": "a session of ONNX Runtime, prediction only",
        "device": platform.processor() or platform.machine(),
        "threads": THREADS,
        "providers": [CPU],
        "kernel path": {"float32": "ONNX Runtime's RNN, GRU and LSTM on its CPU provider"},
    }
