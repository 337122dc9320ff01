"""Lengths that nobody gave, but the data show: zeros behind an end, or the last output again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from conformance.faults.catalogue import axis_fault
from conformance.faults.fault import Fault
from conformance.faults.subject import Subject
from conformance.models.frameworks import CLASSES
from conformance.models.given import Data

Over = Callable[[np.ndarray, np.ndarray], np.ndarray]


def faults(subject: Subject, layout: str) -> Iterator[Fault]:
    """Of the data as the framework reads them, and with the other axis first."""
    other = axis_fault(subject, layout)
    turned = {"time": "batch", "batch": "time"}[subject.usual.axis]
    for axis, also in ((subject.usual.axis, ""), (turned, f"{other.says}, and ")):
        data = subject.data(subject.usual.with_(axis=axis))
        if data is None or data.T < 2 or data.lengths is not None:
            continue
        for name, lengths, mode, said in shown(subject, data):
            listed = ", ".join(map(str, lengths))
            own = CLASSES[layout][subject.network.cell]
            yield Fault(
                f"lengths, {name}{', other axis' if also else ''}",
                f"{also}the examples have the lengths {listed} and {said}; that is right if {own} "
                "was given these lengths: put them into the file as lengths",
                settings=lambda s, axis=axis, lengths=lengths, mode=mode: s.with_(
                    axis=axis, lengths=lengths, after_end=mode
                ),
            )
        if not also and (starts := front(data)) is not None:
            listed = ", ".join(str(start) for start in starts)
            yield Fault(
                "padding in front",
                f"the first {listed} steps of the examples are padding: the outputs are zero "
                "there, and the state starts behind it (a mask)",
                data=lambda d, starts=starts: moved(d, starts),
            )


def shown(subject: Subject, data: Data) -> Iterator[tuple[str, np.ndarray, str, str]]:
    padded = ends(data.X, lambda now, before: ~np.any(now, axis=-1))
    if data.kind != "steps":
        if padded is not None:
            yield (
                "of X",
                padded,
                "zero",
                "their state ends there, as X shows, which is zero behind it",
            )
        return
    zero = ends(data.outputs, lambda now, before: ~np.any(now, axis=-1))
    same = ends(data.outputs, lambda now, before: np.all(now == before, axis=-1))
    if zero is not None:
        said = "the outputs behind their end are zero (sequence_lens, a packed sequence)"
        yield "zero", zero, "zero", said
    if same is not None:
        yield "carry", same, "carry", "the last output is repeated behind their end (a mask)"
        if subject.network.output is not None:
            yield "zero state", same, "zero", "H is zero behind their end (a packed sequence)"
    if padded is not None and subject.network.directions == 2:
        yield "on", padded, "on", "outputs are computed on behind their end"


def ends(a: np.ndarray, over: Over) -> np.ndarray | None:
    """(n,): up to which step an example goes on; None if all go on to the end.
    over(now, before): whether a step (n, …) shows nothing new"""
    T, n = a.shape[:2]
    lengths = np.full(n, T)
    live = np.ones(n, bool)
    for t in range(T - 1, 0, -1):
        live &= over(a[t], a[t - 1])
        lengths[live] = t
    return lengths if lengths.min() < T else None


def front(data: Data) -> np.ndarray | None:
    """(n,): how many first steps of each example have outputs of zero, though X is read."""
    if data.kind != "steps" or data.state is not None:
        return None
    empty = ~np.any(data.outputs, axis=-1)
    starts = np.array([int(np.argmin(column)) for column in empty.T])
    return starts if starts.any() and not empty.all(axis=0).any() else None


def moved(d: Data, starts: np.ndarray) -> Data | None:
    """Every example from its own first step; what is then missing at the end is not compared."""
    if len(starts) != d.n or d.kind != "steps":
        return None
    X, outputs = np.zeros_like(d.X), np.full(d.outputs.shape, np.nan)
    for k, start in enumerate(starts):
        X[: d.T - start, k], outputs[: d.T - start, k] = d.X[start:, k], d.outputs[start:, k]
    return replace(d, X=X, outputs=outputs)
