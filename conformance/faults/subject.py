"""What is asked about: a network, what its framework computes, and the data, in every reading.

A question is small enough to be evaluated thousands of times: ``made`` computes what a group of
faults makes, on a few steps and examples or on all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from conformance.closeness.compare import Bound, agreement, relative_error
from conformance.faults.fault import Fault, Group
from conformance.models.evaluator import Misfit, Run, run
from conformance.models.frameworks import Settings
from conformance.models.given import WHOLE, Data, Given
from conformance.models.network import Network
from conformance.models.views import views

FEW = 2
"""Steps and examples that a search looks at first, which is cheap."""

SIFT = 1e-3
"""What is so far away in these, relative to the largest output of all, is away from the whole."""

WINDOW = 12
"""Steps on which single faults are measured and compared."""

KEPT = 32
"""Changed networks that are kept."""


@dataclass(frozen=True)
class Subject:
    """One way to understand the file: data as the framework reads them, and what is still open.

    network: in float64        usual: what the framework computes
    head:    the names of the tensors that were taken for an output layer, beside W_hq
    given:   as it lies in the file        exchanged: the outputs' axes stand the other way round
    kind:    of the outputs
    """

    network: Network
    usual: Settings
    given: Given
    kind: str
    exchanged: bool = False
    head: tuple[str, ...] = ()
    memory: dict = field(default_factory=dict)

    def data(self, settings: Settings) -> Data | None:
        """In the order that these settings read: None if the shapes do not allow it."""
        key = ("data", settings.axis)
        if key not in self.memory:
            found = [
                data
                for data, exchanged in views(self.given, self.network, settings.axis)
                if data.kind == self.kind and exchanged == self.exchanged
            ]
            self.memory[key] = found[0] if found else None
        return self.memory[key]

    def prepared(self, group: Group) -> tuple[Network, Settings, Data] | None:
        """None if the faults contradict one another, or the data."""
        settings, touched = self.usual, set()
        for fault in group:
            if fault.settings:
                changed, touches = self.alone(fault)
                if touches & touched:
                    return None
                settings = fault.settings(settings) if touched else changed
                touched |= touches
        data = self.data(settings)
        for fault in group:
            if fault.data and data is not None:
                data = fault.data(data)
        if data is None:
            return None
        if settings.choices.lengths is not None:
            if len(settings.choices.lengths) != data.n:
                return None
        elif data.lengths is not None:
            if len(data.lengths) != data.n:
                return None
            settings = settings.with_(lengths=data.lengths)
        return self.changed(group), settings, turned(data, settings)

    def alone(self, fault: Fault) -> tuple[Settings, set[str]]:
        """What a fault makes of the usual settings, and what it touches; made once."""
        key = ("settings", fault)
        if key not in self.memory:
            changed = fault.settings(self.usual) if fault.settings else self.usual
            self.memory[key] = changed, self.usual.touched(changed)
        return self.memory[key]

    def some(self, data: Data, axis: str, cut: tuple[int, int] | None, kind: np.dtype) -> Data:
        """The first steps and examples, or all, in numbers of this kind; made once of data that no
        fault has changed."""
        key = ("some", axis, cut, kind)
        if data is not self.memory.get(("data", axis)):
            return (data.some(*cut) if cut else data).astype(kind)
        if key not in self.memory:
            self.memory[key] = (data.some(*cut) if cut else data).astype(kind)
        return self.memory[key]

    def changed(self, group: Group) -> Network:
        """The network with these faults' weights; what one fault makes is kept for a while."""
        network = self.network
        changes = [(fault.name, fault.weights) for fault in group if fault.weights]
        for place, (name, change) in enumerate(changes):
            key = ("network", name)
            if place == 0 and key in self.memory:
                network = self.memory[key]
                continue
            network = change(network)
            if place == 0:
                kept = [k for k in self.memory if k[0] == "network"]
                if len(kept) >= KEPT:
                    del self.memory[kept[0]]
                self.memory[key] = network
        return network

    def single(self) -> Subject:
        """The same in float32, for sifting; made once."""
        if "single" not in self.memory:
            self.memory["single"] = replace(self, network=self.network.astype("float32"), memory={})
        return self.memory["single"]

    def run(
        self, group: Group, steps: int = 0, examples: int = 0
    ) -> tuple[np.ndarray, Data] | None:
        """What the group makes, as the outputs are shown, and the data; of the first steps and
        examples if these are said."""
        found = self.whole(group, steps, examples)
        if found is None:
            return None
        made, data = found[2].shown(found[0]), found[2]
        if made.shape == data.outputs.shape and np.isnan(data.outputs).any():
            # There is nothing to compare where a fault says so.
            data = replace(data, outputs=np.where(np.isnan(data.outputs), made, data.outputs))
        return made, data

    def whole(
        self, group: Group, steps: int = 0, examples: int = 0
    ) -> tuple[Run, Network, Data] | None:
        found = self.prepared(group)
        if found is None:
            return None
        network, settings, data = found
        cut = None
        if steps and data.behind not in WHOLE and data.kind != "example":
            if (
                network.directions > 1
                or settings.choices.lengths is not None
                or settings.choices.warm
            ):
                steps = data.T
            if settings.choices.lengths is not None:
                settings = settings.with_(lengths=settings.choices.lengths[:examples])
            cut = steps, examples
        data = self.some(data, settings.axis, cut, network.layers[0][0].W.dtype)
        try:
            made = run(network, settings.choices, data.X, data.state)
        except Misfit:
            return None  # layers of different sizes cannot be stacked in another order
        return made, network, data

    def error(self, group: Group, steps: int = 0, examples: int = 0) -> float:
        """Relative to the largest number that the group makes; infinite where shapes differ."""
        found = self.run(group, steps, examples)
        if found is None or found[0].shape != found[1].outputs.shape:
            return np.inf
        made, data = found
        if not np.any(made) or not np.isfinite(made).all():
            return np.inf
        return relative_error(data.outputs, made)

    def agrees(self, group: Group, bound: Bound) -> float | None:
        """The error in all of the data, in float64, if it is within the bound."""
        found = self.run(group)
        if found is None or not np.isfinite(found[0]).all():
            return None
        return agreement(found[1].outputs, found[0], bound, 1.0)

    def possible(self, group: Group) -> bool:
        """Whether the first step leaves room for the group, and then the first few."""
        if self.network.directions > 1 or self.kind != "steps":
            return self.near(group) <= SIFT  # all steps are needed: measured once for all
        return all(self._possible(group, steps) for steps in range(1, FEW + 1))

    def near(self, group: Group) -> float:
        """The error on a window of the data, in float32; remembered for single faults."""
        key = ("near", *(fault.name for fault in group))
        if key not in self.memory:
            error = self.single().error(group, WINDOW, FEW)
            if len(group) > 2:
                return error
            self.memory[key] = error
        return self.memory[key]

    def _possible(self, group: Group, steps: int) -> bool:
        found = self.single().run(group, steps, FEW)
        if found is None or found[0].shape != found[1].outputs.shape:
            return False
        made, data = found
        largest = max(self.largest, float(np.max(np.abs(made), initial=0)))
        worst = float(np.max(np.abs(made - data.outputs), initial=0))
        return worst <= SIFT * largest  # never if it is not a number

    @property
    def largest(self) -> float:
        """Of all outputs, in magnitude."""
        if "largest" not in self.memory:
            self.memory["largest"] = float(np.max(np.abs(self.given.outputs)))
        return self.memory["largest"]


