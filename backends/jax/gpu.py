"""What a GPU makes worth while: many training runs stacked into one, and a step whose data are on
the device already."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from backends.jax.bare import scan_loop
from backends.jax.equations import Equations, State, one_hot
from backends.jax.runtime import find_device, tf32, to_array
from backends.jax.training import backward
from common.parameters import Arrays, zero_state
from common.recipe import Recipe
from common.spec import ModelSpec


def member_step(
    net: Equations, numbers: State, params: State, state: State, X: Array, Y: Array
) -> tuple[State, State, Array, Array]:
    """A step of plain SGD with numbers of this member's own, which are arrays: η and θ;
    ``carried``, 1, or 0 if every minibatch begins with zeros; ``second_bias``, 0, or 1 if a gate's
    bias is the sum of two that are trained; ``shown``, what the norm is multiplied by. With 1, 0
    and 1 it is ``training.update``: to multiply by 1 rounds nothing."""
    state = jax.tree.map(lambda part: part * numbers["carried"], state)
    (loss, (_, last)), (grads,) = backward(net, params, X, Y, state, (0,))
    counts = {
        name: 1 + numbers["second_bias"] * (name.startswith("layer") and ".b_" in name)
        for name in grads
    }
    squares = (counts[name] * jnp.square(grad).sum() for name, grad in grads.items())
    norm = jnp.sqrt(sum(squares))
    scale = jnp.minimum(numbers["theta"] / norm, 1)
    moved = {name: counts[name] * (grad * scale) for name, grad in grads.items()}
    params = {name: params[name] - numbers["eta"] * moved[name] for name in params}
    return params, last, loss, norm * numbers["shown"]


class Stacked:
    """m training runs of one spec in float32, side by side in one batch of weights; the equations.

    params: by canonical name, (m, …)     numbers: of ``member_step``, (m,) each
    """

    def __init__(self, spec: ModelSpec, params: Arrays, numbers: Arrays, device: str) -> None:
        self.spec, self.place = spec, find_device(device, "float32")
        net = Equations(spec, jnp.float32)
        step = jax.vmap(partial(member_step, net), in_axes=(0, 0, 0, None, None))

        @partial(jax.jit, donate_argnums=(0,))
        def epoch(
            params: State, numbers: State, state: State, X: Array, Y: Array
        ) -> tuple[State, Array, Array]:
            def one(now: tuple, batch: tuple) -> tuple:
                X = one_hot(batch[0], spec.d, jnp.float32)
                params, state, loss, norm = step(numbers, *now, X, batch[1])
                return (params, state), (loss, norm)

            (params, _), (losses, norms) = lax.scan(one, (params, state), (X, Y))
            return params, losses, norms

        self.run = epoch
        self.params, self.numbers = self.put(params), self.put(numbers)

    def put(self, arrays: Arrays) -> State:
        made = {name: np.array(a, "float32") for name, a in arrays.items()}
        return jax.device_put(made, self.place)

    def epoch(self, X: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Losses and norms, (steps, m), of an epoch of minibatches in class numbers, (steps, T, n);
        the state is zero when it begins."""
        members = len(next(iter(self.numbers.values())))
        zero = zero_state(self.spec, X.shape[-1], "float32")
        state = self.put({part: np.stack([a] * members) for part, a in zero.items()})
        X, Y = (jax.device_put(a, self.place) for a in (X, Y))
        self.params, losses, norms = self.run(self.params, self.numbers, state, X, Y)
        return to_array(losses), to_array(norms)

    def parameters(self) -> Arrays:
        return {name: to_array(array) for name, array in self.params.items()}


def stacked(spec: ModelSpec, params: Arrays, numbers: Arrays, device: str) -> Stacked:
    return Stacked(spec, params, numbers, device)


def ways(device: str) -> tuple[str, ...]:
    """How ``device_steps`` can run a step."""
    return ("scan",)


def device_steps(
    spec: ModelSpec, recipe: Recipe, numerics: str, device: str, way: str
) -> Callable[[int], None]:
    """A function that trains for so many steps on one minibatch that is on the device already, and
    waits for the end; the loop is ``bare.scan_loop``."""
    place = find_device(device, numerics if numerics == "tf32" else "float32")
    rng = np.random.RandomState(2)
    X, Y = jax.device_put(rng.randint(0, spec.d, (2, recipe.T, recipe.n)), place)
    dtype = {"float16": "float16", "mixed": "bfloat16"}.get(numerics, "float32")
    with jax.default_device(place):
        step = scan_loop(spec, recipe, dtype)

    def run(steps: int) -> None:
        loss = None
        for _ in range(steps):
            loss = step(X, Y)
        jax.block_until_ready(loss)

    return tf32()(run) if numerics == "tf32" else run
