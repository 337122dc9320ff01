"""verdict.json: what the judge found, for everything that reads it later.

Its format is published as verdict.schema.json (JSON Schema, draft 7). It names every file that it
was made from and that it rests on, with its hash, and it is sealed: a report never shows a verdict
on other files, nor one that contradicts itself.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema

from common import SUITE_VERSION
from common.errors import BadInput
from common.storage.files import read_json, write_json
from common.storage.sums import check_seal
from conformance.judge.basis import basis, inputs
from conformance.judge.everything import judge_all
from conformance.progress import Progress
from conformance.verdict.asked import Asked
from conformance.verdict.outcome import kind, outcome_of
from conformance.verdict.results import FORMAT

NAME = "verdict.json"
SCHEMA = Path(__file__).with_name("verdict.schema.json")
LONGEST_VALUE = 80


def current(results: Path, progress: Progress, asked: Asked | None = None) -> dict[str, Any]:
    """The verdict on what lies in a results folder: its verdict.json; or if that is missing, about
    other files, or about another question, a new one, which is stored there.

    asked: what is asked for; None: what the stored verdict was asked

    Raises BadInput if the stored verdict is damaged and nothing is asked: what was expected can
    then not be known, and a verdict that expects nothing is no answer to that question.
    """
    path, more_claims = results / NAME, ()
    if path.exists():
        try:
            stored = read_verdict(path)
        except BadInput as error:
            if asked is None:
                expected = f"{error.expected} (judge again, or say what it was asked: --expect)"
                raise BadInput(path, error.field, expected, error.found) from None
            progress.say(f"judging again: {error}")
        else:
            more_claims = _more_claims(stored)
            if asked in (None, Asked.from_json(stored["asked"])) and fresh(stored, results):
                return stored
            asked = asked or Asked.from_json(stored["asked"])
            progress.say(f"judging again: {path} is about other files, or another question")
    verdict = judge_all(results, progress, asked, more_claims).to_json()
    write_json(path, verdict)
    return json.loads(json.dumps(verdict))


def fresh(stored: dict[str, Any], results: Path) -> bool:
    """Whether a verdict is of this version of the suite, and every file that it names is as it was,
    and no other is there."""
    return (
        stored["suite"] == SUITE_VERSION
        and stored["inputs"] == inputs(results)
        and stored["basis"] == basis(_more_claims(stored))
    )


def _more_claims(stored: dict[str, Any]) -> tuple[Path, ...]:
    """The files of the matrix that lie elsewhere, and are still there."""
    return tuple(p for p in map(Path, stored["basis"]) if p.is_absolute() and p.is_file())


def read_verdict(path: Path, follow: bool = False) -> dict[str, Any]:
    """A verdict.json; BadInput with the field at fault if it does not keep to the schema, if it was
    changed, or if its outcome does not follow from what it holds.

    follow: whether it may be a link, because a user has named it
    """
    value = read_json(path, follow)
    if isinstance(value, dict) and value.get("format") != FORMAT:
        raise BadInput(path, "format", FORMAT, repr(value.get("format"))[:LONGEST_VALUE])
    try:
        _validator()(value)
    except fastjsonschema.JsonSchemaValueException as error:
        field = ".".join(map(str, error.path[1:])) or "verdict"
        expected = error.message.removeprefix(error.name or "").strip().removeprefix("must ")
        found = repr(error.value)
        if len(found) > LONGEST_VALUE:
            found = found[: LONGEST_VALUE - 1] + "…"
        raise BadInput(path, field, f"to {expected}"[:LONGEST_VALUE], found) from None
    check_seal(path, value, "a verdict")
    word = outcome_of(value).word
    said = (value["outcome"], value["passed"], value["sentence"].partition(":")[0])
    before = kind(value["quick"], (r["status"] for r in (*value["results"], *value["training"])))
    if said != (word, word == "PASS", f"{before}{word}"):
        raise BadInput(path, "outcome", f"{word}, which follows from its results", said)
    return value


@cache
def _validator() -> Any:
    """Compiled once: that takes longer than to check a verdict."""
    return fastjsonschema.compile(json.loads(SCHEMA.read_text(encoding="utf-8")))
