"""The oracle's answers, each computed once for all tests that judge in this process."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from conformance.cases.given import Given
from conformance.judge import ladder
from conformance.oracle.truth import Answer, right_answer

KEPT: dict[tuple, Answer] = {}


def right_once(name: str, given: Given, tier: str = "") -> Answer:
    """``right_answer``, which depends on the name, the text, the weights and lengths; nobody may
    write into what it gives. Large ones are asked once, and would fill the memory."""
    if name.startswith("large-"):
        return right_answer(name, given, tier)
    text = given.corpus
    key = name, tier, text.name, text.sha256, text.vocabulary, text.tokens.tobytes()
    key = *key, given.weights_digest(), given.lengths
    if key not in KEPT:
        made = KEPT[key] = right_answer(name, given, tier)
        for arrays in (made.wanted, *made.allowed.values()):
            for array in arrays.values():
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
    return KEPT[key]


@contextmanager
def computed_once() -> Iterator[None]:
    """The judge asks here, while this lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "right_answer", right_once)
        yield
