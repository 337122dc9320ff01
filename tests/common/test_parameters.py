"""Names, order and shapes of the parameters, and the distributions they are drawn from."""

import dataclasses
import hashlib
import math

import numpy as np
import pytest

from common.errors import BadInput
from common.parameters import (
    INITIALISERS,
    check_parameters,
    initialise,
    layer_parameters,
    parameter_shapes,
    state_shapes,
    zero_state,
)
from common.spec import ModelSpec

SPECS = {
    "rnn": ModelSpec("rnn", 3, 5, 7, 2, ("tanh", "relu")),
    "gru-before": ModelSpec("gru", 3, 5, 7, 2, reset="before"),
    "gru-after": ModelSpec("gru", 3, 5, 7, 2, reset="after"),
    "lstm": ModelSpec("lstm", 3, 5, 7, 2),
    "both": ModelSpec("gru", 3, 5, 7, 2, reset="after", directions=2),
}
LARGE = {
    "rnn": ModelSpec("rnn", 60, 80, 70, 2, ("tanh", "tanh")),
    "gru-before": ModelSpec("gru", 60, 80, 70, 2, reset="before"),
    "gru-after": ModelSpec("gru", 60, 80, 70, 2, reset="after"),
    "lstm": ModelSpec("lstm", 60, 80, 70, 2),
}
SUMMED = {"b_h", "b_z", "b_r", "b_i", "b_f", "b_o", "b_c"}  # where torch adds two biases
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
every_large_spec = pytest.mark.parametrize("spec", LARGE.values(), ids=LARGE.keys())
every_scheme = pytest.mark.parametrize("scheme", INITIALISERS)

ONE_LAYER = {
    "rnn": "W_xh W_hh b_h",
    "gru-before": "W_xz W_hz b_z W_xr W_hr b_r W_xh W_hh b_h",
    "gru-after": "W_xz W_hz b_z W_xr W_hr b_r W_xh W_hh b_xh b_hh",
    "lstm": "W_xi W_hi b_i W_xf W_hf b_f W_xo W_ho b_o W_xc W_hc b_c",
}


@pytest.mark.parametrize("name", ONE_LAYER)
def test_names_order_and_shapes_are_those_of_the_document(name):
    expected = []
    for layer, inputs in ((1, 3), (2, 5)):
        for tensor in ONE_LAYER[name].split():
            shape = (5,) if tensor[0] == "b" else (inputs if tensor[2] == "x" else 5, 5)
            expected.append((f"layer{layer}.{tensor}", shape))
    expected += [("output.W_hq", (5, 7)), ("output.b_q", (7,))]
    assert list(parameter_shapes(SPECS[name]).items()) == expected


@pytest.mark.parametrize("name", ONE_LAYER)
def test_the_backward_direction_has_tensors_of_its_own_behind_those_of_its_layer(name):
    both = dataclasses.replace(SPECS[name], directions=2)
    expected = []
    for prefix, inputs in (
        ("layer1", 3),
        ("layer1.backward", 3),
        ("layer2", 10),
        ("layer2.backward", 10),
    ):
        for tensor in ONE_LAYER[name].split():
            shape = (5,) if tensor[0] == "b" else (inputs if tensor[2] == "x" else 5, 5)
            expected.append((f"{prefix}.{tensor}", shape))
    expected += [("output.W_hq", (10, 7)), ("output.b_q", (7,))]
    assert list(parameter_shapes(both).items()) == expected
    params = initialise(both, "keras", 0)
    for backward, prefix in ((False, "layer1."), (True, "layer1.backward.")):
        own = layer_parameters(params, 1, backward)
        assert list(own) == ONE_LAYER[name].split()
        assert all(array is params[prefix + tensor] for tensor, array in own.items())


def test_the_tensors_of_layer_1_are_not_those_of_layer_10():
    params = initialise(ModelSpec("lstm", 3, 5, 7, 10), "uniform", 0)
    one = layer_parameters(params, 1)
    assert list(one) == ONE_LAYER["lstm"].split()
    assert one["W_xi"] is params["layer1.W_xi"]


def test_a_state_is_one_array_per_part_for_all_layers():
    assert state_shapes(SPECS["lstm"], 4) == {"H": (2, 4, 5), "C": (2, 4, 5)}
    state = zero_state(SPECS["gru-after"], 4, "float32")
    assert list(state) == ["H"]
    assert (state["H"].shape, state["H"].dtype) == ((2, 4, 5), np.float32)
    assert not state["H"].any()
    assert state_shapes(SPECS["both"], 4) == {"H": (4, 4, 5)}


