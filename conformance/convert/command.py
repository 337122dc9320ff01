"""``python -m conformance convert`` and ``verify``."""

import argparse
import os
import shlex
import tempfile
from pathlib import Path
from typing import Any

from rich.markup import escape

from common.errors import EXIT_FAIL, EXIT_PASS, BadInput, printable
from common.storage.files import make_folder, write_atomically, write_json, write_text
from common.storage.reading import check_file
from common.storage.sums import sha256_of
from common.weights import LARGEST_FILE
from conformance.convert.certificate import (
    INPUTS,
    certify,
    changed,
    differences,
    load_certificate,
    read,
)
from conformance.convert.page import page
from conformance.convert.target import DTYPES
from conformance.convert.targets import TARGETS
from conformance.convert.values import dtype_of, values
from conformance.files.loading import words_to_options
from conformance.files.opening import KINDS, found_at
from conformance.options import Command, add_reading, program
from conformance.progress import results_console


def add_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", type=Path, metavar="IN", help=f"your network's file: the suite's, or {KINDS}")
    add_reading(parser)
    add("--to", choices=tuple(TARGETS), required=True, help="whose file it becomes")
    ends = ", ".join(f"{target.name} *{target.end}" for target in TARGETS.values())
    add("--out", type=Path, required=True, metavar="FILE", help=f"what is written ({ends})")
    add(
        "--measure",
        action="store_true",
        help="have the new framework, which must be in this environment, compute the file as well",
    )
    add("--dtype", choices=DTYPES,
        help="of the written numbers; default: the smaller that holds every matrix")  # fmt: skip


def run_convert(options: argparse.Namespace) -> int:
    source, out, goal = options.source, options.out, TARGETS[options.to]
    if not out.name.endswith(goal.end) or out.name == goal.end:
        raise BadInput("--out", "", f"a name that ends in {goal.end}", out.name)
    if found_at(source).resolve() == out.resolve():
        raise BadInput("--out", "", "another file than IN", out)
    stated = words_to_options(options.option)
    original = read(source, options.layout, stated, options.prefix)
    spec, params = original.spec, original.params
    dtype = options.dtype or (dtype_of(params) if goal.layout else "float64")
    goal.check(spec, params, dtype, source)
    asked = {
        "source": source.name, "target": out.name, "to": goal.name, "dtype": dtype,
        "layout": options.layout, "options": stated, "prefixes": options.prefix, "inputs": INPUTS,
    }  # fmt: skip
    make_folder(out.parent)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        made = Path(folder) / out.name
        goal.written(made, values(spec, params, goal, dtype, original.bare))
        # Only what was read again and found to be the same network takes its place.
        certificate = certify(asked, source, made, original, options.measure)
        check(certificate["found"], source)
        write_atomically(out, lambda temporary: os.replace(made, temporary))
    path = beside(out, ".json")
    write_json(path, certificate)
    command = verification(path, source, out)
    write_text(beside(out, ".html"), page(certificate, command))
    show(certificate, out, command)
    return EXIT_PASS if near(certificate) else EXIT_FAIL


def near(certificate: dict[str, Any]) -> bool:
    """Whether the framework computes the file within its bound, as far as that was measured."""
    found = certificate.get("measured")
    return found is None or found["error"] <= found["bound"]


def itself(certificate: dict[str, Any]) -> list[str]:
    """What was measured, in words."""
    if (found := certificate.get("measured")) is None:
        return []
    said = f"{found['package']} {found['version']} computes it within {found['error']:.2g}"
    above = "" if near(certificate) else "FAIL: "
    return [f"{above}{said} of the equations; the bound is {found['bound']:g}"]


def check(found: dict[str, Any], source: Path) -> None:
    """BadInput if rounding made another network of it. What is not what was written is a fault."""
    if not found["weights"]["same"]:
        raise RuntimeError(f"what was written of {source} is read as another network")
    error, bound = found["outputs"]["error"], found["outputs"]["bound"]
    if not error <= bound:
        expected = f"a network whose outputs rounding moves by {bound:g} at most (--dtype float64)"
        raise BadInput(source, "", expected, f"{error:.2g}")


def beside(out: Path, end: str) -> Path:
    return out.with_name(f"{out.name}.certificate{end}")


def verification(path: Path, source: Path, out: Path) -> str:
    """The command that checks a certificate: files that lie beside it need not be named."""
    words = ["verify", str(path)]
    if source.resolve().parent != out.resolve().parent:
        words += ["--source", str(source)]
    return f"{program()} {shlex.join(words)}"


def show(certificate: dict[str, Any], out: Path, command: str) -> None:
    found, console = certificate["found"], results_console()
    weights, outputs = found["weights"], found["outputs"]
    rounded = sum(row["numbers"] for row in weights["rounded"])
    outcome = "the same" if outputs["same"] else f"within {outputs['error']:.1g}"
    lines = [
        f"{out}: read again, {weights['numbers'] - rounded:,} of {weights['numbers']:,} numbers "
        f"are those of {certificate['asked']['source']}, and the equations' outputs {outcome}",
        *itself(certificate),
        *found["said"],
        *found["assumed"],
        "To load it:",
        *(f"    {line.replace('FILE', repr(str(out)))}" for line in found["code"]),
        f"To check it later: {command}",
    ]
    for line in lines:
        console.print(escape(printable(line)), soft_wrap=True)


def add_verify(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("certificate", type=Path, metavar="CERTIFICATE", help="what convert has written, *.json")
    for side in ("source", "target"):
        about = f"the {side} file (default: the one of its name beside the certificate)"
        add(f"--{side}", type=Path, metavar="FILE", help=about)


def run_verify(options: argparse.Namespace) -> int:
    stored = load_certificate(options.certificate)
    asked, found = stored["asked"], stored["found"]
    paths = {
        side: getattr(options, side) or options.certificate.parent / asked[side]
        for side in ("source", "target")
    }
    wrong = changed(stored)
    for side, path in paths.items():
        check_file(found_at(path), f"the {side} of {options.certificate}", LARGEST_FILE, True)
        if sha256_of(found_at(path)) != found[side]["sha256"]:
            wrong.append(f"{path} is not the {side} file that was certified (its SHA-256)")
    if not wrong:
        again = certify(asked, paths["source"], paths["target"])
        wrong = differences(found, again["found"])
        wrong += [line for line in itself(stored) if not near(stored)]
    console = results_console()
    for line in wrong:
        console.print(escape(printable(f"FAIL: {line}")), soft_wrap=True)
    if not wrong:
        line = f"PASS: {paths['target']} is {paths['source']} for {asked['to']}, as certified"
        console.print(escape(printable(line)), soft_wrap=True)
        for line in itself(stored):
            console.print(escape(printable(f"As it was measured then: {line}")), soft_wrap=True)
    return EXIT_FAIL if wrong else EXIT_PASS


COMMANDS = (
    Command(
        "convert",
        "your network in another framework, with a certificate",
        "Writes a network as another framework loads it, reads that file again, and certifies that "
        "it is the same network: number for number, and by the outputs of the equations.",
        add_convert,
        run_convert,
        (
            "convert mine.keras --to pytorch --out mine.safetensors",
            "convert mine.safetensors --layout pytorch --to onnx --out mine.onnx",
        ),
        quiet=False,
    ),
    Command(
        "verify",
        "is a converted network still what its certificate says?",
        "Reads both files of a conversion again and compares them with its certificate. The exit "
        "code is 0 if all of it holds, 1 if a file or the certificate was changed.",
        add_verify,
        run_verify,
        ("verify mine.onnx.certificate.json",),
        quiet=False,
    ),
)
