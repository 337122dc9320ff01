"""Whether a training run may go on from the checkpoint that lies in its folder."""

from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.parameters import check_parameters
from common.recipe import Recipe
from common.spec import ModelSpec
from common.storage.reading import is_list, is_object, parse_json
from common.weights import read_arrays


def check_checkpoint(path: Path, settings: dict[str, Any], spec: ModelSpec, recipe: Recipe) -> None:
    """BadInput if a checkpoint is there that was made with other settings, or is not whole."""
    if not path.exists():
        return
    try:
        params, metadata = read_arrays(path, ours=True)
    except BadInput as error:
        expected = f"{error.expected} (--fresh starts anew)"
        raise BadInput(error.where, error.field, expected, error.found) from None
    found, rows = (
        parse_json(metadata.get(field, ""), path, "metadata", "settings and epochs")
        for field in ("settings", "rows")
    )
    for field, expected in settings.items():
        there = found.get(field) if is_object(found) else None
        if there != expected:
            wanted, there = difference(expected, there)
            raise BadInput(path, field, f"{wanted} (--fresh starts anew)", there)
    if not is_list(rows) or len(rows) > recipe.epochs:
        raise BadInput(path, "metadata 'rows'", f"up to {recipe.epochs} epochs", "other ones")
    check_parameters(spec, params, path)


def difference(expected: Any, found: Any) -> tuple[Any, Any]:
    """Of two objects, the first field in which they differ."""
    if is_object(expected) and is_object(found):
        for key, value in expected.items():
            if found.get(key) != value:
                return f"{key} {value}", f"{key} {found.get(key)}"
    return expected, found