@every_scheme
@every_spec
def test_what_is_drawn_passes_the_check(spec, scheme):
    params = initialise(spec, scheme, 0)
    check_parameters(spec, params)
    assert list(params) == list(parameter_shapes(spec))


@every_scheme
@every_spec
def test_float32_and_float64_start_from_the_same_point(spec, scheme):
    single, double = (initialise(spec, scheme, 3, dtype) for dtype in ("float32", "float64"))
    for name, array in single.items():
        assert (array.dtype, double[name].dtype) == (np.float32, np.float64)
        assert (array.astype("float64") == double[name]).all()


@every_scheme
@every_spec
def test_the_same_seed_draws_the_same_and_another_seed_something_else(spec, scheme):
    first, again, other = (initialise(spec, scheme, seed) for seed in (0, 0, 1))
    for name, array in first.items():
        assert array.tobytes() == again[name].tobytes()
        if array.any() and not (array == 1).all():
            assert (array != other[name]).all()


@every_scheme
@every_large_spec
def test_no_two_tensors_are_drawn_alike(spec, scheme):
    params = initialise(spec, scheme, 0)
    drawn = [a.tobytes() for a in params.values() if a.any() and not (a == 1).all()]
    assert len(drawn) == len(set(drawn)) >= sum(a.ndim == 2 for a in params.values())


def digest(params):
    return hashlib.sha256(b"".join(a.astype("<f4").tobytes() for a in params.values())).hexdigest()


@pytest.mark.parametrize(
    "scheme, expected",
    [
        ("uniform", "d0f9e658476717ac46daee55f17512419cc6ca981781c128888de5a614c55e47"),
        ("d2l", "3ab8ef6481e44ef9d71ee12690393a465bfaa6051c61eed55bafea0640331da8"),
        ("pytorch", "d462c1759c77bd50cc84d171454dc043c29b3f2426648381c33b237df5df019c"),
        ("mxnet", "dbdbe479b82d106e158c3aac32f93651f445501ce18dcf8aef039168f75902b1"),
    ],
)
def test_the_draws_are_the_same_on_every_version_of_numpy(scheme, expected):
    """The digests were the same for NumPy 1.23.5 and 2.4.6."""
    assert digest(initialise(SPECS["gru-after"], scheme, 0)) == expected


def test_the_first_draws_of_the_uniform_scheme_are_these():
    W = initialise(SPECS["lstm"], "uniform", 0)["layer1.W_xi"]
    # RandomState(0) begins 0.5488, 0.7152, 0.6028; (2u − 1)/√5 of these:
    assert W[0, :3].tolist() == [0.04366012662649155, 0.1924712210893631, 0.0919143557548523]


def spread(array, width):
    """Mean, standard deviation and range relative to the range ±width."""
    return array.mean() / width, array.std() / width, np.abs(array).max() / width


def assert_uniform(array, width):
    """U(−width, width): mean 0, deviation width/√3, nothing outside, the edges nearly reached."""
    mean, deviation, reach = spread(array, width)
    assert abs(mean) <= 4 / math.sqrt(3 * array.size)
    assert abs(deviation * math.sqrt(3) - 1) <= 4 / math.sqrt(array.size)
    assert 1 - 12 / array.size <= reach <= 1 + 1e-7


@every_large_spec
def test_uniform_draws_weights_and_biases_from_one_over_root_h(spec):
    for array in initialise(spec, "uniform", 0).values():
        assert_uniform(array, 1 / math.sqrt(80))


@every_large_spec
def test_d2l_draws_normal_weights_and_zero_biases(spec):
    for array in initialise(spec, "d2l", 0).values():
        if array.ndim == 1:
            assert not array.any()
        else:
            assert abs(array.mean()) <= 4 * 0.01 / math.sqrt(array.size)
            assert abs(array.std() / 0.01 - 1) <= 4 / math.sqrt(2 * array.size)
            # A normal distribution has 4.6 % beyond two deviations, a uniform one none.
            assert 0.03 <= (np.abs(array) > 0.02).mean() <= 0.06


