"""A worker in which the NumPy backend has, beside its sound implementation, one for each of a few
faults of different kinds."""

from common.parameters import Arrays
from conformance.worker import __main__ as worker
from tests.backends.faults import FAULTS, Fault
from tests.backends.regime_faults import FOUND_BY_NUMBERS
from tests.backends.sabotage import sabotage
from tests.conformance.report.test_causes import SAID


def exchanged(arrays: Arrays) -> Arrays:
    """Each direction has the other one's weights."""

    def other(name: str) -> str:
        layer, _, rest = name.partition(".")
        backward = rest.startswith("backward.")
        return (
            f"{layer}.{rest.removeprefix('backward.')}" if backward else f"{layer}.backward.{rest}"
        )

    return {n: arrays[other(n)] if n.startswith("layer") else a for n, a in arrays.items()}


TURNED = Fault(into=exchanged, back=exchanged, among=lambda spec, *_: spec.directions == 2)

if __name__ == "__main__":
    known = FAULTS | FOUND_BY_NUMBERS | {"directions-exchanged": TURNED}
    sabotage("numpy", {name: known[name] for name in SAID})
    worker.main()
