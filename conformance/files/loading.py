"""A file of somebody's as a network: its layout, its layers and its options, from the file where it
has them, from the command line where it has not, and never against the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from common.errors import BadInput
from common.parameters import Arrays
from conformance.files.contents import Contents, Layer
from conformance.files.opening import open_file
from conformance.models.frameworks import options
from conformance.models.layouts import LAYOUTS
from conformance.models.reading import (
    Group,
    Loaded,
    Place,
    assemble,
    check_finite,
    complete,
    grouped,
    held,
    read_network,
)

BY_NAMES = ("pytorch", "mxnet", "keras", "flax", "onnx", "keras1", "dl4j", "ncnn", "tf1")
"""Layouts that names give away. Others have the names of one of these."""

SAME_NAMES = {"pytorch": "paddle or coreml", "keras": "keras2 or cudnn"}
AXES = ("batch_first", "time_major", "layout")
"""Options that say which axis of X comes first: what an answer says in every case."""


@dataclass(frozen=True)
class Read:
    """layout: as in models/layouts.py     stated: options, by the file or by the user
    told:     those of them that the file tells     notes: sentences on how the file was understood
    """

    says: str
    layout: str
    loaded: Loaded
    stated: dict[str, str]
    told: dict[str, str]
    notes: list[str]

    @property
    def silent(self) -> list[str]:
        """Options that neither the file nor the user has said."""
        known = options(self.layout, self.loaded.network.cell)
        asked = [o for o in known if o.name not in self.stated and next(iter(o.values))]
        return [o.name for o in asked if o.name not in AXES and applies(o.name, self.loaded)]

    @property
    def shown(self) -> dict[str, str]:
        """What an answer repeats: what the user stated, and what is not as usual in the file."""
        usual = {
            option.name: next(iter(option.values))
            for option in options(self.layout, self.loaded.network.cell)
        }
        return {
            name: value
            for name, value in self.stated.items()
            if name not in self.told or value != usual.get(name)
        }


def words_to_options(words: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE, as on the command line."""
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise BadInput("--option", "", "NAME=VALUE", word)
        found[name] = value
    return found


def applies(name: str, loaded: Loaded) -> bool:
    """Whether the network can have such an option at all."""
    two, projected = loaded.network.directions == 2, loaded.network.layers[-1][0].project
    if name in ("merge_mode", "go_backwards", "reverse", "keep_order", "direction"):
        return two == (name == "merge_mode")
    return name != "proj_clip" or projected is not None


def load(
    path: Path, layout: str = "", stated: Mapping[str, str] | None = None,
    prefixes: Sequence[str] = (),
) -> Read:  # fmt: skip
    """The network of a file. layout, stated: from the command line; prefixes: of several networks,
    which; several are a stack

    Raises BadInput for what cannot be read, what is not said, and what contradicts the file."""
    if layout and layout not in LAYOUTS:
        raise BadInput("--layout", "", f"one of {', '.join(LAYOUTS)}", layout)
    return understood(open_file(path), path, layout, dict(stated or {}), prefixes)


def understood(
    contents: Contents, path: Path, layout: str = "",
    stated: Mapping[str, str] = MappingProxyType({}), prefixes: Sequence[str] = (),
) -> Read:  # fmt: skip
    """The same of what was read already."""
    check_finite(contents.arrays, path)
    found, notes = decided(contents, layout, path, prefixes)
    if contents.stacks:
        groups = chosen(contents, prefixes, path)
        loaded = assemble(groups, contents.arrays, found, path)
    else:
        loaded = read_network(contents.arrays, found, path, tuple(prefixes))
    told = agreed(contents, set(loaded.used), path)
    for name, value in stated.items():
        if told.get(name, value) != value:
            expected = f"{name}={told[name]}, as the file says"
            raise BadInput(path, f"--option {name}", expected, f"{name}={value}")
    read = Read(contents.says, found, loaded, told | dict(stated), told, notes)
    if missing := read.silent:
        usual = {o.name: next(iter(o.values)) for o in options(found, loaded.network.cell)}
        said = ", ".join(f"{name}={usual[name]}" for name in missing)
        notes.append(
            f"The file does not say {', '.join(missing)}: taken as by default, {said}. If your "
            "code means another, state it with --option."
        )
    return read


