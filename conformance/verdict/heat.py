"""Pictures of an error: where in time and in the stack it is large, forward and backward."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.closeness.compare import error_map


@dataclass(frozen=True)
class Heat:
    """A matrix of relative errors, (rows, columns), with its labels; NaN where one was found."""

    title: str
    rows: list[str]
    columns: list[str]
    errors: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with three digits; an error that is not finite is null."""
        cells = [[_short(error) for error in row] for row in self.errors]
        return {
            "title": self.title,
            "rows": self.rows,
            "columns": self.columns,
            "errors": cells,
        }


def _short(error: float) -> float | None:
    return float(f"{error:.3g}") if np.isfinite(error) else None


def heat(got: Arrays, wanted: Arrays, spec: ModelSpec) -> list[Heat]:
    """The maps of one case.

    Forward: the error of every state, layer by step. Backward: that of the gradient by X at every
    step, and that of every parameter's gradient, layer by parameter; no record holds gradients of
    every layer at every step. A tensor that is missing or has another shape is left out.
    """
    there = {t for t, a in wanted.items() if t in got and got[t].shape == a.shape}
    maps: list[Heat] = []
    for part in spec.states:
        if (tensor := f"trace/{part}") in there:
            errors = error_map(got[tensor], wanted[tensor], (2, 3)).T  # (L, T), from (T, L, n, h)
            layers = [_row(*place) for place in reversed(spec.passes)]
            title = f"forward: error of {part}"
            maps.append(Heat(title, layers, _steps(errors.shape[1]), errors[::-1]))
    if "gradients/X" in there:
        errors = error_map(got["gradients/X"], wanted["gradients/X"], (1, 2))[None]
        maps.append(Heat("backward: error of ∂ℓ/∂X", ["X"], _steps(errors.shape[1]), errors))
    maps += _parameters(got, wanted, there)
    return maps


def _row(layer: int, backward: bool) -> str:
    return f"layer {layer} backward" if backward else f"layer {layer}"


def _steps(T: int) -> list[str]:
    return [str(step) for step in range(1, T + 1)]


def _parameters(got: Arrays, wanted: Arrays, there: set[str]) -> list[Heat]:
    cells: dict[tuple[tuple[int, bool], str], float] = {}
    for tensor in there:
        if found := re.fullmatch(r"gradients/layer(\d{1,9})\.(backward\.)?(\w+)", tensor):
            axes, place = tuple(range(wanted[tensor].ndim)), (int(found[1]), bool(found[2]))
            cells[place, found[3]] = float(error_map(got[tensor], wanted[tensor], axes))
    if not cells:
        return []
    places = sorted({place for place, _ in cells}, reverse=True)
    names = sorted({name for _, name in cells})
    errors = np.array([[cells.get((place, name), np.nan) for name in names] for place in places])
    rows = [_row(*place) for place in places]
    return [Heat("backward: error of every parameter's gradient", rows, names, errors)]
