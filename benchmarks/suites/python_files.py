"""Files that need a trusted suite: Python files, which run as code, and files outside its
folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from .paths import behind_schemes
from .spec import abbreviate, parse_spec
from .suite import Suite, built_in

_PYTHON = re.compile(r"\.py(:|$)")


def python_files(suite: Suite) -> Iterator[tuple[str, str]]:
    """Yield the Python files that a suite names: the suite's key, and the text with the file."""
    texts = [
        *(("models", text) for entry in suite.models for text in _texts(entry.name)),
        ("extractor", suite.extractor),
        *(("extractor", entry.extractor) for entry in suite.models if entry.extractor),
    ]
    yield from ((key, text) for key, text in texts if _PYTHON.search(text))


def outside_files(suite: Suite, file: Path) -> Iterator[tuple[str, str]]:
    """Yield the files outside the suite's folder: the suite's key, and the text with the file.

    Links in the folder are followed: the owner of the folder made them, and their targets are read
        as data.
    """
    folder = os.path.abspath(file.parent)
    texts = [
        *(("models", text) for entry in suite.models for text in _texts(entry.name)),
        *(("schedules", text) for spec in suite.schedules or () for text in _texts(spec)),
        ("extractor", suite.extractor),
        *(("extractor", entry.extractor) for entry in suite.models if entry.extractor),
        *([("reference", suite.reference)] if suite.reference is not None else ()),
    ]
    for key, text in texts:
        for part in re.split(r"[?&=]", text):  # a checkpoint's settings name files, too
            path = behind_schemes(part)
            leads = os.path.isabs(path) or path.startswith("~") or ".." in Path(path).parts
            inside = os.path.abspath(path).startswith(folder.rstrip(os.sep) + os.sep)
            if leads and (path.startswith("~") or not inside):
                yield key, text


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a model's spec: its name and the values of its options."""
    if isinstance(value, str):
        spec = parse_spec(value)
        yield from _texts(spec) if len(spec) > 1 else (spec["name"],)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from (item,) if isinstance(item, str) else _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts({"": item})


def refuse_untrusted(suite: Suite, where: str, replaced: Collection[str] = ()) -> None:
    """Refuse a suite that would run Python files, or reads files outside its folder.

    Args:
        suite: content of its file.
        where: the name of a built-in suite, or the file, as the user named it.
        replaced: keys that the command line replaces: the user named these files.

    Raises:
        ValueError: it names one.
    """
    outside = () if where in built_in() else outside_files(suite, Path(where))
    for named, words in (
        (python_files(suite), "the Python file {}, which would run"),
        (outside, "{}, which is outside its folder"),
    ):
        text = next((text for key, text in named if key not in replaced), None)
        if text is not None:
            raise ValueError(
                f"{where} names {words.format(abbreviate(text, 300))}; look at "
                "it, and add --trust-suite, or name it "
                "yourself with an option, such as --model or --extractor"
            )
