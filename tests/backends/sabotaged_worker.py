"""A worker whose backend is sabotaged, run as a script in the place of ``conformance.worker``. The
reference has every fault in every cell, the others take turns."""

import sys

from conformance.worker import __main__ as worker
from tests.backends.faults import FAULTS, taking_turns
from tests.backends.sabotage import sabotage

if __name__ == "__main__":
    name = sys.argv[sys.argv.index("--backend") + 1]
    sabotage(name, FAULTS if name == "numpy" else taking_turns(FAULTS))
    worker.main()
