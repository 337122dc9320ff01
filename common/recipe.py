"""How a model is trained: D2L's loop, its numbers, and the recipes that have a name."""

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from common.dropout import needs
from common.errors import BadInput
from common.lattice import to_lattice
from common.parameters import Arrays, initialise
from common.spec import Cell, ModelSpec
from common.storage.reading import is_object

Order = Literal["sequential", "random"]
ORDERS = ("sequential", "random")

Task = Literal["next", "restore"]
TASKS = ("next", "restore")

LARGEST_SEED = 2**32 - 1

LARGEST_COUNT = 2**20
"""Of epochs, n and T: an epoch is a row of run.json, and n and T are axes of every array of a step.
D2L has 500 epochs, 32 examples and 35 steps; how long the text is limits n T further."""


@dataclass(frozen=True)
class Recipe:
    """Plain SGD with a clip of the global norm (SGD-1, CLIP-1 and CLIP-2), epoch after epoch.

    learning_rate: η, above 0
    clip:          θ, above 0: gradients are scaled by θ/‖g‖ if, and only if, ‖g‖ > θ
    epochs:        how often the text is gone through, at least 1
    n, T:          examples in a minibatch, and time steps; at least 1
    order:         "sequential": the state is carried from minibatch to minibatch, as a constant,
                   and is zero at the start of an epoch; "random": it is zero at every start
    initialiser:   a scheme of common/parameters.py
    seed:          of the initial parameters, and of the offsets and orders of the minibatches
    perturbation:  if above 0, the seed by which every initial parameter is moved by one unit in
                   the last place of float32, up or down: another member of an ensemble
    lattice:       after every step, parameters and carried states are rounded to multiples of
                   2⁻²⁰ (LATTICE-1); needs float64
    task:          what is to be named at every step. "next": the character that comes next.
                   "restore": the character itself, of which some are blanked: for a network that
                   reads on both sides of it (common/questions.py)
    words:         every example ends with its last whole word, so that they differ in length
                   (LEN-1); only with the order "random", since what is cut is not gone on from
    dropout:       r, the rate of dropout between layers (DROP-1), whose masks are drawn from the
                   seed; from 0 to less than 1

    Source: D2L 0.17, ``train_ch8``. Raises BadInput if a field is out of range.
    """

    learning_rate: float
    clip: float
    epochs: int = 1
    n: int = 32
    T: int = 35
    order: Order = "sequential"
    initialiser: str = "pytorch"
    seed: int = 1
    perturbation: int = 0
    lattice: bool = False
    task: Task = "next"
    words: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for field in ("learning_rate", "clip"):
            value = getattr(self, field)
            if not (_is_a(value, (int, float)) and 0 < value <= sys.float_info.max):
                raise BadInput("recipe", field, "a finite number above 0", repr(value))
        for field in ("epochs", "n", "T"):
            value = getattr(self, field)
            if not (_is_a(value, int) and value >= 1):
                raise BadInput("recipe", field, "a whole number of at least 1", repr(value))
            if value > LARGEST_COUNT:
                raise BadInput("recipe", field, f"at most {LARGEST_COUNT}", value)
        for field in ("seed", "perturbation"):
            value = getattr(self, field)
            if not (_is_a(value, int) and 0 <= value <= LARGEST_SEED):
                expected = f"a whole number from 0 to {LARGEST_SEED}"
                raise BadInput("recipe", field, expected, repr(value))
        if self.order not in ORDERS:
            raise BadInput("recipe", "order", f"one of {', '.join(ORDERS)}", repr(self.order))
        for field, kind in (("initialiser", str), ("lattice", bool), ("words", bool)):
            if not isinstance(getattr(self, field), kind):
                raise BadInput("recipe", field, f"a {kind.__name__}", repr(getattr(self, field)))
        if self.task not in TASKS:
            raise BadInput("recipe", "task", f"one of {', '.join(TASKS)}", repr(self.task))
        if self.words and self.order != "random":
            expected = "random, where examples end with whole words"
            raise BadInput("recipe", "order", expected, repr(self.order))
        if not (_is_a(self.dropout, (int, float)) and 0 <= self.dropout < 1):
            expected = "a number from 0 to less than 1"
            raise BadInput("recipe", "dropout", expected, repr(self.dropout))

    @property
    def needs(self) -> tuple[bool, ...]:
        """What an implementation must know beside the spec: lengths, and dropout."""
        return needs(self.words, bool(self.dropout))

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON values; ``from_json`` reads it back.

        What a recipe has not is left out: another task, words, dropout. So files and witnesses
        from before there were any stay valid.
        """
        values = dataclasses.asdict(self)
        return {name: v for name, v in values.items() if name not in SINCE or v != SINCE[name]}

    @classmethod
    def from_json(cls, value: Any, where: object = "recipe") -> "Recipe":
        """A recipe from JSON values; every error names ``where`` it came from."""
        fields = {field.name for field in dataclasses.fields(cls)} - set(SINCE)
        if not is_object(value) or set(value) - set(SINCE) != fields:
            raise BadInput(where, "recipe", f"the fields {', '.join(sorted(fields))}", repr(value))
        try:
            return cls(**value)
        except BadInput as error:
            raise BadInput(where, error.field, error.expected, error.found) from None


SINCE: dict[str, Any] = {"task": "next", "words": False, "dropout": 0.0}
"""What older recipes do not say, and what they mean."""


def _is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """Whether it is one; True and False are no numbers here."""
    return isinstance(value, kind) and not isinstance(value, bool)


def initial_parameters(spec: ModelSpec, recipe: Recipe) -> Arrays:
    """What training starts from, as float64 that float32 holds too, or on the lattice."""
    params = initialise(spec, recipe.initialiser, recipe.seed)
    if recipe.perturbation:
        rng = np.random.RandomState(recipe.perturbation)
        for name, array in params.items():
            sides = np.where(rng.randint(0, 2, array.shape), np.inf, -np.inf).astype("float32")
            params[name] = np.nextafter(array.astype("float32"), sides).astype("float64")
    return to_lattice(params) if recipe.lattice else params


@dataclass(frozen=True)
class Named:
    """A recipe with a name: sizes L and h of the model, one recipe for each cell, and what the
    model has beside its cell and sizes, as fields of its spec."""

    L: int
    h: int
    recipes: dict[Cell, Recipe]
    model: dict[str, Any] = dataclasses.field(default_factory=dict)


D2L_EPOCHS, D2L_CLIP = 500, 1.0

RECIPES = {
    # Seconds instead of minutes, and still a run that learns, clips and parts from its neighbours.
    "quick": Named(
        2,
        32,
        {
            "rnn": Recipe(1.0, 0.4, epochs=15, n=32, T=16),
            "gru": Recipe(4.0, 0.3, epochs=15, n=32, T=16),
            "lstm": Recipe(8.0, 0.25, epochs=15, n=32, T=16),
        },
    ),
    # D2L 0.17, section 9.3: two layers of 256, 500 epochs, η = 2. Its cell is the LSTM; the
    # vanilla RNN does not train with that η, so it has one of its own.
    "d2l": Named(
        2,
        256,
        {
            "rnn": Recipe(1.0, D2L_CLIP, D2L_EPOCHS),
            "gru": Recipe(2.0, D2L_CLIP, D2L_EPOCHS),
            "lstm": Recipe(2.0, D2L_CLIP, D2L_EPOCHS),
        },
    ),
}

OF_GRU = Recipe(4.0, 0.3, epochs=4, n=64, T=16)
OF_LSTM = Recipe(8.0, 0.15, epochs=4, n=64, T=16)
BLANKED: dict[str, Any] = {"order": "random", "task": "restore"}

WIDER = {
    # A few steps each, of which some are clipped: they are held to the stored witnesses bit for
    # bit, and are not long enough to learn much.
    "wider-both-ways": Named(
        2,
        16,
        {
            "gru": dataclasses.replace(OF_GRU, words=True, **BLANKED),
            "lstm": dataclasses.replace(OF_LSTM, words=True, **BLANKED),
        },
        {"directions": 2},
    ),
    "wider-sizes": Named(2, 24, {"gru": OF_GRU}, {"sizes": (24, 16)}),
    "wider-projected": Named(2, 24, {"lstm": OF_LSTM}, {"p": 12}),
    "wider-dropout": Named(
        3, 16, {"lstm": dataclasses.replace(OF_LSTM, dropout=0.2, **BLANKED)}, {"directions": 2}
    ),
}
"""Of wider stacks. One that reads in both directions is no language model: the next character is
among its inputs. It restores blanked ones."""

NAMED = RECIPES | WIDER
