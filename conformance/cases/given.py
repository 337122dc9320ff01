"""What a run was given beside the suite itself: the text, and perhaps somebody's weights.

It lies in every record as ``given.safetensors``, so that a record can be judged where neither the
text nor the weights file is at hand.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.corpus import Corpus, Vocabulary
from common.errors import BadInput
from common.lengths import check_lengths
from common.parameters import Arrays, check_parameters, parameter_shapes
from common.spec import ModelSpec
from common.storage.reading import parse_json
from common.storage.shape import check_shape
from common.weights import read_arrays, write_arrays
from conformance.files.canonical import load_any
from conformance.files.loading import words_to_options

WEIGHTS_N, WEIGHTS_T = 8, 16
"""How many examples somebody's own weights are asked about, and how many steps."""

LENGTHS = "lengths"
LARGEST_VOCABULARY = 256
"""Tokens are stored in a byte each."""


@dataclass(frozen=True)
class Given:
    """corpus:  the beginning of the text, in numbers
    weights:  a spec and its parameters, or None
    lengths:  of the examples that these weights are asked about; none: they are not shorter
    held_out: by name, what is not trained on, (characters,) each, in the corpus' vocabulary
    """

    corpus: Corpus
    weights: tuple[ModelSpec, Arrays] | None = None
    held_out: dict[str, np.ndarray] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()

    def text(self) -> dict[str, str]:
        """The text's name and hash, as a record states them."""
        return {"name": self.corpus.name, "sha256": self.corpus.sha256}

    def weights_digest(self) -> str | None:
        """SHA-256 over the weights, None if there are none."""
        if self.weights is None:
            return None
        spec, params = self.weights
        digest = hashlib.sha256(json.dumps(spec.to_json()).encode())
        for name in parameter_shapes(spec):
            digest.update(np.ascontiguousarray(params[name], "float64").data)
        return digest.hexdigest()


def save_given(path: Path, given: Given) -> None:
    """Write it beside a record."""
    arrays = {"corpus": given.corpus.tokens}
    arrays |= {f"held out/{name}": tokens for name, tokens in given.held_out.items()}
    metadata = {
        "text": json.dumps(given.text()),
        "tokens": json.dumps(given.corpus.vocabulary.tokens),
    }
    if given.weights is not None:
        spec, params = given.weights
        arrays |= {f"weights/{name}": array for name, array in params.items()}
        arrays |= {LENGTHS: np.array(given.lengths)} if given.lengths else {}
        metadata["spec"] = json.dumps(spec.to_json())
    write_arrays(path, arrays, metadata)


def load_given(path: Path) -> Given:
    """Read it back; BadInput if it is not whole."""
    arrays, metadata = read_arrays(path, ours=True)
    text, tokens = (_read(path, metadata, field) for field in ("text", "tokens"))
    if unknown := sorted(set(metadata) - {"text", "tokens", "spec"}):
        raise BadInput(path, f"metadata {unknown[0]!r}", "no such field", "it")
    check_shape(text, {"name": str, "sha256": str}, path, "metadata 'text'", exactly=True)
    check_shape(tokens, [str], path, "metadata 'tokens'")
    if not 2 <= len(tokens) <= LARGEST_VOCABULARY:
        expected = f"2 to {LARGEST_VOCABULARY} characters"
        raise BadInput(path, "metadata 'tokens'", expected, repr(tokens))
    names = [name for name in arrays if name.startswith("held out/")]
    held_out = {name.removeprefix("held out/"): arrays.pop(name) for name in names}
    for name, array in {"corpus": arrays.pop("corpus", None), **held_out}.items():
        if array is None or array.dtype != np.uint8 or array.ndim != 1 or not array.size:
            found = "none" if array is None else f"{array.dtype} of shape {array.shape}"
            raise BadInput(path, name, "a row of uint8", found)
        if array.max() >= len(tokens):
            raise BadInput(path, name, f"numbers below {len(tokens)}", array.max())
        held_out[name] = array

    corpus = Corpus(text["name"], text["sha256"], Vocabulary(tuple(tokens)), held_out.pop("corpus"))
    if "spec" not in metadata:
        if arrays:
            raise BadInput(path, min(arrays), "no such tensor", "it")
        return Given(corpus, held_out=held_out)
    model = ModelSpec.from_json(_read(path, metadata, "spec"), path)
    lengths = _lengths(path, arrays.pop(LENGTHS, None))
    params = {name.removeprefix("weights/"): array for name, array in arrays.items()}
    check_parameters(model, params, path)
    return Given(corpus, (model, params), held_out, lengths)


def _lengths(path: Path, found: np.ndarray | None) -> tuple[int, ...]:
    if found is None:
        return ()
    return tuple(map(int, check_lengths(found, WEIGHTS_N, WEIGHTS_T, path)))


def _read(path: Path, metadata: Mapping[str, str], field: str) -> Any:
    return parse_json(metadata.get(field, ""), path, f"metadata {field!r}", "JSON")


def gather(
    corpus: Corpus,
    weights: Path | None,
    layout: str = "",
    stated: Sequence[str] = (),
    prefixes: Sequence[str] = (),
) -> Given:
    """The text that was named, and the weights file if one was: the suite's own, or a framework's.

    layout, stated, prefixes: what such a file does not say (conformance/files/loading.py)"""
    if weights is None:
        return Given(corpus)
    return Given(corpus, load_any(weights, layout, words_to_options(stated), prefixes))
