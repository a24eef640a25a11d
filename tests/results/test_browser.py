"""The report in a real browser."""

import math

import pytest
from report_pages import plotted, traces
from synthetic import HOSTILE_MODEL, synthetic_run

from samplerbench.results.report.build import write_report
from samplerbench.results.result_table import load

AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    # thousands of elements that pass would take longest to hand over
    "resultTypes": ["violations"],
}


def column(page, name, rows="#listing tbody tr:not([hidden])"):
    """The texts of a column of the table of all rows."""
    heads = page.locator("#listing thead th").all_inner_texts()
    place = [head.strip(" ↑↓") for head in heads].index(name) + 1
    return page.locator(f"{rows} > :nth-child({place})").all_inner_texts()


PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
"""A window; all tests with it share one page, the last of which unfolds its details."""


@pytest.mark.slow
def test_plots_show_the_table_on_every_axis(show, run):
    figure = plotted(show(), 1)
    frame = load(run.path).where(model="fashion", sampler="euler").frame
    euler = next(trace for trace in traces(figure) if trace["name"] == "euler")
    assert euler["y"] == pytest.approx(list(frame["fid_proxy"]), rel=1e-5)
    figure.get_by_role("button", name="Typical error to the ODE").click()
    figure.get_by_role("button", name="Milliseconds").click()
    euler = next(trace for trace in traces(figure) if trace["name"] == "euler")
    assert euler["y"] == pytest.approx(list(frame["typical_error"]), rel=1e-5)
    assert euler["x"] == pytest.approx(list(frame["ms_per_sample"]), rel=1e-5)
    figure.get_by_role("button", name="Lines of order").click()
    assert (
        len(traces(figure)) == 3 + load(run.path).where(model="fashion").frame["sampler"].nunique()
    )
    for button in ("Lines of order", "Evaluations", "FID proxy"):
        figure.get_by_role("button", name=button, exact=button == "FID proxy").click()


@pytest.mark.slow
def test_the_floor_is_drawn_where_it_belongs(show):
    figure = plotted(show(), 1)
    shapes = (
        "canvas => canvas.layout.shapes"
        ".filter(line => line.xref === 'paper' && !line.xsizemode).map(({y0}) => y0)"
    )
    assert figure.locator(".canvas").evaluate(shapes) == []
    figure.get_by_role("button", name="FID proxy, plug-in").click()
    assert figure.locator(".canvas").evaluate(shapes) == [0.31]
    figure.get_by_role("button", name="FID proxy", exact=True).click()


def test_a_name_in_the_legend_isolates_its_sampler_in_all_plots(show):
    page = show()
    for place in (0, 1):
        plotted(page, place)
    first, second = page.locator("figure.plot").nth(0), page.locator("figure.plot").nth(1)
    first.get_by_role("button", name="heun", exact=True).click()
    for figure in (first, second):
        assert {trace["name"] for trace in traces(figure) if trace["opacity"] == 1} == {"heun"}
    assert (
        second.get_by_role("button", name="heun", exact=True).get_attribute("aria-pressed")
        == "true"
    )
    assert "Median slope: heun -" in first.locator(".slopes").inner_text()
    second.get_by_role("button", name="heun", exact=True).press("Enter")
    assert all(trace["opacity"] == 1 for trace in traces(first))


def test_a_family_has_one_colour_in_all_plots(show):
    page = show()
    colours = [
        {trace["name"]: trace["colour"] for trace in traces(plotted(page, place))}
        for place in (0, 1, 2)
    ]
    assert colours[0] == colours[1] == colours[2]
    assert colours[0]["dpmpp_2m"] != colours[0]["heun"]


def test_a_click_on_a_mark_opens_its_row(show, run):
    page = show()
    figure = plotted(page, 1)
    figure.locator(".canvas").evaluate(
        "canvas => canvas.emit('plotly_click', { points: [{ customdata: 3 }] })"
    )
    shown = page.locator("#record").inner_text()
    assert all(
        str(load(run.path).frame.loc[3, name]) in shown for name in ("model", "sampler", "cell")
    )
    page.keyboard.press("Escape")
    assert not page.locator("#record").is_visible()


@pytest.mark.slow
def test_columns_are_sorted_by_number_with_empty_cells_last(show):
    page = show(color_scheme="dark")  # where no other test looks at the table
    head = page.locator("#listing thead").get_by_role("button", name="fd_conv", exact=True)
    head.click()
    values = [text for text in column(page, "fd_conv") if text]
    numbers = [float(text.split(" ")[0].rstrip("⁻")) for text in values]
    assert numbers == sorted(numbers)
    assert column(page, "fd_conv")[len(values) :] == [""] * (
        len(column(page, "fd_conv")) - len(values)
    )
    assert head.locator("..").get_attribute("aria-sort") == "ascending"
    head.press("Enter")
    assert [
        float(text.split(" ")[0].rstrip("⁻")) for text in column(page, "fd_conv") if text
    ] == sorted(numbers, reverse=True)


