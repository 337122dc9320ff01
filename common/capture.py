"""The file of a capture: the recurrent layers of a live model, and what they did in one run.

backends/*/capture.py writes it, in an environment that has the framework, NumPy and safetensors;
``diagnose``, ``diff``, ``record --weights`` and whatever else reads a network read it. It is a
safetensors file. Of every layer it holds, behind the layer's name and a stroke:

    weights/NAME     as the framework calls and shapes them
    X, outputs       with the framework's own order of axes
    H0, C0, H, C     the state before and after, (L·D, n, p), each layer's directions together
    lengths          (n,), if the examples differ in length
    gradients/NAME   of weights, X, H0 and C0, if a loss was given

and beside them ``other/NAME``, the model's other parameters, and ``loss``. What is no number stands
as JSON in the metadata.
"""

import itertools
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from common.parameters import GATES, Arrays
from common.storage.reading import parse_json
from common.storage.shape import check_shape
from common.weights import Found, read_arrays, write_arrays

FORMAT = "deep-rnn-capture-1"

Tensors = list[list[dict[str, str]]]
"""Of the layers in a framework's layer from the bottom up, of their directions, what each weight is
(W, U, b, b_x, b_h, R, P as in conformance/models/layouts.py) and its name."""

WIDEST = 2**26
"""Numbers of a parameter beside the recurrent layers. A larger one is no output layer's."""


LONGEST = 200
"""Characters of a layer's name."""


@dataclass
class Call:
    """One call of a layer: X, outputs, H0, C0, H, C, lengths, and gradients of X, H0 and C0.
    number: in the order of all calls of all layers"""

    arrays: Arrays
    gradients: Arrays = field(default_factory=dict[str, np.ndarray])
    number: int = field(default_factory=itertools.count().__next__)


@dataclass
class Layer:
    """A recurrent layer of a model, and its calls.

    name:    where it stands in the model      kind: its class
    layout:  as in conformance/models/layouts.py      cell: rnn, gru or lstm
    options: of the framework, as in conformance/models/frameworks.py
    time:    the axis of X that is time
    dtype:   what its outputs were, which may be a type that NumPy lacks
    reads:   the layer whose outputs it reads as they are, "" if none
    notes:   what is to be said of how it was captured
    unjudged: what it did that the suite cannot compute
    """

    name: str
    kind: str
    layout: str
    cell: str
    options: dict[str, str]
    tensors: Tensors
    weights: Arrays
    time: int = 0
    dtype: str = ""
    reads: str = ""
    notes: list[str] = field(default_factory=list[str])
    unjudged: list[str] = field(default_factory=list[str])
    calls: list[Call] = field(default_factory=list[Call])
    gradients: Arrays = field(default_factory=dict[str, np.ndarray])

    @property
    def arrays(self) -> Arrays:
        """What went in and came out, of all calls that are kept."""
        return self.calls[0].arrays


@dataclass
class Capture:
    """framework, version, device: where the model ran     other: parameters of no recurrent layer
    loss: if one was given"""

    framework: str
    version: str
    device: str
    layers: list[Layer]
    other: Arrays = field(default_factory=dict[str, np.ndarray])
    loss: float | None = None


TOLD = {
    "name": str, "kind": str, "layout": str, "cell": str, "options": {str: str},
    "tensors": [[{str: str}]], "time": int, "dtype": str, "reads": str,
    "notes": [str], "unjudged": [str],
}  # fmt: skip
"""What the metadata say of a layer."""

NUMPYS = ("float16", "float32", "float64")
"""The types of outputs that are written as they are."""

ARRAYS = ("X", "outputs", "H0", "C0", "H", "C", "lengths")


def plain(array: Any) -> np.ndarray:
    """As NumPy and safetensors hold it: types that they lack, bfloat16 say, become float32, which
    holds every one of their numbers."""
    found = np.asarray(array)
    return found if found.dtype.kind in "iufb" else found.astype("float32")


