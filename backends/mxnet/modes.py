"""A further way to compute the layers with MXNet, made when it is asked for: Gluon's blocks
hybridised, so that each is traced into a symbol once and run as that graph."""

import json
from typing import Any

from mxnet import nd

from backends.mxnet import layers
from backends.mxnet.equations import State
from backends.mxnet.layers import Block, Layers
from backends.mxnet.runtime import find_device
from common.parameters import parameter_shapes
from common.spec import ModelSpec


class HybridLayers(Layers):
    """Gluon's layers and its Dense, hybridised. Without ``static_alloc`` and ``static_shape``: the
    latter writes into gradients that were handed out before
    (onednn-static-shape-writes-into-old-gradient in conformance/verdict/deviations.toml)."""

    def __init__(self, spec: ModelSpec, params: State) -> None:
        super().__init__(spec, params)
        for block in (*self.blocks, self.output):
            block.hybridize()

    def alone(self, layer: int) -> Block:
        block = super().alone(layer)
        block.hybridize()
        return block


UNROLLED = "examples of different length go through cells, which are not hybridised"


def unsupported(spec: ModelSpec) -> str | None:
    """What Gluon's layers cannot express, and what a Python loop unrolls."""
    if spec.p is not None:
        return "a projection goes through cells, which are not hybridised"
    return layers.unsupported(spec)


MODES = {"layers-hybridised": HybridLayers}
"""By name, beside "equations" and "layers"."""


def ran(name: str, device: str) -> dict[str, Any]:
    """What a mode really runs, of a small LSTM: the operators of the graph that a block became."""
    spec, place = ModelSpec("lstm", 2, 3, 2, 1), find_device(device)
    params = {n: nd.zeros(shape, place) for n, shape in parameter_shapes(spec).items()}
    net = MODES[name](spec, params)
    net(nd.zeros((2, 1, 2), place), {part: nd.zeros((1, 1, 3), place) for part in spec.states})
    kinds = [
        node["op"]
        for node in json.loads(net.blocks[0]._cached_graph[1].tojson())["nodes"]
        if node["op"] != "null"
    ]
    return {"hybridised": "each block", "operators": ", ".join(dict.fromkeys(kinds))}
