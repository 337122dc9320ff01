"""Gluon's own rnn.RNN, rnn.GRU and rnn.LSTM, and how their weights map to the canonical ones.

Gluon stacks the gates along the rows, (G·h, in), keeps two biases per layer, and names layers from
0. Its candidate is called g in the LSTM and n in the GRU. Its rnn.LSTM trains with a projection on
a GPU only, so that is contrib's LSTMPCell. Source: MXNet 1.9.1, ``gluon.rnn``, ``contrib.rnn``.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from mxnet import gluon, init, nd
from mxnet.gluon import nn
from mxnet.gluon.contrib.rnn import LSTMPCell
from mxnet.gluon.rnn.rnn_layer import _RNNLayer
from mxnet.ndarray import NDArray

from backends.mxnet.equations import State, chosen, ended, in_rows, widened
from backends.mxnet.runtime import to_array
from common.parameters import layer_parameters, parameter_shapes, prefix
from common.spec import ModelSpec

GATE_ORDER = {"rnn": "h", "gru": "rzh", "lstm": "ifco"}
"""Gluon's order of the gates, in canonical letters: r, z, n and i, f, g, o."""

KINDS = ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias")
"""Gluon's parameters of one direction of a layer; a projection's ``h2r_weight`` is one more."""

DRAWS_ITS_MASKS = (
    "one Gluon layer computes a whole stack, and draws the masks of its dropout itself"
)

LARGEST_RNN = 2
"""How many layers one rnn.RNN differentiates correctly on every kernel path; see
native-rnn-middle-layers in conformance/verdict/deviations.toml."""


def unsupported(spec: ModelSpec) -> str | None:
    """What Gluon's layers cannot express."""
    if spec.reset == "before":
        return "rnn.GRU resets after the matrix product only"
    for activation in spec.activations:
        if activation not in ("tanh", "relu"):
            return f"rnn.RNN knows tanh and relu, not {activation}"
    if spec.peepholes or spec.gate_clip is not None:
        return "rnn.LSTM has neither peepholes nor a clip of its gates"
    return None


