r"""Rows of the page, one per module, each with the function from measurement to answer.

A new row has two halves:

* A module in ``measuring/`` measures. Its function takes the effort and returns a named tuple of
  numbers and arrays. Only that goes to disk.
* A module ``row_NN_slug.py`` in this folder answers, with a module-level ``ROW`` (number, question,
  claim, ``measure``, ``answer``). It makes figure, table, verdict and details.

Rules:

* The verdict is one plain sentence and a pure function of the measurement. A test shows that it
  changes where the claim is false.
* The measuring module must not import the answering one. A row is measured again when the measuring
  module, or an import of it, has changed.
* A new word, symbol or model gets an entry in ``glossary.py``. A test finds words without one.
* ``tests/studies/why_steps/invented.py`` needs an invented measurement.

docs/explanation/why-steps.md quotes the answer and the verdicts of docs/why-steps.html, and a test
compares them. These commands renew the page, the quotation and the two figures::

    samplerbench explain && cp results/runs/explain/full/why-steps.html docs/
    python -m samplerbench_studies.why_steps.verdicts docs/why-steps.html \
        docs/explanation/why-steps.md
    python -m samplerbench_studies.why_steps.pictures docs/figures
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from ..measuring.row import Row


def rows() -> dict[int, Row[Any]]:
    """Return all rows by number: ``ROW`` of each module ``row_NN_slug`` of this folder."""
    modules = iter_modules([str(Path(__file__).parent)])
    names = sorted(module.name for module in modules if re.fullmatch(r"row_\d\d_\w+", module.name))
    found: list[Row[Any]] = [import_module(f".{name}", __package__).ROW for name in names]
    return {row.number: row for row in found}
