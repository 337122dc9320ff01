"""ONNX: a node RNN, GRU or LSTM for every layer, and a product and a sum on top.

The operators are those of opset 14, which ONNX Runtime has computed since 1.9. Of these cells its
kernels for CPUs know float32 alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.convert.target import Target, Values

OPSET, IR = 14, 7
LARGEST = 2**31 - 2**20
"""Bytes of one message of protobuf, less what stands around the numbers."""

OPERATOR = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
KINDS = {"W": "W", "U": "R", "b": "B"}
BETWEEN = ["", "", ""]
"""Lengths and the initial state are no inputs; peepholes come behind them."""
DIRECTIONS = np.array([1], "int64")
"""Which axis of a node's output they are."""
SIDE_BY_SIDE = np.array([0, 0, -1], "int64")
"""The shape of both H in one: its first two axes stay."""


def write(path: Path, values: Values) -> None:
    from onnx import TensorProto, helper, numpy_helper

    spec, output = values.spec, dict(zip(("W_hq", "b_q"), values.output or (), strict=False))
    total = sum(
        a.nbytes for layer in [*values.layers, [output]] for half in layer for a in half.values()
    )
    if total > LARGEST:
        raise BadInput("--to onnx", "", f"a network of at most {LARGEST:,} bytes", f"{total:,}")
    nodes, stored, below = [], [], "X"
    settled: dict[str, Any] = {}
    if spec.cell == "rnn":
        settled["activations"] = [TARGET.activation(spec)]
        if spec.activations[0] == "identity":  # Affine is α x + β, and runtimes differ in defaults
            settled |= {"activation_alpha": [1.0], "activation_beta": [0.0]}
    if spec.cell == "gru":
        settled["linear_before_reset"] = int(spec.reset == "after")
    if spec.gate_clip is not None:
        settled["clip"] = spec.gate_clip
    kinds = KINDS | ({"P": "P"} if spec.peepholes else {})
    if spec.directions == 2:
        settled["direction"] = "bidirectional"
        if "activations" in settled:
            settled |= {key: settled[key] * 2 for key in settled if key.startswith("activation")}
    axis = numpy_helper.from_array(DIRECTIONS if spec.directions == 1 else SIDE_BY_SIDE, "axes")
    for number, layer in enumerate(values.layers, start=1):
        names = [f"layer{number}.{name}" for name in kinds.values()]
        # The first axis is of directions.
        stored += [
            numpy_helper.from_array(np.stack([half[kind] for half in layer]), name)
            for kind, name in zip(kinds, names, strict=True)
        ]
        last = not output and number == spec.L
        made, above = f"layer{number}.Y", "O" if last else f"layer{number}.H"
        operator = OPERATOR[spec.cell]
        own = {"name": f"layer{number}", "hidden_size": spec.units(number), **settled}
        given = [below, *names[:3], *(BETWEEN + names[3:] if spec.peepholes else [])]
        nodes.append(helper.make_node(operator, given, [made], **own))
        if spec.directions == 1:
            nodes.append(helper.make_node("Squeeze", [made, axis.name], [above]))
        else:  # (T, 2, n, h) to (T, n, 2h)
            turned = f"layer{number}.turned"
            nodes.append(helper.make_node("Transpose", [made], [turned], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [turned, axis.name], [above]))
        below = above
    stored += [numpy_helper.from_array(array, f"output.{name}") for name, array in output.items()]
    if output:
        nodes.append(helper.make_node("MatMul", [below, "output.W_hq"], ["output.HW"]))
        nodes.append(helper.make_node("Add", ["output.HW", "output.b_q"], ["O"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["T", "n", size])
        for name, size in (("X", spec.d), ("O", spec.q))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], [axis, *stored])
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR)
    path.write_bytes(model.SerializeToString(deterministic=True))


def lacks(spec: ModelSpec, params: Arrays) -> tuple[str, str] | None:
    """A node's clip is a float32."""
    kappa = spec.gate_clip
    if kappa is None or kappa == (nearest := float(np.float32(kappa))):
        return None
    return f"a gate_clip that float32 holds (the nearest is {nearest})", str(kappa)


def code(spec: ModelSpec, dtype: str, bare: bool) -> list[str]:
    return [
        "import onnxruntime",
        "net = onnxruntime.InferenceSession(FILE)",
        'O = net.run(None, {"X": X})[0]',
    ]


TARGET = Target(
    name="onnx",
    layout="onnx",
    end=".onnx",
    write=write,
    code=code,
    axes="(T, n, d)",
    activations={"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "identity": "Affine"},
    resets=("after", "before"),
    two=lambda spec: True,
    peeps=True,
    lacks=lacks,
    dtypes=("float32",),
    package="onnxruntime",
)
