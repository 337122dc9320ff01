"""The child's side of a difference on the lattice: which step it was, and what was computed there.

When an epoch's digest is not the expected one, the epoch is trained again, beside the NumPy
reference and step by step. The first step after which parameters or carried state differ
is the one; what this implementation makes of it, starting from the common parameters and state, is
written down rung by rung like the answer to a case, and judged like one (judge/lattice.py).
"""

import json
from pathlib import Path
from typing import Any

from backends import registry
from common.lattice import digest, to_lattice
from common.parameters import Arrays, zero_state
from common.questions import Question
from common.weights import write_arrays
from conformance.records.difference import arrays_of, replay
from conformance.worker.ladder import answer
from conformance.worker.training import Trainee, Training


class Locating(Training):
    """Training that can also say where it parts from what is expected."""

    def locate(self, request: dict[str, Any]) -> dict[str, Any]:
        return locate(self.trainee, request["expected"], Path(request["path"]))


def locate(trainee: Trainee, expected: list[str], path: Path) -> dict[str, Any]:
    """Find the step of the last epoch at which this implementation leaves the reference.

    Writes the evidence to ``path`` and leaves the trainee at the end of that epoch. ``step`` is 0
    if no step differs when the epoch is trained again.
    """
    epoch = len(trainee.rows)
    trainee.load()
    while len(trainee.rows) < epoch - 1:
        trainee.epoch()
    found = _first_difference(trainee, expected[epoch - 1])
    if found and trainee.workers.rank == 0:
        evidence, about = found
        write_arrays(path, evidence, {"about": json.dumps(about | {"epoch": epoch})})
    trainee.load()
    while len(trainee.rows) < epoch:
        trainee.epoch()
    return {"epoch": epoch, "step": found[1]["step"] if found else 0}


def _first_difference(trainee: Trainee, expected: str) -> tuple[Arrays, dict[str, Any]] | None:
    spec, recipe = trainee.spec, trainee.recipe
    backend = registry.load("numpy").implementation("equations", "cpu", "float64")
    reference = backend.model(spec, trainee.trainer.parameters())
    zero = zero_state(spec, recipe.n, "float64")
    beside = reference.trainer(recipe, zero)
    found, state = None, zero
    # The reference trains on whole minibatches, whatever share of them this worker has.
    minibatches = next(trainee.epochs)
    shares = trainee.batches(minibatches)
    for k, (whole, share) in enumerate(zip(minibatches, shares, strict=True), start=1):
        X, _, *more = whole
        if k == 1 or recipe.order == "random":
            state = zero
            beside.start(state)
        before = reference.parameters()
        right = to_lattice(reference.outputs(X, state, *more)[1])
        beside.step(*whole)
        if found is None:
            own = to_lattice(trainee.model.outputs(X, state, *more)[1])
            trainee.trainer.step(*share)
            after = trainee.trainer.parameters()
            if digest(after) != digest(reference.parameters()) or digest(own) != digest(right):
                found = _evidence(trainee, before, state, whole), after, own, k
        state = right
    if found is None:
        return None
    arrays, after, own, step = found
    arrays |= {f"after/{name}": array for name, array in after.items()}
    arrays |= {f"state after/{part}": array for part, array in own.items()}
    agrees = digest(reference.parameters()) == expected
    about = {"spec": spec.to_json(), "recipe": recipe.to_json(), "step": step}
    return arrays, about | {"the reference ends the epoch as expected": agrees}


def _evidence(trainee: Trainee, before: Arrays, state: Arrays, question: Question) -> Arrays:
    """The step's material, and the implementation's answers to it."""
    arrays = {f"before/{name}": array for name, array in before.items()}
    arrays |= {f"state before/{part}": array for part, array in state.items()}
    arrays |= arrays_of(question)
    case, numbers = replay(trainee.spec, trainee.recipe, before, state, question)
    answers = answer(trainee.implementation, case, numbers)
    return arrays | {f"answers/{name}": array for name, array in answers.items()}
