"""What there is to say when nothing reproduces the outputs: how large the difference is, where it
begins, what it looks like, which conventions come nearest, and what to send next."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from conformance.closeness.compare import (
    FLOAT64_SCALE,
    UNIT_ROUNDOFF,
    Bound,
    noise_floor,
    relative_error,
)
from conformance.diagnose.search import Found, Near
from conformance.faults.fault import Group
from conformance.faults.subject import Subject

NEAREST = 3
CLOSE = 1e-4
"""A pattern is named if it explains all but this share of the outputs."""


@dataclass(frozen=True)
class Unknown:
    """seen: sentences about the difference     nearest: what does not reproduce, but comes near
    next: what to send to decide
    """

    seen: list[str]
    nearest: list[tuple[str, float]]
    next: list[str]


def unknown(found: Found, bound: Bound) -> Unknown:
    ranked = sorted(found.near, key=lambda near: (near.error, near.number))
    subject, group = reference(found)
    run = subject.run(group)
    if run is None or run[0].shape != run[1].outputs.shape:
        seen = ["the framework's own outputs have another shape than these"]
        return Unknown(seen, nearest(ranked), next_steps(subject, None))
    made, data = run
    got = data.outputs
    if got.ndim == 2:
        made, got = made[None], got[None]
    seen = [size(subject, group, got, made)]
    wrong = ~(np.abs(got - made) <= bound.error * np.max(np.abs(made)))
    seen += where(wrong, data.kind == "steps")
    if data.kind == "steps":
        seen += fading(got, made)
    elif data.kind in ("ends", "last"):
        seen += another_step(subject, group, data.outputs)
    seen += patterns(got, made)
    first = int(np.argmax(wrong.any(axis=(1, 2))))
    return Unknown(seen, nearest(ranked), next_steps(subject, first))


def reference(found: Found) -> tuple[Subject, Group]:
    """The framework itself; with another of its options or the other axis if that comes much
    nearer."""
    least, best = np.inf, found.tried[0][:2]
    for near in found.near:
        own = all(fault.option or fault.name == "axis" for fault in near.group[-1:])
        if (own or not near.number) and near.error < least / 4:
            least, best = near.error, (near.subject, near.group)
    return best


def size(subject: Subject, group: Group, got: np.ndarray, made: np.ndarray) -> str:
    """How large the difference is."""
    error = relative_error(got, made)
    single = subject.single().run(group)
    noise = UNIT_ROUNDOFF
    if single is not None:
        noise = noise_floor(made.reshape(single[0].shape), [single[0].astype("float64")])
    noise *= FLOAT64_SCALE if subject.given.dtype == "float64" else 1
    read = " and ".join(fault.says for fault in group)
    read = f", if {read}" if group else ""
    return (
        f"the outputs differ from the framework's{read} by {error:.1e} of the largest, which is "
        f"{error / noise:.1e} times what rounding makes"
    )


def where(wrong: np.ndarray, steps: bool) -> list[str]:
    """The first step, example and unit, and which agree throughout. wrong: (T, n, k)"""
    said = []
    if not wrong.any():
        return ["every single number is within the bound, the whole is not"]
    t, k, unit = (int(i) for i in np.argwhere(wrong)[0])
    names = f"example {k + 1}, unit {unit + 1}"
    if steps and t:
        said.append(f"they agree up to step {t}; the difference begins at step {t + 1}, {names}")
    else:
        place = "step 1, " if steps else ""
        said.append(f"the difference begins at {place}{names}")
    for axis, word in ((1, "example"), (2, "unit")):
        others = tuple(a for a in range(3) if a != axis)
        right = np.flatnonzero(~wrong.any(axis=others))
        if 0 < len(right) < wrong.shape[axis]:
            listed = ", ".join(str(i + 1) for i in right[:8]) + (" …" if len(right) > 8 else "")
            hint = ": lengths, or a state?" if word == "example" else ""
            said.append(f"{word}{'s' * (len(right) > 1)} {listed} agree throughout{hint}")
    if steps:
        late = np.asarray(wrong.any(axis=2))
        first = [int(np.argmax(w)) if w.any() else len(w) for w in late.T]
        if len(set(first)) > 1:
            listed = ", ".join(map(str, first[:12])) + (" …" if len(first) > 12 else "")
            said.append(f"the examples agree up to steps {listed}: lengths?")
        return said
    return said


def another_step(subject: Subject, group: Group, got: np.ndarray) -> list[str]:
    """Whether outputs of one step are those of another than the last."""
    found = subject.whole(group)
    steps = found[0].outputs if found else []
    same = [
        t + 1
        for t, made in enumerate(steps)
        if made.shape == got.shape and relative_error(got, made) <= CLOSE
    ]
    return [f"they are the outputs of step {same[0]}"] if same else []


def fading(got: np.ndarray, made: np.ndarray) -> list[str]:
    """Whether the difference dies away with the steps, as that of two initial states does."""
    off = np.max(np.abs(got - made), axis=(1, 2)) / np.max(np.abs(made))
    if len(off) < 4 or not off[-1] < off[0] / 4 or np.any(off[1:] > 1.2 * off[:-1]):
        return []
    return [
        f"the difference dies away, from {off[0]:.0e} at step 1 to {off[-1]:.0e} at step "
        f"{len(off)}: another initial state (one that is kept, as of a stateful layer, or random)?"
    ]


def patterns(got: np.ndarray, made: np.ndarray) -> list[str]:
    """What the difference looks like."""
    said = []
    largest = float(np.max(np.abs(got)))
    if not largest:
        return ["all outputs are zero"]
    error = relative_error(got, made)
    if error < 0.05:
        said.append(f"they agree to {error:.0e} everywhere: a lower precision, or a small term")
    if (fit := factor(got, made)) is not None:
        said.append(f"they agree up to a factor {fit:.6g}")
    elif (line := straight(got, made)) is not None:
        said.append(f"they agree up to a factor {line[0]:.6g} and an offset {line[1]:.6g}")
    for name, turned in rearranged(made):
        if turned.shape == got.shape and relative_error(turned, got) <= CLOSE:
            said.append(f"they agree after {name}")
    said += matched(got, made)
    if len(got) > 2 and np.max(np.abs(np.diff(got, axis=0))) <= 1e-6 * largest:
        said.append("the outputs are the same at every step")
    if got.shape[1] > 1 and np.max(np.abs(np.diff(got, axis=1))) <= 1e-6 * largest:
        said.append("the outputs are the same for every example")
    if np.any(got) and got.min() >= 0 > made.min():
        said.append("no output is negative, though the network's are: a relu, or a sigmoid?")
    if np.max(np.abs(made)) <= 1 < largest:
        said.append(f"outputs are as large as {largest:.3g}, though |H| < 1: is a tanh missing?")
    return said


def factor(got: np.ndarray, made: np.ndarray) -> float | None:
    total = float(np.sum(made * made))
    scale = float(np.sum(got * made)) / total if total else 0.0
    fits = scale and relative_error(got, scale * made) <= CLOSE
    return scale if fits and abs(scale - 1) > 10 * CLOSE else None


def straight(got: np.ndarray, made: np.ndarray) -> tuple[float, float] | None:
    x, y = made.ravel(), got.ravel()
    if len(x) < 8 or not np.ptp(x):
        return None
    scale, offset = np.polyfit(x, y, 1)
    fits = relative_error(y, scale * x + offset) <= CLOSE
    return (float(scale), float(offset)) if fits and abs(scale) > CLOSE else None


def rearranged(made: np.ndarray):
    """The same numbers at other places."""
    names = ("steps", "examples", "units")
    for a, b in itertools.combinations(range(3), 2):
        if made.shape[a] > 1 or made.shape[b] > 1:
            turned = made.swapaxes(a, b)
            if turned.shape == made.shape:
                yield f"exchanging the axes of {names[a]} and {names[b]}", turned
            elif a == 0 and b == 1:
                yield "a reshape of steps and examples", turned.reshape(made.shape)
    for axis, name in enumerate(names):
        if made.shape[axis] > 1:
            yield f"reversing the order of the {name}", np.flip(made, axis)
    for shift in (1, -1):
        if len(made) > 2:
            yield f"moving all by {abs(shift)} step", np.roll(made, shift, axis=0)


def matched(got: np.ndarray, made: np.ndarray) -> list[str]:
    """Whether examples or units are the same in another order."""
    said = []
    for axis, word in ((1, "examples"), (2, "units")):
        count = made.shape[axis]
        if not 2 < count <= 512:
            continue
        a = np.moveaxis(got, axis, 0).reshape(count, -1)
        b = np.moveaxis(made, axis, 0).reshape(count, -1)
        near = np.array([int(np.argmin(np.max(np.abs(b - row), axis=1))) for row in a])
        another = sorted(near) == list(range(count)) and list(near) != list(range(count))
        if another and relative_error(a, b[near]) <= CLOSE:
            listed = ", ".join(str(k + 1) for k in near[:10]) + (" …" if count > 10 else "")
            said.append(f"they agree after putting the {word} into the order {listed}")
    return said


def nearest(ranked: list[Near]) -> list[tuple[str, float]]:
    """By distance; what changes nothing that the data show is left out."""
    near, seen = [], set()
    plain = [item.error for item in ranked if not item.number]
    for item in ranked:
        error, k, subject, group = item.error, item.number, item.subject, item.group
        says = " and ".join(f.says for f in group) or "the framework as it is"
        if len(near) == NEAREST or not error < np.inf:
            break
        if not all(fault.common for fault in group):
            continue
        if k and any(abs(error - other) <= 1e-6 * other for other in plain):
            continue
        whole = subject.single().error(group)
        if says not in seen and np.isfinite(whole):
            seen.add(says)
            near.append((says, whole))
    return sorted(near, key=lambda item: item[1])


def next_steps(subject: Subject, first: int | None) -> list[str]:
    """What would decide."""
    network, given, said = subject.network, subject.given, []
    if network.L > 1:
        said.append("the outputs of layer 1 alone, with its tensors alone")
    if first == 0 and subject.kind == "steps":
        data = subject.data(subject.usual)
        if data is not None and data.T > 1:
            said.append("one step, X and outputs with T = 1")
        if not given.state:
            said.append("an initial state H0 that is not zero, beside X")
    elif first:
        said.append(f"the state after step {first} as H0 and one step more, T = 1")
    if subject.kind != "steps":
        said.append("the outputs of every step")
    if network.d == network.h():
        said.append("the same network with d and h of different sizes")
    said = said or ["one step, T = 1, from a state H0 that is not zero"]
    return [
        *said,
        "the same call once more: if its outputs are others, a dropout is left on (call "
        "eval(), or training=False) or the state is kept",
    ]
