"""Judge training on the lattice: digests against a witness and against each other.

The first digest that differs names the epoch. What the run wrote down about it
(worker/step_finder.py) is a ladder case from the last common state: the oracle judges it, and says
which rung broke, in which layer, gate and element; or that every rung holds and a few values lay
within rounding of the middle between two lattice points, a straddle.
"""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import BadInput
from common.lattice import to_lattice
from common.parameters import (
    Arrays,
    check_kinds,
    check_parameters,
    parameter_shapes,
    state_shapes,
)
from common.recipe import Recipe
from common.spec import ModelSpec
from common.storage.reading import parse_json
from common.storage.shape import check_shape
from common.weights import read_arrays
from conformance.cases.given import Given
from conformance.closeness.claimed import same_numbers
from conformance.closeness.compare import Bound, compare_on_lattice
from conformance.judge.ladder import compare_all, judging_as
from conformance.judge.reasons import place_of
from conformance.judge.replay import Epoch, FirstEpochs, describe, follow_straddle
from conformance.options import program
from conformance.oracle.truth import answer_to
from conformance.records.difference import (
    DIFFERENCE,
    LENGTHS,
    check_there,
    part,
    question_in,
    replay,
)
from conformance.records.training import TrainingRun, perplexity
from conformance.records.witness import Witness, find_witness
from conformance.verdict.deviations import Deviation, unexcused
from conformance.verdict.outcome import (
    CRASHED,
    DECLARED,
    FAIL,
    NOT_COMPARED,
    PASS,
    STRADDLE,
    UNSUPPORTED,
)
from conformance.verdict.results import CaseResult, TrainingResult

ABOUT = {
    "spec": dict,
    "recipe": dict,
    "epoch": int,
    "step": int,
    "the reference ends the epoch as expected": bool,
}


Standards = tuple[dict[str, dict[str, Bound]], Sequence[Deviation]]
"""The bounds of a device by dtype, and what is declared."""


@dataclass(frozen=True)
class Sound:
    """A finished run in which nothing contradicts anything else, and its result so far."""

    run: TrainingRun
    given: Given
    result: TrainingResult


def judge_trajectories(
    sound: list[Sound],
    witnesses: list[Witness],
    limits: dict[str, dict[str, dict[str, Bound]]],
    deviations: Sequence[Deviation] = (),
) -> None:
    """Fill in the results of runs on the lattice.

    limits: the bounds by device and dtype, for the replay of a step that differs
    deviations: what is declared of a case in float64 excuses the step that differs
    """
    questions: dict[str, list[Sound]] = {}
    for one in sound:
        questions.setdefault(one.run.question(), []).append(one)
    first_epochs = FirstEpochs()
    for same in questions.values():
        run = same[0].run
        witness = find_witness(run.spec, run.recipe, run.data["text"], witnesses)
        for one in same:
            standards = limits[one.run.data["device"]], deviations
            _judge_run(one, same, witness, standards, first_epochs)


def begin(run: TrainingRun) -> TrainingResult:
    """A result with what the run itself tells."""
    rows = run.data["epochs"]
    result = TrainingResult(
        run.implementation, run.device, run.data["numerics"], run.title, epochs=len(rows)
    )
    if run.data["status"] != "finished":
        known = {"unsupported": UNSUPPORTED, "crashed": CRASHED}
        result.status, result.reason = known[run.data["status"]], run.data["reason"]
    if rows:
        result.curve = [perplexity(row) for row in rows]
        result.perplexity = result.curve[-1]
        result.rate = statistics.median(row["tokens"] / row["seconds"] for row in rows)
    result.prediction = (run.data.get("prediction") or dict[str, str]()).get("text", "")
    return result


