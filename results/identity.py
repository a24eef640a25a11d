"""What must be equal for two numbers to be compared; a comparison of anything else is refused, with the part that differs."""

from __future__ import annotations

from .entries import Entry, Source
from .values import text


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
    for name in sorted(first.keys() & second.keys()):
        if first[name] != second[name]:
            raise ValueError(
                f"{a} and {b} cannot be compared: model {name} is {first[name]} in the first and {second[name]} in the second; "
                "run both with one model"
            )


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
