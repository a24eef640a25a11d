"""Every source that a sampler names has its BibTeX entry."""

import re
from pathlib import Path

from looping import each

from samplerbench import benchmarks
from samplerbench.samplers import get, names
from samplerbench.samplers.types import bibtex, references

ENTRIES = references()


@each("name", names())
def test_references__have_the_source_of_every_sampler(name):
    assert get(name).source.key in ENTRIES


def test_the_scaffolds_source_is_in_the_bibliography():
    template = Path(
        next(iter(benchmarks.__path__)),
        "cli",
        "scaffold",
        "templates",
        "solver",
        "src",
        "__name__",
        "__init__.py.tmpl",
    ).read_text()
    assert re.search(r'Source\("(\w+)"', template)[1] in ENTRIES


@each("key", ENTRIES)
def test_references__an_entry_is_complete(key):
    entry = ENTRIES[key]
    assert entry.count("{") == entry.count("}")
    for field in ("title", "author", "year", "url"):
        assert re.search(rf"^  {field} +=", entry, re.MULTILINE)


def test_entries_are_sorted_and_printed_once():
    assert list(ENTRIES) == sorted(ENTRIES)
    assert bibtex(["song2021ddim", "song2021ddim"]).count("@") == 1
