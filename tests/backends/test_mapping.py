"""canonical → native → canonical."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends import registry
from backends.protocol import Part
from backends.registry import Backend
from common.parameters import initialise, parameter_shapes
from common.spec import ACTIVATIONS, ModelSpec
from conformance.cases.given import Given

BOTH = Part("", ("float64", "float32"))
"""Of a backend that answers the whole ladder."""


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    cell = draw(st.sampled_from(["rnn", "gru", "lstm"]))
    d, h, q, L = (draw(st.integers(1, most)) for most in (6, 6, 6, 4))
    activations = draw(st.tuples(*[st.sampled_from(ACTIVATIONS)] * L)) if cell == "rnn" else ()
    reset = draw(st.sampled_from(["before", "after"])) if cell == "gru" else None
    return ModelSpec(cell, d, h, q, L, activations, reset, draw(st.sampled_from([1, 2])))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(spec=specs(), dtype=st.sampled_from(["float64", "float32"]), seed=st.integers(0, 9))
def check_round_trip(name: str, implementation: str, spec: ModelSpec, dtype: str, seed: int):
    backend = registry.load(name)
    dtype = dtype if dtype in getattr(backend, "PART", BOTH).dtypes else "float32"
    made = backend.implementation(implementation, "cpu", dtype)
    reason = made.unsupported(spec)
    if reason is not None:
        assert reason.strip() and isinstance(reason, str)
        return
    params = initialise(spec, "uniform", seed)
    back = made.model(spec, params).parameters()
    assert list(back) == list(parameter_shapes(spec))
    for tensor, array in params.items():
        assert back[tensor].dtype == dtype
        np.testing.assert_array_equal(back[tensor], array.astype(dtype), err_msg=tensor)


def test_every_bit_survives_the_framework(backend_name: str, implementation: str) -> None:
    check_round_trip(backend_name, implementation)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_gates_are_told_apart(
    backend: Backend, implementation: str, cell: str, directions: int, dtype: str
) -> None:
    """A round trip cannot see a mapping that exchanges two gates both ways; outputs can."""
    reset = "after" if cell == "gru" else None
    activations = ("tanh", "tanh") if cell == "rnn" else ()
    spec = ModelSpec(cell, 3, 4, 5, 2, activations, reset, directions)
    made = backend.implementation(implementation, "cpu", dtype)
    params = initialise(spec, "uniform", 1)
    X = np.linspace(-1, 1, 4 * 2 * 3).reshape(4, 2, 3)
    state = {part: np.full((spec.rows, 2, 4), 0.5) for part in spec.states}
    seen = set()
    biases = [n for n in params if n.startswith("layer") and params[n].ndim == 1]
    for name in biases:
        changed = params | {name: params[name] + 0.25}
        O = made.model(spec, changed).forward(X, state).outputs
        seen.add(hashlib.sha256(np.round(O, 9 if dtype == "float64" else 5).tobytes()).hexdigest())
    assert len(seen) == len(biases)


def test_what_is_unsupported_says_why(backend: Backend, implementation: str, dtype: str) -> None:
    """Every spec is either computed or refused with a reason."""
    made = backend.implementation(implementation, "cpu", dtype)
    for spec in (
        ModelSpec("gru", 3, 4, 5, 2, reset="before"),
        ModelSpec("rnn", 3, 4, 5, 2, ("sigmoid", "identity")),
        ModelSpec("lstm", 3, 4, 5, 12),
    ):
        reason = made.unsupported(spec)
        if implementation == "equations":
            assert reason is None
        elif reason is None:
            O = (
                made.model(spec, initialise(spec, "uniform", 1))
                .forward(
                    np.ones((2, 3, 3)), {part: np.zeros((spec.L, 3, 4)) for part in spec.states}
                )
                .outputs
            )
            assert O.shape == (2, 3, 5) and np.isfinite(O).all()
        else:
            assert len(reason) > 10


def test_what_is_returned_is_not_changed_later(
    backend: Backend, implementation: str, sample: Given
) -> None:
    from conformance.cases.table import find_case, material

    if hasattr(backend, "PART"):
        pytest.skip("trains nothing")
    case = find_case("lstm-L2", sample)
    numbers = material(case, sample.corpus)
    made = backend.implementation(implementation, "cpu", "float64")
    trainer = made.model(case.spec, numbers.params).trainer(case.recipe, numbers.state)
    trainer.step(numbers.X[0], numbers.Y[0])
    returned = {**trainer.parameters(), **{f"g {k}": v for k, v in trainer.gradients().items()}}
    before = {name: array.copy() for name, array in returned.items()}
    trainer.step(numbers.X[1], numbers.Y[1])
    for name, array in before.items():
        np.testing.assert_array_equal(returned[name], array, err_msg=name)
    assert (trainer.parameters()["output.b_q"] != before["output.b_q"]).any()
