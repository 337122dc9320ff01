"""The catalogue of wrong conventions: each a small variation of oracle/conventions.py.

mutant.py    what a wrong convention is
mapping.py   weights, gates and axes that are read in another way
function.py  another function of the same weights
numerics.py  the same function, computed carelessly
training.py  loss, gradients, clipping and steps
"""

from common.spec import ModelSpec
from conformance.mutants.function import FUNCTION
from conformance.mutants.mapping import MAPPING
from conformance.mutants.mutant import Mutant
from conformance.mutants.numerics import NUMERICS
from conformance.mutants.training import TRAINING

__all__ = ["CATALOGUE", "Mutant", "applicable"]

CATALOGUE = [*MAPPING, *FUNCTION, *TRAINING, *NUMERICS]


def applicable(spec: ModelSpec) -> list[Mutant]:
    """Those that can be made with a spec."""
    return [mutant for mutant in CATALOGUE if mutant.applies(spec)]
