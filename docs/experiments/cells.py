"""GRU against LSTM against the vanilla RNN: perplexity and speed (exercise 2)."""

import dataclasses
import math
import statistics
import sys
import time

from common.corpus import load_corpus
from common.parameters import parameter_shapes, zero_state
from common.recipe import RECIPES, Recipe
from common.spec import ModelSpec
from conformance.records.witness import WITNESSES, load_witness
from conformance.studies.evaluate import epochs_to, perplexity_of
from docs.experiments import run
from docs.experiments.tools import Found, begin, endless, rounded, stack, time_machine, train

CELLS = {"rnn": "vanilla RNN", "gru": "GRU", "lstm": "LSTM"}
STORED = {"rnn": "d2l-rnn", "gru": "d2l-gru-after", "lstm": "d2l-lstm"}
TARGET = 1.5
SEEDS = (1, 2, 3, 4, 5)
ROUNDS, STEPS = 11, 3


def measure(backend: str, short: bool) -> Found:
    """Speed: D2L's sizes, a few steps of each cell in turn, several times, so that whatever else
    the machine does meets all cells alike, and in processor time, which does not count what it
    does. Perplexity: out of the stored witnesses."""
    h, rounds = (16, 2) if short else (256, ROUNDS)
    corpus = load_corpus(time_machine(short))
    trainers, batches, seconds = {}, {}, {cell: [] for cell in CELLS}
    for cell in CELLS:
        made = begin(stack(cell, corpus, 2, h), Recipe(1.0, 1.0, epochs=2), backend)
        zero = zero_state(made.spec, made.recipe.n, made.dtype)
        trainers[cell] = made.model.trainer(made.recipe, zero)
        batches[cell] = endless(corpus, made.recipe)
    for number in range(rounds + 1):
        for cell, trainer in trainers.items():
            began = time.process_time()
            for _ in range(STEPS):
                _, X, Y = next(batches[cell])
                last = trainer.step(X, Y)
            float(last.loss)
            if number:  # a framework compiles in the first round
                seconds[cell].append((time.process_time() - began) / STEPS)
    ratios = {
        cell: statistics.median(a / b for a, b in zip(seconds[cell], seconds["lstm"], strict=True))
        for cell in CELLS
    }
    speed = [
        {"backend": backend, "cell": CELLS[cell], "time": ratio} for cell, ratio in ratios.items()
    ]
    values = {f"{cell}_time": ratio for cell, ratio in ratios.items()}
    tables = {"speed": speed}
    if backend == "numpy":
        curves, ends = stored()
        tables |= {"curves": curves, "ends": ends}
        values |= {f"{row['name']}_end": row["perplexity"] for row in ends}
        tables["seeds"] = from_seeds(*(16, 4, SEEDS[:2]) if short else (32, 15 * 19, SEEDS))
        values["seeds"] = len(SEEDS)
        tables["ends"] = [{k: v for k, v in row.items() if k != "name"} for row in ends]
    return rounded({"values": values, "tables": tables})


def stored() -> tuple[list[Found], list[Found]]:
    """The curves of the full D2L recipe, 500 epochs, as all frameworks confirmed them."""
    curves, ends = [], []
    for cell, name in STORED.items():
        witness = load_witness(WITNESSES / f"{name}.json")
        perplexities = [perplexity_of(loss) for loss in witness.losses]
        curves += [
            {"cell": CELLS[cell], "epoch": epoch, "perplexity": perplexity}
            for epoch, perplexity in enumerate(perplexities, start=1)
            if epoch == 1 or epoch % 5 == 0
        ]
        spec, gates = witness.spec, {"rnn": 1, "gru": 3, "lstm": 4}[cell]
        row = {"name": cell, "cell": CELLS[cell], "gates": gates}
        row |= {"parameters": parameters(spec), "learning rate": witness.recipe.learning_rate}
        row |= {"perplexity": perplexities[-1], "epochs to 1.5": epochs_to(TARGET, perplexities)}
        ends.append(row)
    return curves, ends


def from_seeds(h: int, steps: int, seeds: tuple[int, ...]) -> list[Found]:
    """Smaller stacks by the quick recipe of their cell: where they are after so many steps, from
    several first weights."""
    corpus, found = load_corpus(), []
    for cell, name in CELLS.items():
        ends = []
        for seed in seeds:
            recipe = dataclasses.replace(RECIPES["quick"].recipes[cell], seed=seed)
            ends.append(train(begin(stack(cell, corpus, 2, h), recipe), corpus, steps).lately(19))
        row = {"cell": name, "runs": len(ends), "perplexity": statistics.mean(ends)}
        row |= {"±": statistics.stdev(ends), "best": min(ends), "worst": max(ends)}
        found.append(row)
    return found


def parameters(spec: ModelSpec) -> int:
    """How many numbers are trained."""
    return sum(math.prod(shape) for shape in parameter_shapes(spec).values())


def solution_1(backend: str) -> None:
    """LSTM and GRU, everything else equal: numbers, and perplexity after a short training."""
    corpus, steps = load_corpus(), 80
    for cell in ("lstm", "gru"):
        ends = []
        for seed in (1, 2, 3):
            made = begin(stack(cell, corpus, 2, 16), Recipe(4.0, 1.0, n=16, T=16, seed=seed))
            ends.append(train(made, corpus, steps).lately(steps // 4))
        lowest, highest = min(ends), max(ends)
        print(f"{CELLS[cell]:5} {parameters(made.spec)} numbers, {lowest:.1f} to {highest:.1f}")


def solution_2(backend: str) -> None:
    """What is left in a memory cell after some steps, at three biases of the forget gate."""
    for bias in (0, 1, 5):
        f = 1 / (1 + math.exp(-bias))
        left = "  ".join(f"{f**k:.2g} after {k}" for k in (1, 10, 35))
        print(f"b_f = {bias}: f = {f:.3f}, {left}")


def main(words: list[str] | None = None) -> int:
    return run("cells", (solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
