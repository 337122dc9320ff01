"""A worker whose backend answers a part of the ladder and is sabotaged, run in the place of
``conformance.worker``: it offers its layers sound, and with every fault."""

import sys
from typing import Any

from backends import registry
from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.worker import __main__ as worker
from tests.backends.part_faults import faults_of, put_in

NAME = sys.argv[sys.argv.index("--backend") + 1]
backend, FAULTS = registry.load(NAME), faults_of(NAME)
_make = backend.implementation


class SabotagedModel:
    """A model whose every method runs with the fault."""

    def __init__(self, fault: str, *given: Any) -> None:
        self.fault = fault
        with put_in(FAULTS[fault]):
            self.inner = backend.Model(*given)

    def __getattr__(self, name: str) -> Any:
        def run(*given: Any) -> Any:
            with put_in(FAULTS[self.fault]):
                return getattr(self.inner, name)(*given)

        return run


class Sabotaged(backend.Layers):
    """The layers with one fault."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        applies = spec.cell in FAULTS[self.fault][0] and (lengths or "lengths" not in self.fault)
        applies &= spec.directions == 1 or self.fault != "reversed"
        applies &= spec.reset != "after" or self.fault != "reset-after"
        applies &= spec.peepholes or "peepholes" not in self.fault
        applies &= spec.gate_clip is not None or "clip" not in self.fault
        return super().unsupported(spec) if applies else "this fault cannot be put in here"

    def model(self, spec: ModelSpec, params: Arrays) -> Any:
        return SabotagedModel(self.fault, spec, params)


def implementation(name: str, device: str, dtype: str) -> backend.Layers:
    own, _, fault = name.partition("-")
    return Sabotaged(fault) if fault else _make(own, device, dtype)


if __name__ == "__main__":
    backend.implementation = implementation
    backend.IMPLEMENTATIONS = ("layers", *(f"layers-{fault}" for fault in FAULTS))
    worker.main()
