"""The TensorFlow backend, and its tiers: what the float32 nets and models do otherwise."""

import os

# Before TensorFlow is imported anywhere: it prints notes on its build and its optimiser to stderr;
# errors are enough.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Keras has other backends, and would take the one that the environment names.
os.environ["KERAS_BACKEND"] = "tensorflow"
# cuBLASLt is off by default. Its plans are kept for the life of the process by the shapes of the
# factors alone, so that TF32 would be on or off for ever (kernels/matmul_util.h).
os.environ["TF_USE_CUBLASLT"] = "0"

from dataclasses import dataclass

import tensorflow as tf

from backends.tensorflow import layers
from backends.tensorflow.bare import bare, bare_loop, d2l_loop
from backends.tensorflow.equations import Equations
from backends.tensorflow.layers import Layers
from backends.tensorflow.modes import MODES as NETS
from backends.tensorflow.modes import XlaLayers, XlaModel, ran
from backends.tensorflow.runtime import (
    DTYPES,
    SHORT,
    TIERS,
    Compiled,
    compiled,
    find_device,
    passport,
    read_as_factor,
    read_file,
    tf32,
)
from backends.tensorflow.scalars import scalars
from backends.tensorflow.training import Model, Trainer
from backends.tensorflow.workers import Workers, join, launched
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
    "ran",
    "read_file",
    "scalars",
]

HALVES = ("bfloat16", "mixed", "float16")
IMPLEMENTATIONS = ("equations", "layers")
MODES = tuple(NETS)


@dataclass(frozen=True)
class Implementation:
    """``tensorflow:equations`` or ``tensorflow:layers`` on one device in one dtype.

    tier: "tf32" or "mixed", whose tensors are float32; None if dtype says it all
    """

    net: type[Equations] | type[Layers]
    device: str
    dtype: tf.DType
    tier: str | None = None

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        return layers.unsupported(spec) if issubclass(self.net, Layers) else None

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        cast = {name: array.astype(self.dtype.as_numpy_dtype) for name, array in params.items()}
        net = MIXED[self.net] if self.tier == "mixed" else self.net
        model = XlaModel if self.net is XlaLayers else Model
        model = Tf32Model if self.tier == "tf32" else model
        with tf.device(self.device):
            return model(net(spec, cast), self.device, self.dtype)


def implementation(name: str, device: str, dtype: str) -> Implementation:
    net = {"equations": Equations, "layers": Layers, **NETS}[name]
    found = find_device(device, dtype)
    if dtype in TIERS:
        return Implementation(net, found, DTYPES["float32"], dtype)
    return Implementation(net, found, (DTYPES | SHORT)[dtype])


class Tf32Trainer(Trainer):
    def __init__(
        self, model: Model, recipe: Recipe, state: Arrays, workers: Workers | None
    ) -> None:
        super().__init__(model, recipe, state, workers)
        self.compiled.eager = 0

    step = tf32()(Trainer.step)


class Tf32Model(Model):
    """A model for which TF32 is on while it computes, forward and backward.

    Nothing runs eagerly: TensorFlow keeps the kernel of an eager op for the next one of that kind,
    and cuDNN's RNNs keep the switch as their kernel first found it (``cudnn_rnn_ops.cc``).
    """

    def __init__(self, net: Equations | Layers, device: str, dtype: tf.DType) -> None:
        super().__init__(net, device, dtype)
        self.call, self.compiled = Compiled(net, eager=0), Compiled(self.differentiate, eager=0)
        net.forward = tf.function(net.forward, autograph=False)

    outputs = tf32()(Model.outputs)
    forward = tf32()(Model.forward)
    loss_and_gradients = tf32()(Model.loss_and_gradients)

    def trainer(self, recipe: Recipe, state: Arrays, workers: Workers | None = None) -> Trainer:
        return Tf32Trainer(self, recipe, state, workers)


class MixedEquations(Equations):
    """The equations with bfloat16 products; sums, gates, state, O and loss are float32."""

    read = staticmethod(read_as_factor)


class MixedLayers(Layers):
    """Keras' layers in bfloat16 over float32 weights; what they return is cast back to float32."""

    policy = "mixed_bfloat16"


MIXED = {Equations: MixedEquations, Layers: MixedLayers}
