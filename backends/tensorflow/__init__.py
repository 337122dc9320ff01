"""The TensorFlow backend."""

import os

# Before TensorFlow is imported anywhere: it prints notes on its build and its optimiser to stderr;
# errors are enough.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Keras has other backends, and would take the one that the environment names.
os.environ["KERAS_BACKEND"] = "tensorflow"

from dataclasses import dataclass

import tensorflow as tf

from backends.tensorflow import layers
from backends.tensorflow.bare import bare, bare_loop, d2l_loop
from backends.tensorflow.equations import Equations
from backends.tensorflow.layers import Layers
from backends.tensorflow.runtime import DTYPES, find_device, passport
from backends.tensorflow.training import Model
from common.parameters import Arrays
from common.spec import ModelSpec

__all__ = ["IMPLEMENTATIONS", "bare", "bare_loop", "d2l_loop", "implementation", "passport"]

IMPLEMENTATIONS = ("equations", "layers")


@dataclass(frozen=True)
class Implementation:
    """``tensorflow:equations`` or ``tensorflow:layers`` on one device in one dtype."""

    net: type[Equations] | type[Layers]
    device: str
    dtype: tf.DType

    def unsupported(self, spec: ModelSpec) -> str | None:
        return layers.unsupported(spec) if self.net is Layers else None

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        cast = {name: array.astype(self.dtype.as_numpy_dtype) for name, array in params.items()}
        with tf.device(self.device):
            return Model(self.net(spec, cast), self.device, self.dtype)


def implementation(name: str, device: str, dtype: str) -> Implementation:
    net = {"equations": Equations, "layers": Layers}[name]
    return Implementation(net, find_device(device), DTYPES[dtype])
