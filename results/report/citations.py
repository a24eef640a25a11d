"""What to cite: the sources of the samplers in a report, as the runs recorded them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PARTS = ("where", "key", "url")


@dataclass(frozen=True)
class Citations:
    """Sources of samplers.

    Attributes:
        sources: (sampler, place in the paper, key, address), sorted by sampler.
        bibtex: the entries, each once, sorted by key.
        unknown: samplers of which no run says where they come from.
    """

    sources: tuple[tuple[str, ...], ...]
    bibtex: str
    unknown: tuple[str, ...]


def citations_of(runs: Iterable[Mapping[str, Any]], samplers: Iterable[str]) -> Citations:
    """The citations of ``samplers`` in the ``citations`` of the runs' ``run.json``: sampler to key, where, url and bibtex."""
    known: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        said = run.get("citations")
        known |= {str(name): entry for name, entry in said.items() if isinstance(entry, Mapping)} if isinstance(said, Mapping) else {}
    names = sorted(set(samplers))
    there = [name for name in names if name in known]
    sources = [(name, *(str(known[name].get(part) or "") for part in PARTS)) for name in there]
    entries = {str(known[name].get("key")): str(known[name].get("bibtex") or "") for name in there}
    bibtex = "\n\n".join(entries[key] for key in sorted(entries) if entries[key])
    return Citations(tuple(sources), bibtex, tuple(name for name in names if name not in known))
