"""What random inputs found, each as one case that failed."""

import json

import pytest
from arena import Arena, sealed, small_run, warned

from samplerbench import samplers
from samplerbench.benchmarks.running.timing_stage import write_timings
from samplerbench.benchmarks.suites.suite import Timing
from samplerbench.models import CardError, load_card
from samplerbench.results.result_table import load


@pytest.fixture
def arena(tmp_path):
    with warned():
        yield Arena.at(tmp_path)


@pytest.fixture
def run(arena):
    return small_run(arena.home / "run", models=("gmm-2d",), budgets=(5,))


@pytest.mark.parametrize(
    ("file", "column", "value", "kind"),
    [
        ("quality.json", "fid_proxy", "abc", "number"),
        ("quality.json", "nfe", [5], "number"),
        ("cell.json", "budget", 10**29, "integer"),
        ("timing.json", "ms_per_sample", {"a": 1}, "number"),
        ("quality.json", "fid_flag", "\udc80", "text"),
    ],
)
def test_a_value_of_the_wrong_type_damages_its_row_alone(arena, run, file, column, value, kind):
    cell, other = run.cells()
    place = f"parts/{cell}/{file}"
    content = json.loads((run.path / place).read_text())
    made_by = content.pop("seal")["made_by"]
    sealed(run.path / place, content | {column: value}, place, made_by)
    rows = {row["cell"]: row for row in load(run.path).frame.to_dict(orient="records")}
    assert rows[other]["status"] == "ok"
    assert rows[cell]["status"] == "damaged"
    assert rows[cell]["reason"].startswith(f"{file}: column {column} holds ")
    assert f"which is no {kind}" in rows[cell]["reason"]
    code, out, _ = arena.command("status", "run")
    assert code == 0
    assert f"column {column} holds" in out


def test_timing_csv_has_no_formulas(run):
    cell = run.cells()[0]
    run.plan(cell, {"model": "=HYPERLINK(1)", "sampler": "@x"})
    write_timings(run, [cell], Timing(batch_size=(1, 2)))
    assert (run.path / "timing.csv").read_text().splitlines()[1].startswith("'=HYPERLINK(1),'@x,")


def test_status_of_a_table_is_json_too(arena):
    (arena.home / "table.csv").write_text("model,sampler,nfe,status\ngmm-2d,euler,5,ok\n")
    code, out, _ = arena.command("status", "table.csv", "--json")
    assert code == 0
    assert json.loads(out)[0]["name"] == "euler"


def test_a_card_whose_files_are_a_list_is_named(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "card.toml").write_text(
        'name = "toy"\ntitle = "t"\nlicence = "MIT"\nevent = [1]\nfiles = []\n'
    )
    with pytest.raises(CardError, match="files is '\\[\\]'; it must be a table"):
        load_card("toy", tmp_path)


def test_a_long_value_is_not_quoted_whole(arena):
    with pytest.raises(ValueError, match="a sampler is a name") as error:
        samplers.make({"name": None, "x": "a" * 20_000})
    assert len(str(error.value)) < 200
    code, _, err = arena.command("show", "a" * 20_000)
    assert code == 2
    assert len(err) < 2100
