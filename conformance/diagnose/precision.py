"""Precision is an answer: whether outputs differ by what float16, TF32 or int8 make of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.closeness.compare import identical, relative_error
from conformance.diagnose.search import Found
from conformance.faults.fault import Group, choosing
from conformance.faults.subject import Subject
from conformance.models.rounding import ROUNDINGS

LARGEST = 0.1
"""No precision that is looked for makes a larger error."""

CLOSER = 0.75
"""A simulation must come this much closer than full precision does, or outputs must be numbers of
that format: else only the size of the error is like it."""

ALIKE = 4.0
"""How much larger or smaller an error may be than the one that a precision makes here."""


@dataclass(frozen=True)
class Likely:
    """A precision that explains the outputs. error: of the outputs; made: by the precision here
    sure: whether more than the size of the error speaks for it"""

    subject: Subject
    group: Group
    name: str
    error: float
    made: float
    sure: bool
    score: float

    @property
    def says(self) -> str:
        said = ROUNDINGS[self.name].says
        how = "agrees as" if self.sure else "differs by no more than"
        return (
            f"{how} {said} would ({self.error:.1e} of the largest output; {said} makes "
            f"{self.made:.1e} here)"
        )


def precision(found: Found, stated: str = "") -> Likely | None:
    """The precision that explains the outputs of the framework itself, of another option, or of one
    fault, if one does. stated: the precision that they are in, which comes first"""
    if stated in ROUNDINGS:
        likely = among(found, (stated,))
        if likely and likely.sure:
            return likely
    return among(found, tuple(ROUNDINGS))


def among(found: Found, names: tuple[str, ...]) -> Likely | None:
    """The likeliest of some precisions."""
    near = []
    for item in found.near:
        if item.error <= LARGEST:
            options = sum(1 for fault in item.group if not fault.option)
            near.append((options, item.error, item.subject, item.group))
    # The framework itself first; then what comes closest.
    near.sort(key=lambda item: (item[0], item[1]))
    plain = [item for item in near if item[0] == 0][:3]
    others = sorted((item for item in near if item[0]), key=lambda item: item[1])[:3]
    best = [likely for _, _, s, g in plain if (likely := explained(s, g, names))]
    if not best and (not plain or (others and others[0][1] < plain[0][1] / 4)):
        best = [likely for _, _, s, g in others if (likely := explained(s, g, names))]
        best = [likely for likely in best if likely.sure]
    # Where only the size of the error speaks, the smallest error does.
    return min(best, key=lambda it: (not it.sure, it.score if it.sure else it.error), default=None)


def explained(subject: Subject, group: Group, names: tuple[str, ...]) -> Likely | None:
    run = subject.run(group)
    if run is None or run[0].shape != run[1].outputs.shape or not np.any(run[0]):
        return None
    exact, data = run
    got = data.outputs
    error = relative_error(got, exact)
    if not 0 < error <= LARGEST:
        return None
    wide = subject.given.dtype == "float64"
    found = []
    for name in names:
        rounding = ROUNDINGS[name]
        if name.startswith("float32") and not wide:
            continue
        fault = choosing(name, "", rounding=name)
        made = subject.run((*group, fault))
        if made is None:
            continue
        size = relative_error(made[0], exact)
        if not size / ALIKE <= error <= size * ALIKE:
            continue
        left = float(np.sqrt(np.mean((got - made[0]) ** 2) / np.mean((got - exact) ** 2)))
        fits = rounding.fits is not None and fits_format(got, rounding.fits, name, wide)
        sure = fits or left <= CLOSER
        score = min(left, 0.2) if fits else left
        found.append(Likely(subject, group, name, error, size, sure, score))
    return min(found, key=lambda likely: (not likely.sure, likely.score), default=None)


def fits_format(got: np.ndarray, change, name: str, wide: bool) -> bool:
    """Whether all outputs are numbers of a format, and not of a shorter one by chance."""
    return identical(change(got), got) and bool(np.any(got)) and (name != "float32" or wide)
