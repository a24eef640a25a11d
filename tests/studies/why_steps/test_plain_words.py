"""What a newcomer reads: words that are introduced before they are used, verdicts of one
sentence, and numbers without empty digits.
"""

import re
from functools import cache
from html import unescape
from pathlib import Path

import pytest
from drawn_answers import answered
from looping import each

from samplerbench_studies.why_steps import page
from samplerbench_studies.why_steps.glossary import TERMS
from samplerbench_studies.why_steps.introductions import Introductions, Term, plain
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.opening import PARTS
from samplerbench_studies.why_steps.rows import rows
from samplerbench_studies.why_steps.rows.wording import between, brackets, percent
from samplerbench_studies.why_steps.statistics.intervals import Interval

COMMITTED = Path(__file__).parents[3] / "docs" / "why-steps.html"
BRACKETED = re.compile(
    r"(−?[\d.,]+)(?:\u202f%)? \[(−?[\d.,]+)(?:\u202f%)?, " r"(−?[\d.,]+)(?:\u202f%)?\]"
)
NAMED = re.compile(r"<code>([a-z]+[-_a-z\d]*)</code>")


@pytest.fixture(scope="module")
def answers():
    return {number: answered(number) for number in rows()}


@pytest.fixture(scope="module")
def html(answers):
    return page.render(answers, Effort("full"))


def pages(html):
    return {"invented": html, "committed": COMMITTED.read_text("utf-8")}


@cache
def read(html: str) -> list[str]:
    """Return the parts of a page in the order in which their words must be introduced.

    Titles and claims are the questions, and the captions at the top explain themselves: words of
    these are introduced right below. So are words of a verdict and its surprise, which stand first.
    """
    body = html[html.index("<body") : html.index("<h2>Run it again</h2>")]
    body = re.sub(
        r'(<div class="finding(?:(?!<figure>|<dl).)*)(<dl class="words">.*?</dl>)',
        r"\2\1",
        body,
        flags=re.DOTALL,
    )
    top, _, rest = body.partition('<dl class="words">')
    body = re.sub("<figcaption>.*?</figcaption>", "", top, flags=re.DOTALL) + rest
    body = re.sub(
        r"<h[12].*?</h[12]>|<blockquote>.*?</blockquote>|<nav.*?</nav>|<svg.*?</svg>|<style.*?</style>",
        "",
        body,
        flags=re.DOTALL,
    )
    return re.split(r"(<dt>.*?</dt>)", body, flags=re.DOTALL)


def uses(term: Term, part: str) -> bool:
    return term.used(unescape(re.sub(r"<[^>]*>", "", part)))


@pytest.mark.slow
@each("which", ["invented", "committed"])
@each("term", TERMS, ids=lambda term: plain(term.name))
def test_page__every_word_is_introduced_before_it_is_used(html, which, term):
    """It is first met as what is explained: in the name of a term, its own or one that is
    explained by it no sooner than itself.
    """
    parts = read(pages(html)[which])
    met = [place for place, part in enumerate(parts) if uses(term, part)]
    defined = [place for place, part in enumerate(parts) if part == f"<dt>{term.name}</dt>"]
    if not met:
        return
    assert len(defined) == 1, f"{term.name} is introduced {len(defined)} times"
    assert met[0] == defined[0] or parts[met[0]].startswith("<dt>"), (
        f"{term.name} is used before: …{parts[met[0]][-300:]}"
    )


@pytest.mark.parametrize("which", ["invented", "committed"])
def test_no_symbol_or_name_is_without_an_introduction(html, which):
    text = " ".join(read(pages(html)[which]))
    names = set(NAMED.findall(text))
    # increment and sum, as everywhere
    letters = set(re.findall("[α-ωΑ-Ω]", unescape(re.sub(r"<[^>]*>", "", text)))) - set("ΔΣη")
    unknown = [
        word for word in sorted(names | letters) if not any(term.used(word) for term in TERMS)
    ]
    assert unknown == []


def test_letters_of_figures_are_introduced_too(answers):
    assert "σ" in answers[3].figure.words
    known = Introductions(TERMS)
    known(" ".join(term.name for term in TERMS))
    assert known("σ, nats, karras") == []
    assert [term.name for term in Introductions(TERMS)(answers[3].figure.words)][:1] == [
        "σ (sigma)"
    ]


def test_the_top_needs_no_terms(answers):
    top = [answers[1].opening.caption, *(part.sentence for part in PARTS)]
    assert not [term.name for term in TERMS if any(term.used(plain(text)) for text in top)]


def test_a_term_comes_after_those_that_it_is_explained_with():
    terms = (Term("b", "b", "more than an a"), Term("a", "a", "a letter"))
    introduced = Introductions(terms)
    assert [term.name for term in introduced("<i>b</i>")] == ["a", "b"]
    assert introduced("a b") == []


def test_a_verdict_is_one_plain_sentence(answers):
    for number, answer in answers.items():
        sentence = plain(answer.verdict.sentence)
        assert re.fullmatch(r"[^.]*(\d\.\d[^.]*)*\.", sentence), f"row {number}: {sentence}"
        assert len(sentence) < 180, f"row {number}: {sentence}"
        assert len(re.findall(r"\d+", sentence)) <= 4, f"row {number}: {sentence}"
        assert not re.search(r"[\[\]±σγ]", sentence), f"row {number}: {sentence}"
        assert answer.verdict.numbers, f"row {number} has no numbers"


@pytest.mark.parametrize("which", ["invented", "committed"])
def test_no_interval_repeats_its_value(html, which):
    empty = [
        found[0]
        for found in BRACKETED.finditer(unescape(pages(html)[which]))
        if found[1] == found[2] == found[3]
    ]
    assert empty == []


def test_what_is_exact_is_written_without_an_interval():
    assert percent(Interval(0.15481, 0.15481, 0.15481)) == "15.5 %"
    assert percent(Interval(0.000226, 0.00021, 0.00024)) == "0.023 %"
    assert percent(Interval(0.0, 0.0, 0.02)) == "0.0 % [0.0, 2.0]"
    assert between(Interval(1794.1, 1794.1, 1794.2)) == "1,794"
    assert brackets(None) == "–"
    assert between(Interval(1.0, 1.0, 1.0)) == "1"
    assert between(Interval(53399, 53301, 53497)) == "53,400 [53,300, 53,500]"
    assert between(Interval(0.00228, -0.000773, 0.00533)) == "0.0023 [-0.0008, 0.0053]"
    assert between(Interval(3.991, 3.982, 4.0)) == "3.991 [3.982, 4.000]"
