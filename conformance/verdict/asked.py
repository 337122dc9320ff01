"""What the judge was asked: who must be there, and what they must have answered."""

from dataclasses import dataclass
from typing import Any

from conformance.cases.table import DTYPES

CHALLENGE = 20
"""So many generated cases make a challenge, if their number is not named."""


@dataclass(frozen=True)
class Asked:
    """
    expect:    backends that must be there, with all of their implementations
    cases:     names of cases that every record must hold
    dtypes:    in which the expected backends must have answered
    training:  whether the expected backends must also have trained with the quick recipe
    quick:     the quick main job, which trains one run
    challenge: the seed whose generated cases every record must hold, and how many; None: no seed
    modes:     of the expected backends that must be there as well, "backend:mode"
    recipes:   of wider stacks, by which the expected backends must have trained as well
    text, weights: the digests of the text and the weights that were named; None: none was
    """

    expect: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = DTYPES
    training: bool = False
    quick: bool = False
    challenge: tuple[int, int] | None = None
    text: str | None = None
    weights: str | None = None
    modes: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()

    def challenged(self) -> tuple[str, ...]:
        """The names of the challenge's cases."""
        seed, count = self.challenge or (0, 0)
        return tuple(f"random-{seed}-{index}" for index in range(count))

    def to_json(self) -> dict[str, Any]:
        """As it stands in a verdict.json; ``from_json`` reads it back."""
        return {
            "backends": [*self.expect],
            "cases": [*self.cases],
            "dtypes": [*self.dtypes],
            "training": self.training,
            "quick": self.quick,
            "challenge": self.challenge and [*self.challenge],
            "text": self.text,
            "weights": self.weights,
            **({"modes": [*self.modes]} if self.modes else {}),
            **({"recipes": [*self.recipes]} if self.recipes else {}),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Asked":
        """From what the schema has checked."""
        return cls(
            expect=tuple(value["backends"]),
            cases=tuple(value["cases"]),
            dtypes=tuple(value["dtypes"]),
            training=value["training"],
            quick=value["quick"],
            challenge=tuple(value["challenge"]) if value["challenge"] else None,
            text=value["text"],
            weights=value["weights"],
            modes=tuple(value.get("modes", ())),
            recipes=tuple(value.get("recipes", ())),
        )
