"""A declared deviation excuses what it declares, no more, and only as long as it is true."""

import argparse
import copy
import functools

import numpy as np
import pytest

from common.corpus import load_corpus
from common.errors import BadInput
from common.recipe import Recipe
from common.spec import CELLS, ModelSpec
from conformance.calibrate.ensemble import asked, curve
from conformance.cases.given import Given
from conformance.cases.table import find_case
from conformance.closeness.compare import UNIT_ROUNDOFF, load_bounds
from conformance.judge.curves import WIDENING, load_ensembles
from conformance.judge.ladder import compare_values, judge, judging_as
from conformance.judge.training import _judge_curve
from conformance.progress import Progress
from conformance.records.training import TrainingRun
from conformance.verdict.deviations import (
    FIELDS,
    LADDER_FIELDS,
    Deviation,
    load_deviations,
    unexcused,
)
from conformance.verdict.results import CaseResult, TrainingResult, Verdict
from conformance.verdict.terminal import summary
from conformance.verdict.terminal_training import cell
from tests.answers import right_once
from tests.conformance.helpers import spoil

pytestmark = pytest.mark.usefixtures("few_suspects")

CASE = "lstm-L2"
TENSOR = "gradients/layer1.W_xi"
LADDER = {
    "implementation": "numpy:equations",
    "dtype": "float32",
    "cases": "lstm-*",
    "tensors": "gradients/layer1.W_x?",
    "margin": 1e-3,
}


def declared(**changes: object) -> Deviation:
    fields = dict.fromkeys(FIELDS, "…") | {"id": "test-1", "ladder": LADDER | changes}
    return Deviation(fields)


def judged(out, *deviations: Deviation) -> tuple[Verdict, CaseResult]:
    """The verdict, and the result of the spoiled case."""
    verdict = judge(out, Progress(quiet=True), deviations=list(deviations))
    found = [r for r in verdict.results if (r.case, r.dtype) == (CASE, "float32")]
    assert len(found) == 1
    return verdict, found[0]


def deviate(out, by: float, tensor: str = TENSOR) -> None:
    """Let a tensor deviate by this much, relative to its largest magnitude."""

    def change(arrays: dict) -> None:
        array = arrays[tensor]
        array.flat[0] += by * np.abs(array).max()

    spoil(out / "numpy-cpu", CASE, change, "float32")


def test_a_deviation_within_the_margin_is_declared_and_not_passed(out):
    deviate(out, 5e-4)
    verdict, result = judged(out, declared())
    assert (result.status, result.reason) == ("declared deviation", "test-1")
    assert verdict.passed
    assert sum(r.status == "pass" for r in verdict.results) == 3
    assert "on 3 case results" in verdict.sentence()
    assert "declared deviation: numpy:equations: test-1 (1 case)" in summary(verdict)


def test_a_deviation_beyond_the_margin_fails(out):
    deviate(out, 2e-3)
    verdict, result = judged(out, declared())
    assert result.status == "fail"
    assert not verdict.passed


def test_a_deviation_of_more_noise_floors_than_declared_fails(out):
    deviate(out, 5e-4)
    ratio = next(c.ratio for c in judged(out, declared())[1].comparisons if c.tensor == TENSOR)
    assert judged(out, declared(floors=1.01 * ratio))[1].status == "declared deviation"
    assert judged(out, declared(floors=0.99 * ratio))[1].status == "fail"


def test_drawn_cases_have_a_margin_of_their_own_and_are_never_stale():
    right = right_once("regime-0-0", Given(load_corpus()))
    assert right.case.name == "regime-0-0"
    tensor, bounds, row = "forward/O", load_bounds()["cpu"], ("numpy:equations", "cpu", "float32")
    for by, drawn, left in ((0.5, 0.6, []), (0.5, 0.4, [tensor]), (0.0, 0.6, [])):
        got = {name: array.astype("float32") for name, array in right.wanted.items()}
        got[tensor].flat[0] += by * np.abs(got[tensor]).max()
        compared = compare_values(got, right, "float32", bounds["float32"], {})
        excusing, other = declared(drawn=drawn), declared(margin=0.9)
        found, used = unexcused(row, right.case, compared, [excusing, other], lambda _: {})
        assert ([c.tensor for c in found], bool(used)) == (left, by > 0 and not left)
        assert (excusing.applied, other.applied, excusing.stale) == (0, 0, False)


