"""What TFLite's backend says of the models that it is given."""

import numpy as np
import pytest

from backends.registry import Backend
from common.parameters import initialise
from common.spec import ModelSpec


@pytest.fixture(autouse=True)
def tflite(backend_name: str) -> None:
    if backend_name != "tflite":
        pytest.skip("nothing is converted")


def test_a_layer_is_a_loop_over_built_in_operators(backend: Backend) -> None:
    for kernel in backend.passport("cpu")["kernel path"].values():
        names = kernel.split(", ")
        assert {"WHILE", "FULLY_CONNECTED", "TANH"} <= {*names}
        assert not [name for name in names if "SEQUENCE" in name or name == "CUSTOM"]


def test_the_converter_writes_the_same_for_a_keras_model(backend: Backend) -> None:
    """By way of a function, as here, or of the model itself, as users do: the same bits."""
    import tensorflow as tf

    from backends.tflite import runtime

    spec = ModelSpec("lstm", 3, 4, 5, 2)
    rng = np.random.default_rng(1)
    X, state = rng.normal(size=(4, 2, 3)), {p: rng.normal(size=(2, 2, 4)) for p in "HC"}
    made = backend.implementation("layers", "cpu", "float32")
    model = made.model(spec, initialise(spec, "uniform", 1))
    O, last = model.outputs(X, state)
    session = model.session(2, False, False)
    whole = tf.lite.TFLiteConverter.from_keras_model(session.net).convert()
    other = runtime.Interpreter(model_content=whole, num_threads=1)
    assert runtime.operators(whole) == runtime.operators(session.model)
    given = {f"{name}0": array for name, array in model.start(state).items()}
    given["X"] = X.astype("float32").swapaxes(0, 1)
    signature = other.get_signature_runner()
    wanted = {name: given[name] for name in signature.get_input_details()}
    outputs = {array.tobytes() for array in signature(**wanted).values()}
    assert O.swapaxes(0, 1).tobytes() in outputs
    assert all(last[part][row].tobytes() in outputs for part in "HC" for row in range(2))
