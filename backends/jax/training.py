"""Loss, gradients and the training step, the same for the equations and for the layers."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from backends.jax.equations import Equations, State, cross_entropy, one_hot
from backends.jax.layers import Layers
from backends.jax.runtime import compiler, shared, to_array
from backends.jax.workers import Workers
from backends.protocol import Forward, Gradients, Step
from common.dropout import Dropout, check_dropout
from common.lattice import UNITS
from common.lengths import steps_within
from common.parameters import Arrays
from common.recipe import Recipe

Tree = dict
"""Parameters or gradients as a net has them: nested dicts of arrays."""

Seen = tuple
"""O, the last state, and perhaps the trace."""


class Programs:
    """What is compiled of one net: once for every shape, and for all models of its spec."""

    def __init__(self, net: Equations | Layers, device: jax.Device) -> None:
        self.net = net
        self.compiled = partial(jax.jit, **compiler(net.spec, device))
        self.outputs: Callable[..., tuple] = self.compiled(lambda *given: net(*given))
        self.answered: Callable[..., tuple] = self.compiled(self.answer)
        self.applied: Callable[..., tuple] = apply
        self.updates: dict[tuple, Callable] = {}

    def answer(
        self, params: Tree, X: Array, state: State, Y: Array, *more: Any
    ) -> tuple[tuple[Array, Seen], tuple[Tree, Array, State]]:
        """All that a case asks about a minibatch, in one program: the mean loss; O, the last state
        and the trace; the loss' gradients by the parameters, X and the initial state."""
        found, grads = backward(self.net.forward, params, X, Y, state, (0, 1, 2), *more)
        return found, (self.net.freeze(grads[0]), *grads[1:])

    def updated(self, recipe: Recipe) -> Callable[..., tuple]:
        """A training step of that recipe. In a training run it is one program, and the parameters
        and the state that it is given lend their memory to what it makes of them. The few steps of
        a case do not pay for compiling it: their gradients are those of ``answered``, and are
        applied tensor by tensor."""
        if recipe.epochs == 1:
            return partial(self.step_in_two, recipe)
        wanted = recipe.learning_rate, recipe.clip, recipe.lattice
        if wanted not in self.updates:
            step = partial(update, self.net, recipe, lambda tensors: tensors)
            self.updates[wanted] = self.compiled(step, donate_argnums=(0, 1))
        return self.updates[wanted]

    def step_in_two(
        self, recipe: Recipe, params: Tree, state: State, X: Array, Y: Array, *more: Any
    ) -> tuple[Tree, State, Tree, Array, Array]:
        """As ``update``."""
        (loss, (_, last, _)), (grads, *_) = self.answered(params, X, state, Y, *more)
        params, last, grads, norm = self.applied(recipe, params, last, grads)
        return params, last, grads, loss, norm


