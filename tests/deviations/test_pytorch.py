"""What PyTorch computes otherwise. What needs a GPU is measured where one is at hand, and elsewhere
read from what was measured on one."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from common.storage.files import read_json
from tests.deviations.reproduction import ROOT, in_a_process, still

MEASURED = ROOT / "docs" / "results" / "gpu" / "evidence.json"
LAYERS = ("RNN", "GRU", "LSTM")
EXACT = 2e-7
"""A relative error below it is a few units in the last place of float32."""


def rows() -> list[dict]:
    """How far tanh and the sigmoid inside of the layers are off: on this GPU, or as measured."""
    if has_gpu():
        from backends.pytorch.gpu import activation_errors

        return activation_errors("gpu", "float32")
    return read_json(MEASURED)["activations"]["activations"]["float32"]


def has_gpu() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def worst(layer: str, function: str, path: str, **sizes: int) -> float:
    found = [
        row["relative"]
        for row in rows()
        if (row["layer"], row["function"], row["path"]) == (layer, function, path)
        and all(row[name] == size for name, size in sizes.items())
    ]
    assert found, (layer, function, path, sizes)
    return max(found)


def test_the_tanh_of_cudnn_is_coarse_in_float32():
    coarse = [worst(layer, "tanh", "cuDNN", h=h) for layer in LAYERS for h in (1, 64)]
    coarse.append(worst("RNN", "tanh", "cuDNN", h=256))
    still(all(9e-6 < error < 1.1e-5 for error in coarse), "cudnn-tanh-of-float32")
    for layer in LAYERS:
        assert worst(layer, "tanh", "ATen") < EXACT
    for layer in ("GRU", "LSTM"):
        assert worst(layer, "tanh", "cuDNN", h=256) < EXACT
        assert worst(layer, "sigmoid", "cuDNN") < 1e-6
    assert worst("torch.tanh", "tanh", "op") < EXACT


def errors_of_a_product() -> dict[str, float]:
    """Of a product of float64, by torch and by Keras on torch."""
    import torch
    from keras import ops

    third = torch.full((1, 1), 1 / 3, dtype=torch.float64)
    found = {"torch": third @ third, "keras": ops.matmul(third, third)}
    return {name: abs(float(product) - 1 / 9) for name, product in found.items()}


def test_keras_computes_float64_in_float32():
    if None in map(find_spec, ("torch", "keras")):  # Keras would look for an engine of its own here
        pytest.skip("needs PyTorch and Keras: its deviation is reproduced on them")
    found = in_a_process(errors_of_a_product, KERAS_BACKEND="torch")
    assert found["torch"] < 1e-15
    still(found["keras"] > 1e-10, "keras-on-torch-rounds-float64")


def test_an_lstm_under_autocast_in_float16_fails():
    torch = pytest.importorskip("torch")
    if "amx_fp16" in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip("this CPU has products in float16 of its own, and oneDNN may use them")

    def runs(layer: type, dtype) -> bool:
        try:
            with torch.autocast("cpu", dtype=dtype):
                layer(4, 8)(torch.zeros(5, 3, 4))
        except RuntimeError as error:
            assert "could not create a primitive descriptor" in str(error)
            return False
        return True

    assert all(runs(layer, torch.bfloat16) for layer in (torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM))
    assert runs(torch.nn.RNN, torch.float16) and runs(torch.nn.GRU, torch.float16)
    assert torch.nn.LSTM(4, 8).half()(torch.zeros(5, 3, 4).half())[0].dtype == torch.float16
    still(not runs(torch.nn.LSTM, torch.float16), "autocast-lstm-in-float16")
