"""The questions of a capture: of every layer its weights, what went in, and what came out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from common.capture import Capture, Layer, read_capture
from common.errors import BadInput
from conformance.closeness.compare import Bound, agreement
from conformance.diagnose.answer import Answer
from conformance.files.loading import Read, understood, words_to_options
from conformance.files.tensors import of_capture
from conformance.models.given import Given
from conformance.models.given import understood as given_of

LOW = ("float16", "bfloat16")
"""Types of outputs that are a precision of their own, which an answer is about."""


@dataclass(frozen=True)
class Question:
    """read, given: the network, and its data      dtype: of the outputs, if it was stated
    heading: what is said before the answer        layer: of a capture"""

    read: Read
    given: Given
    dtype: str = ""
    heading: list[str] = field(default_factory=list)
    layer: Layer | None = None


def captured(options: argparse.Namespace) -> Iterator[Question]:
    """One question for each layer of the capture, or for those that were chosen.

    Raises BadInput for a layer that cannot be computed: nothing is said of a part of a model."""
    path, capture = options.capture, read_capture(options.capture)
    layers = chosen(capture, options.prefix, path)
    for layer in layers:
        check_judged(layer, path)
    if options.layout and options.layout != layers[0].layout:
        expected = f"{layers[0].layout}, as the capture says"
        raise BadInput(path, "--layout", expected, options.layout)
    for layer in layers:
        read, given = question(capture, layer, path, words_to_options(options.option))
        where = f"{capture.framework} {capture.version}, {capture.device}, {layer.dtype}"
        heading = [f"{layer.name} ({layer.kind}; {where}):", *layer.notes]
        dtype = options.dtype or (layer.dtype if layer.dtype in LOW else "")
        yield Question(read, given, dtype, heading, layer)


def chosen(capture: Capture, names: list[str], path: Path) -> list[Layer]:
    """The layers of these names, or all; BadInput if there is none of a name."""
    known = {layer.name: layer for layer in capture.layers}
    for name in names:
        if name not in known:
            raise BadInput(path, f"--prefix {name}", f"one of {', '.join(known)}", "none")
    return [known[name] for name in names] or capture.layers


def check_judged(layer: Layer, path: Path) -> None:
    if layer.unjudged:
        expected = "a layer that the suite can compute"
        raise BadInput(path, layer.name[:80], expected, "; ".join(layer.unjudged))


def question(
    capture: Capture, layer: Layer, path: Path, stated: dict[str, str]
) -> tuple[Read, Given]:
    """One layer's network, with its options, and what it did."""
    alone = replace(capture, layers=[replace(layer, reads="")], other={})
    read = understood(of_capture(alone, path), path, stated=stated)
    network = read.loaded.network
    if network.cell != layer.cell:
        raise BadInput(path, f"{layer.name}, cell"[:80], network.cell, layer.cell)
    arrays = {n: a for n, a in layer.arrays.items() if n not in ("H", "C")}
    if "lengths" in arrays and arrays["lengths"].min(initial=1) < 1:
        raise BadInput(path, f"{layer.name}, lengths"[:80], "examples of a step or more", "none")
    return read, given_of(arrays, path, network)


def wrong_ends(answer: Answer, question: Question, bound: Bound) -> list[str]:
    """Of outputs that are all right, what of the captured final state does not belong to them."""
    layer, match = question.layer, answer.first
    if layer is None or match is None or not match.right:
        return []
    choices = match.subject.usual.choices
    if choices.after_end == "on" and question.given.lengths is not None:
        return []  # the evaluator goes on behind an example's end, where the framework looks back
    found, said = match.subject.whole(()), []
    for part in found[1].parts if found else ():
        got, right = layer.arrays.get(part), np.stack(found[0].last[part]) if found else None
        if got is None or right is None:
            continue
        if agreement(got.astype("float64"), right, bound, 1.0) is None:
            said.append(
                f"{layer.name}: wrong: the outputs are all right, but the final {part} is not the "
                "state in which they end"
            )
    return said
