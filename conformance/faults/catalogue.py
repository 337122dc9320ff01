"""All that is looked for in one subject: the framework's other options first, then faults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from common.parameters import Arrays
from conformance.faults import data as of_data
from conformance.faults import function as of_function
from conformance.faults import weights as of_weights
from conformance.faults.fault import Fault, Group
from conformance.faults.subject import Subject
from conformance.models.frameworks import CLASSES, options
from conformance.models.given import Data


def catalogue(subject: Subject, layout: str, stated: Mapping[str, str]) -> list[Fault]:
    """Every fault once, the likeliest first; where the framework has an option that does the same,
    the fault says so. stated: options whose value the user gave"""
    by_option = list(other_options(subject, layout, stated))
    found = list(by_option)
    if not any(fault.name == "axis" for fault in found):
        found.append(axis_fault(subject, layout))
    done = [fault.settings(subject.usual) for fault in found if fault.settings]
    data = subject.data(subject.usual) or subject.data(found_axis(subject))
    network = subject.network
    for fault in [
        *of_function.faults(network, subject.usual),
        *(of_data.faults(network, subject.usual, data) if data else ()),
        *of_weights.faults(network, layout),
    ]:
        if fault.settings:
            changed = fault.settings(subject.usual)
            if any(not changed.touched(other) for other in (subject.usual, *done)):
                continue
        found.append(fault)
    # Orders of gates are many: what is single comes before them.
    return sorted(found, key=lambda f: (not f.option, bool(f.order), not f.common))


def found_axis(subject: Subject):
    other = {"time": "batch", "batch": "time"}[subject.usual.axis]
    return subject.usual.with_(axis=other)


def other_options(subject: Subject, layout: str, stated: Mapping[str, str]) -> Iterator[Fault]:
    """Values of the framework's options that the user did not state."""
    cell, usual = subject.network.cell, subject.usual
    for option in options(layout, cell):
        for value, effect in option.values.items():
            changed = usual.with_(**effect)
            touched = usual.touched(changed)
            if not touched or ("merge" in touched and subject.network.directions == 1):
                continue
            if "backwards" in touched and subject.network.directions == 2:
                continue
            if option.name == "reset_after" and subject.network.biases:
                continue  # the bias of the file has the shape of one of them
            name = "axis" if "axis" in touched else f"{option.name}={value}"
            said = f"{option.name}={value}"
            if option.name == "keep_order":
                said = f"reverse=True {said}"
            own = CLASSES[layout][cell]
            if option.name in stated:
                says = f"{said} was meant, not {option.name}={stated[option.name]} as was stated"
            else:
                default = next(iter(option.values)) or "as the bias has it"
                says = f"{own} has {said}{means(touched, changed)}; its default is {default}"
            yield Fault(
                name, says, settings=lambda s, effect=effect: s.with_(**effect),
                option="" if option.name in stated else said,
            )  # fmt: skip


def means(touched: set[str], changed) -> str:
    """In words, where the name of an option does not tell."""
    if "axis" in touched:
        return f", so the first axis of X is {changed.axis}"
    if "reset" in touched:
        return f", so the reset gate acts {changed.choices.reset} the matrix product"
    if changed.backwards and "backwards" in touched:
        order = {"time": "put back into the order of time (reversed in, reversed out)",
                 "processing": "left in the order of processing"}[changed.backwards]  # fmt: skip
        return f": the steps are read from the last to the first, and the outputs are {order}"
    acts = sorted({name for gate, name in changed.choices.activations.items()
                   if f"activation {gate}" in touched})  # fmt: skip
    if "out" in touched:
        acts = sorted({*acts, changed.choices.out})
    return f", an activation {' and '.join(acts)}" if acts else ""


def axis_fault(subject: Subject, layout: str) -> Fault:
    """The other axis first, where the framework has no such option."""
    other = {"time": "batch", "batch": "time"}[subject.usual.axis]
    own = CLASSES[layout][subject.network.cell]
    says = (
        f"the code runs over the {'first' if other == 'time' else 'second'} axis of X as if it "
        f"were time, where {own} takes the {'second' if other == 'time' else 'first'}: {own} knows "
        f"no {other}-first input"
    )
    return Fault("axis", says, settings=lambda s: s.with_(axis=other))


def always(subject: Subject) -> Group:
    """What is a fault already in how the outputs are understood."""
    found = []
    if subject.given.wrong:
        found.append(Fault("states reshaped", subject.given.wrong, data=lambda data: data))
    if subject.kind == "example":
        said = (
            "they are all steps of the last example (out[:, -1] of a tensor with the steps first), "
            "not the last step of all examples"
        )
        found.append(Fault("steps of one example", said, data=lambda data: data))
    if subject.exchanged:
        said = "the outputs have their first two axes the other way round than X"
        found.append(Fault("axes exchanged", said, data=lambda data: data))
    if subject.kind == "last" and subject.network.directions == 2:
        said = (
            "they are step T of the outputs, where the backward direction has read one step only; "
            "its last state stands at step 1 (h_n holds both, and so does return_sequences=False)"
        )
        found.append(Fault("last step of a backward half", said, data=lambda data: data))
    return tuple(found)


def normalisations(
    subject: Subject, layout: str, network, names: tuple[str, ...]
) -> Iterator[Fault]:
    """Layer normalisation with the gains and shifts of the file, which the framework has not."""
    own = CLASSES[layout][subject.network.cell]
    for over, words in (("all", "over all gates together"), ("gate", "over each gate")):
        for epsilon in (1e-5, 1e-3, 1e-6, 1e-12):
            yield Fault(
                f"layer normalisation, {over}, {epsilon:g}",
                f"the pre-activations are normalised {words} (layer norm, ε {epsilon:g}, with "
                f"{' and '.join(names)}), which {own} does not do",
                weights=lambda net, network=network: with_norms(net, network),
                settings=lambda s, over=over, epsilon=epsilon: s.with_(
                    normalise=over, epsilon=epsilon),
                common=over == "all" and epsilon == 1e-5,
            )  # fmt: skip


def stored_state(subject: Subject, left: Arrays) -> Iterator[Fault]:
    """Initial states that lie in the file of the weights, under names of their own."""
    shapes = subject.network.state_shapes(1)
    count = len(shapes["H"])
    found = {}
    for part in subject.network.parts:
        size = shapes[part][0][1]
        for name, array in left.items():
            fits = array.size == count * size and {s[1] for s in shapes[part]} == {size}
            if fits and re.search(rf"{part.lower()}_?x?_?0|init\w*_?{part.lower()}", name.lower()):
                found[part] = name, array.astype("float64").reshape(count, 1, size)
    if not found:
        return

    def started(d: Data) -> Data:
        state = {
            part: [np.repeat(a, d.n, axis=0) for a in found[part][1]]
            if part in found
            else [np.zeros((d.n, shape[1])) for shape in shapes[part]]
            for part in subject.network.parts
        }
        return replace(d, state=state)

    names = " and ".join(name for name, _ in found.values())
    says = f"the initial state is {names} of the file (learned)"
    yield Fault(f"state of the file, {names}", says, data=started)


def with_norms(network, normal):
    gains = iter([(half.gain, half.shift) for half in normal.halves])
    dtype = network.layers[0][0].W.dtype

    def change(half, _):
        gain, shift = next(gains)
        return replace(half, gain=gain.astype(dtype), shift=shift.astype(dtype))

    return network.each(change)
