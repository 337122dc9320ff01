"""ONNX models: the nodes RNN, GRU and LSTM with their attributes, and the graph between them.

Only what a graph stores is read; nothing is computed, and no function of a model is looked into.
Source: ONNX' operators RNN, GRU and LSTM (opset 22); ``onnx.proto``, TensorProto.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays
from common.storage.reading import check_file
from common.weights import LARGEST_FILE
from conformance.files.contents import (
    MOST_TENSORS,
    Contents,
    Layer,
    check_total,
    checked_shape,
    whole,
    widened,
)

SAYS = "an ONNX model"
CELLS = ("RNN", "GRU", "LSTM")
FLOATS = {1: "<f4", 11: "<f8", 10: "<f2", 16: "<u2"}
"""Types of tensors that weights may have, as onnx.proto numbers them; the last is bfloat16."""

BFLOAT16 = 16
PASSES = ("Squeeze", "Unsqueeze", "Reshape", "Transpose", "Identity", "Dropout", "Cast")
"""What may stand between two layers of a stack: the numbers stay what they are."""

INPUTS = {"W": 1, "U": 2, "b": 3, "P": 7}
EXTERNAL = 1
SETTLED = {"RNN": "Tanh", "GRU": "Sigmoid,Tanh", "LSTM": "Sigmoid,Tanh,Tanh"}
SLOPES = {"HardSigmoid": (0.2, 0.5), "Elu": (1.0, None), "Affine": (1.0, 0.0)}
"""α and β of the activations that models/frameworks.py knows by name; None: there is none."""


def recognises(path: Path, start: bytes, size: int) -> bool:
    """By its name, or by a small number for the version of the format, which comes first."""
    return path.suffix == ".onnx" or (start[:1] == b"\x08" and start[1:2] < b"\x20")


def read(path: Path) -> Contents:
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(whole(path, SAYS))
    except (DecodeError, ValueError, UnicodeError) as error:
        raise BadInput(path, "", SAYS, error) from None
    return Graph(path, model.graph).contents()


class Graph:
    """What is read of a graph."""

    def __init__(self, path: Path, graph: Any) -> None:
        self.path, self.nodes = path, list(graph.node)
        if len(self.nodes) > MOST_TENSORS:
            raise BadInput(path, "", f"at most {MOST_TENSORS:,} nodes", len(self.nodes))
        self.makes = {name: node for node in self.nodes for name in node.output if name}
        self.stored = {tensor.name: tensor for tensor in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.output:
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self.stored[node.output[0]] = attribute.t

    def contents(self) -> Contents:
        cells = [node for node in self.nodes if node.op_type in CELLS and not node.domain]
        if not cells:
            found = sorted({node.op_type for node in self.nodes})
            raise BadInput(self.path, "", "a node RNN, GRU or LSTM", ", ".join(found) or "no node")
        arrays = self.arrays()
        layers, told = [], []
        for number, node in enumerate(cells):
            name = node.name or f"{node.op_type} {number + 1}"
            tensors = {
                kind: self.source(node, k, name, kind in "WU")
                for kind, k in INPUTS.items()
                if len(node.input) > k and node.input[k]
            }
            if lacking := [kind for kind in ("W", "U") if kind not in tensors]:
                raise BadInput(self.path, name, f"an input {lacking[0]}", "none")
            for tensor in tensors.values():
                if tensor not in arrays:
                    raise BadInput(self.path, tensor, "floating-point numbers", "another type")
            layers.append(Layer(name, (tensors,)))
            told.append((list(tensors.values()), self.options(node, name)))
        stacks = self.stacks(cells, layers)
        used = {name for names, _ in told for name in names}
        # An initial state of zeros is what nothing would be as well, and so is a scalar.
        left = {n: a for n, a in arrays.items() if n in used or a.ndim == 2 or (a.ndim and a.any())}
        return Contents(SAYS, left, "onnx", stacks, told)

    def source(self, node: Any, k: int, name: str, needed: bool) -> str:
        """The stored tensor that an input comes from."""
        at = node.input[k]
        for _ in range(len(self.nodes)):
            if at in self.stored:
                return at
            made = self.makes.get(at)
            if made is None or made.op_type != "Identity" or not made.input:
                break
            at = made.input[0]
        found = f"made by {made.op_type}" if (made := self.makes.get(at)) else "an input"
        expected = "a tensor that is stored (export with constant folding)"
        raise BadInput(self.path, f"{name}, input {k + 1}", expected, found)

    def arrays(self) -> Arrays:
        total, found = 0, {}
        for name, tensor in self.stored.items():
            if tensor.data_type not in FLOATS:
                continue
            shape = checked_shape(list(tensor.dims), self.path, name)
            total += math.prod(shape) * np.dtype(FLOATS[tensor.data_type]).itemsize
            check_total(total, self.path, SAYS)
            found[name] = self.array(tensor, name, shape)
        return found

    def array(self, tensor: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
        dtype = np.dtype(FLOATS[tensor.data_type])
        if tensor.data_location == EXTERNAL:
            flat = self.external(tensor, name, math.prod(shape), dtype)
        elif tensor.raw_data:
            if len(tensor.raw_data) != math.prod(shape) * dtype.itemsize:
                expected = f"{math.prod(shape) * dtype.itemsize} bytes for shape {shape}"
                raise BadInput(self.path, name, expected, len(tensor.raw_data))
            flat = np.frombuffer(tensor.raw_data, dtype)
        else:
            fields = {"<f4": tensor.float_data, "<f8": tensor.double_data}
            numbers = fields.get(dtype.str, tensor.int32_data)  # 16 bits lie in 32 each
            if len(numbers) != math.prod(shape):
                raise BadInput(self.path, name, f"{math.prod(shape)} numbers", len(numbers))
            flat = np.array(numbers, "float64" if dtype.itemsize > 2 else "uint16")
            flat = flat.astype(dtype) if dtype.itemsize > 2 else flat.view(dtype)
        flat = widened(flat) if tensor.data_type == BFLOAT16 else flat
        return flat.reshape(shape)

    def external(self, tensor: Any, name: str, count: int, dtype: np.dtype) -> np.ndarray:
        """Numbers in a file beside the model; never from another folder."""
        said = {entry.key: entry.value for entry in tensor.external_data}
        location = Path(said.get("location", ""))
        folder = self.path.parent.resolve()
        beside = folder / location
        inside = not location.is_absolute() and ".." not in location.parts and location.parts
        if not inside or not beside.resolve().is_relative_to(folder):
            found = str(location)[:200] or "none"
            raise BadInput(self.path, name, "external data inside the model's folder", found)
        check_file(beside, f"the external data of {name[:80]}", LARGEST_FILE)
        size, wanted = beside.stat().st_size, count * dtype.itemsize
        texts = [said.get("offset", "0"), said.get("length", str(wanted))]
        if not all(text.isdecimal() and len(text) < 20 for text in texts):
            raise BadInput(self.path, name, "offset and length of external data", texts)
        offset, length = map(int, texts)
        if length != wanted or offset + length > size:
            expected = f"{wanted} bytes from byte {offset} of {beside.name}"
            raise BadInput(self.path, name, expected, f"{length}, of {size} in the file")
        return np.fromfile(beside, dtype, count, offset=offset)

    def options(self, node: Any, name: str) -> dict[str, str]:
        """As models/frameworks.py calls them."""
        said: dict[str, Any] = {}
        for attribute in node.attribute:
            field = {1: "f", 2: "i", 3: "s", 6: "floats", 8: "strings"}.get(attribute.type)
            said[attribute.name] = getattr(attribute, field) if field else None
        direction = said.get("direction", b"forward")
        direction = direction.decode("utf-8", "replace") if isinstance(direction, bytes) else "?"
        told = {"direction": direction}
        if (turned := self.turned(node)) is not None:
            told["layout"] = "0" if (said.get("layout", 0) == 0) != turned else "1"
        told["activations"] = self.activations(node, said, name, direction == "bidirectional")
        told["clip"] = str(said.get("clip") or "none")
        if node.op_type == "GRU":
            told["linear_before_reset"] = str(said.get("linear_before_reset", 0))
        if node.op_type == "LSTM":
            told["input_forget"] = str(said.get("input_forget", 0))
        return told

    def activations(self, node: Any, said: dict[str, Any], name: str, twice: bool) -> str:
        """The names, of one direction; BadInput if the two differ."""
        words = [str(word, "utf-8", "replace") for word in said.get("activations") or []]
        alphas, betas = list(said.get("activation_alpha") or []), said.get("activation_beta")
        betas = list(betas or [])
        for word in words:
            alpha, beta = SLOPES.get(word, (None, None))
            for own, given in ((alpha, alphas), (beta, betas)):
                if own is not None and given and abs(given.pop(0) - own) > 1e-6:
                    raise BadInput(self.path, name, f"{word} with its default α and β", "others")
        if not words:
            return SETTLED[node.op_type]
        half = len(words) // 2
        if twice and words[:half] == words[half:]:
            words = words[:half]
        elif twice:
            expected = "the same activations in both directions"
            raise BadInput(self.path, name, expected, ",".join(words))
        return ",".join(words)

    def below(self, node: Any) -> list[Any]:
        """The nodes that only pass a layer's input on, from the layer down, and what makes it."""
        found, at = [], node.input[0] if node.input else ""
        while (made := self.makes.get(at)) is not None and len(found) < len(self.nodes):
            found.append(made)
            if made.op_type not in PASSES or not made.input:
                break
            at = made.input[0]
        return found

    def turned(self, node: Any) -> bool | None:
        """Whether the model's own input has its first two axes the other way round; None for a
        layer above another, which does not read it."""
        turns = 0
        for made in self.below(node):
            if made.op_type in CELLS:
                return None
            axes = [list(a.ints) for a in made.attribute if a.name == "perm"]
            turns += made.op_type == "Transpose" and axes == [[1, 0, 2]]
        return turns % 2 == 1

    def stacks(self, cells: list[Any], layers: list[Layer]) -> list[list[Layer]]:
        """Layers that feed one another, and nothing else, from the bottom up."""
        ids = [id(node) for node in cells]
        under: dict[int, int] = {}
        for number, node in enumerate(cells):
            made = self.below(node)
            if made and id(made[-1]) in ids and made[-1].op_type in CELLS:
                under[number] = ids.index(id(made[-1]))
        return chains(layers, under)


def chains(layers: list[Layer], under: dict[int, int]) -> list[list[Layer]]:
    """under: of a layer, the number of the one that it reads; two that read the same are branches,
    which begin anew"""
    reads = list(under.values())
    above = {low: high for high, low in under.items() if reads.count(low) == 1 and low != high}
    starts = [k for k in range(len(layers)) if k not in above.values()]
    found = []
    for start in starts:
        chain = [start]
        while chain[-1] in above and len(chain) < len(layers):
            chain.append(above[chain[-1]])
        found.append([layers[k] for k in chain])
    return found
