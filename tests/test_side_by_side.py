"""The backends can be read side by side: the same files, and the same names in the same order. No
framework is imported."""

import configparser
import re

import pytest

from backends.registry import ASKED_FOR, CHEAP_MODES, MODULES
from tests.frameworks import FRAMEWORKS, OTHERS
from tests.source import ROOT, definitions, sources, tree_of

pytestmark = pytest.mark.once

COMPARED = ("equations", "layers", "training", "workers", "capture")

ON_LENT_GPUS = {"gpu.py"}
"""A file that only the frameworks have which are found on lent machines (conformance/gpu)."""

OPTIONAL = {"modes.py"}
"""A file that a backend without further modes leaves out."""

OWN = {
    "jax": {
        "linen.py": "Flax has two kinds of modules",
        "watching.py": "which share this",
        "stack.py": "what is compiled of small nets, by layer",
    },
    "mxnet": {"helper.py": "its engine has processes beside the workers"},
    "tensorflow": {"watching.py": "Keras shows a layer, its loop and a cell in three ways"},
}
"""Files that other backends do not have, and why."""

DIFFERENCES = {
    ("mxnet", "equations"): {
        "unstack": "MXNet's split makes no list of a single step",
    },
    ("mxnet", "layers"): {
        "Layers.native_layers": "Gluon's weights are Parameters, which a tensor is read from",
        "Layers.native_parameters": "instead",
        "Projected": "rnn.LSTM trains with a projection on a GPU only: contrib's LSTMPCell",
        "Projected.__init__": "one for each direction",
        "Projected.cells": "these",
        "Projected.forward": "unrolled",
        "Projected._unfuse": "as an rnn.LSTM is asked for its cells",
        "Layers.halves": "a block's parameters, of either kind",
    },
    ("mxnet", "training"): {
        "sum_of_squares": "MXNet's own sum over all elements is slow, its norm inaccurate",
    },
    ("mxnet", "workers"): {
        "check": "a server rounds float64 by a flag that nothing sets: the store is tried first",
        "prepare": "a scheduler and a server stand beside the workers",
        "helper_command": "either of them, without an import of MXNet",
        "helper_environment": "which says what it is",
        "serve": "the same, for who starts it by hand",
        "Workers.add": "the store adds up; shared by mean and total",
        "Workers.wait": "the store itself waits for ever",
        "in_a_thread": "where it may",
    },
    ("tensorflow", "workers"): {
        "from_environment": "TF_CONFIG holds the whole cluster",
        "check_the_network": "its servers listen on every interface, and nothing can stop them",
        "take_one_gpu": "the strategy would take all of a machine",
        "watch": "the strategy waits an hour for who is absent",
        "losses_said": "TensorFlow says in the middle of a long message that a worker is gone",
        "Workers.together": "the strategy runs what exchanges anything",
    },
    ("jax", "workers"): {
        "from_environment": "JAX would listen on every interface if it found the launcher itself",
        "find_the_first": "JAX ends the process if the first worker is not there",
        "meet_by_gloo": "JAX lets gloo listen where another machine cannot reach it",
        "Workers.compiled": "the mean is part of the compiled step",
        "Workers.part": "an array of all workers is made of their parts",
    },
    ("jax", "equations"): {
        "by_step": "lax.scan goes through the steps",
        "stacked": "lax.scan stacks",
        "Equations.last": "lax.scan gives the last state beside those of the steps",
        "Equations.trace": "compiled with the outputs, so that the steps run once",
        "Equations.output": "shared by the call and by forward",
        "Equations.forward": "outputs, state and trace of one run",
        "Equations.native": "a net is compiled for all weights of its spec, and given them",
        "Equations.hidden": "what a layer's program makes",
        "Equations.pieces": "of these weights",
        "Equations.whole": "whose gradients become the net's",
        "Equations.freeze": "jax.grad gives plain gradients: both nets say which of them are kept",
        "one_hot": "shared by the model and the compiled step",
    },
    ("jax", "layers"): {
        "make_blocks": "an nnx.RNN is one layer of the stack",
        "make_layer": "instead",
        "make_half": "one direction of it",
        "Layers.half": "the weights of one",
        "Layers.trace_both": "of two directions, too",
        "Layers.alone": "every layer is",
        "Layers.native_layers": "every nnx.RNN is a native layer, and its weights are a dict",
        "Layers.native": "a net is compiled for all weights of its spec, and given them",
        "Layers.graphs": "Flax's modules without their weights",
        "Layers.output": "apart: it has a program of its own",
        "Layers.hidden": "what a layer's program makes",
        "Layers.pieces": "of these weights",
        "Layers.whole": "whose gradients become the net's",
        "Layers.modules": "Flax's modules are put together from their weights at each call",
        "Layers.freeze": "JAX has no hook on a weight: gradients are masked",
        "Layers.trace": "an nnx.RNN shows its H at every step, and C by way of its cell",
        "OpenLSTMCell": "it hands up C beside H",
        "OpenLSTMCell.__call__": "as Flax's",
        "Layers.over": "an nnx.RNN takes lengths by their name",
        "Layers.run": "the outputs of every layer, for the trace",
        "Layers.start": "a carry",
        "Layers.carry": "the state as Flax's cells carry it",
        "Layers.forward": "outputs, state and trace of one run",
    },
    ("jax", "training"): {
        "Programs": "what jax.jit compiles, shared by the models of a spec",
        "Programs.__init__": "by net and device",
        "Programs.answer": "the function that jax.jit compiles",
        "Programs.updated": "a compiled step, by recipe",
        "Programs.step_in_two": "for a few steps: the compiled gradients again, and their use",
        "apply": "what the two kinds of a step share",
        "sum_of_squares": "outside a compiled step, a program for all tensors of a shape",
        "scaled": "likewise",
        "descended": "likewise",
        "update": "the function that jax.jit compiles",
        "Model.more": "questions that say less have programs of their own",
        "kind_of": "which of them a program has",
        "any_classes": "where a program wants classes whose loss nobody asks for",
        "to_arrays": "jax.jit sorts the parts of a state by name",
    },
    ("tensorflow", "equations"): {
        "Equations.trace": "compiled with the outputs, so that the steps run once",
        "Equations.output": "shared by the call and by forward",
        "Equations.forward": "outputs, state and trace of one run",
        "Equations.freeze": "the tape gives plain gradients: both nets say which of them are kept",
    },
    ("tensorflow", "layers"): {
        "make_blocks": "a Keras layer is one layer of the stack",
        "make_layer": "instead",
        "halves": "one or both directions of it",
        "Shared": "Keras' calls are slow: a graph of one layer serves all models that have it",
        "Shared.__init__": "with the layer's shapes, but for n and T",
        "Shared.__call__": "which takes its weights",
        "Shared.run": "the function that tf.function compiles",
        "shared": "what there is for a spec of one layer",
        "Layers.trace_both": "of two directions, too",
        "Layers.alone": "every layer is",
        "Layers.native_layers": "every Keras layer is a native layer",
        "Layers.freeze": "Keras has no hook on a weight: gradients are masked after the tape",
        "Layers.trace": "a Keras layer shows its H at every step, and only C needs single steps",
        "Layers.over": "a Keras layer takes a mask in its call",
        "Layers.run": "the outputs of every layer, for the trace",
        "Layers.forward": "outputs, state and trace of one run",
        "Layers.call": "a shared layer with these weights",
        "Layers.memory": "C after every step",
        "Layers.start": "every layer is a Keras layer of its own",
        "batch_major": "Keras is",
        "free": "which numbers of a bias are trained",
    },
    ("tensorflow", "training"): {
        "Model.more": "questions that say less have graphs of their own",
        "Model.differentiate": "the function that tf.function compiles",
        "Trainer.update": "the function that tf.function compiles",
        "to_arrays": "a state goes out in one piece",
    },
    ("mxnet", "capture"): {
        "blocks": "Gluon has no walk over blocks that says where they stand",
        "watch_cell": "a layer's states show in its kernel alone, a cell's in a hook",
        "parameters": "Gluon names parameters itself",
        "given": "a kernel is given the states by their places",
        "follow": "MXNet gives gradients of what goes in to leaves alone, in a run of their own",
        "nudge": "these leaves",
        "sequences": "there are no packed sequences",
        "steps": "a cell alone lacks an axis",
        "states": "they have their axes",
        "eager": "nothing is compiled while blocks run one by one",
        "forget_compiled": "instead, blocks are not hybridised meanwhile",
    },
    ("tensorflow", "capture"): {
        "told": "options that Keras alone has",
        "watching": "in watching.py, with what a layer, its loop and a cell are watched by",
        "watch": "there",
        "is_whole": "there",
        "to_array": "there",
        "parameters": "Keras names variables itself",
        "given": "Keras calls a layer with names",
        "follow": "the tape watches what it is told to",
        "sequences": "there are no packed sequences",
        "steps": "every call has all its axes",
        "states": "in watching.py",
        "eager": "symbols are told from numbers in the call",
        "forget_compiled": "a call of a model is not compiled",
    },
    ("jax", "capture"): {
        "walk": "a copy of the model, for gradients, is walked as well",
        "weights": "Flax's state is a tree",
        "directions": "a Bidirectional holds two RNNs",
        "cells": "an RNN holds a cell",
        "is_cell": "which may stand alone",
        "watching": "in watching.py, which serves nnx and Linen",
        "watch": "there",
        "to_array": "there",
        "parameters": "weights are a tree",
        "given": "Flax calls an RNN with names",
        "follow": "JAX differentiates functions of the weights",
        "sequences": "there are no packed sequences",
        "steps": "an axis is added where a call lacks it",
        "states": "a carry is a tree",
        "eager": "tracers are told from numbers in the call",
        "forget_compiled": "what runs inside of jax.jit cannot be seen",
    },
}
"""Where two folders cannot be read side by side, and why. An entry that is not needed fails."""


