"""What every reproduction of a framework's fault needs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def still(fault: bool, name: str) -> None:
    """The fault is there; where it has been mended, its entry is to go."""
    assert fault, f"stale: the framework no longer deviates here; remove the deviation {name}"


def complaint(kind: type[Exception], call: Callable[[], Any]) -> str:
    """The message of the exception of that kind that a call raises; empty if it raises none."""
    try:
        call()
    except kind as reason:
        return str(reason)
    return ""


def in_a_process(function: Callable[[], Any], **environment: str) -> Any:
    """What a function of a test's file returns in a new process, through JSON."""
    file = function.__code__.co_filename
    call = f"runpy.run_path({file!r})[{function.__name__!r}]()"
    command = [sys.executable, "-c", f"import json, runpy; print(json.dumps({call}))"]
    settings = os.environ | {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)} | environment
    run = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])
