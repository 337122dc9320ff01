"""Regimes: the large cases, once, and faults that begin at a size or magnitude, put in live."""

import pytest

from conformance.cases.given import Given
from conformance.cases.regimes import LARGE
from conformance.judge.ladder import judge
from conformance.progress import Progress
from conformance.run.ladder import Request, record
from conformance.verdict.deviations import load_deviations
from conformance.verdict.outcome import DECLARED, FAIL, PASS, UNSUPPORTED
from conformance.verdict.results import CaseResult
from tests.backends.regime_faults import FOUND_BY_NUMBERS, IN_PYTORCH, TOLD_BY, regime_faults

FLUSHED = ["regime-0-663", "regime-0-821"]
"""Drawn cases with gradients that are denormal in float32."""

QUIET = Progress(quiet=True)
CASES = ["saturated-lstm", "logits-gru-after", "steps-lstm", "sizes-lstm"]
SAID = {
    "inputs-below-1e-4-flushed": "inputs that are denormal in float32 are 0",
    "cell-clipped-at-10": "the cell state is clipped at ±10",
    "output-gate-flat-beyond-12": "the output gate's σ is 0 or 1 beyond ±12",
    "rows-beyond-64-lost": "inputs are 0 for rows from the 65th on",
}
"""What the diagnosis must say of it; of an infinite loss there is no more to say."""


@pytest.fixture(scope="module")
def found(judged) -> dict[tuple[str, str], CaseResult]:
    return judged("told_worker.py", CASES, 2, SAID)


def test_sound_implementations_pass_beside_the_sabotaged_ones(found, implementation):
    assert {found[implementation, case].status for case in CASES} == {PASS}


@pytest.mark.parametrize("fault", [*FOUND_BY_NUMBERS, *IN_PYTORCH])
def test_every_fault_of_a_regime_is_found(found, backend_name, implementation, fault):
    if fault not in regime_faults(backend_name):
        pytest.skip(f"{fault} is put into PyTorch's equations")
    row = f"{implementation}-{fault}"
    statuses = {case: found[row, case].status for case in CASES}
    if set(statuses.values()) == {UNSUPPORTED}:
        pytest.skip(f"{fault} cannot be put into {implementation}")
    assert {case for case, status in statuses.items() if status == FAIL} >= {TOLD_BY[fault]}
    if fault in SAID:
        assert SAID[fault] in found[row, TOLD_BY[fault]].why


@pytest.fixture(scope="module")
def large(
    pytestconfig: pytest.Config, sample: Given, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str, str], CaseResult]:
    """By implementation, dtype and case, what the judge says of the large cases."""
    name = pytestconfig.getoption("--backend")
    if name is None:
        pytest.skip("no backend named: pytest --backend NAME, in its environment")
    out, cases = tmp_path_factory.mktemp("large"), [case.name for case in LARGE] + FLUSHED
    record(Request(name, "cpu", ["float64", "float32"], cases, sample, out), QUIET)
    verdict = judge(out, QUIET, deviations=load_deviations())
    return {(r.implementation.partition(":")[2], r.dtype, r.case): r for r in verdict.results}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_large_case_fails(large, implementation, dtype):
    statuses = {case.name: large[implementation, dtype, case.name] for case in LARGE}
    wrong = {
        name: (result.status, result.first_failure())
        for name, result in statuses.items()
        if result.status not in (PASS, DECLARED, UNSUPPORTED)
    }
    assert wrong == {}
    assert sum(result.status == PASS for result in statuses.values()) > len(LARGE) / 2


def test_what_is_flushed_in_drawn_cases_is_declared(large, backend_name, implementation):
    statuses = {large[implementation, "float32", case].status for case in FLUSHED}
    flushes = backend_name in ("tensorflow", "jax")
    assert statuses - {UNSUPPORTED} == {DECLARED if flushes else PASS}
    assert {large[implementation, "float64", case].status for case in FLUSHED} <= {
        PASS,
        UNSUPPORTED,
    }
