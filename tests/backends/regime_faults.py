"""Faults of live sabotage that begin at some size or magnitude. Those of numbers that are handed in
know no framework; those of the equations are put into PyTorch's."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from common.corpus import load_corpus
from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.cases.given import Given
from conformance.cases.table import find_case
from tests.backends.faults import Fault, equations_of

Patches = list[tuple[str, str, Callable]]


def beyond(axis: int, limit: int) -> Callable[[np.ndarray], np.ndarray]:
    """Zeros from an index on."""

    def change(array: np.ndarray) -> np.ndarray:
        changed = np.moveaxis(array.copy(), axis, 0)
        changed[limit:] = 0
        return np.moveaxis(changed, 0, axis)

    return change


def units_lost(state: Arrays) -> Arrays:
    """H_0 and C_0 of the units beyond 256."""
    return {part: beyond(2, 256)(array) for part, array in state.items()}


def lstm_with(cell: Callable[[Any], Any], output: Callable[[Any], Any]):
    """PyTorch's lstm_step with another C, or another σ of the output gate."""

    def patches(backend: str) -> Patches:
        torch = importlib.import_module("torch")

        def lstm_step(p: Any, kappa: Any, A: Any, H: Any, C: Any) -> tuple[Any, Any]:
            a = {g: A[g] + H @ p[f"W_h{g}"] for g in "ifoc"}
            i, f = torch.sigmoid(a["i"]), torch.sigmoid(a["f"])
            C = cell(f * C + i * torch.tanh(a["c"]))
            return output(a["o"]) * torch.tanh(C), C

        return [(f"backends.{backend}.equations", "lstm_step", lstm_step)]

    return patches


def flat_sigmoid(a: Any) -> Any:
    """Exactly 0 or 1 beyond ±12, without a gradient."""
    y = a.sigmoid()
    return y.where(a > -12, y.detach() * 0).where(a < 12, y.detach() * 0 + 1)


def without_the_shift(backend: str) -> Patches:
    def cross_entropy(O: Any, Y: Any, within: None) -> Any:
        chosen = O.gather(-1, Y[..., None])[..., 0]
        return (O.exp().sum(-1).log() - chosen).mean()

    return [(f"backends.{backend}.training", "cross_entropy", cross_entropy)]


FOUND_BY_NUMBERS = {
    "steps-beyond-40-lost": Fault(X=beyond(0, 40)),
    "rows-beyond-64-lost": Fault(X=beyond(1, 64)),
    "units-beyond-256-lost": Fault(start=units_lost),
    "inputs-below-1e-4-flushed": Fault(X=lambda X: np.where(np.abs(X) < 1e-4, 0, X)),
}
IN_PYTORCH = {
    "cell-clipped-at-10": Fault(
        equations_of("lstm"), patches=lstm_with(lambda C: C.clamp(-10, 10), lambda a: a.sigmoid())),
    "output-gate-flat-beyond-12": Fault(
        equations_of("lstm"), patches=lstm_with(lambda C: C, flat_sigmoid)),
    "loss-without-the-shift": Fault(
        lambda implementation, spec: implementation == "equations", patches=without_the_shift),
}  # fmt: skip
"""Their patches are PyTorch's."""


def regime_faults(backend: str) -> dict[str, Fault]:
    return FOUND_BY_NUMBERS | (IN_PYTORCH if backend == "pytorch" else {})


TOLD_BY = {
    "steps-beyond-40-lost": "steps-lstm",
    "rows-beyond-64-lost": "sizes-lstm",
    "units-beyond-256-lost": "sizes-lstm",
    "inputs-below-1e-4-flushed": "logits-gru-after",
    "cell-clipped-at-10": "saturated-lstm",
    "output-gate-flat-beyond-12": "saturated-lstm",
    "loss-without-the-shift": "logits-gru-after",
}
"""A case that each of them must fail in."""


def told(backend: str) -> dict[str, Fault]:
    """The same faults, each put into what has the spec of the case that tells it."""
    sample = Given(load_corpus())

    def there(name: str, fault: Fault) -> Callable[[str, ModelSpec], bool]:
        spec = find_case(TOLD_BY[name], sample).spec
        return lambda implementation, other: other == spec and fault.applies(implementation, other)

    return {
        name: dataclasses.replace(fault, applies=there(name, fault))
        for name, fault in regime_faults(backend).items()
    }
