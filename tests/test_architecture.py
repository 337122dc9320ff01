"""The rules of the architecture, read from the source. No framework is imported."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from backends.registry import MODULES
from tests.frameworks import ENGINES, FRAMEWORKS, OTHERS, PARTS, WRITES
from tests.source import (
    ROOT,
    compares,
    definitions,
    imports,
    names,
    roots,
    sources,
    tracked,
    tree_of,
    unpickles,
    words,
)

pytestmark = pytest.mark.once

REPORT = {"fastjsonschema", "jinja2", "markupsafe", "playwright", "vl_convert"}
"""What conformance/report/ alone imports."""

FORMATS = {"h5py", "msgpack", "onnx", "google"}
"""What conformance/files/ reads files of other formats with, and conformance/convert/ writes them;
the last is ONNX' protobuf."""

ALL_FRAMEWORKS = {package for packages in FRAMEWORKS.values() for package in packages}
TALLEST = 300

ALLOWED = {
    "cases": {"files"},
    "closeness": set(),
    "oracle": {"cases", "closeness"},
    "mutants": {"cases", "oracle"},
    "records": {"cases"},
    "worker": {"cases", "records"},
    "run": {"cases", "records"},
    "models": set(),
    "files": {"models"},
    "faults": {"closeness", "models"},
    "convert": {"closeness", "oracle", "models", "files"},
    "captures": {"closeness", "models", "faults", "diagnose"},
    "diagnose": {"cases", "closeness", "oracle", "mutants", "models", "faults", "files"},
    "verdict": {"cases", "closeness", "records"},
    "judge": {"cases", "closeness", "oracle", "records", "diagnose", "verdict"},
    "limits": {"cases", "closeness", "oracle", "records", "run", "verdict", "judge"},
    "report": {"cases", "closeness", "judge", "verdict"},
    "calibrate": {
        "cases",
        "closeness",
        "oracle",
        "mutants",
        "run",
        "worker",
        "models",
        "diagnose",
        "judge",
    },
    "studies": {"cases", "records", "run", "worker", "report"},
    "versions": {"cases", "records", "run", "verdict", "judge"},
    "gpu": {
        "cases",
        "closeness",
        "oracle",
        "records",
        "run",
        "worker",
        "verdict",
        "judge",
        "calibrate",
    },
}
"""Which room of conformance/ may import which others. The two that matter most: the judge never
imports what runs (worker, run), and what runs never imports the oracle."""

ENTRY_POINTS = {"__init__", "__main__", "parser", "check_backend", "one_gpu", "installed"}
LEAVES = {"progress", "options"}
"""At the root of conformance/: nobody imports the former, everybody may import the latter."""

STRICT = {"cases", "closeness", "oracle", "verdict"}
"""Rooms whose types are checked by the strictest rules."""

MOST = 14
"""Python files in a room."""

