"""What environments share of the oracle's answers is what each would compute."""

import numpy as np
import pytest

from conformance.oracle.truth import right_answer
from tests import answers
from tests.answers import computed_once, right_once, shared_by_environments


def same(one: dict, other: dict) -> bool:
    return [*one] == [*other] and all(
        np.asarray(one[name]).dtype == np.asarray(other[name]).dtype
        and np.array_equal(one[name], other[name], equal_nan=True)
        for name in one
    )


@pytest.mark.parametrize(
    ("name", "tier"),
    [("gru-after-L1", ""), ("saturated-lstm", ""), ("nan-in-X-lstm", ""), ("lstm-L2", "bfloat16")],
)
def test_a_stored_answer_is_the_computed_one_to_the_last_bit(name, tier, sample, tmp_path):
    computed, found = right_answer(name, sample, tier), []
    with pytest.MonkeyPatch.context() as patch, computed_once(tmp_path):
        for _ in range(2):  # put there, and read by another environment
            patch.setattr(answers, "KEPT", {})
            found.append(right_once(name, sample, tier))
            patch.setattr(answers, "right_answer", None)
    assert len([*tmp_path.iterdir()]) == 1
    for one in found:
        assert (one.case, one.digest, one.noise.keys()) == (
            computed.case,
            computed.digest,
            computed.noise.keys(),
        )
        assert same(one.wanted, computed.wanted) and same(one.noise, computed.noise)
        assert one.allowed.keys() == computed.allowed.keys()
        assert all(same(one.allowed[d], computed.allowed[d]) for d in one.allowed)
        assert same(one.numbers.params, computed.numbers.params)
        assert one.numbers.digest() == computed.numbers.digest()


def test_answers_of_other_code_are_not_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "ROOT", tmp_path)
    code, cache = tmp_path / "conformance" / "oracle.py", tmp_path / "cache"
    code.parent.mkdir()
    cache.mkdir()
    elsewhere = cache / "numpy-1.0-0123"
    elsewhere.mkdir()
    code.write_text("one")
    first = shared_by_environments(cache)
    assert shared_by_environments(cache) == first
    code.write_text("other")
    second = shared_by_environments(cache)
    assert {*cache.iterdir()} == {second, elsewhere} and second != first
