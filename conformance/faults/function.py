"""Equations and stacking that differ: activations, gates, cells, directions."""

from collections.abc import Iterator

from conformance.faults.fault import Fault, choosing
from conformance.models.frameworks import CANDIDATE, GATES_OF, Settings
from conformance.models.network import Network

BIASES = (1.0, -1.0, 2.0, 0.5, 5.0)
CLIPS = (1.0, 0.5, 3.0, 5.0, 2.0, 0.1, 0.25, 10.0, 20.0, 50.0)
"""Numbers that people use, where the data do not show them."""

PHI = ("relu", "tanh", "identity", "sigmoid", "hard tanh", "softsign", "elu", "leaky relu 0.01",
       "softplus", "gelu", "sin")  # fmt: skip
MISSING = {"identity": "missing (identity)"}


def faults(network: Network, usual: Settings) -> Iterator[Fault]:
    """Those that can be made with a network whose framework computes ``usual``."""
    cell = network.cell
    if cell == "rnn":
        yield from of_rnn(network, usual)
    if cell == "gru":
        yield from of_gru(usual)
    if cell == "lstm":
        yield from of_lstm(network, usual)
    if cell != "rnn":
        yield from gated(cell, usual)
    yield from stacked(network, usual)


def of_rnn(network: Network, usual: Settings) -> Iterator[Fault]:
    now = usual.choices.activations.get("h", "tanh")
    for name in PHI:
        if name != now:
            said = MISSING.get(name, name)
            yield choosing(f"{name} for {now}", f"the activation φ is {said}, not {now}",
                           activations={"h": name}, common=PHI.index(name) < 5)  # fmt: skip
    if network.L > 1:
        for name in ("identity", "relu", "tanh"):
            layers = (now,) * (network.L - 1) + (name,)
            if name != now:
                yield choosing(f"{name} at the top", f"φ of the last layer is {name}, not {now}",
                               per_layer=layers, common=False)  # fmt: skip


def of_gru(usual: Settings) -> Iterator[Fault]:
    where = {"after": "before", "before": "after"}[usual.choices.reset]
    yield choosing(
        f"reset {where}",
        f"the reset gate acts {where} the matrix product, not {usual.choices.reset} it "
        f"(GRU-3{'b' if where == 'before' else 'a'})",
        reset=where, decides=True,
    )  # fmt: skip
    yield choosing("z is 1 − z", "the update gate is 1 − z: H_t = (1 − z) ⊙ H_{t−1} + z ⊙ H̃",
                   activations={"z": "1 − sigmoid"}, decides=True)  # fmt: skip
    yield choosing("r is 1 − r", "the reset gate is 1 − r", activations={"r": "1 − sigmoid"})
    yield choosing("no reset gate", "the reset gate is left out", activations={"r": "one"})


def of_lstm(network: Network, usual: Settings) -> Iterator[Fault]:
    bias = usual.choices.forget_bias
    if bias:
        yield choosing("forget bias 0", f"no forget bias is added at run time, not {bias:g}",
                       forget_bias=0.0)  # fmt: skip
    for number in BIASES:
        if number != bias:
            yield choosing(
                f"forget bias {number:g} at run time",
                f"{number:g} is added to the forget gate's pre-activation (a forget bias)",
                forget_bias=number, common=number == 1,
            )  # fmt: skip
    yield choosing("forget bias after the sigmoid",
                   "the forget bias, 1, is added after the sigmoid",
                   forget_bias=0.0, forget_after=1.0)  # fmt: skip
    yield choosing("f is 1 − f", "the forget gate is 1 − f", activations={"f": "1 − sigmoid"})
    yield choosing("f is 1 − i", "the forget gate is coupled to the input gate, f = 1 − i",
                   coupled=True)  # fmt: skip
    for name in ("relu", "identity", "sigmoid", "hard tanh", "softsign"):
        said = "without an activation, H = o ⊙ C" if name == "identity" else f"{name}, not tanh"
        yield choosing(
            f"H of {name}(C)", f"the activation of the cell's output C is {said}", out=name
        )
    for name in ("relu", "identity", "sigmoid", "hard tanh"):
        if name != usual.choices.activations.get("c", "tanh"):
            yield choosing(f"activation {name}", f"the activation of candidate and cell output is "
                           f"{MISSING.get(name, name)}, not tanh", out=name,
                           activations={"c": name})  # fmt: skip
    for gate, name in (("o", "output"), ("f", "forget"), ("i", "input")):
        yield choosing(f"no {name} gate", f"the {name} gate is left out", activations={gate: "one"})
    for number in CLIPS:
        yield choosing(f"cell clip {number:g}", f"the cell state C is clipped to ±{number:g} "
                       "(cell_clip)", cell_clip=number, common=False)  # fmt: skip
    yield choosing("output read from C", "the output is read from C instead of H", reads="C")
    if any(half.peephole is not None for half in network.halves):
        yield choosing("late peephole", "the output gate peeps at C_{t−1}, not at C_t",
                       late_peephole=False)  # fmt: skip
    if any(half.project is not None for half in network.halves):
        yield choosing("projection clip 1", "the projected state is clipped to ±1",
                       project_clip=1.0, common=False)  # fmt: skip


