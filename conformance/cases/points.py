"""Cases that are named by their sizes and magnitudes: ``size-lstm-T41-n3-d5-h7-q4-L1``.

The table's cases stand at a few places of the space of sizes and magnitudes; a point is any place
in it. ``shrink`` walks from a case that fails to the smallest point that still does, and
``regime-<seed>-<index>`` draws one. The name is all it takes to make the case again.
"""

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import BadInput
from conformance.cases.case import CLIPPED, FAMILIES, Case, Magnitude, make_spec
from conformance.cases.regimes import (
    BIASES,
    GROWN,
    LOGITS,
    ROWS,
    SATURATED,
    STEPS,
    TINY,
    TURNS,
    UNITS,
    turned,
)

MOST = {
    "T": 10_000, "n": 10_000, "d": 10_000, "h": 4_096, "q": 100_000, "L": 64, "K": 16,
    "b": 1_000, "s": 10**6, "o": 10**6, "x": 140, "w": 60,
}  # fmt: skip
NUMBERS = 10**8
"""A case of a point has no more numbers in its parameters, nor in its minibatches and states."""

FIRST_UNIT = {"lstm": 1, "gru": 5, "rnn": 4}
"""Where BIASES begin for the first hidden unit: its state, and the second one's, are kept then."""


@dataclass(frozen=True)
class Point:
    """A place in the space of sizes and magnitudes. Numbers are drawn as for every case, but for

    b:  gates and candidates have pre-activations of up to ±b, another for each gate of each unit
    s:  H_0, and C_0 of an LSTM, are s and −s for the first two units
    o:  W_hq, and with it the outputs, times o
    x:  X times 2⁻ˣ     w: the weights of the layers times 2⁻ʷ
    """

    family: str
    T: int = 6
    n: int = 3
    d: int = 5
    h: int = 7
    q: int = 4
    L: int = 1
    K: int = 1
    b: int = 0
    s: int = 0
    o: int = 1
    x: int = 0
    w: int = 0

    @property
    def name(self) -> str:
        said = [f"{d}{self[d]}" for d in LEAST if d in SIZES or self[d] != LEAST[d]]
        return "-".join(["size", self.family, *said])

    def __getitem__(self, dimension: str) -> int:
        return getattr(self, dimension)

    def case(self, name: str = "") -> Case:
        """name: of the case, if it is known by another one than the point's"""
        spec = make_spec(self.family, self.d, self.h, self.q, self.L)
        found = tuple(self._magnitudes(spec.cell))
        regimes = {
            SATURATED: self.b, GROWN: self.s, LOGITS: self.o > 1, TINY: self.x > 126,
            STEPS: self.T > 64, ROWS: self.n > 64, UNITS: self.h > 256,
        }  # fmt: skip
        return Case(
            name or self.name,
            spec,
            self.n,
            self.T,
            self.K,
            regimes=tuple(regime for regime, there in regimes.items() if there),
            conventions=False,
            magnitudes=found,
            elementwise=bool(found),
            vanishing=True,
            recipe=CLIPPED,
        )

    def _magnitudes(self, cell: str) -> Iterator[Magnitude]:
        def each(values: tuple[float, ...]) -> tuple[float, ...]:
            return tuple(itertools.islice(itertools.cycle(values), self.h))

        if self.w:
            yield Magnitude("layer*.W_*", 2.0**-self.w)
        if self.b:
            scaled = tuple(self.b * bias / max(BIASES) for bias in BIASES)
            for gate, by in TURNS.items():
                pattern = turned(scaled, by - FIRST_UNIT[cell])
                yield Magnitude(f"layer*.b_*{gate}", offset=each(pattern))
        if self.s:
            factors, offsets = (0.0, 0.0, *[1.0] * self.h), (self.s, -self.s, *[0.0] * self.h)
            part = "C0" if cell == "lstm" else "H0"
            yield Magnitude(part, factors[: self.h], offsets[: self.h])
        if self.o > 1:
            yield Magnitude("output.W_hq", self.o)
        if self.x:
            yield Magnitude("X", 2.0**-self.x)


LEAST = {
    "T": 1, "n": 1, "d": 1, "h": 1, "q": 2, "L": 1, "K": 1,
    "b": 0, "s": 0, "o": 1, "x": 0, "w": 0,
}  # fmt: skip
"""The dimensions, and where each begins. With one class the loss is 0, and so is every gradient."""

SIZES = "TndhqL"
"""What every name says; the others only where they are more than the least."""

NAMED = re.compile(
    f"size-({'|'.join(FAMILIES)})"
    + "".join(
        f"-{size}([1-9][0-9]{{0,5}})" if size in SIZES else f"(?:-{size}([1-9][0-9]{{0,6}}))?"
        for size in LEAST
    )
)
DRAWN = re.compile(r"regime-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})")


