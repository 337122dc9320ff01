"""Put faults into a backend from outside: into what it is handed and hands back, and by patching
its modules while its own code runs."""

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np

from backends import registry
from backends.protocol import Forward, Gradients, Implementation
from common.dropout import as_two
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec
from tests.backends.faults import Fault


@dataclass(frozen=True)
class Sabotaged:
    """A backend's implementation with one fault."""

    inner: Implementation
    name: str
    backend: str
    fault: Fault

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        among = self.fault.among(spec, lengths, dropout)
        if not (self.fault.applies(self.name, spec) and among):
            return "this fault cannot be put in here"
        return self.inner.unsupported(self.fault.spec(spec), lengths, dropout)

    def model(self, spec: ModelSpec, params: Arrays) -> "SabotagedModel":
        return SabotagedModel(self, spec, params)

    @contextmanager
    def patched(self) -> Iterator[None]:
        with ExitStack() as stack:
            for module, name, replacement in self.fault.patches(self.backend):
                stack.enter_context(
                    patch.object(importlib.import_module(module), name, replacement)
                )
            yield


def patched(method: Callable) -> Callable:
    """Run a method with the fault's patches in place."""

    @functools.wraps(method)
    def run(self, *arguments):
        with self.sabotage.patched():
            return method(self, *arguments)

    return run


class SabotagedModel:
    def __init__(self, sabotage: Sabotaged, spec: ModelSpec, params: Arrays) -> None:
        self.sabotage, self.fault, self.spec = sabotage, sabotage.fault, spec
        with sabotage.patched():
            self.inner = sabotage.inner.model(self.fault.spec(spec), self.fault.into(params))

    def given(self, more: tuple, X: np.ndarray) -> list:
        """Lengths and dropout as the fault hands them on, if there are any."""
        lengths, dropout = as_two(more)
        found = [None if lengths is None else self.fault.lengths(lengths, len(X))]
        found += [] if dropout is None else [self.fault.dropout(dropout)]
        return found if more else []

    @patched
    def parameters(self) -> Arrays:
        return self.fault.back(as_labelled(self.inner.parameters()))

    @patched
    def forward(self, X: np.ndarray, state: Arrays, *more: Any) -> Forward:
        made = self.inner.forward(self.fault.X(X), self.fault.start(state), *self.given(more, X))
        outputs = made.outputs.astype("float64")
        return Forward(outputs, as_labelled(made.state), as_labelled(made.trace))

    @patched
    def outputs(self, X: np.ndarray, state: Arrays, *more: Any) -> tuple[np.ndarray, Arrays]:
        given = self.given(more, X)
        O, last = self.inner.outputs(self.fault.X(X), self.fault.start(state), *given)
        return O.astype("float64"), as_labelled(last)

    @patched
    def loss_and_gradients(
        self, X: np.ndarray, Y: np.ndarray, state: Arrays, *more: Any
    ) -> Gradients:
        fault = self.fault
        given = fault.X(X), fault.Y(Y), fault.start(state), *self.given(more, X)
        made = self.inner.loss_and_gradients(*given)
        grads = fault.gradients(self.spec, (fault.pull or fault.back)(as_labelled(made.gradients)))
        return Gradients(made.loss, grads)

    @patched
    def trainer(self, recipe: Recipe, state: Arrays) -> "SabotagedTrainer":
        return SabotagedTrainer(self, recipe, state)


class SabotagedTrainer:
    def __init__(self, model: SabotagedModel, recipe: Recipe, state: Arrays) -> None:
        self.sabotage, self.fault, self.model = model.sabotage, model.fault, model
        self.first = self.fault.start(state)
        self.inner = model.inner.trainer(self.fault.recipe(recipe), self.first)

    @patched
    def step(self, X: np.ndarray, Y: np.ndarray, *more: Any) -> Any:
        if not self.fault.carried:
            self.inner.start(self.first)
        given = self.fault.X(X), self.fault.Y(Y), *self.model.given(more, X)
        return self.inner.step(*given)

    @patched
    def gradients(self) -> Arrays:
        grads = (self.fault.pull or self.fault.back)(as_labelled(self.inner.gradients()))
        return self.fault.gradients(self.model.spec, grads)

    @patched
    def parameters(self) -> Arrays:
        return self.fault.back(as_labelled(self.inner.parameters()))


def as_labelled(arrays: Arrays) -> Arrays:
    return {name: array.astype("float64") for name, array in arrays.items()}


def sabotage(backend: str, faults: dict[str, Fault]) -> None:
    """Let a backend offer every implementation once sound, and once with every fault. What a fault
    does not patch is one with the sound implementation: what that has compiled serves it, too."""
    module = registry.load(backend)
    make, names = module.implementation, module.IMPLEMENTATIONS
    shared = functools.cache(make)

    def implementation(name: str, device: str, dtype: str) -> Implementation:
        own, _, fault = name.partition("-")
        if not fault:
            return shared(own, device, dtype)
        changes = faults[fault].patches(backend)
        inner = (make if changes else shared)(own, device, faults[fault].compute)
        return Sabotaged(inner, own, backend, faults[fault])

    module.implementation = implementation
    module.IMPLEMENTATIONS = (*names, *(f"{name}-{fault}" for name in names for fault in faults))
