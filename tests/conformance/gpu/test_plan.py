"""The plan of a lent GPU: it asks every case, fits into the time, and counts what it does."""

import fnmatch
from pathlib import Path

import pytest

from common.corpus import load_corpus
from common.errors import BadInput
from common.recipe import RECIPES
from common.spec import ModelSpec
from conformance.cases.given import gather
from conformance.cases.halves import DTYPES, HALVES, left_out
from conformance.cases.table import find_case, select
from conformance.gpu.carry_out import interpreter
from conformance.gpu.command import PATIENCE
from conformance.gpu.estimate import (
    calls,
    device_seconds,
    ended,
    host_seconds,
    operations,
    seconds,
)
from conformance.gpu.plan import FULL, PLAN, REHEARSAL, Plan, Process, Stage, load_plan
from conformance.parser import make_parser

pytestmark = pytest.mark.once

OUT = Path("results/gpu")
COMMAND, ALL = 600, 900
"""Seconds of a command, and of all that a machine is lent for."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(OUT)


def after(words: tuple[str, ...], option: str) -> list[str]:
    """What stands behind an option."""
    found = list(words[words.index(option) + 1 :]) if option in words else []
    ends = [place for place, word in enumerate(found) if word.startswith("--")]
    return found[: ends[0]] if ends else found


def recorded(plan: Plan, stage: str) -> list[tuple[str, ...]]:
    """The commands of a stage that record."""
    commands = [words for process in processes(plan, stage) for words in process.commands]
    return [words for words in commands if "record" in words]


def processes(plan: Plan, stage: str) -> tuple[Process, ...]:
    return next(each.processes for each in plan.stages if each.name == stage)


@pytest.mark.parametrize(("stage", "dtypes"), [("ladder", DTYPES), ("halves", HALVES)])
def test_every_case_is_asked_of_both_backends_in_every_dtype(plan, stage, dtypes):
    asked = {}
    for words in recorded(plan, stage):
        for dtype in after(words, "--dtype"):
            for glob in after(words, "--cases"):
                row = asked.setdefault((*after(words, "--backend"), dtype), [])
                row += fnmatch.filter(select([], 0, 0), glob)
    assert set(asked) == {(b, d) for b in ("pytorch", "jax") for d in dtypes}
    given = gather(load_corpus(None), None)
    for (_, dtype), cases in asked.items():
        left = [n for n in select([], 0, 0) if left_out(find_case(n, given), dtype)]
        wanted = set(select([], 0, 0)) - set(left)
        assert wanted <= set(cases) and len(cases) == len(set(cases)), "each once"


@pytest.mark.parametrize("sizes", [FULL, REHEARSAL])
def test_every_record_has_a_case_that_layers_can_express(sizes):
    """Who passes nothing fails, and no framework's layers reset before the product."""
    given = gather(load_corpus(None), None)
    for stage in ("ladder", "halves"):
        for words in recorded(load_plan(OUT, sizes), stage):
            cases = [find_case(name, given) for name in select(after(words, "--cases"), 0, 0)]
            asked = [c for c in cases if not left_out(c, after(words, "--dtype")[0])]
            assert {case.spec.reset for case in asked} - {"before"}, words


def test_what_stays_there_is_judged_there(plan):
    """Cases at D2L's sizes."""
    large = [
        process
        for stage in ("ladder", "halves")
        for process in processes(plan, stage)
        if "/large/" in "".join(after(process.commands[0], "--out"))
    ]
    assert large
    for process in large:
        *records, judge = process.commands
        assert {tuple(after(words, "--out")) for words in records} == {(judge[3],)}
        dtype = after(records[0], "--dtype")
        assert after(judge, "--dtype") == (dtype if dtype[0] in HALVES else [])


@pytest.mark.parametrize("sizes", [FULL, REHEARSAL])
def test_every_command_is_one_that_there_is(sizes):
    parser = make_parser()
    for stage in load_plan(OUT, sizes).stages:
        for process in stage.processes:
            for _, module, *words in process.commands:
                if module == "conformance":
                    parser.parse_args(words)
                else:
                    assert module in ("conformance.gpu.measure", "conformance.gpu.members")


