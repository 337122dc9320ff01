"""No steps, or no examples: what every framework makes of them. No case asks it, since most fail;
what each does is pinned here (docs/regimes.md)."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backends import registry
from common.parameters import initialise, zero_state
from conformance.cases.case import make_spec

ROOT = Path(__file__).parents[2]
FAMILIES = ("rnn-tanh", "gru-after", "lstm")
EMPTY = {"T": (0, 2), "n": (3, 0)}
RIGHT = {
    "pytorch": {"n"},
    "tensorflow": {"n"},
    "jax": {"T", "n"},
}
"""Which of the two gives empty outputs of the right shape, and the right states; elsewhere it is an
error. The reference has no use for either: NumPy cannot tell the size that is left over."""

EXCEPTIONS = {("tensorflow", "layers", "lstm", "n")}
"""Errors, beside what the framework does otherwise: Keras splits the columns of no rows by four."""

ENDS_THE_PROCESS = {("mxnet", "layers")}
"""An error in some cells, a segmentation fault in others, and not the same each time."""


def ask(backend: str, implementation: str, family: str, what: str) -> bool:
    """Whether the shapes are right."""
    T, n = EMPTY[what]
    spec = make_spec(family, 3, 4, 2, 2)
    made = registry.load(backend).implementation(implementation, "cpu", "float64")
    model = made.model(spec, initialise(spec, "uniform", 0))
    O, state = model.outputs(np.zeros((T, n, 3)), zero_state(spec, n, "float64"))
    return O.shape == (T, n, 2) and all(array.shape == (2, n, 4) for array in state.values())


@pytest.mark.parametrize("what", EMPTY)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_comes_of_nothing(backend_name, implementation, family, what):
    question = backend_name, implementation, family, what
    right = what in RIGHT.get(backend_name, ()) and question not in EXCEPTIONS
    if question[:2] in ENDS_THE_PROCESS:
        code = f"from tests.backends.test_empty import ask; print(ask(*{question!r}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
        assert done.returncode != 0
    elif right:
        assert ask(*question)
    else:
        with pytest.raises(Exception, match=r"\S"):  # of whatever type, it says something
            ask(*question)
