"""Which gates can explain a step that came out wrong: the oracle's step from the states that were
recorded, and the cell's equations solved for one gate after another."""

import itertools
from dataclasses import dataclass

import numpy as np

from common.parameters import GATES, Arrays, layer_parameters
from common.spec import ModelSpec
from conformance.cases.table import Case, Material
from conformance.closeness.compare import within
from conformance.oracle.conventions import Conventions, activate
from conformance.oracle.equations import Value
from conformance.oracle.passes import cell

SLACK = 1e-6
"""How far a gate that was solved for may lie outside its range, or from an affine function: the
solution divides by small numbers."""


@dataclass(frozen=True)
class Replay:
    """One step of the oracle from every state that was recorded, all T steps of one direction of a
    layer at once.

    rows:   X or the H below, H_{t−1} and 1, the inputs of an affine map, (T·n, in + h + 1)
    before, after: the recorded states, (T·n, h) each     right: what the oracle makes of ``before``
    values: of the oracle's gates, where there are peepholes of the C_t that was recorded
    own:    (T·n,), which of them are of an example's own steps     W_hp: of a projection
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
    if spec.peepholes:  # an output gate that is right sees whatever C_t there is
        held = Conventions(activate=watched, cell_state=lambda C: Value(after["C"]))
        cell(held, spec, layer, p, Value(_rows(below)), state)
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
            if in_range and (untold or _affine(case.spec, value, gate, made)):
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


def _affine(spec: ModelSpec, value: np.ndarray, gate: str, made: Replay) -> bool:
    """Whether what is before σ or tanh is an affine function of the layer's inputs; unit by unit of
    its C, too, if the gate has peepholes, and where it is not clipped."""
    candidate = gate == GATES[spec.cell][-1]
    a = np.arctanh(value) if candidate else 2 * np.arctanh(2 * value - 1)
    if not np.isfinite(a).all():
        return False
    if not (spec.peepholes or spec.gate_clip):
        fitted = made.rows @ np.linalg.lstsq(made.rows, a, rcond=None)[0]
        return within(fitted, a, SLACK)
    seen = made.after["C"] if gate == "o" else made.before["C"]
    for unit, a_unit in enumerate(a.T):
        C = seen[:, unit : unit + 1] if spec.peepholes and not candidate else seen[:, :0]
        inside = np.abs(a_unit) < (1 - SLACK) * (spec.gate_clip or np.inf)
        rows, a_inside = np.hstack([made.rows, C])[inside], a_unit[inside]
        if len(rows) <= rows.shape[1]:
            continue  # too few to tell
        fitted = rows @ np.linalg.lstsq(rows, a_inside, rcond=None)[0]
        if not within(fitted, a_inside, SLACK):
            return False
    return True
