"""Python literals and calls as lines to paste."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

WIDTH = 100
"""Characters of a line, where its words allow it."""
OWN_DRAWS = "the draws are the library's own, so images differ one by one, and not as a whole"


def list_code(name: str, values: Iterable[float]) -> str:
    """Return an assignment of a list of numbers, every one with all its digits.

    >>> list_code("SIGMAS", [14.6, 0.0])
    'SIGMAS = [14.6, 0.0]'
    """
    return wrap_in_brackets(f"{name} = [", [repr(value) for value in values], "]")


def literal(value: object) -> str:
    """Return Python of a plain value, texts in double quotes.

    >>> literal("heun"), literal(0.5)
    ('"heun"', '0.5')
    """
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def call_code(function: str, arguments: Mapping[str, Any], *first: str) -> str:
    """Return a call with keywords, after arguments that are text already.

    >>> call_code("sample", {"eta": 0.0}, "model", "x")
    'sample(model, x, eta=0.0)'
    """
    words = [*first, *(f"{key}={literal(value)}" for key, value in arguments.items())]
    return wrap_in_brackets(f"{function}(", words, ")")


def wrap_in_brackets(begin: str, words: list[str], end: str) -> str:
    """Return words between commas, on one line if they fit and else on lines of their own.

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
    """Return a step as a tuple of numbers and the tuple of its weights, with a comma at the end."""
    return wrap_in_brackets("(", [*numbers, repr(tuple(weights))], "),")
