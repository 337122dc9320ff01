"""A framework as the goal of a conversion: what it can hold, and how its file comes and goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays
from common.spec import ModelSpec

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Values:
    """A network's numbers as a file holds them, in its dtype.

    params: canonical
    layers: from the bottom up, of the one direction or the two the tensors by kind
            (models/layouts.py)
    output: W_hq (h, or 2h of two directions, q) and b_q (q,), or None of a bare network, whose O is
            the topmost H
    """

    spec: ModelSpec
    params: Arrays
    layers: list[list[Arrays]]
    output: tuple[np.ndarray, np.ndarray] | None
    dtype: str


@dataclass(frozen=True)
class Target:
    """layout:  as in models/layouts.py; "" for the suite's own
    end:     of the file's name
    write:   the file, at a path
    code:    lines of Python that build the network, load FILE and compute O of X; of a spec, a
             dtype, and whether the network is bare
    axes:    of X and O in that code
    activations: of a vanilla RNN, ours and what the framework calls them
    resets:  of a GRU
    two:     whether a gate has two biases, which are added up
    projects: whether an LSTM's H may be projected (LSTM-7)
    peeps:   whether an LSTM may have peepholes, and gates that are clipped (LSTM-8 to LSTM-11)
    options: what the file does not say of itself, for conformance/files to read it
    lacks:   what else is in the way, as (expected, found), or None
    warns:   sentences on what the framework makes of such a network, though the file is right
    package: that computes the file: of ``convert --measure``
    gives, takes: a line that makes its X of NumPy's, and what makes NumPy's array of its O
    """

    name: str
    layout: str
    end: str
    write: Callable[[Path, Values], None]
    code: Callable[[ModelSpec, str, bool], list[str]]
    axes: str
    activations: Mapping[str, str]
    resets: tuple[str, ...]
    two: Callable[[ModelSpec], bool]
    projects: bool = False
    peeps: bool = False
    options: Callable[[ModelSpec], dict[str, str]] = field(default=lambda spec: {})
    lacks: Callable[[ModelSpec, Arrays], tuple[str, str] | None] = field(default=lambda s, p: None)
    warns: Callable[[ModelSpec, str], list[str]] = field(default=lambda spec, dtype: [])
    dtypes: tuple[str, ...] = DTYPES
    package: str = ""
    gives: str = ""
    takes: str = "O"

    def check(self, spec: ModelSpec, params: Arrays, dtype: str, where: object) -> None:
        """BadInput for a network that the framework's own layers cannot compute."""

        def refuse(expected: str, found: object) -> None:
            raise BadInput(where, "", f"{expected}, for --to {self.name}", found)

        if spec.p is not None and not self.projects:
            refuse("an LSTM without a projection of H", f"one to p = {spec.p}")
        if spec.peepholes and not self.peeps:
            refuse("an LSTM without peepholes", "one with them")
        if spec.gate_clip is not None and not self.peeps:
            refuse("an LSTM whose gates are not clipped", f"a gate_clip of {spec.gate_clip:g}")
        if spec.cell == "rnn" and self.layout:
            if len(set(spec.activations)) > 1:
                refuse("one activation in all layers", ", ".join(spec.activations))
            if spec.activations[0] not in self.activations:
                refuse(f"an activation {' or '.join(self.activations)}", spec.activations[0])
        if spec.cell == "gru" and spec.reset not in self.resets:
            found = f"reset {spec.reset} it: another function of the same weights"
            refuse(f"a GRU that resets {self.resets[0]} the matrix product", found)
        if dtype not in self.dtypes:
            refuse(f"numbers of {self.dtypes[0]} (--dtype {self.dtypes[0]} rounds them)", dtype)
        if said := self.lacks(spec, params):
            refuse(*said)

    def written(self, path: Path, values: Values) -> None:
        """Write the file; BadInput where a package that knows the format is not installed."""
        try:
            self.write(path, values)
        except ModuleNotFoundError as error:
            expected = f"the package {error.name} in this environment (the suite's extra 'files')"
            raise BadInput(f"--to {self.name}", "", expected, "none") from None

    def activation(self, spec: ModelSpec) -> str:
        """Of a vanilla RNN, as the framework calls it."""
        return self.activations[spec.activations[0]]


def sizes(spec: ModelSpec) -> list[tuple[int, int]]:
    """Of every layer from the bottom up, how many inputs and how many units it has."""
    return [(spec.inputs_of(layer), spec.units(layer)) for layer in range(1, spec.L + 1)]
