"""What a backend must offer.

NumPy in, NumPy out. An implementation is named ``<backend>:<equations|layers>``, or
``<backend>:<mode>`` where a backend can compute the layers in further ways, and is made for one
device and one dtype. It never knows what the right answer is. Every array is time-major, and every
name is canonical (common/parameters.py):

    X  (T, n, d) floats      Y  (T, n) class numbers      O  (T, n, q)
       or (T, n) class numbers, which stand for their one-hot vectors
    state, by part: H (and C for the LSTM), each (L, n, h), or (2L, n, h) with two directions:
    layer 1 forward, layer 1 backward, layer 2 forward, …
    lengths  (n,) whole numbers 1 … T, how many steps each example has; None if all have T (LEN-1).
       What lies behind an example's end is not read: whatever it is, the same comes out, to the
       bit; outputs and the trace are 0 there, and its last state is that of its own last step
    dropout  a rate, and masks between the layers (DROP-1); None if nothing is dropped, as in
       evaluation. The states and the trace are those before the mask

What is returned belongs to the caller: a later step does not change it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, SupportsFloat

import numpy as np

from common.dropout import Dropout
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec


@dataclass(frozen=True)
class Forward:
    """O (T, n, q) of all steps at once, the state after the last step, and the trace: the state of
    every layer after every step, (T, L, n, h) for each part, by step also where a layer reads the
    steps backward; its last state is then that of step 1.

    A framework's stacked layers do not show their inner layers, so ``layers`` computes the trace by
    feeding one step at a time; it is there to locate a difference.
    """

    outputs: np.ndarray
    state: Arrays
    trace: Arrays


@dataclass(frozen=True)
class Gradients:
    """The mean loss (LOSS-1) and its gradient by every parameter, by ``X`` and by the initial
    state (``H0``, and ``C0`` for the LSTM)."""

    loss: float
    gradients: Arrays


@dataclass(frozen=True)
class Step:
    """One training step: the loss before the update and the global norm before the clip.

    They are the framework's own scalars: ``float()`` reads them, and waits for the device to have
    them. A loop that reads them late never makes the device wait.
    """

    loss: SupportsFloat
    norm: SupportsFloat


@dataclass(frozen=True)
class Place:
    """Where a process stands among workers that were all started on one machine.

    rank:      from 0
    addresses: host:port of every worker, by rank; nobody else listens there. Whatever else a
               worker listens at is to be on that host, too
    reachable: empty if nobody but these workers can reach them, on whatever they listen; else why
               they have no network of their own
    """

    rank: int
    addresses: tuple[str, ...]
    reachable: str = ""


class Workers(Protocol):
    """The processes that train one model together, as the framework's own engine joins them."""

    rank: int
    size: int

    def mean(self, tensors: Any) -> Any:
        """The framework's own tensors, averaged over the workers: what a trainer does to its loss
        and its gradients before the clip. The bits are the same in every worker."""
        ...

    def total(self, array: np.ndarray) -> np.ndarray:
        """The sum over the workers, element by element, of a float64 array; exact if all but one
        are zero. Every worker has to call it with an array of the same shape."""
        ...

    def leave(self) -> None:
        """Part from the others; nothing may be asked of them any more."""


