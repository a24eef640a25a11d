"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: in a word.
        passed: whether it is as it must be.
        said: what was found, in a sentence.
    """

    name: str
    passed: bool
    said: str
