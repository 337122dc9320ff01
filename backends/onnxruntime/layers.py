"""ONNX' own RNN, GRU and LSTM, and how their weights map to the canonical ones.

A node is one layer in one direction or two. ONNX stacks the gates along the rows, (D, G·h, in),
keeps two biases per layer in one tensor, (D, 2·G·h), first those of the inputs, and its order of
the gates is its own. Source: ONNX' operators RNN, GRU and LSTM of opset 14.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from common.parameters import Arrays, layer_parameters, parameter_shapes, prefix
from common.spec import ModelSpec

GATE_ORDER = {"rnn": "h", "gru": "zrh", "lstm": "iofc"}
"""ONNX' order of the gates, in canonical letters: z, r, h and i, o, f, c."""

ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "identity": "Affine"}
OPSET, IR = 14, 7
PEEPHOLES = "iof"
"""ONNX' order of the peepholes."""


def kinds(spec: ModelSpec) -> tuple[str, ...]:
    """The weights of a node."""
    return ("W", "R", "B", "P") if spec.peepholes else ("W", "R", "B")


def unsupported(spec: ModelSpec) -> str | None:
    """What ONNX' operators cannot express."""
    return "ONNX' LSTM has no projection" if spec.p is not None else None


def to_native(spec: ModelSpec, p: Arrays) -> Arrays:
    """One direction of one layer, canonical → ONNX: stacked, transposed, b in the inputs' bias, 0
    in the other. Only the reset-after GRU's candidate has a second bias of its own, b_hh."""
    gates = GATE_ORDER[spec.cell]
    zeros = np.zeros_like(p["W_hh" if "W_hh" in p else "W_hi"][0])
    biases = [p[f"b_{gate}" if f"b_{gate}" in p else "b_xh"] for gate in gates]
    second = {f"b_h{gate}": zeros for gate in gates} | p
    biases += [second[f"b_h{gate}"] for gate in gates]
    peepholes = [p[f"P_{gate}"] for gate in PEEPHOLES] if spec.peepholes else []
    more = {"P": np.concatenate(peepholes)} if spec.peepholes else {}
    return more | {
        "W": np.concatenate([p[f"W_x{gate}"].T for gate in gates]),
        "R": np.concatenate([p[f"W_h{gate}"].T for gate in gates]),
        "B": np.concatenate(biases),
    }


def to_canonical(spec: ModelSpec, native: Arrays) -> Arrays:
    """One direction of one layer, ONNX → canonical."""
    gates, p = GATE_ORDER[spec.cell], dict[str, np.ndarray]()
    of_inputs, of_state = np.split(native["B"], 2)
    blocks = {"W": native["W"], "R": native["R"], "b": of_inputs, "b_h": of_state}
    by_gate = {
        name: dict(zip(gates, np.split(a, len(gates)), strict=True)) for name, a in blocks.items()
    }
    for gate in gates:
        p[f"W_x{gate}"], p[f"W_h{gate}"] = by_gate["W"][gate].T, by_gate["R"][gate].T
        p[f"b_{gate}"] = by_gate["b"][gate]
    if spec.peepholes:
        blocks = np.split(native["P"], len(PEEPHOLES))
        p |= {f"P_{gate}": P for gate, P in zip(PEEPHOLES, blocks, strict=True)}
    if spec.reset == "after":
        p["b_xh"], p["b_hh"] = p.pop("b_h"), by_gate["b_h"]["h"]
    return p


def make_node(
    spec: ModelSpec, layer: int, ways: Sequence[bool], X: str, lengths: str, start: Sequence[str]
) -> NodeProto:
    """Layer 1 … L as a node that returns all its outputs and its last state.

    X, lengths, start: the names of what goes in; an empty one goes in as nothing"""
    name, options = f"layer{layer}", dict[str, Any]()
    if spec.cell == "rnn":
        activation = ACTIVATIONS[spec.activations[layer - 1]]
        options["activations"] = [activation] * len(ways)
        if activation == "Affine":  # α x + β, and runtimes differ in the defaults
            options["activation_alpha"] = [1.0] * len(ways)
            options["activation_beta"] = [0.0] * len(ways)
    if spec.cell == "gru":
        options["linear_before_reset"] = int(spec.reset == "after")
    if spec.gate_clip is not None:
        options["clip"] = spec.gate_clip
    if len(ways) == 2:
        options["direction"] = "bidirectional"
    W, R, B, *P = (f"{name}.{kind}" for kind in kinds(spec))
    last = [f"{name}.{part}" for part in spec.states]
    given, made = [X, W, R, B, lengths, *start, *P], [f"{name}.Y", *last]
    operator = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}[spec.cell]
    return helper.make_node(operator, given, made, name, hidden_size=spec.units(layer), **options)


