"""Further ways to compute the layers with PyTorch, made when they are asked for: Keras on PyTorch,
and torch.compile around torch's layers."""

import atexit
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from backends.pytorch.equations import Equations, State, chosen, dropped, ended, stacked
from backends.pytorch.layers import Layers
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


MOST_PROGRAMS = 64
"""Of one net: one for every shape, with gradients and without."""


class CompiledLayers(Layers):
    """torch's layers with ``torch.compile`` around the call, compiled for every shape anew.

    nn.RNN, nn.GRU and nn.LSTM break its graph and run eagerly, as ``ran`` says; what stands behind
    them is compiled at most. Source: torch 2.13, ``torch/_dynamo/variables/builder.py``.
    """

    through_rnns = False

    def __init__(self, spec: ModelSpec, params: State) -> None:
        super().__init__(spec, params)
        if self.output.weight.device.type == "cpu":
            check_for_cpp()
        compiler().reset()  # all nets share the code, and so the limit of its programs
        self.compiled = torch.compile(super().__call__, dynamic=False)

    def __call__(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        with compiling(self.through_rnns):
            return self.compiled(X, state, within, kept)


class CompiledRnns(CompiledLayers):
    """The same with ``allow_rnn``, which compiles the recurrent layers as well: unrolled, a step
    after the other. Without oneDNN, whose LSTM fails in a compiled program that is trained. Where
    examples of different length are packed, the graph breaks, and the layers run eagerly."""

    through_rnns = True


@contextmanager
def compiling(through_rnns: bool) -> Iterator[None]:
    """How torch.compile is set while it compiles. Code that has more programs than the limit would
    run eagerly, and nobody would see it: an error instead."""
    limit = {"recompile_limit": MOST_PROGRAMS, "fail_on_recompile_limit_hit": True}
    options = {"allow_rnn": through_rnns, **limit}
    onednn = torch.backends.mkldnn.enabled
    with compiler().config.patch(options):
        torch._C._set_mkldnn_enabled(onednn and not through_rnns)
        try:
            yield
        finally:
            torch._C._set_mkldnn_enabled(onednn)


@cache
def compiler() -> Any:
    """torch's compiler, which takes a second to import."""
    # A linker that was stopped leaves half a library, which the next process would find and load.
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        own = tempfile.TemporaryDirectory(prefix="deep-rnn-compiled-")
        atexit.register(own.cleanup)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = own.name
    from torch import _dynamo
    from torch._inductor import config

    config.compile_threads = 1  # no processes beside this one
    return _dynamo


@cache
def check_for_cpp() -> None:
    """BadInput where there is no compiler of C++, which programs for a CPU need."""
    compiler()
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        expected = "a compiler of C++: g++, or what CXX names"
        raise BadInput("torch.compile", "", expected, "none that runs") from None


MODES: dict[str, type[KerasLayers] | type[CompiledLayers]] = {
    "keras": KerasLayers,
    "compiled": CompiledLayers,
    "compiled-rnn": CompiledRnns,
}
"""By name, beside "equations" and "layers"."""


@torch.no_grad()
def ran(name: str, device: str) -> dict[str, Any]:
    """What a mode really runs when a small LSTM predicts: its operations, by torch's profiler; and
    of what is compiled graphs and kernels, and what broke the graph."""
    spec, place = ModelSpec("lstm", 2, 3, 2, 1), find_device(device)
    params = {n: torch.zeros(shape) for n, shape in parameter_shapes(spec).items()}
    net = MODES[name](spec, {n: tensor.to(place) for n, tensor in params.items()})
    given = (
        torch.zeros(2, 1, 2, device=place),
        {part: torch.zeros(1, 1, 3, device=place) for part in spec.states},
    )
    if isinstance(net, KerasLayers):
        said = {"layers of": f"Keras {version('keras')}"}
    else:
        said = programs(lambda: net(*given))
    with torch.autograd.profiler.profile() as profile:  # as runtime.kernel_path does
        net(*given)
    ran = {event.key.removeprefix("aten::") for event in profile.key_averages()}
    return said | {"operations": ", ".join(op for op in OPERATIONS if op in ran)}


def programs(call: Callable[[], Any]) -> dict[str, Any]:
    """What torch.compile makes of a first call: of how many graphs how many kernels in C++, and at
    what it gave up."""
    from torch._dynamo.utils import counters
    from torch._inductor import metrics

    counters.clear()
    metrics.reset()
    call()
    reasons = (*counters["graph_break"], *counters["unimplemented"])
    return {
        "compiled by": "torch.compile, inductor",
        "graphs": counters["stats"]["unique_graphs"],
        "kernels": metrics.generated_kernel_count,
        "broken by": sorted({why.partition("\n")[0] for why in reasons}),
    }
