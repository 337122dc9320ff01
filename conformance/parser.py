"""The command line: the sum of the rooms' commands."""

import argparse
import platform
from importlib import import_module

import numpy as np

from common import SUITE_VERSION
from conformance.options import INSTALLED, Command, Help, program

COMMANDS = {
    "cases": "cases.command",
    "record": "run.command",
    "train": "run.command",
    "judge": "judge.command",
    "shrink": "limits.command",
    "report": "report.command",
    "witness": "records.command",
    "ensemble": "calibrate.command",
    "certify": "calibrate.command",
    "diagnose": "diagnose.command",
    "capture": "captures.command",
    "diff": "captures.command",
    "convert": "convert.command",
    "verify": "convert.command",
    "compare": "studies.command",
    "bench": "studies.command",
    "atlas": "versions.command",
    "gpu": "gpu.command",
    "check-backend": "check_backend",
}
"""Where each is: importing all rooms takes longer than many a command, so one room is imported."""


def find_command(name: str) -> Command:
    room = import_module(f"conformance.{COMMANDS[name]}")
    return next(command for command in room.COMMANDS if command.name == name)


def make_parser(asked: str | None = None) -> argparse.ArgumentParser:
    """Of the one command that is asked for; of all if it is none: for help, and for a mistake."""
    found = [find_command(name) for name in ([asked] if asked in COMMANDS else COMMANDS)]
    parser = argparse.ArgumentParser(
        prog=program(),
        description="Do deep RNNs compute the same in every framework? Record, then judge.",
        epilog=examples(*found),
        formatter_class=Help,
        allow_abbrev=False,
    )
    version = (
        f"{INSTALLED} {SUITE_VERSION}, Python {platform.python_version()}, NumPy {np.__version__}"
    )
    parser.add_argument("--version", action="version", version=version, help="show it and end")
    # The metavar names all of them in a usage line, also where one alone was imported.
    commands = parser.add_subparsers(dest="command", required=True, metavar=choices())
    for command in found:
        # A subparser does not take allow_abbrev over: ``--case`` would stand for ``--cases``.
        own = commands.add_parser(
            command.name,
            help=command.about,
            description=command.does,
            allow_abbrev=False,
            epilog=f"{examples(command)}\n{command.more}",
            formatter_class=Help,
        )
        command.add_arguments(own)
        if command.quiet:
            own.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def choices() -> str:
    return f"{{{','.join(COMMANDS)}}}"


def examples(*commands: Command) -> str:
    """Lines to be copied, for the help of one command or of all."""
    words = [example for command in commands for example in command.examples]
    return "\n".join(["examples:", *(f"  {program()} {line}" for line in words)])
