"""Axes, steps and states that are read wrongly."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from conformance.faults.fault import Fault, choosing
from conformance.models.frameworks import Settings
from conformance.models.given import AFTERWARDS, WHOLE, Data
from conformance.models.network import Network, State

SCALES = (2.0, 10.0, 100.0, 127.5, 128.0, 255.0, 256.0, 1000.0, 32768.0)
"""What inputs are multiplied by or divided by."""


def faults(network: Network, usual: Settings, data: Data) -> Iterator[Fault]:
    """data: as the framework would read it"""
    if network.directions == 1:
        for order, said in (
            ("time", "the steps are read from the last to the first, and the outputs put back into "
             "the order of time (reversed in, reversed out)"),
            ("processing", "the steps are read from the last to the first, and the outputs stay in "
             "the order of processing"),
            ("", "the steps are read from the first to the last"),
        ):  # fmt: skip
            if order != usual.backwards:
                name = {"": "read forwards", "time": "read backwards, put back"}
                yield choosing(name.get(order, "time reversed"), said, backwards=order)
    else:
        yield of_data("time reversed", "X is given from the last step to the first",
                      lambda d: replace(d, X=d.X[::-1]))  # fmt: skip
    yield of_data("input one step late", "X_{t−1} is read at step t",
                  lambda d: replace(d, X=np.concatenate([d.X[:1], d.X[:-1]])))  # fmt: skip
    yield of_data("X's features reversed", "X's features are in reverse order (BGR for RGB)",
                  lambda d: replace(d, X=d.X[..., ::-1]), common=False)  # fmt: skip
    yield from axes(data)
    wide = sum(half.p for half in network.layers[-1])
    if network.directions == 2 and data.kind == "steps" and data.outputs.shape[-1] == wide:
        yield of_data("directions reshaped", "the outputs (T, 2, n, h), as ONNX' Y, are reshaped "
                      "(view) to (T, n, 2·h) where they should be transposed first",
                      lambda d: replace(d, outputs=unshaped(d.outputs)))  # fmt: skip
    yield from afterwards(data)
    for number in SCALES:
        for says, factor in ((f"X is multiplied by {number:g}", number),
                             (f"X is divided by {number:g}", 1 / number)):  # fmt: skip
            yield of_data(says, says, lambda d, factor=factor: replace(d, X=factor * d.X),
                          common=False)  # fmt: skip
    if data.lengths is not None:
        yield of_data("lengths ignored", "the lengths are ignored: all examples go on to step T",
                      lambda d: replace(d, lengths=None))  # fmt: skip
        for mode, said in (("zero", "zero"), ("carry", "the last one, repeated"),
                           ("on", "computed on")):  # fmt: skip
            says = f"the outputs behind an example's end are {said}"
            yield choosing(f"behind the end, {mode}", says, after_end=mode)
    if data.state is not None and any(np.any(a) for part in data.state.values() for a in part):
        yield from states(network)


def afterwards(data: Data) -> Iterator[Fault]:
    """What the outputs went through, or what was made of those of all steps."""
    if data.kind == "ends" and data.T > 1 and data.lengths is None:
        for pool, said in (("mean", "mean"), ("max", "largest"), ("sum", "sum")):
            yield of_data(f"{pool} of the steps", f"the outputs are the {said} of all steps' "
                          f"outputs ({pool} over time), not the last",
                          lambda d, pool=pool: replace(d, kind=pool), common=False)  # fmt: skip
    if data.behind:
        return
    for name in AFTERWARDS:
        yield of_data(f"behind {name}", f"the outputs went through {name} afterwards",
                      lambda d, name=name: replace(d, behind=name), common=False,
                      option=f"behind={name}")  # fmt: skip
    if data.kind == "steps":
        for name in WHOLE:
            yield of_data(name, f"the outputs went through a {name}, not over their last axis "
                          "(dim)", lambda d, name=name: replace(d, behind=name),
                          common=False)  # fmt: skip


def of_data(name: str, says: str, change: Callable[[Data], Data | None], **more) -> Fault:
    return Fault(name, says, data=change, **more)


def axes(data: Data) -> Iterator[Fault]:
    T, n = data.T, data.n
    if data.kind != "steps" or T == 1 or n == 1:
        return

    def viewed(d: Data, X: np.ndarray, outputs: np.ndarray) -> Data | None:
        if d.state is not None and X.shape[1] != d.n:
            return None
        return replace(d, X=X, outputs=outputs, lengths=None)

    def reshape(a: np.ndarray) -> np.ndarray:
        """(T, n, …) in memory, read as (n, T, …)."""
        return a.reshape(a.shape[1], a.shape[0], *a.shape[2:])

    turned = "X is reshaped (view) where it should be transposed"
    yield of_data("X and outputs reshaped", f"{turned}, and the outputs are reshaped back",
                  lambda d: viewed(d, reshape(d.X), reshape(d.outputs)))  # fmt: skip
    yield of_data("X and outputs reshaped, batch first",
                  f"{turned}, from (n, T, d), and the outputs are reshaped back",
                  lambda d: viewed(d, view_of_batch(d.X), view_of_batch(d.outputs)),
                  common=False)  # fmt: skip
    yield of_data("T and n exchanged", "X (T, n, d) is reshaped to (n, T, d) and read batch first",
                  lambda d: replace(d, X=reshape(d.X).swapaxes(0, 1)))  # fmt: skip
    yield of_data("X reshaped", f"{turned}, and the outputs are transposed back",
                  lambda d: viewed(d, reshape(d.X), d.outputs.swapaxes(0, 1)),
                  common=False)  # fmt: skip
    yield of_data("X reshaped, batch first", f"{turned}, from (n, T, d)",
                  lambda d: replace(d, X=view_of_batch(d.X)), common=False)  # fmt: skip
    yield of_data("outputs reshaped", "the outputs are reshaped where they should be transposed",
                  lambda d: replace(d, outputs=reshape(d.outputs).swapaxes(0, 1)),
                  common=False)  # fmt: skip
    yield of_data("X's features and steps reshaped", "X (n, d, T) is reshaped (view) to (n, T, d) "
                  "where it should be transposed",
                  lambda d: replace(d, X=view_of_features(d.X)), common=False)  # fmt: skip
    yield of_data("one sequence", "the state is kept from one example to the next: all are read as "
                  "one sequence", in_one, common=False)  # fmt: skip


def unshaped(outputs: np.ndarray) -> np.ndarray:
    T, n, wide = outputs.shape
    return np.moveaxis(outputs.reshape(T, 2, n, wide // 2), 1, 2).reshape(T, n, wide)


def view_of_batch(a: np.ndarray) -> np.ndarray:
    """Time first here, batch first in the file: (n, T, …) in memory, run over its first axis."""
    file = a.swapaxes(0, 1)
    return np.ascontiguousarray(file).reshape(a.shape[0], a.shape[1], *a.shape[2:])


def view_of_features(a: np.ndarray) -> np.ndarray:
    """(n, d, T) in memory, read as (n, T, d); time first here."""
    T, n, d = a.shape
    return np.ascontiguousarray(a.transpose(1, 2, 0)).reshape(n, T, d).swapaxes(0, 1)


def in_one(d: Data) -> Data | None:
    if d.state is not None:
        return None

    def long(a: np.ndarray) -> np.ndarray:
        return a.swapaxes(0, 1).reshape(-1, 1, a.shape[-1])

    return replace(d, X=long(d.X), outputs=long(d.outputs), lengths=None)


def states(network: Network) -> Iterator[Fault]:
    def of(name: str, says: str, change: Callable[[State], State]) -> Fault:
        return of_data(name, says, lambda d: replace(d, state=d.state and change(d.state)))

    def zero(*parts: str):
        return lambda s: {
            p: [0 * a for a in arrays] if p in parts else arrays for p, arrays in s.items()
        }

    yield of("initial state ignored", "the initial state is ignored", zero("H", "C"))
    if network.cell == "lstm":
        yield of("initial H ignored", "the initial H is ignored", zero("H"))
        yield of("initial C ignored", "the initial C is ignored", zero("C"))
        if all(half.project is None for half in network.halves):
            yield of("initial H and C exchanged", "the initial H and C are exchanged",
                     lambda s: {"H": s["C"], "C": s["H"]})  # fmt: skip
    count = network.L * network.directions
    if count > 1 and len(set(network.sizes)) == 1:
        yield of("initial state upside down", "the layers' initial states are in reverse order",
                 lambda s: {p: a[::-1] for p, a in s.items()})  # fmt: skip
        yield of("initial state of layer 1 only", "only the first layer gets its initial state",
                 lambda s: {p: [a[0], *(0 * b for b in a[1:])] for p, a in s.items()})  # fmt: skip
        if network.directions == 2 and network.L > 1:
            yield of("initial state by direction", "the initial states are taken in the order of "
                     "directions, then layers", by_direction(network.L))  # fmt: skip
    if len(set(network.sizes)) == 1:
        yield of("initial state reshaped",
                 "the initial state is reshaped where it should be transposed",
                 lambda s: {p: reshaped(a) for p, a in s.items()})  # fmt: skip


def by_direction(L: int):
    order = [side * L + layer for layer in range(L) for side in (0, 1)]
    return lambda s: {p: [a[k] for k in order] for p, a in s.items()}


def reshaped(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """(L, n, h) read in memory order as (n, L, h); of one layer (n, h) as (h, n), turned."""
    if len(arrays) == 1:
        a = arrays[0]
        return [a.reshape(a.shape[::-1]).T]
    whole = np.stack(arrays)
    return list(whole.reshape(whole.shape[1], whole.shape[0], -1).swapaxes(0, 1))
