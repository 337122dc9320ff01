"""Numbers that are dropped elsewhere, by other masks, or scaled in another way (DROP-1).

Masks are (L−1, T, n, D·h), 1 where a number is kept.
"""

from collections.abc import Callable

import numpy as np

from common.spec import ModelSpec
from conformance.mutants.mutant import Mutant, as_wide, both, deep, of, two_ways
from conformance.oracle.conventions import Conventions
from conformance.oracle.equations import State, Value

Masks = np.ndarray


def inverted(spec: ModelSpec, masks: Masks) -> Masks:
    return 1 - masks


def same_at_all_steps(spec: ModelSpec, masks: Masks) -> Masks:
    return np.repeat(masks[:, :1], masks.shape[1], axis=1)


def same_for_all_examples(spec: ModelSpec, masks: Masks) -> Masks:
    return np.repeat(masks[:, :, :1], masks.shape[2], axis=2)


def same_for_all_layers(spec: ModelSpec, masks: Masks) -> Masks:
    return np.repeat(masks[:1], len(masks), axis=0)


def from_the_top(spec: ModelSpec, masks: Masks) -> Masks:
    return masks[::-1]


def one_step_late(spec: ModelSpec, masks: Masks) -> Masks:
    return np.roll(masks, 1, axis=1)


def batch_major(spec: ModelSpec, masks: Masks) -> Masks:
    """The numbers as they lie, taken for (n, T)."""
    L, T, n, h = masks.shape
    return masks.reshape(L, n, T, h).swapaxes(1, 2)


def halves(change: Callable[[Masks, Masks], tuple[Masks, Masks]]):
    """A change of the columns of →H and of ←H, where every layer is as wide as the widest."""

    def found(spec: ModelSpec, masks: Masks) -> Masks:
        return np.concatenate(change(*np.split(masks, 2, axis=-1)), axis=-1)

    return found


def without_slope(H: Value, mask: Masks, scale: float) -> Value:
    """The gradient passes as if nothing had been dropped."""
    return Value(H.times(scale * mask).data, ((H, lambda g: g),))


def scaled_forward_alone(H: Value, mask: Masks, scale: float) -> Value:
    return Value(H.times(scale * mask).data, ((H, lambda g: g * mask.astype(g.dtype)),))


def masked_forward_alone(H: Value, mask: Masks, scale: float) -> Value:
    """What was dropped has a gradient as well."""
    return Value(H.times(scale * mask).data, ((H, lambda g: g * g.dtype.type(scale)),))


def by_what_is_kept(H: Value, mask: Masks, scale: float) -> Value:
    """Scaled by the share that is kept, not by the rate."""
    return H.times(mask / np.maximum(mask.mean(), 1 / mask.size))


def dropped_H(state: State, mask: np.ndarray) -> State:
    return state | {"H": state["H"].times(mask)}


def dropped_C(state: State, mask: np.ndarray) -> State:
    return state | {"C": state["C"].times(mask)}


class Held(Value):
    """H_{t−1} as it is, and as it was dropped for the layer above."""

    def also(self, dropped: np.ndarray) -> "Held":
        self.dropped = dropped
        return self


def remembered(state: State, mask: np.ndarray) -> State:
    H = state["H"]
    held = Held(H.data, ((H, lambda g: g),)).also(H.times(mask).data)
    return state | {"H": held}


def with_the_dropped(X: Value, W: Value) -> Value:
    """The gradient of W_h is made of the dropped H_{t−1}, as MXNet's native layers do."""
    if not isinstance(X, Held):
        return X @ W
    a, b = X.dropped, W.data
    return Value(X.data @ b, ((X, lambda g: g @ b.T), (W, lambda g: a.T @ g)))


def _dropout(
    name: str,
    says: str,
    applies: Callable[[ModelSpec], bool] = lambda spec: True,
    forward: bool = True,
    **choices,
) -> Mutant:
    where = both(deep(2), applies)
    return Mutant(name, says, Conventions(**choices), where, forward=forward, dropout=True)


BETWEEN = frozenset(["between"])
alike = both(two_ways, lambda spec: spec.even)

DROPOUT = [
    _dropout("dropout ignored", "nothing is dropped", dropped=frozenset()),
    _dropout("dropout not scaled", "what is kept is not scaled", scale=lambda rate: 1.0),
    _dropout("dropout scaled by 1/r", "what is kept is scaled by 1/r", scale=lambda rate: 1 / rate),
    _dropout("dropout scaled by 1 − r", "what is kept is multiplied by 1 − r, not divided by it",
             scale=lambda rate: 1 - rate),
    _dropout("dropout scaled by the share kept", "what is kept is scaled by the share of "
             "the mask's ones", drop=by_what_is_kept),
    _dropout("mask inverted", "a 1 of the mask drops, and a 0 keeps", masks=(inverted,)),
    _dropout("one mask for all steps", "step 1's mask is every step's", masks=(same_at_all_steps,)),
    _dropout("one mask for all examples", "the first example's mask is every example's",
             masks=(same_for_all_examples,)),
    _dropout("one mask for all layers", "layer 1's mask is every layer's", deep(3),
             masks=(same_for_all_layers,)),
    _dropout("masks from the top", "the first mask is taken for the uppermost layer's", deep(3),
             masks=(from_the_top,)),
    _dropout("masks one step late", "every step has the mask of the step before",
             masks=(one_step_late,)),
    _dropout("masks batch-major", "the masks' numbers are read as (n, T) where they lie as (T, n)",
             masks=(batch_major,)),
    _dropout("dropout of X, too", "X is dropped, too, by layer 1's mask",
             dropped=BETWEEN | {"inputs"}),
    _dropout("dropout of X instead", "X is dropped, and nothing between layers",
             dropped=frozenset(["inputs"])),
    _dropout("dropout below the output", "what the top layer hands to the output is dropped, too",
             dropped=BETWEEN | {"top"}),
    _dropout("dropout of H_{t−1}", "the mask acts on the H that the layer's own next step reads, "
             "too", held=dropped_H),
    _dropout("dropout of H_{t−1} instead", "the mask acts on the H that the layer's own next step "
             "reads, and not between layers", dropped=frozenset(), held=dropped_H),
    _dropout("dropout of C_{t−1}", "the mask acts on the C that the next step reads, too",
             both(of("lstm"), as_wide), held=dropped_C),
    _dropout("last H dropped", "the H that is given back is dropped", dropped=BETWEEN | {"last"}),
    _dropout("mask forgotten backward", "the gradient passes as if nothing had been dropped",
             forward=False, drop=without_slope),
    _dropout("scale forgotten backward", "the gradient passes the mask without being scaled",
             forward=False, drop=scaled_forward_alone),
    _dropout("dropped numbers have gradients", "the gradient is scaled, and passes through what "
             "was dropped, too", forward=False, drop=masked_forward_alone),
    _dropout("dropped H in W_h's gradient", "the gradient of W_h is made of the dropped H_{t−1}",
             forward=False, held=remembered, product=with_the_dropped),
    _dropout("masks of the directions exchanged", "the mask's columns of both directions are "
             "exchanged", alike, masks=(halves(lambda ahead, back: (back, ahead)),)),
    _dropout("one mask for both directions", "both directions have the mask of the forward one",
             alike, masks=(halves(lambda ahead, back: (ahead, ahead)),)),
    _dropout("backward direction's mask as read", "the backward direction's masks are taken in the "
             "order in which it reads the steps", alike,
             masks=(halves(lambda ahead, back: (ahead, back[:, ::-1])),)),
]  # fmt: skip
