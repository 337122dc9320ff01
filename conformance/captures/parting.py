"""Where two sides part, and which convention explains it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from conformance.captures.rungs import Compared, Rung, lower
from conformance.captures.side import Level, Side
from conformance.closeness.compare import Bound, error_map, identical, load_bounds
from conformance.diagnose.answer import Asked
from conformance.diagnose.captured import Question
from conformance.diagnose.command import diagnose
from conformance.faults import weights as of_weights
from conformance.models.frameworks import settings
from conformance.models.network import Network
from conformance.progress import Progress

STAGES = {"outputs": "forward", "gradients": "backward"}
GATE = re.compile(r"(?:W_.|b_.?)([ifoczrh])$")
"""What ends the name of a gate's tensor; a projection is no gate's."""


def begins(rung: Rung) -> str:
    """The lowest layer that differs, and in it the first step, example and gates; of gradients the
    topmost, since they come from above."""
    failed = rung.failed
    level = max(f.level for f in failed) if rung.name == "gradients" else failed[0].level
    here = [each for each in failed if each.level == level]
    said = [STAGES.get(rung.name, rung.name)]
    wide = [each for each in failed if each.got.ndim == 3 and each.got.shape == each.wanted.shape]
    steps = [each for each in wide if each.comparison.tensor.endswith((".outputs", ".X"))]
    if steps:
        said += at(steps[0])
    said += [f"layer {level}"] if level else []
    names = [each.comparison.tensor.partition(".")[2] for each in here]
    gates = [match[1] for name in names if (match := GATE.search(name))]
    gates = list(dict.fromkeys(gates))
    if gates and rung.name != "outputs":
        said.append(f"gate{'s' * (len(gates) > 1)} {', '.join(gates)}")
    said += ["projection"] * any(name.endswith("W_hp") for name in names)
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    worst = max(here, key=lambda each: not_a_number(each.comparison.error))
    found = worst.comparison
    return f"begins: {', '.join(said)}: {shown or found.tensor}: {found.problem}"


def not_a_number(error: float) -> float:
    return np.inf if np.isnan(error) else error


def at(each: Compared) -> list[str]:
    """The first step and example that differ, from 1. Arrays: (T, n, k)"""
    errors = error_map(each.got, each.wanted, (2,))
    t, k = next(iter(np.argwhere(~(errors <= each.comparison.bound))), (0, 0))
    return [f"step {t + 1}, example {k + 1}"]


def why(a: Side, b: Side, rung: Rung) -> Iterator[str]:
    """Sentences on what explains the first difference."""
    number = rung.failed[0].level
    pair = [side.levels[number - 1] for side in (a, b)] if number else []
    if rung.name == "weights" and pair:
        yield from of_the_weights(*pair)
    elif rung.name == "inputs":
        yield "the captures are of different inputs: what they made of them was not compared"
    elif rung.name == "outputs" and pair:
        yield from options(*pair)
        for side, level in zip((a, b), pair, strict=True):
            yield from answer(side, level)


def of_the_weights(first: Level, second: Level) -> Iterator[str]:
    """Which wrong reading makes the one's weights of the other's."""
    if first.network.cell != second.network.cell:
        return
    kinds = [a.dtype for level in (first, second) for a in level.layer.weights.values()]
    wanted = laid_out(second.network, lower(*kinds))
    for fault in of_weights.faults(first.network, first.layer.layout):
        if fault.weights is None:
            continue
        made = laid_out(fault.weights(first.network), lower(*kinds))
        if len(made) == len(wanted) and all(map(identical, made, wanted)):
            yield f"the second's weights of layer {first.number} are the first's if {fault.says}"
            return


def laid_out(network: Network, dtype: str) -> list[np.ndarray]:
    return [
        array.astype(dtype)
        for half in network.halves
        for array in (half.W, half.U, half.b_x + half.b_h, half.project)
        if array is not None
    ]


def options(first: Level, second: Level) -> Iterator[str]:
    """What the two frameworks compute differently by their options."""
    one, other = first.usual, second.usual
    for name in sorted(one.touched(other) - {"axis", "after_end", "lengths"}):
        values = [value(settings_, name) for settings_ in (one, other)]
        yield f"{name} is {values[0]} in the first, {values[1]} in the second"


def value(found, name: str) -> object:
    if name.startswith("activation "):
        return found.choices.activations.get(name.partition(" ")[2], "as usual")
    held = getattr(found, name, None) if hasattr(found, name) else getattr(found.choices, name)
    return held if held != "" else "none"


def answer(side: Side, level: Level) -> list[str]:
    """What ``diagnose`` says of the layer on this side."""
    asked = next(q for q in side.questions if q.layer is level.layer)
    found = asked_about(asked, level, side)
    name = f"{level.layer.name} in {side.path}"
    return [f"{name}: {line}" if k == 0 else line for k, line in enumerate(found)]


def asked_about(asked: Question, level: Level, side: Side) -> list[str]:
    read = asked.read
    usual = settings(read.layout, read.loaded.network, read.stated, side.path)
    bound = Bound(load_bounds()["cpu"][level.layer.dtype]["outputs"].error)
    what = Asked(read.layout, read.stated, read.loaded, bound.error, "", read.shown)
    with threadpool_limits(1):
        found = diagnose(what, asked.given, usual, bound, Progress(quiet=True))
    return [line for line in found.lines() if line not in found.notes]
