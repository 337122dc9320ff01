"""Two sides, rung by rung: weights, what went in, outputs and states, loss, gradients.

Both sides are implementations of one network, each of which may err by its own bound
(closeness/bounds.toml): with y the exact tensor and ‖·‖ the largest magnitude,

    ‖y₁ − y‖ ≤ b₁ ‖y‖  and  ‖y₂ − y‖ ≤ b₂ ‖y‖,  so  ‖y₁ − y₂‖ ≤ (b₁ + b₂) ‖y‖

and less cannot be asked: errors of opposite signs reach it, and both sides are right. Nobody knows
y here, and errors are told relative to ‖y₁‖, which is ‖y‖ but for a factor 1 ± b₁, one in 10⁵ at
most. Of float32 and float64 the sum is float32's, but for 1e-12. The width costs little: the
smallest wrong convention moves outputs by thousands of these bounds (docs/detecting-power.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays
from conformance.captures.side import Level, Side
from conformance.closeness.compare import UNIT_ROUNDOFF, Bound, Comparison, compare, load_bounds

RUNGS = ("weights", "inputs", "outputs", "loss", "gradients")
"""From the bottom up."""

EXACT = Bound(0.0)


@dataclass(frozen=True)
class Compared:
    """level: from 1, 0 of the whole; got, wanted: the arrays of the second and the first side"""

    level: int
    comparison: Comparison
    got: np.ndarray
    wanted: np.ndarray


@dataclass
class Rung:
    """compared: each tensor that both sides have        alone: sentences on what one side lacks"""

    name: str
    compared: list[Compared] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Compared]:
        found = [each for each in self.compared if not each.comparison.passed]
        return sorted(found, key=lambda each: each.level)


def climb(a: Side, b: Side) -> Iterator[Rung]:
    """The rungs from the bottom up, until one is broken."""
    if len(a.levels) != len(b.levels):
        names = [", ".join(q.layer.name for q in side.questions if q.layer) for side in (a, b)]
        expected = f"as many layers as {a.path} has, {len(a.levels)} ({names[0]})"
        found = f"{len(b.levels)} ({names[1]}); --layers and --with choose"
        raise BadInput(b.path, "", expected, found)
    for make in (weights, inputs, outputs, loss, gradients):
        rung = make(a, b)
        yield rung
        if rung.failed:
            return


def lower(*dtypes: object) -> str:
    return "float64" if all(str(dtype) == "float64" for dtype in dtypes) else "float32"


def one(level: int, name: str, got: np.ndarray, wanted: np.ndarray, bound: Bound) -> Compared:
    """One tensor of both; where one is zero throughout, the other must be."""
    got, wanted = np.asarray(got, "float64"), np.asarray(wanted, "float64")  # float16 overflows
    zero = not np.any(wanted)
    return Compared(level, compare(name, got, wanted, bound, 1.0, may_be_zero=zero), got, wanted)


def weights(a: Side, b: Side) -> Rung:
    """Through both mappings; the same once rounded to the lower of the two types."""
    rung = Rung("weights")
    for one_, other in zip(a.levels, b.levels, strict=True):
        kinds = [array.dtype for level in (one_, other) for array in level.layer.weights.values()]
        dtype = lower(*kinds)
        both = [one_.weights, other.weights]
        if one_.usual.choices.reset != other.usual.choices.reset:
            both = [summed(arrays) for arrays in both]
        for name in dict.fromkeys([*both[0], *both[1]]):
            tensor = f"layer{one_.number}.{name}"
            sides = [arrays.get(name) for arrays in both]
            there = next(array for array in sides if array is not None)
            first, second = (np.zeros_like(there) if s is None else s.astype(dtype) for s in sides)
            rung.compared.append(one(one_.number, tensor, second, first, EXACT))
    return rung


def summed(arrays: Arrays) -> Arrays:
    """A GRU's weights with one bias for the candidate, as one that resets before has it."""
    found = dict(arrays)
    for side in ("", "backward."):
        if f"{side}b_xh" in found:
            found[f"{side}b_h"] = found.pop(f"{side}b_xh") + found.pop(f"{side}b_hh")
    return found


