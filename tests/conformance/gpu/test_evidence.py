"""What came back from a GPU, trimmed, judged as the whole is; and what is stored of it."""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from common.errors import BadInput
from common.storage.files import read_json, write_json
from common.weights import write_arrays
from conformance.calibrate.ensemble import FRESH, asked, curve
from conformance.cases.halves import HALVES
from conformance.gpu.evidence import (
    EVIDENCE,
    PARTS,
    cards,
    digests,
    judged,
    judged_records,
    leaves,
    shortened,
    title,
    with_rates,
    with_rows,
    write_evidence,
)
from conformance.gpu.members import CURVES, HONEST, Member, members, runs_of, start
from conformance.gpu.pack import unpack_one
from conformance.gpu.page import update_page
from conformance.gpu.trim import trim_members, trim_run
from conformance.judge.curves import find_ensemble, judge_curve
from conformance.records.witness import load_witnesses
from conformance.verdict.outcome import DECLARED
from tests.answers import computed_once
from tests.source import ROOT

pytestmark = pytest.mark.once

STORED = ROOT / "docs" / "results" / "gpu"


@pytest.fixture(scope="module")
def run() -> dict:
    """An honest run of the quick vanilla RNN."""
    question = argparse.Namespace(recipe="quick", cell=["rnn"], reset=["after"], text=None)
    (made,) = asked(question)
    recipe = dataclasses.replace(made.recipe, perturbation=FRESH)
    found = curve(dataclasses.replace(made, recipe=recipe))
    for row in found["epochs"]:
        row.setdefault("seconds", 1.0)
    return found


def test_a_trimmed_run_is_judged_as_the_whole(run):
    ensemble, trimmed = find_ensemble(run), trim_run(run)
    whole, small = judge_curve(run, ensemble), judge_curve(trimmed, ensemble)
    assert whole.accepted and small.accepted
    assert [t.name for t in whole.tests] == [t.name for t in small.tests]
    for one, other in zip(whole.tests, small.tests, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-14)
    assert leaves(trimmed, ensemble) is None
    assert len(json.dumps(trimmed)) < len(json.dumps(run)) / 2


def test_where_a_run_leaves_the_envelope_is_the_first_step_outside(run):
    ensemble = find_ensemble(run)
    wrong = trim_run(run) | {"numerics": "tf32"}
    wrong["epochs"] = [dict(row) for row in wrong["epochs"]]
    wrong["epochs"][0]["losses"] = [1.001 * x for x in run["epochs"][0]["losses"]]
    wrong["epochs"][0]["losses"][:4] = run["epochs"][0]["losses"][:4]
    assert leaves(wrong, ensemble).name == "loss at step 5"
    assert judge_curve(wrong, ensemble).accepted, "coarse numerics are judged by the whole run"


def test_digests_are_counted_and_the_first_that_differs_is_named():
    witness = next(w for w in load_witnesses() if w.name == "quick-lstm")
    rows = [{"digest": digest} for digest in witness.digests]
    made = {"spec": witness.spec.to_json(), "recipe": witness.recipe.to_json()}
    made |= {"text": witness.text, "epochs": rows}
    count = len(rows)
    right = {"witness": "quick-lstm", "epochs": count, "equal": count, "first": None}
    assert digests(made) == right
    rows[6] = {"digest": "0" * 64}
    assert digests(made) == right | {"equal": count - 1, "first": 7}
    assert digests(made | {"text": witness.text | {"characters": 1}}) == {"witness": None}


def file_of_members(run: dict, folder: Path) -> Path:
    """As members.py writes it: the run as two honest members, and one that learns nothing."""
    columns = {
        name: np.concatenate([row[name] for row in run["epochs"]]) for name in ("losses", "norms")
    }
    arrays = {n: np.stack([a, a, 0 * a + a[0]], axis=1).astype("f4") for n, a in columns.items()}
    arrays["steps"] = np.array([len(row["losses"]) for row in run["epochs"]])
    arrays["seconds"] = np.ones(len(run["epochs"]))
    who = [Member(HONEST, 1), Member(HONEST, 2), Member("no clip", 1)]
    about = {k: v for k, v in run.items() if k not in ("status", "epochs")}
    about |= {"members": [dataclasses.astuple(m) for m in who], "last": run["recipe"]["epochs"]}
    folder.mkdir(parents=True)
    write_arrays(folder / CURVES, arrays, {"about": json.dumps(about)})
    return folder / CURVES


def test_trimmed_members_are_judged_as_the_whole(run, tmp_path):
    path = file_of_members(run, tmp_path / "members" / "whole")
    trim_members(path, tmp_path / "trimmed.safetensors")
    for file in (path, tmp_path / "trimmed.safetensors"):
        found = list(runs_of(file))
        verdicts = [judge_curve(each, find_ensemble(each)).accepted for _, each in found]
        assert [member.kind for member, _ in found] == [HONEST, HONEST, "no clip"]
        assert verdicts == [True, True, False]
    assert (tmp_path / "trimmed.safetensors").stat().st_size < path.stat().st_size


