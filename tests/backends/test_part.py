"""A backend that answers a part of the ladder: all of that, and nothing that passes beyond it."""

import json
from pathlib import Path

import pytest

from backends import registry
from backends.protocol import Part
from backends.registry import ASKED_FOR, Backend
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
from tests.backends.part_faults import faults_of
from tests.conformance.helpers import assert_one_line
from tests.frameworks import PARTS

GENERATED = [f"{kind}-2026-{index}" for kind in ("random", "wider") for index in range(15)]

FEW = (
    "gru-before-L1",
    "gru-after-uneven-L2",
    "lstm-bidirectional-lengths-L1",
    "lstm-dropout-bidirectional-L3",
    "saturated-lstm",
    "nan-in-X-rnn-relu",
    "nan-in-W-lstm",
)
"""What a backend is asked that is no part of the main job; all the others are recorded and judged
where it is asked for."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``name`` runs over the cases, ``fault`` over the faults of the backend."""
    backend = metafunc.config.getoption("--backend")
    if "name" in metafunc.fixturenames:
        every = [*suite_cases(), *GENERATED]
        metafunc.parametrize("name", FEW if backend in ASKED_FOR else every)
    if "fault" in metafunc.fixturenames:
        found = faults_of(backend) if backend in PARTS else ["no backend of a part named"]
        metafunc.parametrize("fault", [*found])


@pytest.fixture(scope="module")
def part(pytestconfig: pytest.Config) -> Part:
    name = pytestconfig.getoption("--backend")
    if name is None or not hasattr(backend := registry.load(name), "PART"):
        pytest.skip("no backend that answers a part of the ladder: pytest --backend NAME")
    return backend.PART


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
    only = ("--cases", "lstm-one-step", "gru-before-wide")
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


@pytest.fixture
def asked_once(backend_name: str) -> None:
    """Of what starts a framework again and again, and is about the commands."""
    if backend_name in ASKED_FOR:
        pytest.skip("starts many workers: asked of the part that is in the main job")


@pytest.mark.usefixtures("part", "asked_once")
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


@pytest.mark.usefixtures("part", "asked_once")
def test_nothing_of_its_part_is_missing(
    backend_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-backend", backend_name, "--quiet"]) == EXIT_PASS
    said = capsys.readouterr().out
    assert "nothing is missing" in said and "float64" not in said


CASES = ["rnn-tanh-wide", "gru-before-wide", "gru-after-wide", "lstm-wide", "lstm-lengths-L2"]
CASES += ["lstm-peepholes-clipped-L2"]

FEW_CASES = ["gru-before-wide", "lstm-bidirectional-lengths-L1"]
"""The same, as FEW."""

SAID = {
    "gates-i-f-c-o": "the gates i,f,o,g are taken for",
    "gates-i-f-o-c": "are taken for",
    "gates-r-z-h": "are taken for",
    "transposed": "every recurrent matrix is transposed",
    "reset-elsewhere": "if the reset gate acts",
    "reset-after": "if the reset gate acts",
    "peepholes-i-f-o": "the peepholes i,f,o are taken for",
    "state-ignored": "the initial state is ignored",
}
"""What the diagnosis says of a fault."""


@pytest.fixture(scope="module")
def cases(pytestconfig: pytest.Config) -> list[str]:
    return FEW_CASES if pytestconfig.getoption("--backend") in ASKED_FOR else CASES


@pytest.fixture(scope="module")
def found(part, judged, cases) -> dict[tuple[str, str], CaseResult]:
    return judged("part_worker.py", cases, 1)


@pytest.mark.usefixtures("part")
def test_sound_layers_pass_in_part_beside_the_sabotaged_ones(found, cases):
    statuses = [found["layers", case].status for case in cases]
    assert set(statuses) <= {IN_PART, DECLARED, UNSUPPORTED} and IN_PART in statuses


@pytest.mark.usefixtures("part")
def test_every_fault_is_found_wherever_it_can_be_put_in(found, cases, fault):
    results = [found[f"layers-{fault}", case] for case in cases]
    results = [result for result in results if result.status != UNSUPPORTED]
    assert results and {result.status for result in results} == {FAIL}
    assert all(result.place for result in results)
    if fault in SAID:
        assert any(SAID[fault] in result.why for result in results), [r.why for r in results]
