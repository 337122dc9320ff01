"""Wrong networks in several layouts: ``diagnose`` calls none of them all right."""

import numpy as np
import pytest

from conformance.calibrate import own_networks
from conformance.calibrate.own_networks import OwnScore, Trial, kinds, subject, trials
from conformance.models.evaluator import run
from conformance.models.layouts import LAYOUTS

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "kind", [("pytorch", "rnn", 2), ("flax", "gru", 2), ("keras2", "gru", 1), ("tf1", "rnn", 2)]
)
def test_no_wrong_network_is_called_all_right(kind):
    score = OwnScore(trials(kind))
    assert score.holds
    assert {t.fault for t in score.trials if t.passed} >= {"nothing"}
    wrong = [trial for trial in score.trials if not trial.right]
    named = [trial for trial in wrong if trial.said in ("wrong", "another option")]
    assert len(wrong) > 15 and len(named) / len(wrong) > 0.8


def test_every_layout_and_cell_is_asked():
    asked = {(layout, cell) for layout, cell, _ in kinds()}
    assert asked == {(name, cell) for name, table in LAYOUTS.items() for cell in table.order}


def test_a_false_all_right_fails_the_score():
    right = Trial("pytorch", "gru", "nothing", True, "all right", True)
    false = Trial("pytorch", "gru", "reset before", False, "all right", True)
    missed = Trial("pytorch", "gru", "nothing", True, "unknown", False)
    assert OwnScore([right]).holds
    assert not OwnScore([right, false]).holds
    assert not OwnScore([right, missed]).holds
    assert not OwnScore([]).holds
    assert 'false "all right": 1' in OwnScore([right, false]).lines()[0]
    assert "| pytorch | 1 | 0 | 1 | 1 |" in OwnScore([right, false]).markdown()


def test_the_parameters_that_are_stored_are_those_that_the_oracle_gets():
    spec, params, loaded, usual = subject("onnx", "lstm", 2)
    X = np.random.RandomState(1).standard_normal((4, 2, spec.d))
    one = own_networks.network(spec, params, 2)
    made = run(one, usual.choices, X).outputs
    assert np.array_equal(run(loaded.network, usual.choices, X).outputs, made)
