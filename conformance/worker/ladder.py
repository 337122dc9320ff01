"""What an implementation answers to a case, under the names of the oracle's own answers."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from backends.protocol import Implementation, Model
from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.cases.invariances import Ask, invariances
from conformance.cases.table import Case, Material

ORDER = ("weights", "outputs", "loss", "gradients", "clip", "step-1", "step-K")
"""In which ``rungs`` answers."""


def answer(
    implementation: Implementation, case: Case, given: Material, last: str = ORDER[-1]
) -> Arrays:
    """Rungs 1 to 6 of the ladder, under the names of ``oracle.expected``; nothing is asked that is
    above the last one."""
    answers: Arrays = {}
    for rung in islice(rungs(implementation, case, given), ORDER.index(last) + 1):
        answers |= rung
    return answers


def rungs(implementation: Implementation, case: Case, given: Material) -> Iterator[Arrays]:
    """The same one by one, so that those below an error are known.

    weights/…    canonical → native → canonical
    forward/…    O and the last state; trace/…: the state after every step
    loss/loss    the mean loss of the first minibatch
    gradients/…  by every parameter, by X and by the initial state
    clip/…       the global norm and the scaled gradients of the first training step
    step-1/…, step-K/…  the parameters after one and after K steps, and the K losses
    """
    model = implementation.model(case.spec, given.params)
    yield {f"weights/{name}": array for name, array in model.parameters().items()}
    forward = model.forward(given.X[0], given.state, *given.more_of(0))
    yield {
        "forward/O": forward.outputs,
        **{f"forward/{part}": array for part, array in forward.state.items()},
        **{f"trace/{part}": array for part, array in forward.trace.items()},
    }
    back = model.loss_and_gradients(given.X[0], given.Y[0], given.state, *given.more_of(0))
    dtype = forward.outputs.dtype
    yield {"loss/loss": np.asarray(back.loss, dtype)}
    yield {f"gradients/{name}": array for name, array in back.gradients.items()}

    trainer = model.trainer(case.recipe, given.state)
    losses = []
    for k in range(case.K):
        step = trainer.step(given.X[k], given.Y[k], *given.more_of(k))
        losses.append(float(step.loss))
        if k == 0:
            clipped = {f"clip/{name}": a.copy() for name, a in trainer.gradients().items()}
            yield {"clip/norm": np.asarray(float(step.norm), dtype), **clipped}
            yield {f"step-1/{name}": a.copy() for name, a in trainer.parameters().items()}
    last = {f"step-K/{name}": array for name, array in trainer.parameters().items()}
    yield last | {"step-K/losses": np.asarray(losses, dtype)}


def answer_invariances(
    implementation: Implementation, case: Case, given: Material
) -> tuple[Arrays, dict[str, str]]:
    """What the implementation makes of the changed questions, and which ones it cannot express.

    They are asked as a prediction is, of ``outputs``; what it must equal is ``forward``'s answer.
    """

    # One model for all questions to the same weights; it holds them, so that their id stays theirs.
    models: dict[tuple[ModelSpec, int], tuple[Model, Arrays]] = {}

    def ask(spec: ModelSpec, params: Arrays, X: np.ndarray, state: Arrays, *more: Any) -> Arrays:
        wanted = spec, id(params)
        if wanted not in models:
            models[wanted] = implementation.model(spec, params), params
        O, last = models[wanted][0].outputs(X, state, *more)
        return {"O": O, **last}

    run: Ask = ask
    answers, inapplicable = {}, {}
    for invariance in invariances(case, given):
        reason = invariance.spec and implementation.unsupported(invariance.spec, *case.needs)
        if reason:
            inapplicable[invariance.name] = reason
        else:
            for name, array in invariance.ask(run).items():
                answers[f"invariance/{invariance.name}/{name}"] = array
    return answers, inapplicable
