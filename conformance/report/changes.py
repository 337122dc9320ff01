"""What changed between two verdicts: of two versions of a framework, two machines, two devices."""

from dataclasses import asdict, dataclass
from typing import Any

from conformance.closeness.compare import growth
from conformance.verdict.outcome import PASS, WRONG

GROWN = 2.0
"""An error that grew by more than this is told, even if it is within its bound."""

FAILING, PASSING, LARGER, OTHER = "newly failing", "newly passing", "error grown", "other status"
GONE, NEW = "no longer there", "not there before"
KINDS = (FAILING, LARGER, GONE, OTHER, PASSING, NEW)


Row = tuple[str, str, str]


@dataclass(frozen=True)
class Change:
    """One result that is no longer what it was; case is a training run's title in training."""

    kind: str
    implementation: str
    device: str
    dtype: str
    case: str
    detail: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def changes(new: dict[str, Any], old: dict[str, Any]) -> list[Change]:
    """Every change from one verdict.json to another, the worst kind first.

    A row of the new verdict that the old one has on another device only is held against that one.
    """
    found = []
    for part, dtype, case in (("results", "dtype", "case"), ("training", "numerics", "title")):
        now, before = _by_row(new[part], dtype, case), _by_row(old[part], dtype, case)
        matched = {row: _counterpart(row, set(now), set(before)) for row in now}
        for row, cases in now.items():
            earlier = before.get(matched[row] or row, {})
            for name, result in cases.items():
                found += _change(row, name, result, earlier.get(name))
        seen = {(matched[row], name) for row, cases in now.items() for name in cases}
        for row, cases in before.items():
            gone = [name for name in cases if (row, name) not in seen]
            found += [Change(GONE, *row, name, f"was {cases[name]['status']}") for name in gone]
    return sorted(found, key=lambda c: (KINDS.index(c.kind), c.implementation, c.dtype, c.case))


def _by_row(results: list[dict[str, Any]], dtype: str, case: str) -> dict[Row, dict[str, Any]]:
    rows: dict[Row, dict[str, Any]] = {}
    for result in results:
        row = (result["implementation"], result["device"], result[dtype])
        rows.setdefault(row, {})[result[case]] = result
    return rows


def _counterpart(row: Row, now: set[Row], before: set[Row]) -> Row | None:
    """The row itself; or the only one that differs in nothing but the device, if that row is not
    there any more and so has no other counterpart."""
    if row in before:
        return row
    alike = [r for r in before - now if (r[0], r[2]) == (row[0], row[2])]
    return alike[0] if len(alike) == 1 else None


def _change(row: Row, name: str, new: dict[str, Any], old: dict[str, Any] | None) -> list[Change]:
    status = new["status"]
    if old is None:
        kind = FAILING if status in WRONG else NEW
        return [Change(kind, *row, name, f"{status}; not there before")]
    if status != old["status"]:
        kind = FAILING if status in WRONG else PASSING if status == PASS else OTHER
        why = f": {new['reason']}" if new["reason"] else ""
        return [Change(kind, *row, name, f"was {old['status']}, is {status}{why}")]
    grown = []
    for rung, found in new.get("rungs", {}).items():
        ratio, before = found["ratio"], old["rungs"].get(rung, {}).get("ratio")
        if ratio is None or before is None:
            continue  # exact rungs have no noise floor; a NaN fails, which is a status
        times = growth(ratio, before)
        if times > GROWN:
            grown.append((times, f"{rung}: {before:.2g}× → {ratio:.2g}× the noise floor"))
    return [Change(LARGER, *row, name, max(grown)[1])] if grown else []


def versions(new: dict[str, Any], old: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """What the passports say that changed: backend, field, before and now."""
    found = []
    before = {record["backend"]: record for record in old["records"]}
    for record in new["records"]:
        earlier = before.get(record["backend"])
        if earlier is None:
            continue
        own, other = (r["passport"] | {"recorded on": r["device"]} for r in (record, earlier))
        for field in sorted({*own, *other}):
            if own.get(field) != other.get(field):
                said = (str(other.get(field, "–")), str(own.get(field, "–")))
                found.append((record["backend"], field, *said))
    if new["suite"] != old["suite"]:
        found.insert(0, ("suite", "version", old["suite"], new["suite"]))
    return found
