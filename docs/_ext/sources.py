"""Pieces of the suite's own files, found by name, as they stand: nothing here runs them."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Missing(Exception):
    """A piece that a page asks for is not there; the message is one line."""


@cache
def read(path: str) -> tuple[list[str], ast.Module]:
    """The lines of a file of the suite, and its syntax tree."""
    file = ROOT / path
    if not file.is_file():
        raise Missing(f"{path}: no such file")
    text = file.read_text(encoding="utf-8")
    return text.splitlines(), ast.parse(text, path)


def named(node: ast.stmt) -> set[str]:
    """What a statement defines: a function, a class, or constants."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    return {target.id for target in targets if isinstance(target, ast.Name)}


def find(path: str, name: str) -> tuple[int, int]:
    """First and last line, from 1, of ``name`` (``clip``, ``GATE_ORDER``, ``Layers.freeze``), with
    its decorators and, after a constant, with the string that explains it."""
    body: list[ast.stmt] = read(path)[1].body
    for part in name.split("."):
        found = [number for number, node in enumerate(body) if part in named(node)]
        if not found:
            raise Missing(f"{path}: {name} is not defined there")
        node, after = body[found[0]], body[found[0] + 1 : found[0] + 2]
        body = getattr(node, "body", [])
    decorators = [decorator.lineno for decorator in getattr(node, "decorator_list", [])]
    last = node.end_lineno
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and after and is_text(after[0]):
        last = after[0].end_lineno
    return min([node.lineno, *decorators]), last


def is_text(node: ast.stmt) -> bool:
    value = getattr(node, "value", None)
    return (
        isinstance(node, ast.Expr) and isinstance(value, ast.Constant) and type(value.value) is str
    )


def extract(path: str, *names: str) -> str:
    """The source of these names, in the order asked for, not indented, with blank lines between;
    without names the whole file. Raises Missing."""
    lines = read(path)[0]
    if not names:
        return "\n".join(lines)
    pieces = []
    for name in names:
        first, last = find(path, name)
        piece = lines[first - 1 : last]
        indent = len(piece[0]) - len(piece[0].lstrip())
        pieces.append("\n".join(line[indent:] for line in piece))
    return "\n\n\n".join(pieces)
