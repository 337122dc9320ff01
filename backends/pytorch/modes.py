"""A further way to compute the layers with PyTorch, made when it is asked for: Keras on PyTorch."""

import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from backends.pytorch.equations import Equations, State, chosen, dropped, ended, stacked
from backends.pytorch.runtime import find_device
from common.errors import BadInput
from common.parameters import parameter_shapes, state_of
from common.spec import ModelSpec

OPERATIONS = ("mkldnn_rnn_layer", "_cudnn_rnn", "lstm", "_thnn_fused_lstm_cell", "addmm", "matmul")
"""Of ATen, whether a layer is a kernel or made of products."""


class KerasLayers(Equations):
    """Keras' layers on PyTorch, with its Dense on top. The parameters keep their canonical names,
    and how Keras lays them out is part of what autograd differentiates."""

    def __init__(self, spec: ModelSpec, params: State) -> None:
        super().__init__(spec, params)
        dtype = str(params["output.b_q"].dtype).removeprefix("torch.")
        self.stack = keras_layers().Stack(spec, dtype, torch)

    @staticmethod
    def unsupported(spec: ModelSpec) -> str | None:
        """What Keras' layers cannot express."""
        return keras_layers().unsupported(spec)

    def __call__(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        outputs, last = self.stack.run(self.params, ended(X, within), state, within, kept)
        O = self.stack.output(self.params, outputs[-1])
        return ended(O.to(X.dtype), within), stacked([cast(half, X) for half in last])

    def trace(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> list[State]:
        """A layer's outputs are its H, but its C shows only at the end: so it goes step by step."""
        X, rows = ended(X, within), []
        outputs = self.stack.run(self.params, X, state, within, kept)[0]
        below = [X, *(dropped(H, layer, kept) for layer, H in enumerate(outputs, start=1))]
        for layer, backward in self.spec.passes:
            now, steps = state_of(self.spec, state, layer, backward), {}
            for t in reversed(range(len(X))) if backward else range(len(X)):
                made = self.stack.step(layer, backward, self.params, below[layer - 1][t], now)
                made = cast(made, X)
                now = made if within is None else chosen(within[t], made, now)
                steps[t] = now
            rows.append([steps[t] for t in range(len(X))])
        return [stacked(layers) for layers in zip(*rows, strict=True)]


def cast(state: State, like: Tensor) -> State:
    """In the dtype that was asked for, whatever Keras has computed it in."""
    return {part: tensor.to(like.dtype) for part, tensor in state.items()}


@cache
def keras_layers() -> Any:
    """backends/keras_layers.py, with Keras on PyTorch; BadInput where there is no Keras."""
    os.environ["KERAS_BACKEND"] = "torch"
    try:
        from backends import keras_layers
    except ModuleNotFoundError as error:
        raise BadInput(
            "pytorch:keras", "", "Keras installed", f"no module {error.name!r}"
        ) from None
    return keras_layers


MODES = {"keras": KerasLayers}
"""By name, beside "equations" and "layers"."""


def ran(name: str, device: str) -> dict[str, Any]:
    """What a mode really runs, of a small LSTM: its operations, by torch's profiler."""
    spec, place = ModelSpec("lstm", 2, 3, 2, 1), find_device(device)
    params = {n: torch.zeros(shape) for n, shape in parameter_shapes(spec).items()}
    net = MODES[name](spec, {n: tensor.to(place) for n, tensor in params.items()})
    state = {part: torch.zeros(1, 1, 3, device=place) for part in spec.states}
    with torch.autograd.profiler.profile() as profile:  # as runtime.kernel_path does
        net(torch.zeros(2, 1, 2, device=place), state)
    ran = {event.key.removeprefix("aten::") for event in profile.key_averages()}
    found = ", ".join(op for op in OPERATIONS if op in ran)
    return {"layers of": f"Keras {version('keras')}", "operations": found}
