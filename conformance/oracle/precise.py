"""The oracle where float64 is too coarse: the same equations in 512 bits and more.

With a gate at −30 or a tanh at 30, 1 − y² is 10⁻²⁵, and float64 gives 0: the float64 oracle's own
gradients are then wrong in every digit. So cases in such regimes are answered by the equations of
equations.py on the balls of FLINT's Arb, the same on every platform. A ball is a number with a
bound of its own error, which holds rigorously: the answer is known to be right, not believed.
"""

import numpy as np
from flint import arb, ctx

from common.parameters import Arrays
from conformance.cases.table import Case, Material
from conformance.oracle.equations import answers_in

BITS = (512, 1024, 2048, 4096)
"""Tried in turn until the answer is known (Ziv). 1 − tanh²(100) is 2⁻²⁸⁷, and gradients through
several of these are smaller still."""

SURE = 64
"""So many bits of every answer are proven right, at least: 11 more than float64 has."""


def precisely(case: Case, given: Material) -> Arrays:
    """Everything that a record of this case must hold, to the last bit of float64 but one."""
    for bits in BITS:
        with ctx.workprec(bits):
            answers = answers_in(case, given, balls)
            found = {name: rounded(value) for name, value in answers.items()}
        known = {name: array for name, array in found.items() if array is not None}
        if len(known) == len(found):
            return known
    raise ArithmeticError(f"{case.name}: {BITS[-1]} bits are too few")


def balls(array: np.ndarray) -> np.ndarray:
    """The same numbers, each as a ball without a radius."""
    return np.vectorize(arb, otypes=[object])(array)


def rounded(value: np.ndarray) -> np.ndarray | None:
    """The middles in float64; None if a ball is too wide to tell its number."""
    found = np.asarray(value, dtype=object)
    middles = np.empty(found.shape)
    for index, number in np.ndenumerate(found):
        ball = arb(number)  # zeros and ones of the equations are whole numbers still
        if ball != 0 and ball.rel_accuracy_bits() < SURE:
            return None
        middles[index] = float(ball.mid())
    return middles