NAMED = {
    "backends/keras_layers.py": "Keras on whichever engine it runs",
    "backends/jax/modes.py": "Keras runs on this engine, too",
    "backends/pytorch/modes.py": "Keras runs on this engine, too",
    "common/parameters.py": "how each framework draws its weights is a scheme of that name",
    "common/recipe.py": "one of these schemes is the default",
    "conformance/studies/bench.py": "NumPy is measured against PyTorch, as was promised",
    "conformance/calibrate/own_networks.py": "which layouts store one bias where others have two",
    "conformance/models/layouts.py": "other people's files are laid out as these do it",
    "conformance/models/frameworks.py": "what they compute, and their options",
    "conformance/models/writing.py": "a layout that is written in a way of its own",
    "conformance/files/loading.py": "whose layers a tensor's name gives away",
    "conformance/files/opening.py": "the formats, each by a reader of its own",
    "conformance/files/mxnet.py": "what a file is, in words",
    "conformance/files/flax.py": "what a file is, in words",
    "conformance/files/canonical.py": "how a dense layer's matrix lies",
    "conformance/files/checkpoints.py": "files that their own framework alone can read",
    "conformance/files/keras.py": "which version wrote a file",
    "conformance/convert/targets.py": "whose files a network can become",
    "conformance/convert/pytorch.py": "the names and the modules of a state dict",
    "conformance/convert/keras.py": "the names and the layers of its models",
    "conformance/convert/mxnet.py": "the names and the blocks of Gluon",
    "conformance/convert/onnx.py": "the lines that run what it writes",
    "conformance/convert/flax.py": "the names and the modules of nnx",
    "conformance/convert/command.py": "the examples in its help",
    "conformance/faults/orders.py": "whose order of gates a wrong one is",
    "conformance/faults/function.py": "whose hard sigmoid has which slope",
    "conformance/diagnose/notes.py": "what may be missing in a file",
    "conformance/mutants/directions.py": "whose gates lie in which order",
    "conformance/mutants/function.py": "whose hard sigmoid has which slope",
    "conformance/one_gpu.py": "the two frameworks that are found on lent machines are its default",
    "conformance/captures/command.py": "an example in its help",
    "conformance/diagnose/command.py": "an example in its help",
    "conformance/judge/command.py": "an example in its help",
    "conformance/limits/command.py": "the examples in its help",
    "conformance/run/command.py": "the examples in its help",
    "conformance/studies/command.py": "the examples in its help",
    "conformance/versions/command.py": "the examples in its help",
    "conformance/versions/wanted.py": "examples of what is named",
}
"""Where code outside of its folder and the registry names a framework, and why."""


def test_the_detectors_detect():
    assert roots(ast.parse("def f():\n    from torch.nn import GRU")) == {"torch"}
    assert "backends.mxnet" in imports(ast.parse("from backends import mxnet"))
    for line in ("np.allclose(a, b)", "from math import isclose", "assert_array_equal(a, b)"):
        assert compares(ast.parse(line)), line
    assert not compares(ast.parse("compare(a, b)"))
    for line in ("import pickle", "torch.load(p)", "np.load(p, allow_pickle=True)"):
        assert unpickles(ast.parse(line)), line
    assert unpickles(ast.parse("torch.load(p, weights_only=False)"))
    assert unpickles(ast.parse("load = torch.load; torch.load(p, weights_only=True)"))
    assert not unpickles(ast.parse("torch.load(p, weights_only=True)"))
    assert not unpickles(ast.parse("json.load(file)"))
    assert words(ast.parse("def f():\n    'Torch here'\n    return x_mxnet['a keras']")) == {
        "x",
        "mxnet",
        "a",
        "keras",
    }
    text = "def a(): pass\nclass B:\n    def c(self): pass\nd = 1"
    assert definitions(ast.parse(text)) == ["a", "B", "B.c"]


def test_every_folder_has_something_to_check():
    for folder in ("common", "conformance", *(f"backends/{name}" for name in MODULES)):
        assert len(sources(folder)) >= 3, folder


@pytest.mark.parametrize("path", sources("common", "conformance"), ids=str)
def test_common_and_conformance_import_no_framework_and_no_backend(path):
    imported = imports(tree_of(path))
    assert not {name.split(".")[0] for name in imported} & ALL_FRAMEWORKS
    assert not {n for n in imported if n.startswith(tuple(MODULES.values()))}
    assert not {n for n in imported if n.startswith(".")}, "relative imports hide where they lead"


def rooms_imported(path: Path) -> set[str]:
    """Rooms and root files of conformance/ that a file imports, under TYPE_CHECKING as well."""
    names = [name.split(".") for name in imports(tree_of(path))]
    return {name[1] for name in names if name[0] == "conformance" and len(name) > 1}


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_the_rooms_that_it_may_and_no_others(room):
    found = set().union(*(rooms_imported(path) for path in sources(f"conformance/{room}")))
    assert found - {room} - LEAVES == ALLOWED[room]


