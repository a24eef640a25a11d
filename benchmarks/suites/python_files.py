"""Python files that a suite names as models or extractors: they would run as code."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .spec import parse_spec, shown
from .suite import Suite

_PYTHON = re.compile(r"\.py(:|$)")


def python_files(suite: Suite) -> Iterator[tuple[str, str]]:
    """The Python files that a suite names: the suite's key, and the text with the file."""
    texts = [
        *(("models", text) for entry in suite.models for text in _texts(entry.name)),
        ("extractor", suite.extractor),
        *(("extractor", entry.extractor) for entry in suite.models if entry.extractor),
    ]
    yield from ((key, text) for key, text in texts if _PYTHON.search(text))


def _texts(value: Any) -> Iterator[str]:
    """All texts in a model's spec: its name and the values of its options."""
    if isinstance(value, str):
        spec = parse_spec(value)
        yield from _texts(spec) if len(spec) > 1 else (spec["name"],)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from (item,) if isinstance(item, str) else _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts({"": item})


def refuse_python_files(suite: Suite, where: str, replaced: Collection[str]) -> None:
    """Refuse a suite that would run Python files.

    Args:
        suite: as its file has it.
        where: the file, as the user named it.
        replaced: keys that the command line replaces; what it names, the user asked for.

    Raises:
        ValueError: it names one.
    """
    named = next((text for key, text in python_files(suite) if key not in replaced), None)
    if named is not None:
        raise ValueError(
            f"{where} names the Python file {shown(named, 300)}, which would run; look at "
            "it, and add --trust-suite, or name it "
            "yourself with --model or --extractor"
        )
