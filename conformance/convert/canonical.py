"""The suite's own format: canonical parameters, which hold every network that the spec can say."""

from pathlib import Path

from common.spec import ACTIVATIONS, RESETS, ModelSpec
from common.weights import save_weights
from conformance.convert.target import Target, Values


def write(path: Path, values: Values) -> None:
    save_weights(path, values.spec, values.params)


def code(spec: ModelSpec, dtype: str, bare: bool) -> list[str]:
    """Where the suite is not at hand, or has another name than in the repository."""
    return [
        "import json",
        "from safetensors import safe_open",
        'with safe_open(FILE, "numpy") as file:  # the suite itself: record --weights FILE',
        '    spec = json.loads(file.metadata()["spec"])',
        "    params = {name: file.get_tensor(name) for name in file.keys()}",
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
    projects=True,
    peeps=True,
)
