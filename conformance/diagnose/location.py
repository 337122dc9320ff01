"""Where a failure begins: direction, step, layer and gate.

Forward. The oracle takes one step from the states that the implementation itself recorded, for
every step and layer, so that an earlier error does not count again: what is left is the error made
at that place (``local_errors``). At the first such place, ``gates`` supposes that one gate alone is
wrong, and solves the cell's equations for it.
Backward. Parameters' gradients are sums over the steps, so the topmost layer with a wrong gradient
is named, the gates whose gradients are wrong in it, and the last step at which X's gradient is
wrong.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from common.parameters import GATES, Arrays, layer_parameters, prefix
from common.spec import ModelSpec
from conformance.cases.table import Case, Material
from conformance.closeness.compare import Comparison, step_errors, within
from conformance.oracle.conventions import Conventions, activate
from conformance.oracle.equations import Value
from conformance.oracle.passes import cell

STAGES = {"gradients": "backward", "clip": "clip", "steps": "update"}
"""What the rungs above the loss are parts of."""

SLACK = 1e-6
"""How far a gate that was solved for may lie outside its range, or from an affine function: the
solution divides by small numbers."""


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


@dataclass(frozen=True)
class Replay:
    """One step of the oracle from every state that was recorded, all T steps of one direction of a
    layer at once.

    rows:   X or the H below, H_{t−1} and 1, the inputs of an affine map, (T·n, in + h + 1)
    before, after: the recorded states, (T·n, h) each     right: what the oracle makes of ``before``
    values: of the oracle's gates     W_hp: of a projection
    own:    (T·n,), which of them are of an example's own steps
    """

    rows: np.ndarray
    before: Arrays
    after: Arrays
    right: Arrays
    values: Arrays
    own: np.ndarray
    W_hp: np.ndarray | None = None

    def of_own_steps(self) -> "Replay":
        """Without the rows behind the ends of examples."""

        def kept(arrays: Arrays) -> Arrays:
            return {name: array[self.own] for name, array in arrays.items()}

        states = kept(self.before), kept(self.after), kept(self.right)
        own = self.own[self.own]
        return Replay(self.rows[self.own], *states, kept(self.values), own, self.W_hp)


def replay(
    case: Case, numbers: Material, got: Arrays, layer: int, backward: bool = False
) -> Replay | None:
    """None if the states were not all recorded."""
    spec, before, after = case.spec, {}, {}
    row = spec.row(layer, backward)
    ends = _ends(case, numbers)
    for part, first in numbers.state.items():
        trace = got.get(f"trace/{part}")
        if trace is None or trace.shape != (case.T, *first.shape):
            return None
        size = spec.size_of(part, layer)
        states, start = trace[:, row, :, :size].astype("float64"), first[row][None, :, :size]
        earlier = np.concatenate([states[1:], start] if backward else [start, states[:-1]])
        if backward:  # which starts at each example's own last step
            earlier = np.where((np.arange(case.T)[:, None] == ends - 1)[..., None], start, earlier)
        before[part], after[part] = _rows(earlier), _rows(states)
    below = numbers.X[0]
    if layer > 1:
        last, size = spec.row(layer), spec.size_of("H", layer - 1)
        halves = [got["trace/H"][:, r, :, :size] for r in range(last - spec.directions, last)]
        below = np.concatenate(halves, axis=-1).astype("float64")
        if (dropout := numbers.dropout_of(0)) is not None:  # DROP-1
            *_, mask = itertools.islice(dropout.by_layer(spec), layer - 1)
            below = below * mask / (1 - dropout.rate)
    values: Arrays = {}

    def watched(spec: ModelSpec, number: int, gate: str, a: Value) -> Value:
        value = activate(spec, number, gate, a)
        values[gate] = value.data
        return value

    p = {n: Value(a) for n, a in layer_parameters(numbers.params, layer, backward).items()}
    state = {part: Value(array) for part, array in before.items()}
    made = cell(Conventions(activate=watched), spec, layer, p, Value(_rows(below)), state)
    rows = np.hstack([_rows(below), before["H"], np.ones((len(before["H"]), 1))])
    own = (np.arange(case.T)[:, None] < ends).ravel()
    right = {name: np.where(own[:, None], value.data, 0) for name, value in made.items()}  # LEN-3
    W_hp = p["W_hp"].data if "W_hp" in p else None
    return Replay(rows, before, after, right, values, own, W_hp)


def _ends(case: Case, numbers: Material) -> np.ndarray:
    """(n,): how many steps each example of the first minibatch has."""
    lengths = numbers.lengths_of(0)
    return np.full(case.n, case.T) if lengths is None else lengths


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])


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
    return Location("forward", t + 1, layer, found, part, backward)


def _behind_the_end(made: Replay, part: str, t: int, T: int, limit: float) -> bool:
    """Whether what is wrong at a step is nothing that the step has made."""
    after = np.where(made.own[:, None], made.after[part], made.right[part])
    return bool(step_errors(after, made.right[part], T)[t] <= limit)


def gates(case: Case, made: Replay, limit: float) -> tuple[str, ...]:
    """The gates that can explain, alone, what a layer made of right inputs: solved for, their
    values are possible, and if there are rows enough to tell, what is before σ or tanh is an affine
    function of the layer's inputs. None if no single gate can."""
    cell_name, candidate = case.spec.cell, GATES[case.spec.cell][-1]
    if cell_name == "rnn":
        return ("h",)
    with np.errstate(all="ignore"):
        solved = _solved_gru(made) if cell_name == "gru" else _solved_lstm(made, limit)
        possible: list[str] = []
        few = len(made.rows) <= made.rows.shape[1]
        for gate, value in solved.items():
            low = -1 if gate == candidate else 0
            in_range = np.all((value >= low - SLACK) & (value <= 1 + SLACK))
            # The GRU's candidate is no affine function: the reset gate is between.
            untold = few or (cell_name == "gru" and gate == candidate)
            if in_range and (untold or _affine(value, gate == candidate, made)):
                possible.append(gate)
    if cell_name == "gru":
        return ("z",) if possible[:1] == ["z"] and not few else _with_reset(possible)
    return tuple(possible)