def write_capture(path: Path, capture: Capture) -> None:
    """Write what was captured. Raises BadInput if no recurrent layer ran."""
    ran = [layer for layer in capture.layers if layer.calls]
    ran.sort(key=lambda layer: layer.calls[0].number)
    if not ran:
        idle = ", ".join(layer.name for layer in capture.layers)
        found = f"no call of {idle}" if idle else "none in the model"
        raise BadInput(path, "capture", "a model that runs a recurrent layer", found)
    for layer in ran:
        join(layer)
    chain(ran)
    arrays: Arrays = {}
    for layer in ran:
        call = layer.calls[0]
        parts = {f"weights/{name}": array for name, array in layer.weights.items()}
        parts |= call.arrays
        parts |= {f"gradients/{n}": a for n, a in (layer.gradients | call.gradients).items()}
        arrays |= {f"{layer.name}/{name}": plain(array) for name, array in parts.items()}
    small = {name: array for name, array in capture.other.items() if array.size <= WIDEST}
    arrays |= {f"other/{name}": plain(array) for name, array in small.items()}
    if capture.loss is not None:
        arrays["loss"] = np.array(capture.loss, "float64")
    said = {
        "framework": capture.framework, "version": capture.version, "device": capture.device,
        "layers": [{name: asdict(layer)[name] for name in TOLD} for layer in ran],
    }  # fmt: skip
    write_arrays(Path(path), arrays, {"format": FORMAT, "capture": json.dumps(said)})


def join(layer: Layer) -> None:
    """Make one call of those that go on where the one before ended, as loops over cells do; of
    others keep the first, and say so."""
    first, *others = layer.calls
    calls = [first]
    for call in others:
        if not goes_on(calls[-1].arrays, call.arrays, layer):
            break
        calls.append(call)
    if len(calls) < len(layer.calls):
        layer.notes.append(f"Captured: the first {len(calls)} of {len(layer.calls)} calls.")
    last = calls[-1].arrays
    for name in ("X", "outputs"):
        parts = [call.arrays[name] for call in calls]
        first.arrays[name] = np.concatenate(parts, layer.time) if len(parts) > 1 else parts[0]
    first.arrays |= {name: last[name] for name in ("H", "C") if name in last}
    slopes = [call.gradients["X"] for call in calls if "X" in call.gradients]
    if len(slopes) == len(calls):
        first.gradients["X"] = np.concatenate(slopes, layer.time)
    layer.calls = [first]


def goes_on(before: Arrays, after: Arrays, layer: Layer) -> bool:
    """Whether a call of one direction starts from the very state in which another ended."""
    parts = [part for part in ("H", "C") if f"{part}0" in after and part in before]
    turned = layer.options.get("go_backwards") == "True" or layer.options.get("reverse") == "True"
    return (
        len(layer.tensors[0]) == 1
        and bool(parts)
        and not turned
        and "lengths" not in before
        and "lengths" not in after
        and before["outputs"].ndim == after["outputs"].ndim == 3
        and all(same(before[part], after[f"{part}0"]) for part in parts)
    )


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two tensors are the same bytes."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def chain(layers: list[Layer]) -> None:
    """Say of each layer which one it reads."""
    for number, layer in enumerate(layers):
        for below in layers[:number]:
            if same(below.arrays["outputs"], layer.arrays["X"]):
                layer.reads = below.name


def is_capture(metadata: dict[str, str]) -> bool:
    return metadata.get("format") == FORMAT


def read_capture(path: Path) -> Capture:
    """Read what was captured; BadInput if it is no such file, or does not hold what it says."""
    arrays, metadata = read_arrays(path, follow=True)
    if not is_capture(metadata):
        found = repr(metadata["format"]) if "format" in metadata else "none"
        raise BadInput(path, "metadata 'format'", repr(FORMAT), found)
    return parse_capture((arrays, metadata), path)


def parse_capture(found: Found, path: Path) -> Capture:
    """A capture out of a safetensors file's arrays and metadata."""
    arrays, metadata = found
    where = "metadata 'capture'"
    said = parse_json(metadata.get("capture", ""), path, where, "JSON")
    wanted = {"framework": str, "version": str, "device": str, "layers": [TOLD]}
    check_shape(said, wanted, path, where, exactly=True)
    names = [told["name"] for told in said["layers"]]
    known = len(set(names)) == len(names) and "other" not in names
    if not names or not known or not all(0 < len(name) <= LONGEST for name in names):
        raise BadInput(path, where, "layers, each of a name of its own", ", ".join(names) or "none")
    parts = sorted_out(arrays, names, path)
    layers = [parse_layer(told, parts[told["name"]], path) for told in said["layers"]]
    loss = parts[""].get("loss")
    if loss is not None and (loss.shape != () or not math.isfinite(float(loss))):
        raise BadInput(path, "loss", "a finite number", loss)
    own = {name: said[name] for name in ("framework", "version", "device")}
    return Capture(
        **own, layers=layers, other=parts["other"], loss=None if loss is None else float(loss)
    )


