"""What goes wrong from the loss on: gradients, clip, update, the state between minibatches."""

import numpy as np

from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.mutants.function import one_step_late, stop
from conformance.mutants.mutant import ONE_STEP, Mutant, Silence, deep
from conformance.oracle.conventions import Conventions
from conformance.oracle.equations import clip, descend

EPSILON = 1e-6


def lower_layers_zero(spec: ModelSpec, grads: Arrays) -> Arrays:
    """What MXNet's native path does where the data's gradient is not asked for."""
    kept = (f"layer{spec.L}.", "output.")
    return {n: a if n.startswith(kept) or n[0] in "XHC" else 0 * a for n, a in grads.items()}


def without(*patterns: str):
    """These gradients are zero."""
    return lambda spec, grads: {
        n: 0 * a if n in patterns or n.split(".")[-1].startswith(patterns) else a
        for n, a in grads.items()
    }


def scaled(grads: Arrays, norm: np.ndarray, theta: float, epsilon: float = 0) -> Arrays:
    scale = min(norm.dtype.type(1), norm.dtype.type(theta) / (norm + norm.dtype.type(epsilon)))
    return {name: g * scale for name, g in grads.items()}


def global_norm(grads: Arrays) -> np.ndarray:
    return clip(grads, 1.0)[0]


