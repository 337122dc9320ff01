"""What a GPU has beside the two implementations: other modes of torch's layers, and a training step
as one CUDA graph."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from backends.pytorch import Implementation
from backends.pytorch.bare import make
from backends.pytorch.layers import Layers
from backends.pytorch.modes import CompiledLayers
from backends.pytorch.runtime import DTYPES, find_device, tf32
from common.recipe import Recipe
from common.spec import ModelSpec

HALF = {"mixed": "bfloat16", "float16": "float16"}
WARM = 3
"""Steps before a graph is captured: cuDNN chooses its kernels and takes its memory in them."""


@contextmanager
def without_cudnn() -> Iterator[None]:
    """ATen's own RNN kernels instead of cuDNN's. Not by ``cudnn.flags``, which reads one setting of
    TF32 for all of cuDNN and raises where its RNNs have one of their own, as here."""
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


MODES: dict[str, tuple[type[Layers], Callable[[], AbstractContextManager]]] = {
    "cuDNN off": (Layers, without_cudnn),
    "torch.compile": (CompiledLayers, nullcontext),
}
"""Of the layers: the net, and what is on while it computes."""


def mode(name: str, device: str, dtype: str) -> tuple[Implementation, AbstractContextManager]:
    """``pytorch:layers`` in a mode, and the context that it computes in."""
    net, within = MODES[name]
    return Implementation(net, find_device(device, dtype), DTYPES[dtype]), within()


def ways(device: str) -> tuple[str, ...]:
    """How ``device_steps`` can run a step: op by op or, on a GPU, as one CUDA graph."""
    return ("eager", "graph") if device == "gpu" else ("eager",)


def device_steps(
    spec: ModelSpec, recipe: Recipe, numerics: str, device: str, way: str
) -> Callable[[int], None]:
    """A function that trains for so many steps on one minibatch that is on the device already, and
    waits for the end: torch's layers, its clip and its SGD, the state carried."""
    place = find_device(device, numerics if numerics == "tf32" else "float32")
    dtype = HALF.get(numerics, "float32")
    layer, output, weights = make(spec, dtype)
    layer.to(place)
    output.to(place)
    optimiser = torch.optim.SGD(weights, recipe.learning_rate, foreach=True)
    classes = torch.randint(0, spec.d, (2, recipe.T, recipe.n), device=place)
    X = nn.functional.one_hot(classes[0], spec.d).to(getattr(torch, dtype))
    Y = classes[1].flatten()
    shape = (spec.L, recipe.n, spec.h)
    parts = 2 if spec.cell == "lstm" else 1
    state = [torch.zeros(shape, device=place, dtype=X.dtype) for _ in range(parts)]

    def step() -> None:
        H, last = layer(X, tuple(state) if parts == 2 else state[0])
        nn.functional.cross_entropy(output(H).flatten(0, 1), Y).backward()
        nn.utils.clip_grad_norm_(weights, recipe.clip, foreach=True)
        optimiser.step()
        optimiser.zero_grad(set_to_none=False)
        for before, after in zip(state, last if parts == 2 else (last,), strict=True):
            before.copy_(after.detach())

    graphs: list[Callable[[], None]] = []

    def run(steps: int) -> None:
        if way == "graph" and not graphs:  # here, where TF32 is as it is to be captured
            graphs.append(captured(step))
        repeated(graphs[0] if graphs else step, state[0])(steps)

    return tf32()(run) if numerics == "tf32" else run


def layer_steps(n: int, T: int, h: int, dtype: str, device: str) -> Callable[[int], None]:
    """A function that runs one nn.LSTM of d = h forward and backward so many times, and waits."""
    place = find_device(device)
    layer = nn.LSTM(h, h, dtype=getattr(torch, dtype), device=place)
    X = torch.randn(T, n, h, dtype=getattr(torch, dtype), device=place, requires_grad=True)

    def step() -> None:
        layer(X)[0].sum().backward()

    return repeated(step, X)


