"""Commands submit and board: from a file to a page, verified by a rerun; wrong inputs in a sentence."""

import json

import pytest
from test_submitting import FILE, one_problem, two_problems  # noqa: F401 - fixtures

from samplerbench.benchmarks.frozen import boards
from samplerbench.benchmarks.frozen.instances import draw_part


@pytest.fixture
def few(monkeypatch):
    part = draw_part()
    few = part._replace(instances=part.instances[:1])
    monkeypatch.setattr(boards, "draw_part", lambda *_: few)


@pytest.mark.slow
@pytest.mark.usefixtures("few", "two_problems", "one_problem")
def test_board__a_file_becomes_a_page_that_a_rerun_verifies(samplerbench, tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "claims.toml").write_text('authors = "A. <b>B.</b>"\nlicence = "MIT"\n')
    code, out, _ = samplerbench(
        *("submit", "mine.py", "--no-networks", "--schedule", "karras", "--claims", "claims.toml"),
        *("--out", "all/mine.json"),
    )
    assert code == 0
    assert "sb-2026.1 (" in out
    assert "mine on karras, track plain, 2 curves" in out
    assert "Area 0." in out
    samplerbench("submit", "dpmpp_2m", "--no-networks", "--out", "all/base.json")
    (tmp_path / "all" / "broken.json").write_text("{}")
    (tmp_path / "all" / "late.unfinished.json").write_text("{}")
    code, out, err = samplerbench("board", "all", "--out", "site")
    assert code == 0
    assert "a page for each of 2 solvers" in out
    assert "left out: broken.json is not used: it has no seal" in err
    assert "late.unfinished.json is not used: its run is not finished" in err
    assert "verified" not in (tmp_path / "site/board.md").read_text()
    samplerbench("submit", "all/mine.json", "--no-networks", "--out", "again/mine.json")
    assert samplerbench("board", "all", "--out", "site", "--reruns", "again")[0] == 0
    rows = (tmp_path / "site/board.md").read_text().splitlines()
    assert [("verified" in row) for row in rows if "`" in row].count(True) == 1
    (page,) = (tmp_path / "site/solvers").glob("mine*.html")
    assert "A. &lt;b&gt;B.&lt;/b&gt;" in page.read_text()


@pytest.mark.usefixtures("two_problems")
def test_submit__wrong_inputs_end_with_code_2_and_a_sentence(samplerbench, tmp_path):
    (tmp_path / "bad.toml").write_text("authors = ")
    for words, sentence in (
        (("heun", "--suite", "sb-2027"), "there is no frozen suite"),
        (("heun", "--claims", "bad.toml"), "is no TOML"),
        (("none.py",), "there is no file none.py"),
        (("heun", "--sampler", "euler"), "names a sampler of a Python file"),
    ):
        code, _, err = samplerbench("submit", *words, "--no-networks")
        assert code == 2
        assert err.splitlines()[-1].startswith("error: ")
        assert sentence in err.splitlines()[-1]


def test_board__of_another_beacon_or_without_the_baseline_is_refused(samplerbench, tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    assert samplerbench("board", "all", "--part", "2026")[0] == 2
    assert "there is no folder none" in samplerbench("board", "none")[2]
    code, _, err = samplerbench("board", "all")
    assert code == 2
    assert "dpmpp_2m on uniform_lambda" in err


def test_run__of_the_frozen_suite_says_its_version_and_takes_parts(samplerbench):
    name = draw_part("2026", "0" * 16).instances[0].spec
    part = ("--part", "2026", "--beacon", "0" * 16)
    code, out, err = samplerbench("plan", "sb-2026", *part, "--model", name, "--json")
    assert code == 0
    assert "sb-2026.1 (4c0d93175e38e958), part 2026" in err
    assert {row["seed"] for row in json.loads(out)} == {draw_part("2026", "0" * 16).seed}
    _, _, err = samplerbench("plan", "sb-2026", "--model", "gmm-2d", "--json")
    assert "not sb-2026.1: model gmm-2d" in err
    assert samplerbench("plan", "smoke", "--part", "2026")[0] == 2
