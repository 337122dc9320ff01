"""The fast evaluator against the oracle, which shares no code with it."""

import numpy as np
import pytest

from common.parameters import GATES, initialise, layer_parameters, state_shapes
from common.spec import ModelSpec
from conformance.models.evaluator import run
from conformance.models.network import Choices, Direction, Network
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import forward

SPECS = {
    "rnn": ModelSpec("rnn", 3, 4, 5, 3, activations=("tanh", "relu", "sigmoid")),
    "gru after": ModelSpec("gru", 3, 4, 5, 2, reset="after"),
    "gru before": ModelSpec("gru", 3, 4, 5, 2, reset="before"),
    "lstm": ModelSpec("lstm", 3, 4, 5, 2),
}


def network(spec: ModelSpec, params: dict) -> Network:
    layers = []
    for number in range(1, spec.L + 1):
        p, gates = layer_parameters(params, number), GATES[spec.cell]
        b_x = [p.get(f"b_{g}", p.get("b_xh")) for g in gates]
        b_h = [p["b_hh"] if f"b_{g}" not in p else np.zeros(spec.h) for g in gates]
        W, U = (np.hstack([p[f"W_{side}{g}"] for g in gates]) for side in "xh")
        layers.append((Direction(W, U, np.concatenate(b_x), np.concatenate(b_h)),))
    return Network(spec.cell, tuple(layers), (params["output.W_hq"], params["output.b_q"]))


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_computes_what_the_oracle_computes(name, dtype):
    spec = SPECS[name]
    params = initialise(spec, "uniform", 3)
    rng = np.random.RandomState(5)
    X = rng.standard_normal((6, 2, spec.d))
    state = {p: rng.standard_normal(shape) for p, shape in state_shapes(spec, 2).items()}
    wanted = forward(TRUTH, spec, params, X, state)
    choices = Choices(per_layer=spec.activations, reset=spec.reset or "after")
    made = run(network(spec, params).astype(dtype), choices, X.astype(dtype),
               {p: list(a.astype(dtype)) for p, a in state.items()})  # fmt: skip
    limit = {"float64": 1e-14, "float32": 1e-6}[dtype]
    assert made.outputs.dtype == dtype
    assert np.max(np.abs(made.outputs - wanted["forward/O"])) < limit
    for part in spec.states:
        assert np.max(np.abs(np.stack(made.last[part]) - wanted[f"forward/{part}"])) < limit


def test_an_example_with_a_length_is_that_example_alone():
    spec = SPECS["lstm"]
    half = network(spec, initialise(spec, "uniform", 3))
    two = Network("lstm", tuple((layer[0], layer[0]) for layer in half.layers[:1]))
    X = np.random.RandomState(1).standard_normal((6, 3, spec.d))
    lengths = np.array([6, 4, 1])
    made = run(two, Choices(lengths=lengths), X)
    for k, length in enumerate(lengths):
        alone = run(two, Choices(), X[:length, k : k + 1])
        assert np.max(np.abs(made.outputs[:length, k] - alone.outputs[:, 0])) < 1e-14
        assert not np.any(made.outputs[length:, k])
        for got, right in zip(made.last["H"], alone.last["H"], strict=True):
            assert np.max(np.abs(got[k] - right[0])) < 1e-14
