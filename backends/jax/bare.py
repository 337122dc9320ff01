"""What a user would write without this suite: the benchmark's baselines, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from backends.jax.runtime import nnx, optax
from common.recipe import Recipe
from common.spec import ModelSpec


def make(spec: ModelSpec, dtype: str) -> nnx.List:
    """The recurrent layers and then the output layer, as Flax initialises them."""
    kind = {"rnn": nnx.SimpleCell, "gru": nnx.GRUCell, "lstm": nnx.OptimizedLSTMCell}[spec.cell]
    options = {"param_dtype": dtype, "rngs": nnx.Rngs(0)}

    def layer(number: int) -> nnx.RNN | nnx.Bidirectional:
        cells = [kind(spec.inputs_of(number), spec.h, **options) for _ in spec.ways]
        whole = {"time_major": True, "return_carry": True}
        halves = [nnx.RNN(cell, **whole, rngs=False) for cell in cells]
        return halves[0] if len(halves) == 1 else nnx.Bidirectional(*halves, **whole, rngs=False)

    layers = [layer(number) for number in range(1, spec.L + 1)]
    return nnx.List([*layers, nnx.Linear(spec.width, spec.q, **options)])


def run(graph: nnx.GraphDef, weights: nnx.State, X: Array, state: list) -> tuple[Array, list]:
    """O and the last carries."""
    *layers, output = nnx.merge(graph, weights)
    H, last = X, []
    for layer, carry in zip(layers, state, strict=True):
        carry, H = layer(H, initial_carry=carry)
        last.append(carry)
    return output(H), last


def zero_carry(spec: ModelSpec, n: int, dtype: str) -> list:
    """What Flax's cells start from: (C, H) for the LSTM, else H."""
    zero = np.zeros((n, spec.h), dtype)

    def carry() -> Any:
        one = [(zero, zero) if spec.cell == "lstm" else zero for _ in spec.ways]
        return tuple(one) if spec.directions == 2 else one[0]

    return jax.tree.map(jnp.array, [carry() for _ in range(spec.L)])


