"""The answer and the verdicts that the document quotes from the page."""

from dataclasses import replace
from pathlib import Path

import pytest
from drawn_answers import answered
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench_studies.commands.explain import TAKES
from samplerbench_studies.why_steps import page, verdicts
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.rows import rows

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def html():
    return page.render({number: answered(number) for number in rows()}, Effort("fast"))


def test_quoted_verdicts__are_a_row_each():
    answers = {number: answered(number) for number in (3, 4)}
    emphatic = replace(
        answers[3],
        verdict=replace(
            answers[3].verdict, sentence="It is <em>worse</em> by <code>fashion</code>."
        ),
    )
    text = verdicts.quoted_verdicts(page.render({3: emphatic, 4: answers[4]}, Effort("fast")))
    assert text.splitlines()[2:] == [
        "| 3 | What exactly is lost by a big step? | partly supported | It is *worse* by `fashion`. |",
        "| 4 | Does sampling need noise beyond the first draw? | supported | No noise is needed after "
        "the first draw, and big steps make worse images all the same. |",
    ]


def test_quoted_answer__has_the_points_of_the_top_that_hold(html):
    points = verdicts.quoted_answer(html).splitlines()
    assert len(points) == 5
    assert points[0].startswith(
        "1. Because from pure noise **the best prediction is not an image but an average** of"
    )
    assert not any("<" in point for point in points)


def test_quote__keeps_what_is_outside_the_marks(html):
    parts = ("before ", verdicts.ANSWER[0], " old ", verdicts.ANSWER[1], " between ")
    parts += (verdicts.VERDICTS[0], " old ", verdicts.VERDICTS[1], " after")
    once = verdicts.with_quotations("".join(parts), html)
    assert once.startswith(f"before {verdicts.ANSWER[0]}\n\n1. ")
    assert f"\n\n{verdicts.ANSWER[1]} between {verdicts.VERDICTS[0]}\n\n| | question" in once
    assert once.endswith(f"{verdicts.VERDICTS[1]} after")
    assert " old " not in once
    assert verdicts.with_quotations(once, html) == once


def test_quote__mistakes_are_named(html):
    with pytest.raises(ValueError, match="no verdicts"):
        verdicts.quoted_verdicts("<html>")
    with pytest.raises(ValueError, match="no answer"):
        verdicts.quoted_answer("<html>")
    with pytest.raises(ValueError, match="the document needs"):
        verdicts.with_quotations("nothing", html)


def test_the_document_quotes_the_committed_page():
    document, html = (
        (DOCS / "explanation" / "why-steps.md").read_text("utf-8"),
        (DOCS / "why-steps.html").read_text("utf-8"),
    )
    assert verdicts.with_quotations(document, html) == document


def test_explain__each_page_gives_the_same_duration():
    pages = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "decisions")
    documents = [DOCS.parent / "README.md", *pages]
    told = [path.name for path in documents if TAKES in " ".join(path.read_text("utf-8").split())]
    assert "why-steps.md" in told
    others = [
        line
        for path in documents
        for line in path.read_text("utf-8").splitlines()
        if "explain" in line and "minute" in line
    ]
    assert not [line for line in others if TAKES not in line]
    parts = " ".join(
        CliRunner().invoke(app, ["explain", "--help"], env={"COLUMNS": "400"}).output.split()
    )
    assert TAKES in parts
