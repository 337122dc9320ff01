"""Capture a live model: its nn.RNN, nn.GRU and nn.LSTM and their cells, by hooks in one run.

    from backends.pytorch.capture import capture

    capture(model, "mine.safetensors", X)

It sees modules inside of modules, packed sequences, autocast, and torch.compile, whose compiled
code is thrown away before and after, since it has no hooks in it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from common.capture import Call, Capture, Layer, Tensors, unique, write_capture
from common.parameters import Arrays

CELLS = {nn.RNN: "rnn", nn.GRU: "gru", nn.LSTM: "lstm",
         nn.RNNCell: "rnn", nn.GRUCell: "gru", nn.LSTMCell: "lstm"}  # fmt: skip

COMPILER = "torch._dynamo"
"""The module that torch.compile imports."""

Found = list[tuple[Layer, nn.Module]]
Live = list[tuple[Layer, Call, dict[str, Any]]]
"""Of every call, the tensors that went in."""


def capture(
    model: nn.Module,
    path: str | Path,
    *inputs: Any,
    loss: Callable[[Any], Tensor] | None = None,
    **options: Any,
) -> Any:
    """Run ``model(*inputs, **options)``, write what its recurrent layers did, return its outputs.

    loss: of the outputs, a number; then gradients are written as well

    Raises BadInput if no recurrent layer ran.
    """
    found = find(model)
    with watching(found, loss is not None) as live:
        outputs = model(*inputs, **options)
        value = None if loss is None else loss(outputs)
        if value is not None:
            differentiate(found, live, value)
    number = None if value is None else float(value.detach())
    named = [tensor for name, tensor in parameters(model)]
    device = str(named[0].device) if named else "cpu"
    device += f" ({torch.cuda.get_device_name(named[0].device)})" if "cuda" in device else ""
    layers = [layer for layer, _ in found]
    write_capture(
        Path(path),
        Capture("torch", torch.__version__, device, layers, rest(model, found), number),
    )
    return outputs


def find(model: nn.Module) -> Found:
    """The recurrent layers of a model, in the order in which it holds them."""
    found: Found = []
    for name, module in model.named_modules():
        if cell := next((cell for kind, cell in CELLS.items() if isinstance(module, kind)), ""):
            name = unique(name.replace("_orig_mod.", "").removeprefix("_orig_mod"),
                          [layer.name for layer, _ in found])  # fmt: skip
            found.append((describe(name, module, cell), module))
    return found


def describe(name: str, module: nn.Module, cell: str) -> Layer:
    """A layer before it ran: what it is, and its weights."""
    whole = isinstance(module, nn.RNNBase)
    options = {"batch_first": str(whole and module.batch_first)}
    if cell == "rnn":
        options["nonlinearity"] = str(module.nonlinearity)
    found = tensors(module)
    names = [name for sides in found for kinds in sides for name in kinds.values()]
    layer = Layer(
        name, type(module).__name__, "pytorch", cell, options, found,
        {name: to_array(getattr(module, name)) for name in names},
        time=int(whole and module.batch_first),
    )  # fmt: skip
    if whole and module.training and module.dropout and module.num_layers > 1:
        layer.unjudged.append(f"a dropout of {module.dropout:g} between its layers was active")
    return layer


def tensors(module: nn.Module) -> Tensors:
    """Of layers and directions, the names of the weights."""
    kinds = {"W": "weight_ih", "U": "weight_hh"}
    kinds |= {"b_x": "bias_ih", "b_h": "bias_hh"} if module.bias else {}
    if not isinstance(module, nn.RNNBase):
        return [[kinds]]
    kinds |= {"R": "weight_hr"} if module.proj_size else {}
    sides = ("", "_reverse") if module.bidirectional else ("",)
    return [
        [{kind: f"{name}_l{k}{side}" for kind, name in kinds.items()} for side in sides]
        for k in range(module.num_layers)
    ]


def parameters(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All of a model's, by their names without what torch.compile puts in front of them."""
    return ((name.replace("_orig_mod.", ""), p) for name, p in model.named_parameters())


def rest(model: nn.Module, found: Found) -> Arrays:
    """The parameters that belong to no recurrent layer."""
    own = {id(p) for _, module in found for p in module.parameters()}
    return {name: to_array(p) for name, p in parameters(model) if id(p) not in own}


@contextmanager
def watching(found: Found, slopes: bool) -> Iterator[Live]:
    """Write down every call of the layers. slopes: whether gradients will be asked for"""
    live: Live = []
    hooks = []
    forget_compiled()
    for layer, module in found:
        before, after = watch(layer, live)
        if slopes:
            hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
        hooks.append(module.register_forward_hook(after, with_kwargs=True))
    try:
        yield live
    finally:
        for hook in hooks:
            hook.remove()
        forget_compiled()


