import json
import re

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from looping import each
from new_runs import new_run
from synthetic import BUDGETS, HOSTILE_MODEL, MODELS, ORDERS, synthetic_run

from samplerbench.results.quantities import column_names, columns
from samplerbench.results.result_table import ResultTable, load, rebuild
from samplerbench.results.text import escape_markdown, format_number, markdown_table


def test_one_row_for_each_planned_cell_with_its_status(run):
    table = load(run.path)
    assert len(table) == len(run.cells()) == len(MODELS) * (len(ORDERS) * len(BUDGETS) + 2)
    assert table.frame["status"].value_counts().to_dict() == {
        "ok": len(table) - 3,
        "failed": 1,
        "diverged": 1,
        "missing": 1,
    }
    assert len(table.ok) == len(table) - 3
    missing = table.where(status="missing").frame.iloc[0]
    assert (missing["model"], missing["sampler"], missing["budget"]) == (HOSTILE_MODEL, "ddpm", 40)
    assert missing["fid_proxy"] is pd.NA


def test_columns_are_those_of_the_record_then_others(run):
    frame = load(run.path).frame
    assert tuple(frame.columns[: len(column_names())]) == column_names()
    assert set(frame.columns[len(column_names()) :]) == {"extra_column", "cell"}
    kinds = {"text": "string", "integer": "Int64", "number": "Float64", "flag": "boolean"}
    assert all(str(frame[column.name].dtype) == kinds[column.kind] for column in columns())


def test_csv_and_parquet_round_trip(tmp_path):
    run = synthetic_run(tmp_path / "run", models=("m",))
    table = rebuild(run.path)
    for back in (load(run.path / "table.csv"), load(run.path / "table.parquet"), load(run.path)):
        pd.testing.assert_frame_equal(back.frame, table.frame)
        assert back.csv() == (run.path / "table.csv").read_text()


TEXTS = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12
)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=25)
@example([("\r", 0.1 + 0.2, 2**62), (' a,"b"\n', -1e-300, 0), ("NA", 1e22, 1)])
@given(
    st.lists(
        st.tuples(TEXTS, st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**62)),
        min_size=1,
        max_size=4,
    )
)
def test_csv_keeps_any_text_float_and_integer(tmp_path_factory, rows):
    records = [
        {"model": "m", "reason": words, "rmse": number, "seed": seed}
        for words, number, seed in rows
    ]
    table = ResultTable.of(records)
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    table.to_csv(path)
    pd.testing.assert_frame_equal(ResultTable.from_csv(path).frame, table.frame)
    assert sorted(
        zip(table.frame["reason"], table.frame["rmse"], table.frame["seed"], strict=True)
    ) == sorted(rows)


def test_order_of_rows_does_not_depend_on_the_order_of_arrival(run):
    table = load(run.path)
    shuffled = table.frame.sample(frac=1, random_state=1)
    assert ResultTable.typed(shuffled).csv() == table.csv()


def test_an_extended_cell_shows_its_old_numbers_until_there_are_new_ones(tmp_path):
    run = new_run(tmp_path)
    run.plan("c", {"model": "m", "sampler": "heun", "samples": 100})
    run.write("c", "quality.json", {"samples": 50, "fid_proxy": 1.5, "status": "ok"})
    row = load(tmp_path).frame.iloc[0]
    assert (row["samples"], row["fid_proxy"], row["status"]) == (50, 1.5, "ok")


def test_where_fd_conv_has_no_flag_of_its_own_it_is_that_of_fid_proxy(tmp_path):
    run = new_run(tmp_path / "run")
    for cell, flags in (("old", {}), ("new", {"fd_conv_flag": ""})):
        run.plan(cell, {"sampler": cell})
        run.write(cell, "quality.json", {"status": "ok", "fid_flag": "few", **flags})
    assert load(run.path).frame.set_index("sampler")["fd_conv_flag"].fillna("").to_dict() == {
        "old": "few",
        "new": "",
    }
    (tmp_path / "table.csv").write_text("model,sampler,nfe,status,fid_flag\nm,euler,5,ok,few\n")
    assert load(tmp_path / "table.csv").frame["fd_conv_flag"].tolist() == ["few"]


