import base64
import gzip
import json
import re
from itertools import pairwise

import pytest
from new_runs import new_run
from parsed_page import Page
from plotly.offline import get_plotlyjs
from synthetic import HOSTILE_MODEL, HOSTILE_SAMPLER, synthetic_run

from samplerbench.results.report import build
from samplerbench.results.report.build import write_report
from samplerbench.results.report.provenance import command_of, sections_of
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.table.curves import comparable_parts
from samplerbench.results.table.description import why_no_distance_to_data


def small_run(path, **how):
    """A run of one model, two samplers and two budgets, unless something else is given."""
    plain = {"models": ("fashion",), "orders": {"euler": 1, "heun": 2}, "budgets": (5, 10)}
    return synthetic_run(path, **{**plain, "samples": 50, **how})


def page_of(source, out, **how):
    return Page(write_report(source, out, **how).read_text())


@pytest.fixture(scope="module")
def path(run, tmp_path_factory):
    return write_report(run.path, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(path):
    return Page(path.read_text())


def test_the_page_is_one_file_that_reaches_for_nothing(path, page):
    assert path.stat().st_size < 8e6
    links = [
        attrs[key]
        for _, attrs in page.tags
        for key in ("src", "href", "action", "data", "srcset")
        if attrs.get(key)
    ]
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not page.named("link")
    assert not page.named("iframe")
    (policy,) = [
        attrs["content"]
        for attrs in page.named("meta")
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    styles = re.findall(r"<style>(.*?)</style>", path.read_text(), re.S)
    assert not any("url(" in style or "@import" in style for style in styles)


def test_hostile_names_are_shown_and_not_obeyed(page):
    assert HOSTILE_SAMPLER in "".join(page.words)
    assert HOSTILE_MODEL in "".join(page.words)
    assert len(page.named("script")) == 3  # the data, the packed library, and what reads them
    assert not any(HOSTILE_SAMPLER in script for script in page.scripts)
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert all(
        attrs["src"].startswith("data:image/png") for attrs in page.named("img") if "src" in attrs
    )


def test_plot_data_is_json_whose_labels_are_escaped(page):
    plots = json.loads(page.scripts[0])["plots"]
    assert len(plots) == 3
    assert not any("<" in curve["name"] for plot in plots for curve in plot["curves"])
    curves = {curve["name"]: curve for curve in plots[1]["curves"]}
    assert curves["euler"]["x"]["nfe"] == [1, 5, 10, 40]  # one step is on the plot
    assert len(curves["ddpm"]["x"]["nfe"]) == 3  # the diverged row is not


def test_the_whole_table_is_in_the_page_and_points_know_their_rows(page, run):
    data, frame = json.loads(page.scripts[0]), load(run.path).frame
    assert data["csv"] == load(run.path).csv()
    for plot in data["plots"]:
        for curve in plot["curves"]:
            assert list(frame.loc[curve["row"], "nfe"]) == curve["x"]["nfe"]


def test_packed_plotly__is_the_whole_script(page):
    assert gzip.decompress(base64.b64decode(page.scripts[1])).decode() == get_plotlyjs()


def test_every_row_is_listed_with_its_reason(page, run):
    rows = [attrs for attrs in page.named("tr") if "data-status" in attrs]
    assert sorted(attrs["data-status"] for attrs in rows) == sorted(load(run.path).frame["status"])
    words = "".join(page.words)
    for reason in (
        "3 of 1000 samples are not finite",
        "fewer than 15 samples a feature",
        "not run yet",
        f"ValueError: {HOSTILE_SAMPLER}",
    ):
        assert reason in words


def test_pictures_have_words_and_the_first_column_is_the_jump(page):
    alts = [attrs["alt"] for attrs in page.named("img")]
    assert "Samples of fashion by heun at 10 network evaluations" in alts
    named = [alt for alt in alts if alt]  # that of the enlarged picture is given when there is one
    assert len(named) == len(set(named)) == len(alts) - 1
    assert "Converged samples 1 of fashion" in alts
    assert (
        "Trajectory on gmm-2d by heun at 10 evaluations, from noise level 80 to 0.01 and the end"
        in alts
    )
    assert "".join(page.words).count("one step: the jump") == 3


def test_headings_do_not_skip_a_level(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_provenance_has_everything_in_run_json(page, run):
    words = "".join(page.words)
    assert "samplerbench run quick --out demo" in words
    entries = {
        key: value for section in sections_of(run.read_run()) for key, value in section.entries
    }
    assert entries["git.commit"] == "0123abc"
    assert all(key in words and value in words for key, value in entries.items())


def test_provenance_flattens_lists_and_joins_commands():
    (section,) = sections_of(
        {"suite": {"a": [{"b": 1}, {"b": None}], "c": [], "d": [1, 2], "e": {}}}
    )
    assert dict(section.entries) == {
        "a[0].b": "1",
        "a[1].b": "–",
        "c": "none",
        "d": "1, 2",
        "e": "–",
    }
    assert (
        command_of({"provenance": {"command": ["samplerbench", "run", "a b"]}})
        == "samplerbench run 'a b'"
    )
    assert command_of({}) == ""


def test_the_tables_lie_beside_the_page(path, run):
    assert (path.parent / "table.csv").read_text() == load(run.path).csv()
    summary = (path.parent / "table.md").read_text()
    assert "| 3 of 1000 samples are not finite |" in summary
    assert "<" not in re.sub(r"\\<", "", summary)


def test_several_runs_make_one_page(tmp_path):
    runs = [
        small_run(tmp_path / name, orders={"euler": 1}, budgets=(1, 5)).path for name in ("a", "b")
    ]
    page = page_of(runs, tmp_path / "both.html")
    assert {"euler · a", "euler · b", "a", "b"} <= set(page.words)
    assert any("by euler · b at 5" in attrs["alt"] for attrs in page.named("img"))


def test_runs_are_compared_and_what_differs_is_marked(tmp_path):
    runs = [small_run(tmp_path / name) for name in ("a", "b")]
    runs[1].write_run({**runs[1].read_run(), "models": {"fashion": "v1"}})
    words = " ".join(page_of([run.path for run in runs], tmp_path / "both.html").words)
    assert "b against a" in words
    assert "What differs between the runs" in words
    assert "models.fashion" in words
    runs[0].write_run({**runs[0].read_run(), "models": {"fashion": "v0"}})
    words = " ".join(page_of([run.path for run in runs], tmp_path / "both.html").words)
    assert "cannot be compared: model fashion is v0 in the first and v1 in the second" in words


def test_rows_are_marked_against_euler(tmp_path):
    run = small_run(tmp_path / "run", budgets=(10,))
    rows = [attrs for attrs in page_of(run.path, tmp_path).named("tr") if "data-verdict" in attrs]
    assert {attrs["data-verdict"] for attrs in rows} == {"", "better"}


def test_the_head_says_what_was_asked_of_what(page, run):
    words = page.sentences
    assert "Six samplers on evil|<b>model</b>, fashion and gmm-2d" in words
    head = words[: words.index("Partial:")]
    assert "1,000 samples each" in head
    assert "suite quick" in head
    assert "1 failed" in head, "rows without results are no detail"
    assert " ok" not in head
    assert "samplerbench run" not in head


def test_the_head_says_where_when_and_how(tmp_path):
    machine = {"cpu": "AMD EPYC", "cores": 4, "cores_allowed": 2}
    made = {
        "started": "2026-11-25T15:12:31+00:00",
        "device": {"type": "cpu", "name": "AMD EPYC"},
        "machine": machine,
    }
    run = small_run(tmp_path / "a", orders={"euler": 1}, budgets=(1, 5))
    other = small_run(tmp_path / "b", orders={"euler": 1}, budgets=(1, 5))
    run.write_run({"provenance": {**made, "command": ["samplerbench", "run", "x y"]}})
    words = page_of(run.path, tmp_path).sentences
    assert "euler and torchdiffeq_dopri5 on fashion" in words
    head, rest = words.split("Nothing was", 1) if "Nothing was" in words else words.split("At ", 1)
    assert "25 November 2026" in head
    for detail in ("AMD EPYC", "samplerbench run 'x y'"):
        assert detail in rest
        assert detail not in head
    # not what it should be: left out
    other.write_run({"provenance": {"started": 5, "machine": "cpu"}})
    words = page_of([run.path, other.path], tmp_path / "both.html").sentences
    assert "Two runs: euler and torchdiffeq_dopri5 on fashion" in words
    assert "a 25 November 2026" in words


def test_the_first_table_says_where_all_are_alike_and_has_times_only_where_they_were_taken(
    tmp_path,
):
    orders = {"euler": 1, "heun": 2, "ddim": 1}
    run = small_run(tmp_path / "run", orders=orders, budgets=(1, 10))
    frame = load(run.path).frame.assign(schedule="karras", seed=0)
    frame.loc[frame["budget"] == 1, ["fid_proxy", "fd_conv"]] = 3.0

    def lines(frame, name):
        source = tmp_path / f"{name}.csv"
        ResultTable(frame).to_csv(source)
        page = write_report(source, tmp_path / name).read_text()
        table = page[page.index("Lowest value at each budget") :]
        return table[: table.index("</table>")].split("<tr>")[1:]

    heads, first, second = lines(frame, "timed")
    assert "ms a sample" in heads
    assert ">all alike</th>" in first
    assert 'data-label="Level with it">–<' in first
    assert ">Heun</th>" in second
    assert re.search(r'data-label="ms a sample">[\d.]+ <small>Euler [\d.]+</small>', second)
    untimed = lines(frame.assign(ms_per_sample=None), "untimed")
    assert not any("ms a sample" in line for line in untimed)


@pytest.mark.parametrize(("name", "value"), [("auto", True), ("heun", False)])
def test_the_plot_explains_auto_only_where_it_is(tmp_path, name, value):
    run = small_run(tmp_path / "run", orders={"euler": 1, name: 2})
    words = page_of(run.path, tmp_path).sentences
    assert ("auto chooses its noise levels and order" in words) == value
    assert "Both axes are logarithmic" in words


def test_without_data_the_report_says_why_and_has_no_empty_columns(tmp_path):
    run = small_run(tmp_path / "run", models=("/home/me/net.py:make",))
    for cell in run.cells():
        quality = run.read(cell, "quality.json") or {}
        run.write(
            cell,
            "quality.json",
            {k: v for k, v in quality.items() if not k.startswith(("fid_", "fd_", "estimator"))},
        )
    page = page_of(run.path, tmp_path)
    words = page.sentences
    assert (
        words.count(
            "net.py:make brings no data to compare with: distances to the "
            "data (FID proxy, FD to converged) are missing."
        )
        == 1
    )
    assert "Give it sample(n, seed)" in words
    (header,) = [
        line
        for line in (tmp_path / "table.md").read_text().splitlines()
        if line.startswith("| sampler ")
    ]
    assert "FID proxy" not in header
    assert "typical error" in header


def test_without_data__a_folder_of_a_checkpoint_is_not_told_to_write_code():
    row = {"model": "my-pipeline/", "status": "ok", "rmse": 0.1}
    ((_, rows),) = comparable_parts(ResultTable.of([row]).frame)
    said = why_no_distance_to_data(rows)
    assert "sample(" not in said
    assert "missing. Run with --extractor pixels --reference PATH" in said


def test_what_statistics_do_not_allow_is_said_where_they_are_compared_with(tmp_path):
    run = small_run(tmp_path / "run", orders={"euler": 1})
    (model,) = {run.read(cell, "cell.json")["model"] for cell in run.cells()}
    for cell in run.cells():
        quality = run.read(cell, "quality.json")
        run.write(
            cell, "quality.json", quality | {"estimator": "frechet/1; pixels; reference x-1; y"}
        )
    about = {"identity": "x-1", "n": None, "note": "x.npz has moments"}
    for identity, count in ((about["identity"], 1), ("another", 0)):
        reference = {"references": {model: about | {"identity": identity}}}
        run.write_run(run.read_run() | reference)
        words = page_of(run.path, tmp_path).sentences
        said = "reference statistics: x.npz has moments."
        assert words.count(said) == count


def test_with_data_nothing_is_said_to_be_missing(page):
    assert "brings no data" not in "".join(page.words)


def test_paths_that_nobody_measured_are_not_spoken_of(page):
    assert "On the paths" not in "".join(page.words)


def test_rows_are_marked_against_the_baseline_that_is_asked_for(tmp_path):
    run = small_run(tmp_path / "run", budgets=(10,))
    page = page_of(run.path, tmp_path, baseline="heun")
    rows = [attrs for attrs in page.named("tr") if "data-verdict" in attrs]
    assert {attrs["data-verdict"] for attrs in rows} == {"", "worse"}
    assert "Verdict: against Heun at the same budget" in page.sentences
    with pytest.raises(ValueError, match="no row is of the baseline 'hein'; did you mean heun"):
        write_report(run.path, tmp_path, baseline="hein")


def test_a_partial_run_says_so(page):
    words = page.sentences
    assert re.search(r"Partial: 1 of \d+ rows have no results yet", words)


def test_samplers_are_cited_from_run_json(tmp_path):
    run = small_run(tmp_path / "run", models=("gmm-2d",), budgets=(5,))
    entry = {
        "key": "k2022",
        "where": "eq. 5",
        "url": "https://example.org/<p>",
        "bibtex": "@article{k2022,\n  title = {T}\n}",
    }
    run.write_run({**run.read_run(), "citations": {"euler": entry, "heun": entry}})
    page = page_of(run.path, tmp_path)
    words = "".join(page.words)
    assert words.count("@article{k2022,") == 1
    assert words.count("https://example.org/<p>") == 2
    assert "No run records where these come from: torchdiffeq_dopri5" in " ".join(words.split())


def test_a_distance_below_0_is_explained_once_and_only_where_there_is_one(tmp_path):
    for value, count in ((1.0, 0), (-0.1, 1)):
        ResultTable.of(
            [
                {"model": "m", "sampler": name, "budget": 5, "steps": 5, "nfe": 5.0}
                | {"status": "ok", "fid_proxy": value, "fid_proxy_se": 0.2}
                for name in ("euler", "heun")
            ]
        ).to_csv(tmp_path / "table.csv")
        page = write_report(tmp_path / "table.csv", tmp_path / "out").read_text()
        assert page.count("measured slightly below 0") == count


def test_a_run_without_results_still_has_a_page(tmp_path):
    run = new_run(tmp_path / "run")
    assert "no rows yet" in write_report(run.path, tmp_path).read_text()
    run.plan("c", {"suite": "quick", "model": "m", "sampler": "heun", "steps": 4, "budget": 7})
    assert "Nothing was measured." in write_report(run.path, tmp_path).read_text()


def test_an_unwritable_place_is_a_clear_error(run, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="cannot write the report to"):
        write_report(run.path, tmp_path / "file" / "report.html")


def test_write_report__a_file_that_cannot_be_read_is_not_one_that_cannot_be_written(
    run, tmp_path, monkeypatch
):
    def refuse(paths):
        raise PermissionError("timing.csv")

    monkeypatch.setattr(build, "times_by_batch_size", refuse)
    with pytest.raises(PermissionError, match=r"timing\.csv"):
        write_report(run.path, tmp_path)


def test_write_report__a_latex_table_of_an_earlier_report_is_deleted(tmp_path):
    (tmp_path / "table.tex").write_text("old")
    run = new_run(tmp_path / "run")
    run.plan("c", {"suite": "quick", "model": "m", "sampler": "heun", "steps": 4, "budget": 7})
    write_report(run.path, tmp_path)
    assert not (tmp_path / "table.tex").exists()
