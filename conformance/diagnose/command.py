"""Which conventions does somebody's model follow? ``python -m conformance diagnose``.

Given are a file with the weights of a network, an input, and the outputs that somebody's code made
of them; or a capture, which holds all three of every layer. First comes what the framework
computes, with the options that were stated; then its other options; then everything that may be
wrong, and pairs of that. If nothing reproduces the outputs, the answer says what was seen, what
comes near, and what to send next.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from rich.markup import escape
from threadpoolctl import threadpool_limits

from common.errors import BadInput
from common.storage.files import write_json
from conformance.closeness.compare import Bound, load_bounds
from conformance.diagnose.answer import Answer, Asked
from conformance.diagnose.captured import Question, captured, wrong_ends
from conformance.diagnose.notes import notes
from conformance.diagnose.precision import precision
from conformance.diagnose.search import pairs, search
from conformance.diagnose.undecided import undecided
from conformance.diagnose.unknown import unknown
from conformance.faults.subject import subjects
from conformance.files.loading import Read, load, words_to_options
from conformance.files.opening import KINDS
from conformance.models.frameworks import Settings, options, settings
from conformance.models.given import STATED, Given, load_given
from conformance.models.layouts import LAYOUTS
from conformance.models.leftovers import heads, normalised
from conformance.models.reading import Loaded
from conformance.models.rounding import ROUNDINGS
from conformance.models.views import readings
from conformance.options import Command, add_reading
from conformance.progress import Progress, results_console


def diagnose(
    asked: Asked, given: Given, usual: Settings, bound: Bound, progress: Progress, command: str = ""
) -> Answer:
    """The whole answer. usual: what the framework computes"""
    loaded = asked.loaded
    network, order = loaded.network, LAYOUTS[asked.layout].order[loaded.network.cell]
    sizes = {sum(half.p for half in network.layers[-1]), network.layers[-1][0].p}
    read = []
    for reading in readings(given, network, usual.axis, asked.layout):
        k = reading.outputs.shape[-1]
        output = list(heads(loaded.left, sizes, k)) if network.output is None else []
        read += subjects(reading, network, usual, output)
    if not read:
        raise BadInput(
            "the file with X", "outputs", expected_shape(given, loaded), given.outputs.shape
        )
    normal = normalised(loaded.left, network, order)
    found = search(read, asked.layout, asked.stated, bound, progress, loaded.left, normal)
    answer = Answer(asked, found, command=command)
    if not found.matches:
        likely = precision(found, asked.precise)
        if likely and likely.sure:
            answer.likely, answer.verdict = likely, "precision"
            if likely.name == asked.precise and not likely.group:
                answer.verdict = "all right in this precision"
        else:
            found.matches = pairs(found, bound)
            answer.likely = likely
    if found.matches:
        answer.likely = None
        first = found.matches[0]
        if first.right:
            others = [m for m in found.matches[1:] if m.subject is first.subject]
            answer.undecided = undecided(first, others)
            answer.verdict = "undecided" if answer.undecided.too_little else "all right"
        else:
            answer.verdict = "another option" if first.another_option else "wrong"
    elif answer.verdict == "unknown":
        answer.unknown = unknown(found, bound)
    answer.notes = notes(answer, given)
    return answer


def expected_shape(given: Given, loaded: Loaded) -> str:
    network = loaded.network
    wide = [sum(half.p for half in network.layers[-1])]
    wide += [network.layers[-1][0].p] if network.directions == 2 else []
    wide = [network.output[1].size] if network.output is not None else wide
    shapes = " or ".join(str((*given.X.shape[:2], k)) for k in wide)
    left = [name for name, array in loaded.left.items() if array.ndim == 2]
    if left and network.output is None:
        shapes += f" (no output layer of that size; {', '.join(left[:3])} are not used)"
    return f"shape {shapes}, as X has; (n, {wide[0]}) of the last step; or the final states"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("capture", type=Path, nargs="?", metavar="FILE",
        help="what backends/*/capture.py wrote of a live model; it needs no option")  # fmt: skip
    add("--weights", type=Path, metavar="FILE", help=f"your network's file: {KINDS}")
    add_reading(parser)
    add("--io", type=Path, metavar="FILE", help="X, outputs, perhaps H0, C0 and lengths")
    add("--dtype", choices=("float32", "float64", *list(ROUNDINGS)[1:]),
        help="the precision in which the outputs were made; default: their own")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write what was found")


def run_diagnose(options: argparse.Namespace) -> int:
    if (options.capture is None) == (options.weights is None and options.io is None):
        raise BadInput("diagnose", "", "a capture, or --weights and --io", "both or neither")
    if options.capture is not None:
        questions = list(captured(options))
    elif options.weights is None or options.io is None:
        raise BadInput("diagnose", "", "--weights and --io", "one of them")
    else:
        questions = [Question(*given(options))]
    answers = [answered(question, options) for question in questions]
    code = max(answer.code for answer in answers)
    if options.json:
        found = [answer.to_json() for answer in answers]
        write_json(options.json, found[0] if options.capture is None else {"layers": found})
    return code


def given(options: argparse.Namespace) -> tuple[Read, Given, str]:
    """A file of weights, X and outputs, and the precision of these, if it was stated."""
    said = words_to_options(options.option)
    through = said.pop("behind", None)
    if through is not None and through not in STATED:
        raise BadInput("--option", "behind", ", ".join(STATED), through)
    read = load(options.weights, options.layout, said, options.prefix)
    found = load_given(options.io, read.loaded.network, read.loaded.left)
    found = replace(found, behind=None if through is None else STATED[through])
    return read, found, options.dtype or ""


def answered(question: Question, options: argparse.Namespace) -> Answer:
    """The answer to one question, which is printed."""
    read, found, dtype = question.read, question.given, question.dtype
    layout, loaded = read.layout, read.loaded
    path = options.capture or options.weights
    usual = settings(layout, loaded.network, read.stated, path)
    width = dtype if dtype in ("float32", "float64") else None
    width = width or ("float64" if found.dtype == "float64" and not dtype else "float32")
    bound = Bound(load_bounds()["cpu"][width]["outputs"].error)
    asked = Asked(layout, read.stated, loaded, bound.error, dtype, read.shown)
    # One thread: thousands of small products, on machines that are busy with others.
    with threadpool_limits(1):
        answer = diagnose(
            asked, found, usual, bound, Progress(options.quiet), next_command(options)
        )
        answer.wrong_ends = wrong_ends(answer, question, bound)
    answer.notes = [*read.notes, *answer.notes]
    console = results_console()
    for line in [*question.heading, *answer.lines()]:
        console.print(escape(line), soft_wrap=True)
    return answer


def next_command(options: argparse.Namespace) -> str:
    if options.capture is not None:
        return ""
    layout = ["--layout", options.layout] if options.layout else []
    words = ["python -m conformance diagnose --weights", str(options.weights), *layout,
             "--io NEXT.safetensors"]  # fmt: skip
    words += [f"--option {option}" for option in options.option]
    return " ".join(words)


def options_in_words() -> str:
    """Every layout with the options of its framework."""
    lines = [
        "Layouts, and the options that their frameworks have (the first value is the default):"
    ]
    lines.append(f"all: behind={'|'.join(STATED)}: what the outputs went through")
    for name, layout in LAYOUTS.items():
        known = {}
        for cell in layout.order:
            for option in options(name, cell):
                values = [*filter(None, option.values)] + (["NUMBER"] if option.number else [])
                known.setdefault(option.name, values)
        said = ", ".join(f"{option}={'|'.join(values)}" for option, values in known.items())
        lines.append(f"{name}: {layout.says}" + (f": {said}" if said else ""))
    return "\n".join(lines)


COMMANDS = (
    Command(
        "diagnose",
        "which conventions does a model of yours follow?",
        "Finds out which conventions reproduce the outputs that your code makes of your "
        "weights. The exit code is 0 only if the framework that the layout names would make "
        "them.",
        add_arguments,
        run_diagnose,
        (
            "diagnose captured.safetensors",
            "diagnose --weights mine.keras --io io.safetensors",
            "diagnose --weights mine.safetensors --layout keras --io io.safetensors",
            "diagnose --weights mine.safetensors --layout pytorch --io io.safetensors "
            "--option batch_first=True",
        ),
        options_in_words(),
    ),
)
