"""What the documents say is there is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
EXAMPLES = {"ci.toml", "row_NN_slug.py"}
"""Files of the reader's own."""
ELSEWHERE = {"generate.py"}
"""Files of other projects."""
FOLDERS = ("samplers", "models", "benchmarks", "results", "tests", "docs")
FILES = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()}
FILES |= {path.name for path in ROOT.iterdir()}


def named(page: Path) -> list[str]:
    """The files that a page names in code type, with or without their folder."""
    found = re.findall(r"`([\w/.-]+\.(?:py|md|toml|bib|yml))`", page.read_text(encoding="utf-8"))
    return [name for name in found if name not in EXAMPLES | ELSEWHERE]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page):
    missing = [name for name in named(page) if not any(file == name or file.endswith(f"/{name}") for file in FILES)]
    assert not missing, f"{page.name} names {', '.join(missing)}"


def test_the_reader_of_names_finds_them():
    guide = named(ROOT / "docs" / "adding-a-sampler.md")
    assert {"euler.py", "samplers/families/adams.py", "tests/samplers/test_identities.py"} <= set(guide)
