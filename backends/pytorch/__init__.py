"""The PyTorch backend."""

from dataclasses import dataclass

import torch

from backends.pytorch import layers
from backends.pytorch.bare import bare, bare_loop, d2l_loop
from backends.pytorch.equations import Equations
from backends.pytorch.layers import Layers
from backends.pytorch.runtime import DTYPES, find_device, passport
from backends.pytorch.training import Model
from common.parameters import Arrays
from common.spec import ModelSpec

__all__ = ["IMPLEMENTATIONS", "bare", "bare_loop", "d2l_loop", "implementation", "passport"]

IMPLEMENTATIONS = ("equations", "layers")


@dataclass(frozen=True)
class Implementation:
    """``pytorch:equations`` or ``pytorch:layers`` on one device in one dtype."""

    net: type[Equations] | type[Layers]
    device: torch.device
    dtype: torch.dtype

    def unsupported(self, spec: ModelSpec) -> str | None:
        return layers.unsupported(spec) if self.net is Layers else None

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        options = {"device": self.device, "dtype": self.dtype}
        tensors = {name: torch.tensor(array, **options) for name, array in params.items()}
        return Model(self.net(spec, tensors), self.device, self.dtype)


def implementation(name: str, device: str, dtype: str) -> Implementation:
    net = {"equations": Equations, "layers": Layers}[name]
    return Implementation(net, find_device(device), DTYPES[dtype])
