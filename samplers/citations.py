"""BibTeX entries of the sources that samplers name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_ENTRY = re.compile(r"^@\w+\{\s*(?P<key>[^,\s]+)\s*,.*?^\}", re.MULTILINE | re.DOTALL)


def references() -> dict[str, str]:
    """Every entry of ``references.bib``: key to BibTeX text."""
    text = (Path(__file__).parent / "references.bib").read_text(encoding="utf-8")
    return {match["key"]: match[0] for match in _ENTRY.finditer(text)}


def bibtex(keys: Iterable[str]) -> str:
    """The entries of ``keys``, each once, in order.

    A key of a plugin that has no entry here becomes a comment.
    """
    entries = references()
    return "\n\n".join(
        entries.get(key, f"% {key}: see the plugin's own documentation")
        for key in dict.fromkeys(keys)
    )
