"""The situations out of public threads, each with its own files; skipped where they are not."""

import json
from pathlib import Path

import pytest

from conformance.__main__ import main

FOLDER = Path(__file__).parents[4] / "shared" / "cases" / "diagnose"

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the situations are not beside this checkout"),
]

CASES = [
    ("02-onnx-dynamo-gru-reset", "", "", "pytorch", 1, ["the reset gate acts before"]),
    ("04-gru-kernel-reshaped", "", "-a", "pytorch", 1, ["reshaped to the transposed shape"]),
    ("04-gru-kernel-reshaped", "", "-b", "pytorch", 1, ["the input matrix's blocks are reshaped"]),
    ("07-go-backwards", "-keras", "-a", "keras", 1, ["go_backwards=True", "order of processing"]),
    ("07-go-backwards", "-onnx", "-b", "onnx", 1,
     ["direction=reverse", "reversed in, reversed out"]),
    ("07-go-backwards", "-keras", "-c", "keras", 1, ["reversed in, reversed out"]),
    ("08-bidirectional", "", "-a", "pytorch", 0, ["bidirectional", "all right"]),
    ("08-bidirectional", "", "-b", "pytorch", 1, ["interleaved"]),
    ("08-bidirectional", "", "-c", "pytorch", 1, ["summed"]),
    ("08-bidirectional", "-d", "-d", "pytorch", 0, ["bidirectional", "all right"]),
    ("09-masked-lengths", "", "-a", "keras", 1, ["lengths 6, 4, 2", "the last output is repeated"]),
    ("09-masked-lengths", "", "-b", "keras", 1, ["lengths 6, 4, 2", "zero"]),
    ("09-masked-lengths", "", "-c", "keras", 0, ["all right"]),
    ("13-batch-axis", "-a", "-a", "pytorch", 0, ["4 examples of 6 steps", "over the batch axis"]),
    ("13-batch-axis", "-b", "-a", "keras", 1, ["as if it were time", "no time-first input"]),
    ("13-batch-axis", "-a", "-c", "pytorch", 1, ["X is reshaped (view)", "reshaped back"]),
    ("15-projection-and-clip", "-a", "-a", "pytorch", 0, ["projected to 3 (proj_size)"]),
    ("15-projection-and-clip", "-b", "-b", "keras", 1, ["the cell state C is clipped to ±0.5"]),
    ("16-half-precision", "", "-a", "pytorch", 1, ["agrees as float16 would"]),
    ("16-half-precision", "", "-b", "pytorch", 1, ["agrees as float16 would"]),
    ("16-half-precision", "", "-c", "pytorch", 1, ["agrees as TF32"]),
    ("16-half-precision", "", "-d", "pytorch", 1, ["agrees as bfloat16 would"]),
    ("16-half-precision", "", "-e", "pytorch", 1, ["agrees as int8 (dynamic quantisation)"]),
    ("19-one-of-two-biases", "-a", "-a", "pytorch", 1, ["the recurrent bias", "is left out"]),
    ("19-one-of-two-biases", "-b", "-b", "mxnet", 1, ["the recurrent bias", "is left out"]),
    ("19-one-of-two-biases", "-a", "-c", "pytorch", 1, ["bias (bias_hh) is used twice"]),
    ("26-layer-norm", "", "", "pytorch", 1, ["normalised", "cell.ln.weight", "cell.ln.bias"]),
    ("28-uninformative-data", "-a", "-a", "pytorch", 1, ["undecided", "23 other orders", "random"]),
    ("28-uninformative-data", "-b", "-b", "keras", 1, ["undecided", "more than one step", "H0"]),
    ("29-relu-for-tanh", "", "", "pytorch", 1, ["nonlinearity=relu", "check it in both places"]),
    ("33-onnx-order-into-pytorch", "-a", "-a", "onnx", 1,
     ["which are i, o, f, g in the file, for i, f, g, o", "[0, 2, 3, 1]"]),
    ("33-onnx-order-into-pytorch", "-b", "-b", "pytorch", 1,
     ["which are i, f, g, o in the file, for i, o, f, g", "[0, 3, 1, 2]"]),
    ("35-not-its-framework", "-a", "-a", "mxnet", 1, ["the reset gate acts before"]),
    ("35-not-its-framework", "-b", "-b", "flax", 1, ["the reset gate acts before"]),
    ("35-not-its-framework", "-c", "-c", "pytorch", 1, ["φ is missing (identity), not tanh"]),
    ("35-not-its-framework", "-c", "-d", "pytorch", 1, ["φ is sigmoid, not tanh"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "weights", "io", "layout", "code", "said"),
    CASES,
    ids=[f"{folder}{io}-{layout}" for folder, _, io, layout, *_ in CASES],
)
def test_a_situation_is_answered(folder, weights, io, layout, code, said, tmp_path, capsys):
    files = FOLDER / folder
    found = main([
        "diagnose", "--quiet", "--weights", str(files / f"weights{weights}.safetensors"),
        "--layout", layout, "--io", str(files / f"io{io}.safetensors"),
        "--json", str(tmp_path / "out.json"),
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert found == code, printed
    for words in said:
        assert words in printed
    verdict = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["verdict"]
    assert (verdict == "all right") == (code == 0)


def test_every_situation_is_asked():
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == {case[0] for case in CASES}
