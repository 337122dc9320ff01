"""The invariances hold for the reference, and each mistake is caught by the one meant for it."""

import dataclasses

import numpy as np
import pytest

import backends.numpy
from backends.protocol import Forward
from common.parameters import parameter_shapes
from conformance.cases.table import CURATED
from conformance.closeness.compare import load_bounds
from conformance.judge.ladder import compare_all
from conformance.worker.ladder import answer, answer_invariances
from tests.answers import right_once
from tests.conformance.helpers import sample

REFERENCE = backends.numpy.implementation("equations", "cpu", "float64")
CHECKED = [case.name for case in CURATED if case.invariances]


def failing(implementation, name: str, dtype: str = "float64") -> set[str]:
    """The invariances that an implementation breaks on a case."""
    right = right_once(name, sample())
    got = answer(implementation, right.case, right.numbers)
    more, inapplicable = answer_invariances(implementation, right.case, right.numbers)
    limits = load_bounds()["cpu"][dtype]
    compared = compare_all(got | more, right, dtype, limits, inapplicable)
    found = [c for c in compared if c.rung == "invariances"]
    assert {c.tensor for c in found} == set(more)
    expected = {"permuted"}
    expected |= {"causal"} if right.case.spec.directions == 1 else {"mirrored", "future-read"}
    if right.case.lengths:
        expected |= {"behind-the-end", "alone-to-its-end", "lengths-read"}
    else:
        expected |= {"row-alone", *(["split"] if right.case.spec.directions == 1 else [])}
    assert {c.tensor.split("/")[1] for c in found} >= expected
    return {c.tensor.split("/")[1] for c in found if not c.passed}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CHECKED)
def test_the_reference_keeps_every_invariance(name, dtype):
    implementation = backends.numpy.implementation("equations", "cpu", dtype)
    assert failing(implementation, name, dtype) == set()


class Sabotaged:
    """The reference with something wrong in it: ``forward`` asks the reference differently.

    Subclasses override ``forward``, which ``outputs`` follows; ``self.spec`` and ``self.params``
    are what it was made from.
    """

    def unsupported(self, spec, lengths=False):
        return None

    def model(self, spec, params):
        copy = object.__new__(type(self))
        copy.spec, copy.params, copy.right = spec, params, REFERENCE.model(spec, params)
        return copy

    def __getattr__(self, name):
        return getattr(self.right, name)

    def outputs(self, X, state, *lengths):
        made = self.forward(X, state, *lengths)
        return made.outputs, made.state

    def ask(self, X, state, **changes) -> Forward:
        return REFERENCE.model(dataclasses.replace(self.spec, **changes), self.params).forward(
            X, state
        )


class IgnoresTheState(Sabotaged):
    def forward(self, X, state):
        return self.right.forward(X, {part: np.zeros_like(a) for part, a in state.items()})


class MixesTheBatch(Sabotaged):
    def forward(self, X, state):
        return self.right.forward(X + 0.1 * X.mean(axis=1, keepdims=True), state)


class TellsRowsByTheirPlace(Sabotaged):
    def forward(self, X, state):
        return self.right.forward(X * (1 + 0.1 * np.arange(X.shape[1]))[:, None], state)


class LooksAhead(Sabotaged):
    def forward(self, X, state):
        return self.right.forward(X + 0.1 * np.roll(X, -1, axis=0), state)


class NeverReadsItsInput(Sabotaged):
    def forward(self, X, state):
        return self.right.forward(np.ones_like(X), state)


class ReversesTheLayers(Sabotaged):
    """Layers 2 … L in the wrong order; layer 1 has other shapes."""

    def forward(self, X, state):
        L, params = self.spec.L, {}
        for name, array in self.params.items():
            layer = name.split(".")[0].removeprefix("layer")
            if layer.isdecimal() and int(layer) > 1:
                name = name.replace(f"layer{layer}.", f"layer{L + 2 - int(layer)}.")
            params[name] = array
        return REFERENCE.model(self.spec, params).forward(X, state)


