"""The suite's own format: canonical parameters, which hold every network that the spec can say."""

from pathlib import Path

from common.spec import ACTIVATIONS, RESETS, ModelSpec
from common.weights import save_weights
from conformance.convert.target import Target, Values


def write(path: Path, values: Values) -> None:
    save_weights(path, values.spec, values.params)


def code(spec: ModelSpec, dtype: str, bare: bool) -> list[str]:
    return [
        "from pathlib import Path",
        "from common.weights import load_weights",
        "spec, params = load_weights(Path(FILE))  # for record --weights, and every backend",
    ]


TARGET = Target(
    name="canonical",
    layout="",
    end=".safetensors",
    write=write,
    code=code,
    axes="(T, n, d)",
    activations={name: name for name in ACTIVATIONS},
    resets=RESETS,
    two=lambda spec: False,
)
