"""Where frameworks disagree: what each difference does to a trained network, and the case that
shows it."""

import dataclasses
import itertools
import sys

import numpy as np

from backends.registry import load
from common.corpus import Corpus, load_corpus, one_hot
from common.parameters import GATES, Arrays, initialise, zero_state
from common.recipe import RECIPES, Recipe, initial_parameters
from common.spec import ModelSpec
from conformance.calibrate.certify import examine
from conformance.calibrate.curve_mutants import MISTAKES, Mutant, other_reset
from conformance.cases.given import gather
from conformance.mutants import CATALOGUE
from conformance.oracle import evaluation
from conformance.oracle.conventions import TRUTH, Conventions
from conformance.oracle.evaluation import forward
from conformance.oracle.truth import right_answer
from conformance.studies.evaluate import perplexity_of
from docs.experiments import run
from docs.experiments.tools import Found, Run, begin, reference_only, stack, train

QUICK = RECIPES["quick"].recipes
Seeds = tuple[int, ...]
SEEDS: Seeds = (1, 2, 3)
"""Of the first weights and of the minibatches: one run would tell luck."""
STEPS_AN_EPOCH = 19
"""Of the sample's 10,000 characters in minibatches of 32 × 16."""

READ = {
    "lstm": (
        "gates read as i,g,f,o",
        "W_h transposed",
        "biases dropped",
        "forget bias 1 at run time",
        "hard sigmoid, slope 0.2",
        "H and C given back exchanged",
        "T and n exchanged",
        "last layer ignored",
    ),
    "gru": ("reset before", "z is 1 − z", "b_hh folded into b_xh", "gates read as r,z,n"),
    "rnn": ("relu for tanh",),
}
"""Faults that a trained network meets when its weights are carried over: mutants of the suite."""

CASES = {"lstm": "lstm-L2", "gru": "gru-after-L2", "rnn": "rnn-tanh-L2"}

TRAINED = (
    "lower layers' gradients zero",
    "two trainable biases",
    "loss summed",
    "state not carried",
    "epsilon in the clip",
    "forget bias 1 at init",
)
"""Faults of training: on which rung, and how clearly, a case tells them."""


@reference_only
def measure(short: bool) -> Found:
    corpus = load_corpus()
    steps, h = (4, 8) if short else (15 * STEPS_AN_EPOCH, 32)
    epoch, seeds = (2, SEEDS[:2]) if short else (STEPS_AN_EPOCH, SEEDS)
    runs = {
        cell: train(begin(stack(cell, corpus, 2, h), QUICK[cell]), corpus, steps)
        for cell in ("rnn", "gru", "lstm")
    }
    faults = {cell: names[:1] if short else names for cell, names in READ.items()}
    read = [asked(runs[cell], name, corpus) for cell, names in faults.items() for name in names]
    error, variants = resets(runs["gru"], corpus)
    tables = {
        "read": read,
        "orders": gate_orders(runs["lstm"], corpus, short),
        "reset_error": error,
        "reset_curves": reset_curves(corpus, h, steps, epoch, seeds),
        "training": mistakes(corpus, h, steps, epoch, seeds),
        "told": [told(name) for name in TRAINED[: 2 if short else None]],
    }
    values = variants | {"steps": steps, "h": h, "seeds": len(seeds)}
    values |= {f"{cell}_right": spoken(runs[cell], TRUTH, corpus) for cell in runs}
    tried = sorted(row["perplexity"] for row in tables["orders"])
    values |= {"orders": len(tried), "order_best": tried[0], "order_next": tried[1]}
    return {"values": values | {"order_worst": tried[-1]}, "tables": tables}


