"""What each framework's layers can compute: their options, with the values that they really take.

A layout's framework computes one function of the weights: its defaults, changed by the options that
its user states. ``settings`` is that function. What else reproduces somebody's outputs is either
another value of an option, which then should be stated, or something that this framework cannot do.
docs/field_guide.toml has the same facts for the four frameworks that are run here, with tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from common.errors import BadInput
from conformance.models.network import Choices, Network


@dataclass(frozen=True)
class Settings:
    """How data and network are read.

    axis:      the first axis of X, ``time`` or ``batch``
    backwards: of a network of one direction, "", or whether outputs of a backward reading come in
               the order of ``processing`` or of ``time``
    """

    axis: str = "time"
    backwards: str = ""
    choices: Choices = field(default_factory=Choices)

    def with_(self, **changes) -> Settings:
        own = {k: changes.pop(k) for k in ("axis", "backwards") if k in changes}
        return replace(self, choices=self.choices.with_(**changes), **own)

    def touched(self, other: Settings) -> set[str]:
        """The names of what differs; activations gate by gate."""
        mine, theirs = vars(self.choices), vars(other.choices)
        found = {n for n in mine if n not in ("activations", "lengths") and mine[n] != theirs[n]}
        gates = {*mine["activations"], *theirs["activations"]}
        found |= {
            f"activation {g}"
            for g in gates
            if mine["activations"].get(g) != theirs["activations"].get(g)
        }
        found |= {"lengths"} if mine["lengths"] is not theirs["lengths"] else set()
        return found | {n for n in ("axis", "backwards") if getattr(self, n) != getattr(other, n)}


Effect = Mapping[str, object]


@dataclass(frozen=True)
class Option:
    """values: of each, what it changes; the first is the default
    number: the name of the choice that a number given for it sets, if it takes one
    """

    name: str
    values: Mapping[str, Effect]
    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    number: str = ""


GATES_OF = {"rnn": "", "gru": "zr", "lstm": "ifo"}
CANDIDATE = {"rnn": "h", "gru": "h", "lstm": "c"}


def axis(name: str, first: str, other: str, default: str = "time") -> Option:
    """An option that says which axis of X comes first."""
    turned = {"time": "batch", "batch": "time"}[default]
    return Option(name, {first: {"axis": default}, other: {"axis": turned}})


def activation(cell: str, name: str) -> Effect:
    """Of the candidate; an LSTM's is that of C as well."""
    return {"activations": {CANDIDATE[cell]: name}} | ({"out": name} if cell == "lstm" else {})


def gates(cell: str, name: str) -> Effect:
    return {"activations": dict.fromkeys(GATES_OF[cell], name)}


def named(hard: str) -> dict[str, str]:
    """Activations as Keras calls them, and ours. hard: which hard sigmoid it has"""
    return {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "linear": "identity",
            "hard_sigmoid": hard, "softsign": "softsign", "elu": "elu"}  # fmt: skip


ONNX_ACTIVATIONS = {"Tanh": "tanh", "Sigmoid": "sigmoid", "Relu": "relu", "Affine": "identity",
                    "HardSigmoid": "hard sigmoid 0.2", "Softsign": "softsign", "Elu": "elu",
                    "Softplus": "softplus"}  # fmt: skip
_BOTH_WAYS = {"False": {"backwards": ""}, "True": {"backwards": "processing"}}
_FLAX = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "elu": "elu", "gelu": "gelu"}


def options(layout: str, cell: str) -> list[Option]:
    """Those of a layout's framework for a cell."""
    return [option for option in _options(layout, cell) if cell in option.cells]


