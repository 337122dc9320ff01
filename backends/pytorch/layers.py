"""PyTorch's own nn.RNN, nn.GRU and nn.LSTM, and how their weights map to the canonical ones.

torch stacks the gates along the rows, (G·h, in), keeps two biases per layer, and names layers from
0. Its candidate is called g in the LSTM and n in the GRU. Source: torch 2.13, ``nn.RNNBase``.
"""

import warnings
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from backends.pytorch.equations import State, chosen, dropped, ended, in_rows, widened
from backends.pytorch.runtime import to_array
from common.parameters import layer_parameters, parameter_shapes, prefix
from common.spec import ModelSpec

# It says which of its kernels it takes, once in every process.
warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")

GATE_ORDER = {"rnn": "h", "gru": "rzh", "lstm": "ifco"}
"""torch's order of the gates, in canonical letters: r, z, n and i, f, g, o."""


def unsupported(spec: ModelSpec) -> str | None:
    """What torch's layers cannot express."""
    if spec.reset == "before":
        return "nn.GRU resets after the matrix product only"
    for activation in spec.activations:
        if activation not in ("tanh", "relu"):
            return f"nn.RNN knows tanh and relu, not {activation}"
    if spec.peepholes or spec.gate_clip is not None:
        return "nn.LSTM has neither peepholes nor a clip of its gates"
    return None


