"""The page of the answer, its command, and answers on disk."""

import re
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pytest
from answering import answered
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.running.executors import InProcess
from samplerbench.models import make_model
from samplerbench_studies.commands.explain import folder_of_run
from samplerbench_studies.why_steps import page, run, store
from samplerbench_studies.why_steps.figures import charting
from samplerbench_studies.why_steps.figures.drawing import THEME, figure, panels
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.row import Answer, Row, Verdict
from samplerbench_studies.why_steps.opening import PARTS
from samplerbench_studies.why_steps.rows import rows


def picture(height=200):
    canvas, (axes,) = panels(1, height)
    axes.plot([1, 2], [3, 4])
    return figure(canvas, "a <line>", "rises")


def answer(kind="refines"):
    table = pd.DataFrame({"steps": [1, 2], "error": [0.5, None], "name": ["<b>", "y"]})
    return Answer(
        picture(), table, Verdict(kind, "by <code>0.5</code>"), "<p>so</p>", (picture(210),)
    )


def counted():
    """A row, and how often it measured."""
    calls = []

    def measure(_) -> float:
        calls.append(0.5)
        return 0.5

    return Row(
        1,
        "Why?",
        "Because.",
        measure,
        lambda found: answer() if found == 0.5 else answer("refutes"),
    ), calls


def test_the_questions_are_sixteen():
    assert sorted(rows()) == list(range(1, 17))
    assert all(
        number == row.number and row.question.endswith("?") and row.claim.endswith(".")
        for number, row in rows().items()
    )


def test_the_page_needs_nothing_but_itself_and_lists_all_questions():
    html = page.render({1: answer(), 3: answer("supports")}, Effort("fast"))
    assert not re.search(r"<script|<link|@import|(src|href)=[\"'](?!#|data:)", html)
    assert "default-src 'none'" in html
    listed = html[html.index("<nav") : html.index("</nav>")]
    for number in rows():
        assert listed.count(f'href="#row-{number}"') == html.count(f'id="row-{number}"') == 1
    assert html.count('<span class="soft">not measured here') == len(rows()) - 2
    assert "samplerbench explain --rows 3 --fast" in html
    assert "&lt;b&gt;" in html
    assert "<code>0.5</code>" in html
    assert 'aria-label="a &lt;line&gt;"' in html


@pytest.mark.slow
def test_the_top_of_the_page_asks_and_answers_before_anything_else():
    found = {number: answer("refines") for part in PARTS for number in part.rests}
    found[1] = replace(answer("supports"), opening=picture(220))
    html = page.render(found, Effort("full"))
    top = html[html.index("<body") : html.index("</header>")]
    asked = (
        "why can’t we jump there in one?</h1>",
        *(part.sentence for part in PARTS),
        '<svg class="whole"',
    )
    assert [top.index(text) for text in asked] == sorted(top.index(text) for text in asked)
    assert top.count('<svg class="whole"') == 1
    assert top.count("<li>") == len(PARTS) == 5
    assert not re.search("verdict|samplerbench", top)
    assert html.index("</header>") < html.index('class="contents"') < html.index('id="row-1"')


@pytest.mark.slow
def test_the_top_says_nothing_that_was_not_measured():
    """A sentence goes with the verdict that it rests on."""
    whole = {number: answer("refines") for part in PARTS for number in part.rests}
    for part in PARTS:
        for number in part.rests:
            for found in ({**whole, number: answer("inconclusive")}, whole.copy()):
                if found[number].verdict.kind == "refines":
                    del found[number]
                top = page.render(found, Effort("full")).partition("</header>")[0]
                assert part.sentence not in top
                assert f"{part.title}? This was not measured here, or found otherwise." in top
                assert "<svg" not in top


def test_parts__each_rests_on_rows_that_exist_and_no_row_twice():
    rests = [number for part in PARTS for number in part.rests]
    assert all(part.rests for part in PARTS)
    assert set(rests) <= set(rows())
    assert len(set(rests)) == len(rests)


