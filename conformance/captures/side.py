"""One of two captures: its layers one by one, in canonical names, with time first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from common.capture import Capture, Layer, read_capture
from common.errors import BadInput
from common.parameters import GATES, Arrays
from conformance.closeness.compare import UNIT_ROUNDOFF, noise_floor
from conformance.diagnose.captured import Question, check_judged, chosen, question
from conformance.faults.subject import Subject, subjects
from conformance.models.frameworks import Settings, settings
from conformance.models.network import Direction, Network

DTYPES = ("float32", "float64")
EVALUATIONS = 6
"""Of float32, five of them with every number moved by one unit in the last place, as the oracle's
noise floors are made (oracle/truth.py)."""


@dataclass(frozen=True)
class Level:
    """One layer of the network, which a framework's layer may hold several of.

    number:  of all layers of the capture, from 1        network: of this layer alone
    weights: canonical names and arrays, of float64      slopes: the same of gradients, if all are
    given:   X, if it is the framework's layer's first, and states
    made:    outputs, if it is its last, and states      noise: of these, in float32
    """

    number: int
    layer: Layer
    usual: Settings
    network: Network
    weights: Arrays
    slopes: Arrays = field(default_factory=dict)
    given: Arrays = field(default_factory=dict)
    made: Arrays = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """path, capture: the file        questions: of each framework's layer
    levels: every layer of the network"""

    path: Path
    capture: Capture
    questions: list[Question]
    levels: list[Level]

    @property
    def where(self) -> str:
        return f"{self.capture.framework} {self.capture.version}, {self.capture.device}"


def read_side(path: Path, names: list[str]) -> Side:
    """A capture, or the layers of these names in it; BadInput for one that cannot be compared."""
    capture = read_capture(path)
    found: list[Level] = []
    questions = []
    for layer in chosen(capture, names, path):
        check_judged(layer, path)
        if layer.dtype not in DTYPES:
            expected = f"outputs of {' or '.join(DTYPES)}, for which there are bounds"
            raise BadInput(path, f"{layer.name}/outputs"[:80], expected, layer.dtype)
        read, given = question(capture, layer, path, {})
        usual = settings(read.layout, read.loaded.network, read.stated, path)
        questions.append(Question(read, given, layer=layer))
        found += levels(capture, questions[-1], usual, path, len(found))
    return Side(path, capture, questions, found)


def levels(
    capture: Capture, asked: Question, usual: Settings, path: Path, before: int
) -> list[Level]:
    """The layers in a framework's layer. before: how many came before"""
    network, layer = asked.read.loaded.network, asked.layer
    assert layer is not None
    after = usual.choices.reset == "after"
    slopes = sloped(capture, layer, path)
    subject = next(iter(subjects(asked.given, network, usual, [])), None)
    if subject is None:
        raise BadInput(path, f"{layer.name}/outputs"[:80], "the layer's shape", "another")
    noise = noises(subject)
    D, found, turn = network.directions, [], usual.axis == "batch"
    for k, halves in enumerate(network.layers):
        given, made = {}, {}
        for part in network.parts:
            for name, into in ((f"{part}0", given), (part, made)):
                if name in layer.arrays:
                    into[name] = layer.arrays[name][k * D : (k + 1) * D]
        if k == 0:
            given["X"] = turned(layer.arrays["X"], turn)
            given |= {n: layer.arrays[n] for n in ("lengths",) if n in layer.arrays}
        if k == network.L - 1:
            made["outputs"] = turned(layer.arrays["outputs"], turn)
        row = parameters(halves, network.cell, after)
        own = parameters(slopes[k], network.cell, after, slope=True) if slopes else {}
        inside = layer.calls[0].gradients
        if k == 0 and "X" in inside:
            own["X"] = turned(inside["X"], turn)
        alone = Network(network.cell, (halves,), None, network.biases)
        number = before + k + 1
        rounding = noise[k] if noise else {}
        found.append(Level(number, layer, usual, alone, row, own, given, made, rounding))
    return found


def turned(array: np.ndarray, turn: bool) -> np.ndarray:
    return array.swapaxes(0, 1) if turn and array.ndim == 3 else array


def sloped(capture: Capture, layer: Layer, path: Path) -> tuple | None:
    """The gradients as weights of a network; None if not every weight has one."""
    if not set(layer.weights) <= set(layer.gradients):
        return None
    own = {name: layer.gradients[name] for name in layer.weights}
    read, _ = question(capture, replace(layer, weights=own), path, {})
    return read.loaded.network.layers


def parameters(
    halves: tuple[Direction, ...], cell: str, after: bool, slope: bool = False
) -> Arrays:
    """Of every gate W_x, W_h and the bias; two only where they are two parameters (GRU-3a); and the
    projection W_hp (LSTM-7).

    slope: these are gradients: of two biases that are added up, each has the gradient of the sum"""
    found: Arrays = {}
    for half, side in zip(halves, ("", "backward."), strict=False):
        h = half.W.shape[1] // len(GATES[cell])
        for k, gate in enumerate(GATES[cell]):
            block = slice(k * h, (k + 1) * h)
            found[f"{side}W_x{gate}"] = half.W[:, block]
            found[f"{side}W_h{gate}"] = half.U[:, block]
            b_x, b_h = half.b_x[block], half.b_h[block]
            if cell == "gru" and gate == "h" and after:
                found |= {f"{side}b_xh": b_x, f"{side}b_hh": b_h}
            elif slope:
                found[f"{side}b_{gate}"] = b_x if half.b_x.any() else b_h
            else:
                found[f"{side}b_{gate}"] = b_x + b_h
        if half.project is not None:
            found[f"{side}W_hp"] = half.project
    return found


def noises(subject: Subject) -> list[dict[str, float]]:
    """By layer, what float32 alone does to outputs and final states of the same network."""
    exact = subject.whole(())
    made = [subject.single().whole(())]
    made += [moved(subject, seed).single().whole(()) for seed in range(1, EVALUATIONS)]
    if exact is None or any(one is None for one in made):
        return []
    rounded = [one[0] for one in made if one is not None]
    run, network, _ = exact
    found, D = [], network.directions
    for k, passes in enumerate(run.passes):
        noise = max(
            noise_floor(p.H, [one.passes[k][side].H for one in rounded])
            for side, p in enumerate(passes)
        )
        each = {"outputs": noise}
        for part, states in run.last.items():
            own = [[one.last[part][k * D + side] for side in range(D)] for one in rounded]
            right = np.stack(states[k * D : (k + 1) * D])
            each[part] = noise_floor(right, [np.stack(one) for one in own])
        found.append(each)
    return found


def moved(subject: Subject, seed: int) -> Subject:
    """The same with every number moved by one unit in the last place of float32, or not."""
    rng = np.random.RandomState(seed)

    def move(a: np.ndarray) -> np.ndarray:
        return a * (1 + 2 * UNIT_ROUNDOFF * rng.randint(-1, 2, a.shape))

    def half(one: Direction, _: int) -> Direction:
        project = None if one.project is None else move(one.project)
        return replace(
            one, W=move(one.W), U=move(one.U), b_x=move(one.b_x), b_h=move(one.b_h), project=project
        )

    given = replace(subject.given, X=move(subject.given.X))
    return replace(subject, network=subject.network.each(half), given=given, memory={})
