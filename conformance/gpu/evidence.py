"""What came back from a GPU, trimmed to what is judged again on every run of the tests.

    evidence.json          stages, passports, rates, modes, speed; training runs, without their
                           weights; and ``found``, what the judge says of all this
    members-*.safetensors  the members of the ensemble
    ladder.zip             the records of the quick cases, which tell every wrong convention
    halves.zip             those of a few cases in half precision
    *-by-cudnn.zip         records of a way to compute that is not taken since, and was wrong; they
                           were cut out once, and nothing here writes them

Of a run, the epochs that the early envelope is about keep every step; the later ones keep their
means, which are all that is judged of them, and their digests. Of the ladder, all records are
judged here, and the verdicts kept; cases whose arrays stayed behind, since they are large, were
judged there. What is stored is judged anew by ``judged`` and ``judged_records``: what is said of it
is right, or a test fails.
"""

import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from common.recipe import Recipe
from common.spec import ModelSpec
from common.storage.files import check_folder, make_folder, read_json, write_text
from common.weights import read_arrays
from conformance.calibrate.ensemble import count
from conformance.gpu.carry_out import STAGES
from conformance.gpu.members import CURVES, runs_of
from conformance.gpu.pack import zip_of
from conformance.gpu.trim import (
    came_back,
    copy_records,
    is_one_of_few,
    is_quick,
    trim_activations,
    trim_members,
    trim_run,
)
from conformance.judge.curves import (
    CurveTest,
    Ensemble,
    early_tests,
    find_ensemble,
    judge_curve,
    load_ensembles,
)
from conformance.judge.everything import judge_all
from conformance.judge.training import excusing
from conformance.progress import Progress
from conformance.records.witness import find_witness, load_witnesses
from conformance.verdict.deviations import load_deviations
from conformance.verdict.outcome import WRONG

EVIDENCE = "evidence.json"

ROW = ("numerics", "n", "h", "way")
"""Of a measured speed, what says which it is."""

PARTS = {"ladder": ("quick", is_quick), "halves": ("few", is_one_of_few)}
"""By folder of records, and so by zip file: what the verdicts on the cases that stay are called,
and which these are."""


def write_evidence(folder: Path, out: Path) -> list[str]:
    """Trim what was unpacked to ``folder`` into ``out``, beside what an earlier one left there of
    stages that this one has not; returns what was found, in lines."""
    check_folder(folder, "a folder that gpu unpack made")
    if not (folder / STAGES).is_dir():
        raise BadInput(folder, STAGES, "the results of stages", "none")
    make_folder(out)
    for path in sorted(folder.glob(f"members/*/{CURVES}")):
        trim_members(path, out / f"members-{path.parent.name}.safetensors")
    old = read_json(out / EVIDENCE) if (out / EVIDENCE).exists() else {}
    made: dict[str, Any] = {
        name: old.get(name, {}) | each_json(folder / name) for name in ("stages", "modes")
    }
    rates = each_json(folder / "rates")
    same = cards(rates) <= cards(old.get("rates", {}))
    made["rates"] = with_rates(old.get("rates", {}) if same else {}, rates)
    made["speed"] = with_rows(old.get("speed", {}) if same else {}, each_json(folder / "speed"))
    activations = made["modes"].pop("activations", None)
    made["activations"] = trim_activations(activations) if activations else old.get("activations")
    kinds = ("ladder", "quick", "halves", "few", "large")
    made["verdicts"] = {kind: {} for kind in kinds} | old.get("verdicts", {})
    large = {name: shortened(v) for name, v in each_json(folder / "large").items()}
    made["verdicts"]["large"] = made["verdicts"]["large"] | large
    for kind in PARTS:
        if (folder / kind).is_dir():
            made["verdicts"] |= write_records(kind, folder / kind, out / f"{kind}.zip")
    runs = [read_json(path) for path in sorted(folder.glob("runs/training/*/[!.]*/run.json"))]
    by_title = {title(run): run for run in old.get("runs", [])}
    by_title |= {title(run): trim_run(run) for run in runs}
    made["runs"] = list(by_title.values())
    write_parts(out / EVIDENCE, made)
    found = judged(out)
    write_parts(out / EVIDENCE, made | {"found": found})
    return list(told(found))


