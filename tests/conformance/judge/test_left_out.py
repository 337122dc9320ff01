"""What half precision is not asked: nobody's answer, and nobody's excuse."""

from pathlib import Path

import pytest

from common.corpus import load_corpus
from conformance.cases.given import Given
from conformance.closeness.compare import load_bounds
from conformance.judge.ladder import Standards, judge_case
from conformance.records.ladder import Record
from conformance.verdict.outcome import CRASHED, FAIL, UNSUPPORTED

STANDARDS = Standards(load_bounds(), [], {})
LEFT_OUT = "it is in a regime, which is judged in float64 and float32 alone"


@pytest.mark.parametrize(
    ("entry", "status", "reason"),
    [
        ({"status": "unsupported", "reason": "whatever it says"}, UNSUPPORTED, LEFT_OUT),
        ({"status": "recorded", "digest": "0"}, FAIL, LEFT_OUT),
        ({"status": "crashed", "reason": "it ended"}, CRASHED, "it ended"),
    ],
)
def test_a_case_that_is_left_out_is_unsupported_and_an_answer_to_it_fails(entry, status, reason):
    entries = {"equations": {"bfloat16": {"saturated-lstm": entry}}}
    data = {"backend": "mine", "device": "cpu", "cases": ["saturated-lstm"], "entries": entries}
    record = Record(Path("mine-cpu"), data, Given(load_corpus()))
    found = judge_case(record, "equations", "bfloat16", "saturated-lstm", None, STANDARDS)
    assert (found.status, found.reason) == (status, reason)
