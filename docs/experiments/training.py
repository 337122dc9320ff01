"""Training and prediction on The Time Machine, with every framework's own layers."""

import math
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from common.corpus import load_corpus
from common.parameters import zero_state
from common.recipe import Recipe
from common.storage.files import read_json
from conformance.records.witness import WITNESSES, load_witness
from conformance.studies.evaluate import perplexity_of
from docs._ext.backends import TITLES
from docs.experiments import run
from docs.experiments.tools import (
    Found,
    Run,
    begin,
    continued,
    endless,
    rounded,
    stack,
    time_machine,
    train,
)

RECIPE = Recipe(4.0, 1.0)
STEPS_AN_EPOCH = 8
"""D2L's 10,000 characters in minibatches of 32 × 35."""

PREFIX = "time traveller"

EVIDENCE = Path(__file__).resolve().parents[1] / "results" / "gpu" / "evidence.json"

Rows = list[dict[str, Any]]


def measure(backend: str, short: bool) -> Found:
    """Curve and prediction of a smaller network than D2L's, so that every framework takes minutes;
    with the reference, also the stored curve of D2L's own run."""
    epochs, h = (2, 16) if short else (70, 64)
    corpus = load_corpus(time_machine(short))
    trained = begin(stack("gru", corpus, 2, h), RECIPE, backend)
    curve = []

    def seen(now: Run) -> None:
        epoch = len(now.losses) // STEPS_AN_EPOCH
        if epoch == 1 or epoch % 2 == 0:
            row = {"backend": backend, "epoch": epoch}
            curve.append(row | {"perplexity": now.lately(STEPS_AN_EPOCH)})

    train(trained, corpus, epochs * STEPS_AN_EPOCH, STEPS_AN_EPOCH, seen)
    line = continued(trained, corpus, PREFIX)
    end = {"backend": backend, "perplexity": trained.lately(STEPS_AN_EPOCH), "continues": line}
    tables = {"curves": curve, "ends": [end]}
    values = {"epochs": epochs, "h": h, "perplexity": end["perplexity"], "prediction": line}
    if backend == "numpy":
        witness = load_witness(WITNESSES / "d2l-lstm.json")
        tables["d2l"] = [
            {"epoch": epoch, "perplexity": perplexity_of(loss)}
            for epoch, loss in enumerate(witness.losses, start=1)
            if epoch == 1 or epoch % 5 == 0
        ]
        values |= {"d2l": perplexity_of(witness.losses[-1]), "d2l_epochs": len(witness.losses)}
        values["d2l_confirmed"] = ", ".join(one["implementation"] for one in witness.confirmed)
        found, tables["devices"] = on_a_gpu(tables["d2l"])
        values |= found
    return rounded({"values": values, "tables": tables})


def on_a_gpu(curve: Rows) -> tuple[dict[str, Any], Rows]:
    """What was brought back from a GPU (docs/gpu.md): its name, of how many epochs the digests are
    those of the CPU, the largest error of the layers' own tanh in units in the last place, which is
    that of numbers from 0.5 to 1; and the curves in float32, TF32 and mixed precision beside the
    CPU's."""
    made = read_json(EVIDENCE)
    (device,) = {rates["passport"]["device"] for rates in made["rates"].values()}
    pairs = [row for name, row in made["found"]["digests"].items() if " d2l-" in name]
    (digests,) = {f"{row['equal']} of {row['epochs']}" for row in pairs}
    rows: Rows = [
        {"run": "CPU, float64 on the lattice", **row} for row in curve if row["epoch"] % 10 < 2
    ]
    for one in made["runs"]:
        if one["recipe name"] == "d2l" and one["numerics"] != "lattice":
            name = f"{TITLES[one['backend']]}, {one['numerics']}"
            rows += [
                {"run": name, "epoch": n, "perplexity": perplexity_of(mean(epoch["losses"]))}
                for n, epoch in enumerate(one["epochs"], start=1)
                if n == 1 or n % 10 == 0
            ]
    errors = (row for row in made["activations"]["activations"]["float32"])
    tanh = max(row["error"] for row in errors if row["function"] == "tanh")
    return {"gpu": device, "gpu_digests": digests, "gpu_tanh": round(tanh / 2**-24)}, rows


def solution_1(backend: str) -> None:
    """Narrow weights at the start: all characters alike, so the loss is log q."""
    corpus = load_corpus()
    run = begin(stack("lstm", corpus, 1, 8), Recipe(1.0, 1.0, n=8, T=5), backend)
    loss = train(run, corpus, 1).losses[0]
    print(f"first loss {loss:.3f}, log {corpus.q} = {math.log(corpus.q):.3f}")
    print(f"perplexity {perplexity_of(loss):.1f}")


def solution_2(backend: str) -> None:
    """Two steps from the same weights: how long is one that was clipped?"""
    corpus = load_corpus()
    for threshold in (1e9, 0.1):
        recipe = Recipe(2.0, threshold, n=8, T=5)
        run = begin(stack("lstm", corpus, 1, 8), recipe, backend, "float64")
        zero = zero_state(run.spec, recipe.n, "float64")
        trainer, before = run.model.trainer(recipe, zero), run.model.parameters()
        _, X, Y = next(endless(corpus, recipe))
        norm = float(trainer.step(X, Y).norm)
        after = trainer.parameters()
        moved = math.sqrt(sum(float(((after[k] - before[k]) ** 2).sum()) for k in before))
        print(f"clip {threshold:g}: norm {norm:.3f}, weights moved by {moved:.3f}")


def main(words: list[str] | None = None) -> int:
    return run("training", (solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
