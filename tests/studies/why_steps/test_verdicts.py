"""The verdicts that the document quotes from the page."""

from dataclasses import replace
from pathlib import Path

import pytest
from invented import answered
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench_studies.commands.explain import TAKES
from samplerbench_studies.why_steps import page, verdicts
from samplerbench_studies.why_steps.measuring.effort import Effort

DOCS = Path(__file__).parents[3] / "docs"


def test_a_page_is_quoted_with_its_command_and_surprises():
    answers = {number: answered(number) for number in (3, 4)}
    surprised = replace(
        answers[3],
        verdict=replace(
            answers[3].verdict, surprise="It is <em>worse</em> by <code>fashion</code>."
        ),
    )
    text = verdicts.quoted(page.render({3: surprised, 4: answers[4]}, Effort("fast")))
    assert text.startswith(
        "The verdicts of `samplerbench explain --fast`; the page has their numbers:"
    )
    first, second = text.splitlines()[2:]
    assert first.startswith(
        "* **3. What exactly is lost by a big step?** Refined. Big steps do lose"
    )
    assert first.endswith("**What surprises:** It is *worse* by `fashion`.")
    assert second == (
        "* **4. Does sampling need noise beyond the first draw?** Supported. No noise is "
        "needed after the first draw, and big steps cost "
        "quality all the same."
    )


def test_a_document_keeps_what_is_outside_its_marks():
    html = page.render({4: answered(4)}, Effort())
    once = verdicts.quote(f"before {verdicts.START} old {verdicts.END} after", html)
    assert once.startswith(f"before {verdicts.START}\nThe verdicts of")
    assert once.endswith(f"{verdicts.END} after")
    assert verdicts.quote(once, html) == once


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="no verdicts"):
        verdicts.quoted("<html>")
    with pytest.raises(ValueError, match="the document needs"):
        verdicts.quote("nothing", "")


def test_the_document_quotes_the_committed_page():
    document, html = (
        (DOCS / "explanation" / "why-steps.md").read_text("utf-8"),
        (DOCS / "why-steps.html").read_text("utf-8"),
    )
    assert verdicts.quote(document, html) == document


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
