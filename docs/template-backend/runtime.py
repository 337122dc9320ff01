"""Device, tensors in and out, and the passport."""

from typing import Any

import numpy as np

from common.errors import BadInput


def find_device(name: str, dtype: str = "float32") -> Any:
    """ "cpu" or "gpu" as your framework calls it; BadInput if this machine has no such GPU."""
    if name != "cpu":
        raise BadInput("template", "device", "cpu, until it computes on a GPU", name)
    return None


def to_array(tensor: Any) -> np.ndarray:
    """A copy: the tensor may be changed in place later."""
    raise NotImplementedError("runtime.py: to_array is not written yet")


def passport(device: str) -> dict[str, Any]:
    """framework (the module's name), version, device, threads, and "kernel path": what really runs,
    by layer type and dtype, as the framework's profiler or compiler says; and every switch that
    changes what is computed."""
    raise NotImplementedError("runtime.py: passport is not written yet")