def repeated(step: Callable[[], None], like: Tensor) -> Callable[[int], None]:
    """A function that takes so many steps, and waits for the device of ``like``."""

    def run(steps: int) -> None:
        for _ in range(steps):
            step()
        like.flatten()[0].item()

    return run


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """A step as one CUDA graph, which is launched as a whole."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


POINTS, REACH = 4096, 12.0
SURE = 100.0
"""A pre-activation whose tanh and sigmoid are 1 in any format."""


def activation_errors(device: str, dtype: str) -> list[dict[str, Any]]:
    """How far tanh and the sigmoid inside of nn.RNN, nn.GRU and nn.LSTM lie from the right values,
    by the path that computes them, the number of units h and of steps T.

    One input of weight 1, W_hh = 0 and gates that are shut or open leave the bare function of X:
    no sum is rounded. Beside them torch.tanh and torch.sigmoid.
    """
    place, rows = find_device(device, dtype), []
    x = torch.linspace(-REACH, REACH, POINTS, dtype=DTYPES[dtype], device=place)
    exact = x.double()
    right = {"tanh": exact.tanh(), "sigmoid": exact.sigmoid()}
    for function in right:
        rows.append({"layer": f"torch.{function}", "function": function, "path": "op"})
        rows[-1] |= errors(getattr(torch, function)(x), right[function], x)
    for path, within in {"cuDNN": nullcontext, "ATen": without_cudnn}.items():
        for (layer, function), make_layer in BARE.items():
            for h, T in ((1, 1), (64, 1), (256, 1), (256, 32)):
                if layer == "GRU" and T > 1:  # z^T of the same z is not its sigmoid
                    continue
                net, state = make_layer(h)
                net.to(place, DTYPES[dtype])
                X = x[None, :, None].repeat(T, 1, 1)
                start = [torch.full((1, len(x), h), s, dtype=x.dtype, device=place) for s in state]
                with torch.no_grad(), within():
                    _, last = net(X, tuple(start) if len(start) == 2 else start[0])
                found = (last[1] if layer == "LSTM" else last)[0]
                row = {"layer": layer, "function": function, "path": path, "h": h, "T": T}
                wide = (part[:, None].expand_as(found) for part in (right[function], x))
                rows.append(row | errors(found, *wide))
    return rows


def errors(found: Tensor, right: Tensor, x: Tensor) -> dict[str, Any]:
    """The largest absolute and relative error, where, and the errors of 129 points."""
    error = (found.double() - right).flatten()
    relative = (error / right.flatten()).abs()
    worst, x = error.abs().argmax(), x.flatten().double()
    some = slice(None, None, max(1, len(x) // 128))
    return {
        "error": float(error.abs().max()),
        "at": float(x[worst]),
        "found": float(found.flatten()[worst]),
        "mean": float(error.mean()),
        "relative": float(relative.max()),
        "relative at": float(x[relative.argmax()]),
        "curve": [[float(a), float(b)] for a, b in zip(x[some], error[some], strict=True)],
    }


def bare_layer(kind: type[nn.RNNBase], weights: list[float], biases: list[float]):
    """A maker of a layer with W_xh = ``weights``, W_hh = 0 and b = ``biases``, gate by gate."""

    def make_layer(h: int) -> nn.RNNBase:
        layer = kind(1, h)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.zero_()
            layer.weight_ih_l0.copy_(torch.tensor(weights).repeat_interleave(h)[:, None])
            layer.bias_ih_l0.copy_(torch.tensor(biases).repeat_interleave(h))
        return layer

    return make_layer


BARE = {
    ("RNN", "tanh"): lambda h: (bare_layer(nn.RNN, [1.0], [0.0])(h), (0.0,)),
    # r z n: H = (1 - z) n + z H_0
    ("GRU", "tanh"): lambda h: (bare_layer(nn.GRU, [0, 0, 1.0], [0, -SURE, 0])(h), (0.0,)),
    ("GRU", "sigmoid"): lambda h: (bare_layer(nn.GRU, [0, 1.0, 0], [0.0, 0, 0])(h), (1.0,)),
    # i f g o: C = f C_0 + i g
    ("LSTM", "tanh"): lambda h: (
        bare_layer(nn.LSTM, [0, 0, 1.0, 0], [SURE, -SURE, 0, SURE])(h),
        (0.0, 0.0),
    ),
    ("LSTM", "sigmoid"): lambda h: (
        bare_layer(nn.LSTM, [1.0, 0, 0, 0], [0.0, -SURE, SURE, SURE])(h),
        (0.0, 0.0),
    ),
}
"""Layers that show one function, and what their state begins with."""
