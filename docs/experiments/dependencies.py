"""The functional dependencies: every shape, of a real pass and of its gradients."""

import math
import random
import sys

import numpy as np

from backends import registry
from common.corpus import load_corpus, minibatches
from common.parameters import initialise, parameter_shapes, zero_state
from common.spec import ModelSpec
from docs.experiments import run
from docs.experiments.tools import Found, reference_only

N, T, H, L = 32, 35, 256, 2


def shapes(backend: str) -> None:
    """A minibatch of D2L's sizes through a stack of two GRU layers, and back."""
    corpus = load_corpus()
    spec = ModelSpec("gru", d=corpus.q, h=64, q=corpus.q, L=L, reset="before")
    model = registry.load(backend).implementation("equations", "cpu", "float32")
    model = model.model(spec, initialise(spec, "pytorch", 1))
    X, Y = next(minibatches(corpus, N, T, "sequential", random.Random(1)))
    made = model.loss_and_gradients(X, Y, zero_state(spec, N, "float32"))
    print(f"X {X.shape}, each a number below {corpus.q}   Y {Y.shape}")
    print(f"loss {made.loss:.4f}")
    for name in ("layer1.W_xz", "layer1.W_hz", "layer1.b_z", "layer2.W_xz", "output.W_hq", "H0"):
        print(f"d{name:12} {made.gradients[name].shape}")


def dynamics(backend: str) -> None:
    """The past changes the future and never the reverse; a lower layer changes a higher one."""
    spec = ModelSpec("rnn", d=3, h=4, q=3, L=3, activations=("tanh",) * 3)
    model = registry.load(backend).implementation("equations", "cpu", "float64")
    model = model.model(spec, initialise(spec, "uniform", 1))
    X = np.random.RandomState(1).standard_normal((6, 1, 3))
    changed = X.copy()
    changed[2] += 1
    before = model.forward(X, zero_state(spec, 1, "float64")).trace["H"]
    after = model.forward(changed, zero_state(spec, 1, "float64")).trace["H"]
    print("        " + "  ".join(f"t={t + 1}" for t in range(6)))
    for layer in reversed(range(3)):
        moved = (before[:, layer] != after[:, layer]).any(axis=(1, 2))
        print(f"layer {layer + 1} " + "  ".join(" × " if one else " · " for one in moved))


@reference_only
def measure(short: bool) -> Found:
    """How many numbers D2L's three stacks hold, tensor by tensor."""
    found = []
    for cell, reset in (("rnn", None), ("gru", "before"), ("lstm", None)):
        activations = ("tanh",) * L if cell == "rnn" else ()
        spec = ModelSpec(cell, 28, H, 28, L, activations, reset)
        sizes = {"layer1": 0, "layer2": 0, "output": 0}
        for name, shape in parameter_shapes(spec).items():
            sizes[name.partition(".")[0]] += math.prod(shape)
        found.append({"cell": cell, **sizes, "all": sum(sizes.values())})
    return {"tables": {"sizes": found}, "values": {row["cell"]: row["all"] for row in found}}


def solution_1(backend: str) -> None:
    """What a layer adds to D2L's LSTM: the second, the third and every further one the same."""
    for layers in (1, 2, 3, 4):
        spec = ModelSpec("lstm", 28, H, 28, layers)
        print(f"L = {layers}: {sum(map(math.prod, parameter_shapes(spec).values()))} numbers")


def solution_2(backend: str) -> None:
    """Ways from X_1 to O_T: as many as there are choices of the steps at which to go up."""
    for steps, layers in ((6, 1), (6, 3), (35, 2)):
        ways = [1] * layers  # to each layer at the first step: straight up
        for _ in range(steps - 1):
            for layer in range(1, layers):
                ways[layer] += ways[layer - 1]
        assert ways[-1] == math.comb(steps - 1 + layers - 1, layers - 1)
        print(f"T = {steps}, L = {layers}: {ways[-1]} ways, {steps - 1 + layers - 1} arrows each")


def main(words: list[str] | None = None) -> int:
    return run("dependencies", (shapes, dynamics, solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
