"""Names with options: ``ddim(eta=0.5)``, ``karras(rho=5)``, ``fashion(guidance=2)``."""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import MISSING, Field
from enum import Enum
from itertools import accumulate
from pathlib import PurePath
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from .base import Sampler, default_of, non_default, plain

LONGEST = 4096
"""Most characters of a spec: enough for a file's path, and a bound on the time to parse it."""

DEEPEST = 16
"""Most brackets that may be open at once in a spec's options."""

LARGEST_NUMBER = 2**63
"""Exclusive bound of an integer's absolute value; tables store 64-bit integers."""
_NOT_TEXTS = ("true", "false", "none", "nan", "inf")


def parse_spec(text: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec as a dict of ``name`` and its options.

    >>> parse_spec("ddim(eta=0.5)")
    {'name': 'ddim', 'eta': 0.5}
    >>> parse_spec("fashion(network_dtype=bfloat16)")
    {'name': 'fashion', 'network_dtype': 'bfloat16'}

    Args:
        text: ``NAME`` or ``NAME(key=value, …)`` with literal values: numbers, texts, True, False,
            None, and lists and tables of them. A text of one word needs no quotation marks. A mapping
            with a ``name`` is checked and copied.

    Raises:
        ValueError: ``text`` is not of this form, too long or nested too deep, or has a number that
            is not finite or an integer of absolute value :data:`LARGEST_NUMBER` or more.
    """
    if isinstance(text, Mapping):
        if not isinstance(text.get("name"), str):
            raise ValueError(
                f"a table of options needs a text 'name', got {short_repr(dict(text))}; "
                'write it as {name = "ddim", eta = 0.5}'
            )
        spec = dict(text)
    else:
        spec = _split_spec(text)
    for key, value in spec.items():
        _check_value(str(key), value, short_repr(text if isinstance(text, str) else spec["name"]))
    return spec


def _split_spec(text: str) -> dict[str, Any]:
    stripped = text.strip()
    name, bracket, inside = stripped.partition("(")
    name = name.rstrip()
    whole = not bracket or inside.endswith(")")
    is_long = len(stripped) > LONGEST
    if is_long or not name.isprintable() or not name or ")" in name or not whole:
        why = f" ({len(stripped):,} characters; {LONGEST:,} is the most)" if is_long else ""
        raise ValueError(
            f"cannot read {short_repr(text)}{why}; write a name, or a name with "
            "options such as ddim(eta=0.5)"
        )
    try:
        return {"name": name, **_parse_options(inside[:-1])}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        why = f" ({error})" if isinstance(error, _OptionsError) else ""
        raise ValueError(
            f"cannot read the options of {short_repr(text)}{why}; write them as "
            "NAME(key=value), such as ddim(eta=0.5)"
        ) from error


class _OptionsError(ValueError):
    """Error in the options of a spec, whose message is for the user."""


def _parse_options(words: str) -> dict[str, Any]:
    """Return the options in the text ``words``; raise _OptionsError or an error of :mod:`ast`."""
    depths = accumulate((letter in "([{") - (letter in ")]}") for letter in words)
    if (most := max(depths, default=0)) > DEEPEST:
        raise _OptionsError(f"brackets within brackets, {most} deep")
    with warnings.catch_warnings():  # of Python, about the user's text
        warnings.simplefilter("ignore")
        call = ast.parse(f"_({words})", mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise _OptionsError("more than one pair of brackets")
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise _OptionsError("options need names")
    names = [str(keyword.arg) for keyword in call.keywords]
    if twice := next((name for name in names if names.count(name) > 1 or name == "name"), None):
        is_name = twice == "name"
        raise _OptionsError("no option is called name" if is_name else f"{twice} is given twice")
    return {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}


def _literal(value: ast.expr) -> Any:
    """Return the value of a literal, or a bare word as text; ValueError for words such as nan."""
    if isinstance(value, ast.Name):
        if value.id.lower() in _NOT_TEXTS:
            raise _OptionsError(f"{value.id} is no value; give True, False, None or a number")
        return value.id
    return ast.literal_eval(value)


def _check_value(key: str, value: Any, where: str, depth: int = 0) -> None:
    """Raise a ValueError for a huge integer, inf, nan, deep nesting or a type not in JSON."""
    if depth > DEEPEST:
        raise ValueError(
            f"option {key!r} of {where} is nested more than {DEEPEST} deep; write it flat"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"option {key!r} of {where} is {value}; give a finite number")
    if isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
        raise ValueError(
            f"option {key!r} of {where} is beyond the whole numbers that "
            "fit, which are below 2^63; give a smaller one"
        )
    if isinstance(value, Mapping):
        for inner, item in value.items():
            _check_value(f"{key}.{inner}", item, where, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_value(key, item, where, depth + 1)
    elif not isinstance(value, str | int | float | None):
        raise ValueError(
            f"option {key!r} of {where} is {short_repr(value)}; give a number, a "
            "text, True, False, None, or a list of them"
        )


def as_option(cls: Any, option: Field[Any], value: Any, what: str) -> Any:
    """Return ``value`` in the type of an option of the class ``cls``.

    An integer may become a float, a list a tuple, and a text or number a path or a member of an
    enumeration. The type is that of the default. If that is None or missing, it is one of those that the
    annotation states; of other annotations, nothing is checked.

    Raises a ValueError for another type; ``what`` names the option in its message.
    """
    default = default_of(option)
    kinds: tuple[Any, ...] = (type(default),)
    if default is None or default is MISSING:
        try:
            hint = get_type_hints(cls)[option.name]
        except (NameError, TypeError, AttributeError):
            return value  # it names a type that is imported for type checkers only
        kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        if not all(k in _PLAIN_TYPES or _is_converted(k) for k in kinds) or type(value) in kinds:
            return value
    for kind in kinds:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        if kind is tuple and isinstance(value, list):
            return tuple(value)
        if _is_converted(kind) and isinstance(value, str | int | kind):
            try:
                return kind(value)
            except (TypeError, ValueError):
                continue
    words = " or ".join(map(_name_of_type, kinds))
    raise ValueError(f"{what} must be a {words}, got {short_repr(plain(value))}")


_PLAIN_TYPES = (bool, int, float, str, type(None))


def _is_converted(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath | Enum)


def _name_of_type(kind: type) -> str:
    if issubclass(kind, Enum):
        return f"{kind.__name__} ({', '.join(repr(plain(each)) for each in kind)})"
    return "path" if issubclass(kind, PurePath) else kind.__name__.replace("NoneType", "None")


def short_repr(value: object, most: int = 80) -> str:
    """Return the ``repr`` of a value, shortened to ``most`` characters.

    >>> short_repr("a" * 100, 12)
    "'aaaaaa … a'"
    """
    words = repr(value)
    return words if len(words) <= most else f"{words[: most - 5]} … {words[-2:]}"


def format_spec(spec: Mapping[str, Any]) -> str:
    """Return the text of a spec: the inverse of :func:`parse_spec`.

    >>> format_spec({"name": "ddim", "eta": 0.5})
    'ddim(eta=0.5)'
    """
    options = ", ".join(f"{key}={value!r}" for key, value in spec.items() if key != "name")
    return f"{spec['name']}({options})" if options else str(spec["name"])


def label_of(sampler: Sampler) -> str:
    """Return a sampler's name and options as text for the command line: ``ddim(eta=0.5)``."""
    return format_spec({"name": sampler.name, **non_default(sampler)})


def canonical_json(value: object) -> str:
    """Return ``value`` as JSON with sorted keys; 1 and 1.0 differ, and NaN raises a ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