class IgnoresTheLastLayer(Sabotaged):
    def forward(self, X, state):
        L, D = self.spec.L, self.spec.directions
        if L == 1:
            return self.right.forward(X, state)
        below = {part: array[:-D] for part, array in state.items()}
        found = self.ask(X, below, L=L - 1, activations=self.spec.activations[:-1])
        last = {p: np.concatenate([a, state[p][-D:]]) for p, a in found.state.items()}
        trace = {p: np.concatenate([a, a[:, -D:]], axis=1) for p, a in found.trace.items()}
        return Forward(found.outputs, last, trace)


class TakesEveryActivationForTanh(Sabotaged):
    def forward(self, X, state):
        return self.ask(X, state, activations=("tanh",) * self.spec.L)


class IgnoresTheActivationOfLayer2(Sabotaged):
    def forward(self, X, state):
        first, *rest = self.spec.activations
        return self.ask(X, state, activations=(first, *("tanh",) * len(rest)))


class ResetsBeforeWhateverIsAsked(Sabotaged):
    def forward(self, X, state):
        if self.spec.reset == "before":
            return self.right.forward(X, state)
        params = {n: a for n, a in self.params.items() if not n.endswith((".b_xh", ".b_hh"))}
        for layer in range(1, self.spec.L + 1):
            b_xh, b_hh = (self.params[f"layer{layer}.{bias}"] for bias in ("b_xh", "b_hh"))
            params[f"layer{layer}.b_h"] = b_xh + b_hh
        spec = dataclasses.replace(self.spec, reset="before")
        return REFERENCE.model(spec, params).forward(X, state)


class StartsAgainInTheMiddle(Sabotaged):
    """The last state is that of the first step: right outputs, wrong carry."""

    def forward(self, X, state):
        found = self.right.forward(X, state)
        return Forward(found.outputs, {p: a[0] for p, a in found.trace.items()}, found.trace)


class ForgetsTheBackwardDirection(Sabotaged):
    """Nothing reads what it makes."""

    def forward(self, X, state):
        params = {name: array.copy() for name, array in self.params.items()}
        params["output.W_hq"][self.spec.h :] = 0
        return REFERENCE.model(self.spec, params).forward(X, state)


class ReadsInOneDirectionOnly(Sabotaged):
    """It computes the same spec with one direction."""

    def forward(self, X, state):
        if self.spec.directions == 1:
            return self.right.forward(X, state)
        spec = dataclasses.replace(self.spec, directions=1)
        shapes = parameter_shapes(spec)
        params = {name: self.params[name][: shape[0]] for name, shape in shapes.items()}
        found = REFERENCE.model(spec, params).forward(X, {p: a[::2] for p, a in state.items()})
        last = {part: array.repeat(2, axis=0) for part, array in found.state.items()}
        trace = {part: array.repeat(2, axis=1) for part, array in found.trace.items()}
        return Forward(found.outputs, last, trace)


class IgnoresLengths(Sabotaged):
    def forward(self, X, state, lengths=None):
        return self.right.forward(X, state)


class SortsAndNotBack(Sabotaged):
    """By falling length, as packing wants them; the initial states stay where they are."""

    def forward(self, X, state, lengths=None):
        if lengths is None:
            return self.right.forward(X, state)
        order = np.argsort(-np.asarray(lengths))
        found = self.right.forward(X[:, order], state, np.asarray(lengths)[order])
        back = np.argsort(order)
        last = {part: array[:, back] for part, array in found.state.items()}
        return Forward(found.outputs[:, back], last, found.trace)


class LeaksABit(Sabotaged):
    """The last bit of an output depends on what stands in the padding."""

    def forward(self, X, state, lengths=None):
        found = self.right.forward(X, state, lengths)
        if lengths is not None and np.abs(X).max() > 1:
            found.outputs[0] = np.nextafter(found.outputs[0], 1)
        return found


