"""Whether a file of ensembles/ is whole: every field that a run is judged by, and how many numbers
each must have. What the numbers mean: curves.py."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.storage.shape import check_shape

BANDS = {"centre": [float], "spread": [float]}
QUANTITIES = ("loss", "norm")
SHAPE = {
    "spec": dict,
    "recipe": dict,
    "text": {"sha256": str, "characters": int},
    "made by": dict,
    "members": int,
    "thresholds": [float],
    "early": dict.fromkeys(QUANTITIES, BANDS),
    "whole": {str: [float]},
}
FEWEST_MEMBERS = 2
"""A spread has no meaning with fewer."""


def check_ensemble(
    path: Path, data: Any, statistics: Callable[[list[float]], Iterable[str]]
) -> None:
    """BadInput if something is missing, of another type, or of another length.

    statistics: the names of a run's statistics, by the thresholds
    """
    check_shape(data, SHAPE, path)
    members, whole = data["members"], data["whole"]
    if members < FEWEST_MEMBERS:
        raise BadInput(path, "members", f"at least {FEWEST_MEMBERS}", members)
    if wrong := [p for p in data["thresholds"] if p <= 1]:
        raise BadInput(path, "thresholds", "perplexities above 1", wrong[0])
    wanted = list(statistics(data["thresholds"]))
    if list(whole) != wanted:
        raise BadInput(path, "whole", f"the statistics {', '.join(wanted)}", ", ".join(whole))
    for name, values in whole.items():
        if len(values) != members:
            raise BadInput(path, f"whole: {name}", f"{members} numbers", len(values))
    steps = len(data["early"]["loss"]["centre"])
    for quantity in QUANTITIES:
        bands = data["early"][quantity]
        for name in BANDS:
            field = f"early: {quantity}: {name}"
            if len(bands[name]) != steps or not steps:
                raise BadInput(path, field, f"{max(steps, 1)} numbers", len(bands[name]))
        if min(bands["spread"]) < 0:
            raise BadInput(path, f"early: {quantity}: spread", "at least 0", min(bands["spread"]))
