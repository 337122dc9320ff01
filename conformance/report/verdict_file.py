"""verdict.json: what the judge found, for everything that reads it later.

Its format is published as verdict.schema.json (JSON Schema, draft 7). It names the records and runs
it was made from with their digests, so that a report never shows a verdict on other files.
"""

import json
from pathlib import Path
from typing import Any

import fastjsonschema

from common.errors import BadInput
from common.files import read_json, write_json
from conformance.judge.everything import inputs, judge_all
from conformance.progress import Progress

NAME = "verdict.json"
SCHEMA = Path(__file__).with_name("verdict.schema.json")
LONGEST_VALUE = 80


def current(results: Path, progress: Progress) -> dict[str, Any]:
    """The verdict on what lies in a results folder: its verdict.json, or if that is missing, of
    another version of the format, or about other files, a new one, which is stored there."""
    path = results / NAME
    expect, training, quick = (), False, False
    if path.exists():
        try:
            stored = read_verdict(path)
        except BadInput as error:
            progress.say(f"judging again: {error}")
        else:
            if stored["inputs"] == inputs(results):
                return stored
            progress.say(f"judging again: {path} is about other files")
            expect, training = tuple(stored["expected"]), stored["training expected"]
            quick = stored.get("quick", False)
    verdict = judge_all(results, progress, expect, training=training, quick=quick).to_json()
    write_json(path, verdict)
    return json.loads(json.dumps(verdict))


def read_verdict(path: Path, follow: bool = False) -> dict[str, Any]:
    """A verdict.json; BadInput with the field at fault if it does not keep to the schema.

    follow: whether it may be a link, because a user has named it
    """
    value = read_json(path, follow)
    try:
        _validator()(value)
    except fastjsonschema.JsonSchemaValueException as error:
        field = ".".join(map(str, error.path[1:])) or "verdict"
        expected = error.message.removeprefix(error.name or "").strip().removeprefix("must ")
        found = repr(error.value)
        if len(found) > LONGEST_VALUE:
            found = found[: LONGEST_VALUE - 1] + "…"
        raise BadInput(path, field, f"to {expected}"[:LONGEST_VALUE], found) from None
    return value


def _validator() -> Any:
    return fastjsonschema.compile(json.loads(SCHEMA.read_text(encoding="utf-8")))