def test_a_deviation_of_one_cell_says_nothing_of_the_others():
    case = find_case("regime-0-0", Given(load_corpus()))
    row = ("numpy:equations", "cpu", "float32")
    found = [kind for kind in CELLS if declared(drawn=0.5, cell=kind).applies_to(*row, case)]
    assert found == [case.spec.cell]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_never_excused(value, out):
    spoil(out / "numpy-cpu", CASE, lambda arrays: arrays[TENSOR].fill(value), "float32")
    verdict, result = judged(out, declared(margin=1e9))
    assert result.status == "fail"
    assert not verdict.passed


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop(TENSOR),
        lambda arrays: arrays.update({TENSOR: arrays[TENSOR][:-1]}),
        lambda arrays: arrays.update({TENSOR: arrays[TENSOR].astype("float64")}),
    ],
    ids=["missing", "misshapen", "of another dtype"],
)
def test_a_tensor_that_cannot_be_compared_is_never_excused(change, out):
    spoil(out / "numpy-cpu", CASE, change, "float32")
    assert judged(out, declared(margin=1e9))[1].status == "fail"


def test_an_option_that_is_ignored_is_never_excused(out):
    """What must differ fails by an error that is too small, not too large."""

    def ignore(arrays: dict) -> None:
        arrays["invariance/option-layers/O"] = arrays["forward/O"].copy()

    spoil(out / "numpy-cpu", CASE, ignore, "float32")
    assert judged(out, declared(tensors="*"))[1].status == "fail"


def test_a_second_failure_that_is_not_declared_fails_beside_the_first(out):
    deviate(out, 5e-4)
    deviate(out, 5e-4, "gradients/layer2.W_xi")
    assert judged(out, declared())[1].status == "fail"
    assert judged(out, declared(), declared(tensors="gradients/layer2*"))[1].status == (
        "declared deviation"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"implementation": "numpy:layers"},
        {"dtype": "float64"},
        {"device": "gpu"},
        {"cases": "gru-*"},
        {"tensors": "gradients/layer2*"},
        {"tensors": "layer1.W_xi"},
    ],
    ids=str,
)
def test_a_deviation_of_something_else_excuses_nothing(changes, out):
    deviate(out, 5e-4)
    assert judged(out, declared(**changes))[1].status == "fail"


def test_a_deviation_that_no_longer_deviates_is_stale_and_fails(out):
    verdict, result = judged(out, declared())
    assert result.status == "pass"
    assert not verdict.passed
    assert [d.id for d in verdict.stale] == ["test-1"]
    assert verdict.sentence().startswith("FAIL: stale deviation test-1")
    assert verdict.to_json()["stale deviations"] == ["test-1"]


def test_a_deviation_of_what_was_not_judged_is_not_stale(out):
    verdict, _ = judged(out, declared(implementation="mxnet:layers"))
    assert verdict.passed


def test_a_deviation_that_speaks_of_no_ladder_excuses_nothing(out):
    deviate(out, 5e-4)
    verdict, result = judged(out, Deviation(dict.fromkeys(FIELDS, "…")))
    assert result.status == "fail"
    assert not verdict.stale


def as_float32(**changes: object) -> Deviation:
    ladder = {k: v for k, v in (LADDER | changes).items() if k != "margin"}
    fields = dict.fromkeys(FIELDS, "…") | {"id": "test-1"}
    return Deviation(fields | {"ladder": ladder | {"dtype": "float64", "judged_as": "float32"}})