def test_every_backend_folder_is_registered_and_every_registered_one_is_there():
    folders = {path.parent.name for path in (ROOT / "backends").glob("*/__init__.py")}
    assert folders == set(MODULES) == set(FRAMEWORKS)
    assert all(module == f"backends.{name}" for name, module in MODULES.items())


@pytest.mark.parametrize("name", OTHERS)
def test_the_folders_of_the_frameworks_hold_the_same_files(name):
    files = {path.name for path in sources("backends/pytorch")} - ON_LENT_GPUS
    own = {path.name for path in sources(f"backends/{name}")} - files - ON_LENT_GPUS
    assert own == set(OWN.get(name, {}))
    assert {path.name for path in sources(f"backends/{name}")} >= files
    assert files >= {f"{module}.py" for module in COMPARED}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("module", COMPARED)
def test_two_backends_can_be_read_side_by_side(name, module):
    wanted = definitions(tree_of(ROOT / "backends" / "pytorch" / f"{module}.py"))
    found = definitions(tree_of(ROOT / "backends" / name / f"{module}.py"))
    different = DIFFERENCES.get((name, module), {})
    assert [n for n in found if n not in different] == [n for n in wanted if n not in different]
    needed = {n for n in different if n not in found or n not in wanted}
    # A name that both have may still stand elsewhere.
    moved = set(different) - needed
    common = [n for n in found if n in wanted and n not in needed]
    assert common != [n for n in wanted if n in common] or not moved, f"not needed: {moved}"