def test_page__questions_are_listed_in_the_order_of_their_numbers():
    html = page.render({1: answer(), 3: answer("supports")}, Effort("full"))
    listed = html[html.index("<nav") : html.index("</nav>")]
    assert [int(number) for number in re.findall(r"#row-(\d+)", listed)] == sorted(rows())


def test_page__a_model_in_place_of_another_is_named_at_the_top():
    effort = Effort("fast", models={"fashion-mppca": make_model("gaussian")})
    top = page.render({3: answer()}, effort).partition("</header>")[0]
    assert "gaussian was measured in place of fashion-mppca." in top
    assert "in place of" not in page.render({3: answer()}, Effort("fast")).partition("</header>")[0]


def test_page__a_verdict_stands_before_its_words():
    told = replace(answer(), verdict=Verdict("refines", "The sampler is <code>euler</code>."))
    html = page.render({1: told}, Effort("full"))
    section = html[html.index('id="row-1"') : html.index("</section>", html.index('id="row-1"'))]
    places = [section.index(part) for part in ('class="why"', "<dt>sampler</dt>", "<figure>")]
    assert places == sorted(places)


def test_numbers_and_tables_are_folded():
    told = replace(
        answer(),
        verdict=Verdict(
            "refines", "It is so.", ("one: 1 [0, 2]", "two"), "Who would have thought."
        ),
    )
    html = page.render({1: told}, Effort("full"))
    section = html[html.index('id="row-1"') : html.index("</section>", html.index('id="row-1"'))]
    shown, _, folded = section.partition("<details>")
    assert "It is so." in shown
    assert "Who would have thought." in shown
    assert not re.search("one: 1|<table|<pre", shown)
    assert "<li>one: 1 [0, 2]</li>" in folded
    assert "<table" in folded


def test_pictures_have_ids_of_their_own_and_colours_of_the_theme():
    first, second = picture().svg, picture(210).svg
    ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in (first, second)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    assert set(re.findall(r"url\(#([^)]+)\)", first)) <= set(ids[0])
    assert not [colour for colour in THEME if colour in first]
    assert "var(--soft)" in first
    assert 'width="' not in first[: first.index(">")]


def test_panels_beside_each_other_come_apart_on_narrow_screens():
    svg = figure(panels(3)[0], "three", "").svg
    assert svg.count('<svg class="part"') == 3
    assert set(re.findall(r'<use href="#([^"]+)"/></svg>', svg)) == {
        re.findall(r'<g id="([^"]+)"', svg)[0]
    }
    for canvas in (panels(1)[0], panels(2, down=2)[0]):
        assert "part" not in figure(canvas, "whole", "").svg


def test_a_grid_of_pictures_is_cut_in_two_at_one_scale():
    svg = figure(panels(7, down=2)[0], "maps", "", cut=4 / 7).svg
    found = re.findall(
        r'class="part" viewBox="([\d.-]+) 0 ([\d.]+) [^"]*" style="--w: '
        r'(\d+)px; max-width: ([\d.]+)%"',
        svg,
    )
    (left, width, _, full), (middle, rest, _, share) = [
        [float(number) for number in part] for part in found
    ]
    assert left + width == pytest.approx(middle, abs=0.2)
    assert full == 100
    assert share == pytest.approx(100 * rest / width, abs=0.2)


@pytest.mark.parametrize(
    ("counts", "ticks"),
    [
        ((1, 4, 16, 64), [1, 4, 16, 64]),
        ((1, 2, 5, 10, 20, 50, 100, 200), [1, 10, 100]),
        ((1, 2, 4, 8, 16, 32, 64, 128), [1, 4, 16, 64]),
        ((1.1, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0), [1.1, 1.6, 3.0, 10.0]),
    ],
)
def test_an_axis_of_steps_has_ticks_that_can_be_read(counts, ticks):
    assert charting._ticks(counts) == ticks


def test_numbers_are_typeset():
    assert page._cell(-0.5) == "−0.5"
    assert page._cell("-1 [-2, 3.5e-14] by row-1 --fast") == "−1 [−2, 3.5×10⁻¹⁴] by row-1 --fast"
    assert page._cell("2 % [1%, 3%], a2e-1") == "2\u202f% [1\u202f%, 3\u202f%], a2e-1"


