"""The configuration of a Keras model: its layers, what each reads, and what its options are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.storage.reading import is_list, is_object

CELLS = {
    "SimpleRNN": "rnn", "GRU": "gru", "LSTM": "lstm", "CuDNNGRU": "gru", "CuDNNLSTM": "lstm",
    "SimpleRNNCell": "rnn", "GRUCell": "gru", "LSTMCell": "lstm",
}  # fmt: skip
MODELS = ("Sequential", "Functional", "Model")
PASSES = ("InputLayer", "Dropout", "SpatialDropout1D", "Masking", "GaussianNoise",
          "GaussianDropout", "AlphaDropout", "ActivityRegularization")  # fmt: skip
"""What changes no number once a network is trained, between two layers of a stack."""

DEEPEST = 8


@dataclass
class Described:
    """place: where its weights lie, and what it is called in ``reads``     kind: its class
    config:  its own, for a wrapper that of the layer inside     both: whether in both directions"""

    name: str
    place: str
    kind: str
    config: dict[str, Any]
    cell: str = ""
    both: bool = False
    merge: str = "concat"
    fused: bool = False


@dataclass
class Found:
    """reads: by place, the recurrent layer that a recurrent layer reads, if it reads only that"""

    layers: list[Described] = field(default_factory=list)
    reads: dict[str, str] = field(default_factory=dict)


def layers_of(config: Any, path: Path) -> Found:
    found = Found()
    if is_object(config) and config.get("class_name") in MODELS:
        model(config, path, "layers", found, 0)
    return found


def model(config: dict[str, Any], path: Path, place: str, found: Found, depth: int) -> None:
    """The layers of a model, and of the models in it, which are not entered into a stack."""
    inner = config.get("config")
    rows = inner.get("layers") if is_object(inner) else inner  # Keras 1 and 2 had a plain list
    if not is_list(rows) or not all(is_object(row) for row in rows) or depth > DEEPEST:
        raise BadInput(path, "config, layers", "a list of layers", str(rows)[:80])
    names: Counter[str] = Counter()
    here: dict[str, Described] = {}
    before: dict[str, set[str]] = {}
    for row in rows:
        kind, own = str(row.get("class_name")), row.get("config")
        if kind == "Merge" or not (is_object(own) or kind in MODELS):
            own = {}
        snake = snaked(kind)
        number = names[snake]
        names[snake] += 1
        at = f"{place}/{snake}" + (f"_{number}" if number else "")
        name = str(row.get("name") or (own or {}).get("name") or snake)
        before[name] = inputs(row, set(here)) if "inbound_nodes" in row else set(list(here)[-1:])
        layer = one(name, at, kind, own if is_object(own) else {}, path)
        here[name] = layer
        found.layers.append(layer)
        if kind in MODELS:
            model(row, path, f"{at}/layers", found, depth + 1)
    for name, layer in here.items():
        if layer.cell and (low := below(name, here, before)):
            found.reads[layer.place] = low


def inputs(row: dict[str, Any], known: set[str]) -> set[str]:
    """The layers that the calls of a layer name, however the version writes a call."""
    found: set[str] = set()
    left = [row["inbound_nodes"]]
    while left:
        value = left.pop()
        if isinstance(value, str) and value in known:
            found.add(value)
        elif is_list(value):
            left += value
        elif is_object(value):
            left += value.values()
    return found


def below(name: str, here: dict[str, Described], before: dict[str, set[str]]) -> str:
    """The place of the recurrent layer whose outputs a layer reads, and nothing else."""
    at = before[name]
    for _ in range(len(here)):
        if len(at) != 1:
            break
        layer = here[next(iter(at))]
        if layer.cell:
            return layer.place
        if layer.kind not in PASSES:
            break
        at = before.get(layer.name, set())
    return ""


def snaked(kind: str) -> str:
    """How the place of a layer's weights is called after its class."""
    kind = re.sub(r"\W+", "", kind)
    kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", kind).lower()


def one(name: str, place: str, kind: str, config: dict[str, Any], path: Path) -> Described:
    layer = Described(name, place, kind, config)
    if kind == "Bidirectional":
        layer.both, layer.merge = True, str(config.get("merge_mode", "concat"))
        inside, back = config.get("layer"), config.get("backward_layer")
        inside = inside if is_object(inside) else {}
        own = inside.get("config")
        layer.kind, layer.config = str(inside.get("class_name")), own if is_object(own) else {}
        other = back.get("config") if is_object(back) else None
        for option in ("activation", "recurrent_activation", "reset_after"):
            if is_object(other) and other.get(option) != layer.config.get(option):
                expected = f"the same {option} in both directions"
                raise BadInput(path, name[:80], expected, str(other.get(option))[:80])
        if layer.config.get("go_backwards"):
            raise BadInput(path, name[:80], "a Bidirectional of a layer that goes forward", "not")
    if layer.kind in ("RNN", "TimeDistributed"):
        cell = layer.config.get("cell")
        if is_object(cell) and is_object(cell.get("config")) and layer.kind == "RNN":
            layer.kind = str(cell.get("class_name"))
            layer.config = cell["config"] | {"go_backwards": layer.config.get("go_backwards")}
    layer.cell = CELLS.get(layer.kind, "")
    layer.fused = layer.kind.startswith("CuDNN")
    return layer


def told(layer: Described, path: Path) -> dict[str, str]:
    """The options of a recurrent layer, as models/frameworks.py calls them."""
    config = layer.config
    if not config:
        raise BadInput(path, layer.name[:80], "the configuration of the layer", "none")
    if config.get("time_major"):
        raise BadInput(path, layer.name[:80], "a layer that is not time_major", "time_major")
    found = {"go_backwards": str(bool(config.get("go_backwards")))}
    names = [] if layer.fused else ["activation", "recurrent_activation", "inner_activation"]
    for option in names:
        if option in config and not (layer.cell == "rnn" and option != "activation"):
            found[option] = activation(config[option], layer, option, path)
    if layer.cell == "gru" and not layer.fused and isinstance(config.get("reset_after"), bool):
        found["reset_after"] = str(config["reset_after"])
    if layer.both:
        found["merge_mode"] = layer.merge
        del found["go_backwards"]
    return found


def activation(value: Any, layer: Described, option: str, path: Path) -> str:
    """Its name; a function of somebody's own is none that could be computed here."""
    if value is None:
        return "linear"
    if is_object(value) and value.get("registered_name") is None:
        value = value.get("config")
    if not isinstance(value, str):
        raise BadInput(path, f"{layer.name}, {option}"[:80], "a name", str(value)[:80])
    return value