def turned(data: Data, settings: Settings) -> Data:
    """A network of one direction that reads backwards is one that reads a turned X."""
    if not settings.backwards:
        return data
    outputs = data.outputs
    if settings.backwards == "time" and data.kind == "steps":
        outputs = reversed_steps(outputs, settings)
    return replace(data, X=reversed_steps(data.X, settings), outputs=outputs)


def reversed_steps(a: np.ndarray, settings: Settings) -> np.ndarray:
    lengths = settings.choices.lengths
    if lengths is None:
        return a[::-1]
    found = a.copy()
    for k, length in enumerate(lengths):
        found[:length, k] = a[:length, k][::-1]
    return found


def subjects(given: Given, network: Network, usual: Settings, heads: list) -> Iterator[Subject]:
    """Every way to understand the outputs' shape, the framework's own first. heads: leftovers that
    may be an output layer"""
    nets = [(network, ())]
    nets += [(replace(network, output=(head.W, head.b)), head.names) for head in heads]
    seen = set()
    for net, head in nets:
        for axis in (usual.axis, {"time": "batch", "batch": "time"}[usual.axis]):
            for data, exchanged in views(given, net, axis):
                key = (head, data.kind, exchanged)
                if key not in seen and fits(net, data):
                    seen.add(key)
                    yield Subject(net, usual, given, data.kind, exchanged, head)


def fits(network: Network, data: Data) -> bool:
    """Whether the last axis may be the network's."""
    k = data.outputs.shape[-1]
    p = [half.p for half in network.layers[-1]]
    if data.kind == "states":
        return k == p[0]
    if network.output is not None:
        return k in (network.output[1].size, sum(p))
    return k in (sum(p), p[0])
