"""Where a fault begins: live sabotage from some size or magnitude on, walked down to it.

That one is found in a framework's code is what test_regimes.py shows, of every framework; here the
search goes on from there, in those that a new size costs little."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.cases.given import Given, save_given
from conformance.cases.points import edges_of, nearest_point, point_named
from conformance.cases.table import find_case
from conformance.closeness.compare import load_bounds
from conformance.judge.ladder import Standards
from conformance.judge.required import load_matrix
from conformance.limits.shrink import Asker, Shrunk, shrink
from conformance.run.child import Child
from conformance.verdict.deviations import load_deviations
from conformance.verdict.outcome import FAIL, PASS
from tests.backends.made import DEAR
from tests.backends.regime_faults import regime_faults
from tests.conformance.helpers import worker_script

BEGINS = {
    "steps-beyond-40-lost": ("steps-lstm", {"T": 41}),
    "rows-beyond-64-lost": ("sizes-lstm", {"n": 65}),
    "units-beyond-256-lost": ("sizes-lstm", {"h": 257}),
}
"""By fault: a case that fails, and where the fault begins; all else is the least that there is."""


@pytest.fixture(scope="module")
def asker(
    pytestconfig: pytest.Config, sample: Given, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asker]:
    """Of a backend with faults in it."""
    name = pytestconfig.getoption("--backend")
    if name is None:
        pytest.skip("no backend named: pytest --backend NAME, in its environment")
    if name in DEAR:
        pytest.skip("how the search goes on is no framework's own, and takes long here")
    folder = tmp_path_factory.mktemp("shrink")
    given = folder / "given.safetensors"
    save_given(given, sample)
    with pytest.MonkeyPatch.context() as patch:
        worker_script(patch, Path(__file__).with_name("regime_worker.py"))
        child = Child(name, "cpu", ["float64"], 1, given, folder / "worker.log")
        standards = Standards(load_bounds(), load_deviations(), load_matrix())
        yield Asker(child, name, "cpu", sample, folder, standards, 120.0)
        child.stop()


def smallest(asker: Asker, implementation: str, case: str) -> Shrunk:
    start = nearest_point(find_case(case, asker.given))
    found = shrink(asker, implementation, "float64", start)
    assert found is not None, f"{implementation} does not fail {start.name}"
    return found


@pytest.mark.parametrize("fault", BEGINS)
def test_the_size_is_found_at_which_a_fault_begins(asker, fault):
    case, edges = BEGINS[fault]
    row = f"equations-{fault}"
    point = smallest(asker, row, case).point
    assert edges_of(point) == edges
    # By its name alone, as record and judge would.
    assert point_named(point.name) == point
    assert asker.judged(row, "float64", point.name).status == FAIL
    assert asker.judged("equations", "float64", point.name).status == PASS


def test_the_magnitude_is_found_at_which_a_cell_state_is_clipped(asker, backend_name):
    if "cell-clipped-at-10" not in regime_faults(backend_name):
        pytest.skip("cell-clipped-at-10 is put into PyTorch's equations")
    found = smallest(asker, "equations-cell-clipped-at-10", "saturated-lstm")
    assert set(edges_of(found.point)) == {"s"}
    assert 10 < found.largest["C"] < 11
    assert "the cell state is clipped at ±10" in found.why