class Trainer(Protocol):
    """A model that is being trained in place; its state is carried from step to step, detached."""

    def start(self, state: Arrays) -> None:
        """Let the next step begin from this state instead of the carried one."""

    def step(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Step:
        """Forward, backward, clip (CLIP-1, CLIP-2) and update (SGD-1) on one minibatch; with
        ``recipe.lattice``, parameters and carried state are rounded then (LATTICE-1)."""
        ...

    def gradients(self) -> Arrays:
        """The gradients of the last step, as clipped, by canonical name."""
        ...

    def parameters(self) -> Arrays:
        """The parameters now, by canonical name."""
        ...


class Model(Protocol):
    """A ModelSpec with its parameters, loaded into the framework's own tensors."""

    def parameters(self) -> Arrays:
        """The parameters, back from the framework's tensors; the bits must have survived."""
        ...

    def outputs(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[np.ndarray, Arrays]:
        """O (T, n, q) of all steps, and the state after the last one; for prediction."""
        ...

    def forward(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Forward:
        """OUT-1 over the stack, from the given state, with the trace."""
        ...

    def loss_and_gradients(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Gradients:
        """LOSS-1 and its gradients, by the framework's own differentiation."""
        ...

    def trainer(self, recipe: Recipe, state: Arrays, workers: Workers | None = None) -> Trainer:
        """A training run that starts from this model and this state, and changes the model. With
        workers, each of them steps on its own examples of a minibatch, n / size of them; loss and
        gradients are averaged over them before the clip, so all of them make the same step."""
        ...


@dataclass(frozen=True)
class Part:
    """What a backend answers that answers a part of the ladder: an engine that only predicts, say.

    rung:   the highest one that it answers, and so all below it. Its models offer what these ask
            for and no more: ``parameters``, ``outputs`` and ``forward`` up to "outputs"
    dtypes: of "float32" and "float64", those that it computes in
    """

    rung: str
    dtypes: tuple[str, ...]


class Implementation(Protocol):
    """One way in which one backend computes a ModelSpec, on one device in one dtype."""

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        """Why this spec cannot be computed here, in a sentence; None if it can.

        lengths: of examples of different length     dropout: with masks that are given"""
        ...

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        """Load canonical parameters; they are cast to the dtype."""
        ...


class Backend(Protocol):
    """A framework: the module ``backends.<name>`` offers these names."""

    IMPLEMENTATIONS: tuple[str, ...]
    """Which of "equations" and "layers" there are."""

    MODES: tuple[str, ...]
    """Further implementations, which are made only if ``--modes`` asks for them: the layers
    compiled, say, or those of another library on the same engine. May be left out."""

    def ran(self, mode: str, device: str) -> dict[str, Any]:
        """What a mode really runs, of a small network, for the passport: programs and their parts,
        or what broke its graph; JSON values. BadInput if it cannot run here. With ``MODES``."""
        ...

    HALVES: tuple[str, ...]
    """The tiers of half precision that it computes in on a CPU, of "bfloat16", "float16" and
    "mixed", with the implementations that are no modes. May be left out: none."""

    PART: Part
    """Of a backend that answers a part of the ladder. May be left out: it answers all of it."""

    def implementation(self, name: str, device: str, dtype: str) -> Implementation:
        """The implementation of that name for device "cpu" or "gpu" and dtype "float32" or
        "float64"; BadInput if this machine lacks the device.

        dtype may also be one of ``HALVES``: "bfloat16" or "float16", in which everything is of that
        format, or "mixed", float32 weights and products in half precision; and on a GPU "tf32",
        float32 with the factors of matrix products rounded to TF32. Arrays are float32 then, and no
        implementation changes what another one of the same process computes."""
        ...

    def bare(self, spec: ModelSpec, dtype: str) -> Callable[[np.ndarray, np.ndarray], Arrays]:
        """What a user would write over the framework's layers without this suite, for the
        benchmark: from X and Y to the gradients as NumPy arrays in the framework's layout. A
        backend without ``layers`` has none."""
        ...

    def launched(self) -> bool:
        """Whether the environment says that a launcher started this process as one of several
        workers. This and ``join`` may be left out; the backend trains in one process then."""
        ...

    def join(self, place: Place | None, device: str) -> Workers:
        """Wait until all workers are there: at their addresses, or, if ``place`` is None, where
        the launcher's environment says. Called before anything is computed."""
        ...

    LOOPS: dict[str, Callable[[ModelSpec, Recipe, str], Callable[..., Any]]]
    """Further training loops of the LSTM to measure ``equations`` against, by what they are; may be
    left out."""

    def scalars(self, device: str, dtype: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """tanh, sigmoid, exp and log_softmax (of (x, 0), its first part) as the framework computes
        them, over an array in this dtype, for conformance/limits/atlas.py; under ``net_tanh``, say,
        what the nets here have instead. May be left out."""
        ...

    def product_rate(self, device: str, dtype: str, n: int, times: int) -> float:
        """Operations per second of the framework's own product of two (n, n) matrices; may be left
        out. What a GPU could do at most, in ``conformance.one_gpu``."""
        ...

    def compiled(self) -> dict[str, float]:
        """How many "programs" the framework has compiled in this process, and the "seconds" that
        took; may be left out where nothing is."""
        ...

    def passport(self, device: str) -> dict[str, Any]:
        """What a record must say about where it was made: versions, device, threads, flags, kernel
        path, and the mode that it computes in (eager, compiled, how); JSON values."""
        ...


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
