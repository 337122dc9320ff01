"""What tanh costs: how far every framework's scalar functions are off, over all numbers there are,
and what a bias of less than one unit in the last place does to training."""

import dataclasses
import math
import sys

import numpy as np

from backends.registry import load
from common.corpus import Corpus, load_corpus
from common.recipe import RECIPES
from common.spec import ModelSpec
from conformance.cases.table import Case, Material, material
from conformance.limits.atlas import FINE, survey
from conformance.oracle.conventions import TRUTH, Conventions
from conformance.oracle.equations import Value, sigmoid
from conformance.oracle.evaluation import evaluate
from docs.experiments import run
from docs.experiments.tools import Found, rounded

DEVICE = "cpu"
TOO_SMALL = 0.86
"""Units in the last place: about XLA's bias."""
SEEDS = (1, 2, 3, 4, 5, 6)


def measure(backend: str, short: bool) -> Found:
    atlas, curves = [], []
    for dtype in FINE:
        functions = load(backend).scalars(DEVICE, dtype)
        for name, function in functions.items():
            found, curve = survey(name, function, dtype, 12 if short else FINE[dtype])
            atlas.append({"backend": backend, "device": DEVICE, **found.to_json()})
            if name == "tanh" and dtype == "float32":
                curves += [seen(backend, row) for row in curve if row["x"] > 0]
    tables = {"atlas": atlas, "curves": curves}
    values = {
        f"{row['function']}_{row['dtype']}_{field}": row[field]
        for row in atlas
        for field in ("largest", "bias")
    }
    if backend == "numpy":
        tables["drift"], drifted = drift(*(4, 2, (1, 2)) if short else (100, 24, SEEDS))
        values |= drifted
    return rounded({"values": values, "tables": tables})


def seen(backend: str, row: Found) -> Found:
    """A point of a curve."""
    largest = max(row["least"], row["most"], key=abs)
    return {"backend": backend, "x": row["x"], "mean": row["mean"], "largest": largest}


def tanh_too_small(by: float) -> Conventions:
    """The equations with a tanh that is rounded from float64, and in float32 is too small by so
    many units in the last place first."""

    def tanh(a: Value) -> Value:
        exact = np.tanh(a.data.astype("float64"))
        if a.data.dtype == np.float32:
            exact -= by * np.sign(exact) * np.spacing(np.abs(exact).astype("float32"))
        y = exact.astype(a.data.dtype)
        return Value(y, ((a, lambda g: g * (1 - y * y)),))

    def activate(spec: ModelSpec, layer: int, gate: str, a: Value) -> Value:
        return tanh(a) if gate == "c" else sigmoid(a)

    return dataclasses.replace(TRUTH, activate=activate, cell_output=tanh)


def drift(T: int, K: int, seeds: tuple[int, ...]) -> tuple[list[Found], Found]:
    """What a tanh that is too small changes in float32, against float64: step by step in the states
    of LSTMs that read the text, on average over all units, and in their weights after K steps of
    training. Means over networks from different seeds, and their standard deviations."""
    corpus = load_corpus()
    table, values = [], {"drift_T": T, "drift_K": K, "drift_units": TOO_SMALL}
    for kind, by in (("rounded", 0.0), ("too small", TOO_SMALL)):
        found = [drifted(tanh_too_small(by), corpus, T, K, seed) for seed in seeds]
        shift = np.mean([one["shift"] for one in found], axis=0)
        table += [{"tanh": kind, "step": t, "shift": s} for t, s in enumerate(shift, start=1)]
        for part in ("shift", "error", "weights"):
            numbers = [float(np.mean(one[part])) for one in found]
            name = f"drift_{kind.replace(' ', '_')}_{part}"
            values |= {name: float(np.mean(numbers)), f"{name}_sd": float(np.std(numbers, ddof=1))}
    return table, values | {"drift_seeds": len(seeds)}


def drifted(conventions: Conventions, corpus: Corpus, T: int, K: int, seed: int) -> Found:
    """Of one network."""
    reading = case_of(corpus, T, 1, seed)
    exact, found = (evaluate(conventions, *reading, dtype, K=0)["trace/H"] for dtype in KINDS)
    shift = (np.abs(found) - np.abs(exact)).mean(axis=(1, 2, 3)) / np.abs(exact).mean()
    error = distance(found, exact) / float(np.linalg.norm(exact))
    training = case_of(corpus, 16, K, seed)
    exact, found = (evaluate(conventions, *training, dtype) for dtype in KINDS)
    last = [tensor for tensor in exact if tensor.startswith("step-K/layer")]
    moved = [exact[t] - exact[f"weights/{t.removeprefix('step-K/')}"] for t in last]
    apart = sum(distance(found[t], exact[t]) ** 2 for t in last)
    total = sum(float((array**2).sum()) for array in moved)
    return {"shift": shift, "error": error, "weights": (apart / total) ** 0.5}


KINDS = "float64", "float32"


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other))


def case_of(corpus: Corpus, T: int, K: int, seed: int) -> tuple[Case, Material]:
    """An LSTM of two layers that reads the text, in minibatches of 8 × T."""
    spec, recipe = ModelSpec("lstm", corpus.q, 16, corpus.q, 2), RECIPES["quick"].recipes["lstm"]
    case = Case(f"drift-{seed}", spec, n=8, T=T, K=K, zero_state=True, text=True, recipe=recipe)
    return case, material(case, corpus)


def solution_1(backend: str) -> None:
    """tanh by its formula in float32, near zero: the digits that 1 takes are lost."""
    for x in np.float32([1.0, 1e-2, 1e-4, 1e-6]):
        formula = np.float32(1) - np.float32(2) / (np.exp(np.float32(2) * x) + np.float32(1))
        error = abs(float(formula) / math.tanh(float(x)) - 1)
        print(f"x = {x:.0e}: relative error {error:.0e}")


def solution_2(backend: str) -> None:
    """σ from tanh in float32: a gate that should be nearly closed."""
    for a in np.float32([-5, -10, -17]):
        by_tanh = (np.float32(1) + np.tanh(a / np.float32(2))) / np.float32(2)
        print(f"a = {a:.0f}: {by_tanh:.3g} by tanh, {1 / (1 + math.exp(-float(a))):.3g} in truth")


def main(words: list[str] | None = None) -> int:
    return run("what-tanh-costs", (solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
