"""A further way to compute the layers with TensorFlow, made when it is asked for: every graph
compiled by XLA."""

from functools import lru_cache, partial

import numpy as np
import tensorflow as tf

from backends.protocol import Forward
from backends.tensorflow.equations import Equations
from backends.tensorflow.layers import HELD, Layers, Shared, make_layer
from backends.tensorflow.runtime import Compiled, find_device
from backends.tensorflow.training import Model, Trainer
from backends.tensorflow.workers import Workers
from common.dropout import Dropout
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec

by_xla = partial(Compiled, eager=0, xla=True)
"""A function that XLA compiles, for every shape anew."""


class XlaShared(Shared):
    """A Keras layer that is a program of XLA's wherever it is called alone."""

    def __init__(self, layer) -> None:
        super().__init__(layer)
        self.compiled = self.masked = by_xla(self.run)


@lru_cache(HELD)
def shared(spec: ModelSpec, dtype: str, device: str) -> XlaShared:
    """The Keras layer of a spec of one layer."""
    with tf.device(device):
        return XlaShared(make_layer(spec, 1, dtype))


class XlaLayers(Layers):
    """Keras' layers, each compiled by XLA where it is not a part of a larger program."""

    shared = staticmethod(shared)


class XlaModel(Model):
    """A model whose prediction and whose gradients are a program of XLA's each. What locates a
    difference, the state after every step, goes layer by layer."""

    def __init__(self, net: Equations | Layers, device: str, dtype: tf.DType) -> None:
        super().__init__(net, device, dtype)
        self.call, self.compiled = by_xla(net), by_xla(self.differentiate)

    def forward(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Forward:
        """Outputs and state of the program that predicts: another one rounds otherwise."""
        O, last = self.outputs(X, state, lengths, dropout)
        return Forward(O, last, super().forward(X, state, lengths, dropout).trace)

    def trainer(self, recipe: Recipe, state: Arrays, workers: Workers | None = None) -> Trainer:
        return XlaTrainer(self, recipe, state, workers)


class XlaTrainer(Trainer):
    """Its step is one program; workers exchange their gradients outside of XLA."""

    def __init__(
        self, model: Model, recipe: Recipe, state: Arrays, workers: Workers | None
    ) -> None:
        super().__init__(model, recipe, state, workers)
        if not workers:
            self.compiled = by_xla(self.update)


MODES = {"layers-xla": XlaLayers}
"""By name, beside "equations" and "layers"."""


def ran(name: str, device: str) -> dict[str, str]:
    """What a mode really runs, of a small LSTM: the operations of the program that XLA has made."""
    with tf.device(find_device(device)):
        made = XlaShared(make_layer(ModelSpec("lstm", 2, 3, 2, 1), 1, "float32"))
        weights = [tf.zeros(w.shape) for w in made.layer.trainable_variables]
        given = weights, tf.zeros((1, 2, 2)), [tf.zeros((1, 3))] * 2
        made(*given)
        text = made.compiled.graph.experimental_get_compiler_ir(*given)("optimized_hlo")
    found = {op: text.count(f" {op}(") for op in ("while", "dot", "custom-call", "fusion")}
    program = ", ".join(f"{op} × {count}" for op, count in found.items() if count)
    return {"compiled by": "XLA", "program": program}
