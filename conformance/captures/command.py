"""``python -m conformance capture`` and ``diff``."""

import argparse
from pathlib import Path
from typing import Any

from rich.markup import escape

from backends.registry import check_name
from common.capture import read_capture
from common.errors import EXIT_FAIL, EXIT_PASS
from common.storage.files import write_json
from conformance.captures.live import ask
from conformance.captures.parting import begins, why
from conformance.captures.rungs import RUNGS, Rung, climb
from conformance.captures.side import Side, read_side
from conformance.options import Command
from conformance.progress import results_console


def add_capture(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--backend", required=True, metavar="NAME", help="whose environment this is")
    add("--model", required=True, metavar="MODULE:FUNCTION",
        help="what makes your model: package.module:make_model")  # fmt: skip
    add("--input", type=Path, nargs="+", required=True, metavar="FILE",
        help="what it is called with, .npy")  # fmt: skip
    add("--out", type=Path, required=True, metavar="FILE", help="the capture, .safetensors")


def run_capture(options: argparse.Namespace) -> int:
    check_name(options.backend)
    ask(options.backend, options.model, options.input, options.out)
    layers = read_capture(options.out).layers
    names = ", ".join(f"{layer.name} ({layer.kind})" for layer in layers)
    results_console().print(escape(f"{options.out}: {names}"), soft_wrap=True)
    return EXIT_PASS


def add_diff(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("first", type=Path, metavar="A", help="a capture")
    add("second", type=Path, metavar="B", help="another one, of the same network")
    add("--layers", nargs="+", default=[], metavar="NAME",
        help="which layers of A, from the bottom up; default: all")  # fmt: skip
    add("--with", nargs="+", default=[], metavar="NAME", dest="others",
        help="which layers of B; default: all")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write what was found")


def run_diff(options: argparse.Namespace) -> int:
    a = read_side(options.first, options.layers)
    b = read_side(options.second, options.others)
    rungs = list(climb(a, b))
    failed = next((rung for rung in rungs if rung.failed), None)
    said, reasons = list(lines(a, b, rungs)), []
    outputs = next((rung for rung in rungs if rung.name == "outputs"), None)
    nothing = failed is None and (outputs is None or not outputs.compared)
    if failed is not None:
        reasons = list(why(a, b, failed))
        said += [begins(failed), *(f"why: {reason}" for reason in reasons[:1]), *reasons[1:]]
    elif nothing:
        said.append("FAIL: no outputs were compared: the captures have none of the same kind")
    verdict = "they part" if failed else "nothing compared" if nothing else "they agree"
    passed = verdict == "they agree"
    said.append(f"{'PASS' if passed else 'FAIL'}: {options.first} and {options.second}: {verdict}")
    console = results_console()
    for line in said:
        console.print(escape(line), soft_wrap=True)
    if options.json:
        write_json(options.json, {"verdict": verdict, "rungs": described(rungs), "why": reasons,
                                  "begins": begins(failed) if failed else ""})  # fmt: skip
    return EXIT_PASS if passed else EXIT_FAIL


def lines(a: Side, b: Side, rungs: list[Rung]) -> Any:
    """A line for each side, and for each rung."""
    for letter, side in (("A", a), ("B", b)):
        names = ", ".join(q.layer.name for q in side.questions if q.layer)
        yield f"{letter}: {side.path}: {names} ({side.where})"
    for rung in rungs:
        count, bad = len(rung.compared), len(rung.failed)
        if not count:
            continue
        if bad:
            yield f"{rung.name}: {bad} of {count} tensors differ"
            continue
        worst = max((each.comparison for each in rung.compared), key=lambda c: c.error)
        to = (
            "the same" if worst.error == 0 else f"within {worst.error:.1e}, bound {worst.bound:.1e}"
        )
        yield f"{rung.name}: {count} tensors: {to}"
    for rung in rungs:
        for sentence in dict.fromkeys(rung.alone):
            yield f"Not compared, since only one of them has it: {sentence}."
    left = RUNGS[len(rungs) :]
    if left:
        yield f"Not compared, since what is below differs: {', '.join(left)}."


def described(rungs: list[Rung]) -> dict[str, Any]:
    return {
        rung.name: {
            "tensors": {
                each.comparison.tensor: {"error": finite(each.comparison.error),
                                         "bound": each.comparison.bound,
                                         "problem": each.comparison.problem}
                for each in rung.compared
            },
            "alone": rung.alone,
        }
        for rung in rungs
    }  # fmt: skip


def finite(number: float) -> float | None:
    return number if number == number and abs(number) != float("inf") else None


COMMANDS = (
    Command(
        "capture",
        "write down what a live model of yours does",
        "Makes your model in its framework's environment, calls it once with your input, and "
        "writes its recurrent layers with their weights, options, inputs, outputs and states. In "
        "a script of yours, backends/*/capture.py does the same.",
        add_capture,
        run_capture,
        ("capture --backend pytorch --model package.module:make_model --input x.npy "
         "--out captured.safetensors",),
        quiet=False,
    ),
    Command(
        "diff",
        "where do two captures of one network part?",
        "Compares two captures of the same network, of two frameworks, versions, devices or "
        "precisions: the weights through both mappings, what went in, outputs and states, the "
        "loss, the gradients. The exit code is 0 only if everything that both have agrees.",
        add_diff,
        run_diff,
        ("diff before.safetensors after.safetensors",
         "diff one.safetensors other.safetensors --layers encoder.rnn --with lstm lstm_1"),
        quiet=False,
    ),
)  # fmt: skip