@pytest.mark.parametrize("name", MODULES)
def test_every_backend_has_requirements_and_environments_of_its_own(name):
    requirements = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    for framework in FRAMEWORKS[name] or ("numpy",):
        package = framework.replace("_", "-")
        assert re.search(rf"^{package}(-cpu)?==[0-9.]+", requirements, re.MULTILINE), framework
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    environments = re.split(r"[,\s]+", tox["tox"]["env_list"])
    assert name in environments
    label = next(line for line in tox["tox"]["labels"].splitlines() if "conformance =" in line)
    expected = re.search(rf"--expect [^-]*\b{name}\b", tox["testenv:conformance"]["commands"])
    in_the_main_job = name not in ASKED_FOR
    assert (f"{name}-record" in re.split(r"[,\s=]+", label)) == in_the_main_job
    assert (expected is not None) == in_the_main_job
    if name in OTHERS:
        assert (ROOT / "requirements" / f"{name}-gpu.txt").exists()


def test_the_main_job_asks_for_the_cheap_modes_where_it_records_and_where_it_judges():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    pattern, asked = re.compile(r"--modes ([^-{]\S*)"), []
    for environment in tox.sections():
        for line in tox[environment].get("commands", "").splitlines():
            if found := pattern.findall(line):
                command = re.search(r"-m conformance (\w+)(?:.*--backend (\w+))?", line)
                assert command
                asked.append((*command.groups(), tuple(found)))
    records = [("record", backend, modes) for backend, modes in CHEAP_MODES.items()]
    every = tuple(mode for modes in CHEAP_MODES.values() for mode in modes)
    assert sorted(asked, key=str) == sorted([*records, ("judge", None, every)], key=str)