def gated(cell: str, usual: Settings) -> Iterator[Fault]:
    names = GATES_OF[cell]
    for name, said in (
        ("hard sigmoid 0.2", "the hard sigmoid of slope 0.2 (Keras 2, MXNet, ONNX)"),
        ("hard sigmoid 1/6", "the hard sigmoid of slope 1/6 (torch, Keras 3)"),
        ("sigmoid", "σ, not the hard sigmoid"),
        ("tanh", "tanh instead of σ"),
        ("sigmoid of twice", "σ(2a)"),
        ("relu", "relu instead of σ"),
        ("identity", "no activation"),
    ):
        if name != usual.choices.activations.get(names[0], "sigmoid"):
            yield choosing(f"gates {name}", f"the gates use {said}",
                           activations=dict.fromkeys(names, name))  # fmt: skip
    for name in ("relu", "sigmoid", "identity", "hard tanh", "softsign", "elu"):
        now = usual.choices.activations.get(CANDIDATE[cell], "tanh")
        if name != now:
            said = "has no activation" if name == "identity" else f"uses {name} instead of {now}"
            yield choosing(f"candidate {name}", f"the candidate {said}",
                           activations={CANDIDATE[cell]: name})  # fmt: skip
    for number in CLIPS:
        yield choosing(f"clip {number:g}", f"all pre-activations are clipped to ±{number:g} (ONNX' "
                       "clip)", clip=number, common=False)  # fmt: skip
    hard = "hard sigmoid 0.2"
    yield choosing("hard gates and hard tanh", "gates use the hard sigmoid of slope 0.2 and tanh "
                   "is hard, cut off at ±1", activations=dict.fromkeys(names, hard)
                   | {CANDIDATE[cell]: "hard tanh"}, out="hard tanh", common=False)  # fmt: skip


def stacked(network: Network, usual: Settings) -> Iterator[Fault]:
    L, D = network.L, network.directions
    yield choosing("output one step late", "O_t is read from H_{t−1}", reads="before")
    for layer in range(L - 1):
        said = "the layer below the last" if layer == L - 2 else f"layer {layer + 1}"
        name = "last layer ignored" if layer == L - 2 else f"output read from layer {layer + 1}"
        yield choosing(name, f"the output is read from {said}", reads=str(layer))  # fmt: skip
    if L > 2:
        yield choosing("layers in reverse order",
                       "the layers above the first are stacked in reverse order",
                       order=(0, *range(L - 1, 0, -1)))  # fmt: skip
        for layer in range(1, L - 1):
            rest = tuple(k for k in range(L) if k != layer)
            yield choosing(f"layer {layer + 1} skipped", f"layer {layer + 1} is left out",
                           order=rest)  # fmt: skip
        yield choosing("residual connections", "layers between first and last add their input to H",
                       residual="between")  # fmt: skip
    if L > 1:
        yield choosing("residual connections, all", "layers above the first add their input to H",
                       residual="all", common=False)  # fmt: skip
    if L > 1 and network.d == network.layers[1][0].d:
        yield choosing("all layers in reverse order", "the layers are stacked in reverse order",
                       order=tuple(range(L - 1, -1, -1)))  # fmt: skip
        for layer in range(L):
            yield choosing(f"layer {layer + 1} for all",
                           f"every layer has the weights of layer {layer + 1}",
                           order=(layer,) * L, common=False)  # fmt: skip
    yield choosing("state kept", "the state is kept from an earlier call on the same input",
                   warm=True)  # fmt: skip
    if D == 2:
        for merge, said in (
            ("sum", "summed"), ("ave", "averaged"), ("mul", "multiplied"),
            ("interleave", "interleaved, unit by unit, instead of concatenated"),
            ("swapped", "concatenated backward first"),
            ("forward", "cut down to the forward direction: the backward one is left out"),
            ("backward", "cut down to the backward direction: the forward one is left out"),
            ("concat", "concatenated"),
        ):  # fmt: skip
            if merge != usual.choices.merge:
                yield choosing(f"directions {merge}", f"the two directions' outputs are {said}",
                               merge=merge)  # fmt: skip
        yield choosing("backward half not turned back", "the backward direction's outputs stay in "
                       "the order in which it reads, from the last step to the first",
                       turned=False)  # fmt: skip
        yield choosing("backward half reads forwards", "the backward direction reads from the "
                       "first step to the last", backward=-1)  # fmt: skip
        yield choosing("directions read the other way", "the two directions are exchanged: the "
                       "forward weights read from the last step to the first, the backward weights "
                       "from the first to the last", backward=0)  # fmt: skip