def _with_reset(possible: list[str]) -> tuple[str, ...]:
    """r acts through the candidate: whatever that may be, r may have made."""
    return (*possible[:-1], "r", "h") if "h" in possible else tuple(possible)


def _solved_gru(made: Replay) -> Arrays:
    """GRU-4 for z and for the candidate."""
    z, new = made.values["z"], made.values["h"]
    H0, H = made.before["H"], made.after["H"]
    return {"z": (H - new) / (H0 - new), "h": (H - z * H0) / (1 - z)}


def _solved_lstm(made: Replay, limit: float) -> Arrays:
    """LSTM-5 for i, f and the candidate if C is wrong, LSTM-6 for o if it is not; nothing if both
    equations are broken."""
    i, f, o, c = (made.values[gate] for gate in "ifoc")
    C0, C, H = made.before["C"], made.after["C"], made.after["H"]
    if within(C, made.right["C"], limit):
        # Of a projected H the p numbers do not tell those that they were made of.
        return {"o": H / np.tanh(C)} if made.W_hp is None else {}
    again = o * np.tanh(C)
    if not within(H, again if made.W_hp is None else again @ made.W_hp, limit):
        return {}
    return {"i": (C - f * C0) / c, "f": (C - i * c) / C0, "c": (C - f * C0) / i}


def _affine(value: np.ndarray, candidate: bool, made: Replay) -> bool:
    a = np.arctanh(value if candidate else 2 * value - 1)
    if not np.isfinite(a).all():
        return False
    fitted = made.rows @ np.linalg.lstsq(made.rows, a, rcond=None)[0]
    return within(fitted, a, SLACK)


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
    wrong = {name[-1] for name in names if name.startswith(prefix(top))}
    order = GATES[case.spec.cell]
    found = tuple(gate for gate in order if gate in wrong)
    gates_named = found if len(found) < len(order) else ()
    part = "projection" if wrong == {"p"} else ""
    backward = (top, True) in passes and (top, False) not in passes
    step = _last_wrong_step(case, got, comparisons)
    return Location(STAGES[rung], step, top, gates_named, part, backward)


def _last_wrong_step(case: Case, got: Arrays, comparisons: list) -> int:
    """Going back through time, the first step at which X's gradient is wrong; 0 if it is right."""
    at_X = [c for c in comparisons if c.tensor == "gradients/X" and len(c.index) == 3]
    return at_X[0].index[0] + 1 if at_X else 0
