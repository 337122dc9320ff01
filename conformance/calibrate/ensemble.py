"""``python -m conformance ensemble``: make the ensembles that curves are judged by, and measure how
often the judge is wrong.

A member is a float32 run of the NumPy reference from weights that are perturbed by one unit in the
last place, in this process, with the very loop of a training run (worker/training.py). Recipes that
take minutes are better run by ``train --perturbation S``, and gathered with ``--from``.
"""

import argparse
import dataclasses
import itertools
import math
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from rich.table import Table

from backends.protocol import Implementation
from backends.registry import load
from common import SUITE_VERSION
from common.errors import EXIT_FAIL, EXIT_PASS, BadInput
from common.storage.files import read_json, write_json
from conformance.calibrate.curve_mutants import MISTAKES, Mutant, mistakes_of
from conformance.calibrate.envelope import EARLY_STEPS, envelope, truth
from conformance.judge import curves
from conformance.judge.curves import EARLY, WHOLE, CurveVerdict, Ensemble, judge_curve, mismatch
from conformance.progress import Progress, results_console
from conformance.run.asked import Run
from conformance.run.command import add_train
from conformance.run.plan import runs
from conformance.worker.training import Trainee

MEMBERS, FEWEST = 40, 5
FRESH = 10_001
"""The first perturbation that measures; a member's is a lower one."""

THRESHOLDS = 3

BROKEN = {key: [math.nan] * EARLY_STEPS for key in ("losses", "norms")}
"""An epoch with a number that was not finite: a mistake may lead there."""


def asked(options: argparse.Namespace) -> list[Run]:
    """The runs of ``train`` with the same options, one for each cell and reset."""
    parser = argparse.ArgumentParser()
    add_train(parser)
    words = ["--backend", "numpy", "--recipe", options.recipe, "--cell", *options.cell]
    words += ["--reset", *options.reset, *(["--text", *options.text] if options.text else [])]
    return runs(parser.parse_args(words))


def file_name(run: Run) -> str:
    return "-".join([run.recipe_name, run.spec.cell, *([run.spec.reset] if run.spec.reset else [])])


def make_ensemble(run: Run, members: int, progress: Progress) -> dict[str, Any]:
    """Train an unperturbed run and its perturbed members; returns what is in an ensemble's file."""
    if members < FEWEST:
        raise BadInput("--members", "", f"at least {FEWEST}", members)
    return summarise(list(curves_of(run, range(members + 1), progress)), truth(run))


def curves_of(
    run: Run, seeds: Iterable[int], progress: Progress, mistake: str | None = None
) -> Iterator[dict[str, Any]]:
    """A run and its neighbours, one for each perturbation, perhaps all with the same mistake."""
    title = f"{file_name(run)}, {mistake or 'honest'}"
    for seed in map(int, progress.over(title, [str(seed) for seed in seeds])):
        recipe = dataclasses.replace(run.recipe, perturbation=seed)
        yield curve(dataclasses.replace(run, recipe=recipe), mistake)


def curve(run: Run, mistake: str | None = None) -> dict[str, Any]:
    """Train in this process; what run.json would hold, as far as it is judged."""
    made = load(run.backend).implementation(run.implementation, run.device, run.numerics)
    if mistake:
        made = cast(Implementation, Mutant(made, MISTAKES[mistake]))  # by its __getattr__
    job = run.settings() | {"digests": "epoch", "checkpoint": "there is none"}
    trainee = Trainee(job, run.given, made)
    rows = [trainee.epoch() for _ in range(run.recipe.epochs)]
    rows = [BROKEN if "broken" in row else row for row in rows]
    passport = {"version": load(run.backend).passport(run.device)["version"]}
    return run.settings() | {"status": "finished", "passport": passport, "epochs": rows}


def gather(folder: Path, question: dict[str, Any]) -> list[dict[str, Any]]:
    """The finished float32 runs below a folder, however deep, of one spec, recipe and text."""
    found = [read_json(path) for path in sorted(folder.rglob("run.json"))]
    return [
        run
        for run in found
        if run.get("status") == "finished"
        and run.get("numerics") == "float32"
        and mismatch(run, question) is None
    ]


