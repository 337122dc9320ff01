"""A training run's files against one another: its text, its epochs, its weights, its prediction."""

import numpy as np

from common.corpus import UNKNOWN, one_hot
from common.errors import BadInput
from common.lattice import digest, to_units
from common.parameters import Arrays, zero_state
from common.questions import BLANK, blanked, questions
from common.weights import load_weights
from conformance.cases.given import Given, load_given
from conformance.closeness.claimed import likeliest
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import forward
from conformance.records.training import TrainingRun

NO_TOKEN = "\0"
"""Encoded as number 0, whose token has several characters."""

WEIGHTS = "weights.safetensors"


def contradiction(run: TrainingRun) -> tuple[str, Given | None]:
    """The first thing in a finished run that contradicts another, in words, and the text that it
    was given; a file of it that cannot be read is one."""
    given = None
    try:
        given = load_given(run.folder / "given.safetensors")
        params = _weights(run)
        return _text(run, given) or _epochs(run, given) or _prediction(run, given, params), given
    except BadInput as error:
        # By its name only: a verdict is the same wherever the results lie.
        return str(error).replace(f"{run.folder}/", ""), given


def _weights(run: TrainingRun) -> Arrays:
    """The trained weights; BadInput unless they can be this run's last."""
    path = run.folder / WEIGHTS
    spec, params = load_weights(path)
    if spec != run.spec:
        raise BadInput(path, "spec", "the run's", "another one")
    numerics = run.data["numerics"]
    dtype = "float64" if numerics in ("lattice", "float64") else "float32"
    for name, array in params.items():
        if array.dtype != dtype:
            raise BadInput(path, name, f"{dtype}, as numerics {numerics} leave it", array.dtype)
    if run.recipe.lattice:
        if (found := digest(params)) != run.digests[-1]:
            raise BadInput(path, "digest", f"the last epoch's, {run.digests[-1][:12]}", found[:12])
    elif _on_the_lattice(params):
        raise BadInput(path, "", f"weights that {numerics} leaves", "every one on the lattice")
    return params


def _on_the_lattice(params: Arrays) -> bool:
    try:
        to_units(params)
    except BadInput:
        return False
    return True


def _text(run: TrainingRun, given: Given) -> str:
    claimed = run.data["text"]
    found = given.text() | {"characters": len(given.corpus.tokens)}
    if claimed != found:
        return f"the text is {claimed} in run.json and {found} in given.safetensors"
    held_out = {name: len(tokens) for name, tokens in given.held_out.items()}
    if run.data["held out"] != held_out:
        return "other texts were held out than given.safetensors holds"
    if not run.spec.d == run.spec.q == given.corpus.q:
        return f"the text has {given.corpus.q} characters, the spec d = {run.spec.d}"
    return ""


def _epochs(run: TrainingRun, given: Given) -> str:
    """Every epoch must have as many steps and characters as the recipe makes of the text."""
    wanted = questions(run.spec, run.recipe, given.corpus)
    for number, (row, batches) in enumerate(zip(run.data["epochs"], wanted, strict=True), 1):
        steps, tokens = len(batches), batches.predictions
        if (len(row["losses"]), row["tokens"]) != (steps, tokens):
            found = f"{len(row['losses'])} steps of {row['tokens']} characters"
            return f"epoch {number}: expected {steps} steps of {tokens} characters, found {found}"
    return ""


def _prediction(run: TrainingRun, given: Given, params: Arrays) -> str:
    """The oracle reads the predicted text with the stored weights: at every place the character
    that comes next must be the likeliest."""
    prefix, text = run.data["prediction"]["prefix"], run.data["prediction"]["text"]
    vocabulary = given.corpus.vocabulary
    numbers = vocabulary.encode(text.replace(UNKNOWN, NO_TOKEN))
    if run.recipe.task == "restore":
        before = vocabulary.encode(prefix)
        named = blanked(before)
        if len(numbers) != len(before) or (numbers != before)[~named].any():
            return "the restored text differs from its prefix where nothing was blanked"
        asked, places = np.where(named, BLANK, before), np.flatnonzero(named)
        steps = places
    else:
        if not prefix or not text.startswith(prefix):
            return "the predicted text does not begin with its prefix"
        asked, places = numbers[:-1], np.arange(len(prefix), len(numbers))
        steps = places - 1
    if not len(places):
        return ""
    X = one_hot(asked[:, None], run.spec.d, "float64")
    params = {name: array.astype("float64") for name, array in params.items()}
    answers = forward(TRUTH, run.spec, params, X, zero_state(run.spec, 1, "float64"))
    chosen = likeliest(answers["forward/O"][steps, 0], numbers[places], run.data["numerics"])
    if chosen.all():
        return ""
    place = places[int(np.argmin(chosen))]
    return f"the stored weights do not predict character {place + 1} of the predicted text"
