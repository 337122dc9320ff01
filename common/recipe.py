"""How a model is trained."""

import math
from dataclasses import dataclass

from common.errors import BadInput


@dataclass(frozen=True)
class Recipe:
    """Plain SGD with a clip of the global norm (SGD-1, CLIP-1 and CLIP-2).

    learning_rate: η, above 0
    clip:          θ, above 0: gradients are scaled by θ/‖g‖ if, and only if, ‖g‖ > θ
    """

    learning_rate: float
    clip: float

    def __post_init__(self) -> None:
        for field in ("learning_rate", "clip"):
            value = getattr(self, field)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
                raise BadInput("recipe", field, "a finite number above 0", repr(value))