def test_rows_are_filtered_by_words_status_and_verdict(show, run):
    page = show()
    page.fill("#filter", "heun gmm-2d")
    assert set(column(page, "sampler")) == {"heun"}
    assert page.locator("#shown").inner_text() == f"4 of {len(load(run.path))} rows"
    page.fill("#filter", "")
    page.select_option("#status", "diverged")
    assert column(page, "sampler") == ["ddpm"]
    page.select_option("#status", "")
    page.select_option("#verdict", "better")
    assert column(page, "verdict")
    assert {text.split()[-1] for text in column(page, "verdict")} == {"better"}
    page.select_option("#verdict", "")


def test_the_table_can_be_saved(show, run, tmp_path):
    page = show()
    with page.expect_download() as saved:
        page.click("#download")
    saved.value.save_as(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == load(run.path).csv()


@pytest.mark.slow
def test_a_picture_is_enlarged_and_the_keys_go_on(show):
    page = show()
    tile = page.get_by_role(
        "button", name="Samples of gmm-2d by heun at 5 network evaluations", exact=True
    )
    tile.focus()
    page.keyboard.press("Enter")
    large = page.locator("#viewer img")
    assert large.bounding_box()["width"] > 2 * tile.bounding_box()["width"]
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewer-caption").inner_text() == (
        "Samples of gmm-2d by heun at 10 network evaluations"
    )
    page.keyboard.press("Escape")
    assert not large.is_visible()


def test_samples__the_converged_ones_stand_right_of_all_budgets(show):
    table = show().locator(".samples table").nth(1)
    heads = table.locator("thead th").all_inner_texts()
    assert heads[-1].startswith("converged")
    assert all("NFE" in head for head in heads[:-1])
    first = table.locator("tbody tr").first.locator("td")
    assert first.count() == len(heads)
    limit, last = (first.nth(place).locator("img").bounding_box() for place in (-1, -2))
    assert limit["x"] > last["x"]


def test_differences_to_the_converged_sample_fall_with_the_budget(show):
    expect = pytest.importorskip("playwright.sync_api").expect
    page = show()
    part = page.locator(".samples-part").nth(1)
    part.get_by_role("button", name="Difference to the converged sample").click()
    # by polling, which the page's policy lets through: it forbids eval
    expect(part).to_have_attribute("data-view", "difference")
    ink = """async image => {
        await image.decode();
        const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight), context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, canvas.width, canvas.height).data.reduce((sum, value, i) => sum + (i % 4 === 3 ? value : 0), 0);
    }"""
    at = [
        part.get_by_alt_text(
            f"Samples of fashion by heun at {n} network evaluations: difference"
        ).evaluate(ink)
        for n in (1, 5, 40)
    ]
    assert at[0] > 2 * at[1] > 2 * at[2]
    part.get_by_role("button", name="Samples", exact=True).click()
    expect(part).to_have_attribute("data-view", "samples")
    assert part.get_by_alt_text(
        "Samples of fashion by heun at 5 network evaluations", exact=True
    ).is_visible()


@pytest.mark.slow
def test_the_page_is_dark_where_the_reader_is_and_where_he_says_so(show):
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = show(), show(color_scheme="dark")
    assert light.evaluate(paper) == "rgb(255, 255, 255)" != dark.evaluate(paper)
    before = traces(plotted(light))[0]["colour"]
    light.get_by_role("button", name="Theme: system").click()
    light.get_by_role("button", name="Theme: light").click()
    assert light.evaluate(paper) == dark.evaluate(paper)
    assert (
        traces(light.locator("figure.plot").first)[0]["colour"]
        == traces(plotted(dark))[0]["colour"]
        != before
    )
    light.get_by_role("button", name="Theme: dark").click()
    assert light.get_by_role("button", name="Theme: system").is_visible()


@pytest.mark.slow
def test_on_paper_nothing_is_cut_off_and_controls_are_gone(show):
    """As a browser without a window prints: at once when the page is loaded, without scrolling."""
    page = show(fresh=True, color_scheme="dark")
    drawn = "parts => parts.map(part => part.querySelectorAll('.main-svg').length)"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    counts = page.locator("figure.plot .canvas").evaluate_all(drawn)
    assert len(counts) >= 3
    assert all(counts)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#filter").is_visible()
    assert not page.locator("nav").is_visible()
    heights = page.locator(".scroll.tall").evaluate_all(
        "parts => parts.map(part => [part.scrollHeight, part.clientHeight])"
    )
    assert heights
    assert all(inner <= outer + 1 for inner, outer in heights)
    page.evaluate("dispatchEvent(new Event('afterprint'))")


