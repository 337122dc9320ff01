"""What was found on a GPU, as tables of a page: all of it out of evidence.json."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.storage.files import read_json
from common.storage.pages import replace_part
from common.storage.reading import LARGEST_JSON, read_text
from conformance.cases.halves import DTYPES, HALVES
from conformance.gpu.evidence import EVIDENCE

SHORT, WHOLE = "gpu", "gpu: all"
"""The markers between which a page has the first table, or all of them."""


def update_page(path: Path, folder: Path) -> None:
    """Replace what stands between the markers of a page by the tables of a folder of evidence."""
    made, text = read_json(folder / EVIDENCE), read_text(path, "a Markdown file", LARGEST_JSON)
    parts = {SHORT: short, WHOLE: whole}
    there = [marker for marker in parts if f"<!-- {marker} -->" in text]
    if not there:
        raise BadInput(path, "", f"the marker <!-- {SHORT} --> or <!-- {WHOLE} -->", "none")
    for marker in there:
        replace_part(path, marker, f"{parts[marker](made)}\n")


def short(made: dict[str, Any]) -> str:
    """The ladder and the digests, a row for every implementation."""
    rows = {}
    for verdict in (v for kind in ("ladder", "large") for v in made["verdicts"][kind].values()):
        for name, counts in verdict["rows"].items():
            implementation, dtype = name.split()
            rows.setdefault(implementation, {}).setdefault(dtype, []).append(counts)
    head = ("on a GPU", *DTYPES, "worst in float32", "digests of D2L's LSTM", "quick", "wider")
    cells = []
    for name, dtypes in sorted(rows.items()):
        cells.append([name, *(passed(dtypes.get(d, [])) for d in DTYPES)])
        cells[-1] += [worst(dtypes.get("float32", [])), *digests(made, name)]
    return "\n\n".join([table(head, cells), grid(made), *failures(made)])


def failures(made: dict[str, Any]) -> list[str]:
    """What failed, a line for each implementation, dtype and way to fail; of large cases, as it was
    judged there."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for kind in ("ladder", "halves", "large"):
        for verdict in made["verdicts"][kind].values():
            for row in verdict["wrong"]:
                key = row["implementation"], row["dtype"], row["status"]
                found.setdefault(key, []).append(row)
    lines = []
    for (implementation, dtype, _), rows in found.items():
        first = min(rows, key=lambda row: (len(row["case"]), row["case"]))
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        why = (first["place"] or first["reason"]).rstrip(":.")
        lines.append(f"✗ {implementation} {dtype} {first['case']}{more}: {why}.")
    return lines


def passed(rows: list[dict[str, Any]]) -> str:
    """How many cases passed, and how many are a declared deviation."""
    good, declared = (sum(row.get(s, 0) for row in rows) for s in ("pass", "declared deviation"))
    bad = sum(row.get(status, 0) for row in rows for status in ("fail", "crashed", "not run"))
    parts = [f"{'✗' if bad else '✓'} {good}/{good + bad}"]
    return ", ".join(parts + [f"{declared} declared"] * bool(declared))


def worst(rows: list[dict[str, Any]]) -> str:
    """The largest multiple of the noise floor."""
    ratios = [v for row in rows for key, v in row.items() if key.endswith(": ratio")]
    return "NaN" if None in ratios else f"{max(ratios):,.1f} floors"


def digests(made: dict[str, Any], implementation: str) -> list[str]:
    """Of how many epochs the digest is the CPU's: in D2L's recipe, in all quick ones, and in those
    of wider stacks."""
    found = {"d2l": [0, 0], "quick": [0, 0], "wider": [0, 0]}
    for name, row in made["found"]["digests"].items():
        who, _, what, _ = name.split()
        if who == implementation:
            counts = found[what.split("-")[0]]
            counts[0] += row["equal"]
            counts[1] += row["epochs"]
    return [f"{equal}/{epochs}" if epochs else "–" for equal, epochs in found.values()]


def grid(made: dict[str, Any]) -> str:
    """The sentence on float64, and of which implementations the elements are that differ."""
    verdicts = [v for kind in ("ladder", "large") for v in made["verdicts"][kind].values()]
    total, differing = (sum(v["grid"][key] for v in verdicts) for key in ("elements", "differing"))
    cards = {rate["passport"]["device"] for rate in made["rates"].values()}
    whose = {
        row["implementation"]
        for verdict in verdicts
        if verdict["grid"]["differing"]
        for row in verdict["wrong"]
        if row["dtype"] == "float64"
    }
    differ = f"{differing:,} of {total:,} elements differ on the grid"
    named = f", all of {' and '.join(sorted(whose))}" if whose else ""
    return f"{', '.join(sorted(cards))}; float64: {differ}{named}."