def is_drawn(name: str) -> bool:
    """Whether it is the name of a case that was drawn in regimes."""
    return DRAWN.fullmatch(name) is not None


def point_named(name: str) -> Point | None:
    """The point of that name, None if it is no name of one; BadInput if the point is out of reach:
    names come from files, too."""
    if match := DRAWN.fullmatch(name):
        return draw_point(int(match[1]), int(match[2]))
    if not (match := NAMED.fullmatch(name)):
        return None
    found = zip(LEAST, match.groups()[1:], strict=True)
    point = Point(match[1], **{size: int(n) if n else LEAST[size] for size, n in found})
    if point.name != name:
        raise BadInput("cases", name, f"{point.name}, which is the same case", "another name")
    for size, most in MOST.items():
        if not LEAST[size] <= point[size] <= most:
            raise BadInput("cases", f"{name}: {size}", f"{LEAST[size]} to {most}", point[size])
    wide = max(point.d, point.h)
    numbers = max(
        4 * point.L * point.h * (wide + point.h) + point.h * point.q,
        point.K * point.T * point.n * max(point.L * wide, point.q),
    )
    if numbers > NUMBERS:
        raise BadInput("cases", name, f"sizes of at most {NUMBERS:,} numbers", f"{numbers:,}")
    return point


def edges_of(point: Point) -> dict[str, int]:
    """The dimensions in which it is more than the least."""
    return {size: point[size] for size in LEAST if point[size] > LEAST[size]}


def case_named(name: str) -> Case | None:
    """The case of a point, by its own name or by that under which it is drawn."""
    point = point_named(name)
    return point and point.case(name)


def draw_point(seed: int, index: int) -> Point:
    """A point in one or more regimes, drawn: odd sizes at small magnitudes and, in others, extreme
    magnitudes at small sizes, for which right answers of 512 bits are quick."""
    draw = random.Random(f"regime {seed} {index}")
    family = draw.choice(list(FAMILIES))
    if draw.random() < 0.3:
        return Point(family, **draw_sizes(draw))
    sizes = {size: draw.randint(1, 7) for size in "Tndh"} | {"q": draw.randint(2, 7)}
    magnitudes = {
        "b": draw.choice((0, 10, 30, 100)),
        "s": draw.choice((0, 0, 30, 300)),
        "o": draw.choice((1, 1, 1_000, 10_000, 100_000)),
        "x": draw.choice((0, 0, 0, 10, 20, 40)),
        "w": draw.choice((0, 0, 0, 10, 20)),
    }
    if Point(family, **magnitudes) == Point(family):
        magnitudes["b"] = 100
    return Point(family, **sizes, L=draw.randint(1, 2), K=draw.randint(1, 2), **magnitudes)


ODD = {"T": 130, "n": 130, "d": 300, "h": 300, "q": 300}
"""How large a size is drawn, two of them at most."""


def draw_sizes(draw: random.Random) -> dict[str, int]:
    """Two sizes beyond a power of two, and small ones. T·n stays below 400, and h is no less than
    4. A gradient by a weight is a sum of T·n terms, which the noise floor's evaluations add up step
    by step; who adds up thousands of rows in one product errs by up to 44 floors where few units
    leave few elements, and a single element may cancel to anything."""
    large = draw.choice([two for two in itertools.combinations(ODD, 2) if two != ("T", "n")])
    least = {"T": 1, "n": 1, "d": 1, "h": 4, "q": 2}
    sizes = {size: draw.randint(few, 9) for size, few in least.items()}
    sizes |= {size: draw.randint(ODD[size] // 2, ODD[size]) for size in large}
    if "T" in large:
        sizes["n"] = draw.randint(1, 3)
    if "n" in large:
        sizes["T"] = draw.randint(1, 3)
    return sizes | {"L": draw.randint(1, 3)}


def nearest_point(case: Case) -> Point | None:
    """The point with a case's sizes and magnitudes, as near as points come; None if there is none
    of its layers' functions, or with what is planted in it."""
    spec = case.spec
    if case.planted or any(case.needs) or case.params is not None:
        return None
    known = point_named(case.name) if case.name.startswith(("size-", "regime-")) else None
    if known:
        return known
    sizes = {"T": case.T, "n": case.n, "d": spec.d, "h": spec.h, "q": spec.q, "L": spec.L}
    for family in FAMILIES:
        if make_spec(family, spec.d, spec.h, spec.q, spec.L) == spec:
            saturated, large = SATURATED in case.regimes, LOGITS in case.regimes
            magnitudes = {"b": 100, "s": 300} if saturated else {}
            magnitudes |= {"o": 10_000, "x": 130} if large else {}
            return Point(family, **sizes, K=case.K, **magnitudes)
    return None
