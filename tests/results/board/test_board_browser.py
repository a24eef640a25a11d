"""The site of a board in a real browser."""

import pytest
from synthetic_board import site_of, write_board
from test_board_site import write_evil


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    home = tmp_path_factory.mktemp("site")
    write_evil(write_board(home / "in"))
    return site_of(home / "in", home / "out").index


@pytest.fixture
def opened(browser):
    """Open a page; no word on the console, no dialog and no request but its own is permitted."""
    contexts, noise = [], []

    def open_page(path, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: noise.append(message.text))
        page.on("dialog", lambda dialog: noise.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda one: one.url == path.as_uri() or noise.append(one.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert noise == []


def column(page, place):
    return page.locator(f"#board tbody tr:not([hidden]) > :nth-child({place})").all_inner_texts()


@pytest.mark.slow
def test_board__columns_sort_and_rows_are_filtered(opened, site):
    page = opened(site)
    head = page.locator("#board thead").get_by_role("button", name="area")
    for sign in (-1, 1):
        head.click()
        areas = [float(text.split()[0]) for text in column(page, 4)[:-2]]
        assert areas == sorted(areas, key=lambda area: sign * area)
        assert column(page, 4)[-2:] == ["–", "–"]
    page.select_option("[data-of=track]", "self-tuning")
    assert set(column(page, 2)) == {"auto", "gits on ipndm", "oss on dpmpp_2m"}
    before = column(page, 4)
    page.select_option("#production", index=0)
    assert all(few < many for few, many in zip(column(page, 4), before, strict=True))
    page.fill("#filters input", "gits")
    assert column(page, 2) == ["gits on ipndm"]
    assert page.locator("#shown").inner_text() == "1 of 16 solvers"


@pytest.mark.slow
def test_board__without_javascript_it_is_a_plain_table(opened, site):
    page = opened(site, java_script_enabled=False)
    assert len(column(page, 2)) == 16
    assert not page.locator("#filters").is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index", "solver"])
def test_board__pages_fit_a_phone_and_pass_axe(opened, site, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    path = site if name == "index" else next((site.parent / "solvers").glob("www-evil*"))
    for scheme in ("light", "dark"):
        page = opened(path, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        ends = "names => names.map((name) => name.getBoundingClientRect().right)"
        assert max(page.locator("svg .name").evaluate_all(ends)) <= 390
        assert [one["id"] for one in axe.run(page).response["violations"]] == []