def test_an_answer_is_measured_once_and_comes_back_whole(tmp_path):
    (row, calls), effort = counted(), Effort("fast", tmp_path)
    first, again = answered(row, effort), answered(row, effort)
    assert len(calls) == 1
    assert again.verdict == first.verdict
    assert again.figure == first.figure
    assert again.images == first.images
    assert page.render({1: again}, effort) == page.render({1: first}, effort)


def test_other_efforts_models_and_damaged_files_are_measured_again(tmp_path):
    row, _ = counted()
    answered(row, Effort("fast", tmp_path))
    assert store.recall(row, Effort("full", tmp_path)) is None
    assert store.recall(row, Effort("fast", tmp_path, {"fashion": make_model("gaussian")})) is None
    assert store.recall(row, Effort("fast")) is None
    (tmp_path / "row-1.npz").write_text("PK")
    assert store.recall(row, Effort("fast", tmp_path)) is None


def test_rows_that_are_known_are_not_measured_again(tmp_path, monkeypatch):
    (row, calls), told = counted(), []
    monkeypatch.setattr(run, "rows", lambda: {1: row})
    plan = run.Plan("fast", tmp_path)
    assert list(run.explain(plan, None, InProcess(), lambda number, *_: told.append(number))) == [1]
    assert list(run.explain(plan, None, InProcess(), lambda number, *_: told.append(number))) == [1]
    assert told == [1]
    assert len(calls) == 1


def test_the_effort_decides_how_many_samples():
    assert Effort("full").samples(800) == 800
    assert Effort("fast").samples(800) == 100
    assert Effort("fast").samples(100) == 64
    assert Effort("fast").samples(32) == 32
    with pytest.raises(ValueError, match="'fast' or 'full'"):
        Effort("slow")  # type: ignore[arg-type]


def test_commands_say_what_was_replaced():
    assert page.command(Effort("full"), 3) == "samplerbench explain --rows 3"
    assert (
        page.command(Effort("fast", None, {"fashion": make_model("gaussian")}))
        == "samplerbench explain --fast --replace "
        "fashion=gaussian"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rows", "17"], "there is no row 17"),
        (["--rows", "x"], "give whole numbers"),
        (["--replace", "fashion"], "give NAME=OTHER"),
        (["--replace", "fashion=nothing"], "there is no model"),
        (["--replace", "fasion=gaussian"], "there is no model 'fasion' to replace"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, options, sentence):
    result = CliRunner().invoke(app, ["explain", "--out", str(tmp_path), *options])
    assert result.exit_code != 0
    assert sentence in str(result.exception)


def test_explain__the_folder_is_made_before_anything_is_measured(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        run.explain(run.Plan("fast", tmp_path / "file" / "fast"), [3], executor=None, told=print)


def test_names_are_moved_apart_and_stay_in_their_axes():
    _, (axes,) = panels(1, 300)
    axes.set_yscale("log")
    axes.set_ylim(1, 1e3)
    names = [charting.label_curve(axes, 1, y, str(y)) for y in (2.0, 2.0, 2.1, 900.0)]
    charting.separate_labels(axes, names)
    scale = 72 / axes.figure.dpi
    places = [axes.transData.transform(name.xy)[1] * scale + name.xyann[1] for name in names]
    assert all(upper - lower > 10.9 for lower, upper in pairwise(places))
    assert axes.bbox.y0 * scale <= places[0]
    assert places[-1] <= axes.bbox.y1 * scale
    assert names[-1].xyann[1] == pytest.approx(0, abs=1e-6)


def test_other_models_leave_the_folder_of_the_built_in_ones_alone():
    one, other = (("fashion-mppca", "gaussian"),), (("fashion-mppca", "file.py:make"),)
    assert folder_of_run("full", ()) == "full"
    assert (
        len(
            {
                folder_of_run(effort, pairs)
                for effort in ("fast", "full")
                for pairs in ((), one, other, one + other)
            }
        )
        == 8
    )
    assert folder_of_run("full", one + other) == folder_of_run("full", other + one)
    assert all(re.fullmatch(r"[\w.+-]+", folder_of_run("full", pairs)) for pairs in (one, other))