def decided(
    contents: Contents, layout: str, path: Path, prefixes: Sequence[str]
) -> tuple[str, list[str]]:
    """The layout, and what is to be said of how it was found."""
    if contents.layout:
        if layout and layout != contents.layout:
            raise BadInput(path, "--layout", f"{contents.layout}, as the file says", layout)
        return contents.layout, []
    if layout:
        return layout, []
    arrays = contents.arrays
    arrays = {n: a for n, a in arrays.items() if not prefixes or n.startswith(tuple(prefixes))}
    fits = [name for name in BY_NAMES if known(arrays, name)]
    if len(fits) != 1:
        expected = "names that one framework gives to its tensors, or --layout NAME"
        found = f"names of {' and '.join(fits)}" if fits else held(contents.arrays)
        raise BadInput(path, "", expected, found)
    others = f"; --layout {SAME_NAMES[fits[0]]}, if not" if fits[0] in SAME_NAMES else ""
    return fits[0], [f"Read as {LAYOUTS[fits[0]].says}, whose names the tensors have{others}."]


def known(arrays: Arrays, name: str) -> bool:
    """Whether these are the names of a layout's layers. A kernel over input and state is told from
    any dense layer's only by what its name says."""
    groups = [group for group in grouped(arrays, LAYOUTS[name]).values() if complete(group)]
    if name == "tf1":
        words = ("cell", "rnn", "lstm", "gru")
        return any(
            word in stem.lower() for group in groups for stem in group.stems for word in words
        )
    kinds = [set(kinds) for group in groups for kinds in group.kinds.values()]
    return any(kind.split(":")[0] == "U" for each in kinds for kind in each)


def chosen(contents: Contents, prefixes: Sequence[str], path: Path) -> list[Group]:
    """The layers of the stack that is meant, each as a group of its own."""
    layers = [layer for stack in contents.stacks for layer in stack]
    if prefixes:
        found = [layer for prefix in prefixes for layer in layers if layer.name.startswith(prefix)]
        if not found:
            names = ", ".join(layer.name for layer in layers)
            raise BadInput(path, f"--prefix {' '.join(prefixes)}", f"one of {names}", "none")
    elif len(contents.stacks) > 1:
        names = [dict.fromkeys(layer.name for layer in stack) for stack in contents.stacks]
        shown = [", ".join(each) for each in names]
        which = " or ".join("--prefix " + " ".join(each) for each in names)
        raise BadInput(path, "", f"one network, or a choice: {which}", f"{len(shown)} networks: "
                       + "; ".join(shown))  # fmt: skip
    else:
        found = layers
    return [as_group(layer, number, contents.arrays) for number, layer in enumerate(found)]


def as_group(layer: Layer, number: int, arrays: Arrays) -> Group:
    places = [Place(layer.name, (number,), side == 1) for side in range(len(layer.tensors))]
    kinds = {
        place: {kind: arrays[name] for kind, name in names.items()}
        for place, names in zip(places, layer.tensors, strict=True)
    }
    return Group(kinds, dict(zip(places, layer.tensors, strict=True)), [layer.name], layer.name)


def agreed(contents: Contents, used: set[str], path: Path) -> dict[str, str]:
    """What the file says of the layers that are used; BadInput if not of all the same."""
    found: dict[str, str] = {}
    for names, told in contents.options:
        if not used & set(names):
            continue
        for name, value in told.items():
            if found.setdefault(name, value) != value:
                expected = f"one {name} for all layers (or --prefix for some of them)"
                raise BadInput(path, "", expected, f"{found[name]} and {value}")
    return found
