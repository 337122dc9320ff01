"""The MXNet backend."""

import os

# Before MXNet is imported anywhere. It leaves to NVIDIA's libraries how they multiply float32, and
# cuDNN's RNNs then keep 10 bits of each factor (TF32) where the GPU can, unless this forbids it.
os.environ["NVIDIA_TF32_OVERRIDE"] = "0"

# MXNet turns a process of the role "scheduler" or "server" into one while it is imported, and does
# not come back. Here it is to be one when ``workers.serve`` is called.
os.environ["DEEP_RNN_ROLE"] = os.environ.pop("DMLC_ROLE", "")

from dataclasses import dataclass

import mxnet as mx
from mxnet import nd

from backends.mxnet import layers, modes
from backends.mxnet.bare import bare, bare_loop, d2l_loop
from backends.mxnet.equations import Equations
from backends.mxnet.layers import Layers
from backends.mxnet.modes import MODES as NETS
from backends.mxnet.modes import HybridLayers, ran
from backends.mxnet.runtime import TIERS, find_device, passport
from backends.mxnet.scalars import scalars
from backends.mxnet.training import Model
from backends.mxnet.workers import join, launched
from common.parameters import Arrays
from common.spec import ModelSpec

__all__ = [
    "IMPLEMENTATIONS",
    "MODES",
    "bare",
    "bare_loop",
    "d2l_loop",
    "implementation",
    "join",
    "launched",
    "passport",
    "ran",
    "scalars",
]

IMPLEMENTATIONS = ("equations", "layers")
MODES = tuple(NETS)


@dataclass(frozen=True)
class Implementation:
    """``mxnet:equations`` or ``mxnet:layers`` on one device in one dtype.

    tier: "tf32" or "mixed", in which MXNet computes nothing; None if dtype says it all
    """

    net: type[Equations] | type[Layers]
    device: mx.Context
    dtype: str
    tier: str | None = None

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        if self.tier:
            return TIERS[self.tier]
        if self.net is HybridLayers and lengths:
            return modes.UNROLLED
        if self.net is Equations:
            return None
        if dropout:
            return layers.DRAWS_ITS_MASKS
        return (modes if self.net is HybridLayers else layers).unsupported(spec)

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        tensors = {n: nd.array(array, self.device, self.dtype) for n, array in params.items()}
        return Model(self.net(spec, tensors), self.device, self.dtype)


def implementation(name: str, device: str, dtype: str) -> Implementation:
    net = {"equations": Equations, "layers": Layers, **NETS}[name]
    found = find_device(device, dtype)
    if dtype in TIERS:
        return Implementation(net, found, "float32", dtype)
    return Implementation(net, found, dtype)
