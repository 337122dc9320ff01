"""Who answers a part of the ladder is held to it, and nothing that was not asked passes."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from common.storage.sums import sealed
from common.weights import read_arrays, write_arrays
from conformance.__main__ import main
from conformance.judge import command, everything, ladder
from conformance.judge.required import load_matrix
from conformance.report.verdict_file import read_verdict
from conformance.verdict.outcome import IN_PART
from tests.conformance.helpers import (
    CASES,
    assert_one_line,
    copy_backend,
    edit_record,
    judge,
    spoil,
    verdict_of,
)

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("few_suspects")]

PART = {"rung": "outputs", "dtypes": ["float32"]}
BELOW = ("weights/", "forward/", "trace/", "invariance/")
EXPECTED = ("--expect", "engine", "--cases", *CASES)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix knows a backend that answers outputs in float32, with NumPy's passport."""
    matrix = load_matrix()
    own = {"backend": "engine", "top": "outputs", "dtypes": ("float32",)}
    matrix["engine"] = dataclasses.replace(matrix["numpy"], **own)
    for module in (command, everything, ladder):
        monkeypatch.setattr(module, "load_matrix", lambda more=(): matrix)


@pytest.fixture
def engine(out: Path) -> Path:
    """The record of a backend that predicts in float32 and does no more, beside NumPy's."""
    folder = copy_backend(out, "engine")
    for path in (folder / "arrays").rglob("*.safetensors"):
        if path.parent.name == "float64":
            path.unlink()
            continue
        arrays, metadata = read_arrays(path)
        write_arrays(path, {n: a for n, a in arrays.items() if n.startswith(BELOW)}, metadata)

    def change(data: dict) -> None:
        data |= {"part": PART, "dtypes": ["float32"]}
        for dtypes in data["entries"].values():
            del dtypes["float64"]

    edit_record(folder, change)
    return folder


def statuses(verdict: dict, backend: str = "engine") -> list[str]:
    own = [r for r in verdict["results"] if r["implementation"].startswith(f"{backend}:")]
    return [r["status"] for r in own]


@pytest.mark.usefixtures("known")
def test_a_part_passes_in_part_and_says_so(out, engine, capsys):
    code, verdict = verdict_of(out, "--expect", "numpy", *EXPECTED[1:])
    assert code == EXIT_PASS, verdict["sentence"]
    assert statuses(verdict) == [IN_PART, IN_PART]
    assert statuses(verdict, "numpy") == ["pass"] * 4
    assert "engine:equations agrees up to the outputs on 2 case results" in verdict["sentence"]
    assert "1 implementation agrees with the oracle on 4 case results" in verdict["sentence"]
    parts = [r for r in verdict["results"] if "part" in r]
    assert [(r["part"], set(r["rungs"])) for r in parts] == [
        ("outputs", {"weights", "outputs", "invariances"})
    ] * 2
    assert "up to the outputs: 2 pass in part" in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("known")
def test_a_part_alone_is_a_partial_pass(out, engine):
    shutil.rmtree(out / "numpy-cpu")
    code, verdict = verdict_of(out, *EXPECTED)
    assert code == EXIT_PASS
    assert verdict["sentence"].startswith("PARTIAL PASS: engine:equations agrees up to the outputs")
    path = out.parent / f"{out.name}-verdict.json"
    assert read_verdict(path)["outcome"] == "PASS"


@pytest.mark.usefixtures("known")
def test_a_part_is_no_pass_of_the_whole_in_tables_and_badges(out, engine):
    shutil.rmtree(out / "numpy-cpu")
    main(["judge", str(out), *EXPECTED, "--quiet", "--json", str(out / "verdict.json")])
    made = [out.parent / name for name in ("s.md", "j.xml", "b.svg")]
    options = [
        f"--{name}={path}" for name, path in zip(("summary", "junit", "badge"), made, strict=True)
    ]
    assert main(["report", str(out), *options, "--quiet"]) == EXIT_PASS
    summary, junit, badge = (path.read_text(encoding="utf-8") for path in made)
    assert "| up to the outputs |" in summary and "2 pass in part" in summary
    assert junit.count("<skipped") == 2
    assert "2 agree in part" in badge


@pytest.mark.parametrize("rung", ["weights/layer1.W_xi", "forward/O", "trace/C"])
@pytest.mark.usefixtures("known")
def test_what_is_wrong_in_a_part_fails(rung, out, engine):
    def change(arrays: dict) -> None:
        arrays[rung].flat[0] += 0.1

    spoil(engine, CASES[0], change, "float32")
    code, verdict = verdict_of(out, *EXPECTED)
    assert code == EXIT_FAIL
    assert sorted(statuses(verdict)) == ["fail", IN_PART]


@pytest.mark.parametrize("tensor", ["forward/O", "trace/H", "invariance/split/O"])
@pytest.mark.usefixtures("known")
def test_what_is_missing_in_a_part_fails(tensor, out, engine):
    spoil(engine, CASES[0], lambda arrays: arrays.pop(tensor), "float32")
    assert verdict_of(out, *EXPECTED)[0] == EXIT_FAIL


