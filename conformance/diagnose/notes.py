"""What an answer must not pass over: tensors that were not used, how the file was understood."""

from __future__ import annotations

from conformance.models.frameworks import options
from conformance.models.given import Given
from conformance.models.leftovers import guess

KINDS = {
    "last": "The outputs are understood as those of the last step, X's step T.",
    "ends": "The outputs are understood as those of the last step (the final H).",
    "states": "The outputs are understood as the final H of every layer and direction.",
}


def notes(answer, given: Given) -> list[str]:
    """Sentences that belong to every answer about this file."""
    asked, loaded = answer.asked, answer.asked.loaded
    match = answer.likely or answer.first
    subject = match.subject if match else answer.found.tried[0][0]
    found = []
    data = subject.data(subject.usual)
    if data is not None and not (match and any(f.name == "axis" for f in match.group)):
        first = (
            "first axis of X as steps"
            if subject.usual.axis == "time"
            else "first axis of X as examples"
        )
        found.append(f"Read: the {first}: {data.T} steps of {data.n} examples.")
        if answer.verdict in ("all right", "undecided") and (warned := of_the_axis(answer, data)):
            found.append(warned)
    if subject.given.note:
        found.append(subject.given.note)
    if given.embedding:
        found.append(f"The whole numbers in X are looked up: {given.embedding}.")
    if subject.kind in KINDS:
        found.append(KINDS[subject.kind])
    if data is not None and data.behind:
        found.append(f"The outputs look like a {data.behind}: they are compared behind one.")
    if subject.head:
        found.append(f"The output layer is {' and '.join(subject.head)}.")
    if len(stems := dict.fromkeys(loaded.stems)) > 1:
        found.append(f"Read as a stack of {', '.join(stems)}.")
    used = {*subject.head, given.embedding}
    if match:
        says = " ".join(
            f.says for f in match.group if f.name.startswith(("layer norm", "state of"))
        )
        used |= {name for name in loaded.left if name in says}
    left = {name: array for name, array in loaded.left.items() if name not in used}
    for name, array in list(left.items())[:12]:
        what = guess(name, array, loaded.network)
        found.append(f"Not used: {name} {array.shape}: {what}.")
    if len(left) > 12:
        found.append(f"Not used: {len(left) - 12} more tensors.")
    if left:
        found.append("The answer is about the part of the file that was used.")
    if given.unused:
        found.append(f"Not used, of the file with X: {', '.join(given.unused)}.")
    if not given.state:
        found.append("No initial state was given: code that ignores one makes the same outputs.")
    if answer.asked.loaded.network.cell == "rnn" and answer.verdict == "another option":
        found.append("A file of weights cannot tell the activation: check it in both places.")
    if asked.layout == "pytorch" and loaded.network.biases == 1:
        found.append("Only one of the two biases is in the file; the other is taken as zero.")
    return found


def of_the_axis(answer, data) -> str:
    """A framework that can take both axes first was taken at its default: it may not be meant."""
    asked = answer.asked
    names = [o for o in options(asked.layout, asked.loaded.network.cell) if is_axis(o)]
    cell = answer.first.subject.given.single and data.T == 1
    if not names or names[0].name in asked.stated or cell or data.T == data.n == 1:
        return ""
    option, other = names[0].name, list(names[0].values)[1]
    turned = {"time": "batch", "batch": "time"}[answer.first.subject.usual.axis]
    return (
        f"If X is meant {turned} first ({data.T if turned == 'batch' else data.n} examples of "
        f"{data.n if turned == 'batch' else data.T} steps), the code runs over the "
        f"{'batch' if turned == 'batch' else 'first'} axis as if it were time, which is wrong: ask "
        f"again with --option {option}={other}."
    )


def is_axis(option) -> bool:
    return any("axis" in effect for effect in option.values.values())
