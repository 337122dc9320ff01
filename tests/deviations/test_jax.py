"""One small reproduction for each of JAX's entries in conformance/verdict/deviations.toml; what
needs a GPU is read from what was recorded on one."""

import json
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest
from safetensors.numpy import load

from backends.numpy.backward import lstm_layer
from backends.numpy.equations import cross_entropy, forward, joined
from common.corpus import load_corpus
from common.storage.files import read_json
from conformance.cases.given import gather
from tests.answers import right_once
from tests.deviations.reproduction import ROOT, in_a_process, still

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


BY_CUDNN = "keras-lstm-by-cudnn"
"""What was recorded with Keras' default, before ``jax:keras`` had ``use_cudnn=False``."""


def of_a_gpu(
    process: str, implementation: str, case: str, name: str = "ladder"
) -> tuple[dict, dict]:
    """What was recorded of a case on a GPU: its entry, and its arrays."""
    dtype = process.rpartition("-")[2]
    folder = f"ladder/{process}/jax-gpu"
    with zipfile.ZipFile(ROOT / "docs" / "results" / "gpu" / f"{name}.zip") as file:
        record = json.loads(file.read(f"{folder}/record.json"))
        entry = record["entries"][implementation][dtype][case]
        if entry["status"] != "recorded":
            return entry, {}
        return entry, load(
            file.read(f"{folder}/arrays/{implementation}/{dtype}/{case}.safetensors")
        )


def largest(got: np.ndarray, right: np.ndarray) -> float:
    """The largest error, relative to the largest element."""
    return float(abs(got - right).max() / abs(right).max())


def test_the_gradient_of_cudnns_lstm_is_read_in_another_layout():
    """As a GPU recorded it: the gradient by the outputs lies in the order of time, and is read as
    one example after another. Flax's, and Keras' without cuDNN, are right there."""
    answer = right_once("lstm-L1", gather(load_corpus(None), None))
    given = answer.numbers
    layer = forward(answer.case.spec, given.params, given.X[0], given.state)[1][0]
    O = joined([layer]) @ given.params["output.W_hq"] + given.params["output.b_q"]
    dH = cross_entropy(O, given.Y[0])[1] @ given.params["output.W_hq"].T
    T, n, h = dH.shape
    read = dH.reshape(n, T, h).swapaxes(0, 1)
    grads, dX, start = lstm_layer(layer, read)
    written = dX.swapaxes(0, 1).reshape(T, n, -1)  # by an example after the other, likewise
    wrong = {f"layer1.{name}": array for name, array in grads.items()}
    wrong |= {"X": written, "H0": start["H"][None], "C0": start["C"][None]}
    _, found = of_a_gpu("lstm-float32", "keras", "lstm-L1", BY_CUDNN)
    _, flax = of_a_gpu("lstm-float32", "layers", "lstm-L1")
    _, without = of_a_gpu("lstm-float32", "keras", "lstm-L1")
    right = lstm_layer(layer, dH)[0]
    for name, array in wrong.items():
        assert largest(found[f"gradients/{name}"], array) < 1e-6, name
    for name, array in right.items():
        assert largest(flax[f"gradients/layer1.{name}"], array) < 1e-6, name
        assert largest(without[f"gradients/layer1.{name}"], array) < 1e-6, name
        still(largest(found[f"gradients/layer1.{name}"], array) > 0.1, "cudnn-lstm-in-any-layout")


def test_cudnns_lstm_reads_float64_as_float32():
    """As a GPU recorded it: a state whose every step is a call, and a gradient."""
    name = "lstm-bidirectional-lengths-L1"
    right = right_once(name, gather(load_corpus(None), None)).wanted
    _, found = of_a_gpu("lstm_more-float64", "keras", name, BY_CUDNN)
    _, flax = of_a_gpu("lstm_more-float64", "layers", name)
    _, without = of_a_gpu("lstm_more-float64", "keras", name)
    assert largest(flax["trace/C"], right["trace/C"]) < 1e-12
    assert largest(without["trace/C"], right["trace/C"]) < 1e-6, "in float32, like all of Keras'"
    still(largest(found["trace/C"], right["trace/C"]) > 100, "cudnn-lstm-of-float64")
    entry, _ = of_a_gpu("lstm-float64", "keras", "lstm-L1", BY_CUDNN)
    still("Cannot lower jaxpr" in entry.get("reason", ""), "cudnn-lstm-of-float64")
    assert of_a_gpu("lstm-float64", "keras", "lstm-L1")[1], "without cuDNN it is compiled"


def added_up(rows: np.ndarray, parts: int) -> np.ndarray:
    """The sum over rows in float16: of every so many rows one after another, then in pairs."""
    sums = np.zeros((parts, rows.shape[1]), "float16")
    for first in range(0, len(rows), parts):
        sums += rows[first : first + parts]
    while len(sums) > 1:
        sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
    return sums[0]


def test_a_bias_gradient_in_float16_is_added_up_in_32_parts_on_a_gpu():
    """As a GPU recorded it: in another case of the same sum, it is as far off as that."""
    answer = right_once("text-rnn-tanh", gather(load_corpus(None), None), "float16")
    given, tensor = answer.numbers, "gradients/output.b_q"
    O = forward(answer.case.spec, given.params, given.X[0], given.state)[0]
    rows = cross_entropy(O, given.Y[0])[1].astype("float16").reshape(-1, O.shape[-1])

    def floors(found: np.ndarray) -> float:
        return largest(found.astype("float64"), answer.wanted[tensor]) / answer.noise[tensor]

    stored = read_json(ROOT / "docs" / "results" / "gpu" / "evidence.json")["verdicts"]["large"]
    ratios = {
        (case, who): stored[f"{case}-float16"]["rows"][f"{who} float16"]["gradients: ratio"]
        for case in ("text_rnn", "text_gru")
        for who in ("jax:layers", "jax:equations", "pytorch:layers", "pytorch:equations")
    }
    assert floors(rows.sum(0, "float32").astype("float16")) < 0.5
    assert floors(added_up(rows, 1)) > 100, "in one part it would be far off"
    parts = floors(added_up(rows, 32))
    for case, who in ratios:
        if who.startswith("pytorch"):
            assert ratios[case, who] < 1.5
        elif case == "text_rnn":
            assert ratios[case, who] == pytest.approx(parts, rel=1e-3) and parts > 1.8
        else:
            still(ratios[case, who] > 4.5, "bias-gradient-added-up-in-float16-on-a-gpu")
