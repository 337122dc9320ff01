"""The catalogue of wrong conventions: each a small variation of oracle/conventions.py.

mutant.py    what a wrong convention is
mapping.py   weights, gates and axes that are read in another way
function.py  another function of the same weights, or the same one computed carelessly
training.py  loss, gradients, clipping and steps
directions.py  two directions that are read, joined or ordered in another way
lengths.py   examples of different length that are padded, ended or counted in another way
dropout.py   numbers that are dropped elsewhere, by other masks, or scaled in another way
uneven.py    layers of different sizes that are taken for layers of another size
projection.py  the LSTM's H that is projected in another way, or not
peepholes.py  the LSTM's peepholes and the clip of its gates, at other places, or left out
regimes.py   what goes wrong from some magnitude on, and with what is no number
losses.py    the losses among them
sizes.py     what goes wrong from some size on
"""

from common.spec import ModelSpec
from conformance.cases.table import Case
from conformance.mutants.directions import DIRECTIONS
from conformance.mutants.dropout import DROPOUT
from conformance.mutants.function import FUNCTION, NUMERICS
from conformance.mutants.lengths import LENGTHS
from conformance.mutants.mapping import MAPPING
from conformance.mutants.mutant import Mutant
from conformance.mutants.peepholes import PEEPHOLES
from conformance.mutants.projection import PROJECTION
from conformance.mutants.regimes import MAGNITUDES
from conformance.mutants.sizes import SIZES
from conformance.mutants.training import TRAINING
from conformance.mutants.uneven import UNEVEN

__all__ = [
    "CATALOGUE",
    "EVERY",
    "REGIMES",
    "Mutant",
    "applicable",
    "can_be_made",
    "held_to",
    "of_regimes",
]

CATALOGUE = [
    *MAPPING,
    *FUNCTION,
    *TRAINING,
    *NUMERICS,
    *DIRECTIONS,
    *LENGTHS,
    *UNEVEN,
    *PROJECTION,
    *DROPOUT,
    *PEEPHOLES,
]
"""Wrong conventions: they are wrong everywhere."""

REGIMES = [*MAGNITUDES, *SIZES]
"""Faults that show in some cases only."""

EVERY = [*CATALOGUE, *REGIMES]


def applicable(spec: ModelSpec, lengths: bool = False, dropout: bool = False) -> list[Mutant]:
    """The wrong conventions that can be made with a spec, with examples of different length, and
    where numbers are dropped."""
    return [m for m in CATALOGUE if can_be_made(m, spec, lengths, dropout)]


def can_be_made(
    mutant: Mutant, spec: ModelSpec, lengths: bool = False, dropout: bool = False
) -> bool:
    """Whether a fault can be put into a case, wherever it shows."""
    given = (lengths or not mutant.lengths) and (dropout or not mutant.dropout)
    return mutant.applies(spec) and given


def of_regimes(case: Case) -> list[Mutant]:
    """The faults of the regimes that a case is in."""
    here = set(case.regimes)
    return [mutant for mutant in REGIMES if mutant.regimes & here and mutant.applies(case.spec)]


def held_to(case: Case) -> list[Mutant]:
    """Those that a case must tell."""
    found = applicable(case.spec, *case.needs) if case.conventions else []
    return found + of_regimes(case)
