"""A worker with faults of regimes, each in its case, in the place of ``conformance.worker``."""

import sys

from conformance.worker import __main__ as worker
from tests.backends.regime_faults import told
from tests.backends.sabotage import sabotage

if __name__ == "__main__":
    name = sys.argv[sys.argv.index("--backend") + 1]
    sabotage(name, told(name))
    worker.main()
