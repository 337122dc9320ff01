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
        if data is None or data.T < 2:
            continue
        if data.lengths is not None:
            yield from padding_read(subject, data, data.lengths)
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
            if not also and mode in ("zero", "carry"):
                yield from padding_read(subject, data, lengths)
        if not also and (starts := front(data)) is not None:
            listed = ", ".join(str(start) for start in starts)
            yield Fault(
                "padding in front",
                f"the first {listed} steps of the examples are padding: the outputs are zero "
                "there, and the state starts behind it (a mask)",
                data=lambda d, starts=starts: moved(d, starts),
            )

        if not also and (live := masked(data)) is not None:
            own = CLASSES[layout][subject.network.cell]
            yield Fault(
                "mask",
                "the steps at which X is zero are masked: the state stays as it is there (Masking "
                f"with mask_value=0); that is right if {own} was given that mask",
                data=lambda d, live=live: gathered(d, live),
            )


def padding_read(subject: Subject, data: Data, lengths: np.ndarray) -> Iterator[Fault]:
    """The lengths are only used to put zeros behind the ends."""
    if subject.network.directions == 1 or data.kind != "steps":
        return
    behind = np.arange(data.T)[:, None] >= lengths

    def ignored(d: Data) -> Data | None:
        if d.outputs.shape[:2] != behind.shape:
            return None
        return replace(d, lengths=None, outputs=np.where(behind[..., None], np.nan, d.outputs))

    listed = ", ".join(map(str, lengths))
    says = (
        f"the examples have the lengths {listed}, but the backward direction reads the padding "
        "behind their ends first (pack the sequence, or turn each example by its own length)"
    )
    yield Fault("padding read", says, data=ignored)


def masked(data: Data) -> np.ndarray | None:
    """(T, n): the steps at which X is not zero, if others lie between them or in front, and the
    outputs there show nothing new."""
    live = np.any(data.X, axis=-1)
    if data.kind == "last" or not live.any(axis=0).all():
        return None
    if not np.any(live[1:] & ~live[:-1]):
        return None  # what is masked stands behind the ends: these are lengths
    if data.kind == "steps":
        still = ~np.any(np.diff(data.outputs, axis=0, prepend=0), axis=-1)
        if not (live | still | ~np.any(data.outputs, axis=-1)).all():
            return None
    return live


def gathered(d: Data, live: np.ndarray) -> Data | None:
    """Each example's steps that are not masked, one after the other; the rest is not compared."""
    if d.X.shape[:2] != live.shape:
        return None
    order = np.argsort(~live, axis=0, kind="stable")[..., None]
    lengths = live.sum(0)
    outputs = d.outputs
    if d.kind == "steps":
        over = np.arange(d.T)[:, None] >= lengths
        outputs = np.where(over[..., None], np.nan, np.take_along_axis(outputs, order, 0))
    return replace(d, X=np.take_along_axis(d.X, order, 0), outputs=outputs, lengths=lengths)


def shown(subject: Subject, data: Data) -> Iterator[tuple[str, np.ndarray, str, str]]:
    padded = ends(data.X, lambda now, before: ~np.any(now, axis=-1))
    if data.kind == "last" and padded is not None:
        said = (
            "step T is taken, which is zero behind their end: take the final state, or each "
            "example's own last step"
        )
        yield "last step", padded, "zero", said
        return
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
