"""The guide for executors: its code is that of the example, which every other test of executors
runs, and the names that it speaks of are there.
"""

import re
from pathlib import Path

from samplerbench.benchmarks.running import executors

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "how-to" / "adding-an-executor.md").read_text(encoding="utf-8")
EXAMPLE = (DOCS / "examples" / "fresh_process.py").read_text(encoding="utf-8")


def test_its_code_is_that_of_the_example():
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    shown = [line.strip() for line in code.splitlines()]
    assert [line for line in shown if not line.startswith("...") and line not in EXAMPLE] == []


def test_its_entry_point_is_the_example_in_the_group_that_is_read():
    assert f'[project.entry-points."{executors.ENTRY_POINTS}"]' in PAGE
    module, name = re.findall(r'fresh = "(\w+):(\w+)"', PAGE)[0]
    assert module == "fresh_process"
    assert f"class {name}(Serial)" in EXAMPLE


def test_what_it_names_is_exported():
    names = {"Executor", "Serial", "Failure", "packed", "unpacked", "packed_result"}
    assert all(name in PAGE for name in names)
    assert names <= set(executors.__all__)