def sorted_out(arrays: Arrays, names: list[str], path: Path) -> dict[str, Arrays]:
    """By layer, "other" and "" for the loss, the tensors; each belongs to the longest name."""
    parts: dict[str, Arrays] = {name: {} for name in (*names, "other", "")}
    by_length = sorted([*names, "other"], key=len, reverse=True)
    for name, array in arrays.items():
        owner = next((one for one in by_length if name.startswith(f"{one}/")), "")
        if not owner and name != "loss":
            raise BadInput(path, name, f"a tensor of {', '.join(names)}", "another")
        parts[owner][name[len(owner) + 1 :] if owner else name] = array
    return parts


def parse_layer(told: dict[str, Any], arrays: Arrays, path: Path) -> Layer:
    """One layer: all its weights are there, and what went in fits what came out."""
    name = told["name"]
    if told["cell"] not in GATES:
        raise BadInput(path, f"{name}, cell", f"one of {', '.join(GATES)}", told["cell"])
    groups: dict[str, Arrays] = {"weights": {}, "gradients": {}, "": {}}
    for key, array in arrays.items():
        kind, sign, rest = key.partition("/")
        if not (sign and kind in ("weights", "gradients")) and key not in ARRAYS:
            raise BadInput(path, f"{name}/{key}", f"weights/…, gradients/…, {', '.join(ARRAYS)}",
                           "another tensor")  # fmt: skip
        groups[kind if sign else ""][rest if sign else key] = array
    if not all(1 <= len(sides) <= 2 for sides in told["tensors"]):
        raise BadInput(path, f"{name}, tensors", "layers of one or two directions", "others")
    wanted = {n for sides in told["tensors"] for kinds in sides for n in kinds.values()}
    if not wanted or wanted != set(groups["weights"]):
        found = ", ".join(sorted(wanted ^ set(groups["weights"]))) or "none"
        raise BadInput(path, f"{name}, weights", "a tensor for every weight of the layer", found)
    for key in ("X", "outputs"):
        array = groups[""].get(key)
        if array is None or not array.size:
            found = "none" if array is None else f"shape {array.shape}"
            raise BadInput(path, f"{name}/{key}", "what went in and came out", found)
    made = str(groups[""]["outputs"].dtype)
    if told["dtype"] in NUMPYS and made != told["dtype"]:
        raise BadInput(path, f"{name}/outputs", f"{told['dtype']}, as the metadata say", made)
    for key in ("H0", "C0", "H", "C"):
        if key in groups[""] and groups[""][key].ndim != 3:
            found = f"shape {groups[''][key].shape}"
            raise BadInput(path, f"{name}/{key}", "shape (L·D, n, p)", found)
    if told["time"] not in (0, 1):
        raise BadInput(path, f"{name}, time", "axis 0 or 1", told["time"])
    weights, slopes = groups["weights"], groups["gradients"]
    for key, slope in slopes.items():
        of = weights.get(key, groups[""].get(key) if key in ("X", "H0", "C0") else None)
        if of is None or of.shape != slope.shape:
            expected = "the gradient of a weight, X, H0 or C0, in its shape"
            raise BadInput(path, f"{name}/gradients/{key}"[:300], expected, f"shape {slope.shape}")
    call = Call(groups[""], {key: slope for key, slope in slopes.items() if key not in weights})
    own = {key: slope for key, slope in slopes.items() if key in weights}
    return Layer(**told, weights=weights, calls=[call], gradients=own)


def unique(name: str, taken: list[str]) -> str:
    """A name for a layer that no other has."""
    name = name[:100] or "model"
    while name in taken or name == "other":
        name += "'"
    return name
