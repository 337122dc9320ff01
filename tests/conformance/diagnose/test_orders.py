"""Orders of gates in every layout: each is named, and the line that is given mends it."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest

from common.weights import write_arrays
from conformance.__main__ import main
from conformance.diagnose.words import mending
from conformance.models.evaluator import run
from conformance.models.frameworks import settings
from conformance.models.layouts import LAYOUTS, LETTERS
from conformance.models.network import Direction, Network
from conformance.models.reading import read_network
from conformance.models.writing import write_network

pytestmark = pytest.mark.once

T, N, D, H = 3, 2, 3, 4

ORDERS = [
    (layout, cell, "".join(code))
    for layout in LAYOUTS
    for cell in ("gru", "lstm")
    if cell in LAYOUTS[layout].order
    for code in itertools.permutations(LAYOUTS[layout].order[cell])
    if "".join(code) != LAYOUTS[layout].order[cell]
]

PLACES = {layout: place for place, layout in enumerate(LAYOUTS)}
TRIED = [
    order
    for number, order in enumerate(ORDERS)
    if order[1] == "gru" or (number + PLACES[order[0]]) % 3 == 0
]
"""A GRU's 5 in every layout, and a third of an LSTM's 23 in each: every order in several."""


def network(cell: str) -> Network:
    """Random numbers: two biases of each gate, whose sum is stored where a layout has one."""
    rng = np.random.RandomState(7)
    G = len(LAYOUTS["pytorch"].order[cell])
    shapes = ((D, G * H), (H, G * H), (G * H,), (G * H,))
    half = Direction(*(rng.uniform(-0.7, 0.7, shape) for shape in shapes))
    return Network(cell, ((half,),), None, 2)


def port(tensors: dict, layout: str, code: str, X: np.ndarray) -> np.ndarray:
    """What code makes of a file whose block k it takes for gate code[k]."""
    read = read_network(tensors, layout, "file").network
    gates, stacked = read.gates, LAYOUTS[layout].order[read.cell]
    layers = []
    for (half,) in read.layers:
        parts = []
        for M in (half.W, half.U, half.b_x, half.b_h):
            if M is half.b_h and layout == "ncnn":
                parts.append(M)  # the fourth block is told by its place
                continue
            blocks = dict(zip(gates, np.split(M, len(gates), axis=-1), strict=True))
            file = [blocks[gate] for gate in stacked]
            named = dict(zip(code, file, strict=True))
            parts.append(np.concatenate([named[gate] for gate in gates], axis=-1))
        layers.append((Direction(*parts),))
    wrong = Network(read.cell, tuple(layers), None, read.biases)
    usual = settings(layout, read, {}, "file")
    turned = usual.axis == "batch"
    made = run(wrong, usual.choices, X.swapaxes(0, 1) if turned else X).outputs
    return made.swapaxes(0, 1) if turned else made


def ask(folder, tensors, layout, X, outputs) -> tuple[int, dict]:
    write_arrays(folder / "w.safetensors", tensors, {})
    write_arrays(folder / "io.safetensors", {"X": X, "outputs": outputs}, {})
    code = main([
        "diagnose", "--quiet", "--weights", str(folder / "w.safetensors"), "--layout", layout,
        "--io", str(folder / "io.safetensors"), "--json", str(folder / "out.json"),
    ])  # fmt: skip
    return code, json.loads((folder / "out.json").read_text(encoding="utf-8"))


def mended(tensors: dict, layout: str, cell: str, lines: list[str], code: str) -> dict:
    """The lines, run on every tensor that they are for."""
    found = {}
    kinds_of = {}
    for kinds, line in mending(layout, network(cell), code, single=layout == "keras1"):
        assert line in lines, "what is printed is what is tested"
        for kind in kinds:
            kinds_of[kind] = line
    for name, array in tensors.items():
        kind = next(k for k, n in LAYOUTS[layout].names.items() if like(n, name))
        space = {"np": np, "h": H, "W": array, "B": array}
        if kind.endswith(":g"):
            letters = LAYOUTS[layout].letters[cell]
            stem = name[: -len(name.rsplit("_", 1)[1])]
            space |= {g: tensors[f"{stem}{g}"] for g in letters.values()}
            exec(kinds_of[kind[:-2]], space)
            found[name] = space[name.rsplit("_", 1)[1]]
            continue
        if layout == "tf1" and cell == "gru":
            other = "candidate/"
            if other in name:
                continue
            pair = name.replace("/kernel", f"/{other}kernel").replace("/bias", f"/{other}bias")
            space |= {"gates": array, "candidate": tensors[pair]}
            exec(lines[0], space)
            found |= {name: space["gates"], pair: space["candidate"]}
            continue
        line = kinds_of[kind]
        exec(line, space)
        found[name] = space[line.split(" = ")[0]]
    return found


def like(template: str, name: str) -> bool:
    start, end = template.split("{l}")[0].replace("{r}", "l"), template.split("}")[-1]
    if template.endswith("{g}"):
        return name.rsplit(".", 1)[1].startswith(template.rsplit(".", 1)[1].replace("{g}", ""))
    return name.startswith(start) and name.endswith(end) if end else name.startswith(start)


@pytest.mark.parametrize(("layout", "cell", "code"), TRIED)
def test_the_line_that_mends_an_order_mends_it(layout, cell, code, tmp_path):
    X = np.random.RandomState(3).standard_normal((T, N, D))
    tensors = write_network(network(cell), layout)
    status, found = ask(tmp_path, tensors, layout, X, port(tensors, layout, code, X))
    first = found["matches"][0]
    said = [LETTERS[cell][gate] for gate in LAYOUTS[layout].order[cell]]
    taken = [LETTERS[cell][gate] for gate in code]
    assert status == 1
    assert f"which are {', '.join(said)} in the file, for {', '.join(taken)}" in first["says"]
    changed = mended(tensors, layout, cell, first["mend"], code)
    again = port(changed, layout, code, X)
    status, found = ask(tmp_path, tensors, layout, X, again)
    assert status == 0 and found["verdict"] == "all right"


def test_there_are_23_and_5_orders_in_every_layout_that_has_the_cell():
    for layout, table in LAYOUTS.items():
        for cell, count in (("gru", 5), ("lstm", 23)):
            orders = [o for o in ORDERS if o[:2] == (layout, cell)]
            assert len(orders) == (count if cell in table.order else 0)


def test_every_order_is_tried_in_several_layouts_and_several_in_every_layout():
    codes = {order for order in itertools.permutations(range(4)) if order != (0, 1, 2, 3)}
    tried = [
        (layout, tuple(LAYOUTS[layout].order["lstm"].index(gate) for gate in code))
        for layout, cell, code in TRIED
        if cell == "lstm"
    ]
    assert {code for _, code in tried} == codes
    assert min(Counter(code for _, code in tried).values()) >= 3
    assert min(Counter(layout for layout, _ in tried).values()) >= 7
    assert {layout for layout, _ in tried} == {o[0] for o in ORDERS if o[1] == "lstm"}
