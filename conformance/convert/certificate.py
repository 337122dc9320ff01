"""What a conversion's certificate says: both files read, and both networks computed by the oracle.

``certify`` makes it of the two files and of what was asked, and of nothing else, so that ``verify``
makes it again and compares. Every number of the written file, mapped back, is the source's, or is
named as rounded; the outputs are those of the equations on random inputs, whose seed is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from common import SUITE_VERSION
from common.errors import BadInput
from common.parameters import Arrays, only_own, state_shapes
from common.spec import ModelSpec
from common.storage.reading import read_json
from common.storage.shape import check_shape
from common.storage.sums import seal, sealed, sha256_of
from common.weights import checksum
from conformance.closeness.compare import identical, load_bounds, relative_error, within
from conformance.convert import own
from conformance.convert.target import DTYPES, Target
from conformance.convert.targets import TARGETS
from conformance.convert.values import held
from conformance.files.canonical import canonical, is_bare, is_ours, load_any, output_names
from conformance.files.loading import load
from conformance.files.opening import found_at
from conformance.models.leftovers import guess
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import forward

FORMAT = "deep-rnn-certificate-1"
INPUTS = {"seed": 24, "T": 8, "n": 3}
"""Of X, from a standard normal distribution, and of the initial state, uniform in ±1."""

SHOWN = 4096
"""So many numbers of the outputs stand in the certificate."""

MOST_STEPS = 64
MOST_LEFT = 8
"""So many tensors that are not moved are named."""

ASKED = {
    "source": str, "target": str, "to": str, "dtype": str, "layout": str, "options": {str: str},
    "prefixes": [str], "inputs": {"seed": int, "T": int, "n": int},
}  # fmt: skip
FILE = {"sha256": str, "bytes": int, "says": str, "parameters": str}
FOUND = {
    "spec": dict,
    "source": FILE,
    "target": FILE | {"layout": str, "options": {str: str}},
    "weights": {
        "same": bool,
        "tensors": int,
        "numbers": int,
        "rounded": [{"tensor": str, "numbers": int, "largest": float}],
    },
    "outputs": {
        "shape": [int], "same": bool, "error": float, "bound": float, "largest": float,
        "numbers": [float],
    },
    "code": [str],
    "said": [str],
    "assumed": [str],
}  # fmt: skip
SHAPE = {
    "format": str, "suite": str, "asked": ASKED, "found": FOUND, "measured?": own.SHAPE,
    "seal": str,
}  # fmt: skip


@dataclass(frozen=True)
class Held:
    """A file's network: its spec, canonical parameters in float64, and how it was understood.

    biases: how many the file has for a gate     says: what the file is     notes: sentences
    bare:   whether it has no output layer
    """

    spec: ModelSpec
    params: Arrays
    biases: int
    says: str
    notes: list[str]
    bare: bool = False


def read(path: Path, layout: str, options: dict[str, str], prefixes: list[str]) -> Held:
    """BadInput for a file that cannot be read, and for a network that the spec cannot hold."""
    if is_ours(path):
        spec, params = load_any(path, layout, options, prefixes)
        params = {name: array.astype("float64") for name, array in params.items()}
        return Held(spec, params, 1, "the suite's own format", [])
    found = load(path, layout, options, prefixes)
    spec, params = canonical(found, path)
    network, left = found.loaded.network, dict(found.loaded.left)
    notes, bare = [], is_bare(found)
    if bare:
        notes.append("There is no output layer: O is the topmost H.")
    elif network.output is None:
        name, bias, _ = output_names(found, path)
        notes.append(f"The output layer is {name}{f' and {bias}' if bias else ', without a bias'}.")
        left = {key: array for key, array in left.items() if key not in (name, bias)}
    shown = [f"{n} {a.shape}, {guess(n, a, network)}" for n, a in list(left.items())[:MOST_LEFT]]
    more = [f"{len(left) - MOST_LEFT} more"] if len(left) > MOST_LEFT else []
    notes += [f"Not moved: {'; '.join([*shown, *more])}."] if left else []
    return Held(spec, params, network.biases, found.says, [*notes, *found.notes], bare)


def certify(
    asked: dict[str, Any], source: Path, target: Path, original: Held | None = None,
    measure: bool = False,
):  # fmt: skip
    """The certificate, sealed. original: the source, if it has just been read

    measure: whether the framework itself is to compute the file (own.py)"""
    goal, dtype = TARGETS[asked["to"]], asked["dtype"]
    original = original or read(source, asked["layout"], asked["options"], asked["prefixes"])
    spec, reads = original.spec, goal.options(original.spec)
    goal.check(spec, original.params, dtype, source)
    written = read(target, goal.layout, reads, []) if goal.layout else read(target, "", {}, [])
    wanted = held(spec, original.params, goal, dtype)
    same = written.spec == spec and all(identical(written.params[n], a) for n, a in wanted.items())
    if original.bare:  # the identity is in no file
        wanted = {name: a for name, a in wanted.items() if not name.startswith("output.")}
    rounded = [row for n, a in wanted.items() for row in moved(n, original.params[n], a)]
    found = {
        "spec": spec.to_json(),
        "source": file_of(source, original),
        "target": file_of(target, written) | {"layout": goal.layout, "options": reads},
        "weights": {
            "same": same,
            "tensors": len(wanted),
            "numbers": sum(a.size for a in wanted.values()),
            "rounded": rounded,
        },
        "outputs": outputs(asked["inputs"], dtype, original, written),
        "code": goal.code(spec, dtype, original.bare),
        "said": said(asked, goal, original, rounded),
        "assumed": original.notes,
    }
    head = {"format": FORMAT, "suite": SUITE_VERSION, "asked": asked, "found": found}
    if measure:
        one = goal, spec, written.params, dtype, original.bare, target, asked["inputs"]
        head["measured"] = own.measured(*one)
    return sealed(head)


def file_of(path: Path, held: Held) -> dict[str, Any]:
    path = found_at(path)
    spec = {"spec": str(held.spec.to_json())}
    digest = checksum(held.params, spec)
    size = path.stat().st_size
    return {"sha256": sha256_of(path), "bytes": size, "says": held.says, "parameters": digest}


def moved(name: str, before: np.ndarray, after: np.ndarray):
    """A row for a tensor of which any number was rounded."""
    by = np.abs(after - before)
    if np.any(by):
        yield {"tensor": name, "numbers": int(np.count_nonzero(by)), "largest": float(by.max())}


def outputs(inputs: dict[str, int], dtype: str, a: Held, b: Held) -> dict[str, Any]:
    """Of the oracle, in float64, from the parameters of both files."""
    spec = a.spec
    rng = np.random.RandomState(inputs["seed"])
    X = rng.standard_normal((inputs["T"], inputs["n"], spec.d))
    shapes = state_shapes(spec, inputs["n"])
    state = only_own(spec, {part: rng.uniform(-1, 1, shape) for part, shape in shapes.items()})
    with threadpool_limits(1), np.errstate(all="ignore"):
        made = [forward(TRUTH, one.spec, one.params, X, state)["forward/O"] for one in (a, b)]
    wanted, got = made
    if not np.isfinite(wanted).all():
        raise BadInput("the network", "outputs", "finite numbers", "NaN or infinity")
    same = identical(got, wanted)
    return {
        "shape": list(wanted.shape),
        "same": same,
        "error": relative_error(got, wanted) if same or np.any(wanted) else math.inf,
        "bound": load_bounds()["cpu"][dtype]["outputs"].error,
        "largest": float(np.abs(wanted).max()),
        "numbers": wanted.reshape(-1)[:SHOWN].tolist(),
    }


def said(asked: dict[str, Any], goal: Target, original: Held, rounded: list) -> list[str]:
    """What is exact but looks different, and what is not exact."""
    spec, dtype = original.spec, asked["dtype"]
    found = [f"In this code X and O are {goal.axes}, and the initial state is zero."]
    found += goal.warns(spec, dtype)
    if original.biases == 2:
        but = " but for the two of the candidate" if spec.reset == "after" else ""
        found.append(
            f"The two biases of each gate are added up{but}, in float64: the equations have one."
        )
    if goal.two(spec) and goal.layout:
        found.append(
            f"Of a gate's two biases the second is 0, or what {dtype} cannot hold of the first."
        )
    if rounded:
        numbers, largest = sum(r["numbers"] for r in rounded), max(r["largest"] for r in rounded)
        tensors = ", ".join(row["tensor"] for row in rounded[:4]) + ", …" * (len(rounded) > 4)
        found.append(
            f"{numbers:,} numbers are rounded to {dtype}, by at most {largest:.2g}: {tensors}."
        )
    return found


def load_certificate(path: Path) -> dict[str, Any]:
    """A certificate, whatever it says; BadInput if it is none, or one of another version."""
    data = read_json(path, follow=True)
    check_shape(data, SHAPE, path, exactly=True)
    if data["format"] != FORMAT:
        raise BadInput(path, "format", FORMAT, data["format"])
    if data["suite"] != SUITE_VERSION:
        expected = f"{SUITE_VERSION}, which this suite is"
        raise BadInput(
            path, "suite", f"{expected} (certificates are verified by it)", data["suite"]
        )
    asked = data["asked"]
    for field, known in (("to", tuple(TARGETS)), ("dtype", DTYPES)):
        if asked[field] not in known:
            raise BadInput(path, f"asked: {field}", f"one of {', '.join(known)}", asked[field])
    for field, most in (("seed", 2**32 - 1), ("T", MOST_STEPS), ("n", MOST_STEPS)):
        if not (field != "seed") <= asked["inputs"][field] <= most:
            raise BadInput(
                path, f"asked: inputs: {field}", f"at most {most}", asked["inputs"][field]
            )
    for field in ("source", "target"):
        name = asked[field]
        if Path(name).name != name or name == ".." or "\0" in name:
            raise BadInput(path, f"asked: {field}", "the name of a file, without a folder", name)
    return data


def changed(data: dict[str, Any]) -> list[str]:
    """In words, whether a certificate is not as it was written."""
    if data["seal"] == seal(data):
        return []
    return ["the certificate was changed after it was written (its seal)"]


def differences(stored: Any, again: Any, field: str = "") -> list[str]:
    """Where a certificate says something else than the files do, in words."""
    if field == "outputs: numbers":
        a, b = np.array(stored, "float64"), np.array(again)
        bound = load_bounds()["cpu"]["float64"]["outputs"].error
        close = a.shape == b.shape and (identical(a, b) or (np.any(b) and within(a, b, bound)))
        return [] if close else [f"{field}: others than the oracle computes"]
    if isinstance(stored, dict) and isinstance(again, dict):
        names = {**stored, **again}
        inner = ((n, stored.get(n), again.get(n)) for n in names)
        return [
            line for n, a, b in inner for line in differences(a, b, f"{field}: {n}" if field else n)
        ]
    same = stored == again
    if isinstance(stored, float) and isinstance(again, float) and again:
        # Another machine's sums differ in the last places; a claim of no error is of none.
        same = abs(stored - again) <= 1e-12 * max(1.0, abs(again))
    return [] if same else [f"{field}: {str(stored)[:60]} is said, {str(again)[:60]} is found"]
