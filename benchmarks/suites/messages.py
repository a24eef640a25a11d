"""Messages for errors that pydantic finds in a suite, each one plain sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import ValidationError

from ...samplers.spec import short_repr

COMMAND_LINE = "the command line"
"""Source of values that come from options; messages name the options instead of keys."""

_KEYS = "docs/how-to/suites.md links to a list of the keys"

_OPTIONS = {"models": "model", "samplers": "sampler", "schedules": "schedule"}

_REMEDIES = {
    "greater_than_equal": "give a number >= {ge}",
    "greater_than": "give a number > {gt:g}",
    "less_than_equal": "give a number <= {le:,}",
    "less_than": "give a number < {lt:,}",
    "finite_number": "give a finite number",
    "too_short": "give at least one",
    "literal_error": "choose {expected}",
    "string_pattern_mismatch": "use letters, digits, '.', '_' and '-', and begin with a letter or digit",
}
"""Remedies by pydantic's names of errors, to be formatted with an error's context."""
_REMEDIES_BY_TYPE = {
    "int_": "give a whole number",
    "float_": "give a number",
    "bool_": "give true or false",
    "string_": "give a text",
    "tuple_": "give a list",
    "model_": "give a table",
    "dict_": "give a text or a table with a name",
}
"""Remedies for values of a wrong type, by the beginnings of pydantic's names of errors."""


def describe_mistake(error: ValidationError, where: str, keys: Iterable[str]) -> str:
    """Return one sentence on the first mistake in a suite: its place, and the remedy.

    ``where`` is the name of the suite's file, or :data:`COMMAND_LINE`; ``keys`` are all keys of suites.
    """
    errors = error.errors()
    # a typo in a key explains the key that is missing
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    place, kind, facts = _dotted_path(first["loc"]), first["type"], first.get("ctx", {})
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(str(first["loc"][-1]), keys, n=1)
        hint = f"did you mean {close[0]!r}?" if close else _KEYS
        return f"{where}: unknown key {place!r}; {hint}"
    if kind == "value_error":
        return f"{where}: {facts['error']}"
    if kind == "missing":
        return f"{where}: {place} is missing; {_KEYS}"
    by_type = (words for begin, words in _REMEDIES_BY_TYPE.items() if kind.startswith(begin))
    words = next(by_type, "give another value")
    if kind in _REMEDIES:
        words = _REMEDIES[kind].format(**facts)
    begin = f"{where}: {place}" if where != COMMAND_LINE else _option_of_place(first["loc"])
    return f"{begin}: {words}, got {short_repr(first['input'])}"


def _dotted_path(loc: tuple[int | str, ...]) -> str:
    """Return the place of an error as keys and numbers of entries, such as ``models.0.samples``."""
    return ".".join(
        str(part) for part in loc if isinstance(part, int) or ("[" not in part and part != "str")
    )


def _option_of_place(loc: tuple[int | str, ...]) -> str:
    """Return the command-line option for a key, such as --max-samples for ``until.max_samples``."""
    name = [
        part
        for part in loc
        if isinstance(part, str) and "[" not in part and part not in ("str", "name")
    ][-1]
    return f"--{_OPTIONS.get(name, name).replace('_', '-')}"
