"""The weights file: canonical parameters as safetensors, with the spec in its metadata.

A safetensors file is a JSON header and raw little-endian bytes: nothing in it is ever executed.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from common.errors import BadInput
from common.files import write_atomically
from common.parameters import Arrays, check_parameters, parameter_shapes
from common.spec import ModelSpec

FORMAT = "deep-rnn-weights-1"


def write_arrays(path: Path, arrays: Arrays, metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically."""
    # save writes the memory as it lies there, so a transposed view must be laid out first.
    # (Not ascontiguousarray, which turns a scalar into a vector.)
    laid_out = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    # Not save_file, whose own error hides that a disk is full.
    write_atomically(path, lambda temporary: temporary.write_bytes(save(laid_out, metadata)))


def read_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Read a safetensors file: its arrays and its metadata; BadInput if it is not whole."""
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except FileNotFoundError:
        raise BadInput(path, "", "a safetensors file", "no such file") from None
    except (OSError, SafetensorError, TypeError, ValueError, AttributeError, KeyError) as error:
        # The last four: a tensor of a type that NumPy lacks, bfloat16 say.
        raise BadInput(path, "", "a whole safetensors file", error) from None


def save_weights(path: Path, spec: ModelSpec, params: Arrays) -> None:
    """Write the parameters of a spec; they are checked first, so that no bad file comes to be."""
    check_parameters(spec, params, path)
    ordered = {name: params[name] for name in parameter_shapes(spec)}
    metadata = {"format": FORMAT, "spec": json.dumps(spec.to_json())}
    write_arrays(path, ordered, metadata)


def load_weights(path: Path) -> tuple[ModelSpec, Arrays]:
    """Read a weights file: the spec and its parameters in canonical order.

    Raises BadInput for a truncated or foreign file, a bad spec, and a missing, extra, misshapen or
    non-finite tensor.
    """
    arrays, metadata = read_arrays(path)
    if metadata.get("format") != FORMAT:
        found = repr(metadata.get("format")) if "format" in metadata else "none"
        raise BadInput(path, "metadata 'format'", repr(FORMAT), found)
    try:
        value = json.loads(metadata.get("spec", ""))
    except (ValueError, RecursionError) as error:  # also a number or a nesting beyond all bounds
        raise BadInput(path, "metadata 'spec'", "JSON", error) from None
    spec = ModelSpec.from_json(value, path)
    # Before the shapes of a billion layers are listed because a foreign file says so.
    if len(arrays) < spec.L:
        at_most = f"no more layers than the {len(arrays)} tensors in the file"
        raise BadInput(path, "metadata 'spec'", at_most, f"L = {spec.L}")
    check_parameters(spec, arrays, path)
    return spec, {name: arrays[name] for name in parameter_shapes(spec)}
