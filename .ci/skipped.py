"""Print the tests that every run skipped, by reason: a skipped test proves nothing.

    python .ci/skipped.py build/tests.xml build/parity.xml
    python .ci/skipped.py --ids build/tests.xml

The files are reports of pytest (``--junitxml``). With ``--ids``, print the skipped tests of the reports
for ``pytest @FILE``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

Outcomes = Mapping[str, str | None]
"""Test id to the reason for which it was skipped, or None if it ran."""


def outcomes(report: Path) -> Outcomes:
    """Return the tests of a report; a module that was skipped as a whole is one of them."""
    return {_id(case): _reason(case) for case in ElementTree.parse(report).iter("testcase")}


def proven_nowhere(reports: Iterable[Outcomes]) -> dict[str, str]:
    """Return the tests that no report ran, with their last reason."""
    skipped: dict[str, str] = {}
    ran = set()
    for report in reports:
        skipped |= {test: reason for test, reason in report.items() if reason is not None}
        ran |= {test for test, reason in report.items() if reason is None}
        # of a module that was skipped as a whole, the next report has the tests
        ran |= {test.partition("::")[0] for test in report if "::" in test}
    return {test: reason for test, reason in skipped.items() if test not in ran}


def table(reports: Mapping[str, Outcomes]) -> str:
    """Return what each report skipped, then the tests that all of them did, counted by reason."""
    lines = [
        f"{name}: {sum(map(bool, report.values()))} of {len(report)} skipped"
        for name, report in reports.items()
    ]
    left = proven_nowhere(reports.values())
    lines.append(f"proven nowhere: {len(left)}")
    lines += [f"{n:6}  {reason}" for reason, n in Counter(left.values()).most_common()]
    return "\n".join(lines)


def _id(case: ElementTree.Element) -> str:
    module, name = case.get("classname", ""), case.get("name", "")
    path = f"{(module or name).replace('.', '/')}.py"
    return f"{path}::{name}" if module else path


def _reason(case: ElementTree.Element) -> str | None:
    skipped = case.find("skipped")
    if skipped is None:
        return None
    text = skipped.get("message", "")
    if text == "collection skipped":
        text = ast.literal_eval(skipped.text or "")[2].removeprefix("Skipped: ")
    # the samplers of one library are one reason
    return re.sub(r"peer '([^':]+):[^']*'", r"peer \1", text) or "no reason given"


if __name__ == "__main__":
    files = [Path(name) for name in sys.argv[1:] if name != "--ids"]
    found = {file.stem: outcomes(file) for file in files}
    if "--ids" in sys.argv:
        print("\n".join(test for report in found.values() for test, why in report.items() if why))
    else:
        print(table(found))
