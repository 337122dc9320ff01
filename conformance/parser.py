"""The command line: the sum of the rooms' commands."""

import argparse
import platform

import numpy as np

from common import SUITE_VERSION
from conformance import check_backend
from conformance.calibrate import command as calibrate
from conformance.captures import command as captures
from conformance.cases import command as cases
from conformance.convert import command as convert
from conformance.diagnose import command as diagnose
from conformance.gpu import command as gpu
from conformance.judge import command as judge
from conformance.limits import command as limits
from conformance.options import INSTALLED, Help, program
from conformance.records import command as records
from conformance.report import command as report
from conformance.run import command as run
from conformance.studies import command as studies
from conformance.versions import command as versions

ROOMS = (
    *(cases, run, judge, limits, report, records, calibrate),
    *(diagnose, captures, convert, studies, versions, gpu, check_backend),
)
COMMANDS = {command.name: command for room in ROOMS for command in room.COMMANDS}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program(),
        description="Do deep RNNs compute the same in every framework? Record, then judge.",
        epilog=examples(*COMMANDS),
        formatter_class=Help,
        allow_abbrev=False,
    )
    version = (
        f"{INSTALLED} {SUITE_VERSION}, Python {platform.python_version()}, NumPy {np.__version__}"
    )
    parser.add_argument("--version", action="version", version=version, help="show it and end")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        # A subparser does not take allow_abbrev over: ``--case`` would stand for ``--cases``.
        own = commands.add_parser(
            name,
            help=command.about,
            description=command.does,
            allow_abbrev=False,
            epilog=f"{examples(name)}\n{command.more}",
            formatter_class=Help,
        )
        command.add_arguments(own)
        if command.quiet:
            own.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def examples(*names: str) -> str:
    """Lines to be copied, for the help of one command or of all."""
    words = [example for name in names for example in COMMANDS[name].examples]
    return "\n".join(["examples:", *(f"  {program()} {line}" for line in words)])
