"""A training run that is asked for: what is trained, how, and where it is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import SUITE_VERSION
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.cases.given import Given
from conformance.records.training import FOLDER

EPOCH_LIMIT = 1800.0
"""Seconds for one epoch; one over a whole book takes minutes."""


@dataclass(frozen=True)
class Run:
    """What is to be trained.

    recipe_name: what the recipe is called in names of folders     prefix: what a text begins with
    characters:  how many more are predicted     digests: after every "epoch" or every "step"
    expected:    the digests that a run on the lattice must have; at the first that differs, the
                 step is found and written to difference.safetensors (worker/step_finder.py)
    """

    backend: str
    device: str
    implementation: str
    numerics: str
    spec: ModelSpec
    recipe_name: str
    recipe: Recipe
    given: Given
    out: Path
    prefix: str
    characters: int = 50
    threads: int = 1
    workers: int = 1
    digests: str = "epoch"
    limit: float = EPOCH_LIMIT
    fresh: bool = False
    expected: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        reset = f"-{self.spec.reset}" if self.spec.reset else ""
        cell = f"{self.implementation}-{self.spec.cell}{reset}"
        together = f"-{self.workers}-workers" if self.workers > 1 else ""
        return f"{cell}-{self.recipe_name}-{self.numerics}{together}"

    @property
    def folder(self) -> Path:
        return self.out / FOLDER / f"{self.backend}-{self.device}" / self.name

    @property
    def partial(self) -> Path:
        return self.folder.with_name(f".{self.name}.partial")

    @property
    def old(self) -> Path:
        return self.folder.with_name(f".{self.name}.old")

    @property
    def lock(self) -> Path:
        return self.folder.with_name(f".{self.name}.lock")

    def settings(self) -> dict[str, Any]:
        """What a run that is resumed must have in common with the one that was interrupted."""
        corpus = self.given.corpus
        return {
            "suite": SUITE_VERSION,
            "backend": self.backend,
            "device": self.device,
            "implementation": self.implementation,
            "numerics": self.numerics,
            "spec": self.spec.to_json(),
            "recipe name": self.recipe_name,
            "recipe": self.recipe.to_json(),
            "text": self.given.text() | {"characters": len(corpus.tokens)},
            "held out": {name: len(tokens) for name, tokens in self.given.held_out.items()},
            "threads": self.threads,
            "workers": self.workers,
            "digests": self.digests,
        }
