"""The atlas as data, and what deviations.toml says of versions, which must be what was measured."""

import pytest

from common.errors import BadInput
from conformance.records.witness import load_witnesses
from conformance.verdict.deviations import Deviation, load_deviations
from conformance.versions.stored import ANSWERED, FOLDER, load_atlas, measured, place, store
from conformance.versions.wanted import packages, pins

pytestmark = pytest.mark.once

STORED = sorted(path.stem for path in FOLDER.glob("*.json"))
DEVIATIONS = load_deviations()


def deviation(versions: str = "1.0", framework: str = "mxnet") -> Deviation:
    return Deviation({"id": "wrong", "framework": framework, "versions": versions})


def entry(version: str, status: str, package: str = "mxnet") -> dict:
    empty = {part: {} for part in ("ladder", "witnesses")}
    made = {"suite": "1", "date": "2026-01-01", "python": "3.11.7", "processor": "x", "cases": []}
    told = {"wrong": {"status": status, "why": ""}}
    found = {"asked": version, "status": ANSWERED, "why": "", "made": made}
    return found | {"packages": {package: version}, "deviations": told} | empty


def test_versions_stand_in_their_order():
    found = ["1.10.0", "1.9.1", "1.9.1.post1", "1.9.1rc1", "2.0", "1.9"]
    right = ["1.9", "1.9.1rc1", "1.9.1", "1.9.1.post1", "1.10.0", "2.0"]
    assert sorted(found, key=place) == right


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("there there there", "1.0 to 1.2"),
        ("there", "1.0"),
        ("gone there there", "1.1 to 1.2, not 1.0"),
        ("there there gone gone", "1.0 to 1.1, not 1.2"),
        ("gone there gone there", "1.1 and 1.3, not 1.0, not 1.2"),
        ("told there told", "1.1"),
    ],
)
def test_a_deviation_is_said_to_be_where_it_was_found(found, words):
    statuses = {"there": "there", "gone": "not there", "told": "cannot be told"}
    entries = [entry(f"1.{i}", statuses[word]) for i, word in enumerate(found.split())]
    assert measured(deviation(), entries[::-1]) == words


def test_the_versions_may_be_those_of_another_package():
    entries = [entry("3.5", "not there", "keras"), entry("3.6", "there", "keras")]
    assert measured(deviation("Keras 3.0"), entries) == "Keras 3.6, not 3.5"


def test_one_version_that_has_it_and_has_it_not_is_refused():
    with pytest.raises(BadInput, match="one answer for a version, found both at 1.0"):
        measured(deviation(), [entry("1.0", "there"), entry("1.0", "not there")])


def test_a_version_that_is_asked_again_takes_the_place_of_its_older_answer(tmp_path):
    for version, status in (("1.10", "there"), ("1.9", "there"), ("1.10", "not there")):
        store("mxnet", entry(version, status), tmp_path)
    found = load_atlas("mxnet", tmp_path)
    assert [(e["asked"], e["deviations"]["wrong"]["status"]) for e in found] == [
        ("1.9", "there"),
        ("1.10", "not there"),
    ]


def test_what_is_not_asked_again_stays(tmp_path):
    older = entry("1.9", "there") | {"ladder": {"rows": []}}
    older["made"] = older["made"] | {"cases": ["lstm-L1"]}
    store("mxnet", older, tmp_path)
    store("mxnet", entry("1.9", "not there"), tmp_path)
    [found] = load_atlas("mxnet", tmp_path)
    assert found["ladder"] == {"rows": []} and found["made"]["cases"] == ["lstm-L1"]
    assert found["deviations"]["wrong"]["status"] == "not there"
    gone = entry("1.9", "there") | {"status": "not installed", "why": "no build", "packages": {}}
    store("mxnet", gone | {"deviations": {}}, tmp_path)
    assert not load_atlas("mxnet", tmp_path)[0]["deviations"], "it cannot be had any more"


def test_a_file_that_is_not_whole_is_refused(tmp_path):
    (tmp_path / "mxnet.json").write_text('[{"asked": "1.0"}]')
    with pytest.raises(BadInput, match="mxnet.json"):
        load_atlas("mxnet", tmp_path)


@pytest.mark.parametrize("one", DEVIATIONS, ids=lambda one: one.id)
def test_every_field_of_versions_is_what_was_measured(one):
    if one.needs_a_gpu:
        pytest.skip("needs a GPU: measured there, docs/results/gpu")
    assert one.fields["versions"] == measured(one, load_atlas(one.fields["framework"]))


@pytest.mark.parametrize("backend", STORED)
def test_what_is_stored_speaks_of_what_there_is(backend):
    ids = {one.id for one in DEVIATIONS if one.fields["framework"] == backend}
    witnesses = {witness.name: witness for witness in load_witnesses()}
    for found in load_atlas(backend):
        assert bool(found["why"]) == (found["status"] != ANSWERED)
        assert set(found["deviations"]) <= ids
        for run in found["witnesses"].get("runs", []):
            digests = witnesses[run["witness"]].digests
            assert run["epochs"] == len(digests)
            same = run["agreed"] == run["epochs"]
            assert digests[-1].startswith(run["digest"]) == same, found["asked"]


def test_the_atlas_has_the_versions_that_are_pinned():
    assert STORED
    for backend in STORED:
        pinned = pins(backend)[0]["version"]
        own = packages(backend)[0]
        found = [e["packages"].get(own, "").partition("+")[0] for e in load_atlas(backend)]
        assert pinned in found, backend
