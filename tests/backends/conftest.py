"""Commands that are started as a framework's launcher would."""

import subprocess
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends import registry
from conformance.cases.given import Given
from conformance.judge import ladder, reasons
from conformance.judge.ladder import judge
from conformance.progress import Progress
from conformance.run.ladder import Request, record
from conformance.verdict.deviations import load_deviations
from conformance.verdict.results import CaseResult
from tests.answers import computed_once, shared_by_environments
from tests.backends.launchers import LAUNCHERS, Host, start
from tests.conformance.helpers import worker_script


@pytest.fixture(scope="session", autouse=True)
def answers_are_computed_once(pytestconfig: pytest.Config) -> Iterator[None]:
    """By one environment for all, but for a run of pytest that keeps nothing."""
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    with computed_once(cache and shared_by_environments(cache.mkdir("answers"))):
        yield


@pytest.fixture
def launch(backend_name: str, tmp_path: Path):
    """Start commands on hosts; whatever is left of them is ended."""
    if backend_name not in LAUNCHERS:
        pytest.skip(f"{backend_name} has no engine that joins processes")
    started: list[subprocess.Popen] = []

    def begin(hosts: list[Host], commands: list[list[str]]) -> list[subprocess.Popen]:
        started.extend(start(backend_name, hosts, commands, tmp_path))
        return started[: len(commands)]

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def judged(
    pytestconfig: pytest.Config, sample: Given, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[tuple[str, str], CaseResult]]:
    """By implementation and case, what the judge says of sound and sabotaged implementations: those
    of a worker's script in this folder.

    searched: how many failures of a row are explained
    named:    the faults of which a test asks what explains them, None for all; the reference's
              others are searched as well, and not again in every framework"""
    name = pytestconfig.getoption("--backend")
    if name is None:
        pytest.skip("no backend named: pytest --backend NAME, in its environment")

    def found(
        script: str, cases: list[str], searched: int, named: Collection[str] | None = None
    ) -> dict[tuple[str, str], CaseResult]:
        def give_reasons(failures: list[reasons.Failure], *more: Any) -> None:
            asked = [f for f in failures if fault_in(f.result.implementation) in (named or ())]
            reasons.give_reasons(asked, *more)

        out = tmp_path_factory.mktemp("sabotage")
        with pytest.MonkeyPatch.context() as patch:
            worker_script(patch, Path(__file__).with_name(script))
            patch.setattr(reasons, "SEARCHED", searched)
            if named is not None and name != "numpy":
                patch.setattr(ladder, "give_reasons", give_reasons)
            part = getattr(registry.load(name), "PART", None)
            dtypes = [*part.dtypes] if part else ["float64"]
            record(Request(name, "cpu", dtypes, cases, sample, out), Progress(quiet=True))
            verdict = judge(out, Progress(quiet=True), deviations=load_deviations())
        assert not verdict.passed
        return {(r.implementation.partition(":")[2], r.case): r for r in verdict.results}

    return found


def fault_in(implementation: str) -> str:
    """``no-clip`` of ``jax:layers-no-clip``; empty for a sound one"""
    return implementation.partition(":")[2].partition("-")[2]
