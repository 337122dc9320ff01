"""What a case is: one question that every implementation answers, and the numbers in it."""

import fnmatch
import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common.dropout import Dropout, as_few, needs
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec

FAMILIES: dict[str, dict[str, Any]] = {
    "rnn-tanh": {"cell": "rnn", "activation": "tanh"},
    "rnn-relu": {"cell": "rnn", "activation": "relu"},
    "gru-before": {"cell": "gru", "reset": "before"},
    "gru-after": {"cell": "gru", "reset": "after"},
    "lstm": {"cell": "lstm"},
}
DTYPES = ("float64", "float32")
CLIPPED = Recipe(learning_rate=0.5, clip=0.125)
UNCLIPPED = Recipe(learning_rate=0.5, clip=64.0)


Number = float | tuple[float, ...]
"""One for all, or one for each unit along the last axis."""


@dataclass(frozen=True)
class Magnitude:
    """The tensors whose names match become factor · what was drawn + offset, rounded to float32."""

    tensors: str
    factor: Number = 1.0
    offset: Number = 0.0


@dataclass(frozen=True)
class Planted:
    """One number at one place of a tensor."""

    tensor: str
    index: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class Case:
    """One question that every implementation answers.

    n, T, K:      examples, steps, and minibatches to train on
    zero_state:   start from zeros instead of random numbers
    text:         one-hot characters of the text instead of random inputs
    invariances:  also check what must hold for this implementation alone
    regimes:      what it has that others have not: regimes.py names them
    conventions:  whether it must tell wrong conventions: a gate that is shut hides many
    magnitudes:   how its numbers are changed after they are drawn
    planted:      single numbers in it: a NaN, an infinity
    lengths:      of the n examples of the first minibatch, T if none is said; each further one has
                  them one example later
    dropout:      the rate at which numbers are dropped between layers
    elementwise:  every element is held to what its own conditioning allows, against an answer of
                  higher precision
    vanishing:    any gradient may be exactly 0: few units of a relu may all be off, and through a
                  gate that is shut less may come than float64 can hold
    """

    name: str
    spec: ModelSpec
    n: int = 3
    T: int = 6
    K: int = 3
    zero_state: bool = False
    text: bool = False
    invariances: bool = False
    regimes: tuple[str, ...] = ()
    conventions: bool = True
    magnitudes: tuple[Magnitude, ...] = ()
    planted: tuple[Planted, ...] = ()
    lengths: tuple[int, ...] = ()
    dropout: float = 0.0
    elementwise: bool = False
    vanishing: bool = False
    recipe: Recipe = field(default=CLIPPED)
    params: Arrays | None = field(default=None, compare=False)

    @property
    def size(self) -> int:
        """Roughly how many numbers a step makes, over all steps and layers."""
        return self.T * self.n * self.spec.L * max(self.spec.h, self.spec.q)

    @property
    def needs(self) -> tuple[bool, ...]:
        """What an implementation must know beside the spec: lengths, and dropout."""
        return needs(bool(self.lengths), bool(self.dropout))

    @property
    def undefined(self) -> bool:
        """Whether what follows from a NaN or an infinity must be NaN, and nothing else may be."""
        return bool(self.planted)

    def zeros(self) -> tuple[str, ...]:
        """Patterns of gradients that are zero by construction; a zero anywhere else is an error,
        because it would compare nothing."""
        patterns: list[str] = []
        if self.zero_state and max(self.lengths, default=self.T) == 1:
            # H_0 = 0 (and C_0 = 0) meets every recurrent weight, the forget gate, the input gate's
            # peephole, and the reset gate if it acts before the matrix product.
            patterns += ["layer*.W_h*"]
            patterns += ["layer*.?_*f", "layer*.P_i"] if self.spec.cell == "lstm" else []
            patterns += ["layer*.?_*r"] if self.spec.reset == "before" else []
        patterns += ["*"] if self.vanishing else []
        return tuple(patterns)

    def may_be_zero(self, tensor: str) -> bool:
        """Whether a recorded tensor that is right if it is zero throughout compares anything.

        Somebody's own weights may be zero, as fresh biases are, and gradients with them: what an
        implementation makes of them must then be exactly zero. What it answers, it must answer with
        numbers.
        """
        own = self.params is not None and not tensor.startswith(("forward", "trace", "loss"))
        name = tensor.rpartition("/")[2]
        return own or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.zeros())


@dataclass(frozen=True)
class Material:
    """The numbers of a case, each exactly a float32, so that both dtypes get the same.

    X: (K, T, n, d)   Y: (K, T, n)   state: (L, n, h) each, or (2L, n, h) of two directions
    lengths: (K, n), if not all examples have T steps
    dropout: one for each minibatch, if numbers are dropped
    """

    params: Arrays
    X: np.ndarray
    Y: np.ndarray
    state: Arrays
    lengths: np.ndarray | None = None
    dropout: tuple[Dropout, ...] = ()

    def lengths_of(self, k: int) -> np.ndarray | None:
        """Of the examples of minibatch k, (n,); None if all have T steps."""
        return None if self.lengths is None else self.lengths[k]

    def dropout_of(self, k: int) -> Dropout | None:
        """What is dropped in minibatch k; None if nothing is."""
        return self.dropout[k] if self.dropout else None

    def more_of(self, k: int) -> tuple[Any, ...]:
        """What is said of minibatch k beside X, Y and the state."""
        return as_few(self.lengths_of(k), self.dropout_of(k))

    def digest(self) -> str:
        """SHA-256 over every number: two records answer the same question if these agree."""
        digest = hashlib.sha256()
        arrays = {**self.params, "X": self.X, "Y": self.Y.astype("int64"), **self.state}
        if self.lengths is not None:
            arrays["lengths"] = self.lengths.astype("int64")
        for k, dropout in enumerate(self.dropout):
            arrays[f"dropout {k}"] = np.append(dropout.rate, dropout.masks)
        for name, array in arrays.items():
            digest.update(f"{name} {array.shape} {array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def make_spec(family: str, d: int, h: int, q: int, L: int, directions: int = 1) -> ModelSpec:
    options = FAMILIES[family]
    activations = (options["activation"],) * L if options["cell"] == "rnn" else ()
    return ModelSpec(options["cell"], d, h, q, L, activations, options.get("reset"), directions)
