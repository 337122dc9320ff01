"""The source, as the tests of the architecture read it. Nothing is imported."""

import ast
import functools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPARATORS = re.compile(r"(assert_)?(all_?close|is_?close|array_(almost_)?equal\w*)|approx")


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), path)


def imports(tree: ast.AST) -> set[str]:
    """Every module that is imported, in full, at whatever depth; ``from a import b`` gives both
    ``a`` and ``a.b``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def roots(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imports(tree)}


def names(tree: ast.AST) -> set[str]:
    """Every name that is used, imported or read as an attribute."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found | {name.split(".")[-1] for name in imports(tree)}


@functools.cache
def words(tree: ast.AST) -> set[str]:
    """The words of all names and texts, but for those of docstrings."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    texts = {n.value for n in constants if isinstance(n.value, str) and id(n) not in prose}
    return {word for text in texts | names(tree) for word in re.findall("[a-z0-9]+", text.lower())}


def compares(tree: ast.AST) -> bool:
    return any(COMPARATORS.fullmatch(name) for name in names(tree))


def unpickles(tree: ast.AST) -> bool:
    """Whether anything here could run code that lies in a data file."""
    if roots(tree) & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}:
        return True
    allowed = [n for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg == "allow_pickle"]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    # torch's own reader of tensors and plain values is what it is asked for, or it is not called.
    safe = {
        id(call.func) for call in calls if "weights_only=True" in map(ast.unparse, call.keywords)
    }
    attributes = {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and id(node) not in safe
    }
    return bool(allowed) or "torch.load" in attributes | imports(tree)


def definitions(tree: ast.Module) -> list[str]:
    """Functions and classes in their order, and the methods of the classes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = []
    for node in tree.body:
        if isinstance(node, kinds):
            found.append(node.name)
        if isinstance(node, ast.ClassDef):
            found += [f"{node.name}.{part.name}" for part in node.body if isinstance(part, kinds)]
    return found


def tracked() -> list[Path]:
    """What is in the repository, and what is new and not ignored."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode("utf-8").split("\0") if name]
    return [path for path in paths if path.is_file()]
