"""A file's tensors, read as a network in a layout. Every tensor is used, or told as left over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays
from conformance.models.layouts import LAYOUTS, Layout
from conformance.models.leftovers import OUTPUT
from conformance.models.network import Direction, Network
from conformance.models.unpacking import cell_of, is_rnn_cell, unpack

BACKWARD = re.compile(r"(?:^|[._/])(bw|bwd|backward|reverse|r_cell)(?=[._/]|$)", re.IGNORECASE)
FORWARD = re.compile(r"(?:^|[._/])(fw|fwd|forward|l_cell)(?=[._/]|$)", re.IGNORECASE)
NUMBER = re.compile(r"\d+")

Kinds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Place:
    """Where a tensor belongs. form: what stands before its kind, without numbers and directions
    numbers: the layer's; backward: whether it is of the backward direction"""

    form: str
    numbers: tuple[int, ...]
    backward: bool


@dataclass(frozen=True)
class Loaded:
    """network: as read        stems: what stood before the names of its layers
    used: the tensors that it is made of        left: the others, by name
    single: whether every gate has tensors of its own"""

    network: Network
    stems: tuple[str, ...]
    used: tuple[str, ...]
    left: Arrays
    single: bool


@dataclass
class Group:
    """The tensors of one form: the layers of one network. kinds, names: by place and kind
    stems: what stands before the kinds in the names     called: by the file, if it names layers"""

    kinds: dict[Place, Kinds]
    names: dict[Place, dict[str, str]]
    stems: list[str]
    called: str = ""

    def shown(self) -> str:
        """What the names begin with, as ``--prefix`` takes it."""
        if self.called:
            return self.called
        start = self.stems[0]
        for stem in self.stems[1:]:
            while not stem.startswith(start):
                start = start[:-1]
        return re.sub(r"(?:[._/]?(?:layers|cell|\d+))*[._/]*$", "", start) or start


def read_network(arrays: Arrays, name: str, path: object, prefixes: tuple[str, ...] = ()) -> Loaded:
    """The network in a file; BadInput says what was looked for, and found.

    prefixes: of the names, where the file holds several networks; more than one are a stack"""
    check_finite(arrays, path)
    layout = LAYOUTS[name]
    chosen = {k: a for k, a in arrays.items() if not prefixes or k.startswith(prefixes)}
    chosen = {k: a for k, a in chosen.items() if k not in ("W_hq", "b_q")}
    if prefixes and not chosen:
        expected = "the beginning of tensors' names"
        raise BadInput(path, f"--prefix {' '.join(prefixes)}", expected, held(arrays))
    groups = [g for g in grouped(chosen, layout).values() if complete(g)]
    if not groups:
        raise BadInput(path, f"--layout {name}", looked_for(layout, chosen), held(arrays))
    groups = sorted(groups, key=lambda group: order_of(group, prefixes))
    if len(groups) > 1 and not prefixes:
        raise BadInput(path, "", *choice(groups, layout))
    return assemble(groups, arrays, name, path)


def check_finite(arrays: Arrays, path: object) -> None:
    for key, array in arrays.items():
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise BadInput(path, key, "finite values", "NaN, infinity or no numbers")


def assemble(groups: list[Group], arrays: Arrays, name: str, path: object) -> Loaded:
    """The network of these groups, from the bottom up, out of a file with these arrays."""
    layout = LAYOUTS[name]
    layers, used, stems, biases, cell = [], [], [], 0, ""
    for group in groups:
        made = list(read_layers(group, layout, name, path))
        cells = {cell for cell, *_ in made} | ({cell} if cell else set())
        if len(cells) > 1:
            raise BadInput(path, "", "layers of one cell", ", ".join(sorted(cells)))
        for cell, layer, two in made:  # noqa: B007
            layers.append(layer)
            biases = max(biases, two)
        used += [n for kinds in group.names.values() for n in kinds.values()]
        stems.append(group.shown())
    network = Network(cell, tuple(layers), None, biases)
    check_chain(network, path)
    output, used = output_layer(arrays, network, path, used)
    network = Network(cell, network.layers, output, biases)
    left = {key: array for key, array in arrays.items() if key not in used}
    kinds = {kind for group in groups for kinds in group.kinds.values() for kind in kinds}
    single = any(kind.startswith("W:") for kind in kinds)
    return Loaded(network, tuple(stems), tuple(used), left, single)


