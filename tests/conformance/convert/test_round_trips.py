"""The same bits from a framework's tensors to the suite's and back: in every layout, of every cell,
in one direction and two, of every size and type that both sides have.
"""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from common.spec import ModelSpec
from conformance.closeness.compare import identical
from conformance.convert.values import network_of
from conformance.files.canonical import NEEDED, canonical
from conformance.files.contents import Contents
from conformance.files.loading import understood
from conformance.models.frameworks import options
from conformance.models.layouts import LAYOUTS
from conformance.models.network import Direction, Network
from conformance.models.unpacking import CELLS
from conformance.models.writing import write_network

HERE = Path("native")
SIZES = ((1,), (3,), (4, 4), (3, 5, 2))
OURS = {"activation": "tanh", "recurrent_activation": "sigmoid", "inner_activation": "sigmoid",
        "forget_bias": "0.0"}  # fmt: skip
"""What the equations have, where it is not what a framework does by itself."""

ONE_WAY = ("keras1", "dl4j", "ncnn", "coreml", "paddle", "cudnn", "keras2")
"""Whose second direction has no place in the names that are written here, or those of another."""

PROJECTED = ("pytorch", "mxnet", "paddle")
BEFORE = ("keras", "keras2", "keras1", "onnx", "tf1")
"""Where a GRU may reset before the product."""

AFTER = ("pytorch", "mxnet", "paddle", "keras", "keras2", "onnx", "flax", "cudnn", "ncnn")
SECOND = tuple(name for name in AFTER if name != "flax")
"""Where the candidate of a GRU that resets after it has both its biases."""


def cells(layout: str):
    """Cell, reset and projection of everything that a layout holds."""
    for cell in LAYOUTS[layout].order:
        if cell == "gru":
            yield from ((cell, "before", None) for _ in range(layout in BEFORE))
            yield from ((cell, "after", None) for _ in range(layout in AFTER))
        elif cell == "rnn" or layout not in PROJECTED:
            yield cell, None, None
        else:
            yield from ((cell, None, p) for p in (None, 1))


def specs(layout: str):
    for (cell, reset, p), sizes, directions in product(cells(layout), SIZES, (1, 2)):
        if (directions == 2 and layout in ONE_WAY) or (p is not None and min(sizes) <= p):
            continue
        L, h = len(sizes), max(sizes)
        activations = ("tanh",) * L if cell == "rnn" else ()
        more = {"directions": directions, "sizes": sizes, "p": p}
        yield ModelSpec(cell, 3, h, 2, L, activations, reset, **more)


def native(spec: ModelSpec, layout: str, dtype: str) -> Network:
    """Random, in the numbers that the type has; the second bias is 0 but for a candidate's."""
    rng, G = np.random.RandomState(4), {cell: G for G, cell in CELLS.items()}[spec.cell]

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(dtype).astype("float64")

    def half(layer: int) -> Direction:
        h, p = spec.units(layer), spec.size_of("H", layer)
        b_h = np.zeros(G * h)
        if spec.reset == "after" and layout in SECOND:
            b_h[2 * h :] = draw(h)
        project = None if spec.p is None else draw(h, p)
        return Direction(
            draw(spec.inputs_of(layer), G * h), draw(p, G * h), draw(G * h), b_h, project=project
        )

    layers = [tuple(half(layer) for _ in spec.ways) for layer in range(1, spec.L + 1)]
    return Network(spec.cell, tuple(layers), None, 2 if spec.reset == "after" else 1)


def stated(spec: ModelSpec, layout: str) -> dict[str, str]:
    """What names and shapes do not say."""
    usual = {o.name: next(iter(o.values)) for o in options(layout, spec.cell)}
    found = {name: OURS.get(name, usual[name]) for name in usual if name in NEEDED}
    if spec.directions == 2:
        found = {n: value for n, value in found.items() if n not in ("go_backwards", "reverse")}
    if "linear_before_reset" in found:
        found["linear_before_reset"] = str(int(spec.reset == "after"))
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_native_tensors_come_back_bit_for_bit(layout):
    seen = 0
    for spec, dtype in product(specs(layout), ("float32", "float64")):
        made = native(spec, layout, dtype)
        arrays = {n: a.astype(dtype) for n, a in write_network(made, layout).items()}
        contents = Contents("native", dict(arrays))
        read = understood(contents, HERE, layout, stated(spec, layout))
        found, params = canonical(read, HERE)
        assert found == replace(spec, q=spec.width), (layout, spec)
        network = network_of(found, params, False, dtype)
        back = write_network(network, layout)
        assert list(back) == list(arrays)
        for name, array in arrays.items():
            assert identical(back[name].astype(dtype), array), (layout, spec, dtype, name)
        seen += 1
    assert seen >= 2 * len(SIZES), "nothing was moved"
