"""Provenance of a run: its flattened ``run.json``, its command, and the sources of its samplers."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..terminal.path_curvature import KEY

PARTS = ("where", "key", "url")


SHOWN_ELSEWHERE = ("citations", KEY)
"""Parts that have a place of their own in the report."""


@dataclass(frozen=True)
class Section:
    """A part of ``run.json`` as (dotted name, value) pairs."""

    title: str
    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Provenance:
    """Provenance of a run, as a report shows it."""

    name: str
    command: str
    sections: tuple[Section, ...]


def provenance_of(name: str, run: Mapping[str, Any]) -> Provenance:
    """The provenance of a run, from its ``run.json``."""
    return Provenance(name, command_of(run), tuple(sections_of(run)))


def command_of(run: Mapping[str, object]) -> str:
    """Return the command line in ``run.json``, a text or a list of arguments; "" if it has none."""
    provenance = run.get("provenance")
    command = provenance.get("command") if isinstance(provenance, Mapping) else None
    command = command or run.get("command") or ""
    return shlex.join(map(str, command)) if isinstance(command, list | tuple) else str(command)


def sections_of(run: Mapping[str, object]) -> list[Section]:
    """A section for every mapping at the top of ``run.json``, and one for what else is there."""
    loose = {name: value for name, value in run.items() if not isinstance(value, Mapping)}
    nested = {name: value for name, value in run.items() if isinstance(value, Mapping)}
    parts = [*([("run", loose)] if loose else []), *nested.items()]
    shown = [(title, value) for title, value in parts if title not in SHOWN_ELSEWHERE]
    return [Section(title, tuple(_flat(value))) for title, value in shown]


def differences(runs: Sequence[Provenance]) -> list[tuple[str, tuple[str, ...]]]:
    """Return entries whose values are not the same in all runs: the dotted name, and the values."""
    flat = [
        {
            f"{section.title}.{key}": value
            for section in run.sections
            for key, value in section.entries
        }
        for run in runs
    ]
    names = dict.fromkeys(name for entries in flat for name in entries)
    entries_of = [(name, tuple(entries.get(name, "") for entries in flat)) for name in names]
    return [(name, values) for name, values in entries_of if len(set(values)) > 1]


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


@dataclass(frozen=True)
class Citations:
    """Sources (sampler, place, key, address), BibTeX, and samplers without a source."""

    sources: tuple[tuple[str, ...], ...]
    bibtex: str
    unknown: tuple[str, ...]


def citations_of(runs: Iterable[Mapping[str, Any]], samplers: Iterable[str]) -> Citations:
    """Return the citations of ``samplers`` in the runs' ``run.json``."""
    table: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        cited_by_run = run.get("citations")
        entries = cited_by_run.items() if isinstance(cited_by_run, Mapping) else ()
        table |= {str(name): entry for name, entry in entries if isinstance(entry, Mapping)}
    names = sorted(set(samplers))
    cited = [name for name in names if name in table]
    sources = [(name, *(str(table[name].get(part) or "") for part in PARTS)) for name in cited]
    entries = {str(table[name].get("key")): str(table[name].get("bibtex") or "") for name in cited}
    bibtex = "\n\n".join(entries[key] for key in sorted(entries) if entries[key])
    return Citations(tuple(sources), bibtex, tuple(name for name in names if name not in table))
