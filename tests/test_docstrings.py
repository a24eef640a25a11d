"""First paragraphs of docstrings, which listings and help texts show, are whole sentences."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TORN = re.compile(r"(\b(al|e\.g|i\.e|eq|Eq|Alg|Fig|sec)|^\d+)\.$")
"""What a sentence does not end with: a break here is in its middle."""


def summaries(path: Path) -> Iterator[tuple[str, str]]:
    """Where a docstring is, and its first paragraph in one line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            summary = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
            yield f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}", summary


def is_torn(summary: str) -> bool:
    """Whether a first paragraph ends inside a sentence.

    Half-open intervals such as [0, 1) are left out of the count of brackets.
    """
    plain = re.sub(r"\[[^\[\]()]*\)|\([^\[\]()]*\]", "", summary)
    return bool(TORN.search(plain)) or plain.count("(") != plain.count(")")


@pytest.mark.parametrize("package", ["samplers", "models", "benchmarks", "results", "tests", ".ci"])
def test_first_paragraphs_are_whole(package):
    torn = [
        f"{where}: {summary}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for where, summary in summaries(path)
        if is_torn(summary)
    ]
    assert not torn, "\n".join(torn)


@pytest.mark.parametrize(
    ("summary", "torn"),
    [
        ("EDM's sampler (Alg.", True),
        ("5.", True),
        ("Mutual information I(x0.", True),
        ("EDM's training loss, eq.", True),
        ("Share of the samples, in [0, 1), that equal an earlier one.", False),
        ("EDM's training loss, eq. (8).", False),
    ],
)
def test_a_torn_sentence_is_found(summary, torn):
    assert is_torn(summary) is torn