def order_of(group: Group, prefixes: tuple[str, ...]) -> int:
    name = next(iter(next(iter(group.names.values())).values()))
    return next((k for k, prefix in enumerate(prefixes) if name.startswith(prefix)), 0)


def output_layer(arrays, network, path, used):
    """W_hq and b_q, which are the suite's own names; nothing if they are not there."""
    there = [key for key in ("W_hq", "b_q") if key in arrays]
    if not there:
        return None, used
    W, b = arrays.get("W_hq"), arrays.get("b_q")
    p = sum(half.p for half in network.layers[-1])
    sizes = {p, network.layers[-1][0].p}
    if W is None or W.ndim != 2 or W.shape[0] not in sizes:
        raise BadInput(path, "W_hq", f"shape ({p}, q)", "none" if W is None else W.shape)
    b = np.zeros(W.shape[1]) if b is None else b
    if b.shape != W.shape[1:]:
        raise BadInput(path, "b_q", f"shape ({W.shape[1]},)", b.shape)
    return (W.astype("float64"), b.astype("float64")), [*used, *there]


def grouped(arrays: Arrays, layout: Layout) -> dict[str, Group]:
    """The tensors whose names the layout knows, by network."""
    groups: dict[str, Group] = {}
    for key, array in arrays.items():
        if found := place_of(key, layout):
            place, kind, stem = found
            group = groups.setdefault(place.form, Group({}, {}, []))
            group.stems.append(stem)
            group.kinds.setdefault(place, {})[kind] = array
            group.names.setdefault(place, {})[kind] = key
    return groups


def patterns(layout: Layout) -> Iterator[tuple[str, str]]:
    """Kind and pattern; one for each gate where every gate has tensors of its own."""
    for kind, pattern in layout.keys.items():
        if not kind.endswith(":g"):
            yield kind, pattern
            continue
        for gates in layout.letters.values():
            for gate, letter in gates.items():
                yield f"{kind[:-1]}{gate}", pattern.replace("{g}", letter)


def place_of(key: str, layout: Layout) -> tuple[Place, str, str] | None:
    for kind, pattern in patterns(layout):
        match = re.fullmatch(rf"(?:(?P<stem>.*?)[._/])??{pattern}(?::0)?", key)
        if match:
            parts = match.groupdict()
            stem = whole = parts["stem"] or ""
            side = parts.get("r") or ""
            backward = side in ("_reverse", "r") or bool(BACKWARD.search(stem))
            counted = stem
            if direction := (BACKWARD.search(stem) or FORWARD.search(stem)):
                # Numbers behind the direction are of the cell, which each direction has its own.
                counted = stem[: direction.start()]
                stem = counted + stem[direction.end() :]
            numbers = tuple(map(int, NUMBER.findall(counted)))
            if parts.get("l"):
                numbers += (int(parts["l"]),)
            form = re.sub(r"_?\d+", "", stem)
            return Place(form, numbers, backward), kind, whole
    return None


def complete(group: Group) -> bool:
    """Whether any layer has its matrices: else the tensors only look like a layer's."""
    return any(is_layer(kinds, group) for kinds in group.kinds.values())


def is_layer(kinds: Kinds, group: Group) -> bool:
    names = {kind.split(":")[0] for kind in kinds if kind != "U" or kinds[kind].ndim > 1}
    return {"W", "U"} <= names or {"W", "C"} <= names or joint_like(kinds, group.stems[0])


