"""Scalar reverse-mode differentiation, and functions that take any kind of number.

A ``Value`` is one number that remembers what it was computed from. The numbers inside may be Python
floats, complex numbers or NumPy's long doubles; the functions below take those bare, too.
"""

import cmath
import itertools
import math

import numpy as np

_creation = itertools.count()


class Value:
    """A number, and for each number it was computed from the derivative by it."""

    def __init__(self, number, *sources):
        self.number, self.sources = number, sources
        self.gradient = number * 0
        self.created = next(_creation)

    def __add__(self, other):
        if not isinstance(other, Value):
            return Value(self.number + other, (self, 1))
        return Value(self.number + other.number, (self, 1), (other, 1))

    def __mul__(self, other):
        if not isinstance(other, Value):
            return Value(self.number * other, (self, other))
        return Value(self.number * other.number, (self, other.number), (other, self.number))

    def __truediv__(self, other):
        if not isinstance(other, Value):
            one = self.number * 0 + 1  # 1 / other would be a float, also beside long doubles
            return Value(self.number / other, (self, one / other))
        quotient = self.number / other.number
        return Value(quotient, (self, 1 / other.number), (other, -quotient / other.number))

    def __rtruediv__(self, other):
        return Value(other / self.number, (self, -other / self.number / self.number))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    __radd__, __rmul__ = __add__, __mul__


def differentiate(result: Value) -> None:
    """Leave ∂result/∂v in the ``gradient`` of every Value v that the result came from."""
    found, waiting = {result}, [result]
    while waiting:
        for source, _ in waiting.pop().sources:
            if source not in found:
                found.add(source)
                waiting.append(source)
    result.gradient = result.number * 0 + 1
    # What was created later cannot be a source of what was created earlier.
    for value in sorted(found, key=lambda v: v.created, reverse=True):
        for source, slope in value.sources:
            source.gradient = source.gradient + value.gradient * slope


def library(number):
    """Where tanh, exp, log and sqrt of this kind of number are."""
    if isinstance(number, float):
        return math
    return cmath if isinstance(number, complex) else np


def tanh(a):
    if isinstance(a, Value):
        value = tanh(a.number)
        return Value(value, (a, 1 - value * value))
    return library(a).tanh(a)


def exp(a):
    if isinstance(a, Value):
        value = exp(a.number)
        return Value(value, (a, value))
    return library(a).exp(a)


def log(a):
    return Value(log(a.number), (a, 1 / a.number)) if isinstance(a, Value) else library(a).log(a)


def relu(a):
    """A complex number is judged by its real part, so that the complex step goes through."""
    if isinstance(a, Value):
        return Value(relu(a.number), (a, 1 if a.number.real > 0 else 0))
    return a if a.real > 0 else a * 0


def sigmoid(a):
    return 1 / (1 + exp(-a))
