"""``python -m conformance.one_gpu``: two frameworks on one device, with what is there.

A machine with a GPU is often lent as it is: with PyTorch and JAX of some version, and nothing may
be installed. This needs those two, NumPy and safetensors; Flax, if it is there, adds jax:layers.
For each framework, in a process of its own, it records every case of the ladder, trains on the
lattice and in float32 with TF32 off and, on a GPU, on, and measures the framework's products of
matrices. The folder is judged elsewhere, beside records made on a CPU:

    python -m conformance judge FOLDER --training
"""

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from backends.registry import check_name
from common.corpus import load_corpus
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput, printable
from common.parameters import GATES
from common.recipe import RECIPES
from common.spec import ModelSpec
from common.storage.files import write_json
from conformance.cases.given import gather
from conformance.cases.table import DTYPES, select
from conformance.gpu.estimate import operations
from conformance.records.training import NUMERICS
from conformance.records.witness import find_witness, load_witnesses
from conformance.run.asked import Run
from conformance.run.child import Child, Died
from conformance.run.ladder import CASE_LIMIT, Request, record
from conformance.run.training import train

SIZE, TIMES = 4096, 20
"""Of the matrices that are multiplied, and how often."""


class Lines:
    """Progress in plain lines: rich may not be there."""

    def say(self, line: str) -> None:
        print(printable(line), file=sys.stderr, flush=True)

    def over(self, what: str, items: Sequence[str]) -> Iterator[str]:
        self.say(f"{what}: {len(items)} cases")
        yield from items


def runs(options: argparse.Namespace, backend: str, implementations: list[str]) -> list[Run]:
    """Every cell, implementation and numerics of one framework."""
    given = gather(load_corpus(options.text), None)
    named, corpus, found = RECIPES[options.recipe], given.corpus, []
    text = given.text() | {"characters": len(corpus.tokens)}
    for cell in options.cells:
        activations = ("tanh",) * named.L if cell == "rnn" else ()
        reset = "after" if cell == "gru" else None
        spec = ModelSpec(cell, corpus.q, named.h, corpus.q, named.L, activations, reset)
        for numerics in options.numerics:
            recipe = dataclasses.replace(named.recipes[cell], lattice=numerics == "lattice")
            witness = find_witness(spec, recipe, text, load_witnesses()) if recipe.lattice else None
            expected = tuple(witness.digests) if witness else ()
            found += [
                Run(
                    backend, options.device, name, numerics, spec, options.recipe, recipe, given,
                    options.out, "time traveller", threads=options.threads, expected=expected,
                )
                for name in implementations
            ]  # fmt: skip
    return found


def measure(child: Child, numerics: list[str], device: str, n: int) -> dict[str, float]:
    """By dtype, operations per second of the framework's own products."""
    rates = {}
    for dtype in dict.fromkeys(NUMERICS[name] for name in numerics):
        question = {"do": "product_rate", "device": device, "dtype": dtype, "n": n, "times": TIMES}
        answer = child.ask(question, CASE_LIMIT)
        if "rate" in answer:
            rates[dtype] = answer["rate"]
    return rates


def one(options: argparse.Namespace, backend: str, lines: Lines) -> tuple[list[dict], bool]:
    """Everything for one framework: a row for each run, and whether nothing crashed."""
    given, sound = gather(load_corpus(options.text), None), True
    if options.cases:
        names = select(options.cases, 0, 0, False)
        request = Request(
            backend, options.device, list(DTYPES), names, given, options.out,
            limit=CASE_LIMIT, threads=options.threads,
        )  # fmt: skip
        made = record(request, lines)
        entries = [e for d in made["entries"].values() for c in d.values() for e in c.values()]
        sound = all(entry["status"] != "crashed" for entry in entries)
        lines.say(f"{backend}: {len(entries)} case results in {made['seconds']} s")
    folder = options.out / "training" / f"{backend}-{options.device}"
    folder.mkdir(parents=True, exist_ok=True)
    dtypes = list(dict.fromkeys(NUMERICS[name] for name in options.numerics))
    log = folder / "worker.log"
    child, rows = Child(backend, options.device, dtypes, options.threads, None, log), []
    try:
        greeting = child.start()
        rates = measure(child, options.numerics, options.device, options.size)
        for run in runs(options, backend, greeting["implementations"]):
            made = train(run, child, lambda row, number: None)
            row = {"run": f"{backend}:{run.name}", "status": made["status"]}
            row |= describe(run, made, rates.get(NUMERICS[run.numerics]))
            lines.say(", ".join(f"{key} {value}" for key, value in row.items()))
            rows.append(row)
            sound = sound and made["status"] in ("finished", "unsupported")
    finally:
        child.stop()
    return rows, sound


def describe(run: Run, made: dict[str, Any], rate: float | None) -> dict[str, Any]:
    """Tokens per second and perplexity, digests, and the share of the product's rate."""
    if made["status"] != "finished":
        return {"reason": made.get("reason", "")}
    epochs = made["epochs"]
    speed = statistics.median(row["tokens"] / row["seconds"] for row in epochs)
    found: dict[str, Any] = {"tokens/s": round(speed)}
    if rate:
        found["operations/s of products"] = f"{rate:.3g}"
        found["share of them"] = f"{speed * operations(run.spec) / rate:.2%}"
    if run.expected:
        pairs = zip((row["digest"] for row in epochs), run.expected, strict=False)
        agreed = sum(got == wanted for got, wanted in pairs)
        found["digests as the witness's"] = f"{agreed} of {len(run.expected)}"
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m conformance.one_gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--device", choices=("gpu", "cpu"), default="gpu")
    add("--backends", nargs="+", default=["pytorch", "jax"], metavar="NAME")
    add("--cells", nargs="+", choices=tuple(GATES), default=["lstm"])
    add("--recipe", choices=tuple(RECIPES), default="d2l")
    add("--numerics", nargs="+", choices=tuple(NUMERICS), help="default: lattice float32 tf32")
    add("--text", default="timemachine", help="a file, 'timemachine' or 'sample'")
    add("--cases", nargs="*", default=["*"], help="of the ladder; none: training only")
    add("--size", type=int, default=SIZE, help="of the matrices that are multiplied")
    add("--threads", type=int, default=1)
    add("--out", type=Path, default=Path("results"))
    options = parser.parse_args(arguments)
    if options.numerics is None:
        tf32 = ["tf32"] if options.device == "gpu" else []
        options.numerics = ["lattice", "float32", *tf32]
    lines, rows, sound = Lines(), [], True
    try:
        for backend in options.backends:
            check_name(backend)
        for backend in options.backends:
            try:
                more, fine = one(options, backend, lines)
            except Died as death:  # the other framework is still of interest
                lines.say(f"{backend}: {death}")
                more, fine = [], False
            rows, sound = rows + more, sound and fine
    except BadInput as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    write_json(options.out / "training" / f"one-{options.device}.json", {"runs": rows})
    return EXIT_PASS if sound else EXIT_FAIL


if __name__ == "__main__":
    sys.exit(main())