def test_a_cell_planned_as_skipped_stays_so(tmp_path):
    run = new_run(tmp_path)
    run.plan("c", {"model": "m", "sampler": "x", "status": "skipped", "reason": "needs labels"})
    assert load(tmp_path).frame.loc[0, ["status", "reason"]].tolist() == ["skipped", "needs labels"]


def test_wide_and_best_agree_with_brute_force(run):
    table = load(run.path)
    wide, best = table.wide("fid_proxy"), table.best_per_budget("fid_proxy")
    assert list(wide.columns) == list(BUDGETS)
    for row in best.itertuples():
        column = wide.loc[row.model, row.slot].dropna()
        assert row.fid_proxy == column.min()
        assert row.curve == column.idxmin()
    assert len(best) == len(MODELS) * len(BUDGETS)


def test_adaptive_rows_compete_at_the_smallest_budget_they_fit_in(run):
    line = load(run.path).wide("nfe").loc[("fashion", "torchdiffeq_dopri5")]
    assert line[[1, 5, 10]].isna().all()
    assert line[40] == 38.5  # of the two tolerances, the one with more evaluations


def test_step_counts_are_the_budgets_where_nobody_asked_for_any():
    rows = [
        {"model": "m", "sampler": "x", "steps": n, "nfe": nfe, "rmse": nfe, "status": "ok"}
        for n, nfe in ((4, 4.0), (8, 7.5), (16, 17.0))
    ]
    wide = ResultTable.of(rows).wide("rmse")
    # what fits exactly fits; 17 evaluations are a budget of their own
    assert wide.loc[("m", "x")].to_dict() == {4: 4.0, 8: 7.5, 17: 17.0}


def test_a_curve_is_named_by_what_differs():
    def row(**columns):
        return {
            "model": "m",
            "sampler": "ddim",
            "schedule": "karras",
            "steps": 4,
            "nfe": 4.0,
            "rmse": 1.0,
            "status": "ok",
            **columns,
        }

    same = ResultTable.of([row(), row(steps=8, nfe=8.0)]).wide("rmse", "steps")
    assert same.index.get_level_values("curve").tolist() == ["ddim"]
    rows = [row(), row(schedule="uniform"), row(params=json.dumps({"eta": 0.5}))]
    names = ResultTable.of(rows).wide("rmse", "steps").index.get_level_values("curve")
    assert sorted(names) == ["ddim · eta=0.5 · karras", "ddim · karras", "ddim · uniform"]


def test_several_runs_are_kept_apart(tmp_path):
    for name in ("a", "b"):
        synthetic_run(tmp_path / name, models=("m",), budgets=(1, 5))
    table = load([tmp_path / "a", tmp_path / "b"])
    assert table.frame["run"].value_counts().to_dict() == {
        "a": len(table) // 2,
        "b": len(table) // 2,
    }
    assert "euler · a" in table.wide("rmse").index.get_level_values("curve")


def test_loading_something_else_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match="is not a run directory"):
        load(tmp_path)


def test_an_empty_run_has_an_empty_table(tmp_path):
    new_run(tmp_path)
    assert len(rebuild(tmp_path)) == 0
    assert load(tmp_path / "table.csv").frame.columns.tolist() == list(column_names())


@settings(derandomize=True, deadline=None, max_examples=80)
@given(
    st.lists(
        st.lists(st.text(alphabet="a|\\`\n\r<>*_ ~[](b&", max_size=8), min_size=2, max_size=2),
        min_size=1,
        max_size=3,
    )
)
def test_markdown_cells_cannot_break_out(rows):
    lines = markdown_table(["x", "y"], rows).splitlines()
    assert len(lines) == len(rows) + 2
    for line in lines:
        bare = line.replace("\\\\", "").replace("\\|", "")
        assert bare.count("|") == 3
        assert "<" not in bare.replace("\\<", "")


