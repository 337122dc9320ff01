"""A small reproduction for each of TensorFlow's entries in conformance/verdict/deviations.toml."""

import os
import tempfile

import numpy as np
import pytest

from tests.deviations.reproduction import in_a_process, still

tf = pytest.importorskip(
    "tensorflow", reason="needs TensorFlow: its deviations are reproduced on it"
)


def complaints_of_the_optimiser() -> dict[str, int]:
    """How many lines TensorFlow's graph optimiser prints about an op without a name, by the
    activation of a SimpleRNN in a tf.function."""
    import keras

    found = {}
    for activation in ("tanh", "relu"):
        layer = keras.layers.SimpleRNN(3, activation=activation)
        with tempfile.TemporaryFile() as log:
            os.dup2(log.fileno(), 2)
            tf.function(layer)(tf.ones((1, 2, 2)))
            log.seek(0)
            found[activation] = log.read().decode().count("empty op name")
    return found


def test_relu_ends_the_optimisation_of_a_graph():
    settings = {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "1"}
    found = in_a_process(complaints_of_the_optimiser, **settings, TF_CPP_MIN_LOG_LEVEL="2")
    assert found["tanh"] == 0
    still(found["relu"] > 0, "relu-ends-graph-optimisation")


def addresses_under_slurm(gpus: int) -> list[str]:
    """The workers of a job on two machines; or the name of the error."""
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver
    try:
        options = {"gpus_per_node": gpus, "gpus_per_task": gpus, "auto_set_gpu": False}
        return resolver(**options).cluster_spec().job_tasks("worker")
    except ValueError as error:
        return [type(error).__name__]


def test_slurm_needs_a_gpu(monkeypatch):
    job = {"PROCID": "0", "STEP_NUM_TASKS": "2", "STEP_TASKS_PER_NODE": "1(x2)"}
    for name, value in (job | {"STEP_NODELIST": "node[1-2]"}).items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert addresses_under_slurm(1) == ["node1:8888", "node2:8888"]
    still(addresses_under_slurm(0) == ["ValueError"], "slurm-needs-a-gpu")


def test_an_lstm_fails_on_an_empty_minibatch():
    import keras

    nothing = np.zeros((0, 3, 2), "float32")
    assert keras.layers.GRU(4)(nothing).shape == (0, 4)
    try:
        fails = keras.layers.LSTM(4)(nothing).shape != (0, 4)
    except (ValueError, tf.errors.InvalidArgumentError):
        fails = True
    still(fails, "lstm-empty-minibatch-fails")


def test_a_list_of_cells_is_computed_in_float32():
    import keras

    X = tf.constant(np.random.RandomState(1).standard_normal((2, 5, 3)))
    cells = [keras.layers.GRUCell(4, dtype="float64")]
    options = {"return_sequences": True, "dtype": "float64"}
    stack = keras.layers.StackedRNNCells(cells, dtype="float64")
    right = keras.layers.RNN(cells[0], **options)(X)
    assert np.array_equal(right, keras.layers.RNN(stack, **options)(X))
    found = keras.layers.RNN(cells, **options)(X)
    assert found.dtype == right.dtype == "float64"
    assert np.allclose(found, right, rtol=0, atol=1e-6)
    still(not np.array_equal(found, right), "list-of-cells-is-float32")


def test_xla_takes_the_maximum_without_nan():
    both, one = tf.constant([np.nan, np.nan]), tf.constant([1.0, np.nan])
    assert np.isnan(tf.reduce_max(both)) and np.isnan(tf.reduce_max(one))
    compiled = tf.function(tf.reduce_max, jit_compile=True)
    still(compiled(both) == -np.inf and compiled(one) == 1, "xla-maximum-of-nan")


def test_by_xla_the_gradient_of_relu_swallows_nan():
    def through(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = np.float32(np.nan) * tf.nn.relu(x)
        return tape.gradient(loss, x)

    nan = tf.constant([np.nan])
    assert np.isnan(through(nan))
    still(tf.function(through, jit_compile=True)(nan) == 0, "xla-gradient-of-relu-swallows-nan")


def test_denormals_are_zero():
    tiny = np.float32(1e-40)
    assert tiny * np.float32(2) > 0
    product = tf.constant([tiny] * 64) * tf.constant(np.float32(2))
    still(not np.any(product), "denormals-are-zero")


def test_a_sum_of_float16_is_added_up_in_float16():
    numbers = np.random.RandomState(0).rand(35, 32, 28) / (35 * 32)

    def error(dtype: tf.DType) -> float:
        terms = tf.cast(numbers * 100, dtype)
        right = np.asarray(tf.cast(terms, tf.float64)).sum((0, 1))
        found = np.asarray(tf.cast(tf.reduce_sum(terms, (0, 1)), tf.float64))
        return float(np.abs(found - right).max() / right.max())

    assert error(tf.bfloat16) < 2.0**-8
    still(error(tf.float16) > 2.0**-8, "sum-of-float16-added-up-in-float16")
