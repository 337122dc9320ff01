"""Files that are either whole or absent."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import BadInput


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then move it into place.

    A reader sees the old file or the new one, never half of one, also when the process is killed
    or the disk is full (the ``OSError`` is passed on, and what was at ``path`` stays).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files; these are meant to be shared
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None:  # a full disk does not say which file was being written
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused, because JSON has neither."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; ``BadInput`` if it is absent, not UTF-8 or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise BadInput(path, "", "a JSON file", "no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        # The last two: not UTF-8, not JSON, or a number or a nesting beyond all bounds.
        raise BadInput(path, "", "a JSON file", error) from None


def _refuse(constant: str) -> None:
    """Python's json would read NaN and Infinity."""
    raise ValueError(f"{constant}, which JSON does not have")
