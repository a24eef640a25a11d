"""Code of Python literals and calls."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

WIDTH = 100
"""Largest number of characters in a line, unless a word is longer."""
OWN_DRAWS = "the draws are the library's own, so images differ one by one, and not as a whole"


def list_code(name: str, values: Iterable[float]) -> str:
    """Return the code that assigns a list of numbers, each with all its digits.

    >>> list_code("SIGMAS", [14.6, 0.0])
    'SIGMAS = [14.6, 0.0]'
    """
    return wrap_in_brackets(f"{name} = [", [repr(value) for value in values], "]")


def literal(value: object) -> str:
    """Return the code of a plain value, with texts in double quotes.

    >>> literal("heun"), literal(0.5)
    ('"heun"', '0.5')
    """
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def call_code(function: str, arguments: Mapping[str, Any], *first: str) -> str:
    """Return the code of a call. ``first`` is code of positional arguments, ``arguments`` keywords.

    >>> call_code("sample", {"eta": 0.0}, "model", "x")
    'sample(model, x, eta=0.0)'
    """
    words = [*first, *(f"{key}={literal(value)}" for key, value in arguments.items())]
    return wrap_in_brackets(f"{function}(", words, ")")


def wrap_in_brackets(begin: str, words: list[str], end: str) -> str:
    """Return words with commas between ``begin`` and ``end``, on several lines if too long.

    >>> wrap_in_brackets("x = (", ["1", "2"], ")")
    'x = (1, 2)'
    """
    line = f"{begin}{', '.join(words)}{end}"
    if len(line) <= WIDTH:
        return line
    filled = textwrap.fill(
        f"{', '.join(words)},", WIDTH, initial_indent="    ", subsequent_indent="    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return f"{begin}\n{filled}\n{end}"


def step_code(weights: Iterable[float], *numbers: str) -> str:
    """Return the code ``(*numbers, (*weights)),`` of a step; ``numbers`` are code already."""
    return wrap_in_brackets("(", [*numbers, repr(tuple(weights))], "),")