def test_the_rooms_are_those_of_the_table_and_say_what_they_hold():
    folders = {path.parent.name for path in (ROOT / "conformance").glob("*/__init__.py")}
    assert folders == set(ALLOWED)
    for room in ALLOWED:
        files = sources(f"conformance/{room}")
        said = ast.get_docstring(tree_of(ROOT / "conformance" / room / "__init__.py"))
        unsaid = {path.name for path in files if path.name not in said}
        assert unsaid <= {"__init__.py"}, room
        assert set(re.findall(r"^(\w+\.py)", said, re.MULTILINE)) <= {p.name for p in files}, room
        assert len(files) <= MOST, room
    about = ast.get_docstring(tree_of(ROOT / "conformance" / "__init__.py"))
    assert set(re.findall(r"^(\w+)  +\w", about, re.MULTILINE)) == set(ALLOWED)


def test_no_room_imports_one_that_imports_it():
    left = dict(ALLOWED)
    while left:
        first = {room for room, others in left.items() if not others & set(left)}
        assert first, f"a cycle among {sorted(left)}"
        left = {room: others for room, others in left.items() if room not in first}


def test_no_folder_has_more_files_than_a_reader_takes_in():
    folders = {path.parent for path in sources("common", "backends", "conformance")}
    assert len(folders) > len(ALLOWED)
    for folder in folders:
        assert len(list(folder.glob("*.py"))) <= MOST, folder


def test_at_the_root_of_conformance_stand_entry_points_and_leaves_only():
    files = {path.stem for path in (ROOT / "conformance").glob("*.py")}
    assert files == ENTRY_POINTS | LEAVES
    for leaf in LEAVES:
        assert not rooms_imported(ROOT / "conformance" / f"{leaf}.py")
    for path in sources("conformance"):
        if path.parent.name in ALLOWED:
            assert not rooms_imported(path) & ENTRY_POINTS, path


def test_every_command_is_a_rooms_command():
    """And has its arguments and its run function in a file of that name."""
    from conformance.parser import COMMANDS, find_command

    for command in map(find_command, COMMANDS):
        for function in (command.add_arguments, command.run):
            module = function.__module__.split(".")
            assert module[-1] in ("command", "check_backend"), command.name


def test_the_tests_of_conformance_mirror_its_rooms():
    folders = {path.parent.name for path in (ROOT / "tests" / "conformance").glob("*/test_*.py")}
    assert folders <= set(ALLOWED)


def test_common_imports_numpy_and_safetensors_only():
    imported = set().union(*(roots(tree_of(path)) for path in sources("common")))
    assert imported - sys.stdlib_module_names == {"common", "numpy", "safetensors"}


def test_conformance_imports_a_backend_only_through_the_registry():
    imported = set().union(*(imports(tree_of(path)) for path in sources("conformance")))
    found = {name for name in imported if name.startswith("backends")}
    allowed = ("backends.registry", "backends.protocol")
    assert found - {"backends"} == {name for name in found if name.startswith(allowed)}
    others = {name.split(".")[0] for name in imported} - sys.stdlib_module_names
    own = {"backends", "common", "conformance"}
    always = {"numpy", "safetensors", "rich", "threadpoolctl", "argcomplete", "flint"}
    assert others == own | always | REPORT | FORMATS


def test_what_the_report_is_made_with_is_imported_by_it_alone():
    """And only when it is asked for: not every environment has these packages."""
    for path in sources("conformance", "common"):
        if path.parent.name != "report":
            assert not roots(tree_of(path)) & REPORT, path
    for path in ("command", "page_speed", "changes", "formats", "rows"):
        module = tree_of(ROOT / "conformance" / "report" / f"{path}.py")
        assert not {name for node in module.body for name in roots_of_line(node)} & REPORT, path


def test_what_reads_a_format_is_imported_in_its_reader_and_when_it_is_asked_for():
    for path in sources("conformance", "common"):
        tree = tree_of(path)
        if path.parent.name not in ("files", "convert"):
            assert not roots(tree) & FORMATS, path
        assert not {name for node in tree.body for name in roots_of_line(node)} & FORMATS, path


def roots_of_line(node: ast.stmt) -> set[str]:
    """What a statement at the top of a module imports; functions import later."""
    return roots(node) if isinstance(node, (ast.Import, ast.ImportFrom)) else set()


