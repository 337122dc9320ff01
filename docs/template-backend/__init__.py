"""A backend to start from: see docs/adding-a-backend.md. Nothing here is registered."""

from dataclasses import dataclass
from typing import Any

from backends.template import layers
from backends.template.bare import bare, bare_loop, d2l_loop
from backends.template.equations import Equations
from backends.template.layers import Layers
from backends.template.runtime import find_device, passport
from backends.template.scalars import scalars
from backends.template.training import Model

from common.parameters import Arrays
from common.spec import ModelSpec

__all__ = [
    "IMPLEMENTATIONS",
    "bare",
    "bare_loop",
    "d2l_loop",
    "implementation",
    "passport",
    "scalars",
]

IMPLEMENTATIONS = ("equations", "layers")


@dataclass(frozen=True)
class Implementation:
    """``template:equations`` or ``template:layers`` on one device in one dtype."""

    net: type[Equations] | type[Layers]
    device: Any
    dtype: str

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        return layers.unsupported(spec) if self.net is Layers else None

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        """Here the arrays become tensors of the framework."""
        return Model(self.net(spec, params), self.device, self.dtype)


def implementation(name: str, device: str, dtype: str) -> Implementation:
    net = {"equations": Equations, "layers": Layers}[name]
    return Implementation(net, find_device(device, dtype), dtype)
