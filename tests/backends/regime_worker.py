"""A worker whose backend is sabotaged in regimes, run in the place of ``conformance.worker``."""

import sys

from conformance.worker import __main__ as worker
from tests.backends.regime_faults import regime_faults
from tests.backends.sabotage import sabotage

if __name__ == "__main__":
    name = sys.argv[sys.argv.index("--backend") + 1]
    sabotage(name, regime_faults(name))
    worker.main()