def to_native(spec: ModelSpec, p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One layer, canonical → Gluon: stacked, transposed, b in the input bias, 0 in the other.

    Only the reset-after GRU's candidate has a second bias of its own, b_hh.
    """
    gates = GATE_ORDER[spec.cell]
    zeros = np.zeros_like(p["W_hh" if "W_hh" in p else "W_hi"][0])
    projection = {} if spec.p is None else {"h2r_weight": p["W_hp"].T}
    return projection | {
        "i2h_weight": np.concatenate([p[f"W_x{gate}"].T for gate in gates]),
        "h2h_weight": np.concatenate([p[f"W_h{gate}"].T for gate in gates]),
        "i2h_bias": np.concatenate([p.get(f"b_{gate}", p.get("b_xh")) for gate in gates]),
        "h2h_bias": np.concatenate([p.get(f"b_h{gate}", zeros) for gate in gates]),
    }


def to_canonical(spec: ModelSpec, native: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One layer, Gluon → canonical. Holds for gradients too: the bias that carries b has b's."""
    gates = GATE_ORDER[spec.cell]
    blocks = {
        name: dict(zip(gates, np.split(array, len(gates)), strict=True))
        for name, array in native.items()
        if name in KINDS
    }
    p = {} if spec.p is None else {"W_hp": native["h2r_weight"].T}
    for gate in gates:
        p[f"W_x{gate}"] = blocks["i2h_weight"][gate].T
        p[f"W_h{gate}"] = blocks["h2h_weight"][gate].T
        p[f"b_{gate}"] = blocks["i2h_bias"][gate]
    if spec.reset == "after":
        p["b_xh"], p["b_hh"] = p.pop("b_h"), blocks["h2h_bias"]["h"]
    return p


class Projected(gluon.Block):
    """One layer of an LSTM with a projection, called as an rnn.LSTM of one layer is."""

    _num_layers = 1

    def __init__(self, spec: ModelSpec, dtype: str) -> None:
        super().__init__()
        made = [LSTMPCell(spec.h, spec.p, input_size=spec.inputs_of(1)) for _ in spec.ways]
        self._hidden_size = spec.h
        self.whole = made[0] if len(made) == 1 else gluon.rnn.BidirectionalCell(*made)
        self.whole.cast(dtype)

    def _unfuse(self) -> gluon.rnn.RecurrentCell:
        """As an rnn.LSTM has it."""
        return self.whole

    @property
    def cells(self) -> list[LSTMPCell]:
        """One, or that of each direction."""
        return list(self.whole._children.values()) or [self.whole]

    def forward(self, X: NDArray, state: list[NDArray]) -> tuple[NDArray, list[NDArray]]:
        """X: (T, n, in)   state: H (D, n, p), C (D, n, h)"""
        start = [part[row] for row in range(len(self.cells)) for part in state]
        self.whole.reset()
        H, last = self.whole.unroll(len(X), X, start, layout="TNC", merge_outputs=True)
        return H, [nd.stack(*last[part::2]) for part in range(2)]


Block = _RNNLayer | Projected


def make_blocks(spec: ModelSpec, dtype: str) -> list[Block]:
    """One rnn.GRU or rnn.LSTM for all layers. An rnn.RNN has one activation for all its layers, so
    each run of layers with the same activation is an rnn.RNN, or several of ``LARGEST_RNN``. Layers
    of different sizes, and those with a projection, are a block each."""
    if not spec.even or (spec.p is not None and spec.L > 1):
        own = [spec.alone(layer) for layer in range(1, spec.L + 1)]
        return [block for layer in own for block in make_blocks(layer, dtype)]
    if spec.p is not None:
        return [Projected(spec, dtype)]
    options = {"bidirectional": spec.directions == 2, "dtype": dtype}
    if spec.cell != "rnn":
        kind = {"gru": gluon.rnn.GRU, "lstm": gluon.rnn.LSTM}[spec.cell]
        return [kind(spec.h, spec.L, input_size=spec.d, **options)]
    blocks, d = [], spec.d
    for activation, run in groupby(spec.activations):
        layers = len(list(run))
        while layers:
            size = min(layers, LARGEST_RNN)
            # Without an activation it would be relu.
            blocks.append(gluon.rnn.RNN(spec.h, size, activation, input_size=d, **options))
            layers, d = layers - size, spec.width
    return blocks


class Layers:
    """Gluon's layers with an nn.Dense on top, loaded with canonical parameters.

    The output's bias is added outside of the nn.Dense, which adds up its gradient less accurately
    (onednn-dense-bias-gradient-inaccurate in conformance/verdict/deviations.toml).
    """

    def __init__(self, spec: ModelSpec, params: State) -> None:
        self.spec = spec
        like = params["output.b_q"]
        dtype = np.dtype(like.dtype).name
        self.blocks = make_blocks(spec, dtype)
        options = {"flatten": False, "use_bias": False, "in_units": spec.width, "dtype": dtype}
        self.output = nn.Dense(spec.q, **options)
        self.bias = gluon.Parameter("bias", shape=like.shape, dtype=dtype)
        for module in (*self.blocks, self.output, self.bias):
            # Zeros: the other initialisers can fail in float64 (float64-initialisers-under-set-np).
            module.initialize(init.Zero(), ctx=like.context)
        self.output.weight.set_data(params["output.W_hq"].T)
        self.bias.set_data(params["output.b_q"])
        arrays = {name: to_array(tensor) for name, tensor in params.items()}
        self.frozen: list[NDArray] = []
        for row, native in zip(spec.passes, self.native_parameters(), strict=True):
            values = to_native(spec, layer_parameters(arrays, *row))
            for name, parameter in native.items():
                parameter.set_data(nd.array(values[name], dtype=dtype))
            self.freeze(native["h2h_bias"])
        modules = [*self.blocks, self.output]
        found = [w for module in modules for w in module.collect_params().values()]
        self.trainable = [w.data() for w in (*found, self.bias) if w.grad_req != "null"]

    def native_parameters(self) -> list[dict[str, gluon.Parameter]]:
        """Gluon's parameters of each direction of each layer, from the bottom up."""
        return [half for block in self.blocks for half in self.halves(block)]

    def halves(self, block: Block) -> list[dict[str, gluon.Parameter]]:
        """Of each direction of each layer of a block."""
        if isinstance(block, Projected):
            return [{k: getattr(c, k) for k in (*KINDS, "h2r_weight")} for c in block.cells]
        names = [f"{way}{n}" for n in range(block._num_layers) for way in "lr"[: block._dir]]
        return [{kind: getattr(block, f"{name}_{kind}") for kind in KINDS} for name in names]

    def freeze(self, h2h_bias: gluon.Parameter) -> None:
        """Two trainable biases would move twice as fast as the equations' one, and count twice in
        the norm; so the second one stays 0, but for the reset-after candidate's b_hh."""
        if self.spec.reset != "after":
            h2h_bias.grad_req = "null"
            return
        self.frozen.append(h2h_bias.grad()[: len(h2h_bias.data()) // 3 * 2])

    def __call__(
        self,
        X: NDArray,
        state: State,
        lengths: NDArray | None = None,
        kept: Sequence[NDArray] = (),
    ) -> tuple[NDArray, State]:
        """X: (T, n, d)   state: (L, n, h) each   lengths: (n,), of the examples (LEN-1)
        kept: never any (DRAWS_ITS_MASKS)   returns O (T, n, q) and the last state"""
        H, first, after = ended(X, lengths), 0, []
        for block in self.blocks:
            rows = block._num_layers * self.spec.directions
            H, parts = self.over(block, H, self.start(block, state, first, rows), lengths)
            after.append(parts)
            first += rows
        last_state = {
            part: nd.concat(*[widened(rows, state[part].shape[-1]) for rows in parts], dim=0)
            for part, parts in zip(state, zip(*after, strict=True), strict=True)
        }
        return ended(self.output(H) + self.bias.data(), lengths), last_state

    def start(self, block: Block, state: State, first: int, rows: int) -> list[NDArray]:
        """What a block starts from: its rows of the state, and of those its own numbers."""
        own = {part: tensor[first : first + rows] for part, tensor in state.items()}
        sizes = {"H": self.spec.p or block._hidden_size, "C": block._hidden_size}
        if self.spec.even:
            return list(own.values())
        return [a.slice_axis(axis=-1, begin=0, end=sizes[part]) for part, a in own.items()]

    def over(
        self, block: Block, X: NDArray, start: list[NDArray], lengths: NDArray | None
    ) -> tuple[NDArray, list[NDArray]]:
        """The outputs and the last state of one block. For examples of different length Gluon's
        cells of the same weights are unrolled: its layers ignore lengths on the CPU, or raise.
        """
        if lengths is None:
            return block(X, start)
        state = [part[row] for row in range(len(start[0])) for part in start]
        H, last = block._unfuse().unroll(len(X), X, state, "TNC", True, lengths)
        return H, [nd.stack(*last[part :: len(start)]) for part in range(len(start))]

    def trace(
        self,
        X: NDArray,
        state: State,
        lengths: NDArray | None = None,
        kept: Sequence[NDArray] = (),
    ) -> list[State]:
        """The state after every step. The layers show the inner layers only at the end of a call,
        so each step is a call."""
        X = ended(X, lengths)
        if self.spec.directions == 2:
            return self.trace_both(X, state, lengths)
        steps = []
        for t in range(len(X)):
            _, made = self(X[t : t + 1], state)
            state = made if lengths is None else chosen(lengths > t, made, state)
            steps.append(state)
        return steps

    def trace_both(self, X: NDArray, state: State, lengths: NDArray | None) -> list[State]:
        """The same of two directions: a step of a layer needs all steps of the one below, so every
        layer is taken alone. A call with one step moves both directions; each goes its own way."""
        steps = [{part: [] for part in state} for _ in X]
        for layer in range(1, self.spec.L + 1):
            block = self.alone(layer)
            start = self.start(block, state, self.spec.row(layer), 2)
            for backward in self.spec.ways:
                now = start
                for t in reversed(range(len(X))) if backward else range(len(X)):
                    _, made = block(X[t : t + 1], now)
                    if lengths is not None:
                        both = (dict(zip(state, parts, strict=True)) for parts in (made, now))
                        made = list(chosen(lengths > t, *both).values())
                    now = made
                    for part, tensor in zip(state, now, strict=True):
                        steps[t][part].append(tensor[int(backward)])
            X = self.over(block, X, start, lengths)[0]
        return [{part: in_rows(rows) for part, rows in step.items()} for step in steps]

    def alone(self, layer: int) -> Block:
        """Layer 1 … L as a block of its own, with the same weights."""
        like = self.bias.data()
        (block,) = make_blocks(self.spec.alone(layer), np.dtype(like.dtype).name)
        block.initialize(init.Zero(), ctx=like.context)
        for backward, half in zip(self.spec.ways, self.halves(block), strict=True):
            native = self.native_parameters()[self.spec.row(layer, backward)]
            for kind, parameter in native.items():
                half[kind].set_data(parameter.data())
        return block

    def canonical(self, read: Callable[[NDArray], NDArray]) -> dict[str, np.ndarray]:
        """What ``read`` takes from each parameter, its value or its gradient, by canonical name."""
        found = {"output.W_hq": to_array(read(self.output.weight.data())).T}
        found["output.b_q"] = to_array(read(self.bias.data()))
        for row, native in zip(self.spec.passes, self.native_parameters(), strict=True):
            # A frozen bias has no gradient; nothing canonical is read from it either.
            present = {kind: (w.data(), read(w.data())) for kind, w in native.items()}
            arrays = {k: to_array(w if v is None else v) for k, (w, v) in present.items()}
            for name, array in to_canonical(self.spec, arrays).items():
                found[f"{prefix(*row)}{name}"] = array
        return {name: found[name] for name in parameter_shapes(self.spec)}
