"""One small reproduction for each of JAX's entries in conformance/verdict/deviations.toml."""

from importlib.util import find_spec

import numpy as np
import pytest

from tests.deviations.reproduction import in_a_process, still

nnx = pytest.importorskip("flax.nnx", reason="needs Flax: its deviations are reproduced on it")


def test_a_gru_has_no_recurrent_bias_though_documented():
    cell = nnx.GRUCell(2, 3, rngs=nnx.Rngs(0))
    assert "b_{hn}" in cell.__doc__
    assert cell.dense_i.bias is not None
    still(cell.dense_h.bias is None, "gru-without-the-documented-recurrent-bias")


def test_tanh_of_float32_is_too_small_near_0():
    import jax

    from backends.jax.runtime import tanh

    x = np.random.RandomState(0).uniform(0.01, 0.4, 100_000).astype("float32")
    right = np.tanh(x.astype("float64"))
    unit = np.spacing(right.astype("float32"))

    def errors(function):
        return (np.asarray(jax.jit(function)(x)).astype("float64") - right) / unit

    # Ours is the value that rounds best, and has the slope 1 − tanh².
    assert abs(errors(tanh).mean()) < 0.05
    assert abs(errors(tanh)).max() <= 0.5 + 1e-6
    slope = np.asarray(jax.vmap(jax.grad(tanh))(x))
    assert slope.dtype == "float32"
    assert abs(slope - (1 - right**2)).max() <= 2 * np.finfo("float32").eps
    still(errors(jax.numpy.tanh).mean() < -0.5, "tanh-of-float32-too-small")


def test_denormals_are_zero():
    import jax

    tiny = np.float32(1e-40)
    assert tiny * np.float32(1) == tiny > 0
    product = jax.jit(lambda x, y: x * y)(tiny, np.float32(2))
    still(product == 0, "xla-denormals-are-zero")


def test_the_gradient_of_relu_swallows_nan():
    import jax

    assert np.isnan(jax.nn.relu(np.nan))
    through = jax.grad(lambda x: np.float32(np.nan) * jax.nn.relu(x))(np.float32(np.nan))
    still(through == 0, "gradient-of-relu-swallows-nan")


def dtypes_of_tanh() -> dict[str, str]:
    """Of a float64, by JAX and by Keras on JAX."""
    import jax
    from keras import ops

    x = jax.numpy.asarray(np.array([0.3]))
    return {"jax": str(jax.numpy.tanh(x).dtype), "keras": str(ops.tanh(x).dtype)}


def test_keras_computes_float64_in_float32():
    if find_spec("keras") is None:  # imported here, it would look for an engine of its own
        pytest.skip("needs Keras: its deviation is reproduced on it")
    found = in_a_process(dtypes_of_tanh, KERAS_BACKEND="jax", JAX_ENABLE_X64="1")
    assert found["jax"] == "float64"
    still(found["keras"] == "float32", "keras-on-jax-rounds-float64")


def test_a_bias_gradient_in_bfloat16_is_added_up_in_bfloat16():
    """Over 350 steps of 32 examples; jnp.sum of the same numbers adds up in float32."""
    import jax
    import jax.numpy as jnp

    numbers = np.random.RandomState(0).rand(350, 32, 28) / (350 * 32)
    A = jnp.asarray(numbers, jnp.bfloat16)
    right = np.asarray(A, "float64").sum((0, 1))

    def error(found) -> float:
        return float(np.abs(np.asarray(found, "float64") - right).max() / right.max())

    def product(b, A):
        return ((jnp.zeros_like(A) + b) * A).sum().astype(jnp.float32)

    assert error(A.reshape(-1, 28).sum(0)) < 0.004  # a rounding or two of bfloat16
    gradient = jax.jit(jax.grad(product))(jnp.zeros(28, jnp.bfloat16), A)
    still(error(gradient) > 0.1, "bias-gradient-added-up-in-bfloat16")
