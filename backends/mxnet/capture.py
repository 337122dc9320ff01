"""Capture a live model: its gluon.rnn layers RNN, GRU and LSTM and their cells, in one run.

    from backends.mxnet.capture import capture

    capture(model, "mine.safetensors", X)

It sees blocks inside of blocks. Those that are hybridised run one by one meanwhile: what is inside
of a compiled graph shows no numbers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import Block, rnn
from mxnet.gluon.rnn.rnn_layer import _RNNLayer

from common.capture import Call, Capture, Layer, Tensors, unique, write_capture
from common.parameters import Arrays

CELLS = {rnn.RNN: "rnn", rnn.GRU: "gru", rnn.LSTM: "lstm",
         rnn.RNNCell: "rnn", rnn.GRUCell: "gru", rnn.LSTMCell: "lstm"}  # fmt: skip

OWN_KERNEL = (
    "MXNet's own kernel, as for float64, makes wrong gradients below the top layer unless X has a "
    "gradient: X.attach_grad()."
)

Found = list[tuple[Layer, Block]]


def capture(
    model: Block,
    path: str | Path,
    *inputs: Any,
    loss: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Any:
    """Run ``model(*inputs, **options)``, write what its recurrent layers did, return its outputs.

    loss: of the outputs, a number; then gradients of the weights are written as well, and those of
    X from a second run, in which a leaf of zeros is added to every X: MXNet gives them to leaves
    alone, and may make other gradients of the weights than yours where X has one (OWN_KERNEL)

    Raises BadInput if no recurrent layer ran.
    """
    found = find(model)
    recording = autograd.record(autograd.is_training()) if loss is not None else nullcontext()
    with watching(found, model), recording:
        outputs = model(*inputs, **options)
        value = None if loss is None else loss(outputs)
    for layer, module in found:
        if layer.calls:
            describe(layer, module)
    if loss is not None:
        differentiate(found, value)
        follow(found, model, lambda: loss(model(*inputs, **options)), value)
    number = None if value is None else float(value.asnumpy())
    first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
    layers = [layer for layer, _ in found]
    write_capture(
        Path(path),
        Capture("mxnet", mx.__version__, str(first.ctx), layers, rest(model, found), number),
    )
    return outputs


def find(model: Block) -> Found:
    """The recurrent layers of a model, in the order in which it holds them."""
    found: Found = []
    for name, module in blocks(model):
        if cell := next((cell for kind, cell in CELLS.items() if isinstance(module, kind)), ""):
            name = unique(name, [layer.name for layer, _ in found])
            batch = is_whole(module) and module._layout == "NTC"
            kind = type(module).__name__
            found.append((Layer(name, kind, "mxnet", cell, {}, [], {}, time=int(batch)), module))
    return found


def blocks(model: Block, name: str = "") -> Iterator[tuple[str, Block]]:
    """A block and all that are in it, by where they stand."""
    yield name, model
    for key, child in model._children.items():
        yield from blocks(child, f"{name}.{key}" if name else key)


def describe(layer: Layer, module: Block) -> None:
    """What a layer is, and its weights, once it ran: their shapes may be open before."""
    layer.options = {"layout": module._layout if is_whole(module) else "TNC"}
    if layer.cell == "rnn" and is_whole(module):
        layer.options["activation"] = module._mode.removeprefix("rnn_")
    elif layer.cell == "rnn":
        layer.options["activation"] = str(module._activation)
    layer.tensors = tensors(module)
    names = [name for sides in layer.tensors for kinds in sides for name in kinds.values()]
    layer.weights = {name: to_array(getattr(module, name).data()) for name in names}
    if is_whole(module) and (module._lstm_state_clip_min or module._lstm_state_clip_max):
        layer.unjudged.append("it clips its state")


def tensors(module: Block) -> Tensors:
    """Of layers and directions, the names of the weights."""
    kinds = {"W": "i2h_weight", "U": "h2h_weight", "b_x": "i2h_bias", "b_h": "h2h_bias"}
    if not is_whole(module):
        return [[kinds]]
    kinds |= {"R": "h2r_weight"} if module._projection_size else {}
    return [
        [
            {kind: f"{side}{k}_{name}" for kind, name in kinds.items()}
            for side in "lr"[: module._dir]
        ]
        for k in range(module._num_layers)
    ]


def rest(model: Block, found: Found) -> Arrays:
    """The parameters that belong to no recurrent layer."""
    own = {id(p) for _, module in found for p in module.collect_params().values()}
    named = model._collect_params_with_prefix()
    return {name: to_array(p.data()) for name, p in named.items() if id(p) not in own}


@contextmanager
def watching(found: Found, model: Block, leaves: list[Any] | None = None) -> Iterator[None]:
    """Write down every call of the layers, while nothing is hybridised. leaves: what is added to
    every X instead, of a second run"""
    hybrid = [block for _, block in blocks(model) if getattr(block, "_active", False)]
    for block in hybrid:
        block._active = False
    hooks = []
    for layer, module in found:
        if leaves is not None:
            own = "_forward_kernel" if is_whole(module) else "forward"
            setattr(module, own, nudge(getattr(module, own), leaves, is_whole(module)))
        elif is_whole(module):
            module._forward_kernel = watch(layer, module)
        else:
            hooks.append(module.register_forward_hook(watch_cell(layer)))
    try:
        yield
    finally:
        for block in hybrid:
            block._active = True
        for _, module in found:
            vars(module).pop("_forward_kernel", None)
            vars(module).pop("forward", None)
        for hook in hooks:
            hook.detach()


def watch(layer: Layer, module: Block) -> Callable[..., Any]:
    """The same kernel of a layer, which is written down with its states."""
    own = module._forward_kernel

    def kernel(F: Any, inputs: Any, before: list, lengths: Any, **weights: Any) -> Any:
        made = own(F, inputs, before, lengths, **weights)
        outputs, after = made
        arrays = {"X": to_array(inputs), "outputs": to_array(outputs)}
        for part, first, last in zip("HC", before, after, strict=False):
            arrays |= {f"{part}0": to_array(first), part: to_array(last)}
        if lengths is not None:
            arrays["lengths"] = to_array(lengths).astype("int64")
        if module._dropout and module._num_layers > 1 and autograd.is_training():
            layer.unjudged.append(f"a dropout of {module._dropout:g} between its layers was active")
        layer.dtype = str(arrays["outputs"].dtype)
        layer.calls.append(Call(arrays))
        if autograd.is_recording() and module._num_layers > 1 and inputs.grad is None:
            layer.notes.append(OWN_KERNEL)
        return made

    return kernel


def watch_cell(layer: Layer) -> Callable[..., None]:
    """What is done after a call of a cell: it is a step of a sequence."""

    def after(module: Block, args: tuple, made: tuple) -> None:
        outputs, states = made
        arrays = {"X": to_array(args[0])[None], "outputs": to_array(outputs)[None]}
        for part, first, last in zip("HC", args[1], states, strict=False):
            arrays |= {f"{part}0": to_array(first)[None], part: to_array(last)[None]}
        layer.dtype = str(arrays["outputs"].dtype)
        layer.calls.append(Call(arrays))

    return after


def nudge(own: Callable[..., Any], leaves: list[Any], whole: bool) -> Callable[..., Any]:
    """The same call, to whose X a leaf of zeros is added."""

    def call(*args: Any, **options: Any) -> Any:
        place = int(whole)  # a kernel is given F first
        leaf = mx.nd.zeros_like(args[place])
        leaf.attach_grad()
        leaves.append(leaf)
        return own(*args[:place], args[place] + leaf, *args[place + 1 :], **options)

    return call


def is_whole(module: Block) -> bool:
    """Whether it reads sequences; else it is a cell."""
    return isinstance(module, _RNNLayer)


def differentiate(found: Found, value: Any) -> None:
    """The loss's gradients of the weights."""
    weights = [
        (layer, name, getattr(module, name)) for layer, module in found for name in layer.weights
    ]
    weights = [row for row in weights if row[2].grad_req != "null"]
    slopes = autograd.grad(value, [parameter.data() for *_, parameter in weights])
    for (layer, name, _), slope in zip(weights, slopes, strict=True):
        layer.gradients[name] = to_array(slope)


