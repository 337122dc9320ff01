"""A backend that answers a part of the ladder: all of that, and nothing that passes beyond it."""

import json
from pathlib import Path

import pytest

from backends import registry
from backends.protocol import Part
from backends.registry import Backend
from common.errors import EXIT_BAD_INPUT, EXIT_PASS
from common.parameters import initialise
from common.spec import ModelSpec
from conformance.__main__ import main
from conformance.cases.given import Given
from conformance.cases.table import suite_cases
from conformance.closeness.compare import load_bounds
from conformance.closeness.rungs import answered_by
from conformance.judge.ladder import compare_all, judging_as
from conformance.verdict.deviations import load_deviations, unexcused
from conformance.verdict.outcome import DECLARED, FAIL, IN_PART, UNSUPPORTED
from conformance.verdict.results import CaseResult
from conformance.worker.ladder import answer, answer_invariances
from tests.answers import right_once
from tests.conformance.helpers import assert_one_line

GENERATED = [f"{kind}-2026-{index}" for kind in ("random", "wider") for index in range(15)]


@pytest.fixture(scope="module")
def part(pytestconfig: pytest.Config) -> Part:
    name = pytestconfig.getoption("--backend")
    if name is None or not hasattr(backend := registry.load(name), "PART"):
        pytest.skip("no backend that answers a part of the ladder: pytest --backend NAME")
    return backend.PART


@pytest.mark.parametrize("name", [*suite_cases(), *GENERATED])
def test_every_rung_that_it_answers_holds(
    part: Part, backend: Backend, backend_name: str, implementation: str, name: str, sample: Given
) -> None:
    for dtype in part.dtypes:
        made = backend.implementation(implementation, "cpu", dtype)
        right, inapplicable = right_once(name, sample), {}
        if reason := made.unsupported(right.case.spec, *right.case.needs):
            pytest.skip(f"unsupported: {reason}")
        got = answer(made, right.case, right.numbers, part.rung)
        if right.case.invariances:
            more, inapplicable = answer_invariances(made, right.case, right.numbers)
            got |= more
        limits = load_bounds()["cpu"]
        compared = compare_all(got, right, dtype, limits[dtype], inapplicable, part.rung)
        assert {c.rung for c in compared} >= {"weights", "outputs"}
        assert {c.rung for c in compared} <= set(answered_by(part.rung))
        row = f"{backend_name}:{implementation}", "cpu", dtype
        judged_as = judging_as(got, right, limits, inapplicable)
        left, _ = unexcused(row, right.case, compared, load_deviations(), judged_as)
        assert [(c.tensor, c.problem) for c in left] == []


def test_its_models_offer_no_more(part: Part, backend: Backend, implementation: str) -> None:
    """What it cannot is absent, and said by the protocol; nothing stands in its place."""
    made = backend.implementation(implementation, "cpu", part.dtypes[0])
    spec = ModelSpec("lstm", 2, 3, 2, 1)
    model = made.model(spec, initialise(spec, "uniform", 1))
    assert not hasattr(model, "trainer") and not hasattr(model, "loss_and_gradients")
    assert not hasattr(backend, "bare") and not hasattr(backend, "join")


@pytest.mark.usefixtures("part")
def test_it_is_recorded_and_judged_by_its_name(
    backend_name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    only = ("--cases", "lstm-L2", "gru-before-L1")
    where = ("--backend", backend_name, "--out", str(out), "--quiet", *only)
    assert main(["record", *where, "--training"]) == EXIT_PASS
    assert not (out / "training").exists()
    made = json.loads((out / f"{backend_name}-cpu" / "record.json").read_text())
    assert made["part"] == {"rung": "outputs", "dtypes": ["float32"]}
    assert made["dtypes"] == ["float32"]
    asked = ("--expect", backend_name, *only, "--training", "--quiet")
    path = tmp_path / "verdict.json"
    assert main(["judge", str(out), *asked, "--json", str(path)]) == EXIT_PASS
    said = " ".join(capfd.readouterr().out.split())
    assert f"PARTIAL PASS: {backend_name}:layers agrees up to the outputs on 2 case results" in said
    statuses = {r["status"] for r in json.loads(path.read_text())["results"]}
    assert statuses == {IN_PART}


@pytest.mark.usefixtures("part")
def test_what_it_cannot_is_one_line_and_leaves_nothing(
    backend_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    where = ("--backend", backend_name, "--out", str(out))
    for numerics in ("float32", "lattice"):
        assert main(["train", *where, "--numerics", numerics]) == EXIT_BAD_INPUT
        assert "expected a backend that trains" in assert_one_line(capsys.readouterr().err)
    for more in ((), ("--training",)):
        asked = ("--cases", "lstm-L1", "--dtype", "float64", *more)
        assert main(["record", *where, *asked]) == EXIT_BAD_INPUT
        assert "expected one of float32" in assert_one_line(capsys.readouterr().err)
    assert not list(out.rglob("*.json"))


@pytest.mark.usefixtures("part")
def test_nothing_of_its_part_is_missing(
    backend_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-backend", backend_name, "--quiet"]) == EXIT_PASS
    said = capsys.readouterr().out
    assert "nothing is missing" in said and "float64" not in said


CASES = ["rnn-tanh-wide", "gru-before-wide", "gru-after-wide", "lstm-wide", "lstm-lengths-L2"]
CASES += ["lstm-peepholes-clipped-L2"]

SAID = {
    "gates-i-f-c-o": "the gates i,f,o,g are taken for",
    "gates-r-z-h": "are taken for",
    "transposed": "every recurrent matrix is transposed",
    "reset-elsewhere": "if the reset gate acts",
    "peepholes-i-f-o": "the peepholes i,f,o are taken for",
    "state-ignored": "the initial state is ignored",
}
"""What the diagnosis says of a fault."""


@pytest.fixture(scope="module")
def found(part, judged) -> dict[tuple[str, str], CaseResult]:
    return judged("part_worker.py", CASES, 1)


def faults() -> list[str]:
    return ["gates-i-f-c-o", "gates-r-z-h", "transposed", "bias-doubled", "reversed",
            "reset-elsewhere", "lengths-ignored", "state-ignored", "peepholes-i-f-o",
            "clip-of-gates-ignored"]  # fmt: skip


@pytest.mark.usefixtures("part")
def test_sound_layers_pass_in_part_beside_the_sabotaged_ones(found):
    statuses = [found["layers", case].status for case in CASES]
    assert set(statuses) <= {IN_PART, DECLARED, UNSUPPORTED} and IN_PART in statuses


@pytest.mark.usefixtures("part")
@pytest.mark.parametrize("fault", faults())
def test_every_fault_is_found_wherever_it_can_be_put_in(found, fault):
    results = [found[f"layers-{fault}", case] for case in CASES]
    results = [result for result in results if result.status != UNSUPPORTED]
    assert results and {result.status for result in results} == {FAIL}
    assert all(result.place for result in results)
    if fault in SAID:
        assert any(SAID[fault] in result.why for result in results), [r.why for r in results]
