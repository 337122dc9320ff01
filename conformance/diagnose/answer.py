"""The answer to ``diagnose``: what was found, in sentences and as JSON, and the exit code.

Exit code 0 only if the framework that the layout names computes these outputs from these weights,
with the options that were stated, and the data are enough to say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from common.errors import EXIT_FAIL, EXIT_PASS
from conformance.diagnose.precision import Likely
from conformance.diagnose.search import Found, Match
from conformance.diagnose.undecided import Undecided, advice
from conformance.diagnose.unknown import Unknown
from conformance.diagnose.words import mending, mending_in_words
from conformance.faults.fault import Fault
from conformance.models.frameworks import CLASSES
from conformance.models.leftovers import guess
from conformance.models.reading import Loaded

SHOWN = 8
"""How many networks are listed that the data cannot tell apart."""


@dataclass(frozen=True)
class Asked:
    """layout, stated: as on the command line; loaded: the file of weights; bound: of the outputs
    precise: the precision that was stated, if a lower one was
    shown: of what was stated, by the user or by the file, what an answer repeats"""

    layout: str
    stated: dict[str, str]
    loaded: Loaded
    bound: float
    precise: str = ""
    shown: dict[str, str] | None = None


@dataclass
class Answer:
    """verdict: all right, all right in this precision (which was stated), undecided, another
    option, wrong, precision, or unknown
    wrong_ends: sentences on final states that do not belong to outputs that are all right"""

    asked: Asked
    found: Found
    verdict: str = "unknown"
    undecided: Undecided | None = None
    likely: Likely | None = None
    unknown: Unknown | None = None
    notes: list[str] = field(default_factory=list)
    command: str = ""
    wrong_ends: list[str] = field(default_factory=list)

    @property
    def first(self) -> Match | None:
        return self.found.matches[0] if self.found.matches else None

    @property
    def match(self) -> Match:
        """The first, of a verdict that has one."""
        return self.found.matches[0]

    @property
    def code(self) -> int:
        right = self.verdict in ("all right", "all right in this precision")
        return EXIT_PASS if right and not self.wrong_ends else EXIT_FAIL

    @property
    def own(self) -> str:
        return CLASSES[self.asked.layout][self.asked.loaded.network.cell]

    def lines(self) -> list[str]:
        if self.undecided:
            body = self._right(self.undecided)
        elif self.unknown:
            body = self._unknown(self.unknown)
        elif self.likely:
            body = self._precision(self.likely)
        else:
            body = self._option() if self.verdict == "another option" else self._wrong()
        return [*self.wrong_ends, *body, *self.notes]

    def _about(self) -> str:
        network = self.asked.loaded.network
        sizes = network.sizes
        h = sizes[0] if len(set(sizes)) == 1 else f"({', '.join(map(str, sizes))})"
        about = f"{network.cell} of {network.L} layer{'s' * (network.L > 1)}"
        about += ", bidirectional" if network.directions == 2 else ""
        about += f", d = {network.d}, h = {h}"
        half = network.layers[-1][0]
        about += f", projected to {half.p} (proj_size)" if half.project is not None else ""
        about += ", with peepholes" if half.peephole is not None else ""
        return about

    def _with(self) -> str:
        shown = self.asked.stated if self.asked.shown is None else self.asked.shown
        stated = ", ".join(f"{k}={v}" for k, v in shown.items())
        return f" with {stated}" if stated else ""

    def _right(self, found: Undecided) -> list[str]:
        match = self.match
        to = f"reproduces the outputs to {match.error:.0e}"
        if self.verdict == "all right":
            lines = [f"{self._about()}: all right: {self.own}{self._with()} {to}"]
        else:
            lines = [
                f"{self._about()}: undecided: {self.own}{self._with()} {to}, but so do networks "
                "that are wrong; these data are too little to call it all right"
            ]
            lines.append(f"    what would decide it: {', '.join(advice(found, match))}")
        if said := summed([f for f in found.by_data if f.common or f.decides]):
            lines.append("The data cannot tell this from a network in which")
            lines += listed(said)
        if said := summed([f for f in found.by_weights if f.common]):
            lines.append("With these weights no data could tell whether")
            lines += listed(said)
        return lines

    def _option(self) -> list[str]:
        match = self.match
        stated = " ".join(f"--option {option}" for option in match.options)
        return [
            f"{self._about()}: not as {self.own} does it by default{self._with()}; the outputs are "
            f"reproduced to {match.error:.0e} if",
            *(f"    {fault.says}" for fault in match.group),
            f"If your code means that, state it and ask again: {stated}",
            *self._others(),
        ]

    def _wrong(self) -> list[str]:
        match, network = self.match, self.asked.loaded.network
        lines = [
            f"{self._about()}: wrong: {self.own}{self._with()} does not make these outputs. They "
            f"are reproduced to {match.error:.0e} if"
        ]
        for place, fault in enumerate(match.group):
            lines.append(f"    {'and ' * (place > 0)}{fault.says}")
            if fault.order:
                said = mending_in_words(
                    self.asked.layout, network, fault.order, self.asked.loaded.single
                )
                lines += [f"      {line}" for line in said]
            if fault.mend:
                lines.append(f"      {fault.mend}")
        return [*lines, *self._others()]

    def _others(self) -> list[str]:
        others = [
            " and ".join(f.says for f in match.group) or f"what {self.own} computes"
            for match in self.found.matches[1:]
            if not set(self.match.group) <= set(match.group)
        ]
        said = " and ".join(f.says for f in self.match.group)
        others = [other for other in dict.fromkeys(others) if other != said]
        return ["The data cannot tell this from:", *listed(others)] if others else []

    def _precision(self, likely: Likely) -> list[str]:
        group = likely.group
        lines = [f"{self._about()}: {self.verdict}: the network {likely.says}"]
        if group:
            lines.append("    if " + " and ".join(fault.says for fault in group))
        if not likely.sure:
            lines.append("    only the size of the error speaks for that, not its pattern")
        if options := [fault.option for fault in group if fault.option]:
            lines.append(f"State it: {' '.join(f'--option {option}' for option in options)}")
        return lines

    def _unknown(self, found: Unknown) -> list[str]:
        lines = [
            f"{self._about()}: no known convention, and no two together, reproduce the outputs "
            f"within {self.asked.bound:g}"
        ]
        lines += [f"    {line}" for line in found.seen]
        if self.likely:
            lines.append(f"    {self.likely.says}, but its pattern does not speak for that")
        if found.nearest:
            lines.append("Nearest, none of which reproduces them:")
            lines += [f"    {e:.1e} off: {says}" for says, e in found.nearest]
        lines.append("What to send next:")
        lines += [f"    {line}" for line in found.next]
        lines += [f"    by {self.command}"] if self.command else []
        if self.found.left:
            lines.append(f"{self.found.left} pairs were not tried: the network is large")
        return lines

    def to_json(self) -> dict:
        asked, network = self.asked, self.asked.loaded.network
        rows = [
            {
                "says": " and ".join(f.says for f in m.group) or f"as {self.own} computes it",
                "error": m.error,
                "wrong": [f.name for f in m.group],
                "options": list(m.options),
                "mend": [
                    line
                    for f in m.group if f.order
                    for _, line in mending(asked.layout, network, f.order, asked.loaded.single)
                ],
            }
            for m in self.found.matches
        ]  # fmt: skip
        found = {
            "layout": asked.layout, "cell": network.cell, "verdict": self.verdict,
            "matches": rows, "notes": self.notes,
            "wrong ends": self.wrong_ends,
            "unused": {n: guess(n, a, network) for n, a in asked.loaded.left.items()},
        }  # fmt: skip
        if self.likely:
            likely = self.likely
            found["precision"] = {"name": likely.name, "error": likely.error, "makes": likely.made}
        if self.unknown:
            near = [{"says": says, "error": error} for says, error in self.unknown.nearest]
            found |= {"seen": self.unknown.seen, "nearest": near, "next": self.unknown.next}
            found["command"] = self.command
        if self.undecided:
            found["undecided"] = [
                f.name for f in (*self.undecided.by_data, *self.undecided.by_weights)
            ]
        return found


def summed(faults: list[Fault]) -> list[str]:
    """Each in words, and orders of gates by their number."""
    said = [fault.says for fault in faults if not fault.order]
    orders = sum(1 for fault in faults if fault.order)
    more = f"the gates are in one of {orders} other orders"
    return [*([more] if orders else []), *dict.fromkeys(said)]


def listed(sentences: list[str]) -> list[str]:
    lines = [f"    {sentence}" for sentence in sentences[:SHOWN]]
    more = len(sentences) - SHOWN
    return [*lines, f"    … and {more} more"] if more > 0 else lines