def watch(layer: Layer, live: Live) -> tuple[Callable[..., Any], Callable[..., None]]:
    """What is done before and after a call of a layer."""

    def before(module: nn.Module, args: tuple, options: dict) -> tuple[tuple, dict]:
        X, state = given(args, options)
        more = {} if state is None else {"hx": follow(state)}
        return (follow(X),), more

    def after(module: nn.Module, args: tuple, options: dict, made: Any) -> None:
        X, state = given(args, options)
        parts = ("H", "C") if layer.cell == "lstm" else ("H",)
        if isinstance(module, nn.RNNBase):
            outputs, last = made
        else:
            last = made
            outputs = made[0] if layer.cell == "lstm" else made
        lasts = last if isinstance(last, tuple) else (last,)
        firsts = state if isinstance(state, tuple) else (state,) * (state is not None)
        alone = not isinstance(X, PackedSequence) and X.dim() == (2 if is_whole(module) else 1)
        arrays = sequences(X, outputs, module, alone)
        for part, tensor in zip(parts, lasts, strict=True):
            arrays[part] = states(tensor, module, alone)
            arrays[f"{part}0"] = np.zeros_like(arrays[part])
        inside: dict[str, Any] = {"X": X}
        for part, tensor in zip(parts, firsts, strict=False):
            arrays[f"{part}0"] = states(tensor, module, alone)
            inside[f"{part}0"] = tensor
        whole = outputs.data if isinstance(outputs, PackedSequence) else outputs
        layer.dtype = str(whole.dtype).removeprefix("torch.")
        layer.calls.append(Call(arrays))
        live.append((layer, layer.calls[-1], {**inside, "alone": alone, "module": module}))

    return eager(before), eager(after)


def given(args: tuple, options: dict) -> tuple[Any, Any]:
    """The input and the state of a call."""
    X = args[0] if args else options["input"]
    return X, args[1] if len(args) > 1 else options.get("hx")


def follow(value: Any) -> Any:
    """The same tensors, whose gradients can be asked for."""
    if isinstance(value, PackedSequence):
        return value._replace(data=follow(value.data))
    if isinstance(value, tuple):
        return tuple(follow(tensor) for tensor in value)
    return value if value.requires_grad else value.detach().requires_grad_()


def sequences(X: Any, outputs: Any, module: nn.Module, alone: bool) -> Arrays:
    """X and outputs with all three axes, and lengths, if there are any."""
    if isinstance(X, PackedSequence):
        wide, lengths = pad_packed_sequence(X, module.batch_first)
        made, _ = pad_packed_sequence(outputs, module.batch_first)
        return {"X": to_array(wide), "outputs": to_array(made), "lengths": lengths.numpy().copy()}
    return {"X": steps(X, module, alone), "outputs": steps(outputs, module, alone)}


def steps(tensor: Tensor, module: nn.Module, alone: bool) -> np.ndarray:
    """A tensor of a call without examples, or of a cell, with all three axes."""
    array = to_array(tensor)
    if not is_whole(module):
        return array[None, None] if alone else array[None]
    if alone:
        return array[None] if module.batch_first else array[:, None]
    return array


def states(tensor: Tensor, module: nn.Module, alone: bool) -> np.ndarray:
    """A state as (L·D, n, p)."""
    array = to_array(tensor)
    array = array[..., None, :] if alone else array
    return array if is_whole(module) else array[None]


def is_whole(module: nn.Module) -> bool:
    """Whether it reads sequences; else it is a cell."""
    return isinstance(module, nn.RNNBase)


def differentiate(found: Found, live: Live, value: Tensor) -> None:
    """The loss's gradients, of weights and of what went into the layers."""
    weights = [
        (layer, name, getattr(module, name)) for layer, module in found for name in layer.weights
    ]
    weights = [row for row in weights if row[2].requires_grad]
    inside = [
        (call, name, values[name], values)
        for _, call, values in live
        for name in ("X", "H0", "C0")
        if name in values
    ]
    wanted = [tensor for *_, tensor in weights]
    wanted += [t.data if isinstance(t, PackedSequence) else t for _, _, t, _ in inside]
    slopes = torch.autograd.grad(value, wanted, retain_graph=True, allow_unused=True)
    for (layer, name, _), slope in zip(weights, slopes, strict=False):
        if slope is not None:
            layer.gradients[name] = to_array(slope)
    for (call, name, tensor, values), slope in zip(inside, slopes[len(weights) :], strict=True):
        if slope is None:
            continue
        module, alone = values["module"], values["alone"]
        if isinstance(tensor, PackedSequence):
            slope, _ = pad_packed_sequence(tensor._replace(data=slope), module.batch_first)
            call.gradients[name] = to_array(slope)
        else:
            shaped = steps if name == "X" else states
            call.gradients[name] = shaped(slope, module, alone)


def to_array(tensor: Tensor) -> np.ndarray:
    """Its numbers at this moment; float32 for bfloat16, which NumPy lacks."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy().copy()


def from_array(array: np.ndarray) -> Tensor:
    """An input, as the framework has it."""
    return torch.from_numpy(array)


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, which torch.compile leaves alone, if it is there at all."""
    return torch.compiler.disable(function) if COMPILER in sys.modules else function


def forget_compiled() -> None:
    """Have torch compile anew, if it has compiled anything: what it compiled skips hooks."""
    if COMPILER in sys.modules:
        torch.compiler.reset()
