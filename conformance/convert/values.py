"""The numbers of a network as a file holds them: rounded to its dtype, with two biases or one.

Where a framework adds two biases to a gate and the equations have one, b stands in the first, and
in the second what the dtype could not hold of it: 0, unless b is itself a sum of two.
"""

from __future__ import annotations

import numpy as np

from common.errors import BadInput
from common.parameters import GATES, Arrays, parameter_shapes, prefix
from common.spec import ModelSpec
from conformance.closeness.compare import identical
from conformance.convert.target import Target, Values
from conformance.models.network import Direction, Network
from conformance.models.writing import tensors

OWN = ("b_xh", "b_hh")
"""The reset-after GRU's candidate has two biases that are not added up (GRU-3a)."""


def dtype_of(params: Arrays) -> str:
    """The smaller dtype, if it holds every weight; of biases there may be two."""
    weights = [W for name, W in params.items() if W.ndim == 2 or ".P_" in name]
    whole = all(identical(rounded(W, "float32"), W) for W in weights)
    return "float32" if whole else "float64"


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    """To the nearest number that the dtype has, in float64."""
    with np.errstate(over="ignore"):
        return array.astype(dtype).astype("float64")


def split(b: np.ndarray, dtype: str, two: bool) -> tuple[np.ndarray, np.ndarray]:
    """b as the sum of two that the dtype holds; the second is 0 if there may be only one."""
    first = rounded(b, dtype)
    return first, rounded(b - first, dtype) if two else np.zeros_like(b)


def held(spec: ModelSpec, params: Arrays, target: Target, dtype: str) -> Arrays:
    """The canonical parameters that the written file holds, in float64."""
    two, found = target.two(spec), {}
    for name in parameter_shapes(spec):
        added = name.startswith("layer") and ".b_" in name and not name.endswith(OWN)
        found[name] = np.add(*split(params[name], dtype, two and added))
        if not np.isfinite(found[name]).all():
            expected = f"numbers that {dtype} can hold"
            raise BadInput(
                f"--to {target.name}", name, expected, f"up to {np.abs(params[name]).max():g}"
            )
    return found


def network_of(spec: ModelSpec, params: Arrays, two: bool, dtype: str) -> Network:
    """The network with its gates side by side, as models/writing.py takes it."""

    def half(of: str) -> Direction:
        gates = GATES[spec.cell]
        biases = []
        for gate in gates:
            if spec.reset == "after" and gate == "h":
                biases.append(tuple(rounded(params[of + name], dtype) for name in OWN))
            else:
                biases.append(split(params[f"{of}b_{gate}"], dtype, two))
        b_x, b_h = (np.concatenate(parts) for parts in zip(*biases, strict=True))
        W, U = (
            np.hstack([params[f"{of}{kind}{gate}"] for gate in gates]) for kind in ("W_x", "W_h")
        )
        P = np.stack([params[f"{of}P_{gate}"] for gate in "ifo"]) if spec.peepholes else None
        return Direction(W, U, b_x, b_h, P, params.get(f"{of}W_hp"))

    layers = [
        tuple(half(prefix(layer, backward)) for backward in spec.ways)
        for layer in range(1, spec.L + 1)
    ]
    output = params["output.W_hq"], params["output.b_q"]
    return Network(spec.cell, tuple(layers), output, 2 if spec.reset == "after" else 1)


def values(
    spec: ModelSpec, params: Arrays, target: Target, dtype: str, bare: bool = False
) -> Values:
    """What ``target.write`` writes; BadInput if the dtype cannot hold a number.

    bare: there is no output layer, and W_hq is the identity (files/canonical.py)"""
    held(spec, params, target, dtype)
    own = {name: array.astype(dtype) for name, array in params.items()}
    output = None if bare else (own["output.W_hq"], own["output.b_q"])
    if not target.layout:
        return Values(spec, own, [], output, dtype)
    network = network_of(spec, params, target.two(spec), dtype)
    layers = [
        [
            {
                kind: np.array(array, dtype, order="C")
                for kind, array in tensors(half, network, target.layout).items()
            }
            for half in layer
        ]
        for layer in network.layers
    ]
    return Values(spec, own, layers, output, dtype)
