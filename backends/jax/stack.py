"""A small net's layers one by one, by programs that all nets share which have such a layer.

XLA takes a thousand times as long to compile a case of the ladder as the case computes, and the
cases of a family have the same layers, more of them or fewer. So there are two programs of a layer,
forward and backward, and one of the output layer with the loss, chained by ``jax.vjp``:

    H^(l) = layer l of H^(l−1)               l = 1 … L
    ℓ, ∂ℓ/∂H^(L) of the output layer
    ∂ℓ/∂H^(l−1), by layer l's weights and state, of ∂ℓ/∂H^(l)     l = L … 1

A case's update is one program of all parameters in one vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from backends.jax.equations import Equations, State, ended
from backends.jax.layers import Layers
from backends.jax.runtime import compiler, of_small, shared
from backends.jax.training import Programs, Tree, any_classes, apply, backward
from common.recipe import Recipe
from common.spec import ModelSpec

HELD = 128
"""Of so many layers the programs are held."""

LENGTH = 4096
"""A vector of all parameters has zeros behind them, up to a multiple of it."""


class Layer:
    """The programs of a layer, as of a net that has no other."""

    def __init__(self, net: Equations | Layers, device: jax.Device) -> None:
        self.net = net
        self.forward = jax.jit(self.run, **compiler(net.spec, device))
        self.backward = jax.jit(self.pull, **compiler(net.spec, device))

    def run(
        self, params: Tree, X: Array, state: State, within: Array | None = None
    ) -> tuple[Array, Callable, tuple[State, State]]:
        """H, (T, n, D·h), what ``backward`` needs, and the last state and the trace."""

        def hidden(params: Tree, X: Array, state: State) -> tuple[Array, tuple[State, State]]:
            H, last, trace = self.net.hidden(params, X, state, within)
            return H, (last, trace)

        return jax.vjp(hidden, params, X, state, has_aux=True)

    def pull(self, kept: Callable, by_H: Array) -> tuple[Tree, Array, State]:
        """The loss' gradients by the weights, X and the initial state, from those by H."""
        by_params, by_X, by_state = kept(by_H)
        return self.net.freeze(by_params), by_X, by_state


class Output:
    """The program of the output layer and the loss."""

    def __init__(self, net: Equations | Layers, device: jax.Device) -> None:
        self.net = net
        self.program = jax.jit(self.run, **compiler(net.spec, device))

    def run(self, params: Tree, H: Array, Y: Array, within: Array | None = None) -> tuple:
        """The loss and O, (T, n, q), and the loss' gradients by the weights and by H."""

        def output(params: Tree, H: Array, *_: Any) -> tuple[Array]:
            return (ended(self.net.output(params, H), within),)

        return backward(output, params, H, Y, {}, (0, 1), within)


# Nothing is shared by two implementations, which may be of two tiers.
@lru_cache(HELD)
def layer_of(made: Any, kind: type, spec: ModelSpec, dtype: jnp.dtype, device: jax.Device) -> Layer:
    return Layer(kind(spec, dtype), device)


@lru_cache(HELD)
def output_of(
    made: Any, kind: type, width: int, q: int, dtype: jnp.dtype, device: jax.Device
) -> Output:
    """Whatever the layers below it are."""
    return Output(kind(ModelSpec("rnn", width, width, q, 1, ("tanh",)), dtype), device)


@lru_cache(HELD)
def update_of(made: Any, recipe: Recipe, device: jax.Device) -> Callable[..., tuple]:
    return jax.jit(partial(apply, recipe), **of_small(device.platform))