@pytest.mark.once
@pytest.mark.parametrize(
    ("mistake", "case", "caught_by"),
    [
        (IgnoresTheState, "lstm-L2", "split"),
        (StartsAgainInTheMiddle, "gru-after-L2", "split"),
        (MixesTheBatch, "gru-after-L2", "row-alone"),
        (TellsRowsByTheirPlace, "lstm-L2", "permuted"),
        (LooksAhead, "rnn-tanh-L2", "causal"),
        (NeverReadsItsInput, "lstm-L2", "input-read"),
        (ReversesTheLayers, "lstm-L3", "stacked"),
        (ReversesTheLayers, "gru-before-L4", "stacked"),
        (IgnoresTheLastLayer, "lstm-L3", "stacked"),
        (IgnoresTheLastLayer, "lstm-L2", "option-layers"),
        (TakesEveryActivationForTanh, "rnn-tanh-L1", "option-activation-1"),
        (TakesEveryActivationForTanh, "rnn-relu-L2", "option-activation-2"),
        (IgnoresTheActivationOfLayer2, "rnn-tanh-relu", "option-activation-2"),
        (ResetsBeforeWhateverIsAsked, "gru-before-L2", "option-reset"),
        (ResetsBeforeWhateverIsAsked, "gru-after-L1", "option-reset"),
        (ForgetsTheBackwardDirection, "lstm-bidirectional-L1", "mirrored"),
        (ForgetsTheBackwardDirection, "lstm-bidirectional-L1", "future-read"),
        (ReadsInOneDirectionOnly, "lstm-bidirectional-L1", "option-directions"),
        (ReadsInOneDirectionOnly, "gru-after-bidirectional-L2", "future-read"),
        (IgnoresTheLastLayer, "gru-after-bidirectional-L2", "stacked"),
        (IgnoresLengths, "lstm-lengths-L2", "behind-the-end"),
        (IgnoresLengths, "gru-after-bidirectional-lengths-L2", "alone-to-its-end"),
        (IgnoresLengths, "lstm-bidirectional-lengths-L2", "lengths-read"),
        (SortsAndNotBack, "lstm-lengths-L2", "permuted"),
        (LeaksABit, "lstm-lengths-L2", "behind-the-end"),
    ],
)
def test_a_mistake_is_caught_by_the_invariance_that_is_meant_for_it(mistake, case, caught_by):
    assert caught_by in failing(mistake(), case)


@pytest.mark.parametrize(
    ("mistake", "case", "kept"),
    [
        (IgnoresTheState, "lstm-L2", {"row-alone", "permuted", "causal"}),
        (MixesTheBatch, "gru-after-L2", {"split", "permuted", "causal"}),
        (LooksAhead, "rnn-tanh-L2", {"row-alone", "permuted"}),
        (ResetsBeforeWhateverIsAsked, "gru-after-L1", {"split", "row-alone", "causal"}),
    ],
)
def test_a_mistake_leaves_the_other_invariances_alone(mistake, case, kept):
    assert not kept & failing(mistake(), case)


def test_a_spec_that_is_not_supported_is_left_out_with_its_reason():
    class NoResetBefore(Sabotaged):
        def unsupported(self, spec):
            return "no reset before" if spec.reset == "before" else None

        def forward(self, X, state):
            return self.right.forward(X, state)

    right = right_once("gru-after-L2", sample())
    answers, inapplicable = answer_invariances(NoResetBefore(), right.case, right.numbers)
    assert inapplicable == {"option-reset": "no reset before"}
    assert not any("option-reset" in tensor for tensor in answers)
    assert failing(NoResetBefore(), "gru-after-L2") == set()


def test_an_unchanged_question_cannot_be_called_inapplicable():
    right = right_once("lstm-L2", sample())
    got = answer(REFERENCE, right.case, right.numbers)
    limits = load_bounds()["cpu"]["float64"]
    compared = compare_all(got, right, "float64", limits, {"split": "no", "option-layers": "no"})
    missing = {c.tensor.split("/")[1] for c in compared if c.problem == "missing"}
    assert "split" in missing
    assert "option-layers" not in missing