def told(found: dict[str, Any]) -> Iterator[str]:
    """What the judge says of a folder of evidence, in few lines."""
    for line in found["not finished"]:
        yield f"not finished: {line}"
    for name, row in found["digests"].items():
        if row["witness"] and row["first"]:
            yield f"{name}: {row['equal']} of {row['epochs']} digests, not epoch {row['first']}'s"
    equal, epochs = (
        sum(row[key] for row in found["digests"].values() if row["witness"])
        for key in ("equal", "epochs")
    )
    yield f"digests: {equal:,} of {epochs:,} are the witnesses'"
    curves = [row for row in found["curves"].values() if row["ensemble"]]
    yield f"curves: the ensembles accept {sum(row['accepted'] for row in curves)} of {len(curves)}"
    for name, groups in found.items():
        if name.startswith("members") and groups["ensemble"]:
            rows = [(kind, row) for kind, row in groups.items() if kind != "ensemble"]
            counts = [f"{row.get('rejected', '–')} of {row['runs']} {kind}" for kind, row in rows]
            yield f"{name}: rejected {', '.join(counts)}"


def write_parts(path: Path, made: dict[str, Any]) -> None:
    """JSON with a line for each part: one for each of 70,000 numbers is nothing to read."""
    parts = [f"{json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in made.items()]
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def cards(rates: dict[str, Any]) -> set[str]:
    """The devices that were measured: speeds of one are not put beside those of another."""
    return {file["passport"]["device"] for file in rates.values()}


def with_rates(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What was measured of products on one card, by backend: the later passport, and the faster
    rates; both backends may have been measured at once."""
    found = dict(old)
    for name, file in new.items():
        before, now = old.get(name, {}).get("rates", {}), file["rates"]
        faster = {d for d, r in now.items() if isinstance(r, float) and not r <= before.get(d, 0)}
        found[name] = file | {"rates": now | {d: before[d] for d in before.keys() - faster}}
    return found


def with_rows(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What was measured of speed, by backend: an earlier machine's rows stay where a later one has
    none of that kind."""
    found = dict(old)
    for name, file in new.items():
        rows = old.get(name, {}).get("rows", [])
        mine = [[row[key] for key in ROW] for row in file["rows"]]
        rows = [row for row in rows if [row[key] for key in ROW] not in mine]
        known = {key: value for key, value in file.items() if value is not None}
        found[name] = old.get(name, {}) | known | {"rows": file["rows"] + rows}
    return found


def write_records(kind: str, records: Path, out: Path) -> dict[str, Any]:
    """Write the records of the cases that stay; returns the verdicts on them and on all that
    came."""
    called, stays = PARTS[kind]
    with tempfile.TemporaryDirectory() as name:
        whole, few = Path(name, "whole"), Path(name, "few")
        make_folder(whole)
        make_folder(few / kind)  # none of a rehearsal's cases may stay
        copy_records(records, whole, came_back)
        copy_records(whole, few / kind, stays)
        zip_of(few, [kind], out)
        return {kind: judged_records(whole), called: judged_records(few / kind)}


def judged_records(folder: Path) -> dict[str, Any]:
    """The verdict on the records of every process, anew."""
    return {
        path.name: shortened(judge_all(path, Progress(True)).to_json())
        for path in sorted(folder.iterdir())
    }


def each_json(folder: Path) -> dict[str, Any]:
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}


def shortened(verdict: dict[str, Any]) -> dict[str, Any]:
    """Of a verdict, its sentence, the grid, and by implementation, dtype and rung the largest error
    and multiple of the noise floor."""
    rows: dict[str, Any] = {}
    for result in verdict["results"]:
        row = rows.setdefault(f"{result['implementation']} {result['dtype']}", {})
        row[result["status"]] = row.get(result["status"], 0) + 1
        for rung, worst in result["rungs"].items():
            for key in ("error", "ratio"):
                if worst[key] is None and result["status"] not in WRONG:
                    continue  # a case in a regime is measured otherwise
                row[f"{rung}: {key}"] = larger(row.get(f"{rung}: {key}", 0.0), worst[key])
    wrong = [r for r in verdict["results"] if r["status"] in WRONG]
    kept = ("implementation", "dtype", "case", "status", "reason", "place", "why")
    return {
        **{key: verdict[key] for key in ("outcome", "sentence", "grid")},
        "rows": rows,
        "wrong": [{key: result[key] for key in kept} for result in wrong],
    }


def larger(known: float | None, found: float | None) -> float | None:
    """Of two errors; null, which stands for NaN, is the largest."""
    return None if known is None or found is None else max(known, found)


def judged(folder: Path) -> dict[str, Any]:
    """What the judge says of a folder of evidence, anew; records are by ``judged_records``."""
    made, ensembles = read_json(folder / EVIDENCE), load_ensembles()
    finished = [run for run in made["runs"] if run["status"] == "finished"]
    found: dict[str, Any] = {
        "not finished": [f"{title(r)}: {r['status']}" for r in made["runs"] if r not in finished],
        "digests": {title(run): digests(run) for run in finished if run["recipe"]["lattice"]},
        "curves": {
            title(run): curve(run, ensembles) for run in finished if not run["recipe"]["lattice"]
        },
    }
    for path in sorted(folder.glob("members-*.safetensors")):
        found[path.stem] = kinds(path, ensembles)
    return found


def title(run: dict[str, Any]) -> str:
    reset = [run["spec"]["reset"]] if run["spec"]["reset"] else []
    what = "-".join([run["recipe name"], run["spec"]["cell"], *reset])
    return f"{run['backend']}:{run['implementation']} {run['device']} {what} {run['numerics']}"


def digests(run: dict[str, Any]) -> dict[str, Any]:
    """How many digests there are, how many are the witness's, and the first that is not."""
    spec, recipe = ModelSpec.from_json(run["spec"]), Recipe.from_json(run["recipe"])
    witness = find_witness(spec, recipe, run["text"], load_witnesses())
    if witness is None:
        return {"witness": None}
    pairs = zip((row["digest"] for row in run["epochs"]), witness.digests, strict=True)
    same = [one == other for one, other in pairs]
    first = same.index(False) + 1 if not all(same) else None
    return {"witness": witness.name, "epochs": len(same), "equal": sum(same), "first": first}


def curve(run: dict[str, Any], ensembles: list[Ensemble]) -> dict[str, Any]:
    """Whether the ensemble accepts the run, or what is declared of it; where the run first leaves
    the early envelope (coarse numerics may), and the tokens per second."""
    rate = statistics.median(row["tokens"] / row["seconds"] for row in run["epochs"])
    ensemble = find_ensemble(run, ensembles)
    if ensemble is None:
        return {"ensemble": None, "tokens/s": round(rate)}
    verdict, left = judge_curve(run, ensemble), leaves(run, ensemble)
    row = f"{run['backend']}:{run['implementation']}", run["device"], run["numerics"]
    return {
        "ensemble": ensemble.name,
        "accepted": verdict.accepted,
        "declared": excusing(verdict, row, load_deviations()),
        "reason": verdict.reason,
        "leaves": left.name if left else None,
        "tokens/s": round(rate),
    }


def leaves(run: dict[str, Any], ensemble: Ensemble) -> CurveTest | None:
    """Where a run first lies outside of the early envelope, whatever its numerics and however few
    of its epochs are there; None if it does not."""
    numbers = {
        quantity: np.concatenate([np.array(row[field], "float64") for row in run["epochs"]])
        for quantity, field in (("loss", "losses"), ("norm", "norms"))
    }
    if len(numbers["loss"]) < ensemble.steps:
        found = len(numbers["loss"])
        raise BadInput(f"run for {ensemble.name}", "epochs", f"{ensemble.steps} steps", found)
    return next((test for test in early_tests(numbers, ensemble) if not test.passed), None)


def kinds(path: Path, ensembles: list[Ensemble]) -> dict[str, Any]:
    """Of honest members and of each mistake: how many the early envelope rejects, and of whole runs
    all that ``ensemble --measure`` counts; and at how many steps the norm was above θ, at least and
    at most."""
    groups: dict[str, list[dict[str, Any]]] = {}
    above: dict[str, list[int]] = {}
    counts = read_arrays(path, ours=True)[0]["clipped"].tolist()
    for (member, run), steps in zip(runs_of(path), counts, strict=True):
        groups.setdefault(member.kind, []).append(run)
        above.setdefault(member.kind, []).append(steps)
    ensemble = find_ensemble(groups[next(iter(groups))][0], ensembles)
    if ensemble is None:
        return {"ensemble": None}
    found: dict[str, Any] = {"ensemble": ensemble.name}
    for kind, runs in groups.items():
        outside = [left.name for run in runs if (left := leaves(run, ensemble))]
        found[kind] = {"runs": len(runs), "outside early": len(outside)}
        found[kind]["steps above θ"] = [min(above[kind]), max(above[kind])]
        if all(run["status"] == "finished" for run in runs):
            found[kind] |= count(runs, ensemble)
    return found
