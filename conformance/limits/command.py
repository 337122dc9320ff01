"""``python -m conformance shrink``: the smallest case that a backend fails."""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backends.registry import MODULES, check_name
from common.errors import EXIT_FAIL, EXIT_PASS, printable
from conformance.cases.command import add_which, chosen, gathered
from conformance.cases.given import save_given
from conformance.cases.points import Point, edges_of, nearest_point
from conformance.cases.table import DTYPES, find_case
from conformance.closeness.compare import load_bounds
from conformance.judge.ladder import Standards
from conformance.judge.required import load_matrix
from conformance.limits.shrink import Asker, fails, shrink
from conformance.options import Command, program, seconds
from conformance.progress import Progress, results_console
from conformance.run.child import Child
from conformance.run.ladder import CASE_LIMIT
from conformance.verdict.deviations import load_deviations


@dataclass(frozen=True)
class Start:
    """A case that an implementation fails, and the point to begin at; None if there is none."""

    implementation: str
    dtype: str
    case: str
    point: Point | None


def add_shrink(parser: argparse.ArgumentParser) -> None:
    add_which(parser)
    add = parser.add_argument
    add("--backend", required=True, metavar="NAME", help=", ".join(MODULES))
    add("--device", choices=("cpu", "gpu"), default="cpu", help="where it computes")
    add("--limit", type=seconds, default=CASE_LIMIT, metavar="SECONDS", help="per case")


def run_shrink(options: argparse.Namespace) -> int:
    """Exit code 1 if an implementation fails a case that is asked, 0 if none does."""
    check_name(options.backend)
    given = gathered(options)
    names = chosen(options, given.weights is not None)
    dtypes = [dtype for dtype in DTYPES if dtype in options.dtype]
    progress, console = Progress(options.quiet), results_console()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stored = folder / "given.safetensors"
        save_given(stored, given)
        log = folder / "worker.log"
        child = Child(options.backend, options.device, dtypes, 1, stored, log)
        standards = Standards(load_bounds(), load_deviations(), load_matrix())
        which = child, options.backend, options.device, given, folder
        asker = Asker(*which, standards, options.limit)
        try:
            implementations = child.greet()["implementations"]
            for start in first_failures(asker, implementations, dtypes, names, progress):
                failed = True
                for line in found(asker, start):
                    console.print(printable(line), markup=False, soft_wrap=True)
        finally:
            child.stop()
    if not failed:
        console.print(f"{options.backend}: fails none of {len(names)} cases", markup=False)
    return EXIT_FAIL if failed else EXIT_PASS


def first_failures(
    asker: Asker,
    implementations: list[str],
    dtypes: list[str],
    names: list[str],
    progress: Progress,
) -> Iterator[Start]:
    """The smallest failing case of every implementation in every dtype; of those that stand at a
    point, if any do."""
    points = {name: nearest_point(find_case(name, asker.given)) for name in names}
    sizes = {name: find_case(name, asker.given).size for name in names}
    order = sorted(names, key=lambda name: (points[name] is None, sizes[name]))
    for implementation in implementations:
        for dtype in dtypes:
            for name in progress.over(f"{asker.backend}:{implementation} {dtype}", order):
                if fails(asker.judged(implementation, dtype, name)):
                    yield Start(implementation, dtype, name, points[name])
                    break


def found(asker: Asker, start: Start) -> Iterator[str]:
    """What is said of one: the smallest case, where it is, why it fails, how to see it again."""
    row = start.implementation, start.dtype
    yield f"{asker.backend}:{start.implementation} {start.dtype} fails {start.case}"
    name = start.case
    if start.point is None:
        yield "  which has no sizes to be made smaller: mixed layers, weights, or a NaN in it"
    elif (shrunk := shrink(asker, *row, start.point)) is None:
        yield f"  but not {start.point.name}, which has its sizes and other numbers"
    else:
        name = shrunk.point.name
        beyond = ", ".join(f"{d} = {value}" for d, value in edges_of(shrunk.point).items())
        yield f"  the smallest case that it fails is {name}"
        yield f"  it passes with any of these one less: {beyond or 'none, there is no smaller one'}"
        values = ", ".join(f"{part} {value:.6g}" for part, value in shrunk.largest.items())
        yield f"  the largest values there: {values}"
        yield f"  {shrunk.why}" if shrunk.why else "  it crashes"
    again = f"record --backend {asker.backend} --cases {name} --dtype {start.dtype}"
    yield f"  again: {program()} {again}"


COMMANDS = (
    Command(
        "shrink",
        "the smallest case that a backend fails",
        "Asks one backend cases, and makes the smallest one that it fails smaller, by sizes and "
        "magnitudes, as long as it still fails it.",
        add_shrink,
        run_shrink,
        (
            "shrink --backend pytorch --cases steps-lstm sizes-lstm saturated-lstm",
            "shrink --backend mxnet --random 100 --regimes",
        ),
    ),
)