def in_float64(out, change, *deviations: Deviation) -> tuple[str, Verdict]:
    """The status of a float64 case in which one tensor was changed."""
    spoil(out / "numpy-cpu", CASE, change, "float64")
    verdict = judge(out, Progress(quiet=True), deviations=list(deviations))
    (found,) = [r for r in verdict.results if (r.case, r.dtype) == (CASE, "float64")]
    return found.status, verdict


def rounded(arrays: dict) -> None:
    arrays[TENSOR] = arrays[TENSOR].astype("float32").astype("float64")


def test_what_is_computed_in_float32_is_excused_as_far_as_float32_goes(out):
    status, verdict = in_float64(out, rounded, as_float32())
    assert status == "declared deviation"
    assert verdict.passed


def test_what_is_too_far_off_for_float32_is_not_excused(out):
    def change(arrays: dict) -> None:
        rounded(arrays)
        arrays[TENSOR].flat[0] += 1e-5 * np.abs(arrays[TENSOR]).max()

    assert in_float64(out, change, as_float32())[0] == "fail"


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_no_other_dtype_excuses_what_is_wrong_in_it_too(value, out):
    def change(arrays: dict) -> None:
        arrays[TENSOR].flat[0] = value

    assert in_float64(out, change, as_float32())[0] == "fail"


def test_another_dtype_excuses_no_tensor_that_is_missing(out):
    assert in_float64(out, lambda arrays: arrays.pop(TENSOR), as_float32())[0] == "fail"


def test_a_tensor_in_another_dtype_is_not_excused(out):
    def change(arrays: dict) -> None:
        arrays[TENSOR] = arrays[TENSOR].astype("float32")

    assert in_float64(out, change, as_float32())[0] == "fail"


def test_weights_that_were_rounded_are_not_excused(out):
    def change(arrays: dict) -> None:
        arrays["weights/layer1.W_xi"] *= 1 + 1e-9

    assert in_float64(out, change, as_float32(tensors="*"))[0] == "fail"


def test_a_case_that_is_judged_by_element_is_excused_by_element():
    given = Given(load_corpus())
    right = right_once("saturated-lstm", given)
    limits = load_bounds()["cpu"]
    tensor = "gradients/layer1.W_xi"
    deviation = as_float32(cases="*", tensors="*")
    row = "numpy:equations", "cpu", "float64"
    for units, excused in ((8, True), (32, False)):
        got = {name: array.copy() for name, array in right.wanted.items()}
        got[tensor] += units * right.allowed["float32"][tensor]
        compared = compare_values(got, right, "float64", limits["float64"], {})
        judged = judging_as(got, right, limits, {})
        left, used = unexcused(row, right.case, compared, [deviation], judged)
        assert ([c.tensor for c in left], bool(used)) == ([tensor] * (not excused), excused)


def write(path, margin: tuple[str, ...] = ("margin = 1e-6",), **changes) -> None:
    lines = ["[[deviation]]"]
    lines += [f'{field} = "{changes.get(field, field)}"' for field in FIELDS]
    lines += ["[deviation.ladder]", *(f'{field} = "x"' for field in LADDER_FIELDS)]
    path.write_text("\n".join([*lines, *margin]) + "\n", encoding="utf-8")


def test_the_file_is_read_as_entries(tmp_path):
    path = tmp_path / "deviations.toml"
    write(path, id="first")
    (found,) = load_deviations(path)
    assert (found.id, found.ladder["margin"]) == ("first", 1e-6)


@pytest.mark.parametrize("field", [*FIELDS, *LADDER_FIELDS])
def test_an_entry_that_lacks_a_field_is_bad_input(field, tmp_path):
    path = tmp_path / "deviations.toml"
    write(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(f"{field} =")), "utf-8")
    with pytest.raises(BadInput, match=field):
        load_deviations(path)


