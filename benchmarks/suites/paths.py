"""Files that a suite names: where they are looked for, and which of them would run as code."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .spec import format_spec, parse_spec, shown

if TYPE_CHECKING:
    from .suite import Suite

DATA_SETS = ("fashion-mnist", "digits")
"""Real samples that a suite names instead of a file."""

_CODE = re.compile(r"\.py(:|$)")
_PREFIX = re.compile(r"([a-z0-9][a-z0-9_-]+:)?(.+)", re.DOTALL)
"""A scheme, such as that of ``perturbed:file.py:factory``, and a file; one letter is a drive."""
_FILE = re.compile(r"\.(py(:|$)|(npy|npz|json|pth?)$)|^inception:")


def with_placed_files(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A suite's table, with the files of its models, schedules, extractor and real samples looked
    for beside its own file.

    Args:
        data: what the TOML file says; what is no such file, or not of the right form, stays as it
            is.
        folder: where the TOML file is. Of a file in the working directory nothing changes, and no
            digest.
    """
    found = dict(data)
    if folder.resolve() == Path.cwd():
        return found
    for axis in ("models", "schedules"):
        if isinstance(found.get(axis), list):
            found[axis] = [_entry(entry, folder) for entry in found[axis]]
    for key in ("extractor", "real"):
        if isinstance(found.get(key), str):
            found[key] = _placed(found[key], folder)
    # a folder of images
    if (
        isinstance(real := found.get("real"), str)
        and real not in DATA_SETS
        and (folder / real).is_dir()
    ):
        found["real"] = str(folder / real)
    return found


def _entry(entry: Any, folder: Path) -> Any:
    """A model or schedule: a text, or a table whose ``name`` is a text or another table."""
    if isinstance(entry, str):
        try:
            spec = parse_spec(entry)
        except ValueError:
            return entry  # said when the suite is checked
        moved = _moved(spec, folder)
        return entry if moved == spec else format_spec(moved)
    return _moved(entry, folder) if isinstance(entry, Mapping) else entry


def _moved(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    def moved(value: Any) -> Any:
        return (
            _moved(value, folder)
            if isinstance(value, Mapping)
            else _placed(value, folder)
            if isinstance(value, str)
            else value
        )

    return {key: moved(value) for key, value in table.items()}


def _placed(text: str, folder: Path) -> str:
    match = _PREFIX.fullmatch(text)
    if match is None or not _FILE.search(text):
        return text
    return (match[1] or "") + str(folder / match[2])


def code_of(suite: Suite) -> Iterator[tuple[str, str]]:
    """What a suite names that is a Python file: the key, and the text."""
    texts = [
        *(("models", text) for entry in suite.models for text in _texts(entry.name)),
        ("extractor", suite.extractor),
    ]
    yield from ((key, text) for key, text in texts if _CODE.search(text))


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


def refuse_code(suite: Suite, where: str, replaced: Collection[str]) -> None:
    """Refuse a suite that would run Python files.

    Args:
        suite: as its file has it.
        where: the file, as the user named it.
        replaced: keys that the command line replaces; what it names, the user asked for.

    Raises:
        ValueError: it names one.
    """
    named = next((text for key, text in code_of(suite) if key not in replaced), None)
    if named is not None:
        raise ValueError(
            f"{where} names the Python file {shown(named, 300)}, which would run; look at "
            "it, and add --trust-suite, or name it "
            "yourself with --model or --extractor"
        )