def cross_entropy(O: Array, Y: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(O, Y).mean()


def bare(spec: ModelSpec, dtype: str) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    """A function from X (T, n, d) and Y (T, n) to the gradients by all weights, X and the state."""
    graph, weights = nnx.split(make(spec, dtype))

    @jax.jit
    def differentiate(weights, X, state, Y):
        def loss(weights, X, state):
            O, _ = run(graph, weights, X, state)
            return cross_entropy(O, Y)

        return jax.grad(loss, (0, 1, 2))(weights, X, state)

    def gradients(X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
        state = zero_carry(spec, X.shape[1], dtype)
        found = differentiate(weights, X.astype(dtype), state, Y)
        return [np.array(grad) for grad in jax.tree.leaves(found)]

    return gradients


def bare_loop(
    spec: ModelSpec, recipe: Recipe, dtype: str
) -> Callable[[np.ndarray, np.ndarray], Array]:
    """A training step as one writes it who knows Flax: from class numbers X and Y (T, n) to the
    loss, which is not read; one jitted step with donated buffers, and optax' own clip and SGD."""
    graph, weights = nnx.split(make(spec, dtype))
    sgd = optax.sgd(recipe.learning_rate)
    optimiser = optax.chain(optax.clip_by_global_norm(recipe.clip), sgd)
    moments, state = optimiser.init(weights), zero_carry(spec, recipe.n, dtype)

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(weights, moments, state, X, Y):
        def loss(weights):
            X_hot = jax.nn.one_hot(X, spec.d, dtype=dtype)
            O, last = run(graph, weights, X_hot, state)
            return cross_entropy(O, Y), last

        (value, last), grads = jax.value_and_grad(loss, has_aux=True)(weights)
        updates, moments = optimiser.update(grads, moments, weights)
        return optax.apply_updates(weights, updates), moments, last, value

    def step(X: np.ndarray, Y: np.ndarray) -> Array:
        nonlocal weights, moments, state
        weights, moments, state, loss = update(weights, moments, state, X, Y)
        return loss

    return step


def d2l_loop(
    spec: ModelSpec, recipe: Recipe, dtype: str
) -> Callable[[np.ndarray, np.ndarray], float]:
    """A training step with the habits of D2L's chapter, which has no JAX edition: forward and
    backward are compiled, but the clip reads the norm to decide, the update is eager, and the loss
    is read into a metric at every step. Source: D2L 0.17, ``train_epoch_ch8``, ``grad_clipping``.
    """
    graph, weights = nnx.split(make(spec, dtype))
    state, metric = zero_carry(spec, recipe.n, dtype), [0.0, 0.0]

    @jax.jit
    def differentiate(weights, X, Y, state):
        def loss(weights):
            O, last = run(graph, weights, X, state)
            return cross_entropy(O, Y), last

        return jax.value_and_grad(loss, has_aux=True)(weights)

    def clipped(grads, theta: float):
        norm = jnp.sqrt(sum(jnp.sum(grad**2) for grad in jax.tree.leaves(grads)))
        return jax.tree.map(lambda grad: grad * theta / norm, grads) if norm > theta else grads

    def step(X: np.ndarray, Y: np.ndarray) -> float:
        nonlocal weights, state
        one_hot = jax.nn.one_hot(X, spec.d, dtype=dtype)
        (loss, state), grads = differentiate(weights, one_hot, Y, state)
        grads = clipped(grads, recipe.clip)
        weights = jax.tree.map(lambda w, grad: w - recipe.learning_rate * grad, weights, grads)
        metric[0] += float(loss) * Y.size
        metric[1] += Y.size
        return float(loss)

    return step


def scan_loop(
    spec: ModelSpec, recipe: Recipe, dtype: str, unroll: int = 1
) -> Callable[[np.ndarray, np.ndarray], Array]:
    """The LSTM's training step over ``lax.scan`` alone: gates stacked, (in, 4h), the products with
    the inputs before the loop, so many time steps to a round of it, buffers donated."""
    rng, h = np.random.RandomState(0), spec.h

    def draw(*shape: int) -> Array:
        return jnp.asarray(rng.uniform(-1, 1, shape) / h**0.5, dtype)

    sizes = [spec.h if layer else spec.d for layer in range(spec.L)]
    weights = [(draw(d, 4 * h), draw(h, 4 * h), draw(4 * h)) for d in sizes]
    weights = weights, draw(h, spec.q), draw(spec.q)
    state = zero_carry(spec, recipe.n, dtype)

    def forward(weights, X, state):
        layers, W_hq, b_q = weights
        H, last = X, []
        for (W_x, W_h, b), carry in zip(layers, state, strict=True):

            def one(carry, a, W_h=W_h):
                C, H = carry
                i, f, g, o = jnp.split(a + H @ W_h, 4, axis=-1)
                C = jax.nn.sigmoid(f) * C + jax.nn.sigmoid(i) * jnp.tanh(g)
                H = jax.nn.sigmoid(o) * jnp.tanh(C)
                return (C, H), H

            carry, H = lax.scan(one, carry, H @ W_x + b, unroll=unroll)
            last.append(carry)
        return H @ W_hq + b_q, last

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(weights, state, X, Y):
        def loss(weights):
            O, last = forward(weights, jax.nn.one_hot(X, spec.d, dtype=dtype), state)
            return cross_entropy(O, Y), last

        (value, last), grads = jax.value_and_grad(loss, has_aux=True)(weights)
        scale = jnp.minimum(recipe.clip / optax.tree.norm(grads), 1) * recipe.learning_rate
        return jax.tree.map(lambda w, g: w - scale * g, weights, grads), last, value

    def step(X: np.ndarray, Y: np.ndarray) -> Array:
        nonlocal weights, state
        weights, state, loss = update(weights, state, X, Y)
        return loss

    return step
