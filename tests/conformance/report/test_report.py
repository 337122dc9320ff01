"""The command ``report``, and verdict.json, which it reads."""

import json
from pathlib import Path

import pytest

NEEDS = "needs the packages of requirements/report.txt"
fastjsonschema = pytest.importorskip("fastjsonschema", reason=NEEDS)
pytest.importorskip("vl_convert", reason=NEEDS)

from common.errors import BadInput
from common.storage.sums import seal
from conformance.__main__ import main
from conformance.report import charts, page
from conformance.report.verdict_file import SCHEMA, read_verdict
from tests.conformance.report.helpers import failing, hostile, result, verdict

pytestmark = pytest.mark.once

LARGEST = 5_000_000


def test_the_schema_is_one_and_a_real_verdict_keeps_to_it(recorded: Path) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    check = fastjsonschema.compile(schema)
    found = json.loads((recorded / "verdict.json").read_text(encoding="utf-8"))
    assert check(found)["passed"] is True
    assert len(found["results"]) == 4
    assert [len(run["curve"]) for run in found["training"]] == [15, 15]
    assert found["training"][0]["tests"]


def test_every_field_is_in_the_schema(recorded: Path) -> None:
    found = json.loads((recorded / "verdict.json").read_text(encoding="utf-8"))
    for spoil in (
        lambda v: v.pop("inputs"),
        lambda v: v.update(more=1),
        lambda v: v["results"][0].pop("why"),
        lambda v: v["results"][0].update(status="perhaps"),
        lambda v: v["results"][0]["rungs"].update(other={}),
        lambda v: v["training"][0].update(curve=["1"]),
    ):
        spoiled = json.loads(json.dumps(found))
        spoil(spoiled)
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            fastjsonschema.compile(json.loads(SCHEMA.read_text(encoding="utf-8")))(spoiled)


def test_the_report_is_one_file_without_links_to_elsewhere(results: Path) -> None:
    assert main(["report", str(results), "--quiet"]) == 0
    text = (results / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    own = text.replace(str(page.library()), "")
    assert "http" not in own.replace("http-equiv", "")
    assert 'src="' not in own


def test_it_writes_what_it_is_asked_for(results: Path, tmp_path: Path) -> None:
    names = {"--out": "page.html", "--junit": "j.xml", "--summary": "s.md", "--badge": "b.svg"}
    options = [word for flag, name in names.items() for word in (flag, str(tmp_path / name))]
    assert main(["report", str(results), "--quiet", *options]) == 0
    assert all((tmp_path / name).stat().st_size > 100 for name in names.values())
    assert not (results / "report.html").exists()


def test_a_stored_verdict_is_used_until_the_records_change(
    results: Path, capsys: pytest.CaptureFixture
) -> None:
    path = results / "verdict.json"
    stored = json.loads(path.read_text(encoding="utf-8")) | {"sentence": "PASS: as it was stored"}
    stored["seal"] = seal(stored)
    path.write_text(json.dumps(stored), encoding="utf-8")
    assert main(["report", str(results), "--quiet"]) == 0
    assert "as it was stored" in capsys.readouterr().out
    record = results / "numpy-cpu" / "record.json"
    record.write_text(record.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert main(["report", str(results)]) == 0
    said = capsys.readouterr()
    assert "PASS: 1 implementation" in said.out
    assert "is about other files" in said.err
    assert read_verdict(path)["inputs"] != stored["inputs"]


def test_without_a_stored_verdict_it_judges(results: Path) -> None:
    (results / "verdict.json").unlink()
    assert main(["report", str(results), "--quiet"]) == 0
    assert read_verdict(results / "verdict.json")["passed"]


def test_the_expectations_of_the_first_judgement_are_kept(results: Path) -> None:
    path = results / "verdict.json"
    expect = ["--expect", "numpy", "mxnet", "--json", str(path)]
    assert main(["judge", str(results), "--quiet", *expect]) == 1
    record = results / "numpy-cpu" / "record.json"
    record.write_text(record.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert main(["report", str(results), "--quiet"]) == 1
    assert read_verdict(path)["absent"] == ["mxnet"]
    assert read_verdict(path)["asked"]["backends"] == ["numpy", "mxnet"]


def test_a_verdict_of_another_format_is_refused_by_its_field(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    spoiled = verdict([result("numpy:equations", "lstm-L2", status="perhaps")])
    path.write_text(json.dumps(spoiled), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        read_verdict(path)
    assert caught.value.field == "results.0.status"
    assert "perhaps" in caught.value.found


@pytest.mark.parametrize("found", ["", "[]", "{", "null", '{"suite": 1}'])
def test_no_verdict_at_all_is_one_line(
    found: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "old.json"
    path.write_text(found, encoding="utf-8")
    assert main(["report", str(results), "--quiet", "--against", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(path) in said


def test_every_failure_is_told_in_full_up_to_a_limit() -> None:
    many = [
        failing("numpy:equations", f"case-{i}") | {"suspects": [f"fault {i}"]}
        for i in range(page.MOST_SHOWN + 7)
    ]
    text = page.render(verdict(many), "today")
    assert text.count('class="told"') == page.MOST_SHOWN
    assert "7 more causes; their cases are in the table" in text
    assert "forward, step 2, layer 2, H" in text
    assert "--cases case-0 --out replay" in text


def test_the_heat_map_shows_powers_of_ten() -> None:
    text = page.render(verdict([failing("numpy:equations", "lstm-L2")]), "today")
    for error, kind, shown in ((1e-8, "h3", "−8"), (0.01, "h5", "−2"), (None, "h5", "NaN")):
        assert f'<td class="{kind}" title="{error}">{shown}</td>' in text
    assert '<td class="h0" title="0.0">0</td>' in text


def test_hostile_text_never_becomes_markup_or_a_command() -> None:
    text = page.render(hostile(), "today").replace(str(page.library()), "")
    assert "<script>alert" not in text
    assert "\x1b" not in text
    assert text.count("</script>") == 3
    assert "--cases &#39;&lt;script&gt;" in text


def test_the_bound_is_drawn_in_the_rows_that_it_holds_for() -> None:
    """Float64 has no bound in noise floors."""
    results = [result("a:layers", "lstm-L2", dtype=dtype) for dtype in ("float64", "float32")]
    drawn_charts = charts.errors({"results": results})
    assert drawn_charts
    for rung, chart in drawn_charts.items():
        drawn = [layer for layer in chart["layer"] if layer["mark"]["type"] == "tick"]
        assert [point["row"].split()[-1] for point in drawn[0]["data"]["values"]] == ["float32"]
        assert drawn[0]["data"]["values"][0]["bound"] == 8.0, rung
