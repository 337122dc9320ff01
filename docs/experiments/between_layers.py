"""Between the layers: the exercises, on small stacks."""

import sys

import numpy as np

from backends import registry
from common.dropout import Dropout, mask_shape
from common.parameters import initialise, layer_shapes, zero_state
from common.spec import ModelSpec
from docs.experiments import run

T, n = 6, 3


def solution_1(backend: str) -> None:
    """The numbers of a layer, without and with a projection."""
    for p in (None, 64):
        shapes = layer_shapes(ModelSpec("lstm", d=64, h=256, q=2, L=1, p=p), 1)
        total = sum(int(np.prod(shape)) for shape in shapes.values())
        recurrent = 4 * int(np.prod(shapes["W_hi"]))
        print(f"p = {p}: {total} numbers, {recurrent} of them in recurrent matrices")


def solution_2(backend: str) -> None:
    """All that the lower layer hands up is dropped: what moves when X does?"""
    spec = ModelSpec("lstm", d=6, h=8, q=5, L=2)
    made = registry.load(backend).implementation("equations", "cpu", "float64")
    model = made.model(spec, initialise(spec, "uniform", 1))
    X = np.random.RandomState(1).standard_normal((T, n, 6))
    start, nothing = zero_state(spec, n, "float64"), np.zeros(mask_shape(spec, n, T))
    for said, dropout in (("all dropped", Dropout(0.5, nothing)), ("no dropout", None)):
        (O, last), (O_2, last_2) = (model.outputs(x, start, None, dropout) for x in (X, -X))
        moved = [(O != O_2).any(), *(last["H"] != last_2["H"]).any(axis=(1, 2))]
        for what, changes in zip(("O", "H of layer 1", "H of layer 2"), moved, strict=True):
            print(f"{said}: {what} {'moves' if changes else 'stays'}")


def main(words: list[str] | None = None) -> int:
    return run("between-layers", (solution_1, solution_2), None, words)


if __name__ == "__main__":
    sys.exit(main())
