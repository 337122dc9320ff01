"""The verdict for machines: JUnit XML for CI, Markdown for a pull request, a badge for a README."""

import xml.etree.ElementTree as ET
from typing import Any

from common.errors import printable
from conformance.report.changes import KINDS, Change
from conformance.report.rows import matrix, training_rows
from conformance.verdict.escape import markdown
from conformance.verdict.outcome import (
    CRASHED,
    FAIL,
    FAILED,
    IN_PART,
    INCOMPLETE,
    NOT_COMPARED,
    NOT_RUN,
    PASS,
    PASSED,
    UNSUPPORTED,
    WRONG,
)

MOST_FAILURES = 10
"""So many are listed in the summary; a comment on a pull request is read, not searched."""

LONGEST_LINE = 300

ERRORS = (CRASHED, NOT_COMPARED)
"""In JUnit's words: a test that came to no result. What was compared with nothing is none that
could be skipped."""


MARKS = {PASSED: "✅", FAILED: "❌", INCOMPLETE: "⚠️"}


def junit(verdict: dict[str, Any]) -> str:
    """One test suite for each implementation, device and dtype; a test case for each case."""
    root = ET.Element("testsuites", name="conformance")
    for part, dtype, case in (("results", "dtype", "case"), ("training", "numerics", "title")):
        suites: dict[str, list[dict[str, Any]]] = {}
        for result in verdict[part]:
            name = f"{result['implementation']} {result['device']} {result[dtype]}"
            suites.setdefault(f"{name} training" if part == "training" else name, []).append(result)
        for name, results in suites.items():
            _suite(root, name, results, case)
    whole = [{"case": f"record of {b}", "status": NOT_RUN} for b in verdict["absent"]]
    whole += [{"case": f"deviation {d}", "status": FAIL} for d in verdict["stale deviations"]]
    whole += [{"case": line, "status": FAIL} for line in verdict["claims"]]
    whole += [{"case": line, "status": NOT_COMPARED} for line in verdict["open"]]
    if whole:
        _suite(root, "expected", whole, "case")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ET.Element, name: str, results: list[dict[str, Any]], case: str) -> None:
    statuses = [result["status"] for result in results]
    counts = {
        "tests": len(results),
        "failures": sum(s in WRONG and s != CRASHED for s in statuses),
        "errors": sum(s in ERRORS for s in statuses),
        "skipped": sum(s not in (PASS, *ERRORS, *WRONG) for s in statuses),
    }
    suite = ET.SubElement(root, "testsuite", name=printable(name))
    for key, count in counts.items():
        suite.set(key, str(count))
    for result in results:
        test = ET.SubElement(suite, "testcase", classname=printable(name))
        test.set("name", printable(result[case]))
        status = result["status"]
        if status == PASS:
            continue
        kind = "error" if status in ERRORS else "failure" if status in WRONG else "skipped"
        outcome = ET.SubElement(test, kind, message=printable(story(result)))
        if kind == "failure":
            outcome.text = printable(" | ".join(map(str, result.get("failed", []))))


def story(result: dict[str, Any]) -> str:
    """What became of a result that did not pass, in one line."""
    parts = [result["status"], result.get("reason"), result.get("place"), result.get("why")]
    return "; ".join(part for part in parts if part)


def summary(verdict: dict[str, Any], changed: list[Change] | None = None) -> str:
    """Short enough for a comment on a pull request, whatever happened."""
    lines = [f"### {MARKS[verdict['outcome']]} {_cell(verdict['sentence'])}", ""]
    rows = matrix(verdict)
    if rows:
        lines += ["| implementation | passed | worst error | other |", "|---|---|---|---|"]
    for row in rows:
        worst = "–" if row.worst is None else f"{row.worst:.3g}× noise ({row.worst_rung})"
        others = ", ".join(f"{count} {status}" for status, count in row.other.items())
        title = f"{row.implementation} {row.dtype}" + f" ({row.device})" * (row.device != "cpu")
        passed = f"up to the {row.part}" if row.part else f"{row.passed}/{row.total}"
        lines.append(f"| {_cell(title)} | {passed} | {worst} | {_cell(others)} |")
    if trained := training_rows(verdict):
        runs = [result for _, by_title in trained for result in by_title.values()]
        passed = sum(result["status"] == PASS for result in runs)
        unable = sum(result["status"] == UNSUPPORTED for result in runs)
        but = f" ({unable} more are unsupported)" if unable else ""
        lines += ["", f"Training: {passed} of {len(runs) - unable} runs agree{but}."]
    failing = [r for part in ("results", "training") for r in verdict[part] if r["status"] in WRONG]
    if failing:
        lines += ["", f"**{len(failing)} failed:**", ""]
        for result in failing[:MOST_FAILURES]:
            what = result.get("case") or result.get("title", "")
            lines.append("- " + _cell(f"{result['implementation']} {what}: {story(result)}"))
        if len(failing) > MOST_FAILURES:
            lines.append(f"- … and {len(failing) - MOST_FAILURES} more")
    lines += ["", *(f"- {_cell(line)}" for line in (*verdict["claims"], *verdict["open"]))]
    if changed is not None:
        counts = {kind: sum(c.kind == kind for c in changed) for kind in KINDS}
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        lines += ["", f"Since the earlier run: {told or 'nothing changed'}."]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text of a line or a cell, not too long."""
    return markdown(text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…")


BADGE = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img"
 aria-label="conformance: {text}">
<title>conformance: {text}</title>
<rect width="{width}" height="20" rx="3" fill="#444d56"/>
<path d="M90 0h{rest}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{rest}z" fill="{fill}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="7" y="14">conformance</text>
<text x="97" y="14" textLength="{length}">{text}</text>
</g>
</svg>
"""


def badge(verdict: dict[str, Any]) -> str:
    """A picture of one line: how it came out, and on how many case results."""
    passes = sum(result["status"] == PASS for result in verdict["results"])
    in_part = sum(result["status"] == IN_PART for result in verdict["results"])
    agree = f"{passes:,} results agree" if passes or not in_part else f"{in_part:,} agree in part"
    text, fill = {
        PASSED: (f"✓ {agree}", "#1a7f37"),
        FAILED: ("✗ failing", "#b42318"),
        INCOMPLETE: ("? incomplete", "#9a6700"),
    }[verdict["outcome"]]
    text = f"quick: {text}" if verdict["quick"] else text
    length = 7 * len(text)
    return BADGE.format(text=text, width=length + 104, rest=length + 11, length=length, fill=fill)