def _judge_run(
    one: Sound,
    same: list[Sound],
    witness: Witness | None,
    standards: Standards,
    first_epochs: FirstEpochs,
) -> None:
    run, result = one.run, one.result
    first = first_epochs.of(run.spec, run.recipe, one.given.corpus)
    if witness:
        result.against, right = f"witness {witness.name}", witness.digests
    else:
        others = [other.run for other in same if other.run.implementation != run.implementation]
        if not others:
            result.status, result.reason = NOT_COMPARED, "no witness, and nobody else trained it"
            return
        result.against, right = majority([run, *others])
    pairs = list(zip(run.digests, right, strict=False))
    result.agreed = next((e for e, (own, wanted) in enumerate(pairs) if own != wanted), len(pairs))
    if wrong := _wrong_numbers(run, result.agreed, witness, first):
        result.status, result.reason = FAIL, wrong
    elif result.agreed < len(pairs):
        _explain(one, standards)
    elif len(pairs) < len(run.digests):
        result.status = NOT_COMPARED
        result.reason = f"{result.against} ends after {len(pairs)} epochs"
    else:
        result.status = PASS
        if len(pairs) < len(right):
            result.reason = f"{len(pairs)} of the {len(right)} epochs of {result.against}"


def _wrong_numbers(
    run: TrainingRun, agreed: int, witness: Witness | None, first: Epoch | None
) -> str:
    """The first loss or norm that cannot be, where the digests are right: on the lattice they are
    the same for everybody, to rounding."""
    rows = run.data["epochs"]
    if first and run.digests[0] == first.digest:
        for name, wanted in (("losses", first.losses), ("norms", first.norms)):
            if not same_numbers(rows[0][name], wanted):
                return f"epoch 1: the {name} are not those that the oracle trains with"
    elif first and agreed > 0:
        return "epoch 1: the oracle trains to another digest"
    for number, row in enumerate(rows[:agreed], start=1):
        mean = math.fsum(row["losses"]) / len(row["losses"])
        if witness and not same_numbers([mean], [witness.losses[number - 1]]):
            wanted = witness.losses[number - 1]
            return f"epoch {number}: a mean loss of {mean:.9g}, the witness has {wanted:.9g}"
    return ""


def majority(runs: list[TrainingRun]) -> tuple[str, list[str]]:
    """Who is right where there is no witness: epoch by epoch, those stay who have the digest that
    most implementations have; the first of them, by name, speaks for all. However many runs an
    implementation has, it has one vote."""
    left = sorted(runs, key=lambda run: run.implementation)
    for epoch in range(max(len(run.digests) for run in left)):
        there = [run for run in left if epoch < len(run.digests)]
        votes = {(run.implementation, run.digests[epoch]): run.digests[epoch] for run in there}
        common = Counter(votes.values()).most_common(1)[0][0]
        left = [run for run in there if run.digests[epoch] == common]
    return left[0].implementation, left[0].digests


def _explain(one: Sound, standards: Standards) -> None:
    """Why the first digest that differs does: out of what the run wrote down about the step."""
    run, result = one.run, one.result
    epoch = result.agreed + 1
    path = run.folder / DIFFERENCE
    result.status = FAIL
    result.place = f"epoch {epoch}"
    again = (
        f"{program()} train --backend {run.data['backend']} --numerics lattice … "
        "--against RUN, with the same options and the folder of a run that agrees, finds the step"
    )
    if not path.exists():
        result.reason = f"digest differs from {result.against}; {again}"
        return
    try:
        arrays, about = _evidence(path)
    except BadInput as error:  # which fails this run, and leaves the others to be judged
        result.reason = str(error).replace(f"{run.folder}/", "")
        return
    if about["epoch"] != epoch:
        result.reason = f"{path.name} is about epoch {about['epoch']}; {again}"
        return
    result.place = f"epoch {epoch}, step {about['step']}"
    if not about["the reference ends the epoch as expected"]:
        result.reason = f"the NumPy reference of that environment leaves {result.against} as well"
        return
    if (about["spec"], about["recipe"]) != (run.spec, run.recipe):
        result.reason = f"{path.name} is about another spec or recipe"
        return
    if judge_step(result, arrays, about, *standards):
        _follow(one, arrays, (epoch, about["step"]))


