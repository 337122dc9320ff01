"""Examples of different length that are padded, ended or counted in another way (LEN-1 to LEN-5).

``within`` is (T, n): where a step is an example's own. An index ``live`` is one of its rows.
"""

from collections.abc import Callable

import numpy as np

from conformance.mutants.mutant import Mutant, two_ways
from conformance.oracle.conventions import Conventions, kept
from conformance.oracle.equations import State, Value

Within = np.ndarray


def ignored(within: Within) -> Within:
    return np.ones_like(within)


def one_short(within: Within) -> Within:
    """An example of one step keeps it."""
    return np.concatenate([within[:1], within[2:], np.zeros_like(within[:1])])


def one_long(within: Within) -> Within:
    return np.concatenate([within[:1], within[:-1]])


def in_front(within: Within) -> Within:
    """The padding stands before the steps, not behind them."""
    return within[::-1]


def of_the_first(within: Within) -> Within:
    return np.repeat(within[:, :1], within.shape[1], axis=1)


def of_the_shortest(within: Within) -> Within:
    return np.repeat(within.all(axis=1, keepdims=True), within.shape[1], axis=1)


def falling(within: Within) -> np.ndarray:
    """The examples by falling length, as packing wants them."""
    return np.argsort(-within.sum(axis=0), kind="stable")


def sorted_lengths(within: Within) -> Within:
    return within[:, falling(within)]


def back(within: Within) -> np.ndarray:
    return np.argsort(falling(within))


def as_it_is(steps: list[Value], within: Within) -> list[Value]:
    return steps


def going_on(way: bool):
    """In one of the directions, as if the padding were steps."""

    def ends(after: State, before: State, live: np.ndarray, backward: bool) -> State:
        return after if backward == way else kept(after, before, live, backward)

    return ends


def nothing_left(way: bool):
    """In one of the directions, 0 wherever no step is made."""

    def ends(after: State, before: State, live: np.ndarray, backward: bool) -> State:
        if backward != way:
            return kept(after, before, live, backward)
        empty = {part: Value(np.zeros_like(value.data)) for part, value in before.items()}
        return kept(after, empty, live, backward)

    return ends


def without_gradient(after: State, before: State, live: np.ndarray, backward: bool) -> State:
    """What stays, stays as a number."""
    stopped = {part: Value(value.data) for part, value in before.items()}
    return kept(after, stopped, live, backward)


def repeated(steps: list[Value], within: Within) -> list[Value]:
    """The last of an example's own again."""
    made = list[Value]()
    for value, live in zip(steps, within, strict=True):
        made.append(value.where(live, made[-1]) if made else value)
    return made


def all_alike(within: Within) -> np.ndarray:
    """Every step counts as a prediction."""
    return np.ones_like(within)


def by_example(within: Within) -> np.ndarray:
    """Every example counts as much as another."""
    return within * within.mean() / within.mean(axis=0)


def _ragged(
    name: str,
    says: str,
    applies: Callable = lambda spec: True,
    forward: bool = True,
    **choices,
) -> Mutant:
    return Mutant(name, says, Conventions(**choices), applies, forward=forward, lengths=True)


LENGTHS = [
    _ragged("lengths ignored", "the examples' lengths are ignored: all have T steps",
            within=(ignored,)),
    _ragged("lengths one short", "the examples end one step early", within=(one_short,)),
    _ragged("lengths one long", "the examples end one step late", within=(one_long,)),
    _ragged("lengths of the first example", "all examples have the first one's length",
            within=(of_the_first,)),
    _ragged("cut to the shortest", "all examples have the shortest one's length",
            within=(of_the_shortest,)),
    _ragged("lengths sorted", "the lengths are sorted and the examples are not",
            within=(sorted_lengths,)),
    _ragged("padding in front", "the padding is taken to stand before the steps",
            within=(in_front,)),
    _ragged("lengths only zero X", "the lengths only put zeros into X behind the ends",
            ends=lambda after, before, live, backward: after, behind=as_it_is, blank=as_it_is),
    _ragged("outputs not zeroed", "O is b_q behind the ends", blank=as_it_is),
    _ragged("last H repeated", "H stays what it was behind the ends, and O is read from it",
            behind=repeated, blank=as_it_is),
    _ragged("state goes on", "the state goes on through the padding, forward in time",
            padding=as_it_is, ends=going_on(False)),
    _ragged("state goes on through zeros", "the state goes on through padding of zeros, forward in "
            "time", ends=going_on(False)),
    _ragged("state zero behind the end", "the last state of a shorter example is 0",
            ends=nothing_left(False)),
    _ragged("backward starts in the padding", "the backward direction starts in the padding",
            two_ways, padding=as_it_is, ends=going_on(True)),
    _ragged("backward starts in zeros", "the backward direction starts in padding of zeros",
            two_ways, ends=going_on(True)),
    _ragged("backward's initial state lost", "a shorter example's backward direction starts from 0",
            two_ways, ends=nothing_left(True)),
    _ragged("initial state not sorted", "the examples are sorted by length, their initial states "
            "are not", starts_as=back),
    _ragged("last state not sorted back", "the examples are sorted by length, and their last "
            "states are not sorted back", ends_as=falling),
    _ragged("outputs not sorted back", "the examples are sorted by length, and O is not sorted "
            "back", outputs_as=falling),
    _ragged("padding in the mean", "the loss is divided by T·n, padding and all", forward=False,
            count=lambda T, n, predictions: T * n),
    _ragged("padding in the loss", "the loss sums over the padding, too", forward=False,
            weighs=all_alike, count=lambda T, n, predictions: T * n),
    _ragged("mean of the examples' means", "every example's mean loss counts alike", forward=False,
            weighs=by_example),
    _ragged("last step not in the loss", "each example's last step is left out of the loss",
            forward=False, weighs=one_short),
    _ragged("padding trained on", "O is b_q behind the ends, and is trained on the targets there",
            blank=as_it_is, weighs=all_alike, count=lambda T, n, predictions: T * n),
    _ragged("no gradient through the padding", "a shorter example sends no gradient to the "
            "backward direction's initial state", two_ways, forward=False, ends=without_gradient),
]  # fmt: skip
