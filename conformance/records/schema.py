"""What stands in record.json and run.json: every field, of which kind, and nothing else.

A field that is missing, of another kind, or unknown is refused by its name. Whether what a field
claims can be so is for the judge (judge/claims.py).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from common import SUITE_VERSION
from common.errors import BadInput
from common.storage.reading import is_list, is_object
from common.storage.sums import check_seal
from conformance.cases.halves import PRECISIONS

DEVICES = ("cpu", "gpu")
RECORDED, UNSUPPORTED, CRASHED, FINISHED = "recorded", "unsupported", "crashed", "finished"
LONGEST = 80
"""Of what is shown of a value."""


@dataclass(frozen=True)
class Kind:
    """What a field may hold.     words: as an error names it"""

    words: str
    holds: Callable[[Any], bool]


def check_fields(
    path: Path, where: str, value: Any, needed: dict[str, Kind], free: dict[str, Kind]
) -> None:
    """BadInput unless ``value`` is an object with every needed field, perhaps some of the free
    ones, and no others, each of its kind."""
    if not is_object(value):
        raise BadInput(path, where, "an object", shown(value))
    prefix = f"{where}: " if where else ""
    known = needed | free
    for name, kind in known.items():
        if name in value and not kind.holds(value[name]):
            raise BadInput(path, f"{prefix}{name}", kind.words, shown(value[name]))
        if name in needed and name not in value:
            raise BadInput(path, f"{prefix}{name}", kind.words, "no such field")
    for name in value:
        if name not in known:
            raise BadInput(path, f"{prefix}{shown(name)}", "no such field", shown(value[name]))


def shown(value: Any) -> str:
    """A value in an error, cut short."""
    return repr(value)[:LONGEST]


def is_name(value: Any) -> bool:
    """Letters, digits, _ and - between them: a name that is no path and no option."""
    return isinstance(value, str) and re.fullmatch(r"\w(-?\w){0,99}", value) is not None


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and -math.inf < value < math.inf


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def _names(value: Any, check: Callable[[Any], bool]) -> bool:
    """A list of names, each once, and at least one."""
    whole = is_list(value) and bool(value) and all(map(check, value))
    return whole and len(set(value)) == len(value)


def _numbers(value: Any) -> bool:
    return is_list(value) and bool(value) and all(map(is_number, value))


def _text(value: Any) -> bool:
    fields = {"name": str, "sha256": str}
    return (
        is_object(value)
        and set(value) == set(fields)
        and isinstance(value["name"], str)
        and is_digest(value["sha256"])
    )


def _text_of_a_run(value: Any) -> bool:
    return (
        is_object(value)
        and is_count(value.get("characters"))
        and _text({key: part for key, part in value.items() if key != "characters"})
    )


def _dict_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: is_object(value) and all(map(check, value.values()))


def one_of(*values: str) -> Kind:
    return Kind(f"one of {', '.join(values)}", lambda v: isinstance(v, str) and v in values)


NAME = Kind("a name of letters, digits, _ and -", is_name)
WORDS = Kind("a str", lambda v: isinstance(v, str))
OBJECT = Kind("a dict", lambda v: isinstance(v, dict))
DIGEST = Kind("a digest", is_digest)
DATE = Kind("a date and time", is_date)
NUMBER = Kind("a number of at least 0", lambda v: is_number(v) and v >= 0)
POSITIVE = Kind("a number above 0", lambda v: is_number(v) and v > 0)
AT_LEAST_1 = Kind("a whole number of at least 1", lambda v: is_count(v) and v >= 1)
REASON = Kind("a reason", lambda v: isinstance(v, str))

TOPS = ("outputs", "loss", "gradients")
"""The highest rung of a part of the ladder, where no more than that is answered."""


def _part(value: Any) -> bool:
    return (
        is_object(value)
        and set(value) == {"rung", "dtypes"}
        and value["rung"] in TOPS
        and _names(value["dtypes"], lambda dtype: dtype in PRECISIONS)
    )


PART = Kind(f"its rung, one of {', '.join(TOPS)}, and its dtypes", _part)

RECORD = {
    "suite": WORDS,
    "backend": NAME,
    "device": one_of(*DEVICES),
    "dtypes": Kind(
        f"a list of {', '.join(PRECISIONS)}", lambda v: _names(v, lambda d: d in PRECISIONS)
    ),
    "implementations": Kind("a list of names, each once", lambda v: _names(v, is_name)),
    "text": Kind("its name and sha256", _text),
    "weights": Kind("a digest, or null", lambda v: v is None or is_digest(v)),
    "passport": OBJECT,
    "cases": Kind("a list of names, each once", lambda v: _names(v, is_name)),
    "made": DATE,
    "seconds": NUMBER,
    "peak MiB": NUMBER,
    "entries": OBJECT,
    "seal": DIGEST,
}

RECORD_FREE = {"part": PART}
"""Of a backend that answers a part of the ladder."""

_TOOK = {"seconds": NUMBER, "peak MiB": NUMBER}
_STATUS = one_of(RECORDED, UNSUPPORTED, CRASHED)
ENTRY = {
    RECORDED: ({"status": _STATUS, "digest": DIGEST}, {"inapplicable": OBJECT, **_TOOK}),
    UNSUPPORTED: ({"status": _STATUS, "reason": REASON}, {"digest": DIGEST, **_TOOK}),
    CRASHED: (
        {"status": _STATUS, "reason": REASON},
        {"digest": DIGEST, "inapplicable": OBJECT, **_TOOK},
    ),
}
"""By status: the needed fields of a case's entry, and the free ones."""