@pytest.mark.parametrize("name", MODULES)
def test_a_backend_imports_its_own_framework_and_nothing_of_its_neighbours_or_its_judge(name):
    allowed = {"numpy", "threadpoolctl", "common", "backends", *FRAMEWORKS[name]}
    allowed |= {*WRITES.get(name, ())}
    for path in sources(f"backends/{name}"):
        tree = tree_of(path)
        assert roots(tree) - sys.stdlib_module_names <= allowed, path
        inner = {module for module in imports(tree) if module.startswith("backends.")}
        own = (f"backends.{name}", "backends.protocol")
        if path.name == ("layers.py" if name in PARTS else "modes.py"):
            own += tuple(f"backends.{engine}_layers" for engine in ENGINES.get(name, ()))
        assert all(module.startswith(own) for module in inner - {"backends"}), path


@pytest.mark.parametrize("name", [*OTHERS, *PARTS])
def test_a_framework_is_named_in_its_folder_and_the_registry_only(name):
    found, own = set(), {*FRAMEWORKS[name]}
    rooms = [name, *(other for other, packages in WRITES.items() if own & {*packages})]
    for path in sources("common", "conformance", "backends"):
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(tuple(f"backends/{room}/" for room in rooms)):
            found |= {place for word in words(tree_of(path)) if word in {name, *own}}
    assert "backends/registry.py" in found
    assert found - {"backends/registry.py"} <= set(NAMED)


def test_every_exception_from_that_rule_is_needed():
    known = {word for name in (*OTHERS, *PARTS) for word in (name, *FRAMEWORKS[name])}
    assert {place for place in NAMED if words(tree_of(ROOT / place)) & known} == set(NAMED)


def test_only_two_files_import_by_name():
    """The registry the backends, and the command line the rooms: whatever is not asked for would
    cost more than what is."""
    dynamic = {"import_module", "__import__"}
    found = {
        path
        for path in sources("common", "backends", "conformance")
        if names(tree_of(path)) & dynamic
    }
    assert found == {ROOT / "backends" / "registry.py", ROOT / "conformance" / "parser.py"}


@pytest.mark.parametrize("path", sources("common", "backends", "conformance"), ids=str)
def test_no_file_unpickles(path):
    assert not unpickles(tree_of(path))


def test_a_type_is_ignored_by_rule_and_never_as_a_whole():
    """``pyright: basic`` and ``type: ignore`` would hide what nobody has looked at."""
    found = []
    for path in sources("common", "backends", "conformance", "deep_rnn_reference_suite"):
        for line in path.read_text(encoding="utf-8").splitlines():
            told = line.partition("# pyright:")[2].strip()
            ignored = r"(ignore\[\w+(, \w+)*\](  \S.*)?|report\w+=false(, report\w+=false)*)"
            if "# type:" in line or (told and not re.fullmatch(ignored, told)):
                found.append(f"{path}: {line.strip()}")
    assert found == []


def test_types_are_strict_where_a_mistake_would_be_a_wrong_verdict():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    types = settings["tool"]["basedpyright"]
    assert {"common", "backends", "conformance"} <= set(types["include"])
    rooms = {path.removeprefix("conformance/") for path in types["strict"]} & set(ALLOWED)
    assert rooms >= STRICT
    assert {"common", "backends/protocol.py"} <= set(types["strict"])


def test_no_file_is_longer_than_three_hundred_lines():
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in sources("common", "backends", "conformance")
    }
    assert {str(path): n for path, n in lengths.items() if n > TALLEST} == {}


def test_numbers_are_compared_in_one_place_only():
    found = {
        path for path in sources("common", "backends", "conformance") if compares(tree_of(path))
    }
    assert found <= {ROOT / "conformance" / "closeness" / "compare.py"}


def test_no_file_names_a_folder_of_one_machine():
    # Put together here, or this file would name them.
    private = [f"/{name}/" for name in ("work", "root")] + ["/tmp/" + "env"]
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {name}" for name in private if name in text]
    assert found == []
