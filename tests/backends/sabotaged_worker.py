"""A worker whose backend is sabotaged, run as a script in the place of ``conformance.worker``."""

import sys

from conformance.worker import __main__ as worker
from tests.backends.sabotage import sabotage

if __name__ == "__main__":
    sabotage(sys.argv[sys.argv.index("--backend") + 1])
    worker.main()
