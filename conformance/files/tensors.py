"""safetensors: names and arrays, of which only the names can tell whose layout it is; or a capture
(common/capture.py), which says so itself."""

from __future__ import annotations

from pathlib import Path

from common.capture import Capture, is_capture, parse_capture
from common.capture import Layer as Captured
from common.errors import BadInput
from common.weights import read_arrays
from conformance.files.contents import Contents, Layer
from conformance.models.layouts import LAYOUTS
from conformance.models.reading import patterns

SAYS = "a safetensors file"


def recognises(path: Path, start: bytes, size: int) -> bool:
    length = int.from_bytes(start[:8], "little")
    return path.suffix == ".safetensors" or (start[8:9] == b"{" and length <= size)


def read(path: Path) -> Contents:
    arrays, metadata = read_arrays(path, follow=True)
    if is_capture(metadata):
        return of_capture(parse_capture((arrays, metadata), path), path)
    return Contents(SAYS, arrays)


def of_capture(capture: Capture, path: Path) -> Contents:
    """The networks of a capture: layers of which one reads the other are a stack."""
    layouts = {layer.layout for layer in capture.layers}
    if len(layouts) > 1 or not layouts <= set(LAYOUTS):
        raise BadInput(path, "layout", f"one of {', '.join(LAYOUTS)}", ", ".join(sorted(layouts)))
    found = Contents(f"a capture of {capture.framework}", dict(capture.other), layouts.pop())
    tops: dict[str, list[Layer]] = {}
    for layer in capture.layers:
        check_kinds(layer, path)
        whole = {name: f"{layer.name}/{name}" for name in layer.weights}
        found.arrays |= {whole[name]: array for name, array in layer.weights.items()}
        found.options.append((list(whole.values()), layer.options))
        levels = [
            Layer(layer.name, tuple({k: whole[n] for k, n in kinds.items()} for kinds in sides))
            for sides in layer.tensors
        ]
        if layer.reads in tops:  # what reads the same layer once more begins a stack of its own
            tops[layer.name] = tops.pop(layer.reads)
            tops[layer.name] += levels
        else:
            tops[layer.name] = levels
            found.stacks.append(levels)
    return found


def check_kinds(layer: Captured, path: Path) -> None:
    """BadInput unless the weights are those of a layer, as far as their kinds tell."""
    known = {kind for kind, _ in patterns(LAYOUTS[layer.layout])}
    for kinds in (kinds for sides in layer.tensors for kinds in sides):
        bases = {kind.split(":")[0] for kind in kinds}
        if not set(kinds) <= known or not {"W", "U"} <= bases:
            expected = f"W, U and others of {', '.join(sorted(known))}"
            raise BadInput(path, f"{layer.name}, tensors"[:80], expected, ", ".join(kinds))
    if len({len(sides) for sides in layer.tensors}) > 1:
        expected = "as many directions in every layer"
        raise BadInput(path, f"{layer.name}, tensors"[:80], expected, "others")
