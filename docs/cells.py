"""What the cells of a notebook do beside plain Python, after ``begin()``.

    %%suite backends.pytorch.equations            functions, classes or constants of a module
    %%suite backends.pytorch.training Trainer     methods of a class in it

The code of such a cell takes the place of what the suite has under the same names, for everything
that is run afterwards: what is edited in the notebook is what the suite then computes with.
"""

import ast
import importlib
import linecache
import sys
from typing import Any

from docs._ext.stored import records

ROOMS = ("backends.", "common.", "conformance.", "docs.")


def suite(line: str, cell: str) -> None:
    """Run a cell inside of a module of the suite, statement by statement."""
    name, _, owner = line.strip().partition(" ")
    module = importlib.import_module(name)
    place: Any = getattr(module, owner) if owner else module
    file = f"<{line.strip()}, as edited in a cell>"
    # Frameworks that compile a function read its source, and tracebacks show it.
    linecache.cache[file] = len(cell), None, cell.splitlines(keepends=True), file
    for statement in ast.parse(cell, file).body:
        made: dict[str, Any] = {}
        exec(compile(ast.Module([statement], []), file, "exec"), vars(module), made)
        for key, value in made.items():
            old = vars(place).get(key)
            setattr(place, key, value)
            if not owner and old is not None and (callable(old) or isinstance(old, type)):
                replace(old, value)


def replace(old: Any, new: Any) -> None:
    """In every module of the suite that has imported it by name."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith(ROOMS):
            for name, value in list(vars(module).items()):
                if value is old:
                    setattr(module, name, new)


def chart(name: str, spec: dict[str, Any]) -> None:
    """Show stored records as a chart: a picture where Vega-Lite's converter is installed, and what
    Jupyter draws by itself in any case. ``spec`` is Vega-Lite without its data, to be edited."""
    from IPython.display import display

    display(bundle(name, spec), raw=True)


def bundle(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The chart in the forms that a notebook's output can have."""
    whole = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", **spec}
    whole["data"] = {"values": records(name)}
    found: dict[str, Any] = {"application/vnd.vegalite.v5+json": whole}
    try:
        import vl_convert
    except ImportError:
        return found
    return found | {"image/svg+xml": vl_convert.vegalite_to_svg(whole)}


def begin() -> None:
    """Let this kernel know ``%%suite``."""
    import rich.console
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    assert shell is not None, "in a notebook"
    shell.register_magic_function(suite, "cell")
    # What a command prints is text, here as in a terminal: rich would make HTML of it.
    rich.console._is_jupyter = lambda: False