@pytest.mark.parametrize(
    "margin",
    [
        (),
        ("margin = 1e-6", 'judged_as = "float32"'),
        ('judged_as = "float16"',),
        ('judged_as = "float32"', "floors = 8.0"),
        ('judged_as = "float32"', "drawn = 1e-11"),
    ],
)
def test_an_entry_says_in_one_way_how_much_it_excuses(margin, tmp_path):
    path = tmp_path / "deviations.toml"
    write(path, margin)
    with pytest.raises(BadInput, match="margin|judged_as"):
        load_deviations(path)


@pytest.mark.parametrize("content", [b"[[deviation", b"\xff", b"a = 1\na = 2\n"])
def test_a_file_that_is_no_toml_is_bad_input(content, tmp_path):
    path = tmp_path / "deviations.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="a TOML file"):
        load_deviations(path)


def test_the_project_s_own_file_is_whole_and_its_entries_have_names_of_their_own():
    names = [deviation.id for deviation in load_deviations()]
    assert len(set(names)) == len(names)


TRAINING = {
    "implementation": "numpy:equations",
    "device": "cpu",
    "numerics": "float32",
    "ensembles": "quick-*",
    "strain": 3.0,
}


def trained(folder, change, **changes: object) -> TrainingResult:
    """The result of an honest run of the quick vanilla RNN whose epochs were changed."""
    data = copy.deepcopy(honest())
    change(data["epochs"])
    fields = dict.fromkeys(FIELDS, "…") | {"id": "test-2", "training": TRAINING | changes}
    result = TrainingResult("numpy:equations", "cpu", "float32", "quick-rnn")
    spec, recipe = ModelSpec.from_json(data["spec"]), Recipe.from_json(data["recipe"])
    found = TrainingRun(folder, data, spec, recipe)
    _judge_curve(found, result, load_ensembles(), [Deviation(fields)])
    return result


@functools.cache
def honest() -> dict:
    question = argparse.Namespace(recipe="quick", cell=["rnn"], reset=["after"], text=None)
    (run,) = asked(question)
    return curve(run)


def early(by: float):
    """The loss of the fifth step, moved by so many half widths of the early envelope."""

    def change(epochs: list) -> None:
        bands = next(e for e in load_ensembles() if e.name == "quick-rnn").early["loss"]
        half = WIDENING * max(bands["spread"][4], UNIT_ROUNDOFF) * bands["centre"][4]
        epochs[0]["losses"][4] = bands["centre"][4] + by * half

    return change


def late(epochs: list) -> None:
    """A run that ends too high."""
    for row in epochs[-3:]:
        row["losses"] = [1.2 * loss for loss in row["losses"]]


def test_a_run_beside_the_early_envelope_is_declared_and_not_passed(tmp_path):
    result = trained(tmp_path, early(2.0))
    assert (result.status, result.reason) == ("declared deviation", "test-2")
    assert cell(result).plain.startswith("△")


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        (early(4.0), {}),
        (late, {}),
        (lambda epochs: (early(2.0)(epochs), late(epochs)), {}),
        (lambda epochs: epochs[0]["losses"].__setitem__(4, float("nan")), {}),
        (early(2.0), {"implementation": "numpy:layers"}),
        (early(2.0), {"device": "gpu"}),
        (early(2.0), {"numerics": "float64"}),
        (early(2.0), {"ensembles": "quick-lstm"}),
    ],
    ids=["farther", "the end", "both", "NaN", "other layers", "device", "numerics", "ensemble"],
)
def test_nothing_else_about_a_run_is_excused(change, changes, tmp_path):
    assert trained(tmp_path, change, **changes).status == "fail"


def test_an_unknown_field_of_a_deviation_is_refused(tmp_path):
    fields = "\n".join(f'{name} = "x"' for name in FIELDS)
    path = tmp_path / "deviations.toml"
    path.write_text(f"[[deviation]]\n{fields}\n[deviation.training]\nsort = 1\n")
    with pytest.raises(BadInput, match="sort"):
        load_deviations(path)
