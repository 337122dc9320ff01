"""``python -m conformance compare``: cells and frameworks, or texts, side by side.

The exercises of D2L's chapter on deep RNNs: train cells of every kind with every framework, and
compare perplexity and speed (``--text``, comparison_cells.py); train on one author, on another and
on all of them, and see what each model makes of each author (``--texts``, comparison_texts.py).
"""

import argparse
import math
from pathlib import Path

from backends.registry import MODULES, check_name
from common.corpus import MAX_TOKENS
from common.errors import BadInput
from common.recipe import RECIPES
from common.spec import CELLS, RESETS
from conformance.comparison_cells import compare_cells
from conformance.comparison_runs import PASSED_ON
from conformance.comparison_texts import compare_texts
from conformance.run import NUMERICS

TARGET = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cells", nargs="+", choices=CELLS, help="default: all, or lstm with --texts")
    add("--backends", nargs="+", default=["numpy"], metavar="NAME", help=", ".join(MODULES))
    add("--recipe", choices=RECIPES, default="quick")
    add("--numerics", choices=NUMERICS, default="float32")
    add("--reset", choices=RESETS, default="after", help="of the GRU")
    add("--device", choices=("cpu", "gpu"), default="cpu")
    texts = parser.add_mutually_exclusive_group()
    texts.add_argument("--text", nargs="+", metavar="TEXT", help="all are one text to train on")
    texts.add_argument(
        "--texts",
        nargs="+",
        metavar="TEXT",
        help="train on each and on all, evaluate on each; wells=a.txt,b.txt is two files as one",
    )
    add("--max-tokens", type=int, default=MAX_TOKENS, metavar="N", help="of every file; 0: all")
    add("--held-out", type=float, default=0.1, metavar="SHARE", help="of every file, from its end")
    for name, kind in PASSED_ON.items():
        add(name, type=kind, metavar="VALUE", help="as in train")
    add("--target", type=float, default=TARGET, metavar="PERPLEXITY", help="default: %(default)s")
    add(
        "--python",
        nargs="+",
        default=[],
        metavar="BACKEND=PATH",
        help="default: this one, or that of .tox/BACKEND, whichever has the framework",
    )
    add("--out", type=Path, default=Path("results"), metavar="FOLDER")
    add("--plot", type=Path, metavar="FILE", help="write a picture (SVG)")
    add("--json", type=Path, metavar="FILE", help="write the numbers")
    add("--fresh", action="store_true", help="repeat runs that are finished")


def run_compare(options: argparse.Namespace) -> int:
    """Train what is not trained yet, then show, draw and write the comparison."""
    for backend in options.backends:
        check_name(backend)
    if not 1 < options.target < math.inf:
        raise BadInput("--target", "", "a perplexity above 1", options.target)
    return compare_texts(options) if options.texts else compare_cells(options)