def joint_like(kinds: Kinds, stem: str) -> bool:
    """A kernel over input and state: more rows than units, and a bias; and not a dense layer's."""
    W, b = kinds.get("W"), kinds.get("b")
    if W is None or b is None or W.ndim != 2 or b.shape != W.shape[1:] or "U" in kinds:
        return False
    if re.search(OUTPUT, stem.lower()) and not re.search("cell|rnn|lstm|gru", stem.lower()):
        return False
    plain = is_rnn_cell(stem) and W.shape[0] > W.shape[1]
    return plain or (W.shape[1] % 4 == 0 and W.shape[0] > W.shape[1] // 4)


def read_layers(
    group: Group, layout: Layout, name: str, path: object
) -> Iterator[tuple[str, tuple[Direction, ...], int]]:
    """Cell, directions and number of biases of every layer, from the bottom up."""
    numbers = sorted({place.numbers for place in group.kinds})
    cell = cell_of(next(k for k in group.kinds.values() if is_layer(k, group)), layout, name, path,
                   next(iter(next(iter(group.names.values())).values())))  # fmt: skip
    for number in numbers:
        sides = sorted((p for p in group.kinds if p.numbers == number), key=lambda p: p.backward)
        halves, biases = [], 0
        for place in sides:
            where = next(iter(group.names[place].values()))
            check_kinds(group.kinds[place], layout, number, place.backward, where, path)
            for made, two in unpack(group.kinds[place], layout, name, cell, where, path):
                halves.append(made)
                biases = max(biases, two)
        yield cell, tuple(halves), biases


def check_kinds(
    kinds: Kinds, layout: Layout, number: tuple, backward: bool, where: str, path: object
) -> None:
    """BadInput if a layer that has some of its tensors lacks a matrix."""
    there = {kind.split(":")[0] for kind in kinds}
    for kind in ("W",) if layout.form == "joint" else ("W", "U"):
        if kind not in there:
            side = layout.backward[backward]
            name = layout.names.get(kind, kind).format(
                l=number[-1] if number else 0, r=side, c="cell"
            )
            raise BadInput(path, where, f"a tensor named {name} beside it", "none")


def check_chain(network: Network, path: object) -> None:
    """BadInput unless every layer reads what the one below hands up."""
    if len({len(layer) for layer in network.layers}) > 1:
        raise BadInput(path, "", "as many directions in every layer", "one in some, two in others")
    for number, layer in enumerate(network.layers[1:], start=1):
        below = network.layers[number - 1]
        sizes = {sum(half.p for half in below), below[0].p}
        if layer[0].d not in sizes:
            h = network.h(number)
            wide = sum(half.p for half in below)
            raise BadInput(path, f"layer {number}, W_x", f"shape ({wide}, {h}) for each gate",
                           f"({layer[0].d}, {h})")  # fmt: skip


def looked_for(layout: Layout, arrays: Arrays) -> str:
    """The names that a layer needs, and other layouts that know the file's names."""
    needed = [layout.names[kind] for kind in ("W", "U", "W:g") if kind in layout.names]
    wanted = " and ".join(
        name.format(l=0, r=layout.backward[0], g="…", c="lstm_cell") for name in needed[:2]
    )
    others = [
        name
        for name, other in LAYOUTS.items()
        if other is not layout and any(map(complete, grouped(arrays, other).values()))
    ]
    hint = f" (the names are those of --layout {' or '.join(others)})" if others else ""
    return f"tensors named {wanted}{hint}"


def held(arrays: Arrays) -> str:
    names = [f"{name} {array.shape}" for name, array in sorted(arrays.items())]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more or "nothing"


def choice(groups: list[Group], layout: Layout) -> tuple[str, str]:
    """What is expected of who has several networks in one file, and what was found."""
    found = []
    for group in groups:
        W = next(
            k.get("W", next(iter(k.values()))) for k in group.kinds.values() if is_layer(k, group)
        )
        found.append(f"{group.shown()} ({len(group.kinds)} parts, W {W.shape})")
    prefixes = [group.shown() for group in groups]
    which = " or ".join(f"--prefix {prefix}" for prefix in prefixes)
    expected = f"one network, or a choice: {which}, or --prefix {' '.join(prefixes)} for a stack"
    return expected, f"{len(groups)} networks: " + ", ".join(found)
