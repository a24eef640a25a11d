"""The report's first screen in a real browser: sentence, plot and samples, then the table."""

import pytest
from report_pages import plotted, traces

from samplerbench.results.report.build import write_report
from samplerbench.results.result_table import ResultTable

WIDE = {"width": 1440, "height": 900}


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
def test_first_screen__a_sentence_then_plot_and_samples_then_the_table(show, width):
    page = show(viewport=WIDE | {"width": width})
    article = page.locator("#answer ~ article").nth(1)
    tops = [
        article.locator(part).first.bounding_box()
        for part in (".lead", ".canvas", ".shots", ".stacked")
    ]
    lead, plot, samples, table = tops
    assert lead["y"] + lead["height"] <= plot["y"] < table["y"]
    assert samples["y"] + samples["height"] <= table["y"]
    labels = article.locator(".shots figcaption").all_inner_texts()
    assert (labels[0], labels[-1]) == ("Euler", "converged")
    edges = [
        (box["x"], box["width"])
        for box in (image.bounding_box() for image in article.locator(".shots img").all())
    ]
    assert len(set(edges)) == 1, "the same noise is in one column"
    if width == 1440:
        assert samples["x"] >= plot["x"] + plot["width"]
        first = page.locator("#answer ~ article").first.locator(".stacked").bounding_box()
        assert first["y"] < 900, "the table begins on the first screen"
    else:
        assert samples["y"] >= plot["y"] + plot["height"]


@pytest.mark.slow
def test_first_screen__values_that_are_not_positive_stand_at_a_tick_of_0(show):
    figure = plotted(show(viewport=WIDE), 1)
    figure.get_by_role("button", name="FD to converged").click()
    ticks = "canvas => [canvas.layout.yaxis.tickvals[0], canvas.layout.yaxis.ticktext[0]]"
    zero, label = figure.locator(".canvas").evaluate(ticks)
    assert label == "0"
    assert any(zero in trace["y"] for trace in traces(figure))
    figure.get_by_role("button", name="FID proxy", exact=True).click()


def test_first_screen__names_stand_at_the_curves(show):
    figure = plotted(show(viewport=WIDE), 1)
    names = figure.locator(".canvas").evaluate(
        "canvas => canvas.layout.annotations.map(({text, y}) => [text, y])"
    )
    assert any("DPM-Solver++(2M)" in text for text, _ in names)
    assert all("<img" not in text for text, _ in names), "names of strangers are escaped"
    heights = sorted(y for _, y in names)
    assert len(set(heights)) == len(heights)


def test_first_screen__lines_lead_to_the_names_in_the_curves_dash(show):
    figure = plotted(show(viewport=WIDE), 1)
    look = """canvas => [canvas.data.map(({line}) => line.dash),
        canvas.layout.shapes.filter(({type, xsizemode}) => type === "line" && xsizemode).map(({line}) => line.dash)]"""
    curves, leaders = figure.locator(".canvas").evaluate(look)
    assert sorted("dash" if dash == "5px,3px" else dash for dash in leaders) == sorted(curves)


@pytest.mark.slow
def test_first_screen__an_interval_that_leaves_the_plot_ends_in_an_arrow(browser, tmp_path):
    about = {"model": "m", "status": "ok", "schedule": "karras"}
    rows = [
        about
        | {"sampler": name, "budget": n, "nfe": float(n), "fid_proxy": value, "fid_proxy_se": 1.0}
        for name, n, value in (("euler", 5, 20.0), ("euler", 10, 9.0), ("heun", 10, 1.5))
    ]
    ResultTable.of(rows).to_csv(tmp_path / "table.csv")
    page = browser.new_page()
    page.goto(write_report(tmp_path / "table.csv", tmp_path / "out").as_uri())
    figure = plotted(page)
    look = """canvas => [10 ** canvas.layout.yaxis.range[0],
        canvas.layout.shapes.filter(({type}) => type === "path").map(({xanchor}) => xanchor),
        canvas.data.flatMap(({y, error_y}) => y.map((value, i) => value - error_y.arrayminus[i]))]"""
    floor, arrows, ends = figure.locator(".canvas").evaluate(look)
    said = figure.locator("figcaption").inner_text()
    page.close()
    assert arrows == [10]
    assert min(ends) == pytest.approx(floor)
    assert "95 % intervals (an arrow: it goes on below)" in said
