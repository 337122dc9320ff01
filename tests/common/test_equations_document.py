"""EQUATIONS.md and the code name the same equations."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.frameworks import OTHERS

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "common" / "EQUATIONS.md"

FAMILY = r"(?:STACK|BI|LEN|DROP|RNN|GRU|LSTM|OUT|LOSS|BPTT|CLIP|SGD|LATTICE|PPL)"
LABEL = re.compile(rf"\b{FAMILY}-\d+[ab]?\b")
RANGE = re.compile(rf"\b({FAMILY})-(\d+) to \1-(\d+)\b")


def labels_in(text):
    """Every label in a text; a range covers those between, GRU-3a and GRU-3b for a GRU-3."""
    found = set(LABEL.findall(RANGE.sub("", text)))
    for family, first, last in RANGE.findall(text):
        for number in range(int(first), int(last) + 1):
            label = f"{family}-{number}"
            found |= {defined for defined in DEFINED if defined.rstrip("ab") == label} or {label}
    return found


def definitions(text):
    """How often each label stands at the start of a line of a fenced block."""
    blocks = text.split("```")[1::2]
    return Counter(
        match.group() for b in blocks for line in b.splitlines() if (match := LABEL.match(line))
    )


def code_in(folder):
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert texts, folder
    return "\n".join(texts)


DEFINED = definitions(DOCUMENT.read_text(encoding="utf-8"))


def test_every_equation_is_defined_exactly_once():
    assert {label: count for label, count in DEFINED.items() if count != 1} == {}
    assert set(DEFINED) == {
        *("STACK-1", "OUT-1", "RNN-1", "LOSS-1", "CLIP-1", "CLIP-2", "SGD-1"),
        *("LATTICE-1", "PPL-1", "DROP-1"),
        *("GRU-1", "GRU-2", "GRU-3a", "GRU-3b", "GRU-4"),
        *(f"LSTM-{number}" for number in range(1, 12)),
        *(f"BPTT-{number}" for number in range(1, 13)),
        *(f"BI-{number}" for number in range(1, 4)),
        *(f"LEN-{number}" for number in range(1, 6)),
    }


@pytest.mark.parametrize("folder", ["backends", "common"])
def test_every_label_in_the_code_is_defined(folder):
    assert labels_in(code_in(folder)) - set(DEFINED) == set()


def test_every_label_that_the_document_mentions_is_defined():
    assert labels_in(DOCUMENT.read_text(encoding="utf-8")) == set(DEFINED)


def test_the_reference_implements_every_equation_that_is_not_the_same_for_all_backends():
    shared = {"LATTICE-1", "PPL-1"}
    assert set(DEFINED) - labels_in(code_in("backends/numpy")) == shared
    assert shared <= labels_in(code_in("common") + code_in("conformance"))


@pytest.mark.parametrize("backend", OTHERS)
def test_every_backend_writes_out_every_forward_equation(backend):
    training = ("BPTT", "LEN-5", "CLIP", "SGD", "LATTICE", "PPL")
    forward = {label for label in DEFINED if not label.startswith(training)}
    equations = ROOT / "backends" / backend / "equations.py"
    assert forward - labels_in(equations.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("backend", OTHERS)
def test_every_backend_writes_out_the_step(backend):
    step = (ROOT / "backends" / backend / "training.py").read_text(encoding="utf-8")
    assert {"CLIP-1", "CLIP-2", "SGD-1", "LATTICE-1"} <= labels_in(step)


def test_a_range_of_labels_covers_those_between():
    assert labels_in("(LSTM-1 to LSTM-3), GRU-3a") == {"LSTM-1", "LSTM-2", "LSTM-3", "GRU-3a"}
    assert labels_in("GRU-1 to GRU-3") == {"GRU-1", "GRU-2", "GRU-3a", "GRU-3b"}
    assert labels_in("SHA-1, UTF-8, LSTM-1 to GRU-3") == {"LSTM-1", "GRU-3"}


def test_a_label_defined_twice_would_be_noticed():
    assert definitions("```\nRNN-1  a\n       b\nRNN-1  c\n```\nRNN-1\n")["RNN-1"] == 2


def test_the_links_within_the_document_lead_somewhere():
    text = DOCUMENT.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert links and links <= anchors, links - anchors