def whole(made: dict[str, Any]) -> str:
    """All tables, each with its heading."""
    parts = {
        "The ladder and the lattice": short(made),
        "TF32 and half precision": halves(made),
        "Curves": curves(made),
        "D2L's ensemble": members(made),
        "What tanh and the sigmoid cost in the layers": activations(made),
        "Other paths of the layers": modes(made),
        "Speed": speed(made),
    }
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in parts.items() if text)


def halves(made: dict[str, Any]) -> str:
    """By implementation and tier, how many cases passed, and the largest multiple of its floor."""
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for verdict in (v for kind in ("halves", "large") for v in made["verdicts"][kind].values()):
        for name, counts in verdict["rows"].items():
            implementation, tier = name.split()
            if tier in HALVES:
                rows.setdefault(implementation, {}).setdefault(tier, []).append(counts)
    cells = [
        [name, *(f"{passed(tiers[t])}, {worst(tiers[t])}" if t in tiers else "–" for t in HALVES)]
        for name, tiers in sorted(rows.items())
    ]
    return table(("on a GPU", *HALVES), cells) if rows else ""


def curves(made: dict[str, Any]) -> str:
    head = ("run", "the ensemble", "leaves the early envelope", "tokens/s in the run")
    rows = [
        [
            name.replace(" gpu", ""),
            "accepts"
            if row["accepted"]
            else f"rejects: {row['reason'].split(':')[0]}"
            + (f" (declared: {', '.join(row['declared'])})" if row["declared"] else ""),
            f"at {row['leaves']}" if row["leaves"] else "never",
            f"{row['tokens/s']:,}",
        ]
        for name, row in sorted(made["found"]["curves"].items())
        if row["ensemble"]
    ]
    return table(head, rows)


def members(made: dict[str, Any]) -> str:
    found = made["found"].get("members-whole")
    if not found:
        return ""
    head = (
        "members",
        "runs",
        "outside the early envelope",
        "rejected as whole runs",
        "steps above θ",
    )
    rows = [
        [
            *(kind, row["runs"], row["outside early"], row.get("rejected", "–")),
            " to ".join(f"{steps:,}" for steps in row["steps above θ"]),
        ]
        for kind, row in found.items()
        if kind != "ensemble"
    ]
    return table(head, rows)


def activations(made: dict[str, Any]) -> str:
    found = made.get("activations")
    if not found:
        return ""
    head = ("float32", "function", "path", "h", "largest error", "relative", "at")
    rows = [
        [
            *(row["layer"], row["function"], row["path"], row.get("h", "")),
            *(f"{row['error']:.1e}", f"{row['relative']:.1e}", f"{row['at']:.3g}"),
        ]
        for row in found["activations"]["float32"]
        if row.get("T", 1) == 1 and row["path"] != "ATen"
    ]
    return table(head, rows)


def modes(made: dict[str, Any]) -> str:
    head = ("mode", "dtype", "case", "breaks", "outputs", "gradients")
    rows = [
        [
            *(mode, dtype, case, row["broken"] or "nothing"),
            *(f"{row['rungs'][rung]['ratio']:.1f} floors" for rung in ("outputs", "gradients")),
        ]
        for file in made["modes"].values()
        for mode, dtypes in file["modes"].items()
        for dtype, cases in dtypes.items()
        for case, row in cases.items()
        if "rungs" in row
    ]
    return table(head, rows) if rows else ""


def speed(made: dict[str, Any]) -> str:
    head = ("backend", "numerics", "n", "h", "step", "tokens/s", "of the product rate")
    rows = [
        [
            *(name, row["numerics"], f"{row['n']:,}", f"{row['h']:,}", row["way"]),
            *(f"{row['tokens/s']:,.0f}", f"{row['share']:.1%}"),
        ]
        for name, file in made["speed"].items()
        for row in file["rows"]
        if "tokens/s" in row
    ]
    known = [f for file in made["speed"].values() if (f := file.get("literature"))]
    lines = [
        f"The literature's setting (n = {f['n']}, T = {f['T']:,}, {f['h']} units, {f['dtype']}): "
        f"{f['tokens/s']:,.0f} tokens a second, {1000 * f['seconds']:.2f} ms."
        for f in known
        if "tokens/s" in f
    ]
    rates = [
        f"Products of {name}, in 10¹² operations a second: "
        + ", ".join(
            f"{dtype} {rate / 1e12:.0f}" if isinstance(rate, float) else f"{dtype} none"
            for dtype, rate in file["rates"].items()
        )
        + "."
        for name, file in made["rates"].items()
    ]
    return "\n\n".join([table(head, rows), *rates, *lines]) if rows else ""


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [list(head), *(list(map(str, row)) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
