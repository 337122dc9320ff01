"""``python -m conformance witness``: store what frameworks agree on."""

import argparse
from pathlib import Path

from common.errors import EXIT_PASS, BadInput
from common.storage.files import check_folder, write_json
from common.storage.sums import write_sums
from conformance.options import Command
from conformance.progress import Progress
from conformance.records.training import load_runs
from conformance.records.witness import WITNESSES, confirm, make_witnesses


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, nargs="+", metavar="FOLDER", help="results folders")
    parser.add_argument(
        "--out", type=Path, default=WITNESSES, metavar="FOLDER", help="default: the suite's own"
    )
    about = "add the runs to the witnesses in --out that they agree with"
    parser.add_argument("--confirm", action="store_true", help=about)


def run_witness(options: argparse.Namespace) -> int:
    """Store a witness for every question that the runs in the results folders answer alike, or
    add the runs to the stored ones."""
    for folder in options.results:
        check_folder(folder)
    runs = [run for folder in options.results for run in load_runs(folder)]
    made = confirm(runs, options.out) if options.confirm else make_witnesses(runs)
    if not made:
        about = " that a stored witness is about" if options.confirm else ""
        expected = f"finished runs with --numerics lattice{about}"
        raise BadInput(options.results[0], "", expected, "none")
    for name, witness in made.items():
        path = options.out / f"{name}.json"
        write_json(path, witness)
        who = ", ".join(found["implementation"] for found in witness["confirmed"])
        Progress(options.quiet).say(f"{path}: {len(witness['epochs'])} epochs, confirmed by {who}")
    write_sums(options.out)  # the judge refuses stored witnesses that are not in this list
    return EXIT_PASS


COMMANDS = (
    Command(
        "witness",
        "store what frameworks agree on",
        "Stores the digests of training runs on the lattice that at least two frameworks agree "
        "on; the judge holds later runs against them.",
        add_arguments,
        run_witness,
        ("witness results --out witness", "witness results --confirm"),
    ),
)
