"""Device, tensors in and out, and the passport."""

import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence

from common.errors import BadInput

DTYPES = {"float32": torch.float32, "float64": torch.float64}
SHORT = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""NumPy has no bfloat16: arrays that go in or out of these are float32, which holds all numbers of
both."""

TIERS = {
    "tf32": "float32 tensors; TF32 in products and cuDNN's RNNs while such a model computes",
    "mixed": "float32 weights and state; bfloat16 products, and torch's own layers in bfloat16",
}
"""What float32 tensors are computed in otherwise; every array that goes in or out is float32. A CPU
has no TF32."""


def find_device(name: str, dtype: str = "float32") -> torch.device:
    """ "cpu" or "gpu" as a torch device; BadInput if this machine has no GPU that torch can use, or
    if it takes one to compute in this dtype."""
    if name == "cpu" and dtype == "tf32":
        raise BadInput("pytorch", dtype, "device gpu", name)
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise BadInput("pytorch", "device", "a GPU that torch can use", "none")
    # TF32 keeps 10 bits of a product's inputs; cuDNN's RNNs would use it by default.
    set_precision("ieee", "ieee")
    return torch.device("cuda")


def set_precision(products: str, rnns: str) -> None:
    """How the process multiplies float32: "ieee", or "tf32", which keeps 10 bits of each factor."""
    torch.backends.cuda.matmul.fp32_precision = products
    torch.backends.cudnn.rnn.fp32_precision = rnns


@contextmanager
def tf32() -> Iterator[None]:
    """TF32 is on within, and as it was before afterwards.

    The switch is the process's, and one process makes all runs of a command. So it is on only while
    a model of this tier computes: no other model can meet it, nor has to look after it.
    """
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.rnn.fp32_precision
    set_precision("tf32", "tf32")
    try:
        yield
    finally:
        set_precision(*before)


def call_in_bfloat16(module: nn.Module, *inputs: Tensor | tuple[Tensor, ...]) -> Any:
    """Call a module on bfloat16 copies of its float32 weights and of its inputs; what comes out is
    float32 again.

    On a CPU by autocast. Not so on a GPU, where that gives cuDNN's RNNs float16, whatever dtype it
    is asked for (ATen, ``cudnn/AutocastRNN.cpp``). bfloat16 has the exponents of float32: small
    gradients do not underflow, and the loss needs no scaling.
    """
    if inputs[0].data.device.type == "cpu":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return cast(module(*inputs), torch.float32)
    weights = {name: weight.bfloat16() for name, weight in module.named_parameters()}
    made = functional_call(module, weights, tuple(cast(x, torch.bfloat16) for x in inputs))
    return cast(made, torch.float32)


def cast(value: Tensor | tuple, dtype: torch.dtype) -> Tensor | tuple:
    """A tensor, or every tensor of nested tuples, in another dtype; a packed sequence stays one."""
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.to(dtype))
    if isinstance(value, tuple):
        return tuple(cast(part, dtype) for part in value)
    return value.to(dtype)


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy: the tensor may be changed in place later."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype in SHORT.values() else tensor).numpy().copy()


def kernel_path(device: torch.device) -> dict[str, str]:
    """Which of torch's RNN kernels really run: the profiler's names, per layer type and dtype."""
    known = ("mkldnn_rnn_layer", "_cudnn_rnn", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell")
    dtypes = DTYPES | ({"bfloat16": torch.bfloat16} if device.type == "cuda" else {})
    paths = {}
    for layer in (torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM):
        for name, dtype in dtypes.items():
            module = layer(2, 3, device=device, dtype=dtype)
            # Not torch.profiler, which imports torch's compiler, 1.4 s, to ask for an option.
            with torch.autograd.profiler.profile() as profile:
                module(torch.zeros(2, 1, 2, device=device, dtype=dtype))
            ran = {event.key.removeprefix("aten::") for event in profile.key_averages()}
            found = [kernel for kernel in known if kernel in ran]
            paths[f"{layer.__name__} {name}"] = ", ".join(found) or "native, op by op"
    return paths


def product_rate(device: str, dtype: str, n: int = 4096, times: int = 20) -> float:
    """Multiplications and additions per second in products of two (n, n) matrices; dtype may be
    "tf32"."""
    kept = torch.float32 if dtype in TIERS else getattr(torch, dtype)
    A = torch.rand((n, n), device=find_device(device, dtype), dtype=kept)
    with tf32() if dtype == "tf32" else nullcontext():
        (A @ A).sum().item()
        began, B = time.perf_counter(), A
        for _ in range(times):
            B = A @ A
        B[0, 0].item()  # waits for the device
        return 2 * n**3 * times / (time.perf_counter() - began)


def passport(device: str) -> dict[str, Any]:
    found = find_device(device)
    gpu = found.type == "cuda"
    return {
        "framework": "torch",
        "version": torch.__version__,
        "mode": "eager, differentiated by autograd",
        "device": torch.cuda.get_device_name() if gpu else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if gpu else None,
        "oneDNN": torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled,
        "TF32 in matrix products": torch.backends.cuda.matmul.fp32_precision,
        "TF32 in cuDNN RNNs": torch.backends.cudnn.rnn.fp32_precision,
        "NVIDIA_TF32_OVERRIDE": os.environ.get("NVIDIA_TF32_OVERRIDE", "not set"),
        "tiers": TIERS if gpu else {},
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "kernel path": kernel_path(found),
    }


def read_file(path: Path) -> dict[str, Any]:
    """The tensors in a file of ``torch.save``, nested as there, in NumPy; everything else in it is
    left out. Nothing but tensors and plain values is ever unpickled.

    Raises ValueError if there is anything else in the file, or if it is not whole."""
    version = tuple(map(int, torch.__version__.split(".")[:2]))
    if version < (2, 6):  # CVE-2025-32434: before, weights_only ran code
        raise ValueError(f"PyTorch {torch.__version__}, whose reader is not safe before 2.6")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None
    if isinstance(found, Tensor):
        found = {"tensor": found}
    return _arrays(found) if isinstance(found, Mapping) else {}


def _arrays(tree: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found[str(name)] = _arrays(value)
        elif isinstance(value, Tensor) and value.layout == torch.strided:
            # NumPy has no bfloat16, and float32 holds all its numbers.
            short = value.dtype == torch.bfloat16
            found[str(name)] = (value.detach().float() if short else value.detach()).numpy()
    return found
