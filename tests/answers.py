"""The oracle's answers, each computed once for all tests that judge: in this process, and where
frameworks are asked, by whichever environment is the first to need it."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from common.weights import read_arrays, write_arrays
from conformance.cases.given import Given
from conformance.cases.halves import in_precision
from conformance.cases.table import find_case, material
from conformance.judge import ladder
from conformance.oracle.truth import Answer, right_answer
from tests.source import ROOT

KEPT: dict[tuple, Answer] = {}
STORE: Path | None = None
"""Where answers lie that the next environment reads, if any does."""
LARGEST = 2**26
"""Bytes of one: two are larger, and would be half of all."""


def right_once(name: str, given: Given, tier: str = "") -> Answer:
    """``right_answer``, which depends on the name, the text, the weights and lengths; nobody may
    write into what it gives. Large ones are asked once, and would fill the memory."""
    text = given.corpus
    key = name, tier, text.name, text.sha256, text.vocabulary, text.tokens.tobytes()
    key = *key, given.weights_digest(), given.lengths
    if key in KEPT:
        return KEPT[key]
    made = stored(key, name, given, tier)
    if not name.startswith("large-"):
        KEPT[key] = made
        for arrays in (made.wanted, *made.allowed.values()):
            for array in arrays.values():
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
    return made


def stored(key: tuple, name: str, given: Given, tier: str) -> Answer:
    """The answer out of STORE, or computed and put there."""
    if STORE is None:
        return right_answer(name, given, tier)
    path = STORE / f"{hashlib.sha256(repr(key).encode()).hexdigest()}.safetensors"
    if path.exists():
        return read_answer(path, name, given, tier)
    made = right_answer(name, given, tier)
    if sum(np.asarray(array).nbytes for array in made.wanted.values()) < LARGEST:
        write_answer(path, made)
    return made


def write_answer(path: Path, made: Answer) -> None:
    arrays = {f"wanted/{tensor}": array for tensor, array in made.wanted.items()}
    for dtype, by_tensor in made.allowed.items():
        arrays |= {f"allowed/{dtype}/{tensor}": array for tensor, array in by_tensor.items()}
    about = {"order": json.dumps([*arrays]), "digest": made.digest}
    noise = np.array([made.noise[tensor] for tensor in made.wanted], "float64")
    write_arrays(path, arrays | {"noise": noise}, about)


def read_answer(path: Path, name: str, given: Given, tier: str) -> Answer:
    arrays, about = read_arrays(path, ours=True)
    case = find_case(name, given)
    wanted, allowed = {}, {}
    for key in json.loads(about["order"]):
        kind, _, tensor = key.partition("/")
        if kind == "wanted":
            wanted[tensor] = arrays[key][()]  # a scalar is none of NumPy's arrays, as it was
        else:
            dtype, _, tensor = tensor.partition("/")
            allowed.setdefault(dtype, {})[tensor] = arrays[key]
    noise = dict(zip(wanted, arrays["noise"].tolist(), strict=True))
    numbers = material(case, given.corpus)
    numbers = in_precision(numbers, tier) if tier else numbers
    return Answer(case, numbers, about["digest"], wanted, noise, allowed)


def shared_by_environments(cache: Path) -> Path:
    """A folder in pytest's own, for answers of the code as it is now, by the same NumPy; those of
    the code as it was are removed."""
    digest = hashlib.sha256()
    for room in ("common", "conformance"):
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in (".py", ".toml", ".json"):
                digest.update(path.read_bytes())
    found = cache / f"numpy-{np.__version__}-{digest.hexdigest()[:16]}"
    for old in cache.glob(f"numpy-{np.__version__}-*"):
        if old != found:
            shutil.rmtree(old, ignore_errors=True)
    found.mkdir(exist_ok=True)
    return found


@contextmanager
def computed_once(store: Path | None = None) -> Iterator[None]:
    """The judge asks here, while this lasts. store: a folder of answers"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "right_answer", right_once)
        patch.setattr(f"{__name__}.STORE", store)
        yield
