"""What "the same" means: rounding, chaos, the lattice, and an ensemble.

A network whose hidden units are in another order is the same function, but its sums are added up in
another order, so it rounds differently: it stands for another framework here.
"""

import dataclasses
import math
import sys

import numpy as np

from common.corpus import Corpus, load_corpus
from common.lattice import digest
from common.parameters import Arrays
from common.recipe import RECIPES, initial_parameters
from common.spec import ModelSpec
from common.storage.files import read_json
from conformance.calibrate.curve_mutants import MISTAKES, Mutant
from conformance.judge.curves import ENSEMBLES, MEASURED
from docs.experiments import run
from docs.experiments.tools import Found, Run, begin, reference_only, stack, train

QUICK = RECIPES["quick"].recipes["lstm"]
NUMERICS = {"float32": "float32", "float64": "float64", "lattice": "float64"}
MADE = ("learning rate 5 % too high", "two trainable biases")


def rounding(backend: str) -> None:
    """Addition in another order, and one unit in the last place."""
    print((0.1 + 0.2) + 0.3, 0.1 + (0.2 + 0.3))
    print(f"{np.spacing(np.float32(1)):.1e} {np.spacing(np.float64(1)):.1e} {2.0**-20:.1e}")


@reference_only
def measure(short: bool) -> Found:
    steps, members = (20, 3) if short else (1_000, 8)
    corpus = load_corpus()
    spec = stack("lstm", corpus, 2, 32)
    parting, values = [], {}
    for numerics in NUMERICS:
        both = [reordered_run(spec, numerics, steps, corpus, order) for order in (False, True)]
        apart = np.abs(np.subtract(both[0].losses, both[1].losses))
        first, second = both[0].model.parameters(), restored(spec, both[1].model.parameters())
        values[f"{numerics}_losses"] = float(apart.max())
        values[f"{numerics}_weights"] = max(
            float(np.abs(first[name] - second[name]).max()) for name in first
        )
        if numerics == "lattice":
            values["digests"] = "equal" if digest(first) == digest(second) else "different"
        for k in sorted({int(step) for step in np.geomspace(1, steps, 60)}):
            nearby = float(apart[max(0, k - 6) : k + 6].max())
            # A logarithmic axis has no place for 0.
            parting.append({"numerics": numerics, "step": k, "apart": nearby or None})
    values |= {"steps": steps, "members": members}
    tables = {"parting": parting, "ensemble": ensemble(spec, corpus, members, min(steps, 285))}
    return {"values": values, "tables": tables | {"power": power()}}


def reordered_run(spec: ModelSpec, numerics: str, steps: int, corpus: Corpus, reorder: bool) -> Run:
    """A run of the quick recipe, with the hidden units as they are or in another order."""
    recipe = dataclasses.replace(QUICK, lattice=numerics == "lattice")
    params = initial_parameters(spec, recipe)
    params = reordered(spec, params) if reorder else params
    return train(begin(spec, recipe, "numpy", NUMERICS[numerics], params), corpus, steps)


def orders(spec: ModelSpec) -> list[np.ndarray]:
    """A new order for the units of every layer."""
    return [np.random.RandomState(layer).permutation(spec.h) for layer in range(spec.L)]


def reordered(spec: ModelSpec, params: Arrays, new: list[np.ndarray] | None = None) -> Arrays:
    """The same function with its hidden units in another order."""
    new = orders(spec) if new is None else new
    found = {"output.W_hq": params["output.W_hq"][new[-1]], "output.b_q": params["output.b_q"]}
    for name, array in params.items():
        if name.startswith("layer"):
            layer, short = int(name[5 : name.index(".")]) - 1, name.partition(".")[2]
            if short.startswith("W_h"):
                array = array[new[layer]]
            elif short.startswith("W_x") and layer > 0:
                array = array[new[layer - 1]]
            found[name] = array[..., new[layer]]
    return {name: np.ascontiguousarray(found[name]) for name in params}


def restored(spec: ModelSpec, params: Arrays) -> Arrays:
    return reordered(spec, params, [np.argsort(order) for order in orders(spec)])


def ensemble(spec: ModelSpec, corpus: Corpus, members: int, steps: int) -> list[Found]:
    """How far the loss of every run lies from the mean of the members, relative to it."""

    def losses(perturbation: int, mistake: str | None = None) -> np.ndarray:
        recipe = dataclasses.replace(QUICK, perturbation=perturbation)
        made = begin(spec, recipe)
        if mistake:
            params = initial_parameters(spec, recipe)
            made.model = Mutant(Faithful(), MISTAKES[mistake]).model(spec, params)
        return np.array(train(made, corpus, steps).losses)

    inside = [losses(member) for member in range(1, members + 1)]
    centre = np.mean(inside, axis=0)
    runs = [("a member", line) for line in inside]
    runs += [(mistake, losses(0, mistake)) for mistake in MADE]
    found = []
    for number, (kind, line) in enumerate(runs):
        apart = np.abs(line - centre) / centre
        for k in sorted({int(step) for step in np.geomspace(1, steps, 40)}):
            nearby = float(apart[max(0, k - 3) : k + 3].max())
            found.append({"run": number, "kind": kind, "step": k, "apart": nearby or None})
    return found


class Faithful:
    """The implementation that mistakes are made around."""

    def model(self, spec: ModelSpec, params: Arrays):
        return begin(spec, QUICK, params=params).model


def power() -> list[Found]:
    """What the suite's ensembles reject, as it was measured and stored, over all quick recipes."""
    sums: dict[str, list[int]] = {}
    for found in read_json(ENSEMBLES / MEASURED).values():
        for kind in ("honest", "mistakes"):
            for who, counts in found.get(kind, {}).items():
                runs = sums.setdefault("nothing wrong" if kind == "honest" else who, [0, 0])
                runs[0] += counts["runs"]
                runs[1] += counts["rejected"]
    return [{"what": who, "runs": runs[0], "rejected": runs[1]} for who, runs in sums.items()]


def solution_1(backend: str) -> None:
    """How many of a million weights come to another point of the grid, by their rounding."""
    rng = np.random.RandomState(1)
    w = rng.standard_normal(1_000_000)
    for name, error in (("float64", 2.0**-53), ("float32", 2.0**-24)):
        other = w * (1 + error * rng.uniform(-1, 1, len(w)))
        moved = (np.rint(w * 2**20) != np.rint(other * 2**20)).sum()
        print(f"{name}: {moved}")


def solution_2(backend: str) -> None:
    """Differences that grow by a factor a step: from float32's and float64's to a hundredth."""
    for factor in (1.02, 1.1, 1.5):
        steps = [math.log(1e-2 / start) / math.log(factor) for start in (1e-7, 1e-16)]
        print(f"{factor}: {steps[0]:.0f} steps from float32, {steps[1]:.0f} from float64")


def main(words: list[str] | None = None) -> int:
    return run("the-same", (rounding, solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
