"""What the data cannot decide: other networks that make the same outputs from this input.

Outputs that are right say little if many a wrong network would have made them: with one step from a
state of zeros nothing recurrent is tested, with equal weights no order of gates is. A probe, the
same network on random numbers, shows whether other data would tell two networks apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.closeness.compare import relative_error
from conformance.diagnose.search import Match
from conformance.faults.fault import Fault
from conformance.faults.subject import Subject
from conformance.models.given import Given

STEPS, EXAMPLES, SEED = 5, 3, 23
DIFFERS = 1e-6


@dataclass(frozen=True)
class Undecided:
    """Of the faults that make the same outputs: by data, those that other data would tell; by
    weights, those that no data would, with these weights; state: those that need an initial one"""

    by_data: list[Fault]
    by_weights: list[Fault]

    @property
    def too_little(self) -> bool:
        """Whether it must not be called all right."""
        return any(fault.decides for fault in self.by_data) or any(f.order for f in self.by_weights)


def undecided(first: Match, others: list[Match]) -> Undecided:
    """others: that reproduce the same outputs, with one fault each"""
    probe = probing(first.subject)
    right = probe.run(first.group)
    by_data, by_weights = [], []
    for match in others:
        more = [fault for fault in match.group if fault not in first.group]
        if len(more) != 1:
            continue
        made = probe.run(match.group)
        same = (
            right is not None
            and made is not None
            and made[0].shape == right[0].shape
            and relative_error(made[0], right[0]) <= DIFFERS
        )
        (by_weights if same and not more[0].data else by_data).append(more[0])
    return Undecided(by_data, by_weights)


def probing(subject: Subject) -> Subject:
    """The same network and settings on random numbers, an initial state among them."""
    rng = np.random.RandomState(SEED)
    network = subject.network
    shape = (STEPS, EXAMPLES) if subject.usual.axis == "time" else (EXAMPLES, STEPS)
    X = rng.standard_normal((*shape, network.d))
    state = {}
    if len(set(network.sizes)) == 1:
        for part, shapes in network.state_shapes(EXAMPLES).items():
            state[part] = rng.standard_normal((len(shapes), *shapes[0]))
    outputs = np.zeros((*shape, sum(half.p for half in network.layers[-1])))
    given = Given(X, outputs, state, None, "float64", ())
    return Subject(network, subject.usual, given, "steps")


def advice(found: Undecided, match: Match) -> list[str]:
    """What data would decide."""
    given, said = match.subject.given, []
    data = match.subject.data(match.subject.usual)
    names = {fault.name for fault in found.by_data}
    if data is not None and data.T == 1:
        said.append("more than one step")
    if not given.state and names & {
        "W_h left out",
        "W_h transposed",
        "reset before",
        "reset after",
    }:
        said.append("an initial state H0 that is not zero")
    if any(fault.order for fault in (*found.by_weights, *found.by_data)):
        said.append("random weights and biases, different in every gate")
    if data is not None and not np.ptp(data.X, axis=-1).any():
        said.append("a random X")
    if not said:
        said.append("random weights, biases and inputs, and an initial state")
    return said
