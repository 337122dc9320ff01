"""TFLite, today LiteRT, which predicts: it answers the ladder up to the outputs, in float32, from
models that TensorFlow's converter makes of Keras' layers."""

import os

# Before TensorFlow is imported anywhere: it prints notes on its build and its optimiser to stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Keras has other backends, and would take the one that the environment names.
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np

from backends.protocol import Forward, Part
from backends.tflite.layers import canonical, make_layers, make_stack, make_steps, unsupported
from backends.tflite.runtime import Session, check, passport
from backends.tflite.scalars import scalars
from common.dropout import Dropout, check_dropout
from common.errors import BadInput
from common.lengths import check_lengths, steps_within
from common.parameters import Arrays, state_of, zero_state
from common.spec import ModelSpec

__all__ = ["IMPLEMENTATIONS", "PART", "implementation", "passport", "scalars"]

IMPLEMENTATIONS = ("layers",)
PART = Part("outputs", ("float32",))
"""TFLite has no float64 in most of these operators, and what is converted here trains nothing."""


class Model:
    """A stack of Keras layers, and what is made of it for as many examples as are asked about."""

    def __init__(self, spec: ModelSpec, params: Arrays) -> None:
        self.spec = spec
        self.layers = make_layers(spec, {n: a.astype("float32") for n, a in params.items()})
        self.eye = np.eye(spec.d, dtype="float32")
        self.sessions: dict[tuple[int, bool, bool], Session] = {}
        self.steps: dict[int, Session] = {}

    def session(self, n: int, ragged: bool, dropped: bool) -> Session:
        """Without lengths and masks a model has no place for any."""
        key = n, ragged, dropped
        if key not in self.sessions:
            self.sessions[key] = make_stack(self.spec, self.layers, *key)
        return self.sessions[key]

    def inputs(self, X: np.ndarray) -> np.ndarray:
        """Floats (T, n, d); class numbers (T, n) become one-hot vectors, rows of the identity."""
        return self.eye[X] if X.ndim == 2 else X.astype("float32")

    def parameters(self) -> Arrays:
        """Out of Keras' layers; what the converter made of them shows in the outputs alone."""
        return canonical(self.spec, self.layers)

    def start(self, state: Arrays) -> Arrays:
        """The initial state as a session takes it, by part and row."""
        given = {}
        for row, place in enumerate(self.spec.passes):
            for part, array in state_of(self.spec, state, *place).items():
                given[f"{part}{row}"] = array.astype("float32")
        return given

    def run(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None,
        dropout: Dropout | None,
    ) -> Arrays:
        """What the whole model computes, by name and time-major; 0 behind an example's end, where
        Keras repeats the last output (LEN-1)"""
        spec, (T, n) = self.spec, X.shape[:2]
        given = {"X": self.inputs(X).swapaxes(0, 1)}
        given |= {f"{name}0": array for name, array in self.start(state).items()}
        if lengths is not None:
            lengths = check_lengths(lengths, n, T)
            given["within"] = steps_within(lengths, n, T).T
        if dropout is not None:
            checked = check_dropout(dropout, spec, n, T)
            for layer, mask in enumerate(checked.by_layer(spec), start=1):
                kept = mask.astype("float32") / np.float32(1 - checked.rate)
                given[f"kept{layer}"] = kept.swapaxes(0, 1)
        made = {"below1": given["X"]}
        made |= self.session(n, lengths is not None, dropout is not None)(given)
        for name, array in made.items():
            if array.ndim == 3:
                own = array if lengths is None else np.where(given["within"][..., None], array, 0)
                made[name] = own.swapaxes(0, 1)
        return made

    def last(self, made: Arrays, n: int) -> Arrays:
        """The last state of every row."""
        found = zero_state(self.spec, n, "float32")
        for part in self.spec.states:
            for row in range(self.spec.rows):
                own = made[f"{part}{row}"]
                found[part][row, :, : own.shape[-1]] = own
        return found

    def outputs(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[np.ndarray, Arrays]:
        made = self.run(X, state, lengths, dropout)
        return made["O"], self.last(made, X.shape[1])

    def forward(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Forward:
        """A layer shows its H at every step, and its C only at the end: that goes step by step."""
        made, (T, n), D = self.run(X, state, lengths, dropout), X.shape[:2], self.spec.directions
        zeros = zero_state(self.spec, n, "float32")
        trace = {part: np.zeros((T, *zero.shape), "float32") for part, zero in zeros.items()}
        for row, (layer, backward) in enumerate(self.spec.passes):
            H = np.split(made[f"Y{layer}"], D, axis=-1)[backward]
            trace["H"][:, row, :, : H.shape[-1]] = H
        if "C" in trace:
            within = np.ones((T, n), bool) if lengths is None else steps_within(lengths, n, T)
            self.remember(trace["C"], made, self.start(state), within)
        return Forward(made["O"], self.last(made, n), trace)

    def remember(self, trace: np.ndarray, made: Arrays, now: Arrays, within: np.ndarray) -> None:
        """C after every step of every row, (T, rows, n, h); 0 behind an example's end

        made: what ``run`` found     now: the initial state     within: (T, n)"""
        T, n = within.shape
        if n not in self.steps:
            self.steps[n] = make_steps(self.spec, self.layers, n)
        for step in range(T):
            given = {f"{name}0": array for name, array in now.items()}
            times = [T - 1 - step if backward else step for _, backward in self.spec.passes]
            for row, (layer, _) in enumerate(self.spec.passes):
                below = f"below{layer}" if f"below{layer}" in made else f"Y{layer - 1}"
                given[f"x{row}"] = made[below][times[row]][:, None]
            after = self.steps[n](given)
            for row, t in enumerate(times):
                own = within[t][:, None]
                for part in self.spec.states:
                    name = f"{part}{row}"
                    now[name] = np.where(own, after[name], now[name])
                trace[t, row, :, : now[f"C{row}"].shape[-1]] = np.where(own, now[f"C{row}"], 0)


class Layers:
    """``tflite:layers``."""

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        return unsupported(spec)

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        return Model(spec, params)


def implementation(name: str, device: str, dtype: str) -> Layers:
    check(device, dtype)
    if name not in IMPLEMENTATIONS:
        raise BadInput("tflite", "implementation", ", ".join(IMPLEMENTATIONS), name)
    return Layers()