class Model:
    """An ``Equations`` or ``Layers`` net with its parameters behind the protocol: NumPy in, NumPy
    out. Whatever computes is compiled."""

    def __init__(
        self, programs: Programs, params: State, device: jax.Device, dtype: jnp.dtype
    ) -> None:
        self.programs, self.net, self.device, self.dtype = programs, programs.net, device, dtype
        self.params = self.net.native(params)

    def tensor(self, array: np.ndarray) -> Array:
        """A copy: on a CPU JAX would keep NumPy's memory, and a step may then write into it."""
        return jax.device_put(np.array(array, self.dtype), self.device)

    def tensors(self, state: Arrays) -> State:
        return {part: self.tensor(array) for part, array in state.items()}

    def inputs(self, X: np.ndarray) -> Array:
        """Floats (T, n, d); class numbers (T, n) become one-hot vectors, rows of the identity."""
        return one_hot(X, self.net.spec.d, self.dtype) if X.ndim == 2 else self.tensor(X)

    def parameters(self) -> Arrays:
        return self.net.canonical(self.params)

    def within(self, X: np.ndarray, lengths: np.ndarray | None) -> Array | None:
        """(T, n, 1): where a step is the example's own   (LEN-1)"""
        if lengths is None:
            return None
        T, n = X.shape[:2]
        return jax.device_put(steps_within(lengths, n, T)[..., None], self.device)

    def kept(self, X: np.ndarray, dropout: Dropout | None) -> list[Array]:
        """M / (1 − r) of every layer but the last; none if nothing is dropped   (DROP-1)"""
        if dropout is None:
            return []
        spec, (T, n) = self.net.spec, X.shape[:2]
        checked = check_dropout(dropout, spec, n, T)
        return [self.tensor(mask) / (1 - checked.rate) for mask in checked.by_layer(spec)]

    def more(self, X: np.ndarray, lengths: np.ndarray | None, dropout: Dropout | None) -> list:
        """``within`` and ``kept`` as further arguments, as few as say it: a question without them
        has a program of its own."""
        within, kept = self.within(X, lengths), self.kept(X, dropout)
        return [within, kept] if kept else [] if within is None else [within]

    def outputs(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[np.ndarray, Arrays]:
        more = self.more(X, lengths, dropout)
        given = self.params, self.inputs(X), self.tensors(state), *more
        O, last = self.programs.outputs(*given)
        return to_array(O), to_arrays(last, state)

    def forward(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Forward:
        given = self.params, self.inputs(X), self.tensors(state)
        more = self.more(X, lengths, dropout)
        (_, (O, last, trace)), _ = self.programs.answered(*given, any_classes(X), *more)
        return Forward(to_array(O), to_arrays(last, state), to_arrays(trace, state))

    def loss_and_gradients(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Gradients:
        more = self.more(X, lengths, dropout)
        given = self.params, self.inputs(X), self.tensors(state), Y, *more
        (loss, _), (grads, by_X, by_state) = self.programs.answered(*given)
        found = self.net.canonical(grads) | {"X": to_array(by_X)}
        found |= {f"{part}0": array for part, array in to_arrays(by_state, state).items()}
        return Gradients(float(loss), found)

    def trainer(self, recipe: Recipe, state: Arrays, workers: Workers | None = None) -> "Trainer":
        return Trainer(self, recipe, state, workers)


def any_classes(X: Array | np.ndarray) -> np.ndarray:
    """Class numbers (T, n) for a loss that nobody asks for."""
    return np.zeros(X.shape[:2], "int64")


def to_arrays(state: State, like: Arrays) -> Arrays:
    """The parts of a state, in the order of another one: jax.jit sorts them by name."""
    return {part: to_array(state[part]) for part in like}


def backward(
    forward: Callable,
    params: Tree,
    X: Array,
    Y: Array,
    state: State,
    by: tuple[int, ...],
    within: Array | None = None,
    kept: Sequence[Array] = (),
) -> tuple[tuple[Array, Seen], tuple]:
    """The mean loss, what ``forward`` returned, O first, and the gradients by the parameters (0),
    X (1), state (2)."""

    def loss(params: Tree, X: Array, state: State) -> tuple[Array, Seen]:
        seen = forward(params, X, state, within, kept)
        return cross_entropy(seen[0], Y, within), seen

    return jax.value_and_grad(loss, by, has_aux=True)(params, X, state)


def clip(grads: Tree, theta: float) -> tuple[Array, Tree]:
    """‖g‖ = √Σ g²  over all parameters (CLIP-1);  g ← g · θ/‖g‖ if ‖g‖ > θ (CLIP-2)

    The scale is min(1, θ/‖g‖), so that no value has to be read from the device to decide.
    """
    norm = jnp.sqrt(sum(sum_of_squares(grad) for grad in jax.tree.leaves(grads)))
    scale = jnp.minimum(theta / norm, 1)
    return norm, jax.tree.map(lambda grad: scaled(grad, scale), grads)


@shared
def sum_of_squares(tensor: Array) -> Array:
    return jnp.square(tensor).sum()


@shared
def scaled(tensor: Array, scale: Array) -> Array:
    return tensor * scale


@shared
def descended(w: Array, grad: Array, rate: float) -> Array:
    """w ← w − η g   (SGD-1)"""
    return w - rate * grad


@shared
def to_lattice(tensor: Array) -> Array:
    """rint(w · 2²⁰) / 2²⁰   (LATTICE-1)"""
    return jnp.rint(tensor * UNITS) / UNITS


def update(
    net: Equations | Layers,
    recipe: Recipe,
    mean: Callable,
    params: Tree,
    state: State,
    X: Array,
    Y: Array,
    *more: Any,
) -> tuple[Tree, State, Tree, Array, Array]:
    """The new parameters, the last state, the clipped gradients, the loss, and the norm before the
    clip; ``mean`` averages loss and gradients over the workers, if there are any."""
    (loss, (_, last)), (grads,) = backward(net, params, X, Y, state, (0,), *more)
    loss, grads = mean((loss, grads))
    params, last, grads, norm = apply(recipe, params, last, net.freeze(grads))
    return params, last, grads, loss, norm


def apply(
    recipe: Recipe, params: Tree, last: State, grads: Tree
) -> tuple[Tree, State, Tree, Array]:
    """The new parameters, the last state, the clipped gradients, and the norm before the clip."""
    norm, grads = clip(grads, recipe.clip)
    params = jax.tree.map(lambda w, g: descended(w, g, recipe.learning_rate), params, grads)
    if recipe.lattice:
        params, last = jax.tree.map(to_lattice, (params, last))
    return params, last, grads, norm


class Trainer:
    """Steps of plain SGD (SGD-1: w ← w − η g), the state carried and detached: it goes into the
    next step as a number. Each step is given the memory of the last one's parameters and state."""

    def __init__(
        self, model: Model, recipe: Recipe, state: Arrays, workers: Workers | None
    ) -> None:
        self.model = model
        if workers:
            self.update = workers.compiled(partial(update, model.net, recipe, workers.mean))
        else:
            self.update = model.programs.updated(recipe)
        self.start(state)

    def start(self, state: Arrays) -> None:
        self.state = self.model.tensors(state)

    def step(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Step:
        model = self.model
        more = model.more(X, lengths, dropout)
        given = model.params, self.state, model.inputs(X), Y, *more
        model.params, self.state, self.grads, loss, norm = self.update(*given)
        return Step(loss, norm)

    def gradients(self) -> Arrays:
        return self.model.net.canonical(self.grads)

    def parameters(self) -> Arrays:
        return self.model.parameters()
