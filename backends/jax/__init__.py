"""The JAX backend, and its tiers: what the float32 nets and models do otherwise."""

from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import jax.numpy as jnp

from backends.jax import layers
from backends.jax.bare import bare, bare_loop, d2l_loop, scan_loop
from backends.jax.equations import Equations
from backends.jax.layers import Layers
from backends.jax.modes import MODES as NETS
from backends.jax.modes import Library, ran
from backends.jax.runtime import (
    DTYPES,
    SHORT,
    TIERS,
    compiled,
    find_device,
    nnx,
    passport,
    product_rate,
    read_as_factor,
    small,
    tf32,
)
from backends.jax.scalars import scalars
from backends.jax.stack import Stack
from backends.jax.training import Model, Programs, Trainer
from backends.jax.workers import Workers, join, launched
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec

__all__ = [
    "HALVES",
    "IMPLEMENTATIONS",
    "MODES",
    "bare",
    "bare_loop",
    "compiled",
    "d2l_loop",
    "implementation",
    "join",
    "launched",
    "passport",
    "product_rate",
    "ran",
    "scalars",
]

HALVES = ("bfloat16", "mixed", "float16")
IMPLEMENTATIONS = ("equations", "layers") if nnx else ("equations",)
MODES = tuple(NETS) if nnx else ()
LOOPS = {f"lax.scan, unroll {k}": partial(scan_loop, unroll=k) for k in (1, 5, 7, 35)}

HELD = 32
"""Of so many specs what was compiled is held, some 40 MB each: a family's cases ask for the same
ones again and again."""


@dataclass(frozen=True, eq=False)
class Implementation:
    """``jax:equations`` or ``jax:layers`` on one device in one dtype.

    tier: "tf32" or "mixed", whose arrays are float32; None if dtype says it all
    """

    net: type[Equations] | type[Layers]
    device: jax.Device
    dtype: jnp.dtype
    tier: str | None = None

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        if issubclass(self.net, Library):
            return self.net.unsupported(spec)
        return layers.unsupported(spec) if self.net is Layers else None

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        placed = {
            name: jax.device_put(array.astype(self.dtype), self.device)
            for name, array in params.items()
        }
        model = Tf32Model if self.tier == "tf32" else Model
        return model(programs(self, spec), placed, self.device, self.dtype)


@lru_cache(HELD)
def programs(made: Implementation, spec: ModelSpec) -> Programs:
    """What is compiled for the models of a spec."""
    net = MIXED[made.net] if made.tier == "mixed" else made.net
    if small(spec):
        return Stack(made, net(spec, made.dtype), made.dtype, made.device)
    return Programs(net(spec, made.dtype), made.device)


def implementation(name: str, device: str, dtype: str) -> Implementation:
    net = {"equations": Equations, "layers": Layers, **NETS}[name]
    found = find_device(device, dtype)
    if dtype in TIERS:
        return Implementation(net, found, DTYPES["float32"], dtype)
    return Implementation(net, found, (DTYPES | SHORT)[dtype])


class Tf32Trainer(Trainer):
    step = tf32()(Trainer.step)


class Tf32Model(Model):
    """A model for which TF32 is on while it is compiled and computes, forward and backward."""

    outputs = tf32()(Model.outputs)
    forward = tf32()(Model.forward)
    loss_and_gradients = tf32()(Model.loss_and_gradients)

    def trainer(self, recipe: Recipe, state: Arrays, workers: Workers | None = None) -> Trainer:
        return Tf32Trainer(self, recipe, state, workers)


class MixedEquations(Equations):
    """The equations with bfloat16 products; sums, gates, state, O and loss are float32."""

    read = staticmethod(read_as_factor)


class MixedLayers(Layers):
    """Flax's layers in bfloat16 over float32 weights; what they return is cast back to float32."""

    policy = jnp.bfloat16


MIXED = {Equations: MixedEquations, Layers: MixedLayers}
