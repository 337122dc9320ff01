"""ONNX Runtime, which predicts: it answers the ladder up to the outputs, in float32, from models
that are written here, node by node."""

from functools import cached_property

import numpy as np
from onnx import load_from_string

from backends.onnxruntime.layers import canonical, make_stack, make_step, unsupported
from backends.onnxruntime.runtime import Session, check, passport
from backends.onnxruntime.scalars import scalars
from backends.protocol import Forward, Part
from common.dropout import Dropout, check_dropout
from common.errors import BadInput
from common.lengths import check_lengths, steps_within
from common.parameters import Arrays, state_of, zero_state
from common.spec import ModelSpec

__all__ = ["IMPLEMENTATIONS", "PART", "implementation", "passport", "scalars"]

IMPLEMENTATIONS = ("layers",)
PART = Part("outputs", ("float32",))
"""ONNX Runtime's kernels of these layers know float32 alone, and it trains nothing."""


class Model:
    """A stack as an ONNX model, in sessions that are made when they are asked for."""

    def __init__(self, spec: ModelSpec, params: Arrays) -> None:
        self.spec = spec
        self.params = {name: array.astype("float32") for name, array in params.items()}
        self.eye = np.eye(spec.d, dtype="float32")
        self.sessions: dict[tuple[bool, bool], Session] = {}

    def session(self, ragged: bool, dropped: bool) -> Session:
        """Without lengths and masks a model has no place for any."""
        key = ragged, dropped
        if key not in self.sessions:
            self.sessions[key] = Session(make_stack(self.spec, self.params, *key))
        return self.sessions[key]

    @cached_property
    def steps(self) -> list[Session]:
        """One step of every direction of every layer, by row of the state."""
        return [Session(make_step(self.spec, self.params, *row)) for row in self.spec.passes]

    def inputs(self, X: np.ndarray) -> np.ndarray:
        """Floats (T, n, d); class numbers (T, n) become one-hot vectors, rows of the identity."""
        return self.eye[X] if X.ndim == 2 else X.astype("float32")

    def parameters(self) -> Arrays:
        """Out of the model that a session was given."""
        return canonical(self.spec, load_from_string(self.session(False, False).model))

    def run(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None,
        dropout: Dropout | None,
    ) -> Arrays:
        """What the whole model computes, by name; O is 0 behind an example's end   (LEN-1)"""
        spec, (T, n) = self.spec, X.shape[:2]
        given = {"X": self.inputs(X)}
        for layer in range(1, spec.L + 1):
            halves = [state_of(spec, state, layer, backward) for backward in spec.ways]
            for part in spec.states:
                rows = np.stack([half[part] for half in halves])
                given[f"layer{layer}.{part}0"] = rows.astype("float32")
        if lengths is not None:
            given["lengths"] = check_lengths(lengths, n, T).astype("int32")
        if dropout is not None:
            checked = check_dropout(dropout, spec, n, T)
            for layer, mask in enumerate(checked.by_layer(spec), start=1):
                kept = mask.astype("float32") / np.float32(1 - checked.rate)
                given[f"layer{layer}.kept"] = kept
        made = self.session(lengths is not None, dropout is not None)(given)
        if lengths is not None:
            made["O"] = np.where(steps_within(lengths, n, T)[..., None], made["O"], 0)
        return made

    def last(self, made: Arrays, n: int) -> Arrays:
        """The last state of every row."""
        found = zero_state(self.spec, n, "float32")
        for row, (layer, backward) in enumerate(self.spec.passes):
            for part in self.spec.states:
                own = made[f"layer{layer}.{part}"][int(backward)]
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
        """A node shows its H at every step, and its C only at the end: that goes step by step."""
        made, (T, n) = self.run(X, state, lengths, dropout), X.shape[:2]
        zeros = zero_state(self.spec, n, "float32")
        trace = {part: np.zeros((T, *zero.shape), "float32") for part, zero in zeros.items()}
        within = None if lengths is None else steps_within(lengths, n, T)[..., None]
        for row, (layer, backward) in enumerate(self.spec.passes):
            found = {"H": made[f"layer{layer}.Y"][:, int(backward)]}
            if "C" in trace:
                start = state_of(self.spec, state, layer, backward)
                found["C"] = self.memory(row, made[f"layer{layer}.below"], start, within)
            for part, steps in found.items():
                trace[part][:, row, :, : steps.shape[-1]] = steps
        return Forward(made["O"], self.last(made, n), trace)

    def memory(
        self, row: int, below: np.ndarray, start: Arrays, within: np.ndarray | None
    ) -> np.ndarray:
        """C after every step of one row, (T, n, h); 0 behind an example's end

        below: what goes into its layer, (T, n, d or D·h)   within: (T, n, 1)"""
        layer, backward = self.spec.passes[row]
        order = range(len(below))
        now = {f"layer{layer}.{part}": a[None].astype("float32") for part, a in start.items()}
        found = np.zeros((len(below), *now[f"layer{layer}.C"].shape[1:]), "float32")
        for t in reversed(order) if backward else order:
            given = {f"{name}0": array for name, array in now.items()}
            made = self.steps[row](given | {"x": below[t : t + 1]})
            if within is not None:
                made = {name: np.where(within[t], a, now[name]) for name, a in made.items()}
            now = made
            found[t] = now[f"layer{layer}.C"][0]
        return found if within is None else np.where(within, found, 0).astype("float32")


class Layers:
    """``onnxruntime:layers``."""

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        return unsupported(spec)

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        return Model(spec, params)


def implementation(name: str, device: str, dtype: str) -> Layers:
    check(device, dtype)
    if name not in IMPLEMENTATIONS:
        raise BadInput("onnxruntime", "implementation", ", ".join(IMPLEMENTATIONS), name)
    return Layers()
