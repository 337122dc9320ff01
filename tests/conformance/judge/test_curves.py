"""The judge of training curves: honest runs pass, every mistake is rejected and named.

The runs are real ones of the quick recipe, judged by the ensembles that are stored.
"""

import argparse
import copy
import dataclasses
import json
import math
from functools import cache

import numpy as np
import pytest

from common.errors import EXIT_PASS, BadInput
from common.storage.files import write_json
from conformance.calibrate.command import add_ensemble, run_ensemble
from conformance.calibrate.curve_mutants import MISTAKES
from conformance.calibrate.ensemble import (
    asked,
    choose_thresholds,
    curve,
    holds,
    summarise,
)
from conformance.calibrate.envelope import truth
from conformance.judge import curves
from conformance.judge.curves import (
    EARLY,
    FINITE,
    WHOLE,
    epochs_to,
    find_ensemble,
    judge_curve,
    load_ensemble,
    load_ensembles,
    student_t,
)
from conformance.run.asked import Run

RNN, LSTM, GRU_AFTER, GRU_BEFORE = "quick-rnn", "quick-lstm", "quick-gru-after", "quick-gru-before"
D2L = "d2l-lstm"
FRESH = 77_001
"""A perturbation that no member has, and that nothing was measured with."""


def options_of(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_ensemble(parser)
    return parser.parse_args(words)


@cache
def question(name: str) -> Run:
    cell, reset = ([*name.split("-")[1:], "after"])[:2]
    return asked(options_of(["--cell", cell, "--reset", reset]))[0]


@cache
def made(name: str, mistake: str | None = None, perturbation: int = FRESH) -> str:
    run = question(name)
    recipe = dataclasses.replace(run.recipe, perturbation=perturbation)
    return json.dumps(curve(dataclasses.replace(run, recipe=recipe), mistake))


def trained(name: str = RNN, mistake: str | None = None, perturbation: int = FRESH) -> dict:
    """A run of its own for every test, as it is read from run.json."""
    return json.loads(made(name, mistake, perturbation))


def stored(name: str = RNN) -> curves.Ensemble:
    return load_ensemble(curves.ENSEMBLES / f"{name}.json")


def verdict(name: str = RNN, mistake: str | None = None) -> curves.CurveVerdict:
    return judge_curve(trained(name, mistake), stored(name))


@pytest.mark.parametrize("name", [RNN, GRU_AFTER, GRU_BEFORE, LSTM])
def test_an_honest_run_is_accepted(name):
    found = verdict(name)
    assert found.accepted, found.reason
    assert found.reason == ""
    assert {test.part for test in found.tests} == {FINITE, EARLY, WHOLE}


@pytest.mark.parametrize("perturbation", [0, 77_002, 77_003])
def test_other_honest_runs_are_accepted(perturbation):
    found = judge_curve(trained(perturbation=perturbation), stored())
    assert found.accepted, found.reason


def assert_rejected(name: str, mistake: str) -> None:
    """By both parts, and the sentence says where each begins."""
    found = verdict(name, mistake)
    assert not found.accepted
    assert found.rejected_by == [EARLY, WHOLE]
    assert found.reason.startswith(f"{EARLY}: ") and f"; {WHOLE}: " in found.reason


def test_a_learning_rate_five_percent_too_high_is_rejected():
    assert_rejected(RNN, "learning rate 5 % too high")
    # The first loss is from before the first step: only the second can tell.
    reason = verdict(RNN, "learning rate 5 % too high").reason
    assert reason.startswith("early envelope: loss at step 2: expected 3.2231")


def test_a_missing_clip_is_rejected():
    assert_rejected(RNN, "no clip")


def test_two_trainable_biases_instead_of_one_are_rejected():
    assert_rejected(RNN, "two trainable biases")


def test_a_state_that_is_not_carried_is_rejected():
    assert_rejected(RNN, "state not carried")


def test_a_loss_that_is_summed_instead_of_averaged_is_rejected():
    assert_rejected(RNN, "loss summed, not averaged")


def test_a_forget_bias_of_one_is_rejected():
    assert_rejected(LSTM, "forget bias of one")


@pytest.mark.once
@pytest.mark.parametrize("name", [GRU_AFTER, GRU_BEFORE])
def test_a_gru_with_the_other_reset_is_rejected(name):
    assert_rejected(name, "other reset")


def test_every_mistake_is_tried_above():
    tried = {"learning rate 5 % too high", "no clip", "two trainable biases", "state not carried"}
    assert set(MISTAKES) == tried | {
        "loss summed, not averaged",
        "forget bias of one",
        "other reset",
    }


def test_the_sentence_names_the_step_the_value_and_the_interval():
    run = trained()
    run["epochs"][0]["losses"][6] += 1e-4
    found = judge_curve(run, stored())
    (failure,) = [test for test in found.failures if test.part == EARLY]
    assert failure.name == "loss at step 7"
    assert f"expected {failure.low:.9g} to {failure.high:.9g}" in found.reason
    assert f"found {failure.value:.9g}" in found.reason


def test_a_norm_alone_can_reject():
    run = trained()
    run["epochs"][0]["norms"][2] *= 1 + 1e-5
    found = judge_curve(run, stored())
    assert [test.name for test in found.failures] == ["norm at step 3"]


@pytest.mark.parametrize("times", [0.97, 1.03])
def test_a_run_that_ends_too_low_is_rejected_just_as_one_that_ends_too_high(times):
    run = trained()
    for row in run["epochs"][3:]:
        row["losses"] = [loss * times for loss in row["losses"]]
    assert judge_curve(run, stored()).rejected_by == [WHOLE]


def test_a_run_that_never_gets_there_is_rejected():
    run = trained()
    run["epochs"][-10:] = copy.deepcopy([run["epochs"][2]] * 10)
    values = [test.value for test in judge_curve(run, stored()).failures]
    assert math.inf in values


@pytest.mark.parametrize("numerics", ["float32", "tf32"])
@pytest.mark.parametrize("epoch", [0, 8, 14])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_number_that_is_not_finite_is_rejected_wherever_it_is(value, epoch, numerics):
    for key in ("losses", "norms"):
        run = trained() | {"numerics": numerics}
        run["epochs"][epoch][key][3] = value
        found = judge_curve(run, stored())
        assert not found.accepted
        assert FINITE in found.rejected_by


@pytest.mark.parametrize("numerics", ["tf32", "mixed"])
def test_tf32_and_mixed_are_judged_by_the_whole_run_alone(numerics):
    run = trained() | {"numerics": numerics}
    run["epochs"][0]["losses"][6] += 1e-4
    found = judge_curve(run, stored())
    assert found.accepted
    assert {test.part for test in found.tests} == {FINITE, WHOLE}


@pytest.mark.parametrize("numerics", ["tf32", "mixed"])
def test_tf32_and_mixed_do_not_excuse_a_loss_that_is_summed(numerics):
    run = trained(mistake="loss summed, not averaged") | {"numerics": numerics}
    assert judge_curve(run, stored()).rejected_by == [WHOLE]


def refused(field: str, run: dict) -> None:
    with pytest.raises(BadInput) as error:
        judge_curve(run, stored())
    assert error.value.field == field


def test_a_run_that_is_too_short_is_refused():
    run = trained()
    run["epochs"].pop()
    refused("epochs", run)
    refused("epochs", trained() | {"status": "crashed"})


def test_a_run_of_another_recipe_spec_or_text_is_refused():
    run = trained()
    refused("recipe", run | {"recipe": run["recipe"] | {"clip": 1.0}})
    refused("recipe", run | {"recipe": None})
    refused("spec", run | {"spec": run["spec"] | {"h": 33}})
    refused("text", run | {"text": run["text"] | {"characters": 1}})
    refused("text", run | {"text": run["text"] | {"sha256": "0"}})


def test_a_run_on_the_lattice_is_refused():
    run = trained()
    refused("recipe", run | {"recipe": run["recipe"] | {"lattice": True}})
    refused("numerics", run | {"numerics": "lattice"})


def test_a_run_with_epochs_that_are_not_whole_is_refused():
    for change in ({"losses": []}, {"losses": ["much"]}, {"norms": [1.0]}):
        run = trained()
        run["epochs"][4] |= change
        with pytest.raises(BadInput):
            judge_curve(run, stored())


def test_an_ensemble_is_found_whatever_the_perturbation_and_the_name_of_the_text():
    run = trained()
    run["text"]["name"] = "another name"
    assert find_ensemble(run).name == RNN
    assert find_ensemble(run | {"recipe": run["recipe"] | {"epochs": 16}}) is None
    assert find_ensemble(run, [stored(LSTM)]) is None
    assert [ensemble.name for ensemble in load_ensembles()] == sorted(
        [D2L, RNN, LSTM, GRU_AFTER, GRU_BEFORE]
    )


def test_the_stored_ensembles_are_small_and_hold_no_text():
    for ensemble in load_ensembles():
        assert ensemble.path.stat().st_size < 100_000
        assert set(ensemble.text) == {"sha256", "characters"}
        # A run of the full recipe takes minutes.
        assert ensemble.members >= (5 if ensemble.name == D2L else 40)
        assert ensemble.steps <= 40 and (ensemble.steps == 40 or ensemble.name == D2L)
        assert all(len(values) == ensemble.members for values in ensemble.whole.values())


def test_a_spread_never_falls():
    for bands in stored(GRU_AFTER).early.values():
        assert np.all(np.diff(bands["spread"]) >= 0)


@pytest.mark.once
def test_an_ensemble_is_made_again_from_its_runs():
    runs = [trained(perturbation=seed) for seed in range(6)]
    centre = truth(question(RNN))
    data = summarise(runs, centre)
    assert data["members"] == 5
    assert data["recipe"]["perturbation"] == 0
    # The members 1 to 5 of the stored one; another BLAS may round otherwise.
    assert data["thresholds"] == pytest.approx(stored().thresholds, rel=1e-5)
    for found, wanted in zip(data["whole"].values(), stored().whole.values(), strict=True):
        assert found == pytest.approx(wanted[:5], rel=1e-5)
    for wrong in (runs[1:], runs[:5], [*runs, runs[0]], [*runs[:5], runs[4]]):
        with pytest.raises(BadInput):
            summarise(wrong, centre)


def test_an_envelope_has_float64_in_its_centre():
    data = summarise([trained(perturbation=seed) for seed in range(6)], truth(question(RNN)))
    assert data["centre"] == "float64"
    in_float64 = curve(dataclasses.replace(question(RNN), numerics="float64"))
    for quantity, key in (("loss", "losses"), ("norm", "norms")):
        wanted = np.concatenate([epoch[key] for epoch in in_float64["epochs"]])
        centre = data["early"][quantity]["centre"]
        assert centre == wanted[: len(centre)].tolist()
        # The members' mean lies near, and is another number.
        assert centre != stored().early[quantity]["centre"][: len(centre)]
        assert centre == pytest.approx(stored().early[quantity]["centre"][: len(centre)], rel=1e-4)


def command(*words: str) -> int:
    options = options_of(["--cell", "rnn", *words])
    options.quiet = True
    return run_ensemble(options)


def test_the_command_gathers_runs_from_a_folder_and_measures_the_ensemble(tmp_path, capsys):
    for seed in range(6):
        write_json(tmp_path / "runs" / f"seed{seed}" / "run.json", trained(perturbation=seed))
    out = tmp_path / "out"
    assert command("--from", str(tmp_path / "runs"), "--out", str(out)) == EXIT_PASS
    (made_here,) = load_ensembles(out)
    assert (made_here.name, made_here.members) == (RNN, 5)
    assert command("--measure", "--runs", "1", "--mutant-runs", "0", "--out", str(out)) == EXIT_PASS
    measured = json.loads((out / curves.MEASURED).read_text(encoding="utf-8"))[RNN]
    assert measured["honest"]["numpy:equations"]["runs"] == 1
    assert RNN in capsys.readouterr().out


def test_the_command_refuses_too_few_members_and_a_folder_without_runs(tmp_path):
    for words in (("--members", "4"), ("--from", str(tmp_path)), ("--measure",)):
        with pytest.raises(BadInput):
            command(*words, "--out", str(tmp_path))


def test_a_measurement_in_which_a_mistake_gets_through_does_not_hold():
    counts = {"runs": 20, "rejected": 20}
    assert holds({"honest": {"x": {"runs": 100, "rejected": 1}}, "mistakes": {"y": counts}})
    assert not holds({"honest": {"x": {"runs": 99, "rejected": 1}}, "mistakes": {"y": counts}})
    missed = counts | {"rejected": 19}
    assert not holds({"honest": {"x": {"runs": 100, "rejected": 0}}, "mistakes": {"y": missed}})


def end(curve: np.ndarray) -> float:
    return curves.statistics([np.array([loss]) for loss in curve], [])[curves.END]


@pytest.mark.parametrize("first", [420, 450, 465, 480, 490, 498])
def test_a_step_too_far_late_in_a_long_run_leaves_its_end_as_it_was(first):
    honest = np.geomspace(0.06, 0.024, 500)
    jumped = honest.copy()
    jumped[first : first + 8] += 0.35
    assert abs(end(jumped) - end(honest)) < curves.MARGINS["float32"][0] / 2


def test_a_long_run_that_does_not_come_down_again_has_another_end():
    honest = np.geomspace(0.06, 0.024, 500)
    broken = honest.copy()
    broken[455:] += 0.02
    assert end(broken) - end(honest) > 2 * curves.MARGINS["float32"][0]


def test_a_short_run_ends_in_its_last_three_epochs():
    assert end(np.arange(15.0)) == 13


def test_thresholds_lie_where_the_curve_is_steep():
    falls = [1.0, 0.2, 1.5, 0.1, 0.1, 0.9, 0.1]
    curve_ = 10 - np.cumsum([0.0, *falls])
    found = np.log(choose_thresholds(curve_))
    assert found == pytest.approx([9.5, 8.05, 6.65])


def test_epochs_are_counted_between_epochs_along_a_straight_line():
    down = np.log([8.0, 4.0, 2.0])
    assert epochs_to(4.0, down) == pytest.approx(2.0)
    assert epochs_to(math.sqrt(8.0), down) == pytest.approx(2.5)
    assert epochs_to(9.0, down) == 1.0
    assert epochs_to(1.5, down) == math.inf


@pytest.mark.parametrize(
    ("probability", "freedom", "wanted"),
    [(0.95, 1, 12.7062), (0.95, 2, 4.30265), (0.95, 10, 2.22814), (0.99, 39, 2.70791)],
)
def test_students_t_is_that_of_the_tables(probability, freedom, wanted):
    assert student_t(probability, freedom) == pytest.approx(wanted, rel=1e-5)


def test_the_nominal_rates_are_what_is_stated():
    m, steps = 40, 40
    assert curves.ALPHA <= 0.01
    # Both quantities at every early step, each outside 8 spreads of a new member's distribution.
    each = 1e-6 / (2 * steps)
    assert student_t(1 - each, m - 1) * math.sqrt(1 + 1 / m) < curves.WIDENING


def test_what_was_measured_is_stored_and_holds():
    measured = json.loads((curves.ENSEMBLES / curves.MEASURED).read_text(encoding="utf-8"))
    assert set(measured) == {ensemble.name for ensemble in load_ensembles()} - {D2L}
    for name, found in measured.items():
        reference = found["honest"]["numpy:equations"]
        assert reference["runs"] >= 200, name
        for counts in found["honest"].values():
            assert counts["rejected"] <= 0.01 * counts["runs"], name
        for mistake, counts in found["mistakes"].items():
            assert counts["early"] == counts["rejected"] == counts["runs"] > 0, (name, mistake)
