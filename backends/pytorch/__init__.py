"""The PyTorch backend, and its tiers: what the float32 nets and models do otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.pytorch import layers
from backends.pytorch.bare import bare, bare_loop, d2l_loop
from backends.pytorch.equations import Equations, State
from backends.pytorch.layers import Layers
from backends.pytorch.modes import MODES as NETS
from backends.pytorch.modes import KerasLayers, ran
from backends.pytorch.runtime import (
    DTYPES,
    SHORT,
    TIERS,
    call_in_bfloat16,
    find_device,
    passport,
    product_rate,
    read_file,
    tf32,
)
from backends.pytorch.scalars import scalars
from backends.pytorch.training import Model, Trainer
from backends.pytorch.workers import Workers, join, launched
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec

__all__ = [
    "HALVES",
    "IMPLEMENTATIONS",
    "MODES",
    "bare",
    "bare_loop",
    "d2l_loop",
    "implementation",
    "join",
    "launched",
    "passport",
    "product_rate",
    "ran",
    "read_file",
    "scalars",
]

HALVES = ("bfloat16", "mixed", "float16")
IMPLEMENTATIONS = ("equations", "layers")
MODES = tuple(NETS)


@dataclass(frozen=True)
class Implementation:
    """``pytorch:equations`` or ``pytorch:layers`` on one device in one dtype.

    tier: "tf32" or "mixed", whose tensors are float32; None if dtype says it all
    """

    net: type[Equations] | type[Layers]
    device: torch.device
    dtype: torch.dtype
    tier: str | None = None

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        if self.net is KerasLayers:
            return KerasLayers.unsupported(spec)
        return layers.unsupported(spec) if issubclass(self.net, Layers) else None

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        options = {"device": self.device, "dtype": self.dtype}
        tensors = {name: torch.tensor(array, **options) for name, array in params.items()}
        net = MIXED[self.net] if self.tier == "mixed" else self.net
        model = Tf32Model if self.tier == "tf32" else Model
        return model(net(spec, tensors), self.device, self.dtype)


def implementation(name: str, device: str, dtype: str) -> Implementation:
    net = {"equations": Equations, "layers": Layers, **NETS}[name]
    found = find_device(device, dtype)
    if dtype in TIERS:
        return Implementation(net, found, DTYPES["float32"], dtype)
    return Implementation(net, found, (DTYPES | SHORT)[dtype])


class Tf32Trainer(Trainer):
    step = tf32()(Trainer.step)


class Tf32Model(Model):
    """A model for which TF32 is on while it computes, forward and backward."""

    outputs = tf32()(Model.outputs)
    forward = tf32()(Model.forward)
    loss_and_gradients = tf32()(Model.loss_and_gradients)

    def trainer(self, recipe: Recipe, state: Arrays, workers: Workers | None = None) -> Trainer:
        return Tf32Trainer(self, recipe, state, workers)


class MixedEquations(Equations):
    """The equations with bfloat16 products, by autocast: the factors of every ``@`` are rounded to
    bfloat16. A bias is float32, and with it gates, state and O, so that the loss is float32 too.
    It needs no scaling: bfloat16 has the exponents of float32, so small gradients do not underflow.
    """

    def __call__(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        with torch.autocast(X.device.type, dtype=torch.bfloat16):
            return super().__call__(X, state, within, kept)

    def trace(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> list[State]:
        with torch.autocast(X.device.type, dtype=torch.bfloat16):
            return super().trace(X, state, within, kept)


class MixedLayers(Layers):
    """torch's layers in bfloat16; what they return is float32 again, and so is the loss."""

    call = staticmethod(call_in_bfloat16)


MIXED = {Equations: MixedEquations, Layers: MixedLayers}
