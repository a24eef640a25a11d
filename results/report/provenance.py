"""Everything in ``run.json``, flattened for reading, and the command that makes the run again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A part of ``run.json`` as (dotted name, value) pairs."""

    title: str
    entries: tuple[tuple[str, str], ...]


def command_of(run: Mapping[str, object]) -> str:
    """The command line in ``run.json`` (``provenance.command`` or ``command``: a text, or a list of arguments); "" if it has none."""
    provenance = run.get("provenance")
    command = (provenance.get("command") if isinstance(provenance, Mapping) else None) or run.get("command") or ""
    return shlex.join(map(str, command)) if isinstance(command, list | tuple) else str(command)


def sections_of(run: Mapping[str, object]) -> list[Section]:
    """A section for every mapping at the top of ``run.json``, and one for what else is there."""
    loose = {name: value for name, value in run.items() if not isinstance(value, Mapping)}
    nested = [(name, value) for name, value in run.items() if isinstance(value, Mapping)]
    parts = [*([("run", loose)] if loose else []), *nested]
    return [Section(title, tuple(_flat(value))) for title, value in parts if isinstance(value, Mapping)]


def _flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for index, item in enumerate(value):
            yield from _flat(item, f"{name}[{index}]")
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value)) or "none"
    else:
        yield name, "–" if value is None or value == {} else str(value)
