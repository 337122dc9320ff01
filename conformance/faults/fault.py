"""What a fault of somebody's network is: a change of the weights, the settings, or the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.models.frameworks import Settings
from conformance.models.given import Data
from conformance.models.network import Network


@dataclass(frozen=True)
class Fault:
    """name:  kind and choice
    says:     completes "your outputs are those of this network if …"
    weights, settings, data: what it changes; of the three at least one
    common:   whether it is looked for together with another
    order:    of a wrong order of gates: what the code takes the file's blocks for
    option:   ``name=value``, if the framework has an option that does this
    decides:  whether data that cannot tell it are too little for a verdict
    mend:     what mends it, where one line does
    """

    name: str
    says: str
    weights: Callable[[Network], Network] | None = None
    settings: Callable[[Settings], Settings] | None = None
    data: Callable[[Data], Data | None] | None = None
    common: bool = True
    order: str = ""
    option: str = ""
    decides: bool = False
    mend: str = ""


Group = tuple[Fault, ...]


def choosing(name: str, says: str, *, common: bool = True, decides: bool = False, mend: str = "",
             **changes) -> Fault:  # fmt: skip
    """A fault that is another choice."""
    return Fault(
        name, says, settings=lambda s: s.with_(**changes), common=common, decides=decides, mend=mend
    )