def no_clip(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    return global_norm(grads), grads


def always(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    norm = global_norm(grads)
    return norm, {name: g * (norm.dtype.type(theta) / norm) for name, g in grads.items()}


def per_tensor(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    return global_norm(grads), {name: clip({name: g}, theta)[1][name] for name, g in grads.items()}


def by_value(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    return global_norm(grads), {name: np.clip(g, -theta, theta) for name, g in grads.items()}


def over(part):
    """The norm of some parameters only, and only they are scaled."""

    def found(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
        norm, clipped = clip({n: g for n, g in grads.items() if part(n)}, theta)
        return norm, grads | clipped

    return found


def norm_of(part):
    """The norm of some parameters only, but all are scaled by it."""

    def found(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
        norm = global_norm({n: g for n, g in grads.items() if part(n)})
        return norm, scaled(grads, norm, theta)

    return found


def with_epsilon(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    """torch's ``clip_grad_norm_`` divides by ‖g‖ + 10⁻⁶"""
    norm = global_norm(grads)
    return norm, scaled(grads, norm, theta, EPSILON)


def squared(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    norm = global_norm(grads) ** 2
    return norm, scaled(grads, norm, theta)


def sum_of_norms(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    norm = np.sum([global_norm({n: g}) for n, g in grads.items()]).astype(grads["output.b_q"].dtype)
    return norm, scaled(grads, norm, theta)


def of_the_step(eta: float):
    """The learning rate is multiplied in before the clip, which then sees η‖g‖."""

    def found(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
        norm = global_norm(grads) * grads["output.b_q"].dtype.type(eta)
        return norm, scaled(grads, norm, theta)

    return found


def is_single_bias(name: str) -> bool:
    """b_xh and b_hh of the reset-after GRU are two already, and the output layer has one."""
    return name.startswith("layer") and ".b_" in name and not name.endswith(("b_xh", "b_hh"))


def two_biases_norm(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    """Each of two trained biases has the gradient g_b, so it counts twice in ‖g‖²."""
    twice = {f"{n} again": g for n, g in grads.items() if is_single_bias(n)}
    norm = global_norm(grads | twice)
    return norm, scaled(grads, norm, theta)


def two_biases_step(params: Arrays, grads: Arrays, recipe: Recipe) -> Arrays:
    return descend(params, {n: 2 * g if is_single_bias(n) else g for n, g in grads.items()}, recipe)


def rate(factor: float):
    def found(params: Arrays, grads: Arrays, recipe: Recipe) -> Arrays:
        return descend(params, {n: g * g.dtype.type(factor) for n, g in grads.items()}, recipe)

    return found


def weight_decay(params: Arrays, grads: Arrays, recipe: Recipe) -> Arrays:
    return descend(
        params, {n: g + g.dtype.type(1e-4) * params[n] for n, g in grads.items()}, recipe
    )


def frozen(*patterns: str):
    return lambda params, grads, recipe: descend(params, without(*patterns)(None, grads), recipe)


def frozen_where(part):
    """Parameters of that part are not updated."""

    def found(params: Arrays, grads: Arrays, recipe: Recipe) -> Arrays:
        return descend(params, {n: 0 * g if part(n) else g for n, g in grads.items()}, recipe)

    return found


def momentum(grads: Arrays, last: Arrays | None) -> Arrays:
    return grads if last is None else {n: g + g.dtype.type(0.9) * last[n] for n, g in grads.items()}


def not_zeroed(grads: Arrays, last: Arrays | None) -> Arrays:
    return grads if last is None else {n: g + last[n] for n, g in grads.items()}


def is_layer(name: str) -> bool:
    return name.startswith("layer")


UNCLIPPED = Silence(
    lambda case: case.recipe.clip > 1, "the norm stays below θ; rung clip tells where it does not"
)
CLIPPED = Silence(
    lambda case: case.recipe.clip <= 1, "the norm is above θ; rung clip tells where it is not"
)


def _clip(name: str, says: str, change, *silences: Silence) -> Mutant:
    return Mutant(name, says, Conventions(clip=change), silences=silences, forward=False)


def _grads(name: str, says: str, change, applies=lambda spec: True) -> Mutant:
    return Mutant(name, says, Conventions(gradients=(change,)), applies, forward=False)


def _loop(name: str, says: str, *silences: Silence, **choices) -> Mutant:
    return Mutant(name, says, Conventions(**choices), silences=silences, forward=False)


TRAINING = [
    _grads("lower layers' gradients zero", "only the top layer gets gradients", lower_layers_zero,
           deep(2)),
    _grads("gradient of H_0 missing", "the gradient of the initial state is zero",
           without("H0", "C0")),
    _grads("gradient of X missing", "the gradient of the input is zero", without("X")),
    _grads("biases get no gradient", "the layers' and the output's biases get no gradient",
           without("b_")),
    _loop("no gradient through time", "gradients stop at every step", ONE_STEP, carry=stop),
    _loop("loss summed", "the loss is the sum over T·n", count=lambda T, n, predictions: 1),
    _loop("loss averaged over n only", "the loss is summed over time and averaged over n",
          ONE_STEP, count=lambda T, n, predictions: n),
    _loop("loss averaged over T only", "the loss is averaged over time and summed over n",
          Silence(lambda case: case.n == 1, "a batch of one"), count=lambda T, n, predictions: T),
    _loop("targets one step late", "Y_{t−1} is the target at step t", ONE_STEP,
          targets=(one_step_late,)),
    _clip("no clip", "gradients are not clipped", no_clip, UNCLIPPED),
    _clip("always scaled to θ", "gradients are scaled to ‖g‖ = θ even if they are shorter", always,
          CLIPPED),
    _clip("clip per tensor", "every tensor is clipped by its own norm", per_tensor, UNCLIPPED),
    _clip("clip by value", "every element is clipped to ±θ", by_value, UNCLIPPED),
    _clip("clip without the output layer", "the output layer is left out of the clip",
          over(is_layer)),
    _clip("norm without the output layer", "the output layer is left out of the norm",
          norm_of(is_layer)),
    _clip("norm without biases", "biases are left out of the norm",
          norm_of(lambda name: ".b_" not in name)),
    _clip("epsilon in the clip", "the clip divides by ‖g‖ + 1e-6", with_epsilon, UNCLIPPED),
    _clip("squared norm", "the clip uses ‖g‖² instead of ‖g‖", squared),
    _clip("sum of norms", "the clip uses the sum of the tensors' norms", sum_of_norms),
    _clip("learning rate before the clip", "the learning rate is applied before the clip",
          of_the_step(0.5)),
    _loop("two trainable biases", "every gate has two trainable biases", clip=two_biases_norm,
          descend=two_biases_step),
    _loop("learning rate 5 % too high", "the learning rate is 5 % higher", descend=rate(1.05)),
    _loop("gradient ascent", "the update is added, not subtracted", descend=rate(-1)),
    _loop("weight decay", "weights decay by 1e-4", descend=weight_decay),
    _loop("output layer frozen", "the output layer is not updated",
          descend=frozen("W_hq", "b_q")),
    _loop("biases frozen", "biases are not updated", descend=frozen("b_")),
    _loop("momentum", "the update has a momentum of 0.9", accumulate=momentum),
    _loop("gradients not zeroed", "the last step's gradients are added to", accumulate=not_zeroed),
    _loop("state not carried", "every minibatch starts from the first state",
          carried=lambda first, last: first),
    _loop("state not detached", "gradients go back into earlier minibatches", detached=False),
]  # fmt: skip