def to_native(spec: ModelSpec, p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One layer, canonical → torch: stacked, transposed, b in the input bias, 0 in the other.

    Only the reset-after GRU's candidate has a second bias of its own, b_hh.
    """
    gates = GATE_ORDER[spec.cell]
    zeros = np.zeros_like(p["W_hh" if "W_hh" in p else "W_hi"][0])
    projection = {} if spec.p is None else {"weight_hr": p["W_hp"].T}
    return projection | {
        "weight_ih": np.concatenate([p[f"W_x{gate}"].T for gate in gates]),
        "weight_hh": np.concatenate([p[f"W_h{gate}"].T for gate in gates]),
        "bias_ih": np.concatenate([p.get(f"b_{gate}", p.get("b_xh")) for gate in gates]),
        "bias_hh": np.concatenate([p.get(f"b_h{gate}", zeros) for gate in gates]),
    }


def to_canonical(spec: ModelSpec, native: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One layer, torch → canonical. Holds for gradients too: the bias that carries b has b's."""
    gates = GATE_ORDER[spec.cell]
    blocks = {
        name: dict(zip(gates, np.split(a, len(gates)), strict=True))
        for name, a in native.items()
        if name != "weight_hr"
    }
    p = {} if spec.p is None else {"W_hp": native["weight_hr"].T}
    for gate in gates:
        p[f"W_x{gate}"] = blocks["weight_ih"][gate].T
        p[f"W_h{gate}"] = blocks["weight_hh"][gate].T
        p[f"b_{gate}"] = blocks["bias_ih"][gate]
    if spec.reset == "after":
        p["b_xh"], p["b_hh"] = p.pop("b_h"), blocks["bias_hh"]["h"]
    return p


def make_blocks(spec: ModelSpec, **options) -> list[nn.RNNBase]:
    """One nn.GRU or nn.LSTM for all layers. An nn.RNN has one activation for all its layers, so
    each run of layers with the same activation is an nn.RNN."""
    if not spec.even:
        own = [spec.alone(layer) for layer in range(1, spec.L + 1)]
        return [block for layer in own for block in make_blocks(layer, **options)]
    options["bidirectional"] = spec.directions == 2
    if spec.p is not None:
        options["proj_size"] = spec.p
    if spec.cell != "rnn":
        return [{"gru": nn.GRU, "lstm": nn.LSTM}[spec.cell](spec.d, spec.h, spec.L, **options)]
    blocks, d = [], spec.d
    for activation, run in groupby(spec.activations):
        blocks.append(nn.RNN(d, spec.h, len(list(run)), nonlinearity=activation, **options))
        d = spec.width
    return blocks


class Layers:
    """torch's layers with an nn.Linear on top, loaded with canonical parameters."""

    call = staticmethod(nn.Module.__call__)
    """How one of torch's modules is called; in mixed precision, otherwise."""

    def __init__(self, spec: ModelSpec, params: State) -> None:
        self.spec = spec
        like = params["output.b_q"]
        options = {"device": like.device, "dtype": like.dtype}
        self.blocks = make_blocks(spec, **options)
        self.output = nn.Linear(spec.width, spec.q, **options)
        with torch.no_grad():
            self.output.weight.copy_(params["output.W_hq"].T)
            self.output.bias.copy_(params["output.b_q"])
            arrays = {name: to_array(tensor) for name, tensor in params.items()}
            for row, native in zip(spec.passes, self.native_layers(), strict=True):
                values = to_native(spec, layer_parameters(arrays, *row))
                for name, parameter in native.items():
                    parameter.copy_(torch.from_numpy(values[name]))
                self.freeze(native["bias_hh"])
        modules = [*self.blocks, self.output]
        self.trainable = [w for module in modules for w in module.parameters() if w.requires_grad]

    def native_layers(self) -> list[dict[str, Tensor]]:
        """torch's tensors of each direction of each layer, from the bottom up: four, and with a
        projection its weight."""
        kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        kinds += [] if self.spec.p is None else ["weight_hr"]
        ends = ("", "_reverse")[: self.spec.directions]
        return [
            {kind: getattr(block, f"{kind}_l{layer}{end}") for kind in kinds}
            for block in self.blocks
            for layer in range(block.num_layers)
            for end in ends
        ]

    def freeze(self, bias_hh: Tensor) -> None:
        """Two trainable biases would move twice as fast as the equations' one, and count twice in
        the norm; so the second one stays 0, but for the reset-after candidate's b_hh."""
        if self.spec.reset != "after":
            bias_hh.requires_grad_(False)
            return
        h = len(bias_hh) // 3
        bias_hh.register_hook(
            lambda grad: torch.cat([torch.zeros_like(grad[: 2 * h]), grad[2 * h :]])
        )

    def __call__(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        """X: (T, n, d)   state: (L, n, h) each   within: (T, n, 1), where a step is the example's
        own (LEN-1)   kept: between layers (DROP-1)   returns O (T, n, q) and the last state

        torch draws the masks of its own dropout; with given ones every layer is a module alone.
        """
        H, first, after = X, 0, []
        alone = [self.alone(layer) for layer in range(1, self.spec.L + 1 if kept else 1)]
        for number, block in enumerate(alone or self.blocks, start=1):
            rows = block.num_layers * self.spec.directions
            H, last = self.over(block, H, self.start(block, state, first, rows), within)
            H = dropped(H, number, kept)
            after.append(last if self.spec.cell == "lstm" else (last,))
            first += rows
        last_state = {
            part: parts[0]
            if len(parts) == 1
            else torch.cat([widened(rows, state[part].shape[-1]) for rows in parts])
            for part, parts in zip(state, zip(*after, strict=True), strict=True)
        }
        return ended(self.call(self.output, H), within), last_state

    def start(self, block: nn.RNNBase, state: State, first: int, rows: int) -> tuple[Tensor, ...]:
        """What a module starts from: its rows of the state, and of those its own numbers."""
        sizes = {"H": block.proj_size or block.hidden_size, "C": block.hidden_size}
        # cuDNN takes no state that was cut out of another along n.
        return tuple(
            tensor[first : first + rows, :, : sizes[part]].contiguous()
            for part, tensor in state.items()
        )

    def over(
        self, block: nn.RNNBase, X: Tensor, start: tuple[Tensor, ...], within: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...] | Tensor]:
        """The outputs and the last state of one module. Examples of different length are packed, in
        any order: torch sorts them, and its outputs and states back, and puts 0 behind their ends.
        """
        now = start if self.spec.cell == "lstm" else start[0]
        if within is None:
            return self.call(block, X, now)
        lengths = within.sum(dim=(0, 2)).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(X, lengths, enforce_sorted=False)
        H, last = self.call(block, packed, now)
        return nn.utils.rnn.pad_packed_sequence(H, total_length=len(X))[0], last

    def trace(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> list[State]:
        """The state after every step. The modules show the inner layers only at the end of a call,
        so each step is a call."""
        X = ended(X, within)
        if self.spec.directions == 2:
            return self.trace_both(X, state, within, kept)
        steps = []
        for t in range(len(X)):
            _, made = self(X[t : t + 1], state, None, [a[t : t + 1] for a in kept])
            state = made if within is None else chosen(within[t], made, state)
            steps.append(state)
        return steps

    def trace_both(
        self, X: Tensor, state: State, within: Tensor | None, kept: Sequence[Tensor]
    ) -> list[State]:
        """The same of two directions: a step of a layer needs all steps of the one below, so every
        layer is taken alone. A call with one step moves both directions; each goes its own way."""
        steps = [{part: [] for part in state} for _ in X]
        for layer in range(1, self.spec.L + 1):
            block = self.alone(layer)
            start = self.start(block, state, self.spec.row(layer), 2)
            for backward in self.spec.ways:
                now = start
                for t in reversed(range(len(X))) if backward else range(len(X)):
                    _, made = self.call(block, X[t : t + 1], now if len(now) == 2 else now[0])
                    made = made if self.spec.cell == "lstm" else (made,)
                    if within is not None:
                        both = zip(made, now, strict=True)
                        made = tuple(torch.where(within[t], one, other) for one, other in both)
                    now = made
                    for part, tensor in zip(state, now, strict=True):
                        steps[t][part].append(tensor[int(backward)])
            X = dropped(self.over(block, X, start, within)[0], layer, kept)
        return [{part: in_rows(rows) for part, rows in step.items()} for step in steps]

    def alone(self, layer: int) -> nn.RNNBase:
        """Layer 1 … L as a module of its own, with the same weights."""
        like = self.output.weight
        (block,) = make_blocks(self.spec.alone(layer), device=like.device, dtype=like.dtype)
        for backward, end in zip(self.spec.ways, ("", "_reverse"), strict=False):
            for kind, weight in self.native_layers()[self.spec.row(layer, backward)].items():
                setattr(block, f"{kind}_l0{end}", weight)
        return block

    def canonical(self, read: Callable[[Tensor], Tensor]) -> dict[str, np.ndarray]:
        """What ``read`` takes from each parameter, its value or its gradient, by canonical name."""
        found = {"output.W_hq": to_array(read(self.output.weight)).T}
        found["output.b_q"] = to_array(read(self.output.bias))
        for row, native in zip(self.spec.passes, self.native_layers(), strict=True):
            # A frozen bias has no gradient; nothing canonical is read from it either.
            present = {k: read(w) for k, w in native.items()}
            arrays = {k: to_array(native[k] if v is None else v) for k, v in present.items()}
            for name, array in to_canonical(self.spec, arrays).items():
                found[f"{prefix(*row)}{name}"] = array
        return {name: found[name] for name in parameter_shapes(self.spec)}
