"""Live sabotage: every fault in a real backend is found by the real record and judge."""

import pytest

from common.spec import ModelSpec
from conformance.verdict.outcome import DECLARED, FAIL, PASS, UNSUPPORTED
from conformance.verdict.results import CaseResult
from tests.backends.faults import FAULTS, KINDS, taking_turns

CASES = ["rnn-tanh-wide", "gru-before-wide", "gru-after-wide", "lstm-wide"]
"""Of two layers, and asked nothing beside the ladder."""
CASES += ["lstm-bidirectional-lengths-L1", "gru-after-uneven-L2", "lstm-projected-uneven-L2"]
CASES += ["large-dropout-gru-after-bidirectional-L2", "lstm-peepholes-clipped-L2"]

SAID = {
    "gates-i-f-g-o": "the gates i,f,o,g are taken for i,f,g,o",
    "gates-r-z-n": "the gates z,r,n are taken for r,z,n",
    "recurrent-matrices-transposed": "every recurrent matrix is transposed",
    "forget-bias-of-one": "1 is added to the forget gate's pre-activation",
    "initial-state-ignored": "the initial state is ignored",
    "rate-too-high": "the learning rate is 5 % higher",
    "state-not-carried": "every minibatch starts from the first state",
    "no-clip": "gradients are not clipped",
    "loss-summed": "the loss is the sum over T·n",
    "lengths-ignored": "the examples' lengths are ignored: all have T steps",
    "lengths-one-short": "the examples end one step early",
    "lengths-sorted": "the lengths are sorted and the examples are not",
    "padding-in-the-loss": "the loss sums over the padding, too",
    "smaller-states-from-the-end": "a smaller layer starts from the last numbers of its row",
    "projection-read-as-it-lies": "W_hp is reshaped instead of transposed (memory order kept)",
    "projection-reversed": "the projected units are in reverse order",
    "dropout-ignored": "nothing is dropped",
    "peepholes-as-they-lie-in-onnx": "the peepholes i,f,o are taken for i,o,f",
    "gates-not-clipped": "nothing is clipped before σ and tanh",
    "gates-clipped-at-twice": "the gates are clipped to ±2κ",
    "dropout-not-scaled": "what is kept is not scaled",
    "mask-inverted": "a 1 of the mask drops, and a 0 keeps",
    "one-mask-for-all-steps": "step 1's mask is every step's",
    "masks-batch-major": "the masks' numbers are read as (n, T) where they lie as (T, n)",
}
"""What the diagnosis must say of a fault."""


@pytest.fixture(scope="module")
def found(judged) -> dict[tuple[str, str], CaseResult]:
    return judged("sabotaged_worker.py", CASES, 1, SAID)


def test_sound_implementations_pass_beside_the_sabotaged_ones(found, implementation):
    statuses = {case: found[implementation, case].status for case in CASES}
    assert set(statuses.values()) <= {PASS, DECLARED, UNSUPPORTED}
    assert PASS in statuses.values()


def tried(found, implementation: str, fault: str) -> list[CaseResult]:
    """What the judge says where the fault could be put in."""
    results = [found[f"{implementation}-{fault}", case] for case in CASES]
    results = [result for result in results if result.status != UNSUPPORTED]
    if not results:
        pytest.skip(f"{fault} cannot be put into {implementation}")
    return results


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found_wherever_it_can_be_put_in(found, implementation, fault):
    results = tried(found, implementation, fault)
    assert {result.case: result.status for result in results} == {r.case: FAIL for r in results}
    assert all(result.place for result in results)


@pytest.mark.parametrize("fault", SAID)
def test_what_the_diagnosis_says_of_a_real_fault(found, implementation, fault):
    said = [result.why for result in tried(found, implementation, fault)]
    assert said and all(SAID[fault] in why for why in said), said


def test_faults_that_take_turns_reach_every_cell_and_each_reaches_two():
    """In the frameworks; the reference has each of them in each cell."""
    reached = {kind: 0 for kind in KINDS}
    for name, fault in taking_turns(FAULTS).items():
        where = {False: [], True: []}
        for cell, reset in KINDS:
            spec = ModelSpec(cell, 2, 2, 2, 1, ("tanh",) if cell == "rnn" else (), reset)
            for one, turns in ((FAULTS[name], False), (fault, True)):
                if one.applies("equations", spec):
                    where[turns].append((cell, reset))
        assert where[True] == where[False] or len(where[True]) == len(where[False]) / 2 == 2
        for kind in where[True]:
            reached[kind] += 1
    assert min(reached.values()) >= 6
