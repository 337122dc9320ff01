"""A stack of layers of different sizes: its initial states lie in rows as wide as the widest."""

import numpy as np
import pytest

from common.parameters import initialise, only_own, state_shapes, zero_state
from common.spec import ModelSpec
from common.weights import save_weights, write_arrays
from conformance.__main__ import main
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import forward

pytestmark = pytest.mark.once

N = 3
SPECS = {
    "lstm": ModelSpec("lstm", 4, 5, 2, 3, sizes=(3, 5, 2)),
    "projected": ModelSpec("lstm", 4, 5, 2, 2, directions=2, sizes=(5, 3), p=2),
    "gru": ModelSpec("gru", 4, 5, 2, 2, reset="after", directions=2, sizes=(3, 5)),
}
RNG = np.random.RandomState(6)
X = RNG.standard_normal((6, N, 4))


@pytest.fixture(params=SPECS)
def spec(request) -> ModelSpec:
    return SPECS[request.param]


@pytest.fixture
def asked(spec, tmp_path, capsys):
    """The exit code, and what is said of outputs from one state, if the file has another."""

    def found(used, given) -> tuple[int, str]:
        params = initialise(spec, "uniform", 2)
        save_weights(tmp_path / "own.safetensors", spec, params)
        weights = tmp_path / "w.safetensors"
        words = [str(tmp_path / "own.safetensors"), "--to", "pytorch", "--out", str(weights)]
        assert main(["convert", *words]) == 0
        io = {"X": X, "outputs": forward(TRUTH, spec, params, X, used)["forward/O"]}
        io |= {f"{part}0": array for part, array in given.items()}
        write_arrays(tmp_path / "io.safetensors", io, {})
        capsys.readouterr()
        words = ["--weights", str(weights), "--io", str(tmp_path / "io.safetensors"), "--quiet"]
        code = main(["diagnose", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return found


@pytest.fixture
def state(spec):
    shapes = state_shapes(spec, N)
    return only_own(spec, {part: RNG.uniform(-1, 1, shape) for part, shape in shapes.items()})


def test_what_starts_from_its_states_is_all_right(asked, state):
    code, said = asked(state, state)
    assert code == 0 and "all right" in said


def test_a_state_that_is_ignored_is_named(spec, asked, state):
    code, said = asked(zero_state(spec, N, "float64"), state)
    assert code == 1 and "the initial state is ignored" in said


def test_numbers_behind_a_smaller_layer_s_own_are_refused(spec, asked, state):
    state["H" if spec.p is None else "C"][:] = 0.5
    code, said = asked(state, state)
    assert code == 2 and said.count("\n") == 1 and "zeros behind a smaller layer's own" in said