RUN = {
    "suite": WORDS,
    "backend": NAME,
    "device": one_of(*DEVICES),
    "implementation": NAME,
    "numerics": one_of("lattice", "float64", "float32", "tf32", "mixed"),
    "spec": OBJECT,
    "recipe name": NAME,
    "recipe": OBJECT,
    "text": Kind("its name, sha256 and characters", _text_of_a_run),
    "held out": Kind("characters by text", _dict_of(is_count)),
    "threads": AT_LEAST_1,
    "digests": one_of("epoch", "step"),
    "passport": OBJECT,
    "made": DATE,
    "seconds": NUMBER,
    "epochs": Kind("a list", lambda v: isinstance(v, list)),
    "status": one_of(FINISHED, UNSUPPORTED, CRASHED),
    "seal": DIGEST,
}
# Runs that are older than workers do not name them.
RUN_FREE = {"workers": AT_LEAST_1, "peak MiB": NUMBER}
PREDICTION = Kind(
    "a prefix and a text",
    lambda v: is_object(v) and set(v) == {"prefix", "text"} and _dict_of(WORDS.holds)(v),
)
NUMBERS = Kind("finite numbers", _numbers)


def check_suite(path: Path, data: Any) -> None:
    """BadInput unless it is an object that this version of the suite wrote: cases, bounds and
    fields may have changed since another one."""
    if not is_object(data):
        raise BadInput(path, "", "an object", type(data).__name__)
    if data.get("suite") != SUITE_VERSION:
        raise BadInput(path, "suite", f"version {SUITE_VERSION}", f"version {data.get('suite')}")


def check_record(path: Path, data: Any) -> None:
    """BadInput unless it is a record: its fields, and an entry for every case of every
    implementation in every dtype, and no others."""
    check_fields(path, "", data, RECORD, RECORD_FREE)
    check_seal(path, data, "a record")
    entries = data["entries"]
    _check_keys(path, "entries", entries, data["implementations"])
    for implementation, dtypes in entries.items():
        _check_keys(path, f"entries of {implementation}", dtypes, data["dtypes"])
        for dtype, cases in dtypes.items():
            _check_keys(path, f"{implementation} {dtype}", cases, data["cases"])
            for case, entry in cases.items():
                _check_entry(path, f"{implementation} {dtype} {case}", entry)


def _check_keys(path: Path, where: str, value: Any, names: list[str]) -> None:
    if not is_object(value):
        raise BadInput(path, where, "an object", shown(value))
    for name in [*names, *value]:
        if name not in value:
            raise BadInput(path, f"{where} {name}", "an entry", "none")
        if name not in names:
            raise BadInput(path, f"{where} {shown(name)}", "no entry of that name", "one")


def _check_entry(path: Path, where: str, entry: Any) -> None:
    status = entry.get("status") if is_object(entry) else None
    if not isinstance(status, str) or not _STATUS.holds(status):
        expected = f"a status out of {RECORDED}, {UNSUPPORTED}, {CRASHED}"
        raise BadInput(path, where, expected, shown(entry))
    check_fields(path, where, entry, *ENTRY[status])
    for name, reason in entry.get("inapplicable", {}).items():
        if not isinstance(reason, str):
            raise BadInput(path, f"{where}: inapplicable {name}", "a reason", shown(reason))


def check_run(path: Path, data: Any) -> None:
    """BadInput unless it is a training run: its fields, and a whole row for every epoch."""
    status = data.get("status") if is_object(data) else None
    needed = RUN | ({"prediction": PREDICTION} if status == FINISHED else {"reason": REASON})
    check_fields(path, "", data, needed, RUN_FREE)
    check_seal(path, data, "a run")
    lattice = data["numerics"] == "lattice"
    if data["recipe"].get("lattice") is not lattice:
        expected = f"lattice {str(lattice).lower()}, as the numerics are {data['numerics']}"
        raise BadInput(path, "recipe", expected, shown(data["recipe"].get("lattice")))
    row = {"losses": NUMBERS, "norms": NUMBERS, "tokens": AT_LEAST_1, "seconds": POSITIVE}
    row |= {"digest": DIGEST} if lattice else {}
    if data["digests"] == "step":
        row["digests"] = Kind("a list of digests", lambda v: is_list(v) and all(map(is_digest, v)))
    if data["held out"]:
        row["held out"] = Kind("a loss for each text", _dict_of(is_number))
    if status == UNSUPPORTED and data["epochs"]:
        raise BadInput(path, "epochs", "none of what is unsupported", len(data["epochs"]))
    for number, found in enumerate(data["epochs"], start=1):
        _check_row(path, f"epoch {number}", found, row, set(data["held out"]))


def _check_row(
    path: Path, where: str, found: dict[str, Any], row: dict[str, Kind], held_out: set[str]
) -> None:
    check_fields(path, where, found, row, {})
    steps = len(found["losses"])
    for name in ("norms", *(["digests"] if "digests" in row else [])):
        if len(found[name]) != steps:
            raise BadInput(path, f"{where}: {name}", f"{steps}, as losses", len(found[name]))
    if set(found.get("held out", {})) != held_out:
        raise BadInput(path, f"{where}: held out", f"a loss for {sorted(held_out)}", "others")
