"""Which conventions does somebody's model follow? ``python -m conformance diagnose``.

Given are the weights of a stack in a framework's layout, an input, and the outputs that somebody's
code made of them. The layout's own readings are tried first: both reset variants, all activations,
time first and batch first. Then every wrong convention of the catalogue that outputs show, and
pairs of them. What is named reproduces all outputs within the bound of bounds.toml; what else
reproduces them is what the data cannot decide.

A search sees the first steps and examples only, which is cheap; what survives is evaluated in full.
"""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.markup import escape

from common.errors import EXIT_FAIL, EXIT_PASS, BadInput
from common.files import write_json
from common.parameters import GATES, Arrays
from common.spec import ACTIVATIONS, ModelSpec, Reset
from common.weights import read_arrays
from conformance.closeness.compare import Bound, agreement, load_bounds
from conformance.diagnose.explain import Suspects, combined
from conformance.diagnose.layouts import LAYOUTS, Stack, read_stack
from conformance.mutants import Mutant, applicable
from conformance.mutants.mapping import says_of_order
from conformance.options import Command
from conformance.oracle.conventions import Conventions
from conformance.oracle.evaluation import forward
from conformance.progress import Progress, results_console

FEW = 2
"""Steps and examples that a search looks at first."""

SHOWN = 8
"""How many readings are listed that the data cannot tell apart."""


@dataclass(frozen=True)
class Reading:
    """One way to read the weights and the data. says: what it assumes, beside the layout"""

    says: str
    spec: ModelSpec
    params: Arrays
    batch_first: bool


@dataclass(frozen=True)
class Data:
    """X (T, n, d), outputs (T, n, h or q), the initial state (L, n, h) each"""

    X: np.ndarray
    outputs: np.ndarray
    state: Arrays

    def turned(self) -> "Data":
        return Data(self.X.swapaxes(0, 1), self.outputs.swapaxes(0, 1), self.state)

    def few(self) -> "Data":
        state = {part: array[:, :FEW] for part, array in self.state.items()}
        return Data(self.X[:FEW, :FEW], self.outputs[:FEW, :FEW], state)


@dataclass(frozen=True)
class Match:
    """A reading, with wrong conventions or none, that reproduces all outputs."""

    reading: Reading
    suspects: Suspects
    error: float

    def says(self, layout: str) -> str:
        """The reading in words; gates in the layout's order."""
        cell = self.reading.spec.cell
        stacked = LAYOUTS[layout].order[cell]
        reasons = [
            says_of_order(cell, suspect.order, stacked) if suspect.order else suspect.says
            for suspect in self.suspects
        ]
        return " and ".join([self.reading.says, *reasons])


def readings(stack: Stack, data: Data) -> Iterator[Reading]:
    """Every reading that is right for some framework, the likeliest first."""
    q = data.outputs.shape[-1]
    L, h = len(stack.layers), stack.h
    variants: list[tuple[str, tuple[str, ...], Reset | None]] = [("", (), None)]
    if stack.cell == "rnn":
        variants = [(f"{phi}, ", (phi,) * L, None) for phi in ACTIVATIONS]
    elif stack.cell == "gru":
        order: tuple[Reset, ...] = ("after", "before") if stack.biases == 2 else ("before", "after")
        variants = [(f"reset {where} the product, ", (), where) for where in order]
    output = stack.output or {"W_hq": np.eye(h), "b_q": np.zeros(h)}
    for (said, activations, reset), batch_first in itertools.product(variants, (False, True)):
        spec = ModelSpec(stack.cell, stack.d, h, q, L, activations, reset)
        params = {
            f"layer{number}.{name}": array
            for number, layer in enumerate(stack.layers, start=1)
            for name, array in canonical(layer, stack.cell, reset).items()
        }
        params |= {f"output.{name}": np.asarray(a, "float64") for name, a in output.items()}
        says = f"{said}{'batch' if batch_first else 'time'} first"
        yield Reading(says, spec, params, batch_first)


def canonical(layer: Arrays, cell: str, reset: str | None) -> Arrays:
    """Both biases of every gate as the spec's one, but for the reset-after GRU's candidate."""
    found = {}
    for gate in GATES[cell]:
        found |= {name: layer[name] for name in (f"W_x{gate}", f"W_h{gate}")}
        if reset == "after" and gate == "h":
            found |= {"b_xh": layer["b_xh"], "b_hh": layer["b_hh"]}
        else:
            found[f"b_{gate}"] = layer[f"b_x{gate}"] + layer[f"b_h{gate}"]
    return found


def matches(stack: Stack, data: Data, bound: Bound, progress: Progress) -> list[Match]:
    """What reproduces the outputs: readings alone and with one wrong convention, all of them; if
    there is none, the first with two."""
    usable = [r for r in readings(stack, data) if fits(r, data)]
    names = progress.over("diagnose", [reading.says for reading in usable])
    found, alone = [], {}
    for reading, _ in zip(usable, names, strict=True):
        suspects = [s for s in applicable(reading.spec) if shows(s, stack)]
        alone[reading.says] = suspects
        for group in [(), *((suspect,) for suspect in suspects)]:
            found += try_one(reading, group, data, bound)
    if found:
        return sorted(found, key=lambda match: len(match.suspects))
    for reading in usable:
        for pair in itertools.permutations(alone[reading.says], 2):
            if found := try_one(reading, pair, data, bound):
                return found
    return []