def _follow(one: Sound, arrays: Arrays, place: tuple[int, int]) -> None:
    """A straddle excuses every digest after it, so the run must be the one that goes through it."""
    run, result = one.run, one.result
    corpus = one.given.corpus
    wrong = follow_straddle(run.spec, run.recipe, corpus, run.digests, arrays, place)
    if wrong is None:
        result.status = NOT_COMPARED
        result.reason = (
            f"the digests after a straddle would take too long to check: {result.reason}"
        )
    elif wrong:
        result.status, result.reason = FAIL, f"a straddle is claimed, but {wrong}"


def _evidence(path: Any) -> tuple[Arrays, dict[str, Any]]:
    arrays, metadata = read_arrays(path, ours=True)
    expected = "an epoch, a step and its recipe"
    about = parse_json(metadata.get("about", ""), path, "metadata 'about'", expected)
    check_shape(about, ABOUT, path, "metadata 'about'")
    about["spec"] = ModelSpec.from_json(about["spec"], path)
    about["recipe"] = Recipe.from_json(about["recipe"], path)
    check_kinds({n: a for n, a in arrays.items() if n not in ("X", "Y", LENGTHS)}, path)
    for prefix in ("before", "after"):
        check_parameters(about["spec"], part(arrays, prefix), path)
    recipe = about["recipe"]
    for prefix in ("state before", "state after"):
        states = state_shapes(about["spec"], recipe.n)
        check_there(arrays, {f"{prefix}/{name}": shape for name, shape in states.items()}, path)
    question_in(arrays, about["spec"], recipe, path)
    return arrays, about


def judge_step(
    result: TrainingResult,
    arrays: Arrays,
    about: dict[str, Any],
    limits: dict[str, dict[str, Bound]],
    deviations: Sequence[Deviation] = (),
) -> bool:
    """Judge the step that differs like a case: the first rung that breaks is the reason, unless all
    that is wrong is declared; if none does, rounding to the lattice decides between a straddle and
    a fault in the rounding itself. Returns whether it is a straddle."""
    spec, recipe = about["spec"], about["recipe"]
    before, state = part(arrays, "before"), part(arrays, "state before")
    question = question_in(arrays, spec, recipe, DIFFERENCE)
    case, numbers = replay(spec, recipe, before, state, question)
    answer = answer_to(case, numbers)
    judged = CaseResult(result.implementation, result.device, "float64", case.name, FAIL)
    answers = part(arrays, "answers")
    judged.comparisons = compare_all(answers, answer, "float64", limits["float64"], {})
    judged_as = judging_as(answers, answer, limits, {})
    left, used = unexcused(judged.row, case, judged.comparisons, deviations, judged_as)
    if used and not left:
        result.status, result.reason = DECLARED, ", ".join(used)
        return False
    if worst := judged.first_failure():
        where = describe(spec, worst.tensor, worst.index)
        if worst.rung == "outputs":
            begins = place_of(judged, answers, answer, limits["float64"]["outputs"], "float64")
            where = f"begins {begins}; worst in {where}"
        result.reason = f"{worst.rung}: {where}: {worst.problem}"
        return False
    wanted = {name: answer.wanted[f"step-1/{name}"] for name in parameter_shapes(spec)}
    wanted |= {f"state {p}": answer.wanted[f"forward/{p}"] for p in spec.states}
    got = part(arrays, "after")
    got |= {f"state {p}": array for p, array in part(arrays, "state after").items()}
    straddles, elements = list[str](), 0
    for name, array in to_lattice(wanted).items():
        differing, unexplained = compare_on_lattice(got[name], array, wanted[name])
        if unexplained:
            place = describe(spec, name, unexplained[0])
            result.reason = f"rounding to the lattice: {place}: not the nearest point"
            return False
        elements += len(differing)
        straddles += [describe(spec, name, index) for index in differing]
    if not straddles:
        result.reason = "the step agrees when it is replayed alone: the trainer carries a fault"
        return False
    result.status = STRADDLE
    result.reason = f"every rung holds; {elements} values straddle, the first is {straddles[0]}"
    return True
