"""The tape: arrays that know how a gradient by them reaches what they were made of."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np

Parents = tuple[tuple["Value", Callable[[np.ndarray], np.ndarray]], ...]

_kept = True
"""Whether values know what they were made of."""


@contextmanager
def without_tape() -> Generator[None]:
    """Values that are made here know nothing of what they were made of, which is forgotten as soon
    as it is not needed: a forward pass alone then stays within the processor's caches."""
    global _kept
    before, _kept = _kept, False
    try:
        yield
    finally:
        _kept = before


class Value:
    """An array that knows how a gradient by it reaches the values it was made of."""

    __slots__ = ("data", "grad", "parents")

    def __init__(self, data: np.ndarray, parents: Parents = ()) -> None:
        self.data: np.ndarray = data
        self.parents: Parents = parents if _kept else ()
        self.grad: np.ndarray | None = None

    def __add__(self, other: Value) -> Value:
        # A bias (h,) is added to every row of (n, h): its gradient is the sum over the rows.
        return Value(
            self.data + other.data,
            (
                (self, lambda g: g),
                (other, lambda g: g.sum(0) if np.ndim(other.data) < np.ndim(g) else g),
            ),
        )

    def __mul__(self, other: Value) -> Value:
        # Peepholes (h,) are multiplied with every row, as a bias is added.
        a, b = self.data, other.data
        return Value(
            a * b,
            (
                (self, lambda g: g * b),
                (other, lambda g: (g * a).sum(0) if np.ndim(b) < np.ndim(g) else g * a),
            ),
        )

    def __matmul__(self, other: Value) -> Value:
        a, b = self.data, other.data
        return Value(a @ b, ((self, lambda g: g @ b.T), (other, lambda g: a.T @ g)))

    def beside(self, other: Value) -> Value:
        """Both side by side: (n, h) and (n, h) make (n, 2h)."""
        h = self.data.shape[-1]
        return Value(
            np.concatenate([self.data, other.data], axis=-1),
            ((self, lambda g: g[..., :h]), (other, lambda g: g[..., h:])),
        )

    def first(self, k: int) -> Value:
        """The first k columns of (n, k) or more; the gradient by the others is 0."""
        if k == self.data.shape[-1]:
            return self
        return Value(self.data[..., :k], ((self, lambda g: widened(g, self.data)),))

    def gradient(self) -> np.ndarray:
        """By the loss, after ``differentiate``; every value that the loss was made of has one."""
        if self.grad is None:
            raise ValueError("the loss does not depend on this value")
        return self.grad

    def where(self, live: np.ndarray, other: Value) -> Value:
        """These rows where ``live`` says so, the other's elsewhere: (n, h) of both."""
        own, rows = np.zeros_like(self.data), live[:, None]
        return Value(
            np.where(rows, self.data, other.data),
            (
                (self, lambda g: np.where(rows, g, own)),
                (other, lambda g: np.where(rows, own, g)),
            ),
        )

    def rows(self, order: np.ndarray) -> Value:
        """The rows in another order."""
        return Value(self.data[order], ((self, lambda g: g[np.argsort(order)]),))

    def times(self, constant: np.ndarray) -> Value:
        """Element by element, by what has no gradient, rounded to the kind that this is of."""
        factor = constant.astype(self.data.dtype)
        return Value(self.data * factor, ((self, lambda g: g * factor),))

    def one_minus(self) -> Value:
        return Value(1 - self.data, ((self, lambda g: -g),))


def widened(narrow: np.ndarray, like: np.ndarray) -> np.ndarray:
    """As many columns as ``like`` has: zeros behind those that there are."""
    return np.concatenate([narrow, np.zeros_like(like[..., narrow.shape[-1] :])], axis=-1)


def differentiate(loss: Value) -> None:
    """Fill ``grad`` of everything that the loss was made of, in reverse topological order."""
    order: list[Value] = []
    seen: set[Value] = set()
    pending: list[tuple[Value, bool]] = [(loss, False)]
    while pending:
        value, done = pending.pop()
        if done:
            order.append(value)
        elif value not in seen:
            seen.add(value)
            pending.append((value, True))
            pending += [(parent, False) for parent, _ in value.parents if parent not in seen]
    loss.grad = np.ones_like(loss.data)
    for value in reversed(order):
        grad = value.gradient()
        for parent, pull in value.parents:
            flow = pull(grad)
            parent.grad = flow if parent.grad is None else parent.grad + flow