def test_evidence_holds_what_the_judge_says_of_it(run, tmp_path):
    folder, out = tmp_path / "unpacked", tmp_path / "evidence"
    file_of_members(run, folder / "members" / "whole")
    write_json(folder / "stages" / "curves.json", {"stage": "curves", "status": "done"})
    whole = folder / "runs" / "training" / "numpy-cpu" / "equations-rnn"
    write_json(whole / "run.json", run | {"settings": "a", "prediction": {}})
    lines = write_evidence(folder, out)
    found = read_json(out / EVIDENCE)["found"]
    assert found == judged(out)
    assert found["curves"][title(run)]["accepted"]
    assert found["members-whole"][HONEST]["rejected"] == 0
    assert found["members-whole"][HONEST]["runs"] == 2
    assert found["members-whole"]["no clip"]["rejected"] == 1
    assert found["members-whole"]["no clip"]["outside early"] == 1
    assert any(line.startswith("members-whole:") for line in lines)


def test_what_an_earlier_machine_gave_stays_beside_what_a_later_one_gives(run, tmp_path):
    folder, later, out = tmp_path / "first", tmp_path / "later", tmp_path / "evidence"
    write_json(folder / "stages" / "curves.json", {"stage": "curves", "status": "done"})
    write_json(folder / "rates" / "numpy.json", {"passport": {"device": "one"}, "rates": {}})
    whole = folder / "runs" / "training" / "numpy-cpu" / "equations-rnn"
    write_json(whole / "run.json", run | {"settings": "a", "prediction": {}})
    write_evidence(folder, out)
    file_of_members(run, later / "members" / "whole")
    write_json(later / "stages" / "members.json", {"stage": "members", "status": "done"})
    write_evidence(later, out)
    made = read_json(out / EVIDENCE)
    assert set(made["stages"]) == {"curves", "members"} and set(made["rates"]) == {"numpy"}
    assert [title(run) for run in made["runs"]] == [title(run)]
    assert made["found"]["members-whole"][HONEST]["runs"] == 2
    assert made["found"] == judged(out)


def test_speeds_of_an_earlier_machine_stay_where_a_later_one_measured_none():
    def row(n: int, rate: float) -> dict:
        return {"numerics": "float32", "n": n, "h": 256, "way": "scan", "tokens/s": rate}

    old = {"jax": {"rows": [row(32, 1.0), row(1024, 2.0)], "literature": {"n": 16}}, "pytorch": {}}
    made = with_rows(old, {"jax": {"rows": [row(32, 3.0)], "literature": None}})
    assert made["jax"] == {"rows": [row(32, 3.0), row(1024, 2.0)], "literature": {"n": 16}}
    assert made["pytorch"] == {}


def test_of_one_card_the_faster_rates_stay():
    def rates(card: str, **dtypes: float) -> dict:
        return {"jax": {"passport": {"device": card, "version": dtypes["v"]}, "rates": dtypes}}

    before, later = rates("H200", v=1.0, float32=3.0), rates("H200", v=2.0, float32=2.0, tf32=9.0)
    made = with_rates(before, later)["jax"]
    assert made["rates"] == {"v": 2.0, "float32": 3.0, "tf32": 9.0}
    assert made["passport"]["version"] == 2.0
    assert cards(before) == cards(later) != cards(rates("H100", v=1.0))


def test_an_error_that_is_no_number_stays_none():
    result = {"implementation": "a:b", "dtype": "float64", "case": "c", "status": "fail"}
    result |= {"reason": "", "place": "", "why": ""}
    rows = [{"outputs": {"error": e, "ratio": 1.0}} for e in (1e-16, None, 2e-16)]
    verdict = {"outcome": "FAIL", "sentence": "", "grid": {}}
    made = shortened(verdict | {"results": [result | {"rungs": row} for row in rows]})
    assert made["rows"]["a:b float64"]["outputs: error"] is None
    assert len(made["wrong"]) == 3


def test_members_are_honest_ones_and_each_mistake_from_fresh_perturbations(run):
    from common.recipe import Recipe
    from common.spec import ModelSpec

    spec, recipe = ModelSpec("lstm", 5, 3, 5, 1), Recipe.from_json(run["recipe"])
    who = members(spec, 2, 1)
    assert [m.kind for m in who[:2]] == [HONEST, HONEST]
    assert len(who) == 2 + 6 and min(m.perturbation for m in who) == FRESH
    params, numbers = start(spec, recipe, who)
    by_kind = {m.kind: k for k, m in enumerate(who)}
    assert numbers["second_bias"][by_kind["two trainable biases"]] == 1
    assert numbers["carried"][by_kind["state not carried"]] == 0
    k = recipe.T * recipe.n
    assert numbers["shown"][by_kind["loss summed, not averaged"]] == k
    moved = params["layer1.b_f"][by_kind["forget bias of one"]] - params["layer1.b_f"][0]
    assert moved == pytest.approx(np.ones(3), abs=1e-6)
    assert not np.array_equal(params["layer1.W_xi"][0], params["layer1.W_xi"][1])


NOTHING = "nothing has been brought back from a GPU yet (docs/gpu.md)"