def _options(layout: str, cell: str) -> list[Option]:
    phi = {"tanh": activation("rnn", "tanh"), "relu": activation("rnn", "relu")}
    if layout == "pytorch":
        return [axis("batch_first", "False", "True"), Option("nonlinearity", phi, ("rnn",))]
    if layout == "paddle":
        return [
            axis("time_major", "False", "True", "batch"),
            Option("activation", phi, ("rnn",)),
        ]
    if layout == "mxnet":
        turned = {"relu": phi["relu"], "tanh": phi["tanh"]}
        return [axis("layout", "TNC", "NTC"), Option("activation", turned, ("rnn",))]
    if layout in ("keras", "keras1", "keras2", "cudnn"):
        return _keras(layout, cell)
    if layout == "onnx":
        return _onnx(cell)
    if layout == "flax":
        acts = {name: activation(cell, ours) for name, ours in _FLAX.items()}
        by_gate = {name: gates(cell, _FLAX[name]) for name in ("sigmoid", "tanh", "relu")}
        return [
            axis("time_major", "False", "True", "batch"),
            Option("reverse", _BOTH_WAYS),
            Option("keep_order", {"False": {}, "True": {"backwards": "time"}}),
            Option("activation_fn", acts),
            Option("gate_fn", by_gate, ("gru", "lstm")),
        ]
    if layout == "tf1":
        return [
            axis("time_major", "False", "True", "batch"),
            Option("forget_bias", {"1.0": {"forget_bias": 1.0}, "0.0": {"forget_bias": 0.0}},
                   ("lstm",), "forget_bias"),
            Option("activation", {n: activation(cell, n) for n in ("tanh", "relu", "sigmoid")}),
            Option("cell_clip", {"None": {"cell_clip": None}}, ("lstm",), "cell_clip"),
            Option("proj_clip", {"None": {"project_clip": None}}, ("lstm",), "project_clip"),
        ]  # fmt: skip
    if layout == "dl4j":
        acts = {n: activation(cell, n) for n in ("tanh", "relu", "sigmoid", "softsign")}
        by_gate = {
            "sigmoid": gates(cell, "sigmoid"),
            "hardsigmoid": gates(cell, "hard sigmoid 0.2"),
        }
        return [Option("activation", acts), Option("gateActivationFn", by_gate, ("lstm",))]
    return []


def _keras(layout: str, cell: str) -> list[Option]:
    hard = "hard sigmoid 1/6" if layout == "keras" else "hard sigmoid 0.2"
    if layout == "cudnn":
        return [Option("go_backwards", _BOTH_WAYS), _MERGES]
    acts = {name: activation(cell, ours) for name, ours in named(hard).items()}
    by_gate = {name: gates(cell, ours) for name, ours in named(hard).items()}
    first = "sigmoid" if layout == "keras" else "hard_sigmoid"
    by_gate = {first: by_gate[first], **by_gate}
    inner = "inner_activation" if layout == "keras1" else "recurrent_activation"
    found = [
        Option("activation", acts),
        Option(inner, by_gate, ("gru", "lstm")),
        Option("go_backwards", _BOTH_WAYS),
        _MERGES,
    ]
    if layout != "keras1":
        # By default as the shape of the bias says.
        where = {"": {}, "True": {"reset": "after"}, "False": {"reset": "before"}}
        found.append(Option("reset_after", where, ("gru",)))
    return found


_MERGES = Option("merge_mode", {m: {"merge": m} for m in ("concat", "sum", "ave", "mul")})


def _onnx(cell: str) -> list[Option]:
    return [
        axis("layout", "0", "1"),
        Option("linear_before_reset", {"0": {"reset": "before"}, "1": {"reset": "after"}},
               ("gru",)),
        Option("direction", {"forward": {"backwards": ""}, "reverse": {"backwards": "time"},
                             "bidirectional": {}}),
        Option("activations", {text: onnx_activations(text, cell) or {} for text in _LISTS[cell]}),
        Option("clip", {"none": {"clip": None}}, number="clip"),
        Option("input_forget", {"0": {"coupled": False}, "1": {"coupled": True}}, ("lstm",)),
    ]  # fmt: skip


_LISTS = {
    "rnn": ("Tanh", "Relu", "Sigmoid", "Affine"),
    "gru": ("Sigmoid,Tanh", "HardSigmoid,Tanh", "Sigmoid,Relu"),
    "lstm": ("Sigmoid,Tanh,Tanh", "HardSigmoid,Tanh,Tanh", "Sigmoid,Relu,Tanh", "Sigmoid,Tanh,Relu",
             "Sigmoid,Relu,Relu"),
}  # fmt: skip


def onnx_activations(text: str, cell: str) -> Effect | None:
    """Of f, g and h, as many as the cell has; None if it is no such list."""
    words = [ONNX_ACTIVATIONS.get(word.strip()) for word in text.strip("[]").split(",")]
    if None in words or len(words) != {"rnn": 1, "gru": 2, "lstm": 3}[cell]:
        return None
    if cell == "rnn":
        return {"activations": {"h": words[0]}}
    acts = {**dict.fromkeys(GATES_OF[cell], words[0]), CANDIDATE[cell]: words[1]}
    return {"activations": acts} | ({"out": words[2]} if cell == "lstm" else {})


AFTER_THE_END = {"keras": "carry", "keras1": "carry", "keras2": "carry", "flax": "on"}
"""What stands behind the end of a shorter example; zeros where nothing is said, and in Keras'
Bidirectional, which sets ``zero_output_for_mask``."""


