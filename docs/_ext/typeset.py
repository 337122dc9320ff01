"""The equations of common/EQUATIONS.md, which are plain text there, as MathML: a row for each line,
with its label, what is said beside it, and its shape. Needs no Sphinx."""

import re
from functools import partial
from html import escape

from docs._ext.labels import LABEL
from docs._ext.words import written

TILDE = "\N{COMBINING TILDE}"
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
SIGNS = {"ᵀ": "⊤"}
NAMESPACE = 'xmlns="http://www.w3.org/1998/Math/MathML"'
SCALARS = "TLN"
"""Capital letters that are numbers and not matrices."""

BASE = re.compile(
    rf"(?P<change>[dδ]?)(?P<arrow>[→←]?)(?P<change2>[dδ]?)(?P<letter>[A-Za-zσφθηκτℓδ]{TILDE}?)"
    r"(?P<sub>_(?:\{[^}]*\}|[A-Za-z0-9]+))?(?P<sup>\^\([^)]*\)|\^[A-Z]|[ᵀ′]|[⁰¹²³⁴-⁹]+)?"
)
WORD = re.compile(
    r"softmax|onehot|perplexity|tanh|clip|min|max|log|exp|rint|the step of the cell(?: from)?"
    r"|the state before it, unchanged|and|if|else|old"
)
BESIDE = re.compile(r"and|if|else|the .*from")
"""Words between formulas, which stand off from them."""
REMARK = re.compile(r"[a-z]{3,} ")
"""How a line begins that is none, though it may have a formula in it."""
NUMBER = re.compile(r"\d+")
SUM = re.compile(r"(?P<sign>Σ)(?:_(?P<under>[a-z]))?")
CLOSED = re.compile(r"(?P<mark>[)\]])(?P<sup>[ᵀ′]|[⁰¹²³⁴-⁹]+)?")


def math(text: str, language: str = "en") -> str:
    """One formula, ``H_t^(l−1)`` say, as a row of MathML."""
    made, at = [], 0
    parts = (
        (WORD, partial(word, language)),
        (SUM, total),
        (NUMBER, number),
        (BASE, base),
        (CLOSED, closed),
    )
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        for pattern, write in parts:
            if found := pattern.match(text, at):
                made.append(write(found))
                at = found.end()
                break
        else:
            made.append(sign(text[at]))
            at += 1
    return f"<mrow>{''.join(made)}</mrow>"


def sign(letter: str) -> str:
    """A bracket is as high as the letters: these formulas have one line."""
    return f'<mo stretchy="false">{escape(letter)}</mo>'


def word(language: str, found: re.Match[str]) -> str:
    off = "\N{NO-BREAK SPACE}" if BESIDE.fullmatch(found[0]) else ""
    return f"<mtext>{off}{written(found[0], language)}{off}</mtext>"


def number(found: re.Match[str]) -> str:
    return f"<mn>{found[0]}</mn>"


def total(found: re.Match[str]) -> str:
    return f"<msub><mo>Σ</mo><mi>{found['under']}</mi></msub>" if found["under"] else "<mo>Σ</mo>"


def closed(found: re.Match[str]) -> str:
    mark = sign(found["mark"])
    return f"<msup>{mark}{raised(found['sup'])}</msup>" if found["sup"] else mark


def base(found: re.Match[str]) -> str:
    """A letter with what it carries: H̃_t, →δg_t, W_hqᵀ, φ′."""
    letter, sub, sup = found["letter"], found["sub"], found["sup"]
    shown = f"<mi>{bold(letter[0], sub)}</mi>"
    if letter.endswith(TILDE):
        shown = f'<mover accent="true">{shown}<mo>{TILDE}</mo></mover>'
    if found["change2"]:
        shown = f"<mi>{found['change2']}</mi>{shown}"
    if found["arrow"]:
        shown = f'<mover accent="true"><mrow>{shown}</mrow><mo>{found["arrow"]}</mo></mover>'
    under = math(sub[1:].strip("{}")) if sub else ""
    if sub and sup:
        shown = f"<msubsup><mrow>{shown}</mrow>{under}{raised(sup)}</msubsup>"
    elif sub:
        shown = f"<msub><mrow>{shown}</mrow>{under}</msub>"
    elif sup:
        shown = f"<msup><mrow>{shown}</mrow>{raised(sup)}</msup>"
    return f"<mi>{found['change']}</mi>{shown}" if found["change"] else shown


def bold(letter: str, sub: str | None) -> str:
    """Matrices, and the biases, in bold, as in the chapters."""
    if letter.isascii() and letter.isupper() and letter not in SCALARS:
        return chr(0x1D400 + ord(letter) - ord("A"))
    return "\N{MATHEMATICAL BOLD SMALL B}" if letter == "b" and sub else letter


def raised(sup: str) -> str:
    if sup.startswith("^"):
        return math(sup[1:])
    plain = sup.translate(RAISED)
    return f"<mn>{plain}</mn>" if plain.isdigit() else f"<mo>{SIGNS.get(sup, sup)}</mo>"


def row(line: str, language: str) -> str:
    """A line of the document: a label or none, a formula, and what is said beside it."""
    found = LABEL.match(line)
    label = found.group() if found else ""
    formula, *said = re.split(r" {2,}", line[len(label) :].strip())
    while formula.endswith(",") and said and "=" in said[0]:
        formula = f"{formula} {said.pop(0)}"
    if not re.search(r"[=←]", formula) or REMARK.match(formula):  # between the formulas
        formula, said = "", [formula, *said]
    said, shape = (written(part, language) for part in shaped(" ".join(said)))
    code = f"<code>{label}</code>" if label else ""
    if not formula:
        return f'<tr><td>{code}</td><td colspan="3">{escape(said)}</td></tr>'
    drawn = f"<math {NAMESPACE}>{math(formula, language)}</math>"
    cells = (code, drawn, escape(said), escape(shape))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def shaped(said: str) -> tuple[str, str]:
    """What is said beside a formula, and the shape at the end of it."""
    found = re.fullmatch(r"(?P<said>.*?) *(?P<shape>\([^()]*\)|a number)", said)
    return (found["said"], found["shape"]) if found else (said, "")


def rows(text: str, language: str = "en") -> str:
    """The lines of some equations as a table, which scrolls within itself where it is too wide."""
    body = "".join(row(line, language) for line in text.splitlines() if line.strip())
    return f'<div class="typeset" tabindex="0"><table role="presentation">{body}</table></div>'