def summarise(runs: list[dict[str, Any]], centre: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """What is in an ensemble's file, from an unperturbed run, its members, and the ``truth``."""
    origin = [run for run in runs if run["recipe"]["perturbation"] == 0]
    members = [run for run in runs if run["recipe"]["perturbation"] != 0]
    made_by = {(run["backend"], run["implementation"]) for run in runs}
    seeds = {run["recipe"]["perturbation"] for run in runs}
    if len(origin) != 1 or len(members) < FEWEST or len(made_by) > 1 or len(seeds) < len(runs):
        expected = f"one unperturbed run and {FEWEST} or more others of different perturbations, "
        expected += "all of one implementation"
        found = f"{len(origin)} and {len(members)}, of {len(made_by)}, {len(seeds)} perturbations"
        raise BadInput("ensemble", "runs", expected, found)
    losses, _ = curves.series(origin[0], "unperturbed run")
    thresholds = choose_thresholds(curves.log_perplexities(losses))
    series = [curves.series(run, "member") for run in members]
    whole = [curves.statistics(losses, thresholds) for losses, _ in series]
    first = origin[0]
    return {
        "suite": SUITE_VERSION,
        "spec": first["spec"],
        "recipe": first["recipe"],
        "text": {key: first["text"][key] for key in ("sha256", "characters")},
        "made by": {
            "implementation": f"{first['backend']}:{first['implementation']}",
            "version": first["passport"]["version"],
            "python": platform.python_version(),
        },
        "members": len(members),
        "thresholds": thresholds,
        "centre": "float64",
        "early": envelope(series, centre),
        "whole": {name: [values[name] for values in whole] for name in whole[0]},
    }


def choose_thresholds(curve: np.ndarray) -> list[float]:
    """Perplexities that the unperturbed run falls through steeply: where its way down is cut into
    three parts of one height, the middle of the steepest epoch of each. At a steep place a small
    change of the perplexity is a small change of the time."""
    lowest = np.minimum.accumulate(curve)  # coming down from a jump is no progress
    middles, falls = (lowest[1:] + lowest[:-1]) / 2, lowest[:-1] - lowest[1:]
    cuts = np.linspace(lowest[0], lowest[-1], THRESHOLDS + 1)
    found = []
    for high, low in itertools.pairwise(cuts):
        inside = np.flatnonzero((middles <= high) & (middles > low) & (falls > 0))
        if len(inside):
            found.append(float(np.exp(middles[inside[np.argmax(falls[inside])]])))
    return found


def run_measure(options: argparse.Namespace, progress: Progress) -> int:
    """Measure, write measured.json beside the ensembles, and show it."""
    path = options.out / curves.MEASURED
    measured = read_json(path) if path.exists() else {}
    ensembles = curves.load_ensembles(options.out)
    for run in asked(options):
        ensemble = curves.find_ensemble(run.settings(), ensembles)
        if ensemble is None:
            raise BadInput(options.out, file_name(run), "an ensemble", "none of this recipe")
        others = gather(options.folder, run.settings()) if options.folder else []
        found = measure(run, ensemble, others, options.runs, options.mutant_runs, progress)
        measured[ensemble.name] = found
        write_json(path, measured)
    results_console().print(table(measured))
    return EXIT_PASS if all(map(holds, measured.values())) else EXIT_FAIL


def measure(
    run: Run,
    ensemble: Ensemble,
    others: list[dict[str, Any]],
    honest: int,
    mutants: int,
    progress: Progress,
) -> dict[str, Any]:
    """How often the judge rejects: honest fresh runs, honest runs of others, and every mistake."""
    seeds = range(FRESH, FRESH + honest)
    groups: dict[str, list[dict[str, Any]]] = {}
    for other in others:
        name = f"{other['backend']}:{other['implementation']}"
        groups.setdefault(f"{name}, from files", []).append(other)
    counts = {"numpy:equations": count(curves_of(run, seeds, progress), ensemble)}
    counts |= {name: count(found, ensemble) for name, found in groups.items()}
    mistakes = {
        name: count(curves_of(run, range(FRESH, FRESH + mutants), progress, name), ensemble)
        for name in mistakes_of(run.spec)
    }
    return {"honest": counts, "mistakes": mistakes}


def count(runs: Iterable[dict[str, Any]], ensemble: Ensemble) -> dict[str, Any]:
    """Of some runs: how many are rejected, and by which part; how many the whole run would reject
    with the margins of tf32; and the widening of the envelope that a run would need, at least and
    at most."""
    verdicts, coarse = [], []
    for run in runs:
        verdicts.append(judge_curve(run, ensemble))
        coarse.append(judge_curve(run | {"numerics": "tf32"}, ensemble))
    needed = [float(f"{widening(verdict):.3g}") for verdict in verdicts]
    return {
        "runs": len(verdicts),
        "rejected": sum(not v.accepted for v in verdicts),
        "early": sum(EARLY in v.rejected_by for v in verdicts),
        "whole": sum(WHOLE in v.rejected_by for v in verdicts),
        "whole, tf32": sum(not v.accepted for v in coarse),
        "least widening": min(needed, default=0.0),
        "most widening": max(needed, default=0.0),
    }


def widening(verdict: CurveVerdict) -> float:
    """How many spreads the worst early step lies from the centre."""
    return curves.WIDENING * max(test.strain for test in verdict.tests if test.part == EARLY)


def holds(measured: dict[str, Any]) -> bool:
    """At most 1 % false alarms in every group, and every mistake is rejected every time."""
    honest = all(c["rejected"] <= 0.01 * c["runs"] for c in measured["honest"].values())
    return honest and all(c["rejected"] == c["runs"] for c in measured["mistakes"].values())


def table(measured: dict[str, Any]) -> Table:
    """Every group of runs as a row."""
    columns = ("runs", "rejected", "early", "whole", "whole, tf32")
    rows = Table("ensemble", "runs of", title="How often the judge of curves rejects")
    for column in (*columns, "widening needed"):
        rows.add_column(column, justify="right")
    for name, found in measured.items():
        for group in ("honest", "mistakes"):
            for who, counts in found[group].items():
                needed = f"{counts['least widening']:.3g} to {counts['most widening']:.3g}"
                rows.add_row(name, who, *(f"{counts[column]}" for column in columns), needed)
    return rows
