"""What the documents say is there is there, and what they show runs."""

import csv
import doctest
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from looping import each

from samplerbench.results.report import build
from samplerbench.results.result_table import ResultTable
from samplerbench.results.table.curves import comparable_parts
from samplerbench.samplers import Grid, make

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
EXAMPLES = {
    "ci.toml",
    "claims.toml",
    "row_NN_slug.py",
    "ten-evaluations.toml",
    "results/report/modes.py",
}
"""Files of the reader's own."""
ELSEWHERE = {"generate.py"}
"""Files of other projects."""
FOLDERS = (
    "samplerbench",
    "studies",
    "samplers",
    "models",
    "benchmarks",
    "results",
    "tests",
    "docs",
    ".ci",
    ".github",
)
FILES = {
    str(path.relative_to(ROOT))
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.is_file()
}
FILES |= {path.name for path in ROOT.iterdir()}


def named(page: Path) -> list[str]:
    """The files that a page names in code type, with or without their folder."""
    found = re.findall(r"`([\w/.-]+\.(?:py|md|toml|bib|yml))`", page.read_text(encoding="utf-8"))
    return [name for name in found if name not in EXAMPLES | ELSEWHERE]


def snippet(page: str, language: str) -> str:
    """All code of a language on a page, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@each("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page__files_that_a_page_names_exist(page):
    there = {name: any(f == name or f.endswith(f"/{name}") for f in FILES) for name in named(page)}
    missing = [name for name, found in there.items() if not found]
    assert not missing, f"{page.name} names {', '.join(missing)}"


def test_the_reader_of_names_finds_them():
    guide = named(DOCS / "how-to" / "adding-a-sampler.md")
    assert {"edm.py", "samplers/families/multistep.py", "tests/samplers/test_identities.py"} <= set(
        guide
    )


def links(page: str) -> set[str]:
    """Where a page of docs/ links to, without anchors."""
    found = re.findall(r"\]\(([^)#\s]+)", (DOCS / page).read_text(encoding="utf-8"))
    return {link for link in found if "://" not in link}


def test_the_index_of_decisions_leads_to_each():
    decisions = {p.name for p in (DOCS / "decisions").glob("0*.md")}
    assert decisions == links("decisions/index.md")


def test_links_lead_to_files():
    for page in DOCS.rglob("*.md"):
        for link in links(str(page.relative_to(DOCS))):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


HEUN = ("fid_proxy", "fid_proxy_low", "fid_proxy_high", "fid_proxy_raw")
HEUN += ("fd_conv", "fd_conv_low", "fd_conv_high", "label_agreement")
ERRORS = [
    (column, n) for n in (1, 3, 5, 10, 20, 50, 100) for column in ("typical_error", "flip_fraction")
]
RANKING = [("fd_conv", n) for n in (5, 10, 20)]


@pytest.mark.parametrize(
    ("page", "folder", "model", "first", "columns"),
    [
        ("README.md", "fashion-ranking", "fashion", "auto", RANKING),
        ("docs/explanation/results.md", "heun-5000", "fashion", "5", HEUN),
        ("docs/explanation/results.md", "gmm-2d", "gmm-2d", "euler", ERRORS),
        ("docs/explanation/results.md", "fashion-ranking", "fashion", "auto", RANKING),
    ],
)
def test_page__a_table_has_the_numbers_of_its_file(page, folder, model, first, columns):
    """Rounded as printed; a row is a sampler with its budgets across, or a number of evaluations."""
    text = (ROOT / page).read_text(encoding="utf-8")
    table = re.search(rf"results/reference/{folder}`.*?^(\| {first} .*?)\n\n", text, re.M | re.S)
    with (ROOT / "results" / "reference" / folder / "table.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"].startswith(model)]
    found = {(row[key], row["budget"]): row for row in rows for key in ("sampler", "budget")}
    for line in table[1].splitlines():
        name, printed = line.strip("| ").split(" | ", 1)
        for column, text in zip(columns, re.findall(r"[\d.]+", printed), strict=False):
            column, budget = column if isinstance(column, tuple) else (column, name)
            value = float(found[name, str(budget)][column])
            scale = 100 if column in ("label_agreement", "flip_fraction") else 1
            assert f"{value * scale:.{len(text.partition('.')[2])}f}" == text, f"{name}, {column}"


def test_choosing__numbers_are_those_of_the_schedule_that_is_best_at_ten():
    text = (DOCS / "choosing.md").read_text(encoding="utf-8")
    lines = re.search(r"^\| sampler \| EDM-like.*?\n\n", text, re.M | re.S)[0].splitlines()[2:]
    folders = ("fashion-ranking", "choosing/flow", "choosing/guided-latent")
    for column, folder in enumerate(folders, start=1):
        with (ROOT / "results" / "reference" / folder / "table.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for line in filter(None, lines):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            ran = [row for row in rows if row["sampler"] == cells[0]]
            at_ten = [row for row in ran if row["budget"] == "10"]
            best = min(at_ten, key=lambda row: float(row["fd_conv"]))["schedule"]
            shown, _, schedule = cells[column].partition(" (")
            assert not schedule or schedule.strip(")") == best
            budgets = sorted(int(row["budget"]) for row in ran if row["schedule"] == best)
            value = {row["budget"]: row["fd_conv"] for row in ran if row["schedule"] == best}
            for budget, number in zip(budgets, shown.split(" / "), strict=True):
                digits = len(number.partition(".")[2])
                exact = float(value[str(budget)])
                assert f"{exact:.{digits}f}" == number, (folder, cells[0], budget, exact)


def terms() -> list[str]:
    """The words of the glossary."""
    text = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
    return re.findall(r"\*\*(.+?)\*\*", text)


def test_a_term_of_the_glossary_is_listed_once():
    listed = [term.casefold() for term in terms()]
    assert len(listed) > 60
    assert sorted(set(listed)) == sorted(listed)


def test_every_term_of_the_glossary_is_used():
    sources = [page for page in PAGES if page.name not in ("glossary.md", "CHANGELOG.md")]
    for package in ("samplers", "models", "benchmarks", "results"):
        sources += (ROOT / package).rglob("*.py")
    words = " ".join(path.read_text(encoding="utf-8") for path in sources).casefold()
    words = re.sub(r"\s+", " ", words)
    unused = [t for t in terms() if not re.search(rf"(?<!\w){re.escape(t.casefold())}", words)]
    assert not unused


def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = str(DOCS / "tutorials" / "notebook.md")
    done = doctest.testfile(page, module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 15
    assert not done.failed


@pytest.mark.parametrize("name", ["heun", "dpmpp_2m"])
@pytest.mark.parametrize("end", [0.0, 0.002])
def test_samplers_written_line_by_line_are_the_samplers(name, end):
    made: dict[str, Any] = {}
    exec(snippet("explanation/line-by-line.md", "python"), made)
    x = 80.0 * torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None]
    grid = Grid((80.0, 30.0, 7.0, 1.0, 0.1, end))

    def denoise(x, sigma):
        return torch.tanh(x / (1 + sigma**2))

    torch.testing.assert_close(
        made[name](denoise, x, grid.sigma), make(name).sample(denoise, x, grid), rtol=1e-12, atol=0
    )


def test_the_rows_that_are_printed_line_by_line_are_the_plans(capsys):
    exec(snippet("explanation/line-by-line.md", "python"), {})
    assert capsys.readouterr().out == snippet("explanation/line-by-line.md", "text")


@pytest.mark.slow
def test_the_suite_of_the_guide_is_planned_and_runs(samplerbench, tmp_path):
    (tmp_path / "ten-evaluations.toml").write_text(snippet("how-to/adding-a-suite.md", "toml"))
    code, out, _ = samplerbench("plan", "ten-evaluations.toml")
    assert code == 0
    assert "9 cells" in out
    assert samplerbench("run", "ten-evaluations.toml", "--out", "ten")[0] == 0
    code, out, _ = samplerbench("compare", "ten", "--baseline", "euler")
    assert code == 0
    assert "6 comparisons" in out


def test_the_panel_of_the_guide_says_what_it_should(monkeypatch):
    modes = ModuleType("samplerbench.results.report.modes")
    monkeypatch.setitem(sys.modules, modes.__name__, modes)  # dataclasses look for their module
    modes.__package__ = "samplerbench.results.report"
    exec(snippet("how-to/adding-a-report-panel.md", "python"), modes.__dict__)
    row = {"model": "m", "steps": 5, "status": "ok", "sampler": "euler"}
    shares = [{"budget": 5, "mode_coverage": 0.1}, {"budget": 9, "mode_coverage": 0.5}]
    heun = {**row, "sampler": "<b>heun</b>", "budget": 9, "mode_coverage": 0.25}
    ((_, rows),) = comparable_parts(
        ResultTable.of([*({**row, **share} for share in shares), heun]).frame
    )
    panel = modes.modes_of(rows)
    assert panel.budget == 9
    assert [share for _, share in panel.shares] == [0.25, 0.5]
    ((_, bare),) = comparable_parts(ResultTable.of([{**row, "budget": 9}]).frame)
    assert modes.modes_of(bare) is None

    template = build._template_environment().from_string(
        snippet("how-to/adding-a-report-panel.md", "jinja")
    )
    html = template.render(problem=SimpleNamespace(title="m", modes=panel))
    assert '<td class="n">0.25</td>' in html
    assert "&lt;b&gt;heun" in html
    assert template.render(problem=SimpleNamespace(title="m", modes=None)).strip() == ""


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("results/report/model_section.py", '"timing": timing_of(rows, homes, findings)'),
        ("results/report/templates/report.html", '{% include "timing.html" %}'),
    ],
)
def test_a_panel_stands_where_the_guide_says(file, words):
    """The panel of times is one as the guide describes it."""
    assert words in (ROOT / file).read_text(encoding="utf-8")