class Stack(Programs):
    """What is compiled of a small net."""

    def __init__(
        self, made: Any, net: Equations | Layers, dtype: jnp.dtype, device: jax.Device
    ) -> None:
        super().__init__(net, device)
        self.made, self.device = made, device
        self.alone = [replace(net.spec.alone(k), q=1) for k in range(1, net.spec.L + 1)]
        kind, spec = type(net), net.spec
        self.layers = [layer_of(made, kind, one, dtype, device) for one in self.alone]
        self.top = output_of(made, kind, spec.width, spec.q, dtype, device)
        self.outputs, self.answered, self.applied = self.predict, self.chain, self.apply_to_all

    def predict(
        self,
        params: Tree,
        X: Array,
        state: State,
        within: Array | None = None,
        kept: Sequence[Array] = (),
    ) -> tuple[Array, State]:
        """O and the last state."""
        top, H, _, seen = self.climb(params, X, state, within, kept)
        (_, (O,)), _ = self.top.program(top, H, any_classes(X), within)
        return O, self.join([last for last, _ in seen], 0)

    def chain(
        self,
        params: Tree,
        X: Array,
        state: State,
        Y: Array,
        within: Array | None = None,
        kept: Sequence[Array] = (),
    ) -> tuple[tuple[Array, tuple], tuple[Tree, Array, State]]:
        """As ``answer``."""
        top, H, pulls, seen = self.climb(params, X, state, within, kept)
        (loss, (O,)), (by_top, by_H) = self.top.program(top, H, Y, within)
        grads, starts = [by_top], []
        for number, layer in reversed(list(enumerate(self.layers, start=1))):
            by_H = handed(by_H, number, kept)
            by_own, by_H, by_start = layer.backward(pulls[number - 1], by_H)
            grads.insert(0, by_own)
            starts.insert(0, by_start)
        last, trace = (self.join(list(rows), a) for a, rows in enumerate(zip(*seen, strict=True)))
        return (loss, (O, last, trace)), (self.net.whole(grads), by_H, self.join(starts, 0))

    def climb(
        self,
        params: Tree,
        X: Array,
        state: State,
        within: Array | None,
        kept: Sequence[Array],
    ) -> tuple[Tree, Array, list[Callable], list[tuple[State, State]]]:
        """The output layer's weights, H of the top layer, and of each layer what its way back needs
        and its last state and trace."""
        *own, top = self.net.pieces(params)
        H, pulls, seen = X, list[Callable](), []
        for number, start in enumerate(self.split(state), start=1):
            H, pull, found = self.layers[number - 1].forward(own[number - 1], H, start, within)
            H = handed(H, number, kept)
            pulls.append(pull)
            seen.append(found)
        return top, H, pulls, seen

    def split(self, state: State) -> list[dict[str, np.ndarray]]:
        """The state of each layer, (D, n, h) for each part. In NumPy: JAX would compile it."""
        D, arrays = self.net.spec.directions, {part: np.asarray(a) for part, a in state.items()}
        return [
            {part: a[k * D : (k + 1) * D, :, : spec.most(part)] for part, a in arrays.items()}
            for k, spec in enumerate(self.alone)
        ]

    def join(self, layers: list[State], axis: int) -> State:
        """The rows of all layers in one array, as wide as the widest: zeros behind the others."""
        joined = {}
        for part in layers[0]:
            rows = [np.asarray(layer[part]) for layer in layers]
            widest = max(row.shape[-1] for row in rows)
            wide = [widened(row, widest) for row in rows]
            joined[part] = jax.device_put(np.concatenate(wide, axis), self.device)
        return joined

    def apply_to_all(
        self, recipe: Recipe, params: Tree, last: State, grads: Tree
    ) -> tuple[Tree, State, Tree, Array]:
        """As ``apply``."""
        update = update_of(self.made, recipe, self.device)
        made = update(*({"": in_a_row(tree)} for tree in (params, last, grads)))
        *made, norm = made
        trees = [
            self.like(tree, vector[""])
            for tree, vector in zip((params, last, grads), made, strict=True)
        ]
        return trees[0], trees[1], trees[2], norm

    def like(self, tree: Tree, vector: Array) -> Tree:
        """The numbers of a vector in the shapes of a tree."""
        leaves, kind = jax.tree.flatten(tree)
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        parts = np.split(np.asarray(vector)[: sum(leaf.size for leaf in leaves)], ends)
        arrays = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(kind, [jax.device_put(a, self.device) for a in arrays])


def handed(H: Array, layer: int, kept: Sequence[Array]) -> Array:
    """As ``dropped``; and, being linear, what comes back of a gradient."""
    return times(H, kept[layer - 1]) if layer <= len(kept) else H


@shared
def times(H: Array, M: Array) -> Array:
    return H * M


def widened(row: np.ndarray, size: int) -> np.ndarray:
    return np.pad(row, [(0, 0)] * (row.ndim - 1) + [(0, size - row.shape[-1])])


def in_a_row(tree: Tree) -> np.ndarray:
    """All numbers of a tree in one vector."""
    row = np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])
    return widened(row, -(-row.size // LENGTH) * LENGTH)
