"""Pages of reference that the site generates from the code."""

import re

import pytest
from test_ci import script

from samplerbench.benchmarks.suites.suite import Suite
from samplerbench.models.checkpoints.families import family_names
from samplerbench.results.quantities import column_names
from samplerbench.samplers import names
from samplerbench.samplers.schedules import SCHEDULES

REFERENCE = script("reference")
FACTS = ("Files", "Process", "Prediction", "Say", "Refused", "From noise alone")


def first_cells(page: str) -> list[str]:
    """First cells of the tables, as text."""
    found = re.findall(r"^\| <code>(.*?)</code> \|", page, re.MULTILINE)
    return [cell.replace("&#95;", "_") for cell in found]


@pytest.fixture(scope="module")
def pages():
    return {name: page() for name, page in REFERENCE.PAGES.items()}


def test_pages__all_names_are_listed(pages):
    assert first_cells(pages["samplers.md"]) == list(names())
    assert first_cells(pages["schedules.md"]) == list(SCHEDULES)
    assert first_cells(pages["columns.md"]) == list(column_names())
    assert set(Suite.model_fields) <= set(first_cells(pages["suite-keys.md"]))
    assert "<code>--until-decided</code>" in pages["commands.md"]


def test_pages__every_family_states_its_facts(pages):
    sections = re.split(r"^## ", pages["checkpoint-families.md"], flags=re.MULTILINE)[1:]
    found = {
        s.split()[0]: tuple(re.findall(r"^\| \*\*(.+?)\*\*", s, re.MULTILINE)) for s in sections
    }
    assert found == dict.fromkeys(family_names(), FACTS)


@pytest.mark.parametrize("name", REFERENCE.PAGES)
def test_pages__rows_have_as_many_cells_as_their_heads(pages, name):
    for table in re.findall(r"(?:^\|.*\n)+", pages[name], re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table[:200]


def test_pages__text_is_escaped():
    assert REFERENCE.plain("a|b <c> *d* e_f") == "a&#124;b &#60;c&#62; &#42;d&#42; e&#95;f"
    assert REFERENCE.prose("see :mod:`.openai` or ``x``") == (
        "see <code>openai</code> or <code>x</code>"
    )
