"""What a run's samplers are to be cited as, for ``run.json``: a report has no samplers to ask."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

_ENTRY = re.compile(r"^@\w+\{([^,\s]+),.*?^\}", re.MULTILINE | re.DOTALL)


def citations(samplers: Iterable[Any]) -> dict[str, dict[str, str]]:
    """For each sampler's name: ``key``, ``where`` in the paper, ``url``, and ``bibtex``, "" where no entry has the key."""
    entries = bibliography()
    return {
        sampler.name: {
            "key": sampler.source.key,
            "where": sampler.source.where,
            "url": sampler.source.url,
            "bibtex": entries.get(sampler.source.key, ""),
        }
        for sampler in sorted(samplers, key=lambda sampler: sampler.name)
    }


def bibliography() -> dict[str, str]:
    """The entries of ``samplers/references.bib`` by key, as they stand there."""
    text = files("samplerbench.samplers").joinpath("references.bib").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in _ENTRY.finditer(text)}