def spoken(trained: Run, conventions: Conventions, corpus: Corpus) -> float:
    """The perplexity on the beginning of the text, if the weights are read by these conventions."""
    spec, T, n = trained.spec, 24, 8
    tokens = corpus.tokens[: T * n + 1].astype(np.int64)
    X = one_hot(tokens[:-1].reshape(n, T).T, spec.d, "float64")
    Y = tokens[1:].reshape(n, T).T
    params = {name: a.astype("float64") for name, a in trained.model.parameters().items()}
    with np.errstate(all="ignore"):
        O = forward(conventions, spec, params, X, zero_state(spec, n, "float64"))["forward/O"]
        O = O - O.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(O, Y[..., None], axis=-1)[..., 0]
        return perplexity_of(float((np.log(np.exp(O).sum(axis=-1)) - chosen).mean()))


def mutant(name: str):
    return next(mutant for mutant in CATALOGUE if mutant.name == name)


def asked(trained: Run, name: str, corpus: Corpus) -> Found:
    """A fault in reading: the perplexity with and without it, and the case that tells it."""
    cell = trained.spec.cell
    right = spoken(trained, TRUTH, corpus)
    wrong = spoken(trained, mutant(name).conventions, corpus)
    return {"cell": cell, "right": right, "wrong": wrong} | told(name, CASES[cell])


def told(name: str, case: str = "lstm-L2") -> Found:
    """The rung of a case that tells a fault, and by how many of its float64 bounds."""
    answer = right_answer(case, gather(load_corpus(), None))
    pair = examine(mutant(name), answer, evaluation.begin(answer.case, answer.numbers))
    multiple = pair.multiple if np.isfinite(pair.multiple) else None
    return {"fault": name, "case": case, "rung": pair.rung, "bounds": multiple}


def gate_orders(trained: Run, corpus: Corpus, short: bool) -> list[Found]:
    """The perplexity for every order in which the four blocks can be read."""
    found = [{"read as": GATES["lstm"], "perplexity": spoken(trained, TRUTH, corpus)}]
    for order in map("".join, itertools.permutations(GATES["lstm"])):
        if order == GATES["lstm"] or (short and order[0] != "f"):
            continue
        [wrong] = [m for m in CATALOGUE if m.order == order]
        row = {"read as": order, "perplexity": spoken(trained, wrong.conventions, corpus)}
        found.append(row)
    return sorted(found, key=lambda row: row["perplexity"])


def resets(trained: Run, corpus: Corpus) -> tuple[list[Found], Found]:
    """A network that was trained with reset after, computed with reset before: how far the second
    layer's units are off, step by step, for one line of text."""
    spec, params = other_reset(trained.spec, trained.model.parameters())
    other = begin(spec, trained.recipe, params=params)
    X, start = corpus.tokens[:24, None].astype(np.int64), zero_state(spec, 1, "float32")
    right = trained.model.forward(X, start).trace["H"][:, 1, 0]
    wrong = other.model.forward(X, start).trace["H"][:, 1, 0]
    apart = np.abs(right - wrong)
    error = [
        {"step": t + 1, "unit": unit + 1, "error": float(apart[t, unit])}
        for t in range(apart.shape[0])
        for unit in range(min(16, apart.shape[1]))
    ]
    tokens = corpus.tokens[:6_000]
    values = {"after_read_as_after": trained.on(tokens), "after_read_as_before": other.on(tokens)}
    values["largest_state"] = float(np.abs(right).max())
    return error, values | {"largest_error": float(apart.max())}


def reset_curves(corpus: Corpus, h: int, steps: int, epoch: int, seeds: Seeds) -> list[Found]:
    """Both GRUs in training: neither curve looks wrong."""
    found = []
    for reset in ("after", "before"):
        spec = ModelSpec("gru", corpus.q, h, corpus.q, 2, (), reset)
        runs = [train(begin(spec, seeded("gru", seed)), corpus, steps) for seed in seeds]
        found += [{"reset": reset, **row} for row in by_epoch(runs, epoch)]
    return found


def seeded(cell: str, seed: int) -> Recipe:
    """The quick recipe from other first weights."""
    return dataclasses.replace(QUICK[cell], seed=seed)


