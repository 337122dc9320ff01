"""The evidence of a step that left the lattice's common path: ``difference.safetensors`` in a run.

It holds the common parameters and state before the step, the minibatch, and what an implementation
made of it. The worker writes it (worker/step_finder.py), the judge reads it (judge/lattice.py), and
both put the same question: the step as a case of the ladder.
"""

import dataclasses

from common.corpus import one_hot
from common.dropout import Dropout, as_few, as_two, check_dropout, mask_shape
from common.errors import BadInput
from common.lengths import check_lengths
from common.parameters import Arrays
from common.questions import Question
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.cases.table import Case, Material

DIFFERENCE = "difference.safetensors"
LENGTHS, MASKS = "lengths", "masks"


def replay(
    spec: ModelSpec, recipe: Recipe, params: Arrays, state: Arrays, question: Question
) -> tuple[Case, Material]:
    """One step of a training run as a case of the ladder: X (T, n) class numbers, Y (T, n), and
    perhaps lengths and dropout."""
    plain = dataclasses.replace(recipe, lattice=False, epochs=1)
    X, Y, *more = question
    lengths, dropout = as_two(more)
    T, n = X.shape
    case = Case("replay", spec, n, T, K=1, text=True, recipe=plain)
    material = Material(params, one_hot(X, spec.d, "float64")[None], Y[None], state)
    if lengths is not None:
        case = dataclasses.replace(case, lengths=tuple(map(int, lengths)))
        material = dataclasses.replace(material, lengths=lengths[None])
    if dropout is not None:
        case = dataclasses.replace(case, dropout=dropout.rate)
        material = dataclasses.replace(material, dropout=(dropout,))
    return case, material


def arrays_of(question: Question) -> Arrays:
    """A question as it is written down."""
    X, Y, *more = question
    lengths, dropout = as_two(more)
    arrays = {"X": X, "Y": Y} | ({} if lengths is None else {LENGTHS: lengths})
    return arrays | ({} if dropout is None else {MASKS: dropout.masks})


def question_in(arrays: Arrays, spec: ModelSpec, recipe: Recipe, where: object) -> Question:
    """It read again, as the recipe has it; BadInput where it does not fit."""
    T, n, lengths, dropout = recipe.T, recipe.n, None, None
    shapes = dict.fromkeys(("X", "Y"), (T, n)) | ({LENGTHS: (n,)} if recipe.words else {})
    shapes |= {MASKS: mask_shape(spec, n, T)} if recipe.dropout else {}
    check_there(arrays, shapes, where)
    for name, most in (("X", spec.d), ("Y", spec.q)):
        array = arrays[name]
        if array.dtype.kind not in "iu" or not (array.min() >= 0 and array.max() < most):
            raise BadInput(where, name, f"whole numbers from 0, and below {most}", array.dtype)
    if recipe.words:
        lengths = check_lengths(arrays[LENGTHS], n, T, where)
    if recipe.dropout:
        dropout = check_dropout(Dropout(recipe.dropout, arrays[MASKS]), spec, n, T, where)
    return (arrays["X"], arrays["Y"], *as_few(lengths, dropout))


def check_there(arrays: Arrays, shapes: dict[str, tuple[int, ...]], where: object) -> None:
    """BadInput unless every array is there, in its shape."""
    for name, shape in shapes.items():
        found = arrays[name].shape if name in arrays else "no such tensor"
        if found != shape:
            raise BadInput(where, name, f"shape {shape}", found)


def part(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays under ``prefix/``, by the rest of their names."""
    return {
        n.removeprefix(f"{prefix}/"): a for n, a in arrays.items() if n.startswith(f"{prefix}/")
    }
