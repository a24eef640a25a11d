"""What must be equal for two numbers to be compared; a comparison of anything else is refused, with the part that differs."""

from __future__ import annotations

from typing import Any

from ..run_directory.fingerprint import Fingerprint, difference
from ..values import text
from .entries import Entry, Source


def check_sources(a: Source, b: Source) -> None:
    """Refuse two runs of different versions of a suite, or of different models under one name.

    Raises:
        ValueError: they differ.
    """
    suites = [source.run.get("suite") or {} for source in (a, b)]
    names, versions = ([suite.get(key) for suite in suites] for key in ("name", "version"))
    if names[0] == names[1] and versions[0] != versions[1]:
        raise ValueError(
            f"{a} and {b} cannot be compared: suite {names[0]} has version {versions[0]} in the first and {versions[1]} in the second; "
            "run both with one version"
        )
    first, second = (source.run.get("models") or {} for source in (a, b))
    known = [source.run.get("fingerprints") or {} for source in (a, b)]
    for name in sorted(first.keys() & second.keys()):
        if found := _other_model(name, first[name], second[name], *known):
            raise ValueError(f"{a} and {b} cannot be compared: model {name} {found}; run both with one model")


def _other_model(name: str, first: Any, second: Any, known_first: Any, known_second: Any) -> str:
    """How two models of one name differ, as the end of a sentence; "" if they do not.

    What they do decides, where both runs know it, and their identities otherwise.
    """
    try:
        found = difference(Fingerprint.from_json(known_first[name]), Fingerprint.from_json(known_second[name]))
    except (KeyError, TypeError, ValueError):
        return "" if first == second else f"is {first} in the first and {second} in the second"
    return found and f"is not the same in both: {found}"


def check_estimators(a: Entry, b: Entry) -> None:
    """Refuse two rows whose numbers were measured differently.

    Raises:
        ValueError: their estimators differ.
    """
    first, second = (text(entry.record, "estimator") for entry in (a, b))
    if first != second:
        raise ValueError(f"model {text(a.record, 'model')} cannot be compared: {_difference(first, second)}; measure both runs alike")


def _difference(first: str, second: str) -> str:
    """The first part in which two estimators differ, in words."""
    parts = [estimator.split("; ") for estimator in (first, second)]
    length = max(map(len, parts))
    one, other = next(pair for pair in zip(*(part + [""] * (length - len(part)) for part in parts), strict=True) if pair[0] != pair[1])
    return f"its estimator has {one or 'nothing'!r} in the first run and {other or 'nothing'!r} in the second"
