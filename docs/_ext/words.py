"""Stored results and equations as an edition writes them: with the words of docs/locale, which are
for what no catalogue of texts has, and with a decimal comma in Portuguese. Needs no Sphinx."""

import re
import tomllib
from functools import cache
from typing import Any

from docs._ext.sources import ROOT

NUMBER = re.compile(r"[-+]?\d+\.\d+(e[-+]?\d+)?%?( ± \d+\.\d+)?")


@cache
def words(language: str) -> dict[str, str]:
    """By the English ones; none for English."""
    path = ROOT / "docs" / "locale" / language / "words.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def written(text: str, language: str) -> str:
    """A number, a name or a remark; what has no translation stays as it is."""
    known = words(language)
    if text in known:
        return known[text]
    return text.replace(".", ",") if known and NUMBER.fullmatch(text) else text


def everywhere(value: Any, language: str) -> Any:
    """Every text in records of data, or in a list of them."""
    if isinstance(value, dict):
        return {key: everywhere(part, language) for key, part in value.items()}
    if isinstance(value, list):
        return [everywhere(part, language) for part in value]
    return written(value, language) if isinstance(value, str) else value