def test_markdown_leaves_ordinary_names_alone():
    assert escape_markdown("dpmpp_2m [1, 2]") == "dpmpp_2m [1, 2]"
    assert escape_markdown("[x](y)\nz") == r"[x]\(y) z"


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.floats(1e-12, 1e12) | st.floats(-1e12, -1e-12))
def test_short_keeps_three_digits(value):
    assert float(format_number(value)) == pytest.approx(value, rel=5.1e-3)
    assert len(format_number(value)) <= 9


def test_where_takes_several_values_and_refuses_what_is_not_there(run):
    table = load(run.path)
    several = table.where(sampler=["heun", "euler"], model="fashion")
    assert set(several.frame["sampler"]) == {"heun", "euler"}
    assert len(several) == sum(
        len(table.where(sampler=name, model="fashion")) for name in ("heun", "euler")
    )
    for mistake, sentence in [
        ({"sampler": "heunn"}, "no row has sampler = 'heunn'; did you mean heun?"),
        ({"sampler": ["heun", "eular"]}, "no row has sampler = 'eular'; did you mean euler?"),
        (
            {"smapler": "heun"},
            "the table has no column 'smapler'; did you mean sampler or samples?",
        ),
        ({"model": "zzz"}, "no row has model = 'zzz'; choose from "),
    ]:
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            table.where(**mistake)
    # what has no results is an empty table, and so is any part of it
    assert len(table.where(status="missing").ok) == 0
    assert len(table.where(status="missing").ok.where(sampler="heun")) == 0
    assert table.where(rmse=None).frame["rmse"].isna().all()


HEAD = "model,sampler,nfe,status,fid_proxy,steps\n"


@each(
    ("content", "sentence"),
    [
        (
            "a,b\n1,2\n",
            "is no table of results: it has no column model and no sampler "
            "and no nfe and no status",
        ),
        ("", "cannot be read as a table (EmptyDataError"),
        (HEAD + "m,euler,5,ok,abc,5\n", "column fid_proxy holds 'abc', which is no number"),
        (
            HEAD + f"m,euler,5,ok,1.5,1{'0' * 29}\n",
            f"column steps holds '1{'0' * 29}', which is no integer",
        ),
        (
            HEAD + "m,euler,5,ok,1.5,Infinity\n",
            "column steps holds 'Infinity', which is no integer",
        ),
        (HEAD + "m,euler,5,ok,1.5,2.5\n", "column steps holds '2.5', which is no integer"),
        (
            HEAD.replace("steps", "timing_converged") + "m,euler,5,ok,1.5,yes\n",
            "column timing_converged holds 'yes', which is no flag",
        ),
        (HEAD + "m,euler,5,ok,1.5,5,6,7\n" * 2 + "m,euler\n" + "x," * 99, "table.csv"),
        (b"\xff\xfe\x00\x80" * 9, "cannot be read as a table (UnicodeDecodeError"),
    ],
    ids=["columns", "empty", "text", "large", "infinite", "fraction", "flag", "ragged", "binary"],
)
def test_load__a_file_that_is_no_table_is_one_sentence_with_its_name(tmp_path, content, sentence):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for source in (path, tmp_path):
        with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared below
            load(source)
        assert str(path) in str(error.value)
        assert sentence in str(error.value)
        assert "\n" not in str(error.value)


def test_a_parquet_file_that_is_no_table_is_one_sentence_with_its_name(tmp_path):
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=r"table\.parquet cannot be read as a table \(Arrow"):
        load(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(
        ValueError, match=r"table\.parquet is no table of results: it has " r"no column model"
    ):
        load(path)


def test_numbers_beyond_64_bits_in_another_column_are_numbers(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f"model,sampler,nfe,status,mine\nm,euler,5,ok,1{'0' * 29}\n")
    assert load(path).frame["mine"].tolist() == [1e29]
