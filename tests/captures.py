"""Captures of networks that no framework ran: the evaluator did, in NumPy."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from common.capture import Call, Capture, Layer, write_capture
from common.parameters import initialise
from common.spec import ModelSpec
from conformance.convert.values import network_of
from conformance.models.evaluator import run
from conformance.models.frameworks import settings
from conformance.models.layouts import LAYOUTS
from conformance.models.network import Network
from conformance.models.reading import place_of
from conformance.models.writing import write_network
from tests.conformance.files.samples import D, network

T, N = 5, 3


def inputs(seed: int = 2, d: int = D) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal((T, N, d))


def layer_of(
    net: Network, layout: str = "pytorch", dtype: str = "float64", X: np.ndarray | None = None,
    name: str = "body", change=None, **options: str,
) -> Layer:  # fmt: skip
    """All layers of a network as one captured layer. X: time first
    change: of the settings that it is really computed with"""
    X = inputs(d=net.d) if X is None else X
    usual = settings(layout, net, options, "here")
    used = usual if change is None else change(usual)
    wide = net.astype(dtype)
    made = run(wide, used.choices, X.astype(dtype))
    turn = usual.axis == "batch"

    def shown(array: np.ndarray) -> np.ndarray:
        return array.swapaxes(0, 1) if turn else array

    arrays = {"X": shown(X.astype(dtype)), "outputs": shown(made.outputs).astype(dtype)}
    for part, states in made.last.items():
        arrays |= {part: np.stack(states), f"{part}0": np.zeros_like(np.stack(states))}
    named = {n: a.astype(dtype) for n, a in write_network(net, layout).items()}
    places: dict = {}
    for tensor in named:
        place, kind, _ = place_of(tensor, LAYOUTS[layout])
        places.setdefault((place.numbers, place.backward), {})[kind] = tensor
    levels = sorted({numbers for numbers, _ in places})
    tensors = [[places[n, side] for side in (False, True) if (n, side) in places] for n in levels]
    return Layer(name, "LSTM", layout, net.cell, dict(options), tensors, named, time=int(turn),
                 dtype=dtype, calls=[Call(arrays)])  # fmt: skip


def plain(cell: str = "lstm", **more) -> Network:
    """Without an output layer, which is no layer's."""
    net = network(cell, **more)
    return Network(net.cell, net.layers, None, net.biases)


def of_spec(spec: ModelSpec) -> Network:
    """The layers of a spec, with random weights and one bias for each gate."""
    return replace(network_of(spec, initialise(spec, "uniform", 3), False, "float64"), output=None)


def captured(path: Path, *layers: Layer, loss: float | None = None) -> Path:
    write_capture(path, Capture("numpy", np.__version__, "cpu", list(layers), {}, loss))
    return path
