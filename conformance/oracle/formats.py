"""How far rounding moves an answer in half precision: the equations with every result rounded.

One evaluation is a lottery here as in float32, and a worse one: a number has three digits. So the
case is evaluated twelve times, eleven of them with every number of it moved by one unit in the last
place of the format, up, down or not at all. Float32's floor, scaled to the format, does not do:
float16's small gradients underflow.

Sums and products add up in float32 and are rounded once, as the hardware does it. Of TF32 only the
factors of products are rounded: to the nearest in the first evaluation, up or down in the others,
since hardware may as well cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np

from common.parameters import Arrays
from conformance.cases.halves import BITS, FORMATS, rounded
from conformance.cases.table import Case, Material
from conformance.oracle.equations import answers_in

EVALUATIONS, LARGE = 12, 10**5
EVALUATIONS_AT_SIZE = 3
"""Of cases with so many numbers, whose largest errors hardly vary."""


class Rounded(np.lib.mixins.NDArrayOperatorsMixin):
    """A float32 array whose every number is one of a format.

    draw: of the other evaluations of TF32, whose numbers are any of float32
    """

    def __init__(self, data: Any, form: str, draw: np.random.RandomState | None = None) -> None:
        found = np.asarray(data, "float32")
        self.data: np.ndarray = found if form == "tf32" else rounded(found, form)
        self.form, self.draw = form, draw
        self.dtype, self.shape, self.ndim = self.data.dtype, self.data.shape, self.data.ndim

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.data, dtype)

    def __getitem__(self, index: Any) -> Rounded:
        return self._same(self.data[index])

    def __iter__(self) -> Iterator[Rounded]:
        return (self[k] for k in range(len(self)))

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    @property
    def T(self) -> Rounded:
        return self._same(self.data.T)

    def max(self, **axes: Any) -> Rounded:
        return self._same(self.data.max(**axes))

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Rounded:
        return Rounded(self.data.sum(axis=axis, keepdims=keepdims), self.form, self.draw)

    def _same(self, data: np.ndarray) -> Rounded:
        """Of numbers that are of the format already."""
        made = object.__new__(Rounded)
        made.data, made.form, made.draw = data, self.form, self.draw
        made.dtype, made.shape, made.ndim = data.dtype, data.shape, data.ndim
        return made

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        operands = [self.plain(x) for x in given]
        if ufunc is np.matmul and self.form == "tf32":
            operands = [self.factor(x) for x in operands]
        made = ufunc(*operands)
        return made if made.dtype == bool else Rounded(made, self.form, self.draw)

    def __array_function__(self, called: Any, types: Any, args: Any, kwargs: Any) -> Any:
        made = called(*[self.plain(x) for x in args], **kwargs)
        if called in (np.stack, np.concatenate, np.where):
            return self._same(made)
        return made if called in (np.zeros_like, np.ones_like, np.ndim) else NotImplemented

    def plain(self, value: Any) -> Any:
        """What NumPy computes with: numbers of the format; masks and indices as they are."""
        if isinstance(value, Rounded):
            return value.data
        if isinstance(value, list):  # what is to be stacked
            return [self.plain(part) for part in cast("list[Any]", value)]
        if isinstance(value, (float, np.floating)) or getattr(value, "dtype", None) == "float32":
            return Rounded(value, self.form).data
        return value

    def factor(self, array: np.ndarray) -> np.ndarray:
        """Of a product in TF32: 13 bits of every number are rounded away."""
        if self.draw is None:
            return rounded(array, self.form)
        lost = np.uint32(24 - BITS[self.form])
        either = self.draw.randint(0, 2**13, array.shape).astype("uint32")
        return ((array.view("uint32") + either) >> lost << lost).view("float32")


KEPT: dict[tuple[str, str], list[Arrays]] = {}
"""The last evaluations, by digest and format: two tiers that share a format share them."""


def evaluations(case: Case, given: Material, precision: str) -> list[Arrays]:
    """The answers to a case and to its neighbours in a tier's format."""
    key = given.digest(), FORMATS[precision]
    if key not in KEPT:
        KEPT.clear()
        KEPT[key] = _evaluations(case, given, FORMATS[precision])
    return KEPT[key]


def _evaluations(case: Case, given: Material, form: str) -> list[Arrays]:
    large = case.text or case.size >= LARGE
    count = EVALUATIONS_AT_SIZE if large else EVALUATIONS
    with np.errstate(all="ignore"):  # float16 overflows and underflows, which is part of it
        found = [_evaluated(case, given, form, seed) for seed in range(count)]
    return [{name: np.asarray(value) for name, value in answers.items()} for answers in found]


def _evaluated(case: Case, given: Material, form: str, seed: int) -> dict[str, Any]:
    """seed: 0 for the case itself"""
    if form == "tf32":
        draw = np.random.RandomState(seed) if seed else None
        return answers_in(case, given, lambda array: Rounded(array, form, draw))
    numbers = neighbour(given, 2.0 ** (1 - BITS[form]), seed) if seed else given
    return answers_in(case, numbers, lambda array: Rounded(array, form))


def neighbour(given: Material, unit: float, seed: int) -> Material:
    """The same material with every number moved by one unit in the last place, or not."""
    rng = np.random.RandomState(seed)

    def moved(array: np.ndarray) -> np.ndarray:
        return array * (1 + unit * rng.randint(-1, 2, array.shape))

    return replace(
        given,
        params={name: moved(array) for name, array in given.params.items()},
        X=moved(given.X),
        state={part: moved(array) for part, array in given.state.items()},
    )
