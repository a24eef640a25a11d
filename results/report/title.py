"""The head of the page: models, samplers, samples, budgets, device, date and command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from ..escaping import printable
from ..table.description import counted, extent, heading, listed
from ..values import empty
from .provenance import command_of


@dataclass(frozen=True)
class RunFacts:
    """Facts on how one run was made.

    Attributes:
        name: of the run; "" for an only one.
        facts: where and when, a phrase each.
        command: the command line, "" if it is not known.
    """

    name: str
    facts: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class Title:
    """Head of the page; ``facts`` are about all runs together, a phrase each."""

    heading: str
    facts: tuple[str, ...]
    runs: tuple[RunFacts, ...]


def title_of(frame: pd.DataFrame, runs: Sequence[tuple[str, Mapping[str, Any]]]) -> Title:
    """The head of a page.

    Args:
        frame: all rows.
        runs: name and ``run.json`` of each run, which may be empty.
    """
    suites = listed([printable(str(name)) for name in frame["suite"].dropna().unique()] or [""])
    facts = (*extent(frame), *((f"suite {suites}",) if suites else ()))
    if len(runs) == 1:
        run = _run_facts("", frame, runs[0][1])
        return Title(heading(frame), (*facts, *run.facts), (RunFacts("", (), run.command),))
    names = frame.get("run", pd.Series(dtype="string"))
    parts = tuple(_run_facts(name, frame.loc[names == name], record) for name, record in runs)
    return Title(f"{counted(len(runs))} runs: {heading(frame)}", facts, parts)


def _run_facts(name: str, frame: pd.DataFrame, record: Mapping[str, Any]) -> RunFacts:
    provenance = _mapping(record.get("provenance"))
    facts = (_device_in_words(provenance, frame), _day_in_words(provenance.get("started")))
    return RunFacts(name, tuple(fact for fact in facts if fact), printable(command_of(record)))


def _device_in_words(provenance: Mapping[str, Any], frame: pd.DataFrame) -> str:
    """The device: its name and kind, and how many cores a processor has."""
    device, machine = _mapping(provenance.get("device")), _mapping(provenance.get("machine"))
    kind = str(device.get("type") or "")
    if not kind:
        return listed(
            [printable(str(name)) for name in dict.fromkeys(frame["device"]) if not empty(name)]
            or [""]
        )
    cores = machine.get("cores_allowed") or machine.get("cores")
    words = [
        {"cpu": "CPU", "cuda": "GPU"}.get(kind, kind),
        *([f"{cores} cores"] if kind == "cpu" and cores else []),
    ]
    return printable(f"{device.get('name') or kind} ({', '.join(words)})")


def _day_in_words(started: object) -> str:
    """The day, as people write it; "" if it is not known."""
    try:
        day = datetime.fromisoformat(str(started))
    except ValueError:
        return ""
    return f"{day.day} {day:%B %Y}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
