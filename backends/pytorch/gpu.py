"""What a GPU has beside the two implementations: other modes of torch's layers, and a training step
as one CUDA graph."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from backends.pytorch import Implementation
from backends.pytorch.bare import make
from backends.pytorch.equations import State
from backends.pytorch.layers import Layers
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


class CompiledLayers(Layers):
    """The layers with ``torch.compile`` around the call."""

    def __init__(self, spec: ModelSpec, params: State) -> None:
        super().__init__(spec, params)
        self.compiled = torch.compile(super().__call__)

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        return self.compiled(X, state)


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
