"""The MXNet backend."""

from dataclasses import dataclass

import mxnet as mx
from mxnet import nd

from backends.mxnet import layers
from backends.mxnet.bare import bare, bare_loop, d2l_loop
from backends.mxnet.equations import Equations
from backends.mxnet.layers import Layers
from backends.mxnet.runtime import find_device, passport
from backends.mxnet.training import Model
from common.parameters import Arrays
from common.spec import ModelSpec

__all__ = ["IMPLEMENTATIONS", "bare", "bare_loop", "d2l_loop", "implementation", "passport"]

IMPLEMENTATIONS = ("equations", "layers")


@dataclass(frozen=True)
class Implementation:
    """``mxnet:equations`` or ``mxnet:layers`` on one device in one dtype."""

    net: type[Equations] | type[Layers]
    device: mx.Context
    dtype: str

    def unsupported(self, spec: ModelSpec) -> str | None:
        return layers.unsupported(spec) if self.net is Layers else None

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        tensors = {n: nd.array(array, self.device, self.dtype) for n, array in params.items()}
        return Model(self.net(spec, tensors), self.device, self.dtype)


def implementation(name: str, device: str, dtype: str) -> Implementation:
    net = {"equations": Equations, "layers": Layers}[name]
    return Implementation(net, find_device(device), dtype)