@every_large_spec
def test_pytorch_draws_a_single_bias_as_the_sum_of_its_two(spec):
    width = 1 / math.sqrt(80)
    params = initialise(spec, "pytorch", 0)
    hidden = {name: a for name, a in params.items() if name.startswith("layer")}
    single = [array for name, array in hidden.items() if name[7:] in SUMMED]
    rest = [params[name] for name in params if name not in hidden or name[7:] not in SUMMED]
    for array in rest:
        assert_uniform(array, width)
    if spec.reset == "after":
        assert {"layer1.b_xh", "layer1.b_hh"} <= set(params)
    sums = np.concatenate(single)
    # The sum of two: deviation width·√(2/3), and beyond the range of one draw in 1 of 4 cases.
    assert abs(sums.std() / (width * math.sqrt(2 / 3)) - 1) <= 4 / math.sqrt(sums.size)
    assert 0.1 <= (np.abs(sums) > width).mean() <= 0.4
    assert np.abs(sums).max() <= 2 * width * (1 + 1e-7)


@every_large_spec
def test_keras_draws_glorot_kernels_over_all_gates_together(spec):
    params = initialise(spec, "keras", 0)
    for name, array in params.items():
        if "W_x" in name:
            assert_uniform(array, math.sqrt(6 / (array.shape[0] + GATES[spec.cell] * 80)))
    assert_uniform(params["output.W_hq"], math.sqrt(6 / (80 + 70)))


@every_large_spec
def test_keras_draws_recurrent_kernels_with_orthonormal_rows_over_all_gates(spec):
    params = initialise(spec, "keras", 0)
    for layer in (1, 2):
        parts = [a for n, a in layer_parameters(params, layer).items() if n.startswith("W_h")]
        kernel = np.concatenate(parts, axis=1)
        assert kernel.shape == (80, GATES[spec.cell] * 80)
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(80), atol=1e-6)


def test_keras_favours_no_sign_in_its_orthogonal_kernels():
    """Q of a QR decomposition as LAPACK leaves it has a first element below 0 every time."""
    first = [initialise(SPECS["rnn"], "keras", seed)["layer1.W_hh"][0, 0] for seed in range(40)]
    assert 8 <= sum(value > 0 for value in first) <= 32


@every_large_spec
def test_keras_starts_biases_at_0_and_the_forget_bias_at_1(spec):
    for name, array in initialise(spec, "keras", 0).items():
        if array.ndim == 1:
            assert (array == (1 if name.endswith("b_f") else 0)).all(), name
    assert ("layer2.b_f" in parameter_shapes(spec)) == (spec.cell == "lstm")


@every_large_spec
def test_mxnet_draws_from_seven_hundredths_and_zero_biases(spec):
    for array in initialise(spec, "mxnet", 0).values():
        if array.ndim == 1:
            assert not array.any()
        else:
            assert_uniform(array, 0.07)


def test_an_unknown_scheme_is_refused_with_the_names_there_are():
    with pytest.raises(
        BadInput, match="one of d2l, uniform, pytorch, keras, mxnet, found 'xavier'"
    ):
        initialise(SPECS["lstm"], "xavier", 0)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, None])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(BadInput, match="initialiser: seed: expected a whole number from 0"):
        initialise(SPECS["lstm"], "uniform", seed)


FAULTS = {
    "missing": (lambda p: p.pop("layer2.b_z"), "layer2.b_z", "no such tensor"),
    "extra": (lambda p: p.update({"layer3.b_z": np.zeros(5)}), "layer3.b_z", "it"),
    "of the other GRU": (lambda p: p.update(b_h=p.pop("layer1.b_xh")), "layer1.b_xh", "no such"),
    "transposed": (
        lambda p: p.update({"layer1.W_xr": p["layer1.W_xr"].T}),
        "layer1.W_xr",
        r"shape \(5, 3\)",
    ),
    "a row instead of a vector": (
        lambda p: p.update({"output.b_q": p["output.b_q"][None]}),
        "output.b_q",
        r"shape \(1, 7\)",
    ),
    "integers": (
        lambda p: p.update({"layer1.b_r": np.zeros(5, "int64")}),
        "layer1.b_r",
        "int64",
    ),
    "half precision": (
        lambda p: p.update({"layer1.b_r": np.zeros(5, "float16")}),
        "layer1.b_r",
        "float16",
    ),
    "NaN": (lambda p: p["layer2.W_hh"].put(7, np.nan), "layer2.W_hh", r"nan at \(1, 2\)"),
    "infinity": (lambda p: p["output.b_q"].put(6, -np.inf), "output.b_q", r"-inf at \(6,\)"),
}


@pytest.mark.parametrize("break_it, tensor, found", FAULTS.values(), ids=FAULTS.keys())
def test_the_check_names_the_tensor_at_fault(break_it, tensor, found):
    spec = SPECS["gru-after"]
    params = initialise(spec, "uniform", 0)
    break_it(params)
    with pytest.raises(BadInput, match=f"^file: {tensor}: expected .*, found {found}"):
        check_parameters(spec, params, "file")
