"""Result of one check of a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["passed", "failed", "not decided"]


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        name: in a word.
        passed: None where it cannot be decided.
        said: what was found, in a sentence.
    """

    name: str
    passed: bool | None
    said: str


def verdict_of(checks: Iterable[Check]) -> Verdict:
    """Return ``failed`` if one check failed, else ``not decided`` if one is not decided.

    >>> verdict_of([Check("a", True, ""), Check("b", None, "")])
    'not decided'
    """
    results = {check.passed for check in checks}
    return "failed" if False in results else "not decided" if None in results else "passed"
