"""Introductions of terms: each at its first use on a page, after the terms of its meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import unescape


@dataclass(frozen=True)
class Term:
    """Term: a word, a symbol, or the name of a model or a sampler.

    Attributes:
        name: name as HTML.
        pattern: regular expression that finds the term in text without tags.
        meaning: meaning as HTML, without a full stop at the end.
    """

    name: str
    pattern: str
    meaning: str

    def used(self, text: str) -> bool:
        """Return True if a text without tags contains the term."""
        return re.search(self.pattern, text) is not None


def plain(html: str) -> str:
    """Return the text of HTML without its tags."""
    return unescape(re.sub(r"<[^>]*>", "", html))


class Introductions:
    """Record of the terms that a page has introduced so far."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self._terms, self._known = tuple(terms), set[str]()

    def __call__(self, *texts: str) -> list[Term]:
        """Return the terms first used by these texts, each after the terms of its meaning.

        Args:
            texts: texts as HTML.
        """
        found: list[Term] = []
        self._collect(plain(" ".join(texts)), found)
        return found

    def _collect(self, text: str, found: list[Term]) -> None:
        for term in self._terms:
            if term.name not in self._known and term.used(text):
                self._known.add(term.name)
                self._collect(plain(term.meaning), found)
                found.append(term)
