"""The page in a real browser, all rows told from invented measurements: no sideways scrolling,
and accessible in light and dark.
"""

import pytest
from drawn_answers import answered
from invented import INVENTED

from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.page import write_page
from samplerbench_studies.why_steps.rows import rows

SIDEWAYS = """() => [...document.querySelectorAll("*")]
    .filter(part => part.scrollWidth > part.clientWidth + 1)
    .filter(part => part === document.documentElement || ["auto", "scroll"].includes(getComputedStyle(part).overflowX))
    .map(part => `${part.tagName} of ${part.closest("section")?.id}: ${part.scrollWidth} in ${part.clientWidth}`)"""
OUTSIDE = """() => [...document.querySelectorAll(".picture svg, .numbers td, .finding, figcaption, pre")]
    .filter(part => part.getBoundingClientRect().width && part.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(part => `${part.tagName} of ${part.closest("section")?.id}`)"""

AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    # thousands of elements that pass would take longest to hand over
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def answers():
    return {number: answered(number) for number in rows()}


@pytest.fixture(scope="module")
def path(answers, tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("page") / "why-steps.html", answers, Effort("full"))


@pytest.fixture(scope="module")
def show(browser, path):
    """Makes the window so wide, of the one page of all tests, which takes seconds to load; all its
    details are unfolded.
    """
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")

    def shown(width):
        page.set_viewport_size({"width": width, "height": 900})
        return page

    yield shown
    context.close()


@pytest.mark.slow
def test_every_row_has_its_say(answers):
    assert set(answers) == set(INVENTED)
    for number, answer in answers.items():
        assert answer.verdict.kind != "inconclusive", f"row {number}: {answer.verdict.sentence}"
        assert "nan" not in answer.verdict.sentence
        assert not answer.table.empty


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_nothing_scrolls_sideways_or_is_cut_off(show, width):
    page = show(width)
    assert page.evaluate(SIDEWAYS) == []
    assert page.evaluate(OUTSIDE) == []


STRUCK = """() => [...document.querySelectorAll("svg.whole")].flatMap(svg => {
    const crosses = (box, line) => line.left < box.right - 2 && line.right > box.left + 2
        && line.top > box.top + 1 && line.bottom < box.bottom - 1;
    const boxes = found => [...found].map(part => part.getBoundingClientRect());
    const dashes = boxes(svg.querySelectorAll("path[stroke-dasharray], path[style*='stroke-dasharray']"));
    return boxes(svg.querySelectorAll("[id*='text_']")).filter(box => box.height < 40
        && dashes.some(line => line.height < 1 && crosses(box, line))).map(box => `${svg.id} ${box.x} ${box.y}`);
})"""
"""Words of figures that a level dashed line goes through."""


def test_figures_of_the_first_row__no_name_is_struck_through(show):
    assert show(1440).evaluate(STRUCK) == []


def test_opening__on_a_phone_the_picture_follows_the_first_sentence(show):
    page = show(390)
    sentences = page.locator(".opening .answer > li")
    first, second = (sentences.nth(place).bounding_box() for place in (0, 1))
    picture = page.locator(".opening figure").bounding_box()
    assert first["y"] < picture["y"] < second["y"]
    assert picture["y"] < 600, "it is seen without scrolling"


def test_on_a_phone_panels_are_below_each_other_and_tables_are_cards(show):
    page = show(390)
    assert not page.locator(".picture:has(.part) > .whole").first.bounding_box()["width"]
    assert page.locator(".picture .part").first.is_visible()
    cell = page.locator("table.wide td:not(.key)").first
    assert (
        cell.evaluate("cell => getComputedStyle(cell, '::before').content")
        == f'"{cell.get_attribute("data-name")}"'
    )
    assert not show(1440).locator(".picture .part").first.is_visible()


def test_letters_of_figures_can_be_read_on_a_phone(show):
    """Figures are drawn at 12.5 CSS pixels a line of text, and no part is shown at less than
    seven tenths of that.
    """
    widths = (
        "parts => parts.map(part => part.getBoundingClientRect().width / "
        "parseFloat(part.style.getPropertyValue('--w')))"
    )
    shown = [scale for scale in show(390).locator(".picture svg").evaluate_all(widths) if scale]
    assert min(shown) > 0.7


STROKES = (
    "document.querySelectorAll('svg :is(path, use, clipPath, defs, g)"
    ":not([role], [tabindex], [aria-label], :has(text, title, a, image, [role], [tabindex]))')"
)
"""Parts of figures that say nothing to a reader of the page's words."""


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_the_page_is_accessible(show, scheme, width):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe is not installed: accessibility is not tested",
    ).Axe()
    page = show(width)  # the last tests, since it is not put back what is removed here
    page.emulate_media(color_scheme=scheme)
    # 20,000 strokes and groups of them, without word, role or link: axe takes a second for 1,000
    page.evaluate(STROKES + ".forEach(part => part.remove())")
    found = axe.run(page, options=AXE)
    assert found.violations_count == 0, found.generate_report()
