"""Files that PyTorch itself has saved are read as the networks that they are."""

import os
import warnings
from pathlib import Path

import pytest

from tests.commands import beside
from tests.conventions.saved import all_right, asked, numbers

torch = pytest.importorskip("torch", reason="needs PyTorch")
from torch import nn


class Net(nn.Module):
    def __init__(self, cell: str, both: bool, **options) -> None:
        super().__init__()
        self.body = getattr(nn, cell)(4, 5, 2, bidirectional=both, **options)
        self.readout = nn.Linear(10 if both else 5, 3)
        for weight in self.parameters():
            weight.data = torch.from_numpy(numbers(*weight.shape))

    def forward(self, X):
        return self.readout(self.body(X)[0])


X = numbers(6, 2, 4)


def of(net: nn.Module):
    with torch.no_grad():
        return net(torch.from_numpy(X)).numpy()


def test_a_state_dict_in_a_checkpoint(tmp_path):
    """By a command that has to import PyTorch; for those below it is there already."""
    net = Net("LSTM", True)
    torch.save({"model": net.state_dict(), "epoch": 3}, tmp_path / "w.pt")
    said = all_right(tmp_path / "w.pt", X, of(net))
    assert "The output layer is model.readout.weight and model.readout.bias." in said


def test_the_format_before_zip_files_and_bfloat16(tmp_path):
    net = Net("LSTM", False).bfloat16()
    torch.save(net.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    all_right(tmp_path / "w.pth", X, of(net.float()), by=beside("pytorch"))


@pytest.mark.parametrize(("cell", "both"), [("LSTM", False), ("GRU", True), ("RNN", True)])
def test_an_onnx_model_that_torch_exports(cell, both, tmp_path):
    net = Net(cell, both)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of much that is not of interest here
        torch.onnx.export(net, (torch.from_numpy(X),), str(tmp_path / "w.onnx"), dynamo=False)
    all_right(tmp_path / "w.onnx", X, of(net))


def test_an_onnx_model_that_is_read_batch_first(tmp_path):
    net = Net("GRU", False, batch_first=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.from_numpy(X),), str(tmp_path / "w.onnx"), dynamo=False)
    said = all_right(tmp_path / "w.onnx", X, of(net))
    assert "Read: the first axis of X as examples" in said


def test_a_whole_module_is_code_and_is_refused(tmp_path):
    net = Net("LSTM", False)
    torch.save(net, tmp_path / "w.pt")
    code, said = asked(tmp_path / "w.pt", X, of(net), by=beside("pytorch"))
    assert code == 2 and said.count("\n") == 1
    assert "safetensors.torch.save_file(model.state_dict()" in said


class Planted:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [False, True])
def test_code_in_a_file_is_not_run(zipped, tmp_path):
    state = {**Net("LSTM", False).state_dict(), "more": Planted(tmp_path / "ran")}
    torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    code, said = asked(tmp_path / "w.pt", X, X, by=beside("pytorch"))
    assert code == 2 and said.count("\n") == 1
    assert not (tmp_path / "ran").exists()


def test_a_cut_file_is_refused(tmp_path):
    torch.save(Net("LSTM", False).state_dict(), tmp_path / "w.pt")
    data = (tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(data[: len(data) // 2])
    code, said = asked(tmp_path / "w.pt", X, X, by=beside("pytorch"))
    assert code == 2 and said.count("\n") == 1
