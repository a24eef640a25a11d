"""The page and the terminal say what the answer says, whatever it holds."""

import base64
import json
import math
import re
import struct
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from answers import advice, best, budget, choice, pictures, whole

from samplerbench.benchmarks.advice.answer import Advice
from samplerbench.benchmarks.advice.page import (
    LARGEST,
    curves_of,
    gallery_of,
    render,
    shrink_pictures,
    with_unbroken_numbers,
)
from samplerbench.benchmarks.advice.text_output import print_advice
from samplerbench.benchmarks.advice.wording import table_rows
from samplerbench.benchmarks.cli.common.console import SafeConsole
from samplerbench.results.run_directory.files import json_text
from samplerbench.results.text import format_number

VOID = {"meta", "img", "input", "br", "link", "path", "use"}


class Page(HTMLParser):
    """What a browser makes of a page, as far as it is needed here."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells, self.code, self.loads = [], [], {}, [], []
        self.row = None
        self.feed(text)
        for row in self.cells.values():
            row[:] = [cell.strip() for cell in row]

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        if "data-row" in given:
            self.row = self.cells.setdefault(int(given["data-row"]), [])
        if tag in ("th", "td") and self.row is not None:
            self.row.append("")
        if tag == "code":
            self.code.append("")
        self.loads += [given[name] for name in ("src", "href", "xlink:href") if name in given]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass
        if tag == "table":
            self.row = None

    def handle_data(self, data):
        if self.row and "tr" in self.open:
            self.row[-1] += data.replace("\xa0", " ")
        if "code" in self.open:
            self.code[-1] += data


@pytest.fixture(scope="module")
def page():
    return Page(render(whole(), pictures()))


def numbers(text):
    """All numbers of a text."""
    return re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?", text.replace("(rho=7)", ""))


def texts(*values):
    return [format_number(one) for value in values for one in (value.value, value.low, value.high)]


def test_every_number_of_the_table_is_the_answer_s(page):
    answer = whole()
    at_5, at_8, at_20 = (one.best["diffusers"] for one in answer.budgets)
    now = answer.budgets[1].default
    cells = page.cells
    assert list(cells) == [5, 8, 20]
    assert cells[8][1] == at_8.choice.label
    # one over the ratio's value and ends, to two digits
    assert numbers(cells[8][2]) == ["9.8", "8.3", "11"]
    assert numbers(cells[8][3]) == texts(at_8.choice.error, now.error)
    assert numbers(cells[8][4]) == ["1.3", "1.2", "1.4"]
    assert cells[8][4].endswith("auto")
    assert numbers(cells[8][5]) == ["15.5"]
    assert cells[8][6].startswith("tied with 40 others")
    assert all(label in cells[8][6] for label in at_8.tied)
    known, nearer = answer.budgets[1].best["python"].choice, answer.budgets[1].in_distribution
    assert numbers(cells[8][7]) == texts(nearer.fd_conv, known.fd_conv)
    assert numbers(cells[5][3]) == texts(at_5.choice.error)
    assert cells[5][2] == "what you use now fails it <diverged>"
    assert "no difference shown" in cells[5][4]
    # its own error, once: it is what is used now
    assert (cells[20][2], cells[20][3]) == (
        "what you use now",
        format_number(at_20.choice.error.value),
    )


def test_the_page_needs_nothing_else(page):
    assert all(one.startswith(("data:image/png;base64,", "#")) for one in page.loads)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "video"}
    policy = next(given["content"] for _, given in page.tags if "http-equiv" in given)
    assert policy.startswith("default-src 'none'")
    text = render(whole(), None)
    assert not re.search(r"url\((?!#|&#)", text)
    assert not re.search(r"@import|fetch\(|XMLHttpRequest", text)


def test_names_and_code_are_text(page):
    hostile = [given for tag, given in page.tags if given.get("src") == "x" or "onerror" in given]
    assert not hostile
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    codes = [one.best["diffusers"].lines.code for one in whole().budgets]
    assert codes[1] in page.code
    assert "</script><img src=x onerror=alert(1)> | `**bold**`" in page.cells[5][1]
    assert "\x1b" not in render(whole(), None)


def test_what_stands_in_the_page_is_said_of_pictures(page):
    alts = [given["alt"] for tag, given in page.tags if tag == "img"]
    assert len(alts) == 5  # two budgets, and where the latents lead
    assert "Samples of unipc_3 · karras(rho=7) with 8 evaluations" in alts
    assert all(alts)
    scopes = [given.get("scope") for tag, given in page.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_ids_are_unique_and_controls_are_named(page):
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    radios = [given["id"] for tag, given in page.tags if given.get("type") == "radio"]
    named = {given["for"] for tag, given in page.tags if tag == "label"}
    assert len(radios) == 2 * 3 + 4
    assert set(radios) == named


def test_what_was_not_decided_is_said():
    text = render(whole(), None)
    assert "20 was close." in text
    assert "Nothing was left open" not in text


@pytest.mark.parametrize("side", [28, 500])
@pytest.mark.parametrize("colour", [False, True])
def test_strips_are_pictures_of_a_size_that_can_be_sent(side, colour):
    found = gallery_of(whole(), pictures((8,), side, colour))
    strips = [found.converged, *found.pairs[8]]
    assert [one.image for one in found.pairs[5]] == ["", ""]
    files = [base64.b64decode(one.image.split(",")[1]) for one in strips]
    gap = {28: 1, 500: 6}[side]
    edge = {28: 28, 500: 166}[side]
    for file in files:
        assert struct.unpack(">II", file[16:24]) == (4 * edge + 3 * gap, edge)
        assert file[25] == (6 if colour else 4)  # with alpha: what lies between them is nothing


def test_large_pictures_are_averages():
    some = np.zeros((1, 1, 2 * LARGEST, 2 * LARGEST), np.uint8)
    some[..., ::2] = 100
    assert (shrink_pictures(some) == 50).all()
    assert shrink_pictures(some[..., :64, :64]).shape == (1, 1, 64, 64)


def one_budget(**given):
    mine = choice("heun", "karras", 8, (0.05, 0.04, 0.06), **given)
    return advice(budget(8, best(mine, "diffusers", (0.1, 0.08, 0.12))))


@pytest.mark.parametrize(
    "answer",
    [
        one_budget(),
        advice(budget(8)),  # nothing for the library
        advice(budget(8, best(choice(failed="NaN"), code="", remark="It fails."))),
        advice(budget(8, best(choice("heun", error=(0.0, 0.0, 0.0)), "diffusers", (0, 0, 0)))),
        advice(budget(8, best(choice("heun", error=(0.1, 0.1, 0.1)), to_default=(np.nan,) * 3))),
        replace(one_budget(), resolution=0.0, sentences=(), provenance={}, about={}),
    ],
)
def test_an_answer_may_lack_nearly_everything(answer):
    text = render(answer, None)
    assert list(Page(text).cells) == [8]
    assert "nan" not in text.lower().replace("fashion", "")
    assert len(told(answer)) > 5


def test_evaluations_that_are_not_the_budget_are_said():
    mine, now = (
        choice(name, "", made, (0.1, 0.09, 0.11)) for name, made in (("auto", 7), ("heun", 3))
    )
    (row,) = table_rows(advice(budget(8, best(mine, to_default=(1, 0.9, 1.1)), default=now)))
    assert row.recommendation == "auto (makes 7)"
    assert row.error == ("0.1 [0.09, 0.11]", "now, with 3: 0.1 [0.09, 0.11]", "open")


def test_curves_are_the_errors():
    found = {one.name: one for one in curves_of(whole())}
    assert [point.x for point in found["for diffusers"].points] == [5, 8, 20]
    assert found["now"].points[0][:4] == (8, 0.5, 0.4, 0.6)  # it fails at 5
    assert [point.y for point in found["best tried"].points] == [0.29, 0.0401]
    assert 'aria-label="Error against evaluations' in render(whole(), None)
    assert 'aria-label="Error against evaluations' not in render(one_budget(), None)


def unlimited():
    """An answer with intervals that end at infinity."""
    heun, now = choice("heun", error=(0.05, 0.0, np.inf)), choice(error=(0.5, 0.4, np.inf))
    return advice(
        *(budget(n, best(heun, to_default=(0.5, 0, np.inf)), default=now) for n in (5, 8))
    )


def test_an_interval_that_ends_at_infinity_has_no_upper_limit():
    text = render(unlimited(), None)
    assert Page(text).cells[8][3] == "0.05 [0, no upper limit] now 0.5 [0.4, no upper limit]"
    assert "[0, no upper limit]" in Page(text).cells[8][2]
    assert 'aria-label="Error against evaluations' in text
    assert not re.search(r"\binf\b|∞", text)
    assert any("no upper limit]" in line for line in told(unlimited()))


def test_json_comes_back():
    for answer in (whole(), unlimited()):
        assert Advice.from_json(json.loads(json_text(answer.to_json()))) == answer


def test_advice__evaluations_that_are_unknown_come_back_as_nan():
    data = json.loads(json_text(whole().to_json()))
    data["budgets"][0]["default"]["nfe"] = None  # as NaN is written
    assert math.isnan(Advice.from_json(data).budgets[0].default.nfe)


def test_advice__refuses_json_that_is_none_of_its_own():
    good = json.loads(json_text(whole().to_json()))
    (first, *_) = good["budgets"]
    error = {**first["default"], "error": 0.5}
    wrong = [
        {"budgets": [3]}, {"budgets": [{**first, "default": error}]}, {"budgets": 3},
        {"budgets": [{**first, "best": []}]}, {"more": 1},
    ]  # fmt: skip
    for data in ([], *({**good, **change} for change in wrong)):
        with pytest.raises(ValueError, match=r"advice\.json is not what advise writes"):
            Advice.from_json(data)
    with pytest.raises(ValueError, match="schema 7, and not 1"):
        Advice.from_json({**good, "schema": 7})


def test_intervals_stay_on_a_line():
    assert (
        with_unbroken_numbers("3.2 × closer [2.9, 3.6] a b")
        == "3.2\xa0×\xa0closer [2.9,\xa03.6] a b"
    )


def told(answer, width=80):
    console = SafeConsole(width=width)
    with console.capture() as shown:
        print_advice(answer, console)
    return shown.get().splitlines()


def test_a_terminal_of_80_columns_breaks_no_word():
    answer = replace(whole(), sentences=("It is " + "closer " * 30 + "so.",))
    lines = told(answer)
    assert max(map(len, lines)) <= 80
    wide = {word for line in told(answer, 1000) for word in line.replace(";", "").split()}
    assert {word for line in lines for word in line.replace(";", "").split()} == wide
    text = "\n".join(lines)
    for interval in ("[8.3, 11]", "[0.0481, 0.0543]", "[1.2, 1.4]", "[0.7, 0.9]", "[0.77, 1.11]"):
        assert interval in text
    assert "\x1b" not in text
    assert "tied with 40 others" in text


def test_names_that_are_longer_than_a_line_are_whole():
    name = "x" * 100
    mine = choice(name, "", 8, (0.05, 0.04, 0.06))
    lines = told(advice(budget(8, best(mine, "diffusers", (0.1, 0.08, 0.12)))))
    assert any(name in line for line in lines)


def test_code_is_printed_as_it_is():
    answer = whole()
    code = answer.budgets[1].best["diffusers"].lines.code
    at = told(answer).index("import it")
    assert told(answer)[at : at + len(code.splitlines())] == code.splitlines()


def test_plain_pytorch_stands_beside_lines_for_python():
    auto = choice("auto", "", 8, (0.05, 0.04, 0.06))
    mine = best(auto, "python", (0.1, 0.08, 0.12))
    own = "from k_diffusion import sampling\nsampling.sample_heun(model, x, sigmas)"
    remark = "In plain PyTorch, the same steps are on the page, under k-diffusion."
    for code, is_plain in (("import torch\nROWS = []", True), (own, False)):
        answer = advice(budget(8, mine, best(auto, "k-diffusion", code=code)), library="python")
        assert (remark in told(answer)) == is_plain
        assert code in Page(render(answer, None)).code
    other = best(choice("euler", "karras", 8), "k-diffusion", code="import torch\nROWS = []")
    assert remark not in told(advice(budget(8, mine, other), library="python"))


@pytest.mark.slow
def test_the_pickers_need_no_script_and_go_together_with_one(browser, tmp_path):
    path = tmp_path / "advice.html"
    path.write_text(render(whole(), pictures()), encoding="utf-8")
    for script in (False, True):
        context = browser.new_context(
            java_script_enabled=script, viewport={"width": 390, "height": 844}
        )
        view, noise = context.new_page(), []
        view.on("console", lambda message, said=noise: said.append(message.text))
        view.on("pageerror", lambda error, said=noise: said.append(str(error)))
        view.goto(path.as_uri())
        now = view.get_by_alt_text("Samples of euler · uniform_time with 8 evaluations")
        view.locator("#pictures-8").check(force=True)
        assert now.is_visible()
        view.locator("#pictures-20").check(force=True)
        assert not now.is_visible()
        assert view.locator("#lines-20").is_checked() is script
        lines = view.get_by_label("Lines for ComfyUI with 8 evaluations")
        assert not lines.is_visible()
        view.locator("#library-4").check(force=True)
        view.locator("#lines-8").check(force=True)
        assert lines.is_visible()
        assert view.get_by_role("button", name="Copy").count() == (2 if script else 0)
        if script:
            assert view.evaluate("document.documentElement.scrollWidth") == 390
        context.close()
        assert noise == []