def test_a_rehearsal_runs_on_the_cpu_and_the_plan_on_a_gpu():
    for sizes, device in ((FULL, "gpu"), (REHEARSAL, "cpu")):
        for stage in load_plan(OUT, sizes).stages:
            words = [words for p in stage.processes for words in p.commands]
            assert {d for each in words for d in after(each, "--device")} == {device}


def test_names_of_stages_and_processes_are_names_of_files(plan):
    names = [stage.name for stage in plan.stages]
    assert len(set(names)) == len(names)
    for stage in plan.stages:
        inner = [process.name for process in stage.processes]
        assert len(set(inner)) == len(inner)
        assert all(name.replace("-", "").replace("_", "").isalnum() for name in [*names, *inner])


def test_the_stages_fit_into_the_calls_and_the_calls_into_the_time(plan):
    first, second, cut = calls(plan)
    assert [s.name for s in (*first, *second)] == [s.name for s in plan.stages]
    assert not cut
    assert max(plan.calls) + 30 <= COMMAND, "packing takes time, too"
    assert sum(plan.calls) + 150 <= ALL, "a machine takes a minute or two to start"
    assert all(seconds(stage) <= stage.limit for stage in plan.stages)


def test_what_does_not_fit_is_cut_and_said():
    plan = load_plan(OUT)
    small = Plan(plan.stages, (30,), plan.limits)
    inside, cut = calls(small)
    assert [stage.name for stage in inside] == ["passports"]
    assert len(cut) == len(plan.stages) - 1


def test_an_estimate_is_of_the_counts():
    work = {"programs": 10, "steps": 4, "launches": 1000, "operations": 1e12, "dtype": "float64"}
    process = Process("p", (), work)
    assert host_seconds(process) > host_seconds(Process("p", (), work | {"programs": 9}))
    assert host_seconds(process) > host_seconds(Process("p", (), work | {"launches": 999}))
    assert device_seconds(process) == pytest.approx(4 * 1e12 / 2e13)


def test_operations_of_a_step_are_those_of_the_recipe(plan):
    recipe = RECIPES["d2l"].recipes["lstm"]
    named = RECIPES["d2l"]
    step = recipe.n * recipe.T * operations(ModelSpec("lstm", 28, named.h, 28, named.L))
    for stage in ("digests", "curves"):
        whole = [p for p in processes(plan, stage) if p.work.get("steps") == 4000]
        assert len(whole) == (2 if stage == "digests" else 6)
        assert all(p.work["operations"] == pytest.approx(step, rel=0.01) for p in whole)
    (one,) = processes(plan, "members")
    assert after(one.commands[0], "--honest") == ["100"]
    assert after(one.commands[0], "--each") == ["20"]
    assert one.work["operations"] == pytest.approx((100 + 6 * 20) * step, rel=0.02)


def test_a_stage_beside_the_others_takes_none_of_their_time():
    def stage(name: str, programs: int, **how: bool) -> Stage:
        return Stage(name, name, 60, (Process("one", (), {"programs": programs}),), **how)

    long, short, alone = stage("a", 100, beside=True), stage("b", 10), stage("c", 10, alone=True)
    assert ended([long, short]) == seconds(long)
    assert ended([long, short, alone]) == seconds(long) + seconds(alone)
    assert ended([short, long, short]) == seconds(short) + seconds(long)
    assert ended([short, alone]) == seconds(short) + seconds(alone)
    brief = stage("d", 20, beside=True)
    assert ended([long, brief]) == ended([brief, long]) == seconds(long), "the last that ends"


def test_a_size_that_is_not_there_is_one_line(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.read_text(encoding="utf-8").replace("{coarse}", "{words}"))
    with pytest.raises(BadInput, match="words: expected one of"):
        load_plan(OUT, path=path)


def test_a_text_with_a_space_in_its_name_is_one_word():
    plan = load_plan(Path("a folder"), text="time machine.txt")
    words = processes(plan, "digests")[0].commands[0]
    assert after(words, "--text") == ["time machine.txt"]
    assert after(words, "--out") == ["a folder/runs"]


def test_a_backend_may_have_an_interpreter_of_its_own(terms):
    terms.pythons["pytorch"] = "/elsewhere/python"
    assert interpreter(("-m", "x", "--backend", "pytorch"), terms) == "/elsewhere/python"
    assert interpreter(("-m", "x", "--backend", "jax"), terms) != "/elsewhere/python"
    assert PATIENCE > 1
