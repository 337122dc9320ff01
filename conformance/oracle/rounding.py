"""How far rounding may move every element of an answer: a running error bound.

The equations of equations.py run once more, on numbers that carry with each value a bound of what
rounding may have done to it. Every operation adds what it inherits from its operands, worst case,
and what it rounds itself: one unit u of its result, |fl(a ∘ b) − a ∘ b| ≤ u |a ∘ b|, and for a sum
of k terms k units of the sum of their magnitudes, in whatever order they are added (Higham,
*Accuracy and Stability of Numerical Algorithms*, chapter 3). So 1 − y² at y ≈ 1 has a bound of 3 u,
however small it is: that much is lost to everybody who computes it from y, and no more than that.

An honest implementation stays within a small multiple, because its σ and tanh err by several units
where one is counted; how many is in bounds.toml. What is smaller than the smallest normal number
may be 0 where a function or a quotient makes it: 1 / (1 + e^100) is 0 in float32, since e^100 is ∞.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from common.parameters import Arrays
from conformance.cases.table import Case, Material
from conformance.oracle.equations import answers_in

Kind = np.dtype[np.floating[Any]]


class Bounded(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of float64 values, and of a bound of the error of each.

    kind: the format that is rounded to
    """

    def __init__(self, value: Any, error: Any, kind: Kind) -> None:
        self.value: np.ndarray = np.asarray(value, "float64")
        self.error: np.ndarray = np.broadcast_to(np.asarray(error, "float64"), self.value.shape)
        self.kind: Kind = kind
        self.dtype, self.shape, self.ndim = self.value.dtype, self.value.shape, self.value.ndim

    def __getitem__(self, index: Any) -> Bounded:
        return Bounded(self.value[index], self.error[index], self.kind)

    def __iter__(self) -> Iterator[Bounded]:
        return (self[k] for k in range(len(self)))

    def __len__(self) -> int:
        return len(self.value)

    @property
    def T(self) -> Bounded:
        return Bounded(self.value.T, self.error.T, self.kind)

    def max(self, axis: int, keepdims: bool) -> Bounded:
        """Whichever is the largest: it errs by no more than the one that errs most."""
        highest = self.value.max(axis=axis, keepdims=keepdims)
        return Bounded(highest, self.error.max(axis=axis, keepdims=keepdims), self.kind)

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Bounded:
        def total(array: np.ndarray) -> np.ndarray:
            return array.sum(axis=axis, keepdims=keepdims)

        terms = self.value.size // max(1, total(self.value).size)
        rounding = terms * unit(self.kind) * total(np.abs(self.value))
        return Bounded(total(self.value), total(self.error) + rounding, self.kind)

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any) -> Any:
        operands = [x if isinstance(x, Bounded) else Bounded(x, 0.0, self.kind) for x in given]
        rule = {1: UNARY, 2: BINARY}[len(operands)].get(ufunc.__name__)
        return NotImplemented if rule is None or method != "__call__" else rule(*operands)

    def __array_function__(self, called: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if called in (np.stack, np.concatenate):
            given = [x if isinstance(x, Bounded) else Bounded(x, 0.0, self.kind) for x in args[0]]
            values = called([x.value for x in given], **kwargs)
            return Bounded(values, called([x.error for x in given], **kwargs), self.kind)
        if called is np.where:
            which, *given = args
            yes, no = [x if isinstance(x, Bounded) else Bounded(x, 0.0, self.kind) for x in given]
            errors = np.where(which, yes.error, no.error)
            return Bounded(np.where(which, yes.value, no.value), errors, self.kind)
        if called in (np.zeros_like, np.ones_like, np.ndim):
            return called(args[0].value)
        return NotImplemented


def unit(kind: Kind) -> float:
    """u: the largest relative error of one rounding."""
    return float(np.finfo(kind).eps) / 2


def spacing(kind: Kind) -> float:
    """The smallest number that is not 0."""
    return float(np.finfo(kind).smallest_subnormal)


def _result(value: Any, error: Any, kind: Kind, lost: float = 0.0) -> Bounded:
    """Of one operation. lost: what underflow may take"""
    return Bounded(value, error + unit(kind) * np.abs(value) + lost, kind)


def _exact(value: Any, error: Any, kind: Kind) -> Bounded:
    return Bounded(value, error, kind)


def _multiply(a: Bounded, b: Bounded) -> Bounded:
    error = np.abs(a.value) * b.error + a.error * np.abs(b.value) + a.error * b.error
    return _result(a.value * b.value, error, a.kind, spacing(a.kind))


def _divide(a: Bounded, b: Bounded) -> Bounded:
    value, left = a.value / b.value, np.abs(b.value) - b.error
    error = np.where(left > 0, (a.error + np.abs(value) * b.error) / left, math.inf)
    return _result(value, error, a.kind, float(np.finfo(a.kind).tiny))


def _matmul(a: Bounded, b: Bounded) -> Bounded:
    A, B, k = np.abs(a.value), np.abs(b.value), a.shape[-1]
    error = A @ b.error + a.error @ (B + b.error) + k * unit(a.kind) * (A @ B)
    return Bounded(a.value @ b.value, error + k * spacing(a.kind), a.kind)


def _function(f: Any, steepest: Callable[[Bounded], np.ndarray]) -> Callable[[Bounded], Bounded]:
    """steepest: the largest |f′| within the bounds of its argument"""

    def rule(a: Bounded) -> Bounded:
        error = a.error * steepest(a)
        return _result(f(a.value), error, a.kind, float(np.finfo(a.kind).tiny))

    return rule


def _sqrt(a: Bounded) -> Bounded:
    return _result(
        np.sqrt(a.value), np.sqrt(a.value) - np.sqrt(np.maximum(a.value - a.error, 0)), a.kind
    )


def _compared(compare: Any) -> Callable[[Bounded, Bounded], Bounded]:
    """0 or 1; where rounding may decide, either."""

    def rule(a: Bounded, b: Bounded) -> Bounded:
        unsure = (np.abs(a.value - b.value) <= a.error + b.error) & (a.error + b.error > 0)
        return _exact(compare(a.value, b.value), unsure, a.kind)

    return rule


UNARY: dict[str, Callable[[Bounded], Any]] = {
    "negative": lambda a: _exact(-a.value, a.error, a.kind),
    "tanh": _function(np.tanh, lambda a: np.cosh(np.maximum(np.abs(a.value) - a.error, 0)) ** -2),
    "exp": _function(np.exp, lambda a: np.exp(a.value + a.error)),
    "log": _function(np.log, lambda a: 1 / np.maximum(a.value - a.error, 0)),
    "sqrt": _sqrt,
}
BINARY: dict[str, Callable[[Bounded, Bounded], Any]] = {
    "add": lambda a, b: _result(a.value + b.value, a.error + b.error, a.kind),
    "subtract": lambda a, b: _result(a.value - b.value, a.error + b.error, a.kind),
    "multiply": _multiply,
    "divide": _divide,
    "true_divide": _divide,
    "matmul": _matmul,
    "maximum": lambda a, b: _exact(np.maximum(a.value, b.value), a.error + b.error, a.kind),
    "greater": _compared(np.greater),
    "greater_equal": _compared(np.greater_equal),
    "less": lambda a, b: bool(a.value - a.error <= b.value + b.error),
}
"""What every operation of the equations makes of values and errors. ``less`` is asked by the clip
alone, where both answers are the same number at the threshold: it takes the one that errs more."""


@np.errstate(all="ignore")  # an infinite bound is one
def allowances(case: Case, given: Material, dtype: str) -> Arrays:
    """For every tensor of ``expected``, how far rounding to ``dtype`` may move each element."""
    kind: Kind = np.dtype(dtype)
    found: dict[str, Any] = answers_in(case, given, lambda array: Bounded(array, 0.0, kind))
    bounds: Arrays = {name: np.array(value.error) for name, value in found.items()}
    return {name: np.where(np.isnan(bound), np.inf, bound) for name, bound in bounds.items()}