def make_step(spec: ModelSpec, params: Arrays, layer: int, backward: bool) -> ModelProto:
    """One direction of one layer, which takes one step: a step goes nowhere, forward or backward.

    x (1, n, in), layerl.H0 and C0 (1, n, h) → layerl.H and C (1, n, h)"""
    start = [f"layer{layer}.{part}0" for part in spec.states]
    stored = weights_of(spec, params, layer, [backward])
    last = [f"layer{layer}.{part}" for part in spec.states]
    return make_model(
        [make_node(spec, layer, [False], "x", "", start)], ["x", *start], last, stored
    )


def make_stack(spec: ModelSpec, params: Arrays, ragged: bool, dropped: bool) -> ModelProto:
    """The stack with its output layer (OUT-1).

    X (T, n, d), layerl.H0 and C0 (D, n, h), lengths (n,) where ragged, and where something is
    dropped layerl.kept (T, n, D·h) → O (T, n, q), and of every layer what goes into it,
    layerl.below (T, n, d or D·h), its outputs layerl.Y (T, D, n, h) and its last state layerl.H
    and C (D, n, h)"""
    nodes, given, made, stored = [], ["X"], ["O"], dict[str, np.ndarray]()
    stored["flat"] = np.array([0, 0, -1], "int64")  # the first two axes stay
    below, lengths = "X", "lengths" if ragged else ""
    for layer in range(1, spec.L + 1):
        name, ways = f"layer{layer}", spec.ways
        start = [f"{name}.{part}0" for part in spec.states]
        nodes.append(helper.make_node("Identity", [below], [f"{name}.below"]))
        nodes.append(make_node(spec, layer, ways, f"{name}.below", lengths, start))
        nodes.append(helper.make_node("Transpose", [f"{name}.Y"], [f"{name}.T"], perm=[0, 2, 1, 3]))
        nodes.append(helper.make_node("Reshape", [f"{name}.T", "flat"], [f"{name}.out"]))
        stored |= weights_of(spec, params, layer, ways)
        given, below = [*given, *start], f"{name}.out"
        made += [f"{name}.below", f"{name}.Y", *(f"{name}.{part}" for part in spec.states)]
        if dropped and layer < spec.L:
            nodes.append(helper.make_node("Mul", [below, f"{name}.kept"], [f"{name}.left"]))
            given, below = [*given, f"{name}.kept"], f"{name}.left"
    nodes.append(helper.make_node("MatMul", [below, "output.W_hq"], ["output.HW"]))
    nodes.append(helper.make_node("Add", ["output.HW", "output.b_q"], ["O"]))
    stored |= {name: params[name] for name in ("output.W_hq", "output.b_q")}
    return make_model(nodes, [*given, *([lengths] if ragged else [])], made, stored)


def make_model(
    nodes: list[NodeProto], given: list[str], made: list[str], stored: Arrays
) -> ModelProto:
    """A model with these nodes; every number is float32, but for the lengths."""
    kinds = {"lengths": TensorProto.INT32}
    inputs, outputs = (
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), None) for n in names]
        for names in (given, made)
    )
    weights = [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in stored.items()]
    graph = helper.make_graph(nodes, "network", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR)


def weights_of(spec: ModelSpec, params: Arrays, layer: int, ways: Sequence[bool]) -> Arrays:
    """What a node of these directions takes; the first axis is of them."""
    halves = [to_native(spec, layer_parameters(params, layer, backward)) for backward in ways]
    return {
        f"layer{layer}.{kind}": np.stack([half[kind] for half in halves]) for kind in kinds(spec)
    }


def canonical(spec: ModelSpec, model: ModelProto) -> Arrays:
    """Every parameter of a stack, out of its model."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found = {name: stored[name] for name in ("output.W_hq", "output.b_q")}
    for layer, backward in spec.passes:
        native = {kind: stored[f"layer{layer}.{kind}"][int(backward)] for kind in kinds(spec)}
        for name, array in to_canonical(spec, native).items():
            found[f"{prefix(layer, backward)}{name}"] = array
    return {name: found[name].copy() for name in parameter_shapes(spec)}