def shows(suspect: Mutant, stack: Stack) -> bool:
    """Whether a wrong convention could show in outputs, and is not among the readings."""
    changed = suspect.conventions.changed()
    read = {"reset", "activate"} if stack.cell == "rnn" else {"reset"}
    hidden = {"reported", "product", "initialised"} | (set() if stack.output else {"read_output"})
    return suspect.forward and not changed <= read | hidden


def fits(reading: Reading, data: Data) -> bool:
    """Whether the initial states have as many examples as the data, read so."""
    n = data.X.shape[0 if reading.batch_first else 1]
    return all(array.shape[1] == n for array in data.state.values())


def try_one(reading: Reading, group: Suspects, data: Data, bound: Bound) -> list[Match]:
    """The match, if this reproduces the outputs."""
    if (conventions := combined(group)) is None:
        return []
    data = data.turned() if reading.batch_first else data
    # What changes the order of the steps or examples cannot be seen from the first ones.
    if not conventions.inputs and error_of(conventions, reading, data.few(), bound) is None:
        return []
    error = error_of(conventions, reading, data, bound)
    return [] if error is None else [Match(reading, group, error)]


def error_of(conventions: Conventions, reading: Reading, data: Data, bound: Bound) -> float | None:
    n = data.X.shape[1]
    state = {
        part: data.state.get(part, np.zeros((reading.spec.L, n, reading.spec.h)))
        for part in reading.spec.states
    }
    with np.errstate(all="ignore"):
        made = forward(conventions, reading.spec, reading.params, data.X, state)
    return agreement(data.outputs, made["forward/O"], bound, 1.0)


def load_data(path: Path, stack: Stack) -> Data:
    """The input X and the outputs, and H0 and C0 if they are there."""
    arrays, _ = read_arrays(path, follow=True)
    for name in ("X", "outputs"):
        if name not in arrays:
            held = ", ".join(sorted(arrays)) or "nothing"
            raise BadInput(path, name, "a tensor of that name", held)
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BadInput(path, name, "finite floating-point values", array.dtype)
    X, outputs = arrays["X"], arrays["outputs"]
    q = stack.output["W_hq"].shape[1] if stack.output else stack.h
    if X.ndim != 3 or X.shape[2] != stack.d:
        raise BadInput(path, "X", f"shape (T, n, {stack.d}) or (n, T, {stack.d})", X.shape)
    if outputs.shape != (*X.shape[:2], q):
        raise BadInput(path, "outputs", f"shape {(*X.shape[:2], q)}, as X has", outputs.shape)
    state = {}
    for part in ("H", "C") if stack.cell == "lstm" else ("H",):
        if (array := arrays.get(f"{part}0")) is not None:
            L = len(stack.layers)
            if array.ndim != 3 or array.shape[::2] != (L, stack.h):
                raise BadInput(path, f"{part}0", f"shape ({L}, n, {stack.h})", array.shape)
            state[part] = array.astype("float64")
    if any(array.shape[1] not in X.shape[:2] for array in state.values()):
        raise BadInput(path, "H0, C0", f"n of X, {X.shape[0]} or {X.shape[1]}", "another")
    return Data(X.astype("float64"), outputs, state)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="FILE", help="safetensors, in the layout")
    add("--layout", choices=LAYOUTS, required=True)
    add("--io", type=Path, required=True, metavar="FILE", help="X, outputs, perhaps H0 and C0")
    add("--dtype", choices=("float32", "float64"), help="the outputs' precision; default: theirs")
    add("--json", type=Path, metavar="FILE", help="write what was found")


def run_diagnose(options: argparse.Namespace) -> int:
    stack = read_stack(
        read_arrays(options.weights, follow=True)[0], options.layout, options.weights
    )
    data = load_data(options.io, stack)
    dtype = options.dtype or ("float64" if data.outputs.dtype == "float64" else "float32")
    bound = Bound(load_bounds()["cpu"][dtype]["outputs"].error)
    found = matches(stack, data, bound, Progress(options.quiet))
    console, layout = results_console(), options.layout
    for line in told(found, layout, stack, bound):
        console.print(escape(line), soft_wrap=True)
    if options.json:
        rows = [
            {"says": m.says(layout), "error": m.error, "wrong": [s.name for s in m.suspects]}
            for m in found
        ]
        write_json(options.json, {"layout": layout, "cell": stack.cell, "matches": rows})
    return EXIT_PASS if found and not found[0].suspects else EXIT_FAIL


def told(found: list[Match], layout: str, stack: Stack, bound: Bound) -> list[str]:
    """What came of it, in sentences."""
    about = f"{stack.cell} of {len(stack.layers)} layers, d = {stack.d}, h = {stack.h}"
    if not found:
        return [f"{about}: no known convention reproduces the outputs within {bound.error:g}"]
    first, *others = found
    kind = "as its framework reads it" if not first.suspects else "with a wrong convention"
    lines = [
        f"{about}: the {layout} layout {kind} reproduces the outputs to {first.error:.0e}",
        f"    {first.says(layout)}",
    ]
    if others:
        lines.append("The data cannot tell this from:")
        lines += [f"    {match.says(layout)}" for match in others[:SHOWN]]
        more = len(others) - SHOWN
        lines += [f"    … and {more} more"] if more > 0 else []
    return lines


COMMANDS = (
    Command(
        "diagnose",
        "which conventions does a model of yours follow?",
        add_arguments,
        run_diagnose,
        ("diagnose --weights mine.safetensors --layout keras --io io.safetensors",),
    ),
)