def by_epoch(runs: list[Run], length: int) -> list[Found]:
    """The perplexity of every epoch: the mean, the lowest and the highest of some runs."""
    rows = []
    for epoch in range(1, min(len(one.losses) for one in runs) // length + 1):
        part = slice((epoch - 1) * length, epoch * length)
        ends = [perplexity_of(float(np.mean(one.losses[part]))) for one in runs]
        row = {"epoch": epoch, "perplexity": float(np.mean(ends))}
        rows.append(row | {"low": min(ends), "high": max(ends)})
    return rows


class Faithful:
    """The implementation that mistakes are made around."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def model(self, spec: ModelSpec, params: Arrays):
        return begin(spec, self.recipe, params=params).model


def mistakes(corpus: Corpus, h: int, steps: int, epoch: int, seeds: Seeds) -> list[Found]:
    """Training with a fault: the perplexity of every epoch."""
    spec, found = stack("lstm", corpus, 2, h), []
    for name in ("nothing wrong", "only the top layer learns", *MISTAKES):
        if name in MISTAKES and spec.cell not in MISTAKES[name].cells:
            continue
        runs = []
        for seed in seeds:
            recipe = seeded("lstm", seed)
            trained = begin(spec, recipe)
            if name in MISTAKES:
                params = initial_parameters(spec, recipe)
                trained.model = Mutant(Faithful(recipe), MISTAKES[name]).model(spec, params)
            elif name != "nothing wrong":
                trained.model = TopOnly(trained.model)
            with np.errstate(all="ignore"):
                runs.append(train(trained, corpus, steps))
        found += [{"fault": name, **row} for row in by_epoch(runs, epoch)]
    return found


@dataclasses.dataclass
class TopOnly:
    """A model whose first layer gets no gradient, as with MXNet's float64 layers of old."""

    model: object

    def trainer(self, recipe: Recipe, state: Arrays) -> "TopOnly.Trainer":
        return TopOnly.Trainer(self.model, self.model.trainer(recipe, state))

    @dataclasses.dataclass
    class Trainer:
        """Every step leaves the first layer as it was."""

        model: object
        inner: object

        def start(self, state: Arrays) -> None:
            self.inner.start(state)

        def step(self, X: np.ndarray, Y: np.ndarray):
            before = {n: a.copy() for n, a in self.model.params.items() if n.startswith("layer1.")}
            made = self.inner.step(X, Y)
            self.model.params.update(before)
            return made


def solution_1(backend: str) -> None:
    """The two resets over one and over two steps, from a zero state and with b_hh = 0."""
    outputs = {}
    for reset in ("before", "after"):
        spec = ModelSpec("gru", 6, 8, 5, 1, (), reset)
        params = initialise(spec, "uniform", 1)
        if reset == "before":
            shared = params
        else:
            params |= {name: array for name, array in shared.items() if name in params}
            params["layer1.b_xh"] = shared["layer1.b_h"]
            params["layer1.b_hh"] = np.zeros(spec.h)
        model = load(backend).implementation("equations", "cpu", "float64").model(spec, params)
        X = np.random.RandomState(1).standard_normal((2, 3, spec.d))
        outputs[reset], _ = model.outputs(X, zero_state(spec, 3, "float64"))
    for t in (0, 1):
        apart = np.abs(outputs["before"][t] - outputs["after"][t]).max()
        print(f"step {t + 1}: {'the same' if apart < 1e-14 else f'apart by {apart:.4f}'}")


def solution_2(backend: str) -> None:
    """A sum over T steps in place of the mean: what the clip at 1 makes of it."""
    norm, T = 0.2, 35
    for name, found in (("mean", norm), ("sum over steps", norm * T)):
        print(f"{name}: norm {found:.1f}, clipped to {min(found, 1.0):.1f}")


def main(words: list[str] | None = None) -> int:
    return run("disagreements", (solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