def settings(layout: str, network: Network, stated: Mapping[str, str], where: object) -> Settings:
    """What the framework computes, its defaults changed by what is stated; BadInput for an option
    or a value that it has not."""
    cell = network.cell
    resets = {"keras": network.biases != 1, "keras2": network.biases == 2, "onnx": False,
              "keras1": False, "tf1": False}  # fmt: skip
    reset = "after" if resets.get(layout, True) else "before"
    batch = layout in ("keras", "keras1", "keras2", "cudnn", "dl4j")
    both = layout == "keras" and network.directions == 2
    after_end = "zero" if both else AFTER_THE_END.get(layout, "zero")
    found = Settings("batch" if batch else "time").with_(reset=reset, after_end=after_end)
    known = {option.name: option for option in options(layout, cell)}
    for option in known.values():
        found = found.with_(**next(iter(option.values.values())))
    for name, value in stated.items():
        if name not in known:
            expected = f"one of {', '.join(known) or 'none at all'} for a {cell}"
            raise BadInput(where, f"--option {name}", expected, f"{name}={value}")
        found = found.with_(**effect(layout, cell, known[name], value, where))
        if name == "reset_after" and network.biases != {"True": 2, "False": 1}[value]:
            check_reset_after(network, value, where)
    if stated.get("keep_order") == "True" and stated.get("reverse") != "True":
        found = found.with_(backwards="")  # there is nothing to turn back
    if found.backwards and network.directions == 2:
        raise BadInput(where, "--option", "a network of one direction to reverse", "two directions")
    return found


def check_reset_after(network: Network, value: str, where: object) -> None:
    """BadInput if the file has the bias of the other GRU; a file without biases may be either."""
    if network.biases:
        shapes = {"True": "(2, 3·h)", "False": "(3·h,)"}
        other = shapes["False" if value == "True" else "True"]
        raise BadInput(where, f"--option reset_after={value}", f"a bias {shapes[value]}", other)


def effect(layout: str, cell: str, option: Option, value: str, where: object) -> Effect:
    if value in option.values:
        return option.values[value]
    if layout == "onnx" and option.name == "activations":
        if found := onnx_activations(value, cell):
            return found
    elif option.number:
        try:
            return {option.number: float(value)}
        except ValueError:
            pass
    expected = ", ".join(v for v in option.values if v) + (" or a number" if option.number else "")
    raise BadInput(where, f"--option {option.name}", expected, value)


CLASSES = {
    "pytorch": {"rnn": "nn.RNN", "gru": "nn.GRU", "lstm": "nn.LSTM"},
    "paddle": {"rnn": "paddle.nn.SimpleRNN", "gru": "paddle.nn.GRU", "lstm": "paddle.nn.LSTM"},
    "mxnet": {"rnn": "gluon.rnn.RNN", "gru": "gluon.rnn.GRU", "lstm": "gluon.rnn.LSTM"},
    "keras": {"rnn": "Keras' SimpleRNN", "gru": "Keras' GRU", "lstm": "Keras' LSTM"},
    "keras1": {"rnn": "Keras 1's SimpleRNN", "gru": "Keras 1's GRU", "lstm": "Keras 1's LSTM"},
    "keras2": {"rnn": "Keras 2's SimpleRNN", "gru": "Keras 2's GRU", "lstm": "Keras 2's LSTM"},
    "cudnn": {"rnn": "cuDNN's RNN", "gru": "Keras' CuDNNGRU", "lstm": "Keras' CuDNNLSTM"},
    "onnx": {"rnn": "ONNX' RNN", "gru": "ONNX' GRU", "lstm": "ONNX' LSTM"},
    "flax": {"rnn": "Flax's SimpleCell", "gru": "Flax's GRUCell", "lstm": "Flax's LSTMCell"},
    "tf1": {"rnn": "BasicRNNCell", "gru": "GRUCell", "lstm": "BasicLSTMCell or LSTMCell"},
    "dl4j": {"rnn": "DL4J's SimpleRnn", "gru": "DL4J's GRU", "lstm": "DL4J's LSTM"},
    "ncnn": {"rnn": "ncnn's RNN", "gru": "ncnn's GRU", "lstm": "ncnn's LSTM"},
    "coreml": {"rnn": "Core ML's rnn", "gru": "Core ML's gru", "lstm": "Core ML's lstm"},
}
"""How their users call them."""

LAYERS_FIRST = {
    **dict.fromkeys(("pytorch", "mxnet", "paddle"), ("time", "batch")),
    "onnx": ("time",),
}
"""Whose final states are (L·D, n, p), if X has one of these axes first."""
