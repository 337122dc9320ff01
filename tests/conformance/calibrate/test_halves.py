"""Which wrong conventions half precision still tells, and the page that says so."""

import re

import pytest

from conformance.calibrate.certify import named
from conformance.calibrate.halves import TOLD, Power, asked, examine, table
from conformance.cases.halves import HALVES
from conformance.closeness.compare import load_bounds
from conformance.judge.required import load_matrix
from conformance.mutants import CATALOGUE, applicable
from tests.source import ROOT

PAGE = (ROOT / "docs" / "half-precision.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.once


def part(name: str) -> list[list[str]]:
    """The cells of the tables between two markers, without their heads."""
    between = PAGE.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    rows = [line.strip("| ").split(" | ") for line in between.splitlines() if line[:1] == "|"]
    return [row for row in rows if not row[0].startswith("---")]


@pytest.fixture(scope="module")
def powers() -> dict[str, Power]:
    return {tier: Power(tier, {"lstm-L2": examine("lstm-L2", tier)}) for tier in HALVES}


def test_what_is_far_off_is_told_in_every_tier_and_what_is_near_in_none(powers):
    for power in powers.values():
        far = {mutant.name: power.farthest(mutant) for mutant in power.known()}
        assert far["gates read as i,o,f,g"] >= TOLD
        assert far["weight decay"] < TOLD and far["epsilon in the clip"] < TOLD
        told = {m.name for m in power.known() if power.kills(m)}
        assert told == {name for name, bounds in far.items() if bounds >= TOLD}
        assert {m.name for m in power.untold()} == far.keys() - told


def test_a_finer_format_tells_more(powers):
    learning_rate = next(m for m in CATALOGUE if m.name == "learning rate 5 % too high")
    far = {tier: power.farthest(learning_rate) for tier, power in powers.items()}
    assert far["bfloat16"] < far["float16"] < far["tf32"]


def test_the_table_has_a_row_for_each_tier_and_one_for_what_some_tier_hides(powers):
    lines = table(list(powers.values())).splitlines()
    known = len(powers["tf32"].known())
    told = known - len(powers["tf32"].untold())
    assert f"| tf32 | 1 | {known} | {told} |" in lines
    row = next(line for line in lines if line.startswith("| weight decay |"))
    assert row.count("|") == 3 + len(HALVES)


def test_the_stored_page_is_of_this_catalogue_and_of_these_cases():
    """``certify --halves docs/half-precision.md`` makes it again."""
    counts = {row[0]: tuple(map(int, row[1:])) for row in part("power") if row[0] in HALVES}
    assert set(counts) == set(HALVES)
    for tier, (cases, known, told) in counts.items():
        names = asked(tier)
        able = {m.name for n in names for m in applicable(named(n).spec, *named(n).needs)}
        assert (cases, known) == (len(names), len(able)), tier
        assert 0.9 * known < told < known, tier
    left = re.search(r"The other (\d+) of (\d+) are about gates that are clipped", PAGE)
    assert left and int(left[2]) == len(CATALOGUE)
    assert int(left[1]) == len(CATALOGUE) - counts["bfloat16"][1]


def test_what_was_measured_is_within_the_bound():
    """``judge … --readme docs/half-precision.md`` makes it again."""
    rows = {row[0]: row for row in part("results") if row[0] != "framework"}
    assert set(rows) == {name for name, known in load_matrix().items() if known.halves}
    most = load_bounds()["cpu"]["bfloat16"]["gradients"].ratio
    for row in rows.values():
        assert row[1].startswith("✓ ")
        worst = [float(cell.rstrip("×")) for cell in row[2:]]
        assert len(worst) == len(HALVES) - 1 and 0.5 < max(worst) < most
