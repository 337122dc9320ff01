"""What the benchmark found, kept in a file, and the README's table of it."""

import dataclasses
import statistics
from pathlib import Path
from typing import Any

from backends import registry
from common.errors import BadInput
from common.storage.files import write_json
from common.storage.pages import replace_part
from common.storage.reading import is_object, read_json
from conformance.studies import bench

HEAD = (
    "layers against the bare framework",
    *(cell.upper() for cell in bench.SPECS),
    *(f"{cell.upper()} both ways" for cell in bench.BOTH_WAYS),
    "training",
    "D2L's loop against ours",
    "lattice against float64",
)
COLUMNS = (
    *bench.SPECS,
    *(f"{cell} both ways" for cell in bench.BOTH_WAYS),
    bench.TRAINING,
    bench.D2L_LOOP,
    bench.LATTICE,
)


def keep(path: Path, backend: str, races: list[bench.Race]) -> None:
    """Put what was measured of a backend into the file, in the place of what was there of it."""
    there = read_json(path) if path.exists() else {}
    if not is_object(there):
        raise BadInput(path, "", "an object, a backend each", repr(there)[:40])
    version = registry.load(backend).passport("cpu")["version"]
    there[backend] = {"version": version, "races": [plain(race) for race in races]}
    write_json(path, dict(sorted(there.items())))


def plain(race: bench.Race) -> dict[str, Any]:
    """As JSON: the ratios of the rounds to a thousandth, and no speeds, which travel badly."""
    own = {name: [round(r, 3) for r in getattr(race, name)] for name in ("ratios", "cpu")}
    return {name: getattr(race, name) for name in ("about", "first", "second", "wanted")} | own


def update_page(page: Path, path: Path) -> None:
    """Replace what stands between the markers of a page by the table of a file."""
    replace_part(page, "bench", markdown(read_json(path)))


def markdown(made: dict[str, Any]) -> str:
    """A row for every framework, and a sentence on NumPy's two directions."""
    ratios = {
        backend: {race["about"]: statistics.median(race["cpu"]) for race in about["races"]}
        for backend, about in made.items()
    }
    rows = [HEAD, ["---"] * len(HEAD)]
    for backend, found in ratios.items():
        if bench.TRAINING in found:
            name = f"{backend} {made[backend]['version']}"
            rows.append([name, *(f"{found[c]:.2f}" if c in found else "–" for c in COLUMNS)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + of_numpy(made.get("numpy", {}))


def of_numpy(made: dict[str, Any]) -> str:
    """What its second direction costs, beside what it multiplies."""
    found = {race["about"]: race for race in made.get("races", [])}
    asked = [found[about] for L in (1, 2) if (about := f"both ways, L = {L}") in found]
    if len(asked) < 2:
        return ""
    clock, cpu = (
        [f"{statistics.median(race[which]):.2f}" for race in asked] for which in ("ratios", "cpu")
    )
    return (
        f"\nNumPy's LSTM takes {clock[0]} times as long by the clock in both directions as in one,"
        f" {clock[1]} with L = 2, and {cpu[0]} and {cpu[1]} times the processor seconds; it has"
        f" {more(1):.2f} and {more(2):.2f} times the products.\n"
    )


def more(L: int) -> float:
    """How many times as many products two directions of L layers have as one."""
    both, one = (dataclasses.replace(of["lstm"], L=L) for of in (bench.BOTH_WAYS, bench.SPECS))
    return bench.products(both) / bench.products(one)
