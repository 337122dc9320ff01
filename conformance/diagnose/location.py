"""Where a failure begins: direction, step, layer and gate.

Forward. The oracle takes one step from the states that the implementation itself recorded, for
every step and layer, so that an earlier error does not count again: what is left is the error made
at that place (``local_errors``). At the first such place, ``gates`` supposes that one gate alone is
wrong, and solves the cell's equations for it.
Backward. Parameters' gradients are sums over the steps, so the topmost layer with a wrong gradient
is named, the gates whose gradients are wrong in it, and the last step at which X's gradient is
wrong.
"""

from dataclasses import dataclass

import numpy as np

from common.parameters import GATES, Arrays, prefix
from conformance.cases.table import Case, Material
from conformance.closeness.compare import Comparison, step_errors
from conformance.diagnose.gates import Replay, gates, replay

STAGES = {"gradients": "backward", "clip": "clip", "steps": "update"}
"""What the rungs above the loss are parts of."""


@dataclass(frozen=True)
class Location:
    """step and layer count from 1; 0 where there is none. gates: those that may be wrong

    direction: of the computation, forward or backward
    backward:  whether it is the layer's pass backward in time
    """

    direction: str
    step: int = 0
    layer: int = 0
    gates: tuple[str, ...] = ()
    part: str = ""
    backward: bool = False

    def __str__(self) -> str:
        said = [self.direction]
        said += [f"step {self.step}"] if self.step else []
        said += [f"layer {self.layer}"] if self.layer else []
        said += ["its backward direction"] if self.backward else []
        said += [self.part] if self.part else []
        if self.gates and self.gates != ("h",):
            *most, last = self.gates
            said.append("gate " + (f"{', '.join(most)} or {last}" if most else last))
        return ", ".join(said)


def local_errors(case: Case, numbers: Material, got: Arrays) -> Arrays | None:
    """By part of the state, (T, L): the error of every step of every layer alone, relative to the
    largest magnitude in the layer; None if the states were not all recorded. Of two directions,
    each is a column."""
    errors = {part: np.zeros((case.T, case.spec.rows)) for part in case.spec.states}
    for row, (layer, backward) in enumerate(case.spec.passes):
        made = replay(case, numbers, got, layer, backward)
        if made is None:
            return None
        for part, array in errors.items():
            array[:, row] = step_errors(made.after[part], made.right[part], case.T)
    return errors


def locate_forward(case: Case, numbers: Material, got: Arrays, limit: float) -> Location | None:
    """The first step, and in it the lowest layer, whose state is wrong though its inputs are right.
    The first step of a backward direction is T.

    limit: the error that rounding explains"""
    errors = local_errors(case, numbers, got)
    if errors is None:
        return None
    wrong = {part: ~(array <= limit) for part, array in errors.items()}
    places = np.argwhere(np.any(list(wrong.values()), axis=0)).tolist()
    if not places:
        return None
    passes = case.spec.passes
    t, row = min(places, key=lambda at: (case.T - 1 - at[0] if passes[at[1]][1] else at[0], at[1]))
    layer, backward = passes[row]
    part = next(part for part in reversed(case.spec.states) if wrong[part][t, row])
    made = replay(case, numbers, got, layer, backward)
    if made is None or _behind_the_end(made, part, t, case.T, limit):
        return Location(
            "forward", t + 1, layer, (), f"{part} behind the end of an example", backward
        )
    found = gates(case, made.of_own_steps(), limit)
    if part == "H" and case.spec.p is not None:
        part = "H, its output gate or projection"
    if numbers.dropout and layer > 1 and found in ((), ("h",)):
        part += ", or what is dropped of its input"
    more = ["a peephole"] * case.spec.peepholes + ["the clip"] * (case.spec.gate_clip is not None)
    part += f", or {' or '.join(more)}" if more else ""
    return Location("forward", t + 1, layer, found, part, backward)


def _behind_the_end(made: Replay, part: str, t: int, T: int, limit: float) -> bool:
    """Whether what is wrong at a step is nothing that the step has made."""
    after = np.where(made.own[:, None], made.after[part], made.right[part])
    return bool(step_errors(after, made.right[part], T)[t] <= limit)


def locate(
    case: Case,
    numbers: Material,
    got: Arrays,
    failed: dict[str, list[Comparison]],
    limit: float,
) -> Location:
    """Where a failure begins.

    failed: by rung, from the bottom up, the comparisons that failed, the worst first
    limit:  the error of a state that rounding explains
    """
    rung, comparisons = next((r, c) for r, c in failed.items() if c)
    worst = comparisons[0]
    if found := locate_forward(case, numbers, got, limit):
        return found
    if worst.tensor == "forward/O" and len(worst.index) == 3:
        return Location("forward", worst.index[0] + 1, part="output layer")
    if rung not in STAGES:
        return Location(worst.tensor)
    names = [c.tensor.partition("/")[2] for c in comparisons]
    if rung == "gradients" and all(name[:1] in tuple("XHC") for name in names):
        return Location(STAGES[rung], part=f"gradient of {', '.join(names)}")
    if any(name.startswith("output.") for name in names):
        return Location(STAGES[rung], part="output layer")
    passes = [
        p for p in case.spec.passes if any(n.rpartition(".")[0] == prefix(*p)[:-1] for n in names)
    ]
    if not passes:
        return Location(STAGES[rung], part=worst.tensor)
    top = max(layer for layer, _ in passes)
    own = [name for name in names if name.startswith(prefix(top))]
    wrong = {name[-1] for name in own}
    order = GATES[case.spec.cell]
    found = tuple(gate for gate in order if gate in wrong)
    gates_named = found if len(found) < len(order) else ()
    part = "projection" if wrong == {"p"} else ""
    if all(".P_" in name for name in own):
        part = "peepholes"
    backward = (top, True) in passes and (top, False) not in passes
    step = _last_wrong_step(case, got, comparisons)
    return Location(STAGES[rung], step, top, gates_named, part, backward)


def _last_wrong_step(case: Case, got: Arrays, comparisons: list) -> int:
    """Going back through time, the first step at which X's gradient is wrong; 0 if it is right."""
    at_X = [c for c in comparisons if c.tensor == "gradients/X" and len(c.index) == 3]
    return at_X[0].index[0] + 1 if at_X else 0