@pytest.mark.skipif(not (STORED / EVIDENCE).exists(), reason=NOTHING)
def test_what_is_stored_of_a_gpu_is_judged_anew():
    made = read_json(STORED / EVIDENCE)
    assert made["found"] == judged(STORED)
    devices = {run["device"] for run in made["runs"]}
    assert devices == {"gpu"}


@pytest.mark.parametrize("kind", PARTS)
def test_the_records_of_a_gpu_are_judged_anew(kind, tmp_path):
    if not (STORED / f"{kind}.zip").exists():
        pytest.skip(NOTHING)
    unpack_one(STORED / f"{kind}.zip", tmp_path)
    with computed_once():
        found = judged_records(tmp_path / kind)
    stored = read_json(STORED / EVIDENCE)["verdicts"]
    few = stored[PARTS[kind][0]]
    assert found and set(found) == set(few) <= set(stored[kind])
    for name, wanted in few.items():
        assert counted(found[name]) == counted(wanted), name


@pytest.mark.skipif(not (STORED / EVIDENCE).exists(), reason=NOTHING)
def test_the_pages_have_the_tables_of_what_is_stored(tmp_path):
    for page in (ROOT / "README.md", ROOT / "docs" / "gpu.md"):
        copy = tmp_path / page.name
        shutil.copyfile(page, copy)
        update_page(copy, STORED)
        assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8"), page
    rows = read_json(STORED / EVIDENCE)["activations"]["activations"]["float32"]
    error = max(row["error"] for row in rows if row["function"] == "tanh")  # between 0.5 and 1
    said = f"{error / 2**-24:.0f} units in the last place"
    for page in (ROOT / "docs" / "gpu.md", ROOT / "conformance" / "verdict" / "deviations.toml"):
        assert said in page.read_text(encoding="utf-8"), page


@pytest.mark.skipif(not (STORED / EVIDENCE).exists(), reason=NOTHING)
def test_what_the_pages_say_in_words_is_what_was_found():
    made = read_json(STORED / EVIDENCE)
    kinds = ("ladder", "halves", "large")
    verdicts = [verdict for kind in kinds for verdict in made["verdicts"][kind].values()]
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    halves = (ROOT / "docs" / "half-precision.md").read_text(encoding="utf-8")

    def largest(dtype: str, key: str, who: str = "") -> float:
        rows = [
            row[f"{rung}: {key}"]
            for verdict in verdicts
            for name, row in verdict["rows"].items()
            for rung in ("outputs", "loss", "gradients", "clip", "steps")
            if name.endswith(f" {dtype}") and name.startswith(who) and f"{rung}: {key}" in row
        ]
        return max(value for value in rows if value is not None)

    def cases(who: str, *statuses: str) -> int:
        rows = [verdict["rows"].get(who, {}) for verdict in verdicts]
        return sum(row.get(status, 0) for row in rows for status in statuses)

    assert not any(verdict["wrong"] for verdict in verdicts), "no case fails"
    worst = f"at {largest('float16', 'ratio'):.1f}, which is a declared deviation; the worst in "
    assert f"{worst}TF32 is at {largest('tf32', 'ratio'):.1f} of them" in " ".join(halves.split())
    for who in (f"{b}:{kind}" for b in ("jax", "pytorch") for kind in ("equations", "layers")):
        assert len({cases(f"{who} {tier}", "pass", DECLARED) for tier in HALVES}) == 1, "all cases"
        one = [cases(f"{who} {tier}", DECLARED) for tier in HALVES]
        assert one == [int(who.startswith("jax") and tier == "float16") for tier in HALVES]
    floors = largest("float32", "ratio", "jax:keras")
    assert f"in float32 within {floors:.1f} floors" in " ".join(text.split())
    inside = made["found"]["curves"]["jax:keras gpu quick-lstm float32"]
    assert inside["accepted"] and inside["leaves"] is None
    left = [row for row in made["found"]["curves"].values() if not row["accepted"]]
    assert len(left) == 3 and all(row["declared"] for row in left)
    members = made["found"]["members-whole"]
    rejected = {kind: row["rejected"] for kind, row in members.items() if kind != "ensemble"}
    assert (members["honest"]["runs"], rejected.pop("honest"), rejected.pop("no clip")) == (
        100,
        0,
        0,
    )
    assert list(rejected.values()) == [20] * 5
    assert max(members["no clip"]["steps above θ"]) < 0.01 * 4000, "a few steps"


def test_a_page_without_markers_is_refused(tmp_path):
    write_json(tmp_path / EVIDENCE, {})
    (tmp_path / "page.md").write_text("Nothing.")
    with pytest.raises(BadInput, match="<!-- gpu -->"):
        update_page(tmp_path / "page.md", tmp_path)


def counted(verdict: dict) -> list:
    """A verdict but for errors and ratios, whose last digits are the judging machine's, and for its
    sentence, which says how many cases there are by now."""
    rows = {
        who: {key: value for key, value in row.items() if ": " not in key}
        for who, row in verdict["rows"].items()
    }
    wrong = [(each["implementation"], each["case"], each["status"]) for each in verdict["wrong"]]
    return [verdict["outcome"], rows, wrong]