def inputs(a: Side, b: Side) -> Rung:
    """What went into the network: all of X, and every state at the start."""
    rung = Rung("inputs")
    for one_, other in zip(a.levels, b.levels, strict=True):
        for name in dict.fromkeys([*one_.given, *other.given]):
            if name == "X" and (one_.layer.reads or other.layer.reads):
                continue  # what the layer below made: compared as that
            both = one_.given.get(name), other.given.get(name)
            if both[0] is None or both[1] is None:
                if name == "lengths":
                    raise BadInput(b.path, "lengths", f"as in {a.path}, in both or neither", "one")
                rung.alone.append(f"{name} of layer {one_.number}")
                continue
            dtype = lower(both[0].dtype, both[1].dtype) if name != "lengths" else "int64"
            tensor = f"layer{one_.number}.{name}"
            second, first = both[1].astype(dtype), both[0].astype(dtype)
            rung.compared.append(one(one_.number, tensor, second, first, EXACT))
    return rung


def outputs(a: Side, b: Side) -> Rung:
    """Outputs and final states, layer by layer, where both captures have them."""
    rung = Rung("outputs")
    for one_, other in zip(a.levels, b.levels, strict=True):
        bounds = [bound_of(level, "outputs") for level in (one_, other)]
        for name in dict.fromkeys([*one_.made, *other.made]):
            both = one_.made.get(name), other.made.get(name)
            if both[0] is None or both[1] is None or both[0].ndim != both[1].ndim:
                rung.alone.append(f"{name} of layer {one_.number}")
                continue
            bound = together(bounds, [one_, other], name)
            tensor = f"layer{one_.number}.{name}"
            rung.compared.append(one(one_.number, tensor, both[1], both[0], bound))
    return rung


def loss(a: Side, b: Side) -> Rung:
    rung = Rung("loss")
    first, second = a.capture.loss, b.capture.loss
    if first is None or second is None:
        rung.alone += ["the loss"] if first is not second else []
        return rung
    levels = [a.levels[-1], b.levels[-1]]
    bound = together([bound_of(level, "loss") for level in levels], levels, "")
    bound = replace(bound, grid=False)
    rung.compared.append(one(0, "loss", np.array([second]), np.array([first]), bound))
    return rung


def gradients(a: Side, b: Side) -> Rung:
    rung = Rung("gradients")
    for one_, other in zip(a.levels, b.levels, strict=True):
        bounds = [bound_of(level, "gradients") for level in (one_, other)]
        bound = together(bounds, [one_, other], "")
        for name in dict.fromkeys([*one_.slopes, *other.slopes]):
            tensor = f"layer{one_.number}.{name}"
            both = one_.slopes.get(name), other.slopes.get(name)
            if both[0] is None or both[1] is None:
                rung.alone.append(f"the gradient of {tensor}")
                continue
            rung.compared.append(one(one_.number, tensor, both[1], both[0], bound))
    if not rung.compared and rung.alone:
        rung.alone = ["gradients"]
    return rung


def bound_of(level: Level, rung: str) -> Bound:
    return load_bounds()["cpu"][level.layer.dtype][rung]


def together(bounds: list[Bound], levels: list[Level], name: str) -> Bound:
    """By how much two may differ, each of which may err by its bound. A noise floor is known of
    outputs and states; of others there is the bound alone."""
    total = 0.0
    for bound, level in zip(bounds, levels, strict=True):
        noise = level.noise.get(name)
        least = bound.error if noise is None else bound.ratio * max(noise, UNIT_ROUNDOFF)
        total += min(bound.error, least)
    return Bound(total, grid=all(bound.grid for bound in bounds))
