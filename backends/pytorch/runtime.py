"""Device, tensors in and out, and the passport."""

import platform
from typing import Any

import numpy as np
import torch

from common.errors import BadInput

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def find_device(name: str) -> torch.device:
    """ "cpu" or "gpu" as a torch device; BadInput if this machine has no GPU that torch can use."""
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise BadInput("pytorch", "device", "a GPU that torch can use", "none")
    # TF32 keeps 10 bits of a product's inputs; cuDNN's RNNs would use it by default.
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.rnn.fp32_precision = "ieee"
    return torch.device("cuda")


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy: the tensor may be changed in place later."""
    return tensor.detach().cpu().numpy().copy()


def kernel_path(device: torch.device) -> dict[str, str]:
    """Which of torch's RNN kernels really run: the profiler's names, per layer type and dtype."""
    known = ("mkldnn_rnn_layer", "_cudnn_rnn", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell")
    paths = {}
    for layer in (torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM):
        for name, dtype in DTYPES.items():
            module = layer(2, 3, device=device, dtype=dtype)
            activities = [torch.profiler.ProfilerActivity.CPU]
            with torch.profiler.profile(activities=activities) as profile:
                module(torch.zeros(2, 1, 2, device=device, dtype=dtype))
            ran = {event.key.removeprefix("aten::") for event in profile.key_averages()}
            found = [kernel for kernel in known if kernel in ran]
            paths[f"{layer.__name__} {name}"] = ", ".join(found) or "native, op by op"
    return paths


def passport(device: str) -> dict[str, Any]:
    found = find_device(device)
    gpu = found.type == "cuda"
    return {
        "framework": "torch",
        "version": torch.__version__,
        "device": torch.cuda.get_device_name() if gpu else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if gpu else None,
        "oneDNN": torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled,
        "TF32 in matrix products": torch.backends.cuda.matmul.fp32_precision,
        "TF32 in cuDNN RNNs": torch.backends.cudnn.rnn.fp32_precision,
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "kernel path": kernel_path(found),
    }
