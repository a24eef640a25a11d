"""What a conformance run reports: named checks, each with its verdict, a sentence and its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """One thing that a sampler does or does not do.

    Attributes:
        name: what was checked.
        passed: the verdict; True as well for something that is only measured.
        detail: one sentence with the numbers that a reader wants, or the reason of the failure.
        data: all numbers, for ``--json``.
    """

    name: str
    passed: bool
    detail: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Conformance:
    """The checks of one sampler.

    Attributes:
        sampler: registry name.
        params: its fields that differ from their defaults.
        order: declared order.
        checks: in the order in which they ran.
        seconds: wall time of the run.
    """

    sampler: str
    params: dict[str, Any]
    order: int | None
    checks: list[Check]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.passed]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the fields, ``passed`` and ``name`` (the sampler's, as in every listing); None for what is not finite."""
        return {"name": self.sampler, "passed": self.passed, **_plain(asdict(self))}


def guarded(name: str, run: Callable[[], Iterable[Check]]) -> list[Check]:
    """The checks of ``run``; an exception is a failed check with the reason, so that one broken part does not hide the others."""
    try:
        return list(run())
    except Exception as error:
        return [Check(name, False, f"raised {type(error).__name__}: {error}")]


def _plain(value: Any) -> Any:
    """The value with lists for tuples and None for numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