def follow(found: Found, model: Block, run: Callable[[], Any], first: Any) -> None:
    """The loss's gradients of what went into the layers, if a second run has the same loss."""
    leaves: list[Any] = []
    with watching(found, model, leaves), autograd.record(autograd.is_training()):
        value = run()
    calls = sorted(
        ((call, layer, module) for layer, module in found for call in layer.calls),
        key=lambda row: row[0].number,
    )
    if len(calls) != len(leaves) or float(value.asnumpy()) != float(first.asnumpy()):
        for layer, _ in found:
            layer.notes.append("No gradient of X: a second run of the model made another loss.")
        return
    # Without those of weights MXNet cuts X's off in time: native-frozen-weights in deviations.toml.
    weights = [p.data() for p in model.collect_params().values() if p.grad_req != "null"]
    slopes = autograd.grad(value, [*leaves, *weights])[: len(leaves)]
    for (call, _, module), slope in zip(calls, slopes, strict=True):
        array = to_array(slope)
        call.gradients["X"] = array if is_whole(module) else array[None]


def to_array(tensor: Any) -> np.ndarray:
    """Its numbers at this moment."""
    return tensor.asnumpy()


def from_array(array: np.ndarray) -> Any:
    """An input, as the framework has it."""
    return mx.nd.array(array, dtype=array.dtype)
