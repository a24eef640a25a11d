"""Fingerprints: records of the behaviour of a sampler, model or extractor, for later comparison.

Texts, counts and hashes are compared exactly. Floating-point results are compared within a recorded
tolerance, because rounding differs between machines, libraries and numbers of threads. Hashes of
rounded results do not work: a result halfway between two roundings would change the hash.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

Kind = Literal["sampler", "model", "extractor"]
Fact = str | int | float | bool | None

FILE = "file "  # prefix of the name of a fact that is a file's hash; the rest is the file's name

_WRITTEN_DIGITS = 15
_HASH_DIGITS = 12
_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


@dataclass(frozen=True)
class Numbers:
    """Floating-point results with the tolerance within which others count as the same.

    Attributes:
        numbers: float64 values. Infinity and NaN equal only themselves.
        rtol: tolerance relative to the larger of two compared numbers, in [0, 1).
        atol: tolerance for cancellation, in [0, 1), relative to the largest finite magnitude in
            both lists. It is added to the tolerance by ``rtol``.
    """

    numbers: tuple[float, ...]
    rtol: float
    atol: float

    def same(self, other: Numbers) -> bool:
        """Return True if both have equally many numbers, equal within the larger tolerance of both."""
        if len(self.numbers) != len(other.numbers):
            return False
        rtol = max(self.rtol, other.rtol)
        near = max(self.atol, other.atol) * max(
            (abs(x) for x in self.numbers + other.numbers if math.isfinite(x)), default=0.0
        )
        pairs = zip(self.numbers, other.numbers, strict=True)
        return all(_is_near(a, b, rtol, near) for a, b in pairs)


def _is_near(a: float, b: float, rtol: float, atol: float) -> bool:
    if math.isfinite(a) and math.isfinite(b):
        return abs(a - b) <= rtol * max(abs(a), abs(b)) + atol
    return a == b or (math.isnan(a) and math.isnan(b))


@dataclass(frozen=True)
class Fingerprint:
    """Fingerprint of a sampler, a model or an extractor: its facts and its outputs.

    Attributes:
        kind: "sampler", "model" or "extractor".
        name: name in result tables.
        exact: facts by name, compared exactly. A file's hash is named "file NAME" (:data:`FILE`).
        values: floating-point results by name, compared within tolerances. A name is a noun phrase,
            such as "output at sigma 80".
    """

    kind: Kind
    name: str
    exact: Mapping[str, Fact]
    values: Mapping[str, Numbers]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that identify this record exactly.

        Any change of a stored number changes them, even within its tolerance. Compare fingerprints
        by :func:`difference`.
        """
        return hash_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values for :meth:`from_json`."""
        values = {
            key: {"numbers": [_json_number(x) for x in v.numbers], "rtol": v.rtol, "atol": v.atol}
            for key, v in self.values.items()
        }
        return {"kind": self.kind, "name": self.name, "exact": dict(self.exact), "values": values}

    @classmethod
    def from_json(cls, record: Any) -> Self:
        """Return the fingerprint in a record of :meth:`to_json`; raise a ValueError for another."""
        try:
            kind, name, exact, values = (record[key] for key in ("kind", "name", "exact", "values"))
            facts_fit = all(isinstance(fact, Fact) for fact in exact.values())
            if kind not in get_args(Kind) or not isinstance(name, str) or not facts_fit:
                raise ValueError(
                    f"its kind, name or facts are of another sort ({kind!r}, {name!r})"
                )
            numbers = {key: _numbers_from_json(value) for key, value in values.items()}
            return cls(kind, name, dict(exact), numbers)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"this is no record of a fingerprint ({type(error).__name__}: {error})"
            ) from error


def _json_number(number: float) -> float | str:
    """Return a number for JSON: a finite one rounded to 15 digits, else "inf", "-inf" or "nan"."""
    return float(f"{number:.{_WRITTEN_DIGITS}g}") if math.isfinite(number) else str(number)


def _numbers_from_json(value: Any) -> Numbers:
    tolerances = tuple(_number_from_json(value[key]) for key in ("rtol", "atol"))
    if not all(0 <= tolerance < 1 for tolerance in tolerances):
        raise ValueError(f"a tolerance is not in [0, 1): {tolerances}")
    numbers = tuple(
        _WORDS[x] if isinstance(x, str) else _number_from_json(x) for x in value["numbers"]
    )
    return Numbers(numbers, *tolerances)


def _number_from_json(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def difference(before: Fingerprint, now: Fingerprint) -> str:
    """Return the first difference between a recorded fingerprint and a new one; "" if they agree.

    The difference is a clause, such as "its output at sigma 80 differs".
    """
    if (before.kind, before.name) != (now.kind, now.name):
        return f"it was the {before.kind} {before.name} and is the {now.kind} {now.name}"
    return next(filter(None, _differences_in_words(before, now)), "")


def _differences_in_words(before: Fingerprint, after: Fingerprint) -> Iterable[str]:
    for key in {**before.exact, **after.exact}:
        yield _fact_difference(key, before.exact, after.exact)
    for key in {**before.values, **after.values}:
        a, b = before.values.get(key), after.values.get(key)
        if a is None or b is None:
            yield f"its {key} {'are' if _is_plural(key) else 'is'} {'new' if a is None else 'gone'}"
        elif not a.same(b):
            yield f"its {key} {'differ' if _is_plural(key) else 'differs'}"


def _is_plural(key: str) -> bool:
    return key.partition(" ")[0].endswith("s")


def _fact_difference(key: str, before: Mapping[str, Fact], after: Mapping[str, Fact]) -> str:
    """Return the difference of the fact ``key`` as a clause; "" if it is equal in both."""
    a, b = before.get(key), after.get(key)
    in_both, is_file = key in before and key in after, key.startswith(FILE)
    if in_both and a == b:
        return ""
    if in_both and not is_file and not _are_hashes(a, b):
        return f"its {key} was {a} and is {b}"
    gone = "is no longer read" if is_file else "is gone"  # the file may still be there
    change = "is new" if key not in before else gone if key not in after else "changed"
    return f"{key.removeprefix(FILE) if is_file else f'its {key}'} {change}"


def _are_hashes(*facts: Fact) -> bool:
    return all(
        isinstance(fact, str)
        and len(fact) >= _HASH_DIGITS
        and not set(fact) - set("0123456789abcdef")
        for fact in facts
    )


def differing_models(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, str]:
    """Return the models of one name that differ between two ``run.json``.

    The difference is the end of a sentence, such as "is not the same in both: its event changed".
    """
    first, second = (run.get("models") or {} for run in (a, b))
    known = [run.get("fingerprints") or {} for run in (a, b)]
    found = {}
    for name in sorted(first.keys() & second.keys()):
        try:
            change = difference(*(Fingerprint.from_json(models.get(name)) for models in known))
            words = f"is not the same in both: {change}"
        except ValueError:
            change = first[name] != second[name]
            words = f"is {first[name]} in the first and {second[name]} in the second"
        if change:
            found[name] = words
    return found


def hash_of(value: object) -> str:
    """Return the first twelve hexadecimal digits of the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]