@pytest.mark.usefixtures("known")
def test_what_is_above_a_part_is_not_expected(out, engine):
    def change(arrays: dict) -> None:
        arrays["loss/loss"] = arrays["forward/O"][0, 0, 0].copy()

    spoil(engine, CASES[0], change, "float32")
    code, verdict = verdict_of(out, *EXPECTED)
    assert code == EXIT_FAIL
    (failed,) = [r for r in verdict["results"] if r["status"] == "fail"]
    assert [f["problem"] for f in failed["failed"]] == ["not expected"]


def test_a_backend_of_the_whole_ladder_cannot_claim_a_part(out):
    """The matrix says what it must answer, whatever its record does."""
    folder = out / "numpy-cpu"
    for path in (folder / "arrays").rglob("*.safetensors"):
        arrays, metadata = read_arrays(path)
        write_arrays(path, {n: a for n, a in arrays.items() if n.startswith(BELOW)}, metadata)
    edit_record(folder, lambda data: data.update(part=PART | {"dtypes": ["float64", "float32"]}))
    code, verdict = verdict_of(out, "--expect", "numpy", "--cases", *CASES)
    assert code == EXIT_FAIL
    assert set(statuses(verdict, "numpy")) == {"fail"}
    assert any("numpy answers the whole ladder" in line for line in verdict["claims"])


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    "part", [None, PART | {"rung": "loss"}, PART | {"dtypes": ["float32", "float64"]}]
)
def test_a_part_must_be_the_one_that_the_matrix_names(part, out, engine):
    edit_record(engine, lambda data: data.pop("part") if part is None else data.update(part=part))
    code, verdict = verdict_of(out, *EXPECTED)
    assert code == EXIT_FAIL
    assert any("engine answers up to the outputs in float32" in c for c in verdict["claims"])


def test_a_part_of_a_backend_that_is_not_in_the_matrix_is_its_own_word(out, engine):
    code, verdict = verdict_of(out, "--expect", "numpy", "--cases", *CASES)
    assert code == EXIT_PASS
    assert statuses(verdict) == [IN_PART, IN_PART]
    assert "engine is not in the matrix" in verdict["sentence"]


@pytest.mark.parametrize(
    "part", [{"rung": "weights", "dtypes": ["float32"]}, {"rung": "outputs"}, "outputs", [],
             {"rung": "outputs", "dtypes": []}, {"rung": [], "dtypes": ["float32"]}]
)  # fmt: skip
def test_a_part_that_is_none_is_bad_input(part, out, engine, capsys):
    edit_record(engine, lambda data: data.update(part=part))
    assert judge(out, "--expect", "numpy", "--cases", *CASES, "--quiet") == EXIT_FAIL
    assert "part: expected its rung" in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("known")
def test_a_part_is_not_asked_to_train_and_not_in_other_dtypes(out, engine, capsys):
    code, verdict = verdict_of(out, *EXPECTED, "--training")
    assert code == EXIT_PASS, verdict["sentence"]
    assert not verdict["training"]
    capsys.readouterr()
    assert judge(out, *EXPECTED, "--dtype", "float64", "--quiet") == EXIT_BAD_INPUT
    assert "which engine computes in" in assert_one_line(capsys.readouterr().err)


@pytest.mark.usefixtures("known")
def test_a_part_that_was_expected_and_is_not_there_fails(out):
    code, verdict = verdict_of(out, *EXPECTED)
    assert code == EXIT_FAIL
    assert verdict["absent"] == ["engine"]


@pytest.mark.usefixtures("known")
def test_unsupported_cases_alone_are_no_part(out, engine):
    """The matrix says that it can; where it could not, nothing would have been compared."""
    for path in (engine / "arrays").rglob("*.safetensors"):
        path.unlink()

    def change(data: dict) -> None:
        cases = data["entries"]["equations"]["float32"]
        for case in cases:
            cases[case] = {"status": "unsupported", "reason": "cannot"}

    edit_record(engine, change)
    code, verdict = verdict_of(out, *EXPECTED)
    assert code == EXIT_FAIL
    assert set(statuses(verdict)) == {"fail"}


def test_a_verdict_whose_sentence_hides_that_it_is_partial_is_refused(out, engine, capsys):
    shutil.rmtree(out / "numpy-cpu")
    _, verdict = verdict_of(out, "--expect", "engine", "--cases", *CASES)
    path = out / "verdict.json"
    verdict["sentence"] = verdict["sentence"].removeprefix("PARTIAL ")
    path.write_text(json.dumps(sealed(verdict)), encoding="utf-8")
    assert main(["report", str(out), "--quiet"]) == EXIT_BAD_INPUT
    assert "which follows from its results" in assert_one_line(capsys.readouterr().err)