@pytest.mark.slow
def test_nothing_of_the_first_screens_is_hidden_on_a_telephone(show):
    page = show(**PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    links = page.locator("nav a")
    assert links.count() >= 6
    answers = page.locator("#answer ~ article").locator("td, tbody th, .verdict")
    assert answers.count() > 20
    places = answers.evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(({ left, right }) => [left, right])"
    )
    assert min(left for left, _ in places) >= 0
    assert max(right for _, right in places) <= 390
    tops = {round(link.bounding_box()["y"]) for link in links.all()}
    assert len(tops) == 1, "the menu is one line"
    links.last.focus()
    last = links.last.bounding_box()
    assert 0 <= last["x"] <= last["x"] + last["width"] <= 390, "which scrolls sideways"
    lead, note = (page.locator(part).first.bounding_box() for part in (".lead", "header .partial"))
    assert lead["y"] - note["height"] - 15 < 170, "a run without missing rows has no note"


@pytest.mark.slow
def test_a_table_that_goes_on_beyond_its_edge_has_a_shadow_there(show):
    page = show(**PHONE)
    part = page.get_by_role("region", name="Table of all rows")
    inner, outer = part.evaluate("part => [part.scrollWidth, part.clientWidth]")
    assert inner > outer
    style = part.evaluate(
        "part => [getComputedStyle(part).backgroundAttachment, "
        "getComputedStyle(part).backgroundImage]"
    )
    assert {"local", "scroll"} <= set(style[0].split(", "))
    assert style[1].count("gradient") == 4


@pytest.mark.slow
def test_lines_of_order_lie_below_all_points(show):
    figure = plotted(show(), 1)
    figure.get_by_role("button", name="FID proxy", exact=True).click()
    # nothing falls like an order to the model's own error
    assert not figure.get_by_role("button", name="Lines of order").is_visible()
    for measure, power in (("Typical error to the ODE", 1), ("FD to converged", 2)):
        figure.get_by_role("button", name=measure).click()
        if measure == "Typical error to the ODE":
            figure.get_by_role("button", name="Lines of order").click()
        look = "canvas => canvas.data.map(({x, y, mode, line}) => ({x: [...x], y: [...y], mode}))"
        drawn = figure.locator(".canvas").evaluate(look)
        orders, curves = (
            [one for one in drawn if (one["mode"] == "lines+text") == guide]
            for guide in (True, False)
        )
        assert len(orders) == 3
        zero = figure.locator(".canvas").evaluate("canvas => canvas.layout.yaxis.tickvals[0]")
        for order, line in enumerate(orders, 1):
            (x0, x1), (y0, y1) = line["x"], line["y"]
            slope = -power * order
            assert math.log(y1 / y0) / math.log(x1 / x0) == pytest.approx(slope, rel=1e-3)
            for curve in curves:
                assert all(
                    y in (None, zero) or y > y0 * (x / x0) ** slope
                    for x, y in zip(curve["x"], curve["y"], strict=True)
                )
    figure.get_by_role("button", name="Lines of order").click()
    figure.get_by_role("button", name="FID proxy", exact=True).click()


@pytest.mark.slow
@pytest.mark.parametrize(
    "window", [{"viewport": {"width": 1440, "height": 900}}, PHONE], ids=["wide", "phone"]
)
def test_the_page_is_accessible_and_fits(show, window):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe is not installed: accessibility is not tested",
    ).Axe()
    page = show(**window)
    plotted(page)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= window["viewport"]["width"]
    found = axe.run(page, options=AXE)
    assert found.violations_count == 0, found.generate_report()


def test_names_are_shown_as_they_are_and_do_nothing(show):
    page = show()
    # the head of the page and two sections
    assert page.get_by_role("heading", name=HOSTILE_MODEL).count() == 3
    # in the legends
    assert (
        page.get_by_role("button", name="</script><img src=x onerror=alert(1)>", exact=True).count()
        == 3
    )
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.slow
def test_a_large_report_is_small_and_opens_at_once(browser, tmp_path):
    names = [
        f"{kind}_{i}"
        for kind in ("euler", "heun", "dpm_solver", "dpmpp", "unipc", "ipndm", "er_sde", "plugin")
        for i in range(3)
    ]
    budgets = (1, 2, 3, 5, 7, 10, 15, 20, 40, 80)
    run = synthetic_run(
        tmp_path / "run",
        models=("fashion",),
        orders=dict.fromkeys(names, 2),
        budgets=budgets,
        samples=100,
    )
    path = write_report(run.path, tmp_path)
    assert path.stat().st_size < 4.5e6  # 2.8e6 of it are the same for all runs
    page = browser.new_page()
    page.goto(path.as_uri())
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    plotted(page)
    page.close()
    assert ready < 2000  # milliseconds; half of it on a machine that does nothing else
