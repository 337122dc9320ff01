"""Stages in processes of their own: limits, exit codes, and going on after a stop."""

import dataclasses
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT
from common.storage.files import read_json
from conformance.__main__ import main
from conformance.gpu.carry_out import DONE, LEFT, STOPPED, Terms, carry_out
from conformance.gpu.pack import pack, unpack
from conformance.gpu.plan import REHEARSAL, Plan, Process, Stage, load_plan

pytestmark = pytest.mark.once

LIMITS = {"files": 8, "file_mib": 16, "depth": 2}

SMALL = """
[calls]
seconds = [60]
[limits]
files = 8
file_mib = 16
depth = 2
[full]
[rehearsal]
device = "cpu"
[[stages]]
name = "ladder"
about = "one case"
limit = 60
processes = [{ name = "<backend>", each = { backend = ["numpy"] }, work = {}, do = [
    "record --backend <backend> --device {device} --cases rnn-tanh-L1 --out {out}/ladder/one",
    "judge {out}/ladder/one --json {out}/ladder/one.json",
] }]
"""


def python(code: str) -> tuple[str, ...]:
    return ("-c", code)


def plan_of(**stages: tuple[str, ...]) -> Plan:
    """A plan whose stages run one line of Python each."""
    made = [
        Stage(name, name, 30, (Process("one", tuple(map(python, codes)), {}),))
        for name, codes in stages.items()
    ]
    return Plan(tuple(made), (60,), LIMITS)


def test_every_command_of_a_process_runs_and_its_exit_code_is_kept(terms: Terms):
    plan = plan_of(first=("print('so'); exit(3)", "pass"), second=("pass",))
    said, ended = [], []
    statuses = carry_out(plan, terms, said.append, lambda: ended.append(len(said)))
    assert statuses == {"first": DONE, "second": DONE}
    assert ended == [1, 2], "after every stage"
    row = read_json(terms.out / "stages" / "first.json")["processes"]["one"]
    assert (row["codes"], row["log"]) == ([3, 0], "so\n")
    assert "log" not in read_json(terms.out / "stages" / "second.json")["processes"]["one"]
    assert "one 3/0" in said[0]


def test_a_stage_ends_at_its_limit_with_all_that_it_has_started(terms: Terms):
    marks = terms.out / "marks"
    inner = f"import time; time.sleep(3); open({str(marks)!r}, 'w')"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    slow = Stage("slow", "", 1, (Process("one", (python(code), python("pass")), {}),))
    quick = plan_of(quick=("pass",)).stages
    statuses = carry_out(Plan((slow, *quick), (60,), LIMITS), terms, lambda line: None, list)
    assert statuses == {"slow": STOPPED, "quick": DONE}
    assert read_json(terms.out / "stages" / "slow.json")["processes"]["one"]["codes"] == []
    assert not marks.exists()


def test_the_same_command_goes_on_with_what_is_not_done(terms: Terms):
    count = terms.out / "count"
    code = f"open({str(count)!r}, 'a').write('.')"
    plan = plan_of(first=(code,), second=(code,))
    first = dataclasses.replace(terms, only=("first",))
    assert carry_out(plan, first, lambda line: None, list) == {"first": DONE}
    assert carry_out(plan, terms, lambda line: None, list) == {"first": DONE, "second": DONE}
    assert count.read_text() == "..", "none twice"


def test_a_stage_that_was_stopped_is_carried_out_again(terms: Terms):
    def stage(code: str) -> Plan:
        return Plan((Stage("a", "", 1, (Process("one", (python(code),), {}),)),), (60,), LIMITS)

    slow = stage("import time; time.sleep(30)")
    assert carry_out(slow, terms, lambda line: None, list) == {"a": STOPPED}
    assert carry_out(stage("pass"), terms, lambda line: None, list) == {"a": DONE}


def test_a_stage_that_does_not_fit_is_not_begun_and_a_smaller_one_is(terms: Terms):
    large = Process("one", (python("pass"),), {"programs": 10_000})
    small = plan_of(small=("pass",)).stages
    plan = Plan((Stage("large", "", 30, (large,)), *small), (60,), LIMITS)
    careful = dataclasses.replace(terms, careful=True)
    statuses = carry_out(plan, careful, lambda line: None, list)
    assert statuses == {"large": LEFT, "small": DONE}
    assert not (terms.out / "stages" / "large.json").exists()


def test_a_stage_beside_the_others_goes_on_until_one_wants_to_be_alone(terms: Terms):
    order = terms.out / "order"

    def stage(name: str, wait: float = 0.0, **how: bool) -> Stage:
        code = f"import time; time.sleep({wait}); open({str(order)!r}, 'a').write({name!r})"
        return Stage(name, "", 30, (Process("one", (python(code),), {}),), **how)

    stages = stage("a", 2, beside=True), stage("b"), stage("c", alone=True)
    said, ended = [], []
    plan = Plan(stages, (60,), LIMITS)
    statuses = carry_out(plan, terms, said.append, lambda: ended.append(len(said)))
    assert order.read_text() == "bac"
    assert statuses == dict.fromkeys("bac", DONE) and ended == [1, 2, 3]
    assert [line[0] for line in said] == ["b", "a", "c"]


def test_a_stage_beside_the_others_ends_before_the_command_does(terms: Terms):
    slow = Process("one", (python("import time; time.sleep(30)"),), {})
    plan = Plan((Stage("a", "", 1, (slow,), beside=True), *plan_of(b=("pass",)).stages), (60,), {})
    assert carry_out(plan, terms, lambda line: None, list) == {"a": STOPPED, "b": DONE}
    assert read_json(terms.out / "stages" / "a.json")["status"] == STOPPED


def test_a_stage_is_rehearsed_packed_and_unpacked(terms: Terms, tmp_path: Path):
    path = tmp_path / "plan.toml"
    path.write_text(SMALL, encoding="utf-8")
    plan = load_plan(terms.out, REHEARSAL, path)

    def after() -> None:
        assert pack(terms.out, tmp_path / "back", plan.limits) == []

    assert carry_out(plan, terms, lambda line: None, after) == {"ladder": DONE}
    assert unpack(tmp_path / "back", tmp_path / "here") == ["ladder"]
    stage = read_json(tmp_path / "here" / "stages" / "ladder.json")
    assert stage["processes"]["numpy"]["codes"] == [0, 0], stage
    assert read_json(tmp_path / "here" / "ladder" / "one.json")["outcome"] == "PASS"
    assert main(["judge", str(tmp_path / "here" / "ladder" / "one")]) == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "--only", "nothing"], "--only: expected some of passports, members"),
        (["run", "--call", "3"], "--call: expected 1 to 2, found 3"),
        (["run", "--python", "numpy"], "--python: expected BACKEND=PATH"),
        (["unpack"], "FOLDER: expected the folder that gpu unpack is about, found none"),
    ],
)
def test_what_cannot_be_asked_is_one_line(words, line, capsys, tmp_path):
    assert main(["gpu", *words, "--out", str(tmp_path / "out")]) == EXIT_BAD_INPUT
    assert capsys.readouterr().err.startswith(line)
    assert not (tmp_path / "out").exists()
