"""Numbers that outputs give away: a clip, a forget bias, a dropout's rate, where a state was lost.

In a network of one layer the state before the first wrong step is right. So that step's gates are
known, and what must have stood in C follows from the output. What cannot be solved for is searched:
the number that comes nearest, rounded to what somebody would have written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from conformance.faults.fault import Fault, Group, choosing
from conformance.faults.subject import FEW, Subject
from conformance.models.evaluator import act, sigmoid
from conformance.models.frameworks import options
from conformance.models.given import Data

LOOSE = 1e-4
"""How far a number that was solved for may scatter: the solution divides by small numbers."""

LARGEST = 1e4
WINDOW = 12
SEARCHED = 40
"""Steps of the search between two numbers of the grid."""

PROMISING = 0.6
"""How near the best number of a grid must come, against the worse of its ends, to be refined."""

NUMBERS = {
    "cell_clip": ("the cell state C is clipped to ±{} (cell_clip)", np.geomspace(0.02, 30, 24)),
    "clip": ("all pre-activations are clipped to ±{} (ONNX' clip)", np.geomspace(0.05, 30, 24)),
    "forget_bias": (
        "{} is added to the forget gate's pre-activation (a forget bias)", np.linspace(-6, 6, 25)
    ),
    "project_clip": ("the projected state is clipped to ±{}", np.geomspace(0.02, 10, 20)),
}  # fmt: skip
CELLS = {"cell_clip": ("lstm",), "clip": ("gru", "lstm", "rnn"), "forget_bias": ("lstm",),
         "project_clip": ("lstm",)}  # fmt: skip


def faults(subject: Subject, group: Group, layout: str) -> Iterator[Fault]:
    """Faults with the numbers that the data show, if the rest is as the group says."""
    with np.errstate(all="ignore"):
        if subject.kind == "steps":
            yield from dropout(subject, group)
            yield from chunks(subject, group)
            yield from started(subject, group)
            if subject.network.cell == "lstm":
                yield from of_cell(subject, group)
        yield from searched(subject, group, layout)


def of_cell(subject: Subject, group: Group) -> Iterator[Fault]:
    """At the first wrong step of an LSTM of one layer: what was added to its forget gate."""
    network, choices = subject.network, subject.usual.choices
    plain = network.L == network.directions == 1 and network.output is None
    found = subject.whole(group) if plain and network.layers[0][0].project is None else None
    if found is None or choices.out != "tanh":
        return
    made, _, data = found
    H, C = made.passes[0][0].H, made.passes[0][0].C
    got = data.outputs
    if C is None or got.shape != H.shape or not (t := first_wrong(got, H)):
        return
    solved = np.arctanh(got[t] / (H[t] / np.tanh(C[t])))  # LSTM-6 for C_t
    half, h = network.layers[0][0], network.h()
    a = data.X[t] @ half.W + H[t - 1] @ half.U + half.b_x + half.b_h
    i, f, g = sigmoid(a[:, :h]), a[:, h : 2 * h], np.tanh(a[:, 3 * h :])
    value = (solved - i * g) / C[t - 1]  # LSTM-5 for f_t
    sure = np.abs(C[t - 1]) > 0.02
    after = common_number((value - sigmoid(f + choices.forget_bias))[sure])
    if after is not None:
        yield choosing(f"{after:g} after the sigmoid", f"{after:g} is added to the forget gate "
                       "after the sigmoid", forget_after=after)  # fmt: skip


def started(subject: Subject, group: Group) -> Iterator[Fault]:
    """Another initial state. In a network of one layer the first output is the state that the rest
    begins with; C of an LSTM follows from the second output."""
    network, c = subject.network, subject.usual.choices
    found = subject.prepared(group)
    plain = network.L == network.directions == 1 and network.output is None
    if (
        not plain
        or found is None
        or subject.usual.backwards
        or network.layers[0][0].project is not None
    ):
        return
    got, X = found[2].outputs, found[2].X
    if len(got) < 4 or got.shape[:2] != X.shape[:2] or c.out != "tanh":
        return
    state = {"H": [got[0]]}
    if network.cell == "lstm":
        half = found[0].layers[0][0]
        a = np.split(X[1] @ half.W + got[0] @ half.U + half.b_x + half.b_h, 4, axis=1)
        a[1] = a[1] + c.forget_bias
        i, f, o = (act(c, gate, part, "sigmoid") for gate, part in zip("ifo", a, strict=False))
        C = np.arctanh(got[1] / o)  # LSTM-6, then LSTM-5 for the C before
        state["C"] = [(C - i * act(c, "c", a[3], "tanh")) / f]
        if not np.isfinite(state["C"][0]).all():
            return
    yield Fault(
        "another initial state",
        "the initial state is another than "
        + ("the one in the file" if found[2].state else "zero")
        + ": from step 2 on the outputs are those of this network, begun with the output of step 1 "
        "(the state of an earlier call, as of a stateful layer, or a random one); reset it, or "
        "give it as H0 beside X",
        data=lambda d: replace(d, X=d.X[1:], outputs=d.outputs[1:], state=state),
        common=False,
    )


def first_wrong(got: np.ndarray, made: np.ndarray) -> int | None:
    """The first step that differs, from 0; None if none does."""
    wrong = np.abs(got - made) > 1e-5 * np.max(np.abs(got))
    steps = np.flatnonzero(wrong.any(axis=tuple(range(1, wrong.ndim))))
    return int(steps[0]) if len(steps) else None


def common_number(values: np.ndarray) -> float | None:
    """The number that all of these are, rounded to what somebody would have written."""
    middle = float(np.median(values)) if len(values) else np.nan
    if not np.isfinite(values).all() or not 1e-3 < abs(middle) < LARGEST:
        return None
    if np.max(np.abs(values - middle)) > 20 * LOOSE * max(1.0, abs(middle)):
        return None
    return as_written(middle)


def as_written(number: float) -> float:
    for digits in range(1, 6):
        rounded = float(f"{number:.{digits}g}")
        if abs(rounded - number) <= LOOSE * max(1.0, abs(number)):
            return rounded
    return number


def searched(subject: Subject, group: Group, layout: str) -> Iterator[Fault]:
    """A number that comes nearest, by golden section around the best one of a grid."""
    network = subject.network
    for choice, (says, grid) in NUMBERS.items():
        projected = any(half.project is not None for half in network.halves)
        if network.cell not in CELLS[choice] or (choice == "project_clip" and not projected):
            continue

        def error(number: float, choice=choice, subject=subject) -> float:
            return subject.error((*group, number_of(choice, number, "")), WINDOW, FEW)

        errors = [error(float(number), subject=subject.single()) for number in grid]
        best = int(np.argmin(errors))
        if not errors[best] < PROMISING * max(errors[0], errors[-1]):
            continue
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        number = as_written(golden(error, float(low), float(high)))
        written = f"{number:g}"
        known = [o.name for o in options(layout, network.cell) if o.number == choice]
        option = f"{known[0]}={written}" if known else ""
        yield replace(number_of(choice, number, says.format(written)), option=option)


def number_of(choice: str, number: float, says: str) -> Fault:
    """The choice of a number."""
    name = f"{choice} {number:g}"
    return Fault(name, says, settings=lambda s: s.with_(**{choice: number}))


def golden(error, low: float, high: float) -> float:
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = error(a), error(b)
    for _ in range(SEARCHED):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = error(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = error(b)
    return (low + high) / 2


def chunks(subject: Subject, group: Group) -> Iterator[Fault]:
    """The state is lost every so many steps: the first wrong step says after how many."""
    found = subject.run(group)
    if found is None or found[0].shape != found[1].outputs.shape or found[1].state is not None:
        return
    size, T = first_wrong(found[1].outputs, found[0]), found[1].T
    if not size or subject.network.directions == 2:
        return

    def cut(d: Data) -> Data | None:
        whole = -(-d.T // size) * size

        def pieces(a: np.ndarray, fill: float) -> np.ndarray:
            more = np.full((whole - d.T, *a.shape[1:]), fill)
            a = np.concatenate([a, more]).reshape(-1, size, *a.shape[1:])
            return np.concatenate(list(a), axis=1)

        # What is behind the end is not compared.
        return replace(d, X=pieces(d.X, 0.0), outputs=pieces(d.outputs, np.nan), lengths=None)

    if size < T:
        yield Fault(f"state lost after {size} steps", f"the state is set to zero again after every "
                    f"{size} steps", data=cut, common=False)  # fmt: skip


def dropout(subject: Subject, group: Group) -> Iterator[Fault]:
    """Outputs that are zero here and there, and larger by 1 / (1 − p) everywhere else."""
    found = subject.run(group)
    if found is None or found[0].shape != found[1].outputs.shape:
        return
    made, data = found
    got = data.outputs
    zero = (got == 0) & (made != 0)
    share = float(np.mean(zero))
    if not 0.005 < share < 0.98 or zero.all(axis=-1).mean() > 0.9 * share > 0:
        return
    ratios = (got / made)[~zero & (np.abs(made) > 1e-2 * np.max(np.abs(made)))]
    factor = common_number(ratios)
    if factor is None or factor < 1 or abs(share - (1 - 1 / factor)) > 0.2:
        return
    rate = as_written(1 - 1 / factor)
    mask = np.where(zero, 0.0, 1 / (1 - rate) if rate else 1.0)
    yield Fault(
        f"dropout {rate:g}",
        f"dropout of rate {rate:g} is left on: {share:.0%} of the outputs are zero, and the others "
        f"{factor:g} times as large (call eval(), or training=False)",
        data=lambda d: undropped(d, mask), common=False,
    )  # fmt: skip


def undropped(data: Data, mask: np.ndarray) -> Data | None:
    """Where the dropout put zeros nothing can be compared: NaN."""
    if data.outputs.shape != mask.shape:
        return None
    return replace(
        data, outputs=np.where(mask == 0, np.nan, data.outputs / np.where(mask, mask, 1))
    )
