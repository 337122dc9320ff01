"""From scratch: a stack of two layers, one step at a time."""

import sys

from backends import registry
from common.parameters import initialise
from common.spec import ModelSpec
from docs.experiments import run


def shapes(backend: str) -> None:
    """Every parameter of a small LSTM of two layers, with its shape."""
    spec = ModelSpec("lstm", d=3, h=4, q=3, L=2)
    model = registry.load(backend).implementation("equations", "cpu", "float64")
    params = initialise(spec, "uniform", 1)
    for name, array in model.model(spec, params).parameters().items():
        print(f"{name:14} {array.shape}")


EXAMPLES = (shapes,)


def main(words: list[str] | None = None) -> int:
    return run("from-scratch", EXAMPLES, None, words)


if __name__ == "__main__":
    sys.exit(main())
