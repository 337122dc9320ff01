"""The journal of a record: one line for each case that is done, so that none is done twice."""

import hashlib
import json
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.storage.files import append_line, write_text
from common.storage.reading import LARGEST_JSON, parse_json, read_text
from conformance.records.ladder import array_path

Key = tuple[str, str, str]
LINE = "a line of the journal"


class Journal:
    """Lines of JSON: implementation, dtype and case; the entry; a checksum over both."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, partial: Path) -> dict[Key, dict[str, Any]]:
        """The entries by implementation, dtype and case. A last line that was cut short is removed;
        a case whose arrays are gone is not done.

        Raises BadInput if a line is not as it was written.
        """
        if not self.path.exists():
            return {}
        text = read_text(self.path, "a journal", LARGEST_JSON)
        whole = text[: text.rfind("\n") + 1]
        write_text(self.path, whole)
        found = dict(self._entry(*line) for line in enumerate(whole.split("\n")[:-1], start=1))
        return {
            key: entry
            for key, entry in found.items()
            if entry["status"] != "recorded" or (partial / array_path(*key)).exists()
        }

    def add(self, key: Key, entry: dict[str, Any]) -> None:
        """Write a line, which is on the disk when this returns."""
        append_line(self.path, json.dumps([key, entry, _checksum(key, entry)]))

    def _entry(self, number: int, line: str) -> tuple[Key, dict[str, Any]]:
        advice = f"{LINE} as it was written (remove {self.path.parent} to begin anew)"
        try:
            key, entry, stored = parse_json(line, self.path, f"line {number}", LINE)
            if stored == _checksum(key, entry):
                return tuple(key), entry
            found = "another one"
        except BadInput as error:
            found = error.found
        except (TypeError, ValueError) as error:
            found = error
        raise BadInput(self.path, f"line {number}", advice, found)


def _checksum(key: Key | list[str], entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([*key, entry]).encode()).hexdigest()
